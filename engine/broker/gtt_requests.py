"""Triggers to place at the broker. The engine places none: its exits are its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from engine.broker.models import TriggerType
from engine.broker.requests import counted, named, tradable
from engine.domain.errors import ContractError
from engine.domain.instruments import Action, Exchange, PriceType, Product


@dataclass(frozen=True, slots=True)
class GttRequest:
    """An order that waits at the broker for a price; prices in ₹, all limit orders.

    SINGLE: ``price`` and exactly one of ``triggerprice_sl`` and ``triggerprice_tg``. OCO: ``triggerprice_sl`` below
    ``triggerprice_tg``, and the limits ``stoploss`` and ``target`` that are placed there; ``price`` stays 0. CNC and
    NRML only. Raises ContractError naming the field.
    """

    strategy: str
    trigger_type: TriggerType
    symbol: str
    exchange: Exchange
    action: Action
    quantity: int
    product: Product
    price: float = 0.0
    triggerprice_sl: float = 0.0
    triggerprice_tg: float = 0.0
    stoploss: float = 0.0
    target: float = 0.0

    def __post_init__(self) -> None:
        named("strategy", self.strategy)
        named("symbol", self.symbol)
        tradable(self.exchange)
        counted("quantity", self.quantity, least=1)
        if self.product is Product.MIS:
            raise ContractError("product", "a trigger takes CNC or NRML")
        for field in ("price", "triggerprice_sl", "triggerprice_tg", "stoploss", "target"):
            value = getattr(self, field)
            if not math.isfinite(value) or value < 0:
                raise ContractError(field, f"{value!r} is not a price")
        if self.trigger_type is TriggerType.SINGLE:
            self._check_single()
        else:
            self._check_oco()

    def payload(self) -> dict[str, Any]:
        """Return the body of ``placegttorder`` without the key: only the fields of its kind."""
        fields: dict[str, Any] = {
            "strategy": self.strategy,
            "trigger_type": self.trigger_type.value,
            "exchange": self.exchange.value,
            "symbol": self.symbol,
            "action": self.action.value,
            "product": self.product.value,
            "quantity": self.quantity,
            "pricetype": PriceType.LIMIT.value,
            "price": self.price,
        }
        prices = ("triggerprice_sl", "stoploss", "triggerprice_tg", "target")
        return {**fields, **{name: getattr(self, name) for name in prices if getattr(self, name) > 0}}

    def _check_single(self) -> None:
        if (self.triggerprice_sl > 0) is (self.triggerprice_tg > 0):
            raise ContractError("triggerprice_sl", "SINGLE needs exactly one of triggerprice_sl and triggerprice_tg")
        if self.price == 0:
            raise ContractError("price", "SINGLE needs one")
        if self.stoploss or self.target:
            raise ContractError("stoploss" if self.stoploss else "target", "only OCO takes one")

    def _check_oco(self) -> None:
        for field in ("triggerprice_sl", "stoploss", "triggerprice_tg", "target"):
            if getattr(self, field) == 0:
                raise ContractError(field, "OCO needs one")
        if self.triggerprice_sl >= self.triggerprice_tg:
            raise ContractError("triggerprice_sl", "must be below triggerprice_tg")
        if self.price:
            raise ContractError("price", "OCO takes none")


@dataclass(frozen=True, slots=True)
class GttModifyRequest:
    """A trigger as it shall be; the server wants every field again."""

    trigger_id: str
    trigger: GttRequest

    def __post_init__(self) -> None:
        named("trigger_id", self.trigger_id)

    def payload(self) -> dict[str, Any]:
        """Return the body of ``modifygttorder`` without the key."""
        return {**self.trigger.payload(), "trigger_id": self.trigger_id}
