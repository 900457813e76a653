"""An entry that a restart cut is not continued: what filled is held, or unwound once where it had failed (RULES 4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.entry_stage import RUN, begin, clip, entries, on, refuse, resting, row, sent
from tests.stage import CALL, FLY, HEDGE, LOT, PUT, Stage, fill_in_silence, lose, take_only

TWO_HEDGES = (("BUY", "CE", "otm", 10.0), ("BUY", "PE", "atm", 0.0), ("SELL", "CE", "atm", 0.0))
FAR = {CALL, PUT, HEDGE}


def closed(stage: Stage) -> None:
    stage.until(lambda: stage.run(RUN).state == "closed", 60)
    for hands in stage.hands.values():
        assert hands.broker.net == {}


def test_restart_between_hedges_and_sold_legs_holds_the_hedges_and_sells_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, limits={"max_loss": 500.0})
    stage.hands[1].usual = on((HEDGE, take_only))
    begin(stage)
    stage.until(lambda: resting(stage))
    stage.broker().fill(resting(stage)[0], LOT)
    stage.restart()
    stage.until(lambda: stage.run(RUN).state == "open", 30)
    stage.play(20)
    assert stage.hands[1].sent == []
    assert stage.broker().net == {HEDGE: LOT}
    assert "restarted during the entry" in row(stage).reason
    assert [event.action for event in stage.events("entry_failed")] == ["alert_only"]
    stage.price(HEDGE, 5.0)  # its stops are live
    closed(stage)


def test_restart_with_every_order_sent_and_found_filled_opens_the_run_whole(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.hands[1].usual = on((PUT, fill_in_silence))
    begin(stage)
    stage.until(lambda: len(entries(stage, PUT)) == 1 and entries(stage, PUT)[0].state == "sending", by=0.05)
    stage.restart()
    stage.until(lambda: stage.run(RUN).state == "open", 30)
    assert stage.hands[1].sent == []
    assert stage.broker().net == {CALL: -LOT, PUT: -LOT}
    assert stage.events("entry_failed") == []
    assert row(stage).reason == ""


def test_hedge_that_rests_at_a_restart_is_cancelled_at_its_time_out(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=TWO_HEDGES, lots=2)
    stage.hands[1].usual = on((PUT, clip(LOT)))
    begin(stage)
    stage.until(lambda: resting(stage))
    stage.restart()
    closed(stage)
    assert resting(stage) == []
    assert sent(stage) == []
    assert sorted(sent(stage, purpose="exit")) == [(PUT, "SELL", LOT), (HEDGE, "SELL", 2 * LOT)]


def test_restart_while_the_failed_entry_is_taken_back_unwinds_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, legs=FLY, lots=2)
    stage.hands[2].usual = on((HEDGE, clip(LOT)))
    stage.hands[2].silent.add("cancel")
    begin(stage)
    stage.until(lambda: row(stage, 2).state == "failing", 30)
    stage.restart()
    assert row(stage, 2).state == "failing"
    stage.play(5)
    stage.hands[2].silent.discard("cancel")
    stage.until(lambda: row(stage, 2).state == "flat", 60)
    assert sent(stage, 2, "exit") == [(HEDGE, "SELL", LOT)]
    assert sent(stage, 2) == []
    assert sent(stage, 1, "exit") == []
    assert stage.broker(2).net == {}
    assert len(stage.broker(1).net) == 3
    assert len(stage.plans(RUN)) == 1


@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.3, 0.6, 1.0, 2.0])
def test_restart_at_any_moment_of_the_unwinding_unwinds_exactly_what_filled(tmp_path: Path, seconds: float) -> None:
    """Sold legs first, through the account that holds them, once."""
    stage = Stage(tmp_path, accounts=2, legs=FLY, lots=2, sold_leg_failure="unwind")
    stage.hands[2].usual = on((PUT, refuse))
    begin(stage)
    stage.until(lambda: stage.plans(RUN), 30, by=0.05)
    stage.play(seconds, by=0.05)
    before = sent(stage, 2, "exit")
    stage.restart()
    stage.until(lambda: row(stage, 2).state == "flat", 60)
    exits = [*before, *sent(stage, 2, "exit")]
    assert stage.broker(2).net == {}
    filled = [row for row in stage.orders(RUN) if row.purpose == "exit" and row.filled_quantity]
    assert [(order.account_id, order.symbol, order.filled_quantity) for order in filled] == [
        (2, CALL, 2 * LOT),
        (2, HEDGE, 2 * LOT),
    ]
    assert exits == [(CALL, "BUY", 2 * LOT), (HEDGE, "SELL", 2 * LOT)]
    assert sent(stage, 1, "exit") == []
    assert set(stage.broker(1).net) == FAR


def test_unknown_sold_leg_over_a_restart_is_looked_up_and_never_sent_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, quiet_unanswered=20.0)
    stage.hands[1].usual = on((PUT, lose))
    begin(stage)
    stage.until(lambda: entries(stage, PUT) and entries(stage, PUT)[0].state in {"sending", "unknown"}, by=0.05)
    stage.restart()
    stage.until(lambda: stage.run(RUN).state == "open", 60)
    assert entries(stage, PUT)[0].state == "not_received"
    assert stage.hands[1].sent == []
    assert stage.broker().net == {CALL: -LOT, HEDGE: LOT}
    assert [event.action for event in stage.events("entry_failed")] == ["alert_only"]
