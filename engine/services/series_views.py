"""The series that Supertrend exits run on, as charts show them: only those that changed since they were written."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta

from pydantic import ValidationError

from engine.domain.runs import Run
from engine.services.identity import Caller
from engine.services.ledger import Pass
from engine.services.risk_views import BarView, SeriesView
from engine.services.run_trend import RunTrend
from engine.services.supertrend_exit import last_fired
from engine.services.world import World
from engine.store.live import LiveStore

BARS_SHOWN = 400
OPEN_BAR_EVERY = timedelta(seconds=2)
AGAIN_EVERY = timedelta(hours=1)
"""What does not change is written again this often: rows that nobody writes for a day are thrown away."""


def changed_series(changes: Pass, world: World) -> list[tuple[int, SeriesView]]:
    """Return the series that changed since ``note_written``: a bar closed, the open one moved, one made a run exit.

    Each with its owner.
    """
    now = changes.now
    found = [
        (trend.owner_id, _view(trend, changes.run(trend.run_id), now))
        for trend in world.candles.trends.values()
        if _has_news(trend, now)
    ]
    ended = [
        (trend.owner_id, _view(trend, run, now))
        for trend in world.candles.leaving.values()
        if (run := changes.ledger.runs.get(trend.run_id)) is not None and trend.rows
    ]
    return [*found, *ended]


def note_written(world: World, views: list[SeriesView]) -> None:
    """Note that these were handed to the writer: they are not given again until something changes."""
    world.candles.leaving.clear()
    for view in views:
        trend = world.candles.trends.get(view.run_id)
        if trend is not None:
            opened = trend.open_bar()
            trend.changed, trend.shown_at = False, view.as_of
            trend.shown_open = opened[0] if opened else None


def _has_news(trend: RunTrend, now: datetime) -> bool:
    if not trend.rows:
        return False
    if trend.changed or trend.shown_at is None:
        return True
    if abs(now - trend.shown_at) >= AGAIN_EVERY:
        return True
    opened = trend.open_bar()
    return opened is not None and opened[0] != trend.shown_open and now - trend.shown_at >= OPEN_BAR_EVERY


def read_series(live: LiveStore, caller: Caller, run_id: int) -> SeriesView | None:
    """Return the newest series of one of the caller's own runs, None where there is none."""
    body = live.read_series(caller.user_id, run_id)
    if body is None:
        return None
    with contextlib.suppress(ValidationError):  # another release wrote it
        return SeriesView.model_validate_json(body)
    return None


def _closed_bars(trend: RunTrend) -> list[BarView]:
    """Return the closed bars as they are shown; made once a bar, not once for every look at the open one."""
    if trend.shown_rows is not None and not trend.changed:
        return trend.shown_rows
    trend.shown_rows = [
        BarView(
            start=row.closed.bar.start,
            open=row.closed.bar.open,
            high=row.closed.bar.high,
            low=row.closed.bar.low,
            close=row.closed.bar.close,
            line=row.trend.line if row.trend.direction else None,
            direction=row.trend.direction,
            source=row.closed.source.value,
        )
        for row in trend.rows[-BARS_SHOWN:]
    ]
    return trend.shown_rows


def _view(trend: RunTrend, run: Run, now: datetime) -> SeriesView:
    bars = _closed_bars(trend)
    if (opened := trend.open_bar()) is not None:
        bar, shown = opened
        bars = [
            *bars[-(BARS_SHOWN - 1) :],
            BarView(
                start=bar.start,
                open=bar.open,
                high=bar.high,
                low=bar.low,
                close=bar.close,
                line=shown.line if shown.direction else None,
                direction=shown.direction,
                source="ticks",
                closed=False,
            ),
        ]
    told = last_fired(run)
    return SeriesView(
        run_id=run.id,
        title=trend.terms.title,
        interval=trend.terms.interval.value,
        period=trend.terms.rule.period,
        multiplier=trend.terms.rule.multiplier,
        entered_at=run.entered_at,
        bars=bars,
        fired_at=None if told is None else datetime.fromisoformat(str(told["bar"])),
        fired_why="" if told is None else str(told["words"]),
        as_of=now,
    )
