"""Whatever is sent to the paper exchange: an answer in OpenAlgo's JSON, and books that add up.

Requests begin as recorded ones with today's contracts; fields are dropped, doubled, retyped and replaced. Some are no
requests at all. An exception inside the exchange fails the test at once, because the test client raises it.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from engine.domain.instruments import Product
from engine.paper.accounts import Account
from engine.paper.app import ENDPOINTS, Rest, build
from engine.paper.exchange import PaperExchange
from engine.paper.limits import RateLimits
from engine.paper.market import Market
from engine.paper.orders import WORKING
from engine.paper.storage import Storage
from engine.paper.stream import Stream
from tests.contract.paper_stage import RECORDED

ANALYZE, LIVE, QUEUED = "fuzz-analyze", "fuzz-live", "fuzz-queued"
KEYS = (ANALYZE, LIVE, QUEUED)
SECRET = "a-key-nobody-has"
NOW = 1_795_000_000.0
"""The exchange's clock at the start: a day in November 2026."""
ANSWERS = {200, 400, 401, 403, 404, 413, 500}
FUZZ = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


class Clock:
    """Time that goes on with every look, so that books of a day and of the next both occur."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        self.now += 0.05
        return self.now

    def tomorrow(self) -> None:
        self.now += 86_400.0


class Client:
    """Calls the application in this process; an exception in it comes out here."""

    def __init__(self, app: Any) -> None:
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 5000))
        self._http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    def request(self, method: str, path: str, **fields: Any) -> httpx.Response:
        return self._runner.run(self._http.request(method, path, **fields))

    def close(self) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()


@contextmanager
def exchange_in_process(clock: Clock) -> Iterator[tuple[PaperExchange, Client]]:
    exchange = PaperExchange(market=Market(seed=5), storage=Storage(None), clock=clock)
    for key, face in ((ANALYZE, "analyze"), (LIVE, "live"), (QUEUED, "analyze")):
        exchange.open_account(api_key=key, name=key, funds=100_000_000, face=face)
    exchange.change_account(QUEUED, semi_auto=True)
    rest = Rest(exchange, RateLimits(enabled=False))
    client = Client(build(rest, Stream(exchange, tick_seconds=60.0), []))
    try:
        yield exchange, client
    finally:
        client.close()


def _recorded() -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and body of every recorded request that had a JSON object."""
    found = []
    for file in sorted((RECORDED / "rest").glob("*.json")):
        row = json.loads(file.read_text())
        body = row.get("request") if row["method"] == "POST" else row.get("query")
        if isinstance(body, dict):
            found.append((row["method"], row["path"], {name: v for name, v in body.items() if name != "_headers"}))
    return found


REQUESTS = _recorded()
NAMES = [*sorted({name for _, _, body in REQUESTS for name in body}), "", "unknown", "\u202e", "__class__"]
NUMBERS = st.one_of(
    st.integers(-(10**25), 10**25), st.floats(), st.sampled_from([0, -0.0, 65, 130, 1e308, 1e-320, 2**63, 0.05, 26000])
)
WORDS = st.sampled_from(
    ["", "0", "65", "-65", "1e999", "nan", "Infinity", "٣", "NFO", "NSE_INDEX", "NIFTY", "BUY", "sell", "MARKET",
     "SL-M", "CNC", "ATM", "OTM50", "ITM0", "01DEC26", "31FEB26", "2026-13-45",
     "1m", "D", "\x00", "\ud800", "A" * 70_000]
)  # fmt: skip
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, st.text(max_size=4))
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text()), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, object]:
    """A recorded request, most of the time a little wrong."""
    method, path, body = draw(st.sampled_from(REQUESTS))
    body = json.loads(json.dumps(body))
    for _ in range(draw(st.integers(0, 3))):
        target: Any = body
        while isinstance(target, dict) and target and draw(st.booleans()):
            nested = [value for value in target.values() if isinstance(value, dict | list) and value]
            if not nested:
                break
            target = draw(st.sampled_from(nested))
            target = target[0] if isinstance(target, list) else target
        if not isinstance(target, dict):
            continue
        match draw(st.sampled_from(["replace", "drop", "add", "swap"])):
            case "replace" if target:
                target[draw(st.sampled_from(sorted(target)))] = draw(JUNK)
            case "drop" if target:
                del target[draw(st.sampled_from(sorted(target)))]
            case "add":
                target[draw(st.sampled_from(NAMES))] = draw(JUNK)
            case "swap" if len(target) > 1:
                one, other = draw(st.permutations(sorted(target)))[:2]
                target[one], target[other] = target[other], target[one]
    if draw(st.integers(0, 9)) and "apikey" in body:
        body["apikey"] = draw(st.sampled_from([*KEYS, SECRET]))
    return method, path, body


