"""Orders and trades of the paper exchange."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from engine.domain.instruments import Action, Exchange, PriceType, Product
from engine.paper.clock import ist


class Status(StrEnum):
    """Order states in OpenAlgo's words."""

    OPEN = "open"
    TRIGGER_PENDING = "trigger pending"
    COMPLETE = "complete"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


WORKING = frozenset({Status.OPEN, Status.TRIGGER_PENDING})


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a caller asks for. Prices in paise, quantity in units; 0 means no price."""

    strategy: str
    symbol: str
    exchange: Exchange
    action: Action
    quantity: int
    price_type: PriceType
    product: Product
    price: int = 0
    trigger_price: int = 0


@dataclass(slots=True)
class PaperOrder:
    """One order and what became of it. Prices and ``blocked`` in paise, times in epoch seconds.

    ``price`` is what the book shows: the reference price for a MARKET order, the limit otherwise. ``held`` keeps a
    remainder from being matched until the order is modified.
    """

    order_id: str
    api_key: str
    strategy: str
    symbol: str
    exchange: Exchange
    action: Action
    quantity: int
    price_type: PriceType
    product: Product
    price: int
    trigger_price: int
    placed_at: float
    status: Status
    filled: int = 0
    filled_value: int = 0
    blocked: int = 0
    triggered: bool = False
    held: bool = False
    reason: str = ""

    @property
    def pending(self) -> int:
        """Units not filled."""
        return self.quantity - self.filled

    @property
    def average(self) -> float:
        """Average fill price in ₹, 0 without fills."""
        return round(self.filled_value / self.filled / 100, 2) if self.filled else 0.0

    def document(self) -> dict[str, Any]:
        """Return the order as JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, row: dict[str, Any]) -> PaperOrder:
        """Return the order that ``document`` wrote."""
        return cls(
            **{
                **row,
                "exchange": Exchange(row["exchange"]),
                "action": Action(row["action"]),
                "price_type": PriceType(row["price_type"]),
                "product": Product(row["product"]),
                "status": Status(row["status"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill. ``price`` in paise, ``at`` in epoch seconds."""

    trade_id: str
    order_id: str
    api_key: str
    strategy: str
    symbol: str
    exchange: Exchange
    product: Product
    action: Action
    quantity: int
    price: int
    at: float

    @property
    def value(self) -> int:
        """Price × quantity in paise."""
        return self.price * self.quantity

    def document(self) -> dict[str, Any]:
        """Return the trade as JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, row: dict[str, Any]) -> Trade:
        """Return the trade that ``document`` wrote."""
        return cls(
            **{
                **row,
                "exchange": Exchange(row["exchange"]),
                "action": Action(row["action"]),
                "product": Product(row["product"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Push:
    """An order update for the account's subscribed sockets: the order as it stood at that moment."""

    order: PaperOrder
    price: int


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a fault does to one order: ``reject`` is a reason, ``clip`` the share of the quantity that fills."""

    reject: str | None = None
    clip: float | None = None


NORMAL = Treatment()


def new_order_id(at: float) -> str:
    """YYMMDD and eight digits, as OpenAlgo's sandbox gives them."""
    return f"{ist(at):%y%m%d}{secrets.randbelow(10**8):08d}"


def new_trade_id(at: float) -> str:
    """TRADE-YYYYMMDD-HHMMSS-xxxxxxxx."""
    return f"TRADE-{ist(at):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
