"""Run by Alembic, never imported: engine.store.schema opens the connection and holds the lock."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import engine.store.tables  # noqa: F401  registers every table with the metadata


def run() -> None:
    """Migrate on the connection that engine.store.schema handed over; logging stays as the process set it up."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
