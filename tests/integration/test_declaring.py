"""A person says what became of an order in doubt: what counts then, what is refused, and what still wins (RULES 5)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.broker.answers import OutcomeOpen, Placed, Queued, Refused
from engine.domain.instruments import Action, PriceType
from engine.services.ledger import Pass
from engine.services.messages import Answered, CommandArrived
from engine.services.quarantine import SEMI_AUTO
from engine.services.unknowns import declarable, evidence_of
from engine.store import tables
from tests.stage import CALL, LOT, FakeHands, Stage, fill_at_once, instrument, lose

ONE_LEG = (("SELL", "CE", "atm", 0.0),)


def doubt(tmp_path: Path, placement: Any = lose, **how: Any) -> tuple[Stage, int, int]:
    """A run of one sold call whose exit order is in doubt: stage, run, order."""
    stage = Stage(tmp_path, legs=ONE_LEG, **{"quiet_answered": 4.0, "quiet_unanswered": 6.0} | how)
    run = stage.enter()
    stage.hands[1].placements = [placement]
    stage.close(run)
    stage.until(lambda: len(stage.orders(run)) == 2 and stage.orders(run)[1].state in {"unknown", "queued"}, 10)
    stage.play(8)
    return stage, run, stage.orders(run)[1].id


def order_of(stage: Stage, order_id: int) -> tables.Order:
    with stage.database.read() as session:
        return session.get_one(tables.Order, order_id)


def declare(stage: Stage, order_id: int, state: str, **fields: Any) -> tables.Command:
    """Declare and return the command with its answer."""
    said = {"order_id": order_id, "state": state, "quantity": None, "price": None, "orderid": None} | fields
    number = stage.command("declare_order", said)
    stage.step()
    return stage.answer(number)


def closed(stage: Stage, run: int) -> None:
    stage.until(lambda: stage.run(run).state == "closed", 60)
    assert stage.broker().net == {}


def by_hand(*quantities: int) -> Any:
    """The order is taken in pieces that no rule can tell from somebody's own."""

    def place(hands: FakeHands, _order: Any) -> OutcomeOpen:
        for quantity in quantities:
            hands.broker.take(instrument(CALL), Action.BUY, quantity)
        return OutcomeOpen("200 without an order id")

    return place


def queue(_hands: FakeHands, _order: Any) -> Queued:
    return Queued("8")


# ── what counts from then on ──────────────────────────────────────────────────────────────────────────────────────────


def test_order_declared_filled_counts_with_its_price_and_the_run_ends(tmp_path: Path) -> None:
    stage, run, order_id = doubt(tmp_path, by_hand(30, 35))
    answer = declare(stage, order_id, "filled", quantity=LOT, price=150.5)
    assert answer.state == "done", answer.outcome
    order = order_of(stage, order_id)
    assert (order.state, order.filled_quantity, order.filled_value_paise) == ("filled", LOT, LOT * 150_50)
    assert order.declared_by == 1
    closed(stage, run)
    assert len(stage.hands[1].sent) == 2
    event = next(event for event in stage.events("unknown_order") if "declared" in event.message)
    assert event.knew["declared"] == {"by": 1, "state": "filled", "quantity": LOT, "price": 150.5, "orderid": None}
    assert event.knew["evidence"]["order_id"] == order_id


def test_order_declared_not_received_is_planned_anew(tmp_path: Path) -> None:
    stage, run, order_id = doubt(tmp_path)
    assert declare(stage, order_id, "not_received").state == "done"
    closed(stage, run)
    assert len(stage.hands[1].sent) == 3


def test_part_that_was_declared_filled_leaves_the_rest_to_the_exit(tmp_path: Path) -> None:
    stage, run, order_id = doubt(tmp_path, by_hand(30), lots=2)
    assert declare(stage, order_id, "cancelled", quantity=30, price=151.0).state == "done"
    closed(stage, run)
    assert sum(order.quantity for order in stage.hands[1].sent[2:]) == 2 * LOT - 30
    assert order_of(stage, order_id).filled_value_paise == 30 * 151_00


def test_order_declared_working_is_followed_by_its_id(tmp_path: Path) -> None:
    """The broker lists it as a stop order: no rule takes that for a market order of ours."""

    def as_a_stop(hands: FakeHands, order: Any) -> OutcomeOpen:
        orderid = hands.broker.take(instrument(CALL), order.action, order.quantity, fills=0)
        hands.broker.orders[orderid] = replace(hands.broker.orders[orderid], price_type=PriceType.SL)
        return OutcomeOpen("200 without an order id")

    stage, run, order_id = doubt(tmp_path, as_a_stop)
    orderid = list(stage.broker().orders)[-1]
    stage.play(10)
    stage.broker().fill(orderid, LOT)
    stage.play(3)
    assert order_of(stage, order_id).state == "unknown"
    assert declare(stage, order_id, "working", orderid=orderid).state == "done"
    closed(stage, run)
    assert order_of(stage, order_id).orderid == orderid


