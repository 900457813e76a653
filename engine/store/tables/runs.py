"""What the engine does: runs, their accounts, orders, fills, positions, exit plans, risk events.

The core is the only writer of these tables; it gives the ids itself, so that memory and disk agree before the commit.
Money in paise, quantities in units, time in UTC.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field, SQLModel

from engine.domain.runs import AccountState, PlanState, RunState
from engine.store.tables.words import words


class StrategyExecution(SQLModel, table=True):
    """A run: one execution of one strategy version in one venue.

    ``resolved``: contracts, spot and time of the one reading they came from. ``premium_value_paise`` is V and ``units``
    the largest filled leg quantity, both fixed when the entry completes (RULES 7).
    """

    __tablename__ = "strategy_execution"

    id: int = Field(primary_key=True)
    owner_id: int = Field(foreign_key="user.id", index=True)
    strategy_id: int = Field(foreign_key="strategy.id", index=True)
    version_id: int = Field(foreign_key="strategy_version.id")
    command_id: int | None = Field(default=None, foreign_key="command.id")
    venue: str = Field(index=True)
    state: RunState = Field(index=True, sa_type=words(RunState))
    reason: str = ""
    created_at: datetime
    entered_at: datetime | None = None
    closed_at: datetime | None = None
    resolved: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    premium_value_paise: int | None = None
    units: int = 0
    lots_filled: int = 0
    trailing_active: bool = False
    peak_paise: int | None = None
    stop_paise: int | None = None
    latches: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    watch: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    profit_paise: int | None = None


class ExecutionAccount(SQLModel, table=True):
    """A run on one account: its lots, how they were found, and how far the entry is."""

    __tablename__ = "execution_account"
    __table_args__ = (UniqueConstraint("execution_id", "account_id"),)

    id: int = Field(primary_key=True)
    execution_id: int = Field(foreign_key="strategy_execution.id", index=True)
    account_id: int = Field(foreign_key="trading_account.id", index=True)
    state: AccountState = Field(sa_type=words(AccountState))
    lots: int = 0
    sizing: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    reason: str = ""
    reserved_paise: int = 0


class Order(SQLModel, table=True):
    """The intent and the fate of one child order (RULES 5); on disk before its first byte leaves.

    ``visible_before``: broker ids of the same class already in the books when it was sent. ``orderid``: the broker's,
    unique per account and trading day. ``quiet_until``: before it, absence in a book proves nothing. ``price``: the
    newest limit asked for; ``reprices`` counts the modifications. ``smart``: sent as a smart order to position 0.
    ``estimated``: what filled was inferred from the net position. ``declared_by``: who said what became of it.
    ``unexplained_before``: the net that no listed order explained, in the last valid books before it was sent.
    """

    __tablename__ = "orders"
    __table_args__ = (UniqueConstraint("account_id", "trading_day", "orderid"),)

    id: int = Field(primary_key=True)
    execution_id: int = Field(foreign_key="strategy_execution.id", index=True)
    account_id: int = Field(foreign_key="trading_account.id", index=True)
    exit_plan_id: int | None = Field(default=None, foreign_key="exit_plan.id", index=True)
    purpose: str
    leg_index: int
    slice_index: int = 0
    symbol: str
    exchange: str
    product: str
    action: str
    price_type: str = "MARKET"
    quantity: int
    price: float = 0.0
    trigger_price: float = 0.0
    state: str = Field(index=True)
    orderid: str | None = None
    trading_day: date
    tag: str
    filled_quantity: int = 0
    filled_value_paise: int = 0
    cancel_requested: bool = False
    words: str = ""
    visible_before: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    created_at: datetime
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    quiet_until: datetime | None = None
    absent_since: datetime | None = None
    reprices: int = 0
    repriced_at: datetime | None = None
    smart: bool = False
    estimated: bool = False
    declared_by: int | None = None
    unexplained_before: int | None = None
    updated_at: datetime


class Fill(SQLModel, table=True):
    """An increment of what an order filled; ``quantity`` 0 corrects a price. ``source``: trade, push, book, position.

    Without an order: charge, crossing, settlement, conversion, adopted (RULES 6).
    """

    __tablename__ = "fill"

    id: int = Field(primary_key=True)
    order_id: int | None = Field(default=None, foreign_key="orders.id", index=True)
    execution_id: int = Field(foreign_key="strategy_execution.id", index=True)
    account_id: int = Field(foreign_key="trading_account.id", index=True)
    symbol: str
    exchange: str
    product: str
    action: str
    quantity: int
    value_paise: int
    source: str
    estimated: bool = False
    at: datetime


class Position(SQLModel, table=True):
    """What a run owns under one key: Q of RULES 6, with its money."""

    __tablename__ = "position"
    __table_args__ = (UniqueConstraint("execution_id", "account_id", "symbol", "exchange", "product"),)

    id: int = Field(primary_key=True)
    execution_id: int = Field(foreign_key="strategy_execution.id", index=True)
    account_id: int = Field(foreign_key="trading_account.id", index=True)
    leg_index: int
    symbol: str
    exchange: str
    product: str
    quantity: int
    buy_quantity: int
    buy_value_paise: int
    sell_quantity: int
    sell_value_paise: int
    open_value_paise: int
    realised_paise: int
    updated_at: datetime


class ExitPlan(SQLModel, table=True):
    """An exit driven until its scope is done: at most one active plan covers a (run, key). Empty scope lists mean all.

    ``keep``: rows of (account, symbol, exchange, product, quantity) that stay open, where only a share leaves.
    """

    __tablename__ = "exit_plan"

    id: int = Field(primary_key=True)
    execution_id: int = Field(foreign_key="strategy_execution.id", index=True)
    account_ids: list[int] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    reason: str
    state: PlanState = Field(default=PlanState.ACTIVE, sa_type=words(PlanState))
    requested_by: int | None = Field(default=None, foreign_key="user.id")
    created_at: datetime
    done_at: datetime | None = None
    leg_indexes: list[int] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    keep: list[Any] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))


class RiskEvent(SQLModel, table=True):
    """Something that took, or should have taken, a position off; ``knew`` is what the engine knew then."""

    __tablename__ = "risk_event"

    id: int = Field(primary_key=True)
    at: datetime = Field(index=True)
    owner_id: int = Field(foreign_key="user.id", index=True)
    execution_id: int | None = Field(default=None, foreign_key="strategy_execution.id", index=True)
    account_id: int | None = Field(default=None, foreign_key="trading_account.id")
    exit_plan_id: int | None = Field(default=None, foreign_key="exit_plan.id")
    kind: str
    action: str
    threshold_paise: int | None = None
    value_paise: int | None = None
    message: str
    knew: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


class RiskLimit(SQLModel, table=True):
    """Limits on P of the day, per user (``account_id`` null) or account, and halts; written by the engine alone.

    ``halted_at``: no entries there, until the day ``halted_until`` begins or, without one, until re-armed.
    """

    __tablename__ = "risk_limit"
    __table_args__ = (UniqueConstraint("owner_id", "account_id"),)

    id: int | None = Field(default=None, primary_key=True)
    owner_id: int = Field(foreign_key="user.id", index=True)
    account_id: int | None = Field(default=None, foreign_key="trading_account.id")
    halted_at: datetime | None = None
    reason: str = ""
    max_loss_paise: int | None = None
    max_loss_enabled: bool = True
    max_loss_action: str = "close_all"
    max_profit_paise: int | None = None
    max_profit_enabled: bool = True
    max_profit_action: str = "close_all"
    latched: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    latched_day: date | None = None
    halted_until: date | None = None


class DayMark(SQLModel, table=True):
    """P of a run on one account (paise): the last mark before ``day``, and as last known on it (RULES 6)."""

    __tablename__ = "day_mark"

    execution_id: int = Field(primary_key=True, foreign_key="strategy_execution.id")
    account_id: int = Field(primary_key=True, foreign_key="trading_account.id")
    day: date
    mark_paise: int | None = None
    last_paise: int | None = None


class ScheduledEntry(SQLModel, table=True):
    """What became of a strategy's scheduled entry on one day; the pair is unique, so that nothing enters twice."""

    __tablename__ = "scheduled_entry"
    __table_args__ = (UniqueConstraint("strategy_id", "day"),)

    id: int = Field(primary_key=True)
    strategy_id: int = Field(foreign_key="strategy.id", index=True)
    day: date
    state: str
    due_at: datetime
    decided_at: datetime
    run_id: int | None = Field(default=None, foreign_key="strategy_execution.id")
    reason: str = ""
