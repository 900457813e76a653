"""The paper exchange's websocket and its replay: ticks, pushes, silence, cuts, the clock of a replayed day."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import httpx
import pytest
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed

from engine.domain.instruments import Action, Exchange, InstrumentType, PriceType, Product
from engine.paper import stream as stream_module
from engine.paper.app import Rest, build
from engine.paper.connections import TRANSPORT
from engine.paper.control import Control
from engine.paper.exchange import PaperExchange
from engine.paper.market import Market
from engine.paper.orders import OrderRequest
from engine.paper.replay import Bar, Replay, ReplayDay, read_day
from engine.paper.sockets import BACKLOG, LARGEST_BACKLOG, LARGEST_UNSENT, Client
from engine.paper.storage import Storage
from engine.paper.stream import Stream
from tests.paper_server import MARKET, ROOT, PaperServer

KEY = "paper-key"
NIFTY = {"symbol": "NIFTY", "exchange": "NSE_INDEX"}
CSV = MARKET / "NIFTY_1m_2024-06.csv"
DAY = date(2024, 6, 4)
needs_market = pytest.mark.skipif(not CSV.exists(), reason="the shared market files are missing")


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: paper\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


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


def test_peer_that_answers_no_ping_is_dropped_and_one_that_does_stays() -> None:
    with PaperServer(ping_seconds=1.0) as paper:
        paper.add_account(KEY)
        with paper.socket(KEY) as alive, socket.create_connection(("127.0.0.1", paper.port), timeout=10.0) as dead:
            dead.sendall(HANDSHAKE)
            heard = b""
            while piece := dead.recv(4096):
                heard += piece
            assert b"keepalive ping timeout" in heard
            assert alive.ask(action="ping")["type"] == "pong"


class Transport:
    """A connection that can be cut."""

    aborted = False

    def get_extra_info(self, _: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Wire:
    """A socket on a transport; it remembers what was sent."""

    def __init__(self, transport: Transport) -> None:
        self.scope = {TRANSPORT: transport}
        self.sent: list[str] = []
        self.heard = asyncio.Event()

    async def send_text(self, text: str) -> None:
        self.sent.append(text)
        self.heard.set()


def test_client_that_reads_nothing_is_cut_before_it_fills_the_memory() -> None:
    transport = Transport()
    client = Client(Wire(transport))  # type: ignore[arg-type]
    for _ in range(BACKLOG):
        client.say("{}")
    assert not client.is_behind
    client.say("{}")
    assert client.is_behind
    while not transport.aborted:
        client.say("{}")
    assert client.outbox.qsize() == LARGEST_BACKLOG
    client.say("{}")
    assert client.outbox.qsize() == LARGEST_BACKLOG


def test_client_that_reads_nothing_of_long_answers_is_cut_soon() -> None:
    transport = Transport()
    client = Client(Wire(transport))  # type: ignore[arg-type]
    answer = "x" * 1_048_576
    for _ in range(LARGEST_UNSENT // len(answer)):
        client.say(answer)
    assert not transport.aborted
    client.say(answer)
    assert transport.aborted


def test_ticks_of_a_whole_chain_let_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "SLICE_SECONDS", 0.0)
    exchange = PaperExchange(market=Market(1), storage=Storage(None))
    account, _ = exchange.open_account(api_key=KEY, name="many", funds=1, face="analyze")
    stream = Stream(exchange, tick_seconds=60.0)
    client = Client(Wire(Transport()))  # type: ignore[arg-type]
    client.enter(account, adapter=True)
    chain = list(exchange.listing.contracts(Exchange.NFO))[:40]
    for contract in chain:
        client.subscriptions.add((contract.symbol, contract.exchange), 3, contract)
    stream._clients.add(client)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def publish() -> None:
        task = asyncio.create_task(other())
        await stream.publish()
        task.cancel()

    asyncio.run(publish())
    assert client.outbox.qsize() == len(chain)
    assert turns >= len(chain) - 1


def test_what_was_sent_does_not_count_and_nothing_is_sent_to_a_closed_connection() -> None:
    transport = Transport()
    wire = Wire(transport)
    client = Client(wire)  # type: ignore[arg-type]

    async def talk() -> None:
        writer = asyncio.create_task(client.write())
        client.say("one")
        await wire.heard.wait()
        assert client.unsent == 0
        client.say("two")
        transport.abort()
        client.say("three")
        await asyncio.wait_for(writer, 5.0)

    asyncio.run(talk())
    assert "three" not in wire.sent


def test_flood_of_pings_that_nobody_reads_the_answers_of_is_cut(paper: PaperServer) -> None:
    ping = b"\x89\xfd" + bytes(4) + b"p" * 125
    with socket.create_connection(("127.0.0.1", paper.port), timeout=10.0) as peer:
        peer.sendall(HANDSHAKE)
        peer.recv(4096)
        with pytest.raises(ConnectionError):
            peer.sendall(ping * 500_000)
    assert paper.call("ping", apikey=KEY)["status"] == "success"


def test_writer_ends_quietly_with_its_socket() -> None:
    class Gone(Wire):
        async def send_text(self, _: str) -> None:
            raise WebSocketDisconnect(1006)

    async def write() -> None:
        client = Client(Gone(Transport()))  # type: ignore[arg-type]
        client.say("{}")
        await client.write()

    asyncio.run(write())


def test_socket_without_authentication_is_closed_with_4401() -> None:
    exchange = PaperExchange(market=Market(1), storage=Storage(None))
    app = build(Rest(exchange), Stream(exchange, tick_seconds=0.5, auth_seconds=0.05), [])
    sent: list[dict[str, Any]] = []

    async def connect_and_say_nothing() -> None:
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait({"type": "websocket.connect"})

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "websocket.close":
                incoming.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

        await app({"type": "websocket", "path": "/ws", "headers": []}, incoming.get, send)

    asyncio.run(connect_and_say_nothing())
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert (sent[1]["code"], sent[1]["reason"]) == (4401, "auth timeout")


@needs_market
@pytest.mark.market
def test_replay_plays_bar_k_at_its_time() -> None:
    now = [1_000.0]
    day = read_day(CSV, DAY)
    bars = day.bars["NIFTY"]
    replay = Replay(day, speed=60.0, clock=lambda: now[0])
    assert len(bars) == 375
    for k in (0, 1, 200, 374):
        assert replay.price("NIFTY", 1_000.0 + k) == bars[k].open
        assert bars[k].low <= replay.price("NIFTY", 1_000.4 + k) <= bars[k].high
    assert replay.price("NIFTY", 5_000.0) == bars[-1].close
    replay.hold()
    assert replay.price("NIFTY", 9_000.0) == bars[0].open


def test_replayed_bar_touches_both_extremes() -> None:
    bar = Bar(100.0, 104.0, 98.0, 101.0)
    walked = [bar.at(share / 30) for share in range(31)]
    assert (min(walked), max(walked), walked[-1]) == (98.0, 104.0, 101.0)
    replay = Replay(ReplayDay({"X": [bar]}, {}), speed=1.0, clock=lambda: 0.0)
    assert [replay.price("X", at) for at in (0.0, 20.0, 40.0, 60.0, 90.0)] == [100.0, 98.0, 104.0, 101.0, 101.0]


@needs_market
@pytest.mark.market
def test_replayed_day_is_streamed_with_todays_contracts() -> None:
    bars = read_day(CSV, DAY).bars["NIFTY"]
    with PaperServer(replay=CSV, replay_date=DAY, speed=1200.0, hold_replay=True) as paper:
        paper.add_account(KEY)
        quote = paper.call("quotes", apikey=KEY, symbol="NIFTY", exchange="NSE_INDEX")["data"]
        assert (quote["ltp"], quote["open"]) == (bars[0].open, bars[0].open)
        option = paper.option(KEY, "PE")
        with paper.socket(KEY) as socket:
            socket.ask(action="subscribe", symbols=[NIFTY, {"symbol": option, "exchange": "NFO"}], mode=1)
            paper.replay("start")
            started = time.monotonic()
            frames = [socket.expect(_is_tick) for _ in range(40)]
            gap = (frames[-1]["data"]["timestamp"] - frames[0]["data"]["timestamp"]) / 1000 / 19
            assert gap < 0.25
            played = (time.monotonic() - started) * 20
            assert played > 20
            seen = [frame["data"]["ltp"] for frame in frames if frame["symbol"] == "NIFTY"]
            reach = bars[: int(played) + 10]
            assert min(bar.low for bar in reach) <= min(seen)
            assert max(seen) <= max(bar.high for bar in reach)
            assert min(frame["data"]["ltp"] for frame in frames if frame["symbol"] == option) >= 0.05
        paper.replay("hold")
        assert paper.call("quotes", apikey=KEY, symbol="NIFTY", exchange="NSE_INDEX")["data"]["ltp"] == bars[0].open


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
