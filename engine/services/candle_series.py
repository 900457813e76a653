"""The bars of one symbol and interval: what the broker's history said, and what our own ticks saw (RULES 7)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from engine.domain.calendar import Calendar, ist_day
from engine.domain.candle_freshness import (
    GIVEN_UP_AFTER,
    SETTLES,
    CandleAdvice,
    CandleStep,
    HistoryState,
    advise,
    cover_of,
)
from engine.domain.candles import Bar, ClosedBar, merged
from engine.domain.errors import CalendarError
from engine.domain.history_bars import closed_bars, resample
from engine.domain.intervals import BarGrid, BarWindow, Interval
from engine.domain.price_sense import INDICES
from engine.domain.tick_bars import TickBars
from engine.services.messages import HistoryRead, Symbol
from engine.services.own_bars import OwnBars

ASK_LOST = timedelta(seconds=8)
"""A request for history without an answer for this long counts as failed: the next account is asked."""

LOAD_AGAIN = timedelta(seconds=5)
"""Pause between requests for the bars of before, while they have not come."""

LOAD_AGAIN_LATER = timedelta(seconds=15)
MANY_FAILURES = 8
CORRECTED_BARS = 10
"""So many of the newest bars are looked at again in each answer: brokers correct what they have just written."""

NOTHING_YET = CandleAdvice(CandleStep.WAIT, "waiting for the first bars")
REVISIONS_KEPT = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for history that is under way."""

    account_id: int
    interval: Interval
    first_day: date
    at: datetime


