"""Limits on P of the day, of a user and of each account: what they take out, and the halt that follows (RULES 7)."""

from __future__ import annotations

from engine.services.ledger import Pass
from engine.services.messages import CommandArrived
from engine.services.risk_views import DayLimitView
from engine.services.world import World


def watch(changes: Pass, world: World) -> None:
    """Decide about every user's and account's day."""


def set_limits(changes: Pass, world: World, command: CommandArrived) -> None:
    """Change the limits of a user or an account by command."""


def day_limit_views(changes: Pass, world: World, owner_id: int, profits: dict[int, int | None]) -> list[DayLimitView]:
    """Return the limits of a user and of each account with P of the day (paise) by account."""
    return []
