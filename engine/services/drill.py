"""The fire drill: the kill switch rehearsed on live books, nothing sent (DESIGN 2: decide is shared with drills)."""

from __future__ import annotations

from engine.services.ledger import Pass
from engine.services.messages import CommandArrived
from engine.services.world import World


def drill(changes: Pass, world: World, command: CommandArrived) -> None:
    """Answer a drill command with a DrillView."""
