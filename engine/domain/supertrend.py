"""Supertrend over arrays: one series, many series, many settings (RULES 8; speed: DESIGN 8).

Pine Script v6 bit for bit, signs aside: +1 is bullish (the line is the lower band), −1 bearish (the upper band), 0 with
a NaN line through warm-up. ``pine_sign=True`` gives Pine's opposite sign. Prices may be negative: the combined premium
of sold and bought legs is. Lines are in the unit of the prices. Nothing given is changed, and what is returned is new.

Importing this module imports numba; bar by bar, without it: ``supertrend_live``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.domain.errors import IndicatorError
from engine.domain.supertrend_input import Floats, checked_columns, first_fault
from engine.domain.supertrend_kernels import Signs, fresh_state, many_pairs, many_series, one_series
from engine.domain.supertrend_live import checked_multiplier, checked_period


def supertrend(
    high: npt.ArrayLike,
    low: npt.ArrayLike,
    close: npt.ArrayLike,
    period: int = 7,
    multiplier: float = 3.0,
    *,
    pine_sign: bool = False,
) -> tuple[Floats, Signs]:
    """Return line (float64) and direction (int8) of one series, both (bars,).

    Raises IndicatorError naming the field, the bar and the reason: prices must be finite, a high not below its low, the
    period a whole number of at least 1, the multiplier finite and above 0. Fewer bars than the period are all warm-up.

    >>> line, direction = supertrend([12, 13, 17], [10, 11, 13], [11, 12, 16], period=2, multiplier=1.0)
    >>> line.tolist(), direction.tolist()
    ([nan, 14.0, 11.5], [0, -1, 1])
    """
    period, multiplier = checked_period(period), checked_multiplier(multiplier)
    highs, lows, closes = checked_columns(high, low, close, dimensions=1)
    line, direction = np.empty(closes.shape), np.empty(closes.shape, np.int8)
    if not one_series.ready()(highs, lows, closes, period, multiplier, -1 if pine_sign else 1, line, direction):
        raise first_fault(highs, lows, closes)
    return line, direction


def supertrend_many(
    high: npt.ArrayLike,
    low: npt.ArrayLike,
    close: npt.ArrayLike,
    period: int = 7,
    multiplier: float = 3.0,
    *,
    pine_sign: bool = False,
) -> tuple[Floats, Signs]:
    """Return lines and directions of many series of one length, all (bars, series): column k is series k alone.

    Raises IndicatorError as ``supertrend`` does, naming bar and series.
    """
    period, multiplier = checked_period(period), checked_multiplier(multiplier)
    highs, lows, closes = checked_columns(high, low, close, dimensions=2)
    line, direction = np.empty(closes.shape), np.empty(closes.shape, np.int8)
    state, up_sign = fresh_state(closes.shape[1]), -1 if pine_sign else 1
    if not many_series.ready()(highs, lows, closes, 0, period, multiplier, up_sign, state, line, direction):
        raise first_fault(highs, lows, closes)
    return line, direction


def supertrend_grid(
    high: npt.ArrayLike,
    low: npt.ArrayLike,
    close: npt.ArrayLike,
    periods: npt.ArrayLike,
    multipliers: npt.ArrayLike,
    *,
    pine_sign: bool = False,
) -> tuple[Floats, Signs]:
    """Return line and direction of one series under every period with every multiplier, (bars, periods, multipliers).

    ``line[:, a, b]`` is ``supertrend`` with ``periods[a]`` and ``multipliers[b]``. Raises IndicatorError as that does.
    """
    rows = [checked_period(period, field=f"periods[{a}]") for a, period in enumerate(_settings("periods", periods))]
    columns = [
        checked_multiplier(multiplier, field=f"multipliers[{b}]")
        for b, multiplier in enumerate(_settings("multipliers", multipliers))
    ]
    highs, lows, closes = checked_columns(high, low, close, dimensions=1)
    pairs = np.repeat(np.array(rows, np.float64), len(columns)), np.tile(np.array(columns, np.float64), len(rows))
    shape = closes.size, len(rows) * len(columns)
    line, direction = np.empty(shape), np.empty(shape, np.int8)
    if not many_pairs.ready()(highs, lows, closes, *pairs, -1 if pine_sign else 1, line, direction):
        raise first_fault(highs, lows, closes)
    grid = closes.size, len(rows), len(columns)
    return line.reshape(grid), direction.reshape(grid)


def _settings(field: str, given: Any) -> list[Any]:
    try:
        dimensions = np.ndim(given)
    except ValueError:  # lists of different lengths
        dimensions = 2
    if dimensions != 1:
        raise IndicatorError(field, f"{given!r} is not a list of settings")
    return list(given)
