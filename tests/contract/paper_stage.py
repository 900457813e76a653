"""A paper exchange set up like the recorded server, and how its answers are compared with the recordings.

Recordings name contracts and order ids of their day. Requests and answers are compared after the expiries were
replaced by listed ones and the ids by those of orders in the same state.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.paper_server import PaperServer

RECORDED = Path(__file__).parent / "recorded"
KEY = "test-api-key"
OPEN, COMPLETE, SL, SLM = "26112269810349", "26112227287987", "26112207970843", "26112228073297"


class Stage:
    """A paper exchange with orders in the states that the recordings speak about."""

    def __init__(self, paper: PaperServer) -> None:
        self.paper = paper
        paper.add_account(KEY, name="tester")
        paper.add_account("empty-api-key")
        nifty, sensex = paper.expiry(api_key=KEY), paper.expiry("SENSEX", "BFO", api_key=KEY)
        body = paper.call("expiry", apikey=KEY, symbol="BANKNIFTY", exchange="NFO", instrumenttype="futures")
        months = body["data"][-1]
        dashed = f"{nifty[:2]}-{nifty[2:5]}-{nifty[5:]}"
        unlisted = datetime.strptime(nifty, "%d%b%y").replace(tzinfo=UTC) + timedelta(days=1)
        self._words = {
            "01DEC26": nifty,
            "01-DEC-26": dashed,
            "02DEC26": f"{unlisted:%d%b%y}".upper(),
            "26NOV26": sensex,
            "29DEC26": months.replace("-", ""),
            "29-DEC-26": months,
        }
        self.call_option = f"NIFTY{nifty}26000CE"
        self.paper.set_price(self.call_option, "NFO", 262.5)
        self.orders = {
            COMPLETE: self.place(),
            OPEN: self.place(pricetype="LIMIT", price=210.0, strategy="tag-limit"),
            SL: self.place(pricetype="SL", price=320.2, trigger_price=314.9, strategy="tag-sl"),
            SLM: self.place(action="SELL", pricetype="SL-M", trigger_price=183.7, strategy="tag-slm"),
        }
        self.place(symbol="RELIANCE", exchange="NSE", product="CNC", quantity=5)
        self.place(symbol=f"NIFTY{nifty}26000PE", action="SELL", quantity=130)
        answer = paper.post(
            "placeorder", **self.order(symbol="INFY", exchange="NSE", product="CNC", action="SELL", quantity=1)
        )
        assert answer.status_code == 400

    def order(self, **fields: Any) -> dict[str, Any]:
        order = {"apikey": KEY, "strategy": "contract", "symbol": self.call_option, "exchange": "NFO", "action": "BUY"}
        return order | {"quantity": 65, "product": "NRML"} | fields

    def place(self, **fields: Any) -> str:
        return str(self.paper.call("placeorder", **self.order(**fields))["orderid"])

    def translated(self, text: str) -> str:
        for word, listed in self._words.items():
            text = text.replace(word, f"\0{listed}")
        for recorded, own in self.orders.items():
            text = text.replace(recorded, own)
        return text.replace("\0", "")


def prepared(stage: Stage, name: str) -> str:
    """The recorded exchange in today's words; cases about an order in another state get one of their own."""
    text = (RECORDED / "rest" / f"{name}.json").read_text()
    if name in {"cancelorder.success", "cancelorder.already-cancelled", "orderstatus.analyze-cancelled"}:
        own = stage.place(pricetype="LIMIT", price=210.0)
        if name != "cancelorder.success":
            stage.paper.call("cancelorder", apikey=KEY, strategy="contract", orderid=own)
        text = text.replace(OPEN, own)
    if name.endswith("-empty") and "analyze" in name:
        text = text.replace(KEY, "empty-api-key")
    return stage.translated(text)


def ask(stage: Stage, recorded: dict[str, Any], name: str) -> httpx.Response:
    """Send a prepared recording's request as it was sent."""
    request, headers = recorded["request"], {"Content-Type": "application/json"}
    if isinstance(request, str):
        content = request
        if "wrong-content-type" in name:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
    else:
        headers |= (request or {}).pop("_headers", {})
        content = json.dumps(request)
    return stage.paper._http.request(
        recorded["method"], f"{stage.paper.url}{recorded['path']}", content=content, headers=headers
    )


def recordings(endpoints: tuple[str, ...]) -> list[str]:
    """Names of the recorded REST exchanges of some endpoints."""
    names = sorted(file.stem for file in (RECORDED / "rest").glob("*.json"))
    return [name for name in names if name.split(".")[0] in endpoints]


def difference(recorded: Any, given: Any, path: str = "$") -> str | None:
    """Where the forms differ, None if they do not: names and JSON types; of a list the entries' forms."""
    if type(recorded) is not type(given):
        return f"{path}: {type(recorded).__name__} recorded, {type(given).__name__} given ({given!r})"
    if isinstance(recorded, dict):
        if recorded.keys() != given.keys():
            return f"{path}: {sorted(recorded.keys() ^ given.keys())} only on one side"
        found = (difference(recorded[name], given[name], f"{path}.{name}") for name in recorded)
        return next((problem for problem in found if problem is not None), None)
    if isinstance(recorded, list):
        if bool(recorded) != bool(given):
            return f"{path}: {len(recorded)} entries recorded, {len(given)} given"
        for number, entry in enumerate(given):
            if all(difference(form, entry) is not None for form in recorded):
                return difference(recorded[0], entry, f"{path}[{number}]")
    return None
