"""The paper exchange's websocket plays every recorded transcript: the same requests, answers of the same form.

Compared are names and types of all fields, and the values that do not depend on prices, clocks and order numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from engine.paper.conversation import Conversation
from engine.paper.exchange import PaperExchange
from engine.paper.market import Market
from engine.paper.sockets import Client
from engine.paper.storage import Storage
from tests.contract.paper_stage import KEY, RECORDED, Stage, difference
from tests.paper_server import PaperServer, Socket

Event = dict[str, Any]
CLOSED, REVOKED = "authenticate.too-late-closed", "authenticate.broker-session-revoked"
LIVE, SHARED = "orders.live", "subscribe.same-symbol-ltp-and-depth"
SAME = ("type", "status", "code", "message", "request_id", "client_timestamp", "_pingId", "user_id", "adapter_status")
SAME_OF_PUSHES = (
    "mode", "user_id", "symbol", "exchange", "action", "quantity", "trigger_price", "pricetype", "product",
    "order_status", "filled_quantity", "pending_quantity",
)  # fmt: skip
SAME_OF_TICKS = ("type", "symbol", "exchange", "mode")
UNAFFORDABLE = "1755"
"""In place of the recorded 1,300,000, which is above the freeze quantity here."""


def _transcript(name: str) -> list[Event]:
    return [json.loads(line) for line in (RECORDED / "ws" / f"{name}.jsonl").read_text().splitlines()]


TRANSCRIPTS = sorted(file.stem for file in (RECORDED / "ws").glob("*.jsonl"))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with PaperServer(seed=3, tick_seconds=0.05) as paper:
        yield Stage(paper)


@pytest.fixture
def key(stage: Stage, request: pytest.FixtureRequest) -> str:
    """An account of its own, in the mode of the transcript; it cannot afford 1,755 options."""
    name = request.node.name[:90]
    face = "live" if LIVE in name else "analyze"
    stage.paper.control("accounts", api_key=name, name="tester", funds=200_000, face=face)
    stage.paper.set_price(stage.call_option, "NFO", 236.0)
    return name


class Play:
    """One transcript on one socket; ids of orders are learnt as they come."""

    def __init__(self, stage: Stage, socket: Socket, key: str) -> None:
        self._stage, self._socket, self._key = stage, socket, key
        self._ids: dict[str, str] = {}
        self._asked = False

    def event(self, event: Event) -> None:
        message = event.get("message")
        match event:
            case {"direction": "client"}:
                self._asked = True
                self._socket.connection.send(message if isinstance(message, str) else json.dumps(message))
            case {"direction": "server", "message": {"type": "market_data"}}:
                if not self._asked:  # one that came between a request and its answer need not come here
                    self._tick(event["message"])
            case {"direction": "server", "message": {"type": "order_update"}}:
                self._push(event["message"])
            case {"direction": "server"}:
                self._asked = False
                given = self._socket.expect(lambda frame: frame.get("type") not in {"market_data", "order_update"})
                _compare(event["message"], given, SAME)
            case {"rest_call": call}:
                self._rest(call)
            case {"market": "price falls through the resting limit"}:
                self._stage.paper.set_price(self._stage.call_option, "NFO", 206.0)
            case {"note": _}:
                pass
            case _:
                raise AssertionError(f"unknown event: {event}")

    def _tick(self, recorded: Event) -> None:
        form = (*_frame(recorded), recorded["symbol"])
        given = self._socket.expect(lambda frame: (*_frame(frame), frame.get("symbol")) == form)
        _compare(recorded, given, SAME_OF_TICKS)

    def _push(self, recorded: Event) -> None:
        given = self._socket.expect(lambda frame: frame.get("type") == "order_update")
        assert self._ids.setdefault(recorded["orderid"], given["orderid"]) == given["orderid"]
        _compare(recorded, given, SAME_OF_PUSHES)
        assert bool(given["average_price"]) == bool(recorded["average_price"])
        at_average = recorded["price"] == recorded["average_price"]
        assert (given["price"] == given["average_price"]) == at_average
        assert bool(given["rejection_reason"]) == bool(recorded["rejection_reason"])

    def _rest(self, call: Event) -> None:
        body = {"apikey": self._key} | call["request"]
        if "orderid" in body:
            body["orderid"] = self._ids[body["orderid"]]
        given = self._stage.paper.post(call["path"].removeprefix("/api/v1/"), **body).json()
        assert difference(call["response"], given) is None
        assert {**given, "orderid": 0, "canceled_orders": 0} == {**call["response"], "orderid": 0, "canceled_orders": 0}
        if "orderid" in given:
            assert self._ids.setdefault(call["response"]["orderid"], given["orderid"]) == given["orderid"]
        recorded_ids = call["response"].get("canceled_orders", [])
        assert [self._ids[order_id] for order_id in recorded_ids] == given.get("canceled_orders", [])


def _compare(recorded: Event, given: Event, same: tuple[str, ...]) -> None:
    assert difference(recorded, given) is None
    assert {name: given.get(name) for name in same} == {name: recorded.get(name) for name in same}


def _frame(frame: Event) -> tuple[Any, Any, bool]:
    """Mode that a tick is tagged with, mode of its data, whether it says when the last trade was."""
    data = frame.get("data", {})
    return frame.get("mode"), data.get("mode"), "ltt" in data


@pytest.mark.parametrize("name", [name for name in TRANSCRIPTS if name not in {CLOSED, REVOKED, SHARED}])
def test_transcript_is_answered_as_recorded(stage: Stage, key: str, name: str) -> None:
    text = "\n".join(json.dumps(event) for event in _transcript(name))
    lines = stage.translated(text.replace(KEY, key).replace("1300000", UNAFFORDABLE)).splitlines()
    with stage.paper.socket() as socket:
        play = Play(stage, socket, key)
        for line in lines:
            play.event(json.loads(line))
        socket.send(action="ping")
        rest = []
        while not rest or rest[-1].get("type") != "pong":
            rest.append(socket.receive())
        assert [frame for frame in rest if frame.get("type") not in {"pong", "market_data"}] == []


def test_silence_is_closed_as_recorded() -> None:
    (closing,) = [event["message"] for event in _transcript(CLOSED) if event.get("direction") == "close"]
    with PaperServer(auth_seconds=0.1) as paper, paper.socket() as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.receive()
        assert closed.value.rcvd is not None
        assert {"code": closed.value.rcvd.code, "reason": closed.value.rcvd.reason} == closing


def test_wrong_key_leaves_the_socket_open_until_the_time_is_up() -> None:
    with PaperServer(auth_seconds=1.0) as paper, paper.socket() as socket:
        assert socket.ask(action="authenticate", api_key="wrong-api-key")["code"] == "AUTHENTICATION_ERROR"
        assert socket.ask(action="ping")["type"] == "pong"
        with pytest.raises(ConnectionClosed):
            socket.receive()


def test_revoked_session_is_answered_as_recorded() -> None:
    exchange = PaperExchange(market=Market(1), storage=Storage(None))
    exchange.open_account(api_key=KEY, name="tester", funds=10**9, face="analyze")
    exchange.change_account(KEY, token="revoked")
    client = Client(None)  # type: ignore[arg-type]
    answers = iter([])
    for event in _transcript(REVOKED):
        if event["direction"] == "client":
            reply = Conversation(exchange, lambda _: False).reply(client, json.dumps(event["message"]))
            answers = iter([json.loads(reply)])
        else:
            assert next(answers) == event["message"]


def test_low_mode_also_gets_the_richer_frames_as_recorded(stage: Stage, key: str) -> None:
    recorded = [event["message"] for event in _transcript(SHARED) if event.get("direction") == "server"]
    stages: list[list[tuple[Any, Any, bool]]] = [[]]
    for message in recorded:
        if message["type"] == "market_data":
            stages[-1].append(_frame(message))
        else:
            stages.append([])
    _, _, low, both, low_again = stages
    assert low == [(1, "ltp", True)]
    assert both == [(1, "ltp", True)] + 3 * [(3, "full", True), (1, "ltp", False)]
    assert low_again == [(1, "full", True), (1, "ltp", False), (1, "ltp", True)]
    forms = {_frame(message): message for message in recorded if message["type"] == "market_data"}
    option = {"symbol": stage.call_option, "exchange": "NFO"}

    def ticks(count: int) -> list[tuple[Any, Any, bool]]:
        frames = [socket.expect(lambda frame: frame.get("type") == "market_data") for _ in range(count)]
        for frame in frames:
            assert difference(forms[_frame(frame)], frame) is None
        return [_frame(frame) for frame in frames]

    with stage.paper.socket(key) as socket:
        socket.ask(action="subscribe", symbols=[option], mode=1)
        assert ticks(1) == low
        socket.ask(action="subscribe", symbols=[option], mode=3)
        assert ticks(7) == both
        socket.ask(action="unsubscribe", symbols=[option | {"mode": 3}])
        assert ticks(3) == low_again


def test_another_subscriber_of_the_account_makes_the_frames_richer(stage: Stage, key: str) -> None:
    stage.paper.control("accounts", api_key=f"{key}-2", name="tester", funds=1)
    option = {"symbol": stage.call_option, "exchange": "NFO"}
    with stage.paper.socket(key) as low, stage.paper.socket(key) as deep, stage.paper.socket(f"{key}-2") as stranger:
        for socket, mode in ((low, 1), (stranger, 1), (deep, 3)):
            socket.ask(action="subscribe", symbols=[option], mode=mode)
        rich = low.expect(lambda frame: frame.get("data", {}).get("mode") == "full")
        assert (rich["mode"], len(rich["data"]["depth"]["buy"])) == (1, 5)
        assert deep.expect(lambda frame: frame.get("type") == "market_data")["mode"] == 3
        seen = {_frame(stranger.expect(lambda frame: frame.get("type") == "market_data")) for _ in range(6)}
        assert seen == {(1, "ltp", True)}
