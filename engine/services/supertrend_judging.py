"""What new bars mean for a run: judged in order, kept with the run before any rule uses it, told where it cannot be."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from engine.domain.calendar import IST
from engine.domain.rules import ExitRule
from engine.domain.runs import Run, RunState
from engine.domain.supertrend_exit import TrendBar, TrendTest, decide, is_due
from engine.services.ledger import Pass
from engine.services.run_trend import RunTrend, judged_of
from engine.services.world import World


def judge_bars(changes: Pass, world: World, trend: RunTrend) -> None:
    """Judge the closed bars of a run that were not judged yet; a bar that exits is kept as ``fired``.

    ``run.watch["supertrend"]``: ``bar`` (start of the last judged bar) and ``direction`` then; ``fired``: the bar that
    takes the run out, with figures and words, until the rule has acted on it; ``acted``: the one on which it did.
    """
    run = changes.run(trend.run_id)
    entered_at = run.entered_at
    if run.state not in {RunState.OPEN, RunState.EXITING} or entered_at is None:
        return
    stored: dict[str, Any] = run.watch.get("supertrend", {})
    latched = ExitRule.SUPERTREND.value in run.latches
    if stored.get("fired") and latched:
        # it acted: what it acted on must not act again when a person re-arms the rule
        stored = _kept(changes, run, {**stored, "fired": None, "acted": stored["fired"]})
        run, trend.changed = changes.run(run.id), True
    judged = judged_of(stored)
    if trend.terms.waits_for_entry or stored.get("fired") or not is_due(trend.rows, trend.terms.rule, judged):
        return
    grid = trend.series[0].grid
    verdict = decide(trend.rows, trend.terms.rule, grid=grid, entered_at=entered_at, judged=judged)
    if verdict.judged is None or verdict.judged == judged:
        return
    noted = {"bar": verdict.judged.start.isoformat(), "direction": verdict.judged.direction}
    enabled = _enabled(world, run)
    if verdict.fired is not None and enabled and not latched:
        noted["fired"] = told_bar(trend, verdict.fired)
        trend.changed = True
    _kept(changes, run, {**stored, **noted})


def told_bar(trend: RunTrend, row: TrendBar) -> dict[str, Any]:
    """Return what is known of the bar that takes a run out, as events and pages tell it."""
    bar, rule = row.closed.bar, trend.terms.rule
    way = "up" if row.trend.direction > 0 else "down"
    verb = "turned" if rule.test is TrendTest.CROSS else "is"
    of_ticks = ", built of own ticks" if row.closed.source == "ticks" else ""
    words = (
        f"Supertrend({rule.period}, {rule.multiplier:g}) of the {trend.terms.title} {verb} {way} on the "
        f"{trend.terms.interval} bar of {bar.start.astimezone(IST):%d %b %H:%M} IST: close {bar.close:,.2f}, "
        f"line {row.trend.line:,.2f}{of_ticks}"
    )
    return {
        "words": words,
        "series": trend.terms.title,
        "interval": trend.terms.interval.value,
        "period": rule.period,
        "multiplier": rule.multiplier,
        "exit_on": rule.exit_on.value,
        "test": rule.test.value,
        "bar": bar.start.isoformat(),
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "line": row.trend.line,
        "direction": row.trend.direction,
        "source": row.closed.source.value,
        "whole": row.closed.whole,
    }


def tell_broken(changes: Pass, world: World, run: Run, problem: str) -> None:
    """Alarm once a minute while the Supertrend exit of a run is out of order; the other rules decide."""
    told = ("broken_supertrend", run.id, 0)
    if world.told_lately(told, changes.now):
        return
    changes.event(
        owner_id=run.owner_id,
        kind="engine_fault",
        action="alert_only",
        message=f"not watched: Supertrend: {problem}; the other rules decide",
        knew={"rules": [f"supertrend: {problem}"]},
        run_id=run.id,
    )
    changes.after_commit.append(partial(world.note_told, told, changes.now))


def tell_overdue(changes: Pass, trend: RunTrend) -> None:
    """Alarm once for each time that the Supertrend exit of a run has no bar to decide on (law 7)."""
    if trend.overdue_told or changes.run(trend.run_id).state is not RunState.OPEN:
        return
    changes.event(
        owner_id=trend.owner_id,
        kind="blind",
        action="alert_only",
        message=f"Supertrend does not decide: {trend.waits}; the other rules do",
        knew={one.symbol[0]: one.note for one in trend.series if one.advice.overdue},
        run_id=trend.run_id,
    )
    changes.after_commit.append(partial(setattr, trend, "overdue_told", True))


def _enabled(world: World, run: Run) -> bool:
    draft = world.terms_of(run.version_id).limits.rules.get(ExitRule.SUPERTREND.value)
    return draft is None or draft.enabled


def _kept(changes: Pass, run: Run, noted: dict[str, Any]) -> dict[str, Any]:
    changes.put_run(replace(run, watch={**run.watch, "supertrend": noted}))
    return noted
