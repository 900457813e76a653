"""The exchange's day: Asia/Kolkata, open at any hour."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

IST = ZoneInfo("Asia/Kolkata")


def ist(at: float) -> datetime:
    """Epoch seconds as aware time in Asia/Kolkata."""
    return datetime.fromtimestamp(at, tz=IST)


def ist_text(at: float) -> str:
    """Epoch seconds as OpenAlgo prints times in its books.

    >>> ist_text(1795325545)
    '2026-11-22 11:02:25'
    """
    return ist(at).strftime("%Y-%m-%d %H:%M:%S")


def trading_day(at: float) -> date:
    """Return the date in Asia/Kolkata that an instant (epoch seconds) belongs to."""
    return ist(at).date()


def day_start(day: date) -> float:
    """Epoch seconds of midnight in Asia/Kolkata."""
    return datetime(day.year, day.month, day.day, tzinfo=IST).timestamp()


def milliseconds(at: float) -> int:
    """Epoch seconds as epoch milliseconds, the unit of every tick."""
    return int(at * 1000)
