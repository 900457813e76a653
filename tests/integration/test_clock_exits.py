"""Exit and square-off times by a clock that sleeps, jumps and is set back: due once, after the entry, never missed."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.services.drafts import ScheduleDraft
from tests.integration.clock_stage import (
    FRIDAY,
    HOLIDAY,
    MONDAY,
    MUHURAT,
    WEDNESDAY,
    at,
    exits,
    flat,
    play_until,
    reasons,
    sleep_until,
    trade_expiring,
)
from tests.stage import CALL, LOT, PUT, Stage

HELD = {CALL: -LOT, PUT: -LOT}


def entered(folder: Path, begin: datetime, *, venue: str = "live", **settings: Any) -> tuple[Stage, int]:
    """A run that sold the straddle at that moment."""
    stage = Stage(folder, venue=venue, begin=begin, **settings)
    return stage, stage.enter()


@pytest.mark.parametrize(("rule", "reason"), [("exit_time", "square_off"), ("square_off_time", "square_off")])
def test_a_time_fires_at_its_moment_and_not_before(tmp_path: Path, rule: str, reason: str) -> None:
    stage, run = entered(tmp_path, at(MONDAY, "10:30"), limits={rule: "10:40"})
    play_until(stage, at(MONDAY, "10:40"))
    assert stage.broker().net == HELD
    flat(stage, run)
    assert reasons(stage, run) == [reason]
    assert stage.plans(run)[0].created_at - at(MONDAY, "10:40") < timedelta(seconds=2)


def test_mis_leaves_at_ten_past_three(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, at(MONDAY, "15:05"), product="MIS")
    play_until(stage, at(MONDAY, "15:10"))
    assert stage.broker().net == HELD
    flat(stage, run)
    assert reasons(stage, run) == ["square_off"]


def test_a_time_that_is_past_on_the_day_of_entry_is_due_on_the_next_trading_day(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, at(MONDAY, "10:30"), limits={"square_off_time": "10:15"})
    stage.play(10, by=1.0)
    for moment in (at(HOLIDAY, "10:15"), at(HOLIDAY, "14:00"), at(WEDNESDAY, "10:14:50")):
        sleep_until(stage, moment)
        stage.play(5, by=1.0)
        assert stage.broker().net == HELD, moment
    assert stage.events("square_off") == []
    flat(stage, run)
    assert stage.plans(run)[0].created_at >= at(WEDNESDAY, "10:15")


def test_a_run_of_friday_afternoon_squares_off_on_monday(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, at(FRIDAY, "15:20"), limits={"square_off_time": "15:10"})
    stage.play(60, by=1.0)
    sleep_until(stage, at(date(2026, 11, 21), "15:10"))
    stage.play(5, by=1.0)
    sleep_until(stage, at(MONDAY, "15:09:50"))
    stage.play(5, by=1.0)
    assert stage.broker().net == HELD
    flat(stage, run)
    assert stage.plans(run)[0].created_at >= at(MONDAY, "15:10")


@pytest.mark.parametrize("restarted", [True, False])
def test_a_square_off_missed_while_asleep_fires_at_once(tmp_path: Path, restarted: bool) -> None:
    stage, run = entered(tmp_path, at(MONDAY, "10:30"), limits={"square_off_time": "11:00"})
    sleep_until(stage, at(MONDAY, "14:00"))
    if restarted:
        stage.restart()
    flat(stage, run, 15)
    assert reasons(stage, run) == ["square_off"]
    assert sorted(exits(stage, run)) == [(CALL, LOT), (PUT, LOT)]


def test_a_square_off_missed_over_the_weekend_fires_when_the_engine_is_back(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, at(FRIDAY, "14:00"), limits={"square_off_time": "15:10"})
    stage.play(3)
    sleep_until(stage, at(MONDAY, "09:20"))
    stage.restart()
    flat(stage, run, 15)
    assert sorted(exits(stage, run)) == [(CALL, LOT), (PUT, LOT)]


def test_an_engine_killed_right_after_it_fired_does_not_fire_again(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, at(MONDAY, "10:30"), limits={"exit_time": "10:31"})
    stage.until(lambda: stage.plans(run), 90)
    stage.restart()
    flat(stage, run, 60)
    stage.play(30, by=0.5)
    assert reasons(stage, run) == ["square_off"]
    assert sorted(exits(stage, run)) == [(CALL, LOT), (PUT, LOT)]
    assert len([event for event in stage.events("square_off") if event.action == "close_all"]) == 1


def test_a_clock_set_back_after_it_fired_does_not_fire_again(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, at(MONDAY, "10:30"), limits={"exit_time": "10:31"})
    stage.until(lambda: stage.broker().net == {}, 120)
    stage.clock.skew = -timedelta(minutes=20)
    stage.play(1_300, by=1.0)
    assert stage.broker().net == {}
    assert sorted(exits(stage, run)) == [(CALL, LOT), (PUT, LOT)]


def test_a_clock_set_back_before_its_time_only_delays_it(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, at(MONDAY, "10:30"), limits={"exit_time": "10:40"})
    stage.play(300, by=1.0)
    stage.clock.skew = -timedelta(minutes=4)
    play_until(stage, at(MONDAY, "10:40"))
    assert stage.broker().net == HELD
    flat(stage, run)


def test_a_clock_set_back_before_the_entry_keeps_the_time_of_that_day(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, at(MONDAY, "10:30"), limits={"exit_time": "10:25"})
    stage.clock.skew = -timedelta(minutes=10)
    stage.play(900, by=1.0)  # from 10:20 to 10:35: the first 10:25 after the entry is Wednesday's
    assert stage.broker().net == HELD
    assert stage.run(run).state == "open"


def test_a_run_that_goes_through_midnight_leaves_at_its_time_of_the_next_day(tmp_path: Path) -> None:
    limits = {"exit_time": "09:16", "square_off_time": "15:10"}
    stage, run = entered(tmp_path, at(MONDAY, "23:59"), venue="paper:stage", limits=limits)
    stage.play(120, by=1.0)
    assert stage.clock.now() > at(HOLIDAY, "00:00")
    assert stage.broker().net == HELD
    sleep_until(stage, at(HOLIDAY, "09:15:50"))
    stage.play(5, by=1.0)
    assert stage.broker().net == HELD
    flat(stage, run)
    assert stage.plans(run)[0].created_at - at(HOLIDAY, "09:16") < timedelta(seconds=2)


def test_a_time_fires_although_no_price_is_known(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, at(MONDAY, "10:30"), limits={"exit_time": "10:35", "max_loss": 1_000.0})
    stage.quiet_market()
    stage.play(120, by=1.0)
    assert stage.events("blind")
    play_until(stage, at(MONDAY, "10:35"))
    flat(stage, run)


def test_what_expires_on_the_monday_settles_after_its_session(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live", begin=at(FRIDAY, "15:00"))
    names = trade_expiring(stage, MONDAY)
    run = stage.enter()
    stage.play(3)
    sleep_until(stage, at(MONDAY, "15:39:50"))
    stage.broker().price |= {"NIFTY": 26_100.0}
    stage.play(5, by=0.5)
    assert stage.broker().net == {names[CALL]: -LOT, names[PUT]: -LOT}
    stage.until(lambda: stage.run(run).state == "closed", 60)
    assert exits(stage, run) == []
    assert stage.run(run).closed_at is not None
    assert stage.run(run).profit_paise == (150 - 100 + 120) * LOT * 100
    assert {event.kind for event in stage.events() if event.execution_id == run} == {"settlement"}


def test_what_expires_on_the_monday_leaves_at_its_square_off_and_settles_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live", begin=at(FRIDAY, "15:20"), limits={"square_off_time": "15:10"})
    trade_expiring(stage, MONDAY)
    run = stage.enter()
    stage.play(3)
    sleep_until(stage, at(MONDAY, "15:09:55"))
    flat(stage, run)
    sleep_until(stage, at(MONDAY, "15:41"))
    stage.play(60, by=1.0)
    assert len(exits(stage, run)) == 2
    assert stage.events("settlement") == []


def test_a_run_that_slept_through_its_expiry_is_settled_and_sends_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live", begin=at(FRIDAY, "15:20"), limits={"square_off_time": "15:10"})
    trade_expiring(stage, MONDAY)
    run = stage.enter()
    stage.play(3)
    sleep_until(stage, at(MONDAY, "16:00"))
    stage.restart()
    stage.broker().price |= {"NIFTY": 26_100.0}
    stage.until(lambda: stage.run(run).state == "closed", 60)
    assert exits(stage, run) == []
    assert stage.run(run).profit_paise == (150 - 100 + 120) * LOT * 100


def test_an_intraday_run_of_the_muhurat_session_leaves_before_its_end(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, at(MUHURAT, "18:05"), product="MIS")
    sleep_until(stage, at(MUHURAT, "19:04:50"))
    stage.play(5, by=1.0)
    assert stage.broker().net == HELD
    flat(stage, run)
    assert stage.plans(run)[0].created_at < at(MUHURAT, "19:06")


def test_a_scheduled_intraday_run_of_the_muhurat_session_leaves_at_its_own_time(tmp_path: Path) -> None:
    schedule = ScheduleDraft(enabled=True, entry_time="18:05")
    limits = {"square_off_time": "19:00"}
    stage = Stage(tmp_path, venue="live", begin=at(MUHURAT, "18:04"), product="MIS", schedule=schedule, limits=limits)
    stage.until(lambda: stage.broker().net == HELD, 90, by=0.5)
    run = max(stage.ledger.runs)
    sleep_until(stage, at(MUHURAT, "18:59:50"))
    stage.play(5, by=1.0)
    assert stage.broker().net == HELD
    flat(stage, run)
    assert stage.plans(run)[0].created_at < at(MUHURAT, "19:01")


def test_a_delivered_run_of_the_muhurat_session_squares_off_on_the_next_trading_day(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, at(MUHURAT, "18:05"), limits={"square_off_time": "15:10"})
    stage.play(3)
    sleep_until(stage, at(MUHURAT, "19:14"))
    stage.play(5, by=1.0)
    sleep_until(stage, at(date(2026, 11, 9), "15:09:50"))
    stage.play(5, by=1.0)
    assert stage.broker().net == HELD
    flat(stage, run)
