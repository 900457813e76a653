"""What is asked of a server: exactly the documented fields, because any other field is refused with 400."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from engine.domain.errors import ContractError
from engine.domain.instruments import Action, Exchange, PriceType, Product

_NOT_TRADABLE = frozenset({Exchange.NSE_INDEX, Exchange.BSE_INDEX, Exchange.MCX_INDEX, Exchange.GLOBAL_INDEX})


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order to place. ``quantity`` in units, prices in ₹ (0 where the price type takes none).

    ``strategy`` is a tag that analyzer and paper servers show in their books; live ones may drop it. Raises
    ContractError naming the field: what would certainly be refused never leaves, and an analyzer would even fill an
    index.
    """

    strategy: str
    symbol: str
    exchange: Exchange
    action: Action
    quantity: int
    product: Product
    price_type: PriceType = PriceType.MARKET
    price: float = 0.0
    trigger_price: float = 0.0
    disclosed_quantity: int = 0

    def __post_init__(self) -> None:
        named("strategy", self.strategy)
        named("symbol", self.symbol)
        tradable(self.exchange)
        counted("quantity", self.quantity, least=1)
        counted("disclosed_quantity", self.disclosed_quantity, least=0)
        _priced(self.price_type, self.price, self.trigger_price)

    def payload(self) -> dict[str, str]:
        """Return the body of ``placeorder`` without the key."""
        return {
            "strategy": self.strategy,
            "symbol": self.symbol,
            "exchange": self.exchange.value,
            "action": self.action.value,
            "quantity": str(self.quantity),
            "pricetype": self.price_type.value,
            "product": self.product.value,
            "price": number_text(self.price),
            "trigger_price": number_text(self.trigger_price),
            "disclosed_quantity": str(self.disclosed_quantity),
        }


@dataclass(frozen=True, slots=True)
class ModifyRequest:
    """A working order as it shall be: the server wants every field again. Analyzer mode ignores a new price type."""

    orderid: str
    order: OrderRequest

    def __post_init__(self) -> None:
        named("orderid", self.orderid)

    def payload(self) -> dict[str, str]:
        """Return the body of ``modifyorder`` without the key."""
        return {"orderid": self.orderid, **self.order.payload()}


@dataclass(frozen=True, slots=True)
class SmartOrderRequest:
    """An order that brings a position to ``position_size`` (signed); the server works out what is missing.

    ``quantity`` may be 0. A position that is flat, a ``position_size`` of 0 and a ``quantity`` above 0 **open** a new
    position. Analyzer servers ignore the price type and execute as MARKET. Raises ContractError naming the field.
    """

    strategy: str
    symbol: str
    exchange: Exchange
    action: Action
    quantity: int
    position_size: int
    product: Product
    price_type: PriceType = PriceType.MARKET
    price: float = 0.0
    trigger_price: float = 0.0
    disclosed_quantity: int = 0

    def __post_init__(self) -> None:
        named("strategy", self.strategy)
        named("symbol", self.symbol)
        tradable(self.exchange)
        counted("quantity", self.quantity, least=0)
        if isinstance(self.position_size, bool) or not isinstance(self.position_size, int):
            raise ContractError("position_size", f"{self.position_size!r} is not a whole number")
        counted("disclosed_quantity", self.disclosed_quantity, least=0)
        _priced(self.price_type, self.price, self.trigger_price)

    def payload(self) -> dict[str, str]:
        """Return the body of ``placesmartorder`` without the key."""
        return {
            "strategy": self.strategy,
            "symbol": self.symbol,
            "exchange": self.exchange.value,
            "action": self.action.value,
            "quantity": str(self.quantity),
            "position_size": str(self.position_size),
            "pricetype": self.price_type.value,
            "product": self.product.value,
            "price": number_text(self.price),
            "trigger_price": number_text(self.trigger_price),
            "disclosed_quantity": str(self.disclosed_quantity),
        }


@dataclass(frozen=True, slots=True)
class MarginPosition:
    """One leg of a basket whose margin is asked for."""

    symbol: str
    exchange: Exchange
    action: Action
    quantity: int
    product: Product
    price_type: PriceType = PriceType.MARKET
    price: float = 0.0
    trigger_price: float = 0.0

    def __post_init__(self) -> None:
        named("symbol", self.symbol)
        counted("quantity", self.quantity, least=1)

    def payload(self) -> dict[str, str]:
        """One entry of ``positions``; the quantity must be text here, a number is refused."""
        return {
            "symbol": self.symbol,
            "exchange": self.exchange.value,
            "action": self.action.value,
            "quantity": str(self.quantity),
            "product": self.product.value,
            "pricetype": self.price_type.value,
            "price": number_text(self.price),
            "trigger_price": number_text(self.trigger_price),
        }


def number_text(value: float) -> str:
    """Return a price as plain decimal text, without exponent or trailing zeros.

    >>> number_text(0.0), number_text(192.2), number_text(0.00005), number_text(26000.0)
    ('0', '192.2', '0.00005', '26000')
    """
    if not math.isfinite(value):
        raise ContractError("price", f"{value!r} is not finite")
    text = format(Decimal(str(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def tradable(exchange: Exchange) -> None:
    """Raise ContractError for an index segment: an analyzer would even fill an index."""
    if exchange in _NOT_TRADABLE:
        raise ContractError("exchange", f"{exchange} cannot be traded")


def named(field: str, value: str) -> None:
    """Raise ContractError for an empty text."""
    if not isinstance(value, str) or not value.strip():
        raise ContractError(field, "is empty")


def counted(field: str, value: int, *, least: int) -> None:
    """Raise ContractError for what is no whole number, or a smaller one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ContractError(field, f"{value!r} is not a whole number of at least {least}")


def _priced(price_type: PriceType, price: float, trigger_price: float) -> None:
    needs_price = price_type in {PriceType.LIMIT, PriceType.SL}
    needs_trigger = price_type in {PriceType.SL, PriceType.SL_M}
    for field, value, needed in (("price", price, needs_price), ("trigger_price", trigger_price, needs_trigger)):
        if not math.isfinite(value) or value < 0:
            raise ContractError(field, f"{value!r} is not a price")
        if needed and value == 0:
            raise ContractError(field, f"{price_type} needs one")
        if not needed and value != 0:
            raise ContractError(field, f"{price_type} takes none")
