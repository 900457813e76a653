"""The underlyings: spot prices of indices and shares, and their day so far."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from engine.paper.catalogue import INDICES, SHARES, Index, Share
from engine.paper.clock import day_start, trading_day
from engine.paper.paths import Path, second_volatility
from engine.paper.replay import Replay

SAMPLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Day:
    """The day of one underlying so far, in ₹."""

    open: float
    high: float
    low: float
    previous_close: float


@dataclass(slots=True)
class _Extremes:
    """Running extremes of a day and the instant up to which the path was sampled."""

    day: date
    high: float
    low: float
    sampled: float


class Market:
    """Spot of every underlying at any instant: replayed where a file covers it, else generated.

    ``shift`` moves a path by a percentage from an instant on; ``pin`` fixes a price until it is cleared. Shifts are part
    of the path, so they are kept with their instants and given back after a restart.
    """

    def __init__(self, seed: int, *, replay: Replay | None = None) -> None:
        self.replay = replay
        self._common = Path(seed, "MARKET")
        self._paths = {name: Path(seed, name) for name in (*INDICES, *SHARES)}
        self._shifts: dict[str, tuple[list[float], list[float]]] = {}
        self._pins: dict[str, float] = {}
        self._extremes: dict[str, _Extremes] = {}

    def names(self) -> Iterable[str]:
        """Symbols of all underlyings."""
        return self._paths

    def spot(self, symbol: str, at: float) -> float:
        """Spot in ₹ at an instant (epoch seconds), two decimals; shares on their tick of 0.05."""
        pinned = self._pins.get(symbol)
        if pinned is not None:
            return pinned
        value = self._raw(symbol, at) * self._factor(symbol, at)
        if symbol in SHARES:
            return max(round(round(value / 0.05) * 0.05, 2), 0.05)
        return max(round(value, 2), 0.05)

    def day(self, symbol: str, at: float) -> Day:
        """Open, extremes so far and the close before. The day is Kolkata's calendar day, or the replayed one."""
        spot = self.spot(symbol, at)
        if self.replay is not None and self.replay.covers(symbol):
            return self._replayed_day(symbol, at, spot)
        start = day_start(trading_day(at))
        opened = round(self._raw(symbol, start) * self._factor(symbol, start), 2)
        close = round(self._raw(symbol, start - 1.0) * self._factor(symbol, start - 1.0), 2)
        seen = self._seen(symbol, at, opened)
        seen.high = max(seen.high, spot)
        seen.low = min(seen.low, spot)
        return Day(opened, seen.high, seen.low, close)

    def shift(self, symbol: str, percent: float, at: float) -> None:
        """Move the path by ``percent`` (5 is five percent up) from an instant on; shifts multiply."""
        instants, factors = self._shifts.setdefault(symbol, ([], []))
        instants.append(at)
        factors.append((factors[-1] if factors else 1.0) * (1.0 + percent / 100.0))

    def pin(self, symbol: str, price: float) -> None:
        """Hold the spot at a price in ₹."""
        self._pins[symbol] = price

    def clear(self, symbol: str | None = None) -> None:
        """Forget pins and shifts of one underlying, or of all."""
        if symbol is None:
            self._pins.clear()
            self._shifts.clear()
            return
        self._pins.pop(symbol, None)
        self._shifts.pop(symbol, None)

    def _instrument(self, symbol: str) -> Index | Share:
        return INDICES.get(symbol) or SHARES[symbol]

    def _factor(self, symbol: str, at: float) -> float:
        shifts = self._shifts.get(symbol)
        if shifts is None:
            return 1.0
        index = bisect_right(shifts[0], at)
        return shifts[1][index - 1] if index else 1.0

    def _raw(self, symbol: str, at: float) -> float:
        if self.replay is not None and self.replay.covers(symbol):
            return self.replay.price(symbol, at)
        instrument = self._instrument(symbol)
        beta = instrument.beta
        own = math.sqrt(1.0 - beta * beta)
        deviation = beta * self._common.deviation(at) + own * self._paths[symbol].deviation(at)
        return instrument.base * math.exp(second_volatility(instrument.volatility) * deviation)

    def _replayed_day(self, symbol: str, at: float, spot: float) -> Day:
        assert self.replay is not None
        factor = self._factor(symbol, at)
        bars = self.replay.played(symbol, at)
        opened = self.replay.day.bars[symbol][0].open
        highs = [bar.high * factor for bar in bars]
        lows = [bar.low * factor for bar in bars]
        close = self.replay.day.previous_close.get(symbol, opened)
        return Day(opened, round(max(spot, opened, *highs), 2), round(min(spot, opened, *lows), 2), close)

    def _seen(self, symbol: str, at: float, opened: float) -> _Extremes:
        """Extremes of minute samples since the day's start: the same after a restart."""
        day = trading_day(at)
        seen = self._extremes.get(symbol)
        if seen is None or seen.day != day:
            seen = _Extremes(day, opened, opened, day_start(day))
            self._extremes[symbol] = seen
        while seen.sampled + SAMPLE_SECONDS <= at:
            seen.sampled += SAMPLE_SECONDS
            value = round(self._raw(symbol, seen.sampled) * self._factor(symbol, seen.sampled), 2)
            seen.high = max(seen.high, value)
            seen.low = min(seen.low, value)
        return seen
