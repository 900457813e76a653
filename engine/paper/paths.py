"""Seeded price paths: a deterministic function of the seed, the name and the instant.

A path is a sum of octaves of interpolated noise. Octave k changes every 0.5·4^k seconds, and its size grows with that
span nearly as a random walk's does. Nothing is stored: a restarted exchange continues the same path, and any past
instant can be asked for.
"""

from __future__ import annotations

import hashlib
import math

SPANS = tuple(0.5 * 4.0**k for k in range(11))
"""Seconds between the grid points of the octaves: half a second to six days."""
ROUGHNESS = 0.43
"""Growth of moves with time, 0.5 for a random walk. A little less lets every second of an always open market move like
one of a session, and a whole day no more than its options are priced for."""
SCALE = 0.58
"""Makes the mean square move over one second about 1."""
SIZES = tuple(SCALE * span**ROUGHNESS for span in SPANS)
SESSION_SECONDS = 252 * 22_500
"""Trading seconds a year. Yearly volatility is spread over these: an always open market moves like a session."""

_MASK = (1 << 64) - 1


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
            total += SIZES[octave] * (known[1] + share * (known[2] - known[1]))
        return total

    def _draw(self, octave: int, index: int) -> float:
        """Return a number with mean 0 and variance 1, uniform, from the grid point alone (splitmix64)."""
        z = (self._word + octave * 0xD1B54A32D192ED03 + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        z ^= z >> 31
        return (z / _MASK * 2.0 - 1.0) * math.sqrt(3.0)


def second_volatility(yearly: float) -> float:
    """Volatility of one second from a yearly figure (fractions).

    >>> round(26000 * second_volatility(0.14), 2)
    1.53
    """
    return yearly / math.sqrt(SESSION_SECONDS)
