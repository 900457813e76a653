"""Orders taken back while a run leaves: entries first, exits beyond what is owned, and all where a person took over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from engine.domain.evidence import same_class
from engine.domain.exit_scopes import staying
from engine.domain.instruments import Key
from engine.domain.orders import Order, OrderState, Purpose, moved
from engine.domain.runs import ExitPlan, Run
from engine.services.exit_scopes import covers_key
from engine.services.ledger import Pass
from engine.services.owned import owned_now
from engine.services.world import Account, trading_day

CANCEL_AGAIN = timedelta(seconds=2)


def withdraw_entries(changes: Pass, run: Run, plan: ExitPlan, account: Account) -> None:
    """Cancel what may still enter in the plan's keys: this comes before every exit (RULES 7, "Exit means")."""
    for purpose in (Purpose.ENTRY, Purpose.REENTRY):
        for order in _working(changes, run, account, purpose):
            if covers_key(run, plan, order.key):
                ask_to_cancel(changes, account, order)


def withdraw_surplus(changes: Pass, run: Run, plan: ExitPlan, account: Account) -> None:
    """Cancel every exit order beyond what shall leave (law 4), and ask again where a cancellation was asked for."""
    left: dict[Key, int] = {}
    for order in _working(changes, run, account, Purpose.EXIT):
        if not covers_key(run, plan, order.key):
            continue
        if order.key not in left:
            owned = owned_now(changes, account, run, order.key)
            left[order.key] = abs(owned) - abs(staying(owned, plan.kept(order.key)))
        left[order.key] -= order.pending_quantity
        if left[order.key] < 0 or order.cancel_requested:
            ask_to_cancel(changes, account, order)


def withdraw_all(changes: Pass, run: Run, account: Account) -> None:
    """Take back everything of a run on an account that a person took over: nothing rests beside what he trades."""
    for order in changes.orders_of(run.id):
        if order.account_id == account.id and order.state is OrderState.PLANNED:
            changes.put_order(moved(order, OrderState.VOID, changes.now, words="taken over by hand"))
    for purpose in Purpose:
        for order in _working(changes, run, account, purpose):
            ask_to_cancel(changes, account, order)


def ask_to_cancel(changes: Pass, account: Account, order: Order) -> None:
    """Ask to cancel a working order, at most every 2 s; the request is on disk before it leaves.

    Never at a server that speaks for another broker now, nor on a later day without a book that lists it: there the
    same id may be somebody else's order.
    """
    if account.standing.server_changed or not still_its_id(account, order, changes.now):
        return
    if order.orderid is None or (order.cancel_requested and abs(changes.now - order.updated_at) < CANCEL_AGAIN):
        return
    asked = changes.put_order(replace(order, cancel_requested=True, updated_at=changes.now))
    changes.after_commit.append(partial(account.hands.cancel, asked))


def still_its_id(account: Account, order: Order, now: datetime) -> bool:
    """Whether a broker id means this order: on its day always, later only while the books list it so.

    Some brokers count anew every day.
    """
    if order.trading_day == trading_day(now):
        return True
    rows = account.books.orders if account.books is not None else ()
    return any(row.orderid == order.orderid and same_class(order, row) for row in rows)


def _working(changes: Pass, run: Run, account: Account, purpose: Purpose) -> list[Order]:
    return [
        order
        for order in changes.orders_of(run.id)
        if order.account_id == account.id and order.purpose is purpose and order.state is OrderState.WORKING
    ]
