"""The family's trading accounts and what their funds reads said."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field, SQLModel


class AccountGroup(SQLModel, table=True):
    """A family: accounts shown and traded together."""

    __tablename__ = "account_group"
    __table_args__ = (UniqueConstraint("owner_id", "name"),)

    id: int | None = Field(default=None, primary_key=True)
    owner_id: int = Field(foreign_key="user.id", index=True)
    name: str = Field(max_length=80)


class TradingAccount(SQLModel, table=True):
    """One account behind one OpenAlgo server; the api key is encrypted (engine.store.vault).

    ``venue``: ``live`` or ``paper:HOST`` (RULES 1). ``grade`` A, B or C: the default percentage of RULES 2.
    ``max_lots``: optional cap of lots per run.
    """

    __tablename__ = "trading_account"
    __table_args__ = (UniqueConstraint("owner_id", "name"),)

    id: int | None = Field(default=None, primary_key=True)
    owner_id: int = Field(foreign_key="user.id", index=True)
    group_id: int | None = Field(default=None, foreign_key="account_group.id")
    name: str = Field(max_length=80)
    relation: str = Field(default="", max_length=40)
    host: str = Field(max_length=300)
    ws_url: str = Field(max_length=300)
    api_key_encrypted: str
    broker: str = ""
    venue: str = Field(default="live", index=True)
    mode: str = "live"
    is_primary: bool = False
    priority: int = 100
    grade: str = "B"
    max_lots: int | None = None
    multiplier: int = 1
    funds_model: str = "gross"
    collateral_haircut: float = 0.0
    capabilities: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    active: bool = True
    created_at: datetime


class AccountMemory(SQLModel, table=True):
    """What the engine must still know of an account after a restart (RULES 5, "valid").

    ``broker``, ``mode``: with which it was armed. ``opening``: what ``day`` began with; ``carried``: the net in the
    last valid books of a session. Both as rows of symbol, exchange, product, quantity.
    """

    __tablename__ = "account_memory"

    account_id: int = Field(primary_key=True, foreign_key="trading_account.id")
    broker: str
    mode: str
    armed_at: datetime | None = None
    day: date | None = None
    opening: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    carried: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    carried_at: datetime | None = None


class MarginTracker(SQLModel, table=True):
    """One funds read of an account, in paise."""

    __tablename__ = "margin_tracker"

    id: int | None = Field(default=None, primary_key=True)
    account_id: int = Field(foreign_key="trading_account.id", index=True)
    at: datetime = Field(index=True)
    available_paise: int
    used_paise: int
    reserved_paise: int = 0
    funds_model: str
