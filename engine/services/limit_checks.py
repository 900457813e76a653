"""What the exit rules of a strategy must fulfil before they are stored: limits, legs, switches (RULES 7)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from engine.domain.breaches import ExitAction
from engine.domain.errors import DomainError
from engine.domain.instruments import Action
from engine.domain.intervals import Interval
from engine.domain.leg_rules import LegKind
from engine.domain.reentry import Reentry
from engine.services.drafts import LegDraft, LimitsDraft, RuleDraft, ScheduleDraft, SupertrendDraft
from engine.services.errors import InvalidInput
from engine.services.field_checks import LEAST, clock, figure, one_of, whole, within
from engine.services.rule_terms import ACCOUNT_RULES, LEG_RULES, RULE_NAMES, TRAILING_KINDS, trailing_of

LIMIT_UNITS = ("rupees", "per_lot", "percent_of_premium")
LEG_RULE_KINDS = ("none", *(str(kind) for kind in LegKind))
REENTRIES = tuple(str(kind) for kind in Reentry)
RULE_ACTIONS = tuple(str(action) for action in ExitAction)
SERIES = ("combined", "underlying", "leg")
INTERVALS = tuple(str(interval) for interval in Interval)
EXIT_ON = ("breakout", "breakdown")
TESTS = ("cross", "level")
MOST_RUPEES = 1_000_000_000.0
MOST_PERCENT = 1_000.0
MOST_POINTS = 100_000.0
MOST_PRICE = 10_000_000.0
"""Of a strike and of a premium, in ₹."""
MOST_REENTRIES = 10
MOST_PERIOD = 500
MULTIPLIERS = (0.1, 20.0)

RULE_WORDS = {
    "max_loss": "max loss",
    "max_profit": "max profit",
    "account_max_loss": "max loss of an account",
    "account_max_profit": "max profit of an account",
    "trailing_sl": "trailing stop",
    "leg_sl": "leg stop",
    "leg_target": "leg target",
    "supertrend": "Supertrend",
    "exit_time": "exit time",
    "square_off": "square-off time",
}
"""The rules as people read them, by the names under which they are switched."""

_MOST_OF_TRAILING = {
    "percent_of_premium": (MOST_PERCENT, "%"),
    "amount": (MOST_RUPEES, "₹"),
    "points": (MOST_POINTS, "points"),
    "percent_of_profit": (MOST_PERCENT, "%"),
}


def check_limits(limits: LimitsDraft, *, legs: int, account_ids: Collection[int], always_open: bool = False) -> None:
    """Refuse limits that make no sense, naming the field; ``legs``: how many the strategy has.

    ``always_open``: its venue has no session that a time could miss.
    """
    for field, amount, unit in (
        ("max loss", limits.max_loss, limits.max_loss_unit),
        ("max profit", limits.max_profit, limits.max_profit_unit),
        (RULE_WORDS["account_max_loss"], limits.account_max_loss, limits.account_max_loss_unit),
        (RULE_WORDS["account_max_profit"], limits.account_max_profit, limits.account_max_profit_unit),
    ):
        one_of(f"{field}, unit", unit, LIMIT_UNITS)
        if amount is not None:
            percent = unit == "percent_of_premium"
            most, of = (MOST_PERCENT, "% of the premium") if percent else (MOST_RUPEES, "₹")
            within(field, amount, most, f"{of}, or empty")
    _trailing(limits)
    for field, text in (("exit time", limits.exit_time), ("square-off time", limits.square_off_time)):
        if text is not None:
            clock(field, text, always_open=always_open)
    if limits.supertrend is not None:
        _supertrend(limits.supertrend, legs)
    for name, rule in limits.rules.items():
        one_of("rules", name, RULE_NAMES)
        _switch(name, rule, legs, account_ids)


def check_intraday(schedule: ScheduleDraft, limits: LimitsDraft) -> None:
    """Refuse an intraday strategy that enters at or after the time it leaves; others may stay until the next day."""
    for field, text in (("exit time", limits.exit_time), ("square-off time", limits.square_off_time)):
        if schedule.entry_time is not None and text is not None and schedule.entry_time >= text:
            raise InvalidInput(
                "entry time", f"must be before the {field} {text}: an intraday strategy does not stay overnight"
            )


def check_leg_rules(place: str, leg: LegDraft) -> None:
    """Refuse stop, target and re-entry of a leg that make no sense; ``place``: like ``leg 2``."""
    bought = leg.action == Action.BUY
    _leg_rule(f"{place}, stop", leg.stop_kind, leg.stop_value, falls=bought)
    _leg_rule(f"{place}, target", leg.target_kind, leg.target_value, falls=not bought)
    field = f"{place}, re-entry"
    one_of(field, leg.reentry, REENTRIES)
    if leg.reentry == Reentry.NONE:
        if figure(field, leg.reentry_most) != 0:
            raise InvalidInput(field, "choose how it enters again, or empty how often")
        return
    if leg.stop_kind == leg.target_kind == "none":
        raise InvalidInput(field, "a leg enters again after its stop or target: set one of them")
    whole(field, leg.reentry_most, 1, MOST_REENTRIES, " times")


def check_told_apart(legs: Sequence[LegDraft]) -> None:
    """Refuse rules of a leg whose contract another leg has too: whose stop it is could not be told."""
    contracts = [
        (leg.underlying, leg.instrument_type, leg.expiry_choice, leg.strike_kind, leg.strike_value) for leg in legs
    ]
    for number, leg in enumerate(legs, start=1):
        ruled = "stop" if leg.stop_kind != "none" else "target" if leg.target_kind != "none" else ""
        twin = next(
            (other for other, one in enumerate(contracts, start=1) if other != number and one == contracts[number - 1]),
            0,
        )
        if ruled and twin:
            raise InvalidInput(f"leg {number}, {ruled}", f"leg {twin} has the same contract: put their lots in one leg")


def _leg_rule(field: str, kind: str, value: float, *, falls: bool) -> None:
    """Check one figure; ``falls``: it acts at a lower price, which cannot fall by 100 % or more."""
    one_of(field, kind, LEG_RULE_KINDS)
    if kind == "none":
        if figure(field, value) != 0:
            raise InvalidInput(field, "choose its kind, or empty its value")
        return
    match LegKind(kind):
        case LegKind.PERCENT:
            within(field, value, MOST_PERCENT, "% of the entry price")
            if falls and value >= 100:
                raise InvalidInput(field, "less than 100 %: no price falls to 0 or below")
        case LegKind.POINTS:
            within(field, value, MOST_POINTS, "points")
        case LegKind.PREMIUM:
            within(field, value, MOST_PRICE, "₹ of premium")


def _trailing(limits: LimitsDraft) -> None:
    value, activate = limits.trailing_value, limits.trailing_activate_at
    lock = {name: getattr(limits, f"lock_{name}") for name in ("reach", "keep", "step", "rise")}
    kind = limits.trailing_kind
    if kind is None and (value is not None or activate is not None):
        raise InvalidInput("trailing stop", "choose its kind, or empty its value")
    if kind is not None:
        one_of("trailing stop, kind", kind, TRAILING_KINDS)
    for name, amount in lock.items():
        field = f"trailing stop, lock {name}"
        if kind != "lock_and_trail":
            if amount is not None:
                raise InvalidInput(field, "only for lock and trail: choose that kind, or empty it")
        elif amount is None:
            raise InvalidInput(field, "lock and trail needs its four figures")
        else:
            figure(field, amount)
    if kind is None:
        return
    if activate is not None:
        within("trailing stop, activate at", activate, MOST_RUPEES, "₹ of profit, or empty")
    if kind == "lock_and_trail":
        if activate is not None:
            raise InvalidInput("trailing stop, activate at", "lock and trail begins at its own first figure: empty it")
        _lock(limits)
        return
    if value is None:
        raise InvalidInput("trailing stop, value", "more than 0")
    within("trailing stop, value", value, *_MOST_OF_TRAILING[kind])
    if kind == "percent_of_profit":
        if activate is None:
            raise InvalidInput(
                "trailing stop, activate at", "a percentage of profit needs the profit from which it counts"
            )
        if value >= 100:
            raise InvalidInput("trailing stop, value", "less than 100 % of the profit")


def _lock(limits: LimitsDraft) -> None:
    if limits.trailing_value is not None:
        raise InvalidInput("trailing stop, value", "empty: lock and trail has its own four figures")
    for name, amount in (("reach", limits.lock_reach), ("step", limits.lock_step)):
        within(f"trailing stop, lock {name}", amount, MOST_RUPEES, "₹")
    try:
        trailing_of(limits)
    except DomainError as error:
        raise InvalidInput(f"trailing stop, {error.field}", error.reason) from error


def _supertrend(draft: SupertrendDraft, legs: int) -> None:
    one_of("Supertrend, series", draft.series, SERIES)
    if draft.series == "leg":
        whole("Supertrend, leg", draft.leg, 1, legs, ": the number of a leg")
    elif draft.leg is not None:
        raise InvalidInput("Supertrend, leg", "only for the series of one leg: choose that, or empty it")
    one_of("Supertrend, interval", draft.interval, INTERVALS)
    whole("Supertrend, period", draft.period, 1, MOST_PERIOD, " bars")
    least, most = MULTIPLIERS
    within("Supertrend, multiplier", draft.multiplier, most, "", least=least)
    one_of("Supertrend, exit on", draft.exit_on, EXIT_ON)
    one_of("Supertrend, test", draft.test, TESTS)


def _switch(name: str, rule: RuleDraft, legs: int, account_ids: Collection[int]) -> None:
    words = RULE_WORDS[name]
    one_of(f"{words}, action", rule.action, RULE_ACTIONS)
    if rule.action != ExitAction.CLOSE_PARTIAL:
        for field, given in (("legs", rule.legs), ("accounts", rule.account_ids), ("share", rule.share)):
            if given:
                raise InvalidInput(f"{words}, {field}", "only where the rule closes a part")
        return
    for number in rule.legs:
        whole(f"{words}, legs", number, 1, legs, ": the number of a leg")
    if len(set(rule.legs)) < len(rule.legs):
        raise InvalidInput(f"{words}, legs", "each leg once")
    if rule.account_ids and name in (*ACCOUNT_RULES, *LEG_RULES):
        raise InvalidInput(f"{words}, accounts", "empty: the rule closes on the account that it watches")
    if strangers := set(rule.account_ids) - set(account_ids):
        raise InvalidInput(f"{words}, accounts", f"{min(strangers)} is no account of this strategy")
    if rule.share is not None and not 0 < figure(f"{words}, share", rule.share, _SHARE) < 100:
        raise InvalidInput(f"{words}, share", _SHARE)
    if name not in LEG_RULES and not (rule.legs or rule.account_ids or rule.share):
        raise InvalidInput(f"{words}, action", "say which part it closes: legs, accounts or a share")


_SHARE = f"{LEAST:g} to 99.99 % of each leg"
