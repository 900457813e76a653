"""Which source gives the bar that just closed: history from 2 s after the close, for 20 s; then our ticks (RULES 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from engine.domain.candles import ClosedBar
from engine.domain.intervals import BarWindow

SETTLES = timedelta(seconds=2)
"""A broker's bar may still change before this is over: no request that began earlier counts."""

HISTORY_TIME = timedelta(seconds=20)
"""So long the broker's history is waited for."""

ASK_EVERY = timedelta(seconds=3)
"""Pause between the beginnings of two requests while history is waited for: at most seven a bar and instrument."""

ASK_EVERY_LATER = timedelta(seconds=15)
"""The same once the time is over and there is nothing to use: the bar is still wanted, the broker is spared."""


GIVEN_UP_AFTER = timedelta(minutes=10)
"""So long after the close a bar that no source has is asked for; the last bar of a day has no successor to end it."""


class Cover(StrEnum):
    """What one source has of a window: the whole bar, a bar with a part unseen, no bar though it looked, nothing."""

    WHOLE = "whole"
    PARTIAL = "partial"
    SILENT = "silent"
    NONE = "none"


class CandleStep(StrEnum):
    """What to do about a closed window."""

    WAIT = "wait"
    ASK_HISTORY = "ask_history"
    USE_HISTORY = "use_history"
    USE_TICKS = "use_ticks"
    NO_BAR = "no_bar"


@dataclass(frozen=True, slots=True)
class HistoryState:
    """What the broker's history is known to say about a window.

    ``cover`` is what the newest answer has, ``begun_at`` when the request of that answer began; ``asked_at`` when the
    newest request began, answered or not; ``asking`` while one is under way. Times aware UTC.
    """

    cover: Cover = Cover.NONE
    begun_at: datetime | None = None
    asked_at: datetime | None = None
    asking: bool = False


@dataclass(frozen=True, slots=True)
class CandleAdvice:
    """What to do now, why (for the screen), and when to look again. ``overdue``: time is over and nothing is usable."""

    step: CandleStep
    reason: str
    again_at: datetime | None = None
    overdue: bool = False


def cover_of(window: BarWindow, bars: Sequence[ClosedBar], *, looked: bool) -> Cover:
    """Return what ``bars`` of one source (in order of time) have of a window.

    ``looked``: the source saw the whole window, so that no bar means silence: history answered for it, or
    ``TickBars.watched``.
    """
    for closed in reversed(bars):
        if closed.bar.start == window.start:
            return Cover.WHOLE if closed.whole else Cover.PARTIAL
        if closed.bar.start < window.start:
            break
    return Cover.SILENT if looked else Cover.NONE


def advise(window: BarWindow, now: datetime, history: HistoryState, ticks: Cover) -> CandleAdvice:
    """Return what to do at ``now`` about the last window that should be closed (RULES 7).

    - Until 2 s after the close: wait. An answer to a request begun before that does not count.
    - For 20 s: history's whole bar is used as soon as it is there; until then it is asked for every 3 s. A bar with
      minutes missing may be one that is still being written: asked for again.
    - Then our ticks' whole bar, and the reason says so. Without one: what history has with minutes missing; else
    there is no bar when both looked and had none (``silent``): nothing was traded.
    - Otherwise there is nothing to decide on: ``overdue``, and history goes on being asked for, every 15 s until
    10 minutes after the close. A bar of which our ticks saw only a part is not used (law 7), and a read that failed
    is unknown, not silence (law 6).

    Times of requests that lie ahead of ``now`` are of a clock since set back: nobody knows when those began, so they
    count for nothing.
    """
    settled, over = window.close + SETTLES, window.close + SETTLES + HISTORY_TIME
    if now < settled:
        return CandleAdvice(CandleStep.WAIT, "the bar has just closed", settled)
    cover = history.cover if history.begun_at is not None and settled <= history.begun_at <= now else Cover.NONE
    if cover is Cover.WHOLE:
        return CandleAdvice(CandleStep.USE_HISTORY, "the broker's history")
    if now < over:
        return _asked(history, now, settled, ASK_EVERY, until=over)
    if ticks is Cover.WHOLE:
        return CandleAdvice(CandleStep.USE_TICKS, "own ticks: the broker's history has not come for 20 s")
    if cover is Cover.PARTIAL:
        return CandleAdvice(CandleStep.USE_HISTORY, "the broker's history, with minutes missing")
    if cover is Cover.SILENT and ticks is Cover.SILENT:
        return CandleAdvice(CandleStep.NO_BAR, "nothing was traded: neither history nor our ticks have a bar")
    if now >= (end := window.close + GIVEN_UP_AFTER):
        reason = f"given up {GIVEN_UP_AFTER.seconds // 60} minutes after the close: no source has the bar"
        return CandleAdvice(CandleStep.NO_BAR, reason, overdue=True)
    return _asked(history, now, settled, ASK_EVERY_LATER, until=end, overdue=True)


def _asked(
    history: HistoryState,
    now: datetime,
    settled: datetime,
    pause: timedelta,
    *,
    until: datetime,
    overdue: bool = False,
) -> CandleAdvice:
    lacking = "neither history nor our ticks have the whole bar" if overdue else "waiting for the broker's history"
    if history.asking:
        return CandleAdvice(CandleStep.WAIT, lacking, until, overdue=overdue)
    # a request begun too early says nothing: the first one that counts is due at once
    asked = history.asked_at if history.asked_at is not None and settled <= history.asked_at <= now else None
    if asked is None or now - asked >= pause:
        return CandleAdvice(CandleStep.ASK_HISTORY, lacking, overdue=overdue)
    return CandleAdvice(CandleStep.WAIT, lacking, min(asked + pause, until), overdue=overdue)
