"""What really leaves the socket, and what the outcome says about it: against a small real server."""

import json
import logging
import socket
import ssl
import threading
import traceback
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.broker import OpenAlgoClient, errors
from engine.broker.answers import NoAnswer, NotSent, OutcomeOpen, Placed, RateLimited, Unclear
from engine.broker.requests import ModifyRequest
from engine.broker.stream import OpenAlgoStream
from engine.broker.transport import shared_ssl_context
from engine.domain.instruments import Exchange
from tests.contract.client_orders import TRADES
from tests.contract.client_server import KEY, ORDER, PLACED, Server, client, closed_port, http, until


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(answer: Any = None) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.listener.close()


def test_nothing_listens_so_nothing_was_sent() -> None:
    asked = []
    with client(f"http://127.0.0.1:{closed_port()}") as broker:
        outcome = broker.place_order(ORDER, before_write=lambda: asked.append(1))
    assert isinstance(outcome, NotSent)
    assert asked == [], "there was no connection, so nobody was asked"


def test_a_failed_tls_handshake_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def not_tls() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b"this is not TLS")

        threading.Thread(target=not_tls, daemon=True).start()
        with client(f"https://127.0.0.1:{listener.getsockname()[1]}") as broker:
            assert isinstance(broker.place_order(ORDER, before_write=pytest.fail), NotSent)


def test_an_objection_right_before_the_first_byte_keeps_every_byte_here(serve: Callable[..., Server]) -> None:
    server = serve(http(PLACED))

    def lease_is_lost() -> None:
        until(lambda: server.connections == 1)
        raise PermissionError("the lease is older than 3 s")

    with client(server.url) as broker:
        outcome = broker.place_order(ORDER, before_write=lease_is_lost)
        with server.done:
            assert server.done.wait_for(lambda: server.bytes_seen == 0, timeout=2.0)
    assert outcome == NotSent("WithheldError: PermissionError: the lease is older than 3 s")
    assert (server.connections, server.bytes_seen) == (1, 0)


def test_an_objection_after_a_good_order_keeps_every_byte_here(serve: Callable[..., Server]) -> None:
    server = serve(http(PLACED))
    with client(server.url) as broker:
        assert broker.place_order(ORDER) == Placed("26112")
        seen = server.bytes_seen
        outcome = broker.place_order(ORDER, before_write=lambda: 1 / 0)
        assert isinstance(outcome, NotSent)
        assert broker.place_order(ORDER) == Placed("26112"), "the client lives on"
    assert (server.bytes_seen, len(server.requests)) == (2 * seen, 2)


def test_the_check_runs_once_on_a_standing_connection_before_any_byte(serve: Callable[..., Server]) -> None:
    server = serve(http(PLACED))
    seen: list[tuple[int, int]] = []

    def check() -> None:
        until(lambda: server.connections == 1)
        seen.append((server.connections, server.bytes_seen))

    with client(server.url) as broker:
        assert broker.place_order(ORDER, before_write=check) == Placed("26112")
    assert seen == [(1, 0)]


def test_a_cut_after_the_request_is_no_answer_and_nothing_is_sent_again(serve: Callable[..., Server]) -> None:
    server = serve(None)
    with client(server.url) as broker:
        outcome = broker.place_order(ORDER)
    assert isinstance(outcome, NoAnswer)
    assert (server.connections, len(server.requests)) == (1, 1)


def test_a_connection_that_ends_in_the_middle_of_the_answer_is_no_answer(serve: Callable[..., Server]) -> None:
    server = serve(http(PLACED)[:-10])
    with client(server.url) as broker:
        assert isinstance(broker.place_order(ORDER, read_timeout=0.2), NoAnswer)


def test_a_server_that_never_answers_is_no_answer_after_the_time_out(serve: Callable[..., Server]) -> None:
    release = threading.Event()
    server = serve(lambda _: http(PLACED) if release.wait(5.0) else None)
    with client(server.url) as broker:
        outcome = broker.place_order(ORDER, read_timeout=0.1)
        release.set()
    assert isinstance(outcome, NoAnswer)
    assert len(server.requests) == 1


def test_a_late_answer_within_the_time_out_still_resolves(serve: Callable[..., Server]) -> None:
    release = threading.Event()
    server = serve(lambda _: http(PLACED) if release.wait(5.0) else None)
    with client(server.url, read_timeout=0.05) as broker:
        threading.Timer(0.3, release.set).start()
        assert broker.place_order(ORDER) == Placed("26112"), "the short time-out of reads is not the orders'"


