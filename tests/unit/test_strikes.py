import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import ContractError, DomainError
from engine.domain.instruments import InstrumentType
from engine.domain.strikes import ChainPrice, ChainStrike, StrikeKind, StrikeRule, atm_strike, choose_strike, mid_price
from tests.unit.strategies import thorough

CE, PE = InstrumentType.CE, InstrumentType.PE


def chain_of(strikes, ce=None, pe=None):
    """Listed strikes; ``ce`` and ``pe`` map a strike to (bid, ask, ltp)."""

    def side(prices, strike, right):
        if prices is None:
            return ChainPrice(f"NIFTY01DEC26{strike}{right}")
        if strike not in prices:
            return None
        bid, ask, ltp = prices[strike]
        return ChainPrice(f"NIFTY01DEC26{strike}{right}", ltp=ltp, bid=bid, ask=ask)

    return [ChainStrike(float(strike), side(ce, strike, "CE"), side(pe, strike, "PE")) for strike in strikes]


FIFTIES = chain_of(range(23000, 25050, 50))


def rule(kind, **figures):
    return StrikeRule(StrikeKind(kind), **figures)


@pytest.mark.parametrize(
    ("spot", "strikes", "atm"),
    [
        (24025, range(23000, 25050, 50), 24000),
        (24025.05, range(23000, 25050, 50), 24050),
        (24024.95, range(23000, 25050, 50), 24000),
        (24000, range(23000, 25050, 50), 24000),
        (25700, [24000, 24500, 26000], 26000),
        (25250, [24500, 26000], 24500),
        (1.15, [1.1, 1.2], 1.1),
        (99999, [24000, 24050], 24050),
    ],
)
def test_atm_is_the_nearest_listed_strike_and_the_lower_one_on_a_tie(spot, strikes, atm):
    assert atm_strike(spot, strikes) == atm


@pytest.mark.parametrize("spot", [0, -1, math.nan, math.inf])
def test_without_a_spot_there_is_no_atm(spot):
    with pytest.raises(ContractError) as caught:
        atm_strike(spot, [24000])
    assert caught.value.field == "spot"


def test_without_strikes_there_is_no_atm():
    with pytest.raises(ContractError, match="no strikes"):
        atm_strike(24000, [])


@pytest.mark.parametrize(
    ("kind", "offset", "option_type", "strike"),
    [
        ("atm", 0, CE, 24000),
        ("atm", 0, PE, 24000),
        ("otm", 3, CE, 24150),
        ("itm", 3, CE, 23850),
        ("otm", 3, PE, 23850),
        ("itm", 3, PE, 24150),
        ("otm", 20, CE, 25000),
        ("itm", 20, CE, 23000),
    ],
)
@pytest.mark.parametrize("spot", [24000, 24025, 23975.05])
def test_an_offset_counts_listed_strikes_from_atm(kind, offset, option_type, strike, spot):
    assert choose_strike(rule(kind, offset=offset), option_type, spot, FIFTIES).strike == strike


def test_an_offset_counts_what_is_listed_and_not_points():
    sparse = chain_of([23000, 23900, 24000, 24500, 26000])
    assert choose_strike(rule("otm", offset=2), CE, 24010, sparse).strike == 26000
    assert choose_strike(rule("otm", offset=2), PE, 24010, sparse).strike == 23000


def test_the_order_of_the_chain_does_not_matter():
    assert choose_strike(rule("otm", offset=1), CE, 24000, FIFTIES[::-1]).strike == 24050


def test_an_offset_beyond_the_listing_is_refused():
    with pytest.raises(ContractError, match="outside"):
        choose_strike(rule("otm", offset=21), CE, 24000, FIFTIES)
    with pytest.raises(ContractError, match="outside"):
        choose_strike(rule("otm", offset=21), PE, 24000, FIFTIES)


def test_an_exact_strike_is_taken_or_refused():
    assert choose_strike(rule("exact", strike=24350), PE, 24000, FIFTIES).strike == 24350
    with pytest.raises(ContractError, match="not listed"):
        choose_strike(rule("exact", strike=24325), PE, 24000, FIFTIES)


def test_a_strike_without_the_wanted_side_is_refused():
    chain = chain_of([23950, 24000, 24050], ce={23950: (1, 2, 1), 24050: (1, 2, 1)})
    with pytest.raises(ContractError, match="no CE"):
        choose_strike(rule("atm"), CE, 24000, chain)
    assert choose_strike(rule("atm"), PE, 24000, chain).strike == 24000


