"""GTT orders on the paper exchange: watched for a year, SINGLE and OCO, in both modes, across restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.domain.instruments import Exchange, PriceType, Product
from engine.paper.clock import ist_text
from engine.paper.gtt import GttLeg, GttStatus
from engine.paper.orders import Status
from engine.paper.wire import Refusal
from tests.paper_floor import DAY_SECONDS, Floor, Seat, unbalanced

LOT = 65


@pytest.fixture
def floor() -> Floor:
    floor = Floor()
    floor.pin(floor.option, 200.0)
    return floor


@pytest.fixture
def asha(floor: Floor) -> Seat:
    return floor.account("asha", face="analyze")


def only_order(seat: Seat) -> tuple[str, str, int, int]:
    (order,) = seat.account.orders.values()
    return order.price_type, order.action, order.quantity, order.price


def test_single_gtt_places_its_limit_order_when_its_trigger_is_reached(floor: Floor, asha: Seat) -> None:
    gtt = asha.gtt("BUY", LOT, (190.0, 191.0))
    floor.move(floor.option, 190.05)
    assert floor.exchange.gtts.active(asha.account) == [gtt]
    assert asha.account.orders == {}
    floor.move(floor.option, 190.0)
    assert only_order(asha) == (PriceType.LIMIT, "BUY", LOT, 191_00)
    assert (gtt.status, gtt.order_id) == (GttStatus.TRIGGERED, next(iter(asha.account.orders)))
    assert asha.net() == LOT
    floor.move(floor.option, 189.0)
    assert len(asha.account.orders) == 1
    assert floor.exchange.gtts.active(asha.account) == []


def test_trigger_above_the_market_is_reached_from_below(floor: Floor, asha: Seat) -> None:
    asha.gtt("BUY", LOT, (220.0, 221.0))
    floor.move(floor.option, 219.95)
    assert asha.account.orders == {}
    floor.move(floor.option, 225.0)
    assert only_order(asha) == (PriceType.LIMIT, "BUY", LOT, 221_00)
    assert next(iter(asha.account.orders.values())).status is Status.OPEN


@pytest.mark.parametrize(("moved", "price"), [(179.0, 178_00), (221.0, 219_00)])
def test_oco_places_one_leg_and_forgets_the_other(floor: Floor, asha: Seat, moved: float, price: int) -> None:
    asha.place("BUY", LOT)
    asha.account.orders.clear()
    gtt = asha.gtt("SELL", LOT, (180.0, 178.0), (220.0, 219.0))
    assert gtt.trigger_type == "two-leg"
    floor.move(floor.option, 200.0)
    assert asha.account.orders == {}
    floor.move(floor.option, moved)
    assert only_order(asha) == (PriceType.LIMIT, "SELL", LOT, price)
    assert asha.net() == 0
    for rupees in (179.0, 221.0):
        floor.move(floor.option, rupees)
    assert len(asha.account.orders) == 1


def test_gtt_blocks_its_dearest_leg_until_it_ends(floor: Floor, asha: Seat) -> None:
    before = asha.available
    gtt = asha.gtt("SELL", LOT, (180.0, 178.0), (220.0, 221.0))
    assert before - asha.available == gtt.margin == 221_00 * LOT
    changed = floor.exchange.gtts.modify(asha.account, gtt.trigger_id, asha.gtt_request("SELL", LOT, (180.0, 178.0)))
    assert before - asha.available == changed.margin == 178_00 * LOT
    assert changed.trigger_type == "single"
    floor.exchange.gtts.cancel(asha.account, gtt.trigger_id)
    assert asha.available == before
    floor.move(floor.option, 170.0)
    assert asha.account.orders == {}


def test_changed_trigger_is_seen_from_the_price_at_the_change(floor: Floor, asha: Seat) -> None:
    gtt = asha.gtt("BUY", LOT, (190.0, 191.0))
    floor.exchange.gtts.modify(asha.account, gtt.trigger_id, asha.gtt_request("BUY", 2 * LOT, (210.0, 211.0)))
    floor.move(floor.option, 189.0)
    assert asha.account.orders == {}
    floor.move(floor.option, 210.0)
    assert only_order(asha) == (PriceType.LIMIT, "BUY", 2 * LOT, 211_00)


def test_changed_trigger_above_a_market_that_fell_waits_for_it_to_rise(floor: Floor, asha: Seat) -> None:
    gtt = asha.gtt("BUY", LOT, (150.0, 151.0))
    floor.move(floor.option, 160.0)
    floor.exchange.gtts.modify(asha.account, gtt.trigger_id, asha.gtt_request("BUY", LOT, (180.0, 181.0)))
    floor.pass_time(1.0)
    assert gtt.status is GttStatus.ACTIVE
    floor.move(floor.option, 180.0)
    assert gtt.status is GttStatus.TRIGGERED


def test_order_of_a_trigger_may_use_what_the_gtt_blocked(floor: Floor) -> None:
    poor = floor.account("poor", face="analyze", funds=191_00 * LOT)
    gtt = poor.gtt("BUY", LOT, (190.0, 191.0))
    assert poor.available == 0
    with pytest.raises(Refusal, match="Insufficient funds"):
        poor.gtt("BUY", LOT, (100.0, 100.0))
    floor.move(floor.option, 190.0)
    assert (gtt.status, poor.net()) == (GttStatus.TRIGGERED, LOT)


def test_ids_follow_the_mode(floor: Floor, asha: Seat) -> None:
    ravi, meera = floor.account("ravi"), floor.account("meera")
    assert asha.gtt("BUY", LOT, (190.0, 191.0)).trigger_id.startswith("GTT-261124-")
    assert [seat.gtt("BUY", LOT, (190.0, 191.0)).trigger_id for seat in (ravi, meera, ravi)] == [
        "100001",
        "100002",
        "100003",
    ]
    assert ravi.available == ravi.account.funds


def test_a_year_on_it_is_over(floor: Floor, asha: Seat) -> None:
    share = floor.contract("SBIN", Exchange.NSE)
    last = floor.exchange.quotes.last(share, floor.now) / 100
    low = round(last * 0.1, 1)
    gtt = asha.gtt("BUY", 5, (low, low), contract=share, product=Product.CNC)
    assert ist_text(gtt.expires_at) == "2027-11-24 11:00:00"
    floor.pass_time(364 * DAY_SECONDS)
    assert gtt.status is GttStatus.ACTIVE
    floor.pass_time(DAY_SECONDS)
    assert (gtt.status, asha.account.reserved) == (GttStatus.EXPIRED, 0)


def test_gtt_ends_with_its_contract(floor: Floor, asha: Seat) -> None:
    gtt = asha.gtt("BUY", LOT, (0.1, 0.1))
    floor.pass_time(8 * DAY_SECONDS)
    assert (gtt.status, asha.account.orders) == (GttStatus.EXPIRED, {})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"product": Product.MIS}, "MIS is intraday-only"),
        ({"product": Product.CNC}, "CNC product not allowed for NFO"),
        ({"symbol": "NOSUCH"}, "Symbol not found"),
        ({"quantity": 66}, "multiples of lot size 65"),
        ({"legs": (GttLeg(190_00, 0),)}, "positive trigger price and a positive price"),
        ({"legs": (GttLeg(190_03, 190_00),)}, "not a multiple of the tick size"),
        ({"legs": (GttLeg(210_00, 210_00), GttLeg(190_00, 190_00))}, "triggerprice_sl must be below triggerprice_tg"),
        ({"legs": ()}, "one or two legs"),
    ],
)
def test_impossible_gtt_is_refused(floor: Floor, asha: Seat, fields: dict[str, object], message: str) -> None:
    quantity = fields.pop("quantity", LOT)
    assert isinstance(quantity, int)
    with pytest.raises(Refusal, match=message) as refusal:
        asha.gtt("BUY", quantity, (190.0, 191.0), **fields)
    assert refusal.value.status_code == 400
    assert asha.account.gtts == {}


def test_unknown_and_finished_gtts_are_not_found(floor: Floor, asha: Seat) -> None:
    gtt = asha.gtt("BUY", LOT, (190.0, 191.0))
    floor.exchange.gtts.cancel(asha.account, gtt.trigger_id)
    for trigger_id in (gtt.trigger_id, "999999"):
        with pytest.raises(Refusal, match=f"No active GTT with trigger_id '{trigger_id}'"):
            floor.exchange.gtts.cancel(asha.account, trigger_id)


def test_trigger_whose_order_is_refused_ends_with_the_reason(floor: Floor, asha: Seat) -> None:
    share = floor.contract("SBIN", Exchange.NSE)
    last = floor.exchange.quotes.last(share, floor.now) / 100
    trigger = round(last * 0.95, 1)
    gtt = asha.gtt("SELL", 5, (trigger, trigger), contract=share, product=Product.CNC)
    floor.move(share, trigger - 1)
    assert gtt.status is GttStatus.REJECTED
    assert gtt.reason.startswith("Cannot sell SBIN in CNC")
    assert asha.account.orders[gtt.order_id].status is Status.REJECTED
    assert asha.account.reserved == 0


def test_shares_are_bought_by_a_trigger_and_booked(floor: Floor, asha: Seat) -> None:
    share = floor.contract("SBIN", Exchange.NSE)
    last = floor.exchange.quotes.last(share, floor.now) / 100
    trigger = round(last * 0.95, 1)
    asha.gtt("BUY", 5, (trigger, trigger + 1), contract=share, product=Product.CNC)
    floor.move(share, trigger)
    assert asha.net(share, Product.CNC) == 5
    assert unbalanced(asha.account) == []


def test_holding_is_sold_by_the_target_of_an_oco(floor: Floor, asha: Seat) -> None:
    share = floor.contract("SBIN", Exchange.NSE)
    floor.pin(share, 800.0)
    asha.place("BUY", 5, contract=share, product=Product.CNC)
    floor.pass_time(DAY_SECONDS)
    gtt = asha.gtt("SELL", 5, (760.0, 758.0), (840.0, 838.0), contract=share, product=Product.CNC)
    floor.move(share, 841.0)
    assert (gtt.status, asha.net(share, Product.CNC)) == (GttStatus.TRIGGERED, -5)
    floor.pass_time(DAY_SECONDS)
    assert floor.exchange.holdings(asha.account) == []
    assert asha.available == asha.account.funds + asha.account.realised
    assert unbalanced(asha.account) == []


def test_gtts_survive_a_crash_and_trigger_after_it(tmp_path: Path) -> None:
    state = tmp_path / "paper.db"
    floor = Floor(state)
    floor.pin(floor.option, 200.0)
    asha, ravi = floor.account("asha", face="analyze"), floor.account("ravi")
    gtt = asha.gtt("BUY", LOT, (190.0, 191.0))
    ravi.gtt("SELL", LOT, (180.0, 178.0), (220.0, 219.0))
    again = Floor(state, now=floor.now)
    assert again.exchange.accounts == floor.exchange.accounts
    again.move(again.option, 185.0)
    account = again.exchange.accounts["asha"]
    assert account.gtts[gtt.trigger_id].status is GttStatus.TRIGGERED
    assert len(account.orders) == 1
    assert Seat(again, again.exchange.accounts["ravi"]).gtt("BUY", LOT, (150.0, 150.0)).trigger_id == "100002"
    final = Floor(state, now=floor.now)
    assert final.exchange.accounts["asha"].gtts[gtt.trigger_id].status is GttStatus.TRIGGERED


def test_parked_mode_keeps_watching_and_tells_nobody(floor: Floor, asha: Seat) -> None:
    gtt = asha.gtt("BUY", LOT, (190.0, 191.0))
    floor.exchange.switch_mode("asha", "live")
    floor.pushes.clear()
    floor.move(floor.option, 185.0)
    assert gtt.status is GttStatus.TRIGGERED
    assert asha.net() == LOT
    assert floor.pushes == []
