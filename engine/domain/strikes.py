"""Which strike a leg means, from one spot reading and one chain (RULES 1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from engine.domain.errors import ContractError, DomainError
from engine.domain.instruments import InstrumentType

PREMIUM_SEARCH_STRIKES = 20
"""Premium near looks this many strikes to each side of ATM."""

LARGEST_OFFSET = 50


class StrikeKind(StrEnum):
    """Ways of naming a strike."""

    ATM = "atm"
    OTM = "otm"
    ITM = "itm"
    EXACT = "exact"
    PREMIUM_NEAR = "premium_near"


@dataclass(frozen=True, slots=True)
class StrikeRule:
    """How a leg names its strike: ``offset`` in listed strikes, ``strike`` and ``premium`` in ₹.

    Each kind needs its own figure and takes no other. Raises DomainError naming the figure.
    """

    kind: StrikeKind
    offset: int = 0
    strike: float | None = None
    premium: float | None = None

    def __post_init__(self) -> None:
        takes_offset = self.kind in (StrikeKind.OTM, StrikeKind.ITM)
        if takes_offset and not 1 <= self.offset <= LARGEST_OFFSET:
            raise DomainError("offset", f"{self.kind} needs 1 to {LARGEST_OFFSET} strikes, not {self.offset}")
        if not takes_offset and self.offset:
            raise DomainError("offset", f"{self.kind} takes no offset")
        _needed("strike", self.strike, self.kind, StrikeKind.EXACT)
        _needed("premium", self.premium, self.kind, StrikeKind.PREMIUM_NEAR)


@dataclass(frozen=True, slots=True)
class ChainPrice:
    """One option of a chain; prices in ₹, None or 0 where there is none."""

    symbol: str
    ltp: float | None = None
    bid: float | None = None
    ask: float | None = None

    @property
    def premium(self) -> float | None:
        """The mid of bid and ask if both are there, else the LTP; None without either."""
        return mid_price(self.bid, self.ask, self.ltp)


@dataclass(frozen=True, slots=True)
class ChainStrike:
    """Both options of one strike (₹); None where that side is not listed."""

    strike: float
    ce: ChainPrice | None
    pe: ChainPrice | None

    def side(self, option_type: InstrumentType) -> ChainPrice | None:
        """Return the call or the put."""
        return self.ce if option_type is InstrumentType.CE else self.pe


def mid_price(bid: float | None, ask: float | None, ltp: float | None) -> float | None:
    """Return the mid of bid and ask (₹) if both are there, else the LTP if it is above 0, else None (RULES 1).

    >>> mid_price(99.0, 101.0, 97.5), mid_price(0.0, 101.0, 97.5), mid_price(None, None, 0.0)
    (100.0, 97.5, None)
    """
    if _positive(bid) and _positive(ask):
        return float((Decimal(str(bid)) + Decimal(str(ask))) / 2)
    return ltp if _positive(ltp) else None


def atm_strike(spot: float, strikes: Iterable[float]) -> float:
    """Return the listed strike nearest to spot, the lower one on a tie (RULES 1); all in ₹.

    Raises ContractError without strikes or without a real spot.

    >>> atm_strike(24025, [23950, 24000, 24050, 24100])
    24000
    """
    if not _positive(spot):
        raise ContractError("spot", f"{spot!r} is not a price")
    listed = list(strikes)
    if not listed:
        raise ContractError("strike", "no strikes are listed")
    return min(listed, key=lambda strike: (_distance(strike, spot), strike))


def choose_strike(
    rule: StrikeRule, option_type: InstrumentType, spot: float, chain: Sequence[ChainStrike]
) -> ChainStrike:
    """Return the strike of the chain that a rule means (RULES 1).

    OTM n is n listed strikes above ATM for a call and below it for a put, ITM n the mirror. Premium near takes, within
    20 strikes of ATM, the premium (mid, else LTP) nearest to the target, the lower premium on a tie. ``spot`` and the
    premium target in ₹. Raises ContractError if ``option_type`` is no option, or nothing listed fits.

    >>> chain = [ChainStrike(strike, ChainPrice("C"), ChainPrice("P")) for strike in range(23500, 24550, 50)]
    >>> choose_strike(StrikeRule(StrikeKind.OTM, offset=3), InstrumentType.PE, 24010, chain).strike
    23850
    """
    if option_type not in (InstrumentType.CE, InstrumentType.PE):
        raise ContractError("option_type", f"{option_type} is not an option: CE or PE is needed")
    rows = sorted(chain, key=lambda row: row.strike)
    atm = atm_strike(spot, (row.strike for row in rows))
    at = next(place for place, row in enumerate(rows) if row.strike == atm)
    away = rule.offset if option_type is InstrumentType.CE else -rule.offset
    match rule.kind:
        case StrikeKind.ATM | StrikeKind.OTM:
            chosen = _row(rows, at + away, rule)
        case StrikeKind.ITM:
            chosen = _row(rows, at - away, rule)
        case StrikeKind.EXACT:
            fitting = [row for row in rows if row.strike == rule.strike]
            if not fitting:
                raise ContractError("strike", f"{rule.strike} is not listed")
            chosen = fitting[0]
        case StrikeKind.PREMIUM_NEAR:
            near = rows[max(0, at - PREMIUM_SEARCH_STRIKES) : at + PREMIUM_SEARCH_STRIKES + 1]
            chosen = _nearest_premium(near, option_type, rule.premium or 0.0)
        case _:
            assert_never(rule.kind)
    if chosen.side(option_type) is None:
        raise ContractError("strike", f"{chosen.strike} has no {option_type} in the chain")
    return chosen


def _row(rows: Sequence[ChainStrike], place: int, rule: StrikeRule) -> ChainStrike:
    if not 0 <= place < len(rows):
        raise ContractError("strike", f"{rule.kind} {rule.offset} lies outside the {len(rows)} listed strikes")
    return rows[place]


def _nearest_premium(rows: Sequence[ChainStrike], option_type: InstrumentType, target: float) -> ChainStrike:
    priced = [
        (_distance(premium, target), premium, row.strike, row)
        for row in rows
        if (side := row.side(option_type)) is not None and (premium := side.premium) is not None
    ]
    if not priced:
        raise ContractError("premium", f"no {option_type} near the money has a price")
    return min(priced, key=lambda found: found[:3])[3]


def _distance(value: float, target: float) -> Decimal:
    # the printed decimals: 99.95 and 100.05 are equally far from 100
    return abs(Decimal(str(value)) - Decimal(str(target)))


def _positive(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _needed(field: str, value: float | None, kind: StrikeKind, owner: StrikeKind) -> None:
    if kind is owner and not _positive(value):
        raise DomainError(field, f"{kind} needs a {field} above 0, not {value!r}")
    if kind is not owner and value is not None:
        raise DomainError(field, f"{kind} takes no {field}")
