"""Rate limits of the paper exchange: bursts as recorded, windows that move, what is counted together."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import httpx
import pytest

from engine.paper.app import ENDPOINTS, Rest, build
from engine.paper.exchange import PaperExchange
from engine.paper.limits import LIMITS, OTHERS, SWEEP_AT, RateLimits
from engine.paper.market import Market
from engine.paper.storage import Storage
from engine.paper.stream import Stream
from tests.contract.paper_stage import KEY, RECORDED

BURSTS = {
    "basketorder.rate-limited": (120, 50),
    "cancelorder.rate-limited": (30, 10),
    "optiongreeks.rate-limited": (45, 30),
    "ping.rate-limited": (200, 50),
    "placeorder.rate-limited": (30, 10),
    "placesmartorder.rate-limited": (30, 10),
}
"""Calls of a recorded burst, and how many of them are let through inside one window."""


class Server:
    """The exchange in this process with a clock that stands until it is moved."""

    def __init__(self, *, scope: str = "account") -> None:
        self.now = 1_000.0
        self.exchange = PaperExchange(market=Market(1), storage=Storage(None))
        for key in (KEY, "other"):
            self.exchange.open_account(api_key=key, name="Asha", funds=10**9, face="analyze")
        self.rest = Rest(self.exchange, RateLimits(scope=scope), monotonic=lambda: self.now)
        self._app = build(self.rest, Stream(self.exchange, tick_seconds=60.0), [])

    def send(self, path: str, bodies: list[dict[str, Any]], *, address: str = "127.0.0.1") -> list[httpx.Response]:
        async def send() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self._app, client=(address, 5000))
            async with httpx.AsyncClient(transport=transport, base_url="http://paper") as client:
                return [await client.post(path, json=body) for body in bodies]

        return asyncio.run(send())

    def statuses(self, path: str, body: dict[str, Any], count: int, **fields: Any) -> list[int]:
        return [answer.status_code for answer in self.send(f"/api/v1/{path}", [body] * count, **fields)]


def test_every_recorded_limit_has_a_burst() -> None:
    recorded = {file.stem for file in (RECORDED / "rest").glob("*.rate-limited.json")}
    assert recorded == BURSTS.keys()


@pytest.mark.parametrize("name", BURSTS)
def test_burst_is_limited_as_recorded(name: str) -> None:
    recorded = json.loads((RECORDED / "rest" / f"{name}.json").read_text())
    count, let_through = BURSTS[name]
    answers = Server().send(recorded["path"], [recorded["request"]] * count)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(answer.status_code != 429 for answer in answers[:let_through])
    assert refused == answers[let_through:]
    assert {json.dumps(answer.json()) for answer in refused} == {json.dumps(recorded["response"])}
    assert {"retry-after", "x-ratelimit-limit"}.isdisjoint(refused[0].headers)


def test_window_moves_and_a_refused_call_does_not_count() -> None:
    server = Server()
    body = {"apikey": KEY, "strategy": "x", "orderid": "1"}
    assert Counter(server.statuses("cancelorder", body, 6)) == {404: 6}
    server.now += 0.6
    assert Counter(server.statuses("cancelorder", body, 9)) == {404: 4, 429: 5}
    server.now += 0.5  # the first six are over a second old, the next four are not
    assert Counter(server.statuses("cancelorder", body, 9)) == {404: 6, 429: 3}


def test_greeks_are_limited_by_the_minute() -> None:
    limits = RateLimits()
    assert [limits.refused("a", "optiongreeks", KEY, 0.5 * k) for k in range(30)] == [None] * 30
    assert limits.refused("a", "optiongreeks", KEY, 59.9) == "30 per 1 minute"
    assert limits.refused("a", "optiongreeks", KEY, 60.1) is None


def test_each_endpoint_address_and_account_has_a_window_of_its_own() -> None:
    server = Server()
    mine, other = {"apikey": KEY}, {"apikey": "other"}
    assert set(server.statuses("ping", mine, 50)) == {200}
    assert server.statuses("ping", mine, 1) == [429]
    assert server.statuses("funds", mine, 1) == [200]
    assert server.statuses("ping", other, 1) == [200]
    assert server.statuses("ping", mine, 1, address="127.0.0.2") == [200]


def test_accounts_share_a_window_when_counted_by_address() -> None:
    server = Server(scope="address")
    assert set(server.statuses("ping", {"apikey": KEY}, 50)) == {200}
    assert server.statuses("ping", {"apikey": "other"}, 1) == [429]


def test_strangers_share_one_window_whatever_key_they_guess() -> None:
    server = Server()
    answers = server.send("/api/v1/ping", [{"apikey": f"guess-{k}"} for k in range(51)])
    assert Counter(answer.status_code for answer in answers) == {403: 50, 429: 1}


def test_limits_name_endpoints_that_are_served_and_all_others_have_fifty() -> None:
    assert LIMITS.keys() <= ENDPOINTS.keys()
    assert (OTHERS.calls, OTHERS.seconds, OTHERS.words) == (50, 1.0, "50 per 1 second")
    assert {name for name in ENDPOINTS if LIMITS.get(name, OTHERS).calls == 10} == {
        "placeorder",
        "modifyorder",
        "cancelorder",
        "placesmartorder",
        "optionsorder",
        "optionsmultiorder",
        "placegttorder",
        "modifygttorder",
        "cancelgttorder",
    }


def test_windows_that_are_over_are_forgotten() -> None:
    limits = RateLimits()
    for k in range(SWEEP_AT + 1):
        limits.refused(f"10.0.{k // 256}.{k % 256}", "ping", "", 0.0)
    limits.refused("a", "ping", "", 100.0)
    assert len(limits._calls) == 1
