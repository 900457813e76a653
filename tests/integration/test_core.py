"""The core by itself, second by second: what it sends, what it never sends, and what it still knows afterwards."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from engine.broker.answers import NotSent, OutcomeOpen, Placed, Queued, Refused
from engine.domain.evidence import SeenOrder
from engine.domain.instruments import Action
from engine.domain.orders import OrderState
from engine.runtime.core import PASS_LIMIT_SECONDS
from engine.services import monitor
from engine.services.journal import LeaseLostError
from engine.services.ledger import Pass
from engine.services.messages import Answered
from engine.services.quarantine import SEMI_AUTO
from engine.store import tables
from tests.stage import (
    CALL,
    FLY,
    HEDGE,
    LOT,
    PUT,
    Broker,
    FakeHands,
    Stage,
    fail,
    fill_at_once,
    fill_in_silence,
    instrument,
    lose,
    take_only,
)


def locked() -> OperationalError:
    return OperationalError("commit", {}, Exception("database is locked"))


def states(stage: Stage, run: int, purpose: str = "exit") -> list[str]:
    return [str(order.state) for order in stage.orders(run) if order.purpose == purpose]


def closed(stage: Stage, run: int) -> None:
    stage.until(lambda: stage.run(run).state == "closed", 60)
    for hands in stage.hands.values():
        assert hands.broker.net == {}


def sold_call(stage: Stage, quantity: int = LOT) -> str:
    """Somebody buys the call back by hand."""
    return stage.broker().take(instrument(CALL), Action.BUY, quantity)


# ── one exit ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_triggers_in_one_pass_make_one_exit(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 1_000.0})
    run = stage.enter()
    stage.price(CALL, 200.0)
    stage.command("halt")
    stage.close(run)
    closed(stage, run)
    assert len(stage.plans(run)) == 1
    assert len(stage.hands[1].sent) == 4


def test_max_loss_on_a_tick_closes_every_account_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=3, limits={"max_loss": 1_000.0})
    run = stage.enter()
    stage.price(CALL, 200.0)
    closed(stage, run)
    assert [len(hands.sent) for hands in stage.hands.values()] == [4, 4, 4]
    assert [event.kind for event in stage.events()] == ["max_loss"]


def test_halt_in_the_same_pass_as_execute_sends_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    stage.execute()
    stage.command("halt")
    stage.play(3)
    assert stage.hands[1].sent == []
    assert [run.state for run in stage.ledger.runs.values()] == ["closed"]


def test_execute_in_the_same_pass_as_halt_is_refused(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    stage.command("halt")
    command = stage.execute()
    stage.play(1)
    assert stage.answer(command).state == "refused"
    assert stage.hands[1].sent == []


def test_two_executes_in_one_pass_make_one_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    stage.execute()
    second = stage.execute()
    stage.play(3)
    assert stage.answer(second).state == "refused"
    assert len(stage.hands[1].sent) == 2


def test_bought_leg_leaves_after_the_sold_ones(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY)
    run = stage.enter()
    stage.close(run)
    closed(stage, run)
    exits = [order.symbol for order in stage.hands[1].sent if order.purpose == "exit"]
    assert sorted(exits[:2]) == [CALL, PUT]
    assert exits[2:] == [HEDGE]


def test_slow_account_does_not_delay_the_others(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=3)
    run = stage.enter()
    stage.hands[2].silent |= {"books", "funds", "quotes"}
    stage.hands[2].usual = lose
    stage.close(run)
    stage.until(lambda: not stage.broker(1).net and not stage.broker(3).net, 2)
    assert stage.broker(2).net


# ── commits, lease, database ──────────────────────────────────────────────────────────────────────────────────────────


def test_commit_that_fails_leaves_memory_as_it_was_and_sends_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    before = dict(stage.ledger.orders[run])
    sent = len(stage.hands[1].sent)
    stage.close(run)
    stage.journal.broken = [locked()]
    stage.step()
    assert stage.ledger.orders[run] == before
    assert stage.ledger.plans.get(run) is None
    assert len(stage.hands[1].sent) == sent
    closed(stage, run)
    assert len(stage.plans(run)) == 1


def test_database_locked_for_six_seconds_holds_orders_back_and_loses_none(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    until = stage.clock.seconds + 6
    stage.journal.breaks = lambda _changes: locked() if stage.clock.seconds < until else None
    stage.close(run)
    while stage.clock.seconds < until:
        stage.step()
        assert len(stage.hands[1].sent) == 2
    closed(stage, run)
    assert len(stage.hands[1].sent) == 4


def test_full_disk_after_the_send_does_not_send_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.close(run)
    stage.until(lambda: len(stage.hands[1].sent) == 4)
    until = stage.clock.seconds + 30

    def full(_changes: Pass) -> Exception | None:
        if stage.clock.seconds > until:
            return None
        return OperationalError("commit", {}, Exception("database or disk is full"))

    stage.journal.breaks = full
    while stage.clock.seconds < until:
        stage.step(0.2)
        assert len(stage.hands[1].sent) == 4
    closed(stage, run)
    assert len(stage.hands[1].sent) == 4


def test_reads_asked_in_a_pass_that_failed_are_asked_again_at_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    account = stage.world.accounts[1]
    stage.play(10)
    stage.journal.breaks = lambda _changes: locked()
    stage.play(3)
    stage.journal.breaks = lambda _changes: None
    begun = stage.clock.now()
    stage.until(lambda: account.books is not None and account.books.begun_at > begun, 2.5)
    assert stage.hands[1].symbols == {(CALL, "NFO"), (PUT, "NFO")}
    assert stage.run(run).state == "open"


def test_symbols_are_watched_although_the_pass_that_asked_for_them_failed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    stage.journal.breaks = lambda changes: (
        locked() if any(run.state == "entering" for run in changes.runs.values()) and not tried.append(1) else None
    )
    tried: list[int] = []
    stage.execute()
    stage.step()
    stage.step()
    assert tried
    stage.journal.breaks = lambda _changes: None
    stage.until(lambda: stage.hands[1].symbols)


def test_lost_lease_ends_the_core_and_nothing_is_sent(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.lease.take()  # another engine
    stage.close(run)
    with pytest.raises(LeaseLostError):
        stage.play(3)
    assert len(stage.hands[1].sent) == 2
    assert stage.plans(run) == []


def test_licence_ends_three_seconds_after_the_last_renewal(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.close(run)
    stage.until(lambda: len(stage.hands[1].sent) == 4)
    for licence in stage.hands[1].licences:
        assert licence.expires_boot <= stage.clock.boot() + 1.0
    stage.world.lease_renewed_boot = stage.clock.boot()
    assert max(one.expires_boot for one in stage.hands[1].licences) <= stage.world.lease_renewed_boot + 3.0


def test_order_whose_licence_ran_out_is_planned_anew(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].placements = [lambda _h, _o: NotSent("the licence to send ran out before the first byte")]
    stage.close(run)
    closed(stage, run)
    assert sorted(states(stage, run)) == ["filled", "filled", "not_sent"]


def test_act_that_fails_after_the_commit_keeps_no_other_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, accounts=2)
    run = stage.enter()

    def broken(*_: object) -> None:
        raise RuntimeError("no thread left")

    monkeypatch.setattr(stage.hands[1], "send", broken)
    stage.close(run)
    stage.until(lambda: not stage.broker(2).net)


def test_two_orders_that_swap_their_broker_ids_in_one_pass_can_be_written(tmp_path: Path) -> None:
    """The book names them one way round, the answers the other: the answers win."""
    stage = Stage(tmp_path, lots=54, legs=(("SELL", "CE", "atm", 0.0),))
    stage.arm()
    held: list[tuple[int, str]] = []

    def late(hands: FakeHands, order: Any) -> None:
        held.append((order.id, hands.broker.take(instrument(CALL), order.action, order.quantity)))

    stage.hands[1].placements = [late, late]
    stage.execute()
    stage.until(lambda: len(held) == 2 and len({o.orderid for o in stage.orders(1) if o.orderid}) == 2, 20)
    claimed = {order.id: order.orderid for order in stage.orders(1)}
    (first, one), (second, other) = held
    assert claimed == {first: one, second: other}
    stage.inbox.put(Answered(first, Placed(other)))
    stage.inbox.put(Answered(second, Placed(one)))
    stage.play(1)
    assert {order.id: order.orderid for order in stage.orders(1)} == {first: other, second: one}


# ── what fails again and again ────────────────────────────────────────────────────────────────────────────────────────


def test_poisoned_command_is_refused_and_holds_up_no_exit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 1_000.0})
    run = stage.enter()

    def broken(*_: object) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr("engine.services.intake.halt", broken)
    command = stage.command("halt")
    stage.price(CALL, 200.0)
    closed(stage, run)
    assert stage.answer(command).state == "refused"


def test_answer_that_cannot_be_written_leaves_the_order_in_doubt_and_the_books_decide(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    bad = IntegrityError("insert", {}, Exception("made to fail"))
    stage.journal.breaks = lambda changes: (
        bad if any(order.words == "bad \udc80 text" for order in changes.orders.values()) else None
    )

    def poisoned(hands: FakeHands, order: Any) -> Refused:
        return Refused(
            "bad \udc80 text", 400, hands.broker.take(instrument(order.symbol), order.action, order.quantity)
        )

    stage.hands[1].placements = [poisoned]
    stage.close(run)
    closed(stage, run)
    assert len(stage.hands[1].sent) == 4


def test_run_that_cannot_be_judged_is_told_and_holds_up_no_other_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, accounts=2, limits={"max_loss": 1_000.0})
    sick = stage.enter()
    well = stage.enter(again=True)
    judge = monitor.watch_run

    def broken(changes: Any, world: Any, run: Any, terms: Any) -> None:
        if run.id == sick:
            raise ZeroDivisionError
        judge(changes, world, run, terms)

    monkeypatch.setattr(monitor, "watch_run", broken)
    stage.price(CALL, 200.0)
    stage.until(lambda: stage.run(well).state == "closed")
    assert [event.execution_id for event in stage.events("engine_fault")] == [sick]
    stage.close(sick)  # by hand it still leaves
    closed(stage, sick)


def test_show_that_fails_does_not_end_the_engine(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()

    def broken(_changes: Pass, _world: object) -> None:
        raise LookupError("made to fail")

    stage.core._show = broken
    stage.close(run)
    closed(stage, run)


# ── orders whose fate is unknown ──────────────────────────────────────────────────────────────────────────────────────


def test_answer_after_three_seconds_resolves_what_was_called_unknown(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].placements = [lose]
    stage.close(run)
    stage.until(lambda: "unknown" in states(stage, run))
    order = next(order for order in stage.orders(run) if order.state == "unknown")
    assert [event.kind for event in stage.events("unknown_order")] == ["unknown_order"]
    orderid = stage.broker().take(instrument(order.symbol), Action.BUY, LOT)
    stage.inbox.put(Answered(order.id, Placed(orderid)))
    closed(stage, run)
    assert len(stage.hands[1].sent) == 4


def test_lost_answer_is_found_in_the_books_and_not_sent_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].usual = fill_in_silence
    stage.close(run)
    closed(stage, run)
    assert len(stage.hands[1].sent) == 4


def test_push_before_the_answer_counts_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()

    def pushed_first(hands: FakeHands, order: Any) -> Placed:
        answer = fill_at_once(hands, order)
        assert isinstance(answer, Placed)
        stage.push(1, hands.broker.orders[answer.orderid])
        return answer

    stage.hands[1].usual = pushed_first
    stage.execute()
    stage.until(lambda: 1 in stage.ledger.runs and stage.ledger.runs[1].state == "open")
    assert {order.filled_quantity for order in stage.orders(1)} == {LOT}
    assert stage.broker().net == {CALL: -LOT, PUT: -LOT}


def test_answer_that_names_another_id_than_the_claimed_one_wins(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].placements = [lose]
    stage.close(run)
    stage.until(lambda: "unknown" in states(stage, run))
    order = next(order for order in stage.orders(run) if order.state == "unknown")
    somebody = stage.broker().take(instrument(order.symbol), Action.BUY, LOT, fills=0)
    stage.until(lambda: any(o.orderid == somebody for o in stage.orders(run)))
    ours = stage.broker().take(instrument(order.symbol), Action.BUY, LOT)
    stage.inbox.put(Answered(order.id, Placed(ours)))
    stage.play(1)
    assert next(o.orderid for o in stage.orders(run) if o.id == order.id) == ours
    assert next(o.filled_quantity for o in stage.orders(run) if o.id == order.id) == LOT


def test_refusal_after_a_claim_gives_the_row_back_and_the_exit_goes_on(tmp_path: Path) -> None:
    """Somebody's own order stood in the book while ours was on its way: it is not ours once ours is refused."""
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].placements = [lose]
    stage.close(run)
    stage.until(lambda: "unknown" in states(stage, run))
    order = next(order for order in stage.orders(run) if order.state == "unknown")
    somebody = stage.broker().take(instrument(order.symbol), Action.BUY, LOT, fills=0)
    stage.until(lambda: any(o.orderid == somebody for o in stage.orders(run)))
    stage.inbox.put(Answered(order.id, Refused("no margin", 400)))
    stage.until(lambda: not stage.broker().net)
    stage.until(lambda: stage.run(run).state == "closed")
    mine = next(o for o in stage.orders(run) if o.id == order.id)
    assert (mine.state, mine.orderid, mine.filled_quantity) == ("rejected", None, 0)


