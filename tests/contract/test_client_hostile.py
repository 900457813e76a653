"""Servers that break the protocol on purpose: what an order's outcome says then, and that nothing hangs."""

import gzip
import json
import logging
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest

from engine.broker import errors
from engine.broker.answers import NoAnswer, OutcomeOpen, Placed, Queued, Refused
from tests.contract.client_server import KEY, ORDER, client, http, requests_of, scripted

TEAPOT = "418 I'm a teapot"


def placed(orderid: Any) -> bytes:
    return json.dumps({"orderid": orderid, "status": "success"}).encode()


def saying(data: bytes) -> Callable[[socket.socket], None]:
    def script(peer: socket.socket) -> None:
        for _ in requests_of(peer):
            peer.sendall(data)
            return

    return script


def outcome_of(script: Callable[[socket.socket], None], read_timeout: float = 2.0) -> Any:
    with scripted(script) as url, client(url) as broker:
        return broker.place_order(ORDER, read_timeout=read_timeout)


def test_what_a_server_says_twice_is_not_taken_for_the_next_orders_answer() -> None:
    def twice(peer: socket.socket) -> None:
        for _ in requests_of(peer):
            peer.sendall(http(placed("first")) + http(placed("ghost")))

    with scripted(twice) as url, client(url) as broker:
        outcomes = [broker.place_order(ORDER) for _ in range(3)]
    assert outcomes == [Placed("first")] * 3


def test_an_order_never_goes_on_a_connection_that_the_server_may_have_closed() -> None:
    with scripted(saying(http(placed("26112")))) as url, client(url) as broker:
        assert [broker.place_order(ORDER) for _ in range(5)] == [Placed("26112")] * 5


@pytest.mark.parametrize(
    ("answer", "orderid"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + http(placed("c")), "c"),
        (b"HTTP/1.0 200 OK\r\n\r\n" + placed("old"), "old"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + placed("open end"), "open end"),
        (http(gzip.compress(placed("z")), headers="Content-Encoding: gzip\r\n"), "z"),
        (http(placed(1_100_000_017)), "1100000017"),
        (http(placed(" 26112 ")), "26112"),
        (http(b'{"status": "SUCCESS", "orderid": "5"}'), "5"),
        (http(b'{"status": "success", "orderid": "5", "mode": "semi_auto"}'), "5"),
        (http(b'{"status": "error", "orderid": "5", "message": "no"}'), "5"),
    ],
)
def test_an_unusual_answer_that_names_an_order_is_a_placement(answer: bytes, orderid: str) -> None:
    assert outcome_of(saying(answer)) == Placed(orderid)


BODY = placed("z")
RESET = struct.pack("ii", 1, 0)


@pytest.mark.parametrize(
    "answer",
    [
        BODY,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + BODY,
        b"HTTP/1.1 204 No Content\r\n\r\n" + BODY,
        http(BODY, "304 Not Modified"),
        http(BODY, "301 Moved Permanently", "Location: http://127.0.0.1:1/\r\n"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY) + BODY + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 39\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + BODY,
        http(gzip.compress(b" " * 30_000_000), headers="Content-Encoding: gzip\r\n"),
        http(BODY, TEAPOT),
        http(BODY, "500 Internal Server Error"),
        http(b"", "200 OK"),
        http(b"[]"),
        http(b'"26112"'),
        http(b"<html>"),
        http(b'{"status": "success", "orderid": ' + b"9" * 5000 + b"}"),
    ],
)
def test_a_broken_answer_is_no_answer(answer: bytes) -> None:
    assert isinstance(outcome_of(saying(answer)), NoAnswer)


def test_a_connection_reset_after_the_head_is_no_answer() -> None:
    def reset(peer: socket.socket) -> None:
        for _ in requests_of(peer):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            return

    assert isinstance(outcome_of(reset), NoAnswer)


def test_a_half_closed_connection_still_carries_its_answer() -> None:
    def half(peer: socket.socket) -> None:
        for _ in requests_of(peer):
            peer.sendall(http(placed("h")))
            peer.shutdown(socket.SHUT_WR)

    assert outcome_of(half) == Placed("h")