def test_id_that_the_broker_never_lists_spoils_the_books_until_a_person_says_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    run = stage.enter()
    stage.hands[1].placements = [lambda _h, _o: Refused("margin", 400, "B9")]
    stage.close(run)
    stage.play(30, by=0.5)
    order = stage.orders(run)[1]
    assert "B9" in stage.world.accounts[1].books_problem
    assert [one.id for one in declarable(Pass(stage.ledger, stage.clock.now()), stage.world)] == [order.id]
    assert declare(stage, order.id, "rejected").state == "done"
    closed(stage, run)
    assert len(stage.hands[1].sent) == 3


def test_queued_order_declared_cancelled_ends_the_quarantine_and_the_exit_goes_on(tmp_path: Path) -> None:
    stage, run, order_id = doubt(tmp_path, queue)
    assert stage.world.accounts[1].quarantine == SEMI_AUTO
    assert declare(stage, order_id, "cancelled").state == "done"
    assert stage.world.accounts[1].quarantine == ""
    closed(stage, run)
    assert len(stage.hands[1].sent) == 3


def test_live_account_stays_quarantined_until_its_probe_says_that_it_does_not_queue(tmp_path: Path) -> None:
    stage, run, order_id = live_and_queued(tmp_path)
    stage.broker().semi_auto = True
    assert declare(stage, order_id, "rejected").state == "done"
    stage.play(30, by=0.5)
    assert stage.world.accounts[1].quarantine == SEMI_AUTO
    assert len(stage.hands[1].sent) == 2
    stage.broker().semi_auto = False
    stage.play(60, by=0.5)
    closed(stage, run)


def live_and_queued(tmp_path: Path) -> tuple[Stage, int, int]:
    stage = Stage(tmp_path, legs=ONE_LEG)
    stage.broker().mode = "live"
    run = stage.enter()
    stage.hands[1].placements = [queue]
    stage.close(run)
    stage.until(lambda: len(stage.orders(run)) == 2 and stage.orders(run)[1].state == "queued", 10)
    return stage, run, stage.orders(run)[1].id


def test_queued_order_that_was_approved_is_followed_by_its_id(tmp_path: Path) -> None:
    stage, run, order_id = doubt(tmp_path, queue)
    approved = stage.broker().take(instrument(CALL), Action.BUY, LOT)
    stage.play(3)
    assert order_of(stage, order_id).state == "queued"
    assert declare(stage, order_id, "working", orderid=approved).state == "done"
    closed(stage, run)
    assert len(stage.hands[1].sent) == 2


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"state": "lost"}, "state: 'lost' is none of"),
        ({"state": "filled", "quantity": 0, "price": 150.0}, "quantity: 0 is not within 1 and 65"),
        ({"state": "filled", "quantity": LOT + 1, "price": 150.0}, "quantity: 66 is not within"),
        ({"state": "filled", "quantity": 1.5, "price": 150.0}, "quantity: 1.5 is not a whole number"),
        ({"state": "filled", "quantity": LOT}, "price: what filled needs"),
        ({"state": "filled", "quantity": LOT, "price": 0.0}, "price: what filled needs"),
        ({"state": "filled", "quantity": LOT, "price": math.inf}, "price: what filled needs"),
        ({"state": "cancelled", "quantity": LOT, "price": 150.0}, "declare it filled"),
        ({"state": "cancelled", "quantity": 30}, "price: what filled needs"),
        ({"state": "working"}, "orderid: a working order needs"),
        ({"state": "rejected", "quantity": 5, "price": 1.0}, "quantity: an order declared rejected has none"),
        ({"state": "filled", "quantity": LOT, "price": 150.0}, "The position did not move"),
        ({"state": "working", "orderid": "1-1"}, "is the broker's id of order"),
        ({"state": "working", "orderid": "other"}, "not this order"),
    ],
)
def test_declaration_that_cannot_be_is_refused_and_changes_nothing(
    tmp_path: Path, said: dict[str, Any], why: str
) -> None:
    stage, _, order_id = doubt(tmp_path)
    somebodys = stage.broker().take(instrument(CALL), Action.BUY, 30, fills=0)
    stage.broker().orders["other"] = replace(stage.broker().orders.pop(somebodys), orderid="other")
    stage.play(3)
    answer = declare(stage, order_id, **said)
    assert answer.state == "refused"
    assert why in answer.outcome["message"]
    order = order_of(stage, order_id)
    assert (order.state, order.declared_by, order.filled_quantity) == ("unknown", None, 0)


def test_order_that_is_not_in_doubt_is_not_declared(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE_LEG)
    run = stage.enter()
    answer = declare(stage, stage.orders(run)[0].id, "not_received")
    assert (answer.state, "not in doubt" in answer.outcome["message"]) == ("refused", True)
    assert declare(stage, 4711, "not_received").outcome["message"] == "There is no such order."


