"""Between which bounds of P nothing changes for a run: what a guard needs to leave it alone (DESIGN 2, RULES 7).

``decide`` changes something (a rule acts, a trailing stop becomes active, its peak or its stop moves) where P ≤ low or
P ≥ high, and nothing strictly between them; None: nothing on that side. ``leg_rules.leg_price_bounds`` says the same of
a leg's price. Times and what other rules say are not in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from engine.domain.breaches import ExitRule, latch
from engine.domain.rules import Limit, RunFigures, RunLimits, ScopeFigures, advanced, limit_paise

Bounds = tuple[int | None, int | None]

EVERYWHERE: Bounds = (0, 0)
"""Bounds that every P reaches."""


def profit_bounds(limits: RunLimits, run: RunFigures) -> Bounds:
    """Return (low, high) of P of a run in paise: strictly between them its rules on P change nothing.

    >>> profit_bounds(RunLimits(max_loss=Limit(1000), max_profit=Limit(2500)), RunFigures(None, 0))
    (-100000, 250000)
    """
    low, high = _limit_bounds(limits.max_loss, limits.max_profit, run, run.latches)
    trail = limits.trailing
    if trail is None or not trail.enabled:
        return low, high
    state, start = run.trailing, trail.rule.active_from_paise
    if not state.active:
        if advanced(trail.rule, run, start or 0) == state:
            return low, high  # the entry gave nothing to measure the distance by: it does not begin
        return EVERYWHERE if start is None else (low, _least(high, start))
    if advanced(trail.rule, run, state.peak_paise) != state:
        return EVERYWHERE  # what it is measured by changed: its stop moves up at the next P, whatever that is
    if ExitRule.TRAILING_SL not in run.latches:
        low = _greatest(low, state.stop_paise)
    measured = advanced(trail.rule, run, state.peak_paise + 1) != state
    return low, _least(high, state.peak_paise + 1 if measured else None)


def account_bounds(limits: RunLimits, account: ScopeFigures, latches: Collection[str] = ()) -> Bounds:
    """Return (low, high) of P of a run on one account in paise: strictly between them no rule of it acts."""
    return _limit_bounds(limits.account_max_loss, limits.account_max_profit, account, latches)


def tightest(bounds: Iterable[Bounds]) -> Bounds:
    """Return the bounds within which all of the given ones hold."""
    low: int | None = None
    high: int | None = None
    for one_low, one_high in bounds:
        low, high = _greatest(low, one_low), _least(high, one_high)
    return low, high


def _limit_bounds(
    max_loss: Limit | None, max_profit: Limit | None, figures: RunFigures | ScopeFigures, latches: Collection[str]
) -> Bounds:
    account_id = figures.account_id if isinstance(figures, ScopeFigures) else None
    sizes: list[int | None] = []
    for rule, limit in ((ExitRule.MAX_LOSS, max_loss), (ExitRule.MAX_PROFIT, max_profit)):
        size = None
        if limit is not None and limit.enabled and latch(rule, account_id) not in latches:
            size = limit_paise(limit, lots_filled=figures.lots_filled, premium_paise=figures.premium_paise)
        sizes.append(size)
    loss, profit = sizes
    return (None if loss is None else -loss), profit


def _greatest(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)


def _least(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)
