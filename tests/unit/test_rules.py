import math
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.calendar import ALWAYS_OPEN, INDIA, IST
from engine.domain.errors import CalendarError, RuleError
from engine.domain.instruments import Exchange
from engine.domain.rules import (
    Breach,
    ExitAction,
    ExitRule,
    Limit,
    LimitUnit,
    RunFigures,
    RunLimits,
    TimeLimit,
    TrailingLimit,
    decide,
    next_due,
    profit_breaches,
    rearm,
)
from engine.domain.trailing import TrailingKind, TrailingRule, TrailingState
from tests.unit.strategies import profits, thorough

NFO = Exchange.NFO
ENTERED = datetime(2026, 11, 23, 10, 0, tzinfo=IST)
PREMIUM = 2_025_000
ALERT, PARTIAL, ALL = ExitAction.ALERT_ONLY, ExitAction.CLOSE_PARTIAL, ExitAction.CLOSE_ALL
EVERYTHING = RunLimits(
    max_loss=Limit(1000),
    max_profit=Limit(2000),
    trailing=TrailingLimit(TrailingRule(TrailingKind.AMOUNT, 500)),
    exit_time=TimeLimit(time(15, 5)),
    square_off_time=TimeLimit(time(15, 10)),
)


def at(day, hour, minute=0):
    return datetime.combine(day, time(hour, minute), IST)


def figures(rupees, **changes):
    profit = None if rupees is None else rupees * 100
    settings = {"lots_filled": 4, "premium_paise": PREMIUM, "units": 75} | changes
    return RunFigures(settings.pop("entered_at", ENTERED), profit, **settings)


def decided(limits, run, now=ENTERED + timedelta(minutes=1), **options):
    return decide(limits, run, now, calendar=INDIA, exchange=NFO, **options)


def names(decision):
    return [breach.rule.value for breach in decision.breaches]


@pytest.mark.parametrize(
    ("limit", "rupees", "breached"),
    [
        (Limit(1000), -999, False),
        (Limit(1000), -1000, True),
        (Limit(1000), -1001, True),
        (Limit(250, LimitUnit.PER_LOT), -999, False),
        (Limit(250, LimitUnit.PER_LOT), -1000, True),
        (Limit(20, LimitUnit.PERCENT_OF_PREMIUM), -4049, False),
        (Limit(20, LimitUnit.PERCENT_OF_PREMIUM), -4050, True),
        (Limit(1000, enabled=False), -5000, False),
    ],
)
def test_a_loss_at_the_limit_is_a_breach_and_a_profit_alike(limit, rupees, breached):
    loss = decided(RunLimits(max_loss=limit), figures(rupees))
    assert names(loss) == (["max_loss"] if breached else [])
    profit = decided(RunLimits(max_profit=limit), figures(-rupees))
    assert names(profit) == (["max_profit"] if breached else [])


def test_a_breach_tells_threshold_and_value():
    decision = decided(RunLimits(max_loss=Limit(250, LimitUnit.PER_LOT)), figures(-1200))
    assert decision.exit == Breach(ExitRule.MAX_LOSS, ALL, threshold_paise=-100_000, value_paise=-120_000)


@pytest.mark.parametrize("unit", [LimitUnit.PER_LOT, LimitUnit.PERCENT_OF_PREMIUM])
def test_a_limit_whose_measure_is_not_known_yet_does_not_decide(unit):
    run = figures(-10_000_000, lots_filled=None, premium_paise=None)
    assert decided(RunLimits(max_loss=Limit(1, unit)), run).exit is None


def test_a_trailing_stop_moves_from_decision_to_decision_and_exits():
    limits = RunLimits(trailing=TrailingLimit(TrailingRule(value=20)))
    state = TrailingState()
    for rupees, exits in [(0, False), (3000, False), (6000, False), (1951, False), (1950, True)]:
        decision = decided(limits, figures(rupees, trailing=state))
        state = decision.trailing
        assert (decision.exit is not None) is exits
    assert decision.exit == Breach(ExitRule.TRAILING_SL, ALL, threshold_paise=195_000, value_paise=195_000)


@pytest.mark.parametrize("kind", [TrailingKind.PERCENT_OF_PREMIUM, TrailingKind.POINTS])
def test_a_trailing_stop_waits_for_the_entry_to_give_its_measure(kind):
    limits = RunLimits(trailing=TrailingLimit(TrailingRule(kind, 20)))
    decision = decided(limits, figures(-100_000, premium_paise=None, units=None))
    assert decision.exit is None
    assert decision.trailing == TrailingState()


