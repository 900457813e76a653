"""What broke, or might have broken: limits of the day, the clock, the audit chain, the fire drill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import select

from engine.services import audit, commands
from engine.services.errors import InvalidInput
from engine.services.events import risk_events
from engine.services.identity import Caller
from engine.services.messages import CommandArrived
from engine.services.views import EventFilter
from engine.store import tables
from engine.store.database import Database
from engine.store.tables import Role
from tests.fresh_database import fresh_database
from tests.integration.test_day_limits import of_the_day, set_limits
from tests.integration.test_schedule import MONDAY, at, go_to, rows, runs, scheduled
from tests.stage import BEGIN, CALL, LOT, Stage, StageClock, take_change, take_only

ASHA = Caller(1, "asha", Role.ADMIN)


# ── entries by the clock ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_long_grace_does_not_reach_beyond_the_last_entry_time(tmp_path: Path) -> None:
    stage = scheduled(tmp_path, "10:35", draft={"last_entry_time": "10:36", "grace_seconds": 600.0})
    go_to(stage, at(MONDAY, "10:37"))
    stage.play(3.0)
    ((_day, state, reason),) = rows(stage)
    assert (state, "last entry time, 10:36, was over" in reason) == ("skipped", True)
    assert runs(stage) == []


def test_within_its_grace_it_enters_up_to_the_last_entry_time(tmp_path: Path) -> None:
    stage = scheduled(tmp_path, "10:35", draft={"last_entry_time": "10:36", "grace_seconds": 600.0})
    go_to(stage, at(MONDAY, "10:35:55"))
    stage.play(3.0)
    assert [row[1] for row in rows(stage)] == ["begun"]


@pytest.mark.parametrize("restarted", [True, False])
@pytest.mark.parametrize("change", [{"active": False}, {"role": Role.VIEWER}])
def test_the_clock_does_not_enter_for_a_user_who_may_not_trade_any_more(
    tmp_path: Path, change: dict[str, Any], restarted: bool
) -> None:
    stage = scheduled(tmp_path, "10:35")
    with stage.database.write() as session:
        user = session.get_one(tables.User, 1)
        for name, value in change.items():
            setattr(user, name, value)
    if restarted:
        stage.restart()
        stage.arm()
    go_to(stage, at(MONDAY, "10:35"))
    stage.play(3.0)
    assert [row[1:] for row in rows(stage)] == [("skipped", "its owner may not trade any more")]
    assert runs(stage) == []


@pytest.mark.parametrize("place", range(8))
def test_two_kills_around_its_time_make_one_entry(tmp_path: Path, place: int) -> None:
    stage = scheduled(tmp_path, "10:35")
    go_to(stage, at(MONDAY, "10:34:59.8"))
    for step in range(12):
        stage.step(0.05)
        if step in {place, place + 2}:
            stage.restart()
    stage.play(30.0)
    ((_day, state, _reason),) = rows(stage)
    assert len(runs(stage)) == 1
    # killed while its contracts were read, it is refused: nobody knows what would be entered
    assert sorted(stage.broker().net.values()) == ([] if state == "refused" else [-LOT, -LOT])
    assert state in {"begun", "refused"}


# ── limits of the day ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("place", range(8))
def test_a_kill_in_any_pass_of_a_limit_makes_one_exit(tmp_path: Path, place: int) -> None:
    stage = Stage(tmp_path, accounts=2)
    stage.enter()
    set_limits(stage, max_loss=10 * LOT)
    stage.price(CALL, 170.0)
    for step in range(12):
        stage.step(0.05)
        if step == place:
            stage.restart()
            stage.price(CALL, 170.0)
    stage.play(60.0)
    assert [stage.broker(one).net for one in (1, 2)] == [{}, {}]
    assert [len(stage.broker(one).orders) for one in (1, 2)] == [4, 4]
    assert len(of_the_day(stage)) == 1


def test_a_run_without_a_price_that_keeps_the_limits_of_the_day_from_deciding_is_told_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2)
    stage.enter()
    set_limits(stage, max_loss=10 * LOT)
    stage.play(20.0)
    assert _told_dark(stage) == []
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change  # an exit that hangs at one broker
    stage.close(1)
    stage.quiet_market()
    stage.play(45.0)
    (event,) = _told_dark(stage)
    assert "limits of the day of all accounts cannot decide: P of run 1 is not known" in event.message
    for hands in stage.hands.values():
        hands.silent.discard("quotes")
    stage.play(10.0)
    stage.quiet_market()
    stage.play(40.0)
    assert len(_told_dark(stage)) == 2


def test_at_night_limits_of_the_day_that_cannot_decide_are_no_alarm(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live")
    stage.enter()
    set_limits(stage, max_loss=10 * LOT)
    stage.quiet_market()
    go_to(stage, at(MONDAY, "18:00"))
    stage.play(60.0, by=1.0)
    assert _told_dark(stage) == []


def _told_dark(stage: Stage) -> list[tables.RiskEvent]:
    return [event for event in stage.events("blind") if event.execution_id is None]


def test_the_kill_switch_for_everyone_halts_a_user_who_has_no_account_in_use(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    with stage.database.write() as session:
        session.add(tables.User(id=2, username="ravi", password_hash="x", role=Role.TRADER, created_at=BEGIN))
    pressed = commands.halt(stage.database, ASHA, key="all", now=stage.clock.now(), everyone=True)
    _hand_over(stage, pressed.id)
    assert {owner for owner, account in stage.ledger.limits if account is None} == {1, 2}
    _hand_over(stage, commands.rearm(stage.database, ASHA, key="on", now=stage.clock.now(), everyone=True).id)
    assert [limits.halted_at for limits in stage.ledger.limits.values()] == [None, None]


@pytest.mark.parametrize("payload", [{"account_id": float("inf")}, {"everyone": True, "user_ids": [float("inf")]}])
def test_a_forged_row_with_infinity_is_refused_in_words_and_fails_no_pass(
    tmp_path: Path, payload: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    now = stage.clock.now()
    stage.inbox.put(CommandArrived(1, 1, "halt", payload, now, None, "asha", "admin"))
    stage.step()
    assert "a pass failed" not in caplog.text
    assert not stage.ledger.limits


def test_who_re_arms_everyone_is_not_told_what_others_lost(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2)
    with stage.database.write() as session:
        session.add(tables.User(id=2, username="ravi", password_hash="x", role=Role.ADMIN, created_at=BEGIN))
    stage.enter()
    set_limits(stage, max_loss=10 * LOT)
    stage.price(CALL, 170.0)
    stage.until(lambda: not any(stage.broker(one).net for one in (1, 2)), 30.0)
    pressed = commands.rearm(
        stage.database, Caller(2, "ravi", Role.ADMIN), key="on", now=stage.clock.now(), everyone=True
    )
    row = stage.answer(pressed.id)
    stage.inbox.put(CommandArrived(pressed.id, 2, row.kind, row.payload, stage.clock.now(), None, "ravi", "admin"))
    stage.step()
    message = stage.answer(pressed.id).outcome["message"]
    assert "Another user is at or beyond a limit of the day: it acts again at once" in message
    assert "₹" not in message


def _hand_over(stage: Stage, command_id: int) -> None:
    row = stage.answer(command_id)
    stage.inbox.put(CommandArrived(command_id, 1, row.kind, row.payload, stage.clock.now(), None, "asha", "admin"))
    stage.step()
    assert stage.answer(command_id).state == "done"


# ── fire drill ────────────────────────────────────────────────────────────────────────────────────────────────────────


class BusyClock:
    """A clock that goes on by 0.3 s whenever it is asked: a machine on which a rehearsal takes long."""

    def __init__(self, clock: StageClock) -> None:
        self.now, self.pause, self.clock = clock.now, clock.pause, clock

    def boot(self) -> float:
        self.clock.seconds += 0.3
        return self.clock.seconds


def test_many_drills_at_once_do_not_keep_the_core_from_its_passes(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    stage.play(3.0)
    pressed = [stage.command("drill") for _ in range(6)]
    stage.world.clock = BusyClock(stage.clock)
    begun = stage.clock.seconds
    stage.step()
    assert stage.clock.seconds - begun < 10.0  # one drill and five refusals by a clock that goes 0.3 s a look
    stage.world.clock = stage.clock
    assert [str(stage.answer(one).state) for one in pressed] == ["done", *["refused"] * 5]
    assert "real exits come first" in stage.answer(pressed[1]).outcome["message"]
    stage.play(11.0)
    again = stage.command("drill")
    stage.play(1.0)
    assert stage.answer(again).state == "done"


# ── audit chain and events ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = fresh_database(f"sqlite:///{tmp_path}/desk.db")
    with made.write() as session:
        session.add(tables.User(id=1, username="asha", password_hash="x", role=Role.ADMIN, created_at=BEGIN))
        for number in range(1, 21):
            session.add(
                tables.RiskEvent(id=number, at=BEGIN, owner_id=1, kind="blind", action="alert_only", message="dark")
            )
    yield made
    made.close()


def test_the_core_may_write_while_rows_are_digested(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    core = Database(str(database.url), busy_timeout_ms=0)
    plain, written = audit.digest, []

    def slow(*given: Any) -> str:
        with core.write() as session:
            session.execute(text("UPDATE user SET username = username"))
        written.append(given)
        return plain(*given)

    monkeypatch.setattr(audit, "digest", slow)
    assert audit.extend(database, now=BEGIN) == 20
    monkeypatch.undo()
    assert (len(written), audit.verify(database).links, audit.verify(database).holds) == (20, 20, True)
    core.close()


def test_rows_that_another_one_chains_meanwhile_are_not_chained_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = audit.digest

    def overtaken(*given: Any) -> str:
        monkeypatch.setattr(audit, "digest", plain)
        with database.write() as session:
            session.add(tables.RiskEvent(id=21, at=BEGIN, owner_id=1, kind="blind", action="alert_only", message="new"))
        assert audit.extend(database, now=BEGIN) == 21
        return plain(*given)

    monkeypatch.setattr(audit, "digest", overtaken)
    assert audit.extend(database, now=BEGIN) == 0
    with database.read() as session:
        assert len(session.exec(select(tables.AuditLink)).all()) == 21
    assert audit.verify(database).holds


@pytest.mark.parametrize("only", [EventFilter(last_day=date.max), EventFilter(first_day=date.min)])
def test_a_day_beyond_all_time_is_refused_by_its_field(database: Database, only: EventFilter) -> None:
    with pytest.raises(InvalidInput):
        risk_events(database, ASHA, only=only)
    assert len(risk_events(database, ASHA, only=EventFilter(first_day=date(1970, 1, 1)))) == 20


def test_checking_a_database_that_is_not_there_is_no_success(tmp_path: Path) -> None:
    missing = tmp_path / "other.db"
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{missing}", "DATA_DIR": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-m", "engine", "verify-audit"], env=environment, capture_output=True, text=True, check=False
    )
    assert (said.returncode, missing.exists()) == (1, False)
    assert "there is no database" in said.stderr
