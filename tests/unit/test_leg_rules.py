import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.breaches import Breach, ExitAction, ExitRule, Part, Switch
from engine.domain.errors import RuleError
from engine.domain.leg_rules import (
    LegFigures,
    LegKind,
    LegLimits,
    LegRule,
    LegRules,
    leg_breaches,
    leg_price_bounds,
    moved_to_cost,
    stop_level,
    target_level,
)
from tests.unit.strategies import thorough

PERCENT, POINTS, PREMIUM = LegKind.PERCENT, LegKind.POINTS, LegKind.PREMIUM
STOP_30, TARGET_50 = LegRule(PERCENT, 30), LegRule(PERCENT, 50)
BOTH = LegRules((LegLimits(1, STOP_30, TARGET_50), LegLimits(2, STOP_30, TARGET_50)), move_to_cost=True)


def sold(price, *, account=1, leg=1, average=100.0, at_cost=False):
    return LegFigures(account, leg, bought=False, average=average, price=price, at_cost=at_cost)


def bought(price, **changes):
    settings = {"account_id": 1, "leg_index": 1, "average": 100.0} | changes
    return LegFigures(bought=True, price=price, **settings)


def latches(breaches):
    return [breach.latch for breach in breaches]


@pytest.mark.parametrize(
    ("kind", "stop", "target", "is_bought", "levels"),
    [
        (PERCENT, 30, 50, False, (130.0, 50.0)),
        (PERCENT, 30, 50, True, (70.0, 150.0)),
        (POINTS, 12.5, 40, False, (112.5, 60.0)),
        (POINTS, 12.5, 40, True, (87.5, 140.0)),
        (PREMIUM, 145, 35, False, (145.0, 35.0)),
        (PREMIUM, 80, 190, True, (80.0, 190.0)),
    ],
)
def test_stop_and_target_of_a_leg_entered_at_100(kind, stop, target, is_bought, levels):
    stop_at = stop_level(LegRule(kind, stop), 100.0, bought=is_bought)
    assert (stop_at, target_level(LegRule(kind, target), 100.0, bought=is_bought)) == levels


def test_levels_are_decimal_so_that_ten_percent_of_110_is_eleven():
    assert stop_level(LegRule(PERCENT, 10), 110.0, bought=False) == 121.0
    assert stop_level(LegRule(PERCENT, 30), 149.95, bought=False) == 194.935


def test_a_level_at_which_no_price_can_be_is_none():
    assert target_level(LegRule(POINTS, 100), 100.0, bought=False) is None
    assert stop_level(LegRule(PERCENT, 100), 100.0, bought=True) is None


@pytest.mark.parametrize(
    ("leg", "expected"),
    [
        (sold(129.95), []),
        (sold(130.0), ["leg_sl@1.1"]),
        (sold(190.0), ["leg_sl@1.1"]),
        (sold(50.05), []),
        (sold(50.0), ["leg_target@1.1"]),
        (bought(70.05), []),
        (bought(70.0), ["leg_sl@1.1"]),
        (bought(149.95), []),
        (bought(150.0), ["leg_target@1.1"]),
        (sold(None), []),
        (sold(500.0, leg=3), []),
    ],
)
def test_a_leg_leaves_at_its_level_and_not_before(leg, expected):
    assert latches(leg_breaches(BOTH, [leg])) == expected


def test_each_account_has_the_levels_of_its_own_average():
    legs = [sold(131.0, account=1, average=100.0), sold(131.0, account=2, average=102.0)]
    assert latches(leg_breaches(BOTH, legs)) == ["leg_sl@1.1"]


def test_a_leg_decides_although_another_has_no_price():
    assert latches(leg_breaches(BOTH, [sold(None), sold(140.0, leg=2)])) == ["leg_sl@1.2"]


def test_a_breach_of_a_leg_tells_its_level_and_price_and_takes_the_leg_out_on_that_account():
    (breach,) = leg_breaches(BOTH, [sold(140.0, account=7, leg=2)])
    assert (breach.threshold_price, breach.price) == (130.0, 140.0)
    assert breach.leaving == Part(legs=(2,), account_ids=(7,))


@pytest.mark.parametrize(
    ("switch", "leaving"),
    [
        (Switch(action=ExitAction.CLOSE_ALL), Part()),
        (Switch(action=ExitAction.CLOSE_PARTIAL), Part(legs=(1,), account_ids=(7,))),
        (Switch(action=ExitAction.CLOSE_PARTIAL, part=Part(share=50)), Part((1,), (7,), 50)),
        (Switch(action=ExitAction.CLOSE_PARTIAL, part=Part(legs=(1, 2))), Part((1, 2), (7,))),
    ],
)
def test_what_leaves_when_a_leg_is_stopped(switch, leaving):
    rules = LegRules((LegLimits(1, STOP_30),), stop=switch)
    (breach,) = leg_breaches(rules, [sold(140.0, account=7)])
    assert breach.leaving == leaving


