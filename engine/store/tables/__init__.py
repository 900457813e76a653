"""All tables; importing this package registers them with SQLModel's metadata."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer
from sqlmodel import SQLModel

from engine.store.tables.accounts import AccountGroup, AccountMemory, MarginTracker, TradingAccount
from engine.store.tables.commands import Command, CommandState, EngineLease
from engine.store.tables.identity import ActivityLog, AuditLink, Role, User, UserSession
from engine.store.tables.runs import (
    DayMark,
    ExecutionAccount,
    ExitPlan,
    Fill,
    Order,
    Position,
    RiskEvent,
    RiskLimit,
    ScheduledEntry,
    StrategyExecution,
)
from engine.store.tables.strategies import MarginRequirement, Strategy, StrategyLeg, StrategyVersion, TradeQuality

__all__ = [
    "AccountGroup",
    "AccountMemory",
    "ActivityLog",
    "AuditLink",
    "Command",
    "CommandState",
    "DayMark",
    "EngineLease",
    "ExecutionAccount",
    "ExitPlan",
    "Fill",
    "MarginRequirement",
    "MarginTracker",
    "Order",
    "Position",
    "RiskEvent",
    "RiskLimit",
    "Role",
    "ScheduledEntry",
    "Strategy",
    "StrategyExecution",
    "StrategyLeg",
    "StrategyVersion",
    "TradeQuality",
    "TradingAccount",
    "User",
    "UserSession",
]

MONEY = BigInteger().with_variant(Integer(), "sqlite")
"""The type of every amount in paise: 32 bits end at ₹2.1 crore, and SQLite's integers have 64 by any name."""

for _table in SQLModel.metadata.tables.values():
    for _column in _table.columns:
        if _column.name.endswith("_paise"):
            _column.type = MONEY
