import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import DomainError, RuleError
from engine.domain.instruments import Action, InstrumentType
from engine.domain.money import value_paise
from engine.domain.pnl import (
    EntryFill,
    Holding,
    apply_fill,
    average_price,
    entry_premium,
    entry_premium_value,
    profit_paise,
)
from tests.unit.strategies import thorough

BUY, SELL = Action.BUY, Action.SELL
CE, PE, FUT, EQ = InstrumentType.CE, InstrumentType.PE, InstrumentType.FUT, InstrumentType.EQ


def held(*fills):
    holding = Holding()
    for action, quantity, price in fills:
        holding = apply_fill(holding, action, quantity, value_paise(price, quantity))
    return holding


@pytest.mark.parametrize(
    ("fills", "quantity", "realised", "average"),
    [
        ([(BUY, 65, 100)], 65, 0, 100.0),
        ([(SELL, 65, 150)], -65, 0, 150.0),
        ([(BUY, 65, 100), (BUY, 65, 110)], 130, 0, 105.0),
        ([(BUY, 130, 100), (SELL, 65, 120)], 65, 1300, 100.0),
        ([(SELL, 130, 150), (BUY, 65, 100)], -65, 3250, 150.0),
        ([(SELL, 65, 150), (BUY, 65, 160)], 0, -650, None),
        ([(BUY, 65, 100), (SELL, 130, 120)], -65, 1300, 120.0),
        ([(SELL, 65, 100), (BUY, 195, 90)], 130, 650, 90.0),
    ],
)
def test_fills_make_quantity_realised_profit_and_average(fills, quantity, realised, average):
    holding = held(*fills)
    assert (holding.quantity, holding.realised_paise / 100, average_price(holding)) == (quantity, realised, average)


def test_bought_and_sold_are_added_up_apart():
    holding = held((BUY, 130, 100), (SELL, 65, 120))
    assert (holding.buy_quantity, holding.buy_value_paise) == (130, 1_300_000)
    assert (holding.sell_quantity, holding.sell_value_paise) == (65, 780_000)


def test_profit_is_cash_flow_and_what_is_open_at_its_price():
    holdings = {"call": held((SELL, 75, 150)), "put": held((SELL, 75, 120)), "hedge": held((BUY, 75, 10))}
    assert profit_paise(holdings, {"call": 140.0, "put": 125.5, "hedge": 9.0}) == (750 * 100) - 41_250 - 7_500


@pytest.mark.parametrize("price", [None, 0.0, -1.0, math.nan, math.inf])
def test_profit_is_unknown_without_a_price_of_every_open_leg(price):
    holdings = {"call": held((SELL, 75, 150)), "put": held((SELL, 75, 120))}
    assert profit_paise(holdings, {"call": 140.0, "put": price}) is None
    assert profit_paise(holdings, {"call": 140.0}) is None


def test_a_closed_leg_needs_no_price():
    assert profit_paise({"call": held((SELL, 75, 150), (BUY, 75, 140))}, {}) == 75_000


@pytest.mark.parametrize(("quantity", "value"), [(0, 100), (-65, 100), (65, -1)])
def test_a_fill_of_nothing_is_refused(quantity, value):
    with pytest.raises(DomainError):
        apply_fill(Holding(), BUY, quantity, value)


fills = st.lists(
    st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 500), st.integers(0, 10_000_000)), min_size=1, max_size=12
)


@thorough
@given(fills)
def test_realised_and_open_value_always_add_up_to_the_cash_flow(fills):
    holding = Holding()
    for action, quantity, value in fills:
        holding = apply_fill(holding, action, quantity, value)
        cash = holding.sell_value_paise - holding.buy_value_paise
        assert holding.realised_paise - holding.open_value_paise == cash
        assert holding.quantity == holding.buy_quantity - holding.sell_quantity
        if holding.quantity == 0:
            assert holding.open_value_paise == 0
            assert holding.realised_paise == cash
        else:
            assert holding.open_value_paise * holding.quantity >= 0


@thorough
@given(fills, st.integers(1, 5_000_000).map(lambda ticks: ticks / 100))
def test_profit_is_realised_plus_open_at_the_price_less_its_cost(fills, price):
    holding = Holding()
    for action, quantity, value in fills:
        holding = apply_fill(holding, action, quantity, value)
    worth = value_paise(price, holding.quantity)
    assert profit_paise({"key": holding}, {"key": price}) == holding.realised_paise + worth - holding.open_value_paise


def entry(*rows):
    return [EntryFill(action, kind, value_paise(price, quantity)) for action, kind, price, quantity in rows]


def test_the_premium_of_a_short_strangle_is_the_sum_of_both():
    assert entry_premium_value(entry((SELL, CE, 150, 75), (SELL, PE, 120, 75))) == 2_025_000


def test_bought_premium_is_taken_off_and_the_sign_dropped():
    assert entry_premium_value(entry((SELL, CE, 150, 75), (BUY, CE, 50, 75))) == 750_000
    assert entry_premium_value(entry((BUY, CE, 100, 75))) == 750_000


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(SELL, CE, 100, 75), (BUY, CE, 67, 75)], "less than 20 %"),
        ([(SELL, CE, 150, 75), (BUY, FUT, 26000, 75)], "not options"),
        ([(SELL, CE, 150, 75), (BUY, EQ, 1500, 10)], "not options"),
        ([], "no premium"),
    ],
)
def test_limits_in_percent_of_a_premium_that_says_little_are_refused(rows, words):
    with pytest.raises(RuleError, match=words):
        entry_premium_value(entry(*rows))


def test_a_net_premium_of_exactly_a_fifth_is_accepted():
    premium = entry_premium(entry((SELL, CE, 60, 100), (BUY, CE, 40, 100)))
    assert (premium.value_paise, premium.gross_paise, premium.refusal) == (200_000, 1_000_000, None)


def test_the_premium_is_known_even_where_limits_by_it_are_refused():
    premium = entry_premium(entry((SELL, CE, 150, 75), (BUY, FUT, 26000, 75)))
    assert premium.value_paise == 1_125_000
    assert premium.refusal