@pytest.mark.parametrize(
    ("prices", "target", "strike"),
    [
        ({24000: (99, 101, 0), 24050: (79, 81, 0)}, 95, 24000),
        ({24000: (104, 106, 0), 24050: (94, 96, 0)}, 100, 24050),
        ({24000: (100.05, 100.05, 0), 24050: (99.95, 99.95, 0)}, 100, 24050),
        ({24000: (0, 0, 100), 24050: (0, 60, 80)}, 82, 24050),
        ({24000: (None, None, None), 24050: (0, 0, 0), 24100: (0, 0, 5)}, 100, 24100),
        ({24000: (99, 101, 500), 24050: (0, 0, 140)}, 130, 24050),
        ({24000: (50, 50, 0), 24050: (50, 50, 0)}, 50, 24000),
        ({24000: (0, 0, math.nan), 24050: (0, 0, 70)}, 100, 24050),
    ],
)
def test_premium_near_takes_the_nearest_mid_or_ltp_and_the_lower_on_a_tie(prices, target, strike):
    chain = chain_of([24000, 24050, 24100], ce=prices)
    assert choose_strike(rule("premium_near", premium=target), CE, 24000, chain).strike == strike


def test_premium_near_looks_twenty_strikes_to_each_side_of_atm():
    strikes = range(22000, 26050, 50)
    prices = dict.fromkeys(strikes, (10, 10, 10)) | {25000: (50, 50, 50), 25050: (100, 100, 100)}
    assert choose_strike(rule("premium_near", premium=100), CE, 24000, chain_of(strikes, ce=prices)).strike == 25000


def test_premium_near_without_any_price_is_refused():
    with pytest.raises(ContractError) as caught:
        choose_strike(rule("premium_near", premium=100), CE, 24000, FIFTIES)
    assert caught.value.field == "premium"


def test_a_future_has_no_strike():
    with pytest.raises(ContractError):
        choose_strike(rule("atm"), InstrumentType.FUT, 24000, FIFTIES)


@pytest.mark.parametrize(
    ("kind", "figures", "field"),
    [
        ("otm", {}, "offset"),
        ("itm", {"offset": 51}, "offset"),
        ("otm", {"offset": -1}, "offset"),
        ("atm", {"offset": 1}, "offset"),
        ("exact", {}, "strike"),
        ("exact", {"strike": math.nan}, "strike"),
        ("atm", {"strike": 24000}, "strike"),
        ("premium_near", {}, "premium"),
        ("premium_near", {"premium": 0}, "premium"),
        ("exact", {"strike": 24000, "premium": 10}, "premium"),
    ],
)
def test_a_rule_with_a_missing_or_foreign_figure_is_refused(kind, figures, field):
    with pytest.raises(DomainError) as caught:
        rule(kind, **figures)
    assert caught.value.field == field


def test_the_mid_needs_both_sides():
    assert mid_price(100.0, 100.1, 99.0) == 100.05
    assert mid_price(100.0, None, 99.0) == 99.0
    assert mid_price(100.0, 0.0, None) is None


@thorough
@given(
    strikes=st.sets(st.integers(1, 400).map(lambda n: n * 50), min_size=1, max_size=60),
    spot=st.integers(1, 2_000_000).map(lambda ticks: ticks / 100),
)
def test_no_listed_strike_is_nearer_than_atm(strikes, spot):
    atm = atm_strike(spot, strikes)
    assert atm in strikes
    assert all(abs(atm - spot) <= abs(other - spot) + 1e-9 for other in strikes)


@thorough
@given(offset=st.integers(1, 9), spot=st.integers(23500, 24500))
def test_the_call_and_the_put_of_one_offset_mirror_each_other(offset, spot):
    otm_call = choose_strike(rule("otm", offset=offset), CE, spot, FIFTIES).strike
    itm_put = choose_strike(rule("itm", offset=offset), PE, spot, FIFTIES).strike
    otm_put = choose_strike(rule("otm", offset=offset), PE, spot, FIFTIES).strike
    assert otm_call == itm_put
    assert otm_call + otm_put == 2 * choose_strike(rule("atm"), CE, spot, FIFTIES).strike
