"""kill -9 of the engine at the worst moments, with an exchange that outlives it: it comes back and exits once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import House
from tests.paper_server import ROOT, wait_until

QUIET = 4.0
"""Seconds instead of 180: this exchange is known to drop a request whose client is gone before it was read."""


def orders_at_exchange(house: House) -> int:
    return sum(len(house.books(name)["orders"]) for name in house.keys)


@pytest.mark.parametrize("after", [1, 4])
def test_killed_during_entry_it_knows_what_it_owns_and_exits_it_once(tmp_path: Path, after: int) -> None:
    with House(tmp_path, quiet_unanswered=QUIET) as house:
        house.paper.fault("delay", "placeorder", seconds=0.15, count=50)
        command = house.submit(house.straddle())
        run = int(house.command(command).outcome["run_id"])
        wait_until(lambda: orders_at_exchange(house), lambda count: count >= after, seconds=15)
        house.engine.kill()
        sent = orders_at_exchange(house)
        house.start_engine()
        state = house.until(run, {"open", "closed", "refused"}, 30)
        assert orders_at_exchange(house) <= max(sent, 6)
        if state.state == "open":
            for name in house.keys:
                held = {p.symbol: p.quantity for p in state.positions if p.account == name and p.quantity}
                assert held == house.net(name), name
            house.close(run)
            house.until_closed(run)
        house.assert_clean(run)


def test_killed_while_the_run_is_open_it_still_exits_on_max_loss(tmp_path: Path) -> None:
    with House(tmp_path, quiet_unanswered=QUIET) as house:
        run = house.execute(house.straddle(max_loss=20_000.0))
        house.until_open(run)
        house.engine.kill()
        house.paper.shift("NIFTY", "NSE_INDEX", 2.0)  # the limit is breached while nobody watches
        house.start_engine()
        house.until_closed(run)
        house.assert_clean(run)
        assert house.run(run).exit_reason == "max_loss"  # type: ignore[union-attr]


@pytest.mark.parametrize("after", [0, 3])
def test_killed_during_the_exit_it_goes_on_and_buys_back_each_leg_once(tmp_path: Path, after: int) -> None:
    with House(tmp_path, quiet_unanswered=QUIET) as house:
        run = house.execute(house.straddle())
        house.until_open(run)
        house.paper.fault("delay", "placeorder", seconds=0.15, count=50)
        entered = orders_at_exchange(house)
        house.close(run)
        wait_until(lambda: orders_at_exchange(house) - entered, lambda count: count >= after, seconds=15)
        house.engine.kill()
        house.start_engine(wait=False).ready()
        house.until_closed(run)
        house.assert_clean(run)
        assert orders_at_exchange(house) == 12


def test_killed_twice_in_a_row_during_the_exit(tmp_path: Path) -> None:
    with House(tmp_path, quiet_unanswered=QUIET) as house:
        run = house.execute(house.straddle())
        house.until_open(run)
        house.paper.fault("delay", "placeorder", seconds=0.3, count=50)
        house.close(run)
        for _ in range(2):
            house.engine.kill()
            house.start_engine(wait=False).ready()
        house.until_closed(run, 40)
        house.assert_clean(run)


def test_exchange_killed_and_back_while_the_run_is_open(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle())
        house.until_open(run)
        house.paper.kill()
        house.close(run)
        house.paper.restart()
        house.until_closed(run, 40)
        house.assert_clean(run)


def test_second_engine_refuses_while_the_first_lives(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        second = house.start_engine(wait=False)
        assert second.process.wait(20) == 3
        assert house.processes[0].process.poll() is None


def test_standby_takes_over_when_the_first_is_killed(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle(max_loss=20_000.0))
        house.until_open(run)
        standby = house.start_engine(wait=False, options=("--standby", "60"))
        house.processes[0].kill()
        standby.ready()
        house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
        house.until_closed(run)
        house.assert_clean(run)


def test_engine_that_hangs_is_killed_by_its_standby_and_sends_nothing_late(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle())
        house.until_open(run)
        house.engine.process.send_signal(signal.SIGSTOP)
        standby = house.start_engine(wait=False, options=("--standby", "60"))
        standby.ready(30)
        assert house.processes[0].process.wait(10) == -signal.SIGKILL
        house.close(run)
        house.until_closed(run)
        house.assert_clean(run)


def test_stopped_engine_says_what_stays_open(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle())
        house.until_open(run)
        assert house.engine.stop() == 0
        wait_until(lambda: [line for line in house.engine.lines if "stopped with 1 open run," in line])


def test_lifeline_that_closes_ends_the_engine(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/a.db", "LOG_DIR": str(tmp_path)}
    engine = subprocess.Popen(
        [sys.executable, "-m", "engine", "run", "--lifeline-fd", str(reading)],
        cwd=ROOT,
        env=environment,
        pass_fds=(reading,),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    os.close(reading)
    assert engine.stdout is not None
    assert "ready" in engine.stdout.readline()
    os.close(writing)
    assert "stopped with 0 open runs" in engine.stdout.read()
    assert engine.wait(10) == 0
    engine.stdout.close()
