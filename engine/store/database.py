"""Connections to the one database: short writing transactions, reads that never block them.

SQLite runs in WAL with synchronous=FULL and foreign keys; every writing transaction begins IMMEDIATE, because one that
reads first and writes later fails at once in spite of its time-out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlmodel import Session

BUSY_TIMEOUT_MS = 5_000


class DatabaseUrlError(ValueError):
    """The database URL cannot be used; the message names the reason."""


class Database:
    """One database: ``with database.write() as session`` commits at the end, ``database.read()`` never writes."""

    def __init__(self, url: str, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if not self.is_sqlite and self.url.get_backend_name() != "postgresql":
            raise DatabaseUrlError(
                f"DATABASE_URL: {self.url.get_backend_name()!r} is not supported; sqlite or postgresql"
            )
        self.path: Path | None = None
        if self.is_sqlite:
            if not self.url.database or self.url.database == ":memory:":
                raise DatabaseUrlError("DATABASE_URL: the engine and the pages share the database, it must be a file")
            self.path = Path(self.url.database).resolve()
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.engine = create_engine(self.url, connect_args={"timeout": busy_timeout_ms / 1000})
            _prepare_sqlite(self.engine, busy_timeout_ms)
        else:
            plain = self.url.drivername == "postgresql"
            address = self.url.set(drivername="postgresql+psycopg") if plain else self.url
            self.engine = create_engine(address, pool_pre_ping=True)
        self._writer = self.engine.execution_options(writes=True)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Return a session in one writing transaction: committed when the block ends, rolled back when it raises."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Return a session for reading; what it loads stays usable after the block."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()


def _prepare_sqlite(engine: Engine, busy_timeout_ms: int) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not open transactions of its own
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={busy_timeout_ms}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def private_file(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read; an existing one is left as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
