"""Legs that enter again after their stop or target: at cost or with a fresh strike, counted, never beside an exit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from engine.broker.answers import PlacementOutcome, Refused
from engine.domain.orders import Order
from engine.runtime import bootstrap
from engine.services.resolution import Resolution
from engine.store import tables
from tests.stage import CALL, FLY, HEDGE, LOT, PUT, SOLD, FakeHands, Stage, fill_at_once, take_only

AT_COST = {"stop_kind": "percent", "stop_value": 30.0, "reentry": "at_cost", "reentry_most": 2}
FRESH = AT_COST | {"reentry": "fresh", "reentry_most": 1}
SWEEP = 3.0


def staged(tmp_path: Path, extras: dict[int, dict[str, Any]], **given: Any) -> Stage:
    """A stage whose legs (from 1) have these further fields."""
    return Stage(tmp_path, leg_extras=extras, **given)


def reentries(stage: Stage, run: int) -> list[tuple[str, str, int, str]]:
    return [(o.symbol, o.action, o.quantity, o.state) for o in stage.orders(run) if o.purpose == "reentry"]


def stop_the_call(stage: Stage, run: int) -> None:
    """The call rises to its stop (130 % of 150) and is bought back; the put stays."""
    stage.price(CALL, 195.0)
    stage.until(lambda: stage.broker().net == {PUT: -LOT})
    stage.until(lambda: all(plan.state != "active" for plan in stage.plans(run)))


def test_the_leg_enters_again_when_its_price_is_back_at_cost(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST})
    run = stage.enter()
    stop_the_call(stage, run)
    stage.price(CALL, 150.05)
    stage.play(SWEEP)
    assert reentries(stage, run) == []
    stage.price(CALL, 150.0)
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT})
    stage.play(SWEEP)
    assert reentries(stage, run) == [(CALL, "SELL", LOT, "filled")]
    (told,) = stage.events("reentry")
    assert "entered again" in told.message


def test_its_stop_works_again_from_the_new_average_and_no_more_than_n_times(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST})
    run = stage.enter()
    for _ in range(2):
        stop_the_call(stage, run)
        stage.play(60.0, by=1.0)
        stage.price(CALL, 150.0)
        stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT})
        stage.play(SWEEP)
    stop_the_call(stage, run)
    stage.price(CALL, 150.0)
    stage.play(120.0, by=1.0)
    assert stage.broker().net == {PUT: -LOT}
    assert len(reentries(stage, run)) == 2
    assert [event.kind for event in stage.events("leg_sl")] == ["leg_sl"] * 3
    assert stage.run(run).state == "open"


def test_a_fresh_strike_is_read_and_sold_at_once_and_leaves_with_the_run(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: FRESH})
    run = stage.enter()
    fresh(stage, HEDGE)
    stop_the_call(stage, run)
    stage.until(lambda: stage.broker().net == {HEDGE: -LOT, PUT: -LOT})
    stage.play(SWEEP)
    assert reentries(stage, run) == [(HEDGE, "SELL", LOT, "filled")]
    stage.close(run)
    stage.until(lambda: stage.run(run).state == "closed", 60)
    assert stage.broker().net == {}


def test_a_fresh_strike_has_its_own_stop(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: FRESH})
    run = stage.enter()
    fresh(stage, HEDGE)
    stop_the_call(stage, run)
    stage.until(lambda: stage.broker().net == {HEDGE: -LOT, PUT: -LOT})
    stage.price(HEDGE, 27.0)  # sold at 20: its stop stands at 26
    stage.until(lambda: stage.broker().net == {PUT: -LOT})
    stage.play(70.0, by=1.0)
    assert len(reentries(stage, run)) == 1
    assert stage.broker().net == {PUT: -LOT}


def fresh(stage: Stage, symbol: str) -> None:
    """From now on the first leg resolves to another contract."""
    hands = stage.hands[1]
    known = hands.resolve

    def resolve(legs: Any, *, run_id: int | None, command_id: int | None) -> None:
        known(legs, run_id=run_id, command_id=command_id)
        message = stage.inbox._messages.pop()
        resolution: Resolution = message.resolution  # type: ignore[union-attr]
        stage.inbox.put(_with_symbol(message, resolution, symbol))

    hands.resolve = resolve  # type: ignore[method-assign]


def _with_symbol(message: Any, resolution: Resolution, symbol: str) -> Any:
    from dataclasses import replace

    (one,) = resolution.contracts
    contract = replace(one.resolved.contract, symbol=symbol, strike=26_500.0)
    moved = replace(one, resolved=replace(one.resolved, contract=contract))
    return replace(message, resolution=replace(resolution, contracts=(moved,)))


def test_the_try_is_counted_although_the_engine_dies_before_the_order_leaves(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST | {"reentry_most": 1}})
    run = stage.enter()
    stop_the_call(stage, run)
    stage.hands[1].silent.add("books")
    stage.price(CALL, 150.0)
    stage.until(lambda: reentries(stage, run))
    stage.restart()
    stage.price(CALL, 150.0)
    stage.play(120.0, by=1.0)
    sent = [one for one in reentries(stage, run) if one[3] != "void"]
    assert len(sent) <= 1
    assert stage.broker().net.get(CALL, 0) in {0, -LOT}
    assert stage.run(run).watch["legs"]["1:1"]["reentries"] == 1


def test_not_while_an_exit_of_the_run_is_active(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST})
    run = stage.enter()
    stop_the_call(stage, run)
    stage.hands[1].usual = take_only
    stage.command("close_run", {"run_id": run})
    stage.price(CALL, 150.0)
    stage.play(20.0)
    assert reentries(stage, run) == []


def test_not_after_the_kill_switch(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST})
    run = stage.enter()
    stop_the_call(stage, run)
    stage.command("halt")
    stage.price(CALL, 150.0)
    stage.until(lambda: stage.run(run).state == "closed", 60)
    stage.play(SWEEP)
    assert stage.broker().net == {}
    assert reentries(stage, run) == []


def test_not_after_the_last_entry_time(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST}, schedule={"last_entry_time": "10:31"})
    run = stage.enter()
    stop_the_call(stage, run)
    stage.play(120.0, by=1.0)
    stage.price(CALL, 150.0)
    stage.play(SWEEP)
    assert stage.broker().net == {PUT: -LOT}
    assert reentries(stage, run) == []


def test_a_time_that_only_alerts_ends_no_re_entry(tmp_path: Path) -> None:
    limits = {"exit_time": "10:31", "rules": {"exit_time": {"action": "alert_only"}}}
    stage = staged(tmp_path, {1: AT_COST}, limits=limits)
    run = stage.enter()
    stop_the_call(stage, run)
    stage.play(90.0, by=1.0)
    stage.price(CALL, 150.0)
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT})


def test_a_sold_leg_waits_for_its_hedge(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST, 3: {"target_kind": "percent", "target_value": 50.0}}, legs=FLY)
    run = stage.enter()
    stage.price(CALL, 195.0)
    stage.until(lambda: CALL not in stage.broker().net)
    stage.price(PUT, 1.0)
    stage.command("close_run", {"run_id": run, "leg_indexes": [2, 3]})
    stage.until(lambda: stage.broker().net == {})
    stage.price(CALL, 150.0)
    stage.play(20.0)
    assert reentries(stage, run) == []
    assert stage.broker().net == {}


def test_a_run_whose_only_leg_waits_is_not_over_until_it_cannot_enter_again(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST}, legs=SOLD[:1], limits={"square_off_time": "10:40"})
    run = stage.enter()
    stage.price(CALL, 195.0)
    stage.until(lambda: stage.broker().net == {})
    stage.play(30.0, by=1.0)
    assert stage.run(run).state == "open"
    stage.price(CALL, 150.0)
    stage.until(lambda: stage.broker().net == {CALL: -LOT})
    stage.price(CALL, 195.0)
    stage.until(lambda: stage.broker().net == {})
    stage.play(660.0, by=1.0)
    assert stage.run(run).state == "closed"
    assert stage.broker().net == {}


def refused(_hands: FakeHands, order: Order) -> PlacementOutcome:
    """Refuse what enters again, fill everything else."""
    if order.purpose == "reentry":
        return Refused("no margin", 400)
    return fill_at_once(_hands, order) or Refused("", 400)


def test_a_refused_try_is_told_and_the_next_comes_a_minute_later(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST})
    run = stage.enter()
    stop_the_call(stage, run)
    stage.hands[1].usual = refused
    stage.price(CALL, 150.0)
    stage.until(lambda: stage.events("reentry"))
    assert "no margin" in stage.events("reentry")[0].message
    stage.hands[1].usual = fill_at_once
    stage.play(50.0, by=1.0)
    assert CALL not in stage.broker().net
    stage.play(15.0, by=1.0)
    assert stage.broker().net == {CALL: -LOT, PUT: -LOT}


@pytest.mark.parametrize("accounts", [2])
def test_each_account_enters_again_by_itself(tmp_path: Path, accounts: int) -> None:
    stage = staged(tmp_path, {1: AT_COST}, accounts=accounts)
    run = stage.enter()
    stage.price(CALL, 195.0)
    stage.until(lambda: all(stage.broker(one).net == {PUT: -LOT} for one in (1, 2)))
    stage.price(CALL, 150.0)
    stage.until(lambda: all(stage.broker(one).net == {CALL: -LOT, PUT: -LOT} for one in (1, 2)))
    stage.play(SWEEP)
    assert len(reentries(stage, run)) == 2


def bar(stage: Stage, **change: Any) -> None:
    """An admin takes the owner's right to trade away; the engine is told nothing."""
    with stage.database.write() as session:
        user = session.get_one(tables.User, 1)
        for name, value in change.items():
            setattr(user, name, value)


