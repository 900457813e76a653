"""Amounts in paise have 64 bits: PostgreSQL's plain integers end at ₹2.1 crore. SQLite's never did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

AMOUNTS = {
    "margin_tracker": ("available", "used", "reserved"),
    "strategy_execution": ("premium_value", "peak", "stop", "profit"),
    "execution_account": ("reserved",),
    "orders": ("filled_value",),
    "fill": ("value",),
    "position": ("buy_value", "sell_value", "open_value", "realised"),
    "risk_event": ("threshold", "value"),
    "risk_limit": ("max_loss", "max_profit"),
    "day_mark": ("mark", "last"),
}


def upgrade() -> None:
    """Widen every column of money."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for table, names in AMOUNTS.items():
        for name in names:
            op.alter_column(table, f"{name}_paise", type_=sa.BigInteger())
