"""The paper exchange's arithmetic: positions to the paisa, margin, premiums, paths and listings."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from datetime import date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import Action, Contract, Exchange, InstrumentType, Product
from engine.paper.accounts import Position
from engine.paper.clock import IST, day_start
from engine.paper.listing import Listing
from engine.paper.margins import Exposure, margin_of
from engine.paper.market import Market
from engine.paper.pricing import RATE, forward, greeks, premium, smile, years
from engine.paper.quotes import Quotes
from engine.paper.replay import Bar, Replay, ReplayDay

SUNDAY = datetime(2026, 11, 22, 12, 0, tzinfo=IST).timestamp()
CALL = Contract(
    "NIFTY01DEC2626000CE", Exchange.NFO, "NIFTY", InstrumentType.CE, date(2026, 12, 1), 26000.0, 65, 0.05, 1800
)
FILLS = st.lists(
    st.tuples(st.sampled_from(Action), st.integers(1, 40).map(lambda lots: lots * 65), st.integers(5, 90_000)),
    max_size=30,
)


def position() -> Position:
    return Position("NIFTY01DEC2626000CE", Exchange.NFO, Product.NRML)


@given(FILLS, st.integers(5, 90_000))
def test_flat_position_has_realised_its_sales_less_its_purchases(
    fills: list[tuple[Action, int, int]], last: int
) -> None:
    held, cash = position(), 0
    for action, quantity, price in fills:
        held.apply(action, quantity, price=price, underlying=2_600_000, day="d")
        cash -= action.sign * quantity * price
        assert held.cost >= 0
        assert held.notional >= 0
        assert held.realised + held.unrealised(price) == cash + held.quantity * price
    if held.quantity:
        closing = Action.SELL if held.quantity > 0 else Action.BUY
        cash -= closing.sign * abs(held.quantity) * last
        held.apply(closing, abs(held.quantity), price=last, underlying=2_600_000, day="d")
    assert (held.quantity, held.cost, held.notional, held.realised, held.today) == (0, 0, 0, cash, cash)


def test_realised_of_today_begins_anew_each_day() -> None:
    held = position()
    held.apply(Action.BUY, 65, price=10_000, underlying=0, day="monday")
    held.apply(Action.SELL, 65, price=10_100, underlying=0, day="monday")
    held.apply(Action.BUY, 65, price=10_000, underlying=0, day="tuesday")
    held.apply(Action.SELL, 65, price=9_900, underlying=0, day="tuesday")
    assert (held.realised, held.today) == (0, -6_500)


def test_margin_counts_premiums_span_and_exposure() -> None:
    notional = 26_000_00 * 65
    sold = Exposure(CALL, Product.NRML, -65, 200_00 * 65, notional)
    wing = Exposure(replace(CALL, symbol="NIFTY01DEC2626500CE", strike=26500.0), Product.NRML, 65, 50_00 * 65, notional)
    put = Exposure(replace(CALL, instrument_type=InstrumentType.PE), Product.NRML, 65, 50_00 * 65, notional)
    naked, hedged, beside = margin_of([sold]), margin_of([sold, wing]), margin_of([sold, put])
    assert naked.total == notional * 11 // 100
    assert hedged.span == naked.span * 60 // 100
    assert (hedged.premium, hedged.exposure) == (50_00 * 65, naked.exposure)
    assert beside.span == naked.span
    assert margin_of([wing]).total == 50_00 * 65


def test_sold_straddle_needs_the_span_of_one_side() -> None:
    notional = 26_000_00 * 65
    call = Exposure(CALL, Product.NRML, -65, 200_00 * 65, notional)
    put = Exposure(replace(CALL, instrument_type=InstrumentType.PE), Product.NRML, -65, 190_00 * 65, notional)
    both = margin_of([call, put])
    assert both.span == margin_of([call]).span
    assert both.exposure == 2 * margin_of([call]).exposure


@given(st.floats(20_000, 30_000), st.floats(60.0, 30 * 86_400.0), st.floats(0.08, 0.4))
def test_calls_and_puts_keep_parity(strike: float, seconds: float, volatility: float) -> None:
    time = years(seconds)
    future = forward(26_000.0, time)
    call = premium(future, strike, time, volatility, call=True)
    put = premium(future, strike, time, volatility, call=False)
    assert call - put == pytest.approx(math.exp(-RATE * time) * (future - strike), abs=1e-6)


def test_chain_falls_with_the_strike_for_calls_and_rises_for_puts() -> None:
    time = years(9 * 86_400.0)
    future = forward(26_000.0, time)
    for is_call in (True, False):
        prices = [
            premium(future, strike, time, smile(0.13, future, strike, time), call=is_call)
            for strike in range(24_000, 28_050, 50)
        ]
        steps = [later - earlier for earlier, later in pairwise(prices)]
        assert all(step < 0 for step in steps) if is_call else all(step > 0 for step in steps)


def test_delta_is_the_slope_of_the_premium() -> None:
    time, volatility = years(9 * 86_400.0), 0.13
    up, down = (premium(26_000.0 + d, 26_000.0, time, volatility, call=True) for d in (1.0, -1.0))
    assert greeks(26_000.0, 26_000.0, time, volatility, call=True).delta == pytest.approx((up - down) / 2, abs=1e-3)


def test_index_moves_every_second_and_not_too_far() -> None:
    market = Market(5)
    path = [market.spot("NIFTY", SUNDAY + second) for second in range(3_600)]
    moves = [later - earlier for earlier, later in pairwise(path)]
    assert sum(move != 0 for move in moves) > 3_500
    assert 0.5 < statistics.pstdev(moves) < 3.0
    assert max(map(abs, moves)) < 15
    assert max(path) - min(path) < 400


def test_path_is_the_same_whenever_it_is_asked() -> None:
    forwards, backwards = Market(5), Market(5)
    instants = [SUNDAY + 0.37 * step for step in range(200)]
    ahead = [forwards.spot("SENSEX", at) for at in instants]
    assert [backwards.spot("SENSEX", at) for at in reversed(instants)] == ahead[::-1]


@pytest.mark.parametrize("symbol", ["NIFTY", "SENSEX", "INDIAVIX", "RELIANCE"])
def test_day_holds_its_prices(symbol: str) -> None:
    market = Market(6)
    for hour in range(24):
        at = day_start(date(2026, 11, 22)) + hour * 3600 + 7.5
        spot, day = market.spot(symbol, at), market.day(symbol, at)
        assert day.low <= min(spot, day.open) <= max(spot, day.open) <= day.high


def test_shift_moves_the_path_from_its_instant_on() -> None:
    plain, shifted = Market(7), Market(7)
    shifted.shift("NIFTY", 2.0, SUNDAY)
    shifted.shift("NIFTY", -1.0, SUNDAY + 60)
    ratios = [shifted.spot("NIFTY", at) / plain.spot("NIFTY", at) for at in (SUNDAY - 1, SUNDAY + 1, SUNDAY + 61)]
    assert ratios == [1.0, pytest.approx(1.02, abs=1e-6), pytest.approx(1.02 * 0.99, abs=1e-6)]


def test_listed_expiries_are_those_of_the_calendar() -> None:
    listing = Listing(Market(1), lambda: SUNDAY)
    nifty = [f"{day:%d-%b-%y}" for day in listing.expiries("NIFTY")]
    assert nifty[:4] == ["23-Nov-26", "01-Dec-26", "08-Dec-26", "15-Dec-26"]
    assert "29-Dec-26" in nifty
    assert listing.expiries("SENSEX")[0] == date(2026, 11, 26)
    assert len(listing.expiries("BANKNIFTY")) == len(listing.expiries("NIFTY", futures=True)) == 3
    assert listing.expiries("INDIAVIX") == []


def test_contract_ends_with_its_last_day_and_stays_known_to_its_holders() -> None:
    now = [day_start(date(2026, 12, 1)) + 86_399.0]
    listing = Listing(Market(1), lambda: now[0])
    listing.keep(CALL.symbol, Exchange.NFO)
    assert listing.resolve(CALL.symbol, Exchange.NFO) is not None
    now[0] += 2.0
    assert listing.resolve(CALL.symbol, Exchange.NFO) is None
    assert listing.contract(CALL.symbol, Exchange.NFO).lot_size == 65


@pytest.mark.parametrize("factor", [0.5, 0.85, 1.0, 1.2])
def test_strikes_reach_ten_percent_around_a_replayed_spot(factor: float) -> None:
    spot = 22_000.0 * factor
    bars = [Bar(22_000.0, 22_000.0, 22_000.0, 22_000.0), Bar(spot, spot, spot, spot)]
    now = [SUNDAY]
    market = Market(1, replay=Replay(ReplayDay({"NIFTY": bars}, {}), speed=60.0, clock=lambda: now[0]))
    now[0] += 1.5
    listing = Listing(market, lambda: now[0])
    strikes = listing.strikes("NIFTY", listing.expiries("NIFTY")[0])
    assert strikes[0] <= spot * 0.9
    assert strikes[-1] >= spot * 1.1
    assert 22_000.0 in strikes
    assert {later - earlier for earlier, later in pairwise(strikes)} == {50.0}


def test_quotes_are_on_the_tick_and_never_worthless() -> None:
    market = Market(8)
    listing = Listing(market, lambda: SUNDAY)
    quotes = Quotes(market, listing.close_of)
    expiry = listing.expiries("NIFTY")[0]
    for strike in listing.strikes("NIFTY", expiry):
        for kind in (InstrumentType.CE, InstrumentType.PE):
            quote = quotes.quote(listing.option("NIFTY", expiry, strike, kind), SUNDAY)
            assert 5 <= quote.bid <= quote.ltp < quote.ask
            assert quote.low <= min(quote.ltp, quote.open) <= max(quote.ltp, quote.open) <= quote.high
            assert not any(price % 5 for price in (quote.ltp, quote.bid, quote.ask, quote.open))


def test_premium_at_the_money_survives_the_close_of_expiry_day() -> None:
    market = Market(9)
    at = datetime(2026, 12, 1, 20, 0, tzinfo=IST).timestamp()
    listing = Listing(market, lambda: at)
    spot = market.spot("NIFTY", at)
    strike = min(listing.strikes("NIFTY", date(2026, 12, 1)), key=lambda strike: abs(strike - spot))
    quotes = Quotes(market, listing.close_of)
    call = quotes.last(listing.option("NIFTY", date(2026, 12, 1), strike, InstrumentType.CE), at)
    assert 100 < call < 10_000