def test_rules_of_legs_that_are_switched_off_say_nothing():
    rules = LegRules(BOTH.limits, stop=Switch(enabled=False))
    assert leg_breaches(rules, [sold(500.0)]) == []
    assert latches(leg_breaches(rules, [sold(10.0)])) == ["leg_target@1.1"]


@pytest.mark.parametrize(
    ("rule", "is_bought", "expected"),
    [
        (STOP_30, False, 100.0),
        (STOP_30, True, 100.0),
        (LegRule(PREMIUM, 90), False, 90.0),
        (LegRule(PREMIUM, 110), True, 110.0),
        (None, False, 100.0),
        (None, True, 100.0),
    ],
)
def test_moved_to_cost_a_stop_only_tightens_and_a_leg_without_one_gets_it(rule, is_bought, expected):
    assert stop_level(rule, 100.0, bought=is_bought, at_cost=True) == expected


def test_a_stop_that_acted_moves_the_other_legs_of_its_account_to_cost():
    legs = [sold(140.0), sold(100.0, leg=2), bought(20.0, leg_index=3), sold(100.0, account=2, leg=2)]
    acted = leg_breaches(BOTH, legs[:1])
    assert moved_to_cost(BOTH, acted, legs) == [(1, 2), (1, 3)]


def test_a_target_an_alert_and_a_stop_without_the_choice_move_nothing():
    legs = [sold(140.0), sold(100.0, leg=2)]
    target = [Breach(ExitRule.LEG_TARGET, ExitAction.CLOSE_PARTIAL, account_id=1, leg_index=1)]
    alert = [Breach(ExitRule.LEG_SL, ExitAction.ALERT_ONLY, account_id=1, leg_index=1)]
    assert moved_to_cost(BOTH, target, legs) == []
    assert moved_to_cost(BOTH, alert, legs) == []
    assert moved_to_cost(LegRules(BOTH.limits), leg_breaches(BOTH, legs), legs) == []


def test_legs_that_are_stopped_together_and_those_at_cost_already_are_not_moved():
    legs = [sold(140.0), sold(140.0, leg=2), sold(90.0, leg=3, at_cost=True)]
    assert moved_to_cost(BOTH, leg_breaches(BOTH, legs[:2]), legs) == []


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_a_figure_that_is_none_is_refused(value):
    with pytest.raises(RuleError):
        LegRule(PERCENT, value)


averages = st.floats(0.05, 5_000.0)
prices = st.floats(0.05, 10_000.0)
legs = st.builds(LegFigures, st.just(1), st.just(1), st.booleans(), averages, prices, st.booleans())
leg_rules = st.none() | st.builds(LegRule, st.sampled_from(LegKind), st.floats(0.01, 1_000.0))


@thorough
@given(rule=leg_rules, average=averages, is_bought=st.booleans())
def test_moving_to_cost_never_loosens_a_stop(rule, average, is_bought):
    before = stop_level(rule, average, bought=is_bought)
    after = stop_level(rule, average, bought=is_bought, at_cost=True)
    assert after is not None
    if before is not None:
        assert after >= before if is_bought else after <= before


@thorough
@given(rule=leg_rules, leg=legs, other=prices)
def test_what_stops_at_a_price_stops_at_every_worse_one(rule, leg, other):
    rules = LegRules((LegLimits(1, rule),))
    worse = min(leg.price, other) if leg.bought else max(leg.price, other)
    if leg_breaches(rules, [leg]):
        assert leg_breaches(rules, [replace(leg, price=worse)])


@thorough
@given(
    stop=leg_rules,
    target=leg_rules,
    leg=legs,
    held=st.sets(st.sampled_from(["leg_sl@1.1", "leg_target@1.1", "leg_sl@2.1"])),
    on=st.booleans(),
)
def test_a_leg_acts_exactly_at_and_beyond_its_price_bounds(stop, target, leg, held, on):
    rules = LegRules((LegLimits(1, stop, target),), stop=Switch(enabled=on))
    low, high = leg_price_bounds(rules, leg, held)
    outside = (low is not None and leg.price <= low) or (high is not None and leg.price >= high)
    acts = [breach for breach in leg_breaches(rules, [leg]) if breach.latch not in held]
    assert outside is bool(acts)
