"""Sockets of the paper exchange in trouble: peers that are silent, that read nothing, that ask too much."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from engine.domain.instruments import Exchange
from engine.paper import stream as stream_module
from engine.paper.app import Rest, build
from engine.paper.connections import TRANSPORT
from engine.paper.exchange import PaperExchange
from engine.paper.market import Market
from engine.paper.sockets import BACKLOG, LARGEST_BACKLOG, LARGEST_UNSENT, Client
from engine.paper.storage import Storage
from engine.paper.stream import Stream
from tests.paper_server import PaperServer

KEY = "paper-key"
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: paper\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperServer]:
    with PaperServer(seed=12, tick_seconds=0.1) as server:
        server.add_account(KEY)
        server.add_account("other")
        yield server


def test_peer_that_answers_no_ping_is_dropped_and_one_that_does_stays() -> None:
    with PaperServer(ping_seconds=1.0) as paper:
        paper.add_account(KEY)
        with paper.socket(KEY) as alive, socket.create_connection(("127.0.0.1", paper.port), timeout=10.0) as dead:
            dead.sendall(HANDSHAKE)
            heard = b""
            while piece := dead.recv(4096):
                heard += piece
            assert b"keepalive ping timeout" in heard
            assert alive.ask(action="ping")["type"] == "pong"


class Transport:
    """A connection that can be cut."""

    aborted = False

    def get_extra_info(self, _: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Wire:
    """A socket on a transport; it remembers what was sent."""

    def __init__(self, transport: Transport) -> None:
        self.scope = {TRANSPORT: transport}
        self.sent: list[str] = []
        self.heard = asyncio.Event()

    async def send_text(self, text: str) -> None:
        self.sent.append(text)
        self.heard.set()


def test_client_that_reads_nothing_is_cut_before_it_fills_the_memory() -> None:
    transport = Transport()
    client = Client(Wire(transport))  # type: ignore[arg-type]
    for _ in range(BACKLOG):
        client.say("{}")
    assert not client.is_behind
    client.say("{}")
    assert client.is_behind
    while not transport.aborted:
        client.say("{}")
    assert client.outbox.qsize() == LARGEST_BACKLOG
    client.say("{}")
    assert client.outbox.qsize() == LARGEST_BACKLOG


def test_client_that_reads_nothing_of_long_answers_is_cut_soon() -> None:
    transport = Transport()
    client = Client(Wire(transport))  # type: ignore[arg-type]
    answer = "x" * 1_048_576
    for _ in range(LARGEST_UNSENT // len(answer)):
        client.say(answer)
    assert not transport.aborted
    client.say(answer)
    assert transport.aborted


def test_ticks_of_a_whole_chain_let_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "SLICE_SECONDS", 0.0)
    exchange = PaperExchange(market=Market(1), storage=Storage(None))
    account, _ = exchange.open_account(api_key=KEY, name="many", funds=1, face="analyze")
    stream = Stream(exchange, tick_seconds=60.0)
    client = Client(Wire(Transport()))  # type: ignore[arg-type]
    client.enter(account, adapter=True)
    chain = list(exchange.listing.contracts(Exchange.NFO))[:40]
    for contract in chain:
        client.subscriptions.add((contract.symbol, contract.exchange), 3, contract)
    stream._clients.add(client)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def publish() -> None:
        task = asyncio.create_task(other())
        await stream.publish()
        task.cancel()

    asyncio.run(publish())
    assert client.outbox.qsize() == len(chain)
    assert turns >= len(chain) - 1


def test_what_was_sent_does_not_count_and_nothing_is_sent_to_a_closed_connection() -> None:
    transport = Transport()
    wire = Wire(transport)
    client = Client(wire)  # type: ignore[arg-type]

    async def talk() -> None:
        writer = asyncio.create_task(client.write())
        client.say("one")
        await wire.heard.wait()
        assert client.unsent == 0
        client.say("two")
        transport.abort()
        client.say("three")
        await asyncio.wait_for(writer, 5.0)

    asyncio.run(talk())
    assert "three" not in wire.sent


def test_flood_of_pings_that_nobody_reads_the_answers_of_is_cut(paper: PaperServer) -> None:
    ping = b"\x89\xfd" + bytes(4) + b"p" * 125
    with socket.create_connection(("127.0.0.1", paper.port), timeout=10.0) as peer:
        peer.sendall(HANDSHAKE)
        peer.recv(4096)
        with pytest.raises(ConnectionError):
            peer.sendall(ping * 500_000)
    assert paper.call("ping", apikey=KEY)["status"] == "success"


def test_writer_ends_quietly_with_its_socket() -> None:
    class Gone(Wire):
        async def send_text(self, _: str) -> None:
            raise WebSocketDisconnect(1006)

    async def write() -> None:
        client = Client(Gone(Transport()))  # type: ignore[arg-type]
        client.say("{}")
        await client.write()

    asyncio.run(write())


def test_socket_without_authentication_is_closed_with_4401() -> None:
    exchange = PaperExchange(market=Market(1), storage=Storage(None))
    app = build(Rest(exchange), Stream(exchange, tick_seconds=0.5, auth_seconds=0.05), [])
    sent: list[dict[str, Any]] = []

    async def connect_and_say_nothing() -> None:
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait({"type": "websocket.connect"})

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "websocket.close":
                incoming.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

        await app({"type": "websocket", "path": "/ws", "headers": []}, incoming.get, send)

    asyncio.run(connect_and_say_nothing())
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert (sent[1]["code"], sent[1]["reason"]) == (4401, "auth timeout")
