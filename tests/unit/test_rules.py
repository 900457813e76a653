import math
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.calendar import ALWAYS_OPEN, INDIA, IST
from engine.domain.due_times import square_off_due
from engine.domain.errors import CalendarError, RuleError
from engine.domain.instruments import Exchange
from engine.domain.leg_rules import LegFigures, LegKind, LegLimits, LegRule, LegRules
from engine.domain.rule_bounds import EVERYWHERE, account_bounds, profit_bounds, tightest
from engine.domain.rules import (
    Breach,
    ExitAction,
    ExitRule,
    Limit,
    LimitUnit,
    Part,
    RunFigures,
    RunLimits,
    ScopeFigures,
    Switch,
    TimeLimit,
    TrailingLimit,
    decide,
    next_due,
    profit_breaches,
    rearm,
)
from engine.domain.trailing import Lock, TrailingKind, TrailingRule, TrailingState
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


# ── accounts and legs beside the run ──────────────────────────────────────────────────────────────────────────────────

LEG_STOPS = LegRules((LegLimits(1, LegRule(LegKind.PERCENT, 30)), LegLimits(2, LegRule(LegKind.PERCENT, 30))))
ON_ACCOUNTS = RunLimits(account_max_loss=Limit(1000), account_max_profit=Limit(2000), legs=LEG_STOPS)


def on_accounts(*rupees, **changes):
    accounts = tuple(
        ScopeFigures(number, None if one is None else one * 100, lots_filled=number, premium_paise=PREMIUM)
        for number, one in enumerate(rupees, start=1)
    )
    return figures(None, accounts=accounts, **changes)


def leg(account, index, price):
    return LegFigures(account, index, bought=False, average=100.0, price=price)


def exits(decision):
    return [breach.latch for breach in decision.exits]


def test_a_run_leaves_an_account_by_the_profit_of_that_account_alone():
    decision = decided(ON_ACCOUNTS, on_accounts(-1000, -999, None, 2000))
    assert exits(decision) == ["max_loss@1", "max_profit@4"]
    assert [breach.leaving for breach in decision.exits] == [Part(account_ids=(1,)), Part(account_ids=(4,))]
    assert decision.latches == {"max_loss@1", "max_profit@4"}


def test_a_limit_per_lot_on_an_account_counts_the_lots_filled_there():
    limits = RunLimits(account_max_loss=Limit(400, LimitUnit.PER_LOT))
    assert exits(decided(limits, on_accounts(-400, -799))) == ["max_loss@1"]


def test_the_latch_of_one_account_does_not_hold_another():
    run = on_accounts(-1000, -1000, latches=frozenset({"max_loss@1", "max_loss"}))
    assert exits(decided(ON_ACCOUNTS, run)) == ["max_loss@2"]


def test_legs_stopped_in_one_moment_each_leave():
    run = figures(None, legs=(leg(1, 1, 140.0), leg(1, 2, 140.0), leg(2, 1, 131.0), leg(2, 2, 129.0)))
    assert exits(decided(ON_ACCOUNTS, run)) == ["leg_sl@1.1", "leg_sl@1.2", "leg_sl@2.1"]


def test_an_account_that_leaves_takes_its_legs_along_and_those_of_others_leave_by_themselves():
    run = on_accounts(-1000, 0, legs=(leg(1, 1, 140.0), leg(2, 1, 140.0)))
    decision = decided(ON_ACCOUNTS, run)
    assert exits(decision) == ["max_loss@1", "leg_sl@2.1"]
    assert [breach.latch for breach in decision.breaches] == ["max_loss@1", "leg_sl@1.1", "leg_sl@2.1"]
    assert "leg_sl@1.1" not in decision.latches


def test_an_exit_of_the_whole_run_acts_alone_whatever_its_place_in_the_order():
    limits = replaced(ON_ACCOUNTS, square_off_time=TimeLimit(time(15, 10)))
    run = on_accounts(-1000, 0, legs=(leg(2, 1, 140.0),))
    decision = decided(limits, run, at(date(2026, 11, 23), 15, 10))
    assert exits(decision) == ["square_off"]
    assert [breach.latch for breach in decision.breaches] == ["max_loss@1", "leg_sl@2.1", "square_off"]
    assert decision.latches == {"square_off"}


def test_a_leg_whose_rule_closes_all_takes_the_run_out():
    limits = RunLimits(legs=LegRules(LEG_STOPS.limits, stop=Switch(action=ALL)))
    decision = decided(limits, figures(None, legs=(leg(1, 1, 140.0), leg(2, 1, 140.0))))
    assert exits(decision) == ["leg_sl@1.1"]
    assert decision.exit.leaving == Part()


