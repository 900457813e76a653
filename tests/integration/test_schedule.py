"""Strategies that enter by the clock, in the core: once a day, across kills, clocks and holidays, never late."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from engine.domain.calendar import IST
from engine.domain.day_limits import DayLimits
from engine.services.drafts import ScheduleDraft
from engine.services.identity import Caller
from engine.services.ledger import Pass
from engine.services.messages import CommandArrived, Resolved
from engine.services.risk_views import ScheduledView
from engine.services.scheduling import schedule_views
from engine.services.strategies import archive_strategy, load_strategy, save_strategy
from engine.store import tables
from tests.stage import CALL, LOT, PUT, Stage

ASHA = Caller(1, "asha", tables.Role.ADMIN)
FRIDAY, MONDAY, HOLIDAY = date(2026, 11, 20), date(2026, 11, 23), date(2026, 11, 24)
WEDNESDAY, MUHURAT = date(2026, 11, 25), date(2026, 11, 8)


def at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), IST).astimezone(UTC)


def scheduled(
    folder: Path, clock: str = "10:35", *, begin: datetime | None = None, venue: str = "live", **other: Any
) -> Stage:
    """A stage whose strategy enters by the clock, armed."""
    draft = ScheduleDraft(**{"enabled": True, "entry_time": clock} | other.pop("draft", {}))
    begin = begin or at(MONDAY, "10:30")
    stage = Stage(folder, venue=venue, begin=begin, schedule=draft, **other)
    stage.arm()
    return stage


def rows(stage: Stage) -> list[tuple[str, str, str]]:
    with stage.database.read() as session:
        found = session.exec(select(tables.ScheduledEntry).order_by(col(tables.ScheduledEntry.id))).all()
        return [(f"{row.day:%d %b}", row.state, row.reason) for row in found]


def go_to(stage: Stage, moment: datetime) -> None:
    """Let the clock stand there; what runs meanwhile is asleep."""
    stage.clock.seconds += (moment - stage.clock.now()).total_seconds()


def view(stage: Stage) -> ScheduledView:
    (one,) = schedule_views(Pass(stage.ledger, stage.clock.now()), stage.world, 1)
    return one


def runs(stage: Stage) -> list[tables.StrategyExecution]:
    with stage.database.read() as session:
        return list(session.exec(select(tables.StrategyExecution)).all())


def deliver(stage: Stage) -> None:
    """Hand over the commands that a service wrote."""
    with stage.database.read() as session:
        pending = session.exec(select(tables.Command).where(tables.Command.state == tables.CommandState.PENDING)).all()
    for row in pending:
        stage.inbox.put(CommandArrived(int(row.id or 0), 1, row.kind, row.payload, stage.clock.now(), None))
    stage.step()


def test_a_strategy_enters_at_its_time_and_only_once_that_day(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    assert (view(stage).state, view(stage).due_at) == ("due", at(MONDAY, "10:35"))
    stage.play(299, by=1.0)
    assert runs(stage) == []
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT}, 10)
    assert abs(stage.clock.now() - at(MONDAY, "10:35")) < timedelta(seconds=10)
    assert rows(stage) == [("23 Nov", "begun", "")]
    (run,) = runs(stage)
    assert run.command_id is None
    (event,) = stage.events("scheduled_entry")
    assert (event.action, event.execution_id) == ("alert_only", run.id)
    assert (view(stage).state, view(stage).run_id) == ("begun", run.id)
    stage.close(int(run.id or 0))
    stage.until(lambda: stage.run(int(run.id or 0)).state == "closed", 60)
    stage.play(120, by=1.0)
    assert len(runs(stage)) == 1


def test_an_engine_killed_right_after_it_began_does_not_enter_again(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    go_to(stage, at(MONDAY, "10:34:59"))
    stage.until(lambda: rows(stage), 5)
    stage.restart()
    stage.play(60, by=0.5)
    assert len(runs(stage)) == 1
    assert len(rows(stage)) == 1


def test_a_pass_that_could_not_be_written_enters_once_when_it_can(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    failed: list[object] = []

    def once(changes: Pass) -> Exception | None:
        if changes.scheduled and len(failed) < 3:
            failed.append(changes)
            return RuntimeError("made to fail")
        return None

    stage.journal.breaks = once
    go_to(stage, at(MONDAY, "10:34:59"))
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT}, 30)
    assert failed
    assert len(runs(stage)) == len(rows(stage)) == 1


def test_a_restart_within_the_grace_still_enters(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    go_to(stage, at(MONDAY, "10:35:40"))
    stage.restart()
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT}, 15)


def test_an_entry_missed_while_asleep_is_skipped_with_the_reason(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    go_to(stage, at(MONDAY, "10:36:01"))
    stage.play(5)
    ((day, state, reason),) = rows(stage)
    assert (day, state) == ("23 Nov", "skipped")
    assert reason.startswith("the engine was not running or asleep at 10:35:00; skipped 61 s")
    assert runs(stage) == []
    assert reason in stage.events("scheduled_entry")[0].message
    assert (view(stage).state, view(stage).reason) == ("skipped", reason)


def test_an_engine_that_was_off_for_a_night_tells_what_it_missed_and_enters_the_next_day(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    go_to(stage, at(WEDNESDAY, "09:00"))
    stage.restart()
    stage.play(5)
    assert [(day, state) for day, state, _why in rows(stage)] == [("23 Nov", "skipped")]
    go_to(stage, at(WEDNESDAY, "10:34:58"))
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT}, 15)
    assert [(day, state) for day, state, _why in rows(stage)] == [("23 Nov", "skipped"), ("25 Nov", "begun")]


def test_a_holiday_is_no_day(tmp_path: Path) -> None:
    stage = scheduled(tmp_path, begin=at(HOLIDAY, "09:30"))
    go_to(stage, at(HOLIDAY, "10:35"))
    stage.play(90, by=0.5)
    assert rows(stage) == []
    assert view(stage).due_at == at(WEDNESDAY, "10:35")


def test_a_paper_venue_enters_on_the_holiday(tmp_path: Path) -> None:
    stage = scheduled(tmp_path, begin=at(HOLIDAY, "10:34"), venue="paper:stage")
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT}, 90, by=0.5)


def test_an_entry_inside_the_muhurat_session(tmp_path: Path) -> None:
    stage = scheduled(tmp_path, "18:05", begin=at(MUHURAT, "18:04"))
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT}, 90, by=0.5)


def test_a_time_outside_the_special_session_is_skipped(tmp_path: Path) -> None:
    stage = scheduled(tmp_path, "09:20", begin=at(MUHURAT, "09:19"))
    stage.play(90, by=1.0)
    ((_day, state, reason),) = rows(stage)
    assert (state, "outside the session" in reason) == ("skipped", True)


def test_a_clock_set_back_does_not_enter_twice(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    stage.until(lambda: rows(stage), 400, by=1.0)
    run = int(runs(stage)[0].id or 0)
    stage.until(lambda: stage.run(run).state == "open")
    stage.close(run)
    stage.until(lambda: stage.run(run).state == "closed", 60)
    stage.clock.skew = -timedelta(minutes=10)
    stage.play(700, by=1.0)
    stage.restart()
    stage.play(60, by=1.0)
    assert len(runs(stage)) == len(rows(stage)) == 1


def test_a_clock_set_back_before_the_entry_only_delays_it(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    stage.play(120, by=1.0)
    stage.clock.skew = -timedelta(minutes=5)
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT}, 600, by=1.0)
    assert stage.clock.now() >= at(MONDAY, "10:35")


def test_halted_entries_are_skipped(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    stage.command("halt")
    stage.play(310, by=1.0)
    assert [(state, reason) for _day, state, reason in rows(stage)] == [("skipped", "entries are halted: kill switch")]


def test_a_halt_that_ended_while_the_engine_slept_skips_nothing(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    halted_at = stage.clock.now()
    stage.ledger.limits[1, None] = DayLimits(
        owner_id=1, halted_at=halted_at, halted_until=WEDNESDAY, reason="max loss of the day"
    )
    stage.play(310.0, by=5.0)
    assert [(state, reason) for _day, state, reason in rows(stage)] == [
        ("skipped", "entries are halted: max loss of the day")
    ]
    go_to(stage, at(WEDNESDAY, "10:35:05"))
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT}, 30)


def test_an_open_run_of_the_strategy_skips_the_entry(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    run = stage.enter()
    go_to(stage, at(MONDAY, "10:35"))
    stage.play(3)
    assert [(state, reason) for _day, state, reason in rows(stage)] == [("skipped", f"run {run} of it is still open")]


def test_an_account_that_is_not_active_skips_the_entry(tmp_path: Path) -> None:
    stage = scheduled(tmp_path, accounts=2)
    stage.world.accounts.pop(2)
    go_to(stage, at(MONDAY, "10:35"))
    stage.play(3)
    ((_day, state, reason),) = rows(stage)
    assert (state, "not active" in reason) == ("skipped", True)


def test_it_waits_within_its_grace_until_an_account_is_armed(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    go_to(stage, at(MONDAY, "10:34:50"))
    stage.hands[1].silent.add("connect")
    stage.restart()
    stage.play(30, by=0.5)
    assert rows(stage) == []
    assert "account 1 waits for" in view(stage).reason
    stage.hands[1].silent.clear()
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT}, 25)


def test_accounts_that_are_never_ready_are_the_reason(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    go_to(stage, at(MONDAY, "10:34:50"))
    stage.hands[1].silent.add("connect")
    stage.restart()
    stage.play(80, by=0.5)
    ((_day, state, reason),) = rows(stage)
    assert (state, reason.startswith("no account was ready in time: account 1 waits for")) == ("skipped", True)


def test_a_strategy_for_expiry_days_whose_contracts_say_otherwise_is_refused(tmp_path: Path) -> None:
    stage = scheduled(tmp_path, market_condition="expiry")
    stage.until(lambda: any(state == "refused" for _d, state, _r in rows(stage)), 400, by=1.0)
    assert "for expiry days" in rows(stage)[0][2]
    assert [event.action for event in stage.events("scheduled_entry")] == ["alert_only"] * 2
    assert view(stage).state == "refused"
    stage.play(90, by=1.0)
    assert len(runs(stage)) == 1


def test_a_strategy_for_other_days_rests_on_expiry_day(tmp_path: Path) -> None:
    stage = scheduled(tmp_path, market_condition="non_expiry")
    stage.play(400, by=1.0)
    assert rows(stage) == []
    assert view(stage).due_at == at(WEDNESDAY, "10:35")


def test_contracts_that_cannot_be_read_refuse_the_entry_and_say_why(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    hands = stage.hands[1]
    hands.resolve = lambda _legs, *, run_id, command_id: stage.inbox.put(  # type: ignore[method-assign]
        Resolved(run_id, command_id, None, "the chain cannot be read")
    )
    stage.until(lambda: any(state == "refused" for _d, state, _r in rows(stage)), 400, by=1.0)
    assert rows(stage)[0][2] == "the chain cannot be read"


def test_nothing_enters_by_hand_after_the_last_entry_time(tmp_path: Path) -> None:
    draft = {"last_entry_time": "10:35"}
    stage = scheduled(tmp_path, "10:31", draft=draft)
    go_to(stage, at(MONDAY, "10:35:30"))
    command = stage.execute()
    stage.play(2)
    assert stage.answer(command).state == "refused"
    assert "last entry time, 10:35" in str(stage.answer(command).outcome["message"])
    assert runs(stage) == []


def test_a_schedule_switched_on_while_the_engine_runs_enters_today(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live")
    stage.arm()
    now = load_strategy(stage.database, ASHA, strategy_id=stage.strategy).draft
    draft = now.model_copy(update={"schedule": ScheduleDraft(enabled=True, entry_time="10:35")})
    save_strategy(stage.database, ASHA, draft, now=stage.clock.now(), strategy_id=stage.strategy)
    deliver(stage)
    assert view(stage).due_at == at(MONDAY, "10:35")
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT}, 400, by=1.0)


def test_a_schedule_made_after_its_time_waits_for_the_next_day(tmp_path: Path) -> None:
    stage = scheduled(tmp_path, "10:00")
    stage.play(60, by=1.0)
    assert rows(stage) == []
    assert view(stage).due_at == at(WEDNESDAY, "10:00")


@pytest.mark.parametrize("told", [True, False])
def test_a_schedule_that_was_switched_off_does_not_enter(tmp_path: Path, told: bool) -> None:
    stage = scheduled(tmp_path)
    now = load_strategy(stage.database, ASHA, strategy_id=stage.strategy).draft
    draft = now.model_copy(update={"schedule": ScheduleDraft()})
    save_strategy(stage.database, ASHA, draft, now=stage.clock.now(), strategy_id=stage.strategy)
    if told:
        deliver(stage)
        assert schedule_views(Pass(stage.ledger, stage.clock.now()), stage.world, 1) == []
    stage.play(400, by=1.0)
    assert rows(stage) == []
    assert runs(stage) == []


@pytest.mark.parametrize("told", [True, False])
def test_an_archived_strategy_does_not_enter(tmp_path: Path, told: bool) -> None:
    stage = scheduled(tmp_path)
    archive_strategy(stage.database, ASHA, strategy_id=stage.strategy, now=stage.clock.now())
    if told:
        deliver(stage)
    stage.play(400, by=1.0)
    assert rows(stage) == []
    assert runs(stage) == []


def change(stage: Stage, **fields: Any) -> None:
    """Save a new version of the strategy, as a page does."""
    now = load_strategy(stage.database, ASHA, strategy_id=stage.strategy).draft
    draft = now.model_copy(update=fields)
    save_strategy(stage.database, ASHA, draft, now=stage.clock.now(), strategy_id=stage.strategy)


def archive(stage: Stage) -> None:
    archive_strategy(stage.database, ASHA, strategy_id=stage.strategy, now=stage.clock.now())


CHANGES = {
    "saved": (lambda stage: change(stage, fixed_lots=2), "version 2 of it was saved at 10:35:10"),
    "moved back": (
        lambda stage: change(stage, schedule=ScheduleDraft(enabled=True, entry_time="10:00")),
        "version 2 of it was saved at 10:35:10",
    ),
    "switched off": (
        lambda stage: change(stage, schedule=ScheduleDraft()),
        "its schedule was switched off at 10:35:10",
    ),
    "archived": (archive, "it was archived at 10:35:10"),
}


def waiting(tmp_path: Path) -> Stage:
    """A stage whose entry is due for ten seconds and waits for its account."""
    stage = scheduled(tmp_path)
    go_to(stage, at(MONDAY, "10:34:50"))
    stage.hands[1].silent.add("connect")
    stage.restart()
    stage.play(16.0, by=4.0)
    go_to(stage, at(MONDAY, "10:35:10"))
    assert rows(stage) == []
    return stage


@pytest.mark.parametrize(
    ("what", "told"),
    [*((what, "told") for what in CHANGES), ("saved", "not told"), ("saved", "restarted"), ("archived", "restarted")],
)
def test_a_due_entry_whose_strategy_is_changed_before_it_begins_is_skipped_and_says_so(
    tmp_path: Path, what: str, told: str
) -> None:
    stage = waiting(tmp_path)
    meddle, reason = CHANGES[what]
    meddle(stage)
    if told == "told":
        deliver(stage)
    elif told == "restarted":
        go_to(stage, at(MONDAY, "10:40"))
        stage.restart()
    stage.hands[1].silent.clear()
    stage.play(10.0, by=0.5)
    assert [(day, state) for day, state, _reason in rows(stage)] == [("23 Nov", "skipped")]
    assert rows(stage)[0][2].startswith(f"{reason}, before it could begin")
    assert runs(stage) == []
    (event,) = stage.events("scheduled_entry")
    assert reason in event.message


def test_an_entry_that_is_put_off_while_it_is_due_enters_at_its_new_time(tmp_path: Path) -> None:
    stage = waiting(tmp_path)
    change(stage, schedule=ScheduleDraft(enabled=True, entry_time="10:37"))
    deliver(stage)
    stage.hands[1].silent.clear()
    stage.play(60.0, by=2.0)
    assert rows(stage) == []
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT}, 90, by=0.5)
    assert [state for _day, state, _reason in rows(stage)] == ["begun"]


def test_an_entry_that_is_put_off_and_then_switched_off_is_skipped(tmp_path: Path) -> None:
    stage = waiting(tmp_path)
    change(stage, schedule=ScheduleDraft(enabled=True, entry_time="10:37"))
    deliver(stage)
    stage.play(20.0, by=4.0)
    change(stage, schedule=ScheduleDraft())
    deliver(stage)
    stage.play(200.0, by=10.0)
    assert [state for _day, state, _reason in rows(stage)] == ["skipped"]
    assert runs(stage) == []


def test_an_entry_that_was_missed_before_its_strategy_was_changed_says_that_it_was_missed(tmp_path: Path) -> None:
    stage = scheduled(tmp_path)
    go_to(stage, at(MONDAY, "10:50"))
    change(stage, fixed_lots=2)
    go_to(stage, at(MONDAY, "11:00"))
    stage.restart()
    stage.play(5.0)
    ((_day, state, reason),) = rows(stage)
    assert (state, reason.startswith("the engine was not running or asleep at 10:35:00")) == ("skipped", True)


@pytest.mark.parametrize("what", ["saved", "archived"])
def test_a_strategy_that_is_changed_after_its_entry_adds_nothing_to_it(tmp_path: Path, what: str) -> None:
    stage = scheduled(tmp_path)
    go_to(stage, at(MONDAY, "10:34:59"))
    stage.until(lambda: rows(stage), 5)
    run = int(runs(stage)[0].id or 0)
    stage.until(lambda: stage.run(run).state == "open")
    stage.close(run)
    stage.until(lambda: stage.run(run).state == "closed", 60)
    CHANGES[what][0](stage)
    deliver(stage)
    stage.restart()
    stage.play(5.0, by=0.5)
    assert [state for _day, state, _reason in rows(stage)] == ["begun"]
    assert len(stage.events("scheduled_entry")) == 1
