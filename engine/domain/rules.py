"""The exit rules of a run: which are breached now, and the exits they make (RULES 7)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from functools import lru_cache
from typing import assert_never

from engine.domain.breaches import (
    WHOLE,
    Breach,
    ExitAction,
    ExitRule,
    Part,
    Switch,
    first_exits,
    latch,
)
from engine.domain.calendar import Calendar
from engine.domain.due_times import TimeLimit, due_times, next_due
from engine.domain.errors import RuleError
from engine.domain.instruments import Exchange
from engine.domain.leg_rules import LegFigures, LegRules, leg_breaches
from engine.domain.money import paise
from engine.domain.trailing import LARGEST_FIGURE, TrailingKind, TrailingRule, TrailingState, advance, hit

__all__ = [
    "Breach", "Decision", "ExitAction", "ExitRule", "Limit", "LimitUnit", "Part", "RunFigures", "RunLimits",
    "ScopeFigures", "Switch", "TimeLimit", "TrailingLimit", "advanced", "decide", "due_times", "latch", "limit_paise",
    "next_due", "profit_breaches", "rearm", "unmeasured",
]  # fmt: skip

_NO_PREMIUM = "the entry gave no premium to take a percentage of"


class LimitUnit(StrEnum):
    """What the amount of a limit is measured in."""

    RUPEES = "rupees"
    PER_LOT = "per_lot"
    PERCENT_OF_PREMIUM = "percent_of_premium"


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on P: ``amount`` above 0, in ₹, ₹ per lot filled or % of V. Raises RuleError for another amount."""

    amount: float
    unit: LimitUnit = LimitUnit.RUPEES
    enabled: bool = True
    action: ExitAction = ExitAction.CLOSE_ALL
    part: Part = WHOLE

    def __post_init__(self) -> None:
        if not math.isfinite(self.amount) or not 0 < self.amount <= LARGEST_FIGURE:
            raise RuleError("amount", f"{self.amount} must be above 0 and at most {LARGEST_FIGURE:,.0f}")


@dataclass(frozen=True, slots=True)
class TrailingLimit:
    """A trailing stop with its switch and action."""

    rule: TrailingRule
    enabled: bool = True
    action: ExitAction = ExitAction.CLOSE_ALL
    part: Part = WHOLE


@dataclass(frozen=True, slots=True)
class RunLimits:
    """The limits of a run; None where the run has no such rule.

    ``account_max_loss`` and ``account_max_profit`` are for the run on each account by itself. ``intraday``: an MIS run,
    which leaves in the session it entered in.
    """

    max_loss: Limit | None = None
    max_profit: Limit | None = None
    trailing: TrailingLimit | None = None
    exit_time: TimeLimit | None = None
    square_off_time: TimeLimit | None = None
    account_max_loss: Limit | None = None
    account_max_profit: Limit | None = None
    legs: LegRules = field(default_factory=LegRules)
    intraday: bool = False

    @property
    def of_accounts(self) -> bool:
        """Whether a rule asks for P of single accounts."""
        return self.account_max_loss is not None or self.account_max_profit is not None


@dataclass(frozen=True, slots=True)
class ScopeFigures:
    """What decides about a run on one account; the figures as for a run."""

    account_id: int
    profit_paise: int | None
    lots_filled: int | None = None
    premium_paise: int | None = None


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What decides about a run at one moment.

    ``entered_at`` aware, None while nothing is filled. ``profit_paise`` None: an open leg has no confirmed price.
    ``lots_filled``, ``premium_paise`` (V) and ``units`` as of the completed entry; None where not known or refused.
    ``latches``: rules that acted and were not re-armed, by ``breaches.latch``. ``accounts`` and ``legs``: those that
    rules may take out, so none that a person took over and none that is leaving.
    """

    entered_at: datetime | None
    profit_paise: int | None
    trailing: TrailingState = field(default_factory=TrailingState)
    latches: frozenset[str] = frozenset()
    lots_filled: int | None = None
    premium_paise: int | None = None
    units: int | None = None
    accounts: tuple[ScopeFigures, ...] = ()
    legs: tuple[LegFigures, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows: all breaches in order, those that exit now, the new trailing state and latches."""

    breaches: tuple[Breach, ...]
    exits: tuple[Breach, ...]
    trailing: TrailingState
    latches: frozenset[str]

    @property
    def exit(self) -> Breach | None:
        """The first that exits, None if none does."""
        return next(iter(self.exits), None)


@lru_cache(maxsize=4_096)
def limit_paise(limit: Limit, *, lots_filled: int | None = None, premium_paise: int | None = None) -> int | None:
    """Return the limit in paise; None as long as the figure it is measured by is not known (RULES 7).

    >>> limit_paise(Limit(20, LimitUnit.PERCENT_OF_PREMIUM), premium_paise=2_025_000)
    405000
    """
    match limit.unit:
        case LimitUnit.RUPEES:
            return paise(limit.amount)
        case LimitUnit.PER_LOT:
            return paise(limit.amount) * lots_filled if lots_filled else None
        case LimitUnit.PERCENT_OF_PREMIUM:
            if not premium_paise:
                return None
            exact = Decimal(premium_paise) * Decimal(str(limit.amount)) / 100
            return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
        case _:
            assert_never(limit.unit)


