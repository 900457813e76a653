"""Trailing stops: the peak since they are active, and a stop that never moves down (RULES 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import assert_never

from engine.domain.errors import RuleError
from engine.domain.money import paise, value_paise

LARGEST_FIGURE = 1e9
"""No limit is larger, in whatever unit: what follows from it stays far inside 64 bits of paise."""


class TrailingKind(StrEnum):
    """What the distance between peak and stop is measured in."""

    PERCENT_OF_PREMIUM = "percent_of_premium"
    AMOUNT = "amount"
    POINTS = "points"
    PERCENTAGE_OF_PROFIT = "percent_of_profit"
    LOCK_AND_TRAIL = "lock_and_trail"


@dataclass(frozen=True, slots=True)
class Lock:
    """When P reaches ``reach`` lock ``keep``; for every ``step`` more raise the stop by ``rise``. All in ₹."""

    reach: float
    keep: float
    step: float
    rise: float

    def __post_init__(self) -> None:
        for field in ("reach", "keep", "step", "rise"):
            figure = getattr(self, field)
            if not math.isfinite(figure) or abs(figure) > LARGEST_FIGURE:
                raise RuleError(f"lock {field}", f"{figure} is not a figure up to {LARGEST_FIGURE:,.0f}")
        if self.reach <= 0:
            raise RuleError("lock reach", f"{self.reach} is no profit: it must be above 0")
        if self.keep >= self.reach:
            raise RuleError("lock keep", f"{self.keep} would exit at once: it must be below {self.reach}")
        if self.step <= 0:
            raise RuleError("lock step", f"{self.step} must be above 0")
        if not 0 <= self.rise <= self.step:
            raise RuleError("lock rise", f"{self.rise} must be between 0 and the step {self.step}")


@dataclass(frozen=True, slots=True)
class TrailingRule:
    """A trailing stop.

    ``value`` is a percentage, ₹ or points by ``kind``; lock and trail takes ``lock`` instead. ``activate_at`` in ₹ of
    profit: None means active from the entry. Raises RuleError for figures that make no sense; percentage of profit
    needs an ``activate_at`` above 0.
    """

    kind: TrailingKind = TrailingKind.PERCENT_OF_PREMIUM
    value: float = 0.0
    activate_at: float | None = None
    lock: Lock | None = None

    def __post_init__(self) -> None:
        if self.activate_at is not None and not abs(self.activate_at) <= LARGEST_FIGURE:
            raise RuleError("activate_at", f"{self.activate_at} is not a figure up to {LARGEST_FIGURE:,.0f}")
        if self.kind is TrailingKind.LOCK_AND_TRAIL:
            if self.lock is None:
                raise RuleError("lock", "lock and trail needs its four figures")
            return
        if self.lock is not None:
            raise RuleError("lock", f"{self.kind} takes no lock")
        if not 0 < self.value <= LARGEST_FIGURE:
            raise RuleError("value", f"{self.value} must be above 0 and at most {LARGEST_FIGURE:,.0f}")
        if self.kind is TrailingKind.PERCENTAGE_OF_PROFIT:
            if self.value > 100:
                raise RuleError("value", f"{self.value} % of the profit is more than all of it")
            if self.activate_at is None or self.activate_at <= 0:
                raise RuleError("activate_at", "a percentage of profit needs a profit above 0 to start from")

    @property
    def active_from_paise(self) -> int | None:
        """The profit at which the stop becomes active; None: from the entry."""
        own = None if self.activate_at is None else paise(self.activate_at)
        if self.lock is None:
            return own
        reach = paise(self.lock.reach)
        return reach if own is None else max(own, reach)


@dataclass(frozen=True, slots=True)
class TrailingState:
    """Where a trailing stop stands: ``peak_paise`` is the highest P since it is active."""

    active: bool = False
    peak_paise: int = 0
    stop_paise: int | None = None


def advance(
    rule: TrailingRule, state: TrailingState, profit_paise: int, *, premium_paise: int | None, units: int | None
) -> TrailingState:
    """Return the state after P = ``profit_paise`` was seen (RULES 7); the stop never moves down, whatever changes.

    A stop that is active from the entry begins at a peak of 0, the P of the entry. ``premium_paise`` is V and ``units``
    the largest filled leg quantity, both as of the completed entry; None where the kind does not need them. Raises
    RuleError where it does.

    >>> rule, state = TrailingRule(value=20), TrailingState()
    >>> for profit in (0, 300_000, 600_000, 195_000):
    ...     state = advance(rule, state, profit, premium_paise=2_025_000, units=75)
    ...     print(state.stop_paise, hit(state, profit))
    -405000 False
    -105000 False
    195000 False
    195000 True
    """
    start = rule.active_from_paise
    if not state.active and start is not None and profit_paise < start:
        return state
    begin = state.peak_paise if state.active or start is None else profit_paise
    peak = max(begin, profit_paise)
    stop = _stop(rule, peak, premium_paise, units)
    if state.stop_paise is not None:
        stop = max(stop, state.stop_paise)
    return TrailingState(active=True, peak_paise=peak, stop_paise=stop)


def hit(state: TrailingState, profit_paise: int) -> bool:
    """Tell whether P is at or below an active stop (RULES 7)."""
    return state.active and state.stop_paise is not None and profit_paise <= state.stop_paise


def _stop(rule: TrailingRule, peak: int, premium_paise: int | None, units: int | None) -> int:
    match rule.kind:
        case TrailingKind.PERCENT_OF_PREMIUM:
            return peak - _percent(_known("percent_of_premium", premium_paise), rule.value)
        case TrailingKind.AMOUNT:
            return peak - paise(rule.value)
        case TrailingKind.POINTS:
            return peak - value_paise(rule.value, _known("points", units))
        case TrailingKind.PERCENTAGE_OF_PROFIT:
            return peak - _percent(peak, rule.value)
        case TrailingKind.LOCK_AND_TRAIL:
            assert rule.lock is not None
            steps = max(0, peak - paise(rule.lock.reach)) // paise(rule.lock.step)
            return paise(rule.lock.keep) + steps * paise(rule.lock.rise)
        case _:
            assert_never(rule.kind)


def _known(field: str, figure: int | None) -> int:
    if figure is None or figure <= 0:
        raise RuleError(field, "the entry gave no figure to measure it by: use ₹")
    return figure


def _percent(amount: int, percentage: float) -> int:
    exact = Decimal(amount) * Decimal(str(percentage)) / 100
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
