"""Orders that wait at the broker for a price ("good till triggered")."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.domain.instruments import Action, Exchange, PriceType, Product


class TriggerType(StrEnum):
    """SINGLE: one trigger price. OCO: a stop and a target, of which one cancels the other."""

    SINGLE = "SINGLE"
    OCO = "OCO"


@dataclass(frozen=True, slots=True)
class GttLeg:
    """What is placed when the trigger price is reached."""

    action: Action
    quantity: int
    price: float
    price_type: PriceType
    product: Product


@dataclass(frozen=True, slots=True)
class GttRow:
    """One active trigger; ``margin_blocked`` in paise, ``strategy`` only in analyzer mode.

    The three times are the server's own texts: analyzer writes them in the zone of its machine without saying which,
    live in IST.
    """

    trigger_id: str
    trigger_type: TriggerType
    status: str
    symbol: str
    exchange: Exchange
    trigger_prices: tuple[float, ...]
    last_price: float | None
    legs: tuple[GttLeg, ...]
    created_at: str
    updated_at: str
    expires_at: str
    strategy: str | None
    margin_blocked: int | None
