"""What the displayed quantities still hold: shared by every account that trades against them.

Depth shows five levels a side. An order takes from them level by level, and what it took is gone for everybody until
the levels are filled up again: with every new second of the exchange's clock (``REFILL_SECONDS``), and on a price that
nobody took from yet, at once. Nothing of this is kept on disk: a restart finds full levels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from engine.domain.instruments import Action, Contract
from engine.paper.quotes import Level, Quotes

REFILL_SECONDS = 1.0


@dataclass(slots=True)
class _Taken:
    """Units taken by price in one interval."""

    interval: int
    by_price: dict[int, int] = field(default_factory=dict)


class DisplayedLiquidity:
    """The levels of depth less what was taken from them in the present interval."""

    def __init__(self, quotes: Quotes) -> None:
        self._quotes = quotes
        self._taken: dict[tuple[Contract, Action], _Taken] = {}

    def depth(self, contract: Contract, at: float) -> tuple[list[Level], list[Level]]:
        """Return bids and asks as ``Quotes.depth`` gives them, less what was taken; emptied levels are left out."""
        buys, sells = self._quotes.depth(contract, at)
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
        left = [replace(row, quantity=row.quantity - taken.by_price.get(row.price, 0)) for row in levels]
        return [row for row in left if row.quantity > 0]

    def _of(self, contract: Contract, action: Action, at: float) -> _Taken | None:
        taken = self._taken.get((contract, action))
        return taken if taken is not None and taken.interval == _interval(at) else None


def _interval(at: float) -> int:
    return int(at // REFILL_SECONDS)