def test_answer_that_repeats_another_orders_id_changes_nothing_of_that_order(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    first = stage.orders(run)[0].orderid
    stage.hands[1].placements = [lambda _h, _o: Placed(str(first))]
    stage.close(run)
    stage.play(1)
    entry = stage.orders(run)[0]
    assert (entry.state, entry.orderid, entry.filled_quantity) == ("filled", first, LOT)
    closed(stage, run)


def test_unknown_order_blocks_its_key_and_no_other(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=54)  # two slices of each leg
    run = stage.enter()
    stage.hands[1].placements = [lose]
    stage.close(run)
    stage.play(20)
    blocked = stage.hands[1].sent[4].symbol
    other = PUT if blocked == CALL else CALL
    assert stage.broker().net == {blocked: -54 * LOT}
    assert [order.symbol for order in stage.hands[1].sent[4:]].count(blocked) == 1
    assert [order.symbol for order in stage.hands[1].sent[4:]].count(other) == 2


def test_not_received_needs_two_valid_reads_apart_begun_after_the_quiet_time(tmp_path: Path) -> None:
    stage = Stage(tmp_path, quiet_unanswered=30.0)
    run = stage.enter()
    stage.hands[1].placements = [fail]
    stage.close(run)
    begun = stage.clock.seconds
    stage.until(lambda: "not_received" in states(stage, run), 60)
    assert stage.clock.seconds - begun >= 32.0
    closed(stage, run)


def test_order_with_an_open_connection_is_never_called_not_received(tmp_path: Path) -> None:
    stage = Stage(tmp_path, quiet_unanswered=5.0)
    run = stage.enter()
    stage.hands[1].placements = [lose]
    stage.close(run)
    stage.play(60, by=0.5)
    assert "unknown" in states(stage, run)
    assert len(stage.hands[1].sent) == 4


def test_open_outcome_is_quiet_from_the_answer(tmp_path: Path) -> None:
    stage = Stage(tmp_path, quiet_answered=4.0)
    run = stage.enter()
    stage.hands[1].placements = [lambda _h, _o: OutcomeOpen("200 without an order id")]
    stage.close(run)
    begun = stage.clock.seconds
    closed(stage, run)
    assert stage.clock.seconds - begun >= 6.0


# ── books that are no evidence ────────────────────────────────────────────────────────────────────────────────────────


def emptied(broker: Broker) -> Any:
    books = broker.books()
    return type(books)(books.mode, books.begun_at, books.ended_at, (), (), {})


def fewer_trades(broker: Broker) -> Any:
    books = broker.books()
    net = dict.fromkeys(books.net, 0)
    return type(books)(books.mode, books.begun_at, books.ended_at, books.orders, (), net)


def wrong_mode(broker: Broker) -> Any:
    books = broker.books()
    return type(books)("live", books.begun_at, books.ended_at, books.orders, books.trades, {})


def positions_only(broker: Broker) -> Any:
    books = broker.books()
    return type(books)(books.mode, books.begun_at, books.ended_at, books.orders, books.trades, {})


@pytest.mark.parametrize("lie", [emptied, fewer_trades, wrong_mode, positions_only, None])
def test_invalid_books_never_flatten_nor_charge(tmp_path: Path, lie: Any) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(3)
    stage.hands[1].books_now = lambda: None if lie is None else lie(stage.broker())
    stage.play(30, by=0.2)
    assert stage.run(run).state == "open"
    assert {p.quantity for p in _positions(stage, run)} == {-LOT}
    assert [e.kind for e in stage.events() if "closed outside" in e.message] == []
    assert stage.world.accounts[1].books_problem


def _positions(stage: Stage, run: int) -> list[tables.Position]:
    from sqlmodel import select

    with stage.database.read() as session:
        return list(session.exec(select(tables.Position).where(tables.Position.execution_id == run)).all())


def test_books_that_lie_at_the_moment_of_the_stop_do_not_make_it_flat(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 1_000.0})
    run = stage.enter()
    stage.play(3)
    stage.hands[1].books_now = lambda: emptied(stage.broker())
    stage.price(CALL, 200.0)
    stage.until(lambda: not stage.broker().net, 10)
    stage.play(5)
    assert stage.run(run).state == "exiting"  # bought back, but flat only when books say so
    stage.hands[1].books_now = None
    closed(stage, run)
    assert len(stage.hands[1].sent) == 4


