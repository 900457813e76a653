"""Bars of the paper exchange hold every price that was quoted, whatever moved it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.instruments import Contract, Exchange
from engine.paper.candles import Candle, Interval
from engine.paper.clock import IST, day_start
from engine.paper.fronts import fronts
from engine.paper.listing import Listing
from engine.paper.market import Market
from engine.paper.paths import Path
from engine.paper.prices import PriceControls
from engine.paper.pricing import RATE, implied_volatility, premium, premiums, smile, smiles
from engine.paper.quotes import Quotes
from engine.paper.replay import Bar, Replay, ReplayDay, read_day
from engine.paper.storage import PriceControl, Storage
from tests.paper_server import MARKET

TODAY = date(2026, 11, 23)
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=IST).timestamp()
CSV = MARKET / "NIFTY_1m_2024-06.csv"
NAMES = (
    ("NIFTY", Exchange.NSE_INDEX),
    ("RELIANCE", Exchange.NSE),
    ("NIFTY29DEC26FUT", Exchange.NFO),
    ("NIFTY01DEC2626000CE", Exchange.NFO),
    ("NIFTY01DEC2626500PE", Exchange.NFO),
    ("NIFTY01DEC2628800PE", Exchange.NFO),
    ("SENSEX26NOV2685000PE", Exchange.BFO),
)
OPTION = NAMES[3]


class Floor:
    """A market with its listing and quotes at a time that tests set."""

    def __init__(self, *, now: float = NOON, seed: int = 5, storage: Storage | None = None, **market: object) -> None:
        self.now = now
        self.market = Market(seed, **market)  # type: ignore[arg-type]
        self.listing = Listing(self.market, lambda: self.now)
        self.quotes = Quotes(self.market, self.listing.close_of)
        self.prices = PriceControls(self.market, self.quotes, self.listing, storage or Storage(None))

    def contract(self, name: str, exchange: Exchange) -> Contract:
        return self.listing.contract(name, exchange)

    def bars(
        self, name: tuple[str, Exchange], interval: Interval, first: date, last: date | None = None
    ) -> list[Candle]:
        days = self.quotes.candles.of(self.contract(*name), interval, first=first, last=last or first, at=self.now)
        return [bar for day in days for bar in day]

    def seen(self, name: tuple[str, Exchange], start: float, end: float, step: float = 0.5) -> list[int]:
        """Prices in paise that somebody saw who looked every ``step`` seconds, in the middle of each."""
        contract = self.contract(*name)
        return [self.quotes.last(contract, start + (k + 0.5) * step) for k in range(round((end - start) / step))]

    def set(self, kind: str, name: tuple[str, Exchange], value: float) -> None:
        self.prices.set(PriceControl(kind, *name, value, self.now))


def shape(prices: list[int]) -> tuple[int, int, int, int]:
    return prices[0], max(prices), min(prices), prices[-1]


def figures(bar: Candle) -> tuple[int, int, int, int]:
    return bar.open, bar.high, bar.low, bar.close


@pytest.mark.parametrize("name", NAMES)
def test_minute_has_the_prices_that_were_quoted_in_it(name: tuple[str, Exchange]) -> None:
    floor = Floor()
    bars = {bar.timestamp: bar for bar in floor.bars(name, Interval.MINUTE, TODAY)}
    for minute in (0, 1, 333, 719):
        start = day_start(TODAY) + minute * 60
        assert figures(bars[int(start)]) == shape(floor.seen(name, start, start + 60))


def test_premiums_of_expiry_day_lie_within_their_bars_to_the_last_minute() -> None:
    floor = Floor(now=datetime(2026, 12, 1, 16, 0, tzinfo=IST).timestamp())
    bars = {bar.timestamp: bar for bar in floor.bars(OPTION, Interval.FIVE, date(2026, 12, 1))}
    for moment in ("15:10", "15:25", "15:30"):
        start = datetime.fromisoformat(f"2026-12-01T{moment}:00+05:30").timestamp()
        assert figures(bars[int(start)]) == shape(floor.seen(OPTION, start, start + 300))


@pytest.mark.parametrize("name", [NAMES[0], NAMES[1], OPTION])
def test_longer_bars_are_made_of_the_shorter_ones(name: tuple[str, Exchange]) -> None:
    floor, day = Floor(now=NOON + 77.3), TODAY - timedelta(days=1)
    for on in (day, TODAY):
        minutes = floor.bars(name, Interval.MINUTE, on)
        for interval in Interval:
            expected: dict[int, list[Candle]] = {}
            for bar in minutes:
                expected.setdefault(int((bar.timestamp - day_start(on)) // interval.seconds), []).append(bar)
            given = floor.bars(name, interval, on)
            assert [(*figures(bar), bar.volume) for bar in given] == [
                (
                    rows[0].open,
                    max(bar.high for bar in rows),
                    min(bar.low for bar in rows),
                    rows[-1].close,
                    sum(bar.volume for bar in rows),
                )
                for rows in expected.values()
            ]


@pytest.mark.parametrize("name", NAMES)
def test_daily_bar_is_the_day_that_quotes_tell(name: tuple[str, Exchange]) -> None:
    floor = Floor(now=NOON - 4_000.0)
    floor.quotes.quote(floor.contract(*name), floor.now)
    for later in (0.7, 400.0, 3_000.2, 3_000.9):
        floor.now = NOON - 4_000.0 + later
        quote = floor.quotes.quote(floor.contract(*name), floor.now)
        (bar,) = floor.bars(name, Interval.DAY, TODAY)
        assert figures(bar) == (quote.open, quote.high, quote.low, quote.ltp)
        assert (bar.volume, bar.open_interest) == (quote.volume, quote.open_interest)
        assert sum(bar.volume for bar in floor.bars(name, Interval.MINUTE, TODAY)) == quote.volume
        (before,) = floor.bars(name, Interval.DAY, TODAY - timedelta(days=1))
        assert before.close == quote.previous_close


def test_open_bar_goes_on_and_a_closed_one_stays() -> None:
    floor = Floor(now=NOON + 20.2)
    early = floor.bars(OPTION, Interval.MINUTE, TODAY)
    assert early[-1].timestamp == NOON
    assert figures(early[-1]) == shape(floor.seen(OPTION, NOON, NOON + 20.5))
    floor.now = NOON + 60.0
    late = floor.bars(OPTION, Interval.MINUTE, TODAY)
    assert late[: len(early) - 1] == early[:-1]
    assert figures(late[-2]) == shape(floor.seen(OPTION, NOON, NOON + 60.0))
    assert figures(late[-1]) == (floor.quotes.last(floor.contract(*OPTION), floor.now),) * 4
    assert Floor(now=floor.now).bars(OPTION, Interval.MINUTE, TODAY) == late


def test_shifts_and_pins_stand_in_the_bars_and_stay_when_they_are_cleared() -> None:
    floor = Floor(now=NOON + 10.3)
    index, every = ("NIFTY", Exchange.NSE_INDEX), 0.1
    floor.set("shift", index, 3.0)
    floor.now = NOON + 70.2
    floor.set("pin", index, 26_400.0)
    floor.now = NOON + 80.9
    floor.set("pin", OPTION, 999.95)
    floor.now = NOON + 130.1
    floor.prices.clear("NIFTY01DEC2626000CE", "NFO")
    floor.now = NOON + 140.4
    floor.prices.clear()
    floor.now = NOON + 300.0
    for name in (index, OPTION, ("NIFTY29DEC26FUT", Exchange.NFO)):
        bars = {bar.timestamp: bar for bar in floor.bars(name, Interval.MINUTE, TODAY)}
        for minute in range(5):
            start = NOON + 60.0 * minute
            assert figures(bars[int(start)]) == shape(floor.seen(name, start, start + 60.0, every))
    assert bars[int(NOON)].high > 1.02 * bars[int(NOON)].low
    (day,) = floor.bars(OPTION, Interval.DAY, TODAY)
    assert day.high == floor.quotes.quote(floor.contract(*OPTION), floor.now).high >= 99_995


@pytest.mark.parametrize("name", [NAMES[0], OPTION])
def test_price_that_was_held_for_a_fifth_of_a_second_is_the_bars_high(name: tuple[str, Exchange]) -> None:
    floor = Floor(now=NOON + 10.1)
    assert floor.quotes.quote(floor.contract(*name), floor.now).high < 3_000_000
    floor.set("pin", name, 30_000.0)
    floor.now = NOON + 10.3
    floor.prices.clear(*name)
    assert floor.quotes.quote(floor.contract(*name), floor.now).high == 3_000_000
    floor.now = NOON + 70.0
    bar, after = floor.bars(name, Interval.MINUTE, TODAY)[-2:]
    assert bar.high == 3_000_000 > 1.05 * after.high
    assert figures(bar) == shape(floor.seen(name, NOON, NOON + 60.0, 0.1))


def test_volume_rises_by_whole_lots_and_not_evenly() -> None:
    floor = Floor()
    for name in (NAMES[1], NAMES[2], OPTION):
        volumes = [bar.volume for bar in floor.bars(name, Interval.FIVE, TODAY)]
        assert {volume % floor.contract(*name).lot_size for volume in volumes} == {0}
        assert max(volumes) > 1.5 * (sum(volumes) / len(volumes)) > 0
    assert {bar.volume for bar in floor.bars(NAMES[0], Interval.FIVE, TODAY)} == {0}


def test_what_was_pinned_before_a_restart_stays_in_the_bars(tmp_path: object) -> None:
    storage = Storage(tmp_path / "paper.db")  # type: ignore[operator]
    floor = Floor(storage=storage)
    floor.set("pin", OPTION, 777.0)
    floor.now += 30.0
    floor.prices.clear()
    floor.now += 60.0
    before = floor.bars(OPTION, Interval.MINUTE, TODAY)
    assert before[-2].high == 77_700 > before[-1].high
    storage.close()
    again = Floor(now=floor.now, storage=Storage(tmp_path / "paper.db"))  # type: ignore[operator]
    assert again.bars(OPTION, Interval.MINUTE, TODAY) == before


def test_history_before_a_shift_is_not_shifted() -> None:
    floor, index = Floor(), ("NIFTY", Exchange.NSE_INDEX)
    before = floor.bars(index, Interval.MINUTE, TODAY)[:-1]
    floor.set("shift", index, 10.0)
    assert floor.bars(index, Interval.MINUTE, TODAY)[:-1] == before


def test_market_that_is_watched_more_often_prints_more_often() -> None:
    floor, index = Floor(watched_every=0.1), ("NIFTY", Exchange.NSE_INDEX)
    start = NOON - 60.0
    prices = floor.seen(index, start, NOON, 0.0625)
    assert sum(later != earlier for earlier, later in pairwise(prices)) > 700
    bar = next(bar for bar in floor.bars(index, Interval.MINUTE, TODAY) if bar.timestamp == start)
    assert figures(bar) == shape(prices)


BARS = [Bar(100.0, 104.0, 98.0, 103.0), Bar(103.0, 103.0, 99.5, 100.0), Bar(101.0, 110.0, 101.0, 108.0)]


def replayed(bars: list[Bar], *, speed: float, start: float = NOON) -> tuple[Floor, Replay]:
    now = [start]
    replay = Replay(ReplayDay({"NIFTY": bars}, {"NIFTY": 99.0}), speed=speed, clock=lambda: now[0])
    return Floor(now=start, replay=replay), replay


def test_replayed_minutes_are_the_bars_of_the_file_at_the_instants_they_were_played() -> None:
    floor, replay = replayed(BARS, speed=1.0)
    floor.now = NOON + 600.0
    given = floor.bars(NAMES[0], Interval.MINUTE, TODAY)
    assert [bar.timestamp for bar in given[:3]] == [NOON, NOON + 60, NOON + 120]
    expected = [tuple(round(100 * price) for price in (b.open, b.high, b.low, b.close)) for b in BARS]
    assert [figures(bar) for bar in given[:3]] == expected
    assert [figures(bar) for bar in given[3:]] == [(10_800,) * 4]  # the day's last price, and nothing after it
    assert floor.bars(NAMES[0], Interval.DAY, TODAY - timedelta(days=1)) == []
    replay.hold()
    assert floor.bars(NAMES[0], Interval.MINUTE, TODAY) == []


def test_fast_replay_fills_a_minute_with_many_bars() -> None:
    walk = [Bar(100.0 + k, 103.0 + k, 97.0 + k, 101.0 + k) for k in range(375)]
    floor, _ = replayed(walk, speed=60.0)
    floor.now = NOON + 130.0
    first, second, third = floor.bars(NAMES[0], Interval.MINUTE, TODAY)
    assert figures(first) == (10_000, 16_200, 9_700, 16_000)
    assert figures(second) == (16_000, 22_200, 15_700, 22_000)
    assert third.close == floor.quotes.last(floor.contract(*NAMES[0]), floor.now)
    day = floor.quotes.quote(floor.contract(*NAMES[0]), floor.now)
    assert (day.open, day.low, day.previous_close) == (10_000, 9_700, 9_900)


@pytest.mark.market
@pytest.mark.skipif(not CSV.exists(), reason=f"{CSV} is missing")
def test_replayed_day_of_the_market_comes_back_bar_by_bar() -> None:
    day = read_day(CSV, date(2024, 6, 4))
    floor, _ = replayed(day.bars["NIFTY"], speed=1.0)
    floor.now = NOON + 375 * 60 - 0.2
    given = floor.bars(NAMES[0], Interval.MINUTE, TODAY)
    assert [figures(bar) for bar in given] == [
        tuple(round(100 * price) for price in (b.open, b.high, b.low, b.close)) for b in day.bars["NIFTY"]
    ]


@given(st.lists(st.integers(-60, 60), min_size=1, max_size=80), st.booleans(), st.sampled_from([300.0, 86_400.0 * 20]))
@settings(max_examples=60, deadline=None)
def test_extremes_of_a_premium_are_among_the_fronts(steps: list[int], call: bool, left: float) -> None:
    spots = 26_000.0 + np.cumsum(np.array(steps, dtype=np.float64))
    times = (left + np.arange(len(steps), 0, -1) * 30.0) / (365 * 86_400.0)
    futures = spots * np.exp(RATE * times)
    prices = premiums(futures, 26_050.0, times, smiles(0.13, futures, 26_050.0, times), call=call)
    chosen = prices[fronts(spots, np.zeros(len(spots), dtype=np.int64))]
    assert (chosen[0], chosen[-1]) == (prices[0], prices[-1])
    assert (chosen.max(), chosen.min()) == pytest.approx((prices.max(), prices.min()), abs=0.005)


@given(st.floats(22_000, 30_000), st.floats(900.0, 60 * 86_400.0), st.booleans())
@settings(max_examples=60, deadline=None)
def test_premiums_in_rows_are_those_one_by_one(strike: float, seconds: float, call: bool) -> None:
    time = seconds / (365 * 86_400.0)
    volatility = smile(0.13, 26_000.0, strike, time)
    futures, times = np.array([26_000.0]), np.array([time])
    assert smiles(0.13, futures, strike, times)[0] == pytest.approx(volatility, rel=1e-12)
    given = premiums(futures, strike, times, np.array([volatility]), call=call)[0]
    assert given == pytest.approx(premium(26_000.0, strike, time, volatility, call=call), abs=1e-8)


@given(st.floats(24_000, 28_000), st.floats(86_400.0, 60 * 86_400.0), st.floats(0.05, 0.6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_implied_volatility_gives_the_premium_back(
    strike: float, seconds: float, volatility: float, call: bool
) -> None:
    time = seconds / (365 * 86_400.0)
    value = premium(26_000.0, strike, time, volatility, call=call, rate=0.0)
    found = implied_volatility(value, 26_000.0, strike, time, call=call)
    if found is None:
        assert value <= premium(26_000.0, strike, time, 0.001, call=call, rate=0.0)
    else:
        assert premium(26_000.0, strike, time, found, call=call, rate=0.0) == pytest.approx(value, abs=1e-6)


@given(st.integers(3_000_000_000, 4_000_000_000), st.integers(1, 3_000), st.sampled_from([1, 2, 4, 8]))
@settings(max_examples=25, deadline=None)
def test_path_in_rows_is_the_path_one_by_one(first: int, count: int, fineness: int) -> None:
    path = Path(7, "NIFTY")
    rows = path.deviations(first * fineness, count, fineness=fineness)
    for place in {0, count // 3, count - 1}:
        assert rows[place] == path.deviation((first * fineness + place) * 0.5 / fineness)
