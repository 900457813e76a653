"""Hedges first, sold legs after, and what becomes of an account whose entry fails on the way (RULES 4)."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from engine.broker.answers import ChangeOutcome, NotSent, Placed, PlacementOutcome, RateLimited
from engine.domain.day_limits import DayLimits
from engine.domain.instruments import Action
from engine.domain.orders import Order
from engine.services.messages import Answered, CancelAnswered, Probed
from tests.integration.entry_stage import RUN, begin, clip, entries, limited, on, refuse, resting, row, sent
from tests.stage import CALL, FLY, HEDGE, LOT, PUT, FakeHands, Stage, fail, fill_at_once, instrument, lose, take_only

TWO_HEDGES = (("BUY", "CE", "otm", 10.0), ("BUY", "PE", "atm", 0.0), ("SELL", "CE", "atm", 0.0))


def closed(stage: Stage) -> None:
    stage.until(lambda: stage.run(RUN).state == "closed", 60)
    for hands in stage.hands.values():
        assert hands.broker.net == {}


def not_sent(_hands: FakeHands, _order: Order) -> PlacementOutcome:
    return NotSent("no route")


# ── hedges ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sold_legs_wait_until_every_bought_leg_is_filled(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=TWO_HEDGES)
    stage.hands[1].usual = on((PUT, take_only))
    begin(stage)
    stage.play(8)
    assert sent(stage) == [(HEDGE, "BUY", LOT), (PUT, "BUY", LOT)]
    stage.broker().fill(resting(stage)[0], LOT)
    stage.until(lambda: stage.run(RUN).state == "open")
    assert stage.broker().net == {HEDGE: LOT, PUT: LOT, CALL: -LOT}


def test_hedge_that_failed_unwinds_what_filled_there_once_and_through_that_account(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, legs=TWO_HEDGES)
    stage.hands[2].usual = on((PUT, refuse))
    begin(stage)
    stage.until(lambda: row(stage, 2).state == "flat", 30)
    assert stage.broker(2).net == {}
    assert sent(stage, 2, "exit") == [(HEDGE, "SELL", LOT)]
    assert sent(stage, 1, "exit") == []
    assert stage.broker(1).net == {HEDGE: LOT, PUT: LOT, CALL: -LOT}
    assert stage.run(RUN).state == "open"
    assert [(plan.reason, plan.account_ids, plan.state) for plan in stage.plans(RUN)] == [("entry_failed", [2], "done")]


def test_hedge_partly_filled_and_cancelled_by_the_broker_is_unwound(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, lots=3)
    stage.hands[1].usual = on((HEDGE, clip(LOT)))
    begin(stage)
    stage.until(lambda: resting(stage))
    stage.broker().end(resting(stage)[0], "cancelled", "by the exchange")
    closed(stage)
    assert sent(stage) == [(HEDGE, "BUY", 3 * LOT)]
    assert sent(stage, purpose="exit") == [(HEDGE, "SELL", LOT)]


@pytest.mark.parametrize("seconds", [3.0, 25.0])
def test_time_of_a_hedge_is_that_of_the_strategy(tmp_path: Path, seconds: float) -> None:
    stage = Stage(tmp_path, legs=FLY, hedge_seconds=seconds)
    stage.hands[1].usual = on((HEDGE, take_only))
    begin(stage)
    stage.until(lambda: resting(stage), by=0.05)
    begun = stage.clock.seconds
    stage.until(lambda: stage.hands[1].cancelled, 40)
    assert stage.clock.seconds - begun == pytest.approx(seconds, abs=0.5)
    stage.until(lambda: stage.run(RUN).state == "refused")
    assert sent(stage) == [(HEDGE, "BUY", LOT)]


def test_hedge_of_unknown_fate_is_decided_about_only_when_it_is_known(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=TWO_HEDGES, quiet_unanswered=40.0)
    stage.hands[1].usual = on((PUT, fail))
    begin(stage)
    stage.play(35, by=0.5)
    assert row(stage).state == "failing"
    assert stage.plans(RUN) == []
    assert stage.broker().net == {HEDGE: LOT}
    closed(stage)
    assert len(entries(stage, PUT)) == 1  # what is unknown is never sent again
    assert entries(stage, CALL) == []


# ── what never reached the exchange is tried again ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("miss", [not_sent, limited])
def test_what_never_reached_the_exchange_is_tried_again(tmp_path: Path, miss: object) -> None:
    stage = Stage(tmp_path, legs=FLY)
    stage.hands[1].usual = on((HEDGE, miss), (HEDGE, miss), (PUT, miss))  # type: ignore[arg-type]
    begin(stage)
    stage.until(lambda: stage.run(RUN).state == "open")
    assert stage.broker().net == {CALL: -LOT, PUT: -LOT, HEDGE: LOT}
    assert sent(stage).count((HEDGE, "BUY", LOT)) == 3


def test_what_the_limit_of_requests_turned_away_is_sent_again_after_a_second(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY)
    stage.hands[1].usual = on((HEDGE, limited))
    begin(stage)
    stage.until(lambda: len(entries(stage, HEDGE)) == 2, by=0.05)
    first, second = entries(stage, HEDGE)
    assert (second.created_at - first.updated_at).total_seconds() >= 1.0


@pytest.mark.parametrize("miss", [not_sent, limited])
def test_after_three_attempts_it_has_failed(tmp_path: Path, miss: object) -> None:
    stage = Stage(tmp_path, legs=FLY)
    stage.hands[1].usual = on(*[(HEDGE, miss)] * 9)  # type: ignore[list-item]
    begin(stage)
    stage.until(lambda: stage.run(RUN).state == "refused", 20)
    assert sent(stage) == [(HEDGE, "BUY", LOT)] * 3


def test_nothing_is_tried_again_once_another_hedge_has_failed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=TWO_HEDGES)
    stage.hands[1].usual = on((HEDGE, refuse), (PUT, not_sent))
    begin(stage)
    stage.until(lambda: stage.run(RUN).state == "refused", 20)
    assert sorted(sent(stage)) == [(PUT, "BUY", LOT), (HEDGE, "BUY", LOT)]


# ── sold legs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sold_leg_rejected_unwinds_that_account_sold_legs_first(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, legs=FLY, sold_leg_failure="unwind")
    stage.hands[2].usual = on((PUT, refuse))
    begin(stage)
    stage.until(lambda: row(stage, 2).state == "flat", 30)
    assert sent(stage, 2, "exit") == [(CALL, "BUY", LOT), (HEDGE, "SELL", LOT)]
    assert stage.broker(2).net == {}
    assert stage.broker(1).net == {CALL: -LOT, PUT: -LOT, HEDGE: LOT}
    # what is unwound sets no limit: V is that of the account that stays
    assert stage.ledger.runs[RUN].premium_value_paise == (150 + 120 - 20) * LOT * 100


def test_sold_leg_rejected_while_another_rests_takes_that_one_back_before_it_unwinds(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, sold_leg_failure="unwind")
    stage.hands[1].usual = on((CALL, take_only), (PUT, refuse))
    begin(stage)
    closed(stage)
    assert resting(stage) == []
    assert sent(stage, purpose="exit") == [(HEDGE, "SELL", LOT)]


def test_slice_of_a_sold_leg_of_unknown_fate_keeps_the_account_as_it_is(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=(("SELL", "CE", "atm", 0.0),), lots=54, sold_leg_failure="unwind")
    stage.hands[1].placements = [fill_at_once, lose]
    begin(stage)
    stage.play(100, by=0.5)
    assert (row(stage).state, stage.run(RUN).state) == ("selling", "entering")
    assert stage.plans(RUN) == []
    assert stage.broker().net == {CALL: -27 * LOT}


def test_stops_are_live_while_the_account_still_enters(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 1_000.0})
    stage.hands[1].usual = on((PUT, lose))
    begin(stage)
    stage.until(lambda: stage.broker().net == {CALL: -LOT})
    assert stage.run(RUN).state == "entering"
    stage.price(CALL, 200.0)
    stage.until(lambda: not stage.broker().net, 10)
    assert [event.kind for event in stage.events("max_loss")] == ["max_loss"]


def test_limit_per_lot_counts_the_lots_filled_so_far_while_the_account_still_enters(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2, limits={"max_loss": 1_000.0, "max_loss_unit": "per_lot"})
    stage.hands[1].usual = on((PUT, lose))
    begin(stage)
    stage.until(lambda: stage.broker().net == {CALL: -2 * LOT})
    stage.price(CALL, 150.0 + 1_000.0 / LOT - 1)
    stage.play(3)
    assert stage.plans(RUN) == []
    stage.price(CALL, 150.0 + 1_000.0 / LOT + 1)
    stage.until(lambda: not stage.broker().net, 10)
    assert stage.events("max_loss")[0].threshold_paise == -2 * 100_000


# ── a person, a halt and a server in the middle of it ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", ["close_run", "halt"])
def test_exit_in_the_middle_of_buying_takes_everything_back_and_sells_nothing(tmp_path: Path, order: str) -> None:
    stage = Stage(tmp_path, legs=TWO_HEDGES, lots=2)
    stage.hands[1].usual = on((PUT, clip(LOT)))
    begin(stage)
    stage.until(lambda: stage.broker().net == {HEDGE: 2 * LOT, PUT: LOT})
    stage.command(order, {"run_id": RUN} if order == "close_run" else None)
    closed(stage)
    assert resting(stage) == []
    assert entries(stage, CALL) == []
    assert sorted(sent(stage, purpose="exit")) == [(PUT, "SELL", LOT), (HEDGE, "SELL", 2 * LOT)]


@pytest.mark.parametrize("order", ["close_run", "halt"])
def test_exit_in_the_middle_of_selling_leaves_with_what_is_held(tmp_path: Path, order: str) -> None:
    stage = Stage(tmp_path, legs=FLY, lots=2)
    stage.hands[1].usual = on((PUT, clip(LOT)))
    begin(stage)
    stage.until(lambda: len(stage.broker().net) == 3)
    stage.command(order, {"run_id": RUN} if order == "close_run" else None)
    closed(stage)
    assert resting(stage) == []
    exits = sent(stage, purpose="exit")
    assert sorted(exits[:2]) == [(CALL, "BUY", 2 * LOT), (PUT, "BUY", LOT)]
    assert exits[2:] == [(HEDGE, "SELL", 2 * LOT)]


def test_one_account_closed_while_its_hedge_rests_leaves_no_order_behind(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY)
    stage.hands[1].usual = on((HEDGE, take_only))
    begin(stage)
    stage.until(lambda: resting(stage))
    stage.command("close_run", {"run_id": RUN, "account_ids": [1]})
    stage.until(lambda: stage.run(RUN).state in {"refused", "closed"}, 20)
    assert resting(stage) == []
    assert row(stage).state == "flat"


@pytest.mark.parametrize(("filled", "net"), [(0, {}), (LOT, {})])
def test_entries_halted_in_the_middle_send_no_sold_leg(tmp_path: Path, filled: int, net: dict[str, int]) -> None:
    stage = Stage(tmp_path, legs=FLY, lots=2)
    stage.hands[1].usual = on((HEDGE, clip(filled)))
    begin(stage)
    stage.until(lambda: resting(stage))
    halt = DayLimits(owner_id=1, halted_at=stage.clock.now(), reason="a daily limit")
    stage.ledger.limits[1, None] = halt
    stage.until(lambda: stage.run(RUN).state in {"refused", "closed"}, 30)
    assert stage.broker().net == net
    assert resting(stage) == []
    assert sent(stage) == [(HEDGE, "BUY", 2 * LOT)]
    assert "halted" in row(stage).reason


def test_account_that_may_not_enter_any_more_gives_up_what_was_not_sent(tmp_path: Path) -> None:
    """What is armed again minutes later must not send the rest of an entry of long ago."""
    stage = Stage(tmp_path, legs=FLY)
    stage.broker().mode = "live"  # only there a server queues for approval
    stage.hands[1].usual = on((HEDGE, take_only))
    begin(stage)
    stage.until(lambda: resting(stage))
    stage.broker().semi_auto = True
    stage.inbox.put(Probed(1, semi_auto=True))
    stage.broker().fill(resting(stage)[0], LOT)
    stage.until(lambda: stage.run(RUN).state == "open", 30)
    assert "was not sent: it waited for" in stage.events("entry_failed")[0].message
    assert "semi-auto" in stage.events("entry_failed")[0].message
    stage.broker().semi_auto = False
    stage.until(lambda: stage.world.accounts[1].armed, 120)
    stage.play(20)
    assert stage.broker().net == {HEDGE: LOT}
    assert sent(stage) == [(HEDGE, "BUY", LOT)]


def test_working_order_that_comes_back_after_the_entry_ended_is_cancelled(tmp_path: Path) -> None:
    """It was called not received; a late answer names it after all, and it rests at the broker."""
    stage = Stage(tmp_path, quiet_unanswered=5.0)
    stage.hands[1].usual = on((PUT, fail))
    begin(stage)
    stage.until(lambda: stage.run(RUN).state == "open", 60)
    assert entries(stage, PUT)[0].state == "not_received"
    orderid = stage.broker().take(instrument(PUT), Action.SELL, LOT, fills=0)
    stage.inbox.put(Answered(entries(stage, PUT)[0].id, Placed(orderid)))
    stage.until(lambda: not resting(stage), 10)
    assert stage.broker().net == {CALL: -LOT}


@pytest.mark.parametrize("outcome", [RateLimited("too many requests"), NotSent("no route")])
def test_cancellation_that_does_not_reach_the_broker_is_asked_for_again_every_two_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: ChangeOutcome
) -> None:
    stage = Stage(tmp_path, legs=FLY)
    hands = stage.hands[1]
    hands.usual = on((HEDGE, take_only))
    asked: list[float] = []

    def turned_away(order: Order) -> None:
        asked.append(stage.clock.seconds)
        stage.inbox.put(CancelAnswered(order.id, outcome))

    cancel = hands.cancel
    monkeypatch.setattr(hands, "cancel", turned_away)
    begin(stage)
    stage.until(lambda: len(asked) == 4, 30)
    assert [round(later - earlier) for earlier, later in itertools.pairwise(asked)] == [2, 2, 2]
    monkeypatch.setattr(hands, "cancel", cancel)
    stage.until(lambda: stage.run(RUN).state == "refused", 10)
    assert resting(stage) == []
