"""Calls that place several orders at once: baskets, split orders, orders by distance from the money.

The engine sends single orders, because their outcomes can be told apart; these are for users of the client.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from engine.broker.fields import expiry_text
from engine.broker.requests import OrderRequest, counted, named
from engine.domain.errors import ContractError
from engine.domain.instruments import Action, Exchange, InstrumentType, Product

MOST_PIECES = 100
MOST_LEGS = 20
_OFFSET = re.compile(r"ATM|(?:ITM|OTM)(?:[1-9]|[1-4]\d|50)", re.ASCII)


@dataclass(frozen=True, slots=True)
class BasketRequest:
    """Several orders in one call, all with one ``strategy``.

    Legs are checked together: a malformed one refuses all, a refused one does not stop the others. Two legs in one
    symbol cannot be told apart in the answer. Raises ContractError naming the field.
    """

    orders: tuple[OrderRequest, ...]

    def __post_init__(self) -> None:
        if not self.orders:
            raise ContractError("orders", "at least one")
        if len({order.strategy for order in self.orders}) > 1:
            raise ContractError("strategy", "one for the whole basket")

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of the legs, in the order of the request."""
        return tuple(order.symbol for order in self.orders)

    def payload(self) -> dict[str, Any]:
        """Return the body of ``basketorder`` without the key."""
        legs = [order.payload() for order in self.orders]
        for leg in legs:
            del leg["strategy"]
        return {"strategy": self.orders[0].strategy, "orders": legs}


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """One order cut into pieces of at most ``split_size``; the server makes at most 100 pieces.

    The server does not look at lots: choose a multiple. Raises ContractError naming the field.
    """

    order: OrderRequest
    split_size: int

    def __post_init__(self) -> None:
        counted("split_size", self.split_size, least=1)
        if self.pieces > MOST_PIECES:
            raise ContractError("split_size", f"{self.pieces} pieces, at most {MOST_PIECES} can be made")

    @property
    def pieces(self) -> int:
        """How many orders it makes, the last one with the remainder."""
        return pieces(self.order.quantity, self.split_size)

    def payload(self) -> dict[str, Any]:
        """Return the body of ``splitorder`` without the key."""
        return {**self.order.payload(), "splitsize": self.split_size}


@dataclass(frozen=True, slots=True)
class OptionLeg:
    """One option by its distance from the money: ``offset`` ATM, ITM1 to ITM50 or OTM1 to OTM50; MARKET only.

    ``expiry`` is this leg's own; None takes the request's. Raises ContractError naming the field.
    """

    offset: str
    option_type: InstrumentType
    action: Action
    quantity: int
    product: Product
    expiry: date | None = None

    def __post_init__(self) -> None:
        checked_offset(self.offset)
        checked_option_type(self.option_type)
        counted("quantity", self.quantity, least=1)
        if self.product is Product.CNC:
            raise ContractError("product", "options take NRML or MIS")

    def payload(self) -> dict[str, Any]:
        """Return one entry of ``legs``."""
        fields = {
            "offset": self.offset,
            "option_type": self.option_type.value,
            "action": self.action.value,
            "quantity": self.quantity,
            "product": self.product.value,
        }
        return fields if self.expiry is None else {**fields, "expiry_date": expiry_text(self.expiry)}


@dataclass(frozen=True, slots=True)
class OptionsOrderRequest:
    """One option order; the server resolves the contract from its own spot reading at that moment.

    ``exchange`` is the underlying's (NSE_INDEX, BSE_INDEX, or NFO with a future as ``underlying``; the leg's expiry may
    then be None). Raises ContractError naming the field.
    """

    strategy: str
    underlying: str
    exchange: Exchange
    leg: OptionLeg
    split_size: int | None = None
    strike_int: int | None = None

    def __post_init__(self) -> None:
        named("strategy", self.strategy)
        named("underlying", self.underlying)
        for field in ("split_size", "strike_int"):
            value = getattr(self, field)
            if value is not None:
                counted(field, value, least=1)
        if self.pieces > MOST_PIECES:
            raise ContractError("split_size", f"{self.pieces} pieces, at most {MOST_PIECES} can be made")

    @property
    def pieces(self) -> int:
        """How many orders it makes."""
        return 1 if self.split_size is None else pieces(self.leg.quantity, self.split_size)

    def payload(self) -> dict[str, Any]:
        """Return the body of ``optionsorder`` without the key."""
        fields = {
            "strategy": self.strategy,
            "underlying": self.underlying,
            "exchange": self.exchange.value,
            **self.leg.payload(),
            "pricetype": "MARKET",
        }
        optional = {"splitsize": self.split_size, "strike_int": self.strike_int}
        return {**fields, **{name: value for name, value in optional.items() if value is not None}}


@dataclass(frozen=True, slots=True)
class OptionsMultiOrderRequest:
    """1 to 20 option orders of one underlying; ``expiry`` is that of every leg without its own."""

    strategy: str
    underlying: str
    exchange: Exchange
    legs: tuple[OptionLeg, ...]
    expiry: date | None = None

    def __post_init__(self) -> None:
        named("strategy", self.strategy)
        named("underlying", self.underlying)
        if not 1 <= len(self.legs) <= MOST_LEGS:
            raise ContractError("legs", f"1 to {MOST_LEGS}")

    def payload(self) -> dict[str, Any]:
        """Return the body of ``optionsmultiorder`` without the key."""
        fields = {
            "strategy": self.strategy,
            "underlying": self.underlying,
            "exchange": self.exchange.value,
            "legs": [leg.payload() for leg in self.legs],
        }
        return fields if self.expiry is None else {**fields, "expiry_date": expiry_text(self.expiry)}


def pieces(quantity: int, split_size: int) -> int:
    """Return how many orders a quantity makes.

    >>> pieces(325, 130), pieces(65, 130)
    (3, 1)
    """
    return -(-quantity // split_size)


def checked_offset(offset: str) -> str:
    """Return the offset as the wire wants it; raises ContractError.

    >>> checked_offset("OTM2")
    'OTM2'
    """
    if not isinstance(offset, str) or not _OFFSET.fullmatch(offset):
        raise ContractError("offset", f"{offset!r:.20} is none of ATM, ITM1 to ITM50, OTM1 to OTM50")
    return offset


def checked_option_type(option_type: InstrumentType) -> InstrumentType:
    """Return CE or PE; raises ContractError for everything else."""
    if option_type not in {InstrumentType.CE, InstrumentType.PE}:
        raise ContractError("option_type", f"{option_type!r:.20} is neither CE nor PE")
    return option_type
