"""Legs that enter again after their stop or target, at most n times (RULES 7)."""

from __future__ import annotations

from engine.domain.runs import Run
from engine.services.ledger import Pass
from engine.services.messages import Resolved
from engine.services.world import World


def progress(changes: Pass, world: World, run: Run) -> None:
    """Bring every re-entry of the run one step further."""


def on_resolved(changes: Pass, world: World, run: Run, message: Resolved) -> None:
    """Take the fresh contract of a leg that enters again."""
