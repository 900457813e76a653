"""Trading days and sessions per exchange: configuration with effective dates, and the questions asked of it (RULES 1).

Times of day are Asia/Kolkata, instants are aware UTC. The built-in tables (market holidays and special sessions of 2025
and 2026, opening hours since 2025) are the fallback; a calendar from stored rows has the same form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.domain.errors import CalendarError
from engine.domain.instruments import Exchange

IST = ZoneInfo("Asia/Kolkata")

EQUITY = frozenset({Exchange.NSE, Exchange.BSE, Exchange.NSE_INDEX, Exchange.BSE_INDEX})
DERIVATIVES = frozenset({Exchange.NFO, Exchange.BFO})
ALL = EQUITY | DERIVATIVES

_LONGEST_CLOSURE_DAYS = 30
_NATIONAL_DAYS = frozenset({(1, 26), (5, 1), (8, 15), (10, 2), (12, 25)})  # (month, day), closed in every year


@dataclass(frozen=True, slots=True)
class Session:
    """One continuous session, aware UTC: orders go until ``act_by``, prices are watched until ``close``."""

    open: datetime
    close: datetime
    act_by: datetime

    def is_open(self, now: datetime) -> bool:
        """Tell whether the exchange trades at ``now``: from the opening up to, but not at, the close."""
        return self.open <= now < self.close


@dataclass(frozen=True, slots=True)
class Hours:
    """Ordinary hours (IST) of some exchanges from a date on, until a later row replaces them."""

    exchanges: frozenset[Exchange]
    since: date
    open: time
    close: time
    act_by: time


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day on which these exchanges do not hold their ordinary session."""

    day: date
    name: str
    exchanges: frozenset[Exchange] = ALL


@dataclass(frozen=True, slots=True)
class SpecialSession:
    """A session (IST) of its own on a holiday or at a weekend."""

    day: date
    name: str
    open: time
    close: time
    exchanges: frozenset[Exchange] = ALL


