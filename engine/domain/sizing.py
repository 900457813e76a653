"""From an account's funds to lots, quantities and slices (RULES 2 and 3)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Generic, TypeVar

from engine.domain.errors import SizingError
from engine.domain.money import paise
from engine.domain.slicing import UNKNOWN_FREEZE_LOTS, known_freeze, slice_quantity

AccountT = TypeVar("AccountT", bound=Hashable)


class Grade(StrEnum):
    """Trade quality: A uses the most margin (aggressive), C the least (conservative)."""

    A = "A"
    B = "B"
    C = "C"

    @property
    def percentage(self) -> int:
        """The share of the available funds that the grade uses."""
        return {Grade.A: 95, Grade.B: 65, Grade.C: 36}[self]


class RiskProfile(StrEnum):
    """A user's appetite, used instead of a grade."""

    CONSERVATIVE = "conservative"
    BALANCED = "balanced"
    AGGRESSIVE = "aggressive"

    @property
    def percentage(self) -> int:
        """The share of the available funds that the profile uses."""
        return {RiskProfile.CONSERVATIVE: 40, RiskProfile.BALANCED: 65, RiskProfile.AGGRESSIVE: 80}[self]


class SizingLimit(StrEnum):
    """What bound the number of structures."""

    MARGIN = "margin"
    FIXED_LOTS = "fixed_lots"
    ALLOCATION = "allocation"
    CAP = "cap"
    FREEZE = "freeze"
    FUNDS = "funds"


@dataclass(frozen=True, slots=True)
class LegTerms:
    """A leg's ratio of lots in one structure, its lot size and freeze quantity in units (None: unknown)."""

    lots_ratio: int
    lot_size: int
    freeze_quantity: int | None


@dataclass(frozen=True, slots=True)
class SizingRequest:
    """What decides about one account.

    ``available`` and ``reserved`` in ₹: funds by the account's model, and what open runs hold that the funds do not
    show yet; ``available`` None means that the read failed. ``percentage`` of the funds to use, above 0 up to 100.
    ``fixed_lots`` structures replace the percentage's; ``limit_to_margin`` keeps them inside the usable funds.
    ``allocated`` structures come from an allocation of a total, ``cap_lots`` is the most lots of any one leg.
    Raises SizingError for settings that make no sense.
    """

    available: float | None
    percentage: float
    structure_margin_paise: int
    legs: tuple[LegTerms, ...]
    reserved: float = 0.0
    fixed_lots: int | None = None
    limit_to_margin: bool = True
    allocated: int | None = None
    cap_lots: int | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.percentage) or not 0 < self.percentage <= 100:
            raise SizingError("percentage", f"{self.percentage} is not above 0 and up to 100")
        if not self.legs or any(leg.lots_ratio < 1 for leg in self.legs):
            raise SizingError("legs", "every structure needs legs of at least one lot")
        if self.fixed_lots is not None and self.fixed_lots < 1:
            raise SizingError("fixed_lots", f"{self.fixed_lots} is not a number of lots: it must be at least 1")
        if self.cap_lots is not None and self.cap_lots < 0:
            raise SizingError("cap_lots", f"{self.cap_lots} is not a number of lots")
        if self.allocated is not None and self.allocated < 0:
            raise SizingError("allocated", f"{self.allocated} is not a number of structures")


@dataclass(frozen=True, slots=True)
class LegSize:
    """A leg on an account: lots, units, and the child quantities that go out."""

    lots: int
    quantity: int
    slices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AccountSizing:
    """The funds waterfall of one account, from what is available to slices; amounts in paise.

    ``structures`` 0 means skipped: ``limit`` is what bound it and ``reason`` says so in words (None otherwise).
    """

    available_paise: int
    percentage: float
    usable_paise: int
    structure_margin_paise: int
    structures: int
    limit: SizingLimit
    legs: tuple[LegSize, ...] = ()
    reason: str | None = None

    @property
    def skipped(self) -> bool:
        """Whether the account takes no part."""
        return self.structures == 0

    @property
    def margin_used_paise(self) -> int:
        """Margin of all structures."""
        return self.structures * self.structure_margin_paise


def size_account(request: SizingRequest) -> AccountSizing:
    """Return what one account trades (RULES 2 and 3).

    usable = (available − reserved) × percentage; n = floor(usable / margin of one structure), or the fixed lots; then
    the allocation, the cap, and 20 lots of a leg with unknown freeze bound n. Missing, zero, negative or non-finite
    funds skip the account. Raises SizingError if the margin of one structure is not above 0.

    >>> leg = LegTerms(lots_ratio=1, lot_size=65, freeze_quantity=1800)
    >>> size_account(SizingRequest(1_000_000, 65, paise(320_000), (leg,))).legs[0].quantity
    130
    """
    if request.structure_margin_paise <= 0:
        raise SizingError("structure_margin", "the margin of one structure is not above 0: nothing can be sized by it")
    if (problem := _funds_problem(request.available, request.reserved)) is not None:
        return _skipped(request, 0, 0, SizingLimit.FUNDS, problem)
    assert request.available is not None
    available = paise(request.available) - paise(request.reserved)
    usable = usable_paise(available, request.percentage)
    affordable = usable // request.structure_margin_paise
    bounds = _bounds(request, affordable)
    limit = min(bounds, key=lambda bound: bounds[bound])
    structures = bounds[limit]
    if structures == 0:
        return _skipped(request, available, usable, limit, _why_none(request, usable, limit))
    legs = tuple(_leg_size(leg, structures) for leg in request.legs)
    return AccountSizing(available, request.percentage, usable, request.structure_margin_paise, structures, limit, legs)


