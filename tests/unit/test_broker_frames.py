"""Frames of a stream, one by one; what is wanted in which mode, and what is said for it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.broker.feed import DepthTick, QuoteTick, StreamMode, Tick
from engine.broker.frames import Acknowledged, Frame, Unusable, read_frame
from engine.broker.models import DepthLevel
from engine.broker.scrub import MASK, Secret
from engine.broker.subscriptions import Subscriptions
from engine.domain.instruments import Exchange

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
KEY = "made-up-key-5f2c"
CALL = ("NIFTY01DEC2626000CE", Exchange.NFO)
PUT = ("NIFTY01DEC2626000PE", Exchange.NFO)
LEVELS = [{"price": 236.35, "quantity": 130, "orders": 1}]


def read(mode: Any = 1, symbol: str = CALL[0], **data: Any) -> Frame:
    frame = {"type": "market_data", "symbol": symbol, "exchange": "NFO", "mode": mode, "data": {"ltp": 236.4, **data}}
    return read_frame(json.dumps(frame), 7.0, NOW, secret=Secret(KEY))


@pytest.mark.parametrize(
    ("data", "traded"),
    [
        ({"ltt": 1795325555}, 1795325555000),
        ({"ltt": 1795325555251}, 1795325555251),
        ({"ltt": 17}, None),
        ({"ltt": True}, None),
        ({"ltt": "soon"}, None),
        ({"ltt": 1e9}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("mode", [1, 2, 3])
def test_the_last_trade_is_told_in_milliseconds_whatever_the_server_counts_in(
    data: dict[str, Any], traded: int | None, mode: int
) -> None:
    tick = read(mode, **data)
    assert isinstance(tick, Tick)
    assert (tick.last_trade_time, tick.exchange_time) == (traded, None)


@pytest.mark.parametrize(
    ("mode", "kind"), [(1, Tick), (2, QuoteTick), (3, DepthTick), (None, Tick), ("2", Tick), (9, Tick), ([], Tick)]
)
def test_a_frame_is_what_its_mode_says_however_rich_it_is(mode: Any, kind: type) -> None:
    tick = read(mode, volume=5, oi=7, depth={"buy": LEVELS, "sell": LEVELS}, mode_name="full")
    assert type(tick) is kind
    assert isinstance(tick, Tick)
    assert tick.ltp == 236.4
    if isinstance(tick, QuoteTick):
        assert tick.volume == 5


def test_an_index_has_fewer_figures_and_they_are_not_zero() -> None:
    tick = read(2, volume=0, price_change=0)
    assert isinstance(tick, QuoteTick)
    assert (tick.volume, tick.open, tick.last_quantity, tick.total_buy_quantity) == (0, None, None, None)


def test_a_spoiled_figure_costs_itself_and_not_the_price() -> None:
    spoiled = {"volume": "much", "open": float("nan"), "oi": 7, "last_quantity": -1}
    tick = read(3, **spoiled, depth={"buy": LEVELS, "sell": [{"price": 1}]})
    assert isinstance(tick, DepthTick)
    assert (tick.ltp, tick.volume, tick.open, tick.last_quantity, tick.open_interest) == (236.4, None, None, None, 7)
    assert (tick.bids, tick.asks) == ((DepthLevel(236.35, 130, 1),), None)


@pytest.mark.parametrize("depth", [None, [], {}, {"buy": None}, {"buy": [None], "sell": {}}])
def test_depth_that_is_none_is_none(depth: Any) -> None:
    tick = read(3, depth=depth)
    assert isinstance(tick, DepthTick)
    assert (tick.bids, tick.asks, tick.open_interest) == (None, None, None)


def test_a_key_in_a_price_frame_is_masked_too() -> None:
    tick = read(symbol=f"no {KEY}")
    assert isinstance(tick, Tick)
    assert tick.symbol == f"no {MASK}"


def acknowledged(*rows: dict[str, Any]) -> Frame:
    return read_frame(json.dumps({"type": "subscribe", "status": "success", "subscriptions": rows}), 7.0, NOW)


def test_an_acknowledgement_says_in_which_mode_where_it_does() -> None:
    row = {"symbol": CALL[0], "exchange": "NFO", "status": "success"}
    frame = acknowledged({**row, "mode": "Depth"}, {**row, "mode": "LTP"}, {**row, "mode": 3}, row)
    assert isinstance(frame, Acknowledged)
    assert frame.taken == {(StreamMode.DEPTH, CALL), (StreamMode.LTP, CALL), (None, CALL)}
    assert isinstance(acknowledged({"symbol": CALL[0]}), Unusable)


def test_each_mode_is_asked_for_and_given_back_by_itself() -> None:
    wanted = Subscriptions(ask_again_after=15.0)
    wanted.want(StreamMode.LTP, [PUT, CALL])
    wanted.want(StreamMode.DEPTH, [CALL])
    rows = [{"symbol": CALL[0], "exchange": "NFO"}, {"symbol": PUT[0], "exchange": "NFO"}]
    assert wanted.due(1.0).asked_for == (
        {"action": "subscribe", "symbols": rows, "mode": 1},
        {"action": "subscribe", "symbols": rows[:1], "mode": 3},
    )
    wanted.acknowledge([(StreamMode.LTP, CALL), (StreamMode.DEPTH, CALL), (StreamMode.LTP, PUT)])
    assert wanted.due(1.5).asked_for == wanted.due(30.0).asked_for == ()
    wanted.want(StreamMode.DEPTH, [])
    due = wanted.due(31.0)
    assert due.given_back == ({"action": "unsubscribe", "symbols": [{**rows[0], "mode": 3}]},)
    assert due.fewer
    assert wanted.taken == {(StreamMode.LTP, CALL), (StreamMode.LTP, PUT)}


def test_what_is_not_acknowledged_is_asked_for_again_later_and_after_a_reset_at_once() -> None:
    wanted = Subscriptions(ask_again_after=15.0)
    wanted.want(StreamMode.QUOTE, [CALL])
    assert [len(wanted.due(at).asked_for) for at in (1.0, 3.0, 15.0, 16.5, 18.0)] == [1, 0, 0, 1, 0]
    wanted.reset()
    assert len(wanted.due(18.1).asked_for) == 1


def test_an_acknowledgement_without_a_known_mode_means_every_mode_that_was_asked_for() -> None:
    wanted = Subscriptions(ask_again_after=15.0)
    wanted.want(StreamMode.LTP, [CALL])
    wanted.want(StreamMode.QUOTE, [CALL])
    wanted.due(1.0)
    wanted.acknowledge([(None, CALL), (None, PUT)])
    assert wanted.taken == {(StreamMode.LTP, CALL), (StreamMode.QUOTE, CALL)}


def test_many_instruments_go_in_several_messages() -> None:
    wanted = Subscriptions(ask_again_after=15.0)
    wanted.want(StreamMode.LTP, [(f"S{number}", Exchange.NSE) for number in range(450)])
    assert [len(message["symbols"]) for message in wanted.due(1.0).asked_for] == [200, 200, 50]
    wanted.want(StreamMode.LTP, [])
    assert [len(message["symbols"]) for message in wanted.due(2.0).given_back] == [200, 200, 50]
