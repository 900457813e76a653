"""Account and service calls: ping, analyzer, funds, books, margin."""

from __future__ import annotations

from starlette.responses import Response

from engine.domain.instruments import Action, Exchange, PriceType, Product
from engine.paper import schemas
from engine.paper.accounts import ANALYZE, LIVE, PositionKey
from engine.paper.calls import BROKER, Call, Endpoint
from engine.paper.margins import Exposure, margin_of
from engine.paper.schemas import Field, Invalid, Schema
from engine.paper.wire import ErrorShape, Refusal, success

OPEN_POSITION: Schema = {
    "apikey": schemas.KEY,
    "strategy": schemas.STRATEGY,
    "symbol": schemas.SYMBOL,
    "exchange": schemas.EXCHANGE,
    "product": Field(schemas.one_of(schemas.PRODUCTS)),
}


def ping(call: Call) -> Response:
    """Return the broker's name and pong."""
    assert call.account
    return success(data={"broker": BROKER, "message": "pong"})


def analyzer(call: Call) -> Response:
    """Whether the account is in analyzer mode."""
    return success(data=_mode(call))


def toggle(call: Call) -> Response:
    """Switch the account between analyzer and live mode, each with books of its own. Repeatable."""
    wanted = ANALYZE if call.values["mode"] else LIVE
    call.exchange.switch_mode(call.account.api_key, wanted)
    return success(data={**_mode(call), "message": f"Analyzer mode switched to {wanted}"})


def funds(call: Call) -> Response:
    """Cash, blocked amounts and P of the account."""
    return success(data=call.face.funds(call.exchange, call.account), **call.face.tag())


def position_book(call: Call) -> Response:
    """Open positions and the flat ones of the day."""
    return success(**call.face.position_book(call.exchange, call.account), **call.face.tag())


def order_book(call: Call) -> Response:
    """Orders of the day."""
    return success(data=call.face.order_book(call.account, call.exchange.clock()), **call.face.tag())


def trade_book(call: Call) -> Response:
    """Trades of the day."""
    return success(data=call.face.trade_book(call.account, call.exchange.clock()), **call.face.tag())


def order_status(call: Call) -> Response:
    """One order. ``strategy`` is required and not compared."""
    row = call.face.order_status(call.account, call.values["orderid"], call.exchange.clock())
    return success(data=row, **call.face.tag())


def open_position(call: Call) -> Response:
    """Signed quantity of one position; an unknown symbol has none, which is a success."""
    values = call.values
    key = PositionKey(values["symbol"], Exchange(values["exchange"]), Product(values["product"]))
    return success(quantity=call.face.open_quantity(call.account, key), **call.face.tag())


def holdings(call: Call) -> Response:
    """Shares of earlier days and what they are worth."""
    return success(data=call.face.holdings(call.exchange, call.account), **call.face.tag())


def profit_by_symbol(call: Call) -> Response:
    """P of the day, position by position."""
    return success(**call.face.profit_by_symbol(call.exchange, call.account), **call.face.tag())


def margin(call: Call) -> Response:
    """Margin of positions held together, in ₹. Unknown symbols are left out; all unknown is refused."""
    assert call.account
    exchange, at = call.exchange, call.exchange.clock()
    exposures = []
    for number, row in enumerate(call.values["positions"], start=1):
        try:
            quantity = schemas.quantity(row["quantity"])
        except Invalid as problem:
            raise Refusal(400, f"Position {number}: Quantity must be a positive number") from problem
        contract = exchange.listing.resolve(row["symbol"], Exchange(row["exchange"]))
        if contract is None:
            continue
        action = Action(row["action"].upper())
        limit = round(schemas.price(row["price"]) * 100) if row["pricetype"] == PriceType.LIMIT else 0
        price = limit or exchange.quotes.last(contract, at)
        underlying = exchange.quotes.underlying_paise(contract, at)
        product = Product(row["product"])
        exposures.append(Exposure(contract, product, action.sign * quantity, price * quantity, underlying * quantity))
    if not exposures:
        raise Refusal(400, "No valid positions to calculate margin. Check if symbols are valid.")
    blocked = margin_of(exposures)
    return success(
        data={
            "total_margin_required": blocked.total / 100,
            "span_margin": blocked.span / 100,
            "exposure_margin": blocked.exposure / 100,
        }
    )


def _mode(call: Call) -> dict[str, object]:
    return {"analyze_mode": call.face.analyze_mode, "mode": call.face.name, "total_logs": call.account.calls}


ENDPOINTS = (
    Endpoint("ping", schemas.KEY_ONLY, ping),
    Endpoint("analyzer", schemas.KEY_ONLY, analyzer, ErrorShape.TEXT),
    Endpoint("analyzer/toggle", schemas.TOGGLE, toggle, ErrorShape.TEXT),
    Endpoint("funds", schemas.KEY_ONLY, funds),
    Endpoint("positionbook", schemas.KEY_ONLY, position_book),
    Endpoint("orderbook", schemas.KEY_ONLY, order_book),
    Endpoint("tradebook", schemas.KEY_ONLY, trade_book),
    Endpoint("orderstatus", schemas.ORDER_REFERENCE, order_status, ErrorShape.TEXT_WITH_MODE, tagged=True),
    Endpoint("openposition", OPEN_POSITION, open_position, ErrorShape.TEXT_WITH_MODE, tagged=True),
    Endpoint("holdings", schemas.KEY_ONLY, holdings),
    Endpoint("pnl/symbols", schemas.KEY_ONLY, profit_by_symbol),
    Endpoint("margin", schemas.MARGIN, margin, ErrorShape.TEXT),
)
