"""Entries by the clock: a strategy enters once a day at its time, or is skipped with the reason (RULES 4, 7)."""

from __future__ import annotations

from engine.services.ledger import Pass
from engine.services.risk_views import ScheduledView
from engine.services.world import World


def enter_due(changes: Pass, world: World) -> None:
    """Begin every scheduled entry that is due, and skip those whose grace is over."""


def schedule_views(changes: Pass, world: World, owner_id: int) -> list[ScheduledView]:
    """Return the next entry by the clock of each strategy of a user."""
    return []
