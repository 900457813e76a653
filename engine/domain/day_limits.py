"""Limits on P of the day of a user or of one account, and the halts that follow them (RULES 6, 7)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from engine.domain.rules import ExitAction


class DayRule(StrEnum):
    """The limits on P of the day; the names are those of their risk events."""

    MAX_LOSS = "max_loss"
    MAX_PROFIT = "max_profit"

    @property
    def plan_reason(self) -> str:
        """Why exit plans of this limit exist: not as those of one run's own limit, for its runs leave together."""
        return f"{_OF_THE_DAY}{self}"


_OF_THE_DAY = "day_"


def event_kind(plan_reason: str) -> str:
    """Return the kind of the risk events of an exit plan.

    >>> event_kind(DayRule.MAX_LOSS.plan_reason), event_kind("kill_switch")
    ('max_loss', 'kill_switch')
    """
    return plan_reason.removeprefix(_OF_THE_DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLimits:
    """What may be lost or made in a day, by a user (``account_id`` None) or one account; ₹ in paise, None: no limit.

    ``latched``: the rules that acted on ``latched_day`` and were not re-armed. ``halted_at``: no entries there since,
    for ``reason``; until the day ``halted_until`` begins (None: until a person re-arms).
    """

    owner_id: int
    account_id: int | None = None
    max_loss_paise: int | None = None
    max_loss_enabled: bool = True
    max_loss_action: ExitAction = ExitAction.CLOSE_ALL
    max_profit_paise: int | None = None
    max_profit_enabled: bool = True
    max_profit_action: ExitAction = ExitAction.CLOSE_ALL
    latched: tuple[str, ...] = ()
    latched_day: date | None = None
    halted_at: datetime | None = None
    halted_until: date | None = None
    reason: str = ""

    def halts(self, today: date) -> bool:
        """Whether entries are halted here on a day (IST)."""
        return self.halted_at is not None and (self.halted_until is None or today < self.halted_until)

    def latches(self, day: date) -> frozenset[DayRule]:
        """Return the rules that acted already on a day (IST); on a later day all of them may act again.

        A clock that is set back over midnight does not make a rule act twice.
        """
        if self.latched_day is None or day > self.latched_day:
            return frozenset()
        return frozenset(DayRule(name) for name in self.latched)

    def watched(self, day: date) -> frozenset[DayRule]:
        """Return the rules that may act on a day (IST): set, switched on and not latched."""
        on = set()
        if self.max_loss_paise is not None and self.max_loss_enabled:
            on.add(DayRule.MAX_LOSS)
        if self.max_profit_paise is not None and self.max_profit_enabled:
            on.add(DayRule.MAX_PROFIT)
        return frozenset(on) - self.latches(day)


@dataclass(frozen=True, slots=True)
class DayBreach:
    """A limit that P of the day reached: what it does, and both figures in paise."""

    rule: DayRule
    action: ExitAction
    threshold_paise: int
    value_paise: int


def day_breach(limits: DayLimits, profit_paise: int | None, day: date) -> DayBreach | None:
    """Return the limit that P of the day (paise) has reached and that may act: P ≤ −L, then P ≥ T (RULES 7).

    None while P is not known: nothing is decided blind (law 7).

    >>> limits = DayLimits(owner_id=1, max_loss_paise=500_000)
    >>> day_breach(limits, -500_000, date(2026, 11, 23)).threshold_paise
    -500000
    >>> day_breach(limits, None, date(2026, 11, 23)) is None
    True
    """
    if profit_paise is None:
        return None
    watched = limits.watched(day)
    loss, gain = limits.max_loss_paise, limits.max_profit_paise
    if DayRule.MAX_LOSS in watched and loss is not None and profit_paise <= -loss:
        return DayBreach(DayRule.MAX_LOSS, limits.max_loss_action, -loss, profit_paise)
    if DayRule.MAX_PROFIT in watched and gain is not None and profit_paise >= gain:
        return DayBreach(DayRule.MAX_PROFIT, limits.max_profit_action, gain, profit_paise)
    return None


def latched(limits: DayLimits, rule: DayRule, day: date) -> DayLimits:
    """Return the limits after a rule acted: it does not act again on this day until it is re-armed."""
    names = tuple(sorted({*limits.latches(day), rule}))
    kept = max(day, limits.latched_day) if limits.latched_day is not None else day
    return replace(limits, latched=names, latched_day=kept)


def halted_for_the_day(limits: DayLimits, now: datetime, today: date, *, until: date, reason: str) -> DayLimits:
    """Return the limits with entries halted until a day begins; a kill switch or a longer halt stays as it is."""
    if limits.halts(today) and (limits.halted_until is None or limits.halted_until >= until):
        return limits
    return replace(limits, halted_at=now, halted_until=until, reason=reason)


def killed(limits: DayLimits, now: datetime, reason: str) -> DayLimits:
    """Return the limits with entries halted until a person re-arms them."""
    return replace(limits, halted_at=now, halted_until=None, reason=reason)


def rearmed(limits: DayLimits) -> DayLimits:
    """Return the limits with entries allowed again; what acted today may act again."""
    return replace(limits, halted_at=None, halted_until=None, reason="", latched=(), latched_day=None)


def changed(limits: DayLimits, wanted: DayLimits) -> DayLimits:
    """Return the limits with amounts, switches and actions of ``wanted``; a rule that was changed is not latched."""
    loss = ("max_loss_paise", "max_loss_enabled", "max_loss_action")
    gain = ("max_profit_paise", "max_profit_enabled", "max_profit_action")
    fresh = {
        rule
        for rule, names in ((DayRule.MAX_LOSS, loss), (DayRule.MAX_PROFIT, gain))
        if any(getattr(limits, name) != getattr(wanted, name) for name in names)
    }
    return replace(
        limits,
        max_loss_paise=wanted.max_loss_paise,
        max_loss_enabled=wanted.max_loss_enabled,
        max_loss_action=wanted.max_loss_action,
        max_profit_paise=wanted.max_profit_paise,
        max_profit_enabled=wanted.max_profit_enabled,
        max_profit_action=wanted.max_profit_action,
        latched=tuple(name for name in limits.latched if name not in fresh),
    )
