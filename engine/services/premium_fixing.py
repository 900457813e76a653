"""What the Supertrend of a run is made of, fixed with its entry and kept with it (RULES 7).

Of the combined premium, weights and sign, when the entry is complete; of one leg, the contract that it is entered with.
"""

from __future__ import annotations

from dataclasses import replace

from engine.domain.errors import DomainError
from engine.domain.instruments import Action
from engine.domain.orders import Order, Purpose
from engine.domain.premium import PremiumLeg, combined_premium
from engine.domain.runs import AccountState, Run, RunState
from engine.services.ledger import Pass


def fix_premium(changes: Pass, run: Run) -> Run:
    """Return the run with its combined premium in ``watch["premium"]``, once its entry is complete.

    Lots and averages are those of the entry's fills over all accounts that entered. Where there is no premium to
    follow, the reason is kept instead.
    """
    if run.state is not RunState.OPEN or run.entered_at is None or "premium" in run.watch:
        return run
    try:
        premium = combined_premium(_legs(changes, run))
        fixed: dict[str, object] = {"weights": dict(premium.weights), "sign": premium.sign}
    except DomainError as error:
        fixed = {"problem": error.reason}
    return changes.put_run(replace(run, watch={**run.watch, "premium": fixed}))


def fix_leg(changes: Pass, run: Run, leg_index: int | None) -> Run:
    """Return the run with the contract that a leg is entered with in ``watch["premium"]``.

    Fixed when the run is followed first, before its entry: a fresh strike that the leg enters again with later is not
    what its Supertrend follows, and the order of the legs' rows changes then. A leg that is not there fixes nothing.
    """
    if "premium" in run.watch:
        return run
    row = next((leg for leg in run.resolved["legs"] if leg["leg_index"] == leg_index), None)
    if row is None:
        return run
    fixed = {"symbol": str(row["symbol"]), "exchange": str(row["exchange"])}
    return changes.put_run(replace(run, watch={**run.watch, "premium": fixed}))


def _legs(changes: Pass, run: Run) -> list[PremiumLeg]:
    filled = [order for order in changes.orders_of(run.id) if order.purpose is Purpose.ENTRY and order.filled_quantity]
    entered = {row.account_id for row in changes.accounts_of(run.id) if row.state is AccountState.ENTERED}
    # what is being unwound has no part in it, unless nothing else is there
    held = [order for order in filled if order.account_id in entered] or filled
    return [
        _leg([order for order in held if order.leg_index == leg["leg_index"]], str(leg["symbol"]), int(leg["lot_size"]))
        for leg in run.resolved["legs"]
        if any(order.leg_index == leg["leg_index"] for order in held)
    ]


def _leg(orders: list[Order], symbol: str, lot_size: int) -> PremiumLeg:
    quantity = sum(order.filled_quantity for order in orders)
    value = sum(order.filled_value_paise for order in orders)
    return PremiumLeg(symbol, Action(orders[0].action), max(1, quantity // lot_size), value / quantity / 100)
