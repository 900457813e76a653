"""What of a run an exit by hand shall take, as it comes from outside: checked, with the field named (law 11)."""

from __future__ import annotations

import math

from engine.services.errors import InvalidInput

WHOLE = 100.0


def whole_of(field: str, value: object) -> int:
    """Return a whole number; raises InvalidInput naming the field for anything else, also for True and "1"."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(field, f"{value!r} is not a whole number")
    return value


def id_of(field: str, value: object) -> int:
    """Return a whole number above 0; raises InvalidInput naming the field for anything else."""
    number = whole_of(field, value)
    if number < 1:
        raise InvalidInput(field, f"{number} is not above 0")
    return number


def ids_of(field: str, what: str, value: object) -> tuple[int, ...]:
    """Return whole numbers above 0 in their order, each once; none for None, which means all.

    Raises InvalidInput naming the field for an empty list and for anything that is no such number.
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise InvalidInput(field, f"{value!r} is no list")
    if not value:
        raise InvalidInput(field, f"choose at least one {what}")
    return tuple(sorted({id_of(field, one) for one in value}))


def share_of(value: object) -> float | None:
    """Return how many percent shall leave, None for all of it; raises InvalidInput unless 0 < share ≤ 100."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput("share", f"{value!r} is no number of percent")
    if not math.isfinite(value) or not 0 < value <= WHOLE:
        raise InvalidInput("share", f"{value} is not above 0 and at most 100 percent")
    return None if value == WHOLE else float(value)


def part_words(run_id: int, leg_indexes: tuple[int, ...], share: float | None) -> str:
    """Return in words what of a run leaves.

    >>> part_words(5, (), None), part_words(5, (2,), None), part_words(5, (1, 2), 50.0)
    ('run 5', 'leg 2 of run 5', '50 % of legs 1, 2 of run 5')
    """
    legs = ", ".join(str(index) for index in leg_indexes)
    where = f"{'leg' if len(leg_indexes) == 1 else 'legs'} {legs} of run {run_id}" if legs else f"run {run_id}"
    return where if share is None else f"{share:g} % of {where}"
