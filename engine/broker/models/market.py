"""Prices, depth and the instrument master; prices in ₹ (0 where the wire means none), quantities in units."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from engine.domain.instruments import Exchange, InstrumentType

Interval = Literal[
    "1s", "5s", "10s", "15s", "30s", "45s",
    "1m", "2m", "3m", "5m", "10m", "15m", "20m", "30m",
    "1h", "2h", "3h", "4h",
    "D", "W", "M", "Q", "Y",
]  # fmt: skip
"""Every interval that OpenAlgo takes; a broker offers some of them (``Intervals``), the others fail with 500."""


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
    """One row of the instrument master. ``lot_size`` 0: an index; ``freeze_quantity`` None: not known.

    ``broker_symbol``, ``broker_exchange`` and ``token`` are the broker's own names, empty where they are not sent.
    """

    symbol: str
    exchange: Exchange
    name: str
    instrument_type: InstrumentType
    expiry: date | None
    strike: float
    lot_size: int
    tick_size: float
    freeze_quantity: int | None
    broker_symbol: str = ""
    broker_exchange: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class DepthLevel:
    """One level of the order book of a contract; ``orders`` None where it is not sent."""

    price: float
    quantity: int
    orders: int | None = None


@dataclass(frozen=True, slots=True)
class Depth:
    """Market depth, best levels first, with the figures of the day. ``last_quantity`` is the last trade's."""

    bids: tuple[DepthLevel, ...]
    asks: tuple[DepthLevel, ...]
    ltp: float
    last_quantity: int | None
    open: float
    high: float
    low: float
    prev_close: float
    volume: int
    oi: int
    total_buy_quantity: int | None
    total_sell_quantity: int | None


@dataclass(frozen=True, slots=True)
class Intervals:
    """The intervals that this account's broker offers, in the server's words."""

    seconds: tuple[str, ...]
    minutes: tuple[str, ...]
    hours: tuple[str, ...]
    days: tuple[str, ...]
    weeks: tuple[str, ...]
    months: tuple[str, ...]
