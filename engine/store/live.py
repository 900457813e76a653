"""The live view: figures that move, one row a user, in a second SQLite file that never waits for a disk.

Losing it costs nothing: the engine writes it anew within a second.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path


class LiveStore:
    """Rows of (user, JSON); written by the engine once a second, read by pages."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
        self._lock = threading.Lock()
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS live_view (user_id INTEGER PRIMARY KEY, body TEXT NOT NULL)"
        )

    def write(self, rows: dict[int, str]) -> None:
        """Replace the rows of the given users."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(
                    "INSERT INTO live_view (user_id, body) VALUES (?, ?)"
                    " ON CONFLICT(user_id) DO UPDATE SET body = excluded.body",
                    list(rows.items()),
                )
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def read(self, user_id: int) -> str | None:
        """Return the newest row of the user, None before the first."""
        with self._lock:
            row = self._connection.execute("SELECT body FROM live_view WHERE user_id = ?", (user_id,)).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
