"""The command line of the engine: run it, ask it, order from it. ``--json`` prints one JSON document.

Exit codes: 0 done · 1 refused or failed, with the reason · 2 wrong usage · 3 another engine holds the lease ·
4 the engine is not running or did not take it in time (exits and halts are then noted, and done by the next engine) ·
5 not finished within the wait.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlmodel import col, select

from engine.desk import LIVE_FILE, Desk
from engine.paper.command import add_options, serve_with
from engine.services.amounts import UNKNOWN, count, grouped, profit, rupees
from engine.services.connection import venue_name
from engine.services.errors import ServiceError
from engine.services.identity import Caller
from engine.services.views import AccountDraft, CommandView, PreviewView, RunView
from engine.settings import Settings, get_settings
from engine.store.database import Database
from engine.store.live import LiveStore
from engine.store.schema import SchemaError, upgrade
from engine.store.tables import Role, User
from engine.store.vault import Vault, VaultError

DONE, FAILED, LEASE_HELD, NOT_TAKEN, NOT_FINISHED = 0, 1, 3, 4, 5
ENDED = frozenset({"closed", "refused"})
TAKE_SECONDS = 17.0
NOTED = "It is noted and will be done as soon as an engine runs; until then close at the broker."
REARM_NOTED = "It is noted: entries are allowed again as soon as an engine runs."
HALTED = "HALTED: the kill switch was pressed, no strategy starts; `python -m engine rearm` allows entries again."
LAPSES = "It lapses 15 s after it was given."


class CommandLineError(Exception):
    """Something the person at the console can mend; ``code`` is the exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    options = _parser().parse_args(argv)
    try:
        code = options.do(options)
    except CommandLineError as error:
        code = _say_error(options, str(error), error.code)
    except (ServiceError, SchemaError, VaultError, ValueError) as error:
        code = _say_error(options, str(error), FAILED)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        code = _say_error(options, f"{error.strerror or error}{where}", FAILED)
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description="AlgoMirror's engine and its command line.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="trade until stopped")
    run.add_argument("--lifeline-fd", type=int, help="stop when this descriptor reads its end")
    run.add_argument("--standby", type=float, default=0.0, metavar="SECONDS", help="wait this long for the lease")
    run.set_defaults(do=_run, json=False)

    paper = commands.add_parser("paper", help="serve a paper exchange on OpenAlgo's wire")
    add_options(paper)
    paper.set_defaults(do=_paper, json=False)

    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print one JSON document")
    shared.add_argument("--as", dest="user", help="act as this user (default: the only admin)")

    status = commands.add_parser("status", parents=[shared], help="heartbeat, accounts, open runs")
    status.set_defaults(do=_status)

    strategies = commands.add_parser("strategies", help="strategies of the user").add_subparsers(required=True)
    strategies.add_parser("list", parents=[shared]).set_defaults(do=_strategies_list)

    execute = commands.add_parser("execute", parents=[shared], help="send a strategy to its accounts")
    execute.add_argument("name", help="name of the strategy")
    execute.add_argument("--accounts", help="names, separated by commas (default: those of the strategy)")
    execute.add_argument("--wait", type=float, nargs="?", const=60.0, metavar="SECONDS", help="until entered")
    execute.add_argument("--dry-run", action="store_true", help="show what would be sent, send nothing")
    execute.add_argument("--again", action="store_true", help="although a run of it is open")
    execute.set_defaults(do=_execute)

    leave = commands.add_parser("exit", parents=[shared], help="close a run")
    leave.add_argument("run", type=_run_number, metavar="RUN", help="its number, as `status` shows it")
    leave.add_argument("--wait", type=float, nargs="?", const=60.0, metavar="SECONDS", help="until flat")
    leave.set_defaults(do=_exit)

    halt = commands.add_parser("halt", parents=[shared], help="kill switch: close all runs, no entries until re-armed")
    halt.set_defaults(do=_halt)
    rearm = commands.add_parser("rearm", parents=[shared], help="allow entries again after a halt")
    rearm.set_defaults(do=_rearm)

    accounts = commands.add_parser("accounts", help="accounts of the user").add_subparsers(required=True)
    accounts.add_parser("list", parents=[shared]).set_defaults(do=_accounts_list)
    add = accounts.add_parser("add", parents=[shared], help="the api key is read from standard input")
    add.add_argument("--name", required=True)
    add.add_argument("--host", required=True, help="http://HOST:PORT of the OpenAlgo server")
    add.add_argument("--ws", default="", help="ws://HOST:PORT (default: the host's usual one)")
    add.add_argument("--grade", choices=("A", "B", "C"), default="B")
    add.set_defaults(do=_accounts_add)
    test = accounts.add_parser("test", parents=[shared])
    test.add_argument("name")
    test.set_defaults(do=_accounts_test)
    return parser


