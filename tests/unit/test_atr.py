"""Pine's average true range out of TA-Lib, against RULES 8 and against the average Supertrend keeps.

The first average is the same to the last bit. From there TA-Lib (0.8) sums in an order of its own, so that some figures
differ in the last places: at most 17 representable numbers over every day of the market files and all periods to 50 (6
with period 7). Twice the period, counted in last places of the largest average so far, is what is held here.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import talib

from engine.domain.atr import atr
from engine.domain.supertrend_live import SupertrendState
from tests.unit.supertrend_pine import PERIODS, Bars, average_true_range, candles, market_series, odd_series, walk

ROOT = Path(__file__).resolve().parents[2]
START = """
import sys
import engine.runtime.bootstrap
import engine.runtime.supervisor
import engine.domain.supertrend_live
print(sorted({"numba", "talib", "pandas", "plotly", "streamlit"} & set(sys.modules)))
"""


def assert_same_average(found: np.ndarray, expected: np.ndarray, period: int) -> None:
    """NaN at the same bars, the first average to the last bit, all others within 2 × period last places."""
    assert found.shape == expected.shape
    assert (np.isnan(found) == np.isnan(expected)).all()
    found, expected = found[period - 1 :], expected[period - 1 :]
    assert found[:1].tobytes() == expected[:1].tobytes()
    allowed = 2 * period * np.spacing(np.maximum.accumulate(expected))
    assert (np.abs(found - expected) <= allowed).all()


def rules(bars: Bars, period: int) -> np.ndarray:
    return np.array(average_true_range(*(column.tolist() for column in bars.columns), period), float)


@pytest.mark.parametrize("bars", odd_series(), ids=lambda bars: bars.name)
def test_ta_lib_with_one_bar_in_front_is_the_average_of_the_rules(bars: Bars) -> None:
    for period in PERIODS:
        assert_same_average(atr(*bars.columns, period), rules(bars, period), period)


@pytest.mark.market
def test_ta_lib_with_one_bar_in_front_is_the_average_of_the_rules_on_every_market_day(market_file: Path) -> None:
    seen = 0
    for bars in market_series(market_file):
        for period in (3, 7, 14, 37):
            assert_same_average(atr(*bars.columns, period), rules(bars, period), period)
            seen += 1
    assert seen > 400


def test_ta_lib_by_itself_is_another_average() -> None:
    bars = walk(375, seed=2)
    bare, expected = talib.ATR(*bars.columns, 7), rules(bars, 7)
    assert np.isnan(bare[6])
    assert abs(bare[7] / expected[7] - 1.0) > 1e-4


def test_it_is_the_average_that_supertrend_keeps() -> None:
    bars = walk(375, seed=5)
    state, averages = SupertrendState.start(7), []
    for bar in candles(bars):
        state = state.commit(bar)
        averages.append(state.average if state.is_warm else np.nan)
    assert_same_average(atr(*bars.columns, 7), np.array(averages), 7)


@pytest.mark.parametrize("bars", [0, 1, 6])
def test_fewer_bars_than_the_period_have_no_average(bars: int) -> None:
    average = atr(*walk(bars, seed=1).columns, 7)
    assert average.shape == (bars,)
    assert np.isnan(average).all()
    assert np.isnan(atr(*walk(bars, seed=1).columns, 100_000)).all()


def test_what_is_given_stays_as_it_is() -> None:
    bars = walk(50, seed=1)
    before = [column.copy() for column in bars.columns]
    atr(*bars.columns)
    for column, copy in zip(bars.columns, before, strict=True):
        assert column.tobytes() == copy.tobytes()


def test_the_engine_starts_without_numba_and_the_heavy_libraries() -> None:
    asked = subprocess.run(
        [sys.executable, "-c", START], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip() == "[]"
