"""Limits on P of the day of a user and of an account: who is taken out, what is halted, once a day (RULES 6, 7)."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from engine.domain.instruments import Action
from engine.services.drafts import LegDraft, StrategyDraft
from engine.services.identity import Caller
from engine.services.ledger import Pass
from engine.services.showing import live_views
from engine.services.strategies import save_strategy
from engine.services.views import LiveView
from engine.store import tables
from tests.stage import BEGIN, CALL, LOT, Stage, fill_at_once, instrument, take_only

POINT = LOT * 100
"""P of a straddle of one lot when the call moves by ₹1, in paise."""
MONDAY = date(2026, 11, 23)


def set_limits(stage: Stage, **payload: Any) -> tables.Command:
    """Set limits by command (₹); returns what the engine answered."""
    number = stage.command("set_limits", payload)
    stage.until(lambda: stage.answer(number).state != "pending")
    return stage.answer(number)


def call_at(stage: Stage, price: float) -> None:
    """Bring the call to a price and let the engine see it twice."""
    stage.price(CALL, price)
    stage.play(3.0)


def flat(stage: Stage, *accounts: int) -> None:
    stage.until(lambda: all(not any(stage.broker(one).net.values()) for one in accounts), 30)


def of_the_day(stage: Stage, kind: str = "max_loss") -> list[tables.RiskEvent]:
    """What the limits themselves decided: events that belong to no run."""
    return [event for event in stage.events(kind) if event.execution_id is None]


def stored(stage: Stage, account_id: int | None = None) -> tables.RiskLimit:
    with stage.database.read() as session:
        rows = session.exec(select(tables.RiskLimit)).all()
    return next(row for row in rows if row.account_id == account_id)


def shown(stage: Stage) -> LiveView:
    return live_views(Pass(stage.ledger, stage.clock.now()), stage.world)[1]


def two_runs(folder: Path, **options: Any) -> Stage:
    stage = Stage(folder, accounts=2, **options)
    stage.enter()
    stage.enter(again=True)
    return stage


# ── who is taken out ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_limit_of_the_user_takes_every_run_out_of_every_account_and_halts(tmp_path: Path) -> None:
    stage = two_runs(tmp_path)
    set_limits(stage, max_loss=39 * LOT)
    call_at(stage, 159.0)  # four straddles lost 9 points each
    assert of_the_day(stage) == []
    call_at(stage, 160.0)
    flat(stage, 1, 2)
    stage.until(lambda: {stage.run(1).state, stage.run(2).state} == {"closed"}, 30)
    (event,) = of_the_day(stage)
    assert (event.action, event.threshold_paise, event.value_paise) == ("close_all", -39 * POINT, -40 * POINT)
    assert "23 Nov 2026" in event.message
    assert "all accounts" in event.message
    assert {row["profit"] for row in event.knew["accounts"]} == {-20.0 * LOT}
    assert sorted((row["run_id"], row["account_id"]) for row in event.knew["runs"]) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert {plan.reason for run in (1, 2) for plan in stage.plans(run)} == {"day_max_loss"}
    assert [event.execution_id for event in stage.events("max_loss") if event.exit_plan_id] == [1, 2]
    command = stage.execute()
    stage.play(1.0)
    assert stage.answer(command).state == "refused"
    assert "max loss of 23 Nov 2026" in stage.answer(command).outcome["message"]


def test_limit_of_an_account_takes_only_that_account_out_of_every_run(tmp_path: Path) -> None:
    stage = two_runs(tmp_path)
    set_limits(stage, account_id=2, max_loss=15 * LOT)
    call_at(stage, 158.0)
    flat(stage, 2)
    stage.play(5.0)
    assert stage.broker(1).net[CALL] == -2 * LOT
    assert {stage.run(1).state, stage.run(2).state} == {"open"}
    (event,) = of_the_day(stage)
    assert (event.account_id, event.value_paise) == (2, -16 * POINT)
    assert (stored(stage, 2).latched, stored(stage, 2).halted_at is not None) == (["max_loss"], True)
    assert "account 2" in event.message


def test_max_profit_takes_out_too(tmp_path: Path) -> None:
    stage = two_runs(tmp_path)
    set_limits(stage, max_profit=40 * LOT)
    call_at(stage, 140.0)
    flat(stage, 1, 2)
    (event,) = of_the_day(stage, "max_profit")
    assert (event.threshold_paise, event.value_paise) == (40 * POINT, 40 * POINT)
    assert of_the_day(stage) == []


def test_the_limit_acts_before_the_limit_of_a_run_that_is_reached_in_the_same_pass(tmp_path: Path) -> None:
    stage = two_runs(tmp_path, limits={"max_loss": 20.0 * LOT})
    set_limits(stage, max_loss=40 * LOT)
    call_at(stage, 160.0)
    flat(stage, 1, 2)
    assert {plan.reason for run in (1, 2) for plan in stage.plans(run)} == {"day_max_loss"}


def test_quantities_from_outside_are_left_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    stage.broker().take(instrument(CALL), Action.SELL, LOT)
    stage.play(3.0)
    stage.enter()
    set_limits(stage, max_loss=10 * LOT)
    call_at(stage, 160.0)
    stage.until(lambda: stage.run(1).state == "closed", 30)
    assert stage.broker().net == {CALL: -LOT}


def test_a_run_that_is_entering_is_stopped_and_what_rests_is_cancelled(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2)
    stage.enter()
    set_limits(stage, max_loss=20 * LOT)
    stage.hands[1].usual = take_only
    stage.hands[2].usual = take_only
    stage.execute(again=True)
    stage.until(lambda: any(order.status == "open" for order in stage.broker().orders.values()))
    stage.hands[1].usual = stage.hands[2].usual = fill_at_once
    call_at(stage, 160.0)
    flat(stage, 1, 2)
    stage.until(lambda: stage.run(2).state in {"closed", "refused"}, 60)
    assert not any(order.status == "open" for one in (1, 2) for order in stage.broker(one).orders.values())


# ── what does not act ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_blind_decides_nothing_and_the_first_confirmed_p_acts(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    stage.quiet_market()
    stage.play(6.0)
    answer = set_limits(stage, max_loss=10 * LOT)
    assert "not known now" in answer.outcome["message"]
    stage.hands[1].broker.price[CALL] = 160.0
    stage.play(5.0)
    assert of_the_day(stage) == []
    stage.hands[1].silent.discard("quotes")
    flat(stage, 1)
    assert len(of_the_day(stage)) == 1


def test_alert_only_tells_once_and_touches_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    set_limits(stage, max_loss=10 * LOT, max_loss_action="alert_only")
    call_at(stage, 161.0)
    call_at(stage, 149.0)
    call_at(stage, 162.0)
    (event,) = of_the_day(stage)
    assert event.action == "alert_only"
    assert stage.broker().net[CALL] == -LOT
    assert stored(stage).halted_at is None
    assert stage.plans(1) == []


def test_a_limit_that_is_switched_off_or_not_set_does_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    set_limits(stage, max_loss=10 * LOT, max_loss_enabled=False, max_profit=None)
    call_at(stage, 170.0)
    assert of_the_day(stage) == []
    assert stage.run(1).state == "open"


def test_a_limit_that_is_breached_when_it_is_set_acts_at_once_and_the_answer_warns(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    call_at(stage, 160.0)
    answer = set_limits(stage, max_loss=10 * LOT)
    assert "acts at once" in answer.outcome["message"]
    assert len(of_the_day(stage)) == 1
    flat(stage, 1)
    (told,) = stage.events("limits_set")
    assert (told.action, told.knew["before"]["max_loss_paise"]) == ("alert_only", None)
    assert told.knew["after"]["max_loss_paise"] == 10 * POINT


@pytest.mark.parametrize(
    "payload",
    [
        {"account_id": 9, "max_loss": 100.0},
        {"max_loss": -1.0},
        {"max_loss": float("nan")},
        {"max_loss": "many"},
        {"max_loss": 100.0, "max_loss_action": "close_partial"},
        {"max_loss": 100.0, "max_loss_action": "everything"},
    ],
)
def test_limits_that_make_no_sense_are_refused_and_change_nothing(tmp_path: Path, payload: dict[str, Any]) -> None:
    stage = Stage(tmp_path)
    assert set_limits(stage, **payload).state == "refused"
    assert stage.ledger.limits == {}


def test_paper_runs_do_not_decide_about_live_ones(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, venue="live")
    with stage.database.write() as session:
        session.get_one(tables.TradingAccount, 2).venue = "paper:other"
    stage.restart()
    stage.arm()
    run = start_on(stage, 1)
    practice = start_on(stage, 2)
    set_limits(stage, max_loss=30 * LOT)
    for hands in stage.hands.values():
        hands.market = stage.world.accounts[hands.account_id].facts.market
    stage.hands[2].broker.price[CALL] = 200.0  # only the paper exchange says so
    stage.play(12.0)
    view = shown(stage)
    assert view.accounts[1].profit_paise == -50 * POINT
    assert of_the_day(stage) == []
    assert {stage.run(run).state, stage.run(practice).state} == {"open"}
    assert view.day_limits[0].profit_paise == 0


def start_on(stage: Stage, account_id: int) -> int:
    """Open a run on one account; returns its id."""
    seen = [run.id for run in stage.ledger.runs.values() if run.state not in {"closed", "refused"}]
    payload = {"strategy_id": stage.strategy, "version": 1, "seen_run_ids": seen, "again": True}
    before = set(stage.ledger.runs)
    stage.command("execute", payload | {"account_ids": [account_id]})
    stage.until(lambda: set(stage.ledger.runs) - before)
    run_id = max(stage.ledger.runs)
    stage.until(lambda: stage.run(run_id).state == "open")
    return run_id


# ── afterwards ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_halted_account_is_skipped_at_entry_while_the_other_enters(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2)
    stage.enter()
    set_limits(stage, account_id=2, max_loss=10 * LOT)
    call_at(stage, 160.0)
    flat(stage, 2)
    run = stage.enter(again=True)
    rows = {row.account_id: row for row in stage.ledger.accounts[run].values()}
    assert rows[1].state == "entered"
    assert rows[2].state == "skipped"
    assert "max loss of 23 Nov 2026 of account 2" in rows[2].reason
    assert stage.broker(2).net.get(CALL, 0) == 0


def test_where_all_chosen_accounts_are_halted_nothing_begins(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    set_limits(stage, account_id=1, max_loss=10 * LOT)
    call_at(stage, 160.0)
    stage.until(lambda: stage.run(1).state == "closed", 30)
    command = stage.execute()
    stage.play(1.0)
    assert stage.answer(command).state == "refused"
    assert set(stage.ledger.runs) == {1}


def test_it_acts_once_a_day_and_again_after_a_re_arm(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    set_limits(stage, max_loss=10 * LOT)
    call_at(stage, 160.0)
    stage.until(lambda: stage.run(1).state == "closed", 30)
    stage.play(10.0)
    assert len(of_the_day(stage)) == 1
    command = stage.command("rearm")
    stage.play(1.0)
    assert "acts again at once" in stage.answer(command).outcome["message"]  # what was lost today is still lost
    assert len(of_the_day(stage)) == 2
    set_limits(stage, max_loss=15 * LOT)
    stage.command("rearm")
    stage.play(1.0)
    run = stage.enter()
    assert len(of_the_day(stage)) == 2
    call_at(stage, 166.0)
    stage.until(lambda: stage.run(run).state == "closed", 30)
    assert len(of_the_day(stage)) == 3


def test_a_limit_that_is_raised_after_it_acted_leaves_the_halt_until_re_armed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    set_limits(stage, max_loss=10 * LOT)
    call_at(stage, 160.0)
    set_limits(stage, max_loss=1_000 * LOT)
    stage.play(1.0)
    assert stored(stage).halted_at is not None
    assert stored(stage).latched == []
    assert shown(stage).day_limits[0].halted


@pytest.mark.parametrize(
    ("skew", "today", "until"),
    [
        (timedelta(days=-3), date(2026, 11, 20), date(2026, 11, 23)),  # Friday: Monday, an expiry
        (timedelta(0), MONDAY, date(2026, 11, 25)),  # the 24th is a holiday
    ],
)
def test_the_next_session_lifts_the_halt(tmp_path: Path, skew: timedelta, today: date, until: date) -> None:
    stage = Stage(tmp_path, venue="live")
    stage.clock.skew = skew
    stage.restart()
    stage.enter()
    set_limits(stage, max_loss=10 * LOT)
    call_at(stage, 160.0)
    stage.until(lambda: stage.run(1).state == "closed", 30)
    assert stored(stage).halted_until == until
    while today + timedelta(days=1) < until:
        stage.clock.pause(86_400)
        today += timedelta(days=1)
        stage.play(1.0)
        assert shown(stage).day_limits[0].halted, today
    stage.clock.pause(86_400)
    stage.play(1.0)
    assert not shown(stage).day_limits[0].halted
    assert shown(stage).day_limits[0].latched == []
    run = stage.enter()
    assert stage.run(run).state == "open"
    assert len(of_the_day(stage)) == 1  # what was lost on the day before counts no more


def test_on_paper_the_next_day_lifts_the_halt(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    set_limits(stage, max_loss=10 * LOT)
    call_at(stage, 160.0)
    stage.until(lambda: stage.run(1).state == "closed", 30)
    assert stored(stage).halted_until == date(2026, 11, 24)


# ── kills ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_restart_right_after_the_limit_acted_goes_on_and_does_nothing_twice(tmp_path: Path) -> None:
    stage = two_runs(tmp_path)
    set_limits(stage, max_loss=40 * LOT)
    stage.price(CALL, 160.0)
    stage.until(lambda: of_the_day(stage), by=0.05)
    stage.restart()
    flat(stage, 1, 2)
    stage.until(lambda: {stage.run(1).state, stage.run(2).state} == {"closed"}, 60)
    stage.play(5.0)
    assert len(of_the_day(stage)) == 1
    assert [len(stage.plans(run)) for run in (1, 2)] == [1, 1]
    for account in (1, 2):
        assert sum(row.quantity for row in stage.broker(account).orders.values() if row.action == "BUY") == 4 * LOT


def test_an_engine_that_starts_beyond_the_limit_acts_on_the_first_confirmed_p(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    set_limits(stage, max_loss=10 * LOT)
    stage.hands[1].broker.price[CALL] = 160.0  # while no engine ran
    stage.restart()
    flat(stage, 1)
    assert len(of_the_day(stage)) == 1


def test_a_commit_that_fails_leaves_nothing_half_done(tmp_path: Path) -> None:
    stage = two_runs(tmp_path)
    set_limits(stage, max_loss=40 * LOT)
    failed: list[bool] = []

    def locked(changes: Pass) -> Exception | None:
        if changes.plans and not failed:
            failed.append(True)
            return OperationalError("commit", {}, Exception("database is locked"))
        return None

    stage.journal.breaks = locked
    call_at(stage, 160.0)
    flat(stage, 1, 2)
    assert failed == [True]
    assert len(of_the_day(stage)) == 1
    assert [len(stage.plans(run)) for run in (1, 2)] == [1, 1]


def test_runs_that_a_limit_takes_out_are_crossed_inside_first(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=(("SELL", "CE", "atm", 0.0),))
    stage.arm()
    short = stage.enter()
    call_at(stage, 151.0)
    long = start_long(stage)  # from here on both together are ₹1 a unit in the red, at any price
    placed = len(stage.broker().orders)
    set_limits(stage, max_loss=1.0 * LOT)
    stage.until(lambda: {stage.run(short).state, stage.run(long).state} == {"closed"}, 60)
    assert len(stage.broker().orders) == placed  # +65 and −65 of one key: the market saw nothing
    kinds = {event.kind for event in stage.events() if "crossed inside" in event.message}
    assert kinds == {"max_loss"}


def start_long(stage: Stage) -> int:
    """Open a run that bought the call; returns its id."""
    draft = StrategyDraft(
        name="Long call",
        account_ids=[1],
        fixed_lots=1,
        legs=[LegDraft(underlying="NIFTY", action="BUY", instrument_type="CE", expiry_choice="next_week")],
    )
    strategy = save_strategy(stage.database, Caller(1, "asha", tables.Role.ADMIN), draft, now=BEGIN).id
    payload = {"strategy_id": strategy, "version": 1, "seen_run_ids": [], "again": False, "account_ids": None}
    before = set(stage.ledger.runs)
    stage.command("execute", payload)
    stage.until(lambda: set(stage.ledger.runs) - before)
    run_id = max(stage.ledger.runs)
    stage.until(lambda: stage.run(run_id).state == "open")
    return run_id


# ── two tabs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

NOTHING_SET = {
    "max_loss_paise": None, "max_loss_enabled": True, "max_loss_action": "close_all",
    "max_profit_paise": None, "max_profit_enabled": True, "max_profit_action": "close_all",
}  # fmt: skip


def test_a_stale_form_is_refused_and_removes_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    assert set_limits(stage, max_loss=5_000.0, seen=NOTHING_SET).state == "done"
    late = set_limits(stage, max_profit=9_000.0, seen=NOTHING_SET)
    assert late.state == "refused"
    assert late.outcome["message"] == (
        "the max loss was changed elsewhere meanwhile: it is ₹5,000.00 now; look again. Nothing was changed."
    )
    assert (stored(stage).max_loss_paise, stored(stage).max_profit_paise) == (500_000, None)
    assert len(stage.events("limits_set")) == 1
    again = set_limits(stage, max_loss=5_000.0, max_profit=9_000.0, seen=NOTHING_SET | {"max_loss_paise": 500_000})
    assert again.state == "done"
    assert (stored(stage).max_loss_paise, stored(stage).max_profit_paise) == (500_000, 900_000)


@pytest.mark.parametrize(
    ("meanwhile", "words"),
    [
        ({"max_loss": 5_000.0, "max_loss_enabled": False}, "it is ₹5,000.00 (off) now"),
        ({"max_loss": 5_000.0, "max_loss_action": "alert_only"}, "it is ₹5,000.00 (alert only) now"),
        ({}, "it is none now"),
    ],
)
def test_switches_actions_and_removals_count_as_changes_too(
    tmp_path: Path, meanwhile: dict[str, Any], words: str
) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    set_limits(stage, max_loss=5_000.0)
    set_limits(stage, **meanwhile)
    before = stored(stage).model_dump()
    late = set_limits(stage, max_loss=7_000.0, seen=NOTHING_SET | {"max_loss_paise": 500_000})
    assert late.state == "refused"
    assert words in late.outcome["message"]
    assert stored(stage).model_dump() == before


def test_a_second_press_that_asks_for_what_is_set_already_is_taken(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    for _ in range(2):
        assert set_limits(stage, max_loss=5_000.0, seen=NOTHING_SET).state == "done"


def test_fields_that_are_not_named_stay_as_they_are_when_the_engine_takes_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    set_limits(stage, max_loss=5_000.0, max_loss_action="alert_only")
    set_limits(stage, max_profit=9_000.0, only=["max_profit"])
    set_limits(stage, max_profit_enabled=False, only=["max_profit_enabled"])
    row = stored(stage)
    assert (row.max_loss_paise, row.max_loss_enabled, row.max_loss_action) == (500_000, True, "alert_only")
    assert (row.max_profit_paise, row.max_profit_enabled, row.max_profit_action) == (900_000, False, "close_all")
