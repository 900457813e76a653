"""What people ask of the engine, and which engine holds the lease."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field, SQLModel

from engine.store.tables.words import words


class CommandState(StrEnum):
    """Life of a command. ``refused`` carries the reason in ``outcome``."""

    PENDING = "pending"
    TAKEN = "taken"
    DONE = "done"
    REFUSED = "refused"


class Command(SQLModel, table=True):
    """One click: written by the UI, taken by the engine. ``valid_until`` None never expires (exits, halts)."""

    __tablename__ = "command"
    __table_args__ = (UniqueConstraint("user_id", "idempotency_key"),)

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user.id", index=True)
    kind: str
    payload: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    idempotency_key: str = Field(max_length=64)
    state: CommandState = Field(default=CommandState.PENDING, index=True, sa_type=words(CommandState))
    outcome: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    created_at: datetime
    valid_until: datetime | None = None
    taken_at: datetime | None = None
    done_at: datetime | None = None


class EngineLease(SQLModel, table=True):
    """The one row (id 1) that says who trades; ``token`` rises with each takeover, ``renewed_boot``: CLOCK_BOOTTIME."""

    __tablename__ = "engine_lease"

    id: int = Field(default=1, primary_key=True)
    token: int = 0
    holder: str = ""
    host: str = ""
    boot_id: str = ""
    pid: int = 0
    process_start: float = 0.0
    renewed_boot: float = 0.0
    renewed_at: datetime
    last_pass_at: datetime
    stopped_note: str = ""
    version: str = ""
