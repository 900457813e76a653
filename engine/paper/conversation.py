"""What the websocket answers: authentication, subscriptions, pings, and OpenAlgo's words for what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from engine.domain.instruments import Exchange
from engine.paper import bodies, ticks
from engine.paper.accounts import Token
from engine.paper.calls import BROKER
from engine.paper.clock import milliseconds
from engine.paper.exchange import PaperExchange
from engine.paper.frames import Frame, error, symbols_of, unsubscribed
from engine.paper.quotes import LEVELS
from engine.paper.sockets import Client
from engine.paper.wire import Unreadable

NEEDS_LOGIN = frozenset(
    {"subscribe", "unsubscribe", "unsubscribe_all", "subscribe_orders", "unsubscribe_orders", "get_broker_info"}
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Answers requests of clients. ``is_refused`` says whether a fault keeps an account from authenticating."""

    exchange: PaperExchange
    is_refused: Callable[[str], bool]

    def reply(self, client: Client, message: str | bytes) -> str:
        """Return the answer to a message, text or binary. Nothing that it may hold raises."""
        try:
            request = bodies.parse(message)
        except Unreadable:
            return _text(error("INVALID_JSON", "Invalid JSON message"))
        if not isinstance(request, dict):
            return _text(error("SERVER_ERROR", f"'{type(request).__name__}' object has no attribute 'get'"))
        answer = self._answer(client, request)
        if "request_id" in request and "type" in answer:
            answer["request_id"] = request["request_id"]
        return _text(answer)

    def _answer(self, client: Client, request: Frame) -> Frame:
        action = request.get("action") or request.get("type")
        if isinstance(action, str) and action in NEEDS_LOGIN:
            if client.account is None:
                return error("NOT_AUTHENTICATED", "You must authenticate first")
            if not client.adapter:
                return error("BROKER_ERROR", "Broker adapter not found")
        match action:
            case "authenticate" | "auth":
                return self._authenticate(client, request)
            case "ping":
                return self._pong(request)
            case "get_supported_brokers":
                return {"type": "supported_brokers", "status": "success", "brokers": [BROKER], "count": 1}
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
        account = self.exchange.accounts.get(str(api_key))
        if account is None:
            return error("AUTHENTICATION_ERROR", "Invalid API key")
        if account.token is Token.REVOKED or self.is_refused(account.api_key):
            client.enter(account, adapter=False)
            return error("BROKER_ERROR", "No broker configuration found for user")
        client.enter(account, adapter=True)
        return {
            "type": "auth",
            "status": "success",
            "message": "Authentication successful",
            "broker": BROKER,
            "user_id": account.name,
            "supported_features": {"ltp": True, "quote": True, "depth": True},
        }

    def _pong(self, request: Frame) -> Frame:
        answer = {"type": "pong", "status": "success", "server_timestamp": milliseconds(self.exchange.clock())}
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
        contract = self.exchange.listing.resolve(symbol, Exchange(exchange)) if exchange in set(Exchange) else None
        if contract is None:
            message = f"Token not found for {symbol} on {exchange}"
            return {"symbol": symbol, "exchange": exchange, "status": "error", "message": message, "broker": BROKER}
        client.subscriptions.add((symbol, exchange), mode, contract)
        return {
            "symbol": symbol,
            "exchange": exchange,
            "status": "success",
            "mode": ticks.MODE_NAMES[mode],
            "depth": LEVELS,
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
                client.subscriptions.remove((symbol, exchange), mode)
                successful.append(answer)
        return unsubscribed(successful, failed)

    def _unsubscribe_all(self, client: Client) -> Frame:
        names = client.subscriptions.clear()
        return unsubscribed(
            [{"symbol": name, "exchange": where, "status": "success", "broker": BROKER} for name, where in names], []
        )


def _text(frame: Frame) -> str:
    """Return the frame as JSON; what was echoed of a request may be no number that JSON has."""
    try:
        return json.dumps(frame, allow_nan=False)
    except ValueError:
        return json.dumps(error("SERVER_ERROR", "Out of range float values are not JSON compliant"))
