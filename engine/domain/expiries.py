"""Which expiries are listed by rule, and which of them a strategy means (RULES 1)."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import islice

from engine.domain.calendar import Calendar, ist_day
from engine.domain.contracts import derivatives_exchange
from engine.domain.errors import CalendarError, ContractError
from engine.domain.instruments import Exchange

_TUESDAY, _THURSDAY = 1, 3
_RULE_SINCE = date(2025, 9, 1)
_EXPIRY_WEEKDAYS = {
    "NIFTY": _TUESDAY,
    "BANKNIFTY": _TUESDAY,
    "FINNIFTY": _TUESDAY,
    "MIDCPNIFTY": _TUESDAY,
    "SENSEX": _THURSDAY,
    "BANKEX": _THURSDAY,
}
_WEEKLY = frozenset({"NIFTY", "SENSEX"})


class ExpiryChoice(StrEnum):
    """The expiry a leg asks for."""

    CURRENT_WEEK = "current_week"
    NEXT_WEEK = "next_week"
    CURRENT_MONTH = "current_month"
    NEXT_MONTH = "next_month"


WEEK_CHOICES = frozenset({ExpiryChoice.CURRENT_WEEK, ExpiryChoice.NEXT_WEEK})


def has_weekly_expiries(underlying: str) -> bool:
    """Tell whether weekly options are listed: one index per exchange, NIFTY and SENSEX (RULES 1).

    >>> has_weekly_expiries("NIFTY"), has_weekly_expiries("BANKNIFTY")
    (True, False)
    """
    return underlying in _WEEKLY


def listed_expiries(underlying: str, today: date, calendar: Calendar, *, weeks: int = 4, months: int = 3) -> list[date]:
    """Return the expiries not before ``today`` that the exchange's rule lists, ascending (RULES 1).

    The next ``weeks`` weekly ones (NIFTY Tuesdays, SENSEX Thursdays) and the next ``months`` monthly ones (the last
    such weekday of a month); one that falls on a holiday moves to the ordinary trading day before. In years without
    holiday data every weekday counts unless it is a holiday of fixed date. For paper exchanges and forms: a connected
    account's list is the broker's. Raises ContractError for an index without a rule, CalendarError for days before
    2025-09-01, when other weekdays were in force.

    >>> from engine.domain.calendar import INDIA
    >>> [f"{day:%d-%b-%y}" for day in listed_expiries("SENSEX", date(2026, 11, 22), INDIA, weeks=3, months=2)]
    ['26-Nov-26', '03-Dec-26', '10-Dec-26', '31-Dec-26']
    """
    weekday = _EXPIRY_WEEKDAYS.get(underlying)
    if weekday is None:
        raise ContractError("underlying", f"no expiry rule is known for {underlying}")
    if today < _RULE_SINCE:
        raise CalendarError("today", f"the expiry rule of {underlying} begins on {_RULE_SINCE}")
    exchange = derivatives_exchange(underlying)

    def first(count: int, nominal_days: Iterator[date]) -> list[date]:
        actual = (_moved_before_holidays(day, calendar, exchange) for day in nominal_days)
        return list(islice((day for day in actual if day >= today), count))

    weekly = first(weeks, _weekly(today, weekday)) if has_weekly_expiries(underlying) else []
    return sorted({*weekly, *first(months, _monthly(today, weekday))})


def choose_expiry(
    choice: ExpiryChoice, listed: Sequence[date], now: datetime, last_close: Callable[[date], datetime]
) -> date:
    """Return the listed expiry that a choice means at ``now`` (aware), RULES 1.

    Current week is the first expiry whose session has not closed, next week the one after it; current month is the last
    expiry in the calendar month of the first, next month the last one in the month after that. ``last_close`` gives the
    close of the session of an expiry day; it is asked about today only. Raises ContractError if nothing listed fits.

    >>> from engine.domain.calendar import INDIA, IST
    >>> listed = [date(2026, 11, 23), date(2026, 12, 1), date(2026, 12, 29)]
    >>> close = lambda day: INDIA.last_close(Exchange.NFO, day)
    >>> choose_expiry(ExpiryChoice.NEXT_MONTH, listed, datetime(2026, 11, 22, 12, tzinfo=IST), close)
    datetime.date(2026, 12, 29)
    """
    today = ist_day(now)
    ahead = [day for day in sorted(set(listed)) if day > today or (day == today and now < last_close(day))]
    if not ahead:
        raise ContractError("expiry", "no listed expiry is still open: refresh the expiries")
    first = ahead[0]
    if choice is ExpiryChoice.CURRENT_WEEK:
        return first
    if choice is ExpiryChoice.NEXT_WEEK:
        if len(ahead) < 2:
            raise ContractError("expiry", f"no expiry is listed after {first}")
        return ahead[1]
    year, month = first.year, first.month
    if choice is ExpiryChoice.NEXT_MONTH:
        year, month = _following_month(year, month)
    fitting = [day for day in ahead if (day.year, day.month) == (year, month)]
    if not fitting:
        raise ContractError("expiry", f"no expiry is listed in {year}-{month:02d}")
    return fitting[-1]


def is_expiry_day(listed: Sequence[date], today: date) -> bool:
    """Tell whether a listed expiry of the instrument is today; never a test of the weekday (RULES 1).

    >>> is_expiry_day([date(2026, 11, 23), date(2026, 12, 1)], date(2026, 11, 24))
    False
    """
    return today in listed


def _weekly(today: date, weekday: int) -> Iterator[date]:
    day = today + timedelta(days=(weekday - today.weekday()) % 7)
    while True:
        yield day
        day += timedelta(days=7)


def _monthly(today: date, weekday: int) -> Iterator[date]:
    year, month = today.year, today.month
    while True:
        last = date(year, month, monthrange(year, month)[1])
        yield last - timedelta(days=(last.weekday() - weekday) % 7)
        year, month = _following_month(year, month)


def _moved_before_holidays(day: date, calendar: Calendar, exchange: Exchange) -> date:
    while not calendar.is_ordinary_day(exchange, day, assume_weekdays=True):
        day -= timedelta(days=1)
    return day


def _following_month(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)
