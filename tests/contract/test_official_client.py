"""OpenAlgo's own Python client drives the paper exchange unchanged: what it returns, and what the books then hold.

The client is the newest release for the Python in use: 1.0.47 on Python 3.11, 2.x from 3.12 on, which adds pushes of
orders and GTT calls. It never raises; an error is a dict with ``status`` error.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from openalgo import api

from tests.paper_server import PaperServer, wait_until

KEY = "official-client-key"
NEWER = hasattr(api, "subscribe_orders")
needs_newer = pytest.mark.skipif(
    not NEWER, reason=f"openalgo {importlib.metadata.version('openalgo')} has no such method: it needs Python 3.12"
)
STRATEGY = "official"


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperServer]:
    with PaperServer(seed=11) as server:
        server.set_price("NIFTY", "NSE_INDEX", 26_010.0)  # two calls in a row speak of one market
        yield server


@pytest.fixture
def client(paper: PaperServer, request: pytest.FixtureRequest) -> Any:
    """The official client of an account of its own."""
    key = f"{KEY}-{request.node.name}"
    paper.add_account(key)
    return api(api_key=key, host=paper.url, ws_url=paper.ws_url)


@pytest.fixture
def option(client: Any, paper: PaperServer) -> str:
    """An option at the money whose price stands still."""
    symbol = paper.option(client.api_key)
    paper.set_price(symbol, "NFO", 200.0)
    return symbol


def good(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["status"] == "success", answer
    return answer


def today() -> str:
    return f"{datetime.now(ZoneInfo('Asia/Kolkata')):%Y-%m-%d}"


def order(symbol: str, action: str = "BUY", quantity: int = 65, **fields: Any) -> dict[str, Any]:
    body = {"strategy": STRATEGY, "symbol": symbol, "exchange": "NFO", "action": action, "product": "NRML"}
    return body | {"quantity": quantity, "price_type": "MARKET"} | fields


def expiry(client: Any) -> str:
    return str(good(client.expiry(symbol="NIFTY", exchange="NFO", instrumenttype="options"))["data"][1]).replace(
        "-", ""
    )


# Market data


def test_quotes_and_depth_show_one_market(client: Any, option: str) -> None:
    quote = good(client.quotes(symbol=option, exchange="NFO"))["data"]
    depth = good(client.depth(symbol=option, exchange="NFO"))["data"]
    assert quote["ltp"] == depth["ltp"] == 200.0
    assert [len(depth["bids"]), len(depth["asks"])] == [5, 5]
    assert (depth["bids"][0]["price"], depth["asks"][0]["price"]) == (quote["bid"], quote["ask"])
    assert quote["bid"] < 200.0 < quote["ask"]


def test_multiquotes_answer_each_symbol(client: Any, option: str) -> None:
    rows = good(
        client.multiquotes(
            symbols=[{"symbol": option, "exchange": "NFO"}, {"symbol": "NIFTY", "exchange": "NSE_INDEX"}]
        )
    )["results"]
    assert {row["symbol"]: row["data"]["ltp"] > 0 for row in rows} == {option: True, "NIFTY": True}


def test_the_master_lists_what_search_finds(client: Any, option: str) -> None:
    row = good(client.symbol(symbol=option, exchange="NFO"))["data"]
    found = good(client.search(query=option, exchange="NFO"))["data"]
    assert option in [entry["symbol"] for entry in found]
    table = client.instruments(exchange="NFO")
    assert isinstance(table, pd.DataFrame)
    listed = table.set_index("symbol").loc[option]
    assert (listed["lotsize"], listed["strike"], listed["instrumenttype"]) == (row["lotsize"], row["strike"], "CE")


def test_history_is_a_frame_of_bars_in_kolkata(client: Any, option: str) -> None:
    frame = client.history(symbol=option, exchange="NFO", interval="5m", start_date=today(), end_date=today())
    assert isinstance(frame, pd.DataFrame), frame
    assert str(frame.index.tz) == "Asia/Kolkata"
    assert {"open", "high", "low", "close", "volume"} <= set(frame.columns)
    assert (frame["high"] >= frame[["open", "close", "low"]].max(axis=1)).all()
    assert frame.index.is_monotonic_increasing
    assert {moment.minute % 5 for moment in frame.index} == {0}
    assert frame["close"].iloc[-1] == good(client.quotes(symbol=option, exchange="NFO"))["data"]["ltp"]


def test_intervals_are_those_that_history_takes(client: Any) -> None:
    offered = good(client.intervals())["data"]
    assert "5m" in offered["minutes"]
    start = f"{datetime.now(ZoneInfo('Asia/Kolkata')) - timedelta(days=4):%Y-%m-%d}"
    for interval in ("1m", *offered["hours"], *offered["days"]):
        begin = today() if interval == "1m" else start
        frame = client.history(
            symbol="NIFTY", exchange="NSE_INDEX", interval=interval, start_date=begin, end_date=today()
        )
        assert isinstance(frame, pd.DataFrame), (interval, frame)
        assert not frame.empty


def test_the_chain_and_the_offsets_name_the_same_contracts(client: Any) -> None:
    day = expiry(client)
    chain = good(client.optionchain(underlying="NIFTY", exchange="NSE_INDEX", expiry_date=day, strike_count=2))["chain"]
    labels = {row["ce"]["label"]: row["ce"]["symbol"] for row in chain}
    for offset in ("ATM", "OTM2", "ITM1"):
        answer = good(
            client.optionsymbol(
                underlying="NIFTY", exchange="NSE_INDEX", expiry_date=day, offset=offset, option_type="CE"
            )
        )
        assert answer["symbol"] == labels[offset]


def test_greeks_and_the_synthetic_future_agree_with_the_chain(client: Any) -> None:
    day = expiry(client)
    chain = good(client.optionchain(underlying="NIFTY", exchange="NSE_INDEX", expiry_date=day, strike_count=1))
    call = next(row["ce"]["symbol"] for row in chain["chain"] if row["ce"]["label"] == "ATM")
    greeks = good(client.optiongreeks(symbol=call, exchange="NFO"))
    assert 0.2 < greeks["greeks"]["delta"] < 0.8
    assert 1.0 < greeks["implied_volatility"] < 60.0
    future = good(client.syntheticfuture(underlying="NIFTY", exchange="NSE_INDEX", expiry_date=day))
    assert future["atm_strike"] == chain["atm_strike"]
    assert abs(future["synthetic_future_price"] / chain["underlying_ltp"] - 1) < 0.02


def test_the_calendar_answers(client: Any) -> None:
    rows = good(client.holidays(year=2026))["data"]
    assert "2026-11-24" in [row["date"] for row in rows]
    assert good(client.timings(date="2026-11-24"))["data"] is not None


# Orders


def test_an_order_is_placed_modified_and_cancelled(client: Any, option: str, paper: PaperServer) -> None:
    placed = good(client.placeorder(**order(option, price_type="LIMIT", price=150.0)))["orderid"]
    change = order(option, price_type="LIMIT", price=160.0, quantity=130)
    good(client.modifyorder(order_id=placed, **change))
    status = good(client.orderstatus(order_id=placed, strategy=STRATEGY))["data"]
    assert (status["order_status"], status["price"], status["quantity"]) == ("open", 160.0, 130)
    good(client.cancelorder(order_id=placed, strategy=STRATEGY))
    (row,) = paper.books(client.api_key)["orders"]
    assert (row["order_id"], row["status"], row["price"], row["filled"]) == (placed, "cancelled", 16_000, 0)


def test_the_books_hold_what_was_traded(client: Any, option: str) -> None:
    placed = good(client.placeorder(**order(option, quantity=130)))["orderid"]
    (row,) = good(client.orderbook())["data"]["orders"]
    (trade,) = good(client.tradebook())["data"]
    (position,) = good(client.positionbook())["data"]
    assert (row["orderid"], row["order_status"]) == (placed, "complete")
    assert (trade["orderid"], trade["quantity"]) == (placed, 130)
    assert (position["symbol"], position["quantity"]) == (option, 130)
    good(client.holdings())
    held = client.openposition(strategy=STRATEGY, symbol=option, exchange="NFO", product="NRML")
    assert int(good(held)["quantity"]) == 130
    assert good(client.funds())["data"]["availablecash"] < 10_000_000


def test_a_smart_order_reaches_its_target_and_then_has_nothing_to_do(
    client: Any, option: str, paper: PaperServer
) -> None:
    good(client.placesmartorder(**order(option, position_size=130, quantity=65)))
    assert paper.net(client.api_key, option) == 130
    again = good(client.placesmartorder(**order(option, position_size=130, quantity=65)))
    assert "orderid" not in again
    good(client.placesmartorder(**order(option, "SELL", position_size=-65, quantity=65)))
    assert paper.net(client.api_key, option) == -65


def test_a_basket_and_a_split_place_every_child(client: Any, option: str, paper: PaperServer) -> None:
    put = paper.option(client.api_key, "PE")
    legs = [
        {
            "symbol": symbol,
            "exchange": "NFO",
            "action": action,
            "quantity": 65,
            "pricetype": "MARKET",
            "product": "NRML",
        }
        for symbol, action in ((option, "SELL"), (put, "BUY"))
    ]
    results = good(client.basketorder(strategy=STRATEGY, orders=legs))["results"]
    assert {row["symbol"] for row in results if row["status"] == "success"} == {option, put}
    split = good(client.splitorder(**order(option, quantity=195, splitsize=65)))
    assert [row["quantity"] for row in split["results"]] == [65, 65, 65]
    assert (paper.net(client.api_key, option), paper.net(client.api_key, put)) == (130, 65)


def test_option_orders_find_their_contracts(client: Any, paper: PaperServer) -> None:
    day = expiry(client)
    common = {"strategy": STRATEGY, "underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": day}
    single = good(
        client.optionsorder(
            **common, offset="OTM1", option_type="PE", action="BUY", quantity=65, price_type="MARKET", product="NRML"
        )
    )
    assert paper.net(client.api_key, single["symbol"]) == 65
    wings = [
        {"offset": "OTM2", "option_type": kind, "action": "BUY", "quantity": 65, "product": "NRML"}
        for kind in ("CE", "PE")
    ]
    answer = good(client.optionsmultiorder(**common, legs=wings))
    assert [row["status"] for row in answer["results"]] == ["success", "success"]
    assert {row["quantity"] for row in paper.books(client.api_key)["positions"]} == {65}


def test_everything_is_cancelled_and_closed(client: Any, option: str, paper: PaperServer) -> None:
    good(client.placeorder(**order(option)))
    good(client.placeorder(**order(option, price_type="LIMIT", price=150.0)))
    assert len(good(client.cancelallorder(strategy=STRATEGY))["canceled_orders"]) == 1
    good(client.closeposition(strategy=STRATEGY))
    assert paper.net(client.api_key, option) == 0


def test_margin_of_a_pair_is_less_than_of_its_legs(client: Any, option: str, paper: PaperServer) -> None:
    def leg(symbol: str) -> dict[str, str]:
        fields = {"symbol": symbol, "exchange": "NFO", "action": "SELL", "product": "NRML"}
        return fields | {"pricetype": "MARKET", "quantity": "65", "price": "0", "trigger_price": "0"}

    put = paper.option(client.api_key, "PE")
    alone = [good(client.margin(positions=[leg(s)]))["data"]["total_margin_required"] for s in (option, put)]
    both = good(client.margin(positions=[leg(option), leg(put)]))["data"]["total_margin_required"]
    assert max(alone) < both < sum(alone)


def test_the_sandbox_is_reported(client: Any) -> None:
    assert good(client.analyzerstatus())["data"]["mode"] == "analyze"


# Errors


def test_an_error_is_told_in_the_servers_words(client: Any, paper: PaperServer) -> None:
    wrong = api(api_key="nobody", host=paper.url, ws_url=paper.ws_url)
    answer = wrong.funds()
    assert (answer["status"], answer["code"]) == ("error", 403)
    assert "Invalid openalgo apikey" in answer["message"]
    refused = client.placeorder(**order("NIFTY01JAN2026000CE"))
    assert refused["status"] == "error"


# Stream


@pytest.fixture
def streaming(client: Any) -> Iterator[Any]:
    assert client.connect()
    wait_until(lambda: client.authenticated)
    yield client
    client.disconnect()


def test_live_prices_come_in_every_mode(streaming: Any, paper: PaperServer) -> None:
    symbol = paper.option(streaming.api_key, offset=1)
    wanted = [{"exchange": "NFO", "symbol": symbol}]
    seen: list[dict[str, Any]] = []
    streaming.subscribe_ltp(wanted, on_data_received=seen.append)
    streaming.subscribe_quote(wanted)
    streaming.subscribe_depth(wanted)
    paper.set_price(symbol, "NFO", 123.45)
    wait_until(lambda: [tick["data"]["ltp"] for tick in seen], lambda prices: 123.45 in prices)
    wait_until(lambda: streaming.get_ltp("NFO", symbol), lambda answer: "123.45" in str(answer))
    wait_until(lambda: streaming.get_quotes("NFO", symbol), lambda answer: "123.45" in str(answer))
    book = wait_until(
        lambda: streaming.get_depth("NFO", symbol).get("depth", {}).get("NFO", {}).get(symbol, {}),
        lambda book: book.get("ltp") == 123.45,
    )
    assert 0 < book["buyBook"]["5"]["price"] < book["buyBook"]["1"]["price"] < 123.45
    assert 123.45 < book["sellBook"]["1"]["price"] < book["sellBook"]["5"]["price"]
    assert book["buyBook"]["1"]["qty"] > 0
    streaming.unsubscribe_ltp(wanted)


@needs_newer
def test_order_pushes_arrive(streaming: Any, paper: PaperServer) -> None:
    symbol = paper.option(streaming.api_key, offset=-1)
    assert streaming.subscribe_orders()
    placed = ""

    def pushed() -> list[str]:
        nonlocal placed
        if not placed:  # the acknowledgement is swallowed by the client: place until one is pushed
            placed = good(streaming.placeorder(**order(symbol)))["orderid"]
        return [push["order_status"] for push in streaming.get_orders()["orders"] if push["orderid"] == placed]

    wait_until(pushed, lambda states: "complete" in states)


@needs_newer
def test_a_gtt_order_is_placed_changed_listed_and_cancelled(client: Any, option: str) -> None:
    fields = {"strategy": STRATEGY, "symbol": option, "exchange": "NFO", "action": "SELL", "product": "NRML"}
    fields |= {"quantity": 65, "trigger_type": "SINGLE", "price_type": "LIMIT"}
    trigger = good(client.placegttorder(**fields, price=148.0, triggerprice_sl=150.0))["trigger_id"]
    good(client.modifygttorder(trigger_id=trigger, **fields, price=138.0, triggerprice_sl=140.0))
    (row,) = good(client.gttorderbook())["data"]
    assert (row["trigger_id"], row["trigger_prices"]) == (trigger, [140.0])
    good(client.cancelgttorder(trigger_id=trigger, strategy=STRATEGY))
    assert good(client.gttorderbook())["data"] == []
