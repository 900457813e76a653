"""The command line of the engine: run it, ask it, order from it. ``--json`` prints one JSON document.

Exit codes: 0 done · 1 refused or failed, with the reason · 2 wrong usage · 3 another engine holds the lease ·
4 the engine is not running or did not take it in time (exits and halts are then noted, and done by the next engine) ·
5 not finished within the wait.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from engine.cli import audit, doubt, drill, limits, orders, questions, servers
from engine.cli.door import FAILED, CommandLineError, say_error
from engine.paper.command import add_options
from engine.services.errors import ServiceError
from engine.store.schema import SchemaError
from engine.store.vault import VaultError


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    options = _parser().parse_args(argv)
    try:
        code = options.do(options)
    except CommandLineError as error:
        code = say_error(options, str(error), error.code)
    except (ServiceError, SchemaError, VaultError, ValueError) as error:
        code = say_error(options, str(error), FAILED)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        code = say_error(options, f"{error.strerror or error}{where}", FAILED)
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
    run.set_defaults(do=servers.run, json=False)

    paper = commands.add_parser("paper", help="serve a paper exchange on OpenAlgo's wire")
    add_options(paper)
    paper.set_defaults(do=servers.paper, json=False)

    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print one JSON document")
    shared.add_argument("--as", dest="user", help="act as this user (default: the only admin)")

    status = commands.add_parser("status", parents=[shared], help="heartbeat, accounts, open runs")
    status.set_defaults(do=questions.status)

    strategies = commands.add_parser("strategies", help="strategies of the user").add_subparsers(required=True)
    strategies.add_parser("list", parents=[shared]).set_defaults(do=questions.strategies_list)

    execute = commands.add_parser("execute", parents=[shared], help="send a strategy to its accounts")
    execute.add_argument("name", help="name of the strategy")
    execute.add_argument("--accounts", help="names, separated by commas (default: those of the strategy)")
    execute.add_argument("--wait", type=float, nargs="?", const=60.0, metavar="SECONDS", help="until entered")
    execute.add_argument("--dry-run", action="store_true", help="show what would be sent, send nothing")
    execute.add_argument("--again", action="store_true", help="although a run of it is open")
    execute.set_defaults(do=orders.execute)

    leave = commands.add_parser("exit", parents=[shared], help="close a run, or a part of it")
    leave.add_argument("run", type=_run_number, metavar="RUN", help="its number, as `status` shows it")
    leave.add_argument("--accounts", help="names, separated by commas (default: all of the run)")
    leave.add_argument("--legs", type=_leg_numbers, help="numbers of legs, separated by commas (default: all)")
    leave.add_argument("--share", type=float, metavar="PERCENT", help="of each leg, in whole lots (default: all)")
    leave.add_argument("--wait", type=float, nargs="?", const=60.0, metavar="SECONDS", help="until it is out")
    leave.set_defaults(do=orders.exit_run)

    halt = commands.add_parser("halt", parents=[shared], help="kill switch: close all runs, no entries until re-armed")
    halt.set_defaults(do=orders.halt)
    rearm = commands.add_parser("rearm", parents=[shared], help="allow entries again after a halt or a daily limit")
    rearm.set_defaults(do=orders.rearm)
    rearm_rule = commands.add_parser("rearm-rule", parents=[shared], help="let a rule of a run that acted act again")
    rearm_rule.add_argument("run", type=_run_number, metavar="RUN", help="its number, as `status` shows it")
    rearm_rule.add_argument("latch", metavar="LATCH", help="rule, rule@ACCOUNT or rule@ACCOUNT.LEG, by ids")
    rearm_rule.set_defaults(do=orders.rearm_rule)
    for switch in (halt, rearm):
        scope = switch.add_mutually_exclusive_group()
        scope.add_argument("--account", metavar="NAME", help="this account only")
        scope.add_argument("--everyone", action="store_true", help="every user (admin)")
    limits.add_commands(commands, shared)

    fire_drill = commands.add_parser(
        "drill", parents=[shared], help="rehearse the kill switch, send nothing; exit code 1 if it misses an account"
    )
    fire_drill.set_defaults(do=drill.drill)

    doubt.add_commands(commands, shared)
    audit.add_command(commands)

    accounts = commands.add_parser("accounts", help="accounts of the user").add_subparsers(required=True)
    accounts.add_parser("list", parents=[shared]).set_defaults(do=questions.accounts_list)
    add = accounts.add_parser("add", parents=[shared], help="the api key is read from standard input")
    add.add_argument("--name", required=True)
    add.add_argument("--host", required=True, help="http://HOST:PORT of the OpenAlgo server")
    add.add_argument("--ws", default="", help="ws://HOST:PORT (default: the host's usual one)")
    add.add_argument("--grade", choices=("A", "B", "C"), default="B")
    add.set_defaults(do=questions.accounts_add)
    test = accounts.add_parser("test", parents=[shared])
    test.add_argument("name")
    test.set_defaults(do=questions.accounts_test)
    return parser


def _leg_numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} are no legs: say their numbers, as 1,2")
    return [int(part) for part in parts]


def _run_number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no run: say its number, as `status` shows it")
    return int(text)
