"""Checks of single fields that people fill in; every refusal is an InvalidInput that names the field."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import time

from engine.domain.calendar import INDIA
from engine.domain.money import paise
from engine.services.errors import InvalidInput

LEAST = 0.01
SESSION_OPENS, SESSION_CLOSES = time(9, 15), time(15, 40)

_HOURS = ((SESSION_OPENS, SESSION_CLOSES), *((row.open, row.close) for row in INDIA.special_sessions))


def figure(field: str, value: object, words: str = "a number") -> float:
    """Return a value that is a finite number; a truth value, NaN and infinities are none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInput(field, words)
    return value


def whole(field: str, value: object, least: int, most: int, of: str = "") -> int:
    """Return a value that is a whole number from ``least`` to ``most``."""
    words = f"{least:,} to {most:,}{of}"
    number = figure(field, value, words)
    if number != int(number) or not least <= number <= most:
        raise InvalidInput(field, words)
    return int(number)


def within(field: str, amount: object, most: float, of: str, *, least: float = LEAST) -> None:
    """Refuse what is no figure, what rounds to nothing and what is beyond every real one."""
    words = f"{least:g} to {most:,.0f} {of}".rstrip()
    number = figure(field, amount, words)
    if number <= 0:
        raise InvalidInput(field, "more than 0")
    if not least <= number <= most or paise(number) <= 0:
        raise InvalidInput(field, words)


def one_of(field: str, value: str, allowed: Iterable[str]) -> None:
    """Refuse a choice that there is not."""
    choices = tuple(allowed)
    if value not in choices:
        raise InvalidInput(field, f"{value!r} is not one of {', '.join(choices)}")


def clock(field: str, text: str, *, opening: bool = False, always_open: bool = False) -> time:
    """Return HH:MM as a time of day in India, inside the session or in the hours of a special one.

    The opening minute itself counts for an entry (``opening``) alone: nothing is there yet that could leave. Where the
    venue is ``always_open`` every time of day will do.
    """
    try:
        moment = time.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not re.fullmatch(r"[0-9][0-9]:[0-9][0-9]", text):
        raise InvalidInput(field, "must be a time of day in India, HH:MM, like 15:10")
    if not always_open and not any(
        opens < moment <= closes or (opening and moment == opens) for opens, closes in _HOURS
    ):
        since = "from" if opening else "after"
        raise InvalidInput(
            field, f"must be inside the session, {since} 09:15 and until 15:40, or in the hours of a special one"
        )
    return moment
