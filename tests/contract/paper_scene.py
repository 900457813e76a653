"""An account of its own for each recorded exchange, in the state that the recording speaks about.

Recordings name contracts, ids and one key of their day. A scene says the request in today's words for an account that
was put into that state, and compares the answer: status, names, types, and every word that does not depend on prices.
"""

from __future__ import annotations

import ast
import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx

from tests.contract.paper_stage import KEY, RECORDED, difference
from tests.paper_server import PaperServer

PRICES = {"RELIANCE": 1546.0, "SBIN": 972.5, "TCS": 3141.0, "ICICIBANK": 1370.0, "INFY": 1510.0}
BOOKS_OF_MANY = {"positionbook.analyze-broker-quotes-down", "pnlsymbols.analyze"}
"""Recorded with a day's positions; here only the form of their rows is compared."""
FIGURES = frozenset(
    {
        *(
            "symbol",
            "orderid",
            "trigger_id",
            "pending_order_id",
            "underlying_ltp",
            "total_logs",
            "timestamp",
            "user_id",
        ),
        *("price", "average_price", "trade_value", "tradeid", "ltp", "pnl", "pnlpercent", "last_price", "broker"),
        *("created_at", "updated_at", "expires_at", "last_reset"),
        *("availablecash", "utiliseddebits", "grossexposure", "m2mrealized", "m2munrealized", "totalpnl"),
        *("today_realized_pnl", "total_realized_pnl", "unrealized_pnl", "total_pnl_today", "total_pnl"),
        *("total_unrealized_pnl", "total_today_realized_pnl"),
        *("total_margin_required", "span_margin", "exposure_margin"),
    }
)
"""Fields whose values are prices, ids, times or counts of this exchange: only their form is compared."""


class Market:
    """A paper exchange with still prices, and the contracts of the recordings in today's words."""

    def __init__(self, paper: PaperServer) -> None:
        self.paper = paper
        paper.add_account("looks")
        days = [paper.expiry(number=number, api_key="looks") for number in (1, 2)]
        months = paper.call("expiry", apikey="looks", symbol="BANKNIFTY", exchange="NFO", instrumenttype="options")
        month = str(months["data"][-1]).replace("-", "")
        self.words = {
            "01DEC26": days[0],
            "08DEC26": days[1],
            "09DEC26": _next_day(days[1]),
            "29DEC26": month,
            "26NOV26": paper.expiry("SENSEX", "BFO", api_key="looks"),
        }
        self.call_option = f"NIFTY{days[0]}26000CE"
        self.put_option = f"NIFTY{days[0]}26000PE"
        paper.set_price(self.call_option, "NFO", 236.75)
        paper.set_price(self.put_option, "NFO", 195.35)
        for symbol, price in PRICES.items():
            paper.set_price(symbol, "NSE", price)
        self._numbers = count(1)

    def scene(self, name: str) -> Scene:
        """Return a recording with an account of its own, flat and in its recording's mode."""
        return Scene(self, name, f"key-{next(self._numbers)}")


class Scene:
    """One recorded exchange and its account. ``replaced`` are words of the recording that stand for others here."""

    def __init__(self, market: Market, name: str, key: str) -> None:
        self.paper, self.name, self.key = market.paper, name, key
        self.market = market
        text = (RECORDED / "rest" / f"{name}.json").read_text()
        mode = json.loads(text)["server_mode"]
        self.face = "live" if mode.startswith("live") else "analyze"
        self.semi_auto = "semi_auto" in mode
        self.revoked = "session revoked" in mode
        self.replaced: dict[str, str] = {KEY: key, **market.words}
        self._text = text
        self.paper.add_account(key, face=self.face, liquidity="touch")  # one trade an order, whatever depth shows

    def order(self, **fields: Any) -> dict[str, Any]:
        order = {"apikey": self.key, "strategy": "contract", "symbol": self.market.call_option, "exchange": "NFO"}
        return order | {"action": "BUY", "quantity": 65, "product": "NRML"} | fields

    def place(self, recorded_id: str | None = None, **fields: Any) -> str:
        """Place an order that must be taken; it stands for the recorded one."""
        own = str(self.paper.call("placeorder", **self.order(**fields))["orderid"])
        if recorded_id is not None:
            self.replaced[recorded_id] = own
        return own

    def translated(self, text: str) -> str:
        for word, own in self.replaced.items():
            text = text.replace(word, f"\0{own}\0")
        return text.replace("\0", "")

    def play(self) -> tuple[dict[str, Any], httpx.Response]:
        """Send the recorded request; returns the recording in today's words and this exchange's answer."""
        if self.semi_auto or self.revoked:
            self.paper.change(self.key, semi_auto=self.semi_auto, token="revoked" if self.revoked else "good")
        recorded = json.loads(self.translated(self._text))
        path = str(recorded["path"]).removeprefix("/api/v1/").rstrip("/")
        return recorded, self.paper.post(path, **recorded["request"])


def assert_same(scene: Scene) -> None:
    """Assert that the answer has the recorded status, form and words."""
    recorded, answer = scene.play()
    assert answer.status_code == recorded["status_code"], answer.text
    given = answer.json()
    assert difference(recorded["response"], given) is None
    left_out = FIGURES | {"data"} if scene.name in BOOKS_OF_MANY else FIGURES
    assert words_that_differ(recorded["response"], given, left_out) == []


def words_that_differ(recorded: Any, given: Any, left_out: frozenset[str], path: str = "$") -> list[str]:
    """List where an answer's values are not the recorded ones, prices, ids and times left out."""
    if isinstance(recorded, dict):
        names = [name for name in recorded if name not in left_out]
        return [
            problem
            for name in names
            for problem in words_that_differ(recorded[name], given[name], left_out, f"{path}.{name}")
        ]
    if isinstance(recorded, list) and len(recorded) == len(given):
        return [
            problem
            for number, (one, other) in enumerate(zip(recorded, given, strict=True))
            for problem in words_that_differ(one, other, left_out, f"{path}[{number}]")
        ]
    return [] if _read(recorded) == _read(given) else [f"{path}: {recorded!r} recorded, {given!r} given"]


def _read(value: Any) -> Any:
    """Return a printed mapping as one: the order of its fields is that of a set."""
    return ast.literal_eval(value) if isinstance(value, str) and value.startswith("{'") else value


def _next_day(compact: str) -> str:
    return f"{datetime.strptime(compact, '%d%b%y').replace(tzinfo=UTC) + timedelta(days=1):%d%b%y}".upper()
