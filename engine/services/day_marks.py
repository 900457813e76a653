"""Marks for P of the day: the last P that was known of a run on an account before the day began (RULES 6).

The day begins at midnight in India. Marks live in memory and travel with the live view, so that an engine that starts
in the morning finds those of the evening.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from engine.services.views import DayMark


@dataclass(slots=True)
class DayMarks:
    """P by (run, account) in paise: ``marks`` before ``day``, ``last`` as last known on it."""

    day: date | None = None
    marks: dict[tuple[int, int], int] = field(default_factory=dict)
    last: dict[tuple[int, int], int] = field(default_factory=dict)

    def turn(self, today: date) -> None:
        """Make what was last known the marks of a new day; a clock set back changes nothing."""
        if self.day is None or today > self.day:
            self.marks |= self.last
            self.last, self.day = {}, today

    def restore(self, day: date, rows: Iterable[DayMark]) -> None:
        """Take over what an engine before this one wrote."""
        self.turn(day)
        for row in rows:
            place = (row.run_id, row.account_id)
            mark = row.last_paise if row.last_paise is not None and day != self.day else row.mark_paise
            if mark is not None:
                self.marks[place] = mark
            if row.last_paise is not None and day == self.day:
                self.last[place] = row.last_paise

    def rows(self, run_ids: Iterable[int]) -> list[DayMark]:
        """Return what the next engine needs of these runs."""
        wanted = set(run_ids)
        return [
            DayMark(run_id=run, account_id=account, mark_paise=self.marks.get(place), last_paise=self.last.get(place))
            for place in sorted(self.marks.keys() | self.last.keys())
            for run, account in [place]
            if run in wanted
        ]
