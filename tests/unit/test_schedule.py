"""Entries by the clock as pure rules: whose day it is, when it is due, and what to do at an instant (RULES 4, 7)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.calendar import ALWAYS_OPEN, INDIA, IST
from engine.domain.instruments import Exchange
from engine.domain.schedule import (
    EntrySchedule,
    Step,
    TradingDays,
    days_to_judge,
    due_on,
    judge,
    judge_ended,
    may_be_due,
    may_enter,
    next_due,
)

NSE = TradingDays(exchange=Exchange.NFO, sessions=INDIA, listing=INDIA)
PAPER = TradingDays(exchange=Exchange.NFO, sessions=ALWAYS_OPEN, listing=INDIA)
MONDAY = date(2026, 11, 23)  # a NIFTY expiry, because the 24th is a holiday
HOLIDAY = date(2026, 11, 24)
MUHURAT = date(2026, 11, 8)


def at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), IST).astimezone(UTC)


def schedule(clock: str = "09:20", **other: Any) -> EntrySchedule:
    return EntrySchedule(entry_time=time.fromisoformat(clock), underlyings=("NIFTY",), **other)


@pytest.mark.parametrize(
    ("day", "other", "is_day"),
    [
        (MONDAY, {}, True),
        (HOLIDAY, {}, False),
        (date(2026, 11, 22), {}, False),
        (MUHURAT, {}, True),
        (MUHURAT, {"weekdays": frozenset({0, 1, 2, 3, 4})}, False),
        (MONDAY, {"weekdays": frozenset({0})}, True),
        (MONDAY, {"weekdays": frozenset({1})}, False),
        (MONDAY, {"condition": "expiry"}, True),
        (MONDAY, {"condition": "non_expiry"}, False),
        (date(2026, 11, 25), {"condition": "non_expiry"}, True),
        (date(2026, 12, 1), {"condition": "expiry"}, True),
        (date(2026, 12, 2), {"condition": "expiry"}, False),
    ],
)
def test_which_days_are_its_days(day: date, other: dict[str, Any], is_day: bool) -> None:
    assert (due_on(schedule(**other), day, NSE) is not None) is is_day


def test_a_paper_venue_works_every_day_with_real_expiries() -> None:
    assert due_on(schedule(), HOLIDAY, PAPER) == at(HOLIDAY, "09:20")
    assert due_on(schedule(condition="expiry"), MONDAY, PAPER) is not None
    assert due_on(schedule(condition="expiry"), HOLIDAY, PAPER) is None


def test_without_a_rule_for_its_expiries_every_day_is_taken() -> None:
    unknown = EntrySchedule(entry_time=time(9, 20), condition="expiry", underlyings=("RELIANCE",))
    assert due_on(unknown, date(2026, 11, 25), NSE) is not None


@pytest.mark.parametrize(
    ("now", "step"),
    [
        ("09:19:59", Step.WAIT),
        ("09:20:00", Step.BEGIN),
        ("09:21:00", Step.BEGIN),
        ("09:21:01", Step.SKIP),
        ("15:00:00", Step.SKIP),
    ],
)
def test_it_begins_within_its_grace_and_is_skipped_after(now: str, step: Step) -> None:
    assert judge(schedule(), MONDAY, at(MONDAY, now), NSE).step is step


def test_what_was_missed_says_when_and_how_long_ago() -> None:
    found = judge(schedule(), MONDAY, at(MONDAY, "09:21:01"), NSE)
    assert found.reason == "the engine was not running or asleep at 09:20:00; skipped 61 s after"
    assert found.missed


def test_an_entry_of_an_earlier_day_names_it() -> None:
    found = judge(schedule(), date(2026, 11, 20), at(date(2026, 11, 21), "08:00"), NSE)
    assert (found.step, "09:20:00 on 20 Nov 2026" in found.reason) == (Step.SKIP, True)


@pytest.mark.parametrize(
    ("clock", "day", "step", "words"),
    [
        ("09:20", MUHURAT, Step.SKIP, "outside the session"),
        ("18:05", MUHURAT, Step.BEGIN, ""),
        ("19:15", MUHURAT, Step.SKIP, "outside the session"),
        ("09:14", MONDAY, Step.SKIP, "outside the session"),
        ("15:39", MONDAY, Step.BEGIN, ""),
        ("15:40", MONDAY, Step.SKIP, "outside the session"),
    ],
)
def test_its_time_must_lie_in_a_session(clock: str, day: date, step: Step, words: str) -> None:
    found = judge(schedule(clock), day, at(day, clock), NSE)
    assert found.step is step
    assert words in found.reason


def test_a_grace_that_reaches_beyond_the_close_does_not_enter_there() -> None:
    found = judge(schedule("15:39", grace=timedelta(minutes=5)), MONDAY, at(MONDAY, "15:41"), NSE)
    assert found.step is Step.SKIP


def test_a_paper_entry_just_before_midnight_begins_just_after_it() -> None:
    late = schedule("23:59", grace=timedelta(minutes=2))
    found = judge(late, MONDAY, at(HOLIDAY, "00:00") + timedelta(seconds=30), PAPER)
    assert found.step is Step.BEGIN


def test_an_entry_later_than_the_last_entry_time_is_skipped() -> None:
    found = judge(schedule("14:31", last_entry_time="14:30"), MONDAY, at(MONDAY, "14:31"), NSE)
    assert (found.step, "last entry time" in found.reason) == (Step.SKIP, True)


def test_what_was_due_before_the_schedule_was_made_is_nobodys() -> None:
    made = schedule(since=at(MONDAY, "14:00"))
    assert judge(made, MONDAY, at(MONDAY, "14:01"), NSE).step is Step.NONE
    assert judge(made, date(2026, 11, 25), at(date(2026, 11, 25), "09:20"), NSE).step is Step.BEGIN


def test_a_day_that_no_calendar_knows_is_skipped_at_its_time() -> None:
    day = date(2031, 3, 3)
    assert judge(schedule(), day, at(day, "09:00"), NSE).step is Step.WAIT
    found = judge(schedule(), day, at(day, "09:20"), NSE)
    assert (found.step, "2031" in found.reason) == (Step.SKIP, True)


def test_a_holiday_is_no_day_and_nothing_is_said() -> None:
    assert judge(schedule(), HOLIDAY, at(HOLIDAY, "09:20"), NSE).step is Step.NONE


def test_the_next_entry_passes_over_holidays_and_other_days() -> None:
    assert next_due(schedule(), at(MONDAY, "09:20"), NSE) == at(date(2026, 11, 25), "09:20")
    assert next_due(schedule(condition="expiry"), at(MONDAY, "10:00"), NSE) == at(date(2026, 12, 1), "09:20")
    assert next_due(schedule(), at(date(2031, 3, 1), "10:00"), NSE) is None


def test_days_in_question_are_indian_days() -> None:
    assert days_to_judge(datetime(2026, 11, 22, 19, 0, tzinfo=UTC))[-1] == MONDAY


@pytest.mark.parametrize(
    ("last", "now", "may"),
    [(None, "23:00", True), ("14:30", "14:30", True), ("14:30", "14:30:01", False), ("soon", "10:00", False)],
)
def test_nothing_enters_after_the_last_entry_time(last: str | None, now: str, may: bool) -> None:
    assert (may_enter(last, at(MONDAY, now)) == "") is may


@given(st.integers(0, 24 * 60 - 1), st.integers(0, 3 * 86_400), st.floats(0, 3_600), st.sampled_from([NSE, PAPER]))
def test_it_begins_only_from_its_time_until_its_grace_is_over(
    minute: int, seconds: int, grace: float, days: TradingDays
) -> None:
    one = schedule(f"{minute // 60:02d}:{minute % 60:02d}", grace=timedelta(seconds=grace))
    now = at(date(2026, 11, 20), "00:00") + timedelta(seconds=seconds)
    for day in days_to_judge(now):
        found = judge(one, day, now, days)
        if found.step is Step.BEGIN:
            assert found.due_at is not None
            assert timedelta(0) <= now - found.due_at <= timedelta(seconds=grace)
            assert days.sessions.is_trading_day(days.exchange, day)
        if found.step is Step.SKIP:
            assert found.reason


@pytest.mark.parametrize(
    ("since", "until", "reason"),
    [
        ("09:00", "09:20:10", "it was changed"),
        ("09:00", "09:19:59", None),
        ("09:20:05", "09:20:10", None),
        ("09:00", "09:25", "the engine was not running or asleep at 09:20:00; skipped 600 s after"),
        ("09:25", "09:26", None),
    ],
)
def test_what_was_due_when_its_schedule_ended_is_skipped(since: str, until: str, reason: str | None) -> None:
    ended = schedule(since=at(MONDAY, since))
    now, end = at(MONDAY, "09:30"), at(MONDAY, until)
    found = judge_ended(ended, MONDAY, now, NSE, until=end, why="it was changed")
    assert (found.step, found.reason) == ((Step.NONE, "") if reason is None else (Step.SKIP, reason))
    assert judge_ended(ended, HOLIDAY, now, NSE, until=end, why="it was changed").step is Step.NONE


def test_a_schedule_of_a_few_minutes_is_looked_at_only_around_its_time() -> None:
    now, clock = at(MONDAY, "12:00"), time(9, 20)
    assert may_be_due(clock, at(MONDAY, "09:20"), at(MONDAY, "09:21"), now)
    assert not may_be_due(clock, at(MONDAY, "09:21"), at(MONDAY, "09:30"), now)
    assert not may_be_due(clock, at(MONDAY, "09:00"), at(MONDAY, "09:20"), now)
    assert may_be_due(clock, at(date(2026, 11, 20), "12:00"), at(date(2026, 11, 21), "09:21"), now)
    assert not may_be_due(clock, at(date(2026, 11, 20), "09:00"), at(date(2026, 11, 20), "09:21"), now)
