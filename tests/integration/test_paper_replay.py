"""The clock of a replayed day: bars at their time, both extremes, today's contracts on yesterday's prices."""

from __future__ import annotations

import time
from datetime import date

import pytest

from engine.paper.replay import Bar, Replay, ReplayDay, read_day
from tests.paper_server import MARKET, PaperServer

KEY = "paper-key"
NIFTY = {"symbol": "NIFTY", "exchange": "NSE_INDEX"}
CSV = MARKET / "NIFTY_1m_2024-06.csv"
DAY = date(2024, 6, 4)
needs_market = pytest.mark.skipif(not CSV.exists(), reason="the shared market files are missing")


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
            frames = [socket.expect(lambda frame: frame.get("type") == "market_data") for _ in range(40)]
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
