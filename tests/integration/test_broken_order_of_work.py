"""What a pass does in which order with many runs: nothing is lost, doubled or kept waiting, whatever fails."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import col, select, update

from engine.domain.instruments import Action, Exchange
from engine.runtime import core as core_module
from engine.runtime.core import Core
from engine.services import polling, reading, run_index
from engine.services.guarding import Guarding
from engine.services.journal import LeaseLostError
from engine.services.ledger import Pass
from engine.services.messages import BooksRead, Message, StopAsked
from engine.services.world import World
from engine.store import tables
from engine.store.database import Database
from engine.store.schema import upgrade
from tests.integration.test_guard import BREACH, LIMITS, PRICE, TickingClock, crowd, plans_opened, symbol_of
from tests.integration.test_postgres import postgres
from tests.simulation.floor import SYMBOLS, Floor, Killed
from tests.simulation.test_days import simulate
from tests.stage import LOT, Stage, fill_at_once, fill_in_silence, instrument, take_only

__all__ = ["postgres"]

MANY = run_index.FEW_RUNS + 10


def locked() -> Exception:
    return OperationalError("commit", {}, Exception("database is locked"))


def defect() -> Exception:
    return ValueError("made to fail")


def books_begun(stage: Stage, seconds: float) -> BooksRead:
    """Books of the stage's first account, begun so many seconds from now: told apart by that."""
    at = stage.clock.now() + timedelta(seconds=seconds)
    return BooksRead(1, replace(stage.broker().books(), begun_at=at, ended_at=at), at)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """The messages as passes take them, first taken first; those of passes that failed too."""
    found: list[Message] = []
    take = Core._take

    def noted(core: Core, changes: Pass, message: Message) -> str:
        found.append(message)
        return take(core, changes, message)

    monkeypatch.setattr(Core, "_take", noted)
    return found


# ── messages that are held back ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("failures", [0, 1, 3])
@pytest.mark.parametrize("error", [locked, defect])
def test_messages_that_waited_for_a_price_are_taken_in_their_order_whatever_commits_fail(
    tmp_path: Path,
    taken: list[Message],
    error: Callable[[], Exception],
    failures: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage, MANY)
    stage.core.one_pass()
    sent = [books_begun(stage, number / 1000) for number in range(4)]
    for message in sent[:3]:
        stage.inbox.put(message)
    stage.price(symbol_of(5), BREACH)
    stage.journal.broken = [error() for _ in range(failures)]
    asks = Guarding.asks

    def meanwhile(guarding: Guarding, changes: Pass, world: World) -> bool:
        stage.inbox.put(sent[3])
        return asks(guarding, changes, world)

    del taken[:]
    with monkeypatch.context() as during:
        during.setattr(Guarding, "asks", meanwhile)
        stage.core.one_pass()
    assert taken == []
    assert bool(plans_opened(stage)) == (not failures)
    for _ in range(failures + 2):
        stage.core.one_pass()
    assert [one for one in taken if isinstance(one, BooksRead) and one in sent][-4:] == sent
    assert plans_opened(stage) == [runs[5]]
    stage.until(lambda: stage.run(runs[5]).state == "closed")
    assert len(stage.broker().net) == MANY - 1


