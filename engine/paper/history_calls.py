"""Bars of the past, and the intervals they are offered in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.domain.instruments import Exchange
from engine.paper import schemas
from engine.paper.calls import Call, Endpoint
from engine.paper.candles import Candle, Interval
from engine.paper.clock import trading_day
from engine.paper.offsets import not_found
from engine.paper.schemas import Field, Schema
from engine.paper.wire import Refusal, success

INTERVALS = (
    "1s", "5s", "10s", "15s", "30s", "45s", "1m", "2m", "3m", "5m", "10m", "15m", "20m", "30m",
    "1h", "2h", "3h", "4h", "D", "W", "M", "Q", "Y",
)  # fmt: skip
"""Words that the schema knows; most of them no broker offers."""
OFFERED: dict[str, list[str]] = {
    "seconds": [],
    "minutes": ["1m", "3m", "5m", "10m", "15m", "30m", "60m"],
    "hours": ["1h"],
    "days": ["D"],
    "weeks": [],
    "months": [],
}
FIRST_DAY = date(2020, 1, 1)
"""Before it there is no data."""
LONGEST = {True: 100, False: 30}
"""Days that one call may ask for: of daily bars, and of shorter ones."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _date(given: Any) -> date:
    written = schemas.text(given)
    try:
        if _DATE.fullmatch(written):
            return date.fromisoformat(written)
    except ValueError:
        pass
    raise schemas.Invalid(["Not a valid date."])


def _source(given: Any) -> str:
    if schemas.one_of(("api", "db"))(given) == "db":
        raise schemas.Invalid(["This exchange keeps no database of bars: use api."])
    return "api"


HISTORY: Schema = {
    "apikey": schemas.KEY,
    "symbol": schemas.SYMBOL,
    "exchange": schemas.EXCHANGE,
    "interval": Field(schemas.one_of(INTERVALS)),
    "start_date": Field(_date),
    "end_date": Field(_date),
    "source": Field(_source, required=False, default="api"),
}


class Gradual(Response):
    """Bars that are made day by day while other calls are answered in between; at once if the body is looked at."""

    def __init__(self, days: Iterator[list[Candle]]) -> None:
        self._days: Iterator[list[Candle]] = iter(())
        self._rows: list[dict[str, Any]] = []
        super().__init__(media_type="application/json")
        self._days = days

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make the bars and send them."""
        for day in self._days:
            self._rows += map(_row, day)
            await asyncio.sleep(0)
        await success(data=self._rows)(scope, receive, send)

    @property
    def body(self) -> bytes:
        """The whole answer: who plays tricks with it needs it at once."""
        for day in self._days:
            self._rows += map(_row, day)
        return bytes(success(data=self._rows).body)

    @body.setter
    def body(self, _: bytes) -> None:
        """Take nothing: the bars are made when they are asked for."""


def history(call: Call) -> Response:
    """Return the bars from one date to another in Kolkata, as far as they have come."""
    assert call.account
    symbol, exchange, interval = (call.values[name] for name in ("symbol", "exchange", "interval"))
    contract = call.exchange.listing.resolve(symbol, Exchange(exchange))
    if contract is None:
        raise Refusal(400, not_found(symbol, exchange))
    if interval not in set(Interval):
        raise Refusal(500, f"Error fetching historical data: Unsupported timeframe: {interval}")
    at = call.exchange.clock()
    first, last = max(call.values["start_date"], FIRST_DAY), min(call.values["end_date"], trading_day(at))
    longest = LONGEST[interval == Interval.DAY]
    if last - first >= timedelta(days=longest):
        raise Refusal(400, {"start_date": [f"At most {longest} days of {interval} bars can be asked for at a time."]})
    return Gradual(call.exchange.quotes.candles.of(contract, Interval(interval), first=first, last=last, at=at))


def intervals(call: Call) -> Response:
    """Return the intervals that ``history`` offers. 60m stands in the list, but the schema knows it as 1h only."""
    assert call.account
    return success(data=OFFERED)


def _row(candle: Candle) -> dict[str, Any]:
    return {
        "timestamp": candle.timestamp,
        "open": candle.open / 100,
        "high": candle.high / 100,
        "low": candle.low / 100,
        "close": candle.close / 100,
        "volume": candle.volume,
        "oi": candle.open_interest,
    }


ENDPOINTS = (
    Endpoint("history", HISTORY, history),
    Endpoint("intervals", schemas.KEY_ONLY, intervals),
)
