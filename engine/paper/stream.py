"""The websocket: authentication, subscriptions, ticks and order pushes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.websockets import WebSocket

from engine.domain.instruments import Contract, Exchange
from engine.paper import ticks
from engine.paper.accounts import Account
from engine.paper.calls import BROKER
from engine.paper.clock import milliseconds
from engine.paper.exchange import PaperExchange
from engine.paper.faces import FACES
from engine.paper.fault_script import Fault
from engine.paper.frames import Frame, error, symbols_of, unsubscribed
from engine.paper.orders import Push

logger = logging.getLogger(__name__)

AUTH_SECONDS = 15.0
AUTH_TIMEOUT = 4401
SWEEP_SECONDS = 0.1
BACKLOG = 2_000
"""Frames that may wait for a slow client; further ticks are skipped, pushes never."""
EVERYBODY = "*"


@dataclass(eq=False, slots=True)
class Client:
    """One socket: who it is, what it listens to, what waits to be sent."""

    socket: WebSocket
    account: Account | None = None
    wants_orders: bool = False
    modes: dict[tuple[str, str, int], Contract] = field(default_factory=dict)
    outbox: asyncio.Queue[str] = field(default_factory=asyncio.Queue)


class Stream:
    """All sockets. Ticks go out every ``tick_seconds``; resting orders are matched ten times a second."""

    def __init__(self, exchange: PaperExchange, *, tick_seconds: float, auth_seconds: float = AUTH_SECONDS) -> None:
        self._exchange = exchange
        self._tick_seconds = tick_seconds
        self._auth_seconds = auth_seconds
        self._clients: set[Client] = set()
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
        frames: dict[tuple[str, str, int], str] = {}
        for client in self._clients:
            if client.account is None or self._is_silent(client.account.api_key, at):
                continue
            if client.outbox.qsize() > BACKLOG:
                continue
            for key, contract in client.modes.items():
                text = frames.get(key)
                if text is None:
                    text = frames[key] = json.dumps(ticks.frame(self._exchange.quotes, contract, key[2], at))
                client.outbox.put_nowait(text)

    async def suffer(self, fault: Fault) -> None:
        """Carry out a fault of the websocket, now."""
        if fault.kind == "stream_silence":
            self.silence(fault.api_key, fault.seconds)
        else:
            await self.cut(fault.api_key, fault.seconds)

    def silence(self, api_key: str | None, seconds: float) -> None:
        """Send neither ticks nor pushes to an account (None: to anybody) for some seconds; sockets stay open."""
        self._silent_until[api_key or EVERYBODY] = self._exchange.clock() + seconds

    async def cut(self, api_key: str | None, seconds: float) -> None:
        """Close the sockets of an account (None: all) and refuse its authentication for some seconds."""
        self._refused_until[api_key or EVERYBODY] = self._exchange.clock() + seconds
        for client in list(self._clients):
            if api_key is None or (client.account is not None and client.account.api_key == api_key):
                self._clients.discard(client)
                with contextlib.suppress(RuntimeError):
                    await client.socket.close(code=1011)

    async def serve(self, socket: WebSocket) -> None:
        """One socket from its handshake to its end."""
        await socket.accept()
        client = Client(socket)
        self._clients.add(client)
        writer = asyncio.create_task(self._write(client))
        grace = asyncio.create_task(self._expect_authentication(client))
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                self._receive(client, message.get("text") or "")
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

    async def _write(self, client: Client) -> None:
        while True:
            await client.socket.send_text(await client.outbox.get())

    async def _expect_authentication(self, client: Client) -> None:
        await asyncio.sleep(self._auth_seconds)
        if client.account is None:
            with contextlib.suppress(RuntimeError):
                await client.socket.close(code=AUTH_TIMEOUT, reason="auth timeout")

    def _push(self, push: Push) -> None:
        account = self._exchange.accounts[push.order.api_key]
        if self._is_silent(account.api_key, self._exchange.clock()):
            return
        text = json.dumps(FACES[account.face].push(account, push))
        for client in self._clients:
            if client.wants_orders and client.account is account:
                client.outbox.put_nowait(text)

    def _is_silent(self, api_key: str, at: float) -> bool:
        return any(self._silent_until.get(name, 0.0) > at for name in (api_key, EVERYBODY))

    def _receive(self, client: Client, text: str) -> None:
        try:
            request = json.loads(text)
        except ValueError:
            answer: Frame = error("INVALID_JSON", "Invalid JSON message")
        else:
            if isinstance(request, dict):
                answer = self._answer(client, request)
                if "request_id" in request and "type" in answer:
                    answer["request_id"] = request["request_id"]
            else:
                answer = error("SERVER_ERROR", f"'{type(request).__name__}' object has no attribute 'get'")
        client.outbox.put_nowait(json.dumps(answer))

    def _answer(self, client: Client, request: Frame) -> Frame:
        action = request.get("action") or request.get("type")
        match action:
            case "authenticate" | "auth":
                return self._authenticate(client, request)
            case "ping":
                return self._pong(request)
            case "get_supported_brokers":
                return {"type": "supported_brokers", "status": "success", "brokers": [BROKER], "count": 1}
            case "subscribe" | "unsubscribe" | "unsubscribe_all" if client.account is None:
                return error("NOT_AUTHENTICATED", "You must authenticate first")
            case "subscribe_orders" | "unsubscribe_orders" | "get_broker_info" if client.account is None:
                return error("NOT_AUTHENTICATED", "You must authenticate first")
            case "subscribe":
                return self._subscribe(client, request)
            case "unsubscribe":
                return self._unsubscribe(client, request)
            case "unsubscribe_all":
                return self._unsubscribe_all(client)
            case "subscribe_orders":
                client.wants_orders = True
                return {"type": action, "status": "success", "message": "Subscribed to order updates"}
            case "unsubscribe_orders":
                client.wants_orders = False
                return {"type": action, "status": "success", "message": "Unsubscribed from order updates"}
            case "get_broker_info":
                assert client.account is not None
                return {
                    "type": "broker_info",
                    "status": "success",
                    "broker": BROKER,
                    "adapter_status": "connected",
                    "user_id": client.account.name,
                }
            case _:
                return error("INVALID_ACTION", f"Invalid action: {action}")

    def _authenticate(self, client: Client, request: Frame) -> Frame:
        api_key = request.get("api_key") or request.get("apikey")
        if not api_key:
            return error("AUTHENTICATION_ERROR", "API key is required")
        account = self._exchange.accounts.get(str(api_key))
        if account is None:
            return error("AUTHENTICATION_ERROR", "Invalid API key")
        at = self._exchange.clock()
        if any(self._refused_until.get(name, 0.0) > at for name in (account.api_key, EVERYBODY)):
            return error("BROKER_ERROR", "No broker configuration found for user")
        client.account = account
        return {
            "type": "auth",
            "status": "success",
            "message": "Authentication successful",
            "broker": BROKER,
            "user_id": account.name,
            "supported_features": {"ltp": True, "quote": True, "depth": True},
        }

    def _pong(self, request: Frame) -> Frame:
        answer = {"type": "pong", "status": "success", "server_timestamp": milliseconds(self._exchange.clock())}
        if "timestamp" in request:
            answer["client_timestamp"] = request["timestamp"]
        if "_pingId" in request:
            answer["_pingId"] = request["_pingId"]
        return answer

    def _subscribe(self, client: Client, request: Frame) -> Frame:
        given = request.get("mode", ticks.QUOTE)
        mode = ticks.read_mode(given)
        if mode is None:
            return error("INVALID_MODE", ticks.bad_mode(given))
        symbols = symbols_of(request)
        if not symbols:
            return error("INVALID_PARAMETERS", "At least one symbol must be specified")
        rows = [self._subscribe_one(client, row, mode) for row in symbols]
        partial = any(row["status"] == "error" for row in rows)
        return {
            "type": "subscribe",
            "status": "partial" if partial else "success",
            "subscriptions": rows,
            "message": "Subscription processing complete",
            "broker": BROKER,
        }

    def _subscribe_one(self, client: Client, row: Frame, mode: int) -> Frame:
        symbol, exchange = str(row.get("symbol", "")), str(row.get("exchange", ""))
        contract = self._exchange.listing.resolve(symbol, Exchange(exchange)) if exchange in set(Exchange) else None
        if contract is None:
            message = f"Token not found for {symbol} on {exchange}"
            return {"symbol": symbol, "exchange": exchange, "status": "error", "message": message, "broker": BROKER}
        client.modes[symbol, exchange, mode] = contract
        return {
            "symbol": symbol,
            "exchange": exchange,
            "status": "success",
            "mode": ticks.MODE_NAMES[mode],
            "depth": 5,
            "broker": BROKER,
        }

    def _unsubscribe(self, client: Client, request: Frame) -> Frame:
        if request.get("unsubscribe_all"):
            return self._unsubscribe_all(client)
        symbols = symbols_of(request)
        if not symbols:
            return error("INVALID_PARAMETERS", "Either symbols or unsubscribe_all is required")
        successful: list[Frame] = []
        failed: list[Frame] = []
        for row in symbols:
            symbol, exchange = str(row.get("symbol", "")), str(row.get("exchange", ""))
            given = row.get("mode", request.get("mode", ticks.QUOTE))
            mode = ticks.read_mode(given)
            answer = {"symbol": symbol, "exchange": exchange, "status": "success", "broker": BROKER}
            if mode is None:
                failed.append({**answer, "status": "error", "message": ticks.bad_mode(given)})
            else:
                client.modes.pop((symbol, exchange, mode), None)
                successful.append(answer)
        return unsubscribed(successful, failed)

    def _unsubscribe_all(self, client: Client) -> Frame:
        names = dict.fromkeys((symbol, exchange) for symbol, exchange, _ in client.modes)
        client.modes.clear()
        return unsubscribed(
            [{"symbol": name, "exchange": where, "status": "success", "broker": BROKER} for name, where in names], []
        )
