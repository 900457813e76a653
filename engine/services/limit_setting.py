"""Limits of the day by command: what a person sets acts from this pass on (RULES 7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.domain.day_limits import DayLimits, DayRule, changed, day_breach
from engine.domain.money import paise
from engine.domain.rules import ExitAction
from engine.services import amounts
from engine.services.day_limits import counted_for, scope_name
from engine.services.day_profit import day_figures, day_of, total
from engine.services.errors import Refused
from engine.services.ledger import Pass
from engine.services.messages import CommandArrived
from engine.services.world import World

ACTIONS = frozenset({ExitAction.CLOSE_ALL, ExitAction.ALERT_ONLY})
"""What a limit of the day may do."""

RULES = (DayRule.MAX_LOSS, DayRule.MAX_PROFIT)


def set_limits(changes: Pass, world: World, command: CommandArrived) -> None:
    """Change the limits of a user or of one of his accounts; the answer says when one acts at once.

    Raises Refused where they are not what the person saw any more (``seen``): nothing is changed then.
    """
    account_id = command.payload.get("account_id")
    if account_id is not None:
        account = world.accounts.get(int(account_id))
        if account is None or account.facts.owner_id != command.user_id:
            raise Refused(f"There is no active account {account_id}.")
        account_id = account.id
    before = changes.limits_of(command.user_id, account_id)
    wanted = _wanted(before, command.payload)
    _refuse_what_was_not_seen(before, wanted, command.payload.get("seen"))
    after = changes.put_limits(changed(before, wanted))
    name, old, new = scope_name(world, after), _as_json(before), _as_json(after)
    words = f"limits of the day of {name}: {limits_words(after)}"
    changes.event(
        owner_id=command.user_id,
        kind="limits_set",
        action=str(ExitAction.ALERT_ONLY),
        message=f"{words}, set by {command.by}",
        knew={"before": old, "after": new, "command": command.id},
        account_id=account_id,
    )
    warning = _warning(changes, world, after)
    message = f"{words[0].upper()}{words[1:]}.{warning}"
    changes.answer_command(command.id, "done", {"message": message, "before": old, "after": new})


def limits_words(limits: DayLimits) -> str:
    """Return limits in words: amounts, switches, and what they do."""
    return ", ".join(
        f"{_name(rule)} {_rule_words(limits, rule)}" if getattr(limits, f"{rule}_paise") else f"no {_name(rule)}"
        for rule in RULES
    )


def still_breached(changes: Pass, world: World, limits: DayLimits) -> str:
    """Return which limit P of the day is beyond now, in words; empty if none is, or where P is not known."""
    day = day_of(changes, world)
    figures = counted_for(changes, world, limits, day_figures(changes, world, limits.owner_id))
    breach = day_breach(limits, total(figures), day)
    if breach is None:
        return ""
    return f"P of the day is {amounts.profit(breach.value_paise)}, at or beyond the {_name(breach.rule)}"


def _warning(changes: Pass, world: World, limits: DayLimits) -> str:
    day = day_of(changes, world)
    if breached := still_breached(changes, world, limits):
        return f" {breached}: it acts at once."
    figures = counted_for(changes, world, limits, day_figures(changes, world, limits.owner_id))
    if limits.watched(day) and total(figures) is None:
        return " P of the day is not known now: it is judged as soon as its prices are confirmed."
    return ""


def _wanted(before: DayLimits, payload: dict[str, Any]) -> DayLimits:
    """Return what is asked for: all of it, or what ``only`` names with the rest as it is now."""
    fields: dict[str, tuple[str, Any]] = {
        "max_loss": ("max_loss_paise", _amount(payload, "max_loss")),
        "max_loss_enabled": ("max_loss_enabled", bool(payload.get("max_loss_enabled", True))),
        "max_loss_action": ("max_loss_action", _action(payload, "max_loss_action")),
        "max_profit": ("max_profit_paise", _amount(payload, "max_profit")),
        "max_profit_enabled": ("max_profit_enabled", bool(payload.get("max_profit_enabled", True))),
        "max_profit_action": ("max_profit_action", _action(payload, "max_profit_action")),
    }
    only = payload.get("only")
    return replace(before, **{name: value for field, (name, value) in fields.items() if only is None or field in only})


def _refuse_what_was_not_seen(now: DayLimits, wanted: DayLimits, seen: dict[str, Any] | None) -> None:
    """Refuse a change made in sight of other limits than those of now: the whole row would undo what changed since."""
    if seen is None or wanted == now:
        return
    others = [
        rule
        for rule in RULES
        if any(name in seen and seen[name] != value for name, value in _as_json(now).items() if name.startswith(rule))
    ]
    if others:
        told = "; ".join(
            f"the {_name(rule)} was changed elsewhere meanwhile: it is {_rule_words(now, rule)} now" for rule in others
        )
        raise Refused(f"{told}; look again. Nothing was changed.")


def _amount(payload: dict[str, Any], name: str) -> int | None:
    value = payload.get(name)
    if value is None:
        return None
    amount = paise(value)
    if amount <= 0:
        raise Refused(f"{name}: it must be above 0")
    return amount


def _action(payload: dict[str, Any], name: str) -> ExitAction:
    action = ExitAction(payload.get(name, ExitAction.CLOSE_ALL))
    if action not in ACTIONS:
        raise Refused(f"{name}: a limit of the day closes all of its scope, or alerts only")
    return action


def _as_json(limits: DayLimits) -> dict[str, Any]:
    names = (
        "max_loss_paise", "max_loss_enabled", "max_loss_action",
        "max_profit_paise", "max_profit_enabled", "max_profit_action",
    )  # fmt: skip
    return {name: getattr(limits, name) for name in names}


def _rule_words(limits: DayLimits, rule: DayRule) -> str:
    amount: int | None = getattr(limits, f"{rule}_paise")
    if not amount:
        return "none"
    on, action = getattr(limits, f"{rule}_enabled"), getattr(limits, f"{rule}_action")
    return f"{amounts.rupees(amount)}{_does(action) if on else ' (off)'}"


def _name(rule: DayRule) -> str:
    return str(rule).replace("_", " ")


def _does(action: ExitAction) -> str:
    return " (alert only)" if action is ExitAction.ALERT_ONLY else ""
