"""Feeds that do their worst: reconnect storms, endless kinds of errors, floods and frames of every wrong shape."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.broker.feed import Connected, DepthTick, Down, OrderPush, Problem, QuoteTick, Tick
from engine.broker.frames import read_frame
from engine.broker.scrub import Secret
from tests.contract.client_feed import KEY, WELCOME, Feed, feed, listen, tick, until

__all__ = ["feed", "listen"]

Listen = Callable[..., Any]
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


def test_a_server_that_lets_us_in_and_hangs_up_is_not_stormed(feed: Callable[..., Feed], listen: Listen) -> None:
    server = feed(lambda message: [WELCOME, 1012] if message["action"] == "authenticate" else [])
    _, heard = listen(server.url, backoff=(0.01, 0.02, 0.03), wants_orders=False)
    until(lambda: len(heard.told(Down)) >= 5)
    assert [down.retry_in for down in heard.told(Down)[:5]] == [0.01, 0.02, 0.03, 0.03, 0.03]


def test_pauses_begin_anew_after_a_login_that_held(feed: Callable[..., Feed], listen: Listen) -> None:
    now = [1000.0]
    server = feed()
    _, heard = listen(server.url, backoff=(0.01, 0.02, 0.03), clock=lambda: now[0], ping_after=1e9, silent_limit=1e9)
    for round_ in range(1, 4):
        until(lambda round_=round_: len(heard.told(Connected)) == round_)
        now[0] += 1.0
        server.peers[-1].close(1012)
        until(lambda round_=round_: len(heard.told(Down)) == round_)
    assert [down.retry_in for down in heard.told(Down)] == [0.01, 0.01, 0.01]


def test_a_server_that_invents_errors_fills_no_memory(feed: Callable[..., Feed], listen: Listen) -> None:
    server = feed()
    _, heard = listen(server.url, wants_orders=False)
    until(lambda: heard.told(Connected))
    for number in range(300):
        server.say({"status": "error", "code": f"E{number}", "message": "no"})
    server.say({"status": "error", "code": "x" * 100_000, "message": "no"})
    until(lambda: len(heard.told(Problem)) == 301)
    kinds = {problem.kind for problem in heard.told(Problem)}
    assert len(kinds) <= 51
    assert max(len(kind) for kind in kinds) <= 40
    assert heard.told(Problem)[-1].count == 251, "what is not told apart is still counted"


def test_a_flood_is_read_in_order_and_to_the_end(feed: Callable[..., Feed], listen: Listen) -> None:
    server = feed()
    _, heard = listen(server.url, wants_orders=False)
    until(lambda: heard.told(Connected))
    for price in range(1, 5001):
        server.say(json.dumps(tick(price)))
    until(lambda: len(heard.ticks) == 5000, 20.0)
    assert [one.ltp for one in heard.ticks] == list(range(1, 5001))
    assert not heard.told(Problem)
    assert not heard.told(Down)


WRONG = [
    "", "null", "[]", "17", '"text"', "{", "[" * 5000, '{"type": "market_data"}', "\x00", '{"type": []}',
    *(
        json.dumps({"type": "market_data", "symbol": symbol, "exchange": exchange, "mode": 1, "data": data})
        for symbol, exchange, data in [
            ("", "NFO", {"ltp": 5}), (None, "NFO", {"ltp": 5}), ("NIFTY", "nfo", {"ltp": 5}), ("NIFTY", 5, {"ltp": 5}),
            ("NIFTY", "NFO", None), ("NIFTY", "NFO", [5]), ("NIFTY", "NFO", {}), ("NIFTY", "NFO", {"ltp": None}),
            ("NIFTY", "NFO", {"ltp": "5"}), ("NIFTY", "NFO", {"ltp": True}), ("NIFTY", "NFO", {"ltp": 0}),
            ("NIFTY", "NFO", {"ltp": -5}), ("NIFTY", "NFO", {"ltp": float("nan")}), ("NIFTY", "NFO", {"ltp": 1e300}),
            ("NIFTY", "NFO", {"ltp": float("inf")}), ("NIFTY", "NFO", {"ltp": [5]}), (["NIFTY"], "NFO", {"ltp": 5}),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize("frame", WRONG)
def test_a_frame_of_a_wrong_shape_is_no_price(frame: str) -> None:
    read = read_frame(frame, 0.0, NOW, secret=Secret(KEY))
    assert not isinstance(read, Tick | OrderPush)


def test_wrong_frames_between_good_ones_cost_nothing(feed: Callable[..., Feed], listen: Listen) -> None:
    server = feed()
    _, heard = listen(server.url, wants_orders=False)
    until(lambda: heard.told(Connected))
    for place, frame in enumerate(WRONG, 1):
        server.say(frame)
        server.say(tick(place))
    until(lambda: len(heard.ticks) == len(WRONG))
    assert [one.ltp for one in heard.ticks] == list(range(1, len(WRONG) + 1))
    assert not heard.told(Down)


@pytest.mark.parametrize(
    ("mode", "kind"), [(1, Tick), (2, QuoteTick), (3, DepthTick), ("2", Tick), (None, Tick), ([], Tick), (9, Tick)]
)
def test_a_frame_is_read_by_its_own_mode(mode: Any, kind: type) -> None:
    frame = {"type": "market_data", "symbol": "NIFTY", "exchange": "NFO", "mode": mode, "data": {"ltp": 5.5}}
    read = read_frame(json.dumps(frame), 0.0, NOW)
    assert type(read) is kind
    assert read.ltp == 5.5
