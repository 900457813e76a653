"""Exit plans second by second: one per key, wider ones take narrower ones in, and what they wait for (RULES 7)."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from engine.broker.answers import Placed, Refused
from engine.domain.instruments import Action
from engine.domain.orders import Order
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

CALL_ONLY = (("SELL", "CE", "atm", 0.0),)


def exits(stage: Stage, account: int = 1) -> list[Order]:
    return [order for order in stage.hands[account].sent if order.purpose == "exit"]


def closed(stage: Stage, run: int, seconds: float = 60.0) -> None:
    stage.until(lambda: stage.run(run).state == "closed", seconds)
    for hands in stage.hands.values():
        assert hands.broker.net == {}


def close(stage: Stage, run: int, *accounts: int) -> None:
    stage.command("close_run", {"run_id": run, "account_ids": list(accounts)})


def plans(stage: Stage, run: int) -> list[tuple[list[int], str]]:
    return [(list(plan.account_ids), str(plan.state)) for plan in stage.plans(run)]


# ── one plan per key ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_wider_plan_takes_the_narrower_one_in_with_its_order_in_flight(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, legs=CALL_ONLY)
    run = stage.enter()
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change
    close(stage, run, 1)
    stage.until(lambda: exits(stage, 1))
    stage.command("halt")
    stage.until(lambda: stage.broker(2).net == {}, 20)
    stage.play(5)
    assert len(exits(stage, 1)) == 1, "the order in flight counts"
    assert plans(stage, run) == [([1], "absorbed"), ([], "active")]
    stage.broker(1).fill(str(list(stage.broker(1).orders)[-1]), LOT)
    closed(stage, run)
    assert len(stage.broker(1).orders) == 2
    assert [order.exit_plan_id for order in stage.orders(run) if order.purpose == "exit"] == [1, 2]


def test_wider_plan_does_not_double_an_order_without_an_answer(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, legs=CALL_ONLY)
    run = stage.enter()
    stage.hands[1].placements = [fill_in_silence]
    close(stage, run, 1)
    stage.until(lambda: exits(stage, 1))
    stage.command("halt")
    closed(stage, run)
    assert len(stage.broker(1).orders) == 2


def test_overlapping_plan_keeps_every_account_of_the_one_it_takes_in(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=3, legs=CALL_ONLY)
    run = stage.enter()
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change
    close(stage, run, 1, 2)
    stage.until(lambda: exits(stage, 1))
    stage.broker(1).end(list(stage.broker(1).orders)[-1], "cancelled")
    stage.hands[1].usual = fill_at_once
    close(stage, run, 2, 3)
    closed(stage, run)


def test_the_same_exit_ordered_twice_is_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change
    stage.close(run)
    stage.close(run)
    stage.command("halt")
    stage.play(3)
    assert len(exits(stage)) == 2
    assert len(stage.plans(run)) == 1


def test_failure_of_an_absorbed_plans_order_is_told_by_the_wider_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, legs=CALL_ONLY)
    run = stage.enter()
    stage.hands[1].placements = [take_only]
    close(stage, run, 1)
    stage.until(lambda: exits(stage, 1))
    stage.command("halt")
    stage.step()
    stage.broker(1).end(list(stage.broker(1).orders)[-1], "rejected", "no margin")
    closed(stage, run)
    assert [event.kind for event in stage.events() if "no margin" in event.message] == ["kill_switch"]


# ── order of things ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_entry_that_rests_is_cancelled_before_anything_is_sold_or_bought_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2)
    stage.arm()
    hands = stage.hands[1]

    def half(hands: FakeHands, order: Order) -> Placed:
        return Placed(hands.broker.take(instrument(order.symbol), order.action, order.quantity, fills=LOT))

    hands.placements = [half]
    hands.silent.add("cancel")
    stage.execute()
    stage.until(lambda: len(hands.sent) == 2)
    stage.step()
    close(stage, 1)
    stage.play(4)
    resting = hands.sent[0].symbol
    assert resting not in [order.symbol for order in exits(stage)], "its entry may still fill"
    hands.silent.clear()
    closed(stage, 1)
    assert [order.quantity for order in exits(stage) if order.symbol == resting] == [LOT]


def test_bought_leg_is_sold_only_when_no_sold_leg_of_its_account_is_open(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, accounts=2)
    run = stage.enter()
    stage.hands[1].placements, stage.hands[1].modifies = [take_only, take_only], take_change
    stage.close(run)
    stage.until(lambda: stage.broker(2).net == {}, 20)
    stage.play(5)
    assert stage.broker(1).net == {CALL: -LOT, PUT: -LOT, HEDGE: LOT}
    rows = list(stage.broker(1).orders)[3:]
    stage.broker(1).fill(rows[0], LOT)
    stage.play(5)
    assert HEDGE in stage.broker(1).net
    stage.broker(1).fill(rows[1], LOT)
    closed(stage, run)


# ── books ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def no_books(stage: Stage) -> None:
    stage.hands[1].books_now = lambda: None


def test_first_exit_goes_at_once_on_books_of_the_last_five_seconds(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=CALL_ONLY)
    run = stage.enter()
    stage.play(4)
    no_books(stage)
    stage.play(2)
    stage.close(run)
    stage.step()
    assert len(exits(stage)) == 1
    assert stage.events("unverified") == []


def test_first_exit_waits_a_second_for_books_and_then_goes_unverified(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=CALL_ONLY)
    run = stage.enter()
    stage.play(4)
    no_books(stage)
    stage.play(10)
    stage.close(run)
    stage.play(0.9)
    assert exits(stage) == []
    stage.play(0.4)
    assert len(exits(stage)) == 1
    assert stage.broker().net == {}
    assert len(stage.events("unverified")) == 1
    assert stage.run(run).state == "exiting", "flat only when books say so"
    stage.hands[1].books_now = None
    closed(stage, run)


def test_books_that_come_within_the_second_are_taken(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=CALL_ONLY)
    run = stage.enter()
    stage.play(4)
    no_books(stage)
    stage.play(10)
    stage.broker().take(instrument(CALL), Action.BUY, LOT)  # closed by hand, and no book tells
    stage.close(run)
    stage.play(0.3)
    stage.hands[1].books_now = None
    closed(stage, run)
    assert exits(stage) == []


def test_later_exit_needs_books_begun_after_the_last_event(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=CALL_ONLY)
    run = stage.enter()
    stage.play(4)

    def refuse(hands: FakeHands, _order: Order) -> Refused:
        hands.books_now = lambda: None
        return Refused("no margin", 400)

    stage.hands[1].placements = [refuse]
    stage.close(run)
    stage.until(lambda: exits(stage))
    stage.play(2.5)
    assert len(exits(stage)) == 1
    stage.play(1.5)
    assert len(exits(stage)) == 2, "after 3 s own fills decide"
    assert len(stage.events("unverified")) == 1


def test_unverified_is_told_once_for_all_legs(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(4)
    no_books(stage)
    stage.play(10)
    stage.close(run)
    stage.play(30)
    assert len(exits(stage)) == 2
    assert stage.broker().net == {}
    assert len(stage.events("unverified")) == 1


def test_without_books_for_a_minute_nothing_goes_and_it_is_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=CALL_ONLY)
    run = stage.enter()
    stage.play(4)
    no_books(stage)
    stage.play(62)
    stage.close(run)
    stage.play(75)
    assert exits(stage) == []
    assert len(stage.events("exit_blocked")) == 2
    stage.hands[1].books_now = None
    closed(stage, run)


def test_drift_in_the_last_books_keeps_an_exit_from_going_unverified(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=CALL_ONLY, lots=2)
    run = stage.enter()
    stage.play(4)
    broker = stage.broker()
    broker.price[CALL] = 0.0  # a trade without a price explains nothing yet
    broker.take(instrument(CALL), Action.BUY, LOT)
    broker.price[CALL] = 150.0
    stage.until(lambda: stage.world.accounts[1].drift_since, 5)
    no_books(stage)
    stage.play(8)
    stage.close(run)
    stage.play(20)
    assert exits(stage) == []
    stage.hands[1].books_now = None
    closed(stage, run)
    assert [order.quantity for order in exits(stage)] == [LOT]


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rejected_exit_is_retried_with_back_off_and_told_once_a_minute_with_its_count(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=CALL_ONLY)
    run = stage.enter()
    at: list[float] = []

    def refuse(_hands: FakeHands, _order: Order) -> Refused:
        at.append(stage.clock.seconds)
        return Refused("no margin", 400)

    stage.hands[1].usual = refuse
    stage.close(run)
    stage.play(100)
    gaps = [after - before for before, after in pairwise(at)]
    for gap, least in zip(gaps, (0.5, 1, 2, 4, 8, 15, 15, 15), strict=False):
        assert least <= gap <= least + 1.2
    told = [event.message for event in stage.events() if "no margin" in event.message]
    assert len(told) == 2
    assert "failed in a row" in told[1]
    stage.hands[1].usual = fill_at_once
    closed(stage, run)


def test_exit_that_is_refused_over_night_is_not_asked_for_four_times_a_minute(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=CALL_ONLY, venue="live")
    run = stage.enter()
    stage.clock.pause(4.9 * 3600)  # 15:24 in India
    stage.play(3)
    stage.hands[1].usual = lambda _hands, _order: Refused("market is closed", 400)
    stage.close(run)
    stage.play(3600, by=2.0)  # past the close
    last_hour = [order for order in stage.orders(run) if order.purpose == "exit"]
    night = [one for one in last_hour if one.created_at > stage.clock.now() - timedelta(minutes=30)]
    assert 5 <= len(night) <= 7
    stage.hands[1].usual = fill_at_once
    stage.clock.pause(17.0 * 3600)  # 09:24 of the next morning
    stage.until(lambda: stage.broker().net == {}, 60)


def test_new_words_are_told_at_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=CALL_ONLY)
    run = stage.enter()
    stage.hands[1].placements = [lambda _h, _o: Refused("no margin", 400), lambda _h, _o: Refused("frozen", 400)]
    stage.close(run)
    closed(stage, run)
    assert [word for event in stage.events() for word in ("no margin", "frozen") if word in event.message] == [
        "no margin",
        "frozen",
    ]


@pytest.mark.parametrize("restart", [False, True])
def test_rejected_exit_stays_an_exit_over_a_restart(tmp_path: Path, restart: bool) -> None:
    stage = Stage(tmp_path, legs=CALL_ONLY)
    run = stage.enter()
    stage.hands[1].usual = lambda _h, _o: Refused("no margin", 400)
    stage.close(run)
    stage.play(20)
    if restart:
        stage.restart()
    stage.hands[1].usual = fill_at_once
    closed(stage, run)
    assert len(stage.plans(run)) == 1
