"""Orders whose fate is not known: found, inferred from the position, called absent, or left in doubt (RULES 5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.broker.answers import NoAnswer, OutcomeOpen, Placed, Queued, Refused
from engine.domain.evidence import SeenOrder, SeenTrade
from engine.domain.instruments import Action, PriceType
from engine.services.messages import Answered, BooksRead, Pushed
from engine.services.quarantine import SEMI_AUTO
from engine.store import tables
from tests.stage import CALL, LOT, PUT, FakeHands, Stage, fail, fill_at_once, instrument, lose

ONE_LEG = (("SELL", "CE", "atm", 0.0),)


def stage_of(tmp_path: Path, **how: Any) -> tuple[Stage, int]:
    """A stage with one sold call, entered; short quiet times."""
    stage = Stage(tmp_path, legs=ONE_LEG, **{"quiet_answered": 4.0, "quiet_unanswered": 6.0} | how)
    return stage, stage.enter()


def exit_order(stage: Stage, run: int) -> tables.Order:
    return next(order for order in stage.orders(run) if order.purpose == "exit")


def state(stage: Stage, run: int) -> str:
    """State of the first exit order, empty before there is one."""
    return next((str(order.state) for order in stage.orders(run) if order.purpose == "exit"), "")


def flat(stage: Stage, run: int, seconds: float = 60.0) -> None:
    stage.until(lambda: stage.run(run).state == "closed", seconds)
    assert stage.broker().net == {}


def move_only(hands: FakeHands, order: Any) -> OutcomeOpen:
    """The order fills, and neither order nor trade book ever name it."""
    where = instrument(order.symbol)
    hands.broker.carried[where] = hands.broker.carried.get(where, 0) + order.action.sign * order.quantity
    return OutcomeOpen("200 without an order id")


def trade_only(*ids: str, price: float = 151.0) -> Any:
    """The order fills, and only the trade book says so, under these ids in equal parts."""

    def place(hands: FakeHands, order: Any) -> OutcomeOpen:
        part = order.quantity // len(ids)
        left = order.quantity - part * (len(ids) - 1)
        for number, orderid in enumerate(ids):
            quantity = part if number else left
            hands.broker.trades.append(SeenTrade(orderid, instrument(order.symbol), order.action, quantity, price))
        return OutcomeOpen("200 without an order id")

    return place


# ── filled by position ────────────────────────────────────────────────────────────────────────────────────────────────


def test_order_that_only_the_position_shows_is_filled_by_position_and_not_sent_again(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path)
    stage.hands[1].placements = [move_only]
    stage.close(run)
    stage.until(lambda: state(stage, run) == "filled", 120)
    order = exit_order(stage, run)
    assert (order.filled_quantity, order.estimated, order.orderid) == (LOT, True, None)
    assert order.filled_value_paise == LOT * 150_00
    flat(stage, run)
    assert len(stage.hands[1].sent) == 2
    assert any("filled by position" in event.message for event in stage.events("unknown_order"))


def test_trade_book_without_the_order_is_a_candidate(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path)
    stage.hands[1].placements = [trade_only("X1")]
    stage.close(run)
    flat(stage, run)
    order = exit_order(stage, run)
    assert (order.orderid, order.filled_value_paise, order.estimated) == ("X1", LOT * 151_00, False)


def test_fill_that_the_broker_split_under_ids_of_its_own_is_found_by_position_at_the_price_of_its_trades(
    tmp_path: Path,
) -> None:
    stage, run = stage_of(tmp_path)
    stage.hands[1].placements = [trade_only("X1", "X2")]
    stage.close(run)
    flat(stage, run)
    order = exit_order(stage, run)
    assert (order.state, order.estimated, order.filled_value_paise) == ("filled", True, LOT * 151_00)
    assert len(stage.hands[1].sent) == 2


def test_row_that_comes_after_the_position_binds_the_order_and_corrects_its_price_once(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path)
    broker = stage.broker()
    stage.hands[1].placements = [move_only]
    stage.close(run)
    stage.until(lambda: state(stage, run) == "filled", 120)
    order = exit_order(stage, run)
    broker.carried.clear()
    broker.price[CALL] = 152.0
    orderid = broker.take(instrument(CALL), Action.BUY, LOT)
    stage.until(lambda: exit_order(stage, run).orderid == orderid, 120)
    order = exit_order(stage, run)
    assert (order.filled_quantity, order.filled_value_paise, order.estimated) == (LOT, LOT * 152_00, False)
    flat(stage, run)
    assert len(stage.hands[1].sent) == 2


def test_late_answer_names_what_was_filled_by_position_and_counts_nothing_twice(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path)
    stage.hands[1].placements = [trade_only("X1", "X2")]
    stage.close(run)
    stage.until(lambda: state(stage, run) == "filled", 60)
    stage.inbox.put(Answered(exit_order(stage, run).id, Placed("X1")))
    stage.play(5)
    order = exit_order(stage, run)
    assert (order.orderid, order.filled_quantity, order.state) == ("X1", LOT, "filled")
    flat(stage, run)
    assert len(stage.hands[1].sent) == 2


def test_movement_that_somebodys_own_trade_explains_fills_nothing_and_proves_no_absence(tmp_path: Path) -> None:
    """Somebody bought a part of it back by hand in two orders while ours was on its way: nobody can tell."""
    stage, run = stage_of(tmp_path)

    def by_hand(hands: FakeHands, _order: Any) -> OutcomeOpen:
        hands.broker.take(instrument(CALL), Action.BUY, 30)
        hands.broker.take(instrument(CALL), Action.BUY, 35)
        return OutcomeOpen("200 without an order id")

    stage.hands[1].placements = [by_hand]
    stage.close(run)
    stage.play(60, by=0.5)
    assert exit_order(stage, run).state == "unknown"
    assert len(stage.hands[1].sent) == 2


def test_movement_by_another_quantity_leaves_the_order_in_doubt(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path)
    stage.hands[1].placements = [trade_only("X1", "X2")]
    stage.broker().carried[instrument(PUT)] = 0
    stage.close(run)
    stage.step()
    stage.broker().trades.pop()
    stage.play(30, by=0.5)
    assert exit_order(stage, run).state == "unknown"
    assert len(stage.hands[1].sent) == 2


# ── absent ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_trades_of_before_do_not_keep_an_absent_order_in_doubt(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path)
    broker = stage.broker()
    broker.take(instrument(CALL), Action.BUY, 30)
    broker.take(instrument(CALL), Action.SELL, 30)
    stage.play(3)
    stage.hands[1].placements = [lambda _h, _o: OutcomeOpen("200 without an order id")]
    stage.close(run)
    flat(stage, run)
    assert [order.state for order in stage.orders(run) if order.purpose == "exit"] == ["not_received", "filled"]


def test_absence_outside_the_session_proves_nothing(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path, venue="live")
    stage.clock.seconds += 5 * 3600 + 580  # 15:39:40 in India
    stage.play(3)
    stage.hands[1].placements = [fail]
    stage.close(run)
    stage.until(lambda: state(stage, run) == "unknown", 10)
    stage.clock.seconds += 60
    stage.play(60, by=0.5)
    assert exit_order(stage, run).state == "unknown"
    assert len(stage.hands[1].sent) == 2


def test_order_of_yesterday_that_nobody_knows_is_not_called_absent_by_todays_books(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path, venue="live")
    stage.hands[1].placements = [fail]
    stage.close(run)
    stage.step()
    stage.step()
    broker = stage.broker()
    broker.carried, broker.orders, broker.trades = broker.positions(), {}, []
    stage.clock.seconds += 48 * 3600  # the 24th is a holiday
    stage.play(30, by=0.5)
    assert exit_order(stage, run).state == "unknown"
    assert len(stage.hands[1].sent) == 2


def test_answer_after_an_order_was_called_not_received_is_told_and_leaves_nothing_open(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path)
    stage.hands[1].placements = [fail]
    stage.close(run)
    stage.until(lambda: state(stage, run) == "not_received", 30)
    stage.until(lambda: not stage.broker().net, 10)
    late = stage.broker().take(instrument(CALL), Action.BUY, LOT, fills=0)
    stage.inbox.put(Answered(exit_order(stage, run).id, Placed(late)))
    stage.until(lambda: stage.broker().orders[late].status == "cancelled", 20)
    flat(stage, run)
    assert any("was called not_received" in event.message for event in stage.events("unknown_order"))


# ── claims ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def two_unknown(stage: Stage) -> tuple[int, int, tables.Order, tables.Order]:
    """Two runs whose exits of one class are both on their way, and nobody answers."""
    first, second = stage.enter(), stage.enter(again=True)
    stage.hands[1].placements = [lose, lose]
    stage.close(first)
    stage.until(lambda: len(stage.hands[1].sent) == 3, 10)
    stage.close(second)
    stage.until(lambda: len(stage.hands[1].sent) == 4, 10)
    stage.until(lambda: {state(stage, one) for one in (first, second)} == {"unknown"}, 10)
    return first, second, exit_order(stage, first), exit_order(stage, second)


def test_two_unknown_orders_of_one_class_take_rows_in_the_order_of_sending(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    one, two, _, _ = two_unknown(stage)
    ids = [stage.broker().take(instrument(CALL), Action.BUY, LOT, fills=0) for _ in range(2)]
    stage.until(lambda: exit_order(stage, two).orderid is not None, 10)
    assert [exit_order(stage, run).orderid for run in (one, two)] == ids
    assert len(stage.hands[1].sent) == 4


def test_answer_that_names_the_row_of_the_other_swaps_both_claims(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    one, two, first, second = two_unknown(stage)
    ids = [stage.broker().take(instrument(CALL), Action.BUY, LOT) for _ in range(2)]
    stage.until(lambda: exit_order(stage, two).orderid is not None, 10)
    stage.inbox.put(Answered(second.id, Placed(ids[0])))
    stage.until(lambda: exit_order(stage, one).orderid == ids[1], 10)
    stage.inbox.put(Answered(first.id, Placed(ids[1])))
    stage.until(lambda: {stage.run(run).state for run in (one, two)} == {"closed"})
    assert [exit_order(stage, run).orderid for run in (one, two)] == [ids[1], ids[0]]
    assert stage.broker().net == {}
    assert len(stage.hands[1].sent) == 4


def test_one_of_two_unknown_orders_moved_the_net_and_neither_is_called_absent(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG, quiet_answered=4.0, quiet_unanswered=6.0)
    one, two, first, second = two_unknown(stage)
    for number in ("X1", "X2"):
        quantity = 30 if number == "X1" else 35
        stage.broker().trades.append(SeenTrade(number, instrument(CALL), Action.BUY, quantity, 150.0))
    for order in (first, second):
        stage.inbox.put(Answered(order.id, NoAnswer("the line was cut")))
    stage.play(40, by=0.5)
    assert [exit_order(stage, run).state for run in (one, two)] == ["unknown", "unknown"]
    assert len(stage.hands[1].sent) == 4


def test_answer_that_came_before_its_claim_proved_wrong_still_ends_the_quiet_time(tmp_path: Path) -> None:
    """The line was cut after the books gave the order a row; the row is another order's, ours was never received."""
    stage = Stage(tmp_path, legs=ONE_LEG, quiet_answered=4.0, quiet_unanswered=6.0)
    _, two, first, second = two_unknown(stage)
    theirs = stage.broker().take(instrument(CALL), Action.BUY, LOT)
    stage.until(lambda: any(order.orderid == theirs for order in stage.orders(first.execution_id)), 10)
    stage.inbox.put(Answered(first.id, NoAnswer("the line was cut")))
    stage.play(1)
    stage.inbox.put(Answered(second.id, Placed(theirs)))
    stage.until(lambda: stage.run(two).state == "closed")
    flat(stage, first.execution_id)
    assert len(stage.hands[1].sent) == 5


