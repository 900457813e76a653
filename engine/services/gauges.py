"""How far each rule of a run is from acting: what the risk monitor shows (RULES 7)."""

from __future__ import annotations

from engine.domain.runs import Run
from engine.services.ledger import Pass
from engine.services.risk_views import GaugeView
from engine.services.terms import StrategyTerms
from engine.services.world import World


def run_gauges(changes: Pass, world: World, run: Run, terms: StrategyTerms) -> list[GaugeView]:
    """Return one gauge for every rule of a run, in order of precedence."""
    return []
