"""Which orders the exchange admits, and its words for the others (OpenAlgo's sandbox texts where it has them)."""

from __future__ import annotations

from engine.domain.instruments import Action, Contract, Exchange, InstrumentType, PriceType, Product
from engine.paper.orders import OrderRequest, PaperOrder
from engine.paper.wire import Refusal

SHARE_SEGMENTS = frozenset({Exchange.NSE, Exchange.BSE})
NRML_REFUSED = "NRML product not allowed for {} equity segment. Use CNC for delivery or MIS for intraday."
CNC_REFUSED = "CNC product not allowed for {} derivatives segment. Use NRML for carryforward or MIS for intraday."


def check_order(contract: Contract, request: OrderRequest) -> None:
    """Raise Refusal for a new order that may not be placed as it is written."""
    if contract.instrument_type is InstrumentType.INDEX:
        raise Refusal(400, f"{request.symbol} is an index on {request.exchange} and cannot be traded")
    if request.exchange in SHARE_SEGMENTS and request.product is Product.NRML:
        raise Refusal(400, NRML_REFUSED.format(request.exchange))
    if request.exchange not in SHARE_SEGMENTS and request.product is Product.CNC:
        raise Refusal(400, CNC_REFUSED.format(request.exchange))
    _check_quantity(contract, request.quantity)
    kind = request.price_type
    if kind in (PriceType.LIMIT, PriceType.SL) and not request.price:
        raise Refusal(400, f"{kind} orders require price")
    if kind in (PriceType.SL, PriceType.SL_M) and not request.trigger_price:
        raise Refusal(400, f"{kind} orders require trigger_price")
    if kind in (PriceType.LIMIT, PriceType.SL):
        _check_tick(contract, request.price)
    if kind in (PriceType.SL, PriceType.SL_M):
        _check_tick(contract, request.trigger_price)


def check_change(contract: Contract, order: PaperOrder, request: OrderRequest) -> None:
    """Raise Refusal for a change of a working order that is not possible."""
    if request.price_type is PriceType.SL_M and request.price:
        raise Refusal(400, "SL-M orders do not accept a price")
    _check_quantity(contract, request.quantity)
    _check_tick(contract, request.price)
    _check_tick(contract, request.trigger_price)
    if request.quantity <= order.filled:
        raise Refusal(400, f"Quantity must be above the filled quantity {order.filled}")


def delivery_problem(request: OrderRequest, held: int) -> str | None:
    """Return why shares cannot be sold for delivery, None if they can; ``held`` is the CNC quantity there is."""
    if request.product is not Product.CNC or request.action is Action.BUY or held >= request.quantity:
        return None
    if held <= 0:
        return (
            f"Cannot sell {request.symbol} in CNC. No positions or holdings available. "
            "CNC (delivery) requires existing shares. Use MIS for intraday short selling."
        )
    return f"Cannot sell {request.quantity} shares of {request.symbol} in CNC. Only {held} shares available."


def _check_quantity(contract: Contract, quantity: int) -> None:
    if quantity % contract.lot_size:
        raise Refusal(400, f"Quantity must be in multiples of lot size {contract.lot_size}")
    freeze = contract.freeze_quantity
    if freeze is not None and quantity > freeze:
        raise Refusal(400, f"Quantity {quantity} exceeds the freeze quantity {freeze} of {contract.underlying}")


def _check_tick(contract: Contract, price: int) -> None:
    if price % round(contract.tick_size * 100):
        raise Refusal(400, f"Price {price / 100} is not a multiple of the tick size {contract.tick_size}")
