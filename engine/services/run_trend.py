"""The Supertrend of one run: its series' closed bars, each with line and direction, brought up to date bar by bar."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from engine.domain.candle_freshness import CandleStep
from engine.domain.candles import Bar, ClosedBar
from engine.domain.premium import combined_bars
from engine.domain.supertrend_exit import Judged, TrendBar
from engine.domain.supertrend_live import SupertrendState, Trend
from engine.services.candle_series import CandleSeries
from engine.services.risk_views import BarView
from engine.services.supertrend_terms import SupertrendTerms

STATES_KEPT = 64
"""So many of the newest bars can be corrected without beginning anew."""


@dataclass(slots=True)
class RunTrend:
    """What a run's Supertrend says. ``rows`` end with the last bar about which all its series have decided.

    ``first_day`` depends on the run alone, so that an engine that begins anew makes the same bars again and comes to
    the same line. ``changed``: since it was last shown, at ``shown_at``, with the bars ``shown_rows`` and the open one.
    """

    run_id: int
    owner_id: int
    terms: SupertrendTerms
    series: tuple[CandleSeries, ...]
    first_day: date
    begin: datetime
    rows: list[TrendBar] = field(default_factory=list)
    through: datetime | None = None
    overdue_told: bool = False
    changed: bool = True
    shown_at: datetime | None = None
    shown_open: Bar | None = None
    shown_rows: list[BarView] | None = None
    _revisions: tuple[int, ...] = ()
    _states: deque[SupertrendState] = field(default_factory=lambda: deque(maxlen=STATES_KEPT))

    @property
    def needed(self) -> int:
        """How many closed bars there must be before the rule decides."""
        return self.terms.rule.needed

    @property
    def warming(self) -> bool:
        """Whether there are too few bars to decide."""
        return len(self.rows) < self.needed

    @property
    def last(self) -> TrendBar | None:
        """The last closed bar."""
        return self.rows[-1] if self.rows else None

    @property
    def waits(self) -> str:
        """Why the bar that closed last is not decided on, or what it was made of; empty where all is as it should."""
        notes = dict.fromkeys(note for one in self.series if (note := one.note))
        return "; ".join(notes)

    @property
    def overdue(self) -> bool:
        """Whether a bar is over and no source has it."""
        return any(one.advice.overdue and one.advice.step is not CandleStep.NO_BAR for one in self.series)

    def refresh(self) -> bool:
        """Take over what its series have decided since; return whether its bars changed."""
        revisions = tuple(one.revision for one in self.series)
        if revisions == self._revisions:
            return False
        settled = [one.settled for one in self.series]
        through = min((window.start for window in settled if window is not None), default=None)
        if through is None or None in settled or self.terms.waits_for_entry:
            return False
        begin = self._changed_from()
        # bars that one series had decided and another had not are new now, though nothing about them changed
        if self.through is not None and through > self.through:
            begin = min(begin, max(self.through, self.begin))
        self._revisions, self.through = revisions, through
        self._rebuild(begin, self._bars(begin, through))
        self.changed = True
        return True

    def open_bar(self) -> tuple[Bar, Trend] | None:
        """Return the bar that is not over, as it stands, and what Supertrend would say of it; None without one."""
        parts = {one.symbol[0]: bar for one in self.series if (bar := one.own.open_bar) is not None}
        if len(parts) < len(self.series) or not self._states or not self.rows:
            return None
        if len({bar.start for bar in parts.values()}) > 1:
            return None
        premium = self.terms.premium
        bar = next(iter(parts.values())) if premium is None else premium.bar(parts)
        return None if bar.start <= self.rows[-1].closed.bar.start else (bar, self._states[-1].preview(bar))

    def _changed_from(self) -> datetime:
        if len(self._revisions) != len(self.series):
            return self.begin
        changes = [one.changed_since(seen) for one, seen in zip(self.series, self._revisions, strict=True)]
        known = [start for start in changes if start is not None]
        return max(self.begin, min(known)) if len(known) == len(changes) else self.begin

    def _bars(self, begin: datetime, through: datetime) -> Sequence[ClosedBar]:
        bars = {one.symbol[0]: one.bars_from(begin, through) for one in self.series}
        if self.terms.premium is None:
            return bars[self.series[0].symbol[0]]
        return combined_bars(self.terms.premium, bars).bars

    def _rebuild(self, begin: datetime, bars: Sequence[ClosedBar]) -> None:
        """Put ``bars`` in the place of all rows from ``begin`` on."""
        kept = len(self.rows)
        while kept and self.rows[kept - 1].closed.bar.start >= begin:
            kept -= 1
        dropped = len(self.rows) - kept
        if dropped and dropped >= len(self._states):
            bars = [*(row.closed for row in self.rows[:kept]), *bars]
            kept = 0
            self._states.clear()
        else:
            for _ in range(dropped):
                self._states.pop()
        del self.rows[kept:]
        rule = self.terms.rule
        state = self._states[-1] if self._states else SupertrendState.start(rule.period, rule.multiplier)
        for closed in bars:
            state = state.commit(closed.bar)
            self._states.append(state)
            self.rows.append(TrendBar(closed, state.trend))


def judged_of(stored: dict[str, object] | None) -> Judged | None:
    """Return the last judged bar as a run keeps it, None before the first."""
    if not stored or not stored.get("bar"):
        return None
    return Judged(datetime.fromisoformat(str(stored["bar"])), int(str(stored["direction"])))