def test_a_closed_client_sends_nothing_more_but_waits_for_an_answer_on_its_way(serve: Callable[..., Server]) -> None:
    release = threading.Event()
    server = serve(lambda _: http(PLACED) if release.wait(5.0) else None)
    broker = client(server.url)
    outcomes: list[Any] = []
    worker = threading.Thread(target=lambda: outcomes.append(broker.place_order(ORDER, read_timeout=5.0)))
    worker.start()
    until(lambda: len(server.requests) == 1)
    broker.close()
    assert broker.place_order(ORDER) == NotSent("RuntimeError: the client is closed")
    with pytest.raises(errors.UnreachableError, match="closed"):
        broker.ping()
    release.set()
    worker.join(5.0)
    assert outcomes == [Placed("26112")]
    with server.done:
        assert server.done.wait_for(lambda: server.connections == 1, timeout=2.0)


def test_a_redirect_is_not_followed(serve: Callable[..., Server]) -> None:
    elsewhere = serve(http(PLACED))
    server = serve(http(b"", "307 Temporary Redirect", f"Location: {elsewhere.url}/api/v1/placeorder\r\n"))
    with client(server.url) as broker:
        assert isinstance(broker.place_order(ORDER), NoAnswer)
        with pytest.raises(errors.BadAnswerError, match="307"):
            broker.ping()
    assert elsewhere.requests == []


