"""Market data calls: quotes, symbols, expiries, the option chain."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any

from starlette.responses import JSONResponse, Response

from engine.domain.errors import SymbolError
from engine.domain.instruments import Contract, Exchange, InstrumentType
from engine.domain.symbols import format_expiry_compact, format_expiry_dashed, parse_expiry
from engine.paper import schemas
from engine.paper.calls import Call, Endpoint
from engine.paper.catalogue import INDICES
from engine.paper.wire import BAD_KEY, ErrorShape, Refusal, success

FUTURES = "futures"


def quotes(call: Call) -> Response:
    """Prices of one symbol."""
    assert call.account
    contract = call.exchange.listing.resolve(call.values["symbol"], Exchange(call.values["exchange"]))
    if contract is None:
        raise Refusal(400, _not_found(call.values))
    return success(data=_quote_row(call, contract, call.exchange.clock()))


def multiquotes(call: Call) -> Response:
    """Prices of several symbols, unknown ones first. Only unknown ones: 400 with ``invalid_symbols``."""
    assert call.account
    failed, found = [], []
    at = call.exchange.clock()
    for row in call.values["symbols"]:
        contract = call.exchange.listing.resolve(row["symbol"], Exchange(row["exchange"]))
        if contract is None:
            failed.append({**row, "error": _not_found(row)})
        else:
            found.append({**row, "data": _quote_row(call, contract, at)})
    if not found:
        raise Refusal(400, failed[0]["error"], invalid_symbols=failed)
    return success(results=[*failed, *found])


def symbol(call: Call) -> Response:
    """One row of the instrument master."""
    assert call.account
    name, exchange = call.values["symbol"], call.values["exchange"]
    contract = call.exchange.listing.resolve(name, Exchange(exchange))
    if contract is None:
        raise Refusal(404, f"Symbol {name} not found in exchange {exchange}")
    return success(data=call.exchange.listing.row(contract))


def expiry(call: Call) -> Response:
    """Return listed expiries as 01-DEC-26; an unknown symbol has none, which is a success."""
    assert call.account
    name, exchange, kind = (call.values[key] for key in ("symbol", "exchange", "instrumenttype"))
    listing = call.exchange.listing
    days = listing.expiries(name, futures=kind == FUTURES) if listing.segment(name) == exchange else []
    about = f"{name} {kind} in {exchange}"
    message = f"Found {len(days)} expiry dates for {about}" if days else f"No expiry dates found for {about}"
    return success(data=[format_expiry_dashed(day) for day in days], message=message)


def option_chain(call: Call) -> Response:
    """Return calls and puts around the strike at the money, ``strike_count`` on each side or all that are listed."""
    underlying, wanted = call.values["underlying"], call.values["expiry_date"]
    if call.values["apikey"] not in call.exchange.accounts:
        raise Refusal(403, f"Failed to fetch LTP for {underlying}: {BAD_KEY}")
    index = INDICES.get(underlying)
    if index is None or call.values["exchange"] not in (index.exchange, call.exchange.listing.segment(underlying)):
        problem = _not_found({"symbol": underlying, "exchange": call.values["exchange"]})
        raise Refusal(400, f"Failed to fetch LTP for {underlying}: {problem}")
    day = _compact_date(wanted)
    strikes = [] if day is None else call.exchange.listing.strikes(underlying, day)
    if day is None or not strikes:
        problem = (
            f"No strikes found for {underlying} expiring {wanted}. Please check expiry date or update master contract."
        )
        raise Refusal(404, problem)
    at = call.exchange.clock()
    spot = call.exchange.market.spot(underlying, at)
    middle = min(range(len(strikes)), key=lambda k: (abs(strikes[k] - spot), strikes[k]))
    count = call.values["strike_count"] or len(strikes)
    shown = range(max(middle - count, 0), min(middle + count + 1, len(strikes)))
    close = call.exchange.listing.close_of(
        call.exchange.listing.option(underlying, day, strikes[middle], InstrumentType.CE)
    )
    with_greeks = call.values["with_greeks"]
    return JSONResponse(
        {
            "status": "success",
            "underlying": underlying,
            "underlying_symbol": underlying,
            "underlying_exchange": index.exchange,
            "underlying_ltp": spot,
            "underlying_prev_close": call.exchange.market.day(underlying, at).previous_close,
            "expiry_date": wanted,
            "expiry_ts": int(close),
            "server_ts": int(at),
            "atm_strike": strikes[middle],
            "quotes_included": True,
            "greeks_included": with_greeks,
            "forward_price": round(call.exchange.quotes.forward(underlying, close, at), 2) if with_greeks else None,
            "chain": [_strike_row(call, day, strikes[k], distance=k - middle, at=at) for k in shown],
        }
    )


def _strike_row(call: Call, day: date, strike: float, *, distance: int, at: float) -> dict[str, Any]:
    row: dict[str, Any] = {"strike": strike}
    for kind in (InstrumentType.CE, InstrumentType.PE):
        contract = call.exchange.listing.option(call.values["underlying"], day, strike, kind)
        buys, sells = call.exchange.quotes.depth(contract, at)
        outside = distance > 0 if kind is InstrumentType.CE else distance < 0
        label = f"{'OTM' if outside else 'ITM'}{abs(distance)}" if distance else "ATM"
        row[kind.lower()] = {
            "symbol": contract.symbol,
            "label": label,
            **_quote_row(call, contract, at),
            "bid_qty": buys[0].quantity,
            "ask_qty": sells[0].quantity,
            "lotsize": contract.lot_size,
            "tick_size": contract.tick_size,
        }
        if call.values["with_greeks"]:
            row[kind.lower()] |= asdict(call.exchange.quotes.greeks(contract, at))
    return row


def _quote_row(call: Call, contract: Contract, at: float) -> dict[str, Any]:
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


def _compact_date(written: str) -> date | None:
    """Return the expiry of 01DEC26; any other form is none, as OpenAlgo compares text."""
    try:
        day = parse_expiry(written)
    except SymbolError:
        return None
    return day if format_expiry_compact(day) == written else None


def _not_found(row: dict[str, Any]) -> str:
    return (
        f"Symbol '{row['symbol']}' not found for exchange '{row['exchange']}'. "
        "Please verify the symbol name and ensure master contracts are downloaded."
    )


ENDPOINTS = (
    Endpoint("quotes", schemas.INSTRUMENT, quotes),
    Endpoint("multiquotes", schemas.MULTIQUOTES, multiquotes),
    Endpoint("symbol", schemas.INSTRUMENT, symbol),
    Endpoint("expiry", schemas.EXPIRY, expiry),
    Endpoint("optionchain", schemas.OPTION_CHAIN, option_chain, ErrorShape.CHAIN),
)
