"""Calls about what is listed: one symbol, a search, expiries, the instrument master."""

from __future__ import annotations

import csv
import io
from typing import Any

from starlette.responses import Response

from engine.domain.instruments import Exchange
from engine.domain.symbols import format_expiry_dashed
from engine.paper import schemas
from engine.paper.calls import Call, Endpoint
from engine.paper.schemas import Field, Schema
from engine.paper.wire import Refusal, success

FUTURES = "futures"
COLUMNS = (
    "symbol", "brsymbol", "name", "exchange", "brexchange", "token",
    "expiry", "strike", "lotsize", "instrumenttype", "tick_size",
)  # fmt: skip
SEARCHED = (*COLUMNS, "freeze_qty")
NO_QUERY = "Query parameter is required and cannot be empty"

SEARCH: Schema = {"apikey": schemas.KEY, "query": Field(schemas.text), "exchange": Field(schemas.EXCHANGE.read, False)}
INSTRUMENTS: Schema = {
    "apikey": schemas.KEY,
    "exchange": schemas.EXCHANGE,
    "format": Field(schemas.one_of(("json", "csv")), required=False, default="json"),
}


def symbol(call: Call) -> Response:
    """One row of the instrument master."""
    assert call.account
    name, exchange = call.values["symbol"], call.values["exchange"]
    contract = call.exchange.listing.resolve(name, Exchange(exchange))
    if contract is None:
        raise Refusal(404, f"Symbol {name} not found in exchange {exchange}")
    return success(data=call.exchange.listing.row(contract))


def search(call: Call) -> Response:
    """Return listed instruments that every word of the query occurs in; none is a success with an empty list."""
    assert call.account
    words = call.values["query"].upper().split()
    if not words:
        raise Refusal(400, NO_QUERY)
    given = call.values["exchange"]
    rows = [
        {name: row[name] for name in SEARCHED}
        for exchange in ([Exchange(given)] if given else Exchange)
        for row in call.exchange.listing.rows(exchange)
        if _fits(row, words)
    ]
    rows.sort(key=lambda row: row["symbol"] != "".join(words))
    message = f"Found {len(rows)} matching symbols" if rows else "No matching symbols found"
    return success(data=rows, message=message)


def expiry(call: Call) -> Response:
    """Return listed expiries as 01-DEC-26; an unknown symbol has none, which is a success."""
    assert call.account
    name, exchange, kind = (call.values[key] for key in ("symbol", "exchange", "instrumenttype"))
    listing = call.exchange.listing
    days = listing.expiries(name, futures=kind == FUTURES) if listing.segment(name) == exchange else []
    about = f"{name} {kind} in {exchange}"
    message = f"Found {len(days)} expiry dates for {about}" if days else f"No expiry dates found for {about}"
    return success(data=[format_expiry_dashed(day) for day in days], message=message)


def instruments(call: Call) -> Response:
    """Return everything that is listed on an exchange, as JSON or as a file of comma-separated values."""
    assert call.account
    exchange = Exchange(call.values["exchange"])
    rows = [{name: row[name] for name in COLUMNS} for row in call.exchange.listing.rows(exchange)]
    if call.values["format"] == "json":
        return success(data=rows, message=f"Found {len(rows)} instruments" if rows else "No instruments found")
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    disposition = f"attachment; filename=instruments_{exchange}.csv"
    return Response(file.getvalue(), headers={"Content-Type": "text/csv", "Content-Disposition": disposition})


def _fits(row: dict[str, Any], words: list[str]) -> bool:
    written = f"{row['symbol']} {row['brsymbol']}"
    return all(word in written for word in words)


ENDPOINTS = (
    Endpoint("symbol", schemas.INSTRUMENT, symbol),
    Endpoint("search", SEARCH, search),
    Endpoint("expiry", schemas.EXPIRY, expiry),
    Endpoint("instruments", INSTRUMENTS, instruments, method="GET"),
)