def test_kill_switch_waits_for_one_pass_at_most_while_another_run_is_breached_in_each(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    crowd(stage, MANY)
    stage.core.one_pass()
    stage.price(symbol_of(0), BREACH)
    halt = stage.command("halt")
    stage.core.one_pass()
    assert stage.answer(halt).state == "pending"
    stage.price(symbol_of(1), BREACH)
    stage.core.one_pass()
    assert stage.answer(halt).state == "done"
    assert len(plans_opened(stage)) == MANY
    stage.until(lambda: stage.broker().net == {})


def test_breach_that_nothing_confirms_does_not_hold_up_messages_with_every_price(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    crowd(stage, MANY)
    stage.quiet_market()
    stage.play(8.0)
    old = stage.clock.now() - timedelta(seconds=30)
    stage.inbox.price(stage.market, (symbol_of(5), Exchange.NFO), BREACH, old)
    stage.core.one_pass()
    for number in range(1, 7):
        stage.price(symbol_of(9), PRICE + number * 0.05)
        books = books_begun(stage, number / 1000)
        stage.inbox.put(books)
        stage.core.one_pass()
        assert stage.world.accounts[1].books is books.books
    assert plans_opened(stage) == []


def test_stop_is_not_forgotten_while_the_database_is_locked_and_passes_go_piece_by_piece(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    stage.arm()
    stage.journal.broken = [defect()]
    stage.inbox.put(books_begun(stage, 0.0))
    stage.clock.seconds += 2.0
    assert stage.core.one_pass() is None  # from now on in pieces
    stage.core.one_pass()
    stage.inbox.put(StopAsked("the server stopped"))
    stage.execute()
    stage.journal.broken = [locked()]
    assert stage.core.one_pass() is None
    assert stage.core.one_pass() == "the server stopped"


class Contrary(Guarding):
    """A guard of many runs, however few there are, that asks for a decision before messages whenever it may."""

    def __init__(self) -> None:
        super().__init__(few=-1)

    def asks(self, changes: Pass, world: World) -> bool:
        super().asks(changes, world)
        return True


@pytest.mark.parametrize("seed", [11])
def test_day_on_which_messages_always_wait_for_prices_breaks_no_law(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(run_index, "FEW_RUNS", -1)
    monkeypatch.setattr(core_module, "Guarding", Contrary)
    chance, step = random.Random(seed), Floor.step

    def moving(floor: Floor, seconds: float = 0.05) -> str | None:
        for symbol in SYMBOLS:
            price = floor.hands[1].broker.price[symbol] + chance.choice((-3.0, -0.5, 0.0, 0.5, 3.0))
            floor.price(symbol, max(5.0, price))
        stop = step(floor, seconds)
        for _ in range(20):  # passes follow each other at once while something waits
            if floor.inbox._messages:
                try:
                    floor.core.one_pass()
                except Killed:
                    floor.restart()
        return stop

    monkeypatch.setattr(Floor, "step", moving)
    floor = simulate(tmp_path, seed)
    for account_id in floor.hands:
        broker = floor.shown_broker(account_id)
        assert broker.by_hand or broker.net == {}


# ── the same tape, looked at in both ways ─────────────────────────────────────────────────────────────────────────────


def play(stage: Stage, runs: list[int], seed: int) -> None:
    """Play prices, commands, trades by hand, silent and resting orders and failing commits, the same for a seed."""
    chance, hands, number = random.Random(seed), stage.hands[1], len(runs)
    closed_by_hand: set[int] = set()
    for _ in range(18):
        hands.placements = chance.choices((fill_at_once, take_only, fill_in_silence), (6, 2, 1), k=4)
        spare = [place for place in range(number) if place not in closed_by_hand]
        stage.clock.seconds += 0.01  # quotes that were asked for now are older than the ticks
        for place in chance.sample(spare, k=3):
            stage.price(symbol_of(place), chance.choice((90.0, PRICE, 110.0, BREACH)))
        if chance.random() < 0.3:
            stage.close(runs[chance.choice(spare)])
        if chance.random() < 0.3:
            stage.journal.broken = [chance.choice((locked, defect))() for _ in range(chance.randint(1, 2))]
        stage.inbox.put(books_begun(stage, 0.0))
        for _ in range(8):  # nothing changes until all of it was taken
            stage.core.one_pass()
        stage.journal.broken = []
        if chance.random() < 0.3:
            stage.play(3.0, by=0.5)
            place = chance.choice(spare)
            if hands.broker.net.get(symbol_of(place)):
                closed_by_hand.add(place)
                hands.broker.take(instrument(symbol_of(place)), Action.BUY, LOT)
        stage.play(1.0, by=0.5)
    hands.placements = []
    stage.play(40.0, by=0.5)


@pytest.mark.parametrize("seed", [1, 2])
def test_tape_ends_with_the_same_books_whether_all_runs_are_judged_or_those_whose_guard_fires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    ends = []
    for few in (1_000, run_index.FEW_RUNS):
        folder = tmp_path / str(few)
        folder.mkdir()
        monkeypatch.setattr(run_index, "FEW_RUNS", few)
        monkeypatch.setattr(core_module, "Guarding", lambda most=few: Guarding(few=most))
        stage = Stage(folder, limits=LIMITS, quiet_unanswered=5.0)
        runs = crowd(stage, MANY)
        play(stage, runs, seed)
        bought = {run: sum(o.filled_quantity for o in stage.orders(run) if o.action == "BUY") for run in runs}
        assert max(bought.values()) == LOT
        states = {run: stage.run(run).state for run in runs}
        assert all(stage.broker().net.get(symbol_of(n), 0) in {0, -LOT} for n in range(MANY))
        ends.append((stage.broker().net, states, bought))
    assert ends[0] == ends[1]
    assert 5 < sum(state == "closed" for state in ends[0][1].values()) < MANY


# ── prices, bounds and books ──────────────────────────────────────────────────────────────────────────────────────────


def test_price_that_comes_during_a_pass_is_never_from_its_future(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage, MANY)
    on_books = reading.on_books

    def slowly(*arguments: Any) -> None:
        on_books(*arguments)
        stage.clock.seconds += 0.02
        stage.price(symbol_of(8), BREACH)

    monkeypatch.setattr(reading, "on_books", slowly)
    stage.inbox.put(books_begun(stage, 0.0))
    stage.core.one_pass()
    (event,) = stage.events("max_loss")
    assert event.execution_id == runs[8]
    assert [leg["tick_age_seconds"] for leg in event.knew["legs"]] == [0.0]


def test_bounds_that_were_drawn_in_a_pass_that_failed_are_not_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    runs = crowd(stage, MANY)
    symbol = symbol_of(4)
    changes = Pass(stage.ledger, stage.clock.now())
    changes.put_run(replace(stage.ledger.runs[runs[4]], reason="its bounds are to be drawn anew"))
    stage.core._commit(changes)
    stage.hands[1].silent.add("books")
    stage.broker().take(instrument(symbol), Action.BUY, LOT)
    closed = books_begun(stage, 6.0)
    stage.broker().take(instrument(symbol), Action.SELL, LOT)
    stage.clock.seconds += 6.0
    stage.journal.breaks = lambda changes: defect() if changes.charges else None
    stage.inbox.put(closed)
    stage.core.one_pass()
    assert {held.quantity for held in stage.ledger.holdings[runs[4]].values()} == {-LOT}
    stage.core._careful_until_boot = stage.clock.seconds
    stage.inbox._messages.clear()
    for _ in range(3):
        stage.core.one_pass()
    assert runs[4] in stage.core._guarding.guard.owners()


def test_copy_of_books_works_out_what_follows_from_its_own_rows(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    books = stage.broker().books().worked_out()
    empty = replace(books, orders=(), trades=(), net={})
    assert (empty.rows, empty.trades_of, empty.rows_under, empty.trades_under) == ({}, {}, {}, {})
    assert (empty.traded, empty.opening) == ({}, {})
    assert books == stage.broker().books() == pickle.loads(pickle.dumps(books))
    assert pickle.loads(pickle.dumps(books)).traded == books.traded == {"1-1": LOT, "1-2": LOT}


# ── symbols, gathered in pieces ───────────────────────────────────────────────────────────────────────────────────────


def ticking(stage: Stage) -> TickingClock:
    """Give a stage a clock that goes on by itself: gathering its symbols takes many passes."""
    clock = TickingClock(stage.clock.begin)
    clock.seconds = stage.clock.seconds + 1.0
    stage.clock = stage.world.clock = clock
    for hands in stage.hands.values():
        hands.clock = hands.broker.clock = clock
    return clock


def begin_gathering(stage: Stage) -> None:
    """Let a pass begin to gather and not end."""
    stage.world.gathered_at = stage.clock.now() - timedelta(seconds=1)
    polling.gather(Pass(stage.ledger, stage.clock.now()), stage.world)
    assert stage.world.gathering is not None
    assert stage.world.gathering.left


def wanted(numbers: range) -> set[tuple[str, Exchange]]:
    return {(symbol_of(number), Exchange.NFO) for number in numbers}


def test_engine_that_starts_over_many_runs_subscribes_their_symbols_in_its_first_pass(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    crowd(stage, 2 * MANY)
    stage.restart()
    ticking(stage)
    stage.core.one_pass()
    assert stage.hands[1].symbols >= wanted(range(2 * MANY))


def test_gathering_goes_on_in_passes_that_follow_each_other_not_once_every_fifty_milliseconds(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits=LIMITS)
    crowd(stage, 2 * MANY)
    clock = ticking(stage)
    stage.core.one_pass()
    begin_gathering(stage)
    stage.world.watched.clear()
    begun = clock.seconds
    while stage.world.gathering is not None:
        assert clock.seconds - begun < 0.03
        stage.core.one_pass()
    assert stage.hands[1].symbols >= wanted(range(2 * MANY))
    assert 1 in stage.world.watched


@pytest.mark.parametrize("closing", [True, False])
def test_gathering_lives_through_runs_that_end_an_account_that_leaves_and_a_clock_set_back(
    tmp_path: Path, closing: bool
) -> None:
    stage = Stage(tmp_path, accounts=2, limits=LIMITS)
    runs = crowd(stage, 2 * MANY)
    ticking(stage)
    stage.core.one_pass()
    begin_gathering(stage)
    stage.hands[2].broker.price = stage.broker().price
    del stage.world.accounts[2]
    if not closing:
        stage.clock.skew = timedelta(hours=-1)
    else:  # below the number from which pieces are made, in the midst of one
        for run in runs[30:]:
            stage.close(run)
        stage.until(lambda: len(stage.ledger.index.open) == 30)
    stage.play(2.0)
    left = wanted(range(30 if closing else 2 * MANY))
    assert stage.hands[1].symbols == left
    assert stage.world.gathered[1, stage.venue] == left
    if closing:
        assert stage.world.gathering is None


# ── the journal on both databases ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["sqlite", "postgresql"])
def on_disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage with an open run on either database."""
    if request.param == "postgresql":
        made = Database(request.getfixturevalue("postgres"))
        upgrade(made)
        monkeypatch.setattr("tests.stage.Database", lambda _url: made)
    stage = Stage(tmp_path, limits=LIMITS)
    stage.broker().funds = 10**9
    stage.enter()
    yield stage
    stage.database.close()


def test_engine_whose_lease_was_taken_writes_nothing_and_ends(on_disk: Stage) -> None:
    stage, (run,) = on_disk, on_disk.ledger.runs
    with stage.database.write() as session:
        session.execute(update(tables.EngineLease).values(token=tables.EngineLease.token + 1))
        lease = session.exec(select(tables.EngineLease)).one().model_dump()
    before = [order.model_dump() for order in stage.orders(run)]
    close = stage.close(run)
    with pytest.raises(LeaseLostError):
        stage.step(2.0)
    assert [order.model_dump() for order in stage.orders(run)] == before
    assert stage.plans(run) == []
    assert stage.answer(close).state == "pending"
    with stage.database.read() as session:
        assert session.exec(select(tables.EngineLease)).one().model_dump() == lease
    assert len(stage.hands[1].sent) == len(before)


def test_broker_ids_that_two_orders_exchange_in_a_pass_are_both_written(on_disk: Stage) -> None:
    stage, (run,) = on_disk, on_disk.ledger.runs
    one, other = stage.ledger.orders[run].values()
    assert one.orderid
    assert other.orderid
    changes = Pass(stage.ledger, stage.clock.now())
    changes.put_order(replace(one, orderid=other.orderid))
    changes.put_order(replace(other, orderid=one.orderid))
    stage.journal.commit(changes, renewed_boot=None)
    with stage.database.read() as session:
        rows = session.exec(select(tables.Order).order_by(col(tables.Order.id))).all()
    assert [row.orderid for row in rows] == [other.orderid, one.orderid]
    assert [row.state for row in rows] == ["filled", "filled"]
