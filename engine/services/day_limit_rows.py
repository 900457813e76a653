"""Limits of the day as rows and as people see them; shared by the engine and by pages that run without it."""

from __future__ import annotations

from datetime import date

from engine.domain.day_limits import DayLimits
from engine.domain.rules import ExitAction
from engine.services.risk_views import DayLimitView
from engine.store.tables import RiskLimit


def limits_of_row(row: RiskLimit) -> DayLimits:
    """Return a stored row as limits."""
    plain = row.model_dump(exclude={"id", "latched", "max_loss_action", "max_profit_action"})
    return DayLimits(
        **plain,
        latched=tuple(row.latched),
        max_loss_action=ExitAction(row.max_loss_action),
        max_profit_action=ExitAction(row.max_profit_action),
    )


def limit_view(limits: DayLimits, *, name: str, profit_paise: int | None, day: date, today: date) -> DayLimitView:
    """Return limits as people see them: latches of ``day`` and halts of ``today`` (IST), none that are over."""
    halts = limits.halts(today)
    return DayLimitView(
        account_id=limits.account_id,
        account=name,
        profit_paise=profit_paise,
        max_loss_paise=limits.max_loss_paise,
        max_loss_enabled=limits.max_loss_enabled,
        max_loss_action=limits.max_loss_action,
        max_profit_paise=limits.max_profit_paise,
        max_profit_enabled=limits.max_profit_enabled,
        max_profit_action=limits.max_profit_action,
        latched=sorted(limits.latches(day)),
        halted_at=limits.halted_at if halts else None,
        halted_until=limits.halted_until if halts else None,
        reason=limits.reason if halts else "",
    )
