"""Which prices of a path can be an option's extremes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.paper.paths import Floats


def fronts(spots: Floats, groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the prices of each group that a derivative's open, high, low and close can stand at.

    A premium rises or falls with the spot and, where the spot is the same, rises or falls with time. So its highest is
    at a spot higher (or lower) than all before it, or than all after it, and so is its lowest: of some hundred prices
    a few dozen are left. ``groups`` are numbers that never fall; the first and the last of each are marked.

    >>> fronts(np.array([5.0, 6.0, 5.5, 5.7, 5.6, 7.0, 3.0, 4.0]), np.array([0, 0, 0, 0, 0, 0, 1, 1])).tolist()
    [True, True, True, False, True, True, True, True]
    """
    if not len(spots):
        return np.zeros(0, dtype=np.bool_)
    apart = (groups - groups[0]) * (float(spots.max() - spots.min()) + 1.0)
    rising = _records(spots + apart) | _records(apart - spots)
    ahead, reach = spots[::-1], (apart[-1] - apart)[::-1]
    falling = _records(ahead + reach) | _records(reach - ahead)
    return rising | falling[::-1]


def _records(values: Floats) -> NDArray[np.bool_]:
    """Mark the values that are higher than all before them."""
    marked = np.ones(len(values), dtype=np.bool_)
    marked[1:] = values[1:] > np.maximum.accumulate(values)[:-1]
    return marked
