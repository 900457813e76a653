"""A person says what became of an order in doubt, by name, with the evidence of that moment kept (RULES 5, step 5).

What is declared counts until evidence says more: an answer or a book that shows more filled still wins, with an alarm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

from engine.domain.evidence import ENDS, AccountBooks, Instrument, SeenOrder, same_class
from engine.domain.money import value_paise
from engine.domain.movement import unexplained
from engine.domain.orders import Order, OrderState, moved
from engine.services import connecting, quarantine
from engine.services.errors import InvalidInput, Refused
from engine.services.ledger import Pass
from engine.services.messages import CommandArrived
from engine.services.sightings import (
    END_PATIENCE,
    claimed_ids,
    note_change,
    observe_books,
    of_day,
    orders_on,
    take_back_declared,
    tell,
)
from engine.services.unknowns import evidence_of, never_listed
from engine.services.world import Account, World, trading_day

YOUNG = timedelta(seconds=15)
"""How old books may be that tell what an order did before its quiet time is over."""

LONGEST_ID = 100
"""Characters of a broker's order id at most."""


class Declared(StrEnum):
    """What a person may say became of an order."""

    FILLED = "filled"
    WORKING = "working"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    NOT_RECEIVED = "not_received"


@dataclass(frozen=True, slots=True)
class Declaration:
    """A declaration with its fields checked; ``quantity`` units filled at ``price`` (₹)."""

    state: Declared
    quantity: int
    price: float
    orderid: str | None


def declare_order(changes: Pass, world: World, command: CommandArrived) -> None:
    """Take a person's word for an order in doubt; payload order_id, state, quantity, price (₹), orderid.

    Raises Refused when the order is not in doubt, when the books prove otherwise, or when another order has the id;
    InvalidInput names a field that cannot be.
    """
    order = changes.order(_whole("order_id", command.payload["order_id"]))
    if order is None or changes.run(order.execution_id).owner_id != command.user_id:
        raise Refused("There is no such order.")
    account = world.accounts.get(order.account_id)
    if account is None:
        raise Refused("The order's account is not active: its books cannot be looked at.")
    if not (order.state in {OrderState.UNKNOWN, OrderState.QUEUED} or never_listed(account, order)):
        raise Refused(f"Order {order.id} is {_said(order.state)}: it is not in doubt, there is nothing to declare.")
    said = _declaration(command.payload, order)
    evidence = evidence_of(changes, world, order)
    _refuse_if_disproved(changes, account, order, said, evidence.candidates)
    words = f"declared {_said(said.state)} by {command.by}"
    tell(
        changes,
        order,
        words,
        declared={"by": command.user_id, "state": said.state, "quantity": said.quantity, "price": said.price,
                  "orderid": said.orderid},
        evidence=evidence.model_dump(mode="json"),
    )  # fmt: skip
    _put(changes, world, account, order, said, words, command.user_id)
    note_change(account, order, changes.now)
    account.books_wanted = True
    account.standing.moved_since.pop(order.id, None)
    if account.facts.mode != "live":
        account.semi_auto = None  # there a probe tells nothing: the next order shows whether the server still queues
    account.standing.probed_at = None
    connecting.probe_if_due(changes, account)
    quarantine.judge(changes, account)
    changes.answer_command(
        command.id, "done", {"order_id": order.id, "message": f"Order {order.id} is {words}; its run goes on."}
    )


def take_back_disproved(changes: Pass, world: World, account: Account, books: AccountBooks) -> None:
    """Take back what was declared filled where valid books in session show for 5 s that the position did not move so.

    It may have been declared while no books were valid. What did move without a trace is charged as drift then.
    """
    since, day = account.standing.unmoved_since, trading_day(books.begun_at)
    for order in orders_on(changes, account.id):
        if order.declared_by is None or not order.filled_quantity or not order.terminal or order.trading_day != day:
            continue
        shown = _shown(changes, world, account, order, books)
        if shown is None or shown >= order.filled_quantity:
            since.pop(order.id, None)
            continue
        if books.begun_at - since.setdefault(order.id, books.begun_at) < END_PATIENCE:
            account.books_wanted = True
            continue
        since.pop(order.id)
        state = OrderState.NOT_RECEIVED if order.orderid is None else OrderState.CANCELLED
        value = order.filled_value_paise * shown // order.filled_quantity
        take_back_declared(changes, account, order, state, shown, value, "the position did not move so")


