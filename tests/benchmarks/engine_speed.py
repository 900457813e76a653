"""Measures the engine against a paper exchange on loopback: ``python -m tests.benchmarks.engine_speed [--rounds 20]``.

Prints a table. Nothing here is asserted in a test: figures belong to the machine they were measured on.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from sqlmodel import select

from engine.store.tables import Command
from tests.browser.server import Server
from tests.house import House
from tests.paper_server import wait_until

QUIET_SECONDS = 5.5
"""Between two rounds: a tick of the last one confirms a price for 5 s (RULES 6)."""


def price_to_exit(house: House, rounds: int) -> list[float]:
    """Milliseconds from a breaching tick, as a second subscriber sees it, to the arrival of the first exit order."""
    strategy = house.straddle(max_loss=5_000.0)
    found = []
    for _ in range(rounds):
        run = house.execute(strategy)
        symbol = house.until_open(run).positions[0].symbol
        name = next(iter(house.keys))
        before = len(house.paper.requests(house.keys[name]))
        seen: list[float] = []
        with house.paper.socket(house.keys[name]) as watcher:
            watcher.ask(action="subscribe", symbols=[{"symbol": symbol, "exchange": "NFO"}], mode=1)

            def watch(watcher=watcher, symbol=symbol, seen=seen) -> None:
                watcher.expect(lambda f: f.get("symbol") == symbol and f["data"]["ltp"] == 900.0, seconds=10)
                seen.append(time.time())

            thread = threading.Thread(target=watch)
            thread.start()
            house.paper.set_price(symbol, "NFO", 900.0)
            thread.join()
        house.until_closed(run)
        arrivals = [request["at"] for request in house.paper.requests(house.keys[name])[before:]]
        found.append((min(arrivals) - seen[0]) * 1000)
        house.paper.clear_prices()
        time.sleep(QUIET_SECONDS)
    return found


def click_to_taken(house: House, rounds: int) -> list[float]:
    """Milliseconds from a command's row to the engine's answer to it."""
    ids = [house.command(house.desk.rearm(uuid4().hex)).id for _ in range(rounds)]
    with house.database.read() as session:
        rows = session.exec(select(Command).where(Command.id.in_(ids))).all()  # type: ignore[union-attr]
    return [(row.taken_at - row.created_at).total_seconds() * 1000 for row in rows if row.taken_at]


def killed_to_armed(house: House, rounds: int) -> list[float]:
    """Milliseconds from kill -9 to all accounts armed again, the new process included."""
    found = []
    for _ in range(rounds):
        house.engine.kill()
        begun = time.monotonic()
        house.start_engine()
        found.append((time.monotonic() - begun) * 1000)
    return found


def start_to_healthy(rounds: int) -> list[float]:
    """Milliseconds from ``streamlit run Home.py`` in an empty folder to /healthz 200."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            with Server(Path(folder)) as server:
                wait_until(server.health, lambda seen: seen[0] == 200, seconds=60)
                found.append((time.monotonic() - begun) * 1000)
    return found


def line(what: str, values: Sequence[float]) -> str:
    """One row: median, the largest, how often measured."""
    return f"| {what} | {statistics.median(values):,.0f} ms | {max(values):,.0f} ms | {len(values)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| what | median | largest | rounds |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, House(Path(folder), tick_seconds=0.05) as house:
        print(line("price tick → first exit order at the exchange", price_to_exit(house, rounds)), flush=True)
        print(line("click → the engine took it", click_to_taken(house, rounds * 5)), flush=True)
        print(line("kill -9 → three accounts armed again", killed_to_armed(house, max(3, rounds // 4))), flush=True)
    print(line("empty folder → /healthz 200", start_to_healthy(max(3, rounds // 4))), flush=True)


if __name__ == "__main__":
    main()
