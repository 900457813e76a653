"""The chain over risk events and activity: a row that is changed, removed or slipped in is named."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from engine.runtime.auditing import AuditThread
from engine.services.audit import BATCH, BEGINNING, CHAINED, LOGS, extend, head, verify
from engine.store.database import Database
from engine.store.tables import ActivityLog, RiskEvent, Role, User
from tests.fresh_database import fresh_database

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = fresh_database(f"sqlite:///{tmp_path}/desk.db")
    with made.write() as session:
        session.add(User(id=1, username="asha", password_hash="x", role=Role.ADMIN, created_at=NOW))
    yield made
    made.close()


def write(database: Database, first: int, last: int) -> None:
    with database.write() as session:
        for number in range(first, last + 1):
            at = NOW + timedelta(seconds=number)
            knew = {"profit": -1_250.5, "legs": [{"symbol": "NIFTY01DEC2626000CE", "ltp": 101.05}], "n": number}
            session.add(
                RiskEvent(
                    id=number, at=at, owner_id=1, kind="max_loss", action="close_all", message="₹ −1,250", knew=knew
                )
            )
            session.add(ActivityLog(id=number, at=at, user_id=1, action="command.halt", detail={"n": number}))


def chain(database: Database) -> None:
    while extend(database, now=NOW):
        pass


def as_a_thief(database: Database, statement: str) -> None:
    """Change what the triggers guard, as somebody with the file in hand can."""
    table = statement.split()[2] if statement.startswith("DELETE") else statement.split()[1]
    with database.write() as session:
        for verb in ("update", "delete"):
            session.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_{verb}"))
        session.execute(text(statement))


def test_a_chain_over_both_logs_holds_and_names_its_head(database: Database) -> None:
    assert verify(database).head == BEGINNING
    write(database, 1, 7)
    assert verify(database).unchained == 14
    chain(database)
    report = verify(database)
    assert (report.links, report.unchained, report.broken, report.holds) == (14, 0, None, True)
    assert head(database) == (14, report.head)
    assert extend(database, now=NOW) == 0


def test_a_digest_covers_every_column_that_there_is() -> None:
    """A column that a release adds needs a decision: a link of its own kind, since those of before do not cover it."""
    for source, log in LOGS.items():
        assert set(CHAINED[source]) == set(log.__table__.columns.keys())  # type: ignore[attr-defined]


def test_a_column_that_a_later_release_adds_breaks_no_link(database: Database) -> None:
    write(database, 1, 3)
    chain(database)
    with database.write() as session:
        session.execute(text("ALTER TABLE risk_event ADD COLUMN later VARCHAR DEFAULT 'x'"))
    assert verify(database).holds


def test_rows_written_later_go_on_the_same_chain(database: Database) -> None:
    write(database, 1, 3)
    chain(database)
    before = verify(database).head
    write(database, 4, 6)
    chain(database)
    report = verify(database, head=before)
    assert (report.links, report.seen_head, report.holds) == (12, True, True)


def test_more_rows_than_one_batch(database: Database) -> None:
    write(database, 1, BATCH)
    assert extend(database, now=NOW) == BATCH
    assert verify(database).unchained == BATCH
    chain(database)
    assert verify(database).links == 2 * BATCH
    assert verify(database).holds


@pytest.mark.parametrize(
    ("statement", "source", "row", "why"),
    [
        ("UPDATE risk_event SET message = 'nothing happened' WHERE id = 3", "risk_event", 3, "changed"),
        ("UPDATE risk_event SET knew = '{}' WHERE id = 3", "risk_event", 3, "changed"),
        ("UPDATE risk_event SET at = '2026-11-23 04:00:00.000000' WHERE id = 3", "risk_event", 3, "changed"),
        ("UPDATE activity_log SET user_id = NULL WHERE id = 2", "activity_log", 2, "changed"),
        ("DELETE FROM risk_event WHERE id = 4", "risk_event", 4, "gone"),
        ("UPDATE audit_link SET digest = 'ab' WHERE source = 'risk_event' AND row_id = 2", "risk_event", 2, "changed"),
    ],
)
def test_the_first_broken_link_is_named(database: Database, statement: str, source: str, row: int, why: str) -> None:
    write(database, 1, 6)
    chain(database)
    as_a_thief(database, statement)
    broken = verify(database).broken
    assert broken is not None
    assert (broken.source, broken.row_id) == (source, row)
    assert why in broken.why


def test_a_link_that_was_taken_out_is_named(database: Database) -> None:
    write(database, 1, 4)
    chain(database)
    as_a_thief(database, "DELETE FROM audit_link WHERE id = 5")
    broken = verify(database).broken
    assert broken is not None
    assert (broken.link, broken.why) == (5, "this link is missing")


def test_a_chain_cut_at_its_end_no_longer_contains_the_head_noted_before(database: Database) -> None:
    write(database, 1, 4)
    chain(database)
    noted = verify(database).head
    as_a_thief(database, "DELETE FROM audit_link WHERE id > 6")
    as_a_thief(database, "DELETE FROM risk_event WHERE id > 3")
    as_a_thief(database, "DELETE FROM activity_log WHERE id > 3")
    assert verify(database).holds
    report = verify(database, head=noted)
    assert (report.broken, report.seen_head, report.holds) == (None, False, False)


def test_a_row_slipped_in_among_old_ones_is_named(database: Database) -> None:
    write(database, 1, 2)
    write(database, 5, 6)
    while extend(database, now=NOW + timedelta(minutes=5)):
        pass
    with database.write() as session:
        session.add(RiskEvent(id=3, at=NOW, owner_id=1, kind="drift", action="alert_only", message="invented"))
    broken = verify(database).broken
    assert broken is not None
    assert (broken.source, broken.row_id) == ("risk_event", 3)
    assert "never chained" in broken.why


@pytest.mark.parametrize("table", ["risk_event", "activity_log", "audit_link"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET id = id", "DELETE FROM {}"])
def test_what_was_written_cannot_be_changed(database: Database, table: str, verb: str) -> None:
    write(database, 1, 1)
    chain(database)
    with pytest.raises(IntegrityError, match="only grows"), database.write() as session:
        session.execute(text(verb.format(table)))


def test_two_that_chain_at_once_make_one_chain(database: Database) -> None:
    write(database, 1, 300)
    threads = [threading.Thread(target=chain, args=(database,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = verify(database)
    assert (report.links, report.holds) == (600, True)


def test_the_thread_chains_what_comes_and_what_is_left_at_the_end(database: Database) -> None:
    audit = AuditThread(database)
    write(database, 1, 2)
    audit.start()
    audit.stop()
    assert verify(database).links == 4
