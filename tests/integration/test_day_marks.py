"""P of the day is counted from marks on disk: over midnight, weekends, restarts, clocks set back (RULES 6)."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from engine.domain.instruments import Exchange
from engine.services import day_profit
from engine.services.ledger import Pass
from engine.services.showing import live_views
from engine.services.views import LiveView
from engine.services.world import trading_day
from engine.store import tables
from tests.stage import CALL, LOT, PUT, Stage

POINT = LOT * 100
DAY = 86_400.0
SECONDS_TO_MIDNIGHT = 13.5 * 3600
"""From the stage's 10:30 in India."""
MONDAY = date(2026, 11, 23)


def marks(stage: Stage) -> dict[tuple[int, int], tuple[date, int | None, int | None]]:
    """What stands on disk: day, mark and last known P by run and account."""
    with stage.database.read() as session:
        rows = session.exec(select(tables.DayMark)).all()
    return {(row.execution_id, row.account_id): (row.day, row.mark_paise, row.last_paise) for row in rows}


def shown(stage: Stage) -> LiveView:
    return live_views(Pass(stage.ledger, stage.clock.now()), stage.world)[1]


def call_at(stage: Stage, price: float) -> None:
    stage.price(CALL, price)
    stage.play(3.0)


def ticks(stage: Stage, call: float) -> None:
    stage.price(PUT, 120.0)
    stage.price(CALL, call)
    stage.play(1.0)


def a_minute(stage: Stage) -> None:
    stage.play(61.0, by=1.0)


def near_midnight(stage: Stage) -> None:
    stage.clock.pause(SECONDS_TO_MIDNIGHT - 300.0)
    stage.play(3.0)


def away(stage: Stage, seconds: float) -> None:
    """The engine is down for so long."""
    stage.clock.pause(seconds)
    stage.restart()


def test_p_is_written_once_a_minute_and_only_where_it_changed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2)
    stage.enter()
    call_at(stage, 160.0)
    stage.until(lambda: marks(stage).get((1, 2), (None,))[-1] == -10 * POINT, 61)
    assert marks(stage) == {(1, 1): (MONDAY, None, -10 * POINT), (1, 2): (MONDAY, None, -10 * POINT)}
    written: list[int] = []
    stage.journal.breaks = lambda changes: written.append(len(changes.day_marks))
    call_at(stage, 161.0)
    stage.play(54.0, by=1.0)
    assert sum(written) == 0
    stage.play(6.0, by=1.0)
    assert sum(written) == 2
    stage.play(180.0, by=1.0)
    assert sum(written) == 2  # P stood still


def test_never_more_than_so_many_rows_in_a_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_profit, "ROWS_A_PASS", 2)
    stage = Stage(tmp_path, accounts=3)
    stage.enter()
    written: list[int] = []
    stage.journal.breaks = lambda changes: written.append(len(changes.day_marks))
    call_at(stage, 160.0)
    a_minute(stage)
    assert sorted(count for count in written if count) == [1, 2]
    assert {last for _day, _mark, last in marks(stage).values()} == {-10 * POINT}


