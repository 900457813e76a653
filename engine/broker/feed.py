"""What a stream tells: prices, order pushes, and how the stream itself is doing.

Every message carries ``received_at`` (seconds of the boot clock, which also runs while the machine sleeps) and, where a
person may read it, ``received_utc``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.broker.models import Mode, OrderStatus
from engine.domain.instruments import Action, Exchange, PriceType, Product

Instrument = tuple[str, Exchange]


@dataclass(frozen=True, slots=True)
class Tick:
    """One price: ``ltp`` in ₹, finite and above zero; ``exchange_time`` epoch milliseconds, where it is sent."""

    symbol: str
    exchange: Exchange
    ltp: float
    exchange_time: int | None
    received_at: float
    received_utc: datetime


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
    """Every instrument whose prices the server has acknowledged on this connection."""

    instruments: frozenset[Instrument]


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