def _shown(changes: Pass, world: World, account: Account, order: Order, books: AccountBooks) -> int | None:
    """Return how many units at most these books show as a fill of a declared order, None where they do not tell."""
    if order.unexplained_before is None or any(row.orderid == order.orderid for row in books.orders):
        return None
    changed = account.last_change.get(order.key)
    if changes.in_doubt(order.key) or (changed is not None and books.begun_at <= changed):
        return None
    if not world.in_session(account.facts.venue, order.exchange, books.begun_at):
        return None
    claimed = claimed_ids(changes, account.id, trading_day(books.begun_at)) - {order.orderid or ""}
    shift = unexplained(books, Instrument(order.symbol, order.exchange, order.product), claimed)
    return max(0, order.action.sign * (shift - order.unexplained_before)) + _fills_beside(claimed, order, books)


def _declaration(payload: dict[str, Any], order: Order) -> Declaration:
    """Return the checked declaration. Raises InvalidInput."""
    try:
        state = Declared(payload["state"])
    except ValueError as error:
        raise InvalidInput("state", f"{payload['state']!r} is none of {', '.join(Declared)}") from error
    asked, price, orderid = payload.get("quantity"), payload.get("price"), payload.get("orderid")
    if orderid is not None and (not isinstance(orderid, str) or len(orderid) > LONGEST_ID):
        raise InvalidInput("orderid", f"it is no text of at most {LONGEST_ID} characters")
    named = None if orderid is None else orderid.strip()
    if named == "" or (state is Declared.WORKING and named is None):
        raise InvalidInput("orderid", "a working order needs the broker's id of it")
    quantity = _quantity(state, asked, order)
    if quantity < order.filled_quantity:
        raise InvalidInput("quantity", f"{order.filled_quantity} filled already, and that only grows")
    if quantity == order.filled_quantity:
        return Declaration(state, quantity, 0.0, named)
    if isinstance(price, bool) or not isinstance(price, int | float) or not math.isfinite(price) or price <= 0:
        raise InvalidInput("price", "what filled needs its average price in ₹, above 0")
    return Declaration(state, quantity, float(price), named)


def _quantity(state: Declared, asked: object, order: Order) -> int:
    if state is Declared.FILLED:
        quantity = order.quantity if asked is None else _whole("quantity", asked)
        if not 1 <= quantity <= order.quantity:
            raise InvalidInput("quantity", f"{quantity} is not within 1 and {order.quantity}")
        return quantity
    quantity = 0 if asked is None else _whole("quantity", asked)
    if state is Declared.CANCELLED:
        if not 0 <= quantity < order.quantity:
            raise InvalidInput("quantity", f"{quantity} is not within 0 and {order.quantity - 1}: declare it filled")
        return quantity
    if quantity:
        raise InvalidInput("quantity", f"an order declared {_said(state)} has none")
    return order.filled_quantity if state is Declared.WORKING else 0


def _refuse_if_disproved(
    changes: Pass, account: Account, order: Order, said: Declaration, candidates: list[str]
) -> None:
    """Refuse what valid books disprove, an id of another order, and what the order can no longer become."""
    if said.orderid is not None:
        _refuse_other_id(changes, account, order, said.orderid)
        _refuse_against_row(account, said, said.orderid)
    elif candidates and order.state is not OrderState.QUEUED:
        raise Refused(f"The books show {', '.join(candidates)}, which may be it: declare it working with that id.")
    if said.state is Declared.NOT_RECEIVED and order.state is not OrderState.UNKNOWN:
        raise Refused(f"The server had order {order.id}: declare it cancelled or rejected, or what filled.")
    books = _telling(changes, account, order)
    if books is None or order.unexplained_before is None:
        return
    if {order.orderid, said.orderid} & {row.orderid for row in books.orders}:
        return  # it is listed: its own row says more than the net
    if order.trading_day != trading_day(books.begun_at):
        return
    claimed = claimed_ids(changes, account.id, trading_day(books.begun_at)) - {order.orderid or ""}
    instrument = Instrument(order.symbol, order.exchange, order.product)
    shift = unexplained(books, instrument, claimed) - order.unexplained_before
    ours = order.action.sign * said.quantity
    if shift == order.action.sign * order.quantity and shift != ours:
        raise Refused(f"The position moved by exactly this order ({shift:+d}): declare it filled.")
    if not said.quantity:
        return
    shown = max(0, order.action.sign * shift) + _fills_beside(claimed, order, books)
    if not shown:
        raise Refused("The position did not move: valid books that began after the order show no fill of it.")
    if shown < said.quantity:
        raise Refused(f"The books show {shown} units at most that can be a fill of it, not {said.quantity}.")


