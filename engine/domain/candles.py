"""Bars of a session: what a candle is, where it came from, and when there are enough of them (RULES 7, 8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.errors import CandleError
from engine.domain.prices import is_price

FEWEST_BARS = 50
BARS_PER_PERIOD = 7


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


class BarSource(StrEnum):
    """Who made a bar: the broker's history, or our own ticks."""

    HISTORY = "history"
    TICKS = "ticks"


@dataclass(frozen=True, slots=True)
class ClosedBar:
    """A bar whose window is over. Not ``whole``: part of its window was not seen, so its figures may be wrong."""

    bar: Bar
    source: BarSource
    whole: bool = True


class BarArrays(NamedTuple):
    """Columns of bars in order of time: float64, contiguous, of one length."""

    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]


def fault(bar: Bar) -> str | None:
    """Return why a bar makes no sense, None when it does.

    Prices are finite and above 0 (law 7), the high is the highest and the low the lowest of them, counts are not
    negative.
    """
    prices = (("open", bar.open), ("high", bar.high), ("low", bar.low), ("close", bar.close))
    for name, price in prices:
        if not is_price(price):
            return f"{name}: {price} is no price"
    if bar.high < bar.low:
        return f"high: {bar.high} lies below the low {bar.low}"
    for name, price in prices:
        if not bar.low <= price <= bar.high:
            return f"{name}: {price} lies outside {bar.low} to {bar.high}"
    for name, count in (("volume", bar.volume), ("open_interest", bar.open_interest)):
        if count < 0:
            return f"{name}: {count} is negative"
    return None


def merged(history: Iterable[ClosedBar], ticks: Iterable[ClosedBar]) -> tuple[ClosedBar, ...]:
    """Join bars of both sources in order of time, one a window (RULES 7).

    The broker's history wins where it has the bar: it saw every trade, the stream only what reached us. One exception:
    a bar of history with minutes missing does not replace one that our ticks saw from end to end. Each bar
    goes on saying where it came from.
    """
    chosen = {closed.bar.start: closed for closed in ticks}
    for closed in history:
        other = chosen.get(closed.bar.start)
        if other is None or closed.whole or not other.whole:
            chosen[closed.bar.start] = closed
    return tuple(chosen[start] for start in sorted(chosen))


def arrays(bars: Iterable[ClosedBar]) -> BarArrays:
    """Return high, low and close (₹) of bars as float64 arrays, in the order given."""
    rows = [(closed.bar.high, closed.bar.low, closed.bar.close) for closed in bars]
    columns = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    high, low, close = (np.ascontiguousarray(column) for column in columns)
    return BarArrays(high, low, close)


def bars_needed(period: int) -> int:
    """Return how many closed bars there must be before an indicator of this period decides: max(50, 7n) (RULES 7).

    Raises CandleError for a period below 1.

    >>> bars_needed(7), bars_needed(10)
    (50, 70)
    """
    if period < 1:
        raise CandleError("period", f"at least 1 bar, not {period}")
    return max(FEWEST_BARS, BARS_PER_PERIOD * period)


def is_warming(bars: Sequence[ClosedBar], period: int) -> bool:
    """Tell whether there are still too few closed bars for a decision (RULES 7: ``warming``)."""
    return len(bars) < bars_needed(period)
