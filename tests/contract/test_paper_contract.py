"""The paper exchange answers as the recorded server did: status, shape, names, types, messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.contract.paper_stage import KEY, RECORDED, Stage, ask, compare_answer, difference, prepared, recordings
from tests.paper_server import PaperServer

ENDPOINTS = (
    "ping",
    "analyzerstatus",
    "analyzertoggle",
    "funds",
    "positionbook",
    "orderbook",
    "tradebook",
    "orderstatus",
    "quotes",
    "multiquotes",
    "symbol",
    "expiry",
    "optionchain",
    "margin",
    "placeorder",
    "modifyorder",
    "cancelorder",
    "holidays",
    "timings",
    "transport",
)
LATER = ("live", "semi-auto", "revoked", "broker-", "token-expired", "no-quote", "rate-limited")
"""Told by test_paper_contract_live.py and by the faults' tests; the limits by test_paper_limits.py."""
DIFFERENT = {
    "placeorder.above-freeze-quantity": "freeze quantities are enforced here",
    "placeorder.index-not-tradable": "indices cannot be traded here",
    "placeorder.insufficient-funds": "its quantity is above the freeze quantity",
    "placeorder.mis-after-square-off": "this exchange never closes",
}
FIGURES = {
    "expiry.success-options": "Found ",
    "expiry.success-bfo": "Found ",
    "expiry.success-futures": "Found ",
    "optionchain.bad-api-key": "Failed to fetch LTP for NIFTY: Invalid openalgo apikey",
}


def _recordings() -> list[str]:
    return [name for name in recordings(ENDPOINTS) if name not in DIFFERENT and not any(word in name for word in LATER)]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with PaperServer(seed=3) as paper:
        yield Stage(paper)


@pytest.mark.parametrize("name", _recordings())
def test_answer_has_the_recorded_form(stage: Stage, name: str) -> None:
    recorded = json.loads(prepared(stage, name))
    answer = ask(stage, recorded, name)
    assert answer.status_code == recorded["status_code"], answer.text
    assert answer.headers["content-type"] == "application/json"
    given = answer.json()
    assert difference(recorded["response"], given) is None
    if isinstance(recorded["response"], dict) and "message" in recorded["response"]:
        expected = FIGURES.get(name, recorded["response"]["message"])
        assert given["message"] == expected or (name in FIGURES and given["message"].startswith(expected))


def test_every_endpoint_of_this_exchange_has_recordings() -> None:
    covered = {name.split(".")[0] for name in _recordings()}
    assert covered == set(ENDPOINTS)


@pytest.mark.parametrize(
    "name",
    [
        "authenticate.success",
        "authenticate.alternative-spelling",
        "authenticate.missing-key",
        "authenticate.wrong-key",
        "errors.bad-messages",
        "errors.before-auth",
        "ping",
        "subscribe.all-unknown",
        "subscribe.mode1-ltp",
        "subscribe.mode2-quote",
        "subscribe.mode3-depth",
        "subscribe.single-symbol-text-mode",
        "unsubscribe.not-subscribed",
    ],
)
def test_websocket_answers_have_the_recorded_form(stage: Stage, name: str) -> None:
    lines = (RECORDED / "ws" / f"{name}.jsonl").read_text().splitlines()
    events = [json.loads(stage.translated(line)) for line in lines]
    ticks = {
        (event["message"]["symbol"], event["message"]["mode"]): event["message"]
        for event in events
        if event.get("direction") == "server" and event["message"].get("type") == "market_data"
    }
    with stage.paper.socket() as socket:
        for event in events:
            if event.get("direction") == "client":
                message = event["message"]
                socket.connection.send(message if isinstance(message, str) else json.dumps(message))
            elif event.get("direction") == "server" and event["message"].get("type") != "market_data":
                compare_answer(event["message"], socket)
            elif event.get("direction") == "server":
                key = (event["message"]["symbol"], event["message"]["mode"])
                if ticks.pop(key, None) is not None:
                    given = socket.expect(lambda frame, key=key: (frame.get("symbol"), frame.get("mode")) == key)
                    assert difference(event["message"], given) is None


def test_order_pushes_have_the_recorded_form(stage: Stage) -> None:
    events = [json.loads(line) for line in (RECORDED / "ws" / "orders.analyze.jsonl").read_text().splitlines()]
    pushes = [e["message"] for e in events if e.get("message", {}).get("type") == "order_update"]
    with stage.paper.socket(KEY) as socket:
        assert socket.ask(action="subscribe_orders", request_id="o-1") == events[4]["message"]
        order_id = stage.place()
        given = [socket.expect(lambda frame: frame.get("orderid") == order_id) for _ in range(2)]
        assert [push["order_status"] for push in given] == ["open", "complete"]
        for recorded, push in zip(pushes, given, strict=False):
            assert difference(recorded, push) is None
            same = ("broker", "mode", "user_id", "quantity", "pricetype", "filled_quantity", "pending_quantity")
            assert {name: push[name] for name in same} == {name: recorded[name] for name in same}
        assert given[1]["price"] == given[1]["average_price"]