def test_order_of_somebody_else_is_not_declared(tmp_path: Path) -> None:
    stage, _, order_id = doubt(tmp_path)
    payload = {"order_id": order_id, "state": "not_received"}
    stage.inbox.put(CommandArrived(99, 2, "declare_order", payload, stage.clock.now(), None))
    stage.play(1)
    assert order_of(stage, order_id).state == "unknown"


def test_order_that_moved_the_position_is_not_declared_absent(tmp_path: Path) -> None:
    """Two orders of a class are in doubt, and the net moved by one: no rule says by which, but it did move."""
    stage = Stage(tmp_path, legs=ONE_LEG)
    runs = [stage.enter(), stage.enter(again=True)]
    stage.hands[1].usual = lose
    for run in runs:
        stage.close(run)
        stage.play(4)
    stage.broker().trades.append(replace(stage.broker().trades[-1], orderid="X1", action=Action.BUY, quantity=30))
    stage.broker().trades.append(replace(stage.broker().trades[-1], orderid="X2", quantity=35))
    stage.play(3)
    order = stage.orders(runs[0])[1]
    answer = declare(stage, order.id, "not_received")
    assert (answer.state, "moved by exactly this order" in answer.outcome["message"]) == ("refused", True)
    assert declare(stage, order.id, "filled", quantity=LOT, price=150.0).state == "done"


def test_server_that_named_an_order_had_it(tmp_path: Path) -> None:
    stage, _, order_id = doubt(tmp_path, queue)
    answer = declare(stage, order_id, "not_received")
    assert (answer.state, "The server had order" in answer.outcome["message"]) == ("refused", True)


# ── what still wins ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_late_answer_brings_a_declared_order_back_with_an_alarm(tmp_path: Path) -> None:
    stage, run, order_id = doubt(tmp_path)
    stage.hands[1].usual = lose
    assert declare(stage, order_id, "rejected").state == "done"
    orderid = stage.broker().take(instrument(CALL), Action.BUY, LOT)
    stage.inbox.put(Answered(order_id, Placed(orderid)))
    stage.play(2)
    order = order_of(stage, order_id)
    assert (order.state, order.orderid, order.filled_quantity) == ("filled", orderid, LOT)
    assert any("was declared rejected" in event.message for event in stage.events("unknown_order"))
    assert stage.run(run).state != "closed" or stage.broker().net == {}


def test_book_that_shows_more_than_was_declared_wins_with_an_alarm(tmp_path: Path) -> None:
    stage, run, order_id = doubt(tmp_path, queue, lots=2)
    orderid = stage.broker().take(instrument(CALL), Action.BUY, 2 * LOT, fills=LOT)
    stage.play(3)
    assert declare(stage, order_id, "cancelled", quantity=LOT, price=150.0, orderid=orderid).state == "done"
    stage.broker().fill(orderid, LOT)
    stage.play(3)
    assert order_of(stage, order_id).filled_quantity == 2 * LOT
    assert any("after it was declared cancelled" in event.message for event in stage.events("unknown_order"))
    stage.until(lambda: stage.run(run).state == "closed", 60)


def test_price_of_the_trades_corrects_a_declared_one(tmp_path: Path) -> None:
    stage, run, order_id = doubt(tmp_path, queue)
    approved = stage.broker().take(instrument(CALL), Action.BUY, LOT)
    stage.play(3)
    assert declare(stage, order_id, "filled", quantity=LOT, price=140.0, orderid=approved).state == "done"
    assert order_of(stage, order_id).filled_value_paise == LOT * 150_00
    closed(stage, run)


# ── what a person is shown ────────────────────────────────────────────────────────────────────────────────────────────


def test_evidence_says_what_the_doubt_waits_for(tmp_path: Path) -> None:
    stage, _, order_id = doubt(tmp_path)
    changes = Pass(stage.ledger, stage.clock.now())
    order = changes.order(order_id)
    assert order is not None
    view = evidence_of(changes, stage.world, order)
    assert (view.waits_for, view.moved, view.candidates) == ("the answer: its connection is still open", 0, [])
    assert view.books_age_seconds is not None
    stage.inbox.put(Answered(order_id, Queued("8")))
    stage.step()
    changes = Pass(stage.ledger, stage.clock.now())
    order = changes.order(order_id)
    assert order is not None
    assert "approve or decline" in evidence_of(changes, stage.world, order).waits_for


def test_declared_order_is_declared_after_a_restart_too(tmp_path: Path) -> None:
    stage, run, order_id = doubt(tmp_path, by_hand(30, 35))
    declare(stage, order_id, "filled", quantity=LOT, price=150.5)
    stage.hands[1].usual = fill_at_once
    stage.restart()
    closed(stage, run)
    assert stage.hands[1].sent == []
    assert order_of(stage, order_id).declared_by == 1
