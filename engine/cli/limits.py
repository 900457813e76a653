"""Limits on P of the day: limits show, limits set."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from engine.cli.door import DONE, CommandLineError, desk_of, one_account, show, taken
from engine.services.amounts import profit, rupees
from engine.services.risk_views import DayLimitView

NONE = "none"
ACTIONS = ("close_all", "alert_only")


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser
) -> None:
    """Add the commands to the parser."""
    limits = commands.add_parser("limits", help="limits on profit and loss of the day").add_subparsers(
        required=True, metavar="COMMAND"
    )
    limits.add_parser("show", parents=[shared], help="limits, P of the day and halts").set_defaults(do=show_limits)
    change = limits.add_parser(
        "set",
        parents=[shared],
        help="set limits of the day",
        description="Set limits on P of the day of the user, or of one account. A limit that is reached closes every "
        "run of its scope and halts entries until the next session; what is not named stays as it is.",
    )
    change.add_argument("--account", metavar="NAME", help="of this account only (default: all accounts together)")
    for name in ("max-loss", "max-profit"):
        change.add_argument(f"--{name}", metavar="RUPEES", type=_amount, help=f"in rupees, or {NONE!r}")
        change.add_argument(f"--{name}-action", choices=ACTIONS, help="what it does (default: close_all)")
        change.add_argument(f"--{name}-switch", choices=("on", "off"), help="off: kept, but not watched")
    change.set_defaults(do=set_limits)


def show_limits(options: argparse.Namespace) -> int:
    """Show the limits of the user and of each account."""
    live = desk_of(options).live()
    lines = ([live.problem] if live.problem else []) + [_line(limit) for limit in live.day_limits]
    document = {
        "as_of": live.as_of.isoformat(),
        "problem": live.problem,
        "limits": [limit.model_dump(mode="json") for limit in live.day_limits],
    }
    show(options, document, lines)
    return DONE


def set_limits(options: argparse.Namespace) -> int:
    """Set limits; what was not named stays as it is."""
    desk = desk_of(options)
    account_id = None if options.account is None else one_account(desk, options.account)
    if all(limit.account_id != account_id for limit in desk.live().day_limits):
        raise CommandLineError(f"{options.account} is not active")
    named = _named(options)
    command = desk.set_limits(uuid4().hex, account_id=account_id, only=list(named), **named)
    command = taken(desk, command)
    show(options, command.model_dump(mode="json"), [command.message])
    return DONE


def halted_lines(limits: Iterable[DayLimitView]) -> list[str]:
    """Return what is halted, why, and how to allow it again; a line each."""
    return [
        f"HALTED: {_scope(limit)}, no entries {_until(limit)} ({limit.reason or 'halted'}); "
        f"`python -m engine rearm{f' --account {limit.account!r}' if limit.account else ''}` allows them again."
        for limit in limits
        if limit.halted
    ]


def _line(limit: DayLimitView) -> str:
    parts = [
        f"P {profit(limit.profit_paise)}",
        _rule("max loss", limit.max_loss_paise, limit.max_loss_action, on=limit.max_loss_enabled),
        _rule("max profit", limit.max_profit_paise, limit.max_profit_action, on=limit.max_profit_enabled),
    ]
    acted = [f"acted today: {', '.join(name.replace('_', ' ') for name in limit.latched)}"] if limit.latched else []
    halted = [f"HALTED {_until(limit)} ({limit.reason})"] if limit.halted else []
    return f"{_scope(limit)}: {', '.join([*parts, *acted, *halted])}"


def _rule(name: str, paise: int | None, action: str, *, on: bool) -> str:
    if paise is None:
        return f"no {name}"
    return f"{name} {rupees(paise)}{'' if action == 'close_all' else ' (alert only)'}{'' if on else ' (off)'}"


def _scope(limit: DayLimitView) -> str:
    return limit.account or "all accounts"


def _until(limit: DayLimitView) -> str:
    return "until re-armed" if limit.halted_until is None else f"before {limit.halted_until:%d %b %Y}"


def _named(options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields named on the command line: the engine leaves the others as they are when it takes this."""
    named: dict[str, Any] = {}
    for name in ("max_loss", "max_profit"):
        if (amount := getattr(options, name)) is not None:
            named[name] = None if amount == NONE else amount
        if (switch := getattr(options, f"{name}_switch")) is not None:
            named[f"{name}_enabled"] = switch == "on"
        if (action := getattr(options, f"{name}_action")) is not None:
            named[f"{name}_action"] = action
    return named


def _amount(text: str) -> float | str:
    if text == NONE:
        return NONE
    try:
        return float(text.replace(",", ""))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount: say rupees, or {NONE!r}") from None
