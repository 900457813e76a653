"""Replay of one day's 1-minute index bars: yesterday's prices, today's dates and contracts."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

BAR_SECONDS = 60.0


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
    """A day's bars played at ``speed``: bar k stands at k·60/speed seconds after the start.

    Held, it stands at the open of bar 0. After the last bar it stands at its close.
    """

    def __init__(self, day: ReplayDay, *, speed: float, clock: Callable[[], float], hold: bool = False) -> None:
        if speed <= 0:
            raise ValueError("speed must be positive")
        self.day = day
        self.speed = speed
        self._clock = clock
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

    def position(self, at: float) -> float:
        """Bars played at an instant: 2.5 is the middle of the third bar."""
        if self.started_at is None:
            return 0.0
        return max(at - self.started_at, 0.0) * self.speed / BAR_SECONDS

    def price(self, symbol: str, at: float) -> float:
        """Price in ₹ at an instant (epoch seconds)."""
        bars = self.day.bars[symbol]
        position = self.position(at)
        index = int(position)
        if index >= len(bars):
            return bars[-1].close
        return bars[index].at(position - index)

    def played(self, symbol: str, at: float) -> list[Bar]:
        """Return the bars that are complete at an instant."""
        return self.day.bars[symbol][: int(self.position(at))]
