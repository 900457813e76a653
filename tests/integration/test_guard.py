"""Many runs: a price is judged at once for those it concerns, everybody within a second, and nothing is forgotten."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.domain.instruments import Action, Exchange, Key, Product
from engine.domain.orders import OrderState, Purpose
from engine.domain.runs import AccountState, Run, RunAccount, RunState
from engine.services import guarding, monitor, polling, reading
from engine.services.ledger import Pass
from engine.services.messages import BooksRead
from engine.services.world import trading_day
from tests.stage import LOT, Stage, StageClock, instrument

RUNS = 120
PRICE = 100.0
BEFORE_BREACH, BREACH = 115.35, 115.4  # sold 65 at 100: ₹1,000 are lost from 115.385 on
LIMITS = {"max_loss": 1_000.0}


def symbol_of(number: int) -> str:
    return f"NIFTY01DEC26{20_000 + 50 * number}CE"


def leg(symbol: str) -> dict[str, Any]:
    return {
        "leg_index": 1, "action": "SELL", "ratio": 1, "symbol": symbol, "exchange": "NFO", "lot_size": LOT,
        "freeze_quantity": 1800, "tick_size": 0.05, "instrument_type": "CE", "expiry": "2026-12-01",
    }  # fmt: skip


def crowd(stage: Stage, count: int = RUNS) -> list[int]:
    """Make so many open runs, each of one contract of its own; return their ids, all at rest."""
    stage.arm()
    changes, broker = Pass(stage.ledger, stage.clock.now()), stage.broker()
    for number in range(count):
        symbol = symbol_of(number)
        broker.price[symbol] = PRICE
        run = changes.put_run(
            Run(
                id=next(stage.ledger.counters.run), owner_id=1, strategy_id=1, version_id=1, command_id=None,
                venue=stage.venue, state=RunState.OPEN, reason="", created_at=changes.now, entered_at=changes.now,
                lots_filled=1, units=LOT, premium_value_paise=650_000,
                resolved={"underlying": "NIFTY", "spot": 26_000.0, "product": "NRML", "legs": [leg(symbol)]},
            )
        )  # fmt: skip
        row = next(stage.ledger.counters.run_account)
        changes.put_account(RunAccount(id=row, execution_id=run.id, account_id=1, state=AccountState.ENTERED, lots=1))
        order = changes.plan_order(
            run=run, purpose=Purpose.ENTRY, key=Key(1, symbol, Exchange.NFO, Product.NRML), leg_index=1, slice_index=0,
            action=Action.SELL, quantity=LOT, trading_day=trading_day(changes.now),
        )  # fmt: skip
        orderid = broker.take(instrument(symbol), Action.SELL, LOT)
        changes.put_order(
            replace(
                order, state=OrderState.FILLED, orderid=orderid, filled_quantity=LOT, filled_value_paise=650_000,
                sent_at=changes.now, answered_at=changes.now,
            ),
            source="trade",
        )  # fmt: skip
    stage.journal.commit(changes, renewed_boot=None)
    changes.become_memory()
    stage.play(4.0)
    return [run.id for run in stage.ledger.runs.values()]


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """When (seconds of the stage) which run was judged."""
    found: list[tuple[float, int]] = []
    watch = monitor.watch_run

    def noted(changes: Pass, world: Any, run: Run, terms: Any) -> None:
        found.append((world.clock.boot(), run.id))
        watch(changes, world, run, terms)

    monkeypatch.setattr(monitor, "watch_run", noted)
    return found


def plans_opened(stage: Stage) -> list[int]:
    return sorted(run_id for run_id, plans in stage.ledger.plans.items() if plans)


def test_stop_fires_in_the_pass_of_its_tick_and_nobody_else_is_asked(
    tmp_path: Path, judged: list[tuple[float, int]]
) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage)
    del judged[:]
    stage.price(symbol_of(7), BEFORE_BREACH)
    stage.core.one_pass()
    assert judged == []
    stage.price(symbol_of(7), BREACH)
    stage.core.one_pass()
    assert {run for _at, run in judged} == {runs[7]}
    assert [plan.reason for plan in stage.plans(runs[7])] == ["max_loss"]
    stage.until(lambda: stage.run(runs[7]).state == "closed")
    assert plans_opened(stage) == [runs[7]]
    assert len(stage.broker().net) == RUNS - 1


def test_ticks_that_breach_many_runs_at_once_take_out_exactly_these(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage)
    for number in range(0, RUNS, 10):
        stage.price(symbol_of(number), BREACH)
    stage.core.one_pass()
    assert plans_opened(stage) == runs[::10]


def test_everybody_is_judged_at_least_once_a_second_and_never_all_at_once(
    tmp_path: Path, judged: list[tuple[float, int]]
) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage)
    del judged[:]
    begin = stage.clock.boot()
    for _ in range(100):
        before = len(judged)
        stage.step(0.05)
        assert len(judged) - before < RUNS // 4
    for run in runs:
        moments = [begin, *(at for at, one in judged if one == run), stage.clock.boot()]
        assert max(later - sooner for sooner, later in itertools.pairwise(moments)) <= 1.0


def test_stop_fires_after_a_restart_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage)
    stage.restart()
    stage.arm()
    stage.play(3.0)
    stage.clock.seconds += 0.01  # quotes that were asked for now are older
    stage.price(symbol_of(99), BREACH)
    stage.core.one_pass()
    assert plans_opened(stage) == [runs[99]]


def test_trailing_stop_follows_every_new_peak_that_a_tick_makes(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"trailing_kind": "amount", "trailing_value": 100.0})
    runs = crowd(stage)
    for price, peak in ((99.0, 6_500), (98.0, 13_000), (98.5, 13_000), (97.95, 13_325)):
        stage.price(symbol_of(3), price)
        stage.core.one_pass()
        assert stage.run(runs[3]).peak_paise == peak
    stage.price(symbol_of(3), 99.5)  # P 32.50, the stop at 33.25
    stage.core.one_pass()
    assert [plan.reason for plan in stage.plans(runs[3])] == ["trailing_sl"]


def test_stop_fires_on_a_quote_as_on_a_tick(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage)
    stage.broker().price[symbol_of(50)] = BREACH
    stage.until(lambda: plans_opened(stage) == [runs[50]], 5.0)


def test_stale_breach_decides_as_soon_as_its_price_is_confirmed_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage)
    stage.quiet_market()
    stage.play(8.0)
    old = stage.clock.now() - timedelta(seconds=30)
    stage.inbox.price(stage.market, (symbol_of(5), Exchange.NFO), BREACH, old)
    stage.core.one_pass()
    assert plans_opened(stage) == []
    stage.price(symbol_of(5), BREACH)
    stage.core.one_pass()
    assert plans_opened(stage) == [runs[5]]


def test_time_rule_is_due_for_all_within_a_second(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"exit_time": "10:31"})
    runs = crowd(stage)
    stage.until(lambda: plans_opened(stage), 120.0, by=0.25)
    first = stage.clock.seconds
    stage.until(lambda: plans_opened(stage) == runs, 1.0, by=0.05)
    assert stage.clock.seconds - first <= 1.0


def test_silent_feed_is_told_of_every_run_within_sixteen_seconds(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage)
    stage.quiet_market()
    last = max(stage.world.prices.view(stage.market, (symbol_of(n), Exchange.NFO)).quote_at for n in range(RUNS))  # type: ignore[union-attr,type-var]
    unconfirmed = (last - stage.clock.now()).total_seconds() + 5.0  # a quote confirms for 5 s
    stage.play(unconfirmed + 16.0, by=0.25)
    assert {event.execution_id for event in stage.events("blind")} == set(runs)


def test_run_that_cannot_be_guarded_is_judged_in_every_pass(
    tmp_path: Path, judged: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    real = guarding.forms_of

    def broken(changes: Pass, world: Any, run: Run) -> Any:
        if run.id == 12:
            raise ArithmeticError("made to fail")
        return real(changes, world, run)

    monkeypatch.setattr(guarding, "forms_of", broken)
    crowd(stage)
    del judged[:]
    for _ in range(3):
        stage.core.one_pass()
    assert [run for _at, run in judged] == [12, 12, 12]
    stage.price(symbol_of(11), BREACH)
    stage.core.one_pass()
    assert plans_opened(stage) == [12]


def test_with_few_runs_every_pass_judges_all_of_them(tmp_path: Path, judged: list[tuple[float, int]]) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage, 20)
    del judged[:]
    stage.core.one_pass()
    assert [run for _at, run in judged] == runs


def test_commit_that_fails_changes_no_guard_and_the_stop_fires_with_the_next(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage)
    stage.journal.broken = [ValueError("made to fail")]
    stage.price(symbol_of(60), BREACH)
    stage.core.one_pass()
    assert plans_opened(stage) == []
    stage.core.one_pass()
    assert plans_opened(stage) == [runs[60]]


def test_price_that_asks_for_a_decision_goes_before_messages_but_holds_them_back_only_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage)
    account, books = stage.world.accounts[1], BooksRead(1, stage.broker().books(), stage.clock.now())
    before = account.books
    for number in (70, 71):
        stage.inbox.put(books)
        stage.price(symbol_of(number), BREACH)
        stage.core.one_pass()
        assert plans_opened(stage) == runs[70 : number + 1]
        assert (account.books is before) == (number == 70)


def test_price_that_comes_while_messages_are_taken_is_judged_in_the_same_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage)
    on_books = reading.on_books

    def taking(*arguments: Any) -> None:
        on_books(*arguments)
        stage.price(symbol_of(80), BREACH)

    monkeypatch.setattr(reading, "on_books", taking)
    stage.inbox.put(BooksRead(1, stage.broker().books(), stage.clock.now()))
    stage.core.one_pass()
    assert plans_opened(stage) == [runs[80]]


class TickingClock(StageClock):
    """A clock that goes on by itself whenever it is read."""

    def boot(self) -> float:
        self.seconds += 0.00001
        return self.seconds


def test_symbols_of_many_runs_are_gathered_in_several_passes_and_none_is_left_out(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    crowd(stage)
    clock = TickingClock(stage.clock.begin)
    clock.seconds = stage.clock.seconds + 1.0
    stage.world.clock = clock
    wanted = {(symbol_of(number), Exchange.NFO) for number in range(RUNS)}
    assert stage.world.watched[1] >= wanted
    stage.world.watched.clear()
    sizes = []
    while 1 not in stage.world.watched:
        changes = Pass(stage.ledger, clock.now())
        polling.watch(changes, stage.world)
        sizes.append(0 if stage.world.gathering is None else len(stage.world.gathering.left))
        for act in changes.after_commit:
            act()
    assert len(sizes) > 2
    assert sizes == sorted(sizes, reverse=True)
    assert stage.world.watched[1] >= wanted


def test_routine_reads_of_books_are_one_in_a_pass_and_no_account_is_left_out(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=5, limits=LIMITS)
    crowd(stage)
    stage.play(10.0)
    read = dict.fromkeys(stage.world.accounts, stage.clock.now())
    for _ in range(200):
        before = {one: account.reading_books_since for one, account in stage.world.accounts.items()}
        stage.step(0.05)
        now = stage.clock.now()
        begun = [
            one for one, account in stage.world.accounts.items()
            if account.books is not None and account.books.begun_at > read[one] and before[one] is None
        ]  # fmt: skip
        read |= dict.fromkeys(begun, now)
        assert len(begun) <= 1
        assert all(now - at <= polling.QUIET + timedelta(seconds=1) for at in read.values())
