"""Exit plans driven until flat: opened once, absorbed by wider ones, never more than what the run owns (RULES 6, 7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from engine.domain.errors import DomainError
from engine.domain.evidence import AccountBooks, Instrument
from engine.domain.exits import (
    BOOK_AGE,
    BOOK_PATIENCE,
    LAST_BOOK_AGE,
    REST_PATIENCE,
    ExitDue,
    OpenKey,
    exit_slices,
    exits_due,
    retry_delay,
)
from engine.domain.instruments import Action, Key
from engine.domain.orders import IN_DOUBT, Order, OrderState, Purpose, moved
from engine.domain.runs import RUN_ENDED, AccountState, ExitPlan, PlanState, Run, RunAccount, RunState
from engine.services.ledger import Pass, with_reason
from engine.services.world import Account, World, trading_day

CANCEL_AGAIN = timedelta(seconds=2)
BLOCKED_AFTER = timedelta(seconds=10)
_DONE = frozenset({AccountState.FLAT, AccountState.SKIPPED})
_FAILED = frozenset(
    {OrderState.REJECTED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.NOT_RECEIVED, OrderState.NOT_SENT}
)


def open_plan(
    changes: Pass,
    run: Run,
    *,
    kind: str,
    message: str,
    knew: dict[str, Any],
    account_ids: tuple[int, ...] = (),
    threshold_paise: int | None = None,
    value_paise: int | None = None,
    requested_by: int | None = None,
) -> ExitPlan | None:
    """Open an exit of a run, or of some of its accounts, and record the event that caused it.

    Returns None if an active plan already covers the scope: two triggers make one exit. A wider plan absorbs narrower
    ones; their orders in flight stay and count.
    """
    wanted = set(account_ids) or {row.account_id for row in changes.accounts_of(run.id)}
    active = [plan for plan in changes.plans_of(run.id) if plan.state is PlanState.ACTIVE]
    if any(all(plan.covers(account_id) for account_id in wanted) for plan in active):
        return None
    plan = changes.put_plan(
        ExitPlan(
            id=next(changes.ledger.counters.plan),
            execution_id=run.id,
            account_ids=account_ids,
            reason=kind,
            state=PlanState.ACTIVE,
            requested_by=requested_by,
            created_at=changes.now,
        )
    )
    for narrower in active:
        if any(plan.covers(account_id) for account_id in narrower.account_ids):
            changes.put_plan(replace(narrower, state=PlanState.ABSORBED, done_at=changes.now))
    for order in changes.orders_of(run.id):
        if order.state is OrderState.PLANNED and order.purpose is Purpose.ENTRY and plan.covers(order.account_id):
            changes.put_order(moved(order, OrderState.VOID, changes.now, words=f"exit: {kind}"))
    for row in changes.accounts_of(run.id):
        if not plan.covers(row.account_id) or row.state in _DONE:
            continue
        if row.state is AccountState.SIZING:
            changes.put_account(with_reason(replace(row, state=AccountState.SKIPPED), f"exit before entry: {kind}"))
        else:
            changes.put_account(replace(row, state=AccountState.UNWINDING))
    if not account_ids:
        changes.put_run(replace(changes.run(run.id), state=RunState.EXITING))
    changes.event(
        owner_id=run.owner_id,
        kind=kind,
        action="close_all" if not account_ids else "close_partial",
        message=message,
        knew=knew,
        run_id=run.id,
        account_id=account_ids[0] if len(account_ids) == 1 else None,
        plan_id=plan.id,
        threshold_paise=threshold_paise,
        value_paise=value_paise,
    )
    return plan


def drive(changes: Pass, world: World, run: Run) -> None:
    """Bring every active exit of the run one step further; whatever may be sent now is planned."""
    for plan in changes.plans_of(run.id):
        if plan.state is not PlanState.ACTIVE:
            continue
        for row in changes.accounts_of(run.id):
            account = world.accounts.get(row.account_id)
            if plan.covers(row.account_id) and row.state not in _DONE and account is not None:
                _cancel_entries(changes, run, account)
                _cancel_exits(changes, world, run, account)
                _tell_failures(changes, run, plan, account)
                _plan_exits(changes, world, run, plan, account)


def reopen_late(changes: Pass) -> None:
    """Take out what filled after an account was called flat or skipped: nothing that is held stays unwatched."""
    for run_id, holdings in list(changes.changed_holdings().items()):
        held = {key.account_id for key, holding in holdings.items() if holding.quantity}
        late = [row for row in changes.accounts_of(run_id) if row.state in _DONE and row.account_id in held]
        if not late:
            continue
        why = "an order filled after it was called ended"
        for row in late:
            changes.put_account(with_reason(replace(row, state=AccountState.ENTERED), why))
        run = changes.run(run_id)
        ended = run.state in RUN_ENDED
        if ended:
            run = changes.put_run(replace(run, state=RunState.OPEN, closed_at=None, profit_paise=None))
        quantities = {key.symbol: holding.quantity for key, holding in holdings.items() if holding.quantity}
        accounts = () if ended else tuple(sorted(row.account_id for row in late))
        open_plan(changes, run, kind="late_fill", message=why, knew={"held": quantities}, account_ids=accounts)


def settle(changes: Pass, world: World, run: Run) -> None:
    """Call accounts flat, plans done and the run closed where valid books show it (RULES 6, "flat")."""
    for row in changes.accounts_of(run.id):
        account = world.accounts.get(row.account_id)
        if row.state in {AccountState.ENTERED, AccountState.UNWINDING} and account is not None:
            flat = _flat(changes, run, account)
            if flat:
                changes.put_account(replace(row, state=AccountState.FLAT))
    rows = changes.accounts_of(run.id)
    for plan in changes.plans_of(run.id):
        if plan.state is PlanState.ACTIVE and all(row.state in _DONE for row in rows if plan.covers(row.account_id)):
            changes.put_plan(replace(plan, state=PlanState.DONE, done_at=changes.now))
    if run.state in {RunState.OPEN, RunState.EXITING} and rows and all(row.state in _DONE for row in rows):
        profit = sum(h.sell_value_paise - h.buy_value_paise for h in changes.holdings(run.id).values())
        changes.put_run(replace(changes.run(run.id), state=RunState.CLOSED, closed_at=changes.now, profit_paise=profit))


def owned_now(changes: Pass, account: Account, run: Run, key: Key) -> int:
    """Return E (RULES 6): what the run may exit under a key after drift that is seen but not yet booked."""
    quantity = changes.holdings(run.id)[key].quantity if key in changes.holdings(run.id) else 0
    books = _settled_books(changes, account, key) if quantity else None
    if books is None:
        return quantity
    charges = changes.drift(key, books.owned(Instrument(key.symbol, key.exchange, key.product)))
    return quantity - charges.of_run(run.id)


def lot_and_freeze(run: Run, symbol: str) -> tuple[int, int | None]:
    """Return lot size and freeze quantity of a contract of the run, as resolved at entry."""
    for leg in run.resolved.get("legs", []):
        if leg["symbol"] == symbol:
            return int(leg["lot_size"]), leg["freeze_quantity"]
    raise DomainError("symbol", f"{symbol} is no contract of run {run.id}")


def _cancel_entries(changes: Pass, run: Run, account: Account) -> None:
    for order in changes.orders_of(run.id):
        if order.account_id != account.id or order.purpose is not Purpose.ENTRY or order.terminal:
            continue
        again = order.cancel_requested and abs(changes.now - order.updated_at) >= CANCEL_AGAIN
        if order.state is OrderState.WORKING and order.orderid and (not order.cancel_requested or again):
            asked = changes.put_order(replace(order, cancel_requested=True, updated_at=changes.now))
            changes.after_commit.append(partial(account.hands.cancel, asked))


def _cancel_exits(changes: Pass, world: World, run: Run, account: Account) -> None:
    """Cancel the resting remainder of an exit, to be sent anew, and every exit beyond what is owned (law 4)."""
    working = [
        order
        for order in changes.orders_of(run.id)
        if order.account_id == account.id and order.purpose is Purpose.EXIT and order.state is OrderState.WORKING
    ]
    left: dict[Key, int] = {}
    for order in working:
        rest = left[order.key] if order.key in left else abs(owned_now(changes, account, run, order.key))
        left[order.key] = rest - order.pending_quantity
        surplus = left[order.key] < 0
        since = order.answered_at or order.sent_at or order.created_at
        resting = abs(changes.now - since) >= REST_PATIENCE and world.in_session(
            account.facts.venue, order.exchange, changes.now
        )
        asked = order.cancel_requested and abs(changes.now - order.updated_at) < CANCEL_AGAIN
        if order.orderid and (surplus or resting) and not asked:
            order = changes.put_order(replace(order, cancel_requested=True, updated_at=changes.now))  # noqa: PLW2901
            changes.after_commit.append(partial(account.hands.cancel, order))


def _tell_failures(changes: Pass, run: Run, plan: ExitPlan, account: Account) -> None:
    """Alarm for every exit order that ended without filling: the exit goes on (law 8)."""
    for order in changes.changed_orders(run.id):
        if order.exit_plan_id != plan.id or order.account_id != account.id or order.state not in _FAILED:
            continue
        before = changes.ledger.orders.get(run.id, {}).get(order.id)
        if before is not None and before.state is order.state:
            continue
        changes.event(
            owner_id=run.owner_id,
            kind=plan.reason,
            action="alert_only",
            message=f"exit order of {order.quantity} {order.symbol} ended {order.state} ({order.words}); tried again",
            knew={"order": order.id, "state": str(order.state), "words": order.words},
            run_id=run.id,
            account_id=account.id,
            plan_id=plan.id,
        )


def _plan_exits(changes: Pass, world: World, run: Run, plan: ExitPlan, account: Account) -> None:
    orders = [order for order in changes.orders_of(run.id) if order.account_id == account.id]
    for due in exits_due(_open_keys(changes, run, account, orders), changes.now):
        if not _may_go(changes, run, plan, account, due.key):
            what = f"valid books ({account.books_problem or 'no answer'})"
            _tell_blocked(changes, world, run, plan, account=account, what=what)
            continue
        _plan_slices(changes, world, run, plan, due)


def _tell_blocked(changes: Pass, world: World, run: Run, plan: ExitPlan, *, account: Account, what: str) -> None:
    """Alarm once a minute while an exit cannot go on."""
    told = ("exit_blocked", run.id, account.id)
    if changes.now - plan.created_at < BLOCKED_AFTER or world.told_lately(told, changes.now):
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
    changes.after_commit.append(partial(world.note_told, told, changes.now))


def _open_keys(changes: Pass, run: Run, account: Account, orders: list[Order]) -> list[OpenKey]:
    legs = {leg["symbol"]: leg for leg in run.resolved.get("legs", [])}
    underlying = str(run.resolved.get("underlying", ""))
    keys = dict.fromkeys(
        [*(k for k in changes.holdings(run.id) if k.account_id == account.id), *(o.key for o in orders)]
    )
    found = []
    for key in keys:
        mine = [order for order in orders if order.key == key]
        failures = _failures(mine)
        found.append(
            OpenKey(
                key=key,
                leg_index=mine[0].leg_index if mine else 0,
                underlying=underlying,
                sold_leg=legs.get(key.symbol, {}).get("action") == Action.SELL,
                owned=owned_now(changes, account, run, key),
                pending_exit=sum(o.pending_quantity for o in mine if o.purpose is Purpose.EXIT),
                in_doubt=any(o.state in IN_DOUBT for o in mine),
                entry_alive=any(not o.terminal for o in mine if o.purpose is Purpose.ENTRY),
                retry_at=failures[1] + retry_delay(failures[0]) if failures else None,
            )
        )
    return found


def _failures(orders: Iterable[Order]) -> tuple[int, datetime] | None:
    """Return how many exit orders failed in a row at the end, and when the last one did."""
    count, last = 0, None
    for order in orders:
        if order.purpose is not Purpose.EXIT or not order.terminal or order.state is OrderState.VOID:
            continue
        if order.state in _FAILED and not order.filled_quantity:
            count, last = count + 1, order.updated_at
        elif order.state is OrderState.FILLED or order.filled_quantity:
            count, last = 0, None
    return None if last is None else (count, last)


def _may_go(changes: Pass, run: Run, plan: ExitPlan, account: Account, key: Key) -> bool:
    changed = account.last_change.get(key)
    now = changes.now
    books = account.books_since(changed)
    if books is not None and now - books.begun_at <= BOOK_AGE:
        return True
    account.books_wanted = True
    waiting = max(plan.created_at, changed or plan.created_at)
    last = account.books
    if now - waiting < BOOK_PATIENCE or last is None or now - last.begun_at > LAST_BOOK_AGE:
        return False
    if account.drift_since:
        return False
    changes.event(
        owner_id=run.owner_id,
        kind="drift",
        action="alert_only",
        message=f"exit of {key.symbol} on {account.facts.name} goes on unverified: no valid books for 3 s "
        f"({account.books_problem or 'not answered'})",
        knew={"books_age_seconds": (now - last.begun_at).total_seconds(), "problem": account.books_problem},
        run_id=run.id,
        account_id=account.id,
        plan_id=plan.id,
    )
    return True


def _plan_slices(changes: Pass, world: World, run: Run, plan: ExitPlan, due: ExitDue) -> None:
    try:
        lot, freeze = lot_and_freeze(run, due.key.symbol)
        slices = exit_slices(due.quantity, lot_size=lot, freeze_quantity=freeze)
    except DomainError as error:
        account = world.accounts[due.key.account_id]
        what = f"somebody's help: {due.quantity} {due.key.symbol}: {error}"
        _tell_blocked(changes, world, run, plan, account=account, what=what)
        return
    for index, quantity in enumerate(slices):
        changes.plan_order(
            run=run,
            purpose=Purpose.EXIT,
            key=due.key,
            leg_index=due.leg_index,
            slice_index=index,
            action=due.action,
            quantity=quantity,
            trading_day=trading_day(changes.now),
            exit_plan_id=plan.id,
        )


def _settled_books(changes: Pass, account: Account, key: Key) -> AccountBooks | None:
    """Return valid books that may show drift under a key: nothing of ours is in doubt there, and they are newer."""
    books = account.books_since(account.last_change.get(key))
    return None if books is None or changes.in_doubt(key) else books


def _flat(changes: Pass, run: Run, account: Account) -> bool:
    orders = [order for order in changes.orders_of(run.id) if order.account_id == account.id]
    if any(not order.terminal for order in orders):
        return False
    held = [key for key in changes.holdings(run.id) if key.account_id == account.id]
    if any(changes.holdings(run.id)[key].quantity for key in held):
        return False
    touched = [account.last_change[order.key] for order in orders if order.key in account.last_change]
    books = account.books_since(max(touched, default=None))
    if books is None:
        if orders:
            account.books_wanted = True
        return False
    today = trading_day(books.begun_at)
    # the trade book explains everything that filled, to the unit
    return all(
        account.traded.get(order.orderid or "", 0) == order.filled_quantity
        for order in orders
        if order.filled_quantity and order.trading_day == today
    )


def undone(rows: Iterable[RunAccount]) -> bool:
    """Whether some account of a run is neither flat nor skipped."""
    return any(row.state not in _DONE for row in rows)
