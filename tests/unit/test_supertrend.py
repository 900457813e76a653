"""Supertrend over arrays, against RULES 8 written down by itself and against the package ``openalgo``."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openalgo import ta

from engine.domain.supertrend import supertrend, supertrend_grid, supertrend_many
from tests.unit.supertrend_pine import (
    MULTIPLIERS,
    PERIODS,
    Bars,
    flat,
    market_series,
    odd_series,
    pine,
    same_bits,
    small_bars,
    walk,
)

often = settings(deadline=None, max_examples=150)
periods = st.integers(1, 50)
multipliers = st.sampled_from(MULTIPLIERS) | st.floats(0.1, 10.0)


def openalgo(bars: Bars, period: int, multiplier: float) -> tuple[np.ndarray, np.ndarray]:
    """The package's answer with the sign turned and 0 for its NaN of warm-up."""
    line, direction = ta.supertrend(*bars.columns, period, multiplier)
    return line, np.where(np.isnan(direction), 0.0, -direction).astype(np.int8)


def assert_is(bars: Bars, period: int, multiplier: float, line: np.ndarray, direction: np.ndarray) -> None:
    """Our answer has these bits."""
    ours = supertrend(*bars.columns, period, multiplier)
    assert same_bits(ours[0], line), (bars.name, period, multiplier, np.flatnonzero(ours[0] != line)[:3])
    assert same_bits(ours[1], direction), (bars.name, period, multiplier, np.flatnonzero(ours[1] != direction)[:3])


@often
@given(small_bars(), periods, multipliers)
def test_any_series_follows_the_rules_bit_for_bit(bars: Bars, period: int, multiplier: float) -> None:
    expected = pine(bars, period, multiplier)
    assert_is(bars, period, multiplier, expected.line, expected.direction)


@pytest.mark.parametrize("bars", odd_series(), ids=lambda bars: bars.name)
def test_walks_gaps_signed_and_flat_series_follow_the_rules_bit_for_bit(bars: Bars) -> None:
    for period, multiplier in ((7, 3.0), (1, 1.0), (2, 0.5), (14, 1.7), (50, 10.0)):
        expected = pine(bars, period, multiplier)
        assert_is(bars, period, multiplier, expected.line, expected.direction)


@pytest.mark.parametrize("bars", odd_series(), ids=lambda bars: bars.name)
def test_the_official_package_agrees_bit_for_bit_where_the_first_bands_do_not_meet_zero(bars: Bars) -> None:
    compared = 0
    for period in PERIODS:
        for multiplier in MULTIPLIERS:
            theirs = openalgo(bars, period, multiplier)
            rules = pine(bars, period, multiplier, raw_seed=True)
            assert same_bits(theirs[0], rules.line), (period, multiplier)
            assert same_bits(theirs[1], rules.direction), (period, multiplier)
            if rules.clear_seed:
                assert_is(bars, period, multiplier, *theirs)
                compared += 1
    assert compared or bars.close[0] == 0.0


def test_a_first_band_beyond_zero_is_zero_as_pine_has_it_and_the_official_package_does_not() -> None:
    # Closes below zero: the upper band of the first full bar would be 1.75, but the band before it counts as 0,
    # 1.75 is not below 0 and the last close is not above: Pine's final band is 0.
    close = np.array([-1.0, -2.0, -1.5])
    bars = Bars("below zero", close + 0.5, close - 0.5, close)
    line, direction = supertrend(*bars.columns, 2, 3.0)
    assert line.tolist()[1:] == [0.0, 0.0]
    assert direction.tolist() == [0, -1, -1]
    assert openalgo(bars, 2, 3.0)[0].tolist()[1:] == [1.75, 1.75]


def test_with_period_one_the_first_upper_band_is_zero_as_no_close_came_before() -> None:
    line, direction = supertrend([11.0, 12.0], [9.0, 10.0], [10.0, 11.0], 1, 1.0)
    assert line.tolist() == [0.0, 13.0]
    assert direction.tolist() == [-1, -1]


@pytest.mark.market
def test_every_market_day_and_month_agrees_with_the_official_package(market_file: Path) -> None:
    seen = 0
    for bars in market_series(market_file):
        for period, multiplier in ((7, 3.0), (10, 3.0), (10, 2.0), (14, 1.7), (3, 0.5), (21, 4.25), (50, 10.0)):
            rules = pine(bars, period, multiplier) if len(bars) <= 375 and period == 7 else None
            if rules:
                assert_is(bars, period, multiplier, rules.line, rules.direction)
            first = supertrend(*(column[:period] for column in bars.columns), period, multiplier)[0]
            seed = pine(bars.first(period), period, multiplier)
            assert first[-1] == seed.line[-1]
            if seed.clear_seed:
                assert_is(bars, period, multiplier, *openalgo(bars, period, multiplier))
                seen += 1
    assert seen > 500


@pytest.mark.parametrize("period", [1, 2, 3, 7, 50, 99_999])
def test_averages_that_vanish_keep_every_bit(period: int) -> None:
    # One move, then nothing for good: the average shrinks until it is smaller than any normal number. The price is 0,
    # so that the line shows the average itself.
    close = np.zeros(period + 4000 if period < 100 else 100_300)
    close[0] = 5.0
    vanishing = Bars("vanishing", close.copy(), close.copy(), close)
    tiny = walk(800, seed=8, start=0.0, step=1.0)
    for bars in (
        vanishing,
        *(Bars("tiny", *(column * scale for column in tiny.columns)) for scale in (1e-290, 1e-308, 1e-309)),
    ):
        for multiplier in (1.0, 3.0):
            expected = pine(bars, period, multiplier)
            assert_is(bars, period, multiplier, expected.line, expected.direction)


