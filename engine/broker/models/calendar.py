"""What servers know of holidays and sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from engine.domain.instruments import Exchange


class HolidayKind(StrEnum):
    """Kinds of days in the holiday list."""

    TRADING_HOLIDAY = "TRADING_HOLIDAY"
    SETTLEMENT_HOLIDAY = "SETTLEMENT_HOLIDAY"
    SPECIAL_SESSION = "SPECIAL_SESSION"


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """One exchange's session."""

    exchange: Exchange
    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True)
class Holiday:
    """One listed day: who is closed, and who opens at which times all the same."""

    day: date
    description: str
    kind: HolidayKind
    closed: tuple[Exchange, ...]
    sessions: tuple[SessionTimes, ...]


@dataclass(frozen=True, slots=True)
class Holidays:
    """The server's list for a year. Empty means that the year is not filled in, not that there are no holidays."""

    year: int
    days: tuple[Holiday, ...]

    @property
    def known(self) -> bool:
        """Whether the server has this year at all."""
        return bool(self.days)


@dataclass(frozen=True, slots=True)
class Timings:
    """Who is open on a day.

    On ordinary days a server whose machine is not set to IST shifts every time by its own zone: trust durations, or
    check NSE against 09:15 IST first. Days of a year that is not filled in look ordinary.
    """

    day: date
    sessions: tuple[SessionTimes, ...]
