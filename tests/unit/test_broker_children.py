"""What the answer to a call with several orders proves about each (RULES 5): nothing is guessed, nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.broker.account_wide import CancelledAll, ClosingTaken, judge_cancel_all, judge_close_position
from engine.broker.answers import (
    NoAnswer,
    NothingToDo,
    OutcomeOpen,
    Placed,
    Queued,
    RateLimited,
    Refused,
    Unclear,
    judge_smart,
)
from engine.broker.children import (
    BasketAnswer,
    BasketGroup,
    ChildOrder,
    Children,
    judge_basket,
    judge_child,
    judge_children,
)
from engine.broker.triggers import TriggerChanged, TriggerPlaced, judge_gtt, judge_gtt_change

GOOD = {"status": "success", "orderid": "26112"}
BAD = {"status": "error", "message": "Symbol NOSUCH not found on NFO"}
MISSING = OutcomeOpen("not named in the answer")


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def results(*rows: Any, **fields: Any) -> bytes:
    return body(status="success", results=list(rows), **fields)


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        (GOOD, Placed("26112")),
        (BAD, Refused("Symbol NOSUCH not found on NFO", 200)),
        ({**BAD, "orderid": "26112"}, Refused("Symbol NOSUCH not found on NFO", 200, "26112")),
        ({"status": "success"}, OutcomeOpen("neither an order id nor a reason")),
        ({"status": "success", "orderid": None}, OutcomeOpen("neither an order id nor a reason")),
        ({"status": "success", "orderid": "None"}, OutcomeOpen("neither an order id nor a reason")),
        ({"status": "success", "message": "done"}, OutcomeOpen("done")),
        ({"status": "error"}, OutcomeOpen("neither an order id nor a reason")),
        ({"status": "error", "message": ""}, OutcomeOpen("neither an order id nor a reason")),
        ({"status": "error", "orderid": "", "message": "x"}, OutcomeOpen("x")),
        ({"status": "queued", "pending_order_id": 7}, Queued("7")),
        ({"status": "error", "message": "Quantity must be in multiples of lot size 65"}, None),
        ({"status": "error", "message": "Insufficient funds. Required margin is 5000000"}, None),
    ],
)
def test_a_row_proves_what_it_says(row: dict[str, Any], outcome: Any) -> None:
    assert judge_child(row) == (outcome or Refused(row["message"], 200))


@pytest.mark.parametrize(
    "said",
    [
        "Failed to place order due to internal error",
        "Server disconnected without sending a response.",
        "The read operation timed out",
        "[Errno 104] Connection reset by peer",
        "Client error '403 Forbidden' for url 'https://api.broker.invalid/orders'",
        "502 Bad Gateway",
        "An unexpected error occurred",
        "Expecting value: line 1 column 1 (char 0) in JSON",
        "'NoneType' object is not subscriptable",
        "Order could not be processed",
        "RMS: blocked, connection to exchange lost",
        "Insufficient data from broker: timed out",
        "no",
    ],
)
def test_a_row_without_words_about_the_order_is_no_refusal(said: str) -> None:
    assert judge_child({"status": "error", "message": said}) == OutcomeOpen(said)


def test_a_refusal_inside_a_failed_answer_is_none() -> None:
    assert judge_child(BAD, 500) == OutcomeOpen(BAD["message"])
    assert judge_child(GOOD, 500) == Placed("26112")


def test_numbered_rows_go_to_their_places_and_a_missing_one_is_open() -> None:
    rows = [{**GOOD, "order_num": 3, "quantity": 65}, {**BAD, "order_num": 1, "quantity": 130}]
    assert judge_children(200, results(*rows), places=3, numbered_by="order_num") == Children(
        (
            ChildOrder(Refused(BAD["message"], 200), 1, quantity=130),
            ChildOrder(MISSING, 2),
            ChildOrder(Placed("26112"), 3, quantity=65),
        )
    )


@pytest.mark.parametrize("number", [0, 3, -1, None, "x", 1.5, True, 10**40])
def test_a_row_without_a_place_is_kept_apart_and_every_place_stays_open(number: Any) -> None:
    outcome = judge_children(200, results({**GOOD, "leg": number}), places=2, numbered_by="leg")
    assert isinstance(outcome, Children)
    assert [one.outcome for one in outcome.orders] == [MISSING, MISSING]
    assert [one.outcome for one in outcome.unexplained] == [Placed("26112")]


def test_a_second_row_for_a_place_is_not_lost() -> None:
    rows = [{**GOOD, "leg": 1}, {"status": "success", "orderid": "26113", "leg": 1}]
    outcome = judge_children(200, results(*rows, orderid="26114"), places=1, numbered_by="leg")
    assert isinstance(outcome, Children)
    assert [one.outcome for one in outcome.orders] == [Placed("26112")]
    assert {one.outcome for one in outcome.unexplained} == {Placed("26113"), Placed("26114")}


@pytest.mark.parametrize(
    ("status", "answer", "outcome"),
    [
        (400, body(status="error", message="no"), Refused("no", 400)),
        (429, body(message="10 per 1 second"), RateLimited("10 per 1 second")),
        (429, results({**GOOD, "leg": 1}, message="slow"), OutcomeOpen("slow; the answer names 26112", "26112")),
        (500, body(status="error", message="no"), OutcomeOpen("500: no")),
        (502, b"<html>", NoAnswer("502 without OpenAlgo's JSON")),
        (200, b"<html>", NoAnswer("200 without OpenAlgo's JSON")),
        (200, body(status="success"), OutcomeOpen("200 without an order id")),
        (200, body(status="success", pending_order_id=4), Queued("4")),
        (200, results(), OutcomeOpen("200 without an order id")),
    ],
)
def test_a_call_that_was_not_taken(status: int, answer: bytes, outcome: Any) -> None:
    assert judge_children(status, answer, places=2, numbered_by="leg") == outcome
    assert judge_basket(status, answer, symbols=["A", "B"]) == outcome


def test_a_failure_that_tells_of_its_orders_is_judged_order_by_order() -> None:
    answer = body(status="error", message="some failed", results=[{**GOOD, "leg": 2}, {**BAD, "leg": 1}])
    outcome = judge_children(500, answer, places=2, numbered_by="leg")
    assert isinstance(outcome, Children)
    assert [one.outcome for one in outcome.orders] == [OutcomeOpen(BAD["message"]), Placed("26112")]


def test_legs_of_a_basket_are_told_by_symbol_whatever_the_order() -> None:
    rows = [{**GOOD, "symbol": "B"}, {**BAD, "symbol": "A"}]
    outcome = judge_basket(200, results(*rows), symbols=["A", "B", "C"])
    assert isinstance(outcome, BasketAnswer)
    assert [outcome.of_leg(place) for place in (1, 2, 3)] == [Refused(BAD["message"], 200), Placed("26112"), MISSING]
    assert outcome.orderids == ("26112",)
    with pytest.raises(ValueError, match="place"):
        outcome.of_leg(4)


def test_legs_in_one_symbol_cannot_be_told_apart() -> None:
    rows = [{**GOOD, "symbol": "A"}, {**BAD, "symbol": "A"}]
    outcome = judge_basket(200, results(*rows), symbols=["A", "A"])
    assert isinstance(outcome, BasketAnswer)
    assert outcome.groups == (BasketGroup("A", (1, 2), (Placed("26112"), Refused(BAD["message"], 200))),)
    assert outcome.of_leg(1) is outcome.of_leg(2) is None


def test_a_leg_with_more_rows_than_orders_is_not_known() -> None:
    rows = [{**GOOD, "symbol": "A"}, {"status": "success", "orderid": "26113", "symbol": "A"}, {**GOOD, "symbol": "Z"}]
    outcome = judge_basket(200, results(*rows), symbols=["A"])
    assert isinstance(outcome, BasketAnswer)
    assert outcome.of_leg(1) is None
    assert outcome.orderids == ("26112", "26113")
    assert [one.symbol for one in outcome.unexplained] == ["Z"]


def test_an_empty_basket_has_nothing_to_tell() -> None:
    assert judge_basket(200, results(), symbols=[]) == BasketAnswer(())


@pytest.mark.parametrize(
    ("status", "answer", "outcome"),
    [
        (200, body(status="success", message="No OpenPosition Found. Not placing Exit order."), NothingToDo),
        (200, body(status="success", message="Positions Already Matched. No Action needed."), NothingToDo),
        (200, body(status="success", message="Positions Already Matched.", orderid="26112"), Placed),
        (200, body(status="success", message="Positions Already Matched.", orderid=None), OutcomeOpen),
        (200, body(status="error", message="Positions Already Matched."), OutcomeOpen),
        (200, body(status="success", message="Order sent"), OutcomeOpen),
        (200, body(status="success", message="Positions Already Matched.", pending_order_id=3), Queued),
        (400, body(status="error", message="Positions Already Matched."), Refused),
        (500, body(status="error", message="Positions Already Matched."), OutcomeOpen),
    ],
)
def test_only_the_servers_own_words_mean_that_nothing_was_to_do(status: int, answer: bytes, outcome: type) -> None:
    assert type(judge_smart(status, answer)) is outcome


@pytest.mark.parametrize(
    ("status", "answer", "outcome"),
    [
        (
            200,
            body(status="success", message="m", canceled_orders=["1a"], failed_cancellations=[{"orderid": "2b"}]),
            CancelledAll(("1a",), ("2b",), "m"),
        ),
        (200, body(status="success", message="m"), Unclear("200: m")),
        (200, body(status="success", message="m", canceled_orders=[None], failed_cancellations=[]), Unclear("200: m")),
        (200, body(status="error", message="m", canceled_orders=[], failed_cancellations=[]), Unclear("200: m")),
        (403, body(status="error", message="m"), Refused("m", 403)),
        (500, body(status="error", message="m"), Unclear("500: m")),
        (502, b"<html>", Unclear("502 without OpenAlgo's JSON")),
        (429, body(message="m"), RateLimited("m")),
    ],
)
def test_cancelling_everything(status: int, answer: bytes, outcome: Any) -> None:
    assert judge_cancel_all(status, answer) == outcome


@pytest.mark.parametrize(
    ("status", "answer", "outcome"),
    [
        (200, body(status="success", message="m", closed_positions=2, failed_closures=1), ClosingTaken("m", 2, 1)),
        (200, body(status="success", message="m"), ClosingTaken("m", None, None)),
        (200, body(status="success", message="m", pending_order_id=1), Queued("1")),
        (200, body(status="error", message="m"), OutcomeOpen("200: m")),
        (200, body(status="success", message="m", closed_positions="?"), OutcomeOpen),
        (403, body(status="error", message="m"), Refused("m", 403)),
        (500, body(status="error", message="m"), OutcomeOpen("500: m")),
        (502, b"<html>", NoAnswer("502 without OpenAlgo's JSON")),
    ],
)
def test_closing_everything(status: int, answer: bytes, outcome: Any) -> None:
    found = judge_close_position(status, answer)
    assert found == outcome or type(found) is outcome


@pytest.mark.parametrize(
    ("status", "answer", "placed", "changed"),
    [
        (200, body(status="success", trigger_id="G-1"), TriggerPlaced("G-1"), TriggerChanged("G-1")),
        (200, body(status="success", trigger_id=None), OutcomeOpen("200 without an order id"), Unclear),
        (200, body(status="success", orderid="26112"), OutcomeOpen("200 without an order id"), Unclear),
        (200, body(status="success", trigger_id="G-1", pending_order_id=9), TriggerPlaced("G-1"), Unclear),
        (200, body(status="success", pending_order_id=9), Queued("9"), Unclear),
        (404, body(status="error", message="m"), Refused("m", 404), Refused("m", 404)),
        (500, body(status="error", message="m"), OutcomeOpen("500: m"), Unclear("500: m")),
        (400, body(status="error", message="m", trigger_id="G-1"), Refused("m", 400, "G-1"), Refused("m", 400, "G-1")),
    ],
)
def test_triggers(status: int, answer: bytes, placed: Any, changed: Any) -> None:
    assert judge_gtt(status, answer) == placed
    found = judge_gtt_change(status, answer)
    assert found == changed or type(found) is changed


@pytest.mark.parametrize("strange", [None, 17, "26113", ["26113"], []])
def test_a_row_that_is_no_object_names_nothing_and_takes_nothing_away(strange: Any) -> None:
    row = {**GOOD, "leg": 2, "symbol": "X"}
    taken = judge_children(200, results(strange, row), places=2, numbered_by="leg")
    assert isinstance(taken, Children)
    assert [child.outcome for child in taken.orders] == [MISSING, Placed("26112")]
    assert [child.outcome for child in taken.unexplained] == [OutcomeOpen("a row that is no object")]
    basket = judge_basket(200, results(strange, row), symbols=["X", "Y"])
    assert isinstance(basket, BasketAnswer)
    assert (basket.of_leg(1), basket.of_leg(2)) == (Placed("26112"), MISSING)


def test_one_id_is_one_order_however_many_rows_name_it() -> None:
    rows = [{**GOOD, "leg": leg, "symbol": symbol} for leg, symbol in ((1, "X"), (2, "Y"))]
    again = OutcomeOpen("names order 26112, as another row does", "26112")
    taken = judge_children(200, results(*rows), places=2, numbered_by="leg")
    assert isinstance(taken, Children)
    assert [child.outcome for child in taken.orders] == [Placed("26112"), again]
    basket = judge_basket(200, results(*rows), symbols=["X", "Y"])
    assert isinstance(basket, BasketAnswer)
    assert (basket.of_leg(1), basket.of_leg(2)) == (Placed("26112"), again)


def test_ids_that_are_numbers_are_kept_also_beside_a_refusal_of_all() -> None:
    rows = results({"status": "success", "orderid": 1_100_000_017, "symbol": "X"})
    assert judge_basket(429, rows, symbols=["X"]) == OutcomeOpen("; the answer names 1100000017", "1100000017")