def test_server_that_changed_its_mode_gets_no_exit_until_it_is_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].books_now = lambda: wrong_mode(stage.broker())
    stage.play(3)
    stage.close(run)
    stage.play(20, by=0.2)
    assert len(stage.hands[1].sent) == 2
    assert any("mode" in event.message for event in stage.events("drift"))
    stage.hands[1].books_now = None
    closed(stage, run)
    assert len(stage.hands[1].sent) == 4


def test_first_read_torn_by_a_fill_is_corrected(tmp_path: Path) -> None:
    """The order and trade books were read before a fill, the position book after it."""
    stage = Stage(tmp_path)
    hands = stage.hands[1]
    stage.broker().take(instrument(HEDGE), Action.BUY, LOT)

    def torn() -> Any:
        books = stage.broker().books()
        hands.books_now = None
        return type(books)(books.mode, books.begun_at, books.ended_at, (), (), books.net)

    hands.books_now = torn
    run = stage.enter()
    assert stage.world.accounts[1].books_problem == ""
    stage.close(run)
    stage.until(lambda: stage.run(run).state == "closed")


def test_position_that_changed_without_trades_is_taken_after_a_minute_with_an_alarm(tmp_path: Path) -> None:
    """Somebody converted a position of their own from one product to another."""
    stage = Stage(tmp_path)
    stage.broker().carried[instrument(HEDGE)] = LOT
    run = stage.enter()
    stage.play(3)
    stage.broker().carried = {instrument(HEDGE, "MIS"): LOT}
    stage.play(55, by=0.5)
    assert stage.world.accounts[1].books_problem
    stage.play(10, by=0.5)
    assert stage.world.accounts[1].books_problem == ""
    assert any("without trades" in event.message for event in stage.events("drift"))
    stage.close(run)
    stage.until(lambda: stage.run(run).state == "closed")


