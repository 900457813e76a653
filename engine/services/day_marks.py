"""Marks for P of the day: the last P that was known of a run on an account before the day began (RULES 6).

The day begins at midnight in India. P is noted whenever it was confirmed; what changed is written once a minute and
when the day turns, so that an engine that starts in the morning finds the figures of the evening.

A day that a jump of the clock began is not written for ten minutes, and is taken back when the clock goes back: the
marks of the day before it count on, also in an engine that was started meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from engine.domain.calendar import ist_day
from engine.domain.day_clock import SETTLED_SECONDS, DayClock, went_on
from engine.domain.runs import DayMark

WRITE_EVERY = timedelta(seconds=60)
SET_BACK = timedelta(days=1)
"""A clock that is set back no further than this goes on with the day that it was."""

Place = tuple[int, int]
"""(run, account)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """When the limits of a user's day were judged, and over how many runs on accounts."""

    at: datetime
    places: int


@dataclass(slots=True)
class DayMarks:
    """P by (run, account) in paise: ``marks`` before ``day``, ``last`` as last known on it.

    ``noted``: when P of a user was last reckoned. ``judged``: when the limits of his day were. ``unmarked_told``: the
    day on which he was told that a mark is missing. ``dark_since``: since when P of a user's or an account's day is not
    known in session, ``dark_told``: of which he was told. ``written``: what stands on disk, ``waiting``: what is still
    to be written of the last look. ``clock``: the time that days are counted by. ``before``: the day before ``day`` and
    its marks, while only the machine's clock says that ``day`` has begun; ``settles``: until when (boot) nothing of
    such a day is written.
    """

    day: date | None = None
    marks: dict[Place, int] = field(default_factory=dict)
    last: dict[Place, int] = field(default_factory=dict)
    noted: dict[int, datetime] = field(default_factory=dict)
    judged: dict[int, Judged] = field(default_factory=dict)
    unmarked_told: dict[int, date] = field(default_factory=dict)
    dark_since: dict[tuple[int, int | None], datetime] = field(default_factory=dict)
    dark_told: set[tuple[int, int | None]] = field(default_factory=set)
    written: dict[Place, DayMark] = field(default_factory=dict)
    waiting: list[Place] = field(default_factory=list)
    clock: DayClock | None = None
    before: tuple[date, dict[Place, int]] | None = None
    settles: float | None = None
    _looked: tuple[date, datetime] | None = None

    def day_at(self, wall: datetime, boot: float, rows: Iterable[DayMark]) -> date:
        """Return the day that counts when the machine's clock shows ``wall``; ``rows``: what an engine before wrote."""
        self.clock = DayClock(wall, boot) if self.clock is None else went_on(self.clock, wall, boot)
        today, before = ist_day(self.clock.at), self.before
        if self.day is None:
            self.restore(rows, today)
        day = self.turn(today, sure=self.clock.sure)
        if self.before is None or (self.settles is not None and boot >= self.settles):
            self.settles = None
        elif self.before is not before:
            self.settles = boot + SETTLED_SECONDS
        return day

    def turn(self, today: date, *, sure: bool = True) -> date:
        """Make what was last known the marks of a new day; return the day that counts.

        A clock set back by no more than a day changes nothing: no day begins twice. But a day that was not ``sure`` to
        have begun is taken back: the marks before it count on.
        """
        if self.day is None or today > self.day:
            self.before = None if sure or self.day is None else (self.day, dict(self.marks))
        elif today < self.day and self.before is not None:
            day, marks = self.before
            self.last = self.marks | self.last
            self.marks = marks if day == today else dict(self.last)
            self.before, self.day = None, today
            return today
        elif self.day - today <= SET_BACK:
            return self.day
        if today != self.day:
            self.marks |= self.last
            self.last, self.day = {}, today
        return self.day

    def restore(self, rows: Iterable[DayMark], today: date) -> None:
        """Take over what an engine before this one wrote; what it last knew of an earlier day is a mark by now."""
        kept = list(rows)
        self.day = max((row.day for row in kept if today <= row.day <= today + SET_BACK), default=today)
        earlier = max((row.day for row in kept if row.day < self.day), default=None)
        marks: dict[Place, int] = {}
        for row in kept:
            place = (row.execution_id, row.account_id)
            self.written[place] = row
            mark = row.mark_paise
            known = mark if row.day == earlier or row.last_paise is None else row.last_paise
            if known is not None:
                marks[place] = known
            if row.day == self.day:
                if row.last_paise is not None:
                    self.last[place] = row.last_paise
            elif row.last_paise is not None:
                mark = row.last_paise
            if mark is not None:
                self.marks[place] = mark
        if earlier is not None and all(row.day < self.day for row in kept):
            self.before = (earlier, marks)  # only the clock says that a new day has begun

    def due(self, now: datetime) -> bool:
        """Whether it is time to look for what changed: a minute after the last look, and when the day has turned."""
        if self._looked is None:
            return True
        day, at = self._looked
        return day != self.day or abs(now - at) >= WRITE_EVERY

    def look(self, run_ids: Iterable[int], now: datetime) -> None:
        """Forget runs that count no more, and note what must be written of the others."""
        assert self.day is not None
        wanted = set(run_ids)
        for kept in (self.marks, self.last, self.written):
            for place in [place for place in kept if place[0] not in wanted]:
                del kept[place]
        places = sorted(self.marks.keys() | self.last.keys())
        self.waiting = [place for place in places if self.row(place) != self.written.get(place)]
        self._looked = (self.day, now)

    def row(self, place: Place) -> DayMark:
        """Return what the next engine needs of a run on an account."""
        assert self.day is not None
        run_id, account_id = place
        return DayMark(
            execution_id=run_id,
            account_id=account_id,
            day=self.day,
            mark_paise=self.marks.get(place),
            last_paise=self.last.get(place),
        )

    def wrote(self, rows: Iterable[DayMark]) -> None:
        """Note rows that are on disk now."""
        done = {(row.execution_id, row.account_id): row for row in rows}
        self.written |= done
        self.waiting = [place for place in self.waiting if place not in done]
