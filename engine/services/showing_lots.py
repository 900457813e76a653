"""How much of what an account was sized for its entry filled (RULES 4)."""

from __future__ import annotations

from typing import Any

from engine.domain.orders import Purpose
from engine.domain.runs import RUN_ENDED, Run, RunAccount
from engine.services.ledger import Pass


def entered_lots(changes: Pass, run: Run, row: RunAccount) -> tuple[int | None, str]:
    """Return the lots of a run on an account of which every leg was entered whole, and in words where legs differ.

    None where the account was not sized, or the orders of a run that ended are not in memory any more.
    """
    legs: list[dict[str, Any]] = row.sizing.get("legs") or []
    orders = [o for o in changes.orders_of(run.id) if o.purpose is Purpose.ENTRY and o.account_id == row.account_id]
    if not row.lots or not legs or (not orders and run.state in RUN_ENDED):
        return None, ""
    entered, said = [], []
    for number, leg in enumerate(legs, start=1):
        filled = sum(order.filled_quantity for order in orders if order.leg_index == number)
        planned, lots = int(leg["quantity"]), int(leg["lots"])
        entered.append(filled * row.lots // planned)
        said.append(f"leg {number}: {filled * lots // planned} of {lots}")
    return min(entered), ", ".join(said) if len(set(entered)) > 1 else ""
