"""Reading one field of an answer: the value the contract promises, or BadAnswerError naming the field.

Numbers may come as JSON numbers or as plain decimal text (the Zerodha plugin sends ``"236.75"``); a bool, NaN, an
infinity or a text like ``1_000`` is none. Nothing is guessed and nothing is filled in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from enum import StrEnum
from typing import Any, TypeVar

from engine.broker.errors import BadAnswerError

Item = TypeVar("Item")
Word = TypeVar("Word", bound=StrEnum)

IST = timezone(timedelta(hours=5, minutes=30), "IST")
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?", re.ASCII)
_EXPIRY = re.compile(r"(\d{2})-?([A-Z]{3})-?(\d{2}|\d{4})", re.ASCII)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def bad(field: str, reason: str) -> BadAnswerError:
    """Return the error for a field that breaks the contract."""
    return BadAnswerError(f"{field}: {reason}")


def mapping(row: Any, field: str) -> dict[str, Any]:
    """Return the value as an object."""
    if not isinstance(row, dict):
        raise bad(field, f"expected an object, got {_kind(row)}")
    return row


def items(row: Mapping[str, Any], name: str) -> list[Any]:
    """Return the field as a list; a missing one is an error, never an empty list."""
    value = row.get(name)
    if not isinstance(value, list):
        raise bad(name, f"expected a list, got {_kind(value)}")
    return value


def each(rows: list[Any], field: str, parse: Callable[[dict[str, Any]], Item]) -> tuple[Item, ...]:
    """Every row parsed; an error names the row's place. One bad row spoils the read: a shorter book would be a lie."""
    parsed: list[Item] = []
    for place, row in enumerate(rows):
        try:
            parsed.append(parse(mapping(row, "row")))
        except BadAnswerError as error:
            raise BadAnswerError(f"{field}[{place}].{error.what}") from None
    return tuple(parsed)


def text(row: Mapping[str, Any], name: str) -> str:
    """Return a text that is not empty."""
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise bad(name, f"expected text, got {_kind(value)}")
    return value


def text_or_none(row: Mapping[str, Any], name: str) -> str | None:
    """Return a text, possibly empty; None where the field is missing or null."""
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise bad(name, f"expected text, got {_kind(value)}")
    return value


def flag(row: Mapping[str, Any], name: str) -> bool:
    """Return a true or false."""
    value = row.get(name)
    if not isinstance(value, bool):
        raise bad(name, f"expected true or false, got {_kind(value)}")
    return value


def number(row: Mapping[str, Any], name: str) -> float:
    """Return a finite number.

    >>> number({"average_price": "236.75"}, "average_price")
    236.75
    """
    value = row.get(name)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise bad(name, f"expected a number, got {_kind(value)}")
    try:
        result = float(value)
    except OverflowError:
        raise bad(name, "a number beyond every price") from None
    if not math.isfinite(result):
        raise bad(name, f"{result!r} is not a number")
    return result


def number_or_none(row: Mapping[str, Any], name: str) -> float | None:
    """Return a finite number; None where the field is missing or null."""
    return None if row.get(name) is None else number(row, name)


def whole(row: Mapping[str, Any], name: str) -> int:
    """Return a whole number; 65.0 is one, 65.5 is not.

    >>> whole({"quantity": -65}, "quantity")
    -65
    """
    value = number(row, name)
    if not value.is_integer() or abs(value) > 2**53:
        raise bad(name, f"{value!r} is not a whole number")
    return int(value)


def whole_or_none(row: Mapping[str, Any], name: str) -> int | None:
    """Return a whole number; None where the field is missing or null."""
    return None if row.get(name) is None else whole(row, name)


def word(row: Mapping[str, Any], name: str, kind: type[Word]) -> Word:
    """One word of a vocabulary."""
    value = text(row, name)
    try:
        return kind(value)
    except ValueError:
        raise bad(name, f"{value[:40]!r} is no {kind.__name__}") from None


def expiry(value: Any, field: str) -> date:
    """Return an expiry as the server writes it: ``01-DEC-26``, ``01DEC26`` or ``01-Dec-2026``.

    >>> expiry("01-DEC-26", "expiry"), expiry("01-Dec-2026", "expiry")
    (datetime.date(2026, 12, 1), datetime.date(2026, 12, 1))
    """
    match = _EXPIRY.fullmatch(value.upper()) if isinstance(value, str) else None
    if match is None or match[2] not in _MONTHS:
        raise bad(field, f"expected a date like 01-DEC-26, got {_kind(value)}")
    year = int(match[3]) + (2000 if len(match[3]) == 2 else 0)
    try:
        return date(year, _MONTHS.index(match[2]) + 1, int(match[1]))
    except ValueError:
        raise bad(field, f"{value!r} is no date") from None


def expiry_text(day: date) -> str:
    """Return an expiry as requests want it; with hyphens the server answers 404.

    >>> expiry_text(date(2026, 12, 1))
    '01DEC26'
    """
    return f"{day.day:02d}{_MONTHS[day.month - 1]}{day.year % 100:02d}"


def iso_day(row: Mapping[str, Any], name: str) -> date:
    """Return a ``YYYY-MM-DD``."""
    try:
        return datetime.strptime(text(row, name), "%Y-%m-%d").replace(tzinfo=IST).date()
    except ValueError:
        raise bad(name, "expected a date like 2026-11-24") from None


def epoch_ms(row: Mapping[str, Any], name: str) -> datetime:
    """Epoch milliseconds as aware UTC."""
    try:
        return datetime.fromtimestamp(whole(row, name) / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        raise bad(name, "no moment in time") from None


def moment_or_none(row: Mapping[str, Any], name: str) -> datetime | None:
    """Return an IST ``YYYY-MM-DD HH:MM:SS`` as aware UTC, or None.

    Other plugins write other forms; an unreadable time is no reason to lose the row (RULES 5: "where readable").

    >>> moment_or_none({"timestamp": "2026-11-22 11:00:01"}, "timestamp")
    datetime.datetime(2026, 11, 22, 5, 30, 1, tzinfo=datetime.timezone.utc)
    """
    value = row.get(name)
    if not isinstance(value, str):
        return None
    try:
        return datetime.strptime(value.strip(), "%Y-%m-%d %H:%M:%S").replace(tzinfo=IST).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def moment_or_time(row: Mapping[str, Any], name: str) -> datetime | time | None:
    """Like ``moment_or_none``, or the IST time of day where the plugin gives no date."""
    value = row.get(name)
    if isinstance(value, str):
        try:
            return datetime.strptime(value.strip(), "%H:%M:%S").replace(tzinfo=IST).timetz()
        except ValueError:
            pass
    return moment_or_none(row, name)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case str():
            return repr(value[:40]) if value else "an empty text"
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return f"the number {value!r}" if abs(value) < 1e18 else "a huge number"
