"""The Supertrend exit as a rule: whether a bar that closed after the entry takes a run out (RULES 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, assert_never

from engine.domain.candles import ClosedBar, bars_needed
from engine.domain.intervals import BarGrid
from engine.domain.supertrend_live import Trend, checked_multiplier, checked_period


class ExitOn(StrEnum):
    """Which way the direction must turn: ``breakout`` up, ``breakdown`` down."""

    BREAKOUT = "breakout"
    BREAKDOWN = "breakdown"

    @property
    def side(self) -> int:
        """The direction that exits: +1 up, −1 down.

        >>> ExitOn.BREAKOUT.side, ExitOn.BREAKDOWN.side
        (1, -1)
        """
        return 1 if self is ExitOn.BREAKOUT else -1


class TrendTest(StrEnum):
    """``cross``: the direction turned that way on a bar after the entry; ``level``: it points that way on one."""

    CROSS = "cross"
    LEVEL = "level"


@dataclass(frozen=True, slots=True)
class SupertrendRule:
    """Settings of a Supertrend exit; raises IndicatorError for a period or multiplier that makes no sense."""

    period: int = 7
    multiplier: float = 3.0
    exit_on: ExitOn = ExitOn.BREAKOUT
    test: TrendTest = TrendTest.CROSS

    def __post_init__(self) -> None:
        checked_period(self.period)
        checked_multiplier(self.multiplier)

    @property
    def needed(self) -> int:
        """How many closed bars there must be before the rule decides: max(50, 7n)."""
        return bars_needed(self.period)


class TrendBar(NamedTuple):
    """A closed bar with what Supertrend says of it."""

    closed: ClosedBar
    trend: Trend


@dataclass(frozen=True, slots=True)
class Judged:
    """The last bar that was judged: when it opened (UTC), and the direction it had then."""

    start: datetime
    direction: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the bars say: the last one judged (None: none yet), and the one that takes the run out."""

    judged: Judged | None
    fired: TrendBar | None = None


def is_due(bars: Sequence[TrendBar], rule: SupertrendRule, judged: Judged | None) -> bool:
    """Tell at once whether there is a bar to judge: enough of them, and one after the last that was judged."""
    if len(bars) < rule.needed:
        return False
    return judged is None or bars[-1].closed.bar.start > judged.start


def decide(
    bars: Sequence[TrendBar],
    rule: SupertrendRule,
    *,
    grid: BarGrid,
    entered_at: datetime,
    judged: Judged | None,
) -> Verdict:
    """Judge the closed bars after ``judged`` in their order; the first that exits ends it (RULES 7).

    ``bars`` are all closed bars in order of time; before ``rule.needed`` of them are there no bar is judged, and those
    before that many never decide (``warming``). A bar decides when it closed after the entry. Bars that closed while
    nobody looked are judged when they are there, so a turn in an outage still fires.

    A turn counts against the bar before it, and against what was said of the last judged bar: history may have
    corrected that bar since, and then the turn shows on no later pair of bars.
    """
    if not is_due(bars, rule, judged):
        return Verdict(judged)
    first = len(bars)
    while first > rule.needed - 1 and (judged is None or bars[first - 1].closed.bar.start > judged.start):
        first -= 1
    for place in range(first, len(bars)):
        row = bars[place]
        if grid.close_of(row.closed.bar.start) > entered_at:
            before = {bars[place - 1].trend.direction if place else 0}
            if judged is not None and grid.close_of(judged.start) > entered_at:
                before.add(judged.direction)
            if _exits(rule, row.trend.direction, before):
                return Verdict(Judged(row.closed.bar.start, row.trend.direction), row)
        judged = Judged(row.closed.bar.start, row.trend.direction)
    return Verdict(judged)


def _exits(rule: SupertrendRule, direction: int, before: set[int]) -> bool:
    side = rule.exit_on.side
    match rule.test:
        case TrendTest.LEVEL:
            return direction == side
        case TrendTest.CROSS:
            return direction == side and -side in before
        case _:
            assert_never(rule.test)
