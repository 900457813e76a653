"""The schema of the database: which revision it has, and the one way to bring it up to date.

Two processes that start at once migrate once: a file lock beside the SQLite file, an advisory lock on PostgreSQL.
Alembic is loaded only to migrate: a database that is up to date, as at nearly every start, is recognised without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from sqlalchemy import Connection, MetaData, inspect, text
from sqlmodel import SQLModel

import engine.store.tables  # noqa: F401  registers every table with the metadata
from engine.store.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

LOCK_SECONDS = 60.0
ADVISORY_LOCK = 0x416C676F4D  # any number that no other program on the server uses
_SCRIPTS = Path(__file__).parent / "migrations"


class SchemaState(StrEnum):
    """How the database compares with this release: only ``current`` may be worked with."""

    CURRENT = "current"
    MISSING = "missing"
    OLDER = "older"
    NEWER = "newer"


class SchemaError(RuntimeError):
    """The database cannot be brought to the schema of this release; the message says what to do."""


def schema_state(database: Database) -> SchemaState:
    """Return how the schema on disk compares with this release; writes nothing."""
    with database.engine.connect() as connection:
        return _state_of(_revision(connection))


def upgrade(database: Database) -> SchemaState:
    """Bring the schema up to date, once however many processes ask; return the state found before.

    A step that fails leaves the database as it was. Raises SchemaError when the database is newer than this release, or
    when another process holds the migration lock for longer than a minute.
    """
    if schema_state(database) is SchemaState.CURRENT:
        return SchemaState.CURRENT
    with _file_lock(database), database.engine.execution_options(writes=True).connect() as connection:
        if database.is_sqlite:
            # Batch mode rebuilds tables; with the keys on, dropping the old one would delete what refers to it. The
            # pragma does nothing inside a transaction, so it goes past SQLAlchemy, which would begin one.
            _foreign_keys(connection, on=False)
        try:
            with connection.begin():
                found = _migrate(connection)
        finally:
            if database.is_sqlite:
                _foreign_keys(connection, on=True)
    return found


def reset(database: Database) -> None:
    """Drop every table with all that is in it, then build the schema anew; there is no way back."""
    with _file_lock(database), database.engine.execution_options(writes=True).connect() as connection:
        if database.is_sqlite:
            _foreign_keys(connection, on=False)
        try:
            with connection.begin():
                present = MetaData()
                present.reflect(connection)  # as it is, also when another release made it
                present.drop_all(connection)
                if not database.is_sqlite:
                    SQLModel.metadata.drop_all(connection)  # the types of columns that outlive their tables
        finally:
            if database.is_sqlite:
                _foreign_keys(connection, on=True)
    upgrade(database)


def _migrate(connection: Connection) -> SchemaState:
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    found = _state_of(_revision(connection))
    if found is SchemaState.CURRENT:
        return found
    if found is SchemaState.NEWER:
        raise SchemaError(
            "The database was written by a newer release of AlgoMirror: update the program, or restore a backup."
        )
    from alembic import command  # noqa: PLC0415 - see above

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if sqlite and (broken := connection.execute(text("PRAGMA foreign_key_check")).first()) is not None:
        raise SchemaError(
            f"Migrating would leave a row of table {broken[0]!r} without the row it refers to; nothing was changed."
        )
    return found


def alembic_config() -> Config:
    """Return Alembic's configuration: its scripts travel inside the package, there is no ini file."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    """Return the revision that the database says it has; asked by every look at /healthz, so without Alembic's log."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _state_of(revision: str | None) -> SchemaState:
    if revision is None:
        return SchemaState.MISSING
    if revision not in revisions():
        return SchemaState.NEWER
    return SchemaState.CURRENT if revision == revisions()[-1] else SchemaState.OLDER


@cache
def revisions() -> tuple[str, ...]:
    """Return the revisions of this release, oldest first: each file is named after its own, ``r0001_tables.py``."""
    return tuple(sorted(file.name[1:5] for file in (_SCRIPTS / "versions").glob("r[0-9]*.py")))


@contextmanager
def _file_lock(database: Database) -> Iterator[None]:
    if database.path is None:
        yield
        return
    path = database.path.with_name(database.path.name + ".migrate.lock")
    try:
        with FileLock(path, timeout=LOCK_SECONDS):
            yield
    except Timeout as error:
        raise SchemaError(
            f"Another process has been migrating for {LOCK_SECONDS:.0f} s: it holds {path.name}."
        ) from error


def _foreign_keys(connection: Connection, *, on: bool) -> None:
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA foreign_keys={'ON' if on else 'OFF'}")
    cursor.close()