def test_empty_books_of_the_night_charge_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live")
    run = stage.enter()
    stage.clock.seconds += 13 * 3600  # half past eleven at night, in India
    stage.play(3)
    stage.clock.seconds += 3600  # the next day; the broker has emptied its books
    stage.hands[1].books_now = lambda: emptied(stage.broker())
    stage.play(30, by=0.5)
    assert {p.quantity for p in _positions(stage, run)} == {-LOT}


def test_books_counted_anew_when_the_session_begins(tmp_path: Path) -> None:
    """Yesterday's trades were still in the books after midnight and are gone in the morning."""
    stage = Stage(tmp_path, venue="live")
    run = stage.enter()
    broker = stage.broker()
    stage.clock.seconds += 14.5 * 3600  # one in the morning
    stage.play(3)
    broker.carried = broker.positions()
    broker.orders, broker.trades = {}, []
    stage.clock.seconds += 32.5 * 3600  # half past nine, after a holiday
    stage.until(lambda: stage.world.accounts[1].books_problem == "" and stage.world.accounts[1].books_in_session)
    stage.close(run)
    closed(stage, run)


def test_broker_id_of_yesterday_is_not_todays_order(tmp_path: Path) -> None:
    """Some brokers count from 1 every day: today's order of somebody else must not fill ours of yesterday."""
    stage = Stage(tmp_path, venue="live", sold_leg_failure="hold")
    stage.arm()

    def refused_with_id(hands: FakeHands, order: Any) -> Refused:
        orderid = hands.broker.take(instrument(order.symbol), order.action, order.quantity, fills=0)
        hands.broker.end(orderid, "rejected")
        return Refused("not today", 400, orderid)

    stage.hands[1].placements = [refused_with_id]
    stage.execute()
    stage.until(lambda: 1 in stage.ledger.runs and stage.ledger.runs[1].state == "open")
    old = next(order for order in stage.orders(1) if order.state == "rejected")
    broker = stage.broker()
    broker.carried, broker.orders, broker.trades = broker.positions(), {}, []
    stage.clock.seconds += 23 * 3600
    broker.orders[str(old.orderid)] = SeenOrder(
        str(old.orderid), instrument(old.symbol), old.action, LOT, old.price_type, 0.0, "open", 0, None, None, None
    )
    broker.fill(str(old.orderid), LOT)
    stage.push(1, broker.orders[str(old.orderid)])
    stage.play(10)
    assert next(order.filled_quantity for order in stage.orders(1) if order.id == old.id) == 0


