"""One websocket connection: who it is, what it listens to, what waits to be sent."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.paper.accounts import Account
from engine.paper.connections import TRANSPORT, reset
from engine.paper.subscriptions import Subscriptions

BACKLOG = 2_000
"""Frames that may wait for a slow client; further ticks are skipped, answers and pushes not."""
LARGEST_BACKLOG = 20_000
"""A client that reads nothing of so many frames is cut."""
LARGEST_UNSENT = 32 * 1_048_576
"""So is one that reads nothing of so many characters; no single answer comes near it."""
GOING_AWAY = 1011


@dataclass(eq=False, slots=True)
class Client:
    """One socket. ``account`` is None before it has authenticated; ``adapter`` says whether its broker is there."""

    socket: WebSocket
    account: Account | None = None
    adapter: bool = False
    wants_orders: bool = False
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    outbox: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    unsent: int = 0
    """Characters in the outbox."""

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for it that ticks are skipped."""
        return self.outbox.qsize() > BACKLOG

    def say(self, text: str) -> None:
        """Let a frame wait to be sent; of a client that was cut, nothing waits any more."""
        transport = self.socket.scope.get(TRANSPORT)
        if transport is not None and transport.is_closing():
            return
        self.outbox.put_nowait(text)
        self.unsent += len(text)
        if transport is not None and (self.outbox.qsize() >= LARGEST_BACKLOG or self.unsent > LARGEST_UNSENT):
            reset(transport)

    def enter(self, account: Account, *, adapter: bool) -> None:
        """Become the client of an account; what another one had subscribed ends."""
        if self.account is not None and self.account.api_key != account.api_key:
            self.subscriptions.clear()
            self.wants_orders = False
        self.account, self.adapter = account, adapter

    async def write(self) -> None:
        """Send what waits, as long as the socket lives. Others have their turn after each frame."""
        transport = self.socket.scope.get(TRANSPORT)
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
            while transport is None or not transport.is_closing():
                text = await self.outbox.get()
                self.unsent -= len(text)
                await self.socket.send_text(text)
                await asyncio.sleep(0)

    async def close(self, code: int, reason: str = "") -> None:
        """Say goodbye with a code."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
            await self.socket.close(code=code, reason=reason)

    async def cut(self) -> None:
        """End without a word, as a network does; without a transport (an in-memory client) with a code."""
        transport = self.socket.scope.get(TRANSPORT)
        if transport is None:
            await self.close(GOING_AWAY)
        else:
            reset(transport)
