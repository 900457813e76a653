"""Supertrend bar by bar: the same bits as over arrays, and an open bar leaves no trace."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.candles import Bar
from engine.domain.errors import IndicatorError
from engine.domain.supertrend import supertrend, supertrend_many
from engine.domain.supertrend_live import SupertrendState
from engine.domain.supertrend_streams import SupertrendStreams
from tests.unit.supertrend_pine import MULTIPLIERS, Bars, Candle, candles, odd_series, pine, same_bits, small_bars, walk

often = settings(deadline=None, max_examples=150)
periods = st.integers(1, 50)
multipliers = st.sampled_from(MULTIPLIERS)


def bits(state: SupertrendState) -> list[str]:
    """Every field, exactly, NaN included."""
    return [repr(getattr(state, field.name)) for field in dataclasses.fields(state)]


def followed(bars: Bars, period: int, multiplier: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines, directions and averages when every bar comes alone."""
    state = SupertrendState.start(period, multiplier)
    seen = []
    for bar in candles(bars):
        state = state.commit(bar)
        seen.append((state.line, state.direction, state.average if state.is_warm else math.nan))
    lines, directions, averages = (list(column) for column in zip(*seen, strict=True)) if seen else ([], [], [])
    return np.array(lines, float), np.array(directions, np.int8), np.array(averages, float)


def tables(series: list[Bars]) -> list[np.ndarray]:
    """Columns of several series side by side, (bars, series)."""
    return [np.stack(columns, axis=1) for columns in zip(*(each.columns for each in series), strict=True)]


@often
@given(small_bars(), periods, multipliers)
def test_bar_by_bar_gives_the_bits_of_the_whole_series(bars: Bars, period: int, multiplier: float) -> None:
    line, direction = supertrend(*bars.columns, period, multiplier)
    lines, directions, averages = followed(bars, period, multiplier)
    assert same_bits(lines, line)
    assert same_bits(directions, direction)
    assert same_bits(averages, pine(bars, period, multiplier).average)


@pytest.mark.parametrize("bars", odd_series(), ids=lambda bars: bars.name)
def test_bar_by_bar_gives_the_bits_of_the_whole_series_on_odd_ones(bars: Bars) -> None:
    for period, multiplier in ((7, 3.0), (1, 0.5), (50, 10.0)):
        line, direction = supertrend(*bars.columns, period, multiplier)
        lines, directions, _ = followed(bars, period, multiplier)
        assert same_bits(lines, line)
        assert same_bits(directions, direction)


@often
@given(small_bars(), periods, multipliers, st.tuples(st.integers(-9, 9), st.integers(0, 9), st.integers(0, 9)))
def test_a_preview_is_what_committing_would_give_and_changes_nothing(
    bars: Bars, period: int, multiplier: float, open_bar: tuple[int, int, int]
) -> None:
    close, above, below = open_bar
    forming = Candle(float(close + above), float(close - below), float(close))
    state = SupertrendState.start(period, multiplier)
    for bar in candles(bars):
        before = bits(state)
        shown = state.preview(forming)
        assert repr(shown) == repr(state.commit(forming).trend)
        assert bits(state) == before
        state = state.commit(bar)
    line, direction = supertrend(*bars.columns, period, multiplier)
    assert same_bits(np.array([state.line]), line[-1:] if len(bars) else np.array([math.nan]))
    assert state.direction == (direction[-1] if len(bars) else 0)


