"""The underlyings: spot prices of indices and shares, and their day so far.

A market prints: a price holds from its print to the next, half a second or less later (a replay prints 120 times a
bar), or to the instant at which it is shifted, pinned or cleared. Whoever looks sees one of these prices, so bars made
of all prints hold everything that was seen.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from engine.paper.catalogue import INDICES, SHARES, Index, Share
from engine.paper.clock import day_start, trading_day
from engine.paper.paths import SPANS, Floats, Path, second_volatility
from engine.paper.replay import Replay
from engine.paper.timeline import Timeline

FINEST = 8
"""A market prints at most this many times in half a second."""
FEW = 40
"""Prints of a span that are computed one by one; more are computed as a row."""


@dataclass(frozen=True, slots=True)
class Day:
    """The day of one underlying so far, in ₹."""

    open: float
    high: float
    low: float
    previous_close: float


@dataclass(frozen=True, slots=True)
class Control:
    """What is set from outside: the path is multiplied by ``factor``, or held at ``pin`` (₹)."""

    factor: float = 1.0
    pin: float | None = None


UNCONTROLLED = Control()


@dataclass(frozen=True, slots=True)
class Prints:
    """Prices of an underlying in a row, in ₹: each holds from its instant to the next.

    ``times`` are the instants that time to expiry is counted from: a price that was shifted between two prints belongs
    to the earlier one. Epoch seconds.
    """

    instants: Floats
    times: Floats
    spots: Floats


@dataclass(slots=True)
class _DaySoFar:
    """A day's fixed figures, its running extremes and the instant up to which prints were seen."""

    opened_at: float
    opened: float
    previous_close: float
    high: float
    low: float
    seen: float


