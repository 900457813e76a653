"""GTT orders: good till triggered, kept by the exchange for a year, SINGLE or OCO (two legs)."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from engine.domain.instruments import Action, Exchange, Product
from engine.paper.clock import ist

FIRST_LIVE_NUMBER = 100_001


class GttStatus(StrEnum):
    """What became of a GTT. Only active ones are listed by OpenAlgo."""

    ACTIVE = "active"
    TRIGGERED = "triggered"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class GttLeg:
    """A trigger and the limit of the order it places, both in paise."""

    trigger_price: int
    price: int


@dataclass(frozen=True, slots=True)
class GttRequest:
    """What a caller asks for: one leg (SINGLE), or two (OCO), the stop loss before the target."""

    strategy: str
    symbol: str
    exchange: Exchange
    action: Action
    product: Product
    quantity: int
    legs: tuple[GttLeg, ...]

    def document(self) -> dict[str, Any]:
        """Return the request as JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, row: dict[str, Any]) -> GttRequest:
        """Return the request that ``document`` wrote."""
        return cls(
            **{
                **row,
                "exchange": Exchange(row["exchange"]),
                "action": Action(row["action"]),
                "product": Product(row["product"]),
                "legs": tuple(GttLeg(**leg) for leg in row["legs"]),
            }
        )


@dataclass(slots=True)
class Gtt:
    """One GTT order.

    ``last_price`` (paise) is the price when it was placed or changed: it tells from which side a single trigger is
    reached. ``margin`` is the dearest leg's price × quantity in paise, ``blocked`` what of it counts against the funds
    (all of it in analyzer mode, nothing in live mode). Times in epoch seconds. ``order_id`` is the order it became;
    ``reason`` why it could not become one.
    """

    trigger_id: str
    request: GttRequest
    last_price: int
    margin: int
    blocked: int
    created_at: float
    updated_at: float
    expires_at: float
    status: GttStatus = GttStatus.ACTIVE
    order_id: str = ""
    reason: str = ""

    @property
    def trigger_type(self) -> str:
        """The type in the book's words: single or two-leg."""
        return "single" if len(self.request.legs) == 1 else "two-leg"

    def reached(self, last: int) -> GttLeg | None:
        """Return the leg whose trigger a price (paise) has reached, None if there is none.

        Of two legs the lower trigger is reached from above and the higher from below. A single one is reached from
        the side on which the price stood when the GTT was placed.
        """
        if len(self.request.legs) > 1:
            low, high = sorted(self.request.legs, key=lambda leg: leg.trigger_price)
            return low if last <= low.trigger_price else high if last >= high.trigger_price else None
        leg = self.request.legs[0]
        falls = leg.trigger_price <= self.last_price
        return leg if (last <= leg.trigger_price if falls else last >= leg.trigger_price) else None

    def document(self) -> dict[str, Any]:
        """Return the GTT as JSON."""
        return {**asdict(self), "request": self.request.document()}

    @classmethod
    def from_document(cls, row: dict[str, Any]) -> Gtt:
        """Return the GTT that ``document`` wrote."""
        return cls(**{**row, "request": GttRequest.from_document(row["request"]), "status": GttStatus(row["status"])})


def new_trigger_id(at: float) -> str:
    """GTT-YYMMDD-xxxxxxxx, as OpenAlgo's sandbox gives them."""
    return f"GTT-{ist(at):%y%m%d}-{secrets.token_hex(4)}"


def a_year_on(at: float) -> float:
    """Return the same clock time a year later; 29 February ends on the 28th.

    >>> a_year_on(1795325545.0) - 1795325545.0 == 365 * 86400
    True
    """
    begun = ist(at)
    day = 28 if (begun.month, begun.day) == (2, 29) else begun.day
    return begun.replace(year=begun.year + 1, day=day).timestamp()
