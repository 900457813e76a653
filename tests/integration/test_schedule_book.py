"""The schedules of a database, as an engine reads them at its start."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from engine.services.schedule_book import read_ended_schedules, read_schedules
from tests.fresh_database import fresh_database


def test_engine_without_any_strategy_reads_no_schedules(tmp_path: Path) -> None:
    database = fresh_database(f"sqlite:///{tmp_path}/house.db")
    with database.read() as session:
        assert read_schedules(session) == {}
        assert read_ended_schedules(session, datetime(2026, 11, 23, 4, tzinfo=UTC)) == []
    database.close()
