"""Measures exits at size, by the exchange's own clock: ``python -m tests.benchmarks.exit_speed [--only PART]``.

* ``wire``: a breaching tick, as a second subscriber sees it, to the arrival of the exit order; one run after
  the other is breached by a price that climbs in steps: many rounds a minute. Beside it: one small commit here.
* ``kill``: kill -9 to all accounts armed again, 10 accounts with 200 orders of today each, the new process included.
* ``switch``: the kill switch over 10 accounts × 8 legs × 2 slices, at 9 orders in 1.05 s an account: the
  click to the last order's arrival, and to the last account flat.

Prints a table. Nothing here is asserted in a test: figures belong to the machine they were measured on.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from engine.services.drafts import LegDraft, LimitsDraft, StrategyDraft
from tests.house import House
from tests.paper_server import wait_until

STEP_RUPEES = 2.0
STEP_SECONDS = 0.4
LOT = 65
ORDERS_EACH = 200
TEN = tuple((f"Account{number:02}", 500_000_000.0, "A") for number in range(1, 11))


def leg(action: str, kind: str, offset: int) -> LegDraft:
    """A NIFTY option of the second expiry (never today's), so many strikes out of the money."""
    return LegDraft(
        underlying="NIFTY",
        action=action,
        instrument_type=kind,
        expiry_choice="next_week",
        strike_kind="otm" if offset else "atm",
        strike_value=float(offset),
    )


CONDOR = [leg(action, kind, offset) for action, offset in (("BUY", 10), ("SELL", 2)) for kind in ("CE", "PE")]
EIGHT = [
    leg(action, kind, offset)
    for action, offsets in (("BUY", (10, 11)), ("SELL", (2, 3)))
    for offset in offsets
    for kind in ("CE", "PE")
]


def save(
    house: House, name: str, legs: list[LegDraft], *, lots: int = 1, strategy_id: int | None = None, **limits: Any
):
    """Store a strategy on all accounts, or a new version of one."""
    draft = StrategyDraft(
        name=name,
        account_ids=[account.id for account in house.desk.accounts()],
        fixed_lots=lots,
        legs=legs,
        limits=LimitsDraft(**limits),
    )
    version = None if strategy_id is None else house.desk.strategy(strategy_id).version
    return house.desk.save_strategy(draft, strategy_id=strategy_id, expected_version=version).id


def price_to_wire(runs: int) -> list[float]:
    """Milliseconds from each breaching tick to the arrival of that run's exit order."""
    with tempfile.TemporaryDirectory() as folder, House(Path(folder), accounts=TEN[:1], tick_seconds=0.02) as house:
        name, key = next(iter(house.keys.items()))
        sold = [leg("SELL", "CE", 0)]
        strategy = save(house, "Ladder", sold)
        first = house.execute(strategy)
        position = house.until_open(first).positions[0]
        symbol, begin = position.symbol, float(round(position.average_price or 0.0))
        house.paper.set_price(symbol, "NFO", begin)
        house.close(first)
        house.until_closed(first)
        # the same strike for every step: the index walks on, and another strike would stand still
        strike = float(symbol.removesuffix("CE")[-5:])
        sold = [sold[0].model_copy(update={"strike_kind": "exact", "strike_value": strike})]
        strategy = save(house, "Ladder", sold, strategy_id=strategy)
        opened: list[int] = []
        spread = 0.0
        for number in range(1, runs + 1):
            loss = (spread + (number - 0.5) * STEP_RUPEES) * LOT
            limit = {"max_loss": loss} if spread else {}
            strategy = save(house, "Ladder", sold, strategy_id=strategy, **limit)
            run = house.execute(strategy, again=True)
            held = house.until_open(run).positions[0]
            if not spread:  # what a sale at the bid has lost when the price stands
                spread = begin - (held.average_price or 0.0)
                house.close(run)
                house.until_closed(run)
                continue
            opened.append(run)
        seen: dict[float, float] = {}
        stop = threading.Event()
        with house.paper.socket(key) as watcher:
            watcher.ask(action="subscribe", symbols=[{"symbol": symbol, "exchange": "NFO"}], mode=1)

            def watch() -> None:
                while not stop.is_set():
                    try:
                        frame = watcher.expect(lambda f: f.get("symbol") == symbol, seconds=1)
                    except Exception:  # noqa: BLE001 - silence for a second
                        continue
                    seen.setdefault(frame["data"]["ltp"], time.time())

            thread = threading.Thread(target=watch)
            thread.start()
            before = len(exits(house, key))
            for number in range(len(opened)):
                house.paper.set_price(symbol, "NFO", begin + (number + 2) * STEP_RUPEES)
                time.sleep(STEP_SECONDS)
            wait_until(lambda: len(exits(house, key)) - before, lambda count: count >= len(opened), seconds=30)
            stop.set()
            thread.join()
        steps = sorted(at for price, at in seen.items() if price > begin + 1.5 * STEP_RUPEES)
        found = [(arrived - at) * 1000 for at, arrived in zip(steps, exits(house, key)[before:], strict=False)]
        assert len(found) == len(opened), "a step was not seen"
        assert house.net(name) == {}
        return found


def exits(house: House, key: str) -> list[float]:
    """When the purchases of an account arrived."""
    requests = house.paper.requests(key)
    return sorted(r["at"] for r in requests if r.get("body", r).get("action") == "BUY")


def commit_cost(rounds: int = 200) -> list[float]:
    """Milliseconds of one small commit with ``synchronous=FULL`` in a folder like the engine's."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "cost.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE intent (id INTEGER PRIMARY KEY, words TEXT)")
        found = []
        for _ in range(rounds):
            begun = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO intent (words) VALUES ('sending')")
            connection.execute("COMMIT")
            found.append((time.perf_counter() - begun) * 1000)
        connection.close()
        return found


def killed_to_armed(rounds: int) -> tuple[int, list[float]]:
    """Orders of today per account, and milliseconds from kill -9 to every account armed again."""
    with tempfile.TemporaryDirectory() as folder, House(Path(folder), accounts=TEN) as house:
        strategy = save(house, "Condor", CONDOR)
        while True:
            run = house.execute(strategy, again=True)
            house.until_open(run, 60)
            orders = min(len(house.books(name)["orders"]) for name in house.keys)
            if orders >= ORDERS_EACH:
                break
            house.close(run)
            house.until_closed(run, 60)
        found = []
        for _ in range(rounds):
            house.engine.kill()
            begun = time.monotonic()
            house.start_engine(wait=False).ready()
            house.until_armed(30)
            found.append((time.monotonic() - begun) * 1000)
        house.close(run)
        house.until_closed(run, 60)
        return orders, found


def kill_switch(rounds: int) -> tuple[int, list[float], list[float]]:
    """Orders sent, and milliseconds from the click to the last of them, and to the last account flat."""
    sent, flat, orders = [], [], 0
    with tempfile.TemporaryDirectory() as folder, House(Path(folder), accounts=TEN) as house:
        strategy = save(house, "Eight", EIGHT, lots=54)  # 54 lots of 65 are two slices of 27 lots each
        for _ in range(rounds):
            run = house.execute(strategy, again=True)
            house.until_open(run, 90)
            time.sleep(2.5)  # the send limit of the entry is used up for a second
            before = {key: len(house.paper.requests(key)) for key in house.keys.values()}
            clicked = time.time()
            house.desk.halt(uuid4().hex)
            wait_until(lambda: [house.net(name) for name in house.keys], lambda nets: not any(nets), seconds=60)
            flat.append((last_trade(house) - clicked) * 1000)
            arrivals = [r["at"] for key in house.keys.values() for r in house.paper.requests(key)[before[key] :]]
            orders = len(arrivals)
            sent.append((max(arrivals) - clicked) * 1000)
            house.until_closed(run, 60)
            house.command(house.desk.rearm(uuid4().hex))
    return orders, sent, flat


def last_trade(house: House) -> float:
    """When the last trade of any account was."""
    return max(trade["at"] for name in house.keys for trade in house.books(name)["trades"])


def line(what: str, values: Sequence[float]) -> str:
    """One row: median, 99th percentile, the largest, how often measured."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, math.ceil(0.99 * len(ordered)) - 1)]
    figures = " | ".join(f"{value:,.1f} ms" for value in (statistics.median(values), p99, ordered[-1]))
    return f"| {what} | {figures} | {len(values)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("wire", "kill", "switch"))
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| what | median | p99 | largest | rounds |\n| --- | --- | --- | --- | --- |")
    if given.only in {None, "wire"}:
        print(line("price tick → exit order at the exchange", price_to_wire(given.runs)), flush=True)
        print(line("one small commit on this disk", commit_cost()), flush=True)
    if given.only in {None, "kill"}:
        orders, found = killed_to_armed(given.rounds)
        print(line(f"kill -9 → 10 accounts × {orders} orders armed again", found), flush=True)
    if given.only in {None, "switch"}:
        orders, sent, flat = kill_switch(given.rounds)
        print(line(f"kill switch → last of {orders} orders sent, 10 accounts × 8 legs × 2 slices", sent), flush=True)
        print(line("kill switch → last account flat", flat), flush=True)


if __name__ == "__main__":
    main()
