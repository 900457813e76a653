import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import RuleError
from engine.domain.trailing import Lock, TrailingKind, TrailingRule, TrailingState, advance, hit
from tests.unit.strategies import profits, thorough

PREMIUM = 2_025_000  # SELL CE 150 × 75 + SELL PE 120 × 75, in paise
UNITS = 75


def follow(rule, *rupees, state=None, premium=PREMIUM, units=UNITS):
    """The stop in ₹ (None while not active) and whether it was hit, after each P in ₹."""
    state = state or TrailingState()
    seen = []
    for amount in rupees:
        state = advance(rule, state, amount * 100, premium_paise=premium, units=units)
        stop = None if state.stop_paise is None else state.stop_paise / 100
        seen.append((stop, hit(state, amount * 100)))
    return seen


def kind(name, value=0.0, **figures):
    return TrailingRule(TrailingKind(name), value, **figures)


def test_the_default_kind_is_a_percentage_of_the_entry_premium():
    stops = follow(TrailingRule(value=20), 0, 3000, 6000, 1951, 1950)
    assert stops == [(-4050, False), (-1050, False), (1950, False), (1950, False), (1950, True)]


def test_the_first_profit_seen_may_be_a_loss_and_the_stop_still_starts_at_the_entry():
    assert follow(TrailingRule(value=20), -500, -4050) == [(-4050, False), (-4050, True)]


@pytest.mark.parametrize(
    ("rule", "rupees", "stops"),
    [
        (kind("amount", 1000), (0, 2500, 1600, 1500), [(-1000, False), (1500, False), (1500, False), (1500, True)]),
        (kind("points", 10), (0, 1000, 250), [(-750, False), (250, False), (250, True)]),
        (
            kind("percent_of_profit", 20, activate_at=2000),
            (1999, 2000, 6000, 4801, 4800),
            [(None, False), (1600, False), (4800, False), (4800, False), (4800, True)],
        ),
        (
            kind("percent_of_premium", 20, activate_at=2000),
            (-9000, 1999, 2000, 3000, -1050),
            [(None, False), (None, False), (-2050, False), (-1050, False), (-1050, True)],
        ),
        (kind("amount", 500, activate_at=1000), (999, 1000, 500), [(None, False), (500, False), (500, True)]),
        (
            kind("lock_and_trail", lock=Lock(reach=5000, keep=2000, step=1000, rise=500)),
            (4999, 5000, 5999, 6000, 8100, 3501, 3500),
            [
                (None, False),
                (2000, False),
                (2000, False),
                (2500, False),
                (3500, False),
                (3500, False),
                (3500, True),
            ],
        ),
        (
            kind("lock_and_trail", activate_at=7000, lock=Lock(reach=5000, keep=2000, step=1000, rise=500)),
            (6999, 7000),
            [(None, False), (3000, False)],
        ),
    ],
)
def test_each_kind_follows_the_peak_by_its_own_distance(rule, rupees, stops):
    assert follow(rule, *rupees) == stops


def test_a_percentage_of_profit_of_20_keeps_4800_of_6000():
    assert follow(kind("percent_of_profit", 20, activate_at=2025), 6000) == [(4800, False)]


def test_once_active_it_stays_active_below_its_activation():
    assert follow(kind("amount", 500, activate_at=1000), 1000, 700) == [(500, False), (500, False)]


def test_a_looser_rule_does_not_lower_the_stop():
    tight = advance(kind("amount", 500), TrailingState(), 100_000, premium_paise=None, units=None)
    assert follow(kind("amount", 5000), 1000, state=tight) == [(500, False)]
    assert follow(TrailingRule(value=20), 1000, state=tight, premium=9 * PREMIUM) == [(500, False)]


def test_an_inactive_stop_is_never_hit():
    assert not hit(TrailingState(), -10_000_000)


@pytest.mark.parametrize(
    ("rule", "premium", "units"),
    [
        (TrailingRule(value=20), None, UNITS),
        (TrailingRule(value=20), 0, UNITS),
        (kind("points", 10), PREMIUM, None),
        (kind("points", 10), PREMIUM, 0),
    ],
)
def test_a_distance_without_its_measure_is_refused(rule, premium, units):
    with pytest.raises(RuleError):
        follow(rule, 0, premium=premium, units=units)


@pytest.mark.parametrize(
    ("name", "figures", "field"),
    [
        ("amount", {"value": 0}, "value"),
        ("amount", {"value": -1}, "value"),
        ("points", {"value": math.nan}, "value"),
        ("percent_of_profit", {"value": 20}, "activate_at"),
        ("percent_of_profit", {"value": 20, "activate_at": 0}, "activate_at"),
        ("percent_of_profit", {"value": 101, "activate_at": 10}, "value"),
        ("amount", {"value": 1, "activate_at": math.inf}, "activate_at"),
        ("lock_and_trail", {}, "lock"),
        ("amount", {"value": 1, "lock": Lock(2, 1, 1, 1)}, "lock"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(name, figures, field):
    with pytest.raises(RuleError) as caught:
        kind(name, **figures)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("figures", "field"),
    [
        ((0, -1, 1, 1), "lock reach"),
        ((5, 5, 1, 1), "lock keep"),
        ((5, 1, 0, 0), "lock step"),
        ((5, 1, 1, 2), "lock rise"),
        ((5, 1, 1, -1), "lock rise"),
        ((math.nan, 1, 1, 1), "lock reach"),
    ],
)
def test_a_lock_that_makes_no_sense_is_refused(figures, field):
    with pytest.raises(RuleError) as caught:
        Lock(*figures)
    assert caught.value.field == field


rules = st.one_of(
    st.builds(kind, st.sampled_from(["percent_of_premium", "amount", "points"]), st.integers(1, 500)),
    st.builds(
        lambda value, start: kind("percent_of_profit", value, activate_at=start),
        st.integers(1, 100),
        st.integers(1, 5000),
    ),
    st.builds(
        lambda reach, below, step, rise: kind("lock_and_trail", lock=Lock(reach, reach - below, step, min(step, rise))),
        st.integers(1, 5000),
        st.integers(1, 9000),
        st.integers(1, 900),
        st.integers(0, 900),
    ),
)


@thorough
@given(rule=rules, path=st.lists(profits, min_size=1, max_size=40))
def test_the_stop_never_moves_down_and_never_passes_the_peak(rule, path):
    state = TrailingState()
    for profit in path:
        before, state = state, advance(rule, state, profit, premium_paise=PREMIUM, units=UNITS)
        assert state.active >= before.active
        if state.active:
            assert state.stop_paise is not None
            assert state.stop_paise <= state.peak_paise
            assert state.peak_paise >= profit
            assert before.stop_paise is None or state.stop_paise >= before.stop_paise


@thorough
@given(path=st.lists(profits, min_size=1, max_size=20), changes=st.lists(rules, min_size=1, max_size=20))
def test_the_stop_never_moves_down_even_when_the_rule_is_changed(path, changes):
    state = TrailingState()
    for profit, rule in zip(path, changes, strict=False):
        before, state = state, advance(rule, state, profit, premium_paise=PREMIUM, units=UNITS)
        if before.stop_paise is not None:
            assert state.stop_paise is not None
            assert state.stop_paise >= before.stop_paise
