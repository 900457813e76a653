"""The paper exchange's websocket: ticks, pushes, silence, cuts; its process and its control surface."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from engine.domain.instruments import Action, Exchange, InstrumentType, PriceType, Product
from engine.paper.app import Rest, build
from engine.paper.control import Control
from engine.paper.exchange import PaperExchange
from engine.paper.market import Market
from engine.paper.orders import OrderRequest
from engine.paper.storage import Storage
from engine.paper.stream import Stream
from tests.paper_server import ROOT, PaperServer

KEY = "paper-key"
NIFTY = {"symbol": "NIFTY", "exchange": "NSE_INDEX"}


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperServer]:
    with PaperServer(seed=12, tick_seconds=0.1) as server:
        server.add_account(KEY)
        server.add_account("other")
        yield server


def _is_tick(frame: dict[str, Any]) -> bool:
    return frame.get("type") == "market_data"


def test_ticks_move_and_carry_the_time_in_milliseconds(paper: PaperServer) -> None:
    with paper.socket(KEY) as socket:
        socket.ask(action="subscribe", symbols=[NIFTY], mode=1)
        frames = [socket.expect(_is_tick) for _ in range(8)]
        stamps = [frame["data"]["timestamp"] for frame in frames]
        assert stamps == sorted(stamps)
        assert abs(stamps[-1] / 1000 - time.time()) < 2.0
        assert len({frame["data"]["ltp"] for frame in frames}) > 4
        spread = max(f["data"]["ltp"] for f in frames) / min(f["data"]["ltp"] for f in frames)
        assert spread < 1.005


def test_control_price_reaches_subscribers_at_once(paper: PaperServer) -> None:
    option = paper.option(KEY)
    with paper.socket(KEY) as socket:
        socket.ask(action="subscribe", symbols=[{"symbol": option, "exchange": "NFO"}], mode=3)
        paper.set_price(option, "NFO", 77.0)
        frame = socket.expect(lambda frame: _is_tick(frame) and frame["data"]["ltp"] == 77.0)
        assert frame["data"]["depth"]["buy"][0]["price"] < 77.0 < frame["data"]["depth"]["sell"][0]["price"]
        paper.clear_prices()


def test_unsubscribed_symbol_is_silent_and_the_mode_matters(paper: PaperServer) -> None:
    with paper.socket(KEY) as socket:
        socket.ask(action="subscribe", symbols=[NIFTY], mode=1)
        socket.ask(action="unsubscribe", symbols=[NIFTY])
        assert socket.expect(_is_tick)["symbol"] == "NIFTY"
        socket.ask(action="unsubscribe", symbols=[NIFTY | {"mode": 1}])
        with pytest.raises(TimeoutError):
            socket.expect(_is_tick, seconds=0.4)


def test_pushes_go_to_the_own_account_only(paper: PaperServer) -> None:
    option = paper.option(KEY)
    with paper.socket(KEY) as mine, paper.socket("other") as others:
        mine.ask(action="subscribe_orders")
        others.ask(action="subscribe_orders")
        order_id = paper.place(KEY, option)
        assert [mine.receive()["order_status"] for _ in range(2)] == ["open", "complete"]
        foreign = paper.place("other", option)
        assert others.receive()["orderid"] == foreign != order_id


def test_silent_stream_keeps_its_socket_and_loses_what_happens(paper: PaperServer) -> None:
    with paper.socket(KEY) as socket:
        socket.ask(action="subscribe_orders")
        socket.ask(action="subscribe", symbols=[NIFTY], mode=1)
        paper.fault("stream_silence", "stream", seconds=0.5, api_key=KEY)
        lost = paper.place(KEY, paper.option(KEY))
        assert socket.ask(action="ping")["type"] == "pong"
        assert socket.expect(_is_tick, seconds=3.0)
        kept = paper.place(KEY, paper.option(KEY))
        assert socket.expect(lambda frame: frame.get("type") == "order_update")["orderid"] == kept != lost


def test_cut_stream_closes_and_refuses_for_a_while(paper: PaperServer) -> None:
    with paper.socket(KEY) as socket:
        paper.fault("stream_cut", "stream", seconds=0.5, api_key=KEY)
        with pytest.raises(ConnectionClosed):
            socket.expect(lambda _: False)
    with paper.socket() as again:
        assert again.ask(action="authenticate", api_key=KEY)["code"] == "BROKER_ERROR"
        deadline = time.monotonic() + 3.0
        while again.ask(action="authenticate", api_key=KEY)["status"] != "success":
            assert time.monotonic() < deadline


def test_another_key_on_the_same_socket_ends_what_the_first_had_subscribed(paper: PaperServer) -> None:
    with paper.socket(KEY) as socket:
        socket.ask(action="subscribe", symbols=[NIFTY], mode=1)
        socket.ask(action="subscribe_orders")
        assert socket.expect(_is_tick)["symbol"] == "NIFTY"
        assert socket.ask(action="authenticate", api_key="other")["user_id"] == "other"
        paper.place(KEY, paper.option(KEY))
        with pytest.raises(TimeoutError):
            socket.expect(lambda frame: frame.get("type") in {"market_data", "order_update"}, seconds=0.4)


def test_refused_account_is_told_that_its_broker_is_missing(paper: PaperServer) -> None:
    paper.add_account("cut-off")
    paper.fault("stream_cut", "stream", seconds=3600.0, api_key="cut-off")
    with paper.socket() as socket:
        assert socket.ask(action="authenticate", api_key="cut-off")["code"] == "BROKER_ERROR"
        answer = socket.ask(action="subscribe", symbols=[NIFTY], mode=1)
        assert (answer["code"], answer["message"]) == ("BROKER_ERROR", "Broker adapter not found")
        assert socket.ask(action="ping")["type"] == "pong"


def test_end_of_the_lifeline_stops_the_server() -> None:
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "engine.paper", "--port", "0", "--lifeline-fd", str(read_end)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, pass_fds=[read_end]) as process:
        os.close(read_end)
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        os.close(write_end)
        assert process.wait(5.0) == 0


def test_import_is_light() -> None:
    script = "import sys, engine.paper; print(sorted({'pandas', 'plotly', 'streamlit', 'numpy'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("address", "token", "status_code"),
    [("127.0.0.1", "secret", 200), ("127.0.0.1", "guess", 403), ("127.0.0.1", "", 403), ("10.0.0.9", "secret", 403)],
)
def test_control_answers_loopback_with_its_token_only(address: str, token: str, status_code: int) -> None:
    exchange = PaperExchange(market=Market(1), storage=Storage(None))
    stream = Stream(exchange, tick_seconds=0.5)
    rest = Rest(exchange)
    app = build(rest, stream, Control(rest, stream, "secret").routes())

    async def create() -> int:
        transport = httpx.ASGITransport(app, client=(address, 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://paper") as client:
            account = {"api_key": KEY, "name": "Asha"}
            answer = await client.post("/control/accounts", json=account, headers={"X-Control-Token": token})
            return answer.status_code

    assert asyncio.run(create()) == status_code
    assert (KEY in exchange.accounts) == (status_code == 200)


def test_expired_position_settles_at_intrinsic_value() -> None:
    now = [time.time()]
    exchange = PaperExchange(market=Market(4), storage=Storage(None), clock=lambda: now[0])
    account, _ = exchange.open_account(api_key=KEY, name="Asha", funds=10**10, face="analyze")
    expiry = exchange.listing.expiries("NIFTY")[0]
    strike = exchange.listing.strikes("NIFTY", expiry)[40]
    contract = exchange.listing.option("NIFTY", expiry, strike, InstrumentType.CE)
    request = OrderRequest("s", contract.symbol, Exchange.NFO, Action.SELL, 65, PriceType.MARKET, Product.NRML)
    exchange.place(account, request)
    now[0] = exchange.listing.close_of(contract) + 86_400
    exchange.sweep()
    spot = round(exchange.market.spot("NIFTY", exchange.listing.close_of(contract)) * 100)
    intrinsic = max(spot - round(strike * 100), 0)
    position = next(iter(account.positions.values()))
    assert position.quantity == 0
    assert position.realised == 65 * (account.trades[0].price - intrinsic)
    assert exchange.listing.resolve(contract.symbol, Exchange.NFO) is None