def test_an_alert_on_a_leg_is_given_once_and_nothing_leaves():
    limits = RunLimits(legs=LegRules(LEG_STOPS.limits, stop=Switch(action=ALERT)))
    first = decided(limits, figures(None, legs=(leg(1, 1, 140.0),)))
    assert (exits(first), first.latches) == ([], {"leg_sl@1.1"})
    assert decided(limits, figures(None, legs=(leg(1, 1, 140.0),), latches=first.latches)).breaches == ()


def test_a_part_is_what_leaves_of_a_run():
    part = Part(legs=(2,), share=50)
    decision = decided(RunLimits(max_loss=Limit(1000, action=PARTIAL, part=part)), figures(-1500))
    assert decision.exit.leaving == part
    on_one = RunLimits(account_max_loss=Limit(1000, action=PARTIAL, part=part))
    assert decided(on_one, on_accounts(-1500)).exit.leaving == Part((2,), (1,), 50)


@pytest.mark.parametrize("share", [0, 100, -5, math.nan, math.inf])
def test_a_share_that_is_all_or_nothing_is_refused(share):
    with pytest.raises(RuleError):
        Part(share=share)


# ── intraday runs ─────────────────────────────────────────────────────────────────────────────────────────────────────

MUHURAT = date(2026, 11, 8)


@pytest.mark.parametrize(
    ("entered", "square_off", "due"),
    [
        (at(MONDAY, 10), time(15, 10), at(MONDAY, 15, 10)),
        (at(MONDAY, 9, 14), time(15, 10), at(MONDAY, 15, 10)),
        (at(MONDAY, 15, 10), time(15, 10), at(MONDAY, 15, 30)),
        (at(MONDAY, 15, 20), time(15, 10), at(MONDAY, 15, 30)),
        (at(MONDAY, 15, 36), time(15, 10), at(MONDAY, 15, 30)),
        (at(MONDAY, 10), time(15, 40), at(MONDAY, 15, 30)),
        (at(MUHURAT, 17, 59), time(15, 10), at(MUHURAT, 19, 5)),
        (at(MUHURAT, 18, 0), time(15, 10), at(MUHURAT, 19, 5)),
        (at(MUHURAT, 19, 10), time(15, 10), at(MUHURAT, 19, 5)),
        (at(MUHURAT, 18, 5), time(18, 45), at(MUHURAT, 18, 45)),
    ],
)
def test_an_intraday_run_never_stays_overnight(entered, square_off, due):
    assert square_off_due(square_off, entered, INDIA, NFO, intraday=True) == due


def test_where_bse_stops_taking_orders_earlier_an_intraday_run_leaves_earlier():
    assert square_off_due(time(15, 10), at(MONDAY, 15, 12), INDIA, Exchange.BFO, intraday=True) == at(MONDAY, 15, 20)


def test_a_run_that_may_stay_overnight_waits_for_its_time():
    assert square_off_due(time(15, 10), at(MUHURAT, 18, 5), INDIA, NFO, intraday=False) == at(date(2026, 11, 9), 15, 10)


def test_an_intraday_run_of_a_special_session_leaves_before_its_end():
    limits = RunLimits(square_off_time=TimeLimit(time(15, 10)), intraday=True)
    run = figures(None, entered_at=at(MUHURAT, 18, 5))
    assert decided(limits, run, at(MUHURAT, 19, 4)).exit is None
    assert decided(limits, run, at(MUHURAT, 19, 5)).exit.rule is ExitRule.SQUARE_OFF


# ── bounds for the guard ──────────────────────────────────────────────────────────────────────────────────────────────


def replaced(limits, **changes):
    return replace(limits, **changes)


def trailing(name, value=0.0, **figures_of):
    return RunLimits(trailing=TrailingLimit(TrailingRule(TrailingKind(name), value, **figures_of)))


@pytest.mark.parametrize(
    ("limits", "state", "bounds"),
    [
        (RunLimits(), TrailingState(), (None, None)),
        (RunLimits(max_loss=Limit(1000), max_profit=Limit(2000)), TrailingState(), (-100_000, 200_000)),
        (trailing("amount", 500), TrailingState(), EVERYWHERE),
        (trailing("amount", 500, activate_at=300), TrailingState(), (None, 30_000)),
        (trailing("amount", 500), TrailingState(active=True, peak_paise=70_000, stop_paise=20_000), (20_000, 70_001)),
        (trailing("amount", 500), TrailingState(active=True, peak_paise=70_000, stop_paise=10_000), EVERYWHERE),
        (trailing("lock_and_trail", lock=Lock(100, 50, 20, 10)), TrailingState(), (None, 10_000)),
    ],
)
def test_between_these_bounds_of_profit_nothing_changes(limits, state, bounds):
    assert profit_bounds(limits, figures(0, trailing=state)) == bounds


