"""What an order answer proves, as a table (RULES 5)."""

import json

import pytest

from engine.broker.answers import (
    Acknowledged,
    ChangeOutcome,
    NoAnswer,
    OutcomeOpen,
    Placed,
    PlacementOutcome,
    Queued,
    RateLimited,
    Refused,
    Unclear,
    judge_cancel,
    judge_modify,
    judge_placement,
)
from engine.broker.scrub import Secret

PROXY = b"<html><head><title>502 Bad Gateway</title></head></html>"
NO_JSON = "{} without OpenAlgo's JSON"


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("status", "answer", "outcome"),
    [
        (200, body(status="success", orderid="26112"), Placed("26112")),
        (200, body(status="success", orderid=" 26112 "), Placed("26112")),
        (200, body(status="error", orderid="26112"), Placed("26112")),
        (200, body(status="success", mode="semi_auto", pending_order_id=8), Queued("8")),
        (200, body(status="success", pending_order_id="a-8"), Queued("a-8")),
        (200, body(status="success", mode="semi_auto"), Queued(None)),
        (200, body(status="success", orderid=None), OutcomeOpen("200 without an order id")),
        (200, body(status="success", orderid=""), OutcomeOpen("200 without an order id")),
        (200, body(status="success", orderid="None"), OutcomeOpen("200 without an order id")),
        (200, body(status="success", orderid="null"), OutcomeOpen("200 without an order id")),
        (200, body(status="success", orderid=261122), Placed("261122")),
        (200, body(status="success", orderid=["261122"]), OutcomeOpen("200 without an order id")),
        (200, body(status="success", orderid=True), OutcomeOpen("200 without an order id")),
        (200, body(status="success"), OutcomeOpen("200 without an order id")),
        (200, body(), OutcomeOpen("200 without an order id")),
        (200, body(status="error", message="Broker said no"), OutcomeOpen("200 without an order id: Broker said no")),
        (200, PROXY, NoAnswer(NO_JSON.format(200))),
        (200, b"", NoAnswer(NO_JSON.format(200))),
        (200, b'{"orderid": "2611', NoAnswer(NO_JSON.format(200))),
        (200, b'["26112"]', NoAnswer(NO_JSON.format(200))),
        (200, b"[" * 100_000, NoAnswer(NO_JSON.format(200))),
        (204, b"", NoAnswer(NO_JSON.format(204))),
        (302, PROXY, NoAnswer(NO_JSON.format(302))),
        (302, body(message="moved"), NoAnswer(NO_JSON.format(302))),
        (400, body(message="LIMIT orders require price", status="error"), Refused("LIMIT orders require price", 400)),
        (400, body(message={"symbol": ["Missing data."]}), Refused("symbol: Missing data.", 400)),
        (401, body(message="bad key", status="error"), Refused("bad key", 401)),
        (403, body(message="Invalid openalgo apikey", status="error"), Refused("Invalid openalgo apikey", 403)),
        (404, body(message="Not found", status="error"), Refused("Not found", 404)),
        (400, body(message="rejected", status="error", orderid="17"), Refused("rejected", 400, "17")),
        (400, body(message="rejected", status="error", orderid="None"), Refused("rejected", 400)),
        (400, PROXY, NoAnswer(NO_JSON.format(400))),
        (403, b"Forbidden", NoAnswer(NO_JSON.format(403))),
        (404, body(detail="no such route"), NoAnswer(NO_JSON.format(404))),
        (408, PROXY, NoAnswer(NO_JSON.format(408))),
        (409, body(message="conflict", status="error"), OutcomeOpen("409: conflict")),
        (413, PROXY, NoAnswer(NO_JSON.format(413))),
        (429, body(message="10 per 1 second"), RateLimited("10 per 1 second")),
        (429, body(message="Too many requests", status="error"), RateLimited("Too many requests")),
        (429, PROXY, RateLimited("")),
        (429, b"", RateLimited("")),
        (429, body(message="slow down", orderid="17"), Refused("slow down", 429, "17")),
        (500, body(message="internal error", status="error"), OutcomeOpen("500: internal error")),
        (500, body(message="lost it", status="error", orderid="17"), OutcomeOpen("500: lost it", "17")),
        (502, PROXY, NoAnswer(NO_JSON.format(502))),
        (504, body(message="Endpoint request timed out"), NoAnswer(NO_JSON.format(504))),
        (503, b"", NoAnswer(NO_JSON.format(503))),
    ],
)
def test_what_a_placement_answer_proves(status: int, answer: bytes, outcome: PlacementOutcome) -> None:
    assert judge_placement(status, answer) == outcome


@pytest.mark.parametrize("judge", [judge_modify, judge_cancel])
@pytest.mark.parametrize(
    ("status", "answer", "outcome"),
    [
        (200, body(status="success", orderid="17"), Acknowledged("17")),
        (200, body(status="success"), Unclear("200: no order id")),
        (200, body(status="error", orderid="17", message="no"), Unclear("200: no")),
        (200, body(status="success", orderid="17", pending_order_id=3), Unclear("200: no order id")),
        (200, PROXY, Unclear(NO_JSON.format(200))),
        (400, body(message="Order is complete"), Refused("Order is complete", 400)),
        (404, body(message="Order 1 not found", status="error"), Refused("Order 1 not found", 404)),
        (404, PROXY, Unclear(NO_JSON.format(404))),
        (429, body(message="10 per 1 second"), RateLimited("10 per 1 second")),
        (500, body(message="Failed to cancel order", status="error"), Unclear("500: Failed to cancel order")),
        (502, PROXY, Unclear(NO_JSON.format(502))),
    ],
)
def test_what_an_answer_to_a_change_proves(judge: object, status: int, answer: bytes, outcome: ChangeOutcome) -> None:
    assert callable(judge)
    assert judge(status, answer) == outcome


@pytest.mark.parametrize("spelled", [b"key-71", b"\\u006bey-71", b"key\\u002d71"])
def test_an_echoed_key_is_masked_however_it_is_spelled(spelled: bytes) -> None:
    outcome = judge_placement(
        400, b'{"message": "unknown ' + spelled + b'", "status": "error"}', secret=Secret("key-71")
    )
    assert outcome == Refused("unknown [api key]", 400)
