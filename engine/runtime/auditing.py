"""The thread that chains events and activity within about a second; trading never waits for it (DESIGN 4)."""

from __future__ import annotations

import logging
import threading
import time

from engine.runtime.clock import steady_now
from engine.services.audit import BATCH, extend, head
from engine.store.database import Database

_log = logging.getLogger(__name__)
CHAIN_SECONDS = 1.0
BACKLOG_PAUSE_SECONDS = 0.1
"""Between two full batches of a backlog: every commit of the core waits for a batch that is being written."""
TRY_AGAIN_SECONDS = 5.0
NOTE_SECONDS = 3600.0
"""How often the head goes to the log: a copy of it outside the database shows a chain that was cut at its end."""


class AuditThread:
    """Chains what is new, once a second, until stopped."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit chain", daemon=True)

    def start(self) -> None:
        """Start chaining."""
        self._thread.start()

    def stop(self) -> None:
        """Chain what is left and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        noted = float("-inf")
        while True:
            ending = self._stop.is_set()
            pause = CHAIN_SECONDS
            try:
                while extend(self._database, now=steady_now()) == BATCH:
                    if self._stop.wait(BACKLOG_PAUSE_SECONDS):
                        break  # the next engine goes on with a backlog
                if time.monotonic() - noted >= NOTE_SECONDS:
                    noted = time.monotonic()
                    _log.info("audit chain: %s links, head %s", *head(self._database))
            except Exception:  # noqa: BLE001 - the edge of this thread: what could not be chained is chained later
                _log.exception("events and activity could not be chained")
                pause = TRY_AGAIN_SECONDS
            if ending:
                return
            self._stop.wait(pause)
