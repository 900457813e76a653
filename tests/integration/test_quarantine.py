"""Which servers and books are trusted, also after a restart: mode, broker, opening, what was carried (RULES 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.domain.evidence import AccountBooks
from engine.domain.instruments import Action
from engine.services.ledger import Pass
from engine.services.messages import NEEDS_SESSION, BooksRead, Connected
from engine.services.quarantine import SEMI_AUTO
from tests.stage import CALL, HEDGE, LOT, Broker, Stage, fill_in_silence, instrument

ONE_LEG = (("SELL", "CE", "atm", 0.0),)


def entered(tmp_path: Path, **how: Any) -> tuple[Stage, int]:
    stage = Stage(tmp_path, legs=ONE_LEG, **how)
    run = stage.enter()
    stage.play(3)
    return stage, run


def owned(stage: Stage, run: int) -> int:
    return sum(held.quantity for held in stage.ledger.holdings[run].values())


def closed(stage: Stage, run: int) -> None:
    stage.until(lambda: stage.run(run).state == "closed", 90)
    assert stage.broker().net == {}


def to_live(broker: Broker) -> Callable[[], None]:
    broker.mode = "live"
    return lambda: setattr(broker, "mode", "analyze")


def to_another_broker(broker: Broker) -> Callable[[], None]:
    broker.name = "somebody"
    return lambda: setattr(broker, "name", "stage")


# ── a server that changed ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("change", [to_live, to_another_broker])
@pytest.mark.parametrize("restarted", [True, False])
def test_server_that_changed_gets_no_exit_until_it_is_back(
    tmp_path: Path, change: Callable[[Broker], Callable[[], None]], *, restarted: bool
) -> None:
    stage, run = entered(tmp_path)
    books, broker = stage.broker().books(), stage.broker()
    back = change(broker)
    changed = replace(books, mode=broker.mode, broker=broker.name, orders=(), trades=(), net={})
    if restarted:
        stage.restart()
    stage.hands[1].books_now = lambda: replace(changed, begun_at=stage.clock.now())
    stage.play(3)
    stage.close(run)
    stage.play(70, by=0.5)
    assert broker.net == {CALL: -LOT}
    assert owned(stage, run) == -LOT
    assert "it was armed" in stage.world.accounts[1].quarantine
    assert sum("nothing is sent there until it is back" in event.message for event in stage.events("drift")) == 1
    stage.hands[1].books_now = None
    back()
    closed(stage, run)
    assert len(broker.orders) == 2


def test_account_that_a_person_took_over_is_not_called_flat_by_another_servers_books(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    stage.command("take_over", {"run_id": run, "account_id": 1})
    stage.play(1)
    books, broker = stage.broker().books(), stage.broker()
    to_live(broker)
    empty = replace(books, mode=broker.mode, orders=(), trades=(), net={})
    stage.hands[1].books_now = lambda: replace(empty, begun_at=stage.clock.now())
    stage.restart()
    stage.hands[1].books_now = lambda: replace(empty, begun_at=stage.clock.now())
    stage.play(70, by=0.5)
    assert owned(stage, run) == -LOT
    assert stage.run(run).state == "open"


@pytest.mark.parametrize("change", [to_live, to_another_broker])
@pytest.mark.parametrize("restarted", [True, False])
def test_server_that_changed_while_nothing_was_open_is_accepted_and_remembered(
    tmp_path: Path, change: Callable[[Broker], Callable[[], None]], *, restarted: bool
) -> None:
    stage, run = entered(tmp_path)
    stage.close(run)
    closed(stage, run)
    broker = stage.broker()
    change(broker)
    broker.orders, broker.trades = {}, []
    if restarted:
        stage.restart()
    stage.until(
        lambda: (memory := stage.ledger.memories[1]) and (memory.broker, memory.mode) == (broker.name, broker.mode)
    )
    second = stage.enter(again=True)
    stage.close(second)
    closed(stage, second)


# ── books that lie after a restart ────────────────────────────────────────────────────────────────────────────────────


def emptied(books: AccountBooks) -> AccountBooks:
    return replace(books, orders=(), trades=(), net={})


def without_positions(books: AccountBooks) -> AccountBooks:
    return replace(books, net={})


def without_trades(books: AccountBooks) -> AccountBooks:
    return replace(books, trades=(), net={})


@pytest.mark.parametrize("lie", [emptied, without_positions, without_trades])
def test_books_that_lie_on_the_first_read_after_a_restart_charge_nothing(
    tmp_path: Path, lie: Callable[[AccountBooks], AccountBooks]
) -> None:
    stage, run = entered(tmp_path)
    stage.restart()
    stage.hands[1].books_now = lambda: lie(stage.broker().books())
    stage.play(50, by=0.5)
    assert owned(stage, run) == -LOT
    assert stage.world.accounts[1].books_problem
    assert not stage.world.accounts[1].armed
    stage.hands[1].books_now = None
    stage.close(run)
    closed(stage, run)
    assert len(stage.broker().orders) == 2


def test_opening_of_the_day_is_known_after_a_restart(tmp_path: Path) -> None:
    """Somebody's own position of before, gone from the book after the restart, is no new opening."""
    stage = Stage(tmp_path, legs=ONE_LEG)
    stage.broker().carried[instrument(HEDGE)] = LOT
    stage.enter()
    stage.play(3)
    stage.restart()
    stage.hands[1].books_now = lambda: replace(stage.broker().books(), net={instrument(CALL): -LOT})
    stage.play(30, by=0.5)
    assert "disagree" in stage.world.accounts[1].books_problem
    stage.hands[1].books_now = None
    stage.play(2)
    assert stage.world.accounts[1].books_problem == ""