# ── exits that do not fill ────────────────────────────────────────────────────────────────────────────────────────────


def test_rejected_exit_is_tried_until_flat(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].placements = [lambda _h, _o: Refused("no margin", 400)] * 8
    stage.close(run)
    closed(stage, run)
    assert states(stage, run).count("rejected") == 8
    told = [event.message for event in stage.events() if "tried again" in event.message]
    assert len(told) == 2, "the same words about the same contract are told once a minute"


def test_resting_remainder_of_an_exit_is_repriced_on_the_same_id(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=3)
    run = stage.enter()

    def clipped(hands: FakeHands, order: Any) -> Placed:
        return Placed(hands.broker.take(instrument(order.symbol), order.action, order.quantity, fills=LOT))

    stage.hands[1].placements = [clipped]
    stage.close(run)
    closed(stage, run)
    assert states(stage, run) == ["filled", "filled"]
    assert len(stage.broker().orders) == 4


def test_resting_exit_is_cancelled_when_somebody_closes_by_hand(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].placements = [take_only, take_only]
    stage.close(run)
    stage.until(lambda: states(stage, run).count("working") == 2)
    sold_call(stage)
    closed(stage, run)


def test_partly_filled_sold_leg_is_taken_back_after_ten_seconds_and_the_rest_is_held(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2)
    stage.arm()

    def clipped(hands: FakeHands, order: Any) -> Placed:
        return Placed(hands.broker.take(instrument(order.symbol), order.action, order.quantity, fills=LOT))

    stage.hands[1].placements = [clipped]
    stage.execute()
    stage.until(lambda: 1 in stage.ledger.runs and stage.ledger.runs[1].state == "open", 15)
    assert sorted(stage.broker().net.values()) == [-2 * LOT, -LOT]
    assert [event.kind for event in stage.events()] == ["entry_failed"]
    stage.close(1)
    closed(stage, 1)