# ── servers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _run(options: argparse.Namespace) -> int:
    from engine.runtime.bootstrap import configure_logging, run_engine
    from engine.runtime.lease import LeaseHeldError
    from engine.services.journal import LeaseLostError

    settings = get_settings()
    configure_logging(settings, "algomirror.log")
    try:
        run_engine(
            settings,
            lifeline_fd=options.lifeline_fd,
            wait_seconds=options.standby,
            say=lambda line: print(line, flush=True),
        )
    except (LeaseHeldError, LeaseLostError) as error:
        raise CommandLineError(str(error), LEASE_HELD) from error
    sys.stdout.flush()
    os._exit(DONE)  # workers may still listen for late answers: nothing waits for them
    return DONE


def _paper(options: argparse.Namespace) -> int:
    try:
        serve_with(options, control_token=os.environ.get("PAPER_CONTROL_TOKEN") or None)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        taken = f"port {options.port} of {options.host} is taken: stop what uses it, or give another with --port"
        raise CommandLineError(taken) from error
    return DONE


# ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _status(options: argparse.Namespace) -> int:
    desk = _desk(options)
    engine, live = desk.engine(), desk.live()
    runs = [run for run in live.runs if run.state not in ENDED]
    document = {"engine": engine.model_dump(mode="json"), "live": live.model_dump(mode="json")}
    lines = [HALTED] if live.halted else []
    lines.append(f"engine: {'running' if engine.alive else engine.problem}")
    lines += [
        f"account {a.name}: {a.health}{', armed' if a.armed else ''}{f' ({a.waits_for})' if a.waits_for else ''}"
        for a in desk.accounts()
    ]
    lines += [_run_line(run) for run in runs] or ["no open runs"]
    _print(options, document, lines)
    return DONE if engine.alive else NOT_TAKEN


def _strategies_list(options: argparse.Namespace) -> int:
    strategies = _desk(options).strategies()
    lines = [f"{s.id}  {s.name}  version {s.version}  {_open_runs(s.open_run_ids)}" for s in strategies]
    _print(options, [s.model_dump(mode="json") for s in strategies], lines or ["no strategies"])
    return DONE


def _accounts_list(options: argparse.Namespace) -> int:
    accounts = _desk(options).accounts()
    lines = [
        f"{a.id}  {a.name}  {_where(a.broker, a.venue)}  grade {a.grade}  {a.health}"
        + (f": {a.waits_for}" if a.waits_for else "")
        for a in accounts
    ]
    _print(options, [a.model_dump(mode="json") for a in accounts], lines or ["no accounts"])
    return DONE


def _accounts_add(options: argparse.Namespace) -> int:
    key = sys.stdin.readline().strip()
    if not key:
        raise CommandLineError("api key: nothing came on standard input")
    draft = AccountDraft(name=options.name, host=options.host, ws_url=options.ws, api_key=key, grade=options.grade)
    account = _desk(options).add_account(draft)
    _print(options, account.model_dump(mode="json"), [f"added {account.name}: {_where(account.broker, account.venue)}"])
    return DONE


