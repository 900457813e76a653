"""Which orders the exchange admits, and its words for the others (OpenAlgo's sandbox texts where it has them)."""

from __future__ import annotations

from engine.domain.instruments import Contract, Exchange, InstrumentType, PriceType, Product
from engine.paper.bands import Band
from engine.paper.orders import OrderRequest, PaperOrder
from engine.paper.wire import Refusal

SHARE_SEGMENTS = frozenset({Exchange.NSE, Exchange.BSE})
NRML_REFUSED = "NRML product not allowed for {} equity segment. Use CNC for delivery or MIS for intraday."
CNC_REFUSED = "CNC product not allowed for {} derivatives segment. Use NRML for carryforward or MIS for intraday."


def check_order(contract: Contract, request: OrderRequest) -> None:
    """Raise Refusal for a new order that may not be placed as it is written.

    Freeze quantity, price band, funds and delivery are looked at later: a broker takes such an order and rejects it.
    """
    check_tradable(contract, request.product)
    check_lots(contract, request.quantity)
    check_prices(contract, request)


def check_prices(contract: Contract, request: OrderRequest) -> None:
    """Raise Refusal for prices that the price type needs and that are missing or between ticks."""
    kind = request.price_type
    if kind in (PriceType.LIMIT, PriceType.SL) and not request.price:
        raise Refusal(400, f"{kind} orders require price")
    if kind in (PriceType.SL, PriceType.SL_M) and not request.trigger_price:
        raise Refusal(400, f"{kind} orders require trigger_price")
    if kind in (PriceType.LIMIT, PriceType.SL):
        check_tick(contract, request.price)
    if kind in (PriceType.SL, PriceType.SL_M):
        check_tick(contract, request.trigger_price)


def check_change(contract: Contract, order: PaperOrder, request: OrderRequest) -> None:
    """Raise Refusal for a change of a working order that is not possible."""
    if request.price_type is PriceType.SL_M and request.price:
        raise Refusal(400, "SL-M orders do not accept a price")
    check_lots(contract, request.quantity)
    check_freeze(contract, request.quantity)
    check_tick(contract, request.price)
    check_tick(contract, request.trigger_price)
    if request.quantity <= order.filled:
        raise Refusal(400, f"Quantity must be above the filled quantity {order.filled}")


def delivery_problem(symbol: str, quantity: int, held: int) -> str | None:
    """Return why shares cannot be sold for delivery, None if they can; ``held`` is the CNC quantity there is."""
    if held >= quantity:
        return None
    if held <= 0:
        return (
            f"Cannot sell {symbol} in CNC. No positions or holdings available. "
            "CNC (delivery) requires existing shares. Use MIS for intraday short selling."
        )
    return f"Cannot sell {quantity} shares of {symbol} in CNC. Only {held} shares available."


def check_band(contract: Contract, band: Band, *prices: int) -> None:
    """Raise Refusal if a price (paise) is outside the day's band; 0 is no price."""
    for price in prices:
        if price and not band.holds(price):
            limits = f"{band.lower / 100:.2f} to {band.upper / 100:.2f}"
            raise Refusal(400, f"Price {price / 100:.2f} is outside the price band {limits} of {contract.symbol}")


def check_tradable(contract: Contract, product: Product) -> None:
    """Raise Refusal for an index, and for a product that the segment does not have."""
    exchange = contract.exchange
    if contract.instrument_type is InstrumentType.INDEX:
        raise Refusal(400, f"{contract.symbol} is an index on {exchange} and cannot be traded")
    if exchange in SHARE_SEGMENTS and product is Product.NRML:
        raise Refusal(400, NRML_REFUSED.format(exchange))
    if exchange not in SHARE_SEGMENTS and product is Product.CNC:
        raise Refusal(400, CNC_REFUSED.format(exchange))


def check_funds(needed: int, free: int) -> None:
    """Raise Refusal if an order needs more paise than are free; one that needs none passes at any time."""
    if needed > free and needed:
        message = "Insufficient funds. Required: ₹{:.2f}, Available: ₹{:.2f}, Shortage: ₹{:.2f}"
        raise Refusal(400, message.format(needed / 100, free / 100, (needed - free) / 100))


def check_lots(contract: Contract, quantity: int) -> None:
    """Raise Refusal for a quantity that is not of whole lots."""
    if quantity % contract.lot_size:
        raise Refusal(400, f"Quantity must be in multiples of lot size {contract.lot_size}")


def check_freeze(contract: Contract, quantity: int) -> None:
    """Raise Refusal for a quantity above the freeze quantity."""
    freeze = contract.freeze_quantity
    if freeze is not None and quantity > freeze:
        raise Refusal(400, f"Quantity {quantity} exceeds the freeze quantity {freeze} of {contract.underlying}")


def check_tick(contract: Contract, price: int) -> None:
    """Raise Refusal for a price (paise) between ticks."""
    if price % round(contract.tick_size * 100):
        raise Refusal(400, f"Price {price / 100} is not a multiple of the tick size {contract.tick_size}")
