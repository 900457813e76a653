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
from engine.domain.errors import CalendarError
from engine.domain.intervals import BarGrid, BarWindow
from engine.domain.prices import is_price

AHEAD = timedelta(seconds=5)
"""A tick stamped further ahead than this has a wrong time: it would close bars that are not over."""

DOUBTED = timedelta(hours=1)
"""So far ahead such a time may be right, and our clock wrong: bars until then lack a trade. Further off it is wrong."""

ON_ITS_WAY = timedelta(seconds=2)
"""So long after its end a bar waits for its last ticks, unless a later one comes first: they need time to reach us."""

_BEGINNING = datetime.min.replace(tzinfo=UTC)


class TickOutcome(StrEnum):
    """What became of a tick."""

    TAKEN = "taken"
    LATE = "late"
    OUTSIDE = "outside"
    AHEAD = "ahead"
    UNKNOWN_DAY = "unknown_day"
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
            case TickOutcome.UNKNOWN_DAY:
                return "the calendar does not know the sessions of its day"
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
class Forming:
    """The bar being built: its window, its figures so far, and the times of its oldest and newest tick."""

    window: BarWindow
    bar: Bar
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class DayVolume:
    """Volume of a day (IST): the largest told so far, and what of it belongs to earlier bars; None until told."""

    day: date
    seen: int | None
    base: int | None

    def told(self, volume: int | None) -> DayVolume:
        """Return this after a frame. A volume of the day that falls is a wrong frame: it changes nothing."""
        if volume is None or volume < 0 or (self.seen is not None and volume <= self.seen):
            return self
        return DayVolume(self.day, volume, volume if self.base is None else self.base)

    @property
    def of_bar(self) -> int:
        """What the day grew by since the last bar, never negative."""
        return 0 if self.seen is None or self.base is None else self.seen - self.base


@dataclass(frozen=True, slots=True)
class TickBars:
    """The bar being built, and what is needed to close it.

    ``since``: the stream has been seen without interruption from here on (aware UTC); ``lost_at``: it is down since
    then. ``forming`` is None between bars. ``closed_until``: nothing before this instant changes any more.
    """

    grid: BarGrid
    since: datetime
    lost_at: datetime | None = None
    forming: Forming | None = None
    last_window: BarWindow | None = None
    closed_until: datetime = _BEGINNING
    volume: DayVolume | None = None

    @property
    def open_bar(self) -> Bar | None:
        """The bar that is not over yet; it is never among the closed ones."""
        return None if self.forming is None else self.forming.bar

    def tick(self, price: float, *, at: datetime, now: datetime, day_volume: int | None = None) -> Taken:
        """Take one tick: ``price`` in ₹, ``at`` the exchange's time where it is sent, else that of receipt (aware).

        ``day_volume`` is the volume of the day so far, None where it is not sent. A tick of a later window closes the
        open bar. One older than the open bar's window changes nothing: its bar is closed, or never was. Inside the
        window the order of arrival does not matter: the oldest tick is the open, the newest the close (of two with one
        time the open is the first to come, the close the last). A frame that comes twice in a row changes nothing.

        A tick that is late or too far ahead was a trade all the same: no bar up to its time counts as seen any more.
        """
        if not is_price(price):
            return Taken(self, TickOutcome.REFUSED)
        if at > now + AHEAD:
            return Taken(self.unseen(min(at, now + DOUBTED)), TickOutcome.AHEAD)
        if at < self.closed_until:
            return Taken(self.unseen(at), TickOutcome.LATE)
        if self.forming is not None and self.forming.window.holds(at):
            return Taken(_grown(self, self.forming, price, at, day_volume), TickOutcome.TAKEN)
        if at < self.since - self.grid.interval.length:
            return Taken(self, TickOutcome.LATE)
        try:
            window = self.grid.window_at(at)
        except CalendarError:
            return Taken(self, TickOutcome.UNKNOWN_DAY)
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
        """Close what is over at ``now`` (aware): the open bar 2 s after its end. What comes for that time is late."""
        arrived = now - ON_ITS_WAY
        if self.forming is not None and arrived < self.forming.window.close:
            return Taken(self)
        try:
            current = self.grid.window_at(arrived)
        except CalendarError:  # no bar opens on a day that nobody knows: nothing of it can be cut off
            current = None
        return self._shut(arrived if current is None else current.start)

    def lost(self, at: datetime) -> TickBars:
        """Return the state after the stream went down: bars that close meanwhile are not whole."""
        return self if self.lost_at is not None else replace(self, lost_at=at)

    def resumed(self, at: datetime) -> TickBars:
        """Return the state after the stream came back: bars that opened before ``at`` are not whole.

        A clock set back meanwhile does not make seen what was lost.
        """
        return replace(self, since=max(at, self.since, self.lost_at or at), lost_at=None)

    def watched(self, window: BarWindow) -> bool:
        """Tell whether the stream was seen through the whole window: then no bar means that nothing was traded.

        A stream that was lost within 2 s of the window's end may have lost its last ticks, or our clock may be ahead.
        """
        return self.since <= window.start and (self.lost_at is None or self.lost_at >= window.close + ON_ITS_WAY)

    def unseen(self, at: datetime) -> TickBars:
        """Return the state after a trade of this time that is in no bar."""
        return replace(self, since=max(self.since, at + timedelta.resolution))

    def _shut(self, over: datetime) -> Taken:
        """Close the open bar and everything before ``over``."""
        if over <= self.closed_until:
            return Taken(self)
        if self.forming is None:
            return Taken(replace(self, closed_until=over))
        window, volume = self.forming.window, self.volume
        closed = ClosedBar(self.forming.bar, BarSource.TICKS, whole=self.watched(window))
        after = replace(
            self,
            forming=None,
            last_window=window,
            closed_until=over,
            volume=None if volume is None else replace(volume, base=volume.seen),
        )
        return Taken(after, closed=closed)


def _opened(bars: TickBars, price: float, at: datetime, window: BarWindow, day_volume: int | None) -> TickBars:
    volume, day = bars.volume, ist_day(window.start)
    if volume is None or volume.day != day:
        # a day counts from 0; begun in its midst, nobody told what was traded before the first frame
        known = 0 if bars.since <= bars.grid.windows_of_day(day)[0].start else None
        volume = DayVolume(day, known, known)
    volume = volume.told(day_volume)
    bar = Bar(window.start, price, price, price, price, volume.of_bar)
    return replace(bars, forming=Forming(window, bar, at, at), volume=volume)


def _grown(bars: TickBars, forming: Forming, price: float, at: datetime, day_volume: int | None) -> TickBars:
    bar = forming.bar
    volume = None if bars.volume is None else bars.volume.told(day_volume)
    grown = Bar(
        bar.start,
        price if at < forming.first_at else bar.open,
        max(bar.high, price),
        min(bar.low, price),
        price if at >= forming.last_at else bar.close,
        0 if volume is None else volume.of_bar,
    )
    following = Forming(forming.window, grown, min(forming.first_at, at), max(forming.last_at, at))
    # built directly: this runs on every tick, and replace() costs as much as all the rest
    return TickBars(bars.grid, bars.since, bars.lost_at, following, bars.last_window, bars.closed_until, volume)


def _gap(bars: TickBars, window: BarWindow) -> Gap | None:
    if bars.last_window is None or bars.grid.next_window(bars.last_window) == window:
        return None
    return Gap(bars.last_window, window)
