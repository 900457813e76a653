"""Replay of one day's 1-minute index bars: yesterday's prices, today's dates and contracts."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from engine.paper.paths import Floats

BAR_SECONDS = 60.0
BAR_PRINTS = 120
"""Prices that a replayed bar shows, one after the other: the first is its open, the last its close."""
_LEG = BAR_PRINTS // 3
_SLACK = 0.002
"""An instant this share of a print early belongs to the print: clocks count in steps too."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar in ₹."""

    open: float
    high: float
    low: float
    close: float

    def at(self, share: float) -> float:
        """Price after a share (0 to 1) of the bar: open, the nearer extreme, the other one, close, in equal times.

        >>> Bar(100.0, 104.0, 98.0, 103.0).at(0.0), Bar(100.0, 104.0, 98.0, 103.0).at(1 / 3)
        (100.0, 98.0)
        """
        first, second = (self.low, self.high) if self.close >= self.open else (self.high, self.low)
        points = (self.open, first, second, self.close)
        position = min(max(share, 0.0), 1.0) * 3.0
        leg = min(int(position), 2)
        return points[leg] + (position - leg) * (points[leg + 1] - points[leg])


@dataclass(frozen=True, slots=True)
class ReplayDay:
    """Bars of one day per index, and the close of the day before where the file has it."""

    bars: dict[str, list[Bar]]
    previous_close: dict[str, float]


def read_day(file: Path, day: date) -> ReplayDay:
    """Bars of ``day`` from a CSV with columns symbol, timestamp (IST), open, high, low, close.

    Raises ValueError naming the file if the day is not in it.
    """
    bars: dict[str, list[Bar]] = {}
    previous: dict[str, float] = {}
    wanted = day.isoformat()
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            written = row["timestamp"][:10]
            if written == wanted:
                bar = Bar(float(row["open"]), float(row["high"]), float(row["low"]), float(row["close"]))
                bars.setdefault(row["symbol"], []).append(bar)
            elif written < wanted:
                previous[row["symbol"]] = float(row["close"])
    if not bars:
        raise ValueError(f"{file.name} has no bars of {wanted}")
    return ReplayDay(bars, previous)


class Replay:
    """A day's bars played at ``speed``: bar k begins k·60/speed seconds after the start.

    Held, it stands at the open of bar 0. After the last bar it stands at its close. An index with fewer bars than
    another ends at its own last close.
    """

    def __init__(self, day: ReplayDay, *, speed: float, clock: Callable[[], float], hold: bool = False) -> None:
        if speed <= 0:
            raise ValueError("speed must be positive")
        self.day = day
        self.speed = speed
        self._clock = clock
        self._count = 1 + BAR_PRINTS * max(len(bars) for bars in day.bars.values())
        self._played = {symbol: _walk(bars, self._count) for symbol, bars in day.bars.items()}
        self.started_at: float | None = None if hold else clock()

    def start(self) -> None:
        """Begin at bar 0 now."""
        self.started_at = self._clock()

    def hold(self) -> None:
        """Go back to the open of bar 0 and wait there."""
        self.started_at = None

    def covers(self, symbol: str) -> bool:
        """Whether the file has this index."""
        return symbol in self.day.bars

    def number(self, at: float) -> int:
        """Return the prints played before an instant: 300 is the middle of the third bar; ends with the day."""
        if self.started_at is None:
            return 0
        played = max(at - self.started_at, 0.0) / self._print_seconds
        return min(math.floor(played + _SLACK), self._count - 1)

    def printed_at(self, at: float) -> float:
        """Return the instant of the print that an instant belongs to; held, any instant is one."""
        if self.started_at is None:
            return at
        return self.started_at + self.number(at) * self._print_seconds

    def price(self, symbol: str, at: float) -> float:
        """Price in ₹ at an instant (epoch seconds)."""
        return float(self._played[symbol][self.number(at)])

    def prints(self, symbol: str, start: float, end: float) -> tuple[Floats, Floats]:
        """Return instants and prices in ₹ from ``start`` to before ``end``; nothing was printed while it was held."""
        if self.started_at is None:
            return np.empty(0), np.empty(0)
        bounds = (math.ceil((at - self.started_at) / self._print_seconds - _SLACK) for at in (start, end))
        first, last = (min(max(bound, 0), self._count) for bound in bounds)
        instants: Floats = self.started_at + np.arange(first, last, dtype=np.float64) * self._print_seconds
        return instants, self._played[symbol][first:last]

    def played_within(self, start: float, end: float) -> tuple[float, float]:
        """Return the part of a span in which the replay ran; an empty one if it did not."""
        if self.started_at is None:
            return start, start
        ends_at = self.started_at + self._count * self._print_seconds
        return max(start, self.started_at), max(min(end, ends_at), start, self.started_at)

    @property
    def _print_seconds(self) -> float:
        return BAR_SECONDS / BAR_PRINTS / self.speed


def _walk(bars: list[Bar], count: int) -> Floats:
    """Return the prints of bars: each turns after a third and two thirds and ends on its close; then the day stands."""
    shares = [number / BAR_PRINTS for number in range(2 * _LEG)]
    shares += [2.0 / 3.0 + number / (_LEG - 1) / 3.0 for number in range(_LEG)]
    prices = [round(bar.at(share), 2) for bar in bars for share in shares]
    return np.array(prices + [bars[-1].close] * (count - len(prices)))
