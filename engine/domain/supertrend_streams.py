"""Supertrend of many series that go on together, one call a bar (RULES 8; speed: DESIGN 8).

A replay or a page of hundreds of symbols closes all its bars at once: one call of machine code moves them all. For a
single run see ``supertrend_live``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.domain.errors import IndicatorError
from engine.domain.supertrend_input import Floats, checked_columns, first_fault
from engine.domain.supertrend_kernels import Signs, fresh_state, many_series, one_bar
from engine.domain.supertrend_live import checked_multiplier, checked_period

_ARRAY, _SIGN, _empty = np.ndarray, np.dtype(np.int8), np.empty
"""Names close at hand: a bar of 500 series takes a microsecond, and looking these up a tenth of one."""


class SupertrendStreams:
    """``series`` Supertrends with one period and multiplier, after ``bars`` closed bars each.

    The committed state is read by the kernel and never written: a closed bar is computed into the spare one, and then
    the two change places. So an open bar, or a bar that is refused, cannot leave a trace. One thread owns an object.
    """

    __slots__ = ("_spare", "_state", "_step", "_up_sign", "bars", "multiplier", "period", "series")

    def __init__(self, series: int, period: int = 7, multiplier: float = 3.0, *, pine_sign: bool = False) -> None:
        self.series = checked_period(series, field="series")
        self.period = checked_period(period)
        self.multiplier = checked_multiplier(multiplier)
        self.bars = 0
        self._up_sign = -1 if pine_sign else 1
        self._state, self._spare = fresh_state(self.series), fresh_state(self.series)
        self._step = one_bar.ready()

    def commit(self, high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike) -> tuple[Floats, Signs]:
        """Take one closed bar of every series, (series,) each; return lines and directions, new arrays (series,).

        Raises IndicatorError naming field and series, and then no series has moved.
        """
        trend = self.preview(high, low, close)
        self._state, self._spare = self._spare, self._state
        self.bars += 1
        return trend

    def preview(self, high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike) -> tuple[Floats, Signs]:
        """Return what ``commit`` would, were the open bars closed as they stand; nothing moves."""
        series = self.series
        line, direction = _empty(series), _empty(series, _SIGN)
        bars, period, multiplier, up_sign = self.bars, self.period, self.multiplier, self._up_sign
        state, spare = self._state, self._spare
        try:  # at once, if the kernel takes what is given; it looks at the lengths and at every price
            sound = type(high) is type(low) is type(close) is _ARRAY and self._step(
                high, low, close, bars, period, multiplier, up_sign, state, spare, line, direction
            )
        except TypeError:
            sound = False
        if not sound:
            columns = self._columns(high, low, close)
            if not self._step(*columns, bars, period, multiplier, up_sign, state, spare, line, direction):
                raise first_fault(*(column[None] for column in columns), begun=bars)
        return line, direction

    def commit_bars(self, high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike) -> tuple[Floats, Signs]:
        """Take many closed bars at once, (bars, series) each, as a history brings them; return (bars, series)."""
        highs, lows, closes = checked_columns(high, low, close, dimensions=2)
        if highs.shape[1] != self.series:
            raise IndicatorError("high", f"has {highs.shape[1]} columns, there are {self.series} series")
        line, direction = np.empty(closes.shape), np.empty(closes.shape, np.int8)
        state = self._state.copy()
        if not many_series.ready()(
            highs, lows, closes, self.bars, self.period, self.multiplier, self._up_sign, state, line, direction
        ):
            raise first_fault(highs, lows, closes, begun=self.bars)
        self._state = state
        self.bars += len(closes)
        return line, direction

    def _columns(self, high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
        columns = checked_columns(high, low, close, dimensions=1)
        if columns[0].size != self.series:
            raise IndicatorError("high", f"has {columns[0].size} values, there are {self.series} series")
        return columns
