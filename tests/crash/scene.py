"""A house on an exchange that many houses share, with engines from the nursery and everything read from tables."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from engine.services.drafts import LegDraft
from engine.store.database import Database
from tests.crash.nursery import Forked, Nursery
from tests.house import ENDED, House
from tests.paper_server import PaperServer

QUIET_UNANSWERED = 2.0
"""Seconds instead of 180: this exchange is known to drop a request whose client is gone before it was read."""
QUIET_ANSWERED = 1.0
HEDGED = (
    LegDraft(
        underlying="NIFTY", action="BUY", instrument_type="CE", expiry_choice="next_week",
        strike_kind="otm", strike_value=6,
    ),
    LegDraft(underlying="NIFTY", action="SELL", instrument_type="CE", expiry_choice="next_week"),
    LegDraft(underlying="NIFTY", action="SELL", instrument_type="PE", expiry_choice="next_week"),
)  # fmt: skip
"""A sold straddle whose call is hedged: the bought leg goes first in, the sold ones first out."""
WAITING = (
    *HEDGED[:2],
    LegDraft(
        underlying="NIFTY", action="SELL", instrument_type="PE", expiry_choice="next_week",
        price_type="LIMIT", limit_offset=25.0,
    ),
)  # fmt: skip
"""The same with a sold put that asks for more than anybody gives: it rests until its time is out."""


def prepared_database(folder: Path) -> Path:
    """Return a database with schema and person, to be copied: making one costs half a second."""
    with _Founder(folder, exchange=_NOBODY, accounts=(), engine=False) as house:
        house.database.close()
    with sqlite3.connect(folder / "house.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return folder / "house.db"


class _Founder(House):
    def __exit__(self, *_: object) -> None:
        self.live.close()
        self.database.close()


_NOBODY: Any = object()


class Scene(House):
    """``start_engine`` forks; ``doom``, ``record`` and ``broken`` go to the forked engine."""

    def __init__(
        self,
        folder: Path,
        *,
        exchange: PaperServer,
        nursery: Nursery,
        prepared: Path,
        accounts: tuple[tuple[str, float, str], ...],
    ) -> None:
        self._nursery = nursery
        self._prepared = prepared
        super().__init__(
            folder,
            accounts=accounts,
            engine=False,
            quiet_unanswered=QUIET_UNANSWERED,
            quiet_answered=QUIET_ANSWERED,
            exchange=exchange,
            keys=f"made-up-key-{uuid4().hex[:12]}",
        )
        self.forked: list[Forked] = []

    def __exit__(self, *details: object) -> None:
        for engine in self.forked:
            engine.kill()
        super().__exit__(*details)

    def found(self) -> Database:
        shutil.copy(self._prepared, self.folder / "house.db")
        return Database(self.settings.database_url)

    def fork(self, *options: str, **how: Any) -> Forked:
        """Fork an engine; it need not have started yet."""
        engine = self._nursery.start(self._environment, self.folder, options, **how)
        self.forked.append(engine)
        return engine

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Read the house's database."""
        database = sqlite3.connect(self.folder / "house.db", timeout=10)
        try:
            return database.execute(query, values).fetchall()
        finally:
            database.close()

    def run_state(self) -> str:
        """The state of the only run, empty before there is one."""
        rows = self.rows("SELECT state FROM strategy_execution")
        return str(rows[0][0]) if rows else ""

    def until_state(self, wanted: set[str], seconds: float, *, unless: Callable[[], bool] = bool) -> str:
        """Wait for a state of the run; ``unless`` ends the waiting as well."""
        self.wait(lambda: self.run_state() in wanted or unless(), seconds, lambda: f"run is {self.run_state()!r}")
        return self.run_state()

    def wait(self, reached: Callable[[], bool], seconds: float, describe: Callable[[], str] = str) -> None:
        """Look ten times a second, no more: many scenes share the machine."""
        until = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < until, f"not reached within {seconds} s: {describe()}"
            time.sleep(0.1)

    def closing(self) -> bool:
        """Whether an exit of the whole run is under way, or was."""
        return bool(self.rows("SELECT 1 FROM exit_plan WHERE account_ids = '[]'"))

    def watchdogs_fired(self) -> int:
        """How often an engine's watchdog ended it: no pass was finished in time."""
        log = self.folder / "engine.err"
        return log.read_text(errors="replace").count("Timeout (0:00:0") if log.exists() else 0

    def commands(self, kind: str) -> list[str]:
        return [str(state) for (state,) in self.rows("SELECT state FROM command WHERE kind = ?", kind)]

    @property
    def ended(self) -> bool:
        return self.run_state() in ENDED
