"""Migrations: they build exactly the tables of the code, once, and say when they cannot."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from engine.store.database import Database
from engine.store.schema import SchemaError, SchemaState, alembic_config, reset, revisions, schema_state, upgrade
from engine.store.tables import ActivityLog

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(tmp_path: Path):
    made = Database(f"sqlite:///{tmp_path}/desk.db")
    yield made
    made.close()


def test_the_migrations_build_the_tables_of_the_code(database: Database) -> None:
    upgrade(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_files_are_named_after_their_revisions_and_follow_each_other() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert revisions() == tuple(script.revision for script in reversed(list(scripts.walk_revisions())))
    assert revisions()[-1] == scripts.get_current_head()


def test_a_database_that_is_up_to_date_is_recognised_without_alembic(database: Database) -> None:
    upgrade(database)
    look = f"""
import sys
from engine.store.database import Database
from engine.store.schema import upgrade
print(upgrade(Database({str(database.url)!r})), "alembic" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["current", "False"]


def test_upgrade_says_what_it_found_and_the_second_one_has_nothing_to_do(database: Database) -> None:
    assert schema_state(database) is SchemaState.MISSING
    assert upgrade(database) is SchemaState.MISSING
    assert schema_state(database) is SchemaState.CURRENT
    assert upgrade(database) is SchemaState.CURRENT


def test_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    databases = [Database(f"sqlite:///{tmp_path}/desk.db") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(upgrade, databases))
    assert found.count(SchemaState.MISSING) == 1  # the others came to the lock and found it done
    assert {schema_state(database) for database in databases} == {SchemaState.CURRENT}
    for database in databases:
        database.close()


def test_a_database_of_a_newer_release_is_left_alone(database: Database) -> None:
    upgrade(database)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert schema_state(database) is SchemaState.NEWER
    with pytest.raises(SchemaError, match="newer release"):
        upgrade(database)


def test_a_step_that_fails_leaves_nothing_behind(database: Database) -> None:
    with database.write() as session:
        session.execute(text("CREATE TABLE position (id INTEGER)"))  # in the way of a later step
    with pytest.raises(Exception, match="position"):
        upgrade(database)
    with database.read() as session:
        tables = set(session.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars())
    assert tables == {"position"}


def test_foreign_keys_hold_after_a_migration(database: Database) -> None:
    upgrade(database)
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(ActivityLog(at=datetime.now(UTC), user_id=99, action="x"))


@pytest.mark.parametrize("change", ["UPDATE activity_log SET action = 'y'", "DELETE FROM activity_log"])
def test_what_was_logged_stays(database: Database, change: str) -> None:
    upgrade(database)
    with database.write() as session:
        session.add(ActivityLog(at=datetime.now(UTC), action="x"))
    with pytest.raises(IntegrityError, match="only grows"), database.write() as session:
        session.execute(text(change))


def test_migrating_leaves_logging_as_it_was(database: Database) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.getLogger("engine").disabled)
    upgrade(database)
    assert (root.level, list(root.handlers), logging.getLogger("engine").disabled) == before


def test_reset_empties_everything_and_builds_anew(database: Database) -> None:
    upgrade(database)
    with database.write() as session:
        session.add(ActivityLog(at=datetime.now(UTC), action="x"))
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))  # also a newer release's
    reset(database)
    assert schema_state(database) is SchemaState.CURRENT
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM activity_log")).scalar() == 0


def test_init_db_creates_asks_before_it_empties_and_keeps_testdata_out_of_production(tmp_path: Path) -> None:
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = {"DATABASE_URL": f"sqlite:///{tmp_path}/desk.db", "LOG_DIR": str(tmp_path)} | environment
        command = [sys.executable, "init_db.py", *arguments]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    assert "created" in run().stdout
    assert "up to date" in run().stdout
    refused = run("reset")
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
    assert run("reset", "--yes").returncode == 0
    production = run("testdata", APP_ENV="production")
    assert production.returncode == 1
    assert "APP_ENV=development python init_db.py testdata" in production.stderr
