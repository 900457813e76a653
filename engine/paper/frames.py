"""Websocket frames that are not market data: what a request names, and how it is answered."""

from __future__ import annotations

from typing import Any

from engine.paper.calls import BROKER

Frame = dict[str, Any]


def symbols_of(request: Frame) -> list[Frame]:
    """Return the instruments that a request names, in a list or beside its action."""
    symbols = request.get("symbols")
    if isinstance(symbols, list):
        return [row for row in symbols if isinstance(row, dict)]
    if "symbol" in request and "exchange" in request:
        return [request]
    return []


def unsubscribed(successful: list[Frame], failed: list[Frame]) -> Frame:
    """Return the answer to a request to end subscriptions."""
    status = "success" if not failed else "partial" if successful else "error"
    return {
        "type": "unsubscribe",
        "status": status,
        "message": "Unsubscription processing complete",
        "successful": successful,
        "failed": failed,
        "broker": BROKER,
    }


def error(code: str, message: str) -> Frame:
    """Return an error frame: it has no ``type``."""
    return {"status": "error", "code": code, "message": message}
