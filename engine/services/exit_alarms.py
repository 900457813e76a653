"""What a person is told while an exit is under way: it failed, it waits, it goes on unverified (law 8, RULES 7)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from engine.domain.day_limits import event_kind
from engine.domain.orders import Order, OrderState, Purpose
from engine.domain.runs import ExitPlan, Run
from engine.services.exit_scopes import covers_key
from engine.services.ledger import Pass
from engine.services.world import Account, World

BLOCKED_AFTER = timedelta(seconds=10)
FAILED = frozenset(
    {OrderState.REJECTED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.NOT_RECEIVED, OrderState.NOT_SENT}
)


def failed(order: Order) -> bool:
    """Whether an exit order ended by the will of others; one that we cancelled ourselves did not fail."""
    return order.state in FAILED and not (order.state is OrderState.CANCELLED and order.cancel_requested)


def failures(orders: Iterable[Order]) -> tuple[int, datetime] | None:
    """Return how many exit orders failed in a row at the end, and when the last one did; None: none did."""
    count, last = 0, None
    for order in orders:
        if order.purpose is not Purpose.EXIT or not order.terminal or order.state is OrderState.VOID:
            continue
        if failed(order) and not order.filled_quantity:
            count, last = count + 1, order.updated_at
        elif order.state is OrderState.FILLED or order.filled_quantity:
            count, last = 0, None
    return None if last is None else (count, last)


def tell_failures(changes: Pass, world: World, run: Run, plan: ExitPlan, account: Account) -> None:
    """Alarm for exit orders in the plan's keys that ended without filling, whichever plan sent them (law 8).

    The exit goes on. The same words about the same contract are told once a minute, with how often in a row.
    """
    for order in changes.changed_orders(run.id):
        if order.purpose is not Purpose.EXIT or order.account_id != account.id or not failed(order):
            continue
        if not covers_key(run, plan, order.key):
            continue
        before = changes.ledger.orders.get(run.id, {}).get(order.id)
        if before is not None and before.state is order.state:
            continue
        if _told(changes, world, ("exit_failed", run.id, order.key, order.state, order.words)):
            continue
        in_a_row = failures(other for other in changes.orders_of(run.id) if other.key == order.key)
        count = in_a_row[0] if in_a_row else 0
        changes.event(
            owner_id=run.owner_id,
            kind=event_kind(plan.reason),
            action="alert_only",
            message=f"exit order of {order.quantity} {order.symbol} ended {order.state} ({order.words}); tried again"
            + (f", {count} failed in a row" if count > 1 else ""),
            knew={"order": order.id, "state": str(order.state), "words": order.words, "failures": count},
            run_id=run.id,
            account_id=account.id,
            plan_id=plan.id,
        )


def tell_blocked(changes: Pass, world: World, run: Run, plan: ExitPlan, *, account: Account, what: str) -> None:
    """Alarm once a minute while an exit cannot go on."""
    if abs(changes.now - plan.created_at) < BLOCKED_AFTER or _told(
        changes, world, ("exit_blocked", plan.id, account.id)
    ):
        return
    changes.event(
        owner_id=run.owner_id,
        kind="exit_blocked",
        action="alert_only",
        message=f"the exit on {account.facts.name} waits for {what}",
        knew={"waits_for": what},
        run_id=run.id,
        account_id=account.id,
        plan_id=plan.id,
    )


def tell_unverified(changes: Pass, world: World, run: Run, plan: ExitPlan, *, account: Account) -> None:
    """Record once a minute that an exit goes on by own fills: there are no valid books (RULES 7)."""
    if _told(changes, world, ("unverified", plan.id, account.id)):
        return
    age = None if account.books is None else (changes.now - account.books.begun_at).total_seconds()
    changes.event(
        owner_id=run.owner_id,
        kind="unverified",
        action="alert_only",
        message=f"the exit on {account.facts.name} goes on unverified: no valid books for 3 s "
        f"({account.books_problem or 'not answered'})",
        knew={"books_age_seconds": age, "problem": account.books_problem},
        run_id=run.id,
        account_id=account.id,
        plan_id=plan.id,
    )


def _told(changes: Pass, world: World, what: tuple[object, ...]) -> bool:
    """Whether this was told within the last minute, also earlier in this pass; from now on it is."""
    if what in changes.telling or world.told_lately(what, changes.now):
        return True
    changes.telling.add(what)
    changes.after_commit.append(partial(world.note_told, what, changes.now))
    return False
