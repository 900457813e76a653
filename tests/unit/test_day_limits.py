"""Limits on P of the day, their latches and halts, and the marks that P of the day is counted from (RULES 6, 7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.day_limits import (
    DayLimits,
    DayRule,
    changed,
    day_breach,
    event_kind,
    halted_for_the_day,
    killed,
    latched,
    rearmed,
)
from engine.domain.rules import ExitAction
from engine.domain.runs import DayMark
from engine.services.day_marks import DayMarks

MONDAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
LIMITS = DayLimits(owner_id=1, max_loss_paise=500_000, max_profit_paise=800_000)


@pytest.mark.parametrize(
    ("profit", "rule", "threshold"),
    [
        (-499_999, None, 0),
        (-500_000, DayRule.MAX_LOSS, -500_000),
        (-900_000, DayRule.MAX_LOSS, -500_000),
        (799_999, None, 0),
        (800_000, DayRule.MAX_PROFIT, 800_000),
        (None, None, 0),
    ],
)
def test_a_limit_acts_where_p_reaches_it_and_never_blind(
    profit: int | None, rule: DayRule | None, threshold: int
) -> None:
    breach = day_breach(LIMITS, profit, MONDAY)
    assert (breach.rule if breach else None) == rule
    if breach:
        assert (breach.threshold_paise, breach.value_paise) == (threshold, profit)


@pytest.mark.parametrize(
    "limits",
    [
        replace(LIMITS, max_loss_enabled=False),
        replace(LIMITS, max_loss_paise=None),
        replace(LIMITS, latched=("max_loss",), latched_day=MONDAY),
        replace(LIMITS, latched=("max_loss",), latched_day=MONDAY + timedelta(days=1)),  # the clock was set back
    ],
)
def test_a_limit_that_is_off_not_set_or_acted_already_does_not_act(limits: DayLimits) -> None:
    assert day_breach(limits, -(10**9), MONDAY) is None
    assert DayRule.MAX_LOSS not in limits.watched(MONDAY)


def test_what_acted_on_friday_acts_again_on_monday() -> None:
    acted = latched(LIMITS, DayRule.MAX_LOSS, date(2026, 11, 20))
    assert day_breach(acted, -600_000, date(2026, 11, 20)) is None
    breach = day_breach(acted, -600_000, MONDAY)
    assert breach is not None
    assert latched(acted, DayRule.MAX_PROFIT, MONDAY).latched == ("max_profit",)


def test_both_limits_are_latched_by_themselves() -> None:
    acted = latched(latched(LIMITS, DayRule.MAX_LOSS, MONDAY), DayRule.MAX_PROFIT, MONDAY)
    assert acted.latches(MONDAY) == {DayRule.MAX_LOSS, DayRule.MAX_PROFIT}


def test_a_halt_of_the_day_ends_when_its_day_begins_and_a_kill_does_not() -> None:
    halted = halted_for_the_day(LIMITS, NOW, MONDAY, until=date(2026, 11, 25), reason="max loss")
    assert [halted.halts(MONDAY + timedelta(days=n)) for n in range(4)] == [True, True, False, False]
    dead = killed(halted, NOW, "kill switch")
    assert dead.halts(date(2027, 1, 1))
    assert halted_for_the_day(dead, NOW, MONDAY, until=date(2026, 11, 25), reason="max loss") == dead
    assert halted_for_the_day(halted, NOW, MONDAY, until=date(2026, 11, 24), reason="max profit") == halted
    assert rearmed(dead) == LIMITS


def test_a_kill_that_was_rearmed_or_is_over_gives_way_to_a_halt_of_the_day() -> None:
    over = replace(LIMITS, halted_at=NOW, halted_until=MONDAY, reason="of Friday")
    halted = halted_for_the_day(over, NOW, MONDAY, until=date(2026, 11, 25), reason="today's")
    assert (halted.halted_until, halted.reason) == (date(2026, 11, 25), "today's")


def test_a_rule_that_is_changed_may_act_again_and_the_other_stays_latched() -> None:
    acted = replace(LIMITS, latched=("max_loss", "max_profit"), latched_day=MONDAY)
    wanted = replace(acted, max_loss_paise=900_000)
    after = changed(acted, wanted)
    assert (after.max_loss_paise, after.latched) == (900_000, ("max_profit",))
    assert changed(acted, acted) == acted
    assert changed(acted, replace(acted, max_loss_action=ExitAction.ALERT_ONLY)).latched == ("max_profit",)


def test_plans_of_the_day_have_reasons_of_their_own_and_events_the_names_of_the_rules() -> None:
    assert [rule.plan_reason for rule in DayRule] == ["day_max_loss", "day_max_profit"]
    assert [event_kind(rule.plan_reason) for rule in DayRule] == ["max_loss", "max_profit"]
    assert event_kind("kill_switch") == "kill_switch"


@given(profits=st.lists(st.integers(-2_000_000, 2_000_000) | st.none(), max_size=30))
def test_each_limit_acts_at_most_once_a_day_whatever_p_does(profits: list[int | None]) -> None:
    limits, acted = LIMITS, []
    for profit in profits:
        if (breach := day_breach(limits, profit, MONDAY)) is not None:
            acted.append(breach.rule)
            limits = latched(limits, breach.rule, MONDAY)
    assert len(acted) == len(set(acted))
    reached = {p for p in profits if p is not None}
    assert (DayRule.MAX_LOSS in acted) == any(p <= -500_000 for p in reached)
    assert (DayRule.MAX_PROFIT in acted) == any(p >= 800_000 for p in reached)


# ── marks ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

FRIDAY = date(2026, 11, 20)
PLACE = (7, 2)


def written(day: date, mark: int | None, last: int | None) -> DayMark:
    return DayMark(execution_id=7, account_id=2, day=day, mark_paise=mark, last_paise=last)


@pytest.mark.parametrize(
    ("row", "mark", "last"),
    [
        (written(MONDAY, 10, 25), 10, 25),  # the same day
        (written(MONDAY, None, 25), None, 25),
        (written(FRIDAY, 10, 25), 25, None),  # away over the weekend
        (written(FRIDAY, 10, None), 10, None),  # blind all Friday: the mark before it
        (written(FRIDAY, None, None), None, None),
        (written(date(2026, 11, 24), 10, 25), 10, 25),  # the clock was set back over midnight: that day goes on
        (written(date(2027, 6, 1), 10, 25), 25, None),  # the clock had been far ahead
    ],
)
def test_what_the_engine_of_the_morning_makes_of_a_row(row: DayMark, mark: int | None, last: int | None) -> None:
    marks = DayMarks()
    marks.restore([row], MONDAY)
    assert (marks.marks.get(PLACE), marks.last.get(PLACE)) == (mark, last)
    assert marks.turn(MONDAY) == marks.day


def test_a_clock_set_back_over_midnight_does_not_begin_a_day_twice() -> None:
    marks = DayMarks()
    marks.turn(FRIDAY)
    marks.last[PLACE] = 10
    marks.turn(date(2026, 11, 21))
    marks.last[PLACE] = 99
    assert marks.turn(FRIDAY) == date(2026, 11, 21)
    assert marks.turn(date(2026, 11, 21)) == date(2026, 11, 21)
    assert (marks.marks[PLACE], marks.last[PLACE]) == (10, 99)


def test_a_clock_that_was_far_ahead_does_not_hold_the_days_back() -> None:
    marks = DayMarks()
    marks.turn(date(2027, 6, 1))
    marks.last[PLACE] = 10
    assert marks.turn(MONDAY) == MONDAY
    assert marks.marks[PLACE] == 10


def test_a_day_that_was_not_sure_to_have_begun_is_taken_back_and_loses_nothing() -> None:
    marks = DayMarks()
    marks.restore([written(FRIDAY, 10, 25)], MONDAY)
    assert (marks.marks[PLACE], marks.last) == (25, {})
    assert marks.turn(FRIDAY) == FRIDAY
    assert marks.row(PLACE) == written(FRIDAY, 10, 25)
    assert marks.turn(MONDAY) == MONDAY
    assert marks.row(PLACE) == written(MONDAY, 25, None)


@given(
    days=st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(-(10**6), 10**6)), max_size=12),
    dies=st.integers(0, 12),
)
def test_a_restart_at_any_moment_after_a_write_changes_no_mark(days: list[tuple[int, int | None]], dies: int) -> None:
    lives, dying = DayMarks(), DayMarks()
    day = FRIDAY
    for step, (ahead, known) in enumerate(days):
        day += timedelta(days=ahead)
        if step == dies and dying.day is not None:
            rows = [dying.row(PLACE)]
            dying = DayMarks()
            dying.restore(rows, day)
        for marks in (lives, dying):
            marks.turn(day)
            if known is not None:
                marks.last[PLACE] = known
        assert (dying.marks.get(PLACE), dying.last.get(PLACE)) == (lives.marks.get(PLACE), lives.last.get(PLACE))


def test_only_rows_that_changed_are_written_and_ended_runs_are_forgotten() -> None:
    marks = DayMarks()
    marks.turn(MONDAY)
    marks.last = {(1, 1): 5, (2, 1): 6, (3, 1): 7}
    marks.look([1, 2], NOW)
    assert marks.waiting == [(1, 1), (2, 1)]
    marks.wrote([marks.row((1, 1)), marks.row((2, 1))])
    assert not marks.due(NOW + timedelta(seconds=59))
    marks.last[2, 1] = 8
    marks.look([1, 2], NOW + timedelta(seconds=60))
    assert marks.waiting == [(2, 1)]
    marks.wrote([marks.row((2, 1))])
    marks.turn(MONDAY + timedelta(days=1))
    assert marks.due(NOW + timedelta(seconds=61))
    marks.look([1, 2], NOW + timedelta(seconds=61))
    assert marks.row((2, 1)) == DayMark(execution_id=2, account_id=1, day=MONDAY + timedelta(days=1), mark_paise=8)
    assert marks.waiting == [(1, 1), (2, 1)]
