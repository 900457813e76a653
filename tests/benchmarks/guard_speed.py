"""Measures prices at scale: ``python -m tests.benchmarks.guard_speed [--seconds 20] [--runs 1000] [--only guard]``.

Many open runs of four legs, thousands of price changes a second by a thread of its own into the real inbox, the real
core over a real SQLite journal with ``synchronous=FULL``; only the servers are of memory, behind hands that answer
from a thread of their own. Some runs are breached, one after the other, by a tick of a contract that only they hold:
every fifth exits, the others alert. Measured from that tick's arrival in the inbox: to the decision (before its
commit), to its event on disk, and to the first exit order in the hands. Beside it the same with every run judged in
every pass, as the engine would without a guard, and the guard itself by numpy and by its kernel.

Prints a table. Nothing here is asserted in a test: figures belong to the machine they were measured on.
"""

from __future__ import annotations

import argparse
import gc
import logging
import math
import os
import platform
import queue
import random
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlmodel import select

from engine.domain.guard import Form, Guard
from engine.domain.guard_kernel import compiled
from engine.domain.instruments import Action, Exchange, Key, PriceType, Product
from engine.domain.orders import Order, OrderState, Purpose
from engine.domain.runs import AccountState, Run, RunAccount, RunState
from engine.runtime.bootstrap import SWITCH_INTERVAL_SECONDS, _terms_finder, calm_collector, give_way
from engine.runtime.clock import SystemClock
from engine.runtime.core import Core
from engine.runtime.inbox import Inbox
from engine.services.drafts import LimitsDraft, RuleDraft, StrategyDraft
from engine.services.guarding import Guarding
from engine.services.identity import Caller
from engine.services.intake import Intake
from engine.services.ledger import Pass
from engine.services.messages import Beat, StopAsked, Symbol
from engine.services.showing import as_json, views_in_turn
from engine.services.strategies import save_strategy
from engine.services.world import Licence, World
from engine.store import tables
from tests.stage import BEGIN, LOT, FakeHands, Stage, instrument

MADE_AT_ONCE = 100
STRIKES = range(22_000, 30_000, 50)
PRICE = 100.0
BREACH_PRICE = 120.0
MAX_LOSS = 1_000.0
ALERT_SHARE = 5
"""All but every so manyth of the runs to be breached only alert: their decision is an event."""
TRAILING_SHARE = 10
"""Every so manyth run has a trailing stop beside its max loss."""
WARM_SECONDS = 4.0
VICTIM_SECONDS = 0.1


class Errands:
    """What hands do, done by a thread of its own: the core only hands it out."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="servers", daemon=True)
        self._thread.start()
        self.cpu = 0.0

    def do(self, call: Callable[[], None]) -> None:
        self._calls.put(call)

    def end(self) -> None:
        self._calls.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            self.cpu = time.thread_time()


class BenchHands(FakeHands):
    """Hands whose server answers from another thread. ``sent_at``: when the first order of a run was handed over."""

    errands: Errands
    sent_at: dict[int, float]

    def send(self, order: Order, licence: Licence) -> None:
        self.sent_at.setdefault(order.execution_id, time.perf_counter())
        self.errands.do(lambda: super(BenchHands, self).send(order, licence))

    def cancel(self, order: Order) -> None:
        self.errands.do(lambda: super(BenchHands, self).cancel(order))

    def read_books(self, *, holdings: bool = False) -> None:
        self.errands.do(lambda: super(BenchHands, self).read_books(holdings=holdings))

    def read_funds(self) -> None:
        self.errands.do(super().read_funds)

    def read_quotes(self, market: str, symbols: Collection[Symbol]) -> None:
        wanted = tuple(symbols)
        self.errands.do(lambda: super(BenchHands, self).read_quotes(market, wanted))


class BenchStage(Stage):
    """A stage on the machine's clock, with a real inbox."""

    def __init__(self, folder: Path, *, accounts: int, max_loss: float) -> None:
        self.errands = Errands()
        self.sent_at: dict[int, float] = {}
        super().__init__(folder, accounts=accounts, limits={"max_loss": max_loss})

    def go_live(self) -> Inbox:
        """Give everything the machine's clock and a real inbox, and all servers the same prices; return the inbox."""
        clock, inbox, prices = SystemClock(), Inbox(), dict[str, float]()
        self.clock = clock  # type: ignore[assignment]
        self.inbox = inbox  # type: ignore[assignment]
        self.world.clock, self.world.lease_renewed_boot = clock, clock.boot()
        for hands in self.hands.values():
            hands.clock, hands.inbox = clock, inbox  # type: ignore[assignment]
            hands.broker.clock, hands.broker.price = clock, prices  # type: ignore[assignment]
        return inbox

    def hands_for(self, account_id: int, before: FakeHands | None) -> FakeHands:
        hands = BenchHands(account_id, self.inbox, self.clock)
        hands.errands, hands.sent_at, hands.market = self.errands, self.sent_at, self.market
        if before is not None:
            hands.broker = before.broker
        return hands


