"""All tables; importing this package registers them with SQLModel's metadata."""

from __future__ import annotations

from engine.store.tables.accounts import AccountGroup, AccountMemory, MarginTracker, TradingAccount
from engine.store.tables.commands import Command, CommandState, EngineLease
from engine.store.tables.identity import ActivityLog, Role, User, UserSession
from engine.store.tables.runs import (
    ExecutionAccount,
    ExitPlan,
    Fill,
    Order,
    Position,
    RiskEvent,
    RiskLimit,
    StrategyExecution,
)
from engine.store.tables.strategies import MarginRequirement, Strategy, StrategyLeg, StrategyVersion, TradeQuality

__all__ = [
    "AccountGroup",
    "AccountMemory",
    "ActivityLog",
    "Command",
    "CommandState",
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
    "Strategy",
    "StrategyExecution",
    "StrategyLeg",
    "StrategyVersion",
    "TradeQuality",
    "TradingAccount",
    "User",
    "UserSession",
]