def test_without_a_confirmed_profit_no_rule_on_profit_decides_and_the_stop_stays():
    state = TrailingState(active=True, peak_paise=10_000_000, stop_paise=9_000_000)
    decision = decided(EVERYTHING, figures(None, trailing=state))
    assert decision.breaches == ()
    assert decision.trailing == state


def test_without_a_confirmed_profit_the_time_rules_still_work():
    decision = decided(EVERYTHING, figures(None), now=at(date(2026, 11, 23), 15, 10))
    assert names(decision) == ["exit_time", "square_off"]
    assert decision.exit.rule is ExitRule.EXIT_TIME


def test_everything_breached_at_once_makes_one_exit_by_the_order_of_the_rules():
    limits = RunLimits(
        max_loss=Limit(1000),
        trailing=TrailingLimit(TrailingRule(TrailingKind.AMOUNT, 500)),
        exit_time=TimeLimit(time(15, 5)),
        square_off_time=TimeLimit(time(15, 10)),
    )
    elsewhere = [Breach(rule, ALL) for rule in (ExitRule.SUPERTREND, ExitRule.LEG_TARGET, ExitRule.LEG_SL)]
    now = at(date(2026, 11, 23), 15, 10)
    decision = decided(limits, figures(-1500), now, others=elsewhere)
    expected = ["max_loss", "trailing_sl", "leg_sl", "leg_target", "supertrend", "exit_time", "square_off"]
    assert names(decision) == expected
    assert decision.exit.rule is ExitRule.MAX_LOSS
    killed = decided(limits, figures(-1500), now, others=[*elsewhere, Breach(ExitRule.KILL_SWITCH, ALL)])
    assert killed.exit.rule is ExitRule.KILL_SWITCH
    assert names(killed) == ["kill_switch", *expected]


def test_the_order_of_the_rules_is_that_of_the_specification():
    assert [rule.value for rule in sorted(ExitRule, key=lambda rule: rule.precedence)] == [
        "kill_switch",
        "max_loss",
        "max_profit",
        "trailing_sl",
        "leg_sl",
        "leg_target",
        "supertrend",
        "exit_time",
        "square_off",
    ]
    assert ExitRule.EXIT_TIME.risk_event == ExitRule.SQUARE_OFF.risk_event == "square_off"
    assert ExitRule.TRAILING_SL.risk_event == "trailing_sl"


def test_an_alert_does_not_exit_and_is_given_once():
    limits = RunLimits(max_loss=Limit(1000, action=ALERT))
    first = decided(limits, figures(-1500))
    assert names(first) == ["max_loss"]
    assert first.exit is None
    assert decided(limits, figures(-1500, latches=first.latches)).breaches == ()


def test_an_alert_does_not_stand_before_a_rule_that_exits():
    limits = RunLimits(
        max_loss=Limit(1000, action=ALERT), trailing=TrailingLimit(TrailingRule(TrailingKind.AMOUNT, 500))
    )
    decision = decided(limits, figures(-1500))
    assert names(decision) == ["max_loss", "trailing_sl"]
    assert decision.exit.rule is ExitRule.TRAILING_SL
    assert decision.latches == {ExitRule.MAX_LOSS, ExitRule.TRAILING_SL}


def test_a_rule_that_acted_is_latched_and_those_recorded_with_it_are_not():
    limits = RunLimits(
        max_loss=Limit(1000, action=PARTIAL), trailing=TrailingLimit(TrailingRule(TrailingKind.AMOUNT, 500))
    )
    first = decided(limits, figures(-1500))
    assert first.exit.action is PARTIAL
    assert first.latches == {ExitRule.MAX_LOSS}
    second = decided(limits, figures(-1500, trailing=first.trailing, latches=first.latches))
    assert second.exit.rule is ExitRule.TRAILING_SL


def test_a_latched_rule_acts_again_after_it_was_re_armed():
    run = figures(-1500, latches=frozenset({ExitRule.MAX_LOSS}))
    limits = RunLimits(max_loss=Limit(1000))
    assert decided(limits, run).exit is None
    assert decided(limits, rearm(run, ExitRule.MAX_LOSS)).exit is not None


def test_the_same_limits_serve_the_day_of_an_account():
    assert profit_breaches(Limit(5000), Limit(9000), -500_000)[0].rule is ExitRule.MAX_LOSS
    assert profit_breaches(Limit(5000), Limit(9000), 900_000)[0].rule is ExitRule.MAX_PROFIT
    assert profit_breaches(Limit(5000), Limit(9000), None) == []