def test_a_proxy_of_the_environment_is_ignored(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = serve(http(PLACED)), serve(http(PLACED))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    with client(server.url) as broker:
        assert broker.place_order(ORDER) == Placed("26112")
    assert (len(proxy.requests), len(server.requests)) == (0, 1)


def test_connections_for_orders_and_for_reads_are_apart(serve: Callable[..., Server]) -> None:
    pong = http(b'{"data": {"broker": "zerodha", "message": "pong"}, "status": "success"}')
    server = serve(pong)
    with client(server.url) as broker:
        broker.ping()
        broker.ping()
        assert server.connections == 1, "reads keep their connection"
        assert isinstance(broker.place_order(ORDER), OutcomeOpen)
        assert server.connections == 2


def test_every_order_has_a_connection_of_its_own(serve: Callable[..., Server]) -> None:
    server = serve(http(PLACED))
    with client(server.url) as broker:
        for placed in range(1, 4):
            assert broker.place_order(ORDER) == Placed("26112")
            assert server.connections == placed


def test_reads_say_what_happened(serve: Callable[..., Server]) -> None:
    unreachable = client(f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(errors.UnreachableError, match="father: ping"):
        unreachable.ping()
    with client(serve(None).url) as broker, pytest.raises(errors.UnreachableError):
        broker.ping()
    release = threading.Event()
    slow = serve(lambda _: http(PLACED) if release.wait(5.0) else None)
    with client(slow.url, read_timeout=0.05) as broker, pytest.raises(errors.TimedOutError, match=r"0\.05 s"):
        broker.orderbook()
    release.set()
    with client(serve(http(b"<html>")).url) as broker, pytest.raises(errors.BadAnswerError, match="without OpenAlgo"):
        broker.positionbook()
    broken = http(b"x" * 20, headers="Content-Encoding: gzip\r\n")
    with client(serve(broken).url) as broker, pytest.raises(errors.BadAnswerError, match="unreadable"):
        broker.positionbook()


def test_a_body_beyond_every_size_is_refused(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.broker.transport.LARGEST_BODY", 1000)
    server = serve(http(b"[" + b" " * 5000 + b"]"))
    with client(server.url) as broker:
        with pytest.raises(errors.BadAnswerError, match="size"):
            broker.orderbook()
        assert isinstance(broker.place_order(ORDER), NoAnswer)


def test_changes_say_what_is_known(serve: Callable[..., Server]) -> None:
    with client(serve(None).url) as broker:
        assert isinstance(broker.cancel_order("17"), Unclear)
        assert isinstance(broker.modify_order(ModifyRequest("17", ORDER)), Unclear)
        assert isinstance(broker.cancel_order("17", before_write=lambda: 1 / 0), NotSent)
    with client(serve(http(b'{"message": "10 per 1 second"}', "429 Too Many Requests")).url) as broker:
        assert broker.cancel_order("17") == RateLimited("10 per 1 second")


def test_the_key_reaches_neither_logs_nor_errors(
    serve: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = serve(http(b'{"status": "error", "message": "no: ' + KEY.encode() + b'"}', "400 Bad Request"))
    torn = serve(b"HTTP/1.1 200 OK\r\n" + KEY.encode() + b"\r\n\r\n")
    for server in (echo, torn):
        with client(server.url) as broker:
            outcome = broker.place_order(ORDER)
            with pytest.raises(errors.BrokerError) as raised:
                broker.ping()
        told = f"{outcome!r} {raised.value} {raised.value!r} {raised.value.__cause__!r} {raised.value.__context__!r}"
        assert KEY not in told
        assert told.count("[api key]") == 3
    assert KEY not in caplog.text


def test_all_clients_share_one_tls_context() -> None:
    assert shared_ssl_context() is shared_ssl_context()
    assert shared_ssl_context().verify_mode is ssl.CERT_REQUIRED


def test_the_key_in_an_address_reaches_neither_logs_nor_errors(
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = 'made/up+key "5f2c"'
    quoted = urllib.parse.quote(key, safe="")
    addresses: list[bytes] = []

    def serve_once(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            with listener, listener.accept()[0] as peer:
                addresses.append(peer.recv(65536).split(b"\r\n")[0])
                peer.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    echo = json.dumps({"status": "error", "message": f"no route /api/v1/instruments?apikey={quoted}"}).encode()
    hosts = [
        serve_once(http(echo, "404 Not Found")),
        serve_once(http(echo, "302 Found", f"Location: http://127.0.0.1:1/?apikey={quoted}\r\n")),
        serve_once(f"HTTP/1.1 200 {quoted}\r\nnonsense\r\n\r\n".encode()),
        serve_once(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ntorn"),
        f"http://127.0.0.1:{closed_port()}",
    ]
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="httpx"):
        for host in hosts:
            with OpenAlgoClient(host, key, label="father") as broker, pytest.raises(errors.BrokerError) as raised:
                broker.instruments(Exchange.NFO)
            trace = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
            ours = [frame.locals for frame in trace.stack if "/engine/" in frame.filename]
            told = f"{raised.value} {raised.value!r} {ours}"
            assert raised.value.__cause__ is raised.value.__context__ is None
            assert not any(form in told for form in (key, quoted, quoted.lower(), "5f2c"))
    assert len(addresses) == 4
    assert all(f"apikey={quoted}".encode() in line.replace(b"+", b"%20") for line in addresses), "it was sent"
    assert "5f2c" not in caplog.text


def test_the_instrument_master_may_be_larger_than_other_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.broker.transport.LARGEST_BODY", 1000)
    replay = b'{"status": "success", "data": []' + b" " * 5000 + b"}"
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with listener, listener.accept()[0] as peer:
            peer.recv(65536)
            peer.sendall(http(replay))

    threading.Thread(target=answer, daemon=True).start()
    with client(f"http://127.0.0.1:{listener.getsockname()[1]}") as broker:
        assert broker.instruments(Exchange.NFO) == ()


@pytest.mark.parametrize("host", ["", "ftp://127.0.0.1"])
def test_a_client_that_is_refused_leaves_no_key_in_a_traceback(host: str) -> None:
    with pytest.raises(ValueError, match="host") as raised:
        OpenAlgoClient(host, KEY)
    trace = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    assert not [frame for frame in trace.stack if "/engine/" in frame.filename and KEY in repr(frame.locals)]
    with pytest.raises(ValueError, match="ws_url") as raised:
        OpenAlgoStream(host, KEY, on_tick=print, on_order=print, on_state=print)
    trace = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    assert not [frame for frame in trace.stack if "/engine/" in frame.filename and KEY in repr(frame.locals)]


@pytest.mark.parametrize("endpoint", sorted(TRADES))
def test_no_call_that_trades_is_ever_repeated_or_raises(endpoint: str, serve: Callable[..., Server]) -> None:
    trade = TRADES[endpoint]
    cut = serve(None)
    with client(cut.url) as broker:
        lost = trade.send(broker, trade.plain, lambda: None)
        kept = trade.send(broker, trade.plain, lambda: 1 / 0)
    until(lambda: len(cut.requests) == 1)
    assert isinstance(lost, Unclear if trade.changes else NoAnswer)
    assert isinstance(kept, NotSent)
    assert len(cut.requests) == 1, "sent once, and nothing after the objection"
    away = client(f"http://127.0.0.1:{closed_port()}")
    assert isinstance(trade.send(away, trade.plain, lambda: None), NotSent)
    away.close()
    assert isinstance(trade.send(away, trade.plain, lambda: None), NotSent), "a closed client sends nothing"
