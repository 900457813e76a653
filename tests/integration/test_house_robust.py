"""The house under mistreatment: damaged files, unreadable rows, senseless limits, moved strikes, gaps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from sqlalchemy import text

from engine.runtime.supervisor import FROZEN_SECONDS, LIFELINE, Child, Supervisor
from engine.store import tables
from tests.house import House
from tests.paper_server import ROOT, wait_until


def test_contracts_other_than_previewed_are_not_sent(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        strategy = house.straddle()
        view = house.desk.strategy(strategy)
        shown = ["NIFTY01DEC2620000CE", "NIFTY01DEC2620000PE"]
        command = house.desk.execute(strategy, view.version, None, [], "a-key", contracts=shown)
        run = int(house.command(command).outcome["run_id"])
        refused = house.until(run, {"open", "refused"})
        assert refused.state == "refused"
        assert "the preview showed NIFTY01DEC2620000CE" in refused.reason
        assert all(house.books(name)["orders"] == [] for name in house.keys)


def test_contracts_as_previewed_are_sent(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        strategy = house.straddle()
        preview = house.command(house.desk.request_preview(strategy)).outcome["preview"]
        shown = [leg["symbol"] for leg in preview["legs"]]
        version = house.desk.strategy(strategy).version
        command = house.desk.execute(strategy, version, None, [], "a-key", contracts=shown)
        opened = house.until_open(int(house.command(command).outcome["run_id"]))
        assert sorted({position.symbol for position in opened.positions}) == sorted(shown)
        planned = {row["account"]: row["orders"] for row in preview["accounts"]}
        for name in house.keys:
            sent = sorted((order["symbol"], order["quantity"]) for order in house.books(name)["orders"])
            assert sent == sorted((order["symbol"], order["quantity"]) for order in planned[name])


def test_senseless_rule_in_the_database_leaves_the_others_watching(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        strategy = house.straddle(max_loss=20_000.0)
        with house.database.write() as session:  # older versions may have stored what is refused today
            version = session.get_one(tables.StrategyVersion, 1)
            version.limits = version.limits | {"trailing_kind": "points", "trailing_value": 9e15, "max_profit": 1e308}
            session.add(version)
        run = house.execute(strategy)
        house.until_open(run)
        wait_until(lambda: [e.kind for e in house.desk.risk_events()], lambda kinds: "engine_fault" in kinds)
        house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
        assert house.until_closed(run).exit_reason == "max_loss"
        house.assert_clean(run)


def test_damaged_live_view_is_made_anew(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle())
        house.until_open(run)
        house.engine.kill()
        for suffix in ("-wal", "-shm"):
            Path(f"{tmp_path}/live.db{suffix}").unlink(missing_ok=True)
        (tmp_path / "live.db").write_bytes(os.urandom(8192))
        house.start_engine()
        house.until_open(run)
        house.close(run)
        house.until_closed(run)


def test_unreadable_command_row_is_refused_and_the_next_one_taken(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        with house.database.write() as session:
            session.execute(
                text(
                    "INSERT INTO command (user_id, kind, payload, idempotency_key, created_at, state, outcome) VALUES"
                    " (1, 'rearm', '{not json', 'k', '2026-11-22 15:00:00.000000', 'pending', '{}')"
                )
            )
        run = house.execute(house.straddle())
        house.until_open(run)
        with house.database.read() as session:
            state = session.execute(text("SELECT state FROM command WHERE idempotency_key = 'k'")).scalar_one()
        assert state == "refused"


def test_time_without_an_engine_is_told(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle())
        house.until_open(run)
        house.engine.kill()
        with house.database.write() as session:
            session.execute(text("UPDATE engine_lease SET last_pass_at = '2026-11-20 10:00:00.000000'"))
        house.start_engine()
        event = wait_until(lambda: [e for e in house.desk.risk_events() if e.kind == "blind"])[0]
        assert "nobody watched 1 open run" in event.message
        assert event.knew["runs"] == [run]


def test_halt_without_an_engine_is_noted_and_done_by_the_next(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle())
        house.until_open(run)
        house.engine.stop()
        environment = {**os.environ, "DATABASE_URL": house.settings.database_url, "DATA_DIR": str(tmp_path)}
        asked = subprocess.run(
            [sys.executable, "-m", "engine", "halt", "--json"],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert asked.returncode == 4
        assert "It is noted and will be done as soon as an engine runs" in json.loads(asked.stdout)["error"]
        house.start_engine(wait=False).ready()
        house.until_closed(run)
        house.assert_clean(run)


def test_child_that_the_system_holds_stopped_is_replaced(tmp_path: Path) -> None:
    sleeper = "import os, sys; fd = int(sys.argv[1]); os.read(fd, 1)"
    child = Child(name="sleeper", command=[sys.executable, "-c", sleeper, LIFELINE])
    with House(tmp_path, accounts=(), engine=False) as house:
        supervisor = Supervisor(house.settings, [child])
        supervisor.start()
        first = wait_until(lambda: supervisor.pids()["sleeper"])
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        wait_until(
            lambda: supervisor.pids()["sleeper"], lambda pid: pid not in {None, first}, seconds=FROZEN_SECONDS + 10
        )
        supervisor.stop()
