"""Price bands of the paper exchange: from the close, within ticks, wherever the market goes."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.instruments import Exchange, InstrumentType
from engine.paper.bands import tick_of
from tests.paper_floor import DAY_SECONDS, Floor

FLOOR = Floor()
NOW = FLOOR.now
STRIKES = FLOOR.exchange.listing.strikes("NIFTY", date(2026, 12, 1))


def close(symbol: str, exchange: Exchange) -> int:
    return FLOOR.exchange.quotes.quote(FLOOR.contract(symbol, exchange), NOW).previous_close


@pytest.mark.parametrize(
    ("symbol", "exchange", "percent"), [("NIFTY29DEC26FUT", Exchange.NFO, 10), ("SBIN", Exchange.NSE, 20)]
)
def test_band_is_a_share_of_the_previous_close(symbol: str, exchange: Exchange, percent: int) -> None:
    band = FLOOR.exchange.bands.band(FLOOR.contract(symbol, exchange), NOW)
    base = close(symbol, exchange)
    tick = tick_of(FLOOR.contract(symbol, exchange))
    assert band.lower == pytest.approx(base * (100 - percent) / 100, abs=2 * tick)
    assert band.upper == pytest.approx(base * (100 + percent) / 100, abs=2 * tick)
    assert band.lower % tick == band.upper % tick == 0


def test_option_may_trade_wherever_its_underlying_could_take_it() -> None:
    band = FLOOR.exchange.bands.band(FLOOR.option, NOW)
    spot = FLOOR.exchange.market.day("NIFTY", NOW).previous_close * 100
    intrinsic = spot * 1.10 - FLOOR.option.strike * 100
    assert band.lower == 5
    assert intrinsic <= band.upper <= intrinsic * 1.1


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.sampled_from(STRIKES), st.sampled_from([InstrumentType.CE, InstrumentType.PE]), st.integers(0, 6 * 3600))
def test_quotes_of_any_option_are_inside_its_band(strike: float, kind: InstrumentType, seconds: int) -> None:
    exchange, at = FLOOR.exchange, NOW + seconds
    option = exchange.listing.option("NIFTY", date(2026, 12, 1), strike, kind)
    band = exchange.bands.band(option, at)
    assert band.lower >= 5
    assert band.lower % 5 == band.upper % 5 == 0
    assert all(band.holds(price) for price in exchange.quotes.touch(option, at))
    bids, asks = exchange.quotes.depth(option, at)
    assert all(band.holds(level.price) for level in (*bids, *asks) if level.quantity)


def test_band_is_the_same_all_day_and_another_one_tomorrow() -> None:
    future = FLOOR.contract("NIFTY29DEC26FUT", Exchange.NFO)
    bands = [FLOOR.exchange.bands.band(future, NOW + hours * 3600) for hours in (0, 2, 4)]
    assert len(set(bands)) == 1
    assert FLOOR.exchange.bands.band(future, NOW + DAY_SECONDS) != bands[0]


@pytest.mark.parametrize("rupees", [0.05, 9_000.0])
def test_band_moves_with_a_market_that_left_it(rupees: float) -> None:
    floor = Floor()
    before = floor.exchange.bands.band(floor.option, floor.now)
    floor.pin(floor.option, rupees)
    band = floor.exchange.bands.band(floor.option, floor.now)
    assert all(band.holds(price) for price in floor.exchange.quotes.touch(floor.option, floor.now))
    assert band.upper >= rupees * 100 * 1.05 - 5
    floor.exchange.prices.clear()
    assert floor.exchange.bands.band(floor.option, floor.now) == before
