"""The combined premium of legs."""

import csv
import math
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.calendar import INDIA, IST
from engine.domain.candles import Bar, BarSource, ClosedBar, arrays
from engine.domain.errors import CandleError, RuleError
from engine.domain.history_bars import closed_bars
from engine.domain.instruments import Action, Exchange
from engine.domain.intervals import BarGrid, Interval
from engine.domain.premium import PremiumLeg, combined_bars, combined_premium

START = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
FIVE = timedelta(minutes=5)
CE, PE = "NIFTY01DEC2626000CE", "NIFTY01DEC2626500CE"


def sold(symbol: str, price: float, lots: int = 1) -> PremiumLeg:
    return PremiumLeg(symbol, Action.SELL, lots, price)


def bought(symbol: str, price: float, lots: int = 1) -> PremiumLeg:
    return PremiumLeg(symbol, Action.BUY, lots, price)


def closed(*bars: Bar) -> list[ClosedBar]:
    return [ClosedBar(bar, BarSource.HISTORY) for bar in bars]


def flat(price: float, number: int = 0) -> Bar:
    return Bar(START + number * FIVE, price, price, price, price)


def test_the_vector_of_the_rules():
    premium = combined_premium([sold(CE, 105.0), bought(PE, 55.0)])
    legs = {CE: Bar(START, 105.0, 110.0, 100.0, 106.0, 500), PE: Bar(START, 56.0, 60.0, 52.0, 57.0, 900)}
    assert premium.bar(legs) == Bar(START, 49.0, 50.0, 48.0, 49.0)


def test_a_high_that_is_not_the_highest_is_put_right():
    premium = combined_premium([sold(CE, 105.0), bought(PE, 55.0)])
    bar = premium.bar({CE: Bar(START, 101.0, 102.0, 90.0, 91.0), PE: Bar(START, 60.0, 99.0, 30.0, 31.0)})
    # fields: O 41, H 3, L 60, C 60
    assert (bar.open, bar.high, bar.low, bar.close) == (41.0, 60.0, 3.0, 60.0)


def test_lots_weigh_and_the_sign_makes_a_debit_begin_above_zero():
    premium = combined_premium([bought(CE, 100.0, 2), sold(PE, 60.0, 3)])
    assert (dict(premium.weights), premium.sign) == ({CE: -2, PE: 3}, -1)
    assert premium.value({CE: 100.0, PE: 60.0}) == 20.0
    assert premium.value({CE: 110.0, PE: 60.0}) == 40.0


def test_the_sign_is_fixed_at_entry_and_the_premium_may_fall_below_zero():
    premium = combined_premium([sold(CE, 100.0), bought(PE, 60.0)])
    bar = premium.bar({CE: flat(50.0), PE: flat(80.0)})
    assert (bar.open, bar.high, bar.low, bar.close) == (-30.0, -30.0, -30.0, -30.0)


def test_a_straddle_adds_both_sides():
    premium = combined_premium([sold(CE, 150.0, 75), sold(PE, 120.0, 75)])
    assert premium.value({CE: 150.0, PE: 120.0}) == 20_250.0


@pytest.mark.parametrize("prices", [{CE: 100.0}, {CE: 100.0, PE: 0.0}, {CE: math.nan, PE: 60.0}, {}])
def test_there_is_no_value_without_a_price_of_each_leg(prices):
    assert combined_premium([sold(CE, 100.0), bought(PE, 60.0)]).value(prices) is None


@pytest.mark.parametrize(
    "legs",
    [
        [sold(CE, 100.0), bought(PE, 100.0)],
        [sold(CE, 33.45, 2), bought(PE, 66.9)],
        [sold(CE, 0.1, 3), bought(PE, 0.3)],
        [sold(CE, 100.0), bought(CE, 90.0)],
    ],
)
def test_a_premium_of_nought_at_entry_has_no_direction(legs):
    with pytest.raises(RuleError, match="combined premium is 0") as caught:
        combined_premium(legs)
    assert caught.value.field == "legs"