@often
@given(small_bars(), periods, multipliers, st.integers(0, 60))
def test_a_state_stored_as_json_goes_on_bit_for_bit(bars: Bars, period: int, multiplier: float, kept: int) -> None:
    state = SupertrendState.start(period, multiplier)
    for number, bar in enumerate([*candles(bars), Candle(-0.0, -0.0, -0.0)]):
        if number == kept:
            text = json.dumps(state.stored(), allow_nan=False)
            restored = SupertrendState.restored(json.loads(text))
            assert bits(restored) == bits(state)
            state = restored
        state = state.commit(bar)
    assert bits(SupertrendState.restored(state.stored())) == bits(state)
    line, direction = supertrend(*(np.append(column, -0.0) for column in bars.columns), period, multiplier)
    assert same_bits(np.array([state.line]), line[-1:])
    assert state.direction == direction[-1]


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1.0, 1e99])
def test_states_of_any_size_are_stored_bit_for_bit(size: float) -> None:
    state = SupertrendState.start(3, 1e100)
    for high, low, close in ((2.0, -1.0, 0.3), (1.0, 1.0, 1.0), (3.0, -2.0, -0.0), (0.1, 0.1, 0.1)):
        state = state.commit(Candle(high * size, low * size, close * size))
        assert bits(SupertrendState.restored(state.stored())) == bits(state)


@pytest.mark.parametrize(
    ("bars", "changed", "field"),
    [
        (9, {"period": "0"}, "period"),
        (9, {"period": "7.0"}, "period"),
        (9, {"multiplier": "nan"}, "multiplier"),
        (9, {"line": None}, "line"),
        (9, {"close": "high"}, "close"),
        (9, {"direction": "0"}, "state"),
        (9, {"direction": "2"}, "state"),
        (9, {"line": "1.0"}, "state"),
        (9, {"average": "-1.0"}, "state"),
        (9, {"average": "nan"}, "state"),
        (9, {"upper": "inf"}, "state"),
        (9, {"close": "nan"}, "state"),
        (9, {"period": "50"}, "state"),
        (9, {"bars": "-1"}, "state"),
        (3, {"direction": "1"}, "state"),
        (3, {"lower": "4.0"}, "state"),
        (0, {"close": "5.0"}, "state"),
        (0, {"bars": "1"}, "state"),
    ],
)
def test_what_no_state_can_hold_is_not_restored(bars: int, changed: dict[str, str | None], field: str) -> None:
    state = SupertrendState.start(7)
    for bar in candles(walk(bars, seed=1)):
        state = state.commit(bar)
    stored = {name: text for name, text in {**state.stored(), **changed}.items() if text is not None}
    with pytest.raises(IndicatorError) as refused:
        SupertrendState.restored(stored)
    assert refused.value.field == field


def test_a_candle_of_the_session_is_a_bar() -> None:
    state = SupertrendState.start(1, 1.0)
    start = datetime(2026, 11, 23, 3, 45, tzinfo=UTC)
    state = state.commit(Bar(start=start, open=9.0, high=11.0, low=9.0, close=10.0))
    assert state.bars == 1
    assert state.trend == (0.0, -1)


@pytest.mark.parametrize(
    ("bar", "field", "words"),
    [
        (Candle(math.nan, 1.0, 1.0), "high", "bar 3 is nan, not a finite price"),
        (Candle(2.0, -math.inf, 1.0), "low", "bar 3 is -inf, not a finite price"),
        (Candle(2.0, 1.0, math.nan), "close", "bar 3 is nan, not a finite price"),
        (Candle(2.0, 2.5, 2.0), "high", "bar 3 is 2.0, below the low 2.5"),
        (Candle(1e101, 1.0, 2.0), "high", "bar 3 is 1e+101, too large for a price"),
    ],
)
def test_a_bar_that_is_none_is_refused_by_name(bar: Candle, field: str, words: str) -> None:
    state = SupertrendState.start(2, 1.0)
    for good in candles(walk(3, seed=1)):
        state = state.commit(good)
    for take in (state.commit, state.preview):
        with pytest.raises(IndicatorError) as refused:
            take(bar)
        assert refused.value.field == field
        assert refused.value.reason == words


