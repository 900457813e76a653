"""Shares of earlier days: what a CNC position becomes when its day is over.

How a position moved, in the exchange's own rule:

* CNC bought today is a position. When the day changes, what it still holds becomes a holding at its cost, and the
  position is flat.
* A holding is sold with CNC. The sale is a position below zero for the rest of the day (the holding stays as it is, as
  brokers show it); when the day changes it is delivered: the holding is smaller by it, and sale value less the
  holding's average cost is realised.
* What was sold today cannot be sold again: sellable is holding + position − working CNC sales.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from engine.domain.instruments import Exchange


@dataclass(slots=True)
class Holding:
    """Delivered shares: ``quantity`` units bought for ``cost`` paise together."""

    symbol: str
    exchange: Exchange
    quantity: int
    cost: int

    @property
    def average(self) -> float:
        """Average price in ₹, 0 when nothing is left."""
        return round(self.cost / self.quantity / 100, 2) if self.quantity else 0.0

    def add(self, quantity: int, cost: int) -> None:
        """Take shares in, bought for ``cost`` paise."""
        self.quantity += quantity
        self.cost += cost

    def deliver(self, quantity: int) -> int:
        """Give shares out; returns what they cost in paise. The last ones take the whole rest of the cost.

        >>> holding = Holding("SBIN", Exchange.NSE, 3, 1000)
        >>> holding.deliver(1), holding.deliver(2), holding.cost
        (333, 667, 0)
        """
        cost = self.cost * quantity // self.quantity
        self.quantity -= quantity
        self.cost -= cost
        return cost

    def unrealised(self, last: int) -> int:
        """P in paise at a price in paise."""
        return last * self.quantity - self.cost

    def document(self) -> dict[str, Any]:
        """Return the holding as JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, row: dict[str, Any]) -> Holding:
        """Return the holding that ``document`` wrote."""
        return cls(**{**row, "exchange": Exchange(row["exchange"])})
