"""The activity log: what a person did; never a secret in it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Session

from engine.services.identity import Caller
from engine.store.tables import ActivityLog


def log_activity(
    session: Session,
    caller: Caller,
    *,
    action: str,
    target: str,
    now: datetime,
    outcome: str = "done",
    detail: dict[str, Any] | None = None,
) -> None:
    """Add a row to the log in the caller's transaction; ``detail`` holds figures and names, no keys or passwords."""
    session.add(
        ActivityLog(at=now, user_id=caller.user_id, action=action, target=target, outcome=outcome, detail=detail or {})
    )
