"""A small real WebSocket server that says what it is told, and a stream that listens to it."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websocket

from engine.broker.feed import OrderPush, Tick
from engine.broker.stream import OpenAlgoStream
from engine.domain.instruments import Exchange

WS = Path(__file__).parent / "recorded" / "ws"
KEY = "made-up-key-5f2c"
NIFTY = ("NIFTY", Exchange.NSE_INDEX)
CALL = ("NIFTY01DEC2626000CE", Exchange.NFO)
NOBODY = ("NOSUCH", Exchange.NSE)
WELCOME = {"type": "auth", "status": "success", "broker": "zerodha", "user_id": "tester"}

Message = dict[str, Any]


def acknowledged(message: Message, *, unknown: tuple[str, ...] = ()) -> Message:
    refused, taken = {"status": "error", "message": "Token not found"}, {"status": "success"}
    rows = [{**row, **(refused if row["symbol"] in unknown else taken)} for row in message["symbols"]]
    return {"type": "subscribe", "status": "partial" if unknown else "success", "subscriptions": rows}


def tick(ltp: Any, symbol: tuple[str, Exchange] = NIFTY, **data: Any) -> Message:
    return {"type": "market_data", "symbol": symbol[0], "exchange": symbol[1], "mode": 1, "data": {"ltp": ltp, **data}}


def normal(message: Message) -> list[Message]:
    """What a healthy server answers."""
    match message["action"]:
        case "authenticate":
            return [WELCOME]
        case "subscribe":
            return [acknowledged(message)]
        case "subscribe_orders":
            return [{"type": "subscribe_orders", "status": "success"}]
        case "ping":
            return [{"type": "pong", "status": "success"}]
    return [{"type": message["action"], "status": "success"}]


class Feed:
    """A server: ``answer`` says what follows each message; everything received and sent is kept."""

    def __init__(self, answer: Callable[[Message], list[Any]] = normal) -> None:
        self.answer = answer
        self.received: list[Message] = []
        self.sent: list[Any] = []
        self.peers: list[ServerConnection] = []
        self.server = serve_websocket(self._serve, "127.0.0.1", 0, logger=logging.getLogger("test.feed"))
        self.url = f"ws://127.0.0.1:{self.server.socket.getsockname()[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _serve(self, peer: ServerConnection) -> None:
        self.peers.append(peer)
        try:
            for text in peer:
                message = json.loads(text)
                self.received.append(message)
                for reply in self.answer(message):
                    if isinstance(reply, int):
                        peer.close(reply, "auth timeout")
                    else:
                        self.say(reply, peer)
        except ConnectionClosed:
            pass

    def say(self, message: Any, peer: ServerConnection | None = None) -> None:
        self.sent.append(message)
        (peer or self.peers[-1]).send(message if isinstance(message, str) else json.dumps(message))

    def actions(self) -> list[str]:
        return [message["action"] for message in self.received]


class Listener:
    """Keeps what the stream tells."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []
        self.orders: list[OrderPush] = []
        self.states: list[Any] = []

    def told(self, kind: type) -> list[Any]:
        return [state for state in list(self.states) if isinstance(state, kind)]


def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.003)


@pytest.fixture
def feed() -> Iterator[Callable[..., Feed]]:
    feeds: list[Feed] = []

    def start(answer: Callable[[Message], list[Any]] = normal) -> Feed:
        feeds.append(Feed(answer))
        return feeds[-1]

    yield start
    for server in feeds:
        server.server.shutdown()


@pytest.fixture
def listen() -> Iterator[Callable[..., tuple[OpenAlgoStream, Listener]]]:
    streams: list[OpenAlgoStream] = []

    def start(url: str, **options: Any) -> tuple[OpenAlgoStream, Listener]:
        heard = Listener()
        callbacks = {"on_tick": heard.ticks.append, "on_order": heard.orders.append, "on_state": heard.states.append}
        options = {"label": "father", "backoff": (0.01, 0.02), "refused_pause": 0.05, **callbacks, **options}
        stream = OpenAlgoStream(url, KEY, **options)
        streams.append(stream)
        stream.start()
        return stream, heard

    yield start
    for stream in streams:
        stream.stop()
