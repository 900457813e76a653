"""The underlyings: spot prices of indices and shares, and their day so far."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from engine.paper.catalogue import INDICES, SHARES, Index, Share
from engine.paper.clock import day_start, trading_day
from engine.paper.paths import Path, second_volatility
from engine.paper.replay import Replay

SAMPLE_SECONDS = 300.0
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Day:
    """The day of one underlying so far, in ₹."""

    open: float
    high: float
    low: float
    previous_close: float


@dataclass(slots=True)
class _DaySoFar:
    """A day's fixed figures, its running extremes and the instant up to which the path was sampled."""

    day_start: float
    opened: float
    previous_close: float
    high: float
    low: float
    sampled: float


class Market:
    """Spot of every underlying at any instant: replayed where a file covers it, else generated.

    ``shift`` moves a path by a percentage from an instant on; ``pin`` fixes a price until it is cleared. Shifts are
    part of the path, so they are kept with their instants and given back after a restart.
    """

    def __init__(self, seed: int, *, replay: Replay | None = None) -> None:
        self.replay = replay
        self._common = Path(seed, "MARKET")
        self._paths = {name: Path(seed, name) for name in (*INDICES, *SHARES)}
        self._shifts: dict[str, tuple[list[float], list[float]]] = {}
        self._pins: dict[str, float] = {}
        self._spots: dict[str, tuple[float, float]] = {}
        self._days: dict[str, _DaySoFar] = {}

    def names(self) -> Iterable[str]:
        """Symbols of all underlyings."""
        return self._paths

    def spot(self, symbol: str, at: float) -> float:
        """Spot in ₹ at an instant (epoch seconds), two decimals; shares on their tick of 0.05."""
        pinned = self._pins.get(symbol)
        if pinned is not None:
            return pinned
        known = self._spots.get(symbol)
        if known is not None and known[0] == at:
            return known[1]
        value = self._raw(symbol, at) * self._factor(symbol, at)
        value = max(round(round(value / 0.05) * 0.05, 2) if symbol in SHARES else round(value, 2), 0.05)
        self._spots[symbol] = (at, value)
        return value

    def day(self, symbol: str, at: float) -> Day:
        """Open, extremes so far and the close before. The day is Kolkata's calendar day, or the replayed one."""
        spot = self.spot(symbol, at)
        if self.replay is not None and self.replay.covers(symbol):
            return self._replayed_day(symbol, at, spot)
        seen = self._seen(symbol, at)
        seen.high = max(seen.high, spot)
        seen.low = min(seen.low, spot)
        return Day(seen.opened, seen.high, seen.low, seen.previous_close)

    def closing(self, symbol: str, close: float, now: float) -> float:
        """Return what contracts settle at that ended at ``close``, in ₹; a replayed index settles where it stands."""
        replayed = self.replay is not None and self.replay.covers(symbol)
        return self.spot(symbol, now if replayed else close)

    def shift(self, symbol: str, percent: float, at: float) -> None:
        """Move the path by ``percent`` (5 is five percent up) from an instant on; shifts multiply."""
        instants, factors = self._shifts.setdefault(symbol, ([], []))
        self._spots.pop(symbol, None)
        instants.append(at)
        factors.append((factors[-1] if factors else 1.0) * (1.0 + percent / 100.0))

    def pin(self, symbol: str, price: float) -> None:
        """Hold the spot at a price in ₹."""
        self._pins[symbol] = price

    def clear(self, symbol: str | None = None) -> None:
        """Forget pins and shifts of one underlying, or of all."""
        self._spots.clear()
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

    def _seen(self, symbol: str, at: float) -> _DaySoFar:
        """Return the day with extremes of five-minute samples since its start: the same after a restart."""
        seen = self._days.get(symbol)
        if seen is not None and seen.day_start <= at < seen.day_start + DAY_SECONDS:
            return self._sampled(symbol, seen, at)
        start = day_start(trading_day(at))
        opened = self._sample(symbol, start)
        seen = _DaySoFar(start, opened, self._sample(symbol, start - 1.0), opened, opened, start)
        self._days[symbol] = seen
        return self._sampled(symbol, seen, at)

    def _sampled(self, symbol: str, seen: _DaySoFar, at: float) -> _DaySoFar:
        while seen.sampled + SAMPLE_SECONDS <= at:
            seen.sampled += SAMPLE_SECONDS
            value = self._sample(symbol, seen.sampled)
            seen.high = max(seen.high, value)
            seen.low = min(seen.low, value)
        return seen

    def _sample(self, symbol: str, at: float) -> float:
        return round(self._raw(symbol, at) * self._factor(symbol, at), 2)
