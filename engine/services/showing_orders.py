"""Orders in the live view: those in doubt with their evidence, those that work, and the ledger beside the books.

What cannot be made for one order or one account is shown as such and blinds nobody else's.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Container

from engine.domain.orders import IN_DOUBT, Order, OrderState
from engine.services.ledger import Pass
from engine.services.truth import account_truth
from engine.services.unknowns import declarable, evidence_of
from engine.services.views import AccountTruthView, OrderView, UnknownOrderView
from engine.services.world import Account, World

log = logging.getLogger(__name__)

SHOWN_AFTER_SECONDS = 3.0
"""An order without an answer for this long is shown as one in doubt (DESIGN 2)."""

_IN_HAND = frozenset({OrderState.PLANNED, OrderState.SENDING, OrderState.WORKING})


def doubtful_by_owner(changes: Pass, world: World) -> dict[int, list[Order]]:
    """Return the orders that a person may declare, or that have no answer, by owner of their run; first sent first."""
    known = {order.id: order for order in changes.ledger.in_doubt.values() if is_doubtful(changes, order)}
    try:
        known |= {order.id: order for order in declarable(changes, world)}
    except Exception:  # which orders no book lists is one view; those in doubt are shown all the same
        log.exception("the orders that no book lists cannot be shown")
    found: defaultdict[int, list[Order]] = defaultdict(list)
    for order in sorted(known.values(), key=lambda one: (one.sent_at or one.created_at, one.id)):
        run = changes.ledger.runs.get(order.execution_id)
        if run is not None:
            found[run.owner_id].append(order)
    return found


def is_doubtful(changes: Pass, order: Order) -> bool:
    """Whether an order is shown as one in doubt: unknown, queued, or sent 3 s ago without an answer."""
    if order.state is not OrderState.SENDING:
        return order.state in IN_DOUBT
    return order.sent_at is not None and (changes.now - order.sent_at).total_seconds() > SHOWN_AFTER_SECONDS


def unknown_view(changes: Pass, world: World, order: Order) -> UnknownOrderView:
    """Return an order in doubt with its evidence; where that cannot be gathered, the order alone."""
    try:
        return evidence_of(changes, world, order)
    except Exception as error:  # noqa: BLE001 - the edge of one order
        sent = order.sent_at
        return UnknownOrderView(
            order_id=order.id,
            run_id=order.execution_id,
            account_id=order.account_id,
            account=_account_name(world, order.account_id),
            purpose=order.purpose,
            state=order.state,
            action=order.action,
            quantity=order.quantity,
            filled_quantity=order.filled_quantity,
            symbol=order.symbol,
            exchange=order.exchange,
            product=order.product,
            orderid=order.orderid,
            words=order.words,
            sent_at=sent,
            age_seconds=None if sent is None else (changes.now - sent).total_seconds(),
            quiet_until=order.quiet_until,
            absent_since=order.absent_since,
            waits_for=f"its evidence, which cannot be shown ({error})",
        )


def truth_view(changes: Pass, world: World, account: Account) -> AccountTruthView:
    """Return ledger against books of one account; where that cannot be made, the reason."""
    try:
        return account_truth(changes, world, account)
    except Exception as error:  # noqa: BLE001 - the edge of one account
        books_at = account.books.begun_at if account.books else None
        return AccountTruthView(
            account_id=account.id,
            account=account.facts.name,
            books_at=books_at,
            books_age_seconds=None if books_at is None else (changes.now - books_at).total_seconds(),
            problem=f"the comparison cannot be made: {error}",
            agrees=None,
        )


def working_views(
    changes: Pass, world: World, run_id: int, strategy: str, *, without: Container[int]
) -> list[OrderView]:
    """Return the orders of a run that the broker holds, or that are about to be sent, ``without`` those in doubt."""
    return [
        _order_view(world, order, strategy)
        for order in changes.orders_of(run_id)
        if order.state in _IN_HAND and order.id not in without
    ]


def _order_view(world: World, order: Order, strategy: str) -> OrderView:
    filled = order.filled_quantity
    return OrderView(
        order_id=order.id,
        run_id=order.execution_id,
        strategy=strategy,
        account_id=order.account_id,
        account=_account_name(world, order.account_id),
        purpose=order.purpose,
        state="cancelling" if order.cancel_requested else order.state,
        action=order.action,
        quantity=order.quantity,
        filled_quantity=filled,
        average_price=order.filled_value_paise / filled / 100 if filled else None,
        symbol=order.symbol,
        exchange=order.exchange,
        product=order.product,
        price_type=order.price_type,
        price=order.price,
        reprices=order.reprices,
        orderid=order.orderid,
        words=order.words,
        created_at=order.created_at,
        sent_at=order.sent_at,
        updated_at=order.updated_at,
        estimated=order.estimated,
    )


def _account_name(world: World, account_id: int) -> str:
    account = world.accounts.get(account_id)
    return account.facts.name if account else f"account {account_id}"