def overnight(tmp_path: Path) -> tuple[Stage, int]:
    """A sold call carried over a holiday, 8:00 in India; the broker has emptied its books and shows nothing."""
    stage, run = entered(tmp_path, venue="live")
    broker = stage.broker()
    broker.carried, broker.orders, broker.trades = broker.positions(), {}, []
    stage.clock.seconds += 45.5 * 3600
    stage.hands[1].books_now = lambda: emptied(broker.books())
    return stage, run


@pytest.mark.parametrize("restarted", [True, False])
def test_carried_position_that_is_gone_before_the_session_is_a_failed_read(tmp_path: Path, *, restarted: bool) -> None:
    stage, run = overnight(tmp_path)
    if restarted:
        books_now = stage.hands[1].books_now
        stage.restart()
        stage.hands[1].books_now = books_now
    stage.play(90, by=0.5)
    assert owned(stage, run) == -LOT
    assert "no book is evidence of less" in stage.world.accounts[1].books_problem
    stage.hands[1].books_now = None
    stage.play(3)
    assert stage.world.accounts[1].books_problem == ""


def test_carried_position_that_is_gone_when_the_session_begins_needs_a_minute_and_an_alarm(tmp_path: Path) -> None:
    stage, run = overnight(tmp_path)
    stage.clock.seconds += 2 * 3600  # 10:00
    stage.play(50, by=0.5)
    assert owned(stage, run) == -LOT
    assert stage.world.accounts[1].books_problem
    stage.play(30, by=0.5)
    assert stage.world.accounts[1].books_problem == ""
    assert any("carried into the day are gone" in event.message for event in stage.events("drift"))


def test_emptied_book_of_the_mornings_first_minute_loses_no_position(tmp_path: Path) -> None:
    stage, run = overnight(tmp_path)
    stage.clock.seconds += 2 * 3600
    stage.play(30, by=0.5)
    stage.hands[1].books_now = None
    stage.play(3)
    assert (owned(stage, run), stage.world.accounts[1].books_problem) == (-LOT, "")
    stage.close(run)
    closed(stage, run)
    assert len(stage.hands[1].sent) == 2


def test_expired_contract_is_not_missed_the_next_day(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG, venue="live")
    old = instrument("NIFTY23NOV2626000CE")
    stage.broker().carried[old] = LOT
    stage.enter()
    stage.play(3)
    broker = stage.broker()
    broker.carried, broker.orders, broker.trades = {instrument(CALL): -LOT}, {}, []
    stage.clock.seconds += 48 * 3600
    stage.play(5)
    assert stage.world.accounts[1].books_problem == ""


