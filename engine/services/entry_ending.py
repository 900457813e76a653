"""When every account has ended its entry: the run is open with what its limits count in, or refused (RULES 4, 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.domain.errors import DomainError
from engine.domain.instruments import InstrumentType
from engine.domain.orders import Order, Purpose
from engine.domain.pnl import EntryFill, entry_premium_value
from engine.domain.runs import ENTRY_ENDED, AccountState, Run, RunState
from engine.services.ledger import Pass
from engine.services.refusing import refuse

_WITHOUT_POSITION = frozenset({AccountState.SKIPPED, AccountState.FLAT, AccountState.TAKEN_OVER})


def end_entry(changes: Pass, run: Run) -> None:
    """Call an entering run open when all its accounts ended their entry, or refused when nothing filled on any.

    Until then limits in ₹ per lot count the lots filled so far; premium and units are fixed when the entry completes.
    """
    rows = changes.accounts_of(run.id)
    orders = [order for order in changes.orders_of(run.id) if order.purpose is Purpose.ENTRY]
    filled = [order for order in orders if order.filled_quantity]
    legs = {leg["leg_index"]: leg for leg in run.resolved["legs"]}
    if not all(row.state in ENTRY_ENDED for row in rows):
        if filled and (lots := _lots(_per_leg(filled), legs)) != run.lots_filled:
            changes.put_run(replace(run, lots_filled=lots))
        return
    if not filled:
        # an order that may still fill, or an exit that is not done, keeps the run: nothing of it is left alone
        if all(order.terminal for order in orders) and all(row.state in _WITHOUT_POSITION for row in rows):
            reasons = "; ".join(sorted({row.reason for row in rows if row.reason}))
            refuse(changes, run, reasons or "no account entered")
        return
    entered = {row.account_id for row in rows if row.state is AccountState.ENTERED}
    held = [order for order in filled if order.account_id in entered] or filled  # what is being unwound sets no limit
    per_leg = _per_leg(held)
    changes.put_run(
        replace(
            run,
            state=RunState.OPEN,
            entered_at=changes.now,
            premium_value_paise=_premium_value(held, legs),
            units=max(per_leg.values()),
            lots_filled=_lots(per_leg, legs),
            watch=run.watch | {"accounts": _by_account(held, run.resolved["legs"])},
        )
    )


def measures_of(orders: list[Order], legs: list[dict[str, Any]]) -> dict[str, int | None]:
    """Return the lots that entry orders of one account filled, and V there in paise (None: refused), RULES 7."""
    by_index = {leg["leg_index"]: leg for leg in legs}
    if not orders:
        return {"lots": 0, "premium_paise": None}
    return {"lots": _lots(_per_leg(orders), by_index), "premium_paise": _premium_value(orders, by_index)}


def _by_account(orders: list[Order], legs: list[dict[str, Any]]) -> dict[str, dict[str, int | None]]:
    """Return the measures of each account as the run keeps them: what limits there count in never changes again."""
    found: dict[int, list[Order]] = {}
    for order in orders:
        found.setdefault(order.account_id, []).append(order)
    return {str(account_id): measures_of(mine, legs) for account_id, mine in found.items()}


def _per_leg(orders: list[Order]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for order in orders:
        sums[order.leg_index] = sums.get(order.leg_index, 0) + order.filled_quantity
    return sums


def _lots(per_leg: dict[int, int], legs: dict[int, dict[str, Any]]) -> int:
    return max(quantity // int(legs[index]["lot_size"]) for index, quantity in per_leg.items())


def _premium_value(orders: list[Order], legs: dict[int, dict[str, Any]]) -> int | None:
    fills = [
        EntryFill(o.action, InstrumentType(legs[o.leg_index]["instrument_type"]), o.filled_value_paise) for o in orders
    ]
    try:
        return entry_premium_value(fills)
    except DomainError:
        return None  # limits in % of V are refused where V says nothing (RULES 7)
