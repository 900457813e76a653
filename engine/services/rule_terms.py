"""What a person set becomes rules, once a strategy version; one that makes no sense is left out and named (RULES 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from functools import partial
from typing import TypeVar

from engine.domain.breaches import ExitAction, Part, Switch
from engine.domain.due_times import MIS_SQUARE_OFF, TimeLimit
from engine.domain.errors import DomainError
from engine.domain.instruments import Product
from engine.domain.leg_rules import LEG_BY_ITSELF, LegKind, LegLimits, LegRule, LegRules
from engine.domain.rules import Limit, LimitUnit, RunLimits, TrailingLimit
from engine.domain.trailing import Lock, TrailingKind, TrailingRule
from engine.services.drafts import LegDraft, LimitsDraft
from engine.services.terms import StrategyTerms

Made = TypeVar("Made")

LEG_RULES = ("leg_sl", "leg_target")
ACCOUNT_RULES = ("account_max_loss", "account_max_profit")
RULE_NAMES = (
    "max_loss",
    "max_profit",
    *ACCOUNT_RULES,
    "trailing_sl",
    *LEG_RULES,
    "supertrend",
    "exit_time",
    "square_off",
)
"""The rules that a person may switch, by the names under which LimitsDraft.rules holds them."""
TRAILING_KINDS = {
    "percent_of_premium": TrailingKind.PERCENT_OF_PREMIUM,
    "amount": TrailingKind.AMOUNT,
    "points": TrailingKind.POINTS,
    "percent_of_profit": TrailingKind.PERCENTAGE_OF_PROFIT,
    "lock_and_trail": TrailingKind.LOCK_AND_TRAIL,
}


@dataclass(frozen=True, slots=True)
class RuleTerms:
    """The rules of a strategy version; ``problems``: in words, those that are left out because they make no sense."""

    limits: RunLimits
    supertrend: Switch
    problems: tuple[str, ...] = ()


_built: dict[int, tuple[StrategyTerms, str, RuleTerms]] = {}
"""By version id, with the terms they were made of: a version never changes, so this is made once."""


def rule_terms(terms: StrategyTerms, product: str) -> RuleTerms:
    """Return the rules of a strategy version; ``product`` MIS leaves at 15:10 unless told otherwise.

    A rule whose figures make no sense is left out: it must not switch off the others.
    """
    known = _built.get(terms.version_id)
    if known is not None and known[0] is terms and known[1] == product:
        return known[2]
    made = made_of(terms.limits, terms.leg_drafts, product)
    _built[terms.version_id] = (terms, product, made)
    return made


def made_of(draft: LimitsDraft, legs: tuple[LegDraft, ...], product: str) -> RuleTerms:
    """Return the rules of limits and legs as a person built them."""
    problems: list[str] = []

    def rule(name: str, make: Callable[[], Made | None]) -> Made | None:
        try:
            return make()
        except (DomainError, ValueError, TypeError, ArithmeticError, KeyError) as error:
            problems.append(f"{name}: {error}")
            return None

    def switch(name: str) -> Switch:
        # a switch that makes no sense leaves the rule on, and it takes out all that it watches
        return rule(name, lambda: switch_of(draft, name)) or usual_switch(name)

    def limit(name: str, amount: float | None, unit: str) -> Limit | None:
        on = switch(name)
        words = name.replace("_", " ")
        return rule(
            words,
            lambda: None if amount is None else Limit(amount, LimitUnit(unit), on.enabled, on.action, on.part),
        )

    def at(name: str, words: str, text: str | None) -> TimeLimit | None:
        on = switch(name)
        return rule(
            words,
            lambda: None if text is None else TimeLimit(time.fromisoformat(text), on.enabled, on.action, on.part),
        )

    square_off = at("square_off", "square-off time", draft.square_off_time)
    if square_off is None and product == Product.MIS:
        on = switch("square_off")
        square_off = TimeLimit(MIS_SQUARE_OFF, on.enabled, on.action, on.part)
    trailing, trails = rule("trailing stop", lambda: trailing_of(draft)), switch("trailing_sl")
    limits = RunLimits(
        max_loss=limit("max_loss", draft.max_loss, draft.max_loss_unit),
        max_profit=limit("max_profit", draft.max_profit, draft.max_profit_unit),
        account_max_loss=limit("account_max_loss", draft.account_max_loss, draft.account_max_loss_unit),
        account_max_profit=limit("account_max_profit", draft.account_max_profit, draft.account_max_profit_unit),
        trailing=None
        if trailing is None
        else TrailingLimit(trailing, enabled=trails.enabled, action=trails.action, part=trails.part),
        exit_time=at("exit_time", "exit time", draft.exit_time),
        square_off_time=square_off,
        legs=LegRules(
            tuple(
                LegLimits(
                    number,
                    rule(f"leg {number}, stop", partial(_leg_rule, leg.stop_kind, leg.stop_value)),
                    rule(f"leg {number}, target", partial(_leg_rule, leg.target_kind, leg.target_value)),
                )
                for number, leg in enumerate(legs, start=1)
            ),
            stop=switch("leg_sl"),
            target=switch("leg_target"),
            move_to_cost=draft.move_to_cost,
        ),
        intraday=product == Product.MIS,
    )
    return RuleTerms(limits, switch("supertrend"), tuple(dict.fromkeys(problems)))


def switch_of(draft: LimitsDraft, name: str) -> Switch:
    """Return switch, action and part of a rule; one that is not named is on and takes out all that it watches.

    Raises DomainError or ValueError where they make no sense.
    """
    drafted = draft.rules.get(name)
    if drafted is None:
        return usual_switch(name)
    part = Part(tuple(drafted.legs), tuple(drafted.account_ids), drafted.share)
    return Switch(drafted.enabled, ExitAction(drafted.action), part)


def usual_switch(name: str) -> Switch:
    """Return the switch of a rule that a person did not name."""
    return LEG_BY_ITSELF if name in LEG_RULES else Switch()


def trailing_of(draft: LimitsDraft) -> TrailingRule | None:
    """Return the trailing stop of limits, None where it is not set; raises RuleError for figures without sense."""
    if draft.trailing_kind is None:
        return None
    kind = TRAILING_KINDS[draft.trailing_kind]
    if kind is TrailingKind.LOCK_AND_TRAIL:
        reach, keep, step, rise = draft.lock_reach, draft.lock_keep, draft.lock_step, draft.lock_rise
        if reach is None or keep is None or step is None or rise is None:
            return TrailingRule(kind, activate_at=draft.trailing_activate_at)  # which says what it lacks
        return TrailingRule(kind, activate_at=draft.trailing_activate_at, lock=Lock(reach, keep, step, rise))
    if draft.trailing_value is None:
        return None
    return TrailingRule(kind, draft.trailing_value, draft.trailing_activate_at)


def _leg_rule(kind: str, value: float) -> LegRule | None:
    return None if kind == "none" else LegRule(LegKind(kind), value)
