"""GTT calls: orders that wait for their trigger for a year, with one leg (SINGLE) or two (OCO)."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from engine.domain.instruments import Action, Exchange, Product
from engine.domain.money import paise
from engine.paper import schemas
from engine.paper.approval_calls import blocked_when_queued, new_order
from engine.paper.calls import Call, Endpoint, order_endpoint
from engine.paper.gtt import GttLeg, GttRequest
from engine.paper.schemas import Field, Invalid, Schema
from engine.paper.wire import ErrorShape, Refusal, success, unexpected

MIS_REFUSED = "GTT supports only CNC (delivery) or NRML (overnight F&O); MIS is intraday-only."
NO_TRIGGER = "SINGLE GTT requires a positive triggerprice_sl or triggerprice_tg."
TWO_TRIGGERS = "SINGLE GTT takes exactly one of triggerprice_sl or triggerprice_tg; set the other to 0."
WRONG_ORDER = "Stoploss trigger must be less than target trigger (triggerprice_sl < triggerprice_tg)."
OCO_FIELDS = ("triggerprice_sl", "stoploss", "triggerprice_tg", "target")


class Lenient(dict[str, Field]):
    """A schema that passes over fields it does not know, as these calls do."""

    def __contains__(self, name: object) -> bool:
        return True


def product(given: Any) -> str:
    """Read a product that may be held for a year."""
    if given == Product.MIS:
        raise Invalid([MIS_REFUSED])
    return str(schemas.one_of(schemas.PRODUCTS)(given))


OPTIONAL_PRICE = Field(schemas.price, required=False, default=0.0, nullable=True)
PLACE_GTT: Schema = Lenient(
    {
        "apikey": schemas.KEY,
        "strategy": schemas.STRATEGY,
        "trigger_type": Field(schemas.one_of(("SINGLE", "OCO"))),
        "exchange": schemas.EXCHANGE,
        "symbol": schemas.SYMBOL,
        "action": schemas.ACTION,
        "product": Field(product),
        "quantity": Field(schemas.quantity),
        "pricetype": Field(schemas.one_of(("LIMIT",)), required=False, default="LIMIT"),
        "price": Field(schemas.price),
        "triggerprice_sl": OPTIONAL_PRICE,
        "stoploss": OPTIONAL_PRICE,
        "triggerprice_tg": OPTIONAL_PRICE,
        "target": OPTIONAL_PRICE,
    }
)
REFERENCE: Schema = Lenient(
    {"apikey": schemas.KEY, "strategy": schemas.STRATEGY, "trigger_id": Field(schemas.sized(1, 64))}
)
MODIFY_GTT: Schema = Lenient({**PLACE_GTT, "trigger_id": REFERENCE["trigger_id"]})


def place_gtt(call: Call) -> Response:
    """Return the id of a new GTT."""
    request = _request(call.values)
    call.face.require_session(call.account)
    gtt = call.exchange.gtts.place(call.account, request)
    return success(trigger_id=gtt.trigger_id, **call.face.tag())


def modify_gtt(call: Call) -> Response:
    """Return the id of the changed GTT."""
    request = _request(call.values)
    call.face.require_session(call.account)
    trigger_id = call.values["trigger_id"]
    try:
        gtt = call.exchange.gtts.modify(call.account, trigger_id, request)
    except Refusal as refusal:
        if refusal.status_code == 404 and call.face.analyze_mode:
            return unexpected(order_call=False)  # the sandbox stumbles over an unknown one
        raise call.face.gtt_refusal(refusal) from refusal
    return success(trigger_id=gtt.trigger_id, **call.face.tag())


def cancel_gtt(call: Call) -> Response:
    """Return the id of the cancelled GTT."""
    call.face.require_session(call.account)
    trigger_id = call.values["trigger_id"]
    try:
        gtt = call.exchange.gtts.cancel(call.account, trigger_id)
    except Refusal as refusal:
        raise call.face.gtt_refusal(refusal) from refusal
    return success(trigger_id=gtt.trigger_id, **call.face.tag())


def gtt_book(call: Call) -> Response:
    """Active GTT orders, oldest first."""
    call.face.require_session(call.account)
    rows = [call.face.gtt_row(call.exchange, gtt) for gtt in call.exchange.gtts.active(call.account)]
    return success(data=rows, **call.face.tag())


def _request(values: dict[str, Any]) -> GttRequest:
    return GttRequest(
        strategy=values["strategy"],
        symbol=values["symbol"],
        exchange=Exchange(values["exchange"]),
        action=Action(values["action"].upper()),
        product=Product(values["product"]),
        quantity=values["quantity"],
        legs=_legs(values),
    )


def _legs(values: dict[str, Any]) -> tuple[GttLeg, ...]:
    """Return one leg, or stop loss and target. Raises Refusal (400) in the form of a validation error."""
    low, high = values["triggerprice_sl"], values["triggerprice_tg"]
    if values["trigger_type"] == "SINGLE":
        if low and high:
            raise _wrong("triggerprice_tg", TWO_TRIGGERS)
        if not low and not high:
            raise _wrong("triggerprice_sl", NO_TRIGGER)
        return (GttLeg(paise(low or high), paise(values["price"])),)
    for name in OCO_FIELDS:
        if not values[name]:
            raise _wrong(name, "Required for OCO.")
    if low >= high:
        raise _wrong("triggerprice_sl", WRONG_ORDER)
    return GttLeg(paise(low), paise(values["stoploss"])), GttLeg(paise(high), paise(values["target"]))


def _wrong(field: str, problem: str) -> Refusal:
    return Refusal(400, str({field: [problem]}))


ENDPOINTS = (
    order_endpoint("placegttorder", PLACE_GTT, new_order("placegttorder", place_gtt)),
    order_endpoint(
        "modifygttorder", MODIFY_GTT, blocked_when_queued("Modify GTT order", "modify GTT orders", modify_gtt)
    ),
    order_endpoint(
        "cancelgttorder", REFERENCE, blocked_when_queued("Cancel GTT order", "cancel GTT orders", cancel_gtt)
    ),
    Endpoint("gttorderbook", schemas.KEY_ONLY, gtt_book, ErrorShape.TEXT_WITH_MODE, tagged=True),
)