def _accounts_test(options: argparse.Namespace) -> int:
    desk = _desk(options)
    report = desk.test_account(_account_ids(desk, options.name)[0])
    words = f"{report.broker} in {report.mode} mode answers" if report.ok else report.problem
    _print(options, report.model_dump(mode="json"), [words])
    return DONE if report.ok else FAILED


# ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _execute(options: argparse.Namespace) -> int:
    desk = _desk(options)
    strategies = desk.strategies()
    strategy = next((s for s in strategies if s.name == options.name), None)
    if strategy is None:
        known = ", ".join(s.name for s in strategies)
        raise CommandLineError(f"there is no strategy {options.name!r}; there are {known or 'none'}")
    account_ids = None if options.accounts is None else _account_ids(desk, options.accounts)
    if not desk.engine().alive:
        raise CommandLineError(f"{desk.engine().problem} Nothing was ordered.", NOT_TAKEN)
    if strategy.open_run_ids and not (options.again or options.dry_run):
        raise CommandLineError(f"{strategy.name} already has an open run: --again opens a second one")
    if options.dry_run:
        command = _taken(desk, desk.request_preview(strategy.id, account_ids))
        preview = PreviewView.model_validate(command.outcome["preview"])
        _print(options, preview.model_dump(mode="json"), _preview_lines(preview))
        return DONE
    command = _taken(
        desk,
        desk.execute(
            strategy.id, strategy.version, account_ids, strategy.open_run_ids, uuid4().hex, again=options.again
        ),
    )
    run_id = int(command.outcome["run_id"])
    return _finish(options, desk, command, run_id, lambda run: run.state not in {"resolving", "entering"})


def _exit(options: argparse.Namespace) -> int:
    desk = _desk(options)
    command = _taken(desk, desk.close_run(options.run, None, uuid4().hex))
    return _finish(options, desk, command, options.run, lambda run: run.state in ENDED)


def _halt(options: argparse.Namespace) -> int:
    desk = _desk(options)
    command = _taken(desk, desk.halt(uuid4().hex))
    _print(options, command.model_dump(mode="json"), [command.message])
    return DONE


def _rearm(options: argparse.Namespace) -> int:
    desk = _desk(options)
    command = _taken(desk, desk.rearm(uuid4().hex))
    _print(options, command.model_dump(mode="json"), [command.message])
    return DONE


def _finish(
    options: argparse.Namespace, desk: Desk, command: CommandView, run_id: int, done: Callable[[RunView], bool]
) -> int:
    if options.wait is None:
        _print(options, command.model_dump(mode="json"), [command.message])
        return DONE
    until = time.monotonic() + options.wait
    while time.monotonic() < until:
        live = desk.live()
        run = next((run for run in [*live.runs, *desk.run_history()] if run.id == run_id), None)
        if run is not None and done(run) and (live.as_of >= command.created_at):
            _print(options, run.model_dump(mode="json"), [_run_line(run), *_account_lines(run)])
            return FAILED if run.state == "refused" else DONE
        time.sleep(0.2)
    raise CommandLineError(f"run {run_id} is not there yet after {options.wait:.0f} s; it goes on", NOT_FINISHED)


def _taken(desk: Desk, command: CommandView) -> CommandView:
    """Wait until the engine took the command; raises CommandLineError when it refused or was not there."""
    until = time.monotonic() + TAKE_SECONDS
    lasting = command.kind not in {"execute", "preview"}
    while time.monotonic() < until:
        command = desk.command(command.id)
        if command.state == "done":
            return command
        if command.state in {"refused", "too_late"}:
            raise CommandLineError(command.message, FAILED if command.state == "refused" else NOT_TAKEN)
        engine = desk.engine()
        if not engine.alive:
            noted = REARM_NOTED if command.kind == "rearm" else NOTED
            raise CommandLineError(f"{engine.problem} {noted if lasting else LAPSES}", NOT_TAKEN)
        time.sleep(0.05)
    raise CommandLineError("the engine did not answer", NOT_TAKEN)


# ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _desk(options: argparse.Namespace) -> Desk:
    settings = get_settings()
    database = Database(settings.database_url)
    upgrade(database)
    live = LiveStore(settings.data_dir / LIVE_FILE)
    return Desk(settings, database, live, Vault.open(settings), _caller(database, settings, options.user))


def _caller(database: Database, settings: Settings, name: str | None) -> Caller:
    with database.read() as session:
        if name is not None:
            users = session.exec(select(User).where(User.username == name.lower(), col(User.active).is_(True))).all()
        else:
            users = session.exec(select(User).where(User.role == Role.ADMIN, col(User.active).is_(True))).all()
    if len(users) != 1 or users[0].id is None:
        where = settings.database_url.rpartition("@")[2]
        if name is not None:
            raise CommandLineError(f"there is no user {name!r} in {where}")
        why = (
            "there is no user yet: register in the browser first" if not users else "there are several admins: say --as"
        )
        raise CommandLineError(why)
    return Caller(users[0].id, users[0].username, users[0].role)


def _account_ids(desk: Desk, names: str) -> list[int]:
    known = {account.name: account.id for account in desk.accounts()}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise CommandLineError(f"no account was named; there are {', '.join(known) or 'none'}")
    if missing := [name for name in wanted if name not in known]:
        raise CommandLineError(f"there is no account {missing[0]!r}; there are {', '.join(known) or 'none'}")
    return [known[name] for name in wanted]


def _preview_lines(preview: PreviewView) -> list[str]:
    day = "expiry day" if preview.expiry_day else "other day"
    lines = [f"{preview.underlying} at {_price(preview.spot)}; nothing was sent"]
    lines += [
        f"leg {leg.leg_index}: {leg.action} {leg.symbol} at {_price(leg.ltp)}; lot {leg.lot_size}, "
        f"freeze {'not known' if leg.freeze_quantity is None else grouped(leg.freeze_quantity)}"
        for leg in preview.legs
    ]
    for account in preview.accounts:
        why = account.reason or f"bound by {account.bound_by}"
        lines.append(f"{account.account}: {count(account.lots, 'lot')} ({why})")
        if account.structure_margin_paise is not None:
            one = rupees(account.structure_margin_paise)
            lines.append(f"  margin of one structure {one}, from the margin table ({day})")
        lines += [
            f"  {account.stage_of(order)}: {order.action} {grouped(order.quantity)} {order.symbol}"
            for order in account.orders
        ]
    return lines


def _run_line(run: RunView) -> str:
    result = "P not known" if run.profit_paise is None else f"P {profit(run.profit_paise)}"
    return f"run {run.id} of {run.strategy}: {run.state}, {result}{f' ({run.reason})' if run.reason else ''}"


def _account_lines(run: RunView) -> list[str]:
    return [
        f"  {a.account}: {a.state}, {count(a.lots, 'lot')}{f' ({a.reason})' if a.reason else ''}" for a in run.accounts
    ]


def _where(broker: str, venue: str) -> str:
    """Return whose account it is: a paper exchange is named by its address, a broker by its name."""
    return venue_name(venue).removeprefix("the ") if venue.startswith("paper:") else broker


def _price(value: float | None) -> str:
    return UNKNOWN if value is None else rupees(round(value * 100)).removeprefix("₹")


def _run_number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no run: say its number, as `status` shows it")
    return int(text)


def _open_runs(ids: list[int]) -> str:
    return f"open: {', '.join(f'run {one}' for one in ids)}" if ids else "no open run"


def _print(options: argparse.Namespace, document: Any, lines: Sequence[str]) -> None:
    if options.json:
        print(json.dumps(document, default=_text, indent=2))
    else:
        print("\n".join(lines))


def _say_error(options: argparse.Namespace, message: str, code: int) -> int:
    if getattr(options, "json", False):
        print(json.dumps({"error": message, "code": code}))
    else:
        print(message, file=sys.stderr)
    return code


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
