"""What the paper exchange makes of requests that are none: typed answers, no exception, no hanging connection."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from engine.paper import bodies, schemas
from engine.paper.app import ENDPOINTS
from engine.paper.call_log import CallLog
from tests.contract.paper_stage import KEY, RECORDED
from tests.paper_server import PaperServer

JSON = {"Content-Type": "application/json"}
UNREADABLE = json.loads((RECORDED / "rest" / "placeorder.invalid-json.json").read_text())["response"]
ORDER = {"apikey": KEY, "strategy": "x", "symbol": "SBIN", "exchange": "NSE", "action": "BUY", "quantity": 1}
DEEP = b'{"apikey":' * 900 + b"1" + b"}" * 900


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server writes to its standard error."""
    return tmp_path_factory.mktemp("paper") / "stderr.txt"


@pytest.fixture(scope="module")
def paper(written: Path) -> Iterator[PaperServer]:
    own = os.dup(2)
    with written.open("w") as file:
        os.dup2(file.fileno(), 2)
        try:
            server = PaperServer(seed=2, tick_seconds=0.05)
        finally:
            os.dup2(own, 2)
            os.close(own)
    with server:
        server.add_account(KEY)
        yield server


@pytest.fixture
def quiet(paper: PaperServer, written: Path) -> Iterator[PaperServer]:
    """The server, which serves on after a test, took no order and had nothing to complain about."""
    yield paper
    assert paper.call("ping", apikey=KEY)["status"] == "success"
    assert paper.books(KEY)["orders"] == []
    assert written.read_text() == ""


def _send(paper: PaperServer, content: bytes, path: str = "/api/v1/placeorder", **fields: Any) -> httpx.Response:
    return paper._http.request(
        fields.pop("method", "POST"), f"{paper.url}{path}", content=content, headers=JSON | fields.pop("headers", {})
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b'{"apikey": "\xed\xa0\x80"}',
        b'{"apikey": "\\ud800"}',
        b'{"\\udc00": 1}',
        b"[" * 100_000,
        b"[" * 500 + b"]" * 500,
        DEEP,
        b'{"quantity": ' + b"9" * 5_000 + b"}",
    ],
    ids=[
        "nothing",
        "half",
        "utf-16 mark",
        "raw surrogate",
        "surrogate",
        "surrogate name",
        "open",
        "nested",
        "deep",
        "digits",
    ],
)
def test_unreadable_body_is_refused_as_recorded(quiet: PaperServer, content: bytes) -> None:
    answer = _send(quiet, content)
    assert (answer.status_code, answer.json()) == (400, UNREADABLE)


@pytest.mark.parametrize("content", [b"null", b"1", b'"text"', b"[]", b"[{}]", b"true", b"NaN"])
def test_body_that_is_no_object_is_a_validation_error(quiet: PaperServer, content: bytes) -> None:
    answer = _send(quiet, content)
    assert (answer.status_code, answer.json()["status"]) == (400, "error")
    assert "Invalid input type." in answer.json()["message"]


@pytest.mark.parametrize(
    "quantity",
    [
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "1e300",
        "9" * 400,
        "1e15",
        "9007199254740993",
        "0.1",
        '"1e999"',
        "true",
        "{}",
    ],
)
def test_quantity_beyond_all_measure_is_refused_in_words(quiet: PaperServer, quantity: str) -> None:
    body = json.dumps(ORDER).replace('"quantity": 1', f'"quantity": {quantity}')
    answer = _send(quiet, body.encode())
    assert (answer.status_code, answer.json()["status"]) == (400, "error")
    assert answer.json()["message"]


@pytest.mark.parametrize("price", ["1e308", "1e15", "-1", "NaN", "9" * 400, "[]"])
def test_price_beyond_all_measure_is_refused_in_words(quiet: PaperServer, price: str) -> None:
    body = json.dumps(ORDER | {"pricetype": "LIMIT", "action": "SELL", "price": 0}).replace(
        '"price": 0', f'"price": {price}'
    )
    answer = _send(quiet, body.encode())
    assert (answer.status_code, answer.json()["status"]) == (400, "error")


def test_body_of_many_megabytes_is_refused_and_the_connection_goes_on(quiet: PaperServer) -> None:
    with httpx.Client() as client:
        for _ in range(2):
            answer = client.post(f"{quiet.url}/api/v1/ping", content=b"[" + b"1," * 5_000_000 + b"1]", headers=JSON)
            assert (answer.status_code, list(answer.json())) == (413, ["message"])
        assert client.post(f"{quiet.url}/api/v1/ping", json={"apikey": KEY}).status_code == 200
    assert len(b"[1]" * 1000) < bodies.LARGEST_BODY


@pytest.mark.parametrize(
    ("endpoint", "name", "row"),
    [
        ("multiquotes", "symbols", {"symbol": "SBIN", "exchange": "NSE"}),
        ("basketorder", "orders", {"symbol": "SBIN", "exchange": "NSE", "action": "BUY", "quantity": 1}),
    ],
)
def test_list_that_would_keep_others_waiting_is_refused(
    quiet: PaperServer, endpoint: str, name: str, row: dict[str, Any]
) -> None:
    strategy = {"strategy": "x"} if endpoint == "basketorder" else {}
    answer = quiet.post(endpoint, apikey=KEY, **strategy, **{name: [row] * (schemas.MOST_ITEMS + 1)})
    assert answer.status_code == 400
    assert f"Longer than maximum length {schemas.MOST_ITEMS}." in answer.text


