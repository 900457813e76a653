"""Recorded exchanges, and a transport that answers with one of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from engine.broker import OpenAlgoClient

REST = Path(__file__).parent / "recorded" / "rest"
KEY = "made-up-key-5f2c"
NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)

Exchanged = dict[str, Any]


class Replay(httpx.BaseTransport):
    """Answers every request with one recorded exchange and keeps what was asked."""

    def __init__(self, exchange: Exchanged) -> None:
        self.exchange = exchange
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.exchange["status_code"] is None:
            raise httpx.ReadTimeout("gave up", request=request)
        body = self.exchange["response"]
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return httpx.Response(self.exchange["status_code"], content=content, headers=self.exchange["response_headers"])

    @property
    def fields(self) -> dict[str, Any]:
        """What was sent, body or query."""
        assert len(self.asked) == 1, "asked exactly once, never repeated"
        request = self.asked[0]
        return json.loads(request.content) if request.method == "POST" else dict(request.url.params)


def load(name: str) -> Exchanged:
    return json.loads((REST / f"{name}.json").read_text(encoding="utf-8"))


def client_for(replay: httpx.BaseTransport) -> OpenAlgoClient:
    """A client whose clock goes on by a second with every look at it."""
    ticks = iter(range(1_000_000))

    def clock() -> datetime:
        return NOW + timedelta(seconds=next(ticks))

    return OpenAlgoClient("http://127.0.0.1:5000", KEY, label="father", transport=replay, clock=clock)