def test_odd_quantity_left_by_hand_is_still_taken_off(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2)
    run = stage.enter()
    sold_call(stage, 30)
    stage.play(8)
    stage.close(run)
    closed(stage, run)


def test_late_fill_after_the_run_was_closed_is_taken_out(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.close(run)
    closed(stage, run)
    last = stage.orders(run)[-1]
    broker = stage.broker()
    # an order that the broker had called cancelled fills all the same
    ledger_order = stage.ledger.orders[run][last.id]
    stage.ledger.orders[run][last.id] = replace(ledger_order, quantity=2 * LOT, state=OrderState.CANCELLED)
    row = broker.orders[str(last.orderid)]
    broker.orders[str(last.orderid)] = replace(row, quantity=2 * LOT)
    broker.fill(str(last.orderid), LOT)
    stage.until(lambda: any(event.kind == "late_fill" for event in stage.events()))
    closed(stage, run)


# ── prices ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_stale_price_decides_nothing_and_blindness_is_told_after_fifteen_seconds(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 1_000.0})
    run = stage.enter()
    stage.quiet_market()
    stage.play(6, by=0.5)
    stage.price(CALL, 500.0)  # the put has no price any more: P is not known
    stage.play(8, by=0.5)
    assert stage.events("blind") == []
    stage.play(5, by=0.5)
    assert len(stage.events("blind")) == 1
    stage.play(30, by=0.5)
    assert len(stage.events("blind")) == 1
    assert stage.run(run).state == "open"
    stage.price(CALL, 500.0)
    stage.price(PUT, 120.0)
    stage.until(lambda: stage.run(run).state == "closed")


@pytest.mark.parametrize("ltp", [0.0, -5.0, float("nan"), float("inf")])
def test_price_that_is_none_decides_nothing(tmp_path: Path, ltp: float) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 1_000.0, "max_profit": 1_000.0})
    run = stage.enter()
    stage.inbox.price(stage.market, (CALL, "NFO"), ltp, stage.clock.now())  # type: ignore[arg-type]
    stage.play(2)
    assert stage.run(run).state == "open"


