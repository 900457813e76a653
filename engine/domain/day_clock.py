"""Which time of day it is for what counts by days, when the machine's clock jumps (RULES 6, "P of the day").

A clock that jumps forward over midnight has begun no day as long as the time since boot does not say so too. One that
stays there for ten minutes was behind before, or the machine stood still: then it is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

JUMP = timedelta(minutes=1)
"""The clock may be ahead of the time since boot by this much."""

SETTLED_SECONDS = 600.0
"""A clock that jumped and stayed for so long is believed."""


@dataclass(frozen=True, slots=True)
class DayClock:
    """The time of day (aware) at ``boot`` (seconds since boot, suspend included).

    ``jumped``: since when (boot) the machine's clock is ahead of it. ``sure``: whether the time since boot agrees.
    """

    at: datetime
    boot: float
    jumped: float | None = None
    sure: bool = True


def went_on(known: DayClock, wall: datetime, boot: float) -> DayClock:
    """Return the clock at ``boot``, when the machine's clock shows ``wall``; one that is set back is believed at once.

    >>> from datetime import UTC
    >>> evening = DayClock(datetime(2026, 11, 23, 18, 0, tzinfo=UTC), 100.0)
    >>> jumped = went_on(evening, datetime(2026, 11, 23, 20, 0, tzinfo=UTC), 160.0)
    >>> f"{jumped.at:%H:%M}", f"{went_on(jumped, datetime(2026, 11, 23, 20, 10, tzinfo=UTC), 760.0).at:%H:%M}"
    ('18:01', '20:10')
    """
    steady = known.at + timedelta(seconds=max(0.0, boot - known.boot))
    if wall - steady <= JUMP:
        return DayClock(wall, boot)
    since = boot if known.jumped is None else known.jumped
    if boot - since >= SETTLED_SECONDS:
        return DayClock(wall, boot, sure=False)
    return DayClock(steady, boot, since)
