"""What a stream tells: prices, order pushes, and how the stream itself is doing.

Every message carries ``received_at`` (seconds of the boot clock, which also runs while the machine sleeps) and, where a
person may read it, ``received_utc``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from engine.broker.models import DepthLevel, Mode, OrderStatus
from engine.domain.instruments import Action, Exchange, PriceType, Product

Instrument = tuple[str, Exchange]


class StreamMode(IntEnum):
    """How much of an instrument is streamed; each mode is subscribed and given back by itself."""

    LTP = 1
    QUOTE = 2
    DEPTH = 3


@dataclass(frozen=True, slots=True)
class Tick:
    """One price: ``ltp`` in ₹, finite and above zero; ``exchange_time`` epoch milliseconds, where it is sent.

    ``last_trade_time`` is epoch milliseconds too, whichever unit the server used. A server passes on richer frames
    that somebody else's subscription caused: the same price may come twice, and says no more here.
    """

    symbol: str
    exchange: Exchange
    ltp: float
    exchange_time: int | None
    received_at: float
    received_utc: datetime
    last_trade_time: int | None = None


@dataclass(frozen=True, slots=True)
class QuoteTick(Tick):
    """A price with the figures of the day; what a frame leaves out (indices do) or spoils is None."""

    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None
    volume: int | None = None
    last_quantity: int | None = None
    average_price: float | None = None
    total_buy_quantity: int | None = None
    total_sell_quantity: int | None = None


@dataclass(frozen=True, slots=True)
class DepthTick(QuoteTick):
    """A quote with open interest and levels, best first; None where a frame has no readable levels."""

    open_interest: int | None = None
    bids: tuple[DepthLevel, ...] | None = None
    asks: tuple[DepthLevel, ...] | None = None


@dataclass(frozen=True, slots=True)
class OrderPush:
    """One order as the server pushes it; it may come before the answer that names the id, and may come twice.

    Analyzer servers say ``pending_quantity`` 0 in ``open`` pushes. There is no strategy and no time on the wire.
    """

    mode: Mode
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
    received_at: float
    received_utc: datetime


@dataclass(frozen=True, slots=True)
class Connecting:
    """An attempt to connect begins; 1 is the first since the stream was last up."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Connected:
    """Connected and authenticated: books are read again now, nothing is replayed."""

    broker: str


@dataclass(frozen=True, slots=True)
class OrdersSubscribed:
    """Order pushes are on."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Every instrument whose prices the server has acknowledged on this connection, in whatever mode.

    ``by_mode`` says in which ones.
    """

    instruments: frozenset[Instrument]
    by_mode: frozenset[tuple[StreamMode, Instrument]] = frozenset()


@dataclass(frozen=True, slots=True)
class NotSubscribed:
    """The server refused an instrument; it is asked for again later."""

    instrument: Instrument
    reason: str


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """A wrong key (AUTHENTICATION_ERROR) or a logged-out broker session (BROKER_ERROR); tried again after a pause."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Down:
    """No connection; the next attempt begins in ``retry_in`` seconds."""

    reason: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class Problem:
    """A frame that was not used, or a callback that failed; ``count`` such since the start."""

    kind: str
    count: int
    detail: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The stream has ended because it was told to."""


StreamState = (
    Connecting | Connected | OrdersSubscribed | Subscribed | NotSubscribed | LoginRefused | Down | Problem | Stopped
)
