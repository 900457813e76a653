"""What the displayed quantities still hold: shared by every account that trades against them.

Depth shows five levels a side. An order takes from them level by level, and what it took is gone for everybody until
the levels are filled up again: with every new second of the exchange's clock (``REFILL_SECONDS``), and on a price that
nobody took from yet, at once. Nothing of this is kept on disk: a restart finds full levels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from engine.domain.instruments import Action, Contract
from engine.paper.quotes import Level

REFILL_SECONDS = 1.0


@dataclass(slots=True)
class _Taken:
    """Units taken by price in one interval."""

    interval: int
    by_price: dict[int, int] = field(default_factory=dict)


Depth = Callable[[Contract, float], tuple[list[Level], list[Level]]]
"""Bids and asks of a contract at an instant, best first."""


class DisplayedLiquidity:
    """The levels of depth less what was taken from them in the present interval. ``depth_of`` is what is displayed."""

    def __init__(self, depth_of: Depth) -> None:
        self.depth_of = depth_of
        self._taken: dict[tuple[Contract, Action], _Taken] = {}

    def depth(self, contract: Contract, at: float) -> tuple[list[Level], list[Level]]:
        """Return bids and asks as they are displayed, less what was taken; emptied levels are left out."""
        buys, sells = self.depth_of(contract, at)
        return self._left(contract, Action.SELL, buys, at), self._left(contract, Action.BUY, sells, at)

    def levels(self, contract: Contract, action: Action, at: float) -> list[Level]:
        """Return what an order of a side can take, best first: asks for a purchase, bids for a sale."""
        buys, sells = self.depth(contract, at)
        return sells if action is Action.BUY else buys

    def take(self, contract: Contract, action: Action, *, price: int, quantity: int, at: float) -> None:
        """Note that an order of a side took ``quantity`` units of the level at ``price`` paise."""
        taken = self._of(contract, action, at)
        if taken is None:
            taken = self._taken[contract, action] = _Taken(_interval(at))
        taken.by_price[price] = taken.by_price.get(price, 0) + quantity

    def _left(self, contract: Contract, action: Action, levels: list[Level], at: float) -> list[Level]:
        taken = self._of(contract, action, at)
        if taken is None:
            return levels
        gone = dict(taken.by_price)
        left: list[Level] = []
        for level in levels:  # near the lowest price several levels may stand at one tick
            units = min(gone.get(level.price, 0), level.quantity)
            if units:
                gone[level.price] -= units
            if level.quantity > units:
                left.append(replace(level, quantity=level.quantity - units))
        return left

    def _of(self, contract: Contract, action: Action, at: float) -> _Taken | None:
        taken = self._taken.get((contract, action))
        return taken if taken is not None and taken.interval == _interval(at) else None


def _interval(at: float) -> int:
    return int(at // REFILL_SECONDS)
