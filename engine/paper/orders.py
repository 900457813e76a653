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


SANDBOX_DIGITS = 8
LIVE_DIGITS = 9
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

    def document(self) -> dict[str, Any]:
        """Return the request as JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, row: dict[str, Any]) -> OrderRequest:
        """Return the request that ``document`` wrote."""
        return cls(**_typed(row))


@dataclass(slots=True)
class PaperOrder:
    """One order and what became of it. Prices and ``blocked`` in paise, times in epoch seconds.

    ``price`` is what the book shows: the reference price for a MARKET order, the limit otherwise. ``protected`` is the
    limit that a MARKET or triggered SL-M order carries inside the exchange (0 before it arrived at the market).
    ``held`` keeps a remainder from being matched until the order is modified.

    What a fault script did to it: ``visible_at`` keeps it and its trades out of the books until then (0: visible),
    ``shown_as_limit`` shows a MARKET order as LIMIT at its protected price, ``moving_timestamp`` shows the time of
    looking instead of ``placed_at``, ``validating_until`` (0: not) keeps it from being matched until then; with
    ``stale_status`` its live row repeats the previous row's status as long as that takes.
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
    protected: int = 0
    visible_at: float = 0.0
    shown_as_limit: bool = False
    moving_timestamp: bool = False
    stale_status: bool = False
    validating_until: float = 0.0

    @property
    def shown_price_type(self) -> PriceType:
        """The price type that books, status and pushes show."""
        return PriceType.LIMIT if self.shown_as_limit else self.price_type

    @property
    def shown_price(self) -> int:
        """The price in paise that books, status and pushes show."""
        return self.protected if self.shown_as_limit else self.price

    def shown_time(self, at: float) -> float:
        """Return the time (epoch seconds) that the order book shows to who looks at ``at``."""
        return at if self.moving_timestamp else self.placed_at

    def is_hidden(self, at: float) -> bool:
        """Whether the order is kept out of order book, trade book, status and pushes at that time."""
        return at < self.visible_at

    def repeats_previous_status(self, at: float) -> bool:
        """Whether a live order book shows the status of the row before it in place of its own."""
        return self.stale_status and at < self.validating_until

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
        return cls(**_typed(row))


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill. ``price`` in paise, ``at`` in epoch seconds; the trade book shows it from ``visible_at`` on."""

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
    visible_at: float = 0.0

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
        return cls(**_typed(row))


@dataclass(frozen=True, slots=True)
class Push:
    """An order update for the account's subscribed sockets: the order as it stood at that moment."""

    order: PaperOrder
    price: int


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a fault script does to one order.

    ``reject`` is the reason of a recorded rejection, ``clip`` the share of the quantity that fills before the rest is
    held. ``hidden_seconds``: accepted and matched, but the order and its trades stay out of order book, trade book,
    status and pushes that long (cancel and modify do not find it either; the position shows). ``shown_as_limit``: a
    MARKET order appears as LIMIT at its protected price. ``moving_timestamp``: the order book shows the time of the
    look. ``duplicate``: the exchange makes two orders of the request, the answer names the first.
    ``validation_seconds``: the order waits that long before it is matched; with ``stale_status`` a live order book
    shows the previous row's status for it as long (recorded: VALIDATION PENDING shown as complete).
    """

    reject: str | None = None
    clip: float | None = None
    hidden_seconds: float = 0.0
    shown_as_limit: bool = False
    moving_timestamp: bool = False
    duplicate: bool = False
    stale_status: bool = False
    validation_seconds: float = 0.0


NORMAL = Treatment()


def new_order_id(at: float, *, digits: int = SANDBOX_DIGITS) -> str:
    """YYMMDD and eight digits, as OpenAlgo's sandbox gives them; live orders have nine, the first never 0."""
    lowest = 0 if digits == SANDBOX_DIGITS else 10 ** (digits - 1)
    return f"{ist(at):%y%m%d}{lowest + secrets.randbelow(10**digits - lowest):0{digits}d}"


def new_trade_id(at: float) -> str:
    """TRADE-YYYYMMDD-HHMMSS-xxxxxxxx."""
    return f"TRADE-{ist(at):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


_ENUMS = {"exchange": Exchange, "action": Action, "price_type": PriceType, "product": Product, "status": Status}


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _ENUMS[name](value) if name in _ENUMS else value for name, value in row.items()}