def test_server_whose_clock_is_behind_still_has_its_row_found(tmp_path: Path) -> None:
    """Its times are 60 s behind: an order of ours that it acknowledged shows that."""
    stage = Stage(tmp_path, legs=ONE_LEG)
    broker = stage.broker()

    def behind(hands: FakeHands, order: Any) -> Placed:
        answer = fill_at_once(hands, order)
        assert isinstance(answer, Placed)
        row = hands.broker.orders[answer.orderid]
        assert row.at is not None
        hands.broker.orders[answer.orderid] = replace(row, at=row.at - timedelta(seconds=60))
        return answer

    def in_silence(hands: FakeHands, order: Any) -> None:
        behind(hands, order)

    stage.hands[1].usual = behind
    run = stage.enter()
    stage.hands[1].usual = in_silence
    stage.close(run)
    flat(stage, run)
    assert len(broker.orders) == 2
    assert any("clock of its server differs by -" in event.message for event in stage.events("drift"))


# ── answers, pushes and rows that say less than they seem to ──────────────────────────────────────────────────────────


def shown(orderid: str, order: Any, **fields: Any) -> SeenOrder:
    """A row of the live face: neither filled quantity nor average price."""
    plain: dict[str, Any] = {"status": "open", "filled_quantity": None, "average_price": None}
    return SeenOrder(
        orderid, instrument(order.symbol), order.action, order.quantity, PriceType.MARKET, 0.0,
        at=None, tag=None, **plain | fields,
    )  # fmt: skip


