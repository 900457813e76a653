"""When a time rule is due: its first occurrence after the entry; an intraday run never stays overnight (RULES 7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Protocol

from engine.domain.breaches import WHOLE, ExitAction, ExitRule, Part
from engine.domain.calendar import IST, Calendar, Session, ist_day
from engine.domain.errors import CalendarError, RuleError
from engine.domain.instruments import Exchange

MIS_SQUARE_OFF = time(15, 10)
"""When an intraday run leaves unless told otherwise, in India."""
MIS_BEFORE_END = timedelta(minutes=10)
"""How long before the end of its session an intraday run leaves whose time does not fall into that session."""


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """A time of day in IST (no zone on it) at which to act, with its switch and action."""

    at: time
    enabled: bool = True
    action: ExitAction = ExitAction.CLOSE_ALL
    part: Part = WHOLE

    def __post_init__(self) -> None:
        if self.at.tzinfo is not None:
            raise RuleError("at", "is a time of day in India: it takes no time zone")


class Times(Protocol):
    """The time rules of a run. ``intraday``: an MIS run, which leaves in the session it entered in."""

    @property
    def exit_time(self) -> TimeLimit | None:
        """When it leaves by the strategy's own rule."""
        ...

    @property
    def square_off_time(self) -> TimeLimit | None:
        """When it leaves in any case."""
        ...

    @property
    def intraday(self) -> bool:
        """Whether it must not stay overnight."""
        ...


def next_due(
    at: time, entered_at: datetime, calendar: Calendar, exchange: Exchange, *, assume_weekdays: bool = False
) -> datetime:
    """Return the first occurrence (UTC) of a time of day in India after the entry, on a trading day (RULES 7).

    Raises CalendarError where the calendar does not know the year, unless ``assume_weekdays``.

    >>> from engine.domain.calendar import INDIA
    >>> friday = datetime(2026, 11, 20, 15, 20, tzinfo=IST)
    >>> next_due(time(15, 10), friday, INDIA, Exchange.NFO).astimezone(IST).isoformat()
    '2026-11-23T15:10:00+05:30'
    """
    day = ist_day(entered_at)
    due = datetime.combine(day, at, IST).astimezone(UTC)
    if due > entered_at and calendar.is_trading_day(exchange, day, assume_weekdays=assume_weekdays):
        return due
    day = calendar.next_trading_day(exchange, day, assume_weekdays=assume_weekdays)
    return datetime.combine(day, at, IST).astimezone(UTC)


def time_due(at: time, entered_at: datetime, calendar: Calendar, exchange: Exchange) -> datetime:
    """Return when a time rule is due (UTC); in a year without a holiday table every weekday counts.

    Such a year must not keep a run in: an exit tried on a holiday is tried again.
    """
    try:
        return next_due(at, entered_at, calendar, exchange)
    except CalendarError:
        return next_due(at, entered_at, calendar, exchange, assume_weekdays=True)


def square_off_due(
    at: time, entered_at: datetime, calendar: Calendar, exchange: Exchange, *, intraday: bool
) -> datetime:
    """Return when the square-off time of a run is due (UTC), RULES 7.

    An intraday (MIS) run leaves in the session it entered in: where its time does not fall into that session (a special
    one, or an entry after that time), 10 minutes before orders end there, which may be past already.

    >>> from engine.domain.calendar import INDIA
    >>> muhurat = datetime(2026, 11, 8, 18, 5, tzinfo=IST)
    >>> square_off_due(time(15, 10), muhurat, INDIA, Exchange.NFO, intraday=True).astimezone(IST).isoformat()
    '2026-11-08T19:05:00+05:30'
    """
    due = time_due(at, entered_at, calendar, exchange)
    session = _session_of(entered_at, calendar, exchange) if intraday else None
    if session is None or due < session.act_by:
        return due
    return session.act_by - MIS_BEFORE_END


def due_times(
    limits: Times, entered_at: datetime, calendar: Calendar, exchange: Exchange
) -> list[tuple[ExitRule, TimeLimit, datetime]]:
    """Return rule, limit and due time (UTC) of each time rule of a run, switched off or not (RULES 7)."""
    found: list[tuple[ExitRule, TimeLimit, datetime]] = []
    if limits.exit_time is not None:
        due = time_due(limits.exit_time.at, entered_at, calendar, exchange)
        found.append((ExitRule.EXIT_TIME, limits.exit_time, due))
    if limits.square_off_time is not None:
        at = limits.square_off_time.at
        due = square_off_due(at, entered_at, calendar, exchange, intraday=limits.intraday)
        found.append((ExitRule.SQUARE_OFF, limits.square_off_time, due))
    return found


def first_due(limits: Times, entered_at: datetime, calendar: Calendar, exchange: Exchange) -> datetime | None:
    """Return when the first time rule takes something of a run out (UTC), None if none ever does."""
    dues = [
        due
        for _rule, limit, due in due_times(limits, entered_at, calendar, exchange)
        if limit.enabled and limit.action is not ExitAction.ALERT_ONLY
    ]
    return min(dues, default=None)


def _session_of(entered_at: datetime, calendar: Calendar, exchange: Exchange) -> Session | None:
    """Return the last session of the day that had begun at the entry; before the first one: that one."""
    sessions = calendar.sessions(exchange, ist_day(entered_at), assume_weekdays=True)
    begun = [session for session in sessions if session.open <= entered_at]
    return begun[-1] if begun else next(iter(sessions), None)
