"""What a person says must not make a position disappear that the broker still holds (RULES 5, step 5)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.broker.answers import NoAnswer, NotSent, Placed, PlacementOutcome, Queued, Refused
from engine.domain.evidence import SeenOrder
from engine.domain.instruments import Action, PriceType
from engine.domain.orders import Order
from engine.services.messages import Answered, Probed
from engine.store import tables
from tests.stage import CALL, LOT, FakeHands, Stage, fill_at_once, instrument, lose, take_only

ONE_LEG = (("SELL", "CE", "atm", 0.0),)
DOUBT = {"unknown", "queued"}


def in_doubt(folder: Path, placement: Any = lose, *, before: Callable[[Stage], None] = lambda _stage: None) -> Stage:
    """Run 1, a sold call, leaves: its exit order 2 is in doubt, and will be for minutes."""
    stage = Stage(folder, legs=ONE_LEG)
    run = stage.enter()
    before(stage)
    stage.hands[1].placements = [placement]
    stage.close(run)
    stage.until(lambda: len(stage.orders(1)) == 2 and stage.orders(1)[1].state in DOUBT, 10)
    stage.play(3.0)
    return stage


def declare(stage: Stage, state: str, **fields: Any) -> tables.Command:
    said = {"order_id": 2, "state": state, "quantity": None, "price": None, "orderid": None} | fields
    number = stage.command("declare_order", said)
    stage.step()
    return stage.answer(number)


def refused(stage: Stage, answer: tables.Command, words: str) -> None:
    assert answer.state == "refused", answer.outcome
    assert words in answer.outcome["message"]
    stage.play(5.0)
    assert stage.orders(1)[1].state in DOUBT
    assert stage.run(1).state == "exiting"


def test_fill_under_an_id_that_no_book_knows_is_refused_where_the_position_did_not_move(tmp_path: Path) -> None:
    stage = in_doubt(tmp_path)
    refused(stage, declare(stage, "filled", price=100.0, orderid="B-77"), "did not move")
    assert stage.broker().net == {CALL: -LOT}


def test_fill_within_the_quiet_time_is_refused_where_young_books_show_none(tmp_path: Path) -> None:
    stage = in_doubt(tmp_path, lambda _hands, _order: NoAnswer("the line was cut"))
    refused(stage, declare(stage, "filled", price=100.0), "did not move")


def test_more_than_the_position_moved_is_not_declared_filled(tmp_path: Path) -> None:
    def a_part_unlisted(hands: FakeHands, order: Order) -> None:
        orderid = hands.broker.take(instrument(CALL), order.action, 30)
        del hands.broker.orders[orderid]

    stage = in_doubt(tmp_path, a_part_unlisted)
    refused(stage, declare(stage, "filled", price=100.0), "30 units at most")


def test_id_of_an_order_that_was_there_before_is_refused(tmp_path: Path) -> None:
    def bought_and_sold_by_hand(stage: Stage) -> None:
        for action in (Action.BUY, Action.SELL):
            stage.broker().take(instrument(CALL), action, LOT)
        stage.play(3.0)

    stage = in_doubt(tmp_path, before=bought_and_sold_by_hand)
    refused(stage, declare(stage, "working", orderid="1-2"), "before order 2 was sent")


def test_fill_that_the_orders_own_row_denies_is_refused(tmp_path: Path) -> None:
    def approved_and_rejected(hands: FakeHands, order: Order) -> PlacementOutcome:
        hands.broker.take(instrument(CALL), order.action, order.quantity, fills=0)
        hands.broker.end("1-2", "rejected", "no margin")
        return Queued("8")

    stage = in_doubt(tmp_path, approved_and_rejected)
    refused(stage, declare(stage, "filled", price=100.0, orderid="1-2"), "rejected with 0 filled")


def without_books(hands: FakeHands, _order: Order) -> PlacementOutcome | None:
    """The order is lost, and so are the books from now on."""
    hands.silent.add("books")
    return None


def declared_without_books(folder: Path, **fields: Any) -> Stage:
    stage = in_doubt(folder, without_books)
    assert declare(stage, "filled", price=100.0, **fields).state == "done"
    return stage


def exited_once_more(stage: Stage) -> None:
    stage.hands[1].silent.discard("books")
    stage.until(lambda: not stage.broker().net, 60)
    stage.until(lambda: stage.run(1).state == "closed", 60)
    assert [order.action for order in stage.hands[1].sent] == ["SELL", "BUY", "BUY"]
    assert sum(row.filled_quantity or 0 for row in stage.broker().orders.values()) == 2 * LOT
    assert any("were declared filled" in event.message for event in stage.events("unknown_order"))


def test_fill_declared_while_no_books_came_is_taken_back_when_they_show_its_id_rejected(tmp_path: Path) -> None:
    stage = declared_without_books(tmp_path, orderid="B-77")
    stage.broker().orders["B-77"] = SeenOrder(
        "B-77", instrument(CALL), Action.BUY, LOT, PriceType.MARKET, 0.0, "rejected", 0, None, None, None, "no margin"
    )
    exited_once_more(stage)


@pytest.mark.parametrize("answer", [Refused("no margin", 400), NotSent("no connection")])
@pytest.mark.parametrize("first", ["books", "answer"])
def test_fill_declared_while_no_books_came_is_taken_back_by_a_late_answer_that_nothing_was_placed(
    tmp_path: Path, answer: PlacementOutcome, first: str
) -> None:
    stage = declared_without_books(tmp_path)
    if first == "books":
        stage.hands[1].silent.discard("books")
        stage.until(lambda: stage.run(1).state == "closed", 60)
    stage.inbox.put(Answered(2, answer))
    exited_once_more(stage)


def test_fill_of_an_order_that_no_book_ever_lists_is_taken_back_when_the_position_did_not_move(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    run = stage.enter()
    stage.hands[1].placements = [lambda _hands, _order: Placed("B-9")]
    stage.hands[1].modifies = lambda _hands, _order, _price: Refused("there is no such order", 404)
    stage.close(run)
    stage.play(8.0)
    assert declare(stage, "filled", price=100.0).state == "done"
    exited_once_more(stage)


@pytest.mark.parametrize("unlisted", [True, False])
def test_fill_declared_while_no_books_came_stays_when_the_position_did_move(tmp_path: Path, *, unlisted: bool) -> None:
    stage = declared_without_books(tmp_path)
    orderid = stage.broker().take(instrument(CALL), Action.BUY, LOT)
    if unlisted:
        del stage.broker().orders[orderid]
    stage.hands[1].silent.discard("books")
    stage.until(lambda: stage.run(1).state == "closed", 60)
    stage.play(15.0)
    assert stage.broker().net == {}
    assert len(stage.hands[1].sent) == 2


def test_part_declared_filled_that_did_fill_stays(tmp_path: Path) -> None:
    stage = declared_without_books(tmp_path, orderid="1-2", quantity=30)
    stage.broker().take(instrument(CALL), Action.BUY, LOT, fills=30)
    stage.broker().end("1-2", "cancelled")
    stage.hands[1].silent.discard("books")
    stage.until(lambda: stage.run(1).state == "closed", 60)
    assert stage.broker().net == {}
    assert [order.quantity for order in stage.hands[1].sent] == [LOT, LOT, LOT - 30]


@pytest.mark.parametrize("orderid", [["B-9"], 9, "B" * 101])
def test_id_that_is_no_text_is_refused(tmp_path: Path, orderid: object) -> None:
    stage = in_doubt(tmp_path)
    refused(stage, declare(stage, "working", orderid=orderid), "orderid")


@pytest.mark.parametrize("wrong", [{"quantity": -65.9}, {"quantity": "-65"}, {"quantity": True}, {"price": "150"}])
def test_adoption_with_senseless_figures_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    run = stage.enter()
    stage.broker().take(instrument(CALL), Action.SELL, LOT)
    stage.play(3.0)
    asked = {"run_id": run, "account_id": 1, "symbol": CALL, "exchange": "NFO", "product": "NRML"}
    number = stage.command("adopt", asked | {"quantity": -LOT, "price": 150.0} | wrong)
    stage.play(1.0)
    assert stage.answer(number).state == "refused"
    assert [held.quantity for held in stage.ledger.holdings[run].values()] == [-LOT]


# ── an exit that waits is told ────────────────────────────────────────────────────────────────────────────────────────


def test_exit_that_a_quarantined_account_keeps_back_is_an_alarm(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    stage.broker().mode = "live"
    run = stage.enter()
    stage.broker().semi_auto = True
    stage.inbox.put(Probed(1, True, "semi-auto"))
    stage.close(run)
    stage.play(15.0)
    assert len(stage.hands[1].sent) == 1
    assert any("semi-auto" in event.message for event in stage.events("exit_blocked"))
    stage.broker().semi_auto = False
    stage.until(lambda: stage.run(run).state == "closed", 90)
    assert stage.broker().net == {}


def test_exit_whose_cancellation_is_never_carried_out_is_an_alarm(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    run = stage.enter()
    hands = stage.hands[1]
    hands.usual, hands.modifies = take_only, lambda _hands, _order, _price: Refused("cannot modify", 400)
    hands.silent.add("cancel")
    stage.close(run)
    stage.until(lambda: hands.cancelled, 30)
    told = len(stage.events("exit_blocked"))
    stage.play(75.0, by=0.5)
    assert len(stage.events("exit_blocked")) > told
    hands.usual = fill_at_once
    hands.silent.discard("cancel")
    stage.until(lambda: stage.run(run).state == "closed", 30)
    assert stage.broker().net == {}
