"""Bars of a session: how ticks and a broker's history become closed candles (RULES 7, 8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle. ``start`` is the instant it opens (aware UTC), prices in ₹, volume and open interest in units."""

    start: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int = 0
    open_interest: int = 0
