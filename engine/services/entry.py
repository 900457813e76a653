"""Entry of a run, each account by itself: buy, wait until filled, sell; what fails is taken back first (RULES 4).

An account buys, then sells, and has entered. When a stage fails it is ``failing``: nothing more of it is sent, what is
alive is cancelled, and only when the fate of every order is known the policy unwinds what filled, or holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from engine.domain.entries import SliceState, hedge_late
from engine.domain.instruments import Action, PriceType
from engine.domain.legs import ResolvedLeg
from engine.domain.orders import Order, OrderState, Purpose
from engine.domain.runs import AccountState, Run, RunAccount, RunState
from engine.services.entry_ending import end_entry
from engine.services.entry_sizing import HALTED, halted, sized_accounts
from engine.services.entry_slices import (
    Slice,
    entry_orders,
    failure_of,
    plan_slice,
    send_on,
    slices_of,
    take_back,
    turn_missed,
    void_planned,
)
from engine.services.exiting import open_plan
from engine.services.ledger import Pass, with_reason
from engine.services.messages import Resolved
from engine.services.outside import tell_outside
from engine.services.refusing import refuse
from engine.services.resolution import Resolution
from engine.services.terms import StrategyTerms
from engine.services.world import World

SIZING_PATIENCE = timedelta(seconds=15)
RESTARTED = "the engine restarted during the entry"
_LEFT_ALONE = frozenset({AccountState.ENTERED, AccountState.SKIPPED, AccountState.FLAT})


def on_resolved(changes: Pass, world: World, run: Run, message: Resolved) -> None:
    """Begin the entry with the contracts that were read, or refuse the run with the reason; nothing was sent yet."""
    resolution = message.resolution
    problem = message.problem
    if resolution is not None and not problem:
        problem = _not_as_shown(world, run, resolution) or resolution.limit_problem
    if resolution is None or problem:
        refuse(changes, run, problem)
        return
    world.resolutions[run.id] = resolution
    resolved = resolved_json(resolution, resolution.legs)
    changes.put_run(replace(run, state=RunState.ENTERING, resolved=resolved))


def _not_as_shown(world: World, run: Run, resolution: Resolution) -> str:
    """Return why these contracts are not what was ordered: another kind of day, or other strikes than previewed."""
    condition = world.terms_of(run.version_id).market_condition
    if condition in {"expiry", "non_expiry"} and (condition == "expiry") is not resolution.expiry_day:
        return f"the strategy is {'' if condition == 'expiry' else 'not '}for expiry days"
    symbols = tuple(leg.contract.symbol for leg in resolution.legs)
    shown = world.previewed.pop(run.id, None)
    if shown is not None and shown != symbols:
        return f"the preview showed {', '.join(shown)}, by now it is {', '.join(symbols)}; nothing was sent"
    return ""


def progress(changes: Pass, world: World, run: Run, terms: StrategyTerms) -> None:
    """Bring the entry of each account one step further, and call the run open when all have ended theirs."""
    resolution = world.resolutions.get(run.id)
    if resolution is not None:
        for row in sized_accounts(changes, world, run, terms, resolution):
            bought = any(leg.leg.action is Action.BUY for leg in resolution.legs)
            tell_outside(changes, run, world.accounts[row.account_id])
            _begin(changes, run, row, Action.BUY if bought else Action.SELL)
    for row in changes.accounts_of(run.id):
        match row.state:
            case AccountState.SIZING if changes.now - run.created_at > SIZING_PATIENCE:
                why = "no funds or contracts were read in time; nothing was sent"
                changes.put_account(with_reason(replace(row, state=AccountState.SKIPPED), why))
            case AccountState.BUYING:
                _after_buying(changes, world, run, terms, row)
            case AccountState.SELLING:
                _after_selling(changes, world, run, terms, row)
            case AccountState.FAILING:
                _after_failing(changes, world, run, terms, row)
            case _:
                pass
    run = changes.run(run.id)
    if run.state is RunState.ENTERING:
        end_entry(changes, run)
    if changes.run(run.id).state is not RunState.ENTERING:
        changes.after_commit.append(partial(world.resolutions.pop, run.id, None))


def take_back_left_over(changes: Pass, world: World, run: Run) -> None:
    """Cancel entry orders that work on although their account's entry has ended: a late answer can bring one back."""
    for order in changes.orders_of(run.id):
        if order.state is not OrderState.WORKING or order.purpose is not Purpose.ENTRY:
            continue
        if changes.account_of(run.id, order.account_id).state in _LEFT_ALONE:
            take_back(changes, world, order)


def _begin(changes: Pass, run: Run, row: RunAccount, action: Action) -> None:
    """Plan every slice of a stage."""
    state = AccountState.BUYING if action is Action.BUY else AccountState.SELLING
    row = changes.put_account(replace(row, state=state))
    for leg, size_of_leg in zip(run.resolved["legs"], row.sizing["legs"], strict=True):
        if leg["action"] == action:
            for index, quantity in enumerate(size_of_leg["slices"]):
                one = Slice(leg, index, quantity, (), SliceState.WAITS)
                plan_slice(changes, run, row.account_id, one, kind=PriceType(leg.get("price_type", PriceType.MARKET)))


