"""What was set from outside, and when: the past keeps the prices that were shown."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Generic, TypeVar

T = TypeVar("T")


class Timeline(Generic[T]):
    """A value that changes at instants (epoch seconds): ``first`` before the first change."""

    def __init__(self, first: T) -> None:
        self._instants: list[float] = []
        self._values = [first]

    @property
    def latest(self) -> T:
        """The value after all changes."""
        return self._values[-1]

    def set(self, value: T, at: float) -> None:
        """Change the value from ``at`` on; a change does not come before the one that was made before it."""
        self._instants.append(max(at, self._instants[-1]) if self._instants else at)
        self._values.append(value)

    def state(self, at: float) -> int:
        """Return how many changes have been made at an instant: the place of its value.

        >>> pin = Timeline[int | None](None)
        >>> pin.set(7_500, 60.0)
        >>> [pin.value(pin.state(at)) for at in (59.5, 60.0)]
        [None, 7500]
        """
        return bisect_right(self._instants, at)

    def value(self, state: int) -> T:
        """Return the value of a state."""
        return self._values[state]

    def changes(self, start: float, end: float) -> list[float]:
        """Return the instants of changes from ``start`` to before ``end``."""
        return self._instants[bisect_left(self._instants, start) : bisect_left(self._instants, end)]
