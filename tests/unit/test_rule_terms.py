"""From what a person set to rules: each by itself, with its switch; what makes no sense is named and left out."""

from datetime import time

import pytest

from engine.domain.breaches import ExitAction, Part, Switch
from engine.domain.leg_rules import LegKind, LegLimits, LegRule
from engine.domain.rules import Limit, LimitUnit, RunLimits, TimeLimit
from engine.domain.trailing import Lock, TrailingKind, TrailingRule
from engine.services.drafts import LegDraft, LimitsDraft, RuleDraft
from engine.services.rule_terms import RULE_NAMES, made_of

CALL = LegDraft(underlying="NIFTY", action="SELL", instrument_type="CE")
PARTIAL = RuleDraft(action="close_partial", legs=[2], account_ids=[7], share=50.0)


def limits_of(product="NRML", **given):
    return made_of(LimitsDraft(**given), (), product).limits


def test_nothing_set_is_no_rule():
    assert limits_of() == RunLimits()


@pytest.mark.parametrize("name", ["max_loss", "max_profit", "account_max_loss", "account_max_profit"])
def test_a_limit_has_its_unit_switch_and_part(name):
    limits = limits_of(**{name: 500.0, f"{name}_unit": "per_lot", "rules": {name: PARTIAL}})
    part = Part((2,), (7,), 50.0)
    assert getattr(limits, name) == Limit(500.0, LimitUnit.PER_LOT, True, ExitAction.CLOSE_PARTIAL, part)


def test_a_rule_that_is_not_named_is_on_and_closes_all_and_a_leg_rule_its_leg():
    made = made_of(LimitsDraft(max_loss=500.0), (CALL,), "NRML")
    assert (made.limits.max_loss.enabled, made.limits.max_loss.action) == (True, ExitAction.CLOSE_ALL)
    assert made.limits.legs.stop == made.limits.legs.target == Switch(action=ExitAction.CLOSE_PARTIAL)
    assert made.supertrend == Switch()


def test_each_name_switches_its_own_rule():
    off = {name: RuleDraft(enabled=False) for name in RULE_NAMES}
    made = made_of(
        LimitsDraft(
            max_loss=1.0, max_profit=1.0, account_max_loss=1.0, account_max_profit=1.0, trailing_kind="amount",
            trailing_value=1.0, exit_time="15:00", square_off_time="15:10", rules=off,
        ),
        (CALL,),
        "NRML",
    )  # fmt: skip
    limits = made.limits
    rules = [
        limits.max_loss, limits.max_profit, limits.account_max_loss, limits.account_max_profit, limits.trailing,
        limits.exit_time, limits.square_off_time, limits.legs.stop, limits.legs.target, made.supertrend,
    ]  # fmt: skip
    assert [rule.enabled for rule in rules] == [False] * len(RULE_NAMES)


def test_an_intraday_run_leaves_at_ten_past_three_unless_told_otherwise():
    assert limits_of("MIS").square_off_time == TimeLimit(time(15, 10))
    assert limits_of("MIS", square_off_time="15:20").square_off_time == TimeLimit(time(15, 20))
    assert limits_of("MIS").intraday
    assert limits_of("NRML").square_off_time is None


def test_lock_and_trail_takes_its_four_figures():
    limits = limits_of(trailing_kind="lock_and_trail", lock_reach=100.0, lock_keep=50.0, lock_step=20.0, lock_rise=10.0)
    assert limits.trailing.rule == TrailingRule(TrailingKind.LOCK_AND_TRAIL, lock=Lock(100.0, 50.0, 20.0, 10.0))


def test_legs_have_their_own_stops_and_targets():
    stop = CALL.model_copy(update={"stop_kind": "percent", "stop_value": 30.0})
    target = CALL.model_copy(update={"target_kind": "premium", "target_value": 20.0})
    made = made_of(LimitsDraft(move_to_cost=True), (stop, CALL, target), "NRML")
    assert made.limits.legs.limits == (
        LegLimits(1, LegRule(LegKind.PERCENT, 30.0)),
        LegLimits(2),
        LegLimits(3, target=LegRule(LegKind.PREMIUM, 20.0)),
    )
    assert made.limits.legs.move_to_cost


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"max_loss": -5.0}, "max loss"),
        ({"max_loss": 5.0, "max_loss_unit": "lakh"}, "max loss"),
        ({"trailing_kind": "lock_and_trail", "lock_reach": 100.0}, "trailing stop"),
        ({"exit_time": "noon"}, "exit time"),
        ({"rules": {"max_loss": {"action": "pray"}}}, "max_loss"),
    ],
)
def test_what_makes_no_sense_is_named_and_switches_off_nothing_else(given, named):
    made = made_of(LimitsDraft(max_profit=900.0, **given), (), "NRML")
    assert made.limits.max_profit == Limit(900.0)
    assert [problem.partition(":")[0] for problem in made.problems] == [named]


def test_a_switch_that_makes_no_sense_leaves_its_rule_on():
    rules = {"max_loss": RuleDraft(enabled=False, action="close_partial", share=0.0)}
    assert limits_of(max_loss=500.0, rules=rules).max_loss == Limit(500.0)