def test_order_shown_complete_that_is_not(tmp_path: Path) -> None:
    """A live book gives an order in an intermediate state the status of the row before it (recorded)."""
    stage, run = stage_of(tmp_path)

    def complete_in_name(hands: FakeHands, order: Any) -> Placed:
        hands.broker.orders["L1"] = shown("L1", order, status="complete")
        return Placed("L1")

    stage.hands[1].placements = [complete_in_name]
    stage.close(run)
    stage.play(1.5)
    assert (exit_order(stage, run).state, exit_order(stage, run).filled_quantity) == ("working", 0)
    assert stage.broker().net == {CALL: -LOT}
    stage.broker().trades.append(SeenTrade("L1", instrument(CALL), Action.BUY, LOT, 150.0))
    flat(stage, run)
    assert len(stage.hands[1].sent) == 2


def test_push_before_the_answer_of_an_order_that_nobody_answers(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path)
    stage.hands[1].silent.add("books")
    stage.hands[1].placements = [lose]
    stage.close(run)
    stage.until(lambda: len(stage.hands[1].sent) == 2, 10)
    orderid = stage.broker().take(instrument(CALL), Action.BUY, LOT)
    stage.push(1, stage.broker().orders[orderid])
    stage.until(lambda: state(stage, run) == "filled", 10)
    assert exit_order(stage, run).orderid == orderid
    stage.hands[1].silent.clear()
    flat(stage, run)
    assert len(stage.hands[1].sent) == 2


