"""The websocket: all sockets, the ticks and pushes that go out to them, and what faults do to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator

from starlette.websockets import WebSocket

from engine.paper import ticks
from engine.paper.conversation import Conversation
from engine.paper.exchange import PaperExchange
from engine.paper.faces import FACES
from engine.paper.fault_script import Fault
from engine.paper.orders import Push
from engine.paper.sockets import Client
from engine.paper.subscriptions import Cast, Feed, Name, received

logger = logging.getLogger(__name__)

AUTH_SECONDS = 15.0
AUTH_TIMEOUT = 4401
SWEEP_SECONDS = 0.1
SLICE_SECONDS = 0.02
"""Ticks are made for so long before others have their turn."""
EVERYBODY = "*"
Frames = dict[tuple[Cast, int], str]
"""Frames as they are sent, by what they show and the mode that they are tagged with."""


class Stream:
    """All sockets. Ticks go out every ``tick_seconds``; resting orders are matched ten times a second.

    A socket that has not authenticated after ``auth_seconds`` is closed with 4401.
    """

    def __init__(self, exchange: PaperExchange, *, tick_seconds: float, auth_seconds: float = AUTH_SECONDS) -> None:
        self._exchange = exchange
        self._tick_seconds = tick_seconds
        self._auth_seconds = auth_seconds
        self._conversation = Conversation(exchange, self._is_refused)
        self._clients: set[Client] = set()
        self._feeds: dict[str, Feed] = {}
        self._until: dict[tuple[str, str], float] = {}
        self._frozen: dict[str, Frames] = {}
        self._publishing = asyncio.Lock()
        exchange.on_push = self._push

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Match and send ticks as long as the block lasts."""
        tasks = [asyncio.create_task(self._match()), asyncio.create_task(self._tick())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def publish(self) -> None:
        """Send the price of this instant of everything that is subscribed; others have their turn in between."""
        async with self._publishing:
            at = self._exchange.clock()
            listeners: dict[str, list[Client]] = {}
            for client in self._clients:
                if client.account is not None and client.subscriptions.modes:
                    listeners.setdefault(client.account.api_key, []).append(client)
            self._feeds = {api_key: self._feeds.get(api_key) or Feed() for api_key in listeners}
            fresh: Frames = {}
            for api_key, clients in listeners.items():
                casts = self._feeds[api_key].next(client.subscriptions for client in clients)
                if self._lasts("stream_silence", api_key, at):
                    continue
                frames = self._frozen.setdefault(api_key, {}) if self._lasts("stream_frozen", api_key, at) else fresh
                for client in clients:
                    await self._send(client, casts, frames, at)

    async def _send(self, client: Client, casts: dict[Name, list[Cast]], frames: Frames, at: float) -> None:
        """Send a client its frames; those that nobody got yet are made and kept in ``frames``."""
        began, account = time.monotonic(), client.account
        for cast in list(received(client.subscriptions, casts)):
            if client.is_behind or client.account is not account or client not in self._clients:
                return
            text = frames.get(cast)
            if text is None:
                text = frames[cast] = json.dumps(ticks.frame(self._exchange.quotes, *cast, at))
            client.say(text)
            if time.monotonic() - began > SLICE_SECONDS:
                await asyncio.sleep(0)
                began = time.monotonic()

    async def suffer(self, fault: Fault) -> None:
        """Carry out a fault of the websocket (``faults``), now; 0 seconds end one that lasts."""
        at = self._exchange.clock()
        self._until[fault.kind, fault.api_key or EVERYBODY] = at + fault.seconds
        match fault.kind:
            case "stream_cut":
                await self._cut(fault.api_key, fault.code)
            case "stream_frozen":
                self._frozen.clear()

    async def _cut(self, api_key: str | None, code: int) -> None:
        """End the sockets of an account (None: all) as a network does; with a code, close them with it."""
        for client in list(self._clients):
            if api_key is None or (client.account is not None and client.account.api_key == api_key):
                self._clients.discard(client)
                await (client.close(code) if code else client.cut())

    async def serve(self, socket: WebSocket) -> None:
        """One socket from its handshake to its end."""
        await socket.accept()
        client = Client(socket)
        self._clients.add(client)
        writer = asyncio.create_task(client.write())
        grace = asyncio.create_task(self._expect_authentication(client))
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                text = message.get("text")
                client.say(self._conversation.reply(client, message.get("bytes") or b"" if text is None else text))
                await asyncio.sleep(0)  # a flood of requests takes turns with everybody else
        finally:
            self._clients.discard(client)
            writer.cancel()
            grace.cancel()

    async def _match(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            with _going_on():
                self._exchange.sweep()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self._tick_seconds, loop.time())
            await asyncio.sleep(due - loop.time())
            with _going_on():
                await self.publish()

    async def _expect_authentication(self, client: Client) -> None:
        await asyncio.sleep(self._auth_seconds)
        if client.account is None:
            await client.close(AUTH_TIMEOUT, "auth timeout")

    def _push(self, push: Push) -> None:
        account = self._exchange.accounts[push.order.api_key]
        at = self._exchange.clock()
        if any(self._lasts(kind, account.api_key, at) for kind in ("stream_silence", "pushes_lost")):
            return
        text = json.dumps(FACES[account.face].push(account, push))
        times = 2 if self._lasts("pushes_twice", account.api_key, at) else 1
        for client in self._clients:
            if client.wants_orders and client.account is not None and client.account.api_key == account.api_key:
                for _ in range(times):
                    client.say(text)

    def _lasts(self, kind: str, api_key: str, at: float) -> bool:
        return any(self._until.get((kind, name), 0.0) > at for name in (api_key, EVERYBODY))

    def _is_refused(self, api_key: str) -> bool:
        return self._lasts("stream_cut", api_key, self._exchange.clock())


@contextlib.contextmanager
def _going_on() -> Iterator[None]:
    """Log what goes wrong in a pass, so that the next one follows."""
    try:
        yield
    except Exception:
        logger.exception("a pass of the paper exchange failed; the next one follows")
