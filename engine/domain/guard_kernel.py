# ruff: noqa: PLR0917  machine code is called by position
"""The guard in machine code: every form at the prices of now, in one pass over the arrays (DESIGN 2).

Importing this module imports numba: the engine does so in a thread beside the core, once it serves enough runs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import types

from engine.domain.compiled import kernel
from engine.domain.guard import Fired, Floats, Wholes

_floats = types.Array(types.float64, 1, "C")
_wholes = types.Array(types.int64, 1, "C")


@kernel(_floats, _wholes, _wholes, _floats, _floats, _floats, _floats, _wholes)
def mark_fired(
    prices: Floats,
    starts: Wholes,
    columns: Wholes,
    quantities: Floats,
    bases: Floats,
    lows: Floats,
    highs: Floats,
    fired: Wholes,
) -> int:
    """Write the rows that fire into ``fired``; return how many they are."""
    count = 0
    for row in range(len(bases)):
        value = 0.0
        for term in range(starts[row], starts[row + 1]):
            value += quantities[term] * prices[columns[term]]
        value += bases[row]
        if value <= lows[row] or value >= highs[row]:
            fired[count] = row
            count += 1
    return count


def compiled() -> Fired:
    """Return ``guard.fired_rows`` in machine code; compiles it or reads it from numba's cache (seconds, at first)."""
    mark: Callable[..., int] = mark_fired.ready()

    def fired_rows(
        prices: Floats, starts: Wholes, columns: Wholes, quantities: Floats, bases: Floats, lows: Floats, highs: Floats
    ) -> Wholes:
        fired = np.empty(len(bases), np.int64)
        return fired[: mark(prices, starts, columns, quantities, bases, lows, highs, fired)]

    return fired_rows
