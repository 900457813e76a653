"""What an account holds and does: funds, orders, trades, positions, holdings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum
from typing import Generic, TypeVar

from engine.domain.instruments import Action, Exchange, PriceType, Product

Row = TypeVar("Row")


class Mode(StrEnum):
    """Which book the server reads and writes: its sandbox or the broker."""

    ANALYZE = "analyze"
    LIVE = "live"


class OrderStatus(StrEnum):
    """Order states by OpenAlgo's words. OTHER: a word outside the contract, kept in ``raw_status``."""

    OPEN = "open"
    TRIGGER_PENDING = "trigger pending"
    COMPLETE = "complete"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Pong:
    """The server knows the key and its broker session is logged in; a dead broker token is not noticed."""

    broker: str


@dataclass(frozen=True, slots=True)
class AnalyzerStatus:
    """Whether the whole server is in analyzer mode."""

    analyze_mode: bool
    mode: Mode


@dataclass(frozen=True, slots=True)
class Funds:
    """Funds of the account in paise; what they mean depends on the broker (``funds.FundsModel``)."""

    availablecash: int
    collateral: int
    utiliseddebits: int
    m2munrealized: int
    m2mrealized: int
    mode: Mode
    begun_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class MarginFigure:
    """The broker's margin of a basket, in paise."""

    total: int
    span: int
    exposure: int


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order of an order book or of an order status.

    ``price`` of a MARKET order is the reference price in analyzer mode and 0 in live mode. Live plugins may leave out
    ``filled_quantity``, ``average_price``, ``pending_quantity`` and ``strategy`` (None), and ``complete`` in a live
    book needs a trade, a push or a priced status beside it (RULES 5). ``timestamp`` may be the last update instead of
    the placement.
    """

    orderid: str
    symbol: str
    exchange: Exchange
    product: Product
    action: Action
    quantity: int
    price: float
    trigger_price: float
    price_type: PriceType
    status: OrderStatus
    raw_status: str
    filled_quantity: int | None
    average_price: float | None
    pending_quantity: int | None
    rejection_reason: str
    strategy: str | None
    timestamp: datetime | None


@dataclass(frozen=True, slots=True)
class TradeRow:
    """One trade. ``timestamp``: a moment in UTC, or a time of day in IST where the plugin gives no date."""

    orderid: str
    symbol: str
    exchange: Exchange
    product: Product
    action: Action
    quantity: int
    average_price: float
    trade_id: str | None
    strategy: str | None
    timestamp: datetime | time | None


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One position; ``quantity`` negative when short, 0 when flat today (the row stays)."""

    symbol: str
    exchange: Exchange
    product: Product
    quantity: int
    average_price: float
    ltp: float | None
    pnl: float | None


@dataclass(frozen=True, slots=True)
class Book(Generic[Row]):
    """One read of an account's book; whether it is evidence is decided elsewhere (RULES 5)."""

    rows: tuple[Row, ...]
    mode: Mode
    begun_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class OrderReading:
    """One read of one order's status."""

    row: OrderRow
    mode: Mode
    begun_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Holding:
    """One delivery holding; ``pnl`` is the broker's figure in ₹, ``pnl_percent`` its percentage."""

    symbol: str
    exchange: Exchange
    product: Product
    quantity: int
    average_price: float | None
    pnl: float | None
    pnl_percent: float | None


@dataclass(frozen=True, slots=True)
class Holdings:
    """One read of the holdings with the server's own sums in ₹ (None where a plugin leaves them out)."""

    rows: tuple[Holding, ...]
    total_value: float | None
    total_invested: float | None
    total_pnl: float | None
    total_pnl_percent: float | None
    mode: Mode
    begun_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """A net quantity by name; 0 also for a symbol that nobody knows, so it proves nothing (RULES 5)."""

    quantity: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class SymbolPnl:
    """P of the day of one position in ₹, as the server computes it.

    In a flat analyzer row ``unrealized_pnl`` repeats the realised amount: do not add them up.
    """

    symbol: str
    exchange: Exchange
    product: Product
    quantity: int
    pnl: float | None
    unrealized_pnl: float | None
    today_realized_pnl: float | None
    total_pnl_today: float | None


@dataclass(frozen=True, slots=True)
class PnlBook:
    """P of the day by symbol, with the server's sums in ₹ (None where they are left out)."""

    rows: tuple[SymbolPnl, ...]
    total_pnl: float | None
    total_pnl_today: float | None
    total_unrealized_pnl: float | None
    total_today_realized_pnl: float | None
    mode: Mode
    begun_at: datetime
    ended_at: datetime
