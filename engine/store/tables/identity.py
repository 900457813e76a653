"""Who may enter: users, their sessions, and what they did."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field, SQLModel

from engine.store.tables.words import words


class Role(StrEnum):
    """What a user may do: admins everything, traders their own accounts, viewers only look."""

    ADMIN = "admin"
    TRADER = "trader"
    VIEWER = "viewer"


class User(SQLModel, table=True):
    """A person; ``username`` is kept lower case."""

    __tablename__ = "user"

    id: int | None = Field(default=None, primary_key=True)
    username: str = Field(unique=True, max_length=64)
    email: str = Field(default="", max_length=254)
    password_hash: str
    role: Role = Field(default=Role.TRADER, sa_type=words(Role))
    active: bool = True
    created_at: datetime


class UserSession(SQLModel, table=True):
    """A login: the token itself is only in the cookie, here is its SHA-256."""

    __tablename__ = "user_session"

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user.id", index=True)
    token_hash: str = Field(unique=True, max_length=64)
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    address: str = ""
    agent: str = ""


class ActivityLog(SQLModel, table=True):
    """What a person did or was refused: logins, changes, commands."""

    __tablename__ = "activity_log"

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(index=True)
    user_id: int | None = Field(default=None, foreign_key="user.id", index=True)
    action: str
    target: str = ""
    outcome: str = "done"
    address: str = ""
    detail: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


class AuditLink(SQLModel, table=True):
    """One link of the hash chain over risk events and the activity log, in the order they were chained.

    ``source``: risk_event or activity_log, ``row_id`` a row of it. ``digest`` is SHA-256 over the one before and the
    row's content, hexadecimal.
    """

    __tablename__ = "audit_link"
    __table_args__ = (UniqueConstraint("source", "row_id"),)

    id: int = Field(primary_key=True)
    source: str
    row_id: int
    digest: str = Field(max_length=64)
    at: datetime
