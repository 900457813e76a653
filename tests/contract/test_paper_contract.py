"""The paper exchange answers the recorded requests as the recorded server did: status, shape, names, types, messages.

Recordings name contracts and order ids of their day. Requests and answers are compared after the expiries were
replaced by listed ones and the ids by those of orders in the same state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.paper_server import PaperServer, Socket

RECORDED = Path(__file__).parent / "recorded"
KEY = "test-api-key"
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
LATER = ("live", "semi-auto", "revoked", "broker-", "token-expired", "rate-limited")
"""Faces and troubles that this exchange does not show in this form, and the limits that have a test of their own."""
DIFFERENT = {
    "placeorder.above-freeze-quantity": "freeze quantities are enforced here",
    "placeorder.index-not-tradable": "indices cannot be traded here",
    "placeorder.insufficient-funds": "its quantity is above the freeze quantity",
    "placeorder.mis-after-square-off": "this exchange never closes",
    "placeorder.analyze-no-quote": "there is always a price",
}
FIGURES = {
    "expiry.success-options": "Found ",
    "expiry.success-bfo": "Found ",
    "expiry.success-futures": "Found ",
    "optionchain.bad-api-key": "Failed to fetch LTP for NIFTY: Invalid openalgo apikey",
}
OPEN, COMPLETE, SL, SLM = "26112269810349", "26112227287987", "26112207970843", "26112228073297"


def _recordings() -> list[str]:
    names = sorted(file.stem for file in (RECORDED / "rest").glob("*.json"))
    return [
        name
        for name in names
        if name.split(".")[0] in ENDPOINTS and name not in DIFFERENT and not any(word in name for word in LATER)
    ]


class Stage:
    """A paper exchange with orders in the states that the recordings speak about."""

    def __init__(self, paper: PaperServer) -> None:
        self.paper = paper
        paper.add_account(KEY, name="tester")
        paper.add_account("empty-api-key")
        nifty, sensex = paper.expiry(api_key=KEY), paper.expiry("SENSEX", "BFO", api_key=KEY)
        body = paper.call("expiry", apikey=KEY, symbol="BANKNIFTY", exchange="NFO", instrumenttype="futures")
        months = body["data"][-1]
        dashed = f"{nifty[:2]}-{nifty[2:5]}-{nifty[5:]}"
        unlisted = datetime.strptime(nifty, "%d%b%y").replace(tzinfo=UTC) + timedelta(days=1)
        self._words = {
            "01DEC26": nifty,
            "01-DEC-26": dashed,
            "02DEC26": f"{unlisted:%d%b%y}".upper(),
            "26NOV26": sensex,
            "29DEC26": months.replace("-", ""),
            "29-DEC-26": months,
        }
        self.call_option = f"NIFTY{nifty}26000CE"
        self.paper.set_price(self.call_option, "NFO", 262.5)
        self.orders = {
            COMPLETE: self.place(),
            OPEN: self.place(pricetype="LIMIT", price=210.0, strategy="tag-limit"),
            SL: self.place(pricetype="SL", price=320.2, trigger_price=314.9, strategy="tag-sl"),
            SLM: self.place(action="SELL", pricetype="SL-M", trigger_price=183.7, strategy="tag-slm"),
        }
        self.place(symbol="RELIANCE", exchange="NSE", product="CNC", quantity=5)
        self.place(symbol=f"NIFTY{nifty}26000PE", action="SELL", quantity=130)
        answer = paper.post(
            "placeorder", **self.order(symbol="INFY", exchange="NSE", product="CNC", action="SELL", quantity=1)
        )
        assert answer.status_code == 400

    def order(self, **fields: Any) -> dict[str, Any]:
        order = {"apikey": KEY, "strategy": "contract", "symbol": self.call_option, "exchange": "NFO", "action": "BUY"}
        return order | {"quantity": 65, "product": "NRML"} | fields

    def place(self, **fields: Any) -> str:
        return str(self.paper.call("placeorder", **self.order(**fields))["orderid"])

    def translated(self, text: str) -> str:
        for word, listed in self._words.items():
            text = text.replace(word, f"\0{listed}")
        for recorded, own in self.orders.items():
            text = text.replace(recorded, own)
        return text.replace("\0", "")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with PaperServer(seed=3) as paper:
        yield Stage(paper)


def _prepared(stage: Stage, name: str) -> str:
    """The recorded exchange in today's words; cases about an order in another state get one of their own."""
    text = (RECORDED / "rest" / f"{name}.json").read_text()
    if name in {"cancelorder.success", "cancelorder.already-cancelled", "orderstatus.analyze-cancelled"}:
        own = stage.place(pricetype="LIMIT", price=210.0)
        if name != "cancelorder.success":
            stage.paper.call("cancelorder", apikey=KEY, strategy="contract", orderid=own)
        text = text.replace(OPEN, own)
    if name.endswith("-empty") and "analyze" in name:
        text = text.replace(KEY, "empty-api-key")
    return stage.translated(text)