def profit_breaches(
    max_loss: Limit | None,
    max_profit: Limit | None,
    profit_paise: int | None,
    *,
    lots_filled: int | None = None,
    premium_paise: int | None = None,
    account_id: int | None = None,
) -> list[Breach]:
    """Return which of max loss (P ≤ −L) and max profit (P ≥ T) are breached (RULES 7).

    The same for a run, a run on one account (``account_id``), and the P of a day of an account or user. P None
    breaches nothing.
    """
    found: list[Breach] = []
    if profit_paise is None:
        return found
    for rule, limit, sign in ((ExitRule.MAX_LOSS, max_loss, -1), (ExitRule.MAX_PROFIT, max_profit, 1)):
        if limit is None or not limit.enabled:
            continue
        size = limit_paise(limit, lots_filled=lots_filled, premium_paise=premium_paise)
        if size is not None and sign * profit_paise >= size:
            found.append(Breach(rule, limit.action, sign * size, profit_paise, account_id=account_id, part=limit.part))
    return found


def decide(
    limits: RunLimits,
    run: RunFigures,
    now: datetime,
    *,
    calendar: Calendar,
    exchange: Exchange,
    others: Iterable[Breach] = (),
) -> Decision:
    """Return what the rules of a run say at ``now`` (aware), RULES 7.

    ``calendar`` and ``exchange`` are those of the run's venue; ``others`` are breaches found elsewhere (kill switch,
    Supertrend). ``breaches.first_exits`` says which of them exit now; those and the alerts given are latched, and
    latched rules say nothing. No rule on P decides while P is None, of the run or of the account; a leg's rules need
    its own price; time rules always decide, in a year without holiday data on every weekday.
    """
    found = list(others)
    if run.entered_at is not None:
        found += [
            Breach(rule, limit.action, due_at=due, part=limit.part)
            for rule, limit, due in due_times(limits, run.entered_at, calendar, exchange)
            if limit.enabled and now >= due
        ]
    found += profit_breaches(
        limits.max_loss,
        limits.max_profit,
        run.profit_paise,
        lots_filled=run.lots_filled,
        premium_paise=run.premium_paise,
    )
    for account in run.accounts:
        found += profit_breaches(
            limits.account_max_loss,
            limits.account_max_profit,
            account.profit_paise,
            lots_filled=account.lots_filled,
            premium_paise=account.premium_paise,
            account_id=account.account_id,
        )
    found += leg_breaches(limits.legs, run.legs)
    trailing = run.trailing
    if limits.trailing is not None and limits.trailing.enabled and run.profit_paise is not None:
        trailing = advanced(limits.trailing.rule, run, run.profit_paise)
        if hit(trailing, run.profit_paise):
            found.append(
                Breach(
                    ExitRule.TRAILING_SL,
                    limits.trailing.action,
                    trailing.stop_paise,
                    run.profit_paise,
                    part=limits.trailing.part,
                )
            )
    breaches = tuple(sorted((breach for breach in found if breach.latch not in run.latches), key=_order))
    exits = first_exits(breaches)
    acted = {breach.latch for breach in (*exits, *(one for one in breaches if not one.exits))}
    return Decision(breaches, exits, trailing, run.latches | acted)


def unmeasured(limits: RunLimits, run: RunFigures) -> list[tuple[str, str]]:
    """Return (latch, why) of the rules on P that cannot decide because the entry gave nothing to measure them by."""
    scopes: list[tuple[int | None, Limit | None, Limit | None, RunFigures | ScopeFigures]] = [
        (None, limits.max_loss, limits.max_profit, run),
        *((one.account_id, limits.account_max_loss, limits.account_max_profit, one) for one in run.accounts),
    ]
    found = [
        (latch(rule, account_id), "no lots are filled" if limit.unit is LimitUnit.PER_LOT else _NO_PREMIUM)
        for account_id, loss, profit, one in scopes
        for rule, limit in ((ExitRule.MAX_LOSS, loss), (ExitRule.MAX_PROFIT, profit))
        if limit is not None
        and limit.enabled
        and limit_paise(limit, lots_filled=one.lots_filled, premium_paise=one.premium_paise) is None
    ]
    if limits.trailing is not None and limits.trailing.enabled and not _measured(limits.trailing.rule, run):
        percent = limits.trailing.rule.kind is TrailingKind.PERCENT_OF_PREMIUM
        found.append((ExitRule.TRAILING_SL.value, _NO_PREMIUM if percent else "no units are filled"))
    return found


def rearm(run: RunFigures, name: str) -> RunFigures:
    """Return the run with a rule re-armed: it may act again. A trailing stop keeps its peak and its stop."""
    return replace(run, latches=run.latches - {name})


def advanced(rule: TrailingRule, run: RunFigures, profit_paise: int) -> TrailingState:
    """Return the trailing state of a run after P; as it was while the entry has not given what it is measured by."""
    if not _measured(rule, run):
        return run.trailing
    return advance(rule, run.trailing, profit_paise, premium_paise=run.premium_paise, units=run.units)


def _measured(rule: TrailingRule, run: RunFigures) -> bool:
    measured_by = {TrailingKind.PERCENT_OF_PREMIUM: run.premium_paise, TrailingKind.POINTS: run.units}
    return rule.kind not in measured_by or bool(measured_by[rule.kind])


def _order(breach: Breach) -> tuple[int, int, int]:
    """First by precedence; of one rule the run before an account, an account before a leg."""
    return (breach.rule.precedence, breach.account_id or 0, breach.leg_index or 0)
