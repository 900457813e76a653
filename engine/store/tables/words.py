"""States as columns: the words themselves are stored, so that SQL, exports and later versions read the same."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Enum

LONGEST = 20


def words(states: type[StrEnum]) -> Enum:
    """Return the column type of a state: text of its values, refused on write when unknown."""
    return Enum(states, values_callable=_values, native_enum=False, length=LONGEST, validate_strings=True)


def _values(states: type[StrEnum]) -> list[str]:
    return [state.value for state in states]
