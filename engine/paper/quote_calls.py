"""Calls about prices as they stand: quotes and depth."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from engine.domain.instruments import Contract, Exchange, InstrumentType
from engine.paper import schemas
from engine.paper.calls import Call, Endpoint
from engine.paper.offsets import not_found
from engine.paper.wire import Refusal, success

NO_BROKER = "Broker-specific module not found"
"""What ``depth`` says about a bad key: it looks for the broker first."""


def quotes(call: Call) -> Response:
    """Prices of one symbol."""
    assert call.account
    return success(data=quote_row(call, _contract(call), call.exchange.clock()))


def multiquotes(call: Call) -> Response:
    """Prices of several symbols, unknown ones first. Only unknown ones: 400 with ``invalid_symbols``."""
    assert call.account
    failed, found = [], []
    at = call.exchange.clock()
    for row in call.values["symbols"]:
        contract = call.exchange.listing.resolve(row["symbol"], Exchange(row["exchange"]))
        if contract is None:
            failed.append({**row, "error": not_found(row["symbol"], row["exchange"])})
        else:
            found.append({**row, "data": quote_row(call, contract, at)})
    if not found:
        raise Refusal(400, failed[0]["error"], invalid_symbols=failed)
    return success(results=[*failed, *found])


def depth(call: Call) -> Response:
    """Five levels of bids and asks, the last trade and the day so far. A bad key is 404."""
    if call.values["apikey"] not in call.exchange.accounts:
        raise Refusal(404, NO_BROKER)
    contract, at = _contract(call), call.exchange.clock()
    bids, asks = call.exchange.quotes.depth(contract, at)
    quote = quote_row(call, contract, at)
    return success(
        data={
            "bids": [{"price": level.price / 100, "quantity": level.quantity} for level in bids],
            "asks": [{"price": level.price / 100, "quantity": level.quantity} for level in asks],
            "totalbuyqty": sum(level.quantity for level in bids),
            "totalsellqty": sum(level.quantity for level in asks),
            "ltq": contract.lot_size,
            **{name: quote[name] for name in ("ltp", "open", "high", "low", "prev_close", "volume", "oi")},
        }
    )


def quote_row(call: Call, contract: Contract, at: float) -> dict[str, Any]:
    """Return the fields of a quote, in ₹ and units."""
    quote = call.exchange.quotes.quote(contract, at)
    is_index = contract.instrument_type is InstrumentType.INDEX
    return {
        "ltp": quote.ltp / 100,
        "bid": 0 if is_index else quote.bid / 100,
        "ask": 0 if is_index else quote.ask / 100,
        "open": quote.open / 100,
        "high": quote.high / 100,
        "low": quote.low / 100,
        "prev_close": quote.previous_close / 100,
        "volume": quote.volume,
        "oi": quote.open_interest,
    }


def _contract(call: Call) -> Contract:
    symbol, exchange = call.values["symbol"], call.values["exchange"]
    contract = call.exchange.listing.resolve(symbol, Exchange(exchange))
    if contract is None:
        raise Refusal(400, not_found(symbol, exchange))
    return contract


ENDPOINTS = (
    Endpoint("quotes", schemas.INSTRUMENT, quotes),
    Endpoint("multiquotes", schemas.MULTIQUOTES, multiquotes),
    Endpoint("depth", schemas.INSTRUMENT, depth),
)
