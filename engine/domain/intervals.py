"""Intervals of candles and the windows they cut a session into: counted from the session's open (RULES 7, 8)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import assert_never

from engine.domain.calendar import Calendar, Session, ist_day
from engine.domain.errors import CandleError
from engine.domain.instruments import Exchange


class Interval(StrEnum):
    """The candles of RULES 7, by the names that OpenAlgo's ``intervals`` and ``history`` use."""

    M1 = "1m"
    M3 = "3m"
    M5 = "5m"
    M10 = "10m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"

    @property
    def length(self) -> timedelta:
        """How long one bar is, unless the session ends first.

        >>> Interval.M15.length, Interval.H1.length
        (datetime.timedelta(seconds=900), datetime.timedelta(seconds=3600))
        """
        match self:
            case Interval.M1:
                return timedelta(minutes=1)
            case Interval.M3:
                return timedelta(minutes=3)
            case Interval.M5:
                return timedelta(minutes=5)
            case Interval.M10:
                return timedelta(minutes=10)
            case Interval.M15:
                return timedelta(minutes=15)
            case Interval.M30:
                return timedelta(minutes=30)
            case Interval.H1:
                return timedelta(hours=1)
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True, order=True)
class BarWindow:
    """The time of one bar, aware UTC: from ``start`` up to, but not at, ``close``."""

    start: datetime
    close: datetime

    def holds(self, at: datetime) -> bool:
        """Tell whether an instant lies in the window."""
        return self.start <= at < self.close


@dataclass(frozen=True, slots=True)
class BarGrid:
    """The windows of one interval on one exchange (RULES 7: session-anchored).

    Windows are counted from the open of each session, never from midnight: with 1h bars of 09:15, 10:15 and so on. The
    last one of a session ends with the session, so it may be short (15:30 to 15:40 on NFO since 2026-08-03 with 15m).
    Each special session, and each of two sessions on one day, begins its own count. A paper venue counts from
    midnight in India. Questions about days the calendar does not know raise CalendarError.
    """

    interval: Interval
    calendar: Calendar
    exchange: Exchange

    def window_at(self, at: datetime) -> BarWindow | None:
        """Return the window that holds an instant (aware), None outside sessions."""
        for session in _sessions(self.calendar, self.exchange, ist_day(at)):
            if session.is_open(at):
                length = self.interval.length
                start = session.open + (at - session.open) // length * length
                return BarWindow(start, min(start + length, session.close))
        return None

    def windows_of_day(self, day: date) -> tuple[BarWindow, ...]:
        """Return all windows of a day (IST) in order, none on a day without trading."""
        return tuple(
            window
            for session in _sessions(self.calendar, self.exchange, day)
            for window in _cut(session, self.interval.length)
        )

    def close_of(self, start: datetime) -> datetime:
        """Return when the bar that opens at ``start`` closes (UTC).

        Raises CandleError when no bar of this interval opens there.
        """
        window = self.window_at(start)
        if window is None or window.start != start:
            raise CandleError(
                "start",
                f"no {self.interval} bar of {self.exchange} opens at {start.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z",
            )
        return window.close

    def next_window(self, window: BarWindow) -> BarWindow:
        """Return the window after one of this grid: of the same session, else the first of the next session."""
        if (following := self.window_at(window.close)) is not None:
            return following
        day = ist_day(window.start)
        for session in _sessions(self.calendar, self.exchange, day):
            if session.open >= window.close:
                return _cut(session, self.interval.length)[0]
        return self.windows_of_day(self.calendar.next_trading_day(self.exchange, day))[0]

    def closed_by(self, now: datetime, *, count: int) -> tuple[BarWindow, ...]:
        """Return the last ``count`` windows closed by ``now`` (aware), oldest first, going back over trading days.

        The day of the first one is where a request for history of that many bars begins. Raises CandleError for a
        count below 1.
        """
        if count < 1:
            raise CandleError("count", f"at least one bar, not {count}")
        day = ist_day(now)
        found = [window for window in self.windows_of_day(day) if window.close <= now]
        while len(found) < count:
            day = self.calendar.previous_trading_day(self.exchange, day)
            found[:0] = self.windows_of_day(day)
        return tuple(found[-count:])

    def closed_on(self, day: date, now: datetime) -> tuple[BarWindow, ...]:
        """Return the windows of a day that are closed by ``now``: those whose end is not after it."""
        return tuple(window for window in self.windows_of_day(day) if window.close <= now)


# a calendar never changes once built, and every row and tick asks for its day
@lru_cache(maxsize=512)
def _sessions(calendar: Calendar, exchange: Exchange, day: date) -> tuple[Session, ...]:
    return calendar.sessions(exchange, day)


def _cut(session: Session, length: timedelta) -> tuple[BarWindow, ...]:
    count = -((session.open - session.close) // length)
    return tuple(
        BarWindow(session.open + number * length, min(session.open + (number + 1) * length, session.close))
        for number in range(count)
    )