def test_part_that_filled_without_a_price_before_the_cancellation_is_found(tmp_path: Path) -> None:
    """The live face lists a trade without a price and no filled quantity, and the order ends cancelled."""
    stage, run = stage_of(tmp_path, lots=2)

    def part(hands: FakeHands, order: Any) -> Placed:
        hands.broker.orders["L1"] = shown("L1", order, status="cancelled")
        hands.broker.trades.append(SeenTrade("L1", instrument(CALL), order.action, LOT, 0.0))
        return Placed("L1")

    stage.hands[1].placements = [part]
    stage.close(run)
    flat(stage, run)
    first, second = [order for order in stage.orders(run) if order.purpose == "exit"]
    assert (first.state, first.filled_quantity, first.estimated) == ("cancelled", LOT, True)
    assert first.filled_value_paise == LOT * 150_00
    assert second.quantity == LOT


def test_price_that_comes_a_moment_after_its_trade_is_waited_for(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path)

    def unpriced(hands: FakeHands, order: Any) -> Placed:
        hands.broker.orders["L1"] = shown("L1", order, status="complete")
        hands.broker.trades.append(SeenTrade("L1", instrument(CALL), order.action, LOT, 0.0))
        return Placed("L1")

    stage.hands[1].placements = [unpriced]
    stage.close(run)
    stage.play(1)
    assert exit_order(stage, run).filled_quantity == 0
    stage.broker().trades[-1] = replace(stage.broker().trades[-1], price=149.0)
    flat(stage, run)
    assert (exit_order(stage, run).filled_value_paise, exit_order(stage, run).estimated) == (LOT * 149_00, False)


