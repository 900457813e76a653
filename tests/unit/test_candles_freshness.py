"""Which source gives the bar that just closed, and when the broker is asked."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.candle_freshness import CandleStep, Cover, HistoryState, advise, cover_of
from engine.domain.candles import Bar, BarSource, ClosedBar
from engine.domain.intervals import BarWindow

CLOSE = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
WINDOW = BarWindow(CLOSE - timedelta(minutes=5), CLOSE)
NOTHING = HistoryState()


def after(seconds: float) -> datetime:
    return CLOSE + timedelta(seconds=seconds)


def answered(cover: Cover, *, begun: float, asked: float | None = None, asking: bool = False) -> HistoryState:
    return HistoryState(cover, after(begun), after(begun if asked is None else asked), asking)


@pytest.mark.parametrize("seconds", [0, 1, 1.999])
def test_nothing_is_decided_in_the_first_two_seconds(seconds):
    early = answered(Cover.WHOLE, begun=0.5)
    advice = advise(WINDOW, after(seconds), early, Cover.WHOLE)
    assert (advice.step, advice.again_at) == (CandleStep.WAIT, after(2))


def test_history_is_asked_for_two_seconds_after_the_close():
    assert advise(WINDOW, after(2), NOTHING, Cover.WHOLE).step is CandleStep.ASK_HISTORY


def test_an_answer_to_a_request_begun_too_early_does_not_count():
    early = answered(Cover.WHOLE, begun=1.9)
    assert advise(WINDOW, after(2), early, Cover.WHOLE).step is CandleStep.ASK_HISTORY
    assert advise(WINDOW, after(2.5), answered(Cover.WHOLE, begun=2), Cover.NONE).step is CandleStep.USE_HISTORY


def test_the_broker_is_asked_again_every_three_seconds_and_not_twice_at_once():
    silent = answered(Cover.SILENT, begun=2)
    waiting = advise(WINDOW, after(4), silent, Cover.WHOLE)
    assert (waiting.step, waiting.again_at) == (CandleStep.WAIT, after(5))
    assert advise(WINDOW, after(5), silent, Cover.WHOLE).step is CandleStep.ASK_HISTORY
    busy = HistoryState(asked_at=after(2), asking=True)
    advice = advise(WINDOW, after(9), busy, Cover.WHOLE)
    assert (advice.step, advice.again_at) == (CandleStep.WAIT, after(22))


def test_history_is_used_as_soon_as_it_has_the_whole_bar():
    for seconds in (2, 10, 21.9, 22, 500, 5000):
        advice = advise(WINDOW, after(seconds), answered(Cover.WHOLE, begun=2), Cover.WHOLE)
        assert advice.step is CandleStep.USE_HISTORY


def test_own_ticks_are_used_after_twenty_seconds_and_it_is_said():
    silent = answered(Cover.SILENT, begun=20)
    assert advise(WINDOW, after(21.999), silent, Cover.WHOLE).step is not CandleStep.USE_TICKS
    advice = advise(WINDOW, after(22), silent, Cover.WHOLE)
    assert advice.step is CandleStep.USE_TICKS
    assert "own ticks" in advice.reason
    assert not advice.overdue


def test_own_ticks_are_used_although_a_request_still_hangs():
    assert (
        advise(WINDOW, after(22), HistoryState(asked_at=after(2), asking=True), Cover.WHOLE).step
        is CandleStep.USE_TICKS
    )


def test_a_request_of_a_clock_since_set_back_counts_for_nothing():
    ahead = answered(Cover.WHOLE, begun=3600)
    assert advise(WINDOW, after(2), ahead, Cover.WHOLE).step is CandleStep.ASK_HISTORY
    assert advise(WINDOW, after(22), ahead, Cover.WHOLE).step is CandleStep.USE_TICKS
    advice = advise(WINDOW, after(30), answered(Cover.SILENT, begun=3600), Cover.SILENT)
    assert (advice.step, advice.overdue) == (CandleStep.ASK_HISTORY, True)


def test_a_request_that_hangs_for_good_is_looked_at_again_when_the_bar_is_given_up():
    hanging = HistoryState(asked_at=after(30), asking=True)
    advice = advise(WINDOW, after(60), hanging, Cover.NONE)
    assert (advice.step, advice.again_at, advice.overdue) == (CandleStep.WAIT, after(600), True)
    assert advise(WINDOW, after(600), hanging, Cover.NONE).step is CandleStep.NO_BAR


def test_a_bar_with_minutes_missing_is_asked_for_again_and_is_the_last_resort():
    partial = answered(Cover.PARTIAL, begun=2)
    assert advise(WINDOW, after(5), partial, Cover.NONE).step is CandleStep.ASK_HISTORY
    assert advise(WINDOW, after(22), partial, Cover.WHOLE).step is CandleStep.USE_TICKS
    advice = advise(WINDOW, after(22), partial, Cover.PARTIAL)
    assert advice.step is CandleStep.USE_HISTORY
    assert "missing" in advice.reason


def test_there_was_no_trade_only_if_both_sources_looked_and_were_silent():
    assert advise(WINDOW, after(22), answered(Cover.SILENT, begun=20), Cover.SILENT).step is CandleStep.NO_BAR
    failed = advise(WINDOW, after(22), HistoryState(asked_at=after(20)), Cover.SILENT)
    assert (failed.step, failed.overdue, failed.again_at) == (CandleStep.WAIT, True, after(35))
    unwatched = advise(WINDOW, after(22), answered(Cover.SILENT, begun=5), Cover.NONE)
    assert (unwatched.step, unwatched.overdue) == (CandleStep.ASK_HISTORY, True)


def test_a_bar_of_which_our_ticks_saw_a_part_is_never_used():
    for seconds in (22, 60, 599):
        advice = advise(WINDOW, after(seconds), NOTHING, Cover.PARTIAL)
        assert (advice.step, advice.overdue) == (CandleStep.ASK_HISTORY, True)


def test_a_bar_that_nobody_has_is_given_up_in_the_end():
    assert advise(WINDOW, after(599), NOTHING, Cover.NONE).step is CandleStep.ASK_HISTORY
    advice = advise(WINDOW, after(600), NOTHING, Cover.NONE)
    assert (advice.step, advice.overdue, advice.again_at) == (CandleStep.NO_BAR, True, None)
    assert "given up" in advice.reason


def test_what_a_source_has_of_a_window():
    def bar(minutes: int, *, whole: bool = True) -> ClosedBar:
        return ClosedBar(Bar(WINDOW.start + timedelta(minutes=minutes), 1.0, 1.0, 1.0, 1.0), BarSource.TICKS, whole)

    assert cover_of(WINDOW, [bar(-5), bar(0), bar(5)], looked=True) is Cover.WHOLE
    assert cover_of(WINDOW, [bar(0, whole=False)], looked=True) is Cover.PARTIAL
    assert cover_of(WINDOW, [bar(-5), bar(5)], looked=True) is Cover.SILENT
    assert cover_of(WINDOW, [bar(-5)], looked=False) is Cover.NONE
    assert cover_of(WINDOW, [], looked=False) is Cover.NONE


moments = st.none() | st.floats(-30, 700).map(after)


@settings(deadline=None, max_examples=300)
@given(
    seconds=st.floats(0, 700),
    state=st.builds(
        HistoryState, cover=st.sampled_from(Cover), begun_at=moments, asked_at=moments, asking=st.booleans()
    ),
    ticks=st.sampled_from(Cover),
)
def test_each_source_is_used_only_in_its_time(seconds, state, ticks):
    now = after(seconds)
    advice = advise(WINDOW, now, state, ticks)
    fresh = state.begun_at is not None and after(2) <= state.begun_at <= now
    match advice.step:
        case CandleStep.USE_HISTORY:
            assert fresh
            assert now >= after(2)
            assert state.cover is Cover.WHOLE or (state.cover is Cover.PARTIAL and now >= after(22))
        case CandleStep.USE_TICKS:
            assert now >= after(22)
            assert ticks is Cover.WHOLE
        case CandleStep.ASK_HISTORY:
            assert now >= after(2)
            assert not state.asking
        case CandleStep.NO_BAR:
            assert now >= after(22)
        case CandleStep.WAIT:
            assert advice.again_at is not None
            assert now < advice.again_at <= after(600)
    assert advice.reason
