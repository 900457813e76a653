"""What every command needs: the desk of whom it acts for, exit codes, printing, the wait for the engine."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlmodel import col, select

from engine.desk import LIVE_FILE, Desk
from engine.services.identity import Caller
from engine.services.views import CommandView
from engine.settings import Settings, get_settings
from engine.store.database import Database
from engine.store.live import LiveStore
from engine.store.schema import upgrade
from engine.store.tables import Role, User
from engine.store.vault import Vault

DONE, FAILED, LEASE_HELD, NOT_TAKEN, NOT_FINISHED = 0, 1, 3, 4, 5
ENDED = frozenset({"closed", "refused"})
TAKE_SECONDS = 17.0
NOTED = "It is noted and will be done as soon as an engine runs; until then close at the broker."
REARM_NOTED = "It is noted: entries are allowed again as soon as an engine runs."
WORD_NOTED = "It is noted and will be taken as soon as an engine runs; until then nobody trades."
LIMITS_NOTED = "It is noted and holds as soon as an engine runs."
LASTING = {
    "close_run": NOTED, "halt": NOTED, "rearm": REARM_NOTED, "declare_order": WORD_NOTED, "take_over": WORD_NOTED,
    "set_limits": LIMITS_NOTED, "rearm_rule": LIMITS_NOTED,
}  # fmt: skip
LAPSES = "It lapses 15 s after it was given."


class CommandLineError(Exception):
    """Something the person at the console can mend; ``code`` is the exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def desk_of(options: argparse.Namespace) -> Desk:
    """Return the desk of whom the command acts for; the schema is brought up to date first."""
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


def account_ids(desk: Desk, names: str) -> list[int]:
    """Return the ids of accounts named with commas between them; raises CommandLineError for a name nobody has."""
    known = {account.name: account.id for account in desk.accounts()}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise CommandLineError(f"no account was named; there are {', '.join(known) or 'none'}")
    if missing := [name for name in wanted if name not in known]:
        raise CommandLineError(f"there is no account {missing[0]!r}; there are {', '.join(known) or 'none'}")
    return [known[name] for name in wanted]


def one_account(desk: Desk, name: str) -> int:
    """Return the id of the account of this name; raises CommandLineError for a name nobody has."""
    known = {account.name: account.id for account in desk.accounts()}
    if name not in known:
        raise CommandLineError(f"there is no account {name!r}; there are {', '.join(known) or 'none'}")
    return known[name]


def taken(desk: Desk, command: CommandView) -> CommandView:
    """Wait until the engine took the command; raises CommandLineError when it refused or was not there."""
    until = time.monotonic() + TAKE_SECONDS
    while time.monotonic() < until:
        command = desk.command(command.id)
        if command.state == "done":
            return command
        if command.state in {"refused", "too_late"}:
            raise CommandLineError(command.message, FAILED if command.state == "refused" else NOT_TAKEN)
        engine = desk.engine()
        if not engine.alive:
            raise CommandLineError(f"{engine.problem} {LASTING.get(command.kind, LAPSES)}", NOT_TAKEN)
        time.sleep(0.05)
    raise CommandLineError("the engine did not answer", NOT_TAKEN)


def show(options: argparse.Namespace, document: Any, lines: Sequence[str]) -> None:
    """Print a document as JSON where that was asked for, and the lines otherwise."""
    if options.json:
        print(json.dumps(document, default=_text, indent=2))
    else:
        print("\n".join(lines))


def say_error(options: argparse.Namespace, message: str, code: int) -> int:
    """Print what is wrong, and return the exit code."""
    if getattr(options, "json", False):
        print(json.dumps({"error": message, "code": code}))
    else:
        print(message, file=sys.stderr)
    return code


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
