"""The exit rules of a run: which are breached now, and the one exit they make (RULES 7)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import assert_never

from engine.domain.calendar import IST, Calendar, ist_day
from engine.domain.errors import CalendarError, RuleError
from engine.domain.instruments import Exchange
from engine.domain.money import paise
from engine.domain.trailing import LARGEST_FIGURE, TrailingKind, TrailingRule, TrailingState, advance, hit


class ExitRule(StrEnum):
    """Rules that may end a run, in order of precedence; the values name them in events and latches."""

    KILL_SWITCH = "kill_switch"
    MAX_LOSS = "max_loss"
    MAX_PROFIT = "max_profit"
    TRAILING_SL = "trailing_sl"
    LEG_SL = "leg_sl"
    LEG_TARGET = "leg_target"
    SUPERTREND = "supertrend"
    EXIT_TIME = "exit_time"
    SQUARE_OFF = "square_off"

    @property
    def precedence(self) -> int:
        """Place in the order, 0 first."""
        return list(ExitRule).index(self)

    @property
    def risk_event(self) -> str:
        """The RiskEvent string: an exit time is a square-off there."""
        return "square_off" if self is ExitRule.EXIT_TIME else self.value


class ExitAction(StrEnum):
    """What a breached rule does."""

    CLOSE_ALL = "close_all"
    CLOSE_PARTIAL = "close_partial"
    ALERT_ONLY = "alert_only"


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

    def __post_init__(self) -> None:
        if not math.isfinite(self.amount) or not 0 < self.amount <= LARGEST_FIGURE:
            raise RuleError("amount", f"{self.amount} must be above 0 and at most {LARGEST_FIGURE:,.0f}")


@dataclass(frozen=True, slots=True)
class TrailingLimit:
    """A trailing stop with its switch and action."""

    rule: TrailingRule
    enabled: bool = True
    action: ExitAction = ExitAction.CLOSE_ALL


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """A time of day in IST (no zone on it) at which to act, with its switch and action."""

    at: time
    enabled: bool = True
    action: ExitAction = ExitAction.CLOSE_ALL

    def __post_init__(self) -> None:
        if self.at.tzinfo is not None:
            raise RuleError("at", "is a time of day in India: it takes no time zone")


@dataclass(frozen=True, slots=True)
class RunLimits:
    """The limits of a run; None where the run has no such rule."""

    max_loss: Limit | None = None
    max_profit: Limit | None = None
    trailing: TrailingLimit | None = None
    exit_time: TimeLimit | None = None
    square_off_time: TimeLimit | None = None


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What decides about a run at one moment.

    ``entered_at`` aware, None while nothing is filled. ``profit_paise`` None: an open leg has no confirmed price.
    ``lots_filled``, ``premium_paise`` (V) and ``units`` as of the completed entry; None where not known or refused.
    ``latches``: rules that acted and were not re-armed.
    """

    entered_at: datetime | None
    profit_paise: int | None
    trailing: TrailingState = field(default_factory=TrailingState)
    latches: frozenset[ExitRule] = frozenset()
    lots_filled: int | None = None
    premium_paise: int | None = None
    units: int | None = None


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that is breached: threshold and value in paise for rules on P, ``due_at`` (UTC) for times."""

    rule: ExitRule
    action: ExitAction
    threshold_paise: int | None = None
    value_paise: int | None = None
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows: all breaches in order, the one that exits (None: none does), the new trailing state and latches."""

    breaches: tuple[Breach, ...]
    exit: Breach | None
    trailing: TrailingState
    latches: frozenset[ExitRule]


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
) -> list[Breach]:
    """Return which of max loss (P ≤ −L) and max profit (P ≥ T) are breached (RULES 7).

    The same for a run, a run on one account, and the P of a day of an account or user. P None breaches nothing.
    """
    found: list[Breach] = []
    if profit_paise is None:
        return found
    for rule, limit, sign in ((ExitRule.MAX_LOSS, max_loss, -1), (ExitRule.MAX_PROFIT, max_profit, 1)):
        if limit is None or not limit.enabled:
            continue
        size = limit_paise(limit, lots_filled=lots_filled, premium_paise=premium_paise)
        if size is not None and sign * profit_paise >= size:
            found.append(Breach(rule, limit.action, sign * size, profit_paise))
    return found


