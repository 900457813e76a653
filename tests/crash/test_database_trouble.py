"""A database that another process holds: the engine lives, sends nothing meanwhile, and loses nothing."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from uuid import uuid4

from tests.house import House
from tests.paper_server import wait_until

HELD_SECONDS = 6.0


def test_database_locked_for_six_seconds_neither_ends_the_engine_nor_sends_twice(tmp_path: Path) -> None:
    with House(tmp_path, accounts=(("Asha", 1_500_000.0, "B"),)) as house:
        run = house.execute(house.straddle())
        house.until_open(run)
        command = house.desk.close_run(run, None, uuid4().hex)
        other = sqlite3.connect(tmp_path / "house.db", isolation_level=None)
        other.execute("PRAGMA busy_timeout=5000")
        other.execute("BEGIN IMMEDIATE")
        until = time.monotonic() + HELD_SECONDS
        wait_until(lambda: time.monotonic() > until or house.engine.process.poll() is not None, seconds=10)
        other.execute("ROLLBACK")
        other.close()
        assert house.engine.process.poll() is None, "the engine ended"
        house.command(command)
        house.until_closed(run)
        house.assert_clean(run)


def test_lock_that_comes_while_orders_are_on_their_way_sends_none_twice(tmp_path: Path) -> None:
    with House(tmp_path, accounts=(("Asha", 1_500_000.0, "B"),)) as house:
        run = house.execute(house.straddle())
        house.until_open(run)
        house.paper.fault("delay", "placeorder", seconds=1.0, count=2)
        house.close(run)
        other = sqlite3.connect(tmp_path / "house.db", isolation_level=None)
        other.execute("PRAGMA busy_timeout=5000")
        other.execute("BEGIN IMMEDIATE")
        wait_until(lambda: house.net("Asha") == {} or house.engine.process.poll() is not None, seconds=10)
        until = time.monotonic() + HELD_SECONDS
        wait_until(lambda: time.monotonic() > until, seconds=10)
        other.execute("ROLLBACK")
        other.close()
        assert house.engine.process.poll() is None, "the engine ended"
        house.until_closed(run)
        house.assert_clean(run)
        assert len(house.books("Asha")["orders"]) == 4
