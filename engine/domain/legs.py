"""The legs of a strategy: what is asked for, and what it became on a chain (RULES 1 and 2)."""

from __future__ import annotations

from dataclasses import dataclass

from engine.domain.errors import DomainError
from engine.domain.expiries import WEEK_CHOICES, ExpiryChoice, has_weekly_expiries
from engine.domain.instruments import Action, Contract, InstrumentType, PriceType, Product
from engine.domain.strikes import StrikeRule

OPTION_TYPES = frozenset({InstrumentType.CE, InstrumentType.PE})
_DERIVATIVE_PRODUCTS = frozenset({Product.NRML, Product.MIS})
_EQUITY_PRODUCTS = frozenset({Product.CNC, Product.MIS})


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg as the strategy asks for it; ``index`` counts from 1.

    Options need an expiry choice and a strike rule, futures an expiry choice, equities neither. ``lots_ratio`` is the
    lots of this leg in one structure. ``limit_offset``: a LIMIT leg asks for the mid of bid and ask, better for us by
    so many ₹. Raises DomainError whose field is ``leg 2 strike`` for leg 2's strike rule.
    """

    index: int
    underlying: str
    action: Action
    instrument_type: InstrumentType
    expiry_choice: ExpiryChoice | None = None
    strike: StrikeRule | None = None
    lots_ratio: int = 1
    product: Product = Product.NRML
    price_type: PriceType = PriceType.MARKET
    limit_offset: float = 0.0

    def __post_init__(self) -> None:
        if self.index < 1:
            raise self._wrong("index", f"{self.index} is not a place: legs count from 1")
        if not self.underlying:
            raise self._wrong("underlying", "is missing")
        if self.lots_ratio < 1:
            raise self._wrong("lots_ratio", f"{self.lots_ratio} is not a number of lots: it must be at least 1")
        if self.price_type not in (PriceType.MARKET, PriceType.LIMIT):
            raise self._wrong("price_type", f"{self.price_type} needs a trigger price: legs enter by MARKET or LIMIT")
        match self.instrument_type:
            case InstrumentType.CE | InstrumentType.PE | InstrumentType.FUT:
                self._check_derivative()
            case InstrumentType.EQ:
                self._check_equity()
            case InstrumentType.INDEX:
                raise self._wrong("instrument_type", "an index cannot be traded: take its options or futures")

    @property
    def is_option(self) -> bool:
        """Whether the leg is a call or a put."""
        return self.instrument_type in OPTION_TYPES

    def _check_derivative(self) -> None:
        if self.is_option and self.strike is None:
            raise self._wrong("strike", "an option needs a strike rule")
        if not self.is_option and self.strike is not None:
            raise self._wrong("strike", "a future has no strike")
        if self.expiry_choice is None:
            raise self._wrong("expiry_choice", f"{self.instrument_type} needs an expiry")
        weekly = self.is_option and has_weekly_expiries(self.underlying)
        if self.expiry_choice in WEEK_CHOICES and not weekly:
            kind = "options" if self.is_option else "futures"
            raise self._wrong("expiry_choice", f"{self.underlying} {kind} have no weekly expiries: choose a month")
        if self.product not in _DERIVATIVE_PRODUCTS:
            raise self._wrong("product", f"{self.product} is for equities: derivatives go as NRML or MIS")

    def _check_equity(self) -> None:
        if self.strike is not None:
            raise self._wrong("strike", "an equity has no strike")
        if self.expiry_choice is not None:
            raise self._wrong("expiry_choice", "an equity has no expiry")
        if self.product not in _EQUITY_PRODUCTS:
            raise self._wrong("product", f"{self.product} is for derivatives: equities go as CNC or MIS")

    def _wrong(self, field: str, reason: str) -> DomainError:
        return DomainError(f"leg {self.index} {field}", reason)


@dataclass(frozen=True, slots=True)
class ResolvedLeg:
    """A leg and the contract it became; ``price`` is the mid of bid and ask, else the LTP (₹), None if unknown."""

    leg: Leg
    contract: Contract
    price: float | None = None

    @property
    def quantity_per_structure(self) -> int:
        """Units of this leg in one structure."""
        return self.leg.lots_ratio * self.contract.lot_size
