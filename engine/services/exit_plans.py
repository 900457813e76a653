"""Exit plans: opened once, absorbed by wider ones, done when valid books show it (RULES 6 "flat", RULES 7).

An account that a person took over by name is outside every plan that a rule opens; an order of a person (close by
hand, kill switch) takes it back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.domain.day_limits import event_kind
from engine.domain.exit_scopes import staying
from engine.domain.instruments import Key
from engine.domain.orders import Order, OrderState, moved
from engine.domain.runs import RUN_ENDED, AccountState, ExitPlan, PlanState, Run, RunAccount, RunState
from engine.services import reentry
from engine.services.exit_scopes import ENTERING, covering, covers_key, held_keys, wanted_of, with_narrower
from engine.services.ledger import Pass, with_reason
from engine.services.world import Account, World, trading_day

ENDED = frozenset({AccountState.FLAT, AccountState.SKIPPED})
NOT_OURS = ENDED | {AccountState.TAKEN_OVER}
"""Accounts of a run on which no exit order is sent."""
TAKEN_BY_HAND = "taken over by hand"
"""Why an account of a run was taken over; it stays among the row's reasons when it is taken back."""

TOLD_TAKEN_OVER = "told_taken_over"
"""Under which a run's ``watch`` keeps the rules that were told while a person had every account that they close."""

_MAY_BE_FLAT = frozenset({AccountState.ENTERED, AccountState.UNWINDING, AccountState.TAKEN_OVER})


def open_plan(
    changes: Pass,
    run: Run,
    *,
    kind: str,
    message: str,
    knew: dict[str, Any],
    account_ids: tuple[int, ...] = (),
    leg_indexes: tuple[int, ...] = (),
    share: float | None = None,
    threshold_paise: int | None = None,
    value_paise: int | None = None,
    requested_by: int | None = None,
) -> ExitPlan | None:
    """Open an exit of a run or a part of it (accounts × legs, a share), and record the event that caused it.

    Empty ``account_ids`` and ``leg_indexes`` mean all. ``share`` (percent, above 0, at most 100): what stays under each
    key is fixed here and now, in whole lots (``exit_scopes.share_leaving``); what is closed otherwise counts in it.

    Returns None if an active plan already takes as much: two triggers make one exit. A wider plan absorbs those that it
    would meet in a key, and takes in what they cover beyond it; their orders in flight stay and count.
    ``requested_by`` a person: accounts that somebody took over are taken back; a rule leaves them alone, and opens
    nothing if there are no others. Of a part, accounts that have not begun to enter are left out. Raises DomainError
    for a share that is none.
    """
    rows = {row.account_id: row for row in changes.accounts_of(run.id)}
    taken = {account_id for account_id, row in rows.items() if row.state is AccountState.TAKEN_OVER}
    asked = set(account_ids) or set(rows)
    back = asked & taken if requested_by is not None else set()
    if leg_indexes or share is not None:
        sizing = {account_id for account_id in asked if rows[account_id].state is AccountState.SIZING}
        asked -= sizing
        account_ids = tuple(sorted(asked)) if sizing else account_ids
    asked -= taken - back
    if not asked:
        return None
    wanted = wanted_of(changes, run, accounts=asked, account_ids=account_ids, legs=leg_indexes, share=share)
    active = [plan for plan in changes.plans_of(run.id) if plan.state is PlanState.ACTIVE]
    held = held_keys(changes, run) if active or wanted.scope.keep else []
    there = covering(active, wanted, held)
    if there is not None and not back:
        return None
    plan = there
    if plan is None:
        accounts, legs, keep, absorbed = with_narrower(active, wanted, held)
        plan = changes.put_plan(
            ExitPlan(
                id=next(changes.ledger.counters.plan),
                execution_id=run.id,
                account_ids=accounts,
                leg_indexes=legs,
                keep=keep,
                reason=kind,
                state=PlanState.ACTIVE,
                requested_by=requested_by,
                created_at=changes.now,
            )
        )
        for narrower in absorbed:
            changes.put_plan(replace(narrower, state=PlanState.ABSORBED, done_at=changes.now))
    _begin(changes, run, plan, back)
    whole = not account_ids and not leg_indexes and not wanted.scope.keep
    part = {} if whole else {"part": _part(account_ids, leg_indexes, share, plan)}
    changes.event(
        owner_id=run.owner_id,
        kind=event_kind(kind),
        action="close_all" if whole else "close_partial",
        message=message,
        knew=knew | part | ({"taken_back": sorted(back)} if back else {}),
        run_id=run.id,
        account_id=plan.account_ids[0] if len(plan.account_ids) == 1 else None,
        plan_id=plan.id,
        threshold_paise=threshold_paise,
        value_paise=value_paise,
    )
    return plan


def _part(
    account_ids: tuple[int, ...], leg_indexes: tuple[int, ...], share: float | None, plan: ExitPlan
) -> dict[str, Any]:
    """Return what was ordered of a part, and what the plan keeps of the run's positions."""
    kept = [{"account_id": account, "symbol": symbol, "units": units} for account, symbol, *_, units in plan.keep]
    return {"accounts": list(account_ids), "legs": list(leg_indexes), "share": share, "keeps": kept}


