"""P of the day across midnight in India: ended runs do not count, open ones count from their mark (RULES 6)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sqlmodel import select

from engine.services.ledger import Pass
from engine.services.showing import live_views
from engine.services.views import LiveView
from engine.services.world import trading_day
from engine.store import tables
from tests.stage import CALL, LOT, Stage

SECONDS_TO_MIDNIGHT = 13.5 * 3600
OWNER = 1


def evening(folder: Path, *, accounts: int = 2) -> Stage:
    """A stage ten minutes before midnight in India."""
    stage = Stage(folder, accounts=accounts)
    stage.clock.pause(SECONDS_TO_MIDNIGHT - 600)
    return stage


def past_midnight(stage: Stage) -> None:
    before = trading_day(stage.clock.now())
    stage.clock.pause(600)
    stage.play(2.0)  # quotes asked for at the old price have come
    assert trading_day(stage.clock.now()) == before + timedelta(days=1)


def shown(stage: Stage) -> LiveView:
    return live_views(Pass(stage.ledger, stage.clock.now()), stage.world)[OWNER]


def columns(view: LiveView) -> list[int | None]:
    return [account.profit_paise for account in view.accounts]


def priced(stage: Stage, call: float) -> LiveView:
    """The call at a price that is confirmed, and what is shown then."""
    stage.price(CALL, call)
    stage.step()
    stage.until(lambda: all(run.profit_paise is not None for run in shown(stage).runs))
    return shown(stage)


def closed(stage: Stage, run: int) -> None:
    stage.close(run)
    stage.until(lambda: stage.run(run).state == "closed", 60)


def test_a_run_that_ended_yesterday_is_in_no_column_of_today(tmp_path: Path) -> None:
    stage = evening(tmp_path)
    run = stage.enter()
    priced(stage, 160.0)
    closed(stage, run)
    view = shown(stage)
    assert (columns(view), view.profit_paise) == ([-10 * LOT * 100] * 2, -20 * LOT * 100)
    past_midnight(stage)
    view = shown(stage)
    assert (columns(view), view.profit_paise) == ([0, 0], 0)
    assert [run.id for run in view.ended_runs] == [run]  # still listed below, with its own P


def test_an_open_run_counts_from_its_last_mark_before_midnight(tmp_path: Path) -> None:
    stage = evening(tmp_path)
    run = stage.enter()
    assert columns(priced(stage, 160.0)) == [-10 * LOT * 100] * 2
    past_midnight(stage)
    view = priced(stage, 157.0)
    assert (columns(view), view.profit_paise) == ([3 * LOT * 100] * 2, 6 * LOT * 100)
    assert view.runs[0].profit_paise == -14 * LOT * 100  # the run's own P goes on
    closed(stage, run)
    view = shown(stage)
    assert (columns(view), view.profit_paise) == ([3 * LOT * 100] * 2, 6 * LOT * 100)


def test_a_run_begun_today_counts_from_zero(tmp_path: Path) -> None:
    stage = evening(tmp_path)
    past_midnight(stage)
    stage.enter()
    view = priced(stage, 155.0)
    assert (columns(view), view.profit_paise) == ([-5 * LOT * 100] * 2, -10 * LOT * 100)


def test_marks_of_the_evening_reach_the_engine_of_the_morning(tmp_path: Path) -> None:
    stage = evening(tmp_path, accounts=1)
    stage.enter()
    priced(stage, 160.0)
    stage.play(60, by=1.0)  # P is written once a minute
    stage.restart()
    past_midnight(stage)
    stage.arm()
    assert columns(priced(stage, 158.0)) == [2 * LOT * 100]


def test_an_open_run_that_was_never_confirmed_has_no_figure_of_the_day(tmp_path: Path) -> None:
    stage = evening(tmp_path, accounts=1)
    stage.enter()
    forget_marks(stage)
    stage.restart()
    past_midnight(stage)
    stage.arm()
    view = priced(stage, 158.0)
    assert (columns(view), view.profit_paise) == ([None], None)


def forget_marks(stage: Stage) -> None:
    """As if no P of any run had ever been confirmed before the engine died."""
    with stage.database.write() as session:
        for row in session.exec(select(tables.DayMark)).all():
            session.delete(row)
