"""Supertrend of one series, bar by bar: what the risk monitor holds of each run (RULES 7, 8).

A state is a frozen value, small and of constant size. A closed bar makes the next state; an open bar only shows what it
would make. Plain floats give the same bits as the machine code of ``supertrend`` and need no numba: an engine that
watches a hundred runs starts and stays small.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, NamedTuple, Protocol, Self, SupportsIndex

from engine.domain.errors import IndicatorError

LONGEST_PERIOD = 100_000
"""In bars: what TA-Lib's average, the cross-check, takes at most."""

LARGEST_PRICE = 1e100
"""Prices beyond are refused: their sums could overflow, and NaN compares as no price does."""

LARGEST_MULTIPLIER = 1e100
"""Multipliers beyond are refused: bands could lie at infinity, where no close ever turns a direction."""


_COUNTS = frozenset({"period", "bars", "direction"})


class PricedBar(Protocol):
    """A bar as far as Supertrend looks at it; ``candles.Bar`` is one."""

    @property
    def high(self) -> float: ...  # noqa: D102
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def close(self) -> float: ...  # noqa: D102


class Trend(NamedTuple):
    """What Supertrend says of a bar: the line in the series' unit and +1 bullish, −1 bearish; NaN and 0 in warm-up."""

    line: float
    direction: int


def checked_period(period: SupportsIndex, *, field: str = "period") -> int:
    """Return the period as int; raises IndicatorError naming ``field`` unless it is a whole number of at least 1."""
    try:
        bars = None if isinstance(period, bool) else operator.index(period)
    except TypeError:
        bars = None
    if bars is None:
        raise IndicatorError(field, f"{period!r} is not a whole number of bars")
    if not 1 <= bars <= LONGEST_PERIOD:
        raise IndicatorError(field, f"{bars} is not between 1 and {LONGEST_PERIOD} bars")
    return bars


def checked_multiplier(multiplier: float, *, field: str = "multiplier") -> float:
    """Return the multiplier as float; raises IndicatorError naming ``field`` unless it is above 0 and at most 1e100."""
    if isinstance(multiplier, bool) or not isinstance(multiplier, Real):
        raise IndicatorError(field, f"{multiplier!r} is not a number")
    try:
        value = float(multiplier)
    except OverflowError:
        value = math.inf
    if not 0.0 < value < math.inf:
        raise IndicatorError(field, f"{multiplier} is not a finite number above 0")
    if value > LARGEST_MULTIPLIER:
        raise IndicatorError(field, f"{multiplier} is above {LARGEST_MULTIPLIER:g}: no price would reach a band")
    return value


def bar_fault(high: float, low: float, close: float) -> tuple[str, str] | None:
    """Return the field and the reason why prices make no bar, None when they do."""
    for field, price in (("high", high), ("low", low), ("close", close)):
        if not math.isfinite(price):
            return field, f"is {price}, not a finite price"
        if abs(price) > LARGEST_PRICE:
            return field, f"is {price:g}, too large for a price"
    return None if high >= low else ("high", f"is {high}, below the low {low}")


@dataclass(frozen=True, slots=True)
class SupertrendState:
    """Supertrend after some closed bars; make the first one with ``SupertrendState.start``.

    ``average`` is the average true range, through warm-up the sum of the ranges so far; ``lower`` and ``upper`` are the
    final bands, 0 through warm-up as Pine has it.
    """

    period: int
    multiplier: float
    bars: int = 0
    average: float = 0.0
    lower: float = 0.0
    upper: float = 0.0
    line: float = math.nan
    direction: int = 0
    close: float = math.nan

    @classmethod
    def start(cls, period: int = 7, multiplier: float = 3.0) -> Self:
        """Return the state before the first bar; raises IndicatorError for a setting that makes no sense.

        >>> state = SupertrendState.start(period=2, multiplier=1.0)
        >>> from types import SimpleNamespace as Candle
        >>> for high, low, close in ((12, 10, 11), (13, 11, 12), (17, 13, 16)):
        ...     state = state.commit(Candle(high=high, low=low, close=close))
        >>> state.trend
        Trend(line=11.5, direction=1)
        """
        return cls(checked_period(period), checked_multiplier(multiplier))

    @property
    def trend(self) -> Trend:
        """Line and direction of the last closed bar."""
        return Trend(self.line, self.direction)

    @property
    def is_warm(self) -> bool:
        """Whether there is a line: ``period`` bars are closed."""
        return self.bars >= self.period

    def stored(self) -> dict[str, str]:
        """Return every field by name as text that gives the same bits back, for a table or for JSON, which has no NaN.

        A state does not know which bars it has seen: whoever keeps it keeps the start of the last one beside it.
        """
        return {field.name: repr(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def restored(cls, stored: Mapping[str, str]) -> Self:
        """Return the state that ``stored`` told of; raises IndicatorError naming the field when no state tells that."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            kind = int if field.name in _COUNTS else float
            try:
                values[field.name] = kind(stored[field.name])
            except (KeyError, TypeError, ValueError) as problem:
                raise IndicatorError(
                    field.name, f"{stored.get(field.name)!r} is no stored {kind.__name__}"
                ) from problem
        checked_period(values["period"])
        checked_multiplier(values["multiplier"])
        state = cls(**values)
        if not state._is_sound():
            raise IndicatorError("state", f"these figures do not belong together: {dict(stored)}")
        return state

    def preview(self, bar: PricedBar) -> Trend:
        """Return line and direction if the open ``bar`` closed as it stands; the state stays as it is."""
        return self.commit(bar).trend

    def commit(self, bar: PricedBar) -> Self:
        """Return the state with one more closed bar (RULES 8); raises IndicatorError naming field and bar."""
        high, low, close = float(bar.high), float(bar.low), float(bar.close)
        if fault := bar_fault(high, low, close):
            raise IndicatorError(fault[0], f"bar {self.bars} {fault[1]}")
        average = self._average(high, low)
        if self.bars + 1 < self.period:
            return type(self)(self.period, self.multiplier, self.bars + 1, average, close=close)
        middle, reach, before = (high + low) / 2.0, self.multiplier * average, self.close
        lower, upper = middle - reach, middle + reach
        if not (lower > self.lower or before < self.lower):
            lower = self.lower
        if not (upper < self.upper or before > self.upper):
            upper = self.upper
        if self.bars + 1 == self.period:
            up = False
        elif self.line == self.upper:
            up = close > upper
        else:
            up = not close < lower
        line, direction = (lower, 1) if up else (upper, -1)
        return type(self)(self.period, self.multiplier, self.bars + 1, average, lower, upper, line, direction, close)

    def _is_sound(self) -> bool:
        """Whether bars could have left these figures."""
        if not (0.0 <= self.average < math.inf and math.isfinite(self.lower) and math.isfinite(self.upper)):
            return False
        if self.bars <= 0:
            return repr(self) == repr(type(self)(self.period, self.multiplier))  # NaN equals nothing
        if not math.isfinite(self.close):
            return False
        if self.is_warm:
            return self.line == {1: self.lower, -1: self.upper}.get(self.direction)
        return self.direction == 0 and math.isnan(self.line) and self.lower == self.upper == 0.0

    def _average(self, high: float, low: float) -> float:
        """Average true range with one more bar: the sum until the first ``period`` bars are closed."""
        reach = high - low
        if self.bars:
            reach = max(reach, abs(high - self.close), abs(low - self.close))
        if self.bars >= self.period:
            return (self.average * (self.period - 1) + reach) / self.period
        total = self.average + reach
        return total / self.period if self.bars + 1 == self.period else total
