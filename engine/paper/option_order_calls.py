"""Option orders by distance from the money: one leg, or up to twenty with the bought ones first."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from engine.domain.instruments import Action
from engine.paper import offsets, schemas
from engine.paper.accounts import Token
from engine.paper.approval_calls import new_order
from engine.paper.broker_prices import NO_UNDERLYING
from engine.paper.bulk_calls import place_in_pieces
from engine.paper.calls import Call, Endpoint
from engine.paper.offsets import Resolved
from engine.paper.order_calls import order_request
from engine.paper.orders import OrderRequest
from engine.paper.schemas import Field, Schema
from engine.paper.wire import ErrorShape, Refusal, success

MOST_LEGS = 20
STRIKE_STEP = Field(schemas.whole(1, 1_000_000), required=False)
EXPIRY = Field(schemas.text, required=False)

LEG: Schema = {
    "offset": Field(schemas.sized(1, 10)),
    "option_type": Field(schemas.one_of(("CE", "PE", "ce", "pe"))),
    "action": schemas.ACTION,
    "quantity": Field(schemas.quantity),
    "expiry_date": EXPIRY,
    "splitsize": Field(schemas.whole(0, 10_000_000), required=False, default=0),
    "pricetype": schemas.PLACE_ORDER["pricetype"],
    "product": Field(schemas.one_of(("MIS", "NRML")), required=False, default="MIS"),
    "price": schemas.PRICE,
    "trigger_price": schemas.PRICE,
    "disclosed_quantity": schemas.PRICE,
}
UNDERLYING: Schema = {
    "apikey": schemas.KEY,
    "strategy": schemas.STRATEGY,
    "underlying": schemas.SYMBOL,
    "exchange": schemas.EXCHANGE,
    "expiry_date": EXPIRY,
    "strike_int": STRIKE_STEP,
}
OPTIONS_ORDER: Schema = {**UNDERLYING, **LEG}
OPTIONS_MULTI_ORDER: Schema = {
    **UNDERLYING,
    "legs": Field(
        schemas.items(LEG, shortest=1, longest=MOST_LEGS, message=f"Legs must contain 1 to {MOST_LEGS} items.")
    ),
}


def options_order(call: Call) -> Response:
    """Return the contract that was meant and the id of its order, or ``results`` of its pieces with a ``splitsize``."""
    values = call.values
    found = _resolve(call, values)
    face = call.face
    request = _request(call, values, found)
    about = {
        "symbol": found.contract.symbol,
        "exchange": found.contract.exchange,
        "underlying": values["underlying"],
        "underlying_ltp": found.underlying_ltp,
        "offset": values["offset"],
        "option_type": values["option_type"].upper(),
        **face.tag(),
    }
    size = values["splitsize"]
    try:
        if size:
            results = place_in_pieces(call, request, size)
            return success(results=results, split_size=size, total_quantity=values["quantity"], **about)
        order = face.place(call.exchange, call.account, request, call.treatment)
    except Refusal as refusal:  # only a refusal of the order itself names the mode
        raise Refusal(refusal.status_code, refusal.message, **refusal.fields, **face.tag()) from refusal
    return success(orderid=order.order_id, **about)


def options_multi_order(call: Call) -> Response:
    """Return what became of every leg, in their order; bought legs are placed before sold ones.

    Success even if legs were refused. A leg's own expiry stands before the order's.
    """
    values, face = call.values, call.face
    _require_prices(call)
    spot = offsets.spot_of(call.exchange, values["underlying"], values["exchange"], joint=". ")
    legs = sorted(enumerate(values["legs"], start=1), key=lambda leg: leg[1]["action"].upper() != Action.BUY)
    results = {number: {"leg": number, **_leg(call, leg)} for number, leg in legs}
    return success(
        underlying=values["underlying"],
        underlying_ltp=spot.ltp,
        results=[results[number] for number in sorted(results)],
        **face.tag(),
    )


def _leg(call: Call, leg: dict[str, Any]) -> dict[str, Any]:
    result = {"action": leg["action"].upper(), "offset": leg["offset"], "option_type": leg["option_type"].upper()}
    try:
        found = _resolve(call, {**call.values, **leg, "expiry_date": leg["expiry_date"] or call.values["expiry_date"]})
        result |= {"symbol": found.contract.symbol, "exchange": found.contract.exchange}
        request = _request(call, leg, found)
        if leg["splitsize"]:
            pieces = place_in_pieces(call, request, leg["splitsize"])
            placed = {"results": pieces, "split_size": leg["splitsize"], "total_quantity": leg["quantity"]}
        else:
            placed = {"orderid": call.face.place(call.exchange, call.account, request, call.treatment).order_id}
    except Refusal as refusal:
        return {**result, "status": "error", "message": refusal.message}
    return {**result, **placed, "status": "success", "product": leg["product"], "mode": call.face.name}


def _resolve(call: Call, values: dict[str, Any]) -> Resolved:
    _require_prices(call)
    return offsets.resolve(
        call.exchange,
        api_key=values["apikey"],
        underlying=values["underlying"],
        segment=values["exchange"],
        expiry_date=values["expiry_date"],
        offset=values["offset"],
        option_type=values["option_type"].upper(),
        strike_step=values["strike_int"],
    )


def _require_prices(call: Call) -> None:
    """Raise Refusal (500) if the broker, whose price the offset is counted from, refuses the session."""
    account = call.exchange.accounts.get(call.values["apikey"])
    if account is not None and account.token is Token.DEAD:
        raise Refusal(500, NO_UNDERLYING.format(call.values["underlying"]))


def _request(call: Call, values: dict[str, Any], found: Resolved) -> OrderRequest:
    contract = found.contract
    return order_request(values, strategy=call.values["strategy"], symbol=contract.symbol, exchange=contract.exchange)


ENDPOINTS = (
    Endpoint(
        "optionsorder",
        OPTIONS_ORDER,
        new_order("optionsorder", options_order),
        ErrorShape.CHAIN,
        is_order=True,
    ),
    Endpoint(
        "optionsmultiorder",
        OPTIONS_MULTI_ORDER,
        new_order("optionsmultiorder", options_multi_order),
        ErrorShape.CHAIN,
        is_order=True,
    ),
)
