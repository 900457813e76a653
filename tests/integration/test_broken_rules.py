"""What once broke re-entry: beside less cover, into another leg, contracts that came late (RULES 7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.domain.instruments import Action
from engine.services.messages import Resolved
from engine.services.resolution import Resolution
from tests.integration.supertrend_tape import Tape, begin, minute, play_until
from tests.stage import CALL, FLY, HEDGE, LOT, PUT, SOLD, Stage, instrument

STOP_30 = {"stop_kind": "percent", "stop_value": 30.0}
AT_COST = STOP_30 | {"reentry": "at_cost", "reentry_most": 2}
FRESH = STOP_30 | {"reentry": "fresh", "reentry_most": 2}
SPREAD = (SOLD[0], FLY[2])
"""A sold call and the bought one that covers it."""


def settled(stage: Stage, run: int) -> None:
    stage.until(lambda: all(plan.state != "active" for plan in stage.plans(run)))


def reentries(stage: Stage, run: int) -> list[tuple[int, str, str, int]]:
    return [
        (o.leg_index, o.symbol, o.action, o.quantity)
        for o in stage.orders(run)
        if o.purpose == "reentry" and o.state != "void"
    ]


def hold_back_contracts(stage: Stage, symbols: dict[int, str]) -> list[Resolved]:
    """Contracts that are read from now on are kept back; a leg named in ``symbols`` resolves to another one."""
    hands, kept = stage.hands[1], []
    known = hands.resolve

    def resolve(legs: Any, *, run_id: int | None, command_id: int | None) -> None:
        known(legs, run_id=run_id, command_id=command_id)
        message = stage.inbox._messages.pop()
        assert isinstance(message, Resolved)
        kept.append(_moved(message, symbols))

    hands.resolve = resolve  # type: ignore[method-assign]
    return kept


def _moved(message: Resolved, symbols: dict[int, str]) -> Resolved:
    resolution = message.resolution
    assert isinstance(resolution, Resolution)
    (one,) = resolution.contracts
    symbol = symbols.get(one.resolved.leg.index, one.resolved.contract.symbol)
    contract = replace(one.resolved.contract, symbol=symbol, strike=float(symbol[-7:-2]))
    moved = replace(one, resolved=replace(one.resolved, contract=contract))
    return replace(message, resolution=replace(resolution, contracts=(moved,)))


def test_a_sold_leg_enters_again_with_no_more_than_its_hedge_still_covers(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=SPREAD, lots=2, leg_extras={1: AT_COST})
    run = stage.enter()
    stage.command("close_run", {"run_id": run, "share": 50.0})
    stage.until(lambda: stage.broker().net == {CALL: -LOT, HEDGE: LOT})
    settled(stage, run)
    stage.price(CALL, 195.0)
    stage.until(lambda: stage.broker().net == {HEDGE: LOT})
    settled(stage, run)
    stage.price(CALL, 150.0)
    stage.play(10.0)
    net = stage.broker().net
    assert -net.get(CALL, 0) <= net[HEDGE], net


def test_a_sold_leg_enters_again_with_what_it_had_when_it_left(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2, leg_extras={1: AT_COST})
    run = stage.enter()
    stage.command("close_run", {"run_id": run, "share": 50.0})
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT})
    settled(stage, run)
    stage.price(CALL, 195.0)
    stage.until(lambda: stage.broker().net == {PUT: -LOT})
    settled(stage, run)
    stage.price(CALL, 150.0)
    stage.until(lambda: reentries(stage, run))
    stage.play(5.0)
    assert stage.broker().net == {CALL: -LOT, PUT: -LOT}


def test_a_hedge_that_a_person_sold_outside_keeps_its_sold_leg_from_entering_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=SPREAD, lots=2, leg_extras={1: AT_COST})
    run = stage.enter()
    stage.price(CALL, 195.0)
    stage.until(lambda: stage.broker().net == {HEDGE: 2 * LOT})
    settled(stage, run)
    stage.broker().take(instrument(HEDGE), Action.SELL, LOT)
    stage.play(20.0)
    stage.price(CALL, 150.0)
    stage.play(10.0)
    net = stage.broker().net
    assert -net.get(CALL, 0) <= net[HEDGE], net


def test_a_fresh_strike_never_sells_the_runs_own_hedge(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, leg_extras={1: FRESH})
    run = stage.enter()
    kept = hold_back_contracts(stage, {1: HEDGE})
    stage.price(CALL, 195.0)
    stage.until(lambda: kept)
    stage.inbox.put(kept.pop())
    stage.play(10.0)
    assert stage.broker().net == {PUT: -LOT, HEDGE: LOT}
    assert reentries(stage, run) == []


def test_contracts_that_come_late_are_not_taken_for_another_leg(tmp_path: Path) -> None:
    stage = Stage(tmp_path, leg_extras={1: FRESH, 2: FRESH})
    run = stage.enter()
    kept = hold_back_contracts(stage, {1: HEDGE})
    stage.price(CALL, 195.0)
    stage.until(lambda: kept)
    stage.price(PUT, 156.0)
    stage.until(lambda: stage.broker().net == {})
    stage.until(lambda: len(kept) == 2, 40.0)  # the first has waited too long, now the put is read
    stage.inbox.put(kept[0])
    stage.play(5.0)
    assert all(symbol == HEDGE for leg, symbol, *_ in reentries(stage, run) if leg == 1)
    assert all(symbol == PUT for leg, symbol, *_ in reentries(stage, run) if leg == 2)
    assert HEDGE not in stage.broker().net


def test_a_fresh_strike_is_not_sold_when_its_hedge_went_while_it_was_read(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=SPREAD, leg_extras={1: FRESH})
    run = stage.enter()
    kept = hold_back_contracts(stage, {})
    stage.price(CALL, 195.0)
    stage.until(lambda: kept)
    stage.command("close_run", {"run_id": run, "leg_indexes": [2]})
    stage.until(lambda: stage.broker().net == {})
    settled(stage, run)
    stage.inbox.put(kept[0])
    stage.play(10.0)
    assert stage.broker().net == {}


def test_legs_stopped_in_one_moment_may_both_enter_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, leg_extras={1: AT_COST, 2: AT_COST}, limits={"move_to_cost": True})
    run = stage.enter()
    for symbol, price in ((CALL, 195.0), (PUT, 156.0)):
        stage.price(symbol, price)
    stage.until(lambda: stage.broker().net == {})
    settled(stage, run)
    assert all("closed_by" in stage.run(run).watch["legs"][place] for place in ("1:1", "1:2"))
    for symbol, price in ((CALL, 150.0), (PUT, 120.0)):
        stage.price(symbol, price)
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT}, 20.0)


def test_a_leg_that_entered_again_cheaper_has_its_stop_from_the_new_average(tmp_path: Path) -> None:
    stage = Stage(tmp_path, leg_extras={1: AT_COST})
    run = stage.enter()
    stage.price(CALL, 195.0)
    stage.until(lambda: stage.broker().net == {PUT: -LOT})
    settled(stage, run)
    stage.price(CALL, 100.0)
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT})
    stage.price(CALL, 129.0)
    stage.play(3.0)
    assert stage.broker().net == {CALL: -LOT, PUT: -LOT}
    stage.price(CALL, 130.0)
    stage.until(lambda: stage.broker().net == {PUT: -LOT})


def test_a_run_that_its_supertrend_ends_while_nothing_is_held_does_not_enter_only_to_leave(tmp_path: Path) -> None:
    trend = {"series": "underlying", "interval": "1m"}
    stage = Stage(tmp_path, legs=SOLD[:1], leg_extras={1: AT_COST}, limits={"supertrend": trend})
    tape = Tape(stage, jumps={CALL: [(minute(2), 50.0), (minute(6), -60.0)], "NIFTY": [(minute(3), 300.0)]})
    run = begin(stage, tape)
    play_until(stage, tape, minute(2) + timedelta(seconds=10))
    assert stage.broker().net == {}
    play_until(stage, tape, minute(7))
    assert reentries(stage, run) == []
    assert stage.run(run).state == "closed"


def test_a_rule_whose_leg_is_out_already_is_told_and_still_takes_it_out_when_it_is_back(tmp_path: Path) -> None:
    closing = {"max_loss": {"action": "close_partial", "legs": [1]}}
    stage = Stage(tmp_path, leg_extras={1: AT_COST}, limits={"max_loss": 3_000.0, "rules": closing})
    run = stage.enter()
    stage.price(CALL, 195.0)  # ₹2,925 are lost by its own stop
    stage.until(lambda: stage.broker().net == {PUT: -LOT})
    settled(stage, run)
    stage.price(PUT, 130.0)
    stage.play(10.0)
    assert [event.action for event in stage.events("max_loss")] == ["alert_only"]
    assert stage.run(run).latches == ["leg_sl@1.1"]
    stage.price(CALL, 150.0)
    stage.until(lambda: reentries(stage, run))
    stage.until(lambda: "max_loss" in stage.run(run).latches)
    stage.until(lambda: stage.broker().net == {PUT: -LOT})


def test_what_a_person_gives_back_in_part_is_watched_again_after_an_exit_of_the_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, limits={"max_loss": 1_000.0}, leg_extras={2: STOP_30})
    run = stage.enter()
    stage.command("take_over", {"run_id": run, "account_id": 1})
    stage.step()
    stage.price(CALL, 190.0)
    stage.until(lambda: stage.broker(2).net == {})
    settled(stage, run)
    stage.command("close_run", {"run_id": run, "leg_indexes": [1]})
    stage.until(lambda: stage.broker(1).net == {PUT: -LOT})
    settled(stage, run)
    assert stage.run(run).state == "open"
    stage.price(PUT, 156.0)
    stage.until(lambda: stage.broker(1).net == {})
    stage.until(lambda: stage.run(run).state == "closed")


@pytest.mark.parametrize("passes", range(14))
def test_killed_at_any_pass_around_a_stop_and_the_entry_after_it(tmp_path: Path, passes: int) -> None:
    stage = Stage(tmp_path, leg_extras={1: AT_COST}, limits={"move_to_cost": True}, quiet_unanswered=20.0)
    run = stage.enter()
    stage.price(PUT, 110.0)
    for price, wanted in ((195.0, {PUT: -LOT}), (150.0, {CALL: -LOT, PUT: -LOT})):
        stage.price(CALL, price)
        stage.play(passes * 0.1)
        stage.restart()
        stage.price(CALL, price)
        stage.until(lambda wanted=wanted: stage.broker().net == wanted, 90.0)  # type: ignore[misc]
        settled(stage, run)
    stage.play(3.0)
    assert stage.run(run).watch["legs"]["1:2"]["at_cost"] is True
    filled = [o.purpose for o in stage.orders(run) if o.symbol == CALL and o.filled_quantity]
    assert filled == ["entry", "exit", "reentry"]
