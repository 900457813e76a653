"""When an order fills, and at what price: pure functions over one quote. Prices in paise."""

from __future__ import annotations

from typing import assert_never

from engine.domain.instruments import Action, PriceType
from engine.paper.orders import PaperOrder


def is_triggered(order: PaperOrder, last: int) -> bool:
    """Whether the last price has reached the trigger of an SL or SL-M order."""
    if order.action is Action.BUY:
        return last >= order.trigger_price
    return last <= order.trigger_price


def fill_price(order: PaperOrder, *, bid: int, ask: int, arriving: bool, at_market: bool) -> int | None:
    """Return the price at which the order fills now, None if it does not.

    ``at_market`` and triggered SL-M orders take the other side of the quote. A limit that is marketable on arrival
    (new, triggered or modified) takes it too; a resting one fills at its own price when the market comes to it. What is
    left of a clipped MARKET order is a limit at its protected price.
    """
    other_side = ask if order.action is Action.BUY else bid
    match order.price_type:
        case PriceType.SL_M:
            return other_side
        case PriceType.MARKET if at_market:
            return other_side
        case PriceType.LIMIT | PriceType.SL | PriceType.MARKET:
            crosses = other_side <= order.price if order.action is Action.BUY else other_side >= order.price
            if not crosses:
                return None
            return other_side if arriving else order.price
        case _:
            assert_never(order.price_type)


def clipped(quantity: int, share: float, lot_size: int) -> int:
    """Return the whole lots within a share of a quantity, at most all but one lot.

    >>> clipped(195, 0.5, 65), clipped(65, 0.5, 65), clipped(195, 1.0, 65)
    (65, 0, 130)
    """
    lots = min(int(quantity * share) // lot_size, quantity // lot_size - 1)
    return max(lots, 0) * lot_size
