# ruff: noqa: PLR0917  machine code is called by position
"""Supertrend in machine code: the formula of one bar, and the four ways to run it over arrays (RULES 8).

A bar is one pass: true range, average, bands, line and direction together; nothing is kept but the state after the
last bar. Loops over series and over pairs have no branch inside, so that the compiler works on eight of them at a time.

Warm-up is arithmetic, not a case of its own: up to bar n − 2 the "average" is the plain sum, S = (S·1 + TR) / 1, bar
n − 1 divides it, (S·1 + TR) / n, and from then on it is (A·(n−1) + TR) / n. These are the sums and quotients of RULES 8
in their order, bit for bit. Final bands stay 0 through warm-up, which is what Pine makes of NaN.

Every kernel answers whether all bars were sound. If not, what it wrote is worthless and the caller says which bar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

from engine.domain.compiled import formula, kernel
from engine.domain.supertrend_live import LARGEST_PRICE

Floats = npt.NDArray[np.float64]
Signs = npt.NDArray[np.int8]

STATE_ROWS = 5
AVERAGE, LOWER, UPPER, LINE, CLOSE = range(STATE_ROWS)
"""Rows of a state (rows, series): the average (its sum in warm-up), both final bands, the line, the last close."""

_WARM = np.int8(0)

_prices = types.Array(types.float64, 1, "C", readonly=True)
_table = types.Array(types.float64, 2, "C", readonly=True)
_settings = (types.int64, types.float64, types.int8)


def fresh_state(series: int) -> Floats:
    """State before the first bar: nothing summed, no band, no close."""
    state = np.zeros((STATE_ROWS, series))
    state[CLOSE] = np.nan
    return state


def _fused(_: Any, one: Any, other: Any, added: Any) -> tuple[Any, Callable[..., Any]]:
    return types.float64(one, other, added), lambda _context, builder, _signature, values: builder.fma(*values)


fused: Any = intrinsic(_fused)
"""one · other + added, rounded once: an instruction of the processor, not a function of Python."""


@formula
def is_sound(high: float, low: float, close: float) -> bool:
    """Whether prices are numbers in range and the high is not below the low."""
    return (high >= low) & (high <= LARGEST_PRICE) & (low >= -LARGEST_PRICE) & (abs(close) <= LARGEST_PRICE)


@formula
def true_range(high: float, low: float, before: float) -> float:
    """How far price went since the close ``before``; high − low where there was none (NaN)."""
    reach, rise, fall = high - low, abs(high - before), abs(low - before)
    reach = rise if rise > reach else reach  # noqa: FURB136  what max makes of NaN is not said
    return fall if fall > reach else reach  # noqa: FURB136  as above


@formula
def next_bar(
    middle: float, reach: float, close: float, before: float, lower: float, upper: float, line: float, turned: bool
) -> tuple[float, float, bool]:
    """Both final bands of a bar and whether it is up, from those and the line before it.

    ``turned`` False holds the direction down: there was no average before this bar.
    """
    raw_lower, raw_upper = middle - reach, middle + reach
    new_lower = raw_lower if (raw_lower > lower) | (before < lower) else lower
    new_upper = raw_upper if (raw_upper < upper) | (before > upper) else upper
    on_upper = line == upper
    up = turned & ((on_upper & (close > new_upper)) | ((not on_upper) & (not (close < new_lower))))
    return new_lower, new_upper, up


@kernel(_prices, _prices, _prices, *_settings, types.float64[::1], types.int8[::1])
def one_series(
    highs: Floats,
    lows: Floats,
    closes: Floats,
    period: int,
    multiplier: float,
    up_sign: int,
    lines: Floats,
    signs: Signs,
) -> bool:
    """Line and direction of one series; all arrays (bars,)."""
    sound, average, lower, upper, line, before = True, 0.0, 0.0, 0.0, 0.0, np.nan
    for bar in range(min(period, closes.size)):
        high, low, close = highs[bar], lows[bar], closes[bar]
        sound &= is_sound(high, low, close)
        average += true_range(high, low, before)
        lines[bar], signs[bar] = np.nan, _WARM
        if bar == period - 1:
            average /= period
            middle, reach = (high + low) / 2.0, multiplier * average
            lower, upper, _ = next_bar(middle, reach, close, before, lower, upper, line, False)
            line = upper
            lines[bar], signs[bar] = line, -up_sign
        before = close
    # A division takes thirteen cycles, and the next bar waits for it. So the quotient is guessed in two steps, with 1/n
    # in two parts, and the division only confirms the guess beside the way; where it ever does not, it takes over.
    part, rest, reached = 1.0 / period, fused(-float(period), 1.0 / period, 1.0) / period, closes.size
    for bar in range(period, closes.size):
        high, low, close = highs[bar], lows[bar], closes[bar]
        total = average * (period - 1.0) + true_range(high, low, before)
        average = fused(total, part, total * rest)
        if average != total / period:
            average, reached = total / period, bar
            break
        sound &= is_sound(high, low, close)
        middle, reach = (high + low) / 2.0, multiplier * average
        lower, upper, up = next_bar(middle, reach, close, before, lower, upper, line, True)
        line = lower if up else upper
        lines[bar], signs[bar] = line, up_sign if up else -up_sign
        before = close
    for bar in range(reached, closes.size):
        high, low, close = highs[bar], lows[bar], closes[bar]
        sound &= is_sound(high, low, close)
        if bar > reached:
            average = (average * (period - 1.0) + true_range(high, low, before)) / period
        middle, reach = (high + low) / 2.0, multiplier * average
        lower, upper, up = next_bar(middle, reach, close, before, lower, upper, line, True)
        line = lower if up else upper
        lines[bar], signs[bar] = line, up_sign if up else -up_sign
        before = close
    return sound


@kernel(
    _table, _table, _table, types.int64, *_settings, types.float64[:, ::1], types.float64[:, ::1], types.int8[:, ::1]
)
def many_series(
    highs: Floats,
    lows: Floats,
    closes: Floats,
    begun: int,
    period: int,
    multiplier: float,
    up_sign: int,
    state: Floats,
    lines: Floats,
    signs: Signs,
) -> bool:
    """Lines and directions of many series, (bars, series); ``state`` is that after ``begun`` bars and moves on."""
    bars, series = closes.shape
    unsound = 0
    for bar in range(bars):
        age = begun + bar
        warm, turned = age < period - 1, age >= period
        weight = period - 1.0 if turned else 1.0
        divisor = 1.0 if warm else float(period)
        for k in range(series):
            high, low, close, before = highs[bar, k], lows[bar, k], closes[bar, k], state[CLOSE, k]
            unsound |= not is_sound(high, low, close)
            average = (state[AVERAGE, k] * weight + true_range(high, low, before)) / divisor
            middle, reach = (high + low) / 2.0, multiplier * average
            lower, upper, line = state[LOWER, k], state[UPPER, k], state[LINE, k]
            lower, upper, up = next_bar(middle, reach, close, before, lower, upper, line, turned)
            line = lower if up else upper
            state[AVERAGE, k] = average
            state[LOWER, k] = 0.0 if warm else lower
            state[UPPER, k] = 0.0 if warm else upper
            state[LINE, k] = line
            state[CLOSE, k] = close
            lines[bar, k] = np.nan if warm else line
            signs[bar, k] = _WARM if warm else (up_sign if up else -up_sign)
    return unsound == 0


@kernel(
    _prices,
    _prices,
    _prices,
    types.int64,
    *_settings,
    _table,
    types.float64[:, ::1],
    types.float64[::1],
    types.int8[::1],
)
def one_bar(
    highs: Floats,
    lows: Floats,
    closes: Floats,
    age: int,
    period: int,
    multiplier: float,
    up_sign: int,
    state: Floats,
    after: Floats,
    lines: Floats,
    signs: Signs,
) -> bool:
    """One more bar of many series, (series,): ``state`` is only read, ``after`` becomes the state with the bar."""
    if not highs.size == lows.size == closes.size == state.shape[1]:
        return False
    warm, turned = age < period - 1, age >= period
    weight = period - 1.0 if turned else 1.0
    divisor = 1.0 if warm else float(period)
    unsound = 0
    for k in range(closes.size):
        high, low, close, before = highs[k], lows[k], closes[k], state[CLOSE, k]
        unsound |= not is_sound(high, low, close)
        average = (state[AVERAGE, k] * weight + true_range(high, low, before)) / divisor
        middle, reach = (high + low) / 2.0, multiplier * average
        lower, upper, line = state[LOWER, k], state[UPPER, k], state[LINE, k]
        lower, upper, up = next_bar(middle, reach, close, before, lower, upper, line, turned)
        line = lower if up else upper
        after[AVERAGE, k] = average
        after[LOWER, k] = 0.0 if warm else lower
        after[UPPER, k] = 0.0 if warm else upper
        after[LINE, k] = line
        after[CLOSE, k] = close
        lines[k] = np.nan if warm else line
        signs[k] = _WARM if warm else (up_sign if up else -up_sign)
    return unsound == 0


@kernel(_prices, _prices, _prices, _prices, _prices, types.int8, types.float64[:, ::1], types.int8[:, ::1])
def many_pairs(
    highs: Floats,
    lows: Floats,
    closes: Floats,
    periods: Floats,
    multipliers: Floats,
    up_sign: int,
    lines: Floats,
    signs: Signs,
) -> bool:
    """Lines and directions of one series (bars,) under many settings, (bars, pairs); periods come as whole floats."""
    pairs = periods.size
    averages, lowers, uppers, ends = np.zeros(pairs), np.zeros(pairs), np.zeros(pairs), np.zeros(pairs)
    sound, before = True, np.nan
    for bar in range(closes.size):
        high, low, close = highs[bar], lows[bar], closes[bar]
        sound &= is_sound(high, low, close)
        middle, reach, age = (high + low) / 2.0, true_range(high, low, before), float(bar)
        for k in range(pairs):
            period = periods[k]
            warm, turned = age < period - 1.0, age >= period
            average = (averages[k] * (period - 1.0 if turned else 1.0) + reach) / (1.0 if warm else period)
            lower, upper, up = next_bar(
                middle, multipliers[k] * average, close, before, lowers[k], uppers[k], ends[k], turned
            )
            line = lower if up else upper
            averages[k] = average
            lowers[k] = 0.0 if warm else lower
            uppers[k] = 0.0 if warm else upper
            ends[k] = line
            lines[bar, k] = np.nan if warm else line
            signs[bar, k] = _WARM if warm else (up_sign if up else -up_sign)
        before = close
    return sound
