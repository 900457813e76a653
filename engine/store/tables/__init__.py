"""All tables; importing this package registers them with SQLModel's metadata."""

from __future__ import annotations

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
