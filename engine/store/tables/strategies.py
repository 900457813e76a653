"""What a trader builds: strategies in versions, their legs, and the user's margin rows and grades."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field, SQLModel


class Strategy(SQLModel, table=True):
    """A named strategy; what it does stands in its versions."""

    __tablename__ = "strategy"
    __table_args__ = (UniqueConstraint("owner_id", "name"),)

    id: int | None = Field(default=None, primary_key=True)
    owner_id: int = Field(foreign_key="user.id", index=True)
    name: str = Field(max_length=80)
    version: int = 1
    archived: bool = False
    created_at: datetime


class StrategyVersion(SQLModel, table=True):
    """One immutable state of a strategy: a change makes a new version, runs keep theirs.

    ``account_ids``: the accounts it goes to. ``sizing``: own percentage or fixed lots. ``limits``:
    engine.services.drafts.LimitsDraft as JSON. ``entry_policy``: unwind or hold (RULES 4). ``schedule``: its
    ScheduleDraft.
    """

    __tablename__ = "strategy_version"
    __table_args__ = (UniqueConstraint("strategy_id", "number"),)

    id: int | None = Field(default=None, primary_key=True)
    strategy_id: int = Field(foreign_key="strategy.id", index=True)
    number: int
    description: str = ""
    market_condition: str = "any"
    product: str = "NRML"
    account_ids: list[int] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    sizing: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    limits: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    entry_policy: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    schedule: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    created_at: datetime


class StrategyLeg(SQLModel, table=True):
    """One leg of a version; ``strike_value`` is the n of ATM ± n, a strike, or a premium in ₹ by ``strike_kind``.

    ``limit_offset``: a LIMIT leg asks for the mid of bid and ask, better for us by so many ₹.
    """

    __tablename__ = "strategy_leg"
    __table_args__ = (UniqueConstraint("version_id", "leg_index"),)

    id: int | None = Field(default=None, primary_key=True)
    version_id: int = Field(foreign_key="strategy_version.id", index=True)
    leg_index: int
    underlying: str
    action: str
    instrument_type: str
    expiry_choice: str = "current_week"
    strike_kind: str = "atm"
    strike_value: float = 0.0
    ratio: int = 1
    price_type: str = "MARKET"
    limit_offset: float = 0.0
    stop_kind: str = "none"
    stop_value: float = 0.0
    target_kind: str = "none"
    target_value: float = 0.0
    reentry: str = "none"
    reentry_most: int = 0


class MarginRequirement(SQLModel, table=True):
    """A user's own margin row per underlying, paise a lot; missing rows fall back to the defaults of RULES 2."""

    __tablename__ = "margin_requirement"
    __table_args__ = (UniqueConstraint("owner_id", "underlying"),)

    id: int | None = Field(default=None, primary_key=True)
    owner_id: int = Field(foreign_key="user.id", index=True)
    underlying: str
    one_side_expiry: int
    one_side_other: int
    both_sides_expiry: int
    both_sides_other: int
    futures_expiry: int
    futures_other: int


class TradeQuality(SQLModel, table=True):
    """A user's own percentage of a grade (RULES 2: A 95, B 65, C 36)."""

    __tablename__ = "trade_quality"
    __table_args__ = (UniqueConstraint("owner_id", "grade"),)

    id: int | None = Field(default=None, primary_key=True)
    owner_id: int = Field(foreign_key="user.id", index=True)
    grade: str
    percentage: float
