"""What Supertrend takes for bars: real numbers in arrays of one shape, looked at without changing them (RULES 8)."""

from __future__ import annotations

from numbers import Real

import numpy as np
import numpy.typing as npt

from engine.domain.errors import IndicatorError
from engine.domain.supertrend_live import LARGEST_PRICE, bar_fault

Floats = npt.NDArray[np.float64]

_FLOAT64 = np.dtype(np.float64)
_SHAPES = {1: "one value a bar", 2: "rows of bars, one column a series"}


def checked_columns(
    high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike, *, dimensions: int
) -> tuple[Floats, Floats, Floats]:
    """Return the three columns as contiguous float64, the caller's own arrays where they already are that.

    Takes lists, whole numbers, float32, views with strides, pandas Series and whatever else numpy reads as an array.
    Whether prices are finite and in order is seen by the kernels on their way. Raises IndicatorError naming the field.
    """
    highs, lows = _column("high", high, dimensions), _column("low", low, dimensions)
    closes = _column("close", close, dimensions)
    if not highs.shape == lows.shape == closes.shape:
        field, shape = ("low", lows.shape) if lows.shape != highs.shape else ("close", closes.shape)
        raise IndicatorError(field, f"has the shape {shape}, the high has {highs.shape}")
    return highs, lows, closes


def are_sound(highs: Floats, lows: Floats, closes: Floats) -> npt.NDArray[np.bool_]:
    """Return for each bar whether its prices are finite, in range and the high is not below the low."""
    in_range = (highs <= LARGEST_PRICE) & (lows >= -LARGEST_PRICE) & (np.abs(closes) <= LARGEST_PRICE)
    return (highs >= lows) & in_range


def first_fault(highs: Floats, lows: Floats, closes: Floats, *, begun: int = 0) -> IndicatorError:
    """Return the error of the first bar (rows first) that is none; only for columns that have one."""
    index = int(np.argmin(are_sound(highs, lows, closes)))
    fault = bar_fault(*(float(column.flat[index]) for column in (highs, lows, closes)))
    assert fault is not None, "the caller's kernel refused a bar"
    field, reason = fault
    place = f"bar {begun + index}"
    if highs.ndim == 2:
        bar, series = divmod(index, highs.shape[1])
        place = f"bar {begun + bar} of series {series}"
    return IndicatorError(field, f"{place} {reason}")


def _column(field: str, given: npt.ArrayLike, dimensions: int) -> Floats:
    if type(given) is np.ndarray and given.dtype is _FLOAT64 and given.ndim == dimensions:
        return np.ascontiguousarray(given)
    try:
        array = np.asarray(given)
    except (TypeError, ValueError) as problem:
        raise IndicatorError(field, f"is no array of numbers: {problem}") from problem
    if array.ndim != dimensions:
        raise IndicatorError(field, f"has {array.ndim} dimensions instead of {dimensions}: {_SHAPES[dimensions]}")
    if array.dtype.kind not in "iuf" and array.size:
        _refuse(field, array)
    hidden = np.ma.getmaskarray(given) if isinstance(given, np.ma.MaskedArray) else None
    if hidden is not None and hidden.any():
        raise IndicatorError(field, f"bar {int(np.argwhere(hidden)[0][0])} is masked")
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused as that
            return np.ascontiguousarray(array, dtype=np.float64)
    except OverflowError as problem:
        raise IndicatorError(field, f"is no array of prices: {problem}") from problem


def _refuse(field: str, array: npt.NDArray[np.generic]) -> None:
    """Raise unless an array of objects holds nothing but real numbers."""
    for index, value in np.ndenumerate(array):
        if array.dtype.kind != "O" or isinstance(value, bool) or not isinstance(value, Real):
            raise IndicatorError(field, f"bar {index[0]} is {value!r}, not a real number")
