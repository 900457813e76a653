"""Rows of a broker's history: what becomes a closed bar, what is refused, how minutes become longer bars."""

import json
import math
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.calendar import INDIA, IST
from engine.domain.candles import Bar, BarSource, ClosedBar, arrays, bars_needed, fault, is_warming, merged
from engine.domain.errors import CandleError
from engine.domain.history_bars import RowProblem, closed_bars, history_interval, missing_windows, resample
from engine.domain.instruments import Exchange
from engine.domain.intervals import BarGrid, Interval
from engine.domain.tick_bars import TickBars

NFO = Exchange.NFO
RECORDED = Path(__file__).parents[1] / "contract" / "recorded" / "rest"
MONDAY = date(2026, 11, 23)
ONE, FIVE, FIFTEEN = (BarGrid(interval, INDIA, NFO) for interval in (Interval.M1, Interval.M5, Interval.M15))


def at(hour: int, minute: int, second: float = 0, day: date = MONDAY) -> datetime:
    return datetime.combine(day, time(hour, minute), IST) + timedelta(seconds=second)


EVENING = at(18, 0)


def row(start: datetime, close: float = 100.0, **figures: float) -> Bar:
    return replace(Bar(start, 100.0, max(100.0, close) + 1, min(100.0, close) - 1, close, 10, 6500), **figures)


def history(*bars: Bar) -> tuple[ClosedBar, ...]:
    return tuple(ClosedBar(bar, BarSource.HISTORY) for bar in bars)


def ticks(*bars: Bar, whole: bool = True) -> tuple[ClosedBar, ...]:
    return tuple(ClosedBar(bar, BarSource.TICKS, whole) for bar in bars)


def minutes(first: datetime, count: int) -> list[Bar]:
    return [row(first + timedelta(minutes=number), 100.0 + number % 7) for number in range(count)]


def test_the_bar_still_open_is_not_among_the_closed_ones():
    rows = [row(at(10, 0)), row(at(10, 5)), row(at(10, 10))]
    seen = closed_bars(rows, FIVE, at(10, 14, 59.9))
    assert [closed.bar for closed in seen.closed] == rows[:2]
    assert seen.forming == rows[2]
    assert closed_bars(rows, FIVE, at(10, 15, 2)).closed[-1].bar == rows[2]
    assert closed_bars(rows, FIVE, at(10, 15, 2)).forming is None


def test_a_bar_may_still_change_until_two_seconds_after_its_close_and_is_not_closed_before():
    rows = [row(at(10, 5)), row(at(10, 10)), row(at(10, 0))]
    for asked_at in (at(10, 10), at(10, 10, 1.999)):
        seen = closed_bars(rows, FIVE, asked_at)
        assert [closed.bar.start for closed in seen.closed] == [at(10, 0)]
        assert seen.forming == rows[1]
    stamped = closed_bars([row(at(10, 9, 58))], FIVE, at(10, 10, 1))
    assert (stamped.closed, stamped.misaligned) == ((), False)


def test_a_short_last_bar_is_closed_when_its_session_is():
    rows = [row(at(15, 15)), row(at(15, 30))]
    assert len(closed_bars(rows, FIFTEEN, at(15, 39)).closed) == 1
    assert len(closed_bars(rows, FIFTEEN, at(15, 40, 2)).closed) == 2


def test_rows_come_out_in_order_in_utc_and_with_their_source():
    seen = closed_bars([row(at(10, 5)), row(at(9, 15)), row(at(10, 0))], FIVE, EVENING)
    assert [closed.bar.start for closed in seen.closed] == [at(9, 15), at(10, 0), at(10, 5)]
    assert all(closed.bar.start.tzinfo is UTC and closed.source is BarSource.HISTORY for closed in seen.closed)
    assert all(closed.whole for closed in seen.closed)
    assert seen.refused == ()


