"""A run that ends before anything was sent: refused with the reason, and nothing of it left to be done."""

from __future__ import annotations

from dataclasses import replace

from engine.domain.runs import PlanState, Run, RunState
from engine.services.ledger import Pass


def refuse(changes: Pass, run: Run, reason: str) -> None:
    """Refuse a run of which nothing was sent; an exit that somebody asked for meanwhile is done with it."""
    for plan in changes.plans_of(run.id):
        if plan.state is PlanState.ACTIVE:
            changes.put_plan(replace(plan, state=PlanState.DONE, done_at=changes.now))
    changes.put_run(replace(run, state=RunState.REFUSED, reason=reason, closed_at=changes.now, profit_paise=0))
