"""Who trades: one file lock (or advisory lock) and one row, so that two engines never do (DESIGN 1).

The lock ends with its process, whatever kills it. The row carries a token that rises with each takeover; every
commit of the core checks it, and no order leaves later than 3 s after the last renewal. A holder that hangs while it
still has the lock is killed, after its process start is compared, so that no stranger with a recycled pid is hit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from sqlalchemy import text

from engine import __version__
from engine.runtime.clock import boot_id, boot_seconds, process_start
from engine.store.database import Database
from engine.store.tables import EngineLease

STALE_SECONDS = 5.0
_ADVISORY_KEY = 0x416C676F  # one number of this product on PostgreSQL


class LeaseHeldError(RuntimeError):
    """Another live engine holds the lease; the message names it."""


class _Lock(Protocol):
    def try_take(self) -> bool: ...

    def give_back(self) -> None: ...


class _FileLock:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path)

    def try_take(self) -> bool:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def give_back(self) -> None:
        self._lock.release()


class _AdvisoryLock:
    def __init__(self, database: Database) -> None:
        self._connection: Any = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def try_take(self) -> bool:
        taken = self._connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_KEY}).scalar_one()
        return bool(taken)

    def give_back(self) -> None:
        self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_KEY})
        self._connection.close()


class Lease:
    """The lease of this process. ``take`` or fail; ``token`` is what commits carry.

    ``last_pass_before``: when an engine last watched before this one, None if none ever did.
    """

    def __init__(self, database: Database, data_dir: Path) -> None:
        self._database = database
        self._lock: _Lock = _FileLock(data_dir / "engine.lock") if database.is_sqlite else _AdvisoryLock(database)
        self.token = 0
        self.last_pass_before: datetime | None = None

    def take(self, *, wait_seconds: float = 0.0) -> int:
        """Take the lease and return its token; raises LeaseHeldError if a live engine still has it after the wait."""
        until = time.monotonic() + wait_seconds
        while not self._lock.try_take():
            self._end_hung_holder()
            if time.monotonic() >= until:
                # the lock of a killed holder is free only once the system has reaped it
                if self._retake_briefly():
                    break
                raise LeaseHeldError(self._who())
            time.sleep(0.1)
        with self._database.write() as session:
            row = session.get(EngineLease, 1)
            now = datetime.now(UTC)
            if row is None:
                row = EngineLease(id=1, renewed_at=now, last_pass_at=now)
            else:
                self.last_pass_before = row.last_pass_at
            row.token += 1
            row.holder = f"{socket.gethostname()}:{os.getpid()}"
            row.host, row.boot_id, row.pid = socket.gethostname(), boot_id(), os.getpid()
            row.process_start = process_start(os.getpid()) or 0.0
            row.renewed_boot, row.renewed_at, row.last_pass_at = boot_seconds(), now, now
            row.stopped_note, row.version = "", __version__
            session.add(row)
            self.token = row.token
        return self.token

    def release(self, note: str) -> None:
        """Leave a word on how the engine ended and give the lock back."""
        with contextlib.suppress(Exception), self._database.write() as session:  # the lock must be given back anyhow
            row = session.get(EngineLease, 1)
            if row is not None and row.token == self.token:
                row.stopped_note = note
                row.pid = 0
                session.add(row)
        self._lock.give_back()

    def _retake_briefly(self) -> bool:
        for _ in range(10):
            if self._lock.try_take():
                return True
            if not self._ended_one:
                return False
            time.sleep(0.1)
        return False

    _ended_one = False

    def _end_hung_holder(self) -> None:
        with self._database.read() as session:
            row = session.get(EngineLease, 1)
        if row is None or row.pid in {0, os.getpid()} or row.boot_id != boot_id() or row.host != socket.gethostname():
            return
        if boot_seconds() - row.renewed_boot <= STALE_SECONDS or process_start(row.pid) != row.process_start:
            return
        self._ended_one = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(row.pid, signal.SIGKILL)

    def _who(self) -> str:
        with self._database.read() as session:
            row = session.get(EngineLease, 1)
        holder = row.holder if row is not None else "an engine that has just started"
        return f"another engine holds the lease: {holder}"
