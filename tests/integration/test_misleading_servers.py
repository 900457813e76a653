"""What a server says in another mode, or of another row, is no evidence of an order (RULES 5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine.broker.answers import Placed
from engine.domain.evidence import AccountBooks
from engine.domain.orders import Order
from engine.services.messages import Pushed
from tests.stage import CALL, LOT, PUT, FakeHands, Stage, instrument, take_change, take_only

ONE_LEG = (("SELL", "CE", "atm", 0.0),)


def entered(folder: Path, mode: str) -> tuple[Stage, int]:
    """A stage with one sold call on a server in a mode; short quiet times."""
    stage = Stage(folder, legs=ONE_LEG, quiet_answered=4.0, quiet_unanswered=6.0)
    stage.broker().mode = mode
    return stage, stage.enter()


def in_other_mode(hands: FakeHands, order: Order) -> Placed:
    """The server is switched, takes the order in the books of its other mode, and pushes that it filled there."""
    hands.broker.mode = other = "live" if hands.broker.mode == "analyze" else "analyze"
    orderid = f"other-{order.id}"
    row = next(iter(hands.broker.orders.values()))
    filled = replace(
        row, orderid=orderid, action=order.action, quantity=order.quantity, status="complete",
        filled_quantity=order.quantity, average_price=150.0, tag=None,
    )  # fmt: skip
    hands.inbox.put(Pushed(hands.account_id, filled, other))
    return Placed(orderid, mode=other)


@pytest.mark.parametrize("mode", ["analyze", "live"])
def test_exit_taken_in_the_servers_other_mode_is_sent_again_when_it_is_back(tmp_path: Path, mode: str) -> None:
    stage, run = entered(tmp_path, mode)
    hands = stage.hands[1]
    hands.placements.append(in_other_mode)
    stage.close(run)
    stage.play(20.0)
    assert len(hands.sent) == 2, "nothing goes to a server in the wrong mode"
    assert stage.broker().net == {CALL: -LOT}
    assert any("in" in event.message and "mode" in event.message for event in stage.events("unknown_order"))
    hands.broker.mode = mode
    stage.until(lambda: stage.run(run).state == "closed", 60.0)
    assert stage.broker().net == {}
    assert [order.state for order in stage.orders(run) if order.purpose == "exit"] == ["not_received", "filled"]


class RepeatedEnd:
    """A live book that shows the newest order with the status of the row before it, until it says otherwise."""

    def __init__(self, hands: FakeHands) -> None:
        self.hands = hands
        self.repeating = True

    def __call__(self) -> AccountBooks:
        books = self.hands.broker.books()
        *before, last = books.orders
        if not self.repeating or last.status != "open" or not before:
            return books
        return replace(books, orders=(*before, replace(last, status=before[-1].status)))


def reject(hands: FakeHands, order: Order) -> Placed:
    orderid = take_only(hands, order).orderid  # type: ignore[union-attr]
    hands.broker.end(orderid, "rejected")
    return Placed(orderid)


def test_rejection_of_the_row_before_is_not_taken_for_the_retrys_own(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, "live")
    hands = stage.hands[1]
    hands.books_now = shown = RepeatedEnd(hands)
    hands.placements += [reject, take_only]
    hands.modifies = take_change
    stage.close(run)
    stage.until(lambda: len(hands.sent) == 3, 20.0)
    stage.play(3.5)
    alive = list(hands.broker.orders.values())[-1]
    assert alive.status == "open"
    shown.repeating = False
    hands.broker.fill(alive.orderid, LOT)
    stage.until(lambda: stage.run(run).state == "closed", 30.0)
    assert stage.broker().net == {}
    assert len(hands.sent) == 3


def test_second_rejection_in_a_row_counts_after_a_while_without_a_push(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, "live")
    hands = stage.hands[1]
    hands.placements += [reject, reject]
    stage.close(run)
    stage.until(lambda: len(hands.sent) == 3, 20.0)
    sent = stage.clock.now()
    stage.until(lambda: stage.run(run).state == "closed", 30.0)
    assert stage.broker().net == {}
    assert len(hands.sent) == 4
    assert stage.clock.now() - sent >= timedelta(seconds=5)


def test_second_rejection_in_a_row_counts_at_once_when_it_is_pushed(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, "live")
    hands = stage.hands[1]
    hands.placements += [reject, reject]
    stage.close(run)
    stage.until(lambda: len(hands.sent) == 3, 20.0)
    sent = stage.clock.now()
    stage.step()
    stage.push(1, list(hands.broker.orders.values())[-1])
    stage.until(lambda: stage.run(run).state == "closed", 30.0)
    assert stage.broker().net == {}
    assert stage.clock.now() - sent < timedelta(seconds=5)


def test_cancelled_row_of_somebody_else_before_an_exit_does_not_double_it(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, "live")
    hands = stage.hands[1]
    foreign = hands.broker.take(instrument(PUT), hands.sent[0].action, LOT, fills=0)
    hands.broker.end(foreign, "cancelled")
    hands.books_now = shown = RepeatedEnd(hands)
    hands.placements.append(take_only)
    hands.modifies = take_change
    stage.close(run)
    stage.play(4.0)
    alive = list(hands.broker.orders.values())[-1]
    shown.repeating = False
    if alive.status == "open":
        hands.broker.fill(alive.orderid, LOT - (alive.filled_quantity or 0))
    stage.until(lambda: stage.run(run).state == "closed", 30.0)
    assert stage.broker().net == {}
    assert len(hands.sent) == 2
