"""Calendar calls. Like OpenAlgo they do not check the key; unlike it every time is right in any time zone."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

from starlette.responses import Response

from engine.domain.calendar import INDIA, SpecialSession
from engine.domain.instruments import Exchange
from engine.paper import schemas
from engine.paper.calls import Call, Endpoint
from engine.paper.clock import IST, trading_day
from engine.paper.wire import ErrorShape, Refusal, success

CLOSED = ("NSE", "BSE", "NFO", "BFO", "CDS", "BCD")
MCX_EVENING = (time(17, 0), time(23, 55))
MCX_SPECIAL_SECONDS = 6 * 3600 + 15 * 60
FULL_CLOSURES = ("Republic Day", "Good Friday", "Gandhi Jayanti", "Christmas")
"""Holidays on which the commodity exchange does not open in the evening either."""
ORDINARY = (
    ("MCX", time(9), time(23, 55)),
    ("BCD", time(9), time(17)),
    ("CDS", time(9), time(17)),
    ("NCO", time(9), time(23, 55)),
)
DERIVED = (Exchange.NSE, Exchange.BSE, Exchange.NFO, Exchange.BFO)


def holidays(call: Call) -> Response:
    """Holidays and special sessions of a year; a year that is not filled in has an empty list."""
    year = call.values["year"] or trading_day(call.exchange.clock()).year
    rows = [_holiday(row.day, row.name) for row in INDIA.holidays if row.day.year == year]
    rows += [_special(row) for row in INDIA.special_sessions if row.day.year == year]
    return success(data=sorted(rows, key=lambda row: str(row["date"])), timezone="Asia/Kolkata", year=year)


def timings(call: Call) -> Response:
    """Sessions of a day, epoch milliseconds, only of exchanges that are open."""
    try:
        day = date.fromisoformat(call.values["date"])
    except ValueError as problem:
        raise Refusal(400, "Invalid date format. Use YYYY-MM-DD") from problem
    special = [row for row in INDIA.special_sessions if row.day == day]
    if special:
        return success(data=_special(special[0])["open_exchanges"])
    closed = [row for row in INDIA.holidays if row.day == day]
    if closed:
        return success(data=_holiday(day, closed[0].name)["open_exchanges"])
    rows = []
    if INDIA.is_ordinary_day(Exchange.NSE, day, assume_weekdays=True) or (
        day.year not in INDIA.years and day.weekday() < 5
    ):
        rows = [_hours(exchange, day) for exchange in DERIVED]
        rows += [_row(name, day, opens, closes) for name, opens, closes in ORDINARY]
    return success(data=[*rows, _row("CRYPTO", day, time(0), time(23, 59, 59))])


def _hours(exchange: Exchange, day: date) -> dict[str, Any]:
    hours = max(
        (row for row in INDIA.hours if exchange in row.exchanges and row.since <= day), key=lambda row: row.since
    )
    return _row(exchange, day, hours.open, hours.close)


def _holiday(day: date, name: str) -> dict[str, Any]:
    full = name.startswith(FULL_CLOSURES)
    return {
        "date": day.isoformat(),
        "description": name,
        "holiday_type": "TRADING_HOLIDAY",
        "closed_exchanges": [*CLOSED, "MCX"] if full else list(CLOSED),
        "open_exchanges": [] if full else [_row("MCX", day, *MCX_EVENING)],
    }


def _special(row: SpecialSession) -> dict[str, Any]:
    rows = [_row(name, row.day, row.open, row.close) for name in CLOSED]
    if row.open >= MCX_EVENING[0]:
        start = rows[0]["start_time"]
        rows.append({"exchange": "MCX", "start_time": start, "end_time": start + MCX_SPECIAL_SECONDS * 1000})
    return {
        "date": row.day.isoformat(),
        "description": row.name,
        "holiday_type": "SPECIAL_SESSION",
        "closed_exchanges": [],
        "open_exchanges": rows,
    }


def _row(exchange: str, day: date, opens: time, closes: time) -> dict[str, Any]:
    return {
        "exchange": str(exchange),
        "start_time": int(datetime.combine(day, opens, IST).timestamp() * 1000),
        "end_time": int(datetime.combine(day, closes, IST).timestamp() * 1000),
    }


ENDPOINTS = (
    Endpoint("market/holidays", schemas.HOLIDAYS, holidays),
    Endpoint("market/timings", schemas.TIMINGS, timings, ErrorShape.OBJECT),
)