def test_position_book_that_fails_at_the_moment_of_the_stop_holds_the_exit_back_for_seconds_only(
    tmp_path: Path,
) -> None:
    stage, run = stage_of(tmp_path, limits={"max_loss": 1_000.0})
    stage.play(3)
    stage.hands[1].books_now = lambda: None
    stage.price(CALL, 200.0)
    stage.until(lambda: not stage.broker().net, 10)
    assert stage.run(run).state == "exiting"
    stage.hands[1].books_now = None
    flat(stage, run)
    assert len(stage.hands[1].sent) == 2


# ── an order that waits for approval ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("ended", ["unknown", "not_received"])
def test_late_answer_that_the_order_is_queued_quarantines_and_sends_nothing_more(tmp_path: Path, ended: str) -> None:
    stage, run = stage_of(tmp_path)
    stage.hands[1].placements = [lose if ended == "unknown" else fail, lose]
    stage.close(run)
    stage.until(lambda: state(stage, run) == ended, 30)
    sent = len(stage.hands[1].sent)
    stage.inbox.put(Answered(exit_order(stage, run).id, Queued("8")))
    stage.play(30, by=0.5)
    order = exit_order(stage, run)
    assert (order.state, order.words) == ("unknown", "queued for approval at the server (request 8)")
    assert stage.world.accounts[1].quarantine == SEMI_AUTO
    stage.restart()
    stage.play(10, by=0.5)
    assert stage.world.accounts[1].quarantine == SEMI_AUTO
    assert exit_order(stage, run).state == "unknown"
    assert stage.hands[1].sent == []
    assert sent == 2


def test_refusal_after_a_fill_by_position_is_told(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path)
    stage.hands[1].placements = [trade_only("X1", "X2")]
    stage.close(run)
    stage.until(lambda: state(stage, run) == "filled", 60)
    stage.inbox.put(Answered(exit_order(stage, run).id, Refused("no margin", 400)))
    stage.play(1)
    assert exit_order(stage, run).filled_quantity == LOT
    assert any("nothing was placed" in event.message for event in stage.events("unknown_order"))


def fill_between_two_books(hands: FakeHands, order: Any) -> None:
    """The order fills while the books are read: the order book shows nothing of it yet, trade and position book do."""
    rows = tuple(hands.broker.orders.values())
    answer = fill_at_once(hands, order)
    hands.inbox.put(BooksRead(hands.account_id, replace(hands.broker.books(), orders=rows), hands.clock.now()))
    hands.inbox.put(Answered(order.id, answer))
    hands.inbox.put(Pushed(hands.account_id, list(hands.broker.orders.values())[-1]))


def test_slice_after_one_that_filled_between_two_books_is_called_absent_and_sent_again(tmp_path: Path) -> None:
    stage, run = stage_of(tmp_path, lots=28)
    stage.hands[1].placements = [fill_between_two_books, fail]
    stage.close(run)
    flat(stage, run)
    assert [order.quantity for order in stage.hands[1].sent] == [1755, 65, 1755, 65, 65]
