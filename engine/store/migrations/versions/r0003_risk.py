"""What exit rules and the clock must remember: rule state, partial exits, day limits, schedules, the audit chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add columns to runs, plans, legs, versions and limits, and the tables of marks, schedules and the chain."""
    op.add_column("strategy_execution", _json("watch", "{}"))
    op.add_column("exit_plan", _json("leg_indexes", "[]"))
    op.add_column("exit_plan", _json("keep", "[]"))
    op.add_column("strategy_version", _json("schedule", "{}"))
    for name, usual in (("stop_kind", "none"), ("target_kind", "none"), ("reentry", "none")):
        op.add_column("strategy_leg", sa.Column(name, sa.String(), nullable=False, server_default=usual))
    for name in ("stop_value", "target_value"):
        op.add_column("strategy_leg", sa.Column(name, sa.Float(), nullable=False, server_default="0"))
    op.add_column("strategy_leg", sa.Column("reentry_most", sa.Integer(), nullable=False, server_default="0"))
    for name in ("max_loss", "max_profit"):
        op.add_column("risk_limit", sa.Column(f"{name}_paise", sa.Integer(), nullable=True))
        op.add_column(
            "risk_limit", sa.Column(f"{name}_enabled", sa.Boolean(), nullable=False, server_default=sa.true())
        )
        action = sa.Column(f"{name}_action", sa.String(), nullable=False, server_default="close_all")
        op.add_column("risk_limit", action)
    op.add_column("risk_limit", _json("latched", "[]"))
    op.add_column("risk_limit", sa.Column("latched_day", sa.Date(), nullable=True))
    op.add_column("risk_limit", sa.Column("halted_until", sa.Date(), nullable=True))
    op.create_table(
        "day_mark",
        sa.Column("execution_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("mark_paise", sa.Integer(), nullable=True),
        sa.Column("last_paise", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["execution_id"], ["strategy_execution.id"]),
        sa.ForeignKeyConstraint(["account_id"], ["trading_account.id"]),
        sa.PrimaryKeyConstraint("execution_id", "account_id"),
    )
    op.create_table(
        "scheduled_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("strategy_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["strategy_id"], ["strategy.id"]),
        sa.ForeignKeyConstraint(["run_id"], ["strategy_execution.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("strategy_id", "day"),
    )
    op.create_index(op.f("ix_scheduled_entry_strategy_id"), "scheduled_entry", ["strategy_id"], unique=False)
    op.create_table(
        "audit_link",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("row_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("source", "row_id"),
    )
    _guard("audit_link")


def _json(name: str, usual: str) -> sa.Column[str]:
    return sa.Column(name, sa.JSON(), nullable=False, server_default=usual)


def _guard(table: str) -> None:
    """Refuse changes of what was written down, as with the logs themselves."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
            )
        return
    op.execute(
        f"CREATE TRIGGER {table}_only_grows BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION only_grows()"
    )
