"""The whole house on PostgreSQL, a database of its own per test; skipped where TEST_POSTGRES_URL names no server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, make_url, text
from sqlmodel import SQLModel, select

from engine.services.audit import verify
from engine.store import tables
from engine.store.database import Database
from engine.store.schema import SchemaState, schema_state, upgrade
from tests.house import House
from tests.paper_server import wait_until

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of an empty database."""
    server = os.environ.get("TEST_POSTGRES_URL")
    if not server:
        words = "TEST_POSTGRES_URL is not set: no PostgreSQL server to test with"
        (pytest.fail if os.environ.get("REQUIRE_POSTGRES") else pytest.skip)(words)
    url = make_url(server).set(drivername="postgresql+psycopg")
    name = f"algomirror_{uuid4().hex[:12]}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def test_schema_is_made_once_and_holds_every_table(postgres: str) -> None:
    database = Database(postgres)
    assert schema_state(database) is SchemaState.MISSING
    upgrade(database)
    assert schema_state(database) is SchemaState.CURRENT
    with database.read() as session:
        for table in SQLModel.metadata.sorted_tables:
            assert session.execute(text(f'SELECT count(*) FROM "{table.name}"')).scalar_one() == 0
    database.close()


def test_amounts_beyond_32_bits_are_written_and_read_back(postgres: str) -> None:
    database = Database(postgres)
    upgrade(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
        question = "SELECT data_type FROM information_schema.columns WHERE column_name LIKE '%\\_paise'"
        types = connection.execute(text(question)).scalars().all()
    assert len(types) > 15
    assert set(types) == {"bigint"}
    crore_paise = 10_000_000 * 100
    with database.write() as session:
        session.execute(text("SET session_replication_role = replica"))  # rows without those they refer to
        amounts = {"available_paise": 900 * crore_paise, "used_paise": 0}
        session.add(tables.MarginTracker(account_id=1, at=NOW, funds_model="net", **amounts))
    with database.read() as session:
        assert session.exec(select(tables.MarginTracker.available_paise)).all() == [900 * crore_paise]
    database.close()


def test_straddle_is_entered_killed_and_taken_out_by_its_max_loss(tmp_path: Path, postgres: str) -> None:
    with House(tmp_path, database_url=postgres, quiet_unanswered=4.0) as house:
        run = house.execute(house.straddle(max_loss=20_000.0))
        house.until_open(run)
        house.engine.kill()
        house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
        house.start_engine()
        house.until_closed(run)
        house.assert_clean(run)
        report = wait_until(lambda: verify(house.database), lambda found: found.unchained == 0)  # a second or so later
    assert report.holds
    assert report.links > 0


def test_second_engine_refuses_on_postgres(tmp_path: Path, postgres: str) -> None:
    with House(tmp_path, database_url=postgres) as house:
        second = house.start_engine(wait=False)
        assert second.process.wait(20) == 3
        assert house.engine is second
