"""Stop and target of a leg on each account, from its own average; the others move to cost (RULES 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.broker.answers import PlacementOutcome
from engine.domain.orders import Order
from tests.stage import CALL, LOT, PUT, FakeHands, Stage, fill_at_once, take_change, take_only

STOP_30 = {"stop_kind": "percent", "stop_value": 30.0}
TARGET_50 = {"target_kind": "percent", "target_value": 50.0}
BOTH = {CALL: -LOT, PUT: -LOT}


def entered(tmp_path: Path, *, accounts: int = 1, on_legs: Any = None, **settings: Any) -> tuple[Stage, int]:
    """Sell call and put at 100; the second account sells the call at 104."""
    extras = {1: STOP_30 | TARGET_50} if on_legs is None else on_legs
    stage = Stage(tmp_path, accounts=accounts, leg_extras=extras, **settings)
    for number in range(1, accounts + 1):
        stage.broker(number).price |= {CALL: 100.0 if number == 1 else 104.0, PUT: 100.0}
    return stage, stage.enter()


def move(stage: Stage, symbol: str, price: float) -> None:
    """A price that stays for a while."""
    for _ in range(4):
        stage.price(symbol, price)
        stage.step(0.5)


def test_each_account_stops_its_leg_by_its_own_average(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, accounts=2)
    move(stage, CALL, 129.95)
    assert stage.events("leg_sl") == []
    move(stage, CALL, 130.0)
    stage.until(lambda: stage.broker(1).net == {PUT: -LOT})
    stage.play(5.0)
    assert stage.broker(2).net == BOTH
    (event,) = stage.events("leg_sl")
    assert (event.account_id, event.threshold_paise, event.value_paise) == (1, 13_000, 13_000)
    assert event.message == "leg stop of leg 1: ₹130.00 reached ₹130.00"
    move(stage, CALL, 135.2)
    stage.until(lambda: stage.broker(2).net == {PUT: -LOT})
    assert stage.run(run).latches == ["leg_sl@1.1", "leg_sl@2.1"]
    assert stage.run(run).state == "open"


def test_a_target_takes_the_leg_out_at_half_its_price(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    move(stage, CALL, 50.05)
    assert stage.broker().net == BOTH
    move(stage, CALL, 50.0)
    stage.until(lambda: stage.broker().net == {PUT: -LOT})
    memory = stage.run(run).watch["legs"]["1:1"]
    assert (memory["closed_by"], memory["entry_price"]) == ("leg_target", 100.0)
    assert memory["closed_at"] == stage.events("leg_target")[0].at.isoformat()


@pytest.mark.parametrize(
    ("extras", "price", "kind"),
    [
        (STOP_30, 70.0, "leg_sl"),
        (TARGET_50, 150.0, "leg_target"),
        ({"stop_kind": "points", "stop_value": 12.0}, 88.0, "leg_sl"),
        ({"target_kind": "premium", "target_value": 120.0}, 120.0, "leg_target"),
    ],
)
def test_a_bought_leg_leaves_on_the_other_side(tmp_path: Path, extras: dict[str, Any], price: float, kind: str) -> None:
    stage, run = entered(tmp_path, legs=(("BUY", "CE", "atm", 0.0),), on_legs={1: extras})
    inside = price + 0.05 if price < 100 else price - 0.05
    move(stage, CALL, inside)
    assert stage.broker().net == {CALL: LOT}
    move(stage, CALL, price)
    stage.until(lambda: stage.run(run).state == "closed")
    assert len(stage.events(kind)) == 1


def test_a_leg_is_stopped_although_the_other_leg_has_no_price(tmp_path: Path) -> None:
    stage, _run = entered(tmp_path, limits={"max_loss": 500.0})
    stage.quiet_market()
    stage.play(70.0, by=0.5)
    move(stage, CALL, 131.0)
    stage.until(lambda: stage.broker().net == {PUT: -LOT})
    assert len(stage.events("leg_sl")) == 1
    assert stage.events("max_loss") == []


def test_a_leg_without_a_confirmed_price_is_not_judged(tmp_path: Path) -> None:
    stage, _run = entered(tmp_path)
    stage.quiet_market()
    stage.broker().price[CALL] = 200.0
    stage.play(80.0, by=0.5)
    assert stage.events("leg_sl") == []
    assert stage.broker().net == BOTH


def test_killed_right_after_a_leg_was_stopped_it_leaves_once(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    for _ in range(20):
        stage.price(CALL, 131.0)
        stage.step(0.1)
        if stage.events("leg_sl"):
            break
    stage.restart()
    stage.until(lambda: stage.broker().net == {PUT: -LOT})
    stage.play(10.0)
    assert len(stage.events("leg_sl")) == 1
    assert stage.run(run).latches == ["leg_sl@1.1"]
    assert stage.broker().net == {PUT: -LOT}


def test_the_other_leg_of_that_account_moves_to_cost_and_leaves_there(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, accounts=2, limits={"move_to_cost": True})
    move(stage, PUT, 90.0)
    move(stage, CALL, 130.0)
    stage.until(lambda: stage.broker(1).net == {PUT: -LOT})
    assert stage.run(run).watch["legs"]["1:2"] == {"at_cost": True}
    assert "2:2" not in stage.run(run).watch["legs"]
    assert stage.events("leg_sl")[0].knew["moved_to_cost"] == [{"account_id": 1, "leg": 2}]
    stage.restart()
    stage.arm()
    move(stage, PUT, 99.95)
    assert stage.broker(1).net == {PUT: -LOT}
    move(stage, PUT, 100.0)
    stage.until(lambda: stage.broker(1).net == {})
    assert stage.broker(2).net == BOTH
    assert stage.run(run).latches == ["leg_sl@1.1", "leg_sl@1.2"]
    memory = stage.run(run).watch["legs"]["1:2"]
    assert (memory["closed_by"], "at_cost" in memory) == ("leg_sl", False)


def test_a_stop_better_than_cost_stays_where_it_is(tmp_path: Path) -> None:
    better = {"stop_kind": "premium", "stop_value": 95.0}
    stage = Stage(tmp_path, leg_extras={1: STOP_30, 2: better}, limits={"move_to_cost": True})
    stage.broker().price |= {CALL: 100.0, PUT: 100.0}

    def fill_and_fall(hands: FakeHands, order: Order) -> PlacementOutcome:
        outcome = fill_at_once(hands, order)
        if order.symbol == PUT:
            stage.price(PUT, 90.0)  # sold at 100, and below its stop ever since
        return outcome

    stage.hands[1].usual = fill_and_fall
    run = stage.enter()
    stage.hands[1].usual = fill_at_once
    move(stage, CALL, 130.0)
    stage.until(lambda: stage.broker().net == {PUT: -LOT})
    assert stage.run(run).watch["legs"]["1:2"] == {"at_cost": True}
    move(stage, PUT, 94.95)
    assert stage.broker().net == {PUT: -LOT}
    move(stage, PUT, 95.0)
    stage.until(lambda: stage.broker().net == {})


def test_an_alert_on_a_leg_is_given_once_and_moves_nothing(tmp_path: Path) -> None:
    rules = {"leg_sl": {"action": "alert_only"}}
    stage, run = entered(tmp_path, limits={"move_to_cost": True, "rules": rules})
    move(stage, CALL, 131.0)
    stage.restart()
    stage.arm()
    move(stage, CALL, 140.0)
    assert [event.action for event in stage.events("leg_sl")] == ["alert_only"]
    assert stage.broker().net == BOTH
    assert stage.run(run).watch.get("legs", {}) == {}


def test_a_leg_rule_that_closes_all_takes_the_run_out_on_all_accounts(tmp_path: Path) -> None:
    rules = {"leg_sl": {"action": "close_all"}}
    stage, run = entered(tmp_path, accounts=2, limits={"rules": rules})
    move(stage, CALL, 131.0)
    stage.until(lambda: stage.run(run).state == "closed")
    assert [plan.reason for plan in stage.plans(run)] == ["leg_sl"]
    assert (stage.broker(1).net, stage.broker(2).net) == ({}, {})


def test_a_share_of_a_stopped_leg_leaves_and_it_is_not_called_closed(tmp_path: Path) -> None:
    rules = {"leg_sl": {"action": "close_partial", "share": 50.0}}
    stage, run = entered(tmp_path, limits={"rules": rules}, lots=2)
    move(stage, CALL, 131.0)
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -2 * LOT})
    stage.play(5.0)
    assert stage.broker().net == {CALL: -LOT, PUT: -2 * LOT}
    assert stage.run(run).watch.get("legs", {}) == {}


def test_two_legs_stopped_in_one_moment_leave_by_a_plan_each(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, on_legs={1: STOP_30, 2: STOP_30}, limits={"move_to_cost": True})
    for _ in range(4):
        stage.price(CALL, 131.0)
        stage.price(PUT, 131.0)
        stage.step(0.5)
    stage.until(lambda: stage.run(run).state == "closed")
    assert sorted(stage.run(run).latches) == ["leg_sl@1.1", "leg_sl@1.2"]
    assert len(stage.events("leg_sl")) == 2


def test_an_exit_that_is_under_way_already_keeps_no_stop_of_another_leg_back(tmp_path: Path) -> None:
    rules = {"max_loss": {"action": "close_partial", "legs": [2]}}
    stage, run = entered(tmp_path, limits={"max_loss": 500.0, "rules": rules})
    stage.hands[1].usual = lambda hands, order: (take_only if order.symbol == PUT else fill_at_once)(hands, order)
    stage.hands[1].modifies = take_change
    stage.command("close_run", {"run_id": run, "account_ids": None, "leg_indexes": [2]})
    stage.until(lambda: any(order.symbol == PUT for order in stage.hands[1].sent[2:]))
    move(stage, CALL, 131.0)
    stage.until(lambda: CALL not in stage.broker().net)
    assert stage.run(run).latches == ["leg_sl@1.1"]
    assert stage.events("max_loss") == []
    assert stage.events("leg_sl")[0].knew["also_breached"] == ["max_loss"]
