"""Calls about a single order: place, modify, cancel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from engine.domain.instruments import Action, Exchange, PriceType, Product
from engine.domain.money import paise
from engine.paper import schemas
from engine.paper.approval_calls import blocked_when_queued, new_order
from engine.paper.calls import Call, order_endpoint
from engine.paper.orders import OrderRequest
from engine.paper.schemas import Schema
from engine.paper.wire import ErrorShape, success

ORDER_FIELDS: Schema = {
    name: field for name, field in schemas.PLACE_ORDER.items() if name not in ("apikey", "strategy")
}
"""What describes one order, wherever it stands."""


def place_order(call: Call) -> Response:
    """Return the id of a new order. There is no idempotency: the same body twice makes two orders."""
    order = call.face.place(call.exchange, call.account, order_request(call.values), call.treatment)
    return success(orderid=order.order_id, **call.face.tag())


def modify_order(call: Call) -> Response:
    """Return the id of the changed order. Only quantity, price and trigger change; another price type is ignored."""
    order_id = call.values["orderid"]
    order = call.face.modify(call.exchange, call.account, order_id, order_request(call.values))
    return success(orderid=order.order_id, **call.face.remark("Order modified successfully"))


def cancel_order(call: Call) -> Response:
    """Return the id of the cancelled order."""
    order = call.face.cancel(call.exchange, call.account, call.values["orderid"])
    return success(orderid=order.order_id, **call.face.remark("Order cancelled successfully"))


def order_request(values: Mapping[str, Any], **other: Any) -> OrderRequest:
    """Return the order that a body's values describe; ``other`` stands for values that the body does not have."""
    values = {**values, **other}
    return OrderRequest(
        strategy=values["strategy"],
        symbol=values["symbol"],
        exchange=Exchange(values["exchange"]),
        action=Action(values["action"].upper()),
        quantity=values["quantity"],
        price_type=PriceType(values["pricetype"]),
        product=Product(values["product"]),
        price=paise(values["price"]),
        trigger_price=paise(values["trigger_price"]),
    )


ENDPOINTS = (
    order_endpoint("placeorder", schemas.PLACE_ORDER, new_order("placeorder", place_order), ErrorShape.TEXT),
    order_endpoint(
        "modifyorder", schemas.MODIFY_ORDER, blocked_when_queued("Modify order", "modify orders", modify_order)
    ),
    order_endpoint(
        "cancelorder", schemas.ORDER_REFERENCE, blocked_when_queued("Cancel order", "cancel orders", cancel_order)
    ),
)
