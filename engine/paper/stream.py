"""The websocket: all sockets, the ticks and pushes that go out to them, and what faults do to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator

from starlette.websockets import WebSocket

from engine.paper import ticks
from engine.paper.conversation import Conversation
from engine.paper.exchange import PaperExchange
from engine.paper.faces import FACES
from engine.paper.fault_script import Fault
from engine.paper.orders import Push
from engine.paper.sockets import Client
from engine.paper.subscriptions import Cast, Feed, received

logger = logging.getLogger(__name__)

AUTH_SECONDS = 15.0
AUTH_TIMEOUT = 4401
SWEEP_SECONDS = 0.1
EVERYBODY = "*"


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
        self._silent_until: dict[str, float] = {}
        self._refused_until: dict[str, float] = {}
        exchange.on_push = self._push

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Match and send ticks as long as the block lasts."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def publish(self) -> None:
        """Send the newest price of everything that is subscribed, now."""
        at = self._exchange.clock()
        listeners: dict[str, list[Client]] = {}
        for client in self._clients:
            if client.account is not None and client.subscriptions.modes:
                listeners.setdefault(client.account.api_key, []).append(client)
        self._feeds = {api_key: self._feeds.get(api_key) or Feed() for api_key in listeners}
        frames: dict[tuple[Cast, int], str] = {}
        for api_key, clients in listeners.items():
            casts = self._feeds[api_key].next(client.subscriptions for client in clients)
            if self._is_silent(api_key, at):
                continue
            for client in clients:
                if client.is_behind:
                    continue
                for cast in received(client.subscriptions, casts):
                    text = frames.get(cast)
                    if text is None:
                        text = frames[cast] = json.dumps(ticks.frame(self._exchange.quotes, *cast, at))
                    client.say(text)

    async def suffer(self, fault: Fault) -> None:
        """Carry out a fault of the websocket, now."""
        if fault.kind == "stream_silence":
            self.silence(fault.api_key, fault.seconds)
        else:
            await self.cut(fault.api_key, fault.seconds, code=fault.code)

    def silence(self, api_key: str | None, seconds: float) -> None:
        """Send neither ticks nor pushes to an account (None: to anybody) for some seconds; sockets stay open."""
        self._silent_until[api_key or EVERYBODY] = self._exchange.clock() + seconds

    async def cut(self, api_key: str | None, seconds: float, *, code: int = 0) -> None:
        """End the sockets of an account (None: all) and refuse its authentication for some seconds.

        They are reset as by a network; with a ``code`` they are closed with it, as by a server.
        """
        self._refused_until[api_key or EVERYBODY] = self._exchange.clock() + seconds
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
        finally:
            self._clients.discard(client)
            writer.cancel()
            grace.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._tick_seconds
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS, max(due - loop.time(), 0.0)))
            try:
                self._exchange.sweep()
                if loop.time() >= due:
                    due = max(due + self._tick_seconds, loop.time())
                    self.publish()
            except Exception:
                logger.exception("a pass of the paper exchange failed; the next one follows")

    async def _expect_authentication(self, client: Client) -> None:
        await asyncio.sleep(self._auth_seconds)
        if client.account is None:
            await client.close(AUTH_TIMEOUT, "auth timeout")

    def _push(self, push: Push) -> None:
        account = self._exchange.accounts[push.order.api_key]
        if self._is_silent(account.api_key, self._exchange.clock()):
            return
        text = json.dumps(FACES[account.face].push(account, push))
        for client in self._clients:
            if client.wants_orders and client.account is not None and client.account.api_key == account.api_key:
                client.say(text)

    def _is_silent(self, api_key: str, at: float) -> bool:
        return any(self._silent_until.get(name, 0.0) > at for name in (api_key, EVERYBODY))

    def _is_refused(self, api_key: str) -> bool:
        at = self._exchange.clock()
        return any(self._refused_until.get(name, 0.0) > at for name in (api_key, EVERYBODY))
