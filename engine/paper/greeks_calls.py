"""Greeks of single options, one or many."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, time
from typing import Any

from starlette.responses import JSONResponse, Response

from engine.domain.errors import DomainError
from engine.domain.instruments import Contract, Exchange, InstrumentType
from engine.domain.symbols import parse_symbol
from engine.paper import schemas
from engine.paper.calls import Call, Endpoint
from engine.paper.clock import IST
from engine.paper.offsets import not_found
from engine.paper.pricing import DAYS, years
from engine.paper.schemas import Field, Schema
from engine.paper.sensitivities import measure, synthetic
from engine.paper.wire import BAD_KEY, Refusal, success

DAY_SECONDS = 86_400.0
NO_PRICE = "Option LTP not available"


def _clock_time(given: Any) -> time:
    written = schemas.text(given)
    try:
        return datetime.strptime(written, "%H:%M").replace(tzinfo=IST).time()
    except ValueError as problem:
        raise schemas.Invalid(["Not a valid time: use HH:MM."]) from problem


def _positive(given: Any) -> float:
    value = schemas.number(given)
    if value <= 0:
        raise schemas.Invalid(["Must be greater than 0."])
    return value


def _percent(given: Any) -> float:
    value = schemas.number(given)
    if not 0 <= value <= 100:
        raise schemas.Invalid(["Must be greater than or equal to 0 and less than or equal to 100."])
    return value


_OPTION: Schema = {
    "symbol": schemas.SYMBOL,
    "exchange": schemas.EXCHANGE,
    "underlying_symbol": Field(schemas.text, required=False),
    "underlying_exchange": Field(schemas.one_of(schemas.EXCHANGE_ORDER), required=False),
}
_TERMS: Schema = {
    "interest_rate": Field(_percent, required=False, default=0),
    "expiry_time": Field(_clock_time, required=False),
}
OPTION_GREEKS: Schema = {
    "apikey": schemas.KEY,
    **_OPTION,
    **_TERMS,
    "forward_price": Field(_positive, required=False),
}
MULTI_OPTION_GREEKS: Schema = {
    "apikey": schemas.KEY,
    "symbols": Field(schemas.items(_OPTION, shortest=1, longest=50, message="Symbols must contain 1 to 50 items.")),
    **_TERMS,
}


def option_greeks(call: Call) -> Response:
    """Return volatility and sensitivities of one option at its last price. A bad key is 401, no option 500."""
    if call.values["apikey"] not in call.exchange.accounts:
        raise Refusal(401, BAD_KEY)
    return success(**_measured(call, call.values, call.values["forward_price"]))


def multi_option_greeks(call: Call) -> Response:
    """Return the greeks of several options; ``partial`` if some of them could not be computed."""
    assert call.account
    rows, problems = [], []
    for asked in call.values["symbols"]:
        try:
            rows.append({**_measured(call, asked, None), "status": "success"})
        except Refusal as refusal:
            problem = NO_PRICE if refusal.status_code == 400 else str(refusal.message)
            problems.append(problem)
            rows.append(
                {"symbol": asked["symbol"], "exchange": asked["exchange"], "status": "error", "message": problem}
            )
    body: dict[str, Any] = {"data": rows, "status": "success"}
    body["summary"] = {"total": len(rows), "success": len(rows) - len(problems), "failed": len(problems)}
    if problems:
        body["status"] = "partial" if len(problems) < len(rows) else "error"
        what = "; ".join(dict.fromkeys(problems))
        body["message"] = f"{len(problems)} option Greeks calculation(s) failed: {what}"
    return JSONResponse(body)


def _measured(call: Call, asked: dict[str, Any], forward: float | None) -> dict[str, Any]:
    """Return an option's fields. Raises Refusal: 500 if the symbol is no option's, 400 if it is not listed."""
    contract, at = _option(call, asked["symbol"], asked["exchange"]), call.exchange.clock()
    assert contract.expiry is not None
    if forward is None:
        forward = _forward(call, asked, contract, at)
    close = call.exchange.listing.close_of(contract)
    if call.values["expiry_time"] is not None:
        close = datetime.combine(contract.expiry, call.values["expiry_time"], tzinfo=IST).timestamp()
    premium, rate = call.exchange.quotes.last(contract, at) / 100, call.values["interest_rate"]
    greeks = asdict(measure(contract, premium=premium, forward=forward, seconds=close - at, rate=rate / 100))
    volatility = greeks.pop("implied_volatility")
    return {
        "symbol": contract.symbol,
        "exchange": contract.exchange,
        "underlying": contract.underlying,
        "strike": contract.strike,
        "option_type": contract.instrument_type,
        "expiry_date": f"{contract.expiry.day:02d}-{contract.expiry:%b}-{contract.expiry.year}",
        "days_to_expiry": round(years(close - at) * DAYS, 3),
        "spot_price": forward,
        "option_price": premium,
        "interest_rate": rate,
        "implied_volatility": volatility,
        "greeks": greeks,
    }


def _option(call: Call, symbol: str, exchange: str) -> Contract:
    try:
        is_option = parse_symbol(symbol, Exchange.NFO).instrument_type in (InstrumentType.CE, InstrumentType.PE)
    except DomainError:
        is_option = False
    if not is_option:
        problem = f"Failed to parse option symbol {symbol}: Invalid option symbol format: {symbol}"
        raise Refusal(500, f"Failed to get option Greeks: {problem}")
    contract = call.exchange.listing.resolve(symbol, Exchange(exchange))
    if contract is None:
        raise Refusal(400, f"Failed to fetch option price: {not_found(symbol, exchange)}")
    return contract


def _forward(call: Call, asked: dict[str, Any], contract: Contract, at: float) -> float:
    """Return the price of the future that was named, or else the synthetic one of the option's expiry, in ₹."""
    assert contract.expiry is not None
    name = asked["underlying_symbol"]
    if name is not None:
        segment = asked["underlying_exchange"] or contract.exchange
        named = call.exchange.listing.resolve(name, Exchange(segment))
        if named is None:
            raise Refusal(400, f"Failed to fetch underlying price: {not_found(name, segment)}")
        if named.instrument_type is InstrumentType.FUT:
            return call.exchange.quotes.last(named, at) / 100
    return synthetic(call.exchange, contract.underlying, contract.expiry, at).price


ENDPOINTS = (
    Endpoint("optiongreeks", OPTION_GREEKS, option_greeks),
    Endpoint("multioptiongreeks", MULTI_OPTION_GREEKS, multi_option_greeks),
)
