"""The stream against a small real WebSocket server: recorded transcripts first, then what a night of trouble brings."""

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from engine.broker.feed import (
    Connected,
    Connecting,
    DepthTick,
    Down,
    LoginRefused,
    NotSubscribed,
    OrdersSubscribed,
    Problem,
    QuoteTick,
    Stopped,
    StreamMode,
    Subscribed,
    Tick,
)
from engine.broker.models import DepthLevel
from engine.broker.stream import OpenAlgoStream
from engine.domain.instruments import Exchange
from tests.contract.client_feed import (
    CALL,
    KEY,
    NIFTY,
    NOBODY,
    WS,
    Feed,
    Listener,
    Message,
    acknowledged,
    feed,
    listen,
    normal,
    tick,
    until,
)

__all__ = ["feed", "listen"]


# Recorded transcripts


class Transcript:
    """Gives each message of ours the recorded answers to the next recorded message of the same action."""

    def __init__(self, name: str) -> None:
        lines = [json.loads(line) for line in (WS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        self.groups: list[tuple[str, list[Any]]] = [("connect", [])]
        self.symbols: dict[StreamMode, set[tuple[str, Exchange]]] = {mode: set() for mode in StreamMode}
        for line in lines:
            message = line.get("message")
            if line.get("direction") == "client" and isinstance(message, dict):
                action = message.get("action") or message.get("type")
                self.groups.append(("authenticate" if action == "auth" else action, []))
                rows = message.get("symbols") or ([message] if "symbol" in message else [])
                mode = {"ltp": 1, 9: None}.get(message.get("mode", 2), message.get("mode", 2))
                if action == "subscribe" and mode is not None:
                    self.symbols[mode] |= {(row["symbol"], Exchange(row["exchange"])) for row in rows}
            elif line.get("direction") == "client":
                self.groups.append(("garbage", []))
            elif line.get("direction") == "server":
                self.groups[-1][1].append(message)
            elif line.get("direction") == "close":
                self.groups[-1][1].append(message["code"])
        self.wants_orders = any(action == "subscribe_orders" for action, _ in self.groups)

    def answer(self, message: Message) -> list[Any]:
        for place, (action, replies) in enumerate(self.groups):
            if action == message["action"]:
                del self.groups[place]
                return replies
        return []


def check_figures(price: Tick, message: Message) -> None:
    data, kind = message["data"], {1: Tick, 2: QuoteTick, 3: DepthTick}[message["mode"]]
    assert type(price) is kind
    traded = data.get("ltt")
    in_seconds = traded is not None and traded < 10_000_000_000
    assert price.last_trade_time == (traded * 1000 if in_seconds else traded)
    if isinstance(price, QuoteTick):
        same = ("open", "high", "low", "close", "volume", "last_quantity", "average_price")
        same += ("total_buy_quantity", "total_sell_quantity")
        assert {field: getattr(price, field) for field in same} == {field: data.get(field) for field in same}
    if isinstance(price, DepthTick):
        assert in_seconds, "the recorded server counts the last trade in seconds here, in milliseconds elsewhere"
        assert price.open_interest == data["open_interest"] == data["oi"]
        for levels, sent in ((price.bids, data["depth"]["buy"]), (price.asks, data["depth"]["sell"])):
            assert levels == tuple(DepthLevel(row["price"], row["quantity"], row["orders"]) for row in sent)
            assert len(levels) == 5


GOOD_TRANSCRIPTS = [
    "authenticate.alternative-spelling",
    "authenticate.success",
    "errors.bad-messages",
    "orders.analyze",
    "orders.live",
    "ping",
    "subscribe.all-unknown",
    "subscribe.mode1-ltp",
    "subscribe.mode2-quote",
    "subscribe.mode3-depth",
    "subscribe.same-symbol-ltp-and-depth",
    "subscribe.single-symbol-text-mode",
    "unsubscribe.not-subscribed",
]


@pytest.mark.parametrize("name", GOOD_TRANSCRIPTS)
def test_a_recorded_transcript_is_told_price_by_price_and_push_by_push(
    name: str, feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    transcript = Transcript(name)
    asks = {"authenticate"} | ({"subscribe"} if any(transcript.symbols.values()) else set())
    asks |= {"subscribe_orders"} if transcript.wants_orders else set()
    server = feed(transcript.answer)
    stream, heard = listen(server.url, wants_orders=transcript.wants_orders)
    for mode, symbols in transcript.symbols.items():
        stream.set_symbols(symbols, mode=mode)
    until(lambda: asks <= set(server.actions()))
    until(lambda: heard.told(Connected) == [Connected("zerodha")])

    def sent(kind: str) -> list[Message]:
        return [message for message in server.sent if message.get("type") == kind]

    until(lambda: bool(heard.told(OrdersSubscribed)) == transcript.wants_orders)
    until(lambda: len(heard.ticks) == len(sent("market_data")) and len(heard.orders) == len(sent("order_update")))
    for price, message in zip(heard.ticks, sent("market_data"), strict=True):
        assert (price.symbol, price.exchange) == (message["symbol"], message["exchange"])
        assert (price.ltp, price.exchange_time) == (message["data"]["ltp"], message["data"]["timestamp"])
        check_figures(price, message)
    for push, message in zip(heard.orders, sent("order_update"), strict=True):
        same = ("orderid", "symbol", "exchange", "product", "action", "quantity", "price", "trigger_price", "mode")
        same += ("filled_quantity", "pending_quantity", "average_price", "rejection_reason")
        assert {field: getattr(push, field) for field in same} == {field: message[field] for field in same}
        assert (push.price_type, push.status) == (message["pricetype"], message["order_status"])
    taken = {
        (row["symbol"], row["exchange"])
        for message in sent("subscribe")
        for row in message["subscriptions"]
        if row["status"] == "success"
    }
    until(lambda: not taken or heard.told(Subscribed)[-1].instruments == taken)
    refused = [row for message in sent("subscribe") for row in message["subscriptions"] if row["status"] == "error"]
    assert [(state.instrument, state.reason) for state in heard.told(NotSubscribed)] == [
        ((row["symbol"], row["exchange"]), row["message"]) for row in refused
    ]
    assert not heard.told(Down)


REFUSED_LOGINS = [
    ("authenticate.wrong-key", "AUTHENTICATION_ERROR"),
    ("authenticate.missing-key", "AUTHENTICATION_ERROR"),
    ("authenticate.broker-session-revoked", "BROKER_ERROR"),
]
OWN_TESTS = ["errors.before-auth", "authenticate.too-late-closed"]


def test_every_recorded_transcript_is_replayed_by_a_test_here() -> None:
    replayed = GOOD_TRANSCRIPTS + [name for name, _ in REFUSED_LOGINS] + OWN_TESTS
    assert sorted(replayed) == sorted(file.stem for file in WS.glob("*.jsonl"))
    assert len(replayed) == 18


@pytest.mark.parametrize(("name", "code"), REFUSED_LOGINS)
def test_a_recorded_refusal_of_the_login_is_told_and_tried_again_after_a_pause(
    name: str, code: str, feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    server = feed(lambda message: Transcript(name).answer(message))
    _, heard = listen(server.url)
    until(lambda: len(heard.told(LoginRefused)) >= 2)
    assert {state.code for state in heard.told(LoginRefused)} == {code}
    assert heard.told(Down)[0] == Down("login refused", 0.05)
    assert set(server.actions()) == {"authenticate"}, "nothing is asked without a login"


def test_a_server_that_forgot_the_login_is_left(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    recorded = Transcript("errors.before-auth")
    server = feed(lambda message: normal(message) if message["action"] == "authenticate" else recorded.answer(message))
    _, heard = listen(server.url)
    until(lambda: heard.told(Down))
    assert heard.told(Down)[0].reason == "the server forgot the login"


def test_a_login_without_an_answer_is_given_up(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    code = Transcript("authenticate.too-late-closed").groups[0][1]
    closing = feed(lambda _: code)
    _, heard = listen(closing.url)
    until(lambda: heard.told(Down))
    assert heard.told(Down)[0].reason == "closed by the server: 4401 auth timeout"
    mute = feed(lambda _: [])
    _, heard = listen(mute.url, login_timeout=0.05)
    until(lambda: heard.told(Down))
    assert "no answer to the login" in heard.told(Down)[0].reason


# What is asked, and kept asked


def symbols_of(message: Message) -> list[tuple[str, str]]:
    return [(row["symbol"], row["exchange"]) for row in message["symbols"]]


def test_wanted_prices_are_asked_in_mode_1_and_unwanted_ones_given_back_in_mode_1(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    server = feed()
    stream, heard = listen(server.url, wants_orders=False)
    stream.set_symbols({NIFTY, CALL})
    until(lambda: heard.told(Subscribed) and heard.told(Subscribed)[-1].instruments == {NIFTY, CALL})
    stream.set_symbols({CALL})
    until(lambda: heard.told(Subscribed)[-1].instruments == {CALL})
    until(lambda: "unsubscribe" in server.actions())
    login, subscribe, unsubscribe = server.received
    assert login == {"action": "authenticate", "api_key": KEY}
    assert (subscribe["action"], subscribe["mode"], symbols_of(subscribe)) == ("subscribe", 1, [NIFTY, CALL])
    assert unsubscribe["symbols"] == [{"symbol": "NIFTY", "exchange": "NSE_INDEX", "mode": 1}]


def test_one_symbol_in_three_modes_is_asked_and_given_back_mode_by_mode(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    server = feed()
    stream, heard = listen(server.url, wants_orders=False)
    for mode in StreamMode:
        stream.set_symbols({CALL}, mode=mode)
    everything = {(mode, CALL) for mode in StreamMode}
    until(lambda: heard.told(Subscribed) and heard.told(Subscribed)[-1].by_mode == everything)
    asked = [message for message in server.received if message["action"] == "subscribe"]
    assert sorted(message["mode"] for message in asked) == [1, 2, 3]
    stream.set_symbols(set(), mode=StreamMode.DEPTH)
    until(lambda: "unsubscribe" in server.actions())
    gone = [message for message in server.received if message["action"] == "unsubscribe"]
    assert [(row["symbol"], row["mode"]) for message in gone for row in message["symbols"]] == [(CALL[0], 3)]
    until(lambda: heard.told(Subscribed)[-1].by_mode == {(StreamMode.LTP, CALL), (StreamMode.QUOTE, CALL)})
    assert heard.told(Subscribed)[-1].instruments == {CALL}


def test_after_a_cut_everything_is_asked_again_and_the_gap_is_told(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    server = feed()
    stream, heard = listen(server.url)
    stream.set_symbols({NIFTY})
    until(lambda: heard.told(Subscribed))
    server.peers[0].close(1012, "restart")
    until(lambda: len(heard.told(Connected)) == 2 and len(heard.told(Subscribed)) == 2)
    assert server.actions() == ["authenticate", "subscribe_orders", "subscribe"] * 2
    assert heard.told(Down) == [Down("closed by the server: 1012 restart", 0.01)]
    server.say(tick(26000.5))
    until(lambda: heard.ticks)


def test_a_server_that_is_away_is_tried_again_with_growing_pauses(
    listen: Callable[..., tuple[OpenAlgoStream, Listener]],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    _, heard = listen(f"ws://127.0.0.1:{port}", backoff=(0.01, 0.02, 0.03))
    until(lambda: len(heard.told(Down)) >= 4)
    assert [state.retry_in for state in heard.told(Down)[:4]] == [0.01, 0.02, 0.03, 0.03]
    assert [state.attempt for state in heard.told(Connecting)[:4]] == [1, 2, 3, 4]


def test_a_refused_symbol_is_told_and_asked_again_later(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    now = [1000.0]

    def answer(message: Message) -> list[Message]:
        known_now = [seen["action"] for seen in server.received].count("subscribe") > 1
        refuse = message["action"] == "subscribe" and not known_now
        return [acknowledged(message, unknown=("NOSUCH",))] if refuse else normal(message)

    server = feed(answer)
    stream, heard = listen(server.url, clock=lambda: now[0], wants_orders=False, ping_after=1e9, silent_limit=1e9)
    stream.set_symbols({NIFTY, NOBODY})
    until(lambda: heard.told(NotSubscribed))
    assert heard.told(NotSubscribed) == [NotSubscribed(NOBODY, "Token not found")]
    now[0] += 16.0
    until(lambda: heard.told(Subscribed)[-1].instruments == {NIFTY, NOBODY})
    assert symbols_of(server.received[-1]) == [NOBODY], "only the one that is missing"


def test_a_silent_server_is_asked_for_a_sign_of_life_and_then_left(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    server = feed(lambda message: [] if message["action"] == "ping" else normal(message))
    _, heard = listen(server.url, ping_after=0.05, silent_limit=0.2, wants_orders=False)
    until(lambda: heard.told(Down))
    assert heard.told(Down)[0].reason == "silent for 0.2 s"
    assert server.actions()[:2] == ["authenticate", "ping"]


def test_a_pong_keeps_a_quiet_connection(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    server = feed()
    _, heard = listen(server.url, ping_after=0.02, silent_limit=0.2, wants_orders=False)
    until(lambda: server.actions().count("ping") > 12)
    assert not heard.told(Down)


def test_a_quiet_connection_outlives_the_time_out_of_connecting(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    server = feed()
    _, heard = listen(server.url, open_timeout=0.1, wants_orders=False)
    until(lambda: heard.told(Connected))
    quiet_since = time.monotonic()
    until(lambda: time.monotonic() - quiet_since > 0.3)
    server.say(tick(26000.5))
    until(lambda: heard.ticks)
    assert not heard.told(Down)


def test_a_redirect_is_not_followed_because_the_key_would_go_there(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    elsewhere = feed()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def redirect() -> None:
            peer, _ = listener.accept()
            threading.Thread(target=serve_quietly, daemon=True).start()
            with peer:
                peer.recv(65536)
                head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n"
                peer.sendall(head.encode())

        def serve_quietly() -> None:
            with contextlib.suppress(OSError):
                redirect()

        threading.Thread(target=serve_quietly, daemon=True).start()
        _, heard = listen(f"ws://127.0.0.1:{listener.getsockname()[1]}", backoff=(5.0,))
        until(lambda: heard.told(Down))
    assert elsewhere.peers == []


# What is told


@pytest.mark.parametrize(
    "bad",
    [
        "{bad json",
        "[1, 2]",
        tick(0),
        tick(-5.0),
        tick(float("nan")),
        tick(float("inf")),
        tick("26000"),
        tick(True),
        tick(None),
        {"type": "market_data", "symbol": "NIFTY", "exchange": "NSE_INDEX", "data": {}},
        {"type": "market_data", "symbol": "NIFTY", "exchange": "MARS", "data": {"ltp": 5.0}},
        {"type": "market_data", "symbol": "NIFTY", "exchange": "NSE_INDEX", "data": None},
        {"type": "order_update", "orderid": "17"},
        {"status": "error", "code": "SERVER_ERROR", "message": "oops"},
    ],
    ids=str,
)
def test_what_is_no_price_and_no_order_is_counted_and_not_told(
    bad: Any, feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    server = feed()
    _, heard = listen(server.url, wants_orders=False)
    until(lambda: heard.told(Connected))
    server.say(bad)
    server.say(bad)
    server.say(tick(26000.5, timestamp="soon"))
    until(lambda: heard.ticks)
    assert [(price.ltp, price.exchange_time) for price in heard.ticks] == [(26000.5, None)]
    assert heard.orders == []
    assert [state.count for state in heard.told(Problem)] == [1, 2]


def test_a_receiver_that_fails_costs_only_its_own_message(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    prices: list[float] = []

    def fussy(price: Tick) -> None:
        if price.ltp == 1.0:
            raise RuntimeError("no")
        prices.append(price.ltp)

    server = feed()
    _, heard = listen(server.url, on_tick=fussy, wants_orders=False)
    until(lambda: heard.told(Connected))
    server.say(tick(1.0))
    server.say(tick(2.0))
    until(lambda: prices == [2.0])
    assert heard.told(Problem) == [Problem("callback", 1, "Tick: RuntimeError: no")]


def test_ticks_carry_both_clocks(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    server = feed()
    _, heard = listen(server.url, clock=lambda: 77.0, wants_orders=False)
    until(lambda: heard.told(Connected))
    server.say(tick(26000.5, timestamp=1795325547667))
    until(lambda: heard.ticks)
    assert (heard.ticks[0].received_at, heard.ticks[0].exchange_time) == (77.0, 1795325547667)
    assert heard.ticks[0].received_utc.utcoffset() is not None


def test_the_key_reaches_neither_logs_nor_states(
    feed: Callable[..., Feed],
    listen: Callable[..., tuple[OpenAlgoStream, Listener]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("test.feed").setLevel(logging.WARNING)
    server = feed(lambda _: [{"status": "error", "code": "AUTHENTICATION_ERROR", "message": f"bad key {KEY}"}])
    stream, heard = listen(server.url, label=f"father {KEY}")
    until(lambda: heard.told(Down))
    stream.stop()
    assert heard.told(LoginRefused)[0].reason == "bad key [api key]"
    assert KEY not in f"{heard.states!r} {stream!r}"
    assert KEY not in caplog.text


# The end


def test_stop_ends_the_thread_and_the_callbacks(
    feed: Callable[..., Feed], listen: Callable[..., tuple[OpenAlgoStream, Listener]]
) -> None:
    server = feed()
    stream, heard = listen(server.url)
    until(lambda: heard.told(Connected))
    begun = time.monotonic()
    stream.stop()
    assert time.monotonic() - begun < 2.0
    assert heard.states[-1] == Stopped()
    assert "stream father" not in {thread.name for thread in threading.enumerate() if thread.is_alive()}
    stream.stop()


def test_stop_does_not_wait_for_a_server_that_hangs_in_the_handshake(
    listen: Callable[..., tuple[OpenAlgoStream, Listener]],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream, heard = listen(f"ws://127.0.0.1:{listener.getsockname()[1]}", open_timeout=3.0)
        peer, _ = listener.accept()
        begun = time.monotonic()
        stream.stop()
        assert time.monotonic() - begun < 2.2
        peer.close()
    until(lambda: heard.states[-1] == Stopped())


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:8765", "ws://", "ws://me:pw@127.0.0.1:8765", None])
def test_a_url_that_is_none_is_refused_by_name(url: Any) -> None:
    with pytest.raises(ValueError, match=r"^ws_url: "):
        OpenAlgoStream(url, KEY, on_tick=print, on_order=print, on_state=print)