def test_price_of_another_venue_decides_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 1_000.0})
    run = stage.enter()
    stage.inbox.price("1|paper:elsewhere", (CALL, "NFO"), 900.0, stage.clock.now())  # type: ignore[arg-type]
    stage.play(2)
    assert stage.run(run).state == "open"


# ── time rules ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_square_off_fires_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, product="MIS", limits={"square_off_time": "10:31"})
    run = stage.enter()
    stage.until(lambda: stage.run(run).state == "closed", 90, by=0.5)
    stage.play(5)
    assert [event.kind for event in stage.events()] == ["square_off"]
    assert len(stage.hands[1].sent) == 4


def test_square_off_missed_while_the_engine_was_down_fires_at_once_and_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"square_off_time": "10:45"})
    run = stage.enter()
    stage.clock.seconds += 3600
    stage.restart()
    closed(stage, run)
    stage.restart()
    stage.play(5)
    assert [event.kind for event in stage.events()] == ["square_off"]


def test_square_off_works_while_blind(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"square_off_time": "10:31"})
    run = stage.enter()
    stage.quiet_market()
    stage.until(lambda: stage.run(run).state == "closed", 90, by=0.5)


def test_square_off_fires_although_the_entry_never_became_whole(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"square_off_time": "10:31"})
    stage.arm()
    stage.hands[1].placements = [fill_at_once, lose]  # the fate of the second sold leg stays unknown
    stage.execute()
    stage.until(lambda: 1 in stage.ledger.runs and "unknown" in states(stage, 1, "entry"), 20)
    assert stage.ledger.runs[1].state == "entering"
    stage.until(lambda: not stage.broker().net, 90, by=0.5)
    assert [event.kind for event in stage.events("square_off")] == ["square_off"]


# ── start is recovery ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_recovery_voids_what_was_planned_and_looks_up_what_was_being_sent(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=54, quiet_unanswered=20.0)
    run = stage.enter()
    stage.hands[1].usual = lose
    stage.close(run)
    stage.until(lambda: sorted(set(states(stage, run))) == ["planned", "sending"], 2, by=0.05)
    stage.hands[1].usual = fill_at_once
    stage.restart()
    stage.step()
    assert sorted(set(states(stage, run))) == ["unknown", "void"]
    stage.play(10)
    assert stage.hands[1].sent == []
    closed(stage, run)


def test_exit_of_an_account_ends_with_a_run_that_is_refused_after_a_restart(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    stage.hands[1].resolve = lambda *_legs, **_of: None  # type: ignore[method-assign]
    stage.execute()
    stage.play(1)
    stage.command("close_run", {"run_id": 1, "account_ids": [1]})
    stage.play(1)
    stage.restart()
    stage.play(2)
    assert stage.run(1).state == "refused"
    assert [plan.state for plan in stage.plans(1)] == ["done"]
    assert stage.hands[1].sent == []


def test_order_sent_before_the_crash_is_found_and_not_sent_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].usual = fill_in_silence
    stage.close(run)
    stage.until(lambda: "sending" in states(stage, run), 2, by=0.05)
    stage.hands[1].usual = fill_at_once
    stage.restart()
    closed(stage, run)
    assert stage.hands[1].sent == []


