"""The whole house in a temporary folder: a paper exchange, an engine process, a user with three accounts, a Desk.

    with House(tmp_path) as house:
        run = house.execute(house.straddle(max_loss=5_000))
        house.until_open(run)
        house.paper.shift("NIFTY", "NSE_INDEX", 3)
        house.until_closed(run)

What a test asserts on are the exchange's books (``house.books``), not what the engine says of itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from sqlmodel import col, select

from engine.desk import LIVE_FILE, Desk
from engine.services.drafts import LegDraft, LimitsDraft, StrategyDraft
from engine.services.identity import Caller
from engine.services.users import register
from engine.services.views import AccountDraft, CommandView, RunView
from engine.settings import Settings
from engine.store import tables
from engine.store.database import Database
from engine.store.live import LiveStore
from engine.store.vault import Vault
from tests.fresh_database import fresh_database
from tests.paper_server import ROOT, PaperServer, wait_until

PASSWORD = "Correct-Horse-9"
FAMILY = (("Asha", 1_500_000.0, "B"), ("Ravi", 700_000.0, "A"), ("Meera", 4_000_000.0, "C"))
CHEAP = 4
"""bcrypt's least work factor: nobody logs in at a house."""
LIVE_SECONDS = 0.1
"""Pause between two looks at the live view, which the engine writes once a second: reading it takes milliseconds."""
ENDED = {"closed", "refused"}


