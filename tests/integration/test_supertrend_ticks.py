"""Which ticks become bars of one's own: what is doubted waits outside, and enters at its own time once believed (7)."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.domain.instruments import Exchange
from engine.services import own_bars
from engine.services.ledger import Pass
from engine.services.risk_views import BarView
from engine.services.series_views import changed_series
from tests.integration.supertrend_tape import Tape, begin, exits, minute, play_until, supertrend_stage, view
from tests.stage import CALL, PUT, Stage

SECOND = timedelta(seconds=1)
NEVER = timedelta(minutes=9)
ABSURD = [1_500.0, 0.05]
NO_PRICES = [0.0, -150.0, math.nan, math.inf]
LATE = minute(2) + 30 * SECOND
"""By then the bar of minute 1 is decided on: history had its 20 s."""


def ticks_alone(stage: Stage, tape: Tape) -> int:
    """Enter a run, go to minute 1 without a fault, and have no history from here on."""
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(1), by=1.0)
    tape.late = NEVER
    return run_id


def tell(stage: Stage, price: float, symbol: str = CALL, *, at: datetime | None = None) -> None:
    """One tick, while quotes say what they said before."""
    now = stage.clock.now()
    stage.inbox.price(stage.market, (symbol, Exchange.NFO), price, now, at or now)


def go_on(stage: Stage, tape: Tape, until: datetime, *, without: Collection[str] = ()) -> None:
    """Let time go to an instant; symbols ``without`` ticks are quiet, quotes say what the tape says, NIFTY moves."""
    while stage.clock.now() < until:
        stage.step(min(1.0, max(0.05, (until - stage.clock.now()).total_seconds())))
        tick_all(stage, tape, without=without)


def tick_all(stage: Stage, tape: Tape, *, without: Collection[str] = ()) -> None:
    """A tick of every symbol but those ``without``, traded now."""
    now = stage.clock.now()
    for hands in stage.hands.values():
        hands.broker.price.update({symbol: tape.price(symbol, now) for symbol in (CALL, PUT)})
    for symbol in {CALL, PUT}.difference(without):
        tell(stage, tape.price(symbol, now), symbol)
    moved = 26_000.0 + now.timestamp() % 7
    stage.inbox.price(stage.market, ("NIFTY", Exchange.NSE_INDEX), moved, now, now)


def chart(stage: Stage) -> list[BarView]:
    """The closed bars with line and direction, as a page draws them."""
    views = changed_series(Pass(stage.ledger, stage.clock.now()), stage.world)
    return [bar for _owner, shown in views for bar in shown.bars if bar.closed]


def bar_of(stage: Stage, start: datetime) -> tuple[float, float, float]:
    """High, low and close of a closed bar."""
    (bar,) = [bar for bar in chart(stage) if bar.start == start]
    return bar.high, bar.low, bar.close


def undisturbed(folder: Path, *, without: Collection[str] = (), **draft: Any) -> list[BarView]:
    """The chart that own ticks alone make without any absurd one."""
    folder.mkdir()
    stage = supertrend_stage(folder, **draft)
    tape = Tape(stage)
    ticks_alone(stage, tape)
    go_on(stage, tape, minute(1) + 20 * SECOND, without=without)
    go_on(stage, tape, LATE)
    return chart(stage)


@pytest.mark.parametrize("absurd", [[1_500.0], [0.05], [1_500.0] * 3, [0.05, 1_500.0], NO_PRICES])
def test_absurd_ticks_amid_others_leave_bar_and_line_as_they_are(tmp_path: Path, absurd: list[float]) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage)
    ticks_alone(stage, tape)
    go_on(stage, tape, minute(1) + 20 * SECOND)
    for price in absurd:
        tell(stage, price)
    go_on(stage, tape, LATE)
    assert exits(stage) == []
    assert bar_of(stage, minute(1)) == (150.0, 150.0, 150.0)
    assert chart(stage) == undisturbed(tmp_path / "calm")


def test_an_absurd_tick_after_which_none_comes_is_refused_by_quotes(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage)
    ticks_alone(stage, tape)
    go_on(stage, tape, minute(1) + 20 * SECOND)
    tell(stage, 1_500.0)
    go_on(stage, tape, LATE, without=[CALL])
    assert exits(stage) == []
    assert bar_of(stage, minute(1)) == (150.0, 150.0, 150.0)


def test_what_is_no_price_at_all_is_not_waited_for(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage)
    ticks_alone(stage, tape)
    stage.quiet_market()
    go_on(stage, tape, minute(2) - SECOND)
    for price in NO_PRICES:
        stage.step(0.1)
        tell(stage, price)
    go_on(stage, tape, LATE, without=[CALL])
    assert bar_of(stage, minute(1)) == (150.0, 150.0, 150.0)


@pytest.mark.parametrize("absurd", ABSURD)
def test_an_absurd_first_tick_of_a_window_leaves_bar_and_line_as_they_are(tmp_path: Path, absurd: float) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage)
    ticks_alone(stage, tape)
    go_on(stage, tape, minute(1) + 0.2 * SECOND, without=[CALL])
    tell(stage, absurd)
    go_on(stage, tape, minute(1) + 20 * SECOND, without=[CALL])
    go_on(stage, tape, LATE)
    assert exits(stage) == []
    assert chart(stage) == undisturbed(tmp_path / "calm", without=[CALL])


@pytest.mark.parametrize("absurd", ABSURD)
def test_the_first_tick_ever_is_judged_by_the_quotes_before_it(tmp_path: Path, absurd: float) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage)
    begin(stage, tape)
    go_on(stage, tape, minute(1), without=[CALL])
    tape.late = NEVER
    go_on(stage, tape, minute(1) + 20 * SECOND, without=[CALL])
    tell(stage, absurd)
    go_on(stage, tape, minute(2) + SECOND, without=[CALL])
    tell(stage, 150.0)
    go_on(stage, tape, LATE, without=[CALL])
    assert exits(stage) == []
    assert {(bar.high, bar.low, bar.close) for bar in chart(stage)} == {(151.0, 149.0, 150.0)}, "history's bars alone"
    go_on(stage, tape, minute(3) + 30 * SECOND, without=[CALL])
    assert bar_of(stage, minute(2)) == (150.0, 150.0, 150.0)


@pytest.mark.parametrize("absurd", ABSURD)
def test_an_absurd_tick_after_a_restart_that_knows_no_price_yet_enters_no_bar(tmp_path: Path, absurd: float) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage)
    begin(stage, tape)
    play_until(stage, tape, minute(1) - SECOND, by=1.0)
    stage.restart()
    tape.install()
    stage.quiet_market()
    stage.play(0.3)
    stage.feed(1, up=True)
    stage.play(0.3)
    go_on(stage, tape, minute(1) + 10 * SECOND, without=[CALL])
    tell(stage, absurd)
    go_on(stage, tape, minute(1) + 20 * SECOND, without=[CALL])
    tape.late = NEVER
    go_on(stage, tape, LATE)
    assert exits(stage) == []
    assert bar_of(stage, minute(1)) == (150.0, 150.0, 150.0)


def test_absurd_ticks_of_one_feed_beside_another_feed_enter_no_bar(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage)
    ticks_alone(stage, tape)
    while stage.clock.now() < minute(2) + 10 * SECOND:
        tell(stage, 1_500.0)
        stage.step(0.5)
        tick_all(stage, tape)
        stage.step(0.5)
    go_on(stage, tape, LATE)
    assert exits(stage) == []
    assert bar_of(stage, minute(1)) == (150.0, 150.0, 150.0)


def test_an_absurd_tick_of_one_leg_leaves_the_combined_premium_as_it_is(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, series="combined")
    tape = Tape(stage)
    ticks_alone(stage, tape)
    go_on(stage, tape, minute(1) + 20 * SECOND)
    tell(stage, 1_500.0, PUT)
    go_on(stage, tape, LATE)
    assert exits(stage) == []
    assert chart(stage) == undisturbed(tmp_path / "calm", series="combined")


def test_a_jump_in_the_last_second_that_ticks_confirm_counts_in_its_own_bar(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(2) - SECOND, 150.0)]})
    ticks_alone(stage, tape)
    stage.quiet_market()
    go_on(stage, tape, minute(2) - 1.2 * SECOND)
    go_on(stage, tape, minute(2) - 0.5 * SECOND)
    go_on(stage, tape, LATE)
    assert bar_of(stage, minute(1)) == (300.0, 150.0, 300.0)
    assert "built of own ticks" in exits(stage)[0][1]
    assert "10:31 IST" in exits(stage)[0][1], "not the minute in which it was believed"
    assert stage.broker().net == {}


def test_a_jump_that_a_quote_confirms_counts_with_its_extremes(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(1) + 30 * SECOND, 150.0)]})
    ticks_alone(stage, tape)
    go_on(stage, tape, minute(1) + 29.9 * SECOND)
    stage.step(0.2)
    for price in (310.0, 295.0, 300.0):  # the first of them is the high: it came before anybody agreed
        tell(stage, price)
        stage.step(0.01)
    go_on(stage, tape, LATE)
    assert bar_of(stage, minute(1)) == (310.0, 150.0, 300.0)


def test_a_single_tick_that_a_quote_confirms_counts_although_no_other_comes(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(1) + 30 * SECOND, 150.0)]})
    ticks_alone(stage, tape)
    go_on(stage, tape, minute(1) + 29.9 * SECOND)
    go_on(stage, tape, minute(1) + 31 * SECOND)
    go_on(stage, tape, LATE, without=[CALL])
    assert bar_of(stage, minute(1)) == (300.0, 150.0, 300.0)
    assert "10:31 IST" in exits(stage)[0][1]


def test_a_replayed_tick_of_before_a_jump_refuses_it_not(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(1) + 30 * SECOND, 150.0)]})
    ticks_alone(stage, tape)
    stage.quiet_market()
    go_on(stage, tape, minute(1) + 29.9 * SECOND)
    stage.step(0.2)
    tell(stage, 310.0)
    for traded in (minute(1) + 10 * SECOND, minute(-1)):
        stage.step(0.2)
        tell(stage, 150.0, at=traded)
    go_on(stage, tape, LATE)
    assert bar_of(stage, minute(1)) == (310.0, 150.0, 300.0)


def test_a_jump_believed_after_its_bar_closed_leaves_the_bar_to_history(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage)
    run_id = ticks_alone(stage, tape)
    go_on(stage, tape, minute(2) - SECOND)
    while stage.clock.now() < LATE:  # quotes lag: 5 s of ticks are needed
        stage.step(0.25)
        tick_all(stage, tape, without=[CALL])
        tell(stage, 300.0)
    assert exits(stage) == [], "the own bar lacks what was told in its last second"
    assert "neither history nor our ticks have the whole bar" in view(stage, run_id).note
    assert [bar for bar in chart(stage) if bar.start == minute(1)] == []
    tape.jumps[CALL] = [(minute(1), 150.0)]
    tape.late = timedelta(0)
    stage.until(lambda: exits(stage), 20.0)
    assert "10:31 IST" in exits(stage)[0][1]
    assert "own ticks" not in exits(stage)[0][1]


def test_a_window_whose_only_tick_is_in_doubt_at_its_end_is_not_taken_for_silent(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage)
    run_id = begin(stage, tape)
    tape.lacks = {(CALL, minute(1))}
    go_on(stage, tape, minute(2) - SECOND, without=[CALL])
    stage.quiet_market()
    tell(stage, 300.0)
    go_on(stage, tape, LATE, without=[CALL])
    assert "neither history nor our ticks have the whole bar" in view(stage, run_id).note
    assert chart(stage)[-1].start == minute(0)


def test_more_doubted_ticks_than_are_kept_leave_the_bar_to_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_bars, "DOUBTED_KEPT", 5)
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage)
    ticks_alone(stage, tape)
    go_on(stage, tape, minute(1) + 20 * SECOND)
    for _ in range(6):
        tell(stage, 1_500.0)
    go_on(stage, tape, LATE)
    assert [bar for bar in chart(stage) if bar.start == minute(1)] == []
    go_on(stage, tape, minute(3) + 30 * SECOND)
    assert bar_of(stage, minute(2)) == (150.0, 150.0, 150.0)