def test_account_with_an_order_waiting_for_approval_is_quarantined_after_a_restart_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].placements = [lambda _hands, _order: Queued("8")]
    stage.hands[1].usual = lose
    stage.close(run)
    stage.until(lambda: "queued" in states(stage, run), 5, by=0.05)
    assert stage.world.accounts[1].quarantine == SEMI_AUTO
    stage.hands[1].usual = fill_at_once
    stage.restart()
    stage.play(5)
    assert stage.world.accounts[1].quarantine == SEMI_AUTO
    assert stage.hands[1].sent == []


def test_peak_and_stop_survive_a_restart_and_the_stop_never_moves_down(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"trailing_kind": "amount", "trailing_value": 1_000.0})
    run = stage.enter()
    stage.price(CALL, 100.0)
    stage.play(1)
    peak, stop = stage.run(run).peak_paise, stage.run(run).stop_paise
    assert (peak, stop) == (325_000, 225_000)
    stage.restart()
    stage.play(3)
    stage.price(CALL, 110.0)
    stage.play(1)
    assert (stage.run(run).peak_paise, stage.run(run).stop_paise) == (peak, stop)
    stage.price(CALL, 116.0)
    stage.until(lambda: stage.run(run).state == "closed")
    assert [event.kind for event in stage.events()] == ["trailing_sl"]


def test_quiet_time_far_ahead_after_the_clock_was_set_back_is_bounded_at_the_start(tmp_path: Path) -> None:
    stage = Stage(tmp_path, quiet_unanswered=20.0)
    run = stage.enter()
    stage.clock.skew = timedelta(hours=1)
    stage.hands[1].placements = [fail]
    stage.close(run)
    stage.until(lambda: "unknown" in states(stage, run))
    stage.clock.skew = timedelta(0)
    stage.restart()
    closed(stage, run)


# ── the send limit ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_send_limit_is_kept_and_exits_go_before_entries(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=300)
    run = stage.enter()
    times: list[float] = []

    def timed(hands: FakeHands, order: Any) -> Placed:
        times.append(stage.clock.seconds)
        answer = fill_at_once(hands, order)
        assert isinstance(answer, Placed)
        return answer

    stage.hands[1].usual = timed
    stage.close(run)
    closed(stage, run)
    assert all(later - sooner >= 1.04 for sooner, later in zip(times, times[9:], strict=False))


# ── many ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def crowd(stage: Stage, run: int, count: int) -> None:
    """Make ``count`` runs of one, in memory only."""
    ledger = stage.ledger
    number = 10_000
    for other in range(run + 1, run + count):
        ledger.runs[other] = replace(ledger.runs[run], id=other)
        ledger.accounts[other] = {a: replace(row, execution_id=other) for a, row in ledger.accounts[run].items()}
        ledger.holdings[other] = dict(ledger.holdings[run])
        ledger.orders[other] = {}
        for order in ledger.orders[run].values():
            number += 1
            ledger.orders[other][number] = replace(order, id=number, execution_id=other, orderid=f"x{number}")
            ledger.run_of_order[number] = other
            broker = stage.broker(order.account_id)
            row = broker.orders[str(order.orderid)]
            broker.orders[f"x{number}"] = replace(row, orderid=f"x{number}")
            broker.trades += [replace(t, orderid=f"x{number}") for t in broker.trades if t.orderid == order.orderid]
    stage.journal.commit = lambda *_args, **_kwargs: None  # type: ignore[method-assign]


def test_kill_switch_over_hundreds_of_runs_stays_clear_of_the_watchdog(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=4)
    run = stage.enter()
    crowd(stage, run, 300)
    stage.play(1)
    stage.command("halt")
    begun = time.perf_counter()
    stage.step()
    assert time.perf_counter() - begun < PASS_LIMIT_SECONDS
    stage.play(1)
    assert all(len(hands.sent) > 10 for hands in stage.hands.values())


def test_what_is_asked_after_accounts_were_read_anew_knows_them(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2)
    stage.arm()
    added = stage.world.accounts.pop(2)
    stage.core._intake = replace(stage.core._intake, reload=lambda: stage.world.accounts.update({2: added}))
    asked = [stage.command("reload_accounts"), stage.execute()]
    stage.step()
    stage.step()
    assert [str(stage.answer(one).state) for one in asked] == ["done", "done"]
    (run,) = stage.ledger.runs.values()
    assert sorted(stage.ledger.accounts[run.id]) == [1, 2]