def next_due(
    at: time, entered_at: datetime, calendar: Calendar, exchange: Exchange, *, assume_weekdays: bool = False
) -> datetime:
    """Return the first occurrence (UTC) of a time of day in India after the entry, on a trading day (RULES 7).

    Raises CalendarError where the calendar does not know the year, unless ``assume_weekdays``.

    >>> from engine.domain.calendar import INDIA
    >>> friday = datetime(2026, 11, 20, 15, 20, tzinfo=IST)
    >>> next_due(time(15, 10), friday, INDIA, Exchange.NFO).astimezone(IST).isoformat()
    '2026-11-23T15:10:00+05:30'
    """
    day = ist_day(entered_at)
    due = datetime.combine(day, at, IST).astimezone(UTC)
    if due > entered_at and calendar.is_trading_day(exchange, day, assume_weekdays=assume_weekdays):
        return due
    day = calendar.next_trading_day(exchange, day, assume_weekdays=assume_weekdays)
    return datetime.combine(day, at, IST).astimezone(UTC)


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
    leg stops, Supertrend). The first breach in order that does more than alert makes the one exit. It and the alerts
    given are latched; latched rules say nothing. No rule on P decides while P is None; time rules always do, in a year
    without holiday data on every weekday.
    """
    found = [*others, *_time_breaches(limits, run, now, calendar, exchange)]
    found += profit_breaches(
        limits.max_loss,
        limits.max_profit,
        run.profit_paise,
        lots_filled=run.lots_filled,
        premium_paise=run.premium_paise,
    )
    trailing = run.trailing
    if limits.trailing is not None and limits.trailing.enabled and run.profit_paise is not None:
        trailing = _advanced(limits.trailing.rule, run, run.profit_paise)
        if hit(trailing, run.profit_paise):
            stop = trailing.stop_paise
            found.append(Breach(ExitRule.TRAILING_SL, limits.trailing.action, stop, run.profit_paise))
    breaches = sorted(
        (breach for breach in found if breach.rule not in run.latches), key=lambda breach: breach.rule.precedence
    )
    leaving = next((breach for breach in breaches if breach.action is not ExitAction.ALERT_ONLY), None)
    acted = {breach.rule for breach in breaches if breach is leaving or breach.action is ExitAction.ALERT_ONLY}
    return Decision(tuple(breaches), leaving, trailing, run.latches | acted)


def rearm(run: RunFigures, rule: ExitRule) -> RunFigures:
    """Return the run with a rule re-armed: it may act again. A trailing stop keeps its peak and its stop."""
    return replace(run, latches=run.latches - {rule})


def _advanced(rule: TrailingRule, run: RunFigures, profit_paise: int) -> TrailingState:
    measured_by = {TrailingKind.PERCENT_OF_PREMIUM: run.premium_paise, TrailingKind.POINTS: run.units}
    if rule.kind in measured_by and not measured_by[rule.kind]:
        return run.trailing  # the entry is not complete: there is nothing to measure the distance by yet
    return advance(rule, run.trailing, profit_paise, premium_paise=run.premium_paise, units=run.units)


def _time_breaches(
    limits: RunLimits, run: RunFigures, now: datetime, calendar: Calendar, exchange: Exchange
) -> list[Breach]:
    found: list[Breach] = []
    if run.entered_at is None:
        return found
    for rule, limit in ((ExitRule.EXIT_TIME, limits.exit_time), (ExitRule.SQUARE_OFF, limits.square_off_time)):
        if limit is not None and limit.enabled:
            due = _due(limit.at, run.entered_at, calendar, exchange)
            if now >= due:
                found.append(Breach(rule, limit.action, due_at=due))
    return found


def _due(at: time, entered_at: datetime, calendar: Calendar, exchange: Exchange) -> datetime:
    try:
        return next_due(at, entered_at, calendar, exchange)
    except CalendarError:
        # a year without a holiday table must not keep a run in: an exit tried on a holiday is tried again
        return next_due(at, entered_at, calendar, exchange, assume_weekdays=True)