def books_add_up(account: Account) -> None:
    filled: Counter[str] = Counter()
    net: Counter[tuple[str, str, str]] = Counter()
    for trade in account.trades:
        assert trade.quantity > 0
        assert trade.price > 0
        filled[trade.order_id] += trade.quantity
        net[trade.symbol, trade.exchange, trade.product] += trade.action.sign * trade.quantity
    for order in account.orders.values():
        assert 0 <= order.filled <= order.quantity
        assert order.filled == filled[order.order_id]
        assert order.blocked >= 0
        assert order.status in WORKING or order.blocked == 0
    for (symbol, exchange, product), position in account.positions.items():
        delivered = account.holdings.get((symbol, exchange)) if product == Product.CNC else None
        assert position.quantity + (delivered.quantity if delivered else 0) == net[symbol, exchange, product]


def no_constants(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def checked(answer: Any, sent: object) -> None:
    """The answer is OpenAlgo's JSON with finite figures, and names no key."""
    assert answer.status_code in ANSWERS, (answer.status_code, sent)
    assert SECRET.encode() not in answer.content, sent
    if answer.headers["content-type"].startswith("text/csv"):
        return
    body = json.loads(answer.content, parse_constant=no_constants)
    assert isinstance(body, dict), (body, sent)
    assert "status" in body or "message" in body, (body, sent)
    if answer.status_code != 200:
        assert body.get("status") != "success", (body, sent)
        assert body.get("message") not in (None, "", {}, []), (body, sent)


@FUZZ
@given(st.lists(requests(), min_size=1, max_size=12))
def test_any_request_is_answered_and_the_books_add_up(calls: list[tuple[str, str, object]]) -> None:
    clock = Clock()
    with exchange_in_process(clock) as (exchange, client):
        contract = _today(exchange)
        for method, path, recorded_body in calls:
            text = json.dumps(recorded_body)
            for recorded, listed in contract.items():
                text = text.replace(recorded, listed)
            body = json.loads(text)
            if method == "GET":
                query = {str(name): str(value) for name, value in body.items()}
                try:
                    answer = client.request("GET", path, params=query)
                except UnicodeEncodeError:
                    assume(False)  # no client can put that into an address
            else:
                answer = client.request("POST", path, content=text, headers={"Content-Type": "application/json"})
            checked(answer, (path, body))
        for _ in range(2):
            exchange.sweep()
            for account in exchange.accounts.values():
                books_add_up(account)
            clock.tomorrow()


@FUZZ
@given(
    st.sampled_from(sorted(ENDPOINTS)),
    st.one_of(
        JUNK.map(json.dumps), st.text(), st.just("[" * 50_000), st.just('{"a":' * 5_000), st.just('{"apikey":1e999}')
    ).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.binary(max_size=60),
    st.sampled_from(["application/json", "application/json; charset=utf-16", "text/plain", "multipart/form-data", ""]),
    st.sampled_from(["POST", "GET", "PUT", "DELETE", "PATCH", "OPTIONS"]),
)
def test_what_is_no_request_is_refused_in_words(endpoint: str, body: bytes, kind: str, method: str) -> None:
    answer = SHARED.request(method, f"/api/v1/{endpoint}", content=body, headers={"Content-Type": kind})
    checked(answer, body)
    assert answer.status_code != 200 or endpoint.startswith("market/")


@pytest.mark.parametrize(
    "path", ["/api/v1/", "/api/v1/../control/books", "/api/v1/placeorder/x", "/api/v2/ping", "/%00", "//"]
)
def test_a_path_that_is_none_is_not_found(path: str) -> None:
    answer = SHARED.request("POST", path, json={"apikey": ANALYZE})
    assert (answer.status_code, answer.json()["message"]) == (404, "Not found")


@pytest.fixture(scope="module", autouse=True)
def _shared() -> Iterator[None]:
    global SHARED  # one exchange for the requests that change nothing
    with exchange_in_process(Clock()) as (_, SHARED):
        yield


SHARED: Client


def _today(exchange: PaperExchange) -> dict[str, str]:
    """Recorded expiries and what stands for them today."""
    weekly = exchange.listing.expiries("NIFTY")[1]
    sensex = exchange.listing.expiries("SENSEX")[1]
    monthly = exchange.listing.expiries("BANKNIFTY", futures=True)[-1]
    return {
        "01DEC26": f"{weekly:%d%b%y}".upper(),
        "26NOV26": f"{sensex:%d%b%y}".upper(),
        "29DEC26": f"{monthly:%d%b%y}".upper(),
    }
