import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import SizingError
from engine.domain.instruments import Action, InstrumentType
from engine.domain.margin import DEFAULT_MARGIN_ROWS, StructureLeg, structure_margin
from engine.domain.money import paise
from engine.domain.sizing import (
    Grade,
    LegTerms,
    RiskProfile,
    SizingLimit,
    SizingRequest,
    allocate,
    size_account,
    usable_paise,
)
from tests.unit.strategies import percentages, rupee_amounts, thorough

NIFTY = LegTerms(lots_ratio=1, lot_size=65, freeze_quantity=1800)


def nifty_margin(*kinds, action=Action.SELL):
    legs = [StructureLeg("NIFTY", kind, action, 1, 65) for kind in kinds]
    return structure_margin(legs, DEFAULT_MARGIN_ROWS, expiry_day=False).total_paise


ONE_SIDE = nifty_margin(InstrumentType.CE)
BOTH_SIDES = nifty_margin(InstrumentType.CE, InstrumentType.PE)
BOUGHT = nifty_margin(InstrumentType.CE, action=Action.BUY)


def sized(available, percentage=65, margin=BOTH_SIDES, legs=(NIFTY,), **settings):
    return size_account(SizingRequest(available, percentage, margin, tuple(legs), **settings))


@pytest.mark.parametrize(
    ("available", "grade", "margin", "structures"),
    [
        (1_000_000, Grade.B, BOTH_SIDES, 2),
        (1_000_000, Grade.A, ONE_SIDE, 3),
        (1_000_000, Grade.C, ONE_SIDE, 1),
        (600_000, Grade.C, BOTH_SIDES, 0),
        (200_000, Grade.C, BOUGHT, 3),
    ],
)
def test_an_account_is_sized_by_its_grade(available, grade, margin, structures):
    sizing = sized(available, grade.percentage, margin)
    assert sizing.structures == structures
    assert sizing.limit == "margin"
    assert [leg.quantity for leg in sizing.legs] == ([structures * 65] if structures else [])


def test_the_waterfall_shows_every_step():
    sizing = sized(1_000_000, Grade.B.percentage)
    assert sizing.available_paise == paise(1_000_000)
    assert sizing.usable_paise == paise(650_000)
    assert sizing.structure_margin_paise == paise(320_000)
    assert sizing.margin_used_paise == paise(640_000)
    assert sizing.legs[0].lots == 2
    assert sizing.legs[0].slices == (130,)
    assert sizing.reason is None
    assert not sizing.skipped


def test_an_account_with_too_little_is_skipped_and_says_margin():
    sizing = sized(600_000, Grade.C.percentage)
    assert sizing.skipped
    assert sizing.limit is SizingLimit.MARGIN
    assert sizing.reason.startswith("margin")


@pytest.mark.parametrize(
    ("source", "percentage"),
    [
        (Grade.A, 95),
        (Grade.B, 65),
        (Grade.C, 36),
        (RiskProfile.CONSERVATIVE, 40),
        (RiskProfile.BALANCED, 65),
        (RiskProfile.AGGRESSIVE, 80),
    ],
)
def test_grades_and_profiles_use_their_share(source, percentage):
    assert source.percentage == percentage


@pytest.mark.parametrize(
    ("available", "words"),
    [
        (None, "missing"),
        (0, "zero"),
        (0.0, "zero"),
        (-5.0, "negative"),
        (math.nan, "not a number"),
        (math.inf, "not a number"),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"fixed_lots": 2, "limit_to_margin": False}])
def test_funds_that_are_no_funds_skip_the_account_with_a_reason(available, words, settings):
    sizing = sized(available, **settings)
    assert sizing.skipped
    assert sizing.limit is SizingLimit.FUNDS
    assert words in sizing.reason


def test_what_open_runs_reserve_is_not_used_twice():
    assert sized(1_000_000, 95, ONE_SIDE, reserved=250_000).structures == 2
    sizing = sized(1_000_000, 95, ONE_SIDE, reserved=1_000_000)
    assert sizing.limit is SizingLimit.FUNDS
    assert "reserved" in sizing.reason


def test_an_unknown_reservation_skips_the_account():
    assert sized(1_000_000, reserved=math.nan).limit is SizingLimit.FUNDS


@pytest.mark.parametrize(
    ("settings", "structures", "limit"),
    [
        ({"fixed_lots": 1}, 1, SizingLimit.FIXED_LOTS),
        ({"fixed_lots": 5}, 2, SizingLimit.MARGIN),
        ({"fixed_lots": 5, "limit_to_margin": False}, 5, SizingLimit.FIXED_LOTS),
        ({"cap_lots": 1}, 1, SizingLimit.CAP),
        ({"cap_lots": 2}, 2, SizingLimit.MARGIN),
        ({"cap_lots": 0}, 0, SizingLimit.CAP),
        ({"allocated": 1}, 1, SizingLimit.ALLOCATION),
        ({"allocated": 0}, 0, SizingLimit.ALLOCATION),
        ({"fixed_lots": 5, "limit_to_margin": False, "cap_lots": 3}, 3, SizingLimit.CAP),
    ],
)
def test_the_result_names_the_limit_that_bound_it(settings, structures, limit):
    sizing = sized(1_000_000, **settings)
    assert (sizing.structures, sizing.limit) == (structures, limit)
    assert (sizing.reason is None) == (structures > 0)