def test_marks_are_written_when_the_day_turns(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    near_midnight(stage)
    call_at(stage, 160.0)
    a_minute(stage)
    stage.quiet_market()
    stage.clock.pause(300.0)
    stage.play(1.0)
    assert marks(stage) == {(1, 1): (MONDAY + timedelta(days=1), -10 * POINT, None)}


@pytest.mark.parametrize("nights", [1, 3])
def test_an_engine_that_was_away_over_midnight_counts_from_what_was_last_known(tmp_path: Path, nights: int) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    call_at(stage, 160.0)
    a_minute(stage)
    away(stage, nights * DAY)
    call_at(stage, 157.0)
    assert shown(stage).profit_paise == 3 * POINT
    assert shown(stage).runs[0].profit_paise == -7 * POINT


def test_a_restart_on_the_same_day_keeps_the_mark_of_the_day_before(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    call_at(stage, 160.0)
    a_minute(stage)
    away(stage, DAY)
    call_at(stage, 157.0)
    a_minute(stage)
    away(stage, 10.0)
    call_at(stage, 158.0)
    assert shown(stage).profit_paise == 2 * POINT
    stage.play(660.0, by=5.0)
    assert marks(stage)[1, 1] == (MONDAY + timedelta(days=1), -10 * POINT, -8 * POINT)
    away(stage, 10.0)
    call_at(stage, 158.0)
    assert shown(stage).profit_paise == 2 * POINT


def test_a_day_that_was_blind_keeps_the_mark_before_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    call_at(stage, 160.0)
    a_minute(stage)
    stage.quiet_market()
    stage.play(6.0)
    for _day in range(2):
        stage.clock.pause(DAY)
        stage.play(1.0)
        assert shown(stage).profit_paise is None
    for hands in stage.hands.values():
        hands.silent.discard("quotes")
    call_at(stage, 163.0)
    assert shown(stage).profit_paise == -3 * POINT


def test_a_clock_set_back_over_midnight_begins_no_day_twice(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    call_at(stage, 160.0)
    a_minute(stage)
    stage.clock.pause(SECONDS_TO_MIDNIGHT)
    call_at(stage, 165.0)
    a_minute(stage)
    stage.quiet_market()  # what was polled is from ahead: only ticks confirm
    stage.clock.skew = timedelta(minutes=-5)
    assert trading_day(stage.clock.now()) == MONDAY
    stage.step()
    ticks(stage, 166.0)
    assert shown(stage).profit_paise == -6 * POINT
    assert trading_day(stage.clock.now()) == MONDAY
    stage.restart()
    for _ in range(4):  # the first ticks of a new engine, without quotes: they are believed after 2 s
        ticks(stage, 167.0)
        stage.step(1.0)
    ticks(stage, 167.0)
    assert shown(stage).profit_paise == -7 * POINT
    stage.clock.pause(600.0)
    ticks(stage, 168.0)
    assert shown(stage).profit_paise == -8 * POINT


def test_a_write_that_fails_is_made_up_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    call_at(stage, 160.0)
    broken: list[Any] = []

    def fails(changes: Pass) -> Exception | None:
        if changes.day_marks and not broken:
            broken.append(1)
            return RuntimeError("made to fail")
        return None

    stage.journal.breaks = fails
    a_minute(stage)
    stage.play(2.0)
    assert broken
    assert marks(stage)[1, 1][2] == -10 * POINT


def test_a_run_that_ended_today_counts_from_its_mark_and_is_forgotten_tomorrow(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    call_at(stage, 160.0)
    a_minute(stage)
    stage.clock.pause(DAY)
    call_at(stage, 155.0)
    stage.close(1)
    stage.until(lambda: stage.run(1).state == "closed", 30)
    away(stage, 5.0)
    assert shown(stage).profit_paise == 5 * POINT
    stage.clock.pause(DAY)
    stage.play(1.0)
    assert shown(stage).profit_paise == 0
    assert stage.world.day_marks.marks == {}


def test_limits_that_cannot_decide_for_want_of_a_mark_say_so_once_a_day(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    stage.command("set_limits", {"max_loss": 10.0 * LOT})
    stage.play(1.0)
    with stage.database.write() as session:
        for row in session.exec(select(tables.DayMark)).all():
            session.delete(row)
    away(stage, DAY)
    call_at(stage, 170.0)
    stage.play(120.0, by=1.0)
    told = [event for event in stage.events("blind") if event.execution_id is None]
    assert len(told) == 1
    assert told[0].knew["runs"] == [1]
    assert stage.run(1).state == "open"


def test_limits_count_from_the_mark_and_not_from_the_entry(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    call_at(stage, 160.0)
    a_minute(stage)
    away(stage, DAY)
    stage.command("set_limits", {"max_loss": 5.0 * LOT})
    call_at(stage, 164.0)
    assert stage.events("max_loss") == []
    call_at(stage, 165.0)
    assert stage.events("max_loss")[0].value_paise == -5 * POINT


# ── a clock that jumps forward over midnight ──────────────────────────────────────────────────────────────────────────


def jump(stage: Stage, hours: float) -> None:
    """The machine's clock is set forward; time itself goes on."""
    stage.clock.skew = timedelta(hours=hours)
    stage.play(2.0, by=0.5)


def back(stage: Stage, *, restart: bool = False) -> None:
    """It is set right again: the engine's own time never goes back, but that of one which is started now is right."""
    if restart:
        stage.clock.skew = timedelta(0)
        stage.restart()
        return
    wrong = stage.clock.skew
    stage.world.ahead = lambda: wrong


def day_is(stage: Stage, points: int, *, call: float) -> None:
    """P of the day comes to so many points when the call goes there."""
    stage.price(CALL, call)
    symbol = (CALL, Exchange.NFO)
    stage.until(lambda: stage.world.confirmed_price(1, stage.venue, symbol, stage.clock.now()) == call, 10)
    stage.until(lambda: shown(stage).profit_paise is not None, 10)
    assert shown(stage).profit_paise == points * POINT


def second_day(tmp_path: Path) -> Stage:
    """Tuesday, 10:30: the run made −10 on Monday and −5 since."""
    stage = Stage(tmp_path)
    stage.enter()
    call_at(stage, 160.0)
    a_minute(stage)
    stage.clock.pause(DAY)
    call_at(stage, 165.0)
    a_minute(stage)
    assert (shown(stage).profit_paise, marks(stage)[1, 1][0]) == (-5 * POINT, TUESDAY)
    return stage


def counts_anew_at_midnight(stage: Stage) -> None:
    """The real Wednesday counts from what was last known on Tuesday."""
    day_is(stage, -6, call=166.0)
    a_minute(stage)
    assert marks(stage)[1, 1] == (TUESDAY, -10 * POINT, -16 * POINT)
    stage.clock.pause(SECONDS_TO_MIDNIGHT)
    day_is(stage, -1, call=167.0)
    a_minute(stage)
    assert marks(stage)[1, 1] == (TUESDAY + timedelta(days=1), -16 * POINT, -17 * POINT)


TUESDAY = MONDAY + timedelta(days=1)


@pytest.mark.parametrize(
    ("hours", "restarts"), [(24.0, "never"), (96.0, "never"), (24.0, "while it is ahead"), (24.0, "after it")]
)
def test_a_clock_that_jumps_over_midnight_and_back_counts_no_day_anew(
    tmp_path: Path, hours: float, restarts: str
) -> None:
    stage = second_day(tmp_path)
    jump(stage, hours)
    if restarts == "while it is ahead":
        stage.restart()
        call_at(stage, 165.0)
    else:
        day_is(stage, -5, call=165.0)
    a_minute(stage)
    assert marks(stage)[1, 1] == (TUESDAY, -10 * POINT, -15 * POINT)
    back(stage, restart=restarts == "after it")
    counts_anew_at_midnight(stage)


def test_a_clock_that_goes_back_after_it_was_believed_counts_the_day_that_it_was(tmp_path: Path) -> None:
    stage = second_day(tmp_path)
    jump(stage, 24.0)
    stage.play(1_300.0, by=4.0)
    assert marks(stage)[1, 1][0] == TUESDAY + timedelta(days=1)
    back(stage)
    counts_anew_at_midnight(stage)


def test_a_clock_that_stays_ahead_is_believed_after_ten_minutes(tmp_path: Path) -> None:
    stage = second_day(tmp_path)
    jump(stage, 24.0)
    stage.play(580.0, by=4.0)
    day_is(stage, -6, call=166.0)
    stage.play(20.0, by=1.0)
    day_is(stage, -2, call=168.0)


def test_a_jump_re_arms_no_limit_of_the_day_and_ends_no_halt(tmp_path: Path) -> None:
    stage = second_day(tmp_path)
    stage.command("set_limits", {"max_loss": 10.0 * LOT})
    call_at(stage, 171.0)
    stage.until(lambda: stage.run(1).state == "closed", 60)
    jump(stage, 24.0)
    stage.arm()
    command = stage.execute()
    stage.play(1.0)
    assert stage.answer(command).state == "refused"
    assert "halted" in stage.answer(command).outcome["message"]
    back(stage, restart=True)
    stage.clock.pause(DAY)
    stage.play(2.0)
    stage.enter()


def test_a_halt_in_a_jump_ends_on_the_next_true_day_and_is_shown_as_long_as_it_holds(tmp_path: Path) -> None:
    stage = second_day(tmp_path)
    stage.command("set_limits", {"max_loss": 10.0 * LOT})
    stage.play(1.0)
    jump(stage, 24.0)
    call_at(stage, 171.0)
    stage.until(lambda: stage.run(1).state == "closed", 60.0)
    (limits,) = stage.ledger.limits.values()
    assert (limits.latched_day, limits.halted_until) == (TUESDAY, TUESDAY + timedelta(days=1))
    assert shown(stage).day_limits[0].halted
    back(stage, restart=True)
    stage.arm()
    assert _refused(stage)
    stage.clock.pause(DAY)
    stage.play(2.0)
    stage.arm()
    assert not _refused(stage)


def _refused(stage: Stage) -> bool:
    asked = stage.execute()
    stage.play(2.0)
    return str(stage.answer(asked).state) == "refused"
