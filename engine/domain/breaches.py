"""What a rule that is breached says: which rule, on what, by how much, and what leaves for it (RULES 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from engine.domain.errors import RuleError


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
        return _PRECEDENCE[self]

    @property
    def risk_event(self) -> str:
        """The RiskEvent string: an exit time is a square-off there."""
        return "square_off" if self is ExitRule.EXIT_TIME else self.value


_PRECEDENCE = {rule: place for place, rule in enumerate(ExitRule)}


class ExitAction(StrEnum):
    """What a breached rule does."""

    CLOSE_ALL = "close_all"
    CLOSE_PARTIAL = "close_partial"
    ALERT_ONLY = "alert_only"


@dataclass(frozen=True, slots=True)
class Part:
    """What ``close_partial`` closes; what is empty means all.

    ``legs`` by number, ``account_ids``, ``share``: percent of every leg, in whole lots. Raises RuleError for a share
    that is not between 0 and 100.
    """

    legs: tuple[int, ...] = ()
    account_ids: tuple[int, ...] = ()
    share: float | None = None

    def __post_init__(self) -> None:
        if self.share is not None and not (math.isfinite(self.share) and 0 < self.share < 100):
            raise RuleError("share", f"{self.share} must be above 0 and below 100 %")


WHOLE = Part()
"""Everything in the scope of the rule."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Whether a rule is on, and what it does when it is breached."""

    enabled: bool = True
    action: ExitAction = ExitAction.CLOSE_ALL
    part: Part = WHOLE


def latch(rule: ExitRule, account_id: int | None = None, leg_index: int | None = None) -> str:
    """Return the name under which a rule is latched: ``rule``, ``rule@account`` or ``rule@account.leg``.

    >>> latch(ExitRule.MAX_LOSS), latch(ExitRule.MAX_LOSS, 3), latch(ExitRule.LEG_SL, 3, 2)
    ('max_loss', 'max_loss@3', 'leg_sl@3.2')
    """
    if account_id is None:
        return rule.value
    return f"{rule}@{account_id}" if leg_index is None else f"{rule}@{account_id}.{leg_index}"


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that is breached.

    Threshold and value in paise for rules on P, ``threshold_price`` and ``price`` (₹) for rules of a leg, ``due_at``
    (UTC) for times. ``account_id`` and ``leg_index`` where the rule is one of an account or of a leg there.
    """

    rule: ExitRule
    action: ExitAction
    threshold_paise: int | None = None
    value_paise: int | None = None
    due_at: datetime | None = None
    account_id: int | None = None
    leg_index: int | None = None
    threshold_price: float | None = None
    price: float | None = None
    part: Part = field(default=WHOLE)

    @property
    def latch(self) -> str:
        """The name under which the rule is latched when it acts."""
        return latch(self.rule, self.account_id, self.leg_index)

    @property
    def exits(self) -> bool:
        """Whether something leaves for it; an alert only tells."""
        return self.action is not ExitAction.ALERT_ONLY

    @property
    def leaving(self) -> Part:
        """What leaves, as the scope of an exit plan; empty means all of the run.

        Closing all means all of what the rule watches: the run, or the run on one account; for a rule of a leg it
        means the whole run, since its usual exit is the leg by itself.

        >>> sold = Breach(ExitRule.LEG_SL, ExitAction.CLOSE_PARTIAL, account_id=3, leg_index=2)
        >>> sold.leaving
        Part(legs=(2,), account_ids=(3,), share=None)
        """
        here = () if self.account_id is None else (self.account_id,)
        if self.action is not ExitAction.CLOSE_PARTIAL:
            return Part(account_ids=here if self.leg_index is None else ())
        legs = self.part.legs or (() if self.leg_index is None else (self.leg_index,))
        return Part(legs, here or self.part.account_ids, self.part.share)


def first_exits(breaches: tuple[Breach, ...]) -> tuple[Breach, ...]:
    """Return those of the breaches (in order of precedence) that make an exit now (RULES 7).

    The first that concerns the whole run acts alone. Without one the first of each account acts, and on accounts where
    none does, the first of each leg. What does not act now is judged again when the exit has begun.
    """
    candidates = [breach for breach in breaches if breach.exits]
    for breach in candidates:
        if breach.account_id is None or (breach.leg_index is not None and breach.action is ExitAction.CLOSE_ALL):
            return (breach,)
    accounts: dict[int | None, Breach] = {}
    legs: dict[tuple[int | None, int], Breach] = {}
    for breach in candidates:
        if breach.leg_index is None:
            accounts.setdefault(breach.account_id, breach)
    for breach in candidates:
        if breach.leg_index is not None and breach.account_id not in accounts:
            legs.setdefault((breach.account_id, breach.leg_index), breach)
    return (*accounts.values(), *legs.values())
