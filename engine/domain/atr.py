"""Average true range as Pine's ``ta.atr`` has it, out of TA-Lib: for charts, and to check Supertrend against (RULES 8).

TA-Lib skips the first bar and seeds its average one bar later. One bar put in front — the first high and low, closed in
their middle, so that the first true range is high − low — moves it onto Pine's; its own first value is dropped again.

Importing this module loads TA-Lib: nothing that the engine loads at its start may need it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import talib

from engine.domain.supertrend_input import Floats, are_sound, checked_columns, first_fault
from engine.domain.supertrend_live import checked_period


def atr(high: npt.ArrayLike, low: npt.ArrayLike, close: npt.ArrayLike, period: int = 7) -> Floats:
    """Return the average true range (bars,), in the unit of the prices; NaN for the first ``period`` − 1 bars.

    Raises IndicatorError naming field, bar and reason, as ``supertrend`` does.

    >>> atr([12, 13, 17], [10, 11, 13], [11, 12, 16], period=2).tolist()
    [nan, 2.0, 3.5]
    """
    period = checked_period(period)
    highs, lows, closes = checked_columns(high, low, close, dimensions=1)
    if not are_sound(highs, lows, closes).all():
        raise first_fault(highs, lows, closes)
    if closes.size < period:
        return np.full(closes.shape, np.nan)
    padded = np.r_[highs[0], highs], np.r_[lows[0], lows], np.r_[(highs[0] + lows[0]) / 2.0, closes]
    average: Floats = talib.ATR(*padded, timeperiod=period)
    return average[1:]