def _begin(changes: Pass, run: Run, plan: ExitPlan, back: set[int]) -> None:
    """Take back planned entries, and bring the accounts into their state: where a part stays, they go on entered."""
    rows = [
        row
        for row in changes.accounts_of(run.id)
        if plan.covers(row.account_id) and (row.state not in NOT_OURS or row.account_id in back)
    ]
    ours = {row.account_id for row in rows}
    for order in changes.orders_of(run.id):
        planned = order.state is OrderState.PLANNED and order.purpose.enters and order.account_id in ours
        if planned and covers_key(run, plan, order.key):
            changes.put_order(moved(order, OrderState.VOID, changes.now, words=f"exit: {plan.reason}"))
    if back and TOLD_TAKEN_OVER in changes.run(run.id).watch:
        watch = {name: kept for name, kept in changes.run(run.id).watch.items() if name != TOLD_TAKEN_OVER}
        changes.put_run(replace(changes.run(run.id), watch=watch))
    for row in rows:
        if not plan.leaves_whole(row.account_id):
            if row.state is AccountState.TAKEN_OVER:
                changes.put_account(replace(row, state=AccountState.ENTERED))
                if changes.run(run.id).state is RunState.EXITING:
                    # what stays is no exit's any more: the run's rules watch it again
                    changes.put_run(replace(changes.run(run.id), state=RunState.OPEN))
        elif row.state is AccountState.SIZING:
            why = f"exit before entry: {plan.reason}"
            changes.put_account(with_reason(replace(row, state=AccountState.SKIPPED), why))
        else:
            changes.put_account(replace(row, state=AccountState.UNWINDING))
    if not plan.account_ids and not plan.partial:
        changes.put_run(replace(changes.run(run.id), state=RunState.EXITING))


def all_taken_over(changes: Pass, run: Run, account_ids: tuple[int, ...] = ()) -> bool:
    """Whether a person has every account (of these; empty: all) on which a run is not over."""
    rows = changes.accounts_of(run.id)
    open_rows = [row for row in rows if row.state not in ENDED and (not account_ids or row.account_id in account_ids)]
    return bool(open_rows) and all(row.state is AccountState.TAKEN_OVER for row in open_rows)


def reopen_late(changes: Pass) -> None:
    """Take out what filled after an account was called flat or skipped: nothing that is held stays unwatched."""
    for run_id, holdings in list(changes.changed_holdings().items()):
        held = {key.account_id for key, holding in holdings.items() if holding.quantity}
        late = [row for row in changes.accounts_of(run_id) if row.state in ENDED and row.account_id in held]
        if not late:
            continue
        why = "its position changed after it was called ended"
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
        if row.state not in _MAY_BE_FLAT or account is None or not _flat(changes, run, account):
            continue
        if row.state is not AccountState.ENTERED or not reentry.waits(changes, world, run, row.account_id):
            changes.put_account(replace(row, state=AccountState.FLAT))
    rows = changes.accounts_of(run.id)
    for plan in changes.plans_of(run.id):
        if plan.state is not PlanState.ACTIVE:
            continue
        if all(_done(changes, world, run, plan, row) for row in rows if plan.covers(row.account_id)):
            changes.put_plan(replace(plan, state=PlanState.DONE, done_at=changes.now))
    if run.state in {RunState.OPEN, RunState.EXITING} and rows and all(row.state in ENDED for row in rows):
        profit = sum(h.sell_value_paise - h.buy_value_paise for h in changes.holdings(run.id).values())
        changes.put_run(replace(changes.run(run.id), state=RunState.CLOSED, closed_at=changes.now, profit_paise=profit))


def _done(changes: Pass, world: World, run: Run, plan: ExitPlan, row: RunAccount) -> bool:
    """Whether a plan has nothing left to do on an account: it is out, or what stays of it is all that is there."""
    if row.state in NOT_OURS:
        return True
    account = world.accounts.get(row.account_id)
    if plan.leaves_whole(row.account_id) or row.state in ENTERING or account is None:
        return False
    return _flat(changes, run, account, plan)


def _flat(changes: Pass, run: Run, account: Account, plan: ExitPlan | None = None) -> bool:
    """Whether valid books show an account of a run flat, or with a plan: its keys down to what the plan keeps."""

    def meant(key: Key) -> bool:
        return key.account_id == account.id and (plan is None or covers_key(run, plan, key))

    orders = [order for order in changes.orders_of(run.id) if meant(order.key)]
    if any(not order.terminal for order in orders):
        return False
    holdings = {key: held for key, held in changes.holdings(run.id).items() if meant(key)}
    if any(held.quantity != staying(held.quantity, plan.kept(key) if plan else 0) for key, held in holdings.items()):
        return False
    touched = [account.last_change[order.key] for order in orders if order.key in account.last_change]
    books = account.books_since(max(touched, default=None))
    if books is None:
        if orders:
            account.books_wanted = True
        return False
    today = trading_day(books.begun_at)
    # the trade book explains everything that filled, to the unit, but what was inferred or declared
    return all(
        account.traded.get(order.orderid or "", 0) == order.filled_quantity or _not_by_trades(order)
        for order in orders
        if order.filled_quantity and order.trading_day == today
    )


def _not_by_trades(order: Order) -> bool:
    """Whether what an order filled is known by the position or by a person: no trade may ever name it (RULES 5)."""
    return order.estimated or order.declared_by is not None
