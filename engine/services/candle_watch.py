"""The candles that Supertrend exits run on: history asked for, own ticks cut into bars, series joined (RULES 7)."""

from __future__ import annotations

from engine.services.ledger import Pass
from engine.services.messages import HistoryRead
from engine.services.world import World


def progress(changes: Pass, world: World) -> None:
    """Bring every series that an open run needs up to now, and ask for what is missing."""


def on_history(changes: Pass, world: World, message: HistoryRead) -> None:
    """Take bars of the broker's history."""