@pytest.mark.parametrize("orderid", [["1"], {"id": 1}, "x" * 129, "a\nb", "a\x00b", 1.5, -17, f"id of {KEY}"])
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "403 Forbidden", "429 Too Many Requests"])
def test_an_id_that_cannot_be_read_is_neither_a_placement_nor_a_refusal(status: str, orderid: Any) -> None:
    said = json.dumps({"status": "error", "message": "no", "orderid": orderid}).encode()
    outcome = outcome_of(saying(http(said, status)))
    assert isinstance(outcome, OutcomeOpen)
    assert outcome.orderid is None
    assert KEY not in repr(outcome)


@pytest.mark.parametrize("orderid", [None, "", "  ", "None", "null", 0, -1, "0", False])
def test_a_refusal_with_a_word_for_no_id_is_a_refusal(orderid: Any) -> None:
    said = json.dumps({"status": "error", "message": "no", "orderid": orderid}).encode()
    assert outcome_of(saying(http(said, "400 Bad Request"))) == Refused("no", 400)


def test_a_refusal_that_counts_its_orders_names_one() -> None:
    said = b'{"status": "error", "message": "no", "orderid": 1100000017}'
    assert outcome_of(saying(http(said, "400 Bad Request"))) == Refused("no", 400, "1100000017")


def test_a_refusal_with_a_waiting_order_is_no_refusal() -> None:
    said = b'{"status": "error", "message": "no", "pending_order_id": 17}'
    assert isinstance(outcome_of(saying(http(said, "403 Forbidden"))), OutcomeOpen)
    assert outcome_of(saying(http(b'{"mode": "semi_auto", "status": "success"}'))) == Queued(None)


@pytest.mark.parametrize("depth", [50, 400, 900, 5000])
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "500 Internal Server Error"])
def test_an_answer_nested_without_end_is_judged_and_raises_nothing(status: str, depth: int) -> None:
    said = b'{"status": "error", "message": ' + b"[" * depth + b'"x"' + b"]" * depth + b"}"
    script = saying(http(said, status))
    assert isinstance(outcome_of(script), Refused | OutcomeOpen | NoAnswer)
    with scripted(script) as url, client(url) as broker, pytest.raises(errors.BrokerError) as raised:
        broker.ping()
    assert not isinstance(raised.value, errors.UnreachableError), "the server was reached"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"])
def test_a_server_that_sends_byte_after_byte_keeps_nobody_for_ever(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.broker.transport.SLOW_ANSWER_S", 0.1)
    ended = threading.Event()

    def drip(peer: socket.socket) -> None:
        for _ in requests_of(peer):
            peer.sendall(head)
            while not ended.wait(0.02):
                peer.sendall(b" ")

    with scripted(drip) as url, client(url, read_timeout=0.2, connect_timeout=0.1) as broker:
        assert isinstance(broker.place_order(ORDER, read_timeout=0.2), NoAnswer)
        with pytest.raises(errors.TimedOutError):
            broker.orderbook()
    ended.set()


@pytest.mark.parametrize("name", ["httpx", "httpcore", "httpcore.connection", "httpcore.http11"])
def test_no_logger_that_somebody_turns_up_shows_a_key_that_a_server_echoes(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    echo = http(placed("26112"), headers=f"X-Debug: {KEY}\r\nSet-Cookie: k={KEY}\r\n")
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger=name):
        assert outcome_of(saying(echo)) == Placed("26112")
    assert KEY not in caplog.text


def test_the_check_before_the_first_byte_may_ask_the_server_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.broker.transport.SLOW_ANSWER_S", 0.1)
    ended = threading.Event()

    def pong_then_drip(peer: socket.socket) -> None:
        for request in requests_of(peer):
            if b"orderid" not in request and b"symbol" not in request:
                peer.sendall(http(b'{"data": {"broker": "zerodha"}, "status": "success"}'))
                continue
            peer.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not ended.wait(0.02):
                peer.sendall(b" ")

    asked = []
    with scripted(pong_then_drip) as url, client(url, read_timeout=0.2, connect_timeout=0.1) as broker:
        outcome = broker.place_order(ORDER, before_write=lambda: asked.append(broker.ping()), read_timeout=0.2)
        ended.set()
    assert len(asked) == 1
    assert isinstance(outcome, NoAnswer), "the order's own bound still holds"


def test_an_answer_that_cannot_be_judged_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_answer: object, **_secret: object) -> None:
        raise ZeroDivisionError(KEY)

    monkeypatch.setattr("engine.broker.order_calls.judge_placement", fails)
    assert outcome_of(saying(http(placed("26112")))) == NoAnswer("200, not to be judged: ZeroDivisionError")
