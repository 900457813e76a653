"""What Supertrend takes and what it refuses, by the name of the field."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from engine.domain.atr import atr
from engine.domain.errors import IndicatorError
from engine.domain.supertrend import supertrend, supertrend_grid, supertrend_many
from engine.domain.supertrend_live import SupertrendState
from engine.domain.supertrend_streams import SupertrendStreams
from tests.unit.supertrend_pine import Bars, same_bits, walk

FORMS = {
    "list": lambda column: column.tolist(),
    "tuple": lambda column: tuple(column.tolist()),
    "whole numbers": lambda column: column.astype(np.int32),
    "python's whole numbers": lambda column: [int(value) for value in column],
    "unsigned": lambda column: column.astype(np.uint16),
    "float32": lambda column: column.astype(np.float32),
    "other byte order": lambda column: column.astype(">f8"),
    "strides": lambda column: np.repeat(column, 3)[::3],
    "backwards": lambda column: column[::-1].copy()[::-1],
    "read-only": lambda column: np.frombuffer(column.tobytes()),
    "pandas": lambda column: pd.Series(column, index=range(5, 5 + len(column))),
    "pandas whole numbers": lambda column: pd.Series(column).astype("Int64"),
    "fractions": lambda column: [Fraction(int(value)) for value in column],
    "masked, nothing hidden": np.ma.array,
}


def whole() -> Bars:
    """A series in whole numbers, so that every form holds it exactly."""
    bars = walk(80, seed=4, start=500.0)
    return Bars("whole", *(np.round(column) for column in bars.columns))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_numbers_gives_the_same_bits_and_is_left_alone(form: str) -> None:
    bars = whole()
    expected = supertrend(*bars.columns)
    given = [FORMS[form](column) for column in bars.columns]
    line, direction = supertrend(*given)
    assert same_bits(line, expected[0])
    assert same_bits(direction, expected[1])
    for left, column in zip(given, bars.columns, strict=True):
        assert [float(value) for value in left] == column.tolist()


def test_tables_with_other_strides_are_read_as_they_are() -> None:
    bars = [walk(60, seed=seed) for seed in range(4)]
    sideways = [np.stack(columns) for columns in zip(*(each.columns for each in bars), strict=True)]
    upright = [np.ascontiguousarray(table.T) for table in sideways]
    before = [table.copy() for table in sideways]
    for one, other in zip(supertrend_many(*(table.T for table in sideways)), supertrend_many(*upright), strict=True):
        assert same_bits(one, other)
    for table, copy in zip(sideways, before, strict=True):
        assert same_bits(table, copy)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("high", math.nan, "high: bar 41 is nan, not a finite price"),
        ("high", math.inf, "high: bar 41 is inf, not a finite price"),
        ("low", -math.inf, "low: bar 41 is -inf, not a finite price"),
        ("low", math.nan, "low: bar 41 is nan, not a finite price"),
        ("close", math.nan, "close: bar 41 is nan, not a finite price"),
        ("close", math.inf, "close: bar 41 is inf, not a finite price"),
        ("close", -1e101, "close: bar 41 is -1e+101, too large for a price"),
        ("high", 100.0, "high: bar 41 is 100.0, below the low "),
    ],
)
def test_a_bar_that_is_none_is_named(place: str, value: float, message: str) -> None:
    columns = dict(zip(("high", "low", "close"), (column.copy() for column in whole().columns), strict=True))
    columns[place][41] = value
    columns["close"][60] = math.nan  # the first one counts
    for compute in (supertrend, lambda *c: supertrend_grid(*c, [3, 7], [1.0]), atr):
        with pytest.raises(IndicatorError) as refused:
            compute(*columns.values())
        assert str(refused.value).startswith(message)
    tables = [
        np.stack([column + 0.0 for column in (good, given, good)], axis=1)
        for good, given in zip(whole().columns, columns.values(), strict=True)
    ]
    with pytest.raises(IndicatorError) as refused:
        supertrend_many(*tables)
    assert str(refused.value).startswith(message.replace("bar 41", "bar 41 of series 1"))


@pytest.mark.parametrize("at", [0, 3, 6, 79])
def test_a_bad_price_is_seen_on_every_bar_of_warm_up_too(at: int) -> None:
    high, low, close = (column.copy() for column in whole().columns)
    close[at] = math.nan
    for period in (1, 7, 100):
        with pytest.raises(IndicatorError, match=f"^close: bar {at} is nan"):
            supertrend(high, low, close, period)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1.0, 2.0], [1.0], [1.0, 2.0]), "low: has the shape (1,), the high has (2,)"),
        (([1.0, 2.0], [1.0, 2.0], [1.0]), "close: has the shape (1,), the high has (2,)"),
        (([[1.0]], [1.0], [1.0]), "high: has 2 dimensions instead of 1: one value a bar"),
        ((5.0, [1.0], [1.0]), "high: has 0 dimensions instead of 1: one value a bar"),
        (([1.0], "1", [1.0]), "low: has 0 dimensions instead of 1: one value a bar"),
        (([1.0, 2.0], [1.0, None], [1.0, 2.0]), "low: bar 1 is None, not a real number"),
        (([1.0, Decimal(2)], [1.0, 1.0], [1.0, 1.0]), "high: bar 1 is Decimal('2'), not a real number"),
        (([1.0], [1.0], ["1"]), "close: bar 0 is np.str_('1'), not a real number"),
        (([1.0], [1.0], [1.0 + 0j]), "close: bar 0 is np.complex128(1+0j), not a real number"),
        (([True], [1.0], [1.0]), "high: bar 0 is np.True_, not a real number"),
        (([1.0], [1.0], np.ma.array([1.0], mask=[True])), "close: bar 0 is masked"),
        (([1.0, [2.0, 3.0]], [1.0, 1.0], [1.0, 1.0]), "high: is no array of numbers: "),
        (([1.0], [1.0], [10**400]), "close: is no array of prices: "),
        ((np.array([np.longdouble("1e4000")]), [1.0], [1.0]), "high: bar 0 is inf, not a finite price"),
    ],
)
def test_columns_that_are_none_are_named(columns: tuple[object, object, object], message: str) -> None:
    for compute in (supertrend, lambda *c: supertrend_grid(*c, [7], [3.0]), atr):
        with pytest.raises(IndicatorError) as refused:
            compute(*columns)
        assert str(refused.value).startswith(message)


def test_many_series_need_rows_and_columns() -> None:
    with pytest.raises(
        IndicatorError, match=r"^high: has 1 dimensions instead of 2: rows of bars, one column a series$"
    ):
        supertrend_many([1.0], [1.0], [1.0])
    with pytest.raises(IndicatorError, match=r"^low: has the shape \(2, 1\), the high has \(1, 2\)$"):
        supertrend_many([[1.0, 2.0]], [[1.0], [2.0]], [[1.0, 2.0]])
    line, direction = supertrend_many(np.empty((5, 0)), np.empty((5, 0)), np.empty((5, 0)))
    assert line.shape == direction.shape == (5, 0)


BAD_PERIODS = [
    (0, "0 is not between 1 and 100000 bars"),
    (-7, "-7 is not between 1 and 100000 bars"),
    (10**30, f"{10**30} is not between 1 and 100000 bars"),
    (7.0, "7.0 is not a whole number of bars"),
    ("7", "'7' is not a whole number of bars"),
    (None, "None is not a whole number of bars"),
    (True, "True is not a whole number of bars"),
]
BAD_MULTIPLIERS = [
    (0.0, "0.0 is not a finite number above 0"),
    (-3, "-3 is not a finite number above 0"),
    (math.nan, "nan is not a finite number above 0"),
    (math.inf, "inf is not a finite number above 0"),
    (1e101, "1e+101 is above 1e+100: no price would reach a band"),
    ("3", "'3' is not a number"),
    (None, "None is not a number"),
    (True, "True is not a number"),
    (3j, "3j is not a number"),
]


@pytest.mark.parametrize(("period", "reason"), BAD_PERIODS)
def test_a_period_that_is_none_is_refused_everywhere(period: object, reason: str) -> None:
    columns = whole().columns
    tables = [column[:, None] for column in columns]
    for compute in (
        lambda: supertrend(*columns, period),
        lambda: supertrend_many(*tables, period),
        lambda: SupertrendState.start(period),
        lambda: SupertrendStreams(3, period),
        lambda: atr(*columns, period),
    ):
        with pytest.raises(IndicatorError) as refused:
            compute()
        assert (refused.value.field, refused.value.reason) == ("period", reason)
    with pytest.raises(IndicatorError) as refused:
        supertrend_grid(*columns, [7, period], [3.0])
    assert (refused.value.field, refused.value.reason) == ("periods[1]", reason)


@pytest.mark.parametrize(("multiplier", "reason"), BAD_MULTIPLIERS)
def test_a_multiplier_that_is_none_is_refused_everywhere(multiplier: object, reason: str) -> None:
    columns = whole().columns
    tables = [column[:, None] for column in columns]
    for compute in (
        lambda: supertrend(*columns, 7, multiplier),
        lambda: supertrend_many(*tables, 7, multiplier),
        lambda: SupertrendState.start(7, multiplier),
        lambda: SupertrendStreams(3, 7, multiplier),
    ):
        with pytest.raises(IndicatorError) as refused:
            compute()
        assert (refused.value.field, refused.value.reason) == ("multiplier", reason)
    with pytest.raises(IndicatorError) as refused:
        supertrend_grid(*columns, [7], [3.0, multiplier])
    assert (refused.value.field, refused.value.reason) == ("multipliers[1]", reason)


def test_settings_of_numpy_and_other_whole_numbers_are_taken() -> None:
    columns = whole().columns
    expected = supertrend(*columns, 10, 2.0)
    for period, multiplier in (
        (np.int64(10), np.float64(2.0)),
        (np.uint8(10), 2),
        (10, np.float32(2.0)),
        (10, Fraction(2)),
    ):
        assert same_bits(supertrend(*columns, period, multiplier)[0], expected[0])


def test_a_grid_needs_lists_of_settings() -> None:
    with pytest.raises(IndicatorError, match=r"^periods: 7 is not a list of settings$"):
        supertrend_grid(*whole().columns, 7, [3.0])
    with pytest.raises(IndicatorError, match=r"^periods: \[\[7\], \[1, 2\]\] is not a list of settings$"):
        supertrend_grid(*whole().columns, [[7], [1, 2]], [3.0])
    with pytest.raises(IndicatorError, match=r"^multipliers: 3.0 is not a list of settings$"):
        supertrend_grid(*whole().columns, [7], 3.0)
    assert supertrend_grid(*whole().columns, [], [3.0])[0].shape == (80, 0, 1)


def test_the_largest_prices_and_multiplier_leave_every_line_finite() -> None:
    close = np.array([1e100, -1e100] * 20)
    for period in (1, 7, 40):
        line, direction = supertrend(close.clip(0), close.clip(max=0), close, period, 1e100)
        assert np.isfinite(line[period - 1 :]).all()
        assert (direction[period - 1 :] != 0).all()
