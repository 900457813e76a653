"""Exit orders whose remainder rests, second by second: re-priced on their own id, never twice at the broker."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine.broker.answers import Acknowledged, ChangeOutcome, RateLimited, Refused, Unclear
from engine.domain.instruments import Action, PriceType
from engine.domain.orders import Order
from engine.services.messages import ModifyAnswered
from tests.stage import CALL, LOT, PUT, FakeHands, Stage, fill_at_once, instrument, take_change, take_only

CALL_ONLY = (("SELL", "CE", "atm", 0.0),)


def resting(tmp_path: Path, **options: object) -> tuple[Stage, int]:
    """A sold call whose exit order was taken and rests; modifications are taken and fill nothing."""
    stage = Stage(tmp_path, legs=CALL_ONLY, **options)  # type: ignore[arg-type]
    run = stage.enter()
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change
    stage.close(run)
    stage.until(lambda: exits(stage, run) and exits(stage, run)[0].state == "working")
    return stage, run


def exits(stage: Stage, run: int) -> list[Order]:
    return [order for order in stage.ledger.orders[run].values() if order.purpose == "exit"]


def prices(stage: Stage) -> list[float]:
    return [price for _, price in stage.hands[1].modified]


def left_with_one_order(stage: Stage, run: int) -> None:
    """The run is closed, the broker flat, and one order sold and one bought back."""
    stage.until(lambda: stage.run(run).state == "closed", 60)
    assert stage.broker().net == {}
    assert len(stage.broker().orders) == 2
    assert [order.state for order in stage.orders(run)] == ["filled", "filled"]


def test_resting_exit_is_repriced_every_two_seconds_and_further_each_time(tmp_path: Path) -> None:
    stage, run = resting(tmp_path)
    begun = stage.clock.seconds
    stage.until(lambda: stage.hands[1].modified)
    assert 1.9 <= stage.clock.seconds - begun <= 2.2
    stage.play(6.5)
    assert prices(stage) == [150.75, 151.5, 152.25, 153.0]  # 150 + n · 0.5 %
    assert {order.orderid for order, _ in stage.hands[1].modified} == {"1-2"}
    row = stage.broker().orders["1-2"]
    assert (row.price_type, row.price, row.quantity) == (PriceType.LIMIT, 153.0, LOT)
    stage.broker().fill("1-2", LOT)
    left_with_one_order(stage, run)


def test_touch_counts_more_than_the_last_price_and_is_polled_while_the_exit_rests(tmp_path: Path) -> None:
    stage, _ = resting(tmp_path)
    stage.broker().touch[CALL] = (148.0, 160.0)
    stage.play(0.1)
    stage.price(CALL, 150.0)
    stage.until(lambda: stage.hands[1].modified)
    assert prices(stage) == [160.8]
    stage.broker().touch[CALL] = (168.0, 170.0)  # ticks go on and never make the symbol silent
    for _ in range(25):
        stage.price(CALL, 150.0)
        stage.step(0.1)
    assert prices(stage) == [160.8, 171.7]


def test_price_never_goes_back_when_the_market_falls(tmp_path: Path) -> None:
    stage, _ = resting(tmp_path)
    stage.play(4.5)
    asked = prices(stage)
    stage.price(CALL, 100.0)
    stage.play(10)
    assert prices(stage) == asked, "a limit that is marketable already is not asked for again"
    assert stage.broker().orders["1-2"].price == asked[-1]


def test_partly_filled_exit_keeps_its_whole_quantity_and_its_id(tmp_path: Path) -> None:
    stage, run = resting(tmp_path, lots=3)
    stage.broker().fill("1-2", LOT)
    stage.play(2.5)
    stage.broker().fill("1-2", LOT)
    stage.play(2.5)
    assert {order.quantity for order, _ in stage.hands[1].modified} == {3 * LOT}
    stage.broker().fill("1-2", LOT)
    left_with_one_order(stage, run)


def test_without_a_price_nothing_is_modified_and_it_is_told(tmp_path: Path) -> None:
    stage, run = resting(tmp_path)
    stage.quiet_market()
    stage.play(6)
    asked = prices(stage)
    stage.play(20)
    assert prices(stage) == asked
    told = [event.message for event in stage.events("exit_blocked")]
    assert len(told) == 1
    assert "waits for" in told[0]
    stage.price(CALL, 200.0)
    stage.step()
    assert prices(stage)[len(asked) :] == pytest.approx([200.0 + len(asked) + 1])
    stage.broker().fill("1-2", LOT)
    left_with_one_order(stage, run)


def test_order_that_filled_meanwhile_refuses_and_nothing_more_is_sent(tmp_path: Path) -> None:
    stage, run = resting(tmp_path)
    stage.hands[1].books_now = lambda: None
    stage.broker().fill("1-2", LOT)
    stage.play(3)
    assert len(prices(stage)) == 1
    stage.play(20)
    assert len(prices(stage)) == 1, "a refusal is looked up before anything else is asked"
    assert not stage.hands[1].cancelled
    stage.hands[1].books_now = None
    left_with_one_order(stage, run)


def test_unclear_modification_is_repeated_only_after_books_show_the_order_working(tmp_path: Path) -> None:
    stage, run = resting(tmp_path)
    stage.hands[1].modifies = lambda _hands, _order, _price: Unclear("no answer in 30 s")
    stage.hands[1].books_now = lambda: None
    stage.play(15)
    assert len(prices(stage)) == 1
    stage.hands[1].books_now = None
    stage.hands[1].modifies = take_change
    stage.until(lambda: len(prices(stage)) == 2, 3)
    stage.broker().fill("1-2", LOT)
    left_with_one_order(stage, run)


def test_no_second_modification_while_the_first_has_no_answer(tmp_path: Path) -> None:
    stage, run = resting(tmp_path)
    hands = stage.hands[1]
    asked: list[float] = []
    hands.modify = lambda order, price: asked.append(price)  # type: ignore[assignment, misc]
    stage.play(30)
    assert len(asked) == 1
    stage.inbox.put(ModifyAnswered(exits(stage, run)[0].id, asked[0], Acknowledged("1-2")))
    stage.play(0.5)
    assert len(asked) == 2
    assert asked[1] > asked[0]


def test_rate_limited_modification_is_asked_again_and_is_no_refusal(tmp_path: Path) -> None:
    stage, run = resting(tmp_path)
    stage.hands[1].modifies = lambda _hands, _order, _price: RateLimited("slow down")
    stage.play(12)
    assert len(prices(stage)) >= 5
    assert not stage.hands[1].cancelled
    stage.hands[1].modifies = take_change
    stage.broker().fill("1-2", LOT)
    left_with_one_order(stage, run)


def test_broker_that_cannot_modify_gets_a_cancellation_and_a_new_order_when_the_old_one_is_terminal(
    tmp_path: Path,
) -> None:
    stage, run = resting(tmp_path)
    hands = stage.hands[1]
    hands.modifies = lambda _hands, _order, _price: Refused("modify is not supported", 400)
    hands.silent.add("cancel")  # asked for, and nobody answers
    stage.until(lambda: hands.cancelled, 15)
    assert len(prices(stage)) == 3
    hands.usual = fill_at_once
    stage.play(10)
    assert len(exits(stage, run)) == 1, "no second order while the first may still fill"
    assert stage.broker().net == {CALL: -LOT}
    hands.silent.clear()
    stage.until(lambda: stage.run(run).state == "closed", 60)
    assert stage.broker().net == {}
    assert [order.state for order in exits(stage, run)] == ["cancelled", "filled"]
    assert len(prices(stage)) == 3


def test_fill_during_the_cancellation_leaves_only_the_rest_for_the_new_order(tmp_path: Path) -> None:
    stage, run = resting(tmp_path, lots=2)
    hands = stage.hands[1]

    def refuse_and_fill(_hands: FakeHands, _order: Order, _price: float) -> ChangeOutcome:
        if len(hands.modified) == 3:
            stage.broker().fill("1-2", LOT)
        return Refused("not now", 400)

    hands.modifies, hands.usual = refuse_and_fill, fill_at_once
    stage.until(lambda: stage.run(run).state == "closed", 60)
    assert stage.broker().net == {}
    assert [(order.state, order.quantity, order.filled_quantity) for order in exits(stage, run)] == [
        ("cancelled", 2 * LOT, LOT),
        ("filled", LOT, LOT),
    ]


def test_schedule_goes_on_from_the_table_after_a_kill(tmp_path: Path) -> None:
    stage, run = resting(tmp_path)
    stage.play(4.5)
    before = prices(stage)
    row = stage.orders(run)[-1]
    assert (row.reprices, row.price) == (2, before[-1])
    stage.restart()
    stage.hands[1].books_now = lambda: None
    stage.play(6)
    assert prices(stage) == [], "what the earlier engine asked for is unclear until the books show the order"
    stage.hands[1].books_now = None
    stage.price(CALL, 150.0)
    stage.until(lambda: prices(stage), 10)
    assert prices(stage) == [152.25]
    assert stage.orders(run)[-1].reprices == 3
    stage.broker().fill("1-2", LOT)
    left_with_one_order(stage, run)


def test_what_is_asked_for_is_on_disk_before_it_leaves(tmp_path: Path) -> None:
    stage, run = resting(tmp_path)
    seen: list[tuple[int, float]] = []

    def look(_hands: FakeHands, order: Order, price: float) -> ChangeOutcome:
        row = stage.orders(run)[-1]
        seen.append((row.reprices, row.price))
        return take_change(_hands, order, price)

    stage.hands[1].modifies = look
    stage.play(4.5)
    assert seen == [(1, 150.75), (2, 151.5)]


def test_surplus_exit_is_cancelled_and_not_repriced(tmp_path: Path) -> None:
    stage, run = resting(tmp_path)
    stage.hands[1].silent.add("cancel")  # the cancellation takes its time
    stage.broker().take(instrument(CALL), Action.BUY, LOT)  # somebody closes by hand
    stage.until(lambda: stage.hands[1].cancelled, 10)
    asked = prices(stage)
    stage.play(10)
    assert prices(stage) == asked
    assert len(stage.hands[1].cancelled) >= 4, "asked again every 2 s"
    stage.hands[1].silent.clear()
    stage.until(lambda: stage.run(run).state == "closed", 30)
    assert stage.broker().net == {}
    assert [order.state for order in exits(stage, run)] == ["cancelled"]
    assert not any("tried again" in event.message for event in stage.events())


def test_nothing_is_repriced_outside_the_session(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=CALL_ONLY, venue="live")
    run = stage.enter()
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change
    stage.clock.skew = timedelta(hours=4, minutes=59, seconds=50)  # 15:29:50 in India
    stage.close(run)
    stage.until(lambda: exits(stage, run) and exits(stage, run)[0].state == "working")
    stage.clock.skew = timedelta(hours=6)
    stage.play(20)
    assert prices(stage) == []


def test_server_that_names_another_order_gets_no_third_one(tmp_path: Path) -> None:
    stage, run = resting(tmp_path)
    broker = stage.broker()

    def renew(_hands: FakeHands, order: Order, _price: float) -> ChangeOutcome:
        """Some brokers cancel and make a new order of it."""
        broker.end("1-2", "cancelled")
        return Acknowledged(broker.take(instrument(CALL), order.action, order.quantity, fills=0))

    stage.hands[1].modifies, stage.hands[1].usual = renew, fill_at_once
    stage.play(30)
    assert len(stage.events("unknown_order")) == 1
    assert broker.net == {CALL: -LOT}
    assert len(broker.orders) == 3, "which of the two works cannot be told: no third one"
    assert any("a person to look" in event.message for event in stage.events("exit_blocked"))
    broker.fill("1-3", LOT)
    stage.until(lambda: stage.run(run).state == "closed", 30)
    assert broker.net == {}


@pytest.mark.parametrize("order_count", [12])
def test_modifications_keep_to_the_send_limit(tmp_path: Path, order_count: int) -> None:
    stage = Stage(tmp_path, legs=CALL_ONLY, lots=order_count)
    stage.arm()
    stage.execute()
    stage.until(lambda: 1 in stage.ledger.runs and stage.ledger.runs[1].state == "open")
    row = stage.ledger.runs[1].resolved["legs"][0]
    stage.ledger.runs[1] = replace(
        stage.ledger.runs[1], resolved=stage.ledger.runs[1].resolved | {"legs": [row | {"freeze_quantity": LOT + 1}]}
    )
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change
    stage.close(1)
    stage.until(lambda: sum(order.state == "working" for order in exits(stage, 1)) == order_count, 30)
    asked: list[float] = []

    def note(_hands: FakeHands, order: Order, price: float) -> ChangeOutcome:
        asked.append(stage.clock.seconds)
        return take_change(_hands, order, price)

    stage.hands[1].modifies = note
    stage.play(20)
    assert len(asked) > order_count
    assert all(sum(begin <= at < begin + 1.05 for at in asked) <= 9 for begin in asked)


def test_two_legs_that_rest_are_repriced_each_from_its_own_price(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].placements = [take_only, take_only]
    stage.close(run)
    stage.until(lambda: stage.run(run).state == "closed", 20)
    assert stage.broker().net == {}
    assert len(stage.broker().orders) == 4
    assert {order.symbol: price for order, price in stage.hands[1].modified} == {CALL: 150.75, PUT: 120.6}


def test_server_that_speaks_for_another_broker_is_asked_to_change_nothing(tmp_path: Path) -> None:
    stage, run = resting(tmp_path)
    stage.play(2.5)
    stage.broker().name = "another"
    stage.world.accounts[1].connected = False  # its line was lost, and comes back to another broker
    stage.until(lambda: stage.world.accounts[1].quarantine, 30)
    asked = prices(stage)
    stage.play(10)
    stage.price(CALL, 200.0)
    stage.play(5)
    assert prices(stage) == asked
    stage.command("take_over", {"run_id": run, "account_id": 1})
    stage.play(5)
    assert stage.hands[1].cancelled == [], "the same id may be somebody else's order there"


def test_two_exits_beside_each_other_tell_each_of_its_own_order(tmp_path: Path) -> None:
    """What rests of one leg is no news of the other leg's exit, and hides none."""
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change
    for leg_index in (1, 2):
        stage.command("close_run", {"run_id": run, "leg_indexes": [leg_index]})
        stage.play(0.5)
    stage.play(15.0)
    plans = {plan.id: plan.leg_indexes for plan in stage.plans(run) if plan.state == "active"}
    assert sorted(plans.values()) == [[1], [2]]
    told = [(plans[event.exit_plan_id or 0], event.message) for event in stage.events("exit_blocked")]
    assert [legs for legs, _words in told] == [[1], [2]]
    assert [CALL in words for _legs, words in told] == [True, False]
    assert [PUT in words for _legs, words in told] == [False, True]
