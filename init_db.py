"""The database by hand: create or upgrade it, empty it, or fill it for a first look.

python init_db.py               create the database, or bring it to this release
python init_db.py reset         drop everything in it (asks first; --yes does not ask)
python init_db.py testdata      a demo user, three paper accounts of a family, two strategies (development only)
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from engine.runtime.supervisor import Supervisor, children_of
from engine.services import users
from engine.services.desk_live import LEASE_STALE_SECONDS, lease_age
from engine.services.errors import ConnectionFailed, ServiceError
from engine.services.identity import Caller
from engine.services.paper_family import start_with_paper_accounts
from engine.services.strategies import create_from_template, list_strategies
from engine.services.views import AccountView
from engine.settings import Settings, get_settings
from engine.store.database import Database, DatabaseUrlError
from engine.store.schema import SchemaError, SchemaState, reset, schema_state, upgrade
from engine.store.tables import EngineLease, Role, User
from engine.store.vault import Vault, VaultError

DEMO = "demo"
STRATEGIES = (("short_straddle", "Demo: short straddle"), ("iron_condor", "Demo: iron condor"))
PAPER_SECONDS = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command")
    emptying = commands.add_parser("reset", help="drop everything in the database")
    emptying.add_argument("--yes", action="store_true", help="do not ask")
    filling = commands.add_parser("testdata", help="a demo user, three paper accounts, two strategies")
    filling.add_argument("--password", help="password of the demo user; made up and printed when left out")
    options = parser.parse_args(arguments)
    settings = get_settings()
    try:
        database = Database(settings.database_url)
        match options.command:
            case "reset":
                return _reset(database, sure=options.yes)
            case "testdata":
                return _testdata(database, settings, options.password)
            case _:
                return _create(database, settings)
    except (DatabaseUrlError, SchemaError, VaultError, ServiceError) as error:
        return _refuse(str(error))
    except SQLAlchemyError as error:
        return _refuse(f"The database does not answer: {error.__cause__ or type(error).__name__}")


def _create(database: Database, settings: Settings) -> int:
    words = {
        SchemaState.MISSING: "created",
        SchemaState.OLDER: "brought to this release",
        SchemaState.CURRENT: "up to date",
    }
    found = upgrade(database)
    Vault.open(settings)
    print(f"{_shown(database)}: {words[found]}.")
    return 0


def _reset(database: Database, *, sure: bool) -> int:
    if _engine_alive(database):
        return _refuse("An engine is running on this database: stop the server first.")
    if not sure:
        if not sys.stdin.isatty():
            return _refuse("reset drops everything: say so with --yes.")
        print(f"This drops everything in {_shown(database)}: users, accounts, strategies, runs, the log.")
        if input("Type reset to go on: ").strip() != "reset":
            return _refuse("Nothing was changed.")
    reset(database)
    print(f"{_shown(database)}: emptied. The keys in its folder were kept.")
    return 0


def _testdata(database: Database, settings: Settings, password: str | None) -> int:
    if settings.app_env == "production":
        return _refuse("testdata is for development: APP_ENV=development python init_db.py testdata")
    upgrade(database)
    vault = Vault.open(settings)
    caller = _demo_user(database, password)
    accounts = _paper_family(database, vault, settings, caller)
    print("accounts: " + ", ".join(f"{account.name} ({account.relation})" for account in accounts))
    present = {strategy.name for strategy in list_strategies(database, caller)}
    for key, name in STRATEGIES:
        if name not in present:
            everyone = [account.id for account in accounts]
            create_from_template(database, caller, key=key, name=name, account_ids=everyone, now=datetime.now(UTC))
    print("strategies: " + ", ".join(name for _, name in STRATEGIES))
    return 0


def _demo_user(database: Database, password: str | None) -> Caller:
    """Return the demo user, made when missing: as the first user and admin, else as a trader."""
    with database.read() as session:
        user = session.exec(select(User).where(User.username == DEMO)).first()
        chief = session.exec(select(User).where(User.role == Role.ADMIN).order_by(col(User.id))).first()
    if user is None:
        chosen = password or f"Demo-{secrets.token_urlsafe(9)}-1"
        if chief is None:
            user = users.register(database, username=DEMO, password=chosen, now=datetime.now(UTC))
        else:
            user = users.add_user(database, _caller(chief), username=DEMO, password=chosen, now=datetime.now(UTC))
        print(f"user: {DEMO}, password: {chosen if password is None else 'as given'}")
    else:
        print(f"user: {DEMO}, as before, with its password")
    return _caller(user)


def _paper_family(database: Database, vault: Vault, settings: Settings, caller: Caller) -> list[AccountView]:
    """Open the family's accounts at the running paper exchange, or at one that runs just for this."""
    try:
        return start_with_paper_accounts(database, vault, settings, caller, now=datetime.now(UTC))
    except ConnectionFailed:
        paper = [
            child for child in children_of(settings.model_copy(update={"engine": "external"})) if not child.blocked()
        ]
        if not paper:
            raise
    supervisor = Supervisor(settings, paper)
    supervisor.start()
    deadline = time.monotonic() + PAPER_SECONDS
    try:
        while True:
            try:
                return start_with_paper_accounts(database, vault, settings, caller, now=datetime.now(UTC))
            except ConnectionFailed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
    finally:
        supervisor.stop()


def _engine_alive(database: Database) -> bool:
    if schema_state(database) is not SchemaState.CURRENT:
        return False
    with database.read() as session:
        lease = session.get(EngineLease, 1)
    if lease is None or lease.stopped_note:
        return False
    return lease_age(lease, datetime.now(UTC)) <= LEASE_STALE_SECONDS


def _caller(user: User) -> Caller:
    assert user.id is not None
    return Caller(user_id=user.id, username=user.username, role=Role(user.role))


def _shown(database: Database) -> str:
    return str(database.path) if database.path is not None else database.url.render_as_string(hide_password=True)


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
