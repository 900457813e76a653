"""Seeded price paths: a deterministic function of the seed, the name and the instant.

A path is a sum of octaves of interpolated noise. Octave k changes every 0.5·4^k seconds, and its size grows with that
span nearly as a random walk's does. Nothing is stored: a restarted exchange continues the same path, and any past
instant can be asked for, alone or as a row of prints.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SPANS: tuple[float, ...] = tuple(0.5 * 4.0**k for k in range(11))
"""Seconds between the grid points of the octaves: half a second to six days."""
ROUGHNESS = 0.43
"""Growth of moves with time, 0.5 for a random walk. A little less lets every second of an always open market move like
one of a session, and a whole day no more than its options are priced for."""
SCALE = 0.58
"""Makes the mean square move over one second about 1."""
SIZES: tuple[float, ...] = tuple(SCALE * span**ROUGHNESS for span in SPANS)
SESSION_SECONDS = 252 * 22_500
"""Trading seconds a year. Yearly volatility is spread over these: an always open market moves like a session."""

Floats = NDArray[np.float64]

_MASK = (1 << 64) - 1
_WHOLE = 2.0**64
_OCTAVE_STEP, _INDEX_STEP, _FIRST_MIX, _SECOND_MIX = (
    0xD1B54A32D192ED03,
    0x9E3779B97F4A7C15,
    0xBF58476D1CE4E5B9,
    0x94D049BB133111EB,
)
_REACHES: tuple[float, ...] = tuple(size * math.sqrt(3.0) for size in SIZES)
_CHUNK = 16_384
"""Prints that are computed at a time: few enough to stay near the processor."""
_BLOCK = 4_096
"""Cells of at most this many prints are laid out as the rows of a table; of wider ones only the prints asked for."""


class Path:
    """One path: ``deviation`` is its logarithmic distance from the base, in units of one second's volatility."""

    def __init__(self, seed: int, name: str) -> None:
        digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
        self._word = int.from_bytes(digest, "big")
        self._grid: list[tuple[int, float, float]] = [(-1, 0.0, 0.0)] * len(SPANS)

    def deviation(self, at: float) -> float:
        """Distance from the base at an instant (epoch seconds).

        >>> path = Path(7, "NIFTY")
        >>> path.deviation(1.8e9) == Path(7, "NIFTY").deviation(1.8e9)
        True
        """
        total = 0.0
        for octave, span in enumerate(SPANS):
            position = at / span
            index = math.floor(position)
            known = self._grid[octave]
            if known[0] != index:
                known = (index, self._draw(octave, index), self._draw(octave, index + 1))
                self._grid[octave] = known
            share = position - index
            share = share * share * (3.0 - 2.0 * share)
            total += known[1] + share * (known[2] - known[1])
        return total

    def deviations(self, first: int, count: int, *, fineness: int = 1) -> Floats:
        """Return the distances of ``count`` prints in a row; print n stands at n·0.5/fineness epoch seconds.

        ``fineness`` is a power of two.

        >>> path, first = Path(7, "NIFTY"), 3_600_000_000
        >>> rows = path.deviations(first, 40)
        >>> bool(rows[39] == path.deviation((first + 39) * 0.5))
        True
        """
        total = np.zeros(count)
        for start in range(0, count, _CHUNK):
            self._add(total[start : start + _CHUNK], first + start, fineness)
        return total

    def _add(self, total: Floats, first: int, fineness: int) -> None:
        count = len(total)
        for octave in range(len(SPANS)):
            width = 4**octave * fineness
            low, high = first // width, (first + count - 1) // width
            draws = self._draws(octave, low, high + 2)
            total += (_table if width <= _BLOCK else _slices)(draws, low, width, first, count)

    def _draw(self, octave: int, index: int) -> float:
        """Return a number with mean 0 and the octave's size, uniform, from the grid point alone (splitmix64)."""
        z = (self._word + octave * _OCTAVE_STEP + (index + 1) * _INDEX_STEP) & _MASK
        z = ((z ^ (z >> 30)) * _FIRST_MIX) & _MASK
        z = ((z ^ (z >> 27)) * _SECOND_MIX) & _MASK
        z ^= z >> 31
        return (float(z) / _WHOLE * 2.0 - 1.0) * _REACHES[octave]

    def _draws(self, octave: int, low: int, high: int) -> Floats:
        """Return ``_draw`` of the grid points from ``low`` to before ``high``: the same arithmetic in rows."""
        z = np.arange(low + 1, high + 1, dtype=np.uint64) * np.uint64(_INDEX_STEP)
        z += np.uint64((self._word + octave * _OCTAVE_STEP) & _MASK)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST_MIX)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND_MIX)
        z ^= z >> np.uint64(31)
        return (z.astype(np.float64) / _WHOLE * 2.0 - 1.0) * _REACHES[octave]


def _table(draws: Floats, low: int, width: int, first: int, count: int) -> Floats:
    """Interpolate narrow cells, all prints of each."""
    rows = _ramp(width) * (draws[1:] - draws[:-1])[:, None]
    rows += draws[:-1, None]
    start = first - low * width
    return rows.reshape(-1)[start : start + count]


def _slices(draws: Floats, low: int, width: int, first: int, count: int) -> Floats:
    """Interpolate the parts of wide cells that the prints lie in."""
    values = np.empty(count)
    for cell in range(len(draws) - 1):
        start = (low + cell) * width
        begin, end = max(first, start), min(first + count, start + width)
        share = _eased(np.arange(begin - start, end - start) / width)
        values[begin - first : end - first] = draws[cell] + share * (draws[cell + 1] - draws[cell])
    return values


@lru_cache(maxsize=64)
def _ramp(width: int) -> Floats:
    return _eased(np.arange(width) / width)


def _eased(share: Floats) -> Floats:
    return share * share * (3.0 - 2.0 * share)


def second_volatility(yearly: float) -> float:
    """Volatility of one second from a yearly figure (fractions).

    >>> round(26000 * second_volatility(0.14), 2)
    1.53
    """
    return yearly / math.sqrt(SESSION_SECONDS)
