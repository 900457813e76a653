"""A rule that acted is latched for its run; a person may re-arm it (RULES 7)."""

from __future__ import annotations

from engine.services.ledger import Pass
from engine.services.messages import CommandArrived
from engine.services.world import World


def rearm_rule(changes: Pass, world: World, command: CommandArrived) -> None:
    """Re-arm one latch of a run by command."""