def usable_paise(available_paise: int, percentage: float) -> int:
    """Return the part of the available funds that may be used, rounded down to a paisa (RULES 2).

    >>> usable_paise(paise(1_000_000), 65)
    65000000
    """
    return math.floor(available_paise * Fraction(str(percentage)) / 100)


@dataclass(frozen=True, slots=True)
class Allocation(Generic[AccountT]):
    """Shares of a total per account, and what fitted nowhere; in the unit of the total."""

    shares: Mapping[AccountT, int]
    unplaced: int


def allocate(total: int, weights: Mapping[AccountT, float], limits: Mapping[AccountT, int]) -> Allocation[AccountT]:
    """Split a total by weight, each account within its own limit (RULES 2, allocation).

    Proportional: the weights are the available margins; custom: the user's. Largest remainders get what whole shares
    leave (the account named first on a tie), excess over a limit is offered to the others in the same way, and what
    fits nowhere is reported. Total, limits and shares count structures (any whole unit will do). Raises SizingError
    for a negative total or limit, and for a weight that is negative or not finite.

    >>> allocate(10, {"one": 500_000, "two": 300_000, "three": 200_000}, {"one": 4, "two": 9, "three": 9})
    Allocation(shares={'one': 4, 'two': 4, 'three': 2}, unplaced=0)
    """
    if total < 0:
        raise SizingError("total", f"{total} is negative")
    for account, weight in weights.items():
        if not math.isfinite(weight) or weight < 0:
            raise SizingError("weight", f"{weight} of account {account} is not a weight")
        if limits[account] < 0:
            raise SizingError("limit", f"{limits[account]} of account {account} is negative")
    shares = dict.fromkeys(weights, 0)
    rest = total
    while rest:
        takers = {account: Fraction(weight) for account, weight in weights.items() if weight > 0}
        takers = {account: weight for account, weight in takers.items() if shares[account] < limits[account]}
        if not takers:
            break
        for account, offered in _largest_remainders(rest, takers).items():
            taken = min(offered, limits[account] - shares[account])
            shares[account] += taken
            rest -= taken
    return Allocation(shares, rest)


def _largest_remainders(total: int, weights: Mapping[AccountT, Fraction]) -> dict[AccountT, int]:
    whole = sum(weights.values())
    exact = {account: total * weight / whole for account, weight in weights.items()}
    shares = {account: math.floor(share) for account, share in exact.items()}
    by_remainder = sorted(exact, key=lambda account: shares[account] - exact[account])
    for account in by_remainder[: total - sum(shares.values())]:
        shares[account] += 1
    return shares


def _bounds(request: SizingRequest, affordable: int) -> dict[SizingLimit, int]:
    # the order decides which of several equal bounds is named
    bounds: dict[SizingLimit, int] = {}
    if request.fixed_lots is None or request.limit_to_margin:
        bounds[SizingLimit.MARGIN] = max(0, affordable)
    if request.fixed_lots is not None:
        bounds[SizingLimit.FIXED_LOTS] = request.fixed_lots
    if request.allocated is not None:
        bounds[SizingLimit.ALLOCATION] = request.allocated
    if request.cap_lots is not None:
        bounds[SizingLimit.CAP] = request.cap_lots // max(leg.lots_ratio for leg in request.legs)
    unknown = [leg.lots_ratio for leg in request.legs if known_freeze(leg.freeze_quantity) is None]
    if unknown:
        bounds[SizingLimit.FREEZE] = UNKNOWN_FREEZE_LOTS // max(unknown)
    return bounds


def _leg_size(leg: LegTerms, structures: int) -> LegSize:
    lots = structures * leg.lots_ratio
    quantity = lots * leg.lot_size
    slices = slice_quantity(quantity, lot_size=leg.lot_size, freeze_quantity=leg.freeze_quantity)
    return LegSize(lots, quantity, tuple(slices))


def _funds_problem(available: float | None, reserved: float) -> str | None:
    if available is None:
        return "funds are missing: the read failed"
    if not math.isfinite(available) or not math.isfinite(reserved):
        return "funds are not a number"
    if available < 0:
        return f"funds are negative: ₹{available:,.2f}"
    if available == 0:
        return "funds are zero"
    if paise(available) <= paise(reserved):
        return f"all of ₹{available:,.2f} is reserved by open runs"
    return None


def _why_none(request: SizingRequest, usable: int, limit: SizingLimit) -> str:
    match limit:
        case SizingLimit.MARGIN:
            needed = request.structure_margin_paise / 100
            return f"margin: ₹{usable / 100:,.2f} usable, one structure needs ₹{needed:,.2f}"
        case SizingLimit.CAP:
            return f"cap: {request.cap_lots} lots allow not even one structure"
        case SizingLimit.FREEZE:
            return f"freeze: unknown, and one structure has more than {UNKNOWN_FREEZE_LOTS} lots in a leg"
        case _:
            return f"{limit}: nothing was given to this account"


def _skipped(request: SizingRequest, available: int, usable: int, limit: SizingLimit, reason: str) -> AccountSizing:
    return AccountSizing(available, request.percentage, usable, request.structure_margin_paise, 0, limit, reason=reason)
