"""The paper exchange's market data is one market: chain, quotes, depth, greeks, bars and ticks agree."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.domain.instruments import Exchange, InstrumentType
from engine.paper import history_calls
from engine.paper.app import Rest, build
from engine.paper.calls import Call
from engine.paper.clock import IST, ist
from engine.paper.exchange import PaperExchange
from engine.paper.limits import RateLimits
from engine.paper.market import Market
from engine.paper.storage import Storage
from engine.paper.stream import Stream
from tests.paper_server import PaperServer

KEY = "data-key"
NOON = datetime(2026, 11, 23, 12, 0, 0, 300_000, tzinfo=IST).timestamp()
NIFTY = {"symbol": "NIFTY", "exchange": "NSE_INDEX"}


class Desk:
    """An exchange in this process whose time stands still until a test sets it."""

    def __init__(self) -> None:
        self.now = NOON
        self.exchange = PaperExchange(market=Market(11), storage=Storage(None), clock=lambda: self.now)
        self.exchange.open_account(api_key=KEY, name="Asha", funds=10**10, face="analyze")
        rest = Rest(self.exchange, RateLimits(enabled=False))
        self._app = build(rest, Stream(self.exchange, tick_seconds=60.0), [])

    def request(self, method: str, endpoint: str, fields: dict[str, Any]) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, client=("127.0.0.1", 5000))
            async with httpx.AsyncClient(transport=transport, base_url="http://paper") as client:
                if method == "GET":
                    return await client.get(f"/api/v1/{endpoint}", params=fields)
                return await client.post(f"/api/v1/{endpoint}", json=fields)

        return asyncio.run(ask())

    def call(self, endpoint: str, method: str = "POST", **fields: Any) -> dict[str, Any]:
        answer = self.request(method, endpoint, {"apikey": KEY, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def expiries(self, underlying: str = "NIFTY", exchange: str = "NFO") -> list[str]:
        body = self.call("expiry", symbol=underlying, exchange=exchange, instrumenttype="options")
        return [day.replace("-", "") for day in body["data"]]

    def chain(self, day: str, count: int = 3, **fields: Any) -> dict[str, Any]:
        asked = {"underlying": "NIFTY", "exchange": "NSE_INDEX"} | fields
        return self.call("optionchain", expiry_date=day, strike_count=count, **asked)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperServer]:
    with PaperServer(seed=21) as server:
        server.add_account(KEY)
        yield server


def history(paper: PaperServer, symbol: str, exchange: str, interval: str = "1m") -> list[dict[str, Any]]:
    today = f"{datetime.now(tz=IST):%Y-%m-%d}"
    body = {"symbol": symbol, "exchange": exchange, "start_date": today, "end_date": today}
    return list(paper.call("history", apikey=KEY, interval=interval, **body)["data"])


# Agreement


def test_chain_quotes_depth_and_greeks_tell_the_same_prices(desk: Desk) -> None:
    for row in desk.chain(desk.expiries()[1], with_greeks=True)["chain"]:
        for side in (row["ce"], row["pe"]):
            named = {"symbol": side["symbol"], "exchange": "NFO"}
            quote = desk.call("quotes", **named)["data"]
            assert {name: side[name] for name in quote} == quote
            depth = desk.call("depth", **named)["data"]
            assert [depth[name] for name in ("ltp", "open", "high", "low", "prev_close", "volume", "oi")] == [
                quote[name] for name in ("ltp", "open", "high", "low", "prev_close", "volume", "oi")
            ]
            best = (depth["bids"][0], depth["asks"][0])
            assert [level["price"] for level in best] == [side["bid"], side["ask"]]
            assert [level["quantity"] for level in best] == [side["bid_qty"], side["ask_qty"]]
            greeks = desk.call("optiongreeks", **named)
            assert greeks["option_price"] == side["ltp"]
            measured = greeks["greeks"] | {"implied_volatility": greeks["implied_volatility"]}
            assert {name: side[name] for name in measured if name != "rho"} == {
                name: value for name, value in measured.items() if name != "rho"
            }


@pytest.mark.parametrize("number", [0, 1, 5])
def test_synthetic_future_is_call_less_put_above_the_strike_and_near_the_fair_forward(desk: Desk, number: int) -> None:
    day = desk.expiries()[number]
    made = desk.call("syntheticfuture", underlying="NIFTY", exchange="NSE_INDEX", expiry_date=day)
    chain = desk.chain(day, with_greeks=True)
    (middle,) = [row for row in chain["chain"] if row["ce"]["label"] == "ATM"]
    price = middle["strike"] + middle["ce"]["ltp"] - middle["pe"]["ltp"]
    assert made["synthetic_future_price"] == chain["forward_price"] == pytest.approx(price)
    assert (made["atm_strike"], made["underlying_ltp"]) == (chain["atm_strike"], chain["underlying_ltp"])
    carry = made["underlying_ltp"] * math.exp(0.065 * (chain["expiry_ts"] - NOON) / (365 * 86_400))
    assert made["synthetic_future_price"] == pytest.approx(carry, rel=0.0003)


def test_greeks_of_calls_and_puts_belong_together(desk: Desk) -> None:
    rows = desk.chain(desk.expiries()[1], count=8, with_greeks=True)["chain"]
    for row in rows:
        assert row["ce"]["delta"] - row["pe"]["delta"] == pytest.approx(1.0, abs=0.01)
        assert row["ce"]["implied_volatility"] == pytest.approx(row["pe"]["implied_volatility"], abs=0.5)
    deltas = [row["ce"]["delta"] for row in rows]
    assert deltas == sorted(deltas, reverse=True)


def test_greeks_follow_the_price_the_forward_and_the_interest_that_are_given(desk: Desk) -> None:
    symbol = desk.chain(desk.expiries()[1])["chain"][3]["ce"]["symbol"]
    asked = {"symbol": symbol, "exchange": "NFO"}
    plain = desk.call("optiongreeks", **asked)
    higher = desk.call("optiongreeks", **asked, forward_price=plain["spot_price"] + 100)
    assert higher["spot_price"] == plain["spot_price"] + 100
    assert higher["implied_volatility"] < plain["implied_volatility"]
    assert desk.call("optiongreeks", **asked, interest_rate=6.5)["interest_rate"] == 6.5
    assert desk.call("optiongreeks", **asked, expiry_time="10:00")["days_to_expiry"] < plain["days_to_expiry"]
    desk.exchange.quotes.pin(symbol, "NFO", round(plain["option_price"] * 150), desk.now)
    dearer = desk.call("optiongreeks", **asked)
    assert dearer["implied_volatility"] > plain["implied_volatility"]
    both = desk.call("multioptiongreeks", symbols=[asked])
    assert (both["status"], both["summary"]) == ("success", {"total": 1, "success": 1, "failed": 0})
    assert {name: both["data"][0][name] for name in dearer} == dearer


def test_premium_without_time_value_implies_no_volatility(desk: Desk) -> None:
    row = desk.chain(desk.expiries()[1])["chain"][0]
    desk.exchange.quotes.pin(row["ce"]["symbol"], "NFO", 100, desk.now)
    greeks = desk.call("optiongreeks", symbol=row["ce"]["symbol"], exchange="NFO")
    assert (greeks["implied_volatility"], greeks["greeks"]["delta"], greeks["greeks"]["vega"]) == (0.0, 1.0, 0.0)


def test_depth_looks_like_a_market_and_moves(desk: Desk) -> None:
    symbols = [
        (side["symbol"], 65) for row in desk.chain(desk.expiries()[1])["chain"] for side in (row["ce"], row["pe"])
    ]
    seen = set()
    for second in range(3):
        desk.now = NOON + second
        for symbol, lot in symbols:
            depth = desk.call("depth", symbol=symbol, exchange="NFO")["data"]
            bids, asks = depth["bids"], depth["asks"]
            assert [level["price"] for level in bids] == sorted({level["price"] for level in bids}, reverse=True)
            assert [level["price"] for level in asks] == sorted({level["price"] for level in asks})
            assert bids[0]["price"] < depth["ltp"] < asks[0]["price"]
            lots = [level["quantity"] / lot for level in (*bids, *asks)]
            assert all(2 <= count == int(count) <= 150 for count in lots)
            assert depth["totalbuyqty"] == sum(level["quantity"] for level in bids)
            assert depth["totalsellqty"] == sum(level["quantity"] for level in asks)
            seen |= {(symbol, "buy", depth["totalbuyqty"]), (symbol, "sell", depth["totalsellqty"])}
    assert len(seen) > 2 * 3 * len(symbols) * 0.9


def test_nobody_quotes_an_index(desk: Desk) -> None:
    depth = desk.call("depth", **NIFTY)["data"]
    assert depth["bids"] == depth["asks"] == [{"price": 0, "quantity": 0}] * 5
    assert [depth[name] for name in ("volume", "oi", "ltq", "totalbuyqty", "totalsellqty")] == [0] * 5
    assert depth["low"] <= depth["ltp"] <= depth["high"]


def test_depth_of_a_worthless_option_has_no_bid_below_one_tick(desk: Desk) -> None:
    symbol = desk.chain(desk.expiries()[1])["chain"][0]["ce"]["symbol"]
    desk.exchange.quotes.pin(symbol, "NFO", 5, desk.now)
    depth = desk.call("depth", symbol=symbol, exchange="NFO")["data"]
    assert [level["price"] for level in depth["bids"]] == [0.05, 0, 0, 0, 0]
    assert [bool(level["quantity"]) for level in depth["bids"]] == [True, False, False, False, False]
    assert depth["asks"][0]["price"] == 0.1


# What is listed


@pytest.mark.parametrize(
    ("underlying", "exchange", "segment"),
    [("NIFTY", "NSE_INDEX", "NFO"), ("SENSEX", "BSE_INDEX", "BFO"), ("BANKNIFTY", "NFO", "NFO")],
)
def test_offsets_name_the_contracts_of_the_chain(desk: Desk, underlying: str, exchange: str, segment: str) -> None:
    day = desk.expiries(underlying, segment)[1]
    asked = {"underlying": underlying, "exchange": exchange, "expiry_date": day}
    for row in desk.chain(day, 4, underlying=underlying, exchange=exchange)["chain"]:
        for kind in ("CE", "PE"):
            found = desk.call("optionsymbol", offset=row[kind.lower()]["label"], option_type=kind, **asked)
            assert (found["symbol"], found["exchange"]) == (row[kind.lower()]["symbol"], segment)


def test_future_as_underlying_means_the_options_of_its_expiry(desk: Desk) -> None:
    day = desk.expiries()[2]
    asked = {"underlying": f"NIFTY{day}FUT", "exchange": "NFO", "offset": "OTM1", "option_type": "PE"}
    named = desk.call("optionsymbol", **asked)
    plain = desk.call("optionsymbol", **(asked | {"underlying": "NIFTY"}), expiry_date=day)
    assert named == plain
    (_, atm, _) = desk.chain(day, 1, underlying=f"NIFTY{day}FUT", exchange="NFO")["chain"]
    assert atm["ce"]["label"] == "ATM"


def test_underlyings_without_options_are_told_apart_from_unknown_ones(desk: Desk) -> None:
    asked = {"apikey": KEY, "expiry_date": desk.expiries()[1], "offset": "ATM", "option_type": "CE"}
    share = desk.request("POST", "optionsymbol", {**asked, "underlying": "RELIANCE", "exchange": "NSE"})
    assert (share.status_code, share.json()["message"].startswith("No strikes found for RELIANCE")) == (404, True)
    unknown = desk.request("POST", "optionsymbol", {**asked, "underlying": "NOSUCH", "exchange": "NSE"})
    assert unknown.status_code == 400
    assert unknown.json()["message"].startswith("Failed to fetch LTP for NOSUCH. Symbol 'NOSUCH' not found")


def test_everything_that_is_listed_has_a_price(desk: Desk) -> None:
    for exchange in ("NSE", "NSE_INDEX", "BSE_INDEX", "NFO", "BFO"):
        rows = desk.call("instruments", "GET", exchange=exchange)["data"]
        assert len({row["symbol"] for row in rows}) == len(rows) > 1
        sample = rows[:: max(len(rows) // 40, 1)]
        asked = [{"symbol": row["symbol"], "exchange": row["exchange"]} for row in sample]
        answers = desk.call("multiquotes", symbols=asked)["results"]
        assert [answer["symbol"] for answer in answers] == [row["symbol"] for row in sample]
        assert all(answer["data"]["ltp"] > 0 for answer in answers)
        for row in sample[:5]:
            known = desk.call("symbol", symbol=row["symbol"], exchange=exchange)["data"]
            assert {name: known[name] for name in row} == row


def test_master_holds_the_whole_chain_and_its_file_is_the_same(desk: Desk) -> None:
    day = desk.expiries()[1]
    chain = desk.call("optionchain", underlying="NIFTY", exchange="NSE_INDEX", expiry_date=day)["chain"]
    rows = desk.call("instruments", "GET", exchange="NFO")["data"]
    listed = [row["symbol"] for row in rows if row["symbol"].startswith(f"NIFTY{day}") and row["strike"]]
    assert listed == [side["symbol"] for row in chain for side in (row["ce"], row["pe"])]
    file = desk.request("GET", "instruments", {"apikey": KEY, "exchange": "NFO", "format": "csv"})
    read = list(csv.DictReader(io.StringIO(file.text)))
    assert read == [{name: str(value) for name, value in row.items()} for row in rows]


def test_search_finds_what_all_words_occur_in(desk: Desk) -> None:
    day = desk.expiries()[1]
    found = desk.call("search", query=f"nifty {day} 26000 pe", exchange="NFO")["data"]
    assert [row["symbol"] for row in found if row["name"] == "NIFTY"] == [f"NIFTY{day}26000PE"]
    assert desk.call("search", query="NIFTY BANK", exchange="NSE_INDEX")["data"][0]["symbol"] == "BANKNIFTY"
    assert desk.call("search", query="SBIN", exchange="NFO")["data"] == []


def test_kept_strike_outside_the_listing_has_only_the_side_that_is_held(desk: Desk) -> None:
    day = desk.expiries()[1]
    desk.exchange.listing.keep(f"NIFTY{day}40000CE", Exchange.NFO)
    last = desk.call("optionchain", underlying="NIFTY", exchange="NSE_INDEX", expiry_date=day)["chain"][-1]
    assert (last["strike"], last["ce"]["symbol"], last["pe"]) == (40_000.0, f"NIFTY{day}40000CE", None)
    names = {row["symbol"] for row in desk.call("instruments", "GET", exchange="NFO")["data"]}
    assert (f"NIFTY{day}40000CE" in names, f"NIFTY{day}40000PE" in names) == (True, False)


def test_expired_contract_is_unknown_to_every_call(desk: Desk) -> None:
    day = desk.expiries()[0]
    option = desk.exchange.listing.option("NIFTY", ist(NOON).date(), 26_000.0, InstrumentType.CE).symbol
    assert day in option
    asked = {"apikey": KEY, "symbol": option, "exchange": "NFO"}
    dates = {"interval": "1m", "start_date": "2026-11-23", "end_date": "2026-11-23"}
    calls = {"quotes": asked, "depth": asked, "optiongreeks": asked, "history": asked | dates}
    assert [desk.request("POST", name, body).status_code for name, body in calls.items()] == [200] * 4
    desk.now += 86_400.0
    assert [desk.request("POST", name, body).status_code for name, body in calls.items()] == [400] * 4


# Bars and ticks


def test_ticks_lie_in_the_bars_of_their_minutes(paper: PaperServer) -> None:
    option = paper.option(KEY)
    names = [NIFTY, {"symbol": option, "exchange": "NFO"}, {"symbol": "SBIN", "exchange": "NSE"}]
    with paper.socket(KEY) as socket:
        socket.ask(action="subscribe", symbols=names, mode=1)
        frames = [socket.expect(lambda frame: frame.get("type") == "market_data") for _ in range(12)]
    for name in names:
        bars = {bar["timestamp"]: bar for bar in history(paper, **name)}
        ticks = [frame["data"] for frame in frames if frame["symbol"] == name["symbol"]]
        assert len(ticks) == 4
        for tick in ticks:
            bar = bars[tick["timestamp"] // 60_000 * 60]
            assert bar["low"] <= tick["ltp"] <= bar["high"]


def test_ticks_with_depth_show_what_quotes_and_depth_show_at_their_instant(paper: PaperServer) -> None:
    option = paper.option(KEY)
    with paper.socket(KEY) as socket:
        socket.ask(action="subscribe", symbols=[{"symbol": option, "exchange": "NFO"}], mode=3)
        tick = socket.expect(lambda frame: frame.get("type") == "market_data")["data"]
    at = (tick["timestamp"] + 0.5) / 1000
    twin = PaperExchange(market=Market(21), storage=Storage(None), clock=lambda: at)
    contract = twin.listing.contract(option, Exchange.NFO)
    quote, (bids, asks) = twin.quotes.quote(contract, at), twin.quotes.depth(contract, at)
    for side, levels in (("buy", bids), ("sell", asks)):
        shown = [(level["price"], level["quantity"], level["orders"]) for level in tick["depth"][side]]
        assert shown == [(level.price / 100, level.quantity, level.orders) for level in levels]
        assert tick[f"total_{side}_quantity"] == sum(level.quantity for level in levels)
    assert (tick["volume"], tick["oi"]) == (quote.volume, quote.open_interest)
    assert [tick[name] for name in ("ltp", "open", "high", "low", "close")] == [
        paise / 100 for paise in (quote.ltp, quote.open, quote.high, quote.low, quote.previous_close)
    ]


def test_pinned_price_is_the_open_bars_close_and_its_high(paper: PaperServer) -> None:
    option = paper.option(KEY, "PE")
    paper.set_price(option, "NFO", 4_321.05)
    try:
        bar = history(paper, option, "NFO")[-1]
        assert (bar["close"], bar["high"]) == (4_321.05, 4_321.05)
    finally:
        paper.clear_prices()
    assert max(bar["high"] for bar in history(paper, option, "NFO")) == 4_321.05
    assert history(paper, option, "NFO", "D")[-1]["high"] == 4_321.05
    assert paper.call("quotes", apikey=KEY, symbol=option, exchange="NFO")["data"]["high"] == 4_321.05


def test_bars_survive_a_crash_with_all_that_was_set(tmp_path: Path) -> None:
    with PaperServer(seed=22, state=tmp_path / "paper.db") as server:
        server.add_account(KEY)
        server.shift("NIFTY", "NSE_INDEX", 2.0)
        server.set_price("SBIN", "NSE", 1_500.0)
        server.clear_prices()
        before = {name: history(server, *name)[:-1] for name in (("NIFTY", "NSE_INDEX"), ("SBIN", "NSE"))}
        shown = {name: history(server, *name)[-1]["high"] for name in before}
        server.kill()
        server.restart()
        for name, bars in before.items():
            after = history(server, *name)
            assert after[: len(bars)] == bars
            assert max(bar["high"] for bar in after[len(bars) :]) >= shown[name]
        assert max(bar["high"] for bar in history(server, "SBIN", "NSE")) == 1_500.0


def test_slow_body_of_bars_is_the_whole_one_and_half_a_body_is_cut(paper: PaperServer) -> None:
    today = datetime.now(tz=IST)
    dates = {"start_date": f"{today - timedelta(days=2):%Y-%m-%d}", "end_date": f"{today - timedelta(days=1):%Y-%m-%d}"}
    body = {"apikey": KEY, **NIFTY, "interval": "1h"} | dates
    bars = paper.call("history", **body)
    paper.fault("slow_body", "history", seconds=0.2)
    assert paper.call("history", **body) == bars
    assert len(bars["data"]) == 48
    paper.fault("half_body", "history")
    with pytest.raises(httpx.RemoteProtocolError):
        paper.post("history", **body)


def test_other_calls_are_answered_while_many_days_of_bars_are_made(desk: Desk) -> None:
    dates = {"start_date": date(2026, 11, 16), "end_date": date(2026, 11, 22)}
    answer = history_calls.history(Call(desk.exchange, {"apikey": KEY, **NIFTY, "interval": "D"} | dates))
    sent: list[Any] = []
    turns = 0

    async def others() -> None:
        nonlocal turns
        while not sent:
            turns += 1
            await asyncio.sleep(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def both() -> None:
        waiting = asyncio.create_task(others())
        await answer({"type": "http"}, None, send)  # type: ignore[arg-type]
        await waiting

    asyncio.run(both())
    assert turns >= 7
    assert len(json.loads(sent[1]["body"])["data"]) == 7
