"""What exits that happen exactly once must remember: re-pricing, inference, declarations, and what an account held."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns of orders and legs, and the table of what the engine knew of an account."""
    op.add_column("orders", sa.Column("reprices", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("orders", sa.Column("repriced_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("orders", sa.Column("smart", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("orders", sa.Column("estimated", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("orders", sa.Column("unexplained_before", sa.Integer(), nullable=True))
    op.add_column("orders", sa.Column("declared_by", sa.Integer(), nullable=True))
    op.add_column("strategy_leg", sa.Column("limit_offset", sa.Float(), nullable=False, server_default="0"))
    op.create_table(
        "account_memory",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("broker", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("armed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("opening", sa.JSON(), nullable=False),
        sa.Column("carried", sa.JSON(), nullable=False),
        sa.Column("carried_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["trading_account.id"],
        ),
        sa.PrimaryKeyConstraint("account_id"),
    )
