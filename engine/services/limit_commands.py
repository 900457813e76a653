"""Limits on P of the day: setting them by command, and reading them where no engine tells them (RULES 7)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlmodel import select

from engine.domain.calendar import ist_day
from engine.domain.day_limits import DayLimits
from engine.domain.rules import ExitAction
from engine.services.commands import command_of, enqueue, owned_account
from engine.services.day_limit_rows import limit_view, limits_of_row
from engine.services.errors import InvalidInput
from engine.services.identity import Caller, require
from engine.services.risk_views import DayLimitView
from engine.services.views import AccountView, CommandView
from engine.store.database import Database
from engine.store.tables import RiskLimit, Role

LEAST, MOST = 0.01, 1e9
"""Limits in ₹: no smaller one can be told from none, no larger one is meant."""

FIELDS = (
    "max_loss", "max_loss_enabled", "max_loss_action", "max_profit", "max_profit_enabled", "max_profit_action",
)  # fmt: skip
SEEN = tuple(f"{name}_paise" if name in {"max_loss", "max_profit"} else name for name in FIELDS)
"""The fields of limits as they are shown, amounts in paise."""


def set_limits(
    database: Database,
    caller: Caller,
    *,
    account_id: int | None,
    max_loss: float | None,
    max_loss_enabled: bool,
    max_loss_action: str,
    max_profit: float | None,
    max_profit_enabled: bool,
    max_profit_action: str,
    key: str,
    now: datetime,
    seen: DayLimitView | None = None,
    only: Collection[str] | None = None,
) -> CommandView:
    """Set the limits of the caller's day, or of one account's (₹; None: no limit); the command never expires.

    ``seen``: the limits that the person saw, the engine refuses where they are others by then. ``only``: the fields
    that change, the others stay as they are when the engine takes the command.

    Raises InvalidInput naming the field, NotFound for another's account.
    """
    require(caller, Role.TRADER)
    payload: dict[str, Any] = {
        "account_id": account_id,
        "max_loss": _amount("max_loss", max_loss),
        "max_loss_enabled": _switch("max_loss_enabled", max_loss_enabled),
        "max_loss_action": _action("max_loss_action", max_loss_action),
        "max_profit": _amount("max_profit", max_profit),
        "max_profit_enabled": _switch("max_profit_enabled", max_profit_enabled),
        "max_profit_action": _action("max_profit_action", max_profit_action),
    }
    if seen is not None:
        if not isinstance(seen, DayLimitView):
            raise InvalidInput("seen", "it must be limits of the day as the desk shows them")
        payload["seen"] = seen.model_dump(include=set(SEEN))
    if only is not None:
        payload["only"] = _fields(only)
    with database.write() as session:
        if (known := command_of(session, caller, "set_limits", key, now)) is not None:
            return known
        if account_id is not None:
            owned_account(session, caller, account_id)
        row = enqueue(session, caller, kind="set_limits", payload=payload, key=key, valid_for=None, now=now)
        assert row.id is not None
        return CommandView(
            id=row.id, kind=row.kind, state=str(row.state), message="", outcome=row.outcome, created_at=row.created_at
        )


def day_limits(
    database: Database, caller: Caller, accounts: Iterable[AccountView], *, now: datetime
) -> list[DayLimitView]:
    """Return limits and halts as stored: the caller's own row, then each of these accounts'; P is not known here."""
    with database.read() as session:
        rows = session.exec(select(RiskLimit).where(RiskLimit.owner_id == caller.user_id)).all()
    stored = {row.account_id: limits_of_row(row) for row in rows}
    places: list[tuple[int | None, str]] = [(None, "")]
    places += [(account.id, account.name) for account in accounts]
    today = ist_day(now)
    return [
        limit_view(
            stored.get(account_id) or DayLimits(owner_id=caller.user_id, account_id=account_id),
            name=name,
            profit_paise=None,
            day=today,
            today=today,
        )
        for account_id, name in places
    ]


def _fields(only: object) -> list[str]:
    if isinstance(only, str) or not isinstance(only, Collection) or not all(name in FIELDS for name in only):
        raise InvalidInput("only", f"it must name some of {', '.join(FIELDS)}")
    return [name for name in FIELDS if name in only]


def _amount(field: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(field, "it must be a number (₹)")
    if not math.isfinite(value) or not LEAST <= value <= MOST:
        raise InvalidInput(field, f"it must be from ₹ {LEAST:,.2f} to ₹ {MOST:,.0f}")
    return round(float(value), 2)


def _switch(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(field, "it must be on or off")
    return value


def _action(field: str, value: object) -> str:
    if value == ExitAction.CLOSE_PARTIAL:
        raise InvalidInput(
            field, "a limit of the day takes out all of its scope, never a part: close_all or alert_only"
        )
    if value not in {ExitAction.CLOSE_ALL, ExitAction.ALERT_ONLY}:
        raise InvalidInput(field, "it must be close_all or alert_only")
    return str(value)
