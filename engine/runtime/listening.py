"""Ears of the engine: commands in the database, the lifeline of the server that started it, signals of the system."""

from __future__ import annotations

import json
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
from engine.store.tables import Command, CommandState, User

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
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def look(self) -> None:
        """Hand over every pending command not handed over before."""
        pending = select(Command.id).where(Command.state == CommandState.PENDING).order_by(col(Command.id))
        with self._database.read() as session:
            ids = [one for one in session.exec(pending).all() if one is not None and one not in self._given]
        for command_id in ids:
            self._given.add(command_id)
            try:
                self._inbox.put(self._read(command_id))
            except (TypeError, ValueError, LookupError) as error:
                self._refuse(command_id, error)

    def _read(self, command_id: int) -> CommandArrived:
        with self._database.read() as session:
            row = session.get_one(Command, command_id)
            user = session.get(User, row.user_id)
        # the page counts by the machine's clock
        until = None if row.valid_until is None else row.valid_until.astimezone(UTC) + ahead_of_the_machine()
        name = user.username if user is not None else ""
        role = str(user.role) if user is not None and user.active else ""
        return CommandArrived(
            command_id, row.user_id, row.kind, row.payload, row.created_at.astimezone(UTC), until, name, role
        )

    def _refuse(self, command_id: int, error: Exception) -> None:
        """Refuse a row that cannot be read: it must not hold up the ones behind it."""
        _log.error("command %s cannot be read and is refused: %s", command_id, error)
        outcome = json.dumps({"message": "The command cannot be read; nothing was done."})
        statement = text("UPDATE command SET state = 'refused', outcome = :outcome, valid_until = NULL WHERE id = :id")
        with self._database.write() as session:
            session.execute(statement, {"outcome": outcome, "id": command_id})

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
