"""Ears of the engine: commands in the database, the lifeline of the server that started it, signals of the system."""

from __future__ import annotations

import logging
import os
import signal
import threading
from datetime import UTC

from sqlalchemy import text
from sqlmodel import col, select

from engine.runtime.clock import ahead_of_the_machine
from engine.runtime.inbox import Inbox
from engine.services.messages import CommandArrived, StopAsked
from engine.store.database import Database
from engine.store.tables import Command, CommandState

_log = logging.getLogger(__name__)
LOOK_SECONDS = 0.05
LOOK_ANYHOW_SECONDS = 2.0


class CommandWatch:
    """Looks for pending commands whenever the database changed: SQLite says so for the price of one pragma."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        self._database = database
        self._inbox = inbox
        self._given: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join(timeout=2)

    def look(self) -> None:
        """Hand over every pending command not handed over before."""
        with self._database.read() as session:
            rows = session.exec(
                select(Command).where(Command.state == CommandState.PENDING).order_by(col(Command.id))
            ).all()
        for row in rows:
            if row.id is None or row.id in self._given:
                continue
            self._given.add(row.id)
            self._inbox.put(
                CommandArrived(
                    row.id,
                    row.user_id,
                    row.kind,
                    row.payload,
                    row.created_at.astimezone(UTC),
                    # the page counts by the machine's clock
                    None if row.valid_until is None else row.valid_until.astimezone(UTC) + ahead_of_the_machine(),
                )
            )

    def _run(self) -> None:
        seen: object = None
        since = 0.0
        connection = self._database.engine.connect() if self._database.is_sqlite else None
        while not self._stop.wait(LOOK_SECONDS):
            since += LOOK_SECONDS
            try:
                if connection is not None:
                    version = connection.execute(text("PRAGMA data_version")).scalar_one()
                    connection.rollback()
                    if version == seen and since < LOOK_ANYHOW_SECONDS:
                        continue
                    seen = version
                since = 0.0
                self.look()
            except Exception:  # noqa: BLE001 - the edge of this thread: it looks again
                _log.exception("looking for commands failed")


def watch_lifeline(descriptor: int, inbox: Inbox) -> None:
    """Ask the core to stop when the pipe closes: the server that started this engine is gone."""

    def wait() -> None:
        while True:
            try:
                if not os.read(descriptor, 1):
                    break
            except InterruptedError:
                continue
            except OSError:
                break
        inbox.put(StopAsked("the server that started it has stopped"))

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def watch_signals(inbox: Inbox) -> None:
    """Ask the core to stop on SIGTERM and SIGINT."""

    def asked(number: int, _frame: object) -> None:
        # not from the handler itself: it may run while the inbox is locked by this very thread
        reason = signal.Signals(number).name
        threading.Thread(target=inbox.put, args=(StopAsked(reason),), daemon=True).start()

    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGINT, asked)
