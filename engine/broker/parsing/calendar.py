"""From OpenAlgo's JSON to holidays and sessions: pure; BadAnswerError names the field."""

from __future__ import annotations

from datetime import date
from typing import Any

from engine.broker import fields as f
from engine.broker.models import Holiday, HolidayKind, Holidays, SessionTimes, Timings
from engine.broker.parsing.answer import Answer
from engine.domain.instruments import Exchange


def holidays(answer: Answer, year: int) -> Holidays:
    """Answer of ``market/holidays``."""
    return Holidays(year=year, days=f.each(f.items(answer, "data"), "data", _holiday))


def timings(answer: Answer, day: date) -> Timings:
    """Answer of ``market/timings``."""
    return Timings(day=day, sessions=f.each(f.items(answer, "data"), "data", _session))


def _holiday(row: dict[str, Any]) -> Holiday:
    closed = [f.word({"exchange": name}, "exchange", Exchange) for name in f.items(row, "closed_exchanges")]
    return Holiday(
        day=f.iso_day(row, "date"),
        description=f.text_or_none(row, "description") or "",
        kind=f.word(row, "holiday_type", HolidayKind),
        closed=tuple(closed),
        sessions=f.each(f.items(row, "open_exchanges"), "open_exchanges", _session),
    )


def _session(row: dict[str, Any]) -> SessionTimes:
    opens_at, closes_at = f.epoch_ms(row, "start_time"), f.epoch_ms(row, "end_time")
    if closes_at <= opens_at:
        raise f.bad("end_time", "not after start_time")
    return SessionTimes(exchange=f.word(row, "exchange", Exchange), opens_at=opens_at, closes_at=closes_at)
