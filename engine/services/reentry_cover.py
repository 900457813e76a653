"""How much of a sold leg may enter again: no more is naked afterwards than was by the entry itself (RULES 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.domain.exit_scopes import side_of
from engine.domain.instruments import Action, Key
from engine.domain.orders import Order, OrderState, Purpose
from engine.domain.runs import Run
from engine.services.ledger import Pass


def uncovered_room(changes: Pass, run: Run, account_id: int, side: str, *, planned: bool = True) -> int:
    """Return how many units may be sold on a side of an account (see ``exit_scopes.side_of``); 0 or below: none may.

    It is 0 while one of the bought legs of the run is not open there. What is bought covers as much; what the entry had
    left uncovered by itself (a ratio, a straddle) may stand uncovered again. Orders that may still sell count,
    those that are ``planned`` too unless told otherwise.
    """
    legs = {str(leg["symbol"]): leg for leg in run.resolved["legs"]}
    held = {
        key: holding.quantity
        for key, holding in changes.holdings(run.id).items()
        if key.account_id == account_id and holding.quantity
    }
    if not _all_bought_open(run, held):
        return 0
    mine = [order for order in changes.orders_of(run.id) if order.account_id == account_id and order.purpose.enters]
    entered = [o for o in mine if o.purpose is Purpose.ENTRY and _side(legs, o.symbol) == side]
    naked = -sum(order.action.sign * order.filled_quantity for order in entered)
    there = sum(quantity for key, quantity in held.items() if _side(legs, key.symbol) == side)
    on_the_way = sum(
        order.pending_quantity
        for order in mine
        if order.action is Action.SELL and _side(legs, order.symbol) == side and _may_fill(order, planned=planned)
    )
    return there + max(0, naked) - on_the_way


def still_covered(changes: Pass, run: Run, order: Order) -> bool:
    """Whether a planned re-entry of a sold leg still has what covers it, now that its turn has come."""
    if order.action is not Action.SELL:
        return True
    legs = {str(leg["symbol"]): leg for leg in run.resolved["legs"]}
    room = uncovered_room(changes, run, order.account_id, _side(legs, order.symbol), planned=False)
    return order.quantity <= room


def _all_bought_open(run: Run, held: Mapping[Key, int]) -> bool:
    bought = {leg["leg_index"] for leg in run.resolved["legs"] if leg["action"] == Action.BUY}
    long = {key.symbol for key, quantity in held.items() if quantity > 0}
    return bought <= {leg["leg_index"] for leg in run.resolved["legs"] if leg["symbol"] in long}


def _side(legs: Mapping[str, Mapping[str, Any]], symbol: str) -> str:
    return side_of(str(legs.get(symbol, {}).get("instrument_type", "")))


def _may_fill(order: Order, *, planned: bool) -> bool:
    return not order.terminal and (planned or order.state is not OrderState.PLANNED)