def _telling(changes: Pass, account: Account, order: Order) -> AccountBooks | None:
    """Return valid books that tell what the order did so far: begun after its quiet time, or young and after it."""
    books = account.books_since(order.quiet_until or order.answered_at or order.sent_at)
    young = account.books_since(order.sent_at)
    if books is None and young is not None and changes.now - young.begun_at <= YOUNG and not account.books_problem:
        return young
    return books


def _fills_beside(claimed: set[str], order: Order, books: AccountBooks) -> int:
    """Return the units of new unclaimed trades on the order's side: it may be any of these, or somebody's own."""
    known = {*claimed, *order.visible_before}
    listed = {row.orderid for row in books.orders}
    instrument = Instrument(order.symbol, order.exchange, order.product)
    return sum(
        trade.quantity
        for trade in books.trades
        if trade.instrument == instrument
        and trade.action is order.action
        and trade.orderid in listed
        and trade.orderid not in known
    )


def _refuse_other_id(changes: Pass, account: Account, order: Order, orderid: str) -> None:
    for other in orders_on(changes, account.id):
        if other.id != order.id and other.orderid == orderid and of_day(other, order.trading_day):
            raise Refused(f"{orderid} is the broker's id of order {other.id} of run {other.execution_id}.")
    if orderid in order.visible_before:
        raise Refused(f"{orderid} was in the books before order {order.id} was sent: it is another one.")
    row = _row(account, orderid)
    if row is not None and not same_class(order, row):
        raise Refused(f"{orderid} is {row.action} {row.quantity} {row.instrument.symbol} in the books, not this order.")


def _refuse_against_row(account: Account, said: Declaration, orderid: str) -> None:
    """Refuse a fill that the order's own row denies."""
    row = _row(account, orderid)
    if row is None or account.books is None or row.status not in ENDS:
        return
    filled = max(account.books.traded.get(orderid, 0), row.filled_quantity or 0)
    if said.quantity > filled:
        raise Refused(f"The books show {orderid} as {row.status} with {filled} filled, not {said.quantity}.")


def _put(  # noqa: PLR0917 - one order, what is said of it, and by whom
    changes: Pass, world: World, account: Account, order: Order, said: Declaration, words: str, user_id: int
) -> None:
    """Bring the order where it is said to be; books that list its id are taken at once."""
    now = changes.now
    ended = {
        Declared.FILLED: OrderState.FILLED if said.quantity == order.quantity else OrderState.CANCELLED,
        Declared.CANCELLED: OrderState.CANCELLED,
        Declared.REJECTED: OrderState.REJECTED,
        Declared.NOT_RECEIVED: OrderState.NOT_RECEIVED,
    }
    value = order.filled_value_paise
    if said.quantity > order.filled_quantity:
        value = value_paise(said.price, said.quantity)
    order = replace(
        order,
        orderid=said.orderid or order.orderid,
        declared_by=user_id,
        words=words,
        absent_since=None,
        filled_quantity=max(said.quantity, order.filled_quantity),
        filled_value_paise=value,
    )
    if said.state is not Declared.NOT_RECEIVED and order.state is not OrderState.WORKING:
        order = moved(order, OrderState.WORKING, now)
    if (state := ended.get(said.state)) is not None:
        order = moved(order, state, now)
    order = changes.put_order(replace(order, updated_at=now), source="declared")
    books, orderid = account.books, order.orderid
    if books is not None and orderid is not None and (row := _row(account, orderid)) is not None:
        trades = [trade for trade in books.trades if trade.orderid == orderid]
        observe_books(changes, world, account, order, row, trades)


def _row(account: Account, orderid: str) -> SeenOrder | None:
    rows = account.books.orders if account.books is not None else ()
    return next((row for row in rows if row.orderid == orderid), None)


def _whole(field: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(field, f"{value!r} is not a whole number")
    return value


def _said(state: StrEnum) -> str:
    return str(state).replace("_", " ")
