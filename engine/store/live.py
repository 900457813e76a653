"""The live view: figures that move, one row a user, in a second SQLite file that never waits for a disk.

Losing it costs nothing: the engine writes all of it anew within a second.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Mapping
from pathlib import Path

SERIES_KEPT_SECONDS = 86_400
"""Series that nobody wrote for this long are those of runs that ended: they are thrown away."""

_TABLES = (
    "CREATE TABLE IF NOT EXISTS live_view (user_id INTEGER PRIMARY KEY, body TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS live_series (
        user_id INTEGER NOT NULL, run_id INTEGER NOT NULL, written_at REAL NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (user_id, run_id))""",
)


class LiveStore:
    """Rows of (user, JSON), and series of (user, run, JSON); written by the engine once a second, read by pages.

    A damaged file (it is never synced) is thrown away by the writer and made anew; a reader sees no row meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._lock = threading.Lock()

    def write(self, rows: dict[int, str], series: Mapping[tuple[int, int], str] | None = None) -> None:
        """Replace the rows of the given users and the ``series`` of the given (user, run).

        Raises sqlite3.OperationalError while another process holds the file.
        """
        with self._lock:
            try:
                self._write(rows, series or {})
            except sqlite3.OperationalError:
                self._drop()
                raise
            except sqlite3.DatabaseError:
                self._drop()
                for suffix in ("", "-wal", "-shm"):
                    Path(f"{self._path}{suffix}").unlink(missing_ok=True)
                self._write(rows, series or {})

    def read(self, user_id: int) -> str | None:
        """Return the newest row of the user, None before the first and while the file cannot be read."""
        return self._read("SELECT body FROM live_view WHERE user_id = ?", (user_id,))

    def read_series(self, user_id: int, run_id: int) -> str | None:
        """Return the newest series of a run of the user, None where there is none and while the file cannot be read."""
        return self._read("SELECT body FROM live_series WHERE user_id = ? AND run_id = ?", (user_id, run_id))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._drop()

    def _read(self, query: str, asked: tuple[int, ...]) -> str | None:
        with self._lock:
            try:
                row = self._connected().execute(query, asked).fetchone()
            except (sqlite3.DatabaseError, OSError):
                self._drop()
                return None
        return None if row is None else str(row[0])

    def _write(self, rows: dict[int, str], series: Mapping[tuple[int, int], str]) -> None:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(
                "INSERT INTO live_view (user_id, body) VALUES (?, ?)"
                " ON CONFLICT(user_id) DO UPDATE SET body = excluded.body",
                list(rows.items()),
            )
            if series:
                now = time.time()
                connection.executemany(
                    "INSERT INTO live_series (user_id, run_id, written_at, body) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT(user_id, run_id)"
                    " DO UPDATE SET written_at = excluded.written_at, body = excluded.body",
                    [(user_id, run_id, now, body) for (user_id, run_id), body in series.items()],
                )
                connection.execute("DELETE FROM live_series WHERE written_at < ?", (now - SERIES_KEPT_SECONDS,))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _connected(self) -> sqlite3.Connection:
        """Return the connection to the file that lies there now, not to one that was thrown away."""
        with contextlib.suppress(FileNotFoundError):
            if self._connection is not None and self._path.stat().st_ino == self._inode:
                return self._connection
        self._drop()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=2.0)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
            for table in _TABLES:
                connection.execute(table)
        except BaseException:
            connection.close()
            raise
        self._connection, self._inode = connection, self._path.stat().st_ino
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
