"""The live view: figures that move, one row a user, in a second SQLite file that never waits for a disk.

Losing it costs nothing: the engine writes all of it anew within a second.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path


class LiveStore:
    """Rows of (user, JSON); written by the engine once a second, read by pages.

    A damaged file (it is never synced) is thrown away by the writer and made anew; a reader sees no row meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._lock = threading.Lock()

    def write(self, rows: dict[int, str]) -> None:
        """Replace the rows of the given users. Raises sqlite3.OperationalError while another process holds the file."""
        with self._lock:
            try:
                self._write(rows)
            except sqlite3.OperationalError:
                self._drop()
                raise
            except sqlite3.DatabaseError:
                self._drop()
                for suffix in ("", "-wal", "-shm"):
                    Path(f"{self._path}{suffix}").unlink(missing_ok=True)
                self._write(rows)

    def read(self, user_id: int) -> str | None:
        """Return the newest row of the user, None before the first and while the file cannot be read."""
        with self._lock:
            try:
                query = "SELECT body FROM live_view WHERE user_id = ?"
                row = self._connected().execute(query, (user_id,)).fetchone()
            except (sqlite3.DatabaseError, OSError):
                self._drop()
                return None
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._drop()

    def _write(self, rows: dict[int, str]) -> None:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(
                "INSERT INTO live_view (user_id, body) VALUES (?, ?)"
                " ON CONFLICT(user_id) DO UPDATE SET body = excluded.body",
                list(rows.items()),
            )
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
            connection.execute("CREATE TABLE IF NOT EXISTS live_view (user_id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
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
