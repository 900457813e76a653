"""Smart orders: bring a position to a signed size with one order."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from engine.domain.instruments import Action, Exchange, Product
from engine.paper import schemas
from engine.paper.accounts import PositionKey
from engine.paper.approval_calls import new_order
from engine.paper.calls import Call, order_endpoint
from engine.paper.order_calls import order_request
from engine.paper.schemas import Field, Invalid, Schema
from engine.paper.wire import Refusal, success

NOTHING_OPEN = "No OpenPosition Found. Not placing Exit order."
MATCHED = "Positions Already Matched. No Action needed."


def target(given: Any) -> int:
    """Read a signed whole number or its text."""
    value = schemas.number(given)
    if value != int(value):
        raise Invalid(["Not a valid integer."])
    return int(value)


def optional_quantity(given: Any) -> int:
    """Read a quantity that may be 0, then the target alone decides."""
    return 0 if schemas.number(given) == 0 else schemas.quantity(given)


SMART_ORDER: Schema = {
    **schemas.PLACE_ORDER,
    "quantity": Field(optional_quantity),
    "position_size": Field(target),
}


def place_smart_order(call: Call) -> Response:
    """Return the id of the order that brings the position to ``position_size``, or only a message if none is needed.

    Flat, with target 0 and a quantity, it opens a position like a plain order. In analyzer mode the price type is
    ignored and the order goes at market.
    """
    values, face, account = call.values, call.face, call.account
    key = PositionKey(values["symbol"], Exchange(values["exchange"]), Product(values["product"]))
    try:
        held = face.open_quantity(account, key)
    except Refusal as refusal:
        raise Refusal(refusal.status_code, f"Error in place_smartorder_api: {refusal.message}") from refusal
    step = order_to(held, values["position_size"], quantity=values["quantity"], action=Action(values["action"].upper()))
    if step is None:
        return success(message=MATCHED if values["quantity"] else NOTHING_OPEN, **face.tag())
    action, quantity = step
    at_market = {"pricetype": "MARKET", "price": 0.0, "trigger_price": 0.0} if face.smart_orders_at_market else {}
    request = order_request(values, action=action, quantity=quantity, **at_market)
    order = face.place(call.exchange, account, request, call.treatment)
    return success(orderid=order.order_id, **face.tag())


def order_to(held: int, wanted: int, *, quantity: int, action: Action) -> tuple[Action, int] | None:
    """Return side and units of the order that makes ``held`` units ``wanted``, None if there is nothing to do.

    ``quantity`` and ``action`` count only when nothing is held and nothing wanted.

    >>> order_to(60, -30, quantity=0, action=Action.BUY)
    (<Action.SELL: 'SELL'>, 90)
    >>> order_to(0, 0, quantity=30, action=Action.BUY), order_to(30, 30, quantity=30, action=Action.BUY)
    ((<Action.BUY: 'BUY'>, 30), None)
    """
    if held == wanted == 0 and quantity:
        return action, quantity
    missing = wanted - held
    return None if not missing else (Action.BUY if missing > 0 else Action.SELL, abs(missing))


ENDPOINTS = (order_endpoint("placesmartorder", SMART_ORDER, new_order("placesmartorder", place_smart_order)),)
