"""Limits on P of the day of a user or of one account, and the halts that follow them (RULES 6, 7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from engine.domain.rules import ExitAction


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLimits:
    """What may be lost or made in a day, by a user (``account_id`` None) or one account; ₹ in paise, None: no limit.

    ``latched``: the rules that acted on ``latched_day`` and were not re-armed. ``halted_at``: no entries there since,
    for ``reason``; until the day ``halted_until`` begins (None: until a person re-arms).
    """

    owner_id: int
    account_id: int | None = None
    max_loss_paise: int | None = None
    max_loss_enabled: bool = True
    max_loss_action: ExitAction = ExitAction.CLOSE_ALL
    max_profit_paise: int | None = None
    max_profit_enabled: bool = True
    max_profit_action: ExitAction = ExitAction.CLOSE_ALL
    latched: tuple[str, ...] = ()
    latched_day: date | None = None
    halted_at: datetime | None = None
    halted_until: date | None = None
    reason: str = ""

    def halts(self, today: date) -> bool:
        """Whether entries are halted here on a day (IST)."""
        return self.halted_at is not None and (self.halted_until is None or today < self.halted_until)