@pytest.mark.parametrize(
    ("legs", "field"),
    [
        ([], "legs"),
        ([sold(CE, 100.0, 0)], "lots"),
        ([sold(CE, 100.0, -1)], "lots"),
        ([sold(CE, 0.0)], "entry_price"),
        ([sold(CE, math.nan)], "entry_price"),
    ],
)
def test_legs_that_make_no_sense_are_refused(legs, field):
    with pytest.raises(RuleError) as caught:
        combined_premium(legs)
    assert caught.value.field == field


def test_two_legs_in_one_symbol_are_one_weight():
    premium = combined_premium([sold(CE, 100.0, 3), bought(CE, 90.0), sold(PE, 50.0)])
    assert dict(premium.weights) == {CE: 2, PE: 1}


@pytest.mark.parametrize(
    ("legs", "weights", "begins_at"),
    [
        ([sold(CE, 200.0), bought(CE, 100.0), bought(PE, 50.0)], {PE: -1}, 50.0),
        ([sold(CE, 100.0, 2), bought(CE, 400.0)], {CE: 1}, 200.0),
    ],
    ids=["one symbol cancelled", "one symbol bought back in part"],
)
def test_what_was_earned_inside_one_symbol_does_not_turn_the_sign_of_what_is_left(legs, weights, begins_at):
    premium = combined_premium(legs)
    assert dict(premium.weights) == weights
    assert premium.value({CE: 200.0, PE: 50.0}) == begins_at


def test_a_bar_of_a_leg_that_makes_no_sense_is_no_bar():
    premium = combined_premium([sold(CE, 100.0), sold(PE, 50.0)])
    broken = replace(flat(50.0, 1), high=math.nan)
    joined = combined_bars(premium, {CE: closed(flat(100.0), flat(100.0, 1)), PE: closed(flat(50.0), broken)})
    assert [one.bar.start for one in joined.bars] == [START]
    assert joined.lacking == ((START + FIVE, (PE,)),)
    with pytest.raises(CandleError, match=f"the bar of {PE} makes no sense: high"):
        premium.bar({CE: flat(100.0, 1), PE: broken})


def test_bars_are_joined_on_time_and_a_leg_without_one_is_told():
    premium = combined_premium([sold(CE, 100.0), sold(PE, 50.0)])
    joined = combined_bars(
        premium,
        {
            CE: closed(flat(100.0, 0), flat(101.0, 1), flat(102.0, 2)),
            PE: closed(flat(50.0, 0), flat(52.0, 2), flat(53.0, 3)),
        },
    )
    assert [(one.bar.start, one.bar.close) for one in joined.bars] == [(START, 150.0), (START + 2 * FIVE, 154.0)]
    assert joined.lacking == ((START + FIVE, (PE,)), (START + 3 * FIVE, (CE,)))


def test_a_leg_without_any_bars_leaves_no_combined_bar():
    premium = combined_premium([sold(CE, 100.0), sold(PE, 50.0)])
    joined = combined_bars(premium, {CE: closed(flat(100.0))})
    assert (joined.bars, joined.lacking) == ((), ((START, (PE,)),))


def test_a_combined_bar_tells_what_its_parts_tell():
    premium = combined_premium([sold(CE, 100.0), sold(PE, 50.0)])
    own = ClosedBar(flat(50.0), BarSource.TICKS, whole=False)
    (one,) = combined_bars(premium, {CE: closed(flat(100.0)), PE: [own]}).bars
    assert (one.source, one.whole) == (BarSource.TICKS, False)
    (one,) = combined_bars(premium, {CE: closed(flat(100.0)), PE: closed(flat(50.0))}).bars
    assert (one.source, one.whole) == (BarSource.HISTORY, True)


def test_bars_of_different_times_are_not_combined():
    premium = combined_premium([sold(CE, 100.0), sold(PE, 50.0)])
    with pytest.raises(CandleError, match="different instants"):
        premium.bar({CE: flat(100.0, 0), PE: flat(50.0, 1)})
    with pytest.raises(CandleError, match=PE):
        premium.bar({CE: flat(100.0)})


