"""What OpenAlgo's servers answer, as frozen values: amounts in paise, prices in ₹, times aware UTC.

A field that a broker plugin leaves out is None, never zero. Where the wire gives a number that means "none" (bid and
ask of an index are 0), it stays as it is: what counts as a price is decided where prices are used (RULES 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from typing import Generic, TypeVar

from engine.domain.instruments import Action, Exchange, InstrumentType, PriceType, Product

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
class Quote:
    """One quote: prices in ₹ (0 where there is none), volume and open interest in units."""

    ltp: float
    bid: float
    ask: float
    open: float
    high: float
    low: float
    prev_close: float
    volume: int
    oi: int


@dataclass(frozen=True, slots=True)
class SymbolRow:
    """One row of the instrument master. ``lot_size`` 0: an index; ``freeze_quantity`` None: not known."""

    symbol: str
    exchange: Exchange
    name: str
    instrument_type: InstrumentType
    expiry: date | None
    strike: float
    lot_size: int
    tick_size: float
    freeze_quantity: int | None


@dataclass(frozen=True, slots=True)
class ChainSide:
    """A call or a put of one strike."""

    symbol: str
    ltp: float
    bid: float
    ask: float
    lot_size: int
    tick_size: float
    oi: int
    volume: int


@dataclass(frozen=True, slots=True)
class ChainRow:
    """One strike; a side that is not listed is None."""

    strike: float
    ce: ChainSide | None
    pe: ChainSide | None


@dataclass(frozen=True, slots=True)
class OptionChain:
    """One chain of one expiry, read in one call: all legs of a run resolve from it (RULES 1)."""

    underlying: str
    underlying_exchange: Exchange
    underlying_ltp: float
    atm_strike: float
    expiry: date
    rows: tuple[ChainRow, ...]
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


class HolidayKind(StrEnum):
    """Kinds of days in the holiday list."""

    TRADING_HOLIDAY = "TRADING_HOLIDAY"
    SETTLEMENT_HOLIDAY = "SETTLEMENT_HOLIDAY"
    SPECIAL_SESSION = "SPECIAL_SESSION"


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """One exchange's session."""

    exchange: Exchange
    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True)
class Holiday:
    """One listed day: who is closed, and who opens at which times all the same."""

    day: date
    description: str
    kind: HolidayKind
    closed: tuple[Exchange, ...]
    sessions: tuple[SessionTimes, ...]


@dataclass(frozen=True, slots=True)
class Holidays:
    """The server's list for a year. Empty means that the year is not filled in, not that there are no holidays."""

    year: int
    days: tuple[Holiday, ...]

    @property
    def known(self) -> bool:
        """Whether the server has this year at all."""
        return bool(self.days)


@dataclass(frozen=True, slots=True)
class Timings:
    """Who is open on a day.

    On ordinary days a server whose machine is not set to IST shifts every time by its own zone: trust durations, or
    check NSE against 09:15 IST first. Days of a year that is not filled in look ordinary.
    """

    day: date
    sessions: tuple[SessionTimes, ...]