def test_latched_and_unmeasured_rules_set_no_bounds():
    limits = RunLimits(max_loss=Limit(1000), max_profit=Limit(10, LimitUnit.PER_LOT))
    run = figures(0, latches=frozenset({"max_loss"}), lots_filled=None)
    assert profit_bounds(limits, run) == (None, None)
    assert profit_bounds(trailing("points", 5), figures(0, units=None)) == (None, None)


def test_bounds_of_an_account_are_its_own_and_the_tightest_of_several_hold_for_all():
    one = account_bounds(ON_ACCOUNTS, ScopeFigures(1, 0), {"max_loss@2"})
    other = account_bounds(ON_ACCOUNTS, ScopeFigures(2, 0), {"max_loss@2"})
    assert (one, other) == ((-100_000, 200_000), (None, 200_000))
    assert tightest([one, other, (-50_000, None)]) == (-50_000, 200_000)


amounts = st.integers(1, 50_000)
limits_on_profit = st.none() | st.builds(
    Limit, amounts, st.sampled_from(LimitUnit), st.booleans(), st.sampled_from(ExitAction)
)
locks = st.builds(
    lambda reach, keep, step, rise: Lock(reach, reach - keep, step, min(rise, step)), amounts, amounts, amounts, amounts
)
trailing_rules = st.one_of(
    st.builds(
        TrailingRule,
        st.sampled_from([TrailingKind.PERCENT_OF_PREMIUM, TrailingKind.AMOUNT, TrailingKind.POINTS]),
        st.integers(1, 1_000),
        st.none() | st.integers(1, 50_000),
    ),
    st.builds(TrailingRule, st.just(TrailingKind.PERCENTAGE_OF_PROFIT), st.integers(1, 100), st.integers(1, 50_000)),
    st.builds(lambda lock: TrailingRule(TrailingKind.LOCK_AND_TRAIL, lock=lock), locks),
)
run_limits = st.builds(
    RunLimits,
    limits_on_profit,
    limits_on_profit,
    st.none() | st.builds(TrailingLimit, trailing_rules, st.booleans(), st.sampled_from(ExitAction)),
)
measures = st.fixed_dictionaries(
    {
        "lots_filled": st.none() | st.integers(1, 40),
        "premium_paise": st.none() | st.integers(1, 10**8),
        "units": st.none() | st.integers(1, 2_600),
        "latches": st.frozensets(st.sampled_from(["max_loss", "max_profit", "trailing_sl"])),
    }
)


@thorough
@given(limits=run_limits, path=st.lists(profits, max_size=4), then=profits, measured=measures)
def test_decide_changes_something_exactly_at_and_beyond_the_bounds(limits, path, then, measured):
    run = RunFigures(ENTERED, 0, **measured)
    for profit in path:
        decision = decided(limits, replace(run, profit_paise=profit))
        run = replace(run, trailing=decision.trailing, latches=decision.latches)
    low, high = profit_bounds(limits, run)
    for profit in {then, *(edge + by for edge in (low, high) if edge is not None for by in (-1, 0, 1))}:
        decision = decided(limits, replace(run, profit_paise=profit))
        changed = bool(decision.breaches) or (decision.trailing, decision.latches) != (run.trailing, run.latches)
        outside = (low is not None and profit <= low) or (high is not None and profit >= high)
        assert changed is outside


@thorough
@given(limits=run_limits, path=st.lists(profits, max_size=4), one=profits, other=profits, measured=measures)
def test_what_exits_by_a_loss_at_one_profit_exits_at_every_lower_one(limits, path, one, other, measured):
    run = RunFigures(ENTERED, 0, **measured)
    for profit in path:
        run = replace(run, trailing=decided(limits, replace(run, profit_paise=profit)).trailing)
    high, low = max(one, other), min(one, other)
    losses = {ExitRule.MAX_LOSS, ExitRule.TRAILING_SL}
    if limits.trailing is not None and not run.trailing.active:
        losses = {ExitRule.MAX_LOSS}  # a stop that a profit makes active is not there at a lower one
    found = [
        {breach.rule for breach in decided(limits, replace(run, profit_paise=profit)).breaches} & losses
        for profit in (high, low)
    ]
    assert found[0] <= found[1]


@thorough
@given(limits=run_limits, measured=measures, path=st.lists(profits, max_size=4))
def test_no_rule_on_profit_acts_or_moves_without_one(limits, measured, path):
    run = RunFigures(ENTERED, 0, **measured)
    for profit in path:
        run = replace(run, trailing=decided(limits, replace(run, profit_paise=profit)).trailing)
    decision = decided(limits, replace(run, profit_paise=None))
    assert (decision.breaches, decision.trailing, decision.latches) == ((), run.trailing, run.latches)
