"""Faults at the broker: what becomes of orders, and what is said about them."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse, Response

from engine.paper.accounts import ANALYZE, LIVE
from engine.paper.approval_calls import HANDLERS, QUEUED
from engine.paper.fault_script import Fault, InHand
from engine.paper.orders import NORMAL, Treatment
from engine.paper.wire import error, success

OK = 200
EXPIRED = (
    "Client error '403 Forbidden' for url 'https://api.broker.invalid/{}'\n"
    "For more information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/403"
)
BROKER_WORDS = {
    "cancelorder": "Failed to cancel order: " + EXPIRED.format("orders/regular"),
    "closeposition": "Failed to close positions due to internal error",
    "quotes": "Error fetching quotes: API request failed: Expecting value: line 1 column 1 (char 0)",
    "multiquotes": "Error fetching multiquotes: API Error: Incorrect `api_key` or `access_token`.",
    "depth": "Error fetching market depth: API Error: Incorrect `api_key` or `access_token`.",
    "history": "Error fetching historical data: API Error: Too many requests",
    "orderbook": EXPIRED.format("orders"),
    "orderstatus": EXPIRED.format("orders"),
    "tradebook": EXPIRED.format("trades"),
    "positionbook": EXPIRED.format("portfolio/positions"),
    "openposition": EXPIRED.format("portfolio/positions"),
}
"""What a server said when its broker failed (openalgo-contract: ``*.broker-*``, ``*.live-broker-*``)."""
LOST = "Failed to place order due to internal error"
TOO_MANY = "Too many requests"


async def reject(call: InHand, fault: Fault) -> Response:
    """Record the order as rejected: 400 with an order id."""
    return call.answer(Treatment(reject=fault.message or "Order rejected by the exchange"))


async def clip(call: InHand, fault: Fault) -> Response:
    """Only whole lots within ``fraction`` fill, never all; the rest waits until it is modified or cancelled."""
    return call.answer(Treatment(clip=fault.fraction))


async def duplicate(call: InHand, _: Fault) -> Response:
    """Make two orders of the request; the answer names the first."""
    return call.answer(Treatment(duplicate=True))


async def late_visibility(call: InHand, fault: Fault) -> Response:
    """Keep the order and its trades out of books, status and pushes for ``seconds``; its position shows at once."""
    return call.answer(Treatment(hidden_seconds=fault.seconds))


async def market_as_limit(call: InHand, _: Fault) -> Response:
    """Show a MARKET order as LIMIT at its protected price."""
    return call.answer(Treatment(shown_as_limit=True))


async def moving_timestamp(call: InHand, _: Fault) -> Response:
    """Show the order with the time of the look in the order book."""
    return call.answer(Treatment(moving_timestamp=True))


async def validation(call: InHand, fault: Fault) -> Response:
    """Let the order wait ``seconds`` before it is matched."""
    return call.answer(Treatment(validation_seconds=fault.seconds))


async def stale_status(call: InHand, fault: Fault) -> Response:
    """Let the order wait ``seconds``; a live book shows the status of the row before it as long."""
    return call.answer(Treatment(stale_status=True, validation_seconds=fault.seconds))


async def mode_toggled(call: InHand, _: Fault) -> Response:
    """Switch the account's server to its other mode, then carry the call out in that."""
    if call.account is not None:
        call.exchange.switch_mode(call.account.api_key, ANALYZE if call.account.is_live else LIVE)
    return call.answer(NORMAL)


async def queued(call: InHand, fault: Fault) -> Response:
    """Let a new order wait for approval, which comes after ``seconds`` (0: never by itself); other calls pass."""
    if call.account is None or call.values is None or call.endpoint.name not in HANDLERS:
        return call.answer(NORMAL)
    number = call.exchange.queue(call.account, call.endpoint.name, call.values, fault.seconds or None)
    return success(message=QUEUED, mode="semi_auto", pending_order_id=number)


async def error_500(_: InHand, fault: Fault) -> Response:
    """Nothing happens: 500 in OpenAlgo's JSON, which does not say so."""
    return error(500, fault.message or "Failed to place order: the broker did not answer")


async def broker_error(call: InHand, fault: Fault) -> Response:
    """Nothing happens: 500 with the broker's text."""
    return error(500, fault.message or BROKER_WORDS.get(call.endpoint.name, LOST))


async def broker_error_after(call: InHand, fault: Fault) -> Response:
    """Everything happens, the broker's answer is lost: 500 in OpenAlgo's JSON."""
    answer = call.answer(NORMAL)
    return answer if answer.status_code != OK else error(500, fault.message or LOST)


async def broker_429(_: InHand, fault: Fault) -> Response:
    """Nothing happens: the broker found too many calls, said with a status."""
    return error(429, fault.message or TOO_MANY)


async def null_orderid(call: InHand, _: Fault) -> Response:
    """Everything happens and the answer names no order."""
    response = call.answer(NORMAL)
    if response.status_code != OK or not call.endpoint.is_order:
        return response
    return JSONResponse(_nameless(json.loads(bytes(response.body))))


KINDS = (
    reject,
    clip,
    duplicate,
    late_visibility,
    market_as_limit,
    moving_timestamp,
    validation,
    stale_status,
    mode_toggled,
    queued,
    error_500,
    broker_error,
    broker_error_after,
    broker_429,
    null_orderid,
)


def _nameless(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with null for every order id, also in its results and their pieces."""
    nameless = {**body, "orderid": None} if "orderid" in body else dict(body)
    if isinstance(rows := body.get("results"), list):
        nameless["results"] = [_nameless(row) for row in rows]
    return nameless