class House:
    """A paper exchange and an engine of one's own; both can be killed and started again."""

    def __init__(
        self,
        folder: Path,
        *,
        accounts: tuple[tuple[str, float, str], ...] = FAMILY,
        engine: bool = True,
        quiet_unanswered: float = 180.0,
        quiet_answered: float = 10.0,
        database_url: str | None = None,
        data_folder: Path | None = None,
        exchange: PaperServer | None = None,
        keys: str = "made-up-key",
        **paper: Any,
    ) -> None:
        """``exchange``: one that several houses share; then ``keys`` tells their accounts apart."""
        self.folder = folder
        self.paper = exchange or PaperServer(state=folder / "paper.db", **paper)
        self._own_exchange = exchange is None
        self._keys = keys
        self.settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            database_url=database_url or f"sqlite:///{folder}/house.db",
            data_folder=data_folder or folder,
            log_dir=folder / "logs",
            app_env="development",
        )
        self._environment = {
            "DATABASE_URL": self.settings.database_url,
            "DATA_DIR": str(data_folder or folder),
            "LOG_DIR": str(folder / "logs"),
            "QUIET_UNANSWERED_SECONDS": str(quiet_unanswered),
            "QUIET_ANSWERED_SECONDS": str(quiet_answered),
        }
        self.database = self.found()
        self.vault = Vault.open(self.settings)
        self.live = LiveStore(self.settings.data_dir / LIVE_FILE)
        self.user_id = 1
        self.desk = self.desk_of(Caller(self.user_id, "asha", tables.Role.ADMIN))
        self.keys: dict[str, str] = {}
        for name, funds, grade in accounts:
            self.add_account(name, funds, grade)
        self.processes: list[Engine] = []
        if engine:
            self.start_engine()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self.processes:
            engine.kill()
        if self._own_exchange:
            self.paper.stop()
        self.live.close()
        self.database.close()

    def found(self) -> Database:
        """Make the database and register its first person, the admin."""
        database = fresh_database(self.settings.database_url)
        register(database, username="asha", password=PASSWORD, address="127.0.0.1", now=datetime.now(UTC), cost=CHEAP)
        return database

    def desk_of(self, caller: Caller) -> Desk:
        return Desk(self.settings, self.database, self.live, self.vault, caller)

    def add_account(self, name: str, funds: float, grade: str = "B", **switches: str | bool) -> None:
        """Open an account at the exchange (``switches`` as ``PaperServer.add_account`` has them) and connect it."""
        key = f"{self._keys}-{name.lower()}".replace(" ", "-")
        self.paper.add_account(key, funds=funds, name=name, **switches)
        fresh = self.desk_of(self.desk.caller)  # with a quota of its own: there may be more accounts than it lets in
        fresh.add_account(
            AccountDraft(name=name, host=self.paper.url, ws_url=self.paper.ws_url, api_key=key, grade=grade)
        )
        self.keys[name] = key

    # ── engine ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def start_engine(self, *, wait: bool = True, options: tuple[str, ...] = ()) -> Engine:
        engine = Engine(self._environment, self.folder, options)
        self.processes.append(engine)
        if wait:
            engine.ready()
            self.until_armed()
        return engine

    @property
    def engine(self) -> Engine:
        return self.processes[-1]

    def until_armed(self, seconds: float = 15.0) -> None:
        def armed() -> list[bool]:
            live = self.desk.live()
            fresh = (datetime.now(UTC) - live.as_of).total_seconds() < 3
            return [account.armed and fresh for account in live.accounts]

        wait_until(
            armed, lambda flags: len(flags) == len(self.keys) and all(flags), seconds=seconds, every=LIVE_SECONDS
        )

    # ── strategies and runs ───────────────────────────────────────────────────────────────────────────────────────────

    def straddle(
        self,
        name: str = "Straddle",
        *,
        legs: list[LegDraft] | None = None,
        account_ids: list[int] | None = None,
        **limits: Any,
    ) -> int:
        """A short straddle on NIFTY (the second expiry: never today's), on all accounts unless some are named.

        Returns the strategy's id.
        """
        sold = [
            LegDraft(underlying="NIFTY", action="SELL", instrument_type=kind, expiry_choice="next_week")
            for kind in ("CE", "PE")
        ]
        draft = StrategyDraft(
            name=name,
            account_ids=account_ids or [account.id for account in self.desk.accounts()],
            legs=legs or sold,
            limits=LimitsDraft(**limits),
        )
        return self.desk.save_strategy(draft).id

    def execute(self, strategy_id: int, *, key: str | None = None, **options: Any) -> int:
        """Execute and return the run's id; fails if the engine refuses."""
        command = self.command(self.submit(strategy_id, key=key, **options))
        assert command.state == "done", command.message
        return int(command.outcome["run_id"])

    def submit(
        self,
        strategy_id: int,
        *,
        key: str | None = None,
        account_ids: list[int] | None = None,
        seen: list[int] | None = None,
        again: bool = False,
    ) -> CommandView:
        strategy = self.desk.strategy(strategy_id)
        shown = strategy.open_run_ids if seen is None else seen
        return self.desk.execute(strategy_id, strategy.version, account_ids, shown, key or uuid4().hex, again=again)

    def command(self, command: CommandView, seconds: float = 20.0) -> CommandView:
        return wait_until(
            lambda: self.desk.command(command.id), lambda view: view.state not in {"pending", "taken"}, seconds=seconds
        )

    def close(self, run_id: int) -> CommandView:
        return self.command(self.desk.close_run(run_id, None, uuid4().hex))

    def run(self, run_id: int) -> RunView | None:
        return next((run for run in self.desk.live().runs if run.id == run_id), None)

    def until(self, run_id: int, states: set[str], seconds: float = 20.0) -> RunView:
        found = wait_until(
            lambda: self.run(run_id),
            lambda run: run is not None and run.state in states,
            seconds=seconds,
            every=LIVE_SECONDS,
        )
        assert found is not None
        return found

    def until_open(self, run_id: int, seconds: float = 20.0) -> RunView:
        run = self.until(run_id, {"open", *ENDED}, seconds)
        assert run.state == "open", (run.state, run.reason, run.accounts)
        return run

    def until_closed(self, run_id: int, seconds: float = 30.0) -> RunView:
        return self.until(run_id, ENDED, seconds)

    # ── truth ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def books(self, name: str) -> dict[str, Any]:
        return self.paper.books(self.keys[name])

    def net(self, name: str) -> dict[str, int]:
        return {row["symbol"]: row["quantity"] for row in self.books(name)["positions"] if row["quantity"]}

    def realised_paise(self) -> int:
        return sum(int(self.books(name)["realised_paise"]) for name in self.keys)

    def orders(self, run_id: int) -> list[tables.Order]:
        with self.database.read() as session:
            return list(
                session.exec(
                    select(tables.Order).where(tables.Order.execution_id == run_id).order_by(col(tables.Order.id))
                )
            )

    def assert_clean(self, run_id: int) -> None:
        """Every account flat, each leg left once and never turned around, P equal to the exchange's to the paisa."""
        for name in self.keys:
            assert self.net(name) == {}, name
            for symbol, path in self.paths(name).items():
                sides = {quantity > 0 for quantity in path if quantity}
                assert len(sides) <= 1, f"{name} {symbol} crossed zero: {path}"
                assert [abs(q) for q in path] == rise_and_fall(path), f"{name} {symbol} was not left once: {path}"
        run = self.run(run_id)
        assert run is not None
        assert run.profit_paise == self.realised_paise()

    def paths(self, name: str) -> dict[str, list[int]]:
        """The position in each symbol after each trade."""
        paths: dict[str, list[int]] = {}
        for trade in sorted(self.books(name)["trades"], key=lambda row: row["at"]):
            path = paths.setdefault(trade["symbol"], [0])
            path.append(path[-1] + (1 if trade["action"] == "BUY" else -1) * trade["quantity"])
        return paths


class Engine:
    """One engine process."""

    def __init__(self, environment: dict[str, str], folder: Path, options: tuple[str, ...]) -> None:
        self.lines: list[str] = []
        self._ready = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine", "run", *options],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=(folder / "engine.err").open("a"),
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if "ready" in line:
                self._ready.set()

    def ready(self, seconds: float = 20.0) -> None:
        assert self._ready.wait(seconds), f"the engine did not start: {self.lines}"

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, seconds: float = 15.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def rise_and_fall(path: list[int]) -> list[int]:
    """The path's sizes if it only grows and then only shrinks to nothing; otherwise something else."""
    sizes = [abs(quantity) for quantity in path]
    top = sizes.index(max(sizes))
    return sorted(sizes[: top + 1]) + sorted(sizes[top + 1 :], reverse=True)
