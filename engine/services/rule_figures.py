"""What the rules of a run are decided on: P of it and of each account, each leg's own average and price (RULES 7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from engine.domain.instruments import Key
from engine.domain.leg_rules import LegFigures
from engine.domain.orders import Purpose
from engine.domain.pnl import average_price, profit_paise
from engine.domain.rules import RunFigures, RunLimits, ScopeFigures
from engine.domain.runs import AccountState, PlanState, Run, RunState
from engine.domain.trailing import TrailingState
from engine.services.entry_ending import measures_of
from engine.services.exit_scopes import legs_of, plan_over
from engine.services.ledger import Pass

_LEAVABLE = frozenset({AccountState.BUYING, AccountState.SELLING, AccountState.ENTERED})
"""Accounts that a rule of their own may take out; in the others nothing is there, it leaves, or a person has it."""


def run_figures(
    changes: Pass, run: Run, prices: Mapping[Key, float | None], limits: RunLimits | None = None
) -> RunFigures:
    """Return what decides about a run; ``prices`` are the confirmed ones of its open keys (₹).

    With ``limits`` accounts and legs are left out that none of them asks for.

    What is held of an entry that is not complete has its time too. Legs by themselves are judged where their account
    has ended its entry: until then bought legs wait there for the sold ones that they cover.
    """
    holdings = changes.holdings(run.id)
    states = {row.account_id: row.state for row in changes.accounts_of(run.id)}
    exiting = any(plan.state is PlanState.ACTIVE for plan in changes.plans_of(run.id))
    staying = [
        key
        for key, held in holdings.items()
        if held.quantity and states.get(key.account_id) in _LEAVABLE and not (exiting and _leaving(changes, run, key))
    ]
    of_accounts = limits is None or limits.of_accounts
    indexes = legs_of(run) if limits is None or limits.legs.any else {}
    accounts = dict.fromkeys(key.account_id for key in staying) if of_accounts else {}
    return RunFigures(
        entered_at=run.entered_at or run.created_at,
        profit_paise=profit_paise(holdings, prices),
        trailing=TrailingState(run.trailing_active, run.peak_paise or 0, run.stop_paise),
        latches=frozenset(run.latches),
        lots_filled=run.lots_filled or None,
        premium_paise=run.premium_value_paise,
        units=run.units or None,
        accounts=tuple(_account(changes, run, account_id, prices) for account_id in accounts),
        legs=tuple(
            leg
            for key in staying
            if states[key.account_id] is AccountState.ENTERED
            for leg in _legs(changes, run, key, prices.get(key), indexes.get(key.symbol, ()))
        ),
    )


def leg_memory(run: Run, account_id: int, leg_index: int) -> dict[str, Any]:
    """Return what the run remembers of a leg on an account: moved to cost, what closed it, its re-entries."""
    legs: dict[str, dict[str, Any]] = run.watch.get("legs", {})
    return legs.get(f"{account_id}:{leg_index}", {})


def _leaving(changes: Pass, run: Run, key: Key) -> bool:
    """Whether an exit that is under way takes all there is under a key."""
    plan = plan_over(changes, run, key)
    return plan is not None and not plan.kept(key)


def _account(changes: Pass, run: Run, account_id: int, prices: Mapping[Key, float | None]) -> ScopeFigures:
    holdings = {key: held for key, held in changes.holdings(run.id).items() if key.account_id == account_id}
    measures = run.watch.get("accounts", {}).get(str(account_id))
    if measures is None:
        # while the entry goes on: the lots filled so far; V is known when it is complete
        measures = measures_of(
            [
                order
                for order in changes.orders_of(run.id)
                if order.purpose is Purpose.ENTRY and order.account_id == account_id and order.filled_quantity
            ],
            run.resolved["legs"],
        )
        if run.state is RunState.ENTERING:
            measures |= {"premium_paise": None}
    return ScopeFigures(account_id, profit_paise(holdings, prices), measures["lots"] or None, measures["premium_paise"])


def _legs(changes: Pass, run: Run, key: Key, price: float | None, indexes: Collection[int]) -> list[LegFigures]:
    held = changes.holdings(run.id)[key]
    average = average_price(held)
    if average is None:
        return []
    return [
        LegFigures(
            account_id=key.account_id,
            leg_index=leg_index,
            bought=held.quantity > 0,
            average=average,
            price=price,
            at_cost=bool(leg_memory(run, key.account_id, leg_index).get("at_cost")),
            symbol=key.symbol,
        )
        for leg_index in sorted(indexes)
    ]