@pytest.mark.parametrize("change", [{"active": False}, {"role": tables.Role.VIEWER}])
def test_nothing_enters_again_for_an_owner_who_may_not_trade_any_more(tmp_path: Path, change: dict[str, Any]) -> None:
    stage = staged(tmp_path, {1: AT_COST, 2: {"stop_kind": "percent", "stop_value": 30.0}})
    run = stage.enter()
    stop_the_call(stage, run)
    bar(stage, **change)
    stage.until(lambda: stage.events("reentry"), 10)
    (told,) = stage.events("reentry")
    assert told.message == "leg 1 does not enter again: its owner may not trade any more"
    assert (told.execution_id, told.account_id) == (run, 1)
    stage.price(CALL, 150.0)
    stage.play(70.0, by=1.0)
    assert reentries(stage, run) == []
    assert len(stage.events("reentry")) == 1
    assert stage.run(run).state == "open"
    stage.price(PUT, 156.0)  # what is there still leaves by its stop
    stage.until(lambda: stage.run(run).state == "closed", 30)
    assert stage.broker().net == {}


def test_the_owner_is_asked_again_at_the_moment_of_the_try(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST})
    run = stage.enter()
    stop_the_call(stage, run)
    stage.play(10.0, by=1.0)
    bar(stage, active=False)
    stage.price(CALL, 150.0)
    stage.step()
    assert [event.message for event in stage.events("reentry")] == [
        "leg 1 does not enter again: its owner may not trade any more"
    ]
    stage.play(SWEEP)
    assert reentries(stage, run) == []