def saved_version(stage: Stage, name: str, limits: LimitsDraft) -> int:
    """Store a strategy of the stage's legs with other limits; return the id of its version."""
    terms = stage.world.terms_of(1)
    draft = StrategyDraft(
        name=name, account_ids=list(terms.account_ids), fixed_lots=1, legs=list(terms.leg_drafts), limits=limits
    )
    saved = save_strategy(stage.database, Caller(1, "asha", tables.Role.ADMIN), draft, now=BEGIN)
    with stage.database.read() as session:
        rows = session.exec(select(tables.StrategyVersion)).all()
        return next(int(row.id or 0) for row in rows if row.strategy_id == saved.id)


def legs_of(number: int, victim: bool) -> list[dict[str, Any]]:
    """The four legs of a run as resolved; the first one of a victim is nobody else's."""
    strike = STRIKES[number % len(STRIKES)]
    wings = strike + 500
    month = "08DEC26" if victim else "01DEC26"
    first = f"NIFTY{month}{(20_000 + 50 * number) if victim else strike}CE"
    rows = [(first, "SELL", "CE"), (f"NIFTY01DEC26{strike}PE", "SELL", "PE")]
    rows += [(f"NIFTY01DEC26{wings}CE", "BUY", "CE"), (f"NIFTY01DEC26{wings}PE", "BUY", "PE")]
    return [
        {
            "leg_index": index, "action": action, "ratio": 1, "symbol": symbol, "exchange": "NFO", "lot_size": LOT,
            "freeze_quantity": 1800, "tick_size": 0.05, "instrument_type": kind, "expiry": "2026-12-01",
        }
        for index, (symbol, action, kind) in enumerate(rows, start=1)
    ]  # fmt: skip


def fill(stage: BenchStage, count: int, victims: int, spread: bool, most: float) -> None:
    """Make ``count`` open runs, on one account each in turn or on all (``spread``), in database, memory and books."""
    ledger, now = stage.ledger, stage.clock.now()
    trails = LimitsDraft(max_loss=most, trailing_kind="amount", trailing_value=most)
    trailing = saved_version(stage, "Trailing", trails)
    alerts = LimitsDraft(max_loss=most, rules={"max_loss": RuleDraft(action="alert_only")})
    alerting = saved_version(stage, "Alerting", alerts)
    accounts = sorted(stage.world.accounts)
    for begin in range(0, count, MADE_AT_ONCE):
        changes = Pass(ledger, now)
        for number in range(begin, min(begin + MADE_AT_ONCE, count)):
            victim = number < victims
            legs = legs_of(number, victim)
            if victim:
                version = alerting if number % ALERT_SHARE else 1
            else:
                version = 1 if number % TRAILING_SHARE else trailing
            holders = accounts if spread else [accounts[number % len(accounts)]]
            measured = {str(account_id): {"lots": 1, "premium_paise": 1_000_000} for account_id in holders}
            run = changes.put_run(
                Run(
                    id=next(ledger.counters.run), owner_id=1, strategy_id=1, version_id=version, command_id=None,
                    venue=stage.venue, state=RunState.OPEN, reason="", created_at=now, entered_at=now, lots_filled=1,
                    units=LOT, premium_value_paise=1_000_000, watch={"accounts": measured},
                    resolved={"underlying": "NIFTY", "spot": 26_000.0, "product": "NRML", "legs": legs},
                )
            )  # fmt: skip
            for account_id in holders:
                row_id = next(ledger.counters.run_account)
                changes.put_account(
                    RunAccount(
                        id=row_id, execution_id=run.id, account_id=account_id, state=AccountState.ENTERED, lots=1
                    )
                )
                for leg in legs:
                    _filled(stage, changes, run, account_id, leg)
        stage.journal.commit(changes, renewed_boot=None)
        changes.become_memory()


