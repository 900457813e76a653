"""Legs that enter at a limit: the price of the one reading, its time-out, and never two orders alive for one slice."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.domain.instruments import Action
from engine.domain.orders import Order
from engine.services.views import PreviewView
from tests.integration.entry_stage import RUN, begin, clip, entries, on, refuse, resting, row, sent
from tests.stage import CALL, FLY, HEDGE, LOT, PUT, FakeHands, Stage, fail, fill_at_once, instrument, take_only

ONE = (("SELL", "CE", "atm", 0.0),)
MID = 100.0


def prices(stage: Stage) -> dict[str, tuple[str, float]]:
    return {order.symbol: (str(order.price_type), order.price) for order in stage.hands[1].sent}


def limit_rests(hands: FakeHands, order: Order) -> Any:
    """Limit orders rest; what goes at market fills."""
    return take_only(hands, order) if order.price else fill_at_once(hands, order)


# ── the price ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_limit_is_the_mid_better_for_us_by_the_offset_and_legs_at_market_stay_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, offsets={1: 0.5, 3: 0.52})
    stage.enter()
    assert prices(stage) == {CALL: ("LIMIT", MID + 0.5), PUT: ("MARKET", 0.0), HEDGE: ("LIMIT", 99.45)}


def test_preview_shows_the_limits_that_are_sent(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, lots=54, offsets={1: 0.5, 3: 0.0})
    stage.hands[1].touch = (99.9, 100.15)
    stage.arm()
    asked = stage.command("preview", {"strategy_id": stage.strategy, "version": 1, "account_ids": None})
    stage.until(lambda: stage.answer(asked).state == "done")
    preview = PreviewView.model_validate(stage.answer(asked).outcome["preview"])
    shown = [
        (order.symbol, order.action, order.quantity, order.price or 0.0)
        for account in preview.accounts
        for order in account.orders
    ]
    assert {leg.symbol: leg.limit_price for leg in preview.legs} == {CALL: 100.55, PUT: None, HEDGE: 100.0}
    stage.enter()
    went = [(order.symbol, str(order.action), order.quantity, order.price) for order in stage.hands[1].sent]
    assert sorted(went) == sorted(shown)


@pytest.mark.parametrize(
    ("touch", "why"),
    [((None, 100.1), "no bid"), ((99.9, None), "no ask"), ((0.0, 100.1), "no bid"), ((0.05, 0.1), "leaves no price")],
)
def test_without_a_limit_nothing_is_sent_and_preview_and_run_say_why(
    tmp_path: Path, touch: tuple[float | None, float | None], why: str
) -> None:
    stage = Stage(tmp_path, legs=FLY, offsets={3: 0.5})
    stage.hands[1].touch = touch
    stage.arm()
    asked = stage.command("preview", {"strategy_id": stage.strategy, "version": 1, "account_ids": None})
    stage.until(lambda: stage.answer(asked).state == "done")
    account = stage.answer(asked).outcome["preview"]["accounts"][0]
    assert why in account["reason"]
    assert account["orders"] == []
    begin(stage)
    stage.until(lambda: stage.run(RUN).state == "refused")
    assert why in stage.run(RUN).reason
    assert f"leg 3 {HEDGE}" in stage.run(RUN).reason
    assert stage.hands[1].sent == []


def test_limit_of_unknown_fate_claims_only_a_row_at_its_price(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE, offsets={1: 0.5})
    stage.hands[1].usual = on((CALL, fail))
    begin(stage)
    stage.until(lambda: entries(stage, CALL) and entries(stage, CALL)[0].state == "unknown")
    somebody = stage.broker().take(instrument(CALL), Action.SELL, LOT, limit=MID + 0.55)
    stage.play(3)
    assert entries(stage, CALL)[0].state == "unknown"
    ours = stage.broker().take(instrument(CALL), Action.SELL, LOT, limit=MID + 0.5)
    stage.until(lambda: stage.run(RUN).state == "open")
    assert somebody != entries(stage, CALL)[0].orderid == ours


# ── the time-out ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seconds", [2.0, 30.0, 90.0])
def test_limit_rests_for_the_seconds_of_the_strategy(tmp_path: Path, seconds: float) -> None:
    stage = Stage(tmp_path, legs=ONE, offsets={1: 0.5}, limit_seconds=seconds)
    stage.hands[1].usual = take_only
    begin(stage)
    stage.until(lambda: resting(stage), by=0.05)
    begun = stage.clock.seconds
    stage.until(lambda: stage.hands[1].cancelled, 120)
    assert stage.clock.seconds - begun == pytest.approx(seconds, abs=0.5)
    stage.until(lambda: stage.run(RUN).state == "refused")
    assert (len(stage.hands[1].sent), resting(stage)) == (1, [])


@pytest.mark.parametrize("policy", ["hold", "unwind"])
def test_remainder_given_up_at_the_time_out_counts_as_a_sold_leg_that_failed(tmp_path: Path, policy: str) -> None:
    stage = Stage(tmp_path, legs=FLY, lots=3, offsets={1: 0.5}, sold_leg_failure=policy)
    stage.hands[1].usual = on((CALL, clip(LOT)))
    begin(stage)
    stage.play(25)
    assert row(stage).state == "selling"
    if policy == "hold":
        stage.until(lambda: stage.run(RUN).state == "open")
        assert stage.broker().net == {CALL: -LOT, PUT: -3 * LOT, HEDGE: 3 * LOT}
        stage.close(RUN)
    stage.until(lambda: stage.run(RUN).state == "closed", 60)
    assert stage.broker().net == {}
    assert len(entries(stage, CALL)) == 1


def test_hedge_at_a_limit_given_up_at_its_time_out_sends_no_sold_leg(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, lots=3, offsets={3: 0.5}, hedge_seconds=3.0, limit_seconds=20.0)
    stage.hands[1].usual = on((HEDGE, clip(LOT)))
    begin(stage)
    stage.play(18)
    assert row(stage).state == "buying"  # the limit's own time, not that of hedges at market
    stage.until(lambda: stage.run(RUN).state == "closed", 60)
    assert sent(stage) == [(HEDGE, "BUY", 3 * LOT)]
    assert sent(stage, purpose="exit") == [(HEDGE, "SELL", LOT)]


def test_remainder_goes_at_market_once_the_limit_has_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, lots=3, offsets={1: 0.5, 3: 0.5}, limit_timeout="market")
    stage.hands[1].usual = on((HEDGE, clip(LOT)), (CALL, clip(2 * LOT)))
    begin(stage)
    stage.until(lambda: stage.run(RUN).state == "open", 120)
    assert stage.broker().net == {CALL: -3 * LOT, PUT: -3 * LOT, HEDGE: 3 * LOT}
    assert [(o.price_type, o.quantity, o.filled_quantity, o.state) for o in entries(stage, HEDGE)] == [
        ("LIMIT", 3 * LOT, LOT, "cancelled"),
        ("MARKET", 2 * LOT, 2 * LOT, "filled"),
    ]
    assert [(o.price_type, o.quantity) for o in entries(stage, CALL)] == [("LIMIT", 3 * LOT), ("MARKET", LOT)]


def test_limit_rejected_or_cancelled_by_the_broker_does_not_go_at_market(tmp_path: Path) -> None:
    stage = Stage(tmp_path, offsets={1: 0.5, 2: 0.5}, limit_timeout="market")
    stage.hands[1].usual = on((CALL, refuse), (PUT, take_only))
    begin(stage)
    stage.until(lambda: resting(stage))
    stage.broker().end(resting(stage)[0], "cancelled", "by the exchange")
    stage.until(lambda: stage.run(RUN).state == "refused")
    assert len(stage.hands[1].sent) == 2


def test_cancellation_that_nobody_answers_keeps_everything_else_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE, offsets={1: 0.5}, limit_seconds=5.0, limit_timeout="market")
    stage.hands[1].usual = limit_rests
    stage.hands[1].silent.add("cancel")
    begin(stage)
    stage.play(60)
    assert len(stage.hands[1].sent) == 1
    assert len(stage.hands[1].cancelled) > 10
    assert row(stage).state == "selling"
    stage.hands[1].silent.discard("cancel")
    stage.until(lambda: stage.run(RUN).state == "open", 10)
    assert stage.broker().net == {CALL: -LOT}


def test_fill_that_crosses_the_cancellation_leaves_nothing_for_the_market(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE, lots=2, offsets={1: 0.5}, limit_seconds=5.0, limit_timeout="market")
    stage.hands[1].usual = limit_rests
    stage.hands[1].silent.add("cancel")
    begin(stage)
    stage.until(lambda: stage.hands[1].cancelled)
    stage.broker().fill(resting(stage)[0], 2 * LOT)
    stage.until(lambda: stage.run(RUN).state == "open", 10)
    assert len(stage.hands[1].sent) == 1
    assert stage.broker().net == {CALL: -2 * LOT}


def test_push_that_knows_less_than_the_books_sends_only_what_the_books_leave(tmp_path: Path) -> None:
    """It calls the limit cancelled before the fill of its last moment shows: the rest waits for the books."""
    stage = Stage(tmp_path, legs=ONE, lots=3, offsets={1: 0.5}, limit_seconds=5.0, limit_timeout="market")
    stage.hands[1].usual = limit_rests
    stage.hands[1].silent.add("cancel")
    begin(stage)
    stage.until(lambda: stage.hands[1].cancelled)
    stage.hands[1].silent.add("books")
    stage.play(2)
    broker, orderid = stage.broker(), resting(stage)[0]
    broker.fill(orderid, LOT)
    broker.end(orderid, "cancelled")
    stage.push(1, replace(broker.orders[orderid], filled_quantity=None, average_price=None))
    stage.play(2)
    assert entries(stage, CALL)[0].state == "cancelled"
    assert len(stage.hands[1].sent) == 1
    stage.hands[1].silent.discard("books")
    stage.until(lambda: stage.run(RUN).state == "open", 30)
    assert [order.quantity for order in stage.hands[1].sent] == [3 * LOT, 2 * LOT]
    assert broker.net == {CALL: -3 * LOT}


def test_slices_of_a_limit_leg_time_out_each_by_itself(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=ONE, lots=60, offsets={1: 0.5}, limit_seconds=5.0, limit_timeout="market")
    stage.hands[1].placements = [fill_at_once, take_only, clip(LOT)]
    begin(stage)
    stage.until(lambda: stage.run(RUN).state == "open", 30)
    assert stage.broker().net == {CALL: -60 * LOT}
    assert [order.quantity for order in stage.hands[1].sent] == [27 * LOT, 27 * LOT, 6 * LOT, 27 * LOT, 5 * LOT]


@given(
    fills=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 3)), max_size=4),
    deaf=st.tuples(st.integers(0, 40), st.integers(0, 20)),
    lots=st.integers(1, 4),
)
@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.too_slow])
def test_however_a_limit_fills_the_slice_never_holds_more_than_its_size(
    fills: list[tuple[int, int]], deaf: tuple[int, int], lots: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), legs=ONE, lots=lots, offsets={1: 0.5}, limit_seconds=5.0, limit_timeout="market")
        stage.hands[1].usual = limit_rests
        begin(stage)
        broker = stage.broker()
        for step in range(60):
            for at, more in fills:
                for orderid in resting(stage) if at == step else ():
                    left = broker.orders[orderid].quantity - (broker.orders[orderid].filled_quantity or 0)
                    broker.fill(orderid, min(left, more * LOT))
            silent = stage.hands[1].silent
            silent.add("cancel") if deaf[0] <= step < sum(deaf) else silent.discard("cancel")
            stage.step(0.25)
            alive = sum(
                one.quantity - (one.filled_quantity or 0) for one in map(broker.orders.get, resting(stage)) if one
            )
            assert -broker.net.get(CALL, 0) + alive <= lots * LOT
        stage.until(lambda: stage.run(RUN).state == "open", 30)
        assert broker.net == {CALL: -lots * LOT}


# ── a new life of the engine ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("timeout", ["cancel", "market"])
def test_limit_that_worked_at_a_restart_is_cancelled_at_its_time_out(tmp_path: Path, timeout: str) -> None:
    stage = Stage(tmp_path, legs=FLY, offsets={1: 0.5}, limit_timeout=timeout)
    stage.hands[1].usual = on((CALL, take_only))
    begin(stage)
    stage.until(lambda: resting(stage))
    sent_at = entries(stage, CALL)[0].sent_at
    assert sent_at is not None
    stage.play(10)
    stage.restart()
    stage.play(10)
    assert resting(stage)
    stage.until(lambda: stage.hands[1].cancelled, 20)
    assert stage.clock.now() - sent_at < timedelta(seconds=31)
    stage.until(lambda: stage.run(RUN).state == "open")
    assert resting(stage) == []
    assert stage.broker().net == {PUT: -LOT, HEDGE: LOT}
    assert stage.hands[1].sent == []
    assert [event.action for event in stage.events("entry_failed")] == ["alert_only"]