FRIDAY, SUNDAY, MONDAY, WEDNESDAY = (date(2026, 11, day) for day in (20, 22, 23, 25))


@pytest.mark.parametrize(
    ("entered", "due"),
    [
        (at(FRIDAY, 10), at(FRIDAY, 15, 10)),
        (at(FRIDAY, 15, 10), at(MONDAY, 15, 10)),
        (at(FRIDAY, 15, 20), at(MONDAY, 15, 10)),
        (at(SUNDAY, 10), at(MONDAY, 15, 10)),
        (at(MONDAY, 15, 30), at(WEDNESDAY, 15, 10)),
        (at(date(2026, 11, 6), 15, 20), at(date(2026, 11, 8), 15, 10)),
    ],
)
def test_a_time_rule_is_due_first_after_the_entry_on_a_trading_day(entered, due):
    assert next_due(time(15, 10), entered, INDIA, NFO) == due


def test_on_a_paper_venue_every_day_counts():
    assert next_due(time(15, 10), at(SUNDAY, 10), ALWAYS_OPEN, NFO) == at(SUNDAY, 15, 10)
    assert next_due(time(2, 0), at(SUNDAY, 10), ALWAYS_OPEN, NFO) == at(MONDAY, 2, 0)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (at(FRIDAY, 15, 19), []),
        (at(MONDAY, 15, 9), []),
        (at(MONDAY, 15, 10), ["square_off"]),
        (at(WEDNESDAY, 9, 15), ["square_off"]),
    ],
)
def test_a_time_that_passed_while_nobody_watched_fires_at_once(now, expected):
    limits = RunLimits(square_off_time=TimeLimit(time(15, 10)))
    assert names(decided(limits, figures(None, entered_at=at(FRIDAY, 15, 15)), now)) == expected


def test_a_time_breach_tells_when_it_was_due():
    limits = RunLimits(square_off_time=TimeLimit(time(15, 10)))
    decision = decided(limits, figures(0), now=at(WEDNESDAY, 9, 15))
    assert decision.exit.due_at == at(MONDAY, 15, 10)
    assert decision.exit.due_at.tzinfo is UTC


def test_a_switched_off_time_and_a_run_without_entry_are_not_due():
    limits = RunLimits(exit_time=TimeLimit(time(15, 5), enabled=False))
    assert decided(limits, figures(0), now=at(WEDNESDAY, 15)).breaches == ()
    on = RunLimits(exit_time=TimeLimit(time(15, 5)))
    assert decided(on, figures(0, entered_at=None), now=at(WEDNESDAY, 15)).breaches == ()


def test_in_a_year_without_holidays_known_a_run_still_leaves_on_the_next_weekday():
    entered = at(date(2026, 12, 31), 15, 20)
    with pytest.raises(CalendarError):
        next_due(time(15, 10), entered, INDIA, NFO)
    limits = RunLimits(square_off_time=TimeLimit(time(15, 10)))
    assert decided(limits, figures(None, entered_at=entered), now=at(date(2027, 1, 1), 15, 9)).exit is None
    assert decided(limits, figures(None, entered_at=entered), now=at(date(2027, 1, 1), 15, 10)).exit is not None


@pytest.mark.parametrize("amount", [0, -1, math.nan, math.inf])
def test_a_limit_that_is_no_amount_is_refused(amount):
    with pytest.raises(RuleError):
        Limit(amount)


def test_a_time_with_a_zone_is_refused():
    with pytest.raises(RuleError):
        TimeLimit(time(15, 10, tzinfo=UTC))


@thorough
@given(path=st.lists(profits, min_size=1, max_size=30))
def test_along_any_path_each_rule_acts_at_most_once_and_the_stop_never_falls(path):
    run, acted = figures(0), []
    for step, profit in enumerate(path):
        now = ENTERED + timedelta(seconds=step)
        moved = RunFigures(ENTERED, profit, run.trailing, run.latches, 4, PREMIUM, 75)
        decision = decided(EVERYTHING, moved, now)
        if decision.exit:
            acted.append(decision.exit.rule)
            assert decision.exit == decision.breaches[0]
        if run.trailing.stop_paise is not None:
            assert decision.trailing.stop_paise >= run.trailing.stop_paise
        run = RunFigures(ENTERED, profit, decision.trailing, decision.latches, 4, PREMIUM, 75)
    assert len(acted) == len(set(acted))