class Market:
    """Spot of every underlying at any instant: replayed where a file covers it, else generated.

    ``shift`` moves a path by a percentage from an instant on; ``pin`` holds a price until it is cleared. Both are kept
    with their instants, so that the past stays what it was. A generated market prints twice a second, or up to sixteen
    times if it is watched more often (``watched_every`` seconds).
    """

    def __init__(self, seed: int, *, replay: Replay | None = None, watched_every: float = SPANS[0]) -> None:
        self.replay = replay
        self.fineness = next((n for n in (1, 2, 4) if SPANS[0] / n <= watched_every), FINEST)
        self.print_seconds = SPANS[0] / self.fineness
        self.revision = 0
        """Changes whenever the past does: when controls are forgotten as if they had never been."""
        self._common = Path(seed, "MARKET")
        self._paths = {name: Path(seed, name) for name in (*INDICES, *SHARES)}
        self._controls: dict[str, Timeline[Control]] = {}
        self._spots: dict[str, tuple[Hashable, float]] = {}
        self._days: dict[str, _DaySoFar] = {}

    def names(self) -> Iterable[str]:
        """Symbols of all underlyings."""
        return self._paths

    def spot(self, symbol: str, at: float) -> float:
        """Spot in ₹ at an instant (epoch seconds), two decimals; shares on their tick of 0.05."""
        moment = self.moment(symbol, at)
        known = self._spots.get(symbol)
        if known is not None and known[0] == moment:
            return known[1]
        control = self._control(symbol, at)
        value = control.pin
        if value is None:
            value = self._raw(symbol, at) * control.factor
            if symbol in SHARES:
                value = round(value / 0.05) * 0.05
            value = max(round(value * 100.0) / 100.0, 0.05)
        self._spots[symbol] = (moment, value)
        return value

    def moment(self, symbol: str, at: float) -> Hashable:
        """Return what names the price at an instant: the print it belongs to and what was set from outside."""
        controls = self._controls.get(symbol)
        state = controls.state(at) if controls is not None else 0
        if self._replayed(symbol):
            assert self.replay is not None
            return self.replay.started_at, self.replay.number(at), state
        return math.floor(at / self.print_seconds), state

    def printed_at(self, symbol: str, at: float) -> float:
        """Return the instant of the print that an instant belongs to."""
        if self._replayed(symbol):
            assert self.replay is not None
            return self.replay.printed_at(at)
        return math.floor(at / self.print_seconds) * self.print_seconds

    def prints(self, symbol: str, start: float, end: float) -> Prints:
        """Return all prices from ``start`` to before ``end``, none from before a replay or after it."""
        if self._replayed(symbol):
            assert self.replay is not None
            start, end = self.replay.played_within(start, end)
            times, raws = self.replay.prints(symbol, start, end)
        else:
            first = math.ceil(start / self.print_seconds)
            count = max(math.ceil(end / self.print_seconds) - first, 0)
            times = np.arange(first, first + count, dtype=np.float64) * self.print_seconds
            raws = self._raws(symbol, first, count)
        controls = self._controls.get(symbol)
        if controls is None:
            return Prints(times, times, self._rounded(symbol, raws))
        return self._controlled(symbol, controls, (times, raws), (start, end))

    def opened_at(self, symbol: str, at: float) -> float | None:
        """Return when the market's day began: midnight in Kolkata or the replay's start; None if that is held."""
        if self._replayed(symbol):
            assert self.replay is not None
            return self.replay.started_at
        return day_start(trading_day(at))

    def previous_close(self, symbol: str, opened_at: float) -> float:
        """Return the last spot (₹) before a day that began at ``opened_at``; a replay's is the file's, if it has it."""
        if self._replayed(symbol):
            assert self.replay is not None
            return self.replay.day.previous_close.get(symbol, self.replay.day.bars[symbol][0].open)
        return self.spot(symbol, opened_at - self.print_seconds)

    def day(self, symbol: str, at: float) -> Day:
        """Open, extremes so far and the close before. The day is Kolkata's calendar day, or the replayed one."""
        spot = self.spot(symbol, at)
        opened_at = self.opened_at(symbol, at)
        if opened_at is None:
            return Day(spot, spot, spot, self.previous_close(symbol, at))
        seen = self._days.get(symbol)
        if seen is None or seen.opened_at != opened_at:
            opened = self.spot(symbol, opened_at)
            close = self.previous_close(symbol, opened_at)
            seen = self._days[symbol] = _DaySoFar(opened_at, opened, close, opened, opened, opened_at)
        if at > seen.seen:
            self._look(symbol, seen, at)
        return Day(seen.opened, max(seen.high, spot), min(seen.low, spot), seen.previous_close)

    def closing(self, symbol: str, close: float, now: float) -> float:
        """Return what contracts settle at that ended at ``close``, in ₹.

        A replayed index settles where it stands, and so does one that is pinned.
        """
        stands = self._replayed(symbol) or self._control(symbol, now).pin is not None
        return self.spot(symbol, now if stands else close)

    def shift(self, symbol: str, percent: float, at: float) -> None:
        """Move the path by ``percent`` (5 is five percent up) from an instant on; shifts multiply."""
        controls = self._timeline(symbol)
        factor = controls.latest.factor * (1.0 + percent / 100.0)
        controls.set(replace(controls.latest, factor=factor), at)

    def pin(self, symbol: str, price: float, at: float = 0.0) -> None:
        """Hold the spot at a price in ₹ from an instant on."""
        controls = self._timeline(symbol)
        controls.set(replace(controls.latest, pin=price), at)

    def pinned(self, symbol: str) -> float | None:
        """Return the price in ₹ that the spot is held at now, None if it moves."""
        controls = self._controls.get(symbol)
        return None if controls is None else controls.latest.pin

    def clear(self, symbol: str | None = None, at: float | None = None) -> None:
        """End pins and shifts of one underlying or of all from an instant on; without one they have never been."""
        if at is None:
            self.revision += 1
            self._spots.clear()
            self._days.clear()
            if symbol is None:
                self._controls.clear()
            else:
                self._controls.pop(symbol, None)
            return
        for name, controls in self._controls.items():
            if symbol in (None, name) and controls.latest != UNCONTROLLED:
                controls.set(UNCONTROLLED, at)

    def era(self, symbol: str) -> Hashable:
        """Return what names the past that an underlying has now: a replay that is started anew has another."""
        return self.replay.started_at if self.replay is not None and self.replay.covers(symbol) else None

    def within(self, symbol: str, start: float, end: float) -> tuple[float, float]:
        """Return the part of a span in which the market printed: all of it, or where a replay ran."""
        if self._replayed(symbol):
            assert self.replay is not None
            return self.replay.played_within(start, end)
        return start, end

    def changes(self, symbol: str, start: float, end: float) -> list[float]:
        """Return the instants from ``start`` to before ``end`` at which an underlying was controlled."""
        controls = self._controls.get(symbol)
        return [] if controls is None else controls.changes(start, end)

    def _timeline(self, symbol: str) -> Timeline[Control]:
        return self._controls.setdefault(symbol, Timeline(UNCONTROLLED))

    def _control(self, symbol: str, at: float) -> Control:
        controls = self._controls.get(symbol)
        return UNCONTROLLED if controls is None else controls.value(controls.state(at))

    def _replayed(self, symbol: str) -> bool:
        return self.replay is not None and self.replay.covers(symbol)

    def _instrument(self, symbol: str) -> Index | Share:
        return INDICES.get(symbol) or SHARES[symbol]

    def _look(self, symbol: str, seen: _DaySoFar, at: float) -> None:
        """Take the extremes of all prints since the last look."""
        start, end = seen.seen, math.nextafter(at, math.inf)
        first, last = math.ceil(start / self.print_seconds), math.floor(at / self.print_seconds)
        if last - first < FEW and not self._replayed(symbol) and not self.changes(symbol, start, end):
            spots = [self.spot(symbol, number * self.print_seconds) for number in range(first, last + 1)]
        else:
            spots = self.prints(symbol, start, end).spots.tolist()
        seen.high = max(seen.high, *spots, seen.low)
        seen.low = min(seen.low, *spots, seen.high)
        seen.seen = at

    def _raw(self, symbol: str, at: float) -> float:
        if self._replayed(symbol):
            assert self.replay is not None
            return self.replay.price(symbol, at)
        at = math.floor(at / self.print_seconds) * self.print_seconds
        instrument = self._instrument(symbol)
        beta = instrument.beta
        own = math.sqrt(1.0 - beta * beta)
        deviation = beta * self._common.deviation(at) + own * self._paths[symbol].deviation(at)
        return instrument.base * math.exp(second_volatility(instrument.volatility) * deviation)

    def _raws(self, symbol: str, first: int, count: int) -> Floats:
        """Return ``_raw`` of prints in a row."""
        instrument = self._instrument(symbol)
        beta = instrument.beta
        own = math.sqrt(1.0 - beta * beta)
        deviations = beta * self._deviations(self._common, first, count) + own * self._deviations(
            self._paths[symbol], first, count
        )
        return instrument.base * np.exp(second_volatility(instrument.volatility) * deviations)

    def _deviations(self, path: Path, first: int, count: int) -> Floats:
        return path.deviations(first, count, fineness=self.fineness)

    @staticmethod
    def _rounded(symbol: str, values: Floats) -> Floats:
        if symbol in SHARES:
            values = np.rint(values / 0.05) * 0.05
        return np.maximum(np.rint(values * 100.0) / 100.0, 0.05)

    def _controlled(
        self, symbol: str, controls: Timeline[Control], row: tuple[Floats, Floats], span: tuple[float, float]
    ) -> Prints:
        """Return prints with what was set from outside, and one more at every instant at which it was set."""
        times, raws = row
        events = controls.changes(*span)
        begins = np.array([self.printed_at(symbol, at) for at in events])
        between = np.array([self._raw(symbol, at) for at in events])
        instants = np.concatenate((times, np.array(events)))
        order = np.argsort(instants, kind="stable")
        instants = instants[order]
        raws = np.concatenate((raws, between))[order]
        states = [controls.value(state) for state in range(controls.state(span[1]) + 1)]
        numbers = np.searchsorted(np.array(controls.changes(-math.inf, span[1])), instants, side="right")
        factors = np.array([state.factor for state in states])[numbers]
        pins = np.array([math.nan if state.pin is None else state.pin for state in states])[numbers]
        spots = np.where(np.isnan(pins), self._rounded(symbol, raws * factors), pins)
        return Prints(instants, np.concatenate((times, begins))[order], spots)