@dataclass(slots=True)
class CandleSeries:
    """Bars of one symbol and interval, and what is known of the window that closed last.

    ``first_day`` is where the bars shall begin, ``loaded_from`` where those that history gave begin. ``settled``: the
    last window about which there is a decision; nothing after it is shown or judged. ``revision`` rises with every
    change of what is settled. ``attempt`` counts failed requests: it says which account is asked next, and whether
    for the interval itself or for minutes to build it of.
    """

    market: str
    symbol: Symbol
    grid: BarGrid
    first_day: date
    own: OwnBars
    made_at: datetime
    last_closed: BarWindow
    following: BarWindow | None
    loaded_from: date | None = None
    asked: Asked | None = None
    asked_at: datetime | None = None
    begun_at: datetime | None = None
    attempt: int = 0
    settled: BarWindow | None = None
    advice: CandleAdvice = NOTHING_YET
    problem: str = ""
    revision: int = 0
    _history: dict[datetime, ClosedBar] = field(default_factory=dict)
    _revisions: deque[tuple[int, datetime]] = field(default_factory=lambda: deque(maxlen=REVISIONS_KEPT))

    def go_on(self, now: datetime) -> None:
        """Close own bars that are over, and go on to the window that closed last."""
        self.own.until(now)
        if now < self.last_closed.close or (self.following and now - self.following.close > GIVEN_UP_AFTER):
            self.last_closed = self.grid.closed_by(now, count=1)[0]  # the clock was set, or the process stood still
            self.following = _next(self.grid, self.last_closed)
        if self.following is None:
            self.following = _next(self.grid, self.last_closed)
        while self.following is not None and now >= self.following.close:
            self.last_closed, self.following = self.following, _next(self.grid, self.following)

    # ── history ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def turn(self, accounts: int) -> tuple[int, Interval]:
        """Return which of so many accounts is asked next, and for which interval."""
        interval = self.grid.interval
        if interval is Interval.M1:
            return self.attempt % accounts, interval
        return self.attempt // 2 % accounts, Interval.M1 if self.attempt % 2 else interval

    def wanted_from(self, now: datetime) -> date:
        """Return the day from which history is asked for."""
        if self.loaded_from is None or self.loaded_from > self.first_day:
            return self.first_day
        return min(ist_day(max(self._history, default=now)), ist_day(self.last_closed.start))

    def is_due(self, now: datetime) -> bool:
        """Whether history is to be asked for now: for the window that closed last, or for the bars of before."""
        if self.asked is not None:
            return False
        if self.advice.step is CandleStep.ASK_HISTORY:
            return True
        if self.loaded_from is not None and self.loaded_from <= self.first_day:
            return False
        pause = LOAD_AGAIN if self.attempt < MANY_FAILURES else LOAD_AGAIN_LATER
        return self.asked_at is None or now - self.asked_at >= pause

    def note_asked(self, asked: Asked) -> None:
        """Note a request, once it is made."""
        self.asked, self.asked_at = asked, asked.at

    def give_up_lost(self, now: datetime) -> None:
        """Count a request as failed that was not answered in time."""
        if self.asked is not None and abs(now - self.asked.at) > ASK_LOST:
            self._failed(f"no answer for {ASK_LOST.seconds} s")

    def answered(self, message: HistoryRead, accounts: int) -> bool:
        """Take an answer; False when it is not that of the request under way."""
        asked = self.asked
        if asked is None or message.interval is not asked.interval or message.begun_at < asked.at:
            return False
        if message.bars is None:
            self._failed(message.problem or "the read failed")
            return True
        bars, forming, usable = self._judged(message.bars, message.interval, message.begun_at)
        if not usable:
            self._failed(f"the broker does not count its {message.interval} bars from the session's open")
            return True
        if not bars and not forming and not self._history and self.attempt < 2 * accounts:
            self._failed(f"no {message.interval} bars")  # some brokers answer so for what they do not offer
            return True
        self.asked, self.problem, self.begun_at = None, "", message.begun_at
        self.loaded_from = min(asked.first_day, self.loaded_from or asked.first_day)
        self._keep(bars)
        return True

    def _failed(self, problem: str) -> None:
        self.asked, self.problem = None, problem
        self.attempt += 1

    def _judged(
        self, rows: Sequence[Bar], interval: Interval, begun_at: datetime
    ) -> tuple[tuple[ClosedBar, ...], bool, bool]:
        """Return the closed bars of an answer, whether one is forming, and whether its bars fit the sessions."""
        if self.asked is not None and self.loaded_from is not None and self.asked.first_day > self.first_day:
            newest = sorted(self._history)[-CORRECTED_BARS:]
            rows = [row for row in rows if row.start >= newest[0]] if newest else rows
        if interval is self.grid.interval:
            history = closed_bars(rows, self.grid, begun_at)
            usable = interval is Interval.M1 or not history.misaligned
            return history.closed, history.forming is not None, usable
        history = closed_bars(rows, replace(self.grid, interval=interval), begun_at)
        built = resample(history.closed, self.grid, begun_at - SETTLES)
        return built, bool(history.closed), True

    def _keep(self, bars: Sequence[ClosedBar]) -> None:
        changed: list[datetime] = []
        for closed in bars:
            start = closed.bar.start
            before = self._history.get(start)
            if before == closed or (before is not None and before.whole and not closed.whole):
                continue
            self._history[start] = closed
            changed.append(start)
        if changed and self.settled is not None and min(changed) <= self.settled.start:
            self._changed(min(changed))

    # ── what is settled ───────────────────────────────────────────────────────────────────────────────────────────────

    def advance(self, now: datetime) -> None:
        """Decide about the window that closed last: wait, ask, or take the bar that there is (RULES 7)."""
        window = self.last_closed
        if self.settled is not None and self.settled.start >= window.start:
            return
        self.advice = advise(window, now, self._history_state(window), self.own.cover(window))
        match self.advice.step:
            case CandleStep.USE_HISTORY | CandleStep.USE_TICKS | CandleStep.NO_BAR:
                after = self.settled
                self.settled = window
                self._changed(window.start if after is None else min(after.close, window.start))
            case _:
                pass

    @property
    def note(self) -> str:
        """What the newest bar waits for or was made of, in words; empty where it is the broker's own."""
        if self.advice.step is CandleStep.USE_HISTORY and self.grid.interval is not Interval.M1 and self.attempt % 2:
            return f"the broker's 1-minute bars, as it has no usable {self.grid.interval} history"
        if self.advice.step is CandleStep.USE_HISTORY:
            return "" if "missing" not in self.advice.reason else self.advice.reason
        return self.advice.reason + (f" ({self.problem})" if self.problem else "")

    def bars_from(self, begin: datetime, through: datetime) -> tuple[ClosedBar, ...]:
        """Return the closed bars that open from ``begin`` to ``through``, in order; own bars only where whole."""
        return merged(
            (closed for start, closed in self._history.items() if begin <= start <= through),
            self.own.whole(begin, through),
        )

    def changed_since(self, revision: int) -> datetime | None:
        """Return the start of the first bar that may have changed since a revision; None: any may have."""
        if revision == self.revision:
            return self.last_closed.close
        newer = [start for number, start in self._revisions if number > revision]
        return min(newer) if len(newer) == self.revision - revision else None

    def _changed(self, start: datetime) -> None:
        self.revision += 1
        self._revisions.append((self.revision, start))

    def _history_state(self, window: BarWindow) -> HistoryState:
        bar = self._history.get(window.start)
        cover = cover_of(window, [] if bar is None else [bar], looked=self.begun_at is not None)
        return HistoryState(cover, self.begun_at, self.asked_at, asking=self.asked is not None)


def new_series(
    market: str,
    symbol: Symbol,
    interval: Interval,
    *,
    calendar: Calendar,
    first_day: date,
    now: datetime,
) -> CandleSeries:
    """Return a series without bars, its feed not seen yet. Raises CalendarError where no calendar knows the days."""
    grid = BarGrid(interval, calendar, symbol[1])
    last = grid.closed_by(now, count=1)[0]
    own = OwnBars(TickBars(grid, since=now, lost_at=now), index=symbol[1] in INDICES)
    return CandleSeries(market, symbol, grid, first_day, own, now, last, _next(grid, last))


def _next(grid: BarGrid, window: BarWindow) -> BarWindow | None:
    """Return the window after one, None where the calendar ends: a year without a table has no sessions to count."""
    try:
        return grid.next_window(window)
    except CalendarError:
        return None