def test_of_two_rows_with_one_start_the_later_is_used_and_the_other_reported():
    first, second = row(at(10, 0), 101.0), row(at(10, 0), 102.0)
    seen = closed_bars([first, row(at(10, 5)), second], FIVE, EVENING)
    assert [closed.bar.close for closed in seen.closed] == [102.0, 100.0]
    assert [(refused.row, refused.problem) for refused in seen.refused] == [(first, RowProblem.REPEATED)]


def test_a_row_that_comes_twice_with_the_same_figures_is_one_row():
    seen = closed_bars([row(at(10, 0)), row(at(10, 0))], FIVE, EVENING)
    assert (len(seen.closed), seen.refused) == (1, ())


def test_nonsense_that_comes_later_does_not_replace_a_good_row():
    seen = closed_bars([row(at(10, 0)), row(at(10, 0), high=math.nan)], FIVE, EVENING)
    assert [closed.bar for closed in seen.closed] == [row(at(10, 0))]
    assert [refused.problem for refused in seen.refused] == [RowProblem.NONSENSE]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"high": 90.0, "low": 95.0, "open": 92.0, "close": 92.0}, "high"),
        ({"high": math.nan}, "high"),
        ({"low": math.inf}, "low"),
        ({"close": 0.0}, "close"),
        ({"low": 0.0}, "low"),
        ({"open": -5.0}, "open"),
        ({"open": 150.0}, "open"),
        ({"close": 50.0}, "close"),
        ({"volume": -1}, "volume"),
        ({"open_interest": -1}, "open_interest"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused_by_itself_and_names_the_field(wrong, field):
    bad = replace(row(at(10, 0)), **wrong)
    seen = closed_bars([row(at(9, 55)), bad, row(at(10, 5))], FIVE, EVENING)
    assert [closed.bar.start for closed in seen.closed] == [at(9, 55), at(10, 5)]
    (refused,) = seen.refused
    assert refused.problem is RowProblem.NONSENSE
    assert refused.reason.startswith(f"{field}:")
    assert fault(row(at(10, 0))) is None


@pytest.mark.parametrize("start", [at(9, 7), at(15, 40), at(10, 0, day=date(2026, 11, 22))])
def test_rows_outside_sessions_are_refused(start):
    seen = closed_bars([row(start), row(at(10, 0))], FIVE, EVENING)
    assert [refused.problem for refused in seen.refused] == [RowProblem.OUTSIDE]
    assert len(seen.closed) == 1
    assert not seen.misaligned


def test_bars_counted_from_midnight_are_refused_and_the_answer_is_called_misaligned():
    hourly = BarGrid(Interval.H1, INDIA, NFO)
    seen = closed_bars([row(at(hour, 0)) for hour in range(9, 16)], hourly, EVENING)
    assert seen.closed == ()
    assert seen.misaligned
    assert {refused.problem for refused in seen.refused} == {RowProblem.OUTSIDE, RowProblem.OFF_GRID}


def test_the_forming_bar_may_be_stamped_with_its_last_trade():
    stamp = at(10, 7, 31).astimezone(UTC)
    seen = closed_bars([row(at(10, 0)), row(stamp)], FIVE, at(10, 8))
    assert seen.forming == row(at(10, 5))
    assert len(seen.closed) == 1
    assert not seen.misaligned


@pytest.mark.parametrize("name", ["history.success-1m", "history.success-5m-option"])
def test_recorded_answers_of_the_server_lie_on_the_grid(name):
    answer = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    rows = [
        Bar(
            datetime.fromtimestamp(one["timestamp"], UTC),
            *(one[field] for field in ("open", "high", "low", "close", "volume", "oi")),
        )
        for one in answer["response"]["data"]
    ]
    grid = BarGrid(Interval(answer["request"]["interval"]), INDIA, Exchange(answer["request"]["exchange"]))
    seen = closed_bars(rows, grid, EVENING)
    assert [closed.bar for closed in seen.closed] == rows
    assert seen.refused == ()
    assert seen.closed[0].bar.start == at(9, 15, day=date(2026, 11, 20))


def test_rows_of_the_future_and_of_unknown_years_are_refused():
    seen = closed_bars([row(at(10, 10)), row(datetime(1970, 1, 1, tzinfo=UTC)), row(at(10, 0))], FIVE, at(10, 6))
    assert [refused.problem for refused in seen.refused] == [RowProblem.AHEAD, RowProblem.UNKNOWN_DAY]
    assert len(seen.closed) == 1
    assert seen.forming is None


def test_a_row_without_time_zone_is_a_mistake_of_ours():
    with pytest.raises(CandleError, match="time zone"):
        closed_bars([row(datetime(2026, 11, 23, 10, 0))], FIVE, EVENING)  # noqa: DTZ001


def test_an_interval_the_broker_lacks_is_built_from_minutes():
    assert history_interval(Interval.M5, ["1m", "5m"]) is Interval.M5
    assert history_interval(Interval.H1, ["1m", "60m"]) is Interval.M1
    with pytest.raises(CandleError, match="10m"):
        history_interval(Interval.M10, ["5m", "D"])


def test_five_minutes_become_one_bar():
    bars = [
        Bar(at(10, 0), 100.0, 103.0, 99.0, 102.0, 10, 500),
        Bar(at(10, 1), 102.0, 108.0, 101.0, 104.0, 20, 520),
        Bar(at(10, 2), 104.0, 105.0, 96.0, 97.0, 30, 540),
        Bar(at(10, 3), 97.0, 98.0, 96.5, 98.0, 40, 560),
        Bar(at(10, 4), 98.0, 99.0, 97.0, 98.5, 50, 580),
    ]
    built = resample(history(*reversed(bars)), FIVE, at(10, 5))
    assert built == (ClosedBar(Bar(at(10, 0), 100.0, 108.0, 96.0, 98.5, 150, 580), BarSource.HISTORY, whole=True),)
    assert resample(history(*bars), FIVE, at(10, 4, 59)) == ()


def test_a_window_with_a_minute_missing_is_kept_and_marked():
    bars = minutes(at(10, 0), 15)
    del bars[7]
    built = resample(history(*bars), FIVE, EVENING)
    assert [(closed.bar.start, closed.whole) for closed in built] == [
        (at(10, 0), True),
        (at(10, 5), False),
        (at(10, 10), True),
    ]


def test_a_window_without_any_minute_has_no_bar_and_is_told_missing():
    bars = minutes(at(10, 0), 5) + minutes(at(10, 10), 5)
    built = resample(history(*bars), FIVE, at(10, 15))
    assert [closed.bar.start for closed in built] == [at(10, 0), at(10, 10)]
    assert [window.start for window in missing_windows(built, FIVE, at(10, 24))] == [at(10, 5), at(10, 15)]
    assert missing_windows((), FIVE, EVENING) == ()


def test_missing_windows_are_looked_for_over_days():
    built = history(row(at(15, 35, day=date(2026, 11, 20))), row(at(9, 20)))
    assert [window.start for window in missing_windows(built, FIVE, at(9, 25))] == [at(9, 15)]
    last_day = history(row(at(15, 30, day=date(2026, 12, 31))))
    late = at(18, 0, day=date(2026, 12, 31))
    assert [window.start for window in missing_windows(last_day, FIVE, late)] == [at(15, 35, day=date(2026, 12, 31))]


def test_the_short_last_bar_of_a_session_is_whole_with_its_own_minutes():
    built = resample(history(*minutes(at(9, 15), 385)), FIFTEEN, EVENING)
    assert len(built) == 26
    assert built[-1].bar.start == at(15, 30)
    assert all(closed.whole for closed in built)
    assert sum(closed.bar.volume for closed in built) == 3850


def test_minutes_outside_sessions_are_not_resampled():
    with pytest.raises(CandleError, match="minutes"):
        resample(history(row(at(8, 0))), FIVE, EVENING)


def test_a_minute_that_comes_twice_does_not_stand_for_one_that_is_missing():
    bars = minutes(at(10, 0), 4)
    with pytest.raises(CandleError, match="two of them"):
        resample(history(*bars, bars[2]), FIVE, EVENING)


def test_one_minute_from_our_ticks_makes_the_longer_bar_ours():
    parts = history(*minutes(at(10, 0), 4)) + ticks(row(at(10, 4)))
    (built,) = resample(parts, FIVE, EVENING)
    assert (built.source, built.whole) == (BarSource.TICKS, True)
    parts = history(*minutes(at(10, 0), 4)) + ticks(row(at(10, 4)), whole=False)
    assert resample(parts, FIVE, EVENING)[0].whole is False


def test_history_wins_where_it_has_the_bar_and_each_bar_says_whose_it_is():
    joined = merged(
        history(row(at(10, 0), 101.0), row(at(10, 10), 103.0)),
        ticks(row(at(10, 5), 55.0), row(at(10, 0), 55.0), row(at(10, 15), 55.0)),
    )
    assert [(closed.bar.close, closed.source.value) for closed in joined] == [
        (101.0, "history"),
        (55.0, "ticks"),
        (103.0, "history"),
        (55.0, "ticks"),
    ]


def test_history_with_minutes_missing_does_not_replace_a_bar_that_our_ticks_saw_whole():
    partial = (ClosedBar(row(at(10, 0), 101.0), BarSource.HISTORY, whole=False),)
    assert merged(partial, ticks(row(at(10, 0), 55.0)))[0].source is BarSource.TICKS
    assert merged(partial, ticks(row(at(10, 0), 55.0), whole=False))[0].source is BarSource.HISTORY


def test_columns_of_bars_are_float64_arrays():
    high, low, close = arrays(history(row(at(10, 0), 101.0), row(at(10, 5), 98.0)))
    assert [column.tolist() for column in (high, low, close)] == [[102.0, 101.0], [99.0, 97.0], [101.0, 98.0]]
    assert all(column.dtype == np.float64 and column.flags.c_contiguous for column in (high, low, close))
    assert [column.shape for column in arrays(())] == [(0,), (0,), (0,)]


@pytest.mark.parametrize(("period", "needed"), [(1, 50), (7, 50), (8, 56), (10, 70), (14, 98)])
def test_an_indicator_warms_up_until_there_are_enough_closed_bars(period, needed):
    bars = history(*minutes(at(9, 15), needed))
    assert bars_needed(period) == needed
    assert is_warming(bars[:-1], period)
    assert not is_warming(bars, period)


def test_a_period_below_one_is_refused():
    with pytest.raises(CandleError, match="period"):
        bars_needed(0)


@settings(deadline=None, max_examples=40)
@given(
    moves=st.lists(st.tuples(st.integers(1, 200), st.floats(1, 1000)), min_size=1, max_size=120),
    interval=st.sampled_from([Interval.M3, Interval.M5, Interval.M10, Interval.M15, Interval.M30, Interval.H1]),
    opens=st.sampled_from([at(9, 15), at(14, 30), at(17, 59, day=date(2026, 11, 8))]),
)
def test_minutes_built_from_ticks_and_resampled_are_the_bars_built_from_the_same_ticks(moves, interval, opens):
    grid = BarGrid(interval, INDIA, NFO)
    fine, coarse = TickBars(ONE, since=opens), TickBars(grid, since=opens)
    built: dict[int, list[ClosedBar]] = {1: [], 2: []}
    now, volume = opens, 0
    for pause, price in moves:
        now, volume = now + timedelta(seconds=pause), volume + pause
        for which, bars in ((1, fine), (2, coarse)):
            taken = bars.tick(price, at=now, now=now, day_volume=volume)
            built[which] += [taken.closed] if taken.closed else []
            fine, coarse = (taken.bars, coarse) if which == 1 else (fine, taken.bars)
    end = now + timedelta(days=1)
    built[1] += [one for one in [fine.until(end).closed] if one]
    built[2] += [one for one in [coarse.until(end).closed] if one]
    assert [one.bar for one in resample(built[1], grid, end)] == [one.bar for one in built[2]]
