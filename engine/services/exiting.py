"""Active exit plans brought one step further: what may be sent now, and never more than the run owns (RULES 6, 7)."""

from __future__ import annotations

from engine.domain.errors import DomainError
from engine.domain.exits import (
    BOOK_AGE,
    BOOK_PATIENCE,
    FIRST_BOOK_PATIENCE,
    LAST_BOOK_AGE,
    ExitDue,
    exit_slices,
    exits_due,
    held_as_cover,
)
from engine.domain.instruments import Key
from engine.domain.orders import OrderState, Purpose
from engine.domain.runs import AccountState, ExitPlan, PlanState, Run
from engine.services.drift import being_converted
from engine.services.exit_alarms import BLOCKED_AFTER, tell_blocked, tell_failures, tell_unverified
from engine.services.exit_plans import NOT_OURS, TAKEN_BY_HAND, open_plan, reopen_late, settle
from engine.services.exit_scopes import covers_key
from engine.services.ledger import Pass
from engine.services.open_keys import open_keys
from engine.services.owned import instrument_of, lot_and_freeze, owned_now
from engine.services.repricing import reprice
from engine.services.settling import is_over
from engine.services.sightings import named_another
from engine.services.withdrawing import CANCEL_AGAIN, withdraw_all, withdraw_entries, withdraw_surplus
from engine.services.world import Account, World, trading_day

__all__ = ["CANCEL_AGAIN", "drive", "lot_and_freeze", "open_plan", "owned_now", "reopen_late", "settle"]


def drive(changes: Pass, world: World, run: Run) -> None:
    """Bring every active exit of the run one step further; whatever may be sent now is planned."""
    rows = changes.accounts_of(run.id)
    for row in rows:
        account = world.accounts.get(row.account_id)
        if row.state is AccountState.TAKEN_OVER and account is not None:
            withdraw_all(changes, run, account)
    for plan in changes.plans_of(run.id):
        if plan.state is not PlanState.ACTIVE:
            continue
        for row in rows:
            account = world.accounts.get(row.account_id)
            if plan.covers(row.account_id) and row.state not in NOT_OURS and account is not None:
                withdraw_entries(changes, run, plan, account)
                withdraw_surplus(changes, run, plan, account)
                reprice(changes, world, run, plan, account)
                tell_failures(changes, world, run, plan, account)
                _plan_exits(changes, world, run, plan, account)


def _plan_exits(changes: Pass, world: World, run: Run, plan: ExitPlan, account: Account) -> None:
    mine = [order for order in changes.orders_of(run.id) if order.account_id == account.id]
    orders = [order for order in mine if covers_key(run, plan, order.key)]
    for order in orders:
        if named_another(order) and owned_now(changes, account, run, order.key):
            what = f"a person to look at {order.symbol}: {order.words}"
            tell_blocked(changes, world, run, plan, account=account, what=what)
    if (kept := account.quarantine or ("" if account.connected else account.waits_for)) and any(
        order.state is OrderState.PLANNED and order.purpose is Purpose.EXIT for order in orders
    ):
        tell_blocked(changes, world, run, plan, account=account, what=f"its server: {kept}")
    keys = open_keys(changes, world, run, plan, account)
    quiet = all(order.terminal and abs(changes.now - order.updated_at) >= BLOCKED_AFTER for order in orders)
    if orders and quiet and not any(one.leaving for one in keys):
        what = f"books that show every trade of it ({account.books_problem or 'they show less than filled'})"
        tell_blocked(changes, world, run, plan, account=account, what=what)
    # what has had its last session settles: it is not sent, and keeps no bought leg of a later expiry in
    trading = [one for one in keys if not is_over(world, run.venue, one.key, changes.now)]
    for key in held_as_cover(trading):
        what = f"sold legs that stay open: without {key.symbol} they would stand naked"
        tell_blocked(changes, world, run, plan, account=account, what=what)
    for due in exits_due(trading, changes.now):
        if not _may_go(changes, world, run, plan, account, key=due.key):
            what = f"valid books ({account.books_problem or 'no answer'})"
            tell_blocked(changes, world, run, plan, account=account, what=what)
            continue
        _plan_slices(changes, world, run, plan, due)


def _may_go(changes: Pass, world: World, run: Run, plan: ExitPlan, account: Account, *, key: Key) -> bool:
    """Whether the books allow an exit order under a key now (RULES 7, "Exit means").

    They are valid, at most 5 s old, and begun after the last event under the key; that a person gave the account back
    is one. The first order of a plan waits at most 1 s for such books. After 3 s without, own fills decide, if the last
    valid books (at most 60 s old) showed no drift under the key; that is told.
    """
    if being_converted(account, instrument_of(key)):
        return False  # it goes under its new product, as soon as the books that show it are taken
    changed, now, last = account.last_change.get(key), changes.now, account.books
    if TAKEN_BY_HAND in changes.account_of(run.id, account.id).reason and plan.created_at <= now:
        # a person traded here until he gave it back: what he closed a moment ago must not be closed again
        changed = max(changed or plan.created_at, plan.created_at)
    books = account.books_since(changed)
    if books is not None and now - books.begun_at <= BOOK_AGE:
        return True
    account.books_wanted = True
    if last is None or now - last.begun_at > LAST_BOOK_AGE or instrument_of(key) in account.drift_since:
        return False
    without_since = last.begun_at if changed is None else max(last.begun_at, changed)
    if now - without_since < BOOK_PATIENCE or abs(now - plan.created_at) < FIRST_BOOK_PATIENCE:
        return False
    tell_unverified(changes, world, run, plan, account=account)
    return True


def _plan_slices(changes: Pass, world: World, run: Run, plan: ExitPlan, due: ExitDue) -> None:
    try:
        lot, freeze = lot_and_freeze(run, due.key.symbol)
        slices = exit_slices(due.quantity, lot_size=lot, freeze_quantity=freeze)
    except DomainError as error:
        account = world.accounts[due.key.account_id]
        what = f"somebody's help: {due.quantity} {due.key.symbol}: {error}"
        tell_blocked(changes, world, run, plan, account=account, what=what)
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