def _filled(stage: BenchStage, changes: Pass, run: Run, account_id: int, leg: dict[str, Any]) -> None:
    symbol, action = str(leg["symbol"]), Action(str(leg["action"]))
    broker = stage.broker(account_id)
    broker.price.setdefault(symbol, PRICE)
    key = Key(account_id, symbol, Exchange.NFO, Product.NRML)
    order = changes.plan_order(
        run=run, purpose=Purpose.ENTRY, key=key, leg_index=int(leg["leg_index"]), slice_index=0, action=action,
        quantity=LOT, trading_day=(changes.now + timedelta(hours=5.5)).date(),
    )  # fmt: skip
    orderid = broker.take(instrument(symbol), action, LOT, tag=order.tag)
    changes.put_order(
        replace(
            order, state=OrderState.FILLED, orderid=orderid, filled_quantity=LOT, sent_at=changes.now,
            filled_value_paise=round(PRICE * 100) * LOT, answered_at=changes.now, price_type=PriceType.MARKET,
        ),
        source="trade",
    )  # fmt: skip


class Feeder(threading.Thread):
    """Prices: so many changes a second, near where they began; and now and then a tick that breaches one run."""

    def __init__(self, stage: BenchStage, rate: int, victims: list[tuple[int, Symbol]], market: list[Symbol]) -> None:
        super().__init__(name="feed", daemon=True)
        self._stage, self._rate, self._victims, self._symbols = stage, rate, victims, market
        self.ended = threading.Event()
        self.breaching = threading.Event()
        self.breached_at: dict[int, float] = {}
        self.count = 0
        self.cpu = 0.0

    def run(self) -> None:
        chance, inbox, market, now = random.Random(7), self._stage.inbox, self._stage.market, self._stage.clock.now
        begun, left = time.perf_counter(), list(self._victims)
        next_breach = math.inf
        while not self.ended.is_set():
            due = int((time.perf_counter() - begun) * self._rate)
            at = now()
            for _ in range(min(due - self.count, self._rate)):
                symbol = self._symbols[chance.randrange(len(self._symbols))]
                inbox.price(market, symbol, round(PRICE + chance.randint(-30, 30) * 0.05, 2), at)
                self.count += 1
            seconds = time.perf_counter()
            if self.breaching.is_set() and next_breach == math.inf:
                next_breach = seconds
            if left and seconds >= next_breach:
                run_id, symbol = left.pop()
                next_breach += VICTIM_SECONDS * chance.uniform(0.5, 1.5)
                self._stage.broker().price[symbol[0]] = BREACH_PRICE
                self.breached_at[run_id] = time.perf_counter()
                inbox.price(market, symbol, BREACH_PRICE, at)
            self.cpu = time.thread_time()
            time.sleep(0.001)


class Measured:
    """What one run of the benchmark saw; latencies in ms, CPU as shares of one core."""

    def __init__(self) -> None:
        self.decided: list[float] = []
        self.written: list[float] = []
        self.sent: list[float] = []
        self.passes: list[float] = []
        self.passes_cpu: list[float] = []
        self.collections: list[float] = []
        self.core = self.process = self.rate = self.feeder = self.commits = 0.0
        self.shown: list[float] = []


