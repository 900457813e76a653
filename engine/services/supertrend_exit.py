"""The Supertrend exit of a run: whether a bar that closed after its entry takes it out, and where it stands (RULES 7).

Bars are judged when they come (``supertrend_judging``); here is what was kept of it.
"""

from __future__ import annotations

from typing import Any

from engine.domain.rules import Breach, ExitAction, ExitRule
from engine.domain.runs import Run
from engine.services.ledger import Pass
from engine.services.risk_views import SupertrendView
from engine.services.terms import StrategyTerms
from engine.services.world import World


def judge(_changes: Pass, _world: World, run: Run, terms: StrategyTerms) -> Breach | None:
    """Return the breach of a run's Supertrend exit, None when it has none or does not act.

    It stands until the rule is latched, so that an exit that another rule got ahead of is not forgotten.
    """
    if terms.limits.supertrend is None or fired(run) is None or ExitRule.SUPERTREND.value in run.latches:
        return None
    draft = terms.limits.rules.get(ExitRule.SUPERTREND.value)
    if draft is not None and not draft.enabled:
        return None
    return Breach(rule=ExitRule.SUPERTREND, action=ExitAction(draft.action if draft else ExitAction.CLOSE_ALL))


def fired(run: Run) -> dict[str, Any] | None:
    """Return the bar on which the rule waits to act, None when there is none."""
    told: dict[str, Any] | None = run.watch.get("supertrend", {}).get("fired")
    return told


def last_fired(run: Run) -> dict[str, Any] | None:
    """Return the bar that took the run out, or on which it was told; None when there is none."""
    return fired(run) or run.watch.get("supertrend", {}).get("acted")


def words(run: Run) -> str:
    """Return why a run leaves, for its exit and its event."""
    told = last_fired(run)
    return "supertrend" if told is None else str(told["words"])


def knowledge(run: Run) -> dict[str, Any]:
    """Return what an event keeps of the bar: series, bar, close, line, direction, source."""
    told = last_fired(run)
    return {} if told is None else {"supertrend": told}


def supertrend_view(_changes: Pass, world: World, run: Run, terms: StrategyTerms) -> SupertrendView | None:
    """Return where a run's Supertrend exit stands, None when it has none."""
    draft = terms.limits.supertrend
    if draft is None:
        return None
    trend = world.candles.trends.get(run.id)
    latched = ExitRule.SUPERTREND.value in run.latches
    told = fired(run) or (run.watch.get("supertrend", {}).get("acted") if latched else None)
    last = trend.last if trend else None
    if told is not None:
        state, note = "fired", str(told["words"])
    elif trend is None:
        broken = world.candles.broken.get(run.id)
        state, note = "waiting", f"out of order: {broken}" if broken else "for the entry"
    elif trend.through is None:
        state, note = "waiting", "the entry is not complete" if trend.terms.waits_for_entry else trend.waits
    elif trend.warming:
        state, note = "warming", trend.waits
    else:
        state, note = ("waiting" if trend.overdue else "watching"), trend.waits
    return SupertrendView(
        series=trend.terms.title if trend else draft.series,
        interval=draft.interval,
        period=draft.period,
        multiplier=draft.multiplier,
        exit_on=draft.exit_on,
        test=draft.test,
        state=state,
        bars=len(trend.rows) if trend else 0,
        needed=trend.needed if trend else 0,
        direction=last.trend.direction if last else 0,
        line=last.trend.line if last and last.trend.direction else None,
        close=last.closed.bar.close if last else None,
        bar_at=last.closed.bar.start if last else None,
        source=last.closed.source.value if last else "",
        note=note,
    )