price = st.floats(0.05, 5000)
fields = st.tuples(price, price, price, price).map(lambda four: (four[0], max(four), min(four), four[3]))
weights = st.tuples(st.integers(1, 40), st.sampled_from(Action))


@settings(deadline=None, max_examples=150)
@given(data=st.data(), sides=st.lists(weights, min_size=1, max_size=5))
def test_each_field_is_combined_and_the_high_and_low_enclose_it(data, sides):
    entries = data.draw(st.lists(price, min_size=len(sides), max_size=len(sides)))
    legs = [PremiumLeg(f"L{n}", action, lots, entries[n]) for n, (lots, action) in enumerate(sides)]
    try:
        premium = combined_premium(legs)
    except RuleError:
        return
    bars = {leg.symbol: Bar(START, *data.draw(fields)) for leg in legs}
    bar = premium.bar(bars)

    def expected(field: str) -> float:
        terms = [(-1 if leg.action is Action.BUY else 1) * leg.lots * getattr(bars[leg.symbol], field) for leg in legs]
        return premium.sign * sum(terms)

    assert bar.open == pytest.approx(expected("open"), abs=1e-6)
    assert bar.close == pytest.approx(expected("close"), abs=1e-6)
    four = [expected(field) for field in ("open", "high", "low", "close")]
    assert (bar.high, bar.low) == (pytest.approx(max(four), abs=1e-6), pytest.approx(min(four), abs=1e-6))
    assert premium.value({leg.symbol: leg.entry_price for leg in legs}) > 0


@pytest.mark.market
def test_a_day_of_sensex_options_combines_to_one_bar_each_three_minutes(market_file):
    rows: dict[str, list[Bar]] = defaultdict(list)
    with (market_file / "SENSEX_options_3m_2025-09-04_exp2025-09-11.csv").open(encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            start = datetime.fromisoformat(line["timestamp"]).replace(tzinfo=IST)
            figures = (float(line[name]) for name in ("open", "high", "low", "close"))
            rows[line["symbol"]].append(Bar(start, *figures, int(line["volume"])))
    grid = BarGrid(Interval.M3, INDIA, Exchange.BFO)
    evening = datetime(2025, 9, 4, 18, 0, tzinfo=IST)
    bars = {symbol: closed_bars(day, grid, evening) for symbol, day in rows.items()}
    assert len(bars) == 20
    assert all((len(one.closed), one.refused) == (125, ()) for one in bars.values())

    call, put, wing = "SENSEX2591180700CE", "SENSEX2591180700PE", "SENSEX2591181200CE"
    first = {symbol: bars[symbol].closed[0].bar.close for symbol in (call, put, wing)}
    premium = combined_premium([sold(call, first[call], 20), sold(put, first[put], 20), bought(wing, first[wing], 20)])
    history = {symbol: one.closed for symbol, one in bars.items()}
    joined = combined_bars(premium, history)
    assert (len(joined.bars), joined.lacking) == (125, ())
    assert [one.bar.start for one in joined.bars] == [w.start for w in grid.windows_of_day(date(2025, 9, 4))]
    for number, one in enumerate(joined.bars):
        parts = [history[symbol][number].bar.close for symbol in (call, put, wing)]
        assert one.bar.close == pytest.approx(20 * (parts[0] + parts[1] - parts[2]))
        assert one.bar.low <= min(one.bar.open, one.bar.close) <= max(one.bar.open, one.bar.close) <= one.bar.high
    high, low, close = arrays(joined.bars)
    assert (high >= close).all()
    assert (close >= low).all()
    cut = {**history, wing: history[wing][:60] + history[wing][61:]}
    shorter = combined_bars(premium, cut)
    assert shorter.bars == joined.bars[:60] + joined.bars[61:]
    assert shorter.lacking == ((joined.bars[60].bar.start, (wing,)),)
    assert replace(shorter, lacking=()).bars[-1].source is BarSource.HISTORY
