"""One exit by the order of the rules, latches that hold until a person re-arms, parts, times and gauges (RULES 7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.domain.rules import Breach, ExitAction, ExitRule
from engine.services import supertrend_exit
from engine.services.gauges import run_gauges
from engine.services.ledger import Pass
from engine.services.risk_views import GaugeView
from tests.stage import CALL, LOT, PUT, Stage

STOP_30 = {"stop_kind": "percent", "stop_value": 30.0}
BOTH = {CALL: -LOT, PUT: -LOT}
DOUBLE = {CALL: -2 * LOT, PUT: -2 * LOT}


def move(stage: Stage, symbol: str, price: float) -> None:
    """A price that stays for a while."""
    for _ in range(4):
        stage.price(symbol, price)
        stage.step(0.5)


def rearm(stage: Stage, run: int, latch: str) -> tuple[str, str]:
    command = stage.command("rearm_rule", {"run_id": run, "latch": latch})
    stage.until(lambda: stage.answer(command).state in {"done", "refused"})
    answer = stage.answer(command)
    return answer.state, answer.outcome["message"]


def gauges(stage: Stage, run: int) -> dict[tuple[str, int | None, int | None], GaugeView]:
    changes = Pass(stage.ledger, stage.clock.now())
    row = stage.ledger.runs[run]
    shown = run_gauges(changes, stage.world, row, stage.world.terms_of(row.version_id))
    return {(gauge.rule, gauge.account_id, gauge.leg_index): gauge for gauge in shown}


# ── one exit ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_everything_breached_at_one_price_makes_one_exit_and_is_recorded_with_it(tmp_path: Path) -> None:
    limits = {"max_loss": 1_000.0, "account_max_loss": 1_000.0, "trailing_kind": "amount", "trailing_value": 500.0}
    stage = Stage(tmp_path, limits=limits, leg_extras={1: STOP_30})
    run = stage.enter()
    move(stage, CALL, 200.0)
    stage.until(lambda: stage.run(run).state == "closed")
    (event,) = stage.events("max_loss")
    assert event.knew["also_breached"] == ["max_loss@1", "trailing_sl", "leg_sl@1.1"]
    assert [plan.reason for plan in stage.plans(run)] == ["max_loss"]
    assert stage.run(run).latches == ["max_loss"]
    assert stage.events("leg_sl") == stage.events("trailing_sl") == []
    assert len(stage.hands[1].sent) == 4


def test_an_exit_of_the_run_acts_alone_although_a_leg_comes_before_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"exit_time": "10:31"}, leg_extras={1: STOP_30})
    run = stage.enter()
    stage.clock.seconds += 60  # 10:31 passes in the moment in which the leg's price does
    move(stage, CALL, 200.0)
    stage.until(lambda: stage.run(run).state == "closed")
    (event,) = stage.events("square_off")
    assert event.knew["also_breached"] == ["leg_sl@1.1"]
    assert stage.events("leg_sl") == []


def test_a_supertrend_that_fired_does_what_its_switch_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {"supertrend": {"action": "close_partial", "legs": [2]}}
    stage = Stage(tmp_path, limits={"supertrend": {}, "rules": rules})
    run = stage.enter()
    fired = Breach(ExitRule.SUPERTREND, ExitAction.CLOSE_ALL)
    monkeypatch.setattr(supertrend_exit, "judge", lambda *_given: fired)
    stage.until(lambda: stage.broker().net == {CALL: -LOT})
    stage.play(5.0)
    assert stage.broker().net == {CALL: -LOT}
    assert stage.run(run).latches == ["supertrend"]
    assert len(stage.events("supertrend")) == 1


# ── parts and alerts ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_half_of_every_leg_leaves_once_and_again_when_re_armed(tmp_path: Path) -> None:
    rules = {"max_loss": {"action": "close_partial", "share": 50.0}}
    stage = Stage(tmp_path, limits={"max_loss": 1_000.0, "rules": rules}, lots=2)
    run = stage.enter()
    move(stage, CALL, 160.0)
    stage.until(lambda: stage.broker().net == BOTH)
    stage.play(10.0)
    assert stage.broker().net == BOTH
    state, words = rearm(stage, run, "max_loss")
    assert state == "done"
    assert "acts at once" in words
    stage.until(lambda: stage.run(run).state == "closed")
    assert len(stage.events("max_loss")) == 2
    assert [event.message for event in stage.events("rearmed")] == ["max loss was re-armed by hand"]


def test_one_leg_and_one_account_are_parts(tmp_path: Path) -> None:
    rules = {"max_loss": {"action": "close_partial", "legs": [1], "account_ids": [2]}}
    stage = Stage(tmp_path, accounts=2, limits={"max_loss": 1_000.0, "rules": rules})
    run = stage.enter()
    move(stage, CALL, 160.0)
    stage.until(lambda: stage.broker(2).net == {PUT: -LOT})
    stage.play(5.0)
    assert (stage.broker(1).net, stage.broker(2).net) == (BOTH, {PUT: -LOT})
    assert stage.run(run).latches == ["max_loss"]


def test_an_alert_is_given_once_over_a_restart_and_the_next_rule_still_exits(tmp_path: Path) -> None:
    limits = {
        "max_loss": 500.0, "rules": {"max_loss": {"action": "alert_only"}},
        "trailing_kind": "amount", "trailing_value": 1_000.0,
    }  # fmt: skip
    stage = Stage(tmp_path, limits=limits)
    run = stage.enter()
    move(stage, CALL, 158.0)
    stage.restart()
    stage.arm()
    move(stage, CALL, 159.0)
    assert [event.action for event in stage.events("max_loss")] == ["alert_only"]
    assert stage.broker().net == BOTH
    move(stage, CALL, 166.0)
    stage.until(lambda: stage.run(run).state == "closed")
    assert [plan.reason for plan in stage.plans(run)] == ["trailing_sl"]


def test_a_rule_that_is_switched_off_lets_the_run_stay(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 500.0, "rules": {"max_loss": {"enabled": False}}})
    run = stage.enter()
    move(stage, CALL, 180.0)
    assert stage.broker().net == BOTH
    assert gauges(stage, run)["max_loss", None, None].enabled is False


# ── re-arming ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_latch_that_the_run_does_not_have_is_refused_by_name(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 500.0, "rules": {"max_loss": {"action": "alert_only"}}})
    run = stage.enter()
    move(stage, CALL, 160.0)
    assert rearm(stage, run, "leg_sl@1.1") == (
        "refused",
        f"'leg_sl@1.1' is not latched in run {run}; latched: max_loss.",
    )
    assert rearm(stage, 77, "max_loss") == ("refused", "Run 77 is not open.")
    stage.ledger.runs[run] = replace(stage.ledger.runs[run], owner_id=9)
    assert rearm(stage, run, "max_loss")[0] == "refused"
    assert stage.events("rearmed") == []


def test_a_trailing_stop_keeps_its_peak_and_its_stop_when_it_is_re_armed(tmp_path: Path) -> None:
    limits = {"trailing_kind": "amount", "trailing_value": 500.0, "rules": {"trailing_sl": {"action": "alert_only"}}}
    stage = Stage(tmp_path, limits=limits)
    run = stage.enter()
    move(stage, CALL, 140.0)  # P 650
    move(stage, CALL, 149.0)  # P 65, below the stop of 150
    assert len(stage.events("trailing_sl")) == 1
    before = (stage.run(run).peak_paise, stage.run(run).stop_paise)
    assert before == (65_000, 15_000)
    assert rearm(stage, run, "trailing_sl")[0] == "done"
    stage.play(2.0)
    assert (stage.run(run).peak_paise, stage.run(run).stop_paise) == before
    assert len(stage.events("trailing_sl")) == 2


# ── trailing kinds, times ─────────────────────────────────────────────────────────────────────────────────────────────


def test_lock_and_trail_locks_raises_and_exits_over_restarts(tmp_path: Path) -> None:
    limits = {
        "trailing_kind": "lock_and_trail", "lock_reach": 500.0, "lock_keep": 200.0, "lock_step": 100.0,
        "lock_rise": 50.0,
    }  # fmt: skip
    stage = Stage(tmp_path, limits=limits)
    run = stage.enter()
    move(stage, CALL, 143.0)  # P 455: not yet
    assert stage.run(run).trailing_active is False
    move(stage, CALL, 140.0)  # P 650: 200 and one step of 50
    assert stage.run(run).stop_paise == 25_000
    stage.restart()
    stage.arm()
    move(stage, CALL, 145.0)  # P 325
    assert stage.broker().net == BOTH
    move(stage, CALL, 147.0)  # P 195
    stage.until(lambda: stage.run(run).state == "closed")
    assert [event.threshold_paise for event in stage.events("trailing_sl")] == [25_000]


def test_an_intraday_run_of_the_muhurat_session_does_not_stay_overnight(tmp_path: Path) -> None:
    begin = datetime(2026, 11, 8, 12, 35, tzinfo=UTC)  # 18:05 in India; the session ends at 19:15
    stage = Stage(tmp_path, venue="live", product="MIS", begin=begin)
    run = stage.enter()
    due = datetime(2026, 11, 8, 13, 35, tzinfo=UTC)
    assert gauges(stage, run)["square_off", None, None].due_at == due
    stage.clock.seconds += (due - stage.clock.now()).total_seconds() - 10
    stage.play(5.0)
    assert stage.run(run).state == "open"
    stage.play(10.0)
    stage.until(lambda: stage.run(run).state == "closed")
    assert len(stage.events("square_off")) == 1


# ── gauges ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_gauges_tell_how_far_each_rule_is_from_acting(tmp_path: Path) -> None:
    limits: dict[str, Any] = {
        "max_loss": 2_600.0, "max_profit": 1_300.0, "account_max_loss": 1_300.0, "trailing_kind": "amount",
        "trailing_value": 1_300.0, "exit_time": "15:00", "rules": {"max_profit": {"enabled": False}},
    }  # fmt: skip
    stop_and_target = STOP_30 | {"target_kind": "points", "target_value": 50.0}
    stage = Stage(tmp_path, limits=limits, leg_extras={1: stop_and_target})
    run = stage.enter()
    move(stage, CALL, 160.0)  # P −650
    shown = gauges(stage, run)
    assert list(shown) == [
        ("max_loss", None, None),
        ("max_loss", 1, None),
        ("max_profit", None, None),
        ("trailing_sl", None, None),
        ("leg_sl", 1, 1),
        ("leg_target", 1, 1),
        ("exit_time", None, None),
    ]
    loss = shown["max_loss", None, None]
    assert (loss.scope, loss.threshold_paise, loss.value_paise, loss.used) == ("run", -260_000, -65_000, 0.25)
    account = shown["max_loss", 1, None]
    assert (account.scope, account.account, account.used) == ("account", "account 1", 0.5)
    profit = shown["max_profit", None, None]
    assert (profit.enabled, profit.used) == (False, 0.0)
    assert shown["trailing_sl", None, None].used == 0.5
    stop = shown["leg_sl", 1, 1]
    assert (stop.scope, stop.symbol, stop.threshold_price, stop.price) == ("leg", CALL, 195.0, 160.0)
    assert stop.used == pytest.approx(10 / 45)
    assert shown["leg_target", 1, 1].used == 0.0
    assert shown["exit_time", None, None].due_at == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def test_gauges_of_a_blind_run_show_no_figure_and_say_why(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 1_000.0}, leg_extras={1: STOP_30})
    run = stage.enter()
    stage.quiet_market()
    stage.play(80.0, by=0.5)
    shown = gauges(stage, run)
    loss = shown["max_loss", None, None]
    assert (loss.value_paise, loss.used, loss.note) == (None, None, "blind: an open leg has no confirmed price")
    assert shown["leg_sl", 1, 1].note == "blind: no confirmed price"


def test_a_gauge_shows_a_stop_at_cost(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"move_to_cost": True}, leg_extras={1: STOP_30})
    run = stage.enter()
    move(stage, PUT, 96.0)
    move(stage, CALL, 195.0)
    stage.until(lambda: stage.broker().net == {PUT: -LOT})
    stop = gauges(stage, run)["leg_sl", 1, 2]
    assert (stop.threshold_price, stop.note, stop.used) == (120.0, "moved to cost", pytest.approx(0.8))


def test_a_gauge_shows_the_latch_of_a_rule_that_acted(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 500.0, "rules": {"max_loss": {"action": "alert_only"}}})
    run = stage.enter()
    assert not gauges(stage, run)["max_loss", None, None].latched
    move(stage, CALL, 160.0)
    assert gauges(stage, run)["max_loss", None, None].latched