def test_a_ratio_stays_a_ratio():
    legs = (NIFTY, LegTerms(lots_ratio=2, lot_size=65, freeze_quantity=1800))
    sizing = sized(10_000_000, 65, paise(320_000), legs)
    assert [leg.lots for leg in sizing.legs] == [20, 40]
    assert [leg.slices for leg in sizing.legs] == [(1300,), (1755, 845)]


def test_a_cap_counts_the_lots_of_the_largest_leg():
    legs = (NIFTY, LegTerms(lots_ratio=2, lot_size=65, freeze_quantity=1800))
    assert sized(10_000_000, 65, paise(320_000), legs, cap_lots=5).structures == 2


@pytest.mark.parametrize("freeze", [None, 1])
def test_an_unknown_freeze_bounds_a_leg_at_twenty_lots(freeze):
    sensex = LegTerms(lots_ratio=1, lot_size=20, freeze_quantity=freeze)
    sizing = sized(100_000_000, 95, paise(220_000), (sensex,))
    assert (sizing.structures, sizing.limit) == (20, SizingLimit.FREEZE)
    assert sizing.legs[0].slices == (400,)
    wide = LegTerms(lots_ratio=21, lot_size=20, freeze_quantity=freeze)
    assert "freeze" in sized(100_000_000, 95, paise(220_000), (wide,)).reason


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"percentage": 0}, "percentage"),
        ({"percentage": 100.5}, "percentage"),
        ({"percentage": math.nan}, "percentage"),
        ({"fixed_lots": 0}, "fixed_lots"),
        ({"cap_lots": -1}, "cap_lots"),
        ({"allocated": -1}, "allocated"),
        ({"legs": ()}, "legs"),
        ({"legs": (LegTerms(0, 65, None),)}, "legs"),
        ({"margin": 0}, "structure_margin"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, field):
    with pytest.raises(SizingError) as caught:
        sized(1_000_000, **settings)
    assert caught.value.field == field


def test_usable_funds_are_exact_to_the_paisa():
    assert usable_paise(paise("1000000.03"), 36.5) == 36_500_001


@thorough
@given(funds=rupee_amounts, more=rupee_amounts, percentage=percentages, margin=st.integers(100, 50_000_000))
def test_more_funds_never_mean_fewer_lots_and_margin_stays_inside(funds, more, percentage, margin):
    small, large = sized(funds, percentage, margin), sized(funds + more, percentage, margin)
    assert small.structures <= large.structures
    assert small.margin_used_paise <= small.usable_paise <= small.available_paise
    assert (small.structures + 1) * margin > small.usable_paise


@thorough
@given(funds=rupee_amounts, low=percentages, high=percentages, margin=st.integers(1_000_000, 50_000_000))
def test_a_higher_percentage_never_means_fewer_lots(funds, low, high, margin):
    low, high = sorted((low, high))
    assert sized(funds, low, margin).structures <= sized(funds, high, margin).structures


@pytest.mark.parametrize(
    ("total", "weights", "limits", "shares", "unplaced"),
    [
        (10, [5, 3, 2], [99, 99, 99], [5, 3, 2], 0),
        (10, [1, 1, 1], [99, 99, 99], [4, 3, 3], 0),
        (7, [500_000, 300_000, 200_000], [99, 99, 99], [4, 2, 1], 0),
        (10, [5, 3, 2], [4, 9, 9], [4, 4, 2], 0),
        (10, [5, 3, 2], [1, 2, 3], [1, 2, 3], 4),
        (10, [5, 0, 5], [3, 9, 9], [3, 0, 7], 0),
        (10, [0, 0], [9, 9], [0, 0], 10),
        (0, [1, 1], [9, 9], [0, 0], 0),
        (3, [0.1, 0.2], [9, 9], [1, 2], 0),
    ],
)
def test_a_total_is_split_by_weight_inside_each_limit(total, weights, limits, shares, unplaced):
    allocation = allocate(total, dict(enumerate(weights)), dict(enumerate(limits)))
    assert list(allocation.shares.values()) == shares
    assert allocation.unplaced == unplaced


@pytest.mark.parametrize(
    ("total", "weight", "limit", "field"),
    [(-1, 1, 1, "total"), (1, -1, 1, "weight"), (1, math.nan, 1, "weight"), (1, 1, -1, "limit")],
)
def test_an_allocation_of_figures_that_are_none_is_refused(total, weight, limit, field):
    with pytest.raises(SizingError) as caught:
        allocate(total, {"one": weight}, {"one": limit})
    assert caught.value.field == field


@thorough
@given(
    total=st.integers(0, 500),
    accounts=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 80)), min_size=1, max_size=8),
)
def test_an_allocation_adds_up_and_leaves_nothing_that_would_fit(total, accounts):
    weights = {name: weight for name, (weight, _) in enumerate(accounts)}
    limits = {name: limit for name, (_, limit) in enumerate(accounts)}
    allocation = allocate(total, weights, limits)
    assert sum(allocation.shares.values()) + allocation.unplaced == total
    assert all(0 <= share <= limits[name] for name, share in allocation.shares.items())
    if allocation.unplaced:
        assert all(allocation.shares[name] == limits[name] for name in weights if weights[name])
