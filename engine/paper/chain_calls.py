"""Calls about the options of an underlying: the chain, one symbol by its offset, the synthetic future."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from starlette.responses import JSONResponse, Response

from engine.domain.instruments import Contract, InstrumentType
from engine.paper import offsets, schemas
from engine.paper.calls import Call, Endpoint
from engine.paper.quote_calls import quote_row
from engine.paper.schemas import Field, Schema
from engine.paper.sensitivities import measure, synthetic
from engine.paper.wire import BAD_KEY, ErrorShape, Refusal, success

OPTION_TYPE = Field(schemas.one_of(("CE", "PE")))
MEASURES = ("implied_volatility", "delta", "gamma", "theta", "vega")


def _offset(given: Any) -> str:
    value = schemas.text(given)
    if not offsets.is_offset(value):
        raise schemas.Invalid(["Offset must be ATM, ITM1-ITM50, or OTM1-OTM50"])
    return value


OPTION_SYMBOL: Schema = {
    "apikey": schemas.KEY,
    "strategy": Field(schemas.text, required=False),
    "underlying": schemas.SYMBOL,
    "exchange": schemas.EXCHANGE,
    "expiry_date": Field(schemas.text, required=False),
    "strike_int": Field(schemas.whole(1, 1_000_000), required=False),
    "offset": Field(_offset),
    "option_type": OPTION_TYPE,
}
SYNTHETIC_FUTURE: Schema = {
    "apikey": schemas.KEY,
    "underlying": schemas.SYMBOL,
    "exchange": schemas.EXCHANGE,
    "expiry_date": Field(schemas.text),
}


@dataclass(frozen=True, slots=True)
class _Chain:
    """The chain being shown: expiry, strikes in ₹, the place of the money; the forward in ₹ if greeks are wanted."""

    underlying: str
    day: date
    strikes: list[float]
    middle: int
    at: float
    forward: float | None


def option_chain(call: Call) -> Response:
    """Return calls and puts around the strike at the money, ``strike_count`` on each side or all that are listed."""
    written, wanted, exchange = call.values["underlying"], call.values["expiry_date"], call.exchange
    if call.values["apikey"] not in exchange.accounts:
        raise Refusal(403, f"Failed to fetch LTP for {written}: {BAD_KEY}")
    base = offsets.spot_of(exchange, written, call.values["exchange"], joint=": ")
    day, strikes = offsets.listed_strikes(exchange, base.name, wanted)
    at = exchange.clock()
    spot = exchange.market.spot(base.name, at)
    middle = offsets.at_the_money(strikes, spot)
    count = call.values["strike_count"] or len(strikes)
    with_greeks = call.values["with_greeks"]
    forward = synthetic(exchange, base.name, day, at).price if with_greeks else None
    chain = _Chain(base.name, day, strikes, middle, at, forward)
    close = exchange.listing.close_of(exchange.listing.option(base.name, day, strikes[middle], InstrumentType.CE))
    shown = range(max(middle - count, 0), min(middle + count + 1, len(strikes)))
    return JSONResponse(
        {
            "status": "success",
            "underlying": base.name,
            "underlying_symbol": base.name,
            "underlying_exchange": base.exchange,
            "underlying_ltp": spot,
            "underlying_prev_close": exchange.market.day(base.name, at).previous_close,
            "expiry_date": wanted,
            "expiry_ts": int(close),
            "server_ts": int(at),
            "atm_strike": strikes[middle],
            "quotes_included": True,
            "greeks_included": with_greeks,
            "forward_price": forward,
            "chain": [_strike_row(call, chain, place) for place in shown],
        }
    )


def option_symbol(call: Call) -> Response:
    """Return the option that an offset means, with the underlying's price that it was counted from."""
    found = offsets.resolve(
        call.exchange,
        api_key=call.values["apikey"],
        underlying=call.values["underlying"],
        segment=call.values["exchange"],
        expiry_date=call.values["expiry_date"],
        offset=call.values["offset"],
        option_type=call.values["option_type"],
        strike_step=call.values["strike_int"],
    )
    row = call.exchange.listing.row(found.contract)
    fields = {name: row[name] for name in ("symbol", "exchange", "lotsize", "tick_size", "freeze_qty")}
    return success(**fields, underlying_ltp=found.underlying_ltp)


def synthetic_future(call: Call) -> Response:
    """Return strike + call − put at the money."""
    written, exchange = call.values["underlying"], call.exchange
    if call.values["apikey"] not in exchange.accounts:
        raise Refusal(403, BAD_KEY)
    base = offsets.spot_of(exchange, written, call.values["exchange"], joint=". ")
    day, _ = offsets.listed_strikes(exchange, base.name, call.values["expiry_date"])
    made = synthetic(exchange, base.name, day, exchange.clock())
    return success(
        underlying=written,
        underlying_ltp=base.ltp,
        expiry=call.values["expiry_date"],
        atm_strike=made.strike,
        synthetic_future_price=made.price,
    )


def _strike_row(call: Call, chain: _Chain, place: int) -> dict[str, Any]:
    """Return one strike with its call and its put, null where only the other is listed."""
    row: dict[str, Any] = {"strike": chain.strikes[place]}
    for kind in (InstrumentType.CE, InstrumentType.PE):
        contract = call.exchange.listing.listed_option(chain.underlying, chain.day, chain.strikes[place], kind)
        row[kind.lower()] = None if contract is None else _option_row(call, chain, contract, place - chain.middle)
    return row


def _option_row(call: Call, chain: _Chain, contract: Contract, distance: int) -> dict[str, Any]:
    exchange = call.exchange
    buys, sells = exchange.quotes.depth(contract, chain.at)
    row = {
        "symbol": contract.symbol,
        "label": offsets.label(distance, contract.instrument_type),
        **quote_row(call, contract, chain.at),
        "bid_qty": buys[0].quantity,
        "ask_qty": sells[0].quantity,
        "lotsize": contract.lot_size,
        "tick_size": contract.tick_size,
    }
    if chain.forward is not None:
        seconds = exchange.listing.close_of(contract) - chain.at
        measured = asdict(measure(contract, premium=row["ltp"], forward=chain.forward, seconds=seconds))
        row |= {name: measured[name] for name in MEASURES}
    return row


ENDPOINTS = (
    Endpoint("optionchain", schemas.OPTION_CHAIN, option_chain, ErrorShape.CHAIN),
    Endpoint("optionsymbol", OPTION_SYMBOL, option_symbol, ErrorShape.CHAIN),
    Endpoint("syntheticfuture", SYNTHETIC_FUTURE, synthetic_future, ErrorShape.CHAIN),
)