def test_log_of_order_calls_forgets_the_oldest_before_it_grows_too_large() -> None:
    log = CallLog()
    for number in range(100):
        log.add(float(number), "placeorder", "one" if number % 2 else "other", {"apikey": "one", "x": "x" * 1_048_576})
    kept = log.of("one")
    assert 20 < len(kept) < 33
    assert kept[-1]["at"] == 99.0
    assert all(list(call["body"]) == ["x"] for call in kept)


def test_calls_with_a_key_that_nobody_has_are_not_kept(paper: PaperServer) -> None:
    paper.post("placeorder", **ORDER | {"apikey": "not yet"})
    paper.add_account("not yet")
    assert paper.requests("not yet") == []
    paper.post("placeorder", **ORDER | {"apikey": "not yet", "quantity": 0})
    assert [call["status_code"] for call in paper.requests("not yet")] == [400]


def test_the_last_of_two_fields_with_one_name_counts(quiet: PaperServer) -> None:
    answer = _send(quiet, f'{{"apikey": "nobody", "apikey": "{KEY}"}}'.encode(), "/api/v1/ping")
    assert answer.json()["status"] == "success"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/api/v1/ping", "/api/v1/nosuch", "/", "/control/accounts", "/api/v1/%ff%00"])
def test_other_methods_and_paths_are_not_found(quiet: PaperServer, method: str, path: str) -> None:
    answer = _send(quiet, b"{}", path, method=method)
    assert (answer.status_code, answer.json()["status"], answer.json()["message"]) == (404, "error", "Not found")


def test_every_endpoint_answers_whatever_the_body_is(quiet: PaperServer) -> None:
    for endpoint in ENDPOINTS.values():
        for body in (
            {},
            {"apikey": KEY},
            {"apikey": [KEY]},
            {name: [] for name in endpoint.schema},
            {"apikey": {}, "x": 1},
        ):
            answer = _send(quiet, json.dumps(body).encode(), f"/api/v1/{endpoint.name}", method=endpoint.method)
            assert answer.status_code < 500, (endpoint.name, body, answer.text)
            assert answer.json()["status"] in {"success", "error"}


@pytest.mark.parametrize(
    ("kind", "status_code"),
    [
        ("application/json; charset=utf-8", 200),
        ("APPLICATION/JSON", 200),
        ("application/vnd.api+json", 200),
        ("application/jsonp", 500),
        ("text/plain", 500),
        ("", 500),
    ],
)
def test_content_type_decides_first(quiet: PaperServer, kind: str, status_code: int) -> None:
    answer = _send(quiet, json.dumps({"apikey": KEY}).encode(), "/api/v1/ping", headers={"Content-Type": kind})
    assert answer.status_code == status_code


def test_client_that_leaves_in_the_middle_of_its_body_asked_nothing(quiet: PaperServer) -> None:
    before = quiet.requests(KEY)
    with socket.create_connection(("127.0.0.1", quiet.port)) as connection:
        connection.sendall(
            b"POST /api/v1/placeorder HTTP/1.1\r\nHost: [\r\n"
            b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
    assert quiet.post("ping", apikey=KEY).status_code == 200
    assert quiet.requests(KEY) == before


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\xff\xfe\x00", "INVALID_JSON"),
        ("[" * 100_000, "INVALID_JSON"),
        ('{"action": "\\ud800"}', "INVALID_JSON"),
        ('{"action": 1e400}', "INVALID_ACTION"),
        ('{"action": {"a": []}}', "INVALID_ACTION"),
        ('{"action": "ping", "timestamp": NaN}', "SERVER_ERROR"),
        ("null", "SERVER_ERROR"),
        ('{"action": "subscribe", "mode": [], "symbols": [{}]}', "INVALID_MODE"),
        ('{"action": "subscribe", "symbols": [1, null, "NIFTY"]}', "INVALID_PARAMETERS"),
        ('{"action": "authenticate", "api_key": {"$ne": 1}}', "AUTHENTICATION_ERROR"),
    ],
)
def test_odd_frame_is_answered_in_words(quiet: PaperServer, message: str | bytes, code: str) -> None:
    with quiet.socket(KEY) as client:
        client.connection.send(message)
        assert client.receive()["code"] == code
        assert client.ask(action="ping")["type"] == "pong"


def test_odd_symbols_are_refused_one_by_one(quiet: PaperServer) -> None:
    rows = [{"symbol": ["x"], "exchange": {}}, {"symbol": "A" * 70_000, "exchange": "NFO"}, {"exchange": "NFO"}]
    with quiet.socket(KEY) as client:
        answer = client.ask(action="subscribe", symbols=rows)
        assert [row["status"] for row in answer["subscriptions"]] == ["error"] * 3


def test_json_in_a_binary_frame_is_read(quiet: PaperServer) -> None:
    with quiet.socket() as client:
        client.connection.send(b'{"action": "ping", "_pingId": "b"}')
        assert client.receive()["_pingId"] == "b"


@pytest.mark.parametrize("size", [bodies.LARGEST_BODY + 1, 8 * bodies.LARGEST_BODY])
def test_huge_frame_closes_the_socket_with_its_reason(quiet: PaperServer, size: int) -> None:
    with quiet.socket(KEY) as client:
        with contextlib.suppress(ConnectionClosed):
            client.connection.send("x" * size)
        with pytest.raises(ConnectionClosed) as closed:
            client.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


def test_text_that_is_no_utf8_closes_the_socket_with_its_reason(quiet: PaperServer) -> None:
    with quiet.socket(KEY) as client:
        client.connection.send(b"\xff", text=True)
        with pytest.raises(ConnectionClosed) as closed:
            client.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1007
