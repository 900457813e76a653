"""Exits by part: a leg, an account, a share in whole lots; what stays goes on with its stops live (RULES 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.broker.answers import Refused
from engine.domain.instruments import Action
from engine.domain.orders import Order
from engine.services.exit_plans import open_plan
from engine.services.ledger import Pass
from tests.stage import (
    CALL,
    FLY,
    HEDGE,
    LOT,
    PUT,
    FakeHands,
    Stage,
    fill_at_once,
    fill_in_silence,
    instrument,
    take_change,
    take_only,
)


def exits(stage: Stage, account: int = 1) -> list[tuple[str, int]]:
    """What went as an exit, in the order it went."""
    return [
        (order.symbol, order.action.sign * order.quantity)
        for order in stage.hands[account].sent
        if order.purpose == "exit"
    ]


def close(stage: Stage, run: int, **part: Any) -> str:
    number = stage.command("close_run", {"run_id": run, **part})
    stage.step()
    return str(stage.answer(number).outcome["message"])


def by_rule(stage: Stage, run: int, kind: str = "leg_sl", **part: Any) -> int | None:
    """Open an exit as a rule does it, in a commit of its own."""
    changes = Pass(stage.ledger, stage.clock.now())
    plan = open_plan(changes, changes.run(run), kind=kind, message=f"{kind} of run {run}", knew={}, **part)
    stage.journal.commit(changes, renewed_boot=None)
    changes.become_memory()
    return None if plan is None else plan.id


def rest(stage: Stage, account: int = 1) -> None:
    """From now on exit orders are taken and rest, also at every new price."""
    stage.hands[account].usual, stage.hands[account].modifies = take_only, take_change


def newest(stage: Stage, account: int = 1) -> str:
    return list(stage.broker(account).orders)[-1]


def plans(stage: Stage, run: int) -> list[str]:
    return [str(plan.state) for plan in stage.plans(run)]


def done(stage: Stage, run: int, seconds: float = 30.0) -> None:
    """Every plan of the run has ended."""
    stage.until(lambda: "active" not in plans(stage, run), seconds)


def account_state(stage: Stage, run: int, account: int = 1) -> str:
    return str(stage.ledger.accounts[run][account].state)


def closed(stage: Stage, run: int, seconds: float = 60.0) -> None:
    stage.until(lambda: stage.run(run).state == "closed", seconds)
    for hands in stage.hands.values():
        assert hands.broker.net == {}


# ── what leaves, and what stays ───────────────────────────────────────────────────────────────────────────────────────


def test_leg_leaves_alone_and_the_stop_of_the_run_lives_on_for_the_others(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 10_000.0})
    run = stage.enter()
    assert close(stage, run, leg_indexes=[1]) == f"Leg 1 of run {run} is being closed."
    done(stage, run)
    assert stage.broker().net == {PUT: -LOT}
    assert (stage.run(run).state, account_state(stage, run)) == ("open", "entered")
    stage.price(PUT, 300.0)
    closed(stage, run)
    assert exits(stage) == [(CALL, LOT), (PUT, LOT)]
    assert [(event.kind, event.action) for event in stage.events() if event.exit_plan_id] == [
        ("by_hand", "close_partial"),
        ("max_loss", "close_all"),
    ]


def test_event_of_a_part_says_which(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, lots=2)
    run = stage.enter()
    close(stage, run, leg_indexes=[2], share=50, account_ids=[2])
    event = stage.events("by_hand")[0]
    assert (event.account_id, event.message) == (2, f"50 % of leg 2 of run {run} closed by hand")
    kept = [{"account_id": 2, "symbol": PUT, "units": -LOT}]
    assert event.knew["part"] == {"accounts": [2], "legs": [2], "share": 50.0, "keeps": kept}


def test_half_of_three_lots_is_two(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=3)
    run = stage.enter()
    assert close(stage, run, share=50) == f"50 % of run {run} is being closed."
    done(stage, run)
    assert stage.broker().net == {CALL: -LOT, PUT: -LOT}
    assert exits(stage) == [(CALL, 2 * LOT), (PUT, 2 * LOT)]
    assert stage.run(run).state == "open"


def test_share_of_single_lots_is_all_of_them_and_the_run_ends(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    close(stage, run, share=10)
    closed(stage, run)


def test_share_of_a_hedged_structure_stays_hedged_and_its_sold_legs_go_first(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, lots=2)
    run = stage.enter()
    rest(stage)
    close(stage, run, share=50)
    stage.play(5)
    assert exits(stage) == [(CALL, LOT), (PUT, LOT)], "the bought leg waits for both"
    first, second = list(stage.broker().orders)[-2:]
    stage.broker().fill(first, LOT)
    stage.play(3)
    assert len(exits(stage)) == 2
    stage.hands[1].usual = fill_at_once
    stage.broker().fill(second, LOT)
    done(stage, run)
    assert stage.broker().net == {CALL: -LOT, PUT: -LOT, HEDGE: LOT}
    assert exits(stage)[2:] == [(HEDGE, -LOT)]
    assert stage.events("exit_blocked") == [] or all("to fill" in one.message for one in stage.events("exit_blocked"))


def test_one_account_leaves_in_part_and_the_other_is_untouched(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, lots=2)
    run = stage.enter()
    close(stage, run, account_ids=[1], share=50, leg_indexes=[1])
    done(stage, run)
    assert stage.broker(1).net == {CALL: -LOT, PUT: -2 * LOT}
    assert stage.broker(2).net == {CALL: -2 * LOT, PUT: -2 * LOT}
    assert exits(stage, 2) == []


def test_run_closes_when_its_last_part_is_out(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2)
    run = stage.enter()
    for part in ({"leg_indexes": [1]}, {"share": 50}, {"leg_indexes": [2]}):
        assert stage.run(run).state == "open"
        close(stage, run, **part)
        done(stage, run)
    closed(stage, run)
    assert exits(stage) == [(CALL, 2 * LOT), (PUT, LOT), (PUT, LOT)]
    assert plans(stage, run) == ["done"] * 3


def test_all_legs_by_name_are_the_whole_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    rest(stage)
    close(stage, run, leg_indexes=[2, 1])
    assert stage.run(run).state == "exiting"


# ── one plan per key ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("restart", [False, True])
def test_kill_switch_takes_a_leg_in_with_its_order_in_flight(tmp_path: Path, restart: bool) -> None:
    stage = Stage(tmp_path, legs=FLY)
    run = stage.enter()
    rest(stage)
    close(stage, run, leg_indexes=[1])
    stage.until(lambda: exits(stage))
    if restart:
        stage.restart()
        stage.arm()
    stage.hands[1].usual = fill_at_once
    stage.command("halt")
    stage.play(3)
    assert plans(stage, run) == ["absorbed", "active"]
    assert stage.broker().net == {CALL: -LOT, HEDGE: LOT}, "the order in flight counts, the hedge waits for it"
    resting = next(one for one in stage.broker().orders.values() if one.status == "open")
    stage.broker().fill(resting.orderid, LOT)
    closed(stage, run)
    assert len(stage.broker().orders) == 6


def test_kill_switch_does_not_double_a_leg_without_an_answer(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].placements = [fill_in_silence]
    close(stage, run, leg_indexes=[1])
    stage.until(lambda: exits(stage))
    stage.command("halt")
    closed(stage, run)
    assert len(stage.broker().orders) == 4


def test_whole_exit_sends_only_what_the_share_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=(("SELL", "CE", "atm", 0.0),), lots=3)
    run = stage.enter()
    rest(stage)
    close(stage, run, share=50)
    stage.until(lambda: exits(stage))
    stage.close(run)
    stage.play(3)
    assert exits(stage) == [(CALL, 2 * LOT), (CALL, LOT)]
    for orderid in list(stage.broker().orders)[-2:]:
        row = stage.broker().orders[orderid]
        stage.broker().fill(orderid, row.quantity)
    closed(stage, run)


def test_leg_out_of_a_share_goes_whole_and_the_others_keep_what_the_share_leaves_them(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=3)
    run = stage.enter()
    rest(stage)
    close(stage, run, share=50)
    stage.until(lambda: len(exits(stage)) == 2)
    assert by_rule(stage, run, leg_indexes=(1,)) is not None
    stage.play(3)
    assert exits(stage) == [(CALL, 2 * LOT), (PUT, 2 * LOT), (CALL, LOT)]
    assert plans(stage, run) == ["absorbed", "active"]
    for row in list(stage.broker().orders.values()):
        if row.status == "open":
            stage.broker().fill(row.orderid, row.quantity)
    done(stage, run)
    assert stage.broker().net == {PUT: -LOT}


def test_legs_of_two_rules_leave_beside_each_other_and_each_order_is_repriced_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    rest(stage)
    by_rule(stage, run, leg_indexes=(1,))
    by_rule(stage, run, kind="leg_target", leg_indexes=(2,))
    stage.play(4.5)
    assert plans(stage, run) == ["active", "active"]
    assert exits(stage) == [(CALL, LOT), (PUT, LOT)]
    modified = [order.symbol for order, _price in stage.hands[1].modified]
    assert sorted(modified) == [CALL, CALL, PUT, PUT]


def test_same_part_ordered_twice_is_one_exit(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2)
    run = stage.enter()
    rest(stage)
    close(stage, run, share=50)
    stage.play(1)
    assert "already under way" in close(stage, run, share=50)
    assert "already under way" in close(stage, run, share=25, leg_indexes=[1])
    assert by_rule(stage, run, leg_indexes=(1,), share=50.0) is None
    stage.play(2)
    assert len(stage.plans(run)) == 1
    assert len(exits(stage)) == 2


def test_part_of_a_whole_exit_opens_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    rest(stage)
    stage.close(run)
    stage.step()
    assert by_rule(stage, run, leg_indexes=(1,)) is None
    assert by_rule(stage, run, share=50.0) is None


def test_second_share_after_the_first_takes_of_what_is_left(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=(("SELL", "CE", "atm", 0.0),), lots=4)
    run = stage.enter()
    for left in (2 * LOT, LOT):
        close(stage, run, share=50)
        done(stage, run)
        assert stage.broker().net == {CALL: -left}


# ── order of things ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_bought_leg_is_not_sold_while_a_sold_leg_stays_and_an_alarm_says_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY)
    run = stage.enter()
    by_rule(stage, run, kind="leg_target", leg_indexes=(3,))
    stage.play(15)
    assert exits(stage) == []
    assert [HEDGE in event.message for event in stage.events("exit_blocked")] == [True]
    close(stage, run, leg_indexes=[1])
    stage.play(15)
    assert exits(stage) == [(CALL, LOT)], "the put is still sold"
    close(stage, run, leg_indexes=[2])
    closed(stage, run)
    assert exits(stage) == [(CALL, LOT), (PUT, LOT), (HEDGE, -LOT)]


def test_bought_leg_by_hand_alone_is_refused_with_the_leg_it_covers(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY)
    run = stage.enter()
    for part in ({}, {"share": 50}):
        assert "would stand naked: close leg 1 first" in close(stage, run, leg_indexes=[3], **part)
    assert "close leg 2 first" in close(stage, run, leg_indexes=[1, 3])
    assert stage.plans(run) == []


def test_entries_of_other_legs_go_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    stage.hands[1].placements = [fill_at_once, take_only]
    stage.execute()
    stage.until(lambda: stage.broker().net == {CALL: -LOT})
    by_rule(stage, 1, leg_indexes=(1,))
    stage.until(lambda: exits(stage) == [(CALL, LOT)])
    assert PUT not in [order.symbol for order in stage.hands[1].cancelled]
    stage.broker().fill(list(stage.broker().orders)[1], LOT)
    stage.until(lambda: stage.run(1).state == "open")
    done(stage, 1)
    assert stage.broker().net == {PUT: -LOT}


def test_account_that_is_still_entering_is_not_closed_in_part_by_hand(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    stage.hands[1].placements = [fill_at_once, take_only]
    stage.execute()
    stage.until(lambda: stage.broker().net == {CALL: -LOT})
    assert "still entering" in close(stage, 1, leg_indexes=[1])


# ── trouble ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_restart_between_planning_and_the_fill_sends_the_part_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=3)
    run = stage.enter()
    stage.hands[1].placements = [fill_in_silence]
    close(stage, run, share=50, leg_indexes=[1])
    stage.until(lambda: exits(stage))
    stage.restart()
    done(stage, run, 300)
    assert stage.broker().net == {CALL: -LOT, PUT: -3 * LOT}
    assert len(stage.broker().orders) == 3
    assert (stage.run(run).state, account_state(stage, run)) == ("open", "entered")


def test_restart_right_after_the_order_takes_the_same_part(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=(("SELL", "CE", "atm", 0.0),), lots=3)
    run = stage.enter()
    by_rule(stage, run, share=50.0)  # committed, and nothing was planned
    stage.restart()
    done(stage, run)
    assert stage.broker().net == {CALL: -LOT}
    stage.restart()
    stage.play(5)
    assert stage.broker().net == {CALL: -LOT}


def test_rejected_part_is_tried_again_until_it_is_out(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2)
    run = stage.enter()
    stage.hands[1].placements = [lambda _h, _o: Refused("no margin", 400)] * 3
    close(stage, run, share=50, leg_indexes=[2])
    done(stage, run)
    assert stage.broker().net == {CALL: -2 * LOT, PUT: -LOT}
    assert exits(stage) == [(PUT, LOT)] * 4
    assert any("no margin" in event.message for event in stage.events("by_hand"))


def test_what_was_closed_outside_counts_towards_the_share(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=(("SELL", "CE", "atm", 0.0),), lots=3)
    run = stage.enter()
    stage.hands[1].usual = lambda _h, _o: Refused("no margin", 400)
    close(stage, run, share=50)
    stage.until(lambda: exits(stage))
    stage.broker().take(instrument(CALL), Action.BUY, 2 * LOT)
    stage.hands[1].usual = fill_at_once
    done(stage, run)
    stage.play(10)
    assert stage.broker().net == {CALL: -LOT}
    assert [row.status for row in stage.broker().orders.values()] == ["complete"] * 2, "nothing more was bought"


def test_resting_part_is_cancelled_when_somebody_takes_the_share_by_hand(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=(("SELL", "CE", "atm", 0.0),), lots=3)
    run = stage.enter()
    rest(stage)
    close(stage, run, share=50)
    stage.until(lambda: exits(stage))
    stage.broker().take(instrument(CALL), Action.BUY, LOT)
    stage.until(lambda: stage.hands[1].cancelled)
    stage.hands[1].usual = fill_at_once
    done(stage, run)
    stage.play(5)
    assert stage.broker().net == {CALL: -LOT}
    assert exits(stage) == [(CALL, 2 * LOT), (CALL, LOT)]


def test_planned_part_that_was_overtaken_by_hand_is_not_sent(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=(("SELL", "CE", "atm", 0.0),), lots=3)
    run = stage.enter()
    account = stage.world.accounts[1]
    by_rule(stage, run, share=50.0)
    for number in range(30):  # its turn at the send limit does not come
        while account.bucket.ready_at("NFO", stage.clock.boot()) <= stage.clock.boot():
            account.bucket.take("NFO", stage.clock.boot())
        stage.step(0.1)
        if number == 2:
            stage.broker().take(instrument(CALL), Action.BUY, LOT)
            account.books_wanted = True
    done(stage, run)
    assert stage.broker().net == {CALL: -LOT}
    assert exits(stage) == [(CALL, LOT)]


def test_part_without_valid_books_is_not_called_done(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()

    def fill_and_blind(hands: FakeHands, order: Order) -> Any:
        hands.books_now = lambda: None
        return fill_at_once(hands, order)

    stage.hands[1].placements = [fill_and_blind]
    close(stage, run, leg_indexes=[1])
    stage.play(15)
    assert plans(stage, run) == ["active"]
    assert len(stage.events("exit_blocked")) == 1
    stage.hands[1].books_now = None
    done(stage, run)
    assert stage.broker().net == {PUT: -LOT}


def test_rule_leaves_an_account_that_a_person_took_over(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2)
    run = stage.enter()
    stage.command("take_over", {"run_id": run, "account_id": 1})
    stage.step()
    assert by_rule(stage, run, leg_indexes=(1,), account_ids=(1,)) is None
    by_rule(stage, run, leg_indexes=(1,))
    done(stage, run)
    assert stage.broker(1).net == {CALL: -LOT, PUT: -LOT}
    assert stage.broker(2).net == {PUT: -LOT}


def test_person_takes_an_account_back_with_an_exit_of_a_part(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.command("take_over", {"run_id": run, "account_id": 1})
    stage.step()
    close(stage, run, leg_indexes=[1])
    done(stage, run)
    assert stage.broker().net == {PUT: -LOT}
    assert account_state(stage, run) == "entered"


def test_account_taken_over_during_a_part_gets_no_more_exit_orders(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    rest(stage)
    close(stage, run, leg_indexes=[1])
    stage.until(lambda: exits(stage))
    stage.command("take_over", {"run_id": run, "account_id": 1})
    stage.play(10)
    assert plans(stage, run) == ["taken_over"]
    assert len(exits(stage)) == 1
    assert stage.broker().net == {CALL: -LOT, PUT: -LOT}


def test_runs_that_leave_together_are_not_crossed_against_a_part(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2)
    first = stage.enter()
    second = stage.enter(again=True)
    by_rule(stage, first, kind="kill_switch", share=50.0)
    by_rule(stage, second, kind="kill_switch")
    stage.until(lambda: stage.run(second).state == "closed")
    done(stage, first)
    assert stage.broker().net == {CALL: -LOT, PUT: -LOT}


# ── what a person may say ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"run_id": "1"}, "run: '1' is not a whole number"),
        ({"run_id": True}, "run: True is not a whole number"),
        ({"account_ids": ["1"]}, "accounts: '1' is not a whole number"),
        ({"account_ids": [1.0]}, "accounts: 1.0 is not a whole number"),
        ({"account_ids": 1}, "accounts: 1 is no list"),
        ({"account_ids": [7]}, "has no account 7"),
        ({"leg_indexes": []}, "legs: choose at least one leg"),
        ({"leg_indexes": [True]}, "legs: True is not a whole number"),
        ({"leg_indexes": ["2"]}, "legs: '2' is not a whole number"),
        ({"leg_indexes": [0]}, "legs: 0 is not above 0"),
        ({"leg_indexes": [3]}, "has no leg 3"),
        ({"leg_indexes": "12"}, "legs: '12' is no list"),
        ({"share": 0}, "share: 0 is not above 0"),
        ({"share": -5}, "share: -5 is not above 0"),
        ({"share": 100.5}, "share: 100.5 is not above 0"),
        ({"share": True}, "share: True is no number"),
        ({"share": "50"}, "share: '50' is no number"),
        ({"share": float("nan")}, "share: nan is not above 0"),
    ],
)
def test_part_that_makes_no_sense_is_refused_with_its_field(
    tmp_path: Path, payload: dict[str, Any], words: str
) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    assert words in close(stage, payload.pop("run_id", run), **payload)
    stage.play(1)
    assert (stage.plans(run), exits(stage)) == ([], [])
