"""Entries that went wrong once, by name: the broker's books say what each account holds afterwards (RULES 4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.broker.answers import Placed
from engine.domain.instruments import Action
from engine.services.messages import Answered
from tests.integration.entry_stage import RUN, begin, entries, on, refuse, resting, row, sent
from tests.stage import CALL, FLY, HEDGE, LOT, PUT, Stage, instrument, lose, take_only

WHOLE = {CALL: -LOT, PUT: -LOT, HEDGE: LOT}
SLICE = 1_755
"""27 lots: the largest slice below the freeze quantity of 1,800."""


def closed(stage: Stage) -> None:
    stage.close(RUN)
    stage.until(lambda: stage.run(RUN).state == "closed", 60)
    for hands in stage.hands.values():
        assert hands.broker.net == {}


def test_hedge_rejected_on_one_account_of_three_stops_that_account_only(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=3, legs=FLY)
    stage.hands[2].usual = on((HEDGE, refuse))
    begin(stage)
    stage.until(lambda: stage.run(RUN).state == "open")
    assert [stage.broker(number).net for number in (1, 2, 3)] == [WHOLE, {}, WHOLE]
    assert sent(stage, 2) == [(HEDGE, "BUY", LOT)]
    assert (row(stage, 2).state, row(stage, 2).reason) == ("skipped", f"bought leg {HEDGE}: no margin")
    assert row(stage, 2).reserved_paise == 0
    closed(stage)


@pytest.mark.parametrize("policy", ["unwind", "hold"])
def test_second_slice_of_a_hedge_rejected_sends_no_sold_leg(tmp_path: Path, policy: str) -> None:
    stage = Stage(tmp_path, legs=FLY, lots=54, hedge_failure=policy)
    slices: list[int] = []

    def second_refused(hands: object, order: object) -> object:
        slices.append(order.quantity)  # type: ignore[attr-defined]
        return refuse(hands, order) if len(slices) == 2 else usual(hands, order)  # type: ignore[arg-type]

    usual = stage.hands[1].usual
    stage.hands[1].usual = second_refused  # type: ignore[assignment]
    begin(stage)
    if policy == "unwind":
        stage.until(lambda: stage.run(RUN).state == "closed", 60)
        assert sent(stage, purpose="exit") == [(HEDGE, "SELL", SLICE)]
        assert stage.broker().net == {}
    else:
        stage.until(lambda: stage.run(RUN).state == "open")
        assert stage.broker().net == {HEDGE: SLICE}
        assert [event.action for event in stage.events("entry_failed")] == ["alert_only"]
        closed(stage)
    assert sent(stage) == [(HEDGE, "BUY", SLICE)] * 2


@pytest.mark.parametrize("policy", ["unwind", "hold"])
def test_second_slice_of_a_sold_leg_rejected_holds_or_unwinds_the_account(tmp_path: Path, policy: str) -> None:
    stage = Stage(tmp_path, legs=(("SELL", "CE", "atm", 0.0),), lots=54, sold_leg_failure=policy)
    slices: list[int] = []

    def second_refused(hands: object, order: object) -> object:
        slices.append(order.quantity)  # type: ignore[attr-defined]
        return refuse(hands, order) if len(slices) == 2 else usual(hands, order)  # type: ignore[arg-type]

    usual = stage.hands[1].usual
    stage.hands[1].usual = second_refused  # type: ignore[assignment]
    begin(stage)
    if policy == "unwind":
        stage.until(lambda: stage.run(RUN).state == "closed", 60)
        assert sent(stage, purpose="exit") == [(CALL, "BUY", SLICE)]
        assert stage.broker().net == {}
    else:
        stage.until(lambda: stage.run(RUN).state == "open")
        assert stage.broker().net == {CALL: -SLICE}
        assert stage.ledger.runs[RUN].lots_filled == 27
        closed(stage)


def test_two_tabs_that_saw_the_same_runs_make_one_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    seen = {"strategy_id": stage.strategy, "version": 1, "seen_run_ids": [RUN], "again": True, "account_ids": None}
    first, second = stage.command("execute", seen), stage.command("execute", seen)
    stage.play(5)
    assert (stage.answer(first).state, stage.answer(second).state) == ("done", "refused")
    assert sorted(stage.ledger.runs) == [RUN, 2]
    assert stage.broker().net == {CALL: -2 * LOT, PUT: -2 * LOT}


@pytest.mark.parametrize("policy", ["unwind", "hold"])
def test_late_hedge_fill_after_the_time_out_leads_to_no_sold_leg(tmp_path: Path, policy: str) -> None:
    """It rests, its time is over, the cancellation is asked for and crosses the fill: nothing is sold against it."""
    stage = Stage(tmp_path, legs=FLY, hedge_failure=policy)
    stage.hands[1].usual = on((HEDGE, take_only))
    stage.hands[1].silent.add("cancel")
    begin(stage)
    stage.until(lambda: stage.hands[1].cancelled, 15)
    assert row(stage).state == "failing"
    stage.play(1)
    stage.broker().fill(resting(stage)[0], LOT)
    if policy == "unwind":
        stage.until(lambda: stage.run(RUN).state == "closed", 60)
        assert sent(stage, purpose="exit") == [(HEDGE, "SELL", LOT)]
        assert stage.broker().net == {}
    else:
        stage.until(lambda: stage.run(RUN).state == "open")
        assert stage.broker().net == {HEDGE: LOT}
        assert "not filled in time" in stage.events("entry_failed")[0].message
        closed(stage)
    assert sent(stage) == [(HEDGE, "BUY", LOT)]


def test_hedge_that_never_fills_is_cancelled_and_nothing_of_it_is_left_at_the_broker(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY)
    stage.hands[1].usual = on((HEDGE, take_only))
    begin(stage)
    stage.until(lambda: stage.run(RUN).state == "refused", 20)
    assert resting(stage) == []
    assert stage.broker().net == {}
    assert sent(stage) == [(HEDGE, "BUY", LOT)]
    assert "not filled in time" in stage.run(RUN).reason


def test_run_is_not_called_refused_while_an_order_of_it_may_still_fill(tmp_path: Path) -> None:
    """The server does not take the cancellation: the hedge rests on, and what fills of it is taken out."""
    stage = Stage(tmp_path, legs=FLY)
    stage.hands[1].usual = on((HEDGE, take_only))
    stage.hands[1].silent.add("cancel")
    begin(stage)
    stage.play(40)
    assert stage.run(RUN).state == "entering"
    assert len(stage.hands[1].cancelled) > 5
    stage.broker().fill(resting(stage)[0], LOT)
    stage.until(lambda: stage.run(RUN).state == "closed", 30)
    assert stage.broker().net == {}


def test_sold_leg_rejected_and_held_keeps_stops_live_and_leaves_with_what_is_held(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, limits={"max_loss": 1_000.0})
    stage.hands[1].usual = on((PUT, refuse))
    begin(stage)
    stage.until(lambda: stage.run(RUN).state == "open")
    assert stage.broker().net == {CALL: -LOT, HEDGE: LOT}
    assert [(event.kind, event.action) for event in stage.events()] == [("entry_failed", "alert_only")]
    stage.price(CALL, 200.0)
    stage.until(lambda: stage.run(RUN).state == "closed", 30)
    assert stage.broker().net == {}
    assert sent(stage, purpose="exit") == [(CALL, "BUY", LOT), (HEDGE, "SELL", LOT)]
    assert [event.kind for event in stage.events()] == ["entry_failed", "max_loss"]


def test_unknown_sold_leg_that_turns_out_filled_opens_the_run_whole(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, sold_leg_failure="unwind")
    stage.hands[1].usual = on((PUT, lose))
    begin(stage)
    stage.until(lambda: entries(stage, PUT) and entries(stage, PUT)[0].state == "unknown", 15)
    stage.play(60, by=0.5)  # far beyond every patience: nothing is decided about what is not known
    assert row(stage).state == "selling"
    assert stage.plans(RUN) == []
    assert stage.broker().net == {CALL: -LOT, HEDGE: LOT}
    orderid = stage.broker().take(instrument(PUT), Action.SELL, LOT)
    stage.inbox.put(Answered(entries(stage, PUT)[0].id, Placed(orderid)))
    stage.until(lambda: stage.run(RUN).state == "open")
    assert stage.broker().net == WHOLE
    assert row(stage).state == "entered"
    assert sent(stage).count((PUT, "SELL", LOT)) == 1
    closed(stage)
