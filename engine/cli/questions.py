"""Commands that ask, and those about accounts: status, strategies, accounts."""

from __future__ import annotations

import argparse
import sys

from engine.cli.door import DONE, ENDED, FAILED, NOT_TAKEN, CommandLineError, account_ids, desk_of, show
from engine.cli.limits import halted_lines
from engine.cli.words import open_runs, run_line, where
from engine.services.risk_views import DayLimitView
from engine.services.views import AccountDraft, AccountView


def status(options: argparse.Namespace) -> int:
    """Show heartbeat, accounts and open runs."""
    desk = desk_of(options)
    engine, live = desk.engine(), desk.live()
    runs = [run for run in live.runs if run.state not in ENDED]
    document = {"engine": engine.model_dump(mode="json"), "live": live.model_dump(mode="json")}
    lines = halted_lines(live.day_limits)
    lines += [_reached_line(limit) for limit in live.day_limits if limit.latched and not limit.halted]
    beat = "" if engine.lease_age_seconds is None else f", heartbeat {engine.lease_age_seconds:.0f} s ago"
    lines.append(f"engine: {f'running{beat}' if engine.alive else engine.problem}")
    halted = live.halted_accounts
    lines += [_account_line(account, halted=account.id in halted) for account in desk.accounts()]
    lines += [run_line(run) for run in runs] or ["no open runs"]
    show(options, document, lines)
    return DONE if engine.alive else NOT_TAKEN


def _reached_line(limit: DayLimitView) -> str:
    acted = " and ".join(name.replace("_", " ") for name in limit.latched)
    return f"LIMIT REACHED: {limit.account or 'all accounts'}, {acted} of the day; entries are not halted."


def _account_line(account: AccountView, *, halted: bool) -> str:
    state = ""
    if account.armed:
        state = ", halted, otherwise ready" if halted else ", armed"
    elif halted:
        state = ", halted"
    return f"account {account.name}: {account.health}{state}{f' ({account.waits_for})' if account.waits_for else ''}"


def strategies_list(options: argparse.Namespace) -> int:
    """List the strategies."""
    strategies = desk_of(options).strategies()
    lines = [f"{s.id}  {s.name}  version {s.version}  {open_runs(s.open_run_ids)}" for s in strategies]
    show(options, [s.model_dump(mode="json") for s in strategies], lines or ["no strategies"])
    return DONE


def accounts_list(options: argparse.Namespace) -> int:
    """List the accounts."""
    accounts = desk_of(options).accounts()
    lines = [
        f"{a.id}  {a.name}  {where(a.broker, a.venue)}  grade {a.grade}  {a.health}"
        + (f": {a.waits_for}" if a.waits_for else "")
        for a in accounts
    ]
    show(options, [a.model_dump(mode="json") for a in accounts], lines or ["no accounts"])
    return DONE


def accounts_add(options: argparse.Namespace) -> int:
    """Add an account; its key comes on standard input."""
    key = sys.stdin.readline().strip()
    if not key:
        raise CommandLineError("api key: nothing came on standard input")
    draft = AccountDraft(name=options.name, host=options.host, ws_url=options.ws, api_key=key, grade=options.grade)
    account = desk_of(options).add_account(draft)
    show(options, account.model_dump(mode="json"), [f"added {account.name}: {where(account.broker, account.venue)}"])
    return DONE


def accounts_test(options: argparse.Namespace) -> int:
    """Test the connection of an account."""
    desk = desk_of(options)
    report = desk.test_account(account_ids(desk, options.name)[0])
    words = f"{report.broker} in {report.mode} mode answers" if report.ok else report.problem
    show(options, report.model_dump(mode="json"), [words])
    return DONE if report.ok else FAILED
