"""Runs that leave together take each other out inside, before anything goes to the market (RULES 6).

One long and one short of the same key need no order at the broker: both are booked at one price, in the commit that
decides it, so that a restart finds it done. Each run then sends what is left of its own.
"""

from __future__ import annotations

from engine.domain.day_limits import DayRule, event_kind
from engine.domain.exits import BOOK_AGE
from engine.domain.instruments import Action, Key
from engine.domain.money import paise, rupees, value_paise
from engine.domain.netting import Owner, cross_opposites
from engine.domain.orders import OrderState, moved
from engine.domain.repricing import TOUCH_AGE
from engine.domain.runs import AccountState, Charge, ExitPlan, PlanState, Run
from engine.services.ledger import Pass
from engine.services.owned import instrument_of, settled_books
from engine.services.settling import is_over
from engine.services.world import Account, World

LEAVING_TOGETHER = frozenset({"kill_switch", *(rule.plan_reason for rule in DayRule)})
"""Reasons of plans whose runs leave together."""


def cross(changes: Pass, world: World) -> None:
    """Book opposite quantities of runs that leave together against each other, key by key, where that is safe.

    Safe: no order of these runs in the key is under way, valid books are as young as for an exit, and every unit in
    them is explained. Without a price nothing is crossed: the exits then go by themselves. What leaves an account in
    part is not crossed: what stays there keeps its own price.
    """
    leaving: dict[Key, list[tuple[Run, ExitPlan]]] = {}
    for run in changes.busy_runs():
        plans = [
            plan
            for plan in changes.plans_of(run.id)
            if plan.state is PlanState.ACTIVE and plan.reason in LEAVING_TOGETHER
        ]
        if not plans:
            continue
        unwinding = {row.account_id for row in changes.accounts_of(run.id) if row.state is AccountState.UNWINDING}
        for key, held in changes.holdings(run.id).items():
            plan = next((one for one in plans if one.covers(key.account_id) and one.leaves_whole(key.account_id)), None)
            if held.quantity and plan is not None and key.account_id in unwinding:
                leaving.setdefault(key, []).append((run, plan))
    for key, runs in leaving.items():
        account = world.accounts.get(key.account_id)
        if account is not None and len(runs) > 1 and not is_over(world, account.facts.venue, key, changes.now):
            _cross_key(changes, world, account, key, runs)


def _cross_key(changes: Pass, world: World, account: Account, key: Key, runs: list[tuple[Run, ExitPlan]]) -> None:
    free = {run.id: (run, plan) for run, plan in runs if _at_rest(changes, run, key)}
    owners = [Owner(run_id, changes.holdings(run_id)[key].quantity) for run_id in free]
    if len({owner.quantity > 0 for owner in owners}) < 2 or not _explained(changes, account, key):
        return
    price = _price(changes, world, free[owners[0].run_id][0], account, key)
    if price is None:
        return
    result = cross_opposites(owners)
    crossed = {run_id: quantity for run_id, quantity in result.crossed.items() if quantity}
    for run_id, quantity in crossed.items():
        run, plan = free[run_id]
        _withdraw_planned(changes, run, key)
        changes.put_charge(
            Charge(
                id=next(changes.ledger.counters.fill),
                execution_id=run_id,
                key=key,
                action=Action.SELL if quantity > 0 else Action.BUY,
                quantity=abs(quantity),
                value_paise=value_paise(price, abs(quantity)),
                estimated=False,
                at=changes.now,
                source="crossing",
            )
        )
        others = ", ".join(f"run {other}" for other, size in crossed.items() if size * quantity < 0)
        changes.event(
            owner_id=run.owner_id,
            kind=event_kind(plan.reason),
            action="close_all" if not result.remaining[run_id] else "close_partial",
            message=f"{abs(quantity)} {key.symbol} of run {run_id} crossed inside against {others} at ₹ {price:,.2f}",
            knew={"quantity": quantity, "price": price, "crossed": crossed, "remaining": result.remaining},
            run_id=run_id,
            account_id=account.id,
            plan_id=plan.id,
        )


def _at_rest(changes: Pass, run: Run, key: Key) -> bool:
    """Whether no order of the run under a key is at its broker, or may be."""
    return all(
        order.terminal or order.state is OrderState.PLANNED for order in changes.orders_of(run.id) if order.key == key
    )


def _explained(changes: Pass, account: Account, key: Key) -> bool:
    books = settled_books(changes, account, key)
    if books is None or changes.now - books.begun_at > BOOK_AGE:
        return False
    instrument = instrument_of(key)
    charges = changes.drift(key, books.owned(instrument))
    return instrument not in account.drift_since and not any(charges.by_run.values())


def _price(changes: Pass, world: World, run: Run, account: Account, key: Key) -> float | None:
    """Return the price of a crossing, to the paisa: the confirmed LTP, else the middle of a young touch."""
    symbol = (key.symbol, key.exchange)
    ltp = world.confirmed_price(run.owner_id, run.venue, symbol, changes.now)
    if ltp is None:
        touch = world.prices.touch_of(account.facts.market, symbol)
        if touch is None or abs(changes.now - touch[2]) > TOUCH_AGE or touch[0] > touch[1]:
            return None
        ltp = (touch[0] + touch[1]) / 2
    return rupees(paise(ltp))  # whole paise: what one side pays is what the other gets


def _withdraw_planned(changes: Pass, run: Run, key: Key) -> None:
    for order in changes.orders_of(run.id):
        if order.key == key and order.state is OrderState.PLANNED:
            changes.put_order(moved(order, OrderState.VOID, changes.now, words="crossed inside"))