# eq=False: compared and hashed as one object, since the tables behind it are large
@dataclass(frozen=True, eq=False)
class Calendar:
    """Trading days and sessions.

    ``years`` are those whose holidays are known: a question about another year raises CalendarError instead of taking
    every weekday for a trading day. ``assume_weekdays=True`` answers it nevertheless, with weekdays except the holidays
    of fixed date; listings of contracts far ahead use that, decisions about orders do not. ``always_open``: every day
    is a trading day with one session from midnight to midnight IST (paper venues).
    """

    hours: tuple[Hours, ...] = ()
    holidays: tuple[Holiday, ...] = ()
    special_sessions: tuple[SpecialSession, ...] = ()
    years: frozenset[int] = frozenset()
    always_open: bool = False
    _closed: frozenset[tuple[Exchange, date]] = field(init=False, repr=False)
    _special: dict[tuple[Exchange, date], tuple[SpecialSession, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        closed = frozenset((exchange, holiday.day) for holiday in self.holidays for exchange in holiday.exchanges)
        special: dict[tuple[Exchange, date], tuple[SpecialSession, ...]] = {}
        for row in sorted(self.special_sessions, key=lambda row: (row.day, row.open)):
            for exchange in row.exchanges:
                special[exchange, row.day] = (*special.get((exchange, row.day), ()), row)
        object.__setattr__(self, "_closed", closed)
        object.__setattr__(self, "_special", special)

    def is_ordinary_day(self, exchange: Exchange, day: date, *, assume_weekdays: bool = False) -> bool:
        """Tell whether the ordinary session is held: a weekday and no holiday. Expiries fall on such days only.

        Raises CalendarError for a year without data and an exchange without hours.
        """
        if self.always_open:
            return True
        self._hours_of(exchange, day)
        if day.year not in self.years and not assume_weekdays:
            raise CalendarError("day", f"sessions of {day.year} are unknown for {exchange}: enter them in the settings")
        if day.weekday() >= 5:
            return False
        if day.year in self.years:
            return (exchange, day) not in self._closed
        return (day.month, day.day) not in _NATIONAL_DAYS

    def sessions(self, exchange: Exchange, day: date, *, assume_weekdays: bool = False) -> tuple[Session, ...]:
        """Return the sessions of a day (IST) in order, none on a day without trading (RULES 1).

        Raises CalendarError for a year without data and an exchange without hours.
        """
        if self.always_open:
            midnight = _instant(day, time(0))
            return (Session(midnight, midnight + timedelta(days=1), midnight + timedelta(days=1)),)
        if special := self._special.get((exchange, day)):
            return tuple(
                Session(_instant(day, row.open), _instant(day, row.close), _instant(day, row.close)) for row in special
            )
        if not self.is_ordinary_day(exchange, day, assume_weekdays=assume_weekdays):
            return ()
        row = self._hours_of(exchange, day)
        return (Session(_instant(day, row.open), _instant(day, row.close), _instant(day, row.act_by)),)

    def is_trading_day(self, exchange: Exchange, day: date, *, assume_weekdays: bool = False) -> bool:
        """Tell whether the exchange holds any session on a day, special ones included."""
        return bool(self.sessions(exchange, day, assume_weekdays=assume_weekdays))

    def previous_trading_day(self, exchange: Exchange, day: date, *, assume_weekdays: bool = False) -> date:
        """Return the last trading day before ``day``."""
        return self._first(_days(day, -1), exchange, assume_weekdays=assume_weekdays)

    def next_trading_day(self, exchange: Exchange, day: date, *, assume_weekdays: bool = False) -> date:
        """Return the first trading day after ``day``."""
        return self._first(_days(day, 1), exchange, assume_weekdays=assume_weekdays)

    def session_open_at(self, exchange: Exchange, now: datetime) -> Session | None:
        """Return the session that is open at ``now`` (aware), None when the exchange is closed."""
        day = ist_day(now)
        return next((session for session in self.sessions(exchange, day) if session.is_open(now)), None)

    def last_close(self, exchange: Exchange, day: date, *, assume_weekdays: bool = False) -> datetime:
        """Return when the last session of a trading day closes (UTC). Raises CalendarError on a day without one."""
        sessions = self.sessions(exchange, day, assume_weekdays=assume_weekdays)
        if not sessions:
            raise CalendarError("day", f"{exchange} holds no session on {day}")
        return sessions[-1].close

    def _hours_of(self, exchange: Exchange, day: date) -> Hours:
        rows = [row for row in self.hours if exchange in row.exchanges and row.since <= day]
        if not rows:
            raise CalendarError("exchange", f"no trading hours are known for {exchange} on {day}")
        return max(rows, key=lambda row: row.since)

    def _first(self, days: Iterator[date], exchange: Exchange, *, assume_weekdays: bool) -> date:
        for day in days:
            if self.is_trading_day(exchange, day, assume_weekdays=assume_weekdays):
                return day
        raise CalendarError("day", f"no trading day of {exchange} within {_LONGEST_CLOSURE_DAYS} days")


def ist_day(now: datetime) -> date:
    """Return the day in India of an instant. Raises CalendarError for a time without a zone.

    >>> ist_day(datetime(2026, 11, 22, 19, 0, tzinfo=UTC))
    datetime.date(2026, 11, 23)
    """
    if now.tzinfo is None:
        raise CalendarError("now", f"{now} has no time zone")
    return now.astimezone(IST).date()


def _instant(day: date, at: time) -> datetime:
    return datetime.combine(day, at, IST).astimezone(UTC)


def _days(day: date, step: int) -> Iterator[date]:
    return (day + timedelta(days=step * count) for count in range(1, _LONGEST_CLOSURE_DAYS + 1))


def _holidays(year: int, *days: tuple[int, int, str]) -> tuple[Holiday, ...]:
    return tuple(Holiday(date(year, month, day), name) for month, day, name in days)


_TABLES_BEGIN = date(2025, 1, 1)
_NSE_DERIVATIVES_LONGER = date(2026, 8, 3)

HOURS = (
    Hours(ALL, _TABLES_BEGIN, time(9, 15), time(15, 30), time(15, 30)),
    Hours(frozenset({Exchange.NFO}), _NSE_DERIVATIVES_LONGER, time(9, 15), time(15, 40), time(15, 40)),
    # whether BSE followed is not established: act by the old close, watch until the new one
    Hours(frozenset({Exchange.BFO}), _NSE_DERIVATIVES_LONGER, time(9, 15), time(15, 40), time(15, 30)),
)

HOLIDAYS = (
    *_holidays(
        2025,
        (2, 26, "Mahashivratri"),
        (3, 14, "Holi"),
        (3, 31, "Id-Ul-Fitr"),
        (4, 10, "Mahavir Jayanti"),
        (4, 14, "Dr. Ambedkar Jayanti"),
        (4, 18, "Good Friday"),
        (5, 1, "Maharashtra Day"),
        (8, 15, "Independence Day"),
        (8, 27, "Ganesh Chaturthi"),
        (10, 2, "Gandhi Jayanti and Dussehra"),
        (10, 21, "Diwali Laxmi Pujan"),
        (10, 22, "Balipratipada"),
        (11, 5, "Guru Nanak Jayanti"),
        (12, 25, "Christmas"),
    ),
    *_holidays(
        2026,
        (1, 15, "Municipal election in Maharashtra"),
        (1, 26, "Republic Day"),
        (3, 3, "Holi"),
        (3, 26, "Ram Navami"),
        (3, 31, "Mahavir Jayanti"),
        (4, 3, "Good Friday"),
        (4, 14, "Dr. Ambedkar Jayanti"),
        (5, 1, "Maharashtra Day"),
        (5, 28, "Bakri Id"),
        (6, 26, "Muharram"),
        (9, 14, "Ganesh Chaturthi"),
        (10, 2, "Gandhi Jayanti"),
        (10, 20, "Dussehra"),
        (11, 10, "Balipratipada"),
        (11, 24, "Guru Nanak Jayanti"),
        (12, 25, "Christmas"),
    ),
)

SPECIAL_SESSIONS = (
    SpecialSession(date(2025, 2, 1), "Budget", time(9, 15), time(15, 30)),
    SpecialSession(date(2025, 10, 21), "Muhurat", time(13, 45), time(14, 45)),
    SpecialSession(date(2026, 2, 1), "Budget", time(9, 15), time(15, 30)),
    SpecialSession(date(2026, 11, 8), "Muhurat", time(18, 0), time(19, 15)),
)

INDIA = Calendar(HOURS, HOLIDAYS, SPECIAL_SESSIONS, frozenset({2025, 2026}))
"""NSE and BSE, equity and derivatives, 2025 and 2026."""

ALWAYS_OPEN = Calendar(always_open=True)
"""The calendar of paper venues."""