def _after_buying(changes: Pass, world: World, run: Run, terms: StrategyTerms, row: RunAccount) -> None:
    slices = slices_of(changes, world, run, terms, row, action=Action.BUY)
    orders = [order for one in slices for order in one.orders]
    overdue = next((order for order in orders if hedge_late(order, terms.entry, changes.now)), None)
    why = _halt(changes, row, run.owner_id) or failure_of(slices, "bought") or turn_missed(changes, world, row, orders)
    if not why and overdue is not None:
        why = f"bought leg {overdue.symbol}: not filled in time"
    if why:
        _fail(changes, world, run, terms, row, why=why)
        return
    states = {one.state for one in slices}
    if states <= {SliceState.FILLED, SliceState.CUT}:
        sold = any(leg["action"] == Action.SELL for leg in run.resolved["legs"])
        if SliceState.CUT in states or (sold and run.id not in world.resolutions):
            _hold(changes, run, with_reason(row, f"{RESTARTED}: not complete"), RESTARTED)
        elif sold:
            _begin(changes, run, row, Action.SELL)
        else:
            changes.put_account(replace(row, state=AccountState.ENTERED))
        return
    send_on(changes, world, run, terms, row, slices=slices)


def _after_selling(changes: Pass, world: World, run: Run, terms: StrategyTerms, row: RunAccount) -> None:
    slices = slices_of(changes, world, run, terms, row, action=Action.SELL)
    states = {one.state for one in slices}
    why = "" if states == {SliceState.FILLED} else _halt(changes, row, run.owner_id)
    if terms.entry.sold_leg_failure == "unwind":
        why = why or failure_of(slices, "sold")
    if why:
        _fail(changes, world, run, terms, row, why=why)
        return
    if states & {SliceState.WAITS, SliceState.AGAIN, SliceState.MARKET}:
        orders = [order for one in slices for order in one.orders]
        if stuck := turn_missed(changes, world, row, orders):
            void_planned(changes, orders, stuck)
        else:
            send_on(changes, world, run, terms, row, slices=slices)
    elif failed := failure_of(slices, "sold"):
        _fail(changes, world, run, terms, row, why=failed)
    elif SliceState.CUT in states:
        _hold(changes, run, with_reason(row, f"{RESTARTED}: not complete"), RESTARTED)
    else:
        changes.put_account(replace(row, state=AccountState.ENTERED))


def _after_failing(changes: Pass, world: World, run: Run, terms: StrategyTerms, row: RunAccount) -> None:
    """Take back what is alive of a failed entry; when the fate of all of it is known, do what the policy says."""
    void_planned(changes, entry_orders(changes, run, row), "the entry failed before it was sent")
    orders = entry_orders(changes, run, row)
    for order in orders:
        take_back(changes, world, order)
    if any(not order.terminal for order in orders):
        return
    if not any(order.filled_quantity for order in orders):
        changes.put_account(replace(row, state=AccountState.SKIPPED, reserved_paise=0))
        return
    selling = any(order.action is Action.SELL for order in orders)
    policy = terms.entry.sold_leg_failure if selling else terms.entry.hedge_failure
    if policy == "unwind":
        knew = _knew(orders)
        changes.put_account(replace(row, state=AccountState.UNWINDING))  # also where an exit covers it already
        open_plan(changes, run, kind="entry_failed", message=row.reason, knew=knew, account_ids=(row.account_id,))
    else:
        _hold(changes, run, row, row.reason)


def _fail(changes: Pass, world: World, run: Run, terms: StrategyTerms, row: RunAccount, *, why: str) -> None:
    row = changes.put_account(with_reason(replace(row, state=AccountState.FAILING), why))
    _after_failing(changes, world, run, terms, row)


def _hold(changes: Pass, run: Run, row: RunAccount, why: str) -> None:
    """Keep what filled, with the run's stops live, and tell it."""
    orders = entry_orders(changes, run, row)
    if not any(order.filled_quantity for order in orders):
        changes.put_account(replace(row, state=AccountState.SKIPPED, reserved_paise=0))
        return
    changes.put_account(replace(row, state=AccountState.ENTERED))
    changes.event(
        owner_id=run.owner_id,
        kind="entry_failed",
        action="alert_only",
        message=f"{why}; what filled is held, the run's stops are live",
        knew=_knew(orders),
        run_id=run.id,
        account_id=row.account_id,
    )


def _knew(orders: Sequence[Order]) -> dict[str, Any]:
    return {"orders": [{"id": o.id, "symbol": o.symbol, "state": str(o.state), "words": o.words} for o in orders]}


def _halt(changes: Pass, row: RunAccount, owner_id: int) -> str:
    return HALTED if halted(changes, owner_id, row.account_id) else ""


def resolved_json(resolution: Resolution, legs: list[ResolvedLeg]) -> dict[str, Any]:
    """Return what the run keeps of its resolution; the product is the same on every leg."""
    return resolution.as_json() | {"product": str(legs[0].leg.product)}
