"""When an order fills, and at what price: pure functions over one quote. Prices in paise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from engine.domain.instruments import Action, PriceType
from engine.paper.orders import PaperOrder
from engine.paper.quotes import Level

PROTECTION_PERCENT = 1
PROTECTION_TICKS = 10
"""How far from the touch a market order may trade: 1 % of it, at least ten ticks. Brokers on NSE and BSE protect market
orders likewise; the figure is this exchange's own."""


def is_triggered(order: PaperOrder, last: int) -> bool:
    """Whether the last price has reached the trigger of an SL or SL-M order."""
    if order.action is Action.BUY:
        return last >= order.trigger_price
    return last <= order.trigger_price


def protected_price(action: Action, other_side: int, tick: int) -> int:
    """Return the worst price at which a market order may trade, from the touch at its arrival; whole ticks.

    >>> protected_price(Action.BUY, 20_005, 5), protected_price(Action.SELL, 19_995, 5)
    (20205, 19800)
    >>> protected_price(Action.BUY, 10, 5), protected_price(Action.SELL, 10, 5)
    (60, 5)
    """
    width = max(other_side * PROTECTION_PERCENT // 100 // tick, PROTECTION_TICKS) * tick
    return max((other_side + action.sign * width) // tick * tick, tick)


def limit_of(order: PaperOrder) -> int:
    """Return the worst price that an order accepts: its limit, or the protected price of one without a limit."""
    match order.price_type:
        case PriceType.MARKET | PriceType.SL_M:
            return order.protected or order.price
        case PriceType.LIMIT | PriceType.SL:
            return order.price
        case _:
            assert_never(order.price_type)


def crosses(order: PaperOrder, price: int) -> bool:
    """Whether a price is no worse than the order's limit."""
    return price <= limit_of(order) if order.action is Action.BUY else price >= limit_of(order)


def takes(order: PaperOrder, levels: Iterable[Level], *, quantity: int, lot_size: int) -> list[tuple[int, int]]:
    """Return (price, units) that an order takes from levels, best first: the rule of ``Liquidity.DISPLAYED``.

    Whole lots only, never more than ``quantity``, never a price beyond the order's limit.
    """
    taken: list[tuple[int, int]] = []
    for level in levels:
        if not quantity or not crosses(order, level.price):
            break
        units = min(level.quantity, quantity) // lot_size * lot_size
        if units:
            taken.append((level.price, units))
            quantity -= units
    return taken


def clipped(quantity: int, share: float, lot_size: int) -> int:
    """Return the whole lots within a share of a quantity, at most all but one lot.

    >>> clipped(195, 0.5, 65), clipped(65, 0.5, 65), clipped(195, 1.0, 65)
    (65, 0, 130)
    """
    lots = min(int(quantity * share) // lot_size, quantity // lot_size - 1)
    return max(lots, 0) * lot_size
