"""Exits that were doubled, or never came: what ended an order did not end what may still work, or said too little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine.broker.answers import Acknowledged, ChangeOutcome, PlacementOutcome, Refused
from engine.domain.evidence import AccountBooks, SeenOrder
from engine.domain.instruments import Action, PriceType
from engine.domain.orders import Order
from engine.services.messages import ModifyAnswered
from engine.services.world import Account
from tests.stage import (
    CALL,
    LOT,
    PUT,
    SOLD,
    FakeHands,
    Stage,
    fail,
    fill_at_once,
    fill_change,
    fill_in_silence,
    instrument,
    take_change,
    take_only,
)

ONE_LEG = (("SELL", "CE", "atm", 0.0),)


def leaving(folder: Path, **how: str) -> tuple[Stage, int]:
    """A sold call whose exit order was taken and rests."""
    stage = Stage(folder, legs=ONE_LEG, **how)  # type: ignore[arg-type]
    run = stage.enter()
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change
    stage.close(run)
    stage.until(lambda: any(row.status == "open" for row in stage.broker().orders.values()))
    stage.step()
    return stage, run


def exits(stage: Stage, run: int) -> list[Order]:
    return [order for order in stage.ledger.orders[run].values() if order.purpose == "exit"]


def over_night(stage: Stage) -> None:
    """No engine runs, the broker empties its books, and an engine starts two days later (the 24th is a holiday)."""
    broker = stage.broker()
    broker.carried, broker.orders, broker.trades = broker.positions(), {}, []
    stage.clock.seconds += 48 * 3600 - 1800
    stage.restart()
    stage.hands[1].usual = fill_at_once


def test_order_that_a_server_replaced_under_another_id_is_never_doubled_whatever_words_its_end_has(
    tmp_path: Path,
) -> None:
    stage, run = leaving(tmp_path)
    hands = stage.hands[1]

    def replaced(hands: FakeHands, order: Order, price: float) -> ChangeOutcome:
        row = hands.broker.orders[order.orderid or ""]
        hands.broker.end(row.orderid, "cancelled", "replaced by another order")
        return Acknowledged(hands.broker.take(row.instrument, row.action, row.quantity, fills=0, limit=price))

    hands.modifies = replaced
    stage.play(12.0)
    working = [row.orderid for row in stage.broker().orders.values() if row.status == "open"]
    assert len(working) == 1, "one exit works at the broker, under the id that the server gave it"
    stage.broker().fill(working[0], LOT)
    stage.until(lambda: stage.run(run).state == "closed")
    assert stage.broker().net == {}


def test_resting_exit_of_yesterday_that_no_book_lists_any_more_is_sent_anew(tmp_path: Path) -> None:
    stage, run = leaving(tmp_path, venue="live")
    over_night(stage)
    stage.until(lambda: stage.run(run).state == "closed", 60)
    assert stage.broker().net == {}
    assert [order.state for order in exits(stage, run)] == ["expired", "filled"]
    assert len(stage.broker().orders) == 1, "one exit order on the new day"


def test_resting_exit_of_yesterday_that_filled_unseen_is_charged_and_not_sent_again(tmp_path: Path) -> None:
    stage, run = leaving(tmp_path, venue="live")
    stage.broker().fill("1-2", LOT)
    over_night(stage)
    stage.until(lambda: stage.run(run).state == "closed", 150)
    assert stage.broker().net == {}
    assert not stage.broker().orders


def test_id_of_yesterdays_exit_that_is_somebody_elses_order_today_is_neither_taken_nor_changed(tmp_path: Path) -> None:
    stage, run = leaving(tmp_path, venue="live")
    over_night(stage)
    broker, orderid = stage.broker(), str(exits(stage, run)[0].orderid)
    broker.orders[orderid] = SeenOrder(
        orderid, instrument(PUT), Action.BUY, LOT, PriceType.LIMIT, 90.0, "open", 0, None, None, None
    )
    stage.until(lambda: stage.run(run).state == "closed", 60)
    assert not stage.hands[1].cancelled
    assert not stage.hands[1].modified
    assert broker.orders[orderid].status == "open"
    broker.fill(orderid, LOT)
    stage.play(3.0)
    assert broker.net == {PUT: LOT}
    assert [order.filled_quantity for order in exits(stage, run)] == [0, LOT]


def test_entry_order_of_yesterday_in_doubt_does_not_claim_what_a_person_sells_today(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=SOLD, venue="live")
    stage.arm()
    stage.hands[1].placements = [fill_at_once, fail]
    stage.execute()
    stage.until(lambda: 1 in stage.ledger.runs and any(o.state == "unknown" for o in stage.orders(1)))
    over_night(stage)
    stage.play(5.0)
    stage.broker().take(instrument(PUT), Action.SELL, LOT)
    stage.play(10.0)
    doubtful = stage.orders(1)[1]
    assert (doubtful.state, doubtful.orderid) == ("unknown", None)


class LateTrades:
    """Books whose trades and positions are those of a moment ago, until they are not any more."""

    def __init__(self, hands: FakeHands, *, row: SeenOrder | None) -> None:
        self.hands, self.row = hands, row
        self.trades = list(hands.broker.trades)
        self.late = True

    def __call__(self) -> AccountBooks:
        broker = self.hands.broker
        if not self.late:
            return broker.books()
        shown, broker.trades = broker.trades, self.trades
        try:
            books = broker.books()
        finally:
            broker.trades = shown
        rows = tuple(self.row if self.row and row.orderid == self.row.orderid else row for row in books.orders)
        return replace(books, orders=rows)

    def fill(self, hands: FakeHands, order: Order) -> PlacementOutcome:
        outcome = fill_at_once(hands, order)
        self.trades.append(hands.broker.trades[-1])
        assert outcome is not None
        return outcome


def _in_books(_stage: Stage, ended: SeenOrder) -> None:
    """The order book itself shows the end."""
    _stage.broker().orders[ended.orderid] = ended


def _by_push(stage: Stage, ended: SeenOrder) -> None:
    """A push shows the end, the order book only later."""
    stage.push(1, ended)


@pytest.mark.parametrize("told", [_in_books, _by_push])
def test_exit_cancelled_after_a_part_filled_whose_trades_come_late_does_not_turn_the_position(
    tmp_path: Path, told: Callable[[Stage, SeenOrder], None]
) -> None:
    stage, run = leaving(tmp_path)
    hands, broker = stage.hands[1], stage.broker()
    working = broker.orders["1-2"]
    hands.books_now = books = LateTrades(hands, row=working if told is _by_push else None)
    hands.usual = books.fill
    broker.fill("1-2", 30)
    broker.end("1-2", "cancelled")
    told(stage, replace(broker.orders["1-2"], average_price=None))
    stage.play(3.0)
    assert broker.net == {CALL: 30 - LOT}, "nothing is sent as long as what filled is not known"
    books.late = False
    stage.until(lambda: stage.run(run).state == "closed")
    assert broker.net == {}
    assert [order.quantity for order in hands.sent] == [LOT, LOT, LOT - 30]


# ── what only memory knew, or a clock that was set back ───────────────────────────────────────────────────────────────


def test_order_that_is_cancelled_while_a_change_of_it_is_under_way_is_not_doubled_before_the_answer(
    tmp_path: Path,
) -> None:
    stage, run = leaving(tmp_path)
    hands, answers = stage.hands[1], []

    def replaced_before_the_answer(order: Order, price: float) -> None:
        row = hands.broker.orders[order.orderid or ""]
        hands.broker.end(row.orderid, "cancelled", "replaced by another order")
        new = hands.broker.take(row.instrument, row.action, row.quantity, fills=0, limit=price)
        stage.push(1, hands.broker.orders[row.orderid])
        answers.append(ModifyAnswered(order.id, price, Acknowledged(new)))

    hands.modify = replaced_before_the_answer  # type: ignore[method-assign]
    stage.until(lambda: answers)
    stage.play(3.0)
    stage.inbox.put(answers.pop())
    stage.play(8.0)
    working = [row.orderid for row in stage.broker().orders.values() if row.status == "open"]
    assert len(working) == 1
    stage.broker().fill(working[0], LOT)
    stage.until(lambda: stage.run(run).state == "closed")
    assert stage.broker().net == {}


def test_order_that_is_cancelled_while_a_change_of_it_is_under_way_is_sent_anew_after_the_answer(
    tmp_path: Path,
) -> None:
    stage, run = leaving(tmp_path)
    hands, answers = stage.hands[1], []

    def cancelled_before_the_answer(order: Order, price: float) -> None:
        hands.broker.end(order.orderid or "", "cancelled")
        answers.append(ModifyAnswered(order.id, price, Refused("it is cancelled", 400)))

    hands.modify = cancelled_before_the_answer  # type: ignore[method-assign]
    stage.until(lambda: answers)
    hands.usual = fill_at_once
    stage.inbox.put(answers.pop())
    stage.until(lambda: stage.run(run).state == "closed")
    assert stage.broker().net == {}


def test_resting_exit_is_repriced_after_a_restart_with_the_clock_set_back(tmp_path: Path) -> None:
    stage, run = leaving(tmp_path)
    stage.until(lambda: stage.hands[1].modified)
    stage.clock.skew = -timedelta(hours=1)
    stage.restart()
    stage.hands[1].modifies = fill_change
    stage.until(lambda: stage.run(run).state == "closed", 20)
    assert stage.broker().net == {}
    assert len(stage.broker().orders) == 2


def test_exit_that_waits_is_told_after_a_restart_with_the_clock_set_back(tmp_path: Path) -> None:
    stage, _run = leaving(tmp_path)
    stage.clock.skew = -timedelta(hours=1)
    stage.restart()
    stage.play(15.0)
    assert stage.events("exit_blocked")


def test_order_on_its_way_when_its_account_was_taken_out_and_came_back_is_looked_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    run = stage.enter()
    stage.hands[1].placements = [fill_in_silence]
    stage.close(run)
    stage.until(lambda: len(stage.hands[1].sent) == 2)
    facts = stage.world.accounts.pop(1).facts
    stage.hands[1] = stage.hands_for(1, stage.hands[1])
    stage.world.accounts[1] = Account(facts, stage.hands[1])
    stage.until(lambda: stage.run(run).state == "closed", 20)
    assert stage.broker().net == {}


def test_fill_that_a_push_told_and_no_trade_ever_shows_is_an_alarm(tmp_path: Path) -> None:
    stage, run = leaving(tmp_path)
    row = replace(stage.broker().orders["1-2"], filled_quantity=999, average_price=150.0, status="complete")
    stage.push(1, row)
    stage.play(20.0)
    assert stage.run(run).state == "exiting", "a position that the books show is never called flat"
    assert any("every trade" in event.message for event in stage.events("exit_blocked"))


def test_what_a_person_closed_a_moment_before_the_kill_switch_took_his_account_back_is_not_closed_again(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    run = stage.enter()
    stage.command("take_over", {"run_id": run, "account_id": 1})
    stage.play(5.0)
    stage.broker().take(instrument(CALL), Action.BUY, 30)
    stage.command("halt")
    stage.until(lambda: stage.run(run).state == "closed")
    assert stage.broker().net == {}
    assert [order.quantity for order in stage.hands[1].sent] == [LOT, LOT - 30]
