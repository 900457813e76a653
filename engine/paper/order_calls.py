"""Order calls: place, modify, cancel."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from engine.domain.instruments import Action, Exchange, PriceType, Product
from engine.domain.money import paise
from engine.paper import schemas
from engine.paper.calls import Call, Endpoint
from engine.paper.orders import OrderRequest
from engine.paper.wire import ErrorShape, success


def place_order(call: Call) -> Response:
    """Return the id of a new order. There is no idempotency: the same body twice makes two orders."""
    order = call.exchange.place(call.account, _request(call.values), call.treatment)
    return success(orderid=order.order_id, **call.face.tag())


def modify_order(call: Call) -> Response:
    """Return the id of the changed order. Only quantity, price and trigger change; another price type is ignored."""
    order = call.exchange.modify(call.account, call.values["orderid"], _request(call.values))
    return success(orderid=order.order_id, message="Order modified successfully", **call.face.tag())


def cancel_order(call: Call) -> Response:
    """Return the id of the cancelled order."""
    order = call.exchange.cancel(call.account, call.values["orderid"])
    return success(orderid=order.order_id, message="Order cancelled successfully", **call.face.tag())


def _request(values: dict[str, Any]) -> OrderRequest:
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
    Endpoint("placeorder", schemas.PLACE_ORDER, place_order, ErrorShape.TEXT, is_order=True, tagged=True),
    Endpoint("modifyorder", schemas.MODIFY_ORDER, modify_order, ErrorShape.TEXT_WITH_MODE, is_order=True, tagged=True),
    Endpoint(
        "cancelorder", schemas.ORDER_REFERENCE, cancel_order, ErrorShape.TEXT_WITH_MODE, is_order=True, tagged=True
    ),
)