def test_a_fresh_strike_that_comes_for_a_barred_owner_is_not_sent(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: FRESH | {"reentry_most": 2}})
    run = stage.enter()
    hands, answers = stage.hands[1], []
    hands.resolve = lambda legs, *, run_id, command_id: answers.append((legs, run_id, command_id))  # type: ignore[method-assign]
    stop_the_call(stage, run)
    stage.until(lambda: answers)
    bar(stage, active=False)
    legs, run_id, command_id = answers[0]
    FakeHands.resolve(hands, legs, run_id=run_id, command_id=command_id)
    stage.play(20.0, by=0.5)
    assert reentries(stage, run) == []
    assert [event.message for event in stage.events("reentry")] == [
        "leg 1 did not enter again: its owner may not trade any more; nothing was sent",
        "leg 1 does not enter again: its owner may not trade any more",
    ]


def test_a_re_entry_that_was_not_sent_yet_is_given_up_for_a_barred_owner(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST})
    run = stage.enter()
    stop_the_call(stage, run)
    bucket = stage.world.accounts[1].bucket
    bucket.ready_at = lambda _exchange, boot: boot + 1.0  # type: ignore[method-assign]
    stage.price(CALL, 150.0)
    stage.until(lambda: reentries(stage, run))
    bar(stage, active=False)
    stage.play(8.0, by=0.5)
    assert reentries(stage, run) == [(CALL, "SELL", LOT, "void")]
    assert stage.events("reentry")[-1].message == "leg 1 does not enter again: its owner may not trade any more"
    assert stage.broker().net == {PUT: -LOT}


def test_an_owner_who_cannot_be_read_keeps_no_stop_from_acting_and_enters_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = staged(tmp_path, {1: AT_COST, 2: {"stop_kind": "percent", "stop_value": 30.0}})
    run = stage.enter()
    stop_the_call(stage, run)

    def locked(*_: Any) -> bool:
        raise OperationalError("SELECT", {}, Exception("made to fail"))

    monkeypatch.setattr(bootstrap, "owner_may_trade", locked)
    stage.play(8.0)
    stage.price(CALL, 150.0)
    stage.play(5.0)
    assert reentries(stage, run) == []
    stage.price(PUT, 156.0)
    stage.until(lambda: stage.broker().net == {}, 20.0)
    monkeypatch.undo()
    stage.price(CALL, 150.0)
    stage.until(lambda: reentries(stage, run), 20.0)  # the wait went on


def test_a_run_that_only_waits_to_enter_again_ends_with_its_owners_right_to_trade(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST}, legs=SOLD[:1])
    run = stage.enter()
    stage.price(CALL, 195.0)
    stage.until(lambda: stage.broker().net == {})
    stage.play(10.0, by=1.0)
    assert stage.run(run).state == "open"
    bar(stage, active=False)
    stage.restart()
    stage.until(lambda: stage.run(run).state == "closed", 30)
    bar(stage, active=True)
    stage.price(CALL, 150.0)
    stage.play(20.0, by=1.0)
    assert stage.broker().net == {}


def test_a_leg_without_a_try_left_tells_nothing_of_its_owner(tmp_path: Path) -> None:
    stage = staged(tmp_path, {1: AT_COST | {"reentry_most": 1}})
    run = stage.enter()
    stop_the_call(stage, run)
    stage.price(CALL, 150.0)
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT})
    stage.play(SWEEP)
    stop_the_call(stage, run)
    bar(stage, active=False)
    stage.play(10.0, by=1.0)
    assert [event.message.split(":")[0] for event in stage.events("reentry")] == ["leg 1 entered again"]