def test_memory_is_written_only_when_it_changed(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    written: list[int] = []

    def count(changes: Pass) -> None:
        written.extend(changes.memories)

    stage.journal.breaks = count
    stage.play(30, by=0.5)
    assert written == []
    stage.close(run)
    closed(stage, run)
    assert 1 <= len(written) <= 2


# ── sessions, approval, clocks ────────────────────────────────────────────────────────────────────────────────────────


def test_dead_session_holds_exits_back_with_an_alarm_a_minute_and_ends_by_itself(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    hands = stage.hands[1]
    problem = f"{NEEDS_SESSION} (refused with 403: Invalid openalgo apikey)"
    read, connect = hands.read_books, hands.connect
    hands.read_books = lambda **_how: stage.inbox.put(BooksRead(1, None, stage.clock.now(), problem))  # type: ignore[method-assign]
    hands.connect = lambda: stage.inbox.put(Connected(1, "", "", problem))  # type: ignore[method-assign]
    stage.play(5)
    stage.close(run)
    stage.play(115, by=0.5)
    account = stage.world.accounts[1]
    assert (account.connected, account.waits_for.count(NEEDS_SESSION) > 0) == (False, True)
    assert stage.broker().net == {CALL: -LOT}
    told = [event for event in stage.events() if event.message.startswith(f"account 1 {NEEDS_SESSION}")]
    assert len(told) == 2
    assert "1 open run there cannot be exited" in told[-1].message
    hands.read_books, hands.connect = read, connect  # type: ignore[method-assign]
    closed(stage, run)
    assert account.armed
    assert len(hands.sent) == 2


def test_live_account_that_queues_orders_is_quarantined_before_it_sends_any(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    stage.broker().mode, stage.broker().semi_auto = "live", True
    stage.play(5)
    assert stage.world.accounts[1].quarantine == SEMI_AUTO
    stage.execute()
    stage.play(20, by=0.5)
    assert stage.hands[1].sent == []
    stage.broker().semi_auto = False
    stage.until(lambda: stage.world.accounts[1].armed, 70)
    run = stage.enter(again=True)
    stage.close(run)
    closed(stage, run)


@pytest.mark.parametrize(("mode", "probes"), [("analyze", 0), ("live", 1)])
def test_probe_is_made_once_after_connecting_and_never_in_analyze_mode(tmp_path: Path, mode: str, probes: int) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    stage.broker().mode = mode
    made: list[float] = []
    stage.hands[1].probe = lambda: made.append(stage.clock.seconds)  # type: ignore[method-assign]
    stage.arm()
    stage.play(130, by=0.5)
    assert len(made) == probes


def test_probe_of_a_quarantined_account_is_repeated_every_minute(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    stage.broker().mode, stage.broker().semi_auto = "live", True
    made: list[float] = []
    probe = stage.hands[1].probe

    def counted() -> None:
        made.append(stage.clock.seconds)
        probe()

    stage.hands[1].probe = counted  # type: ignore[method-assign]
    stage.play(190, by=0.5)
    assert len(made) == 4
    assert all(later - sooner >= 60 for sooner, later in pairwise(made))


@pytest.mark.parametrize(("behind", "told"), [(60.0, "-59"), (-60.0, "+60"), (1.0, None), (-1.0, None)])
def test_clock_of_a_server_that_is_off_is_told_once_a_minute(tmp_path: Path, behind: float, told: str | None) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    real = stage.broker().books

    def shifted() -> AccountBooks:
        books = real()
        rows = [replace(row, at=row.at - timedelta(seconds=behind)) for row in books.orders if row.at is not None]
        return replace(books, orders=tuple(rows))

    stage.hands[1].books_now = shifted
    stage.enter()
    stage.play(50, by=0.5)
    found = [event.message for event in stage.events("drift") if "clock of its server differs" in event.message]
    assert len(found) == (told is not None)
    assert told is None or f"differs by {told}" in found[0]


# ── workers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_orders_without_an_answer_are_set_aside_and_hold_up_no_other(tmp_path: Path) -> None:
    """Six exits of one account, none of them answered: all are sent, never more than four at once, and none twice."""
    stage = Stage(tmp_path, legs=ONE_LEG)
    runs = [stage.enter()] + [stage.enter(again=True) for _ in range(5)]
    stage.hands[1].usual = fill_in_silence
    stage.hands[1].silent.add("books")
    stage.command("halt")
    most = 0
    for _ in range(300):
        stage.step(0.1)
        most = max(most, len(stage.world.accounts[1].sending))
    assert len(stage.hands[1].sent) == 12
    assert most <= 4
    stage.hands[1].silent.clear()
    for run in runs:
        stage.until(lambda run=run: stage.run(run).state == "closed", 60)  # type: ignore[misc]
    assert stage.broker().net == {}
    assert len({order.id for order in stage.hands[1].sent}) == 12


def test_somebodys_trade_beside_ours_is_no_defect(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    stage.restart()
    stage.broker().take(instrument(HEDGE), Action.BUY, LOT)
    stage.play(3)
    assert stage.world.accounts[1].books_problem == ""
    stage.close(run)
    stage.until(lambda: stage.run(run).state == "closed")
    assert stage.broker().net == {HEDGE: LOT}