@often
@given(
    st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 100.0, -100.0])),
    st.integers(1, 9),
    st.integers(0, 40),
    periods,
    multipliers,
)
def test_streams_fed_by_history_and_then_bar_by_bar_give_the_bits_of_the_whole(
    origin: tuple[int, float], series: int, history: int, period: int, multiplier: float
) -> None:
    (seed, start), after = origin, 15
    columns = tables([walk(history + after, seed=seed + k, start=start, step=1.0) for k in range(series)])
    line, direction = supertrend_many(*columns, period, multiplier)
    streams = SupertrendStreams(series, period, multiplier)
    first = streams.commit_bars(*(column[:history] for column in columns))
    assert same_bits(first[0], line[:history])
    assert same_bits(first[1], direction[:history])
    for bar in range(history, history + after):
        row = [column[bar] for column in columns]
        swapped = streams.preview(row[0] + 5.0, row[1] - 5.0, row[2])
        shown = streams.preview(*row)
        taken = streams.commit(*row)
        assert same_bits(swapped[0], streams_line_of(columns, bar, period, multiplier, wider=5.0))
        for one, other in zip(shown, taken, strict=True):
            assert same_bits(one, other)
        assert same_bits(taken[0], line[bar].copy())
        assert same_bits(taken[1], direction[bar].copy())
    assert streams.bars == history + after


def streams_line_of(columns: list[np.ndarray], bar: int, period: int, multiplier: float, *, wider: float) -> np.ndarray:
    """Lines of ``bar`` as if it were that much wider, out of whole arrays."""
    high, low, close = (column[: bar + 1].copy() for column in columns)
    high[-1] += wider
    low[-1] -= wider
    return supertrend_many(high, low, close, period, multiplier)[0][-1].copy()


def test_a_refused_bar_or_history_moves_no_stream() -> None:
    columns = tables([walk(60, seed=seed) for seed in range(5)])
    line, direction = supertrend_many(*columns)
    streams = SupertrendStreams(5)
    streams.commit_bars(*(column[:40] for column in columns))
    high, low, close = (column[40].copy() for column in columns)
    close[3] = math.nan
    for take in (streams.commit, streams.preview):
        with pytest.raises(IndicatorError, match=r"^close: bar 40 of series 3 is nan, not a finite price$"):
            take(high, low, close)
    history = [column[40:50].copy() for column in columns]
    history[0][7, 2] = history[1][7, 2] - 1.0
    with pytest.raises(IndicatorError, match=r"^high: bar 47 of series 2 is .*, below the low"):
        streams.commit_bars(*history)
    for wrong in ((high[:4], low[:4], close[:4]), (high, low[:4], close), (high, low, np.append(close, 1.0))):
        with pytest.raises(IndicatorError):
            streams.commit(*wrong)
    with pytest.raises(IndicatorError, match=r"^high: has 4 columns, there are 5 series$"):
        streams.commit_bars(*(column[40:50, :4] for column in columns))
    assert streams.bars == 40
    for bar in range(40, 60):
        taken = streams.commit(*(column[bar] for column in columns))
        assert same_bits(taken[0], line[bar].copy())
        assert same_bits(taken[1], direction[bar].copy())


def test_what_streams_returned_is_the_callers_for_good() -> None:
    columns = tables([walk(30, seed=seed) for seed in range(3)])
    streams = SupertrendStreams(3, 2)
    kept = [streams.commit(*(column[bar] for column in columns)) for bar in range(30)]
    line, direction = supertrend_many(*columns, 2)
    assert same_bits(np.stack([lines for lines, _ in kept]), line)
    assert same_bits(np.stack([directions for _, directions in kept]), direction)


def test_streams_take_lists_whole_numbers_strides_and_pines_sign() -> None:
    streams = SupertrendStreams(2, 1, 1.0, pine_sign=True)
    line, direction = streams.commit([12, 13], np.array([10, 11], np.int32), np.array([11.0, 0.0, 12.0])[::2])
    assert line.tolist() == [0.0, 0.0]
    assert direction.tolist() == [1, 1]
    masked = np.ma.array([11.0, 12.0], mask=[False, True])
    with pytest.raises(IndicatorError, match=r"^close: bar 1 is masked$"):
        streams.commit([12, 13], [10, 11], masked)
    assert streams.bars == 1
