"""Orders against displayed quantities: level by level, protected, shared, part by part, to the paisa."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.instruments import Exchange, PriceType, Product
from engine.paper.orders import Status, Treatment
from engine.paper.quotes import Level
from engine.paper.wire import Refusal
from tests.paper_floor import DAY_SECONDS, Floor, Seat, unbalanced

LOT = 65
FREEZE = 1800 // LOT * LOT


@pytest.fixture
def floor() -> Floor:
    floor = Floor()
    floor.pin(floor.option, 200.0)
    return floor


@pytest.fixture
def asha(floor: Floor) -> Seat:
    return floor.account("asha")


def displayed(levels: list[tuple[int, int]]) -> int:
    return sum(units for _, units in levels)


def test_market_order_takes_the_displayed_levels_at_their_prices(floor: Floor, asha: Seat) -> None:
    asks = floor.asks()
    quantity = asks[0][1] + asks[1][1] + LOT
    order = asha.place("BUY", quantity)
    assert asha.fills(order) == [asks[0], asks[1], (asks[2][0], LOT)]
    assert (order.status, order.filled) == (Status.COMPLETE, quantity)
    assert order.filled_value == sum(price * units for price, units in asha.fills(order))
    assert unbalanced(asha.account) == []


def test_sale_walks_the_bids_downwards(floor: Floor, asha: Seat) -> None:
    bids = floor.bids()
    order = asha.place("SELL", bids[0][1] + LOT)
    assert asha.fills(order) == [bids[0], (bids[1][0], LOT)]
    assert bids[1][0] < bids[0][0]


def test_rest_of_a_market_order_rests_at_its_protected_price(floor: Floor, asha: Seat) -> None:
    asks = floor.asks()
    order = asha.place("BUY", displayed(asks) + 2 * LOT)
    assert asha.fills(order) == asks
    assert (order.status, order.pending) == (Status.OPEN, 2 * LOT)
    assert order.price == order.protected
    assert max(price for price, _ in asks) < order.protected <= asks[0][0] * 1.01
    assert order.blocked == asha.account.reserved == order.protected * 2 * LOT
    assert floor.pushes[-1].order.pending == 2 * LOT


@pytest.mark.parametrize(("action", "taken"), [("BUY", [(20_005, LOT), (20_205, LOT)]), ("SELL", [(19_995, LOT)])])
def test_market_order_never_trades_beyond_its_protected_price(
    floor: Floor, asha: Seat, action: str, taken: list[tuple[int, int]]
) -> None:
    bids = [Level(19_995, LOT, 1), Level(19_795, LOT, 1)]
    asks = [Level(20_005, LOT, 1), Level(20_205, LOT, 1), Level(20_210, LOT, 1)]
    floor.exchange.liquidity.depth_of = lambda _, __: (bids, asks)
    order = asha.place(action, 3 * LOT)
    assert (asha.fills(order), order.protected) == (taken, 20_205 if action == "BUY" else 19_800)


def test_what_one_account_took_is_gone_for_the_others_until_the_next_second(floor: Floor, asha: Seat) -> None:
    ravi = floor.account("ravi")
    first, second, *_ = floor.asks()
    asha.place("BUY", first[1])
    assert ravi.fills(ravi.place("BUY", LOT)) == [(second[0], LOT)]
    floor.pass_time(1.0)
    assert floor.asks()[0] == first


def test_account_that_meets_the_touch_takes_nothing_from_the_displayed_levels(floor: Floor) -> None:
    meera = floor.account("meera", face="analyze")
    before = floor.asks()
    order = meera.place("BUY", FREEZE)
    assert meera.fills(order) == [(before[0][0], FREEZE)]
    assert floor.asks() == before


def test_resting_rest_fills_part_by_part_at_its_own_price(floor: Floor, asha: Seat) -> None:
    shown = displayed(floor.asks())
    order = asha.place("BUY", min(FREEZE, 2 * shown + LOT))
    rest = order.pending
    floor.pass_time(0.5)
    assert asha.order(order).pending == rest
    floor.pass_time(0.5)
    order = asha.order(order)
    assert asha.fills(order)[-1] == (order.protected, min(rest, shown))
    while asha.order(order).pending:
        floor.pass_time(1.0)
    assert asha.order(order).status is Status.COMPLETE
    assert unbalanced(asha.account) == []


def test_limit_fills_up_to_its_limit_and_its_rest_waits_for_the_market(floor: Floor, asha: Seat) -> None:
    asks = floor.asks()
    order = asha.place("BUY", displayed(asks), price=asks[1][0] / 100)
    assert asha.fills(order) == asks[:2]
    floor.move(floor.option, 300.0)
    floor.pass_time(1.0)
    assert asha.order(order).filled == displayed(asks[:2])
    floor.now += 1.0
    floor.move(floor.option, 190.0)
    assert asha.order(order).status is Status.COMPLETE
    assert {price for price, _ in asha.fills(order)[2:]} == {asks[1][0]}


def test_repriced_rest_takes_again(floor: Floor, asha: Seat) -> None:
    asks = floor.asks()
    order = asha.place("BUY", displayed(asks), price=asks[0][0] / 100)
    assert order.filled == asks[0][1]
    changed = asha.modify(order, order.quantity, price=asks[2][0] / 100)
    assert asha.fills(changed) == asks[:3]
    changed = asha.modify(changed, order.quantity, price=0.0, price_type=PriceType.MARKET)
    assert asha.fills(changed) == asks
    assert changed.status is Status.COMPLETE


def test_repriced_market_rest_takes_beyond_its_old_protection(floor: Floor, asha: Seat) -> None:
    order = asha.place("BUY", displayed(floor.asks()) + LOT)
    floor.move(floor.option, 230.0)
    floor.pass_time(1.0)
    assert asha.order(order).pending == LOT
    ask = floor.asks()[0][0]
    changed = asha.modify(asha.order(order), order.quantity, price=240.0, price_type=PriceType.MARKET)
    assert changed.status is Status.COMPLETE
    assert asha.fills(changed)[-1] == (ask, LOT)


def test_better_price_is_served_first_then_the_older_order(floor: Floor, asha: Seat) -> None:
    ravi, meera = floor.account("ravi"), floor.account("meera")
    cheap = asha.place("BUY", 12 * LOT, price=150.0)
    floor.now += 0.1
    younger = meera.place("BUY", 12 * LOT, price=150.0)
    floor.now += 0.1
    dear = ravi.place("BUY", 12 * LOT, price=151.0)
    floor.now += 1.0
    floor.pin(floor.option, 149.0)
    for _ in range(2):  # 25 lots a second
        floor.exchange.sweep()
        served = [ravi.order(dear).filled, asha.order(cheap).filled, meera.order(younger).filled]
        assert served == [12 * LOT, 12 * LOT, LOT]
    floor.pass_time(1.0)
    assert meera.order(younger).status is Status.COMPLETE


def test_levels_beyond_the_band_are_not_taken(floor: Floor, asha: Seat) -> None:
    band = floor.exchange.bands.band(floor.option, floor.now)
    asks = [Level(band.upper, LOT, 1), Level(band.upper + 5, LOT, 1)]
    floor.exchange.liquidity.depth_of = lambda _, __: ([], asks)
    order = asha.place("BUY", 2 * LOT, price=200.05)
    order.price = band.upper + 10  # as an order that an earlier, wider band let in
    floor.pass_time(1.0)
    assert asha.order(order).filled == LOT


def test_order_without_funds_for_its_change_stays_as_it_was(floor: Floor) -> None:
    poor = floor.account("poor", funds=10_000_00)
    order = poor.place("BUY", LOT, price=150.0)
    changed = poor.modify(order, LOT, price=151.0)
    assert (changed.price, poor.account.reserved) == (151_00, 151_00 * LOT)
    with pytest.raises(Refusal, match="Insufficient funds"):
        poor.modify(changed, LOT, price=160.0)
    assert (poor.order(order).price, poor.account.reserved) == (151_00, 151_00 * LOT)


def test_triggered_stop_loss_market_walks_the_levels(floor: Floor, asha: Seat) -> None:
    asha.place("BUY", LOT)
    stop = asha.place("SELL", 4 * LOT, price_type=PriceType.SL_M, trigger_price=180.0)
    assert stop.status is Status.TRIGGER_PENDING
    floor.now += 1.0
    floor.pin(floor.option, 178.0)
    bids = floor.bids()
    floor.exchange.sweep()
    assert asha.fills(stop)[0] == (bids[0][0], min(bids[0][1], 4 * LOT))
    assert asha.order(stop).filled == 4 * LOT
    assert asha.order(stop).status is Status.COMPLETE
    assert len(asha.fills(stop)) > 1


def test_triggered_stop_loss_limit_does_not_chase_the_market(floor: Floor, asha: Seat) -> None:
    stop = asha.place("SELL", LOT, price_type=PriceType.SL, trigger_price=180.0, price=179.0)
    floor.move(floor.option, 170.0)
    assert (asha.order(stop).status, asha.order(stop).triggered) == (Status.OPEN, True)
    floor.pass_time(1.0)
    floor.move(floor.option, 179.5)
    assert asha.order(stop).status is Status.COMPLETE
    assert asha.fills(stop) == [(179_00, LOT)]


def test_live_modify_turns_a_stop_into_a_market_order(floor: Floor, asha: Seat) -> None:
    stop = asha.place("SELL", LOT, price_type=PriceType.SL_M, trigger_price=180.0)
    bid = floor.bids()[0][0]
    changed = asha.modify(stop, LOT, price_type=PriceType.MARKET)
    assert (changed.status, changed.price_type, asha.fills(changed)) == (
        Status.COMPLETE,
        PriceType.MARKET,
        [(bid, LOT)],
    )


def test_analyzer_modify_keeps_the_price_type(floor: Floor) -> None:
    meera = floor.account("meera", face="analyze")
    order = meera.place("BUY", LOT, price=150.0)
    changed = meera.modify(order, LOT, price_type=PriceType.MARKET)
    assert (changed.status, changed.price_type) == (Status.OPEN, PriceType.LIMIT)


def test_quantity_cannot_go_below_what_is_filled(floor: Floor, asha: Seat) -> None:
    asks = floor.asks()
    order = asha.place("BUY", asks[0][1] + 5 * LOT, price=asks[0][0] / 100)
    with pytest.raises(Refusal, match=f"above the filled quantity {asks[0][1]}"):
        asha.modify(order, asks[0][1], price=asks[0][0] / 100)
    assert asha.order(order).quantity == asks[0][1] + 5 * LOT
    smaller = asha.modify(order, asks[0][1] + LOT, price=asks[0][0] / 100)
    assert smaller.pending == LOT


def test_cancelled_rest_releases_exactly_what_it_blocked(floor: Floor, asha: Seat) -> None:
    asks = floor.asks()
    order = asha.place("BUY", asks[0][1] + 5 * LOT, price=asks[0][0] / 100)
    assert asha.account.reserved == order.blocked == 5 * LOT * asks[0][0]
    asha.cancel(order)
    assert (asha.order(order).status, asha.order(order).filled) == (Status.CANCELLED, asks[0][1])
    assert asha.account.reserved == 0
    assert asha.available == asha.account.funds - asks[0][0] * asks[0][1]


def test_day_ends_the_rest_and_keeps_what_filled(floor: Floor, asha: Seat) -> None:
    asks = floor.asks()
    order = asha.place("BUY", asks[0][1] + LOT, price=asks[0][0] / 100)
    floor.pin(floor.option, 300.0)
    floor.pass_time(DAY_SECONDS)
    assert (asha.order(order).status, asha.net()) == (Status.CANCELLED, asks[0][1])
    assert asha.account.reserved == 0


@pytest.mark.parametrize(("face", "recorded"), [("live", 1), ("analyze", 0)])
def test_quantity_above_the_freeze_never_trades(floor: Floor, face: str, recorded: int) -> None:
    ravi = floor.account("ravi", face=face)
    with pytest.raises(Refusal, match="exceeds the freeze quantity 1800"):
        ravi.place("BUY", FREEZE + LOT)
    assert [order.status for order in ravi.account.orders.values()] == [Status.REJECTED] * recorded
    assert ravi.account.trades == []


@pytest.mark.parametrize(("face", "recorded"), [("live", 2), ("analyze", 0)])
def test_price_outside_the_band_never_trades(floor: Floor, face: str, recorded: int) -> None:
    ravi = floor.account("ravi", face=face)
    beyond = (floor.exchange.bands.band(floor.option, floor.now).upper + 5) / 100
    for fields in ({"price": beyond}, {"price_type": PriceType.SL_M, "trigger_price": beyond}):
        with pytest.raises(Refusal, match="is outside the price band") as refusal:
            ravi.place("BUY", LOT, **fields)
        assert refusal.value.status_code == 400
    assert [order.status for order in ravi.account.orders.values()] == [Status.REJECTED] * recorded
    order = ravi.place("BUY", LOT, price=150.0)
    with pytest.raises(Refusal, match="is outside the price band"):
        ravi.modify(order, LOT, price=beyond)
    assert ravi.order(order).price == 150_00
    assert ravi.account.trades == []


def test_live_order_without_cover_is_recorded_as_rejected(floor: Floor) -> None:
    poor = floor.account("poor", funds=1_000_00)
    with pytest.raises(Refusal, match="Insufficient funds") as refusal:
        poor.place("SELL", LOT)
    order = poor.account.orders[str(refusal.value.fields["orderid"])]
    assert (order.status, order.blocked, poor.net()) == (Status.REJECTED, 0, 0)


def test_hidden_order_appears_with_its_trades_when_its_time_comes(floor: Floor, asha: Seat) -> None:
    order = asha.place("BUY", LOT, Treatment(hidden_seconds=5.0))
    assert asha.net() == LOT
    assert floor.pushes == []
    floor.pass_time(4.0)
    assert asha.account.visible_orders(floor.now) == asha.account.visible_trades(floor.now) == []
    with pytest.raises(Refusal) as refusal:
        asha.cancel(order)
    assert refusal.value.status_code == 404
    floor.pass_time(1.5)
    assert asha.account.visible_orders(floor.now) == [order]
    assert [trade.quantity for trade in asha.account.visible_trades(floor.now)] == [LOT]
    assert [push.order.status for push in floor.pushes] == [Status.COMPLETE]


def test_duplicated_request_makes_two_orders_and_names_the_first(asha: Seat) -> None:
    order = asha.place("BUY", LOT, Treatment(duplicate=True))
    first, second = asha.account.orders.values()
    assert order is first
    assert (first.status, second.status, asha.net()) == (Status.COMPLETE, Status.COMPLETE, 2 * LOT)
    assert first.order_id != second.order_id


def test_order_in_validation_is_matched_when_that_is_over(floor: Floor, asha: Seat) -> None:
    order = asha.place("BUY", LOT, Treatment(stale_status=True, validation_seconds=3.0))
    floor.pass_time(2.0)
    assert (asha.order(order).status, asha.order(order).repeats_previous_status(floor.now)) == (Status.OPEN, True)
    assert asha.net() == 0
    floor.pass_time(1.0)
    assert (asha.order(order).status, asha.order(order).repeats_previous_status(floor.now)) == (Status.COMPLETE, False)
    assert asha.net() == LOT


def test_market_order_shown_as_limit_shows_its_protected_price(floor: Floor, asha: Seat) -> None:
    order = asha.place("BUY", LOT, Treatment(shown_as_limit=True))
    assert order.status is Status.COMPLETE
    assert (order.shown_price_type, order.shown_price) == (PriceType.LIMIT, order.protected)
    assert floor.pushes[-1].price == order.protected > order.filled_value // LOT
    plain = asha.place("BUY", LOT, Treatment(moving_timestamp=True))
    assert (plain.shown_price_type, plain.shown_time(floor.now + 9)) == (PriceType.MARKET, floor.now + 9)


def test_books_survive_a_crash_in_the_middle_of_everything(tmp_path: Path) -> None:
    state = tmp_path / "paper.db"
    floor = Floor(state)
    asha = floor.account("asha")
    asha.place("BUY", FREEZE)
    asha.place("BUY", LOT, price=100.0)
    asha.place("BUY", LOT, Treatment(hidden_seconds=30.0, shown_as_limit=True, moving_timestamp=True))
    asha.place("SELL", LOT, Treatment(stale_status=True, validation_seconds=10.0))
    floor.exchange.switch_mode("asha", "analyze")
    floor.exchange.change_account("asha", semi_auto=True, token="dead", liquidity="displayed")
    again = Floor(state, now=floor.now)
    assert again.exchange.accounts == floor.exchange.accounts
    assert again.exchange.parked == floor.exchange.parked
    parked = again.exchange.parked["asha"]
    assert len(parked.hidden) == 1
    again.pass_time(31.0)
    assert (parked.hidden, [order.validating_until for order in parked.orders.values()]) == ({}, [0.0] * 4)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("place"),
            st.integers(0, 1),
            st.sampled_from(["BUY", "SELL"]),
            st.integers(1, 27),
            st.sampled_from([0.0, 0.99, 0.9995, 1.0005, 1.01]),
            st.sampled_from([0.0, 0.0, 0.0, 0.98, 1.02]),
        ),
        st.tuples(st.just("modify"), st.integers(0, 1), st.integers(1, 27), st.sampled_from([0.995, 1.0, 1.005])),
        st.tuples(st.just("cancel"), st.integers(0, 1)),
        st.tuples(st.just("move"), st.sampled_from([0.9, 0.985, 0.999, 1.001, 1.015, 1.1])),
        st.tuples(st.just("wait"), st.sampled_from([0.3, 1.0, 1.0, DAY_SECONDS])),
    ),
    min_size=4,
    max_size=12,
)


def on_tick(rupees: float) -> float:
    return max(round(rupees * 20), 1) / 20


def act(floor: Floor, seats: list[Seat], step: tuple[object, ...]) -> None:
    """Do one step; what the exchange refuses changes nothing."""
    last = floor.exchange.quotes.last(floor.option, floor.now) / 100
    match step:
        case ("place", int(who), str(action), int(lots), float(limit), float(trigger)):
            kind = (PriceType.SL if limit else PriceType.SL_M) if trigger else None
            fields = {"price": on_tick(last * limit) if limit else 0.0} | ({"price_type": kind} if kind else {})
            trigger_price = on_tick(last * trigger) if trigger else 0.0
            seats[who].place(action, lots * LOT, trigger_price=trigger_price, **fields)
        case ("modify", int(who), int(lots), float(limit)):
            for order in list(seats[who].account.working.values())[:1]:
                price = 0.0 if order.price_type is PriceType.SL_M else on_tick(last * limit)
                seats[who].modify(order, lots * LOT, price=price, trigger_price=order.trigger_price / 100)
        case ("cancel", int(who)):
            for order in list(seats[who].account.working.values())[:1]:
                seats[who].cancel(order)
        case ("move", float(factor)):
            floor.move(floor.option, on_tick(last * factor))
        case ("wait", float(seconds)):
            floor.pass_time(seconds)


@settings(max_examples=25, derandomize=True, deadline=None)
@given(STEPS, st.booleans())
def test_books_add_up_and_survive_whatever_happens(steps: list[tuple[object, ...]], thin: bool) -> None:
    with TemporaryDirectory() as folder:
        state = Path(folder) / "paper.db"
        floor = Floor(state, thin=thin)
        floor.pin(floor.option, 200.0)
        seats = [floor.account("asha"), floor.account("ravi", funds=2_000_000_00)]
        for step in steps:
            counts = [len(seat.account.trades) for seat in seats]
            bands = [floor.exchange.bands.band(floor.option, floor.now)]
            try:
                act(floor, seats, step)
            except Refusal:
                assert [len(seat.account.trades) for seat in seats] == counts
            bands.append(floor.exchange.bands.band(floor.option, floor.now))
            for seat, count in zip(seats, counts, strict=True):
                assert unbalanced(seat.account) == []
                fresh = seat.account.trades[count:]
                assert all(any(band.holds(trade.price) for band in bands) for trade in fresh)
                assert all(trade.quantity % LOT == 0 for trade in fresh)
        again = Floor(state, now=floor.now)
        assert again.exchange.accounts == floor.exchange.accounts


def test_accounts_share_what_is_displayed_in_a_second(floor: Floor) -> None:
    seats = [floor.account(f"holder-{number}") for number in range(4)]
    shown = dict(floor.asks())
    orders = [seat.place("BUY", 6 * LOT, price=210.0) for seat in seats for _ in range(3)]
    taken: dict[int, int] = {}
    for trade in (trade for seat in seats for trade in seat.account.trades):
        taken[trade.price] = taken.get(trade.price, 0) + trade.quantity
    assert taken == shown
    assert sum(order.filled for order in orders) == sum(shown.values()) < sum(order.quantity for order in orders)


def test_what_the_generator_displays_is_what_is_taken() -> None:
    floor = Floor(thin=False)
    asha = floor.account("asha")
    share = floor.contract("SBIN", Exchange.NSE)
    asks = floor.asks(share)
    order = asha.place("BUY", displayed(asks), contract=share, product=Product.CNC)
    assert asha.fills(order) == asks
    assert asha.net(share, Product.CNC) == displayed(asks)


def test_order_that_the_disk_did_not_take_is_in_no_book(tmp_path: Path) -> None:
    floor = Floor(tmp_path / "state.db", thin=False)
    asha = floor.account("asha", face="analyze")
    asha.place("BUY", 65)
    disk = floor.exchange._storage._db
    (pages,) = disk.execute("PRAGMA page_count").fetchone()
    disk.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(sqlite3.OperationalError):  # noqa: PT012 - it is full sooner or later
        while True:
            asha.place("BUY", 65)
    disk.execute(f"PRAGMA max_page_count={pages + 1_000}")
    kept = floor.exchange.accounts["asha"]
    Seat(floor, kept).place("SELL", 65)
    assert unbalanced(kept) == []
    restarted = Floor(tmp_path / "state.db", now=floor.now).exchange.accounts["asha"]
    assert [order.document() for order in restarted.orders.values()] == [o.document() for o in kept.orders.values()]
    assert [trade.document() for trade in restarted.trades] == [trade.document() for trade in kept.trades]
    assert restarted.positions == kept.positions
    assert unbalanced(restarted) == []
