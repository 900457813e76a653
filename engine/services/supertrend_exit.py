"""The Supertrend exit of a run: whether a bar that closed after its entry takes it out (RULES 7)."""

from __future__ import annotations

from engine.domain.rules import Breach
from engine.domain.runs import Run
from engine.services.ledger import Pass
from engine.services.risk_views import SupertrendView
from engine.services.terms import StrategyTerms
from engine.services.world import World


def judge(changes: Pass, world: World, run: Run, terms: StrategyTerms) -> Breach | None:
    """Return the breach of a run's Supertrend exit, None when it has none or does not act."""
    return None


def supertrend_view(changes: Pass, world: World, run: Run, terms: StrategyTerms) -> SupertrendView | None:
    """Return where a run's Supertrend exit stands, None when it has none."""
    return None