def measure(*, runs: int, accounts: int, seconds: float, rate: int, spread: bool, all_judged: bool) -> Measured:
    """Play prices for so long and return what was seen."""
    found, victims = Measured(), min(runs // 2, int(seconds / VICTIM_SECONDS))
    with tempfile.TemporaryDirectory() as folder:
        most = MAX_LOSS * (accounts if spread else 1)
        stage = BenchStage(Path(folder), accounts=accounts, max_loss=most)
        inbox, clock = stage.go_live(), stage.clock
        fill(stage, runs, victims, spread, most)
        decided: dict[int, float] = {}
        written: dict[int, float] = {}
        commit = stage.journal.commit

        def noted(changes: Pass, *, renewed_boot: float | None) -> None:
            seen = time.perf_counter()
            acted = [event.execution_id for event in changes.events if event.kind == "max_loss"]
            for run_id in acted:
                decided.setdefault(run_id or 0, seen)
            commit(changes, renewed_boot=renewed_boot)
            for run_id in acted:
                written.setdefault(run_id or 0, time.perf_counter())
            found.commits += 1

        stage.journal.commit = noted  # type: ignore[method-assign]

        def show(changes: Pass, world: World) -> Iterator[None]:
            making, spent = views_in_turn(lambda: Pass(changes.ledger, world.clock.now()), world), 0.0
            while True:
                begun = time.perf_counter()
                try:
                    next(making)
                except StopIteration as made:
                    found.shown.append((spent + time.perf_counter() - begun) * 1000)
                    stage.errands.do(lambda views=made.value: [as_json(view, give_way) for view in views.values()])
                    return
                spent += time.perf_counter() - begun
                yield

        core = Core(
            ledger=stage.ledger, world=stage.world, journal=stage.journal,
            intake=Intake(_terms_finder(stage.database), lambda: None), inbox=inbox, show=show, watchdog=False,
            guarding=Guarding(few=sys.maxsize) if all_judged else None,
        )  # fmt: skip
        opened = [run for run in stage.ledger.runs.values() if run.state is RunState.OPEN]
        mine = [(run.id, (str(run.resolved["legs"][0]["symbol"]), Exchange.NFO)) for run in opened[:victims]]
        market = sorted({(str(leg["symbol"]), Exchange.NFO) for run in opened for leg in run.resolved["legs"]})
        feeder = Feeder(stage, rate, mine, [one for one in market if one not in {symbol for _, symbol in mine}])
        for _, symbol in mine:
            inbox.price(stage.market, symbol, PRICE, clock.now())
        beats = threading.Event()

        def beat() -> None:
            while not beats.wait(1.0):
                inbox.put(Beat())
                for run_id, symbol in mine:  # a feed tells also what stands still
                    if run_id not in feeder.breached_at:
                        inbox.price(stage.market, symbol, PRICE, clock.now())

        cpu: dict[str, float] = {}

        def work() -> None:
            while True:
                begun, used = time.perf_counter(), time.thread_time()
                stop = core.one_pass()
                cpu["now"] = time.thread_time()
                found.passes.append((time.perf_counter() - begun) * 1000)
                found.passes_cpu.append((cpu["now"] - used) * 1000)
                if stop:
                    return

        gc.collect()
        calm_collector()
        collecting: list[float] = []

        def collected(phase: str, _info: dict[str, int]) -> None:
            if phase == "start":
                collecting.append(time.perf_counter())
            else:
                found.collections.append((time.perf_counter() - collecting[-1]) * 1000)

        gc.callbacks.append(collected)
        threads = [threading.Thread(target=work, name="core"), threading.Thread(target=beat, daemon=True), feeder]
        for thread in threads:
            thread.start()
        time.sleep(WARM_SECONDS)
        found.passes.clear()
        found.passes_cpu.clear()
        found.commits = 0.0
        before = (cpu["now"], _cpu(), feeder.cpu, feeder.count, time.perf_counter())
        feeder.breaching.set()
        time.sleep(seconds)
        elapsed = time.perf_counter() - before[4]
        found.core = (cpu["now"] - before[0]) / elapsed
        found.process = (_cpu() - before[1]) / elapsed
        found.feeder = (feeder.cpu - before[2]) / elapsed
        found.rate = (feeder.count - before[3]) / elapsed
        found.commits /= elapsed
        time.sleep(1.0)
        feeder.ended.set()
        beats.set()
        inbox.put(StopAsked("measured"))
        threads[0].join(30)
        stage.errands.end()
        gc.callbacks.remove(collected)
        gc.unfreeze()
        for run_id, at in feeder.breached_at.items():
            if run_id in decided:
                found.decided.append((decided[run_id] - at) * 1000)
            if run_id in written:
                found.written.append((written[run_id] - at) * 1000)
            if run_id in stage.sent_at:
                found.sent.append((stage.sent_at[run_id] - at) * 1000)
        if missed := feeder.breached_at.keys() - decided.keys():
            print(f"NOT DECIDED: {len(missed)} of {len(feeder.breached_at)}", file=sys.stderr)
    return found


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def guard_cost(rows: int) -> tuple[float, float]:
    """Microseconds for one look at so many rows of four terms: by numpy, by the kernel."""
    guard = Guard()
    for owner in range(rows):
        terms = {(owner * 4 + leg) % 400: LOT for leg in range(4)}
        guard.put(owner, [Form(0, terms, -1e12, 1e12)])
    for place in range(400):
        guard.price(place, PRICE)
    found = []
    for by in (guard.by, compiled()):
        guard.by = by
        times = []
        for _ in range(2_000):
            begun = time.perf_counter()
            guard.fired()
            times.append((time.perf_counter() - begun) * 1e6)
        found.append(statistics.median(times))
    return found[0], found[1]


def quantiles(values: Sequence[float]) -> str:
    """Median, 99th percentile, largest, and how many."""
    ordered = sorted(values)
    if not ordered:
        return "- | - | - | 0"
    p99 = ordered[min(len(ordered) - 1, math.ceil(0.99 * len(ordered)) - 1)]
    return f"{statistics.median(ordered):,.2f} ms | {p99:,.2f} ms | {ordered[-1]:,.2f} ms | {len(ordered)}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--accounts", type=int, default=10)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--spread", action="store_true", help="every run on every account")
    parser.add_argument("--only", choices=("guard", "judged", "kernel"))
    given = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    logging.disable(logging.CRITICAL)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    if given.only in {None, "kernel"}:
        by_numpy, by_kernel = guard_cost(given.runs)
        print(f"guard, {given.runs:,} rows of 4 prices: numpy {by_numpy:.1f} µs, kernel {by_kernel:.1f} µs")
    where = "each on every account" if given.spread else "each on one account"
    print(f"{given.runs:,} open runs × 4 legs, {where} of {given.accounts}, {given.rate:,} price changes a second")
    for name, all_judged in (("guard", False), ("judged", True)):
        if given.only not in {None, name}:
            continue
        found = measure(
            runs=given.runs, accounts=given.accounts, seconds=given.seconds, rate=given.rate, spread=given.spread,
            all_judged=all_judged,
        )  # fmt: skip
        print(f"\n{'every run judged in every pass' if all_judged else 'with the guard'}:")
        print(
            f"CPU of a core: process {found.process:.0%} (core thread {found.core:.0%}, feed {found.feeder:.0%}); "
            f"{found.rate:,.0f} changes a second taken, {len(found.passes) / given.seconds:,.0f} passes and "
            f"{found.commits:,.1f} commits a second"
        )
        print("| what | median | p99 | largest | count |\n| --- | --- | --- | --- | --- |")
        print(f"| breaching price → decided | {quantiles(found.decided)} |")
        print(f"| breaching price → event on disk | {quantiles(found.written)} |")
        print(f"| breaching price → first exit order in the hands | {quantiles(found.sent)} |")
        print(f"| one pass, with its wait for something new | {quantiles(found.passes)} |")
        print(f"| one pass, CPU | {quantiles(found.passes_cpu)} |")
        print(f"| garbage collections | {quantiles(found.collections)} |")
        print(f"| live view, its pieces together | {quantiles(found.shown)} |", flush=True)


if __name__ == "__main__":
    main()