@pytest.mark.parametrize("name", _recordings())
def test_answer_has_the_recorded_form(stage: Stage, name: str) -> None:
    recorded = json.loads(_prepared(stage, name))
    request, headers = recorded["request"], {"Content-Type": "application/json"}
    if isinstance(request, str):
        content = request
        if "wrong-content-type" in name:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
    else:
        headers |= (request or {}).pop("_headers", {})
        content = json.dumps(request)
    answer = stage.paper._http.request(
        recorded["method"], f"{stage.paper.url}{recorded['path']}", content=content, headers=headers
    )
    assert answer.status_code == recorded["status_code"], answer.text
    assert answer.headers["content-type"] == "application/json"
    given = answer.json()
    assert _difference(recorded["response"], given) is None
    if isinstance(recorded["response"], dict) and "message" in recorded["response"]:
        expected = FIGURES.get(name, recorded["response"]["message"])
        assert given["message"] == expected or (name in FIGURES and given["message"].startswith(expected))


def test_every_endpoint_of_this_exchange_has_recordings() -> None:
    covered = {name.split(".")[0] for name in _recordings()}
    assert covered == set(ENDPOINTS)


def test_burst_is_limited_as_recorded() -> None:
    with PaperServer(rate_limits=True) as paper:
        paper.add_account(KEY)
        order = {"apikey": KEY, "strategy": "x", "orderid": "1"}
        answers = [paper.post("cancelorder", **order) for _ in range(12)]
        assert [answer.status_code for answer in answers] == [404] * 10 + [429] * 2
        assert answers[-1].json() == {"message": "10 per 1 second"}
        assert paper.post("ping", apikey=KEY).status_code == 200


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
                _compare_answer(event["message"], socket)
            elif event.get("direction") == "server":
                key = (event["message"]["symbol"], event["message"]["mode"])
                if ticks.pop(key, None) is not None:
                    given = socket.expect(lambda frame, key=key: (frame.get("symbol"), frame.get("mode")) == key)
                    assert _difference(event["message"], given) is None


def test_order_pushes_have_the_recorded_form(stage: Stage) -> None:
    events = [json.loads(line) for line in (RECORDED / "ws" / "orders.analyze.jsonl").read_text().splitlines()]
    pushes = [e["message"] for e in events if e.get("message", {}).get("type") == "order_update"]
    with stage.paper.socket(KEY) as socket:
        assert socket.ask(action="subscribe_orders", request_id="o-1") == events[4]["message"]
        order_id = stage.place()
        given = [socket.expect(lambda frame: frame.get("orderid") == order_id) for _ in range(2)]
        assert [push["order_status"] for push in given] == ["open", "complete"]
        for recorded, push in zip(pushes, given, strict=False):
            assert _difference(recorded, push) is None
            same = ("broker", "mode", "user_id", "quantity", "pricetype", "filled_quantity", "pending_quantity")
            assert {name: push[name] for name in same} == {name: recorded[name] for name in same}
        assert given[1]["price"] == given[1]["average_price"]


def _compare_answer(recorded: dict[str, Any], socket: Socket) -> None:
    given = socket.expect(lambda frame: frame.get("type") != "market_data")
    assert _difference(recorded, given) is None
    for field in ("type", "status", "code", "message", "request_id", "client_timestamp", "_pingId", "user_id"):
        assert given.get(field) == recorded.get(field)


def _difference(recorded: Any, given: Any, path: str = "$") -> str | None:
    """Where the forms differ, None if they do not: names and JSON types; of a list the entries' forms."""
    if type(recorded) is not type(given):
        return f"{path}: {type(recorded).__name__} recorded, {type(given).__name__} given ({given!r})"
    if isinstance(recorded, dict):
        if recorded.keys() != given.keys():
            return f"{path}: {sorted(recorded.keys() ^ given.keys())} only on one side"
        found = (_difference(recorded[name], given[name], f"{path}.{name}") for name in recorded)
        return next((problem for problem in found if problem is not None), None)
    if isinstance(recorded, list):
        if bool(recorded) != bool(given):
            return f"{path}: {len(recorded)} entries recorded, {len(given)} given"
        for number, entry in enumerate(given):
            if all(_difference(form, entry) is not None for form in recorded):
                return _difference(recorded[0], entry, f"{path}[{number}]")
    return None
