"""Our own bars of one instrument, built from its ticks as they come (RULES 7).

    bars = TickBars(grid, since=now)
    taken = bars.tick(101.5, at=exchange_time, now=now)      # taken.bars is the state after it
    taken = bars.until(now)                                  # closes what is over although no tick came

The state is frozen: a pass that fails keeps the old one. Each step costs the same however long the day is, because a
closed bar is handed out once, in ``Taken.closed``, and not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import assert_never

from engine.domain.calendar import ist_day
from engine.domain.candles import Bar, BarSource, ClosedBar
from engine.domain.intervals import BarGrid, BarWindow
from engine.domain.prices import is_price

AHEAD = timedelta(seconds=5)
"""A tick stamped further ahead than this has a wrong time: it would close bars that are not over."""


_BEGINNING = datetime.min.replace(tzinfo=UTC)


class TickOutcome(StrEnum):
    """What became of a tick."""

    TAKEN = "taken"
    LATE = "late"
    OUTSIDE = "outside"
    AHEAD = "ahead"
    REFUSED = "refused"

    @property
    def reason(self) -> str:
        """Why the tick changed no bar; empty for one that was taken."""
        match self:
            case TickOutcome.TAKEN:
                return ""
            case TickOutcome.LATE:
                return "its bar is closed"
            case TickOutcome.OUTSIDE:
                return "no session is open at its time"
            case TickOutcome.AHEAD:
                return f"its time lies more than {AHEAD.seconds} s ahead"
            case TickOutcome.REFUSED:
                return "it carries no price: a price is finite and above 0"
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True)
class Gap:
    """Windows without a tick, from the one after ``after`` to the one before ``before``: they have no bar."""

    after: BarWindow
    before: BarWindow


@dataclass(frozen=True, slots=True)
class Taken:
    """One step: the state after it, what became of the tick (None without one), the bar it closed, the gap it ended."""

    bars: TickBars
    outcome: TickOutcome | None = None
    closed: ClosedBar | None = None
    gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class TickBars:
    """The bar being built, and what is needed to close it.

    ``since``: the stream has been seen without interruption from here on (aware UTC); ``lost_at``: it is down since
    then. ``open_bar`` is the bar of ``window``, None between bars; it is never among the closed ones.
    ``closed_until``: nothing before this instant changes any more. ``seen_volume`` is the largest volume of the day
    told so far, ``base_volume`` what of it belongs to earlier bars, ``volume_day`` the day (IST) they count in.
    """

    grid: BarGrid
    since: datetime
    lost_at: datetime | None = None
    window: BarWindow | None = None
    open_bar: Bar | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None
    last_window: BarWindow | None = None
    closed_until: datetime = _BEGINNING
    seen_volume: int | None = None
    base_volume: int | None = None
    volume_day: date | None = None

    def tick(self, price: float, *, at: datetime, now: datetime, day_volume: int | None = None) -> Taken:
        """Take one tick: ``price`` in ₹, ``at`` the exchange's time where it is sent, else that of receipt (aware).

        ``day_volume`` is the volume of the day so far, None where it is not sent. A tick of a later window closes the
        open bar. One older than the open bar's window changes nothing: its bar is closed, or never was. Inside the
        window the order of arrival does not matter: the oldest tick is the open, the newest the close (of two with one
        time the open is the first to come, the close the last). A frame that comes twice changes nothing.
        """
        if not is_price(price):
            return Taken(self, TickOutcome.REFUSED)
        if at > now + AHEAD:
            return Taken(self, TickOutcome.AHEAD)
        if at < self.closed_until:
            return Taken(self, TickOutcome.LATE)
        if self.window is not None and self.window.holds(at):
            return Taken(_grown(self, price, at, day_volume), TickOutcome.TAKEN)
        if at < self.since - self.grid.interval.length:
            return Taken(self, TickOutcome.LATE)
        window = self.grid.window_at(at)
        if window is None:
            return Taken(self, TickOutcome.OUTSIDE)
        if window.close <= self.since:
            return Taken(self, TickOutcome.LATE)
        before = self._shut(window.start)
        return Taken(
            _opened(before.bars, price, at, window, day_volume),
            TickOutcome.TAKEN,
            before.closed,
            _gap(before.bars, window),
        )

    def until(self, now: datetime) -> Taken:
        """Close what is over at ``now`` (aware): the open bar at or after its end. What comes for that time is late."""
        if self.window is not None and now < self.window.close:
            return Taken(self)
        current = self.grid.window_at(now)
        return self._shut(now if current is None else current.start)

    def lost(self, at: datetime) -> TickBars:
        """Return the state after the stream went down: bars that close meanwhile are not whole."""
        return self if self.lost_at is not None else replace(self, lost_at=at)

    def resumed(self, at: datetime) -> TickBars:
        """Return the state after the stream came back: bars that opened before ``at`` are not whole."""
        return replace(self, since=at, lost_at=None)

    def watched(self, window: BarWindow) -> bool:
        """Tell whether the stream was seen through the whole window: then no bar means that nothing was traded."""
        return self.since <= window.start and (self.lost_at is None or self.lost_at >= window.close)

    def _shut(self, over: datetime) -> Taken:
        """Close the open bar and everything before ``over``."""
        if over <= self.closed_until:
            return Taken(self)
        if self.window is None or self.open_bar is None:
            return Taken(replace(self, closed_until=over))
        closed = ClosedBar(self.open_bar, BarSource.TICKS, whole=self.watched(self.window))
        after = replace(
            self,
            window=None,
            open_bar=None,
            first_at=None,
            last_at=None,
            last_window=self.window,
            closed_until=over,
            base_volume=self.seen_volume,
        )
        return Taken(after, closed=closed)


def _opened(bars: TickBars, price: float, at: datetime, window: BarWindow, day_volume: int | None) -> TickBars:
    day = ist_day(window.start)
    seen, base = bars.seen_volume, bars.base_volume
    if day != bars.volume_day:
        # a day counts from 0; begun in its midst, nobody told what was traded before the first frame
        seen = base = 0 if bars.since <= bars.grid.windows_of_day(day)[0].start else None
    volume, seen, base = _volume(seen, base, day_volume)
    return replace(
        bars,
        window=window,
        open_bar=Bar(window.start, price, price, price, price, volume),
        first_at=at,
        last_at=at,
        seen_volume=seen,
        base_volume=base,
        volume_day=day,
    )


def _grown(bars: TickBars, price: float, at: datetime, day_volume: int | None) -> TickBars:
    bar, first_at, last_at = bars.open_bar, bars.first_at, bars.last_at
    assert bar is not None
    assert first_at is not None
    assert last_at is not None
    volume, seen, base = _volume(bars.seen_volume, bars.base_volume, day_volume)
    grown = Bar(
        bar.start,
        price if at < first_at else bar.open,
        max(bar.high, price),
        min(bar.low, price),
        price if at >= last_at else bar.close,
        volume,
    )
    return replace(
        bars,
        open_bar=grown,
        first_at=min(first_at, at),
        last_at=max(last_at, at),
        seen_volume=seen,
        base_volume=base,
    )


def _gap(bars: TickBars, window: BarWindow) -> Gap | None:
    if bars.last_window is None or bars.grid.next_window(bars.last_window) == window:
        return None
    return Gap(bars.last_window, window)


def _volume(seen: int | None, base: int | None, told: int | None) -> tuple[int, int | None, int | None]:
    """Return a bar's volume, the largest of the day and the base. A day's volume that falls is a wrong frame."""
    if told is not None and told >= 0:
        seen = told if seen is None else max(seen, told)
        base = seen if base is None else base
    return (0 if seen is None or base is None else seen - base), seen, base
