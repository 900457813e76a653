"""A database as the migrations make it, for hundreds of tests: SQLite's is migrated once a process, then copied."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from engine.store.database import Database
from engine.store.schema import upgrade


def fresh_database(url: str) -> Database:
    """Make an empty database and open it; nothing may be there yet."""
    database = Database(url)
    if database.path is None:
        upgrade(database)
    else:
        database.path.write_bytes(_migrated())
    return database


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        made = Database(f"sqlite:///{folder}/empty.db")
        upgrade(made)
        made.close()
        return (Path(folder) / "empty.db").read_bytes()
