"""Limits on the run on each account by itself: its own P, lots and V decide, and only it leaves (RULES 7)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.services.ledger import Pass
from tests.stage import CALL, LOT, PUT, Stage

BOTH = {CALL: -LOT, PUT: -LOT}


def entered(tmp_path: Path, limits: dict[str, Any], **settings: Any) -> tuple[Stage, int]:
    """Two accounts sold the straddle: the first the call at 150, the second at 140; the put at 120."""
    stage = Stage(tmp_path, accounts=2, limits=limits, **settings)
    stage.broker(2).price[CALL] = 140.0
    return stage, stage.enter()


def told(stage: Stage, kind: str) -> list[tuple[int | None, int | None, int | None]]:
    return [(event.account_id, event.threshold_paise, event.value_paise) for event in stage.events(kind)]


def test_an_account_leaves_by_its_own_loss_and_the_other_stays(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, {"account_max_loss": 1_000.0})
    stage.price(CALL, 160.0)
    stage.until(lambda: stage.broker(2).net == {})
    stage.play(5.0)
    assert stage.broker(1).net == BOTH
    assert told(stage, "max_loss") == [(2, -100_000, -130_000)]
    assert stage.run(run).latches == ["max_loss@2"]
    assert stage.run(run).state == "open"
    stage.price(CALL, 166.0)
    stage.until(lambda: stage.run(run).state == "closed")
    assert [account for account, *_ in told(stage, "max_loss")] == [2, 1]


def test_a_limit_per_lot_counts_the_lots_of_the_account(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, {"account_max_profit": 500.0, "account_max_profit_unit": "per_lot"}, lots=2)
    stage.price(CALL, 143.0)
    stage.play(3.0)
    assert stage.broker(1).net != {}
    stage.price(CALL, 142.0)  # 8 × 130 = 1,040 on the first account, a loss on the second
    stage.until(lambda: stage.broker(1).net == {})
    assert told(stage, "max_profit") == [(1, 100_000, 104_000)]
    assert stage.broker(2).net == {CALL: -2 * LOT, PUT: -2 * LOT}
    assert stage.run(run).watch["accounts"]["1"]["lots"] == 2


def test_a_percentage_of_premium_is_of_the_premium_of_the_account(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, {"account_max_loss": 5.0, "account_max_loss_unit": "percent_of_premium"})
    assert stage.run(run).watch["accounts"] == {
        "1": {"lots": 1, "premium_paise": 1_755_000},
        "2": {"lots": 1, "premium_paise": 1_690_000},
    }
    stage.price(CALL, 152.95)
    stage.play(3.0)
    assert told(stage, "max_loss") == []
    stage.price(CALL, 153.0)
    stage.until(lambda: stage.broker(2).net == {})
    assert told(stage, "max_loss") == [(2, -84_500, -84_500)]
    assert stage.broker(1).net == BOTH


def test_what_a_limit_counts_in_is_as_it_was_when_the_engine_begins_anew(tmp_path: Path) -> None:
    stage, _run = entered(tmp_path, {"account_max_loss": 5.0, "account_max_loss_unit": "percent_of_premium"})
    stage.restart()
    stage.arm()
    stage.price(CALL, 153.0)
    stage.until(lambda: stage.broker(2).net == {})
    assert told(stage, "max_loss") == [(2, -84_500, -84_500)]
    assert stage.broker(1).net == BOTH


def test_a_price_that_the_broker_corrects_later_moves_p_and_not_the_limit(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, {"account_max_loss": 5.0, "account_max_loss_unit": "percent_of_premium"})
    broker = stage.broker(2)
    broker.trades = [replace(one, price=130.0) if one.price == 140.0 else one for one in broker.trades]
    stage.price(CALL, 130.0)
    stage.until(lambda: any(order.filled_value_paise == 130 * 100 * LOT for order in stage.orders(run)))
    stage.price(CALL, 143.0)
    stage.until(lambda: broker.net == {})
    assert told(stage, "max_loss") == [(2, -84_500, -84_500)]


def test_killed_right_after_the_breach_the_account_leaves_once(tmp_path: Path) -> None:
    stage, _run = entered(tmp_path, {"account_max_loss": 1_000.0})
    stage.price(CALL, 160.0)
    stage.until(lambda: stage.events("max_loss"), by=0.02)
    stage.restart()
    stage.until(lambda: stage.broker(2).net == {})
    stage.play(5.0)
    assert len(stage.events("max_loss")) == 1
    assert stage.broker(2).net == {}
    assert stage.broker(1).net == BOTH


def test_event_plan_and_latch_stand_together_or_not_at_all(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, {"account_max_loss": 1_000.0})
    stage.journal.breaks = lambda changes: RuntimeError("killed while it commits") if changes.plans else None
    stage.price(CALL, 160.0)
    stage.play(2.0)
    assert (stage.events("max_loss"), stage.plans(run), stage.run(run).latches) == ([], [], [])
    stage.restart()
    stage.until(lambda: stage.broker(2).net == {})
    assert len(stage.events("max_loss")) == 1
    assert stage.run(run).latches == ["max_loss@2"]


def test_an_account_that_a_person_took_over_is_his(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, {"account_max_loss": 1_000.0})
    stage.command("take_over", {"run_id": run, "account_id": 2})
    stage.play(1.0)
    stage.price(CALL, 160.0)
    stage.play(5.0)
    assert stage.broker(2).net == BOTH
    assert stage.events("max_loss") == []
    assert stage.run(run).latches == []


@pytest.mark.parametrize("action", ["close_partial", "alert_only"])
def test_what_the_rule_of_an_account_does_is_a_choice(tmp_path: Path, action: str) -> None:
    part = {"share": 50.0} if action == "close_partial" else {}
    rules = {"account_max_loss": {"action": action, **part}}
    stage, _run = entered(tmp_path, {"account_max_loss": 2_000.0, "rules": rules}, lots=2)
    stage.price(CALL, 160.0)
    stage.play(10.0)
    left = BOTH if action == "close_partial" else {CALL: -2 * LOT, PUT: -2 * LOT}
    assert stage.broker(2).net == left
    assert stage.broker(1).net == {CALL: -2 * LOT, PUT: -2 * LOT}
    assert [event.action for event in stage.events("max_loss")] == [action]


def test_a_limit_that_the_entry_gave_no_measure_for_is_told(tmp_path: Path) -> None:
    legs = (("SELL", "CE", "atm", 0.0), ("BUY", "CE", "otm", 10.0))
    stage = Stage(tmp_path, legs=legs, limits={"max_loss": 5.0, "max_loss_unit": "percent_of_premium"})
    stage.broker().price["NIFTY01DEC2626500CE"] = 149.0
    stage.enter()
    stage.until(lambda: stage.events("engine_fault"))
    assert "max loss: the entry gave no premium" in stage.events("engine_fault")[0].message


def test_no_commit_is_made_while_nothing_changes(tmp_path: Path) -> None:
    stage, _run = entered(tmp_path, {"account_max_loss": 1_000.0, "move_to_cost": True})
    stage.play(2.0)
    written: list[Pass] = []
    stage.journal.breaks = lambda changes: written.append(changes) or None if not changes.empty else None
    for price in (151.0, 152.0, 150.0):
        stage.price(CALL, price)
        stage.step(0.2)
    assert [changes.runs for changes in written if changes.runs] == []
