"""Stop and target of one leg on one account, from that account's own average; stops moved to cost (RULES 7)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from functools import lru_cache
from typing import assert_never

from engine.domain.breaches import Breach, ExitAction, ExitRule, Switch, latch
from engine.domain.errors import RuleError
from engine.domain.trailing import LARGEST_FIGURE

_EXACT = Decimal("0.0001")
"""Levels are kept to a hundredth of a paisa, so that 110 and 10 % give 121 and nothing beside it."""

LEG_BY_ITSELF = Switch(action=ExitAction.CLOSE_PARTIAL)
"""What a leg's rule does unless told otherwise: its leg leaves on that account, the others stay."""


class LegKind(StrEnum):
    """What the figure of a leg's stop or target is."""

    PERCENT = "percent"
    POINTS = "points"
    PREMIUM = "premium"


@dataclass(frozen=True, slots=True)
class LegRule:
    """A stop or target: a percentage of the entry average, points (₹) from it, or the premium itself (₹).

    Raises RuleError for a value that is not above 0.
    """

    kind: LegKind
    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or not 0 < self.value <= LARGEST_FIGURE:
            raise RuleError("value", f"{self.value} must be above 0 and at most {LARGEST_FIGURE:,.0f}")


@dataclass(frozen=True, slots=True)
class LegLimits:
    """Stop and target of a leg by its number; None where it has none."""

    leg_index: int
    stop: LegRule | None = None
    target: LegRule | None = None


@dataclass(frozen=True, slots=True)
class LegFigures:
    """An open leg on one account: ``average`` entry price of what is open (₹), ``price`` None: not confirmed.

    ``at_cost``: its stop was moved to its cost and is never worse than that; ``symbol``: its contract.
    """

    account_id: int
    leg_index: int
    bought: bool
    average: float
    price: float | None
    at_cost: bool = False
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class LegRules:
    """The rules of all legs of a run: limits by leg, and one switch for stops and one for targets."""

    limits: tuple[LegLimits, ...] = ()
    stop: Switch = LEG_BY_ITSELF
    target: Switch = LEG_BY_ITSELF
    move_to_cost: bool = False

    @property
    def any(self) -> bool:
        """Whether some leg has a stop or a target."""
        return any(limits.stop is not None or limits.target is not None for limits in self.limits)

    def of(self, leg_index: int) -> LegLimits:
        """Return the limits of a leg, empty ones where it has none."""
        for limits in self.limits:
            if limits.leg_index == leg_index:
                return limits
        return LegLimits(leg_index)


def stop_level(rule: LegRule | None, average: float, *, bought: bool, at_cost: bool = False) -> float | None:
    """Return the price (₹) at which a leg's stop acts, None where it has none (RULES 7).

    A sold leg is stopped at or above it, a bought one at or below it. Moved to cost it only tightens; a leg without a
    stop gets one at its cost.

    >>> thirty = LegRule(LegKind.PERCENT, 30)
    >>> stop_level(thirty, 100.0, bought=False), stop_level(thirty, 100.0, bought=True)
    (130.0, 70.0)
    >>> stop_level(thirty, 100.0, bought=False, at_cost=True)
    100.0
    """
    level = None if rule is None else _level(rule, average, -1 if bought else 1)
    if not at_cost:
        return level
    cost = _rounded(Decimal(str(average)))
    if level is None:
        return cost
    return max(level, cost) if bought else min(level, cost)


def target_level(rule: LegRule | None, average: float, *, bought: bool) -> float | None:
    """Return the price (₹) at which a leg's target acts, None where it has none or no price can reach it (RULES 7).

    >>> fifty = LegRule(LegKind.PERCENT, 50)
    >>> target_level(fifty, 100.0, bought=False), target_level(fifty, 100.0, bought=True)
    (50.0, 150.0)
    """
    return None if rule is None else _level(rule, average, 1 if bought else -1)


def leg_breaches(rules: LegRules, legs: Iterable[LegFigures]) -> list[Breach]:
    """Return the stops and targets that are breached; a leg decides by its own price alone (RULES 7)."""
    found: list[Breach] = []
    for leg in legs:
        if leg.price is None:
            continue
        for rule, switch, level, below in _levels(rules, leg):
            if leg.price <= level if below else leg.price >= level:
                found.append(
                    Breach(
                        rule,
                        switch.action,
                        account_id=leg.account_id,
                        leg_index=leg.leg_index,
                        threshold_price=level,
                        price=leg.price,
                        part=switch.part,
                    )
                )
    return found


def leg_price_bounds(
    rules: LegRules, leg: LegFigures, latches: Collection[str] = ()
) -> tuple[float | None, float | None]:
    """Return (low, high): at a price ≤ low or ≥ high a rule of the leg acts, strictly between none does.

    None: no price does so on that side.
    """
    lows: list[float] = []
    highs: list[float] = []
    for rule, _switch, level, below in _levels(rules, leg):
        if latch(rule, leg.account_id, leg.leg_index) not in latches:
            (lows if below else highs).append(level)
    return max(lows, default=None), min(highs, default=None)


def moved_to_cost(rules: LegRules, acted: Iterable[Breach], legs: Iterable[LegFigures]) -> list[tuple[int, int]]:
    """Return (account, leg) of the legs whose stops move to their cost now.

    They are the others that stay open on an account where a leg's stop took its leg out.
    """
    if not rules.move_to_cost:
        return []
    acted = [one for one in acted if one.exits]
    leaving = {(one.account_id, leg) for one in acted for leg in (one.leg_index, *one.leaving.legs)}
    stopped = {one.account_id for one in acted if one.rule is ExitRule.LEG_SL}
    return [
        (leg.account_id, leg.leg_index)
        for leg in legs
        if leg.account_id in stopped and (leg.account_id, leg.leg_index) not in leaving and not leg.at_cost
    ]


def _levels(rules: LegRules, leg: LegFigures) -> Iterable[tuple[ExitRule, Switch, float, bool]]:
    """Give rule, switch, level and whether it acts at or below it, for the rules of a leg that are on."""
    limits = rules.of(leg.leg_index)
    if rules.stop.enabled:
        level = stop_level(limits.stop, leg.average, bought=leg.bought, at_cost=leg.at_cost)
        if level is not None:
            yield ExitRule.LEG_SL, rules.stop, level, leg.bought
    if rules.target.enabled:
        level = target_level(limits.target, leg.average, bought=leg.bought)
        if level is not None:
            yield ExitRule.LEG_TARGET, rules.target, level, not leg.bought


@lru_cache(maxsize=16_384)
def _level(rule: LegRule, average: float, sign: int) -> float | None:
    """Return the level on the side of the average that ``sign`` names; None at 0 or below, where no price is."""
    entry, value = Decimal(str(average)), Decimal(str(rule.value))
    match rule.kind:
        case LegKind.PERCENT:
            exact = entry * (100 + sign * value) / 100
        case LegKind.POINTS:
            exact = entry + sign * value
        case LegKind.PREMIUM:
            exact = value
        case _:
            assert_never(rule.kind)
    level = _rounded(exact)
    return level if level > 0 else None


def _rounded(exact: Decimal) -> float:
    return float(exact.quantize(_EXACT, rounding=ROUND_HALF_UP))
