"""Calls about many orders: basket, split, cancel all, close all positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.responses import Response

from engine.domain.instruments import Action, Contract, PriceType
from engine.paper import schemas
from engine.paper.accounts import Position
from engine.paper.approval_calls import blocked_when_queued, new_order
from engine.paper.calls import Call, order_endpoint
from engine.paper.order_calls import ORDER_FIELDS, order_request
from engine.paper.orders import OrderRequest
from engine.paper.schemas import Field, Schema
from engine.paper.wire import Refusal, success

MOST_PIECES = 100
SQUARE_OFF = "AUTO_SQUARE_OFF"

BASKET: Schema = {
    "apikey": schemas.KEY,
    "strategy": schemas.STRATEGY,
    "orders": Field(schemas.items(ORDER_FIELDS, shortest=0)),
}
SPLIT: Schema = {**schemas.PLACE_ORDER, "splitsize": Field(schemas.whole(1, 10_000_000))}
ALL: Schema = {"apikey": schemas.KEY, "strategy": schemas.STRATEGY}


def basket_order(call: Call) -> Response:
    """Return what became of every leg, bought ones first; success even if all were refused."""
    account, face = call.account, call.face
    rows = sorted(call.values["orders"], key=lambda row: row["action"].upper() != Action.BUY)
    results: list[dict[str, Any]] = []
    for number, row in enumerate(rows, start=1):
        request = order_request(row, strategy=call.values["strategy"])
        try:
            order = face.place(call.exchange, account, request, call.treatment)
        except Refusal as refusal:
            results.append({"symbol": row["symbol"], "status": "error", "message": refusal.message})
        else:
            results.append(
                {
                    "symbol": row["symbol"],
                    "exchange": row["exchange"],
                    "product": row["product"],
                    "status": "success",
                    "orderid": order.order_id,
                    **face.basket_leg(last=number == len(rows)),
                }
            )
    return success(results=face.basket_results(results), **face.tag())


def split_order(call: Call) -> Response:
    """Return what became of every piece of an order, the last one smaller if it does not come out even."""
    assert call.account
    values = call.values
    results = place_in_pieces(call, order_request(values), values["splitsize"])
    return success(
        results=results, split_size=values["splitsize"], total_quantity=values["quantity"], **call.face.tag()
    )


def place_in_pieces(call: Call, request: OrderRequest, size: int) -> list[dict[str, Any]]:
    """Place an order in pieces of ``size`` units. Raises Refusal (400) if there would be more than 100."""
    whole, rest = divmod(request.quantity, size)
    if whole + bool(rest) > MOST_PIECES:
        raise Refusal(400, f"Total number of orders would exceed maximum limit of {MOST_PIECES}")
    results: list[dict[str, Any]] = []
    for number, quantity in enumerate([size] * whole + [rest] * bool(rest), start=1):
        piece = {"order_num": number, "quantity": quantity}
        try:
            order = call.face.place(call.exchange, call.account, replace(request, quantity=quantity), call.treatment)
        except Refusal as refusal:
            results.append({**piece, "status": "error", "message": refusal.message})
        else:
            results.append({**piece, "status": "success", "orderid": order.order_id})
    return results


def cancel_all(call: Call) -> Response:
    """Return the ids that were cancelled and those that could not be, of the whole account; strategies are ignored."""
    account, face = call.account, call.face
    cancelled, failed = [], []
    face.require_broker(account, "orders")
    for order in account.visible_orders(call.exchange.clock()):
        if order.status in face.cancelled_by_all:
            try:
                face.cancel(call.exchange, account, order.order_id)
            except Refusal:
                failed.append(order.order_id)
            else:
                cancelled.append(order.order_id)
    message = f"Canceled {len(cancelled)} orders. Failed to cancel {len(failed)} orders."
    if face.analyze_mode and not cancelled and not failed:
        message = "No open orders to cancel"
    return success(canceled_orders=cancelled, failed_cancellations=failed, message=message, **face.tag())


def close_positions(call: Call) -> Response:
    """Close every open position of the account at market, sold ones first, whatever the strategy says."""
    account, face = call.account, call.face
    if face.is_cut_off(account):
        raise Refusal(500, "Failed to close positions due to internal error")
    still_open = sorted((p for p in account.positions.values() if p.quantity), key=lambda p: p.quantity)
    closed = sum(_close(call, position) for position in still_open)
    failed = len(still_open) - closed
    if face.analyze_mode:
        counted = {"closed_positions": closed, "failed_closures": failed}
        return success(message=f"Closed {closed} positions", **counted, **face.tag())
    return success(message="All Open Positions Squared Off")


def _close(call: Call, position: Position) -> bool:
    """Send what flattens a position. Returns whether all of it was taken."""
    contract = call.exchange.listing.contract(position.symbol, position.exchange)
    for quantity in _pieces(contract, abs(position.quantity)) if call.face.analyze_mode else [abs(position.quantity)]:
        request = OrderRequest(
            strategy=SQUARE_OFF,
            symbol=position.symbol,
            exchange=position.exchange,
            action=Action.SELL if position.quantity > 0 else Action.BUY,
            quantity=quantity,
            price_type=PriceType.MARKET,
            product=position.product,
        )
        try:
            call.face.place(call.exchange, call.account, request, call.treatment)
        except Refusal:
            return False
    return True


def _pieces(contract: Contract, quantity: int) -> list[int]:
    """Return quantities within the freeze quantity. The sandbox takes any; live, one order too large is rejected."""
    largest = quantity
    if contract.freeze_quantity is not None:
        largest = contract.freeze_quantity // contract.lot_size * contract.lot_size
    whole, rest = divmod(quantity, largest)
    return [largest] * whole + [rest] * bool(rest)


ENDPOINTS = (
    order_endpoint("basketorder", BASKET, new_order("basketorder", basket_order)),
    order_endpoint("splitorder", SPLIT, new_order("splitorder", split_order)),
    order_endpoint("cancelallorder", ALL, blocked_when_queued("Cancel all orders", "cancel orders", cancel_all)),
    order_endpoint("closeposition", ALL, blocked_when_queued("Close position", "close positions", close_positions)),
)
