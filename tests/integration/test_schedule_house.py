"""Entries by the clock with a real engine: schedules are read when one was saved, and a kill does not enter twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from engine.domain.calendar import IST
from engine.services.commands import enqueue_reload
from engine.services.drafts import ScheduleDraft
from engine.services.risk_views import ScheduledView
from engine.store.tables import ScheduledEntry, StrategyVersion
from tests.house import House
from tests.paper_server import wait_until


def due_in(house: House, strategy: int, seconds: float) -> None:
    """Have a strategy enter so soon, at whatever time of day this runs; the engine is told as by a save."""
    now = datetime.now(UTC)
    due = now + timedelta(seconds=seconds)
    draft = ScheduleDraft(enabled=True, entry_time=f"{due.astimezone(IST):%H:%M:%S}")
    with house.database.write() as session:
        version = session.exec(select(StrategyVersion).where(StrategyVersion.strategy_id == strategy)).one()
        version.schedule = draft.model_dump()
        session.add(version)
        enqueue_reload(session, house.desk.caller, now=now)


def entries(house: House) -> list[Any]:
    with house.database.read() as session:
        return list(session.exec(select(ScheduledEntry).order_by(col(ScheduledEntry.id))).all())


def shown(house: House) -> list[ScheduledView]:
    return house.desk.live().schedules


def test_a_strategy_enters_by_itself_and_a_killed_engine_does_not_enter_again(tmp_path: Path) -> None:
    with House(tmp_path, accounts=(("Asha", 1_500_000.0, "B"),)) as house:
        strategy = house.straddle("Every morning")
        assert shown(house) == []
        due_in(house, strategy, 6)
        (view,) = wait_until(lambda: shown(house), seconds=5)
        assert (view.strategy, view.state) == ("Every morning", "due")
        (entry,) = wait_until(lambda: entries(house), seconds=20)
        assert entry.state == "begun"
        house.until_open(entry.run_id)
        held = house.net("Asha")
        assert len(held) == 2
        house.engine.kill()
        house.start_engine()
        wait_until(lambda: datetime.now(UTC) - entry.due_at.astimezone(UTC) > timedelta(seconds=15), seconds=30)
        assert len(entries(house)) == 1
        assert {run.id for run in [*house.desk.live().runs, *house.desk.run_history()]} == {entry.run_id}
        assert len(house.books("Asha")["orders"]) == 2
        assert house.net("Asha") == held
        assert "scheduled_entry" in {event.kind for event in house.desk.risk_events()}


def test_an_engine_that_comes_too_late_skips_and_says_so(tmp_path: Path) -> None:
    with House(tmp_path, accounts=(("Asha", 1_500_000.0, "B"),)) as house:
        strategy = house.straddle("Every morning")
        house.engine.kill()
        due_in(house, strategy, 1)
        with house.database.write() as session:
            version = session.exec(select(StrategyVersion).where(StrategyVersion.strategy_id == strategy)).one()
            version.schedule = version.schedule | {"grace_seconds": 1.0}
            session.add(version)
        later = datetime.now(UTC) + timedelta(seconds=4)
        wait_until(lambda: datetime.now(UTC) > later, seconds=10)
        house.start_engine()
        (entry,) = wait_until(lambda: entries(house), seconds=20)
        assert (entry.state, "not running or asleep" in entry.reason) == ("skipped", True)
        (view,) = wait_until(lambda: shown(house), seconds=5)
        assert (view.state, view.reason) == ("skipped", entry.reason)
        assert house.books("Asha")["orders"] == []