@pytest.mark.parametrize("price", [100.0, 0.0, -20.0])
def test_where_both_bands_are_equal_only_a_close_above_turns_up(price: float) -> None:
    line, direction = supertrend(*flat(30, price).columns)
    assert set(direction[6:]) == {-1}
    assert (line[6:] == price).all()
    # The series jumps: the close is above the upper band, which the true range has not widened enough yet.
    _, jumped = supertrend(*flat(30, price, moves_at=10).columns, 7, 0.5)
    assert jumped[10] == 1


def test_direction_is_ours_unless_pines_sign_is_asked_for() -> None:
    bars = walk(300, seed=3)
    line, direction = supertrend(*bars.columns)
    pine_line, pine_direction = supertrend(*bars.columns, pine_sign=True)
    assert same_bits(line, pine_line)
    assert (direction == -pine_direction).all()
    assert (direction[:6] == 0).all()
    assert set(direction[6:]) == {-1, 1}
    assert (line[direction == 1] < bars.close[direction == 1]).all()
    assert (line[direction == -1] > bars.close[direction == -1]).all()
    tables = [np.stack([column] * 3, axis=1) for column in bars.columns]
    assert (supertrend_many(*tables, pine_sign=True)[1] == pine_direction[:, None]).all()
    assert (supertrend_grid(*bars.columns, [7], [3.0], pine_sign=True)[1][:, 0, 0] == pine_direction).all()


@pytest.mark.parametrize("bars", [0, 1, 6])
def test_fewer_bars_than_the_period_are_all_warm_up(bars: int) -> None:
    columns = walk(bars, seed=1).columns
    line, direction = supertrend(*columns, 7)
    assert line.shape == direction.shape == (bars,)
    assert line.dtype == np.float64
    assert direction.dtype == np.int8
    assert np.isnan(line).all()
    assert not direction.any()
    many = supertrend_many(*(column[:, None].repeat(2, axis=1) for column in columns), 7)
    assert many[0].shape == (bars, 2)
    assert np.isnan(many[0]).all()
    assert not many[1].any()
    assert supertrend_grid(*columns, [7, 50], [3.0])[0].shape == (bars, 2, 1)


@often
@given(st.data(), st.integers(1, 60), st.integers(1, 20), periods, multipliers)
def test_many_series_are_each_as_if_alone(
    data: st.DataObject, bars: int, series: int, period: int, multiplier: float
) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    start = data.draw(st.sampled_from([0.0, 100.0, -100.0]))
    alone = [walk(bars, seed=seed + k, start=start + k, step=1.0) for k in range(series)]
    tables = [np.stack(columns, axis=1) for columns in zip(*(each.columns for each in alone), strict=True)]
    line, direction = supertrend_many(*tables, period, multiplier)
    for k, each in enumerate(alone):
        expected = supertrend(*each.columns, period, multiplier)
        assert same_bits(line[:, k].copy(), expected[0])
        assert same_bits(direction[:, k].copy(), expected[1])


@often
@given(small_bars(), st.lists(periods, min_size=1, max_size=5), st.lists(multipliers, min_size=1, max_size=5))
def test_each_pair_of_a_grid_is_as_if_alone(bars: Bars, rows: list[int], columns: list[float]) -> None:
    line, direction = supertrend_grid(*bars.columns, rows, columns)
    assert line.shape == direction.shape == (len(bars), len(rows), len(columns))
    for a, period in enumerate(rows):
        for b, multiplier in enumerate(columns):
            expected = supertrend(*bars.columns, period, multiplier)
            assert same_bits(line[:, a, b].copy(), expected[0])
            assert same_bits(direction[:, a, b].copy(), expected[1])


def test_a_wide_grid_and_many_series_agree_with_the_single_form() -> None:
    bars = walk(700, seed=9, start=3.0, step=1.0)
    rows, columns = np.arange(1, 51), np.linspace(0.5, 10.0, 7)
    line, direction = supertrend_grid(*bars.columns, rows, columns)
    alone = [walk(300, seed=k, start=20.0 * k - 200.0) for k in range(37)]
    tables = [np.stack(each, axis=1) for each in zip(*(each.columns for each in alone), strict=True)]
    lines, directions = supertrend_many(*tables, 10, 2.0)
    for a, period in enumerate(rows):
        for b, multiplier in enumerate(columns):
            assert_is(bars, int(period), float(multiplier), line[:, a, b].copy(), direction[:, a, b].copy())
    for k, each in enumerate(alone):
        assert_is(each, 10, 2.0, lines[:, k].copy(), directions[:, k].copy())


@often
@given(small_bars(), periods, multipliers, st.integers(0, 60))
def test_the_line_of_a_prefix_is_a_prefix_of_the_line(bars: Bars, period: int, multiplier: float, cut: int) -> None:
    line, direction = supertrend(*bars.columns, period, multiplier)
    assert_is(bars.first(cut), period, multiplier, line[:cut], direction[:cut])


def test_threads_may_compute_at_once() -> None:
    series = [walk(20_000, seed=seed) for seed in range(8)]
    expected = [supertrend(*bars.columns) for bars in series]
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    gate = threading.Barrier(len(series))

    def compute(k: int) -> None:
        gate.wait()
        found[k] = [supertrend(*series[k].columns) for _ in range(5)]

    threads = [threading.Thread(target=compute, args=(k,)) for k in range(len(series))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, (line, direction) in enumerate(expected):
        assert len(found[k]) == 5
        assert all(same_bits(line, seen[0]) and same_bits(direction, seen[1]) for seen in found[k])
