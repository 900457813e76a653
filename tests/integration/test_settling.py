"""Expiry: what runs hold when the last session of its contract ends is settled, once, and never by hand (RULES 6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlmodel import col, select

from engine.broker.answers import Refused
from engine.domain.evidence import SeenTrade
from engine.domain.instruments import Action, Exchange
from engine.store import tables
from tests.integration.test_drift import charges, closed, owned
from tests.paper_floor import Floor
from tests.stage import BEGIN, CALL, LOT, PUT, Stage, instrument, take_only

CLOSE = datetime(2026, 12, 1, 10, 10, tzinfo=UTC)  # 15:40 in India on the day of expiry
MIDNIGHT = datetime(2026, 12, 1, 18, 30, tzinfo=UTC)  # where exchanges of the house end their day


def go_to(stage: Stage, moment: datetime) -> None:
    """Let days go in one step; positions of earlier days are carried, their orders and trades are gone."""
    stage.play(3)
    broker = stage.broker()
    broker.carried, broker.orders, broker.trades = broker.positions(), {}, []
    stage.clock.seconds = 1_000.0 + (moment - BEGIN).total_seconds()


def entered(
    tmp_path: Path, *, venue: str = "live", close: datetime = CLOSE, spot: float = 26_100.0
) -> tuple[Stage, int]:
    """A run that sold the 26,000 straddle at 150 and 120, half a minute before the end of its contracts."""
    stage = Stage(tmp_path, venue=venue)
    run = stage.enter()
    go_to(stage, close - timedelta(seconds=30))
    stage.broker().price |= {"NIFTY": spot, CALL: 101.0, PUT: 0.05}
    return stage, run


def settlements(stage: Stage, run: int) -> dict[str, tuple[int, int, bool]]:
    """(signed quantity, value in paise, estimated) of the settlement of each contract."""
    with stage.database.read() as session:
        rows = session.exec(
            select(tables.Fill)
            .where(tables.Fill.execution_id == run, tables.Fill.source == "settlement")
            .order_by(col(tables.Fill.id))
        ).all()
    assert len({row.symbol for row in rows}) == len(rows), "a contract settles once"
    return {row.symbol: (Action(row.action).sign * row.quantity, row.value_paise, row.estimated) for row in rows}


def exits(stage: Stage, run: int) -> list[str]:
    return [str(order.state) for order in stage.orders(run) if order.purpose == "exit"]


def rest_only(stage: Stage) -> None:
    """The broker lets every order rest as it came: it takes neither modification nor cancellation."""
    hands = stage.hands[1]
    hands.usual = take_only
    hands.modifies = lambda _hands, _order, _price: Refused("not now", 400)
    hands.cancel = lambda _order: None  # type: ignore[method-assign]


def test_run_held_to_the_end_settles_at_intrinsic_value_and_is_closed(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    sent = len(stage.hands[1].sent)
    stage.play(29)
    assert settlements(stage, run) == {}
    closed(stage, run)
    assert settlements(stage, run) == {CALL: (LOT, 650_000, True), PUT: (LOT, 0, True)}
    assert stage.run(run).profit_paise == (150 - 100 + 120) * LOT * 100
    assert len(stage.hands[1].sent) == sent
    assert charges(stage, run) == []
    assert {event.kind for event in stage.events() if event.at > CLOSE} == {"settlement"}


def test_put_in_the_money_settles_on_its_side(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, spot=25_862.35)
    closed(stage, run)
    assert settlements(stage, run) == {CALL: (LOT, 0, True), PUT: (LOT, 894_725, True)}


def test_settled_positions_that_stay_in_the_books_and_go_over_night_charge_nobody(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    closed(stage, run)
    stage.play(60, by=0.5)
    stage.clock.seconds += 20 * 3600  # the next morning, in session: the broker has cleared them
    stage.broker().carried = {}
    stage.play(30, by=0.5)
    assert charges(stage, run) == []
    assert owned(stage, run) == 0
    assert stage.run(run).state == "closed"
    assert len(stage.hands[1].sent) == 2


def test_exit_that_rests_at_the_close_is_ended_by_the_broker_and_the_rest_settles(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    rest_only(stage)
    stage.close(run)
    stage.until(lambda: exits(stage, run).count("working") == 2)
    stage.until(lambda: stage.clock.now() >= CLOSE + timedelta(seconds=20), 60)
    assert settlements(stage, run) == {}  # they may have filled at the last moment
    sent = len(stage.hands[1].sent)
    resting = [order for order in stage.broker().orders.values() if order.status == "open"]
    call = next(order for order in resting if order.instrument.symbol == CALL)
    stage.broker().fill(call.orderid, LOT)  # one did
    stage.broker().end(next(order.orderid for order in resting if order is not call), "cancelled")
    closed(stage, run)
    assert settlements(stage, run) == {PUT: (LOT, 0, True)}
    assert len(stage.hands[1].sent) == sent
    assert stage.broker().net == {PUT: -LOT}


def test_order_that_the_next_days_books_do_not_know_has_expired(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    rest_only(stage)
    stage.close(run)
    stage.until(lambda: exits(stage, run).count("working") == 2)
    go_to(stage, CLOSE + timedelta(hours=15))  # before the next session
    stage.broker().carried = {}
    closed(stage, run)
    assert exits(stage, run)[-2:] == ["expired", "expired"]
    assert set(settlements(stage, run)) == {CALL, PUT}


def test_exit_ordered_after_the_close_sends_nothing(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    stage.hands[1].silent.add("quotes")
    stage.until(lambda: stage.clock.now() > CLOSE + timedelta(seconds=5), 60)
    stage.close(run)
    stage.play(20)
    assert exits(stage, run) == []
    stage.hands[1].silent.remove("quotes")
    closed(stage, run)
    assert set(settlements(stage, run)) == {CALL, PUT}
    assert exits(stage, run) == []


def test_settlement_without_a_price_waits_with_an_alarm_an_hour(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    stage.hands[1].silent.add("quotes")
    stage.play(50 * 60, by=5.0)
    told = [event for event in stage.events("settlement") if "not settled" in event.message]
    assert len(told) == 2  # one for each contract
    assert all("a price of NIFTY" in event.message for event in told)
    assert owned(stage, run) == -LOT
    stage.hands[1].silent.remove("quotes")
    closed(stage, run)
    assert settlements(stage, run)[CALL] == (LOT, 650_000, True)


def test_price_of_the_next_session_settles_nothing(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    stage.hands[1].silent.add("quotes")
    stage.play(60, by=0.5)
    stage.clock.seconds = 1_000.0 + (CLOSE + timedelta(hours=20) - BEGIN).total_seconds()
    stage.hands[1].silent.remove("quotes")
    stage.broker().price["NIFTY"] = 26_700.0
    stage.broker().carried = {}
    stage.play(60, by=0.5)
    assert settlements(stage, run) == {}
    assert charges(stage, run) == []


def test_settlement_waits_for_books_of_after_the_close(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    stage.hands[1].silent.add("books")
    stage.play(120, by=0.5)
    assert settlements(stage, run) == {}
    assert any("valid books" in event.message for event in stage.events("settlement"))
    stage.hands[1].silent.remove("books")
    closed(stage, run)
    assert set(settlements(stage, run)) == {CALL, PUT}


def test_engine_that_was_down_over_the_close_settles_and_does_not_call_it_closed_by_hand(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    go_to(stage, CLOSE + timedelta(hours=15))
    stage.broker().carried = {}
    stage.restart()
    closed(stage, run)
    assert settlements(stage, run) == {CALL: (LOT, 650_000, True), PUT: (LOT, 0, True)}
    assert charges(stage, run) == []


def test_what_was_closed_by_hand_before_the_close_is_charged_and_not_settled(tmp_path: Path) -> None:
    stage, run = entered(tmp_path)
    stage.play(20)
    stage.broker().take(instrument(CALL), Action.BUY, LOT)
    closed(stage, run)
    assert charges(stage, run) == [(LOT, 656_500, False)]
    assert set(settlements(stage, run)) == {PUT}


def test_opposite_runs_in_one_contract_both_settle(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live")
    first, second = stage.enter(), stage.enter(again=True)
    go_to(stage, CLOSE - timedelta(seconds=30))
    stage.broker().price |= {"NIFTY": 26_100.0}
    closed(stage, first)
    closed(stage, second)
    assert settlements(stage, first) == settlements(stage, second) == {CALL: (LOT, 650_000, True), PUT: (LOT, 0, True)}


# ── the exchange's own price ──────────────────────────────────────────────────────────────────────────────────────────


def test_price_of_the_paper_exchange_is_the_one_that_counts(tmp_path: Path) -> None:
    """The real paper exchange settles the same position; its trades are what the run's books then show."""
    stage, run = entered(tmp_path, venue="paper:stage", close=MIDNIGHT)
    floor = Floor(now=(CLOSE - timedelta(hours=2)).timestamp())
    seat = floor.account("asha", face="analyze")
    for symbol in (CALL, PUT):
        seat.place("SELL", LOT, contract=floor.contract(symbol, Exchange.NFO))
    closed(stage, run)
    floor.now = (MIDNIGHT + timedelta(seconds=1)).timestamp()
    floor.exchange.sweep()
    settled = [trade for trade in seat.account.trades if trade.strategy == "EXPIRY"]
    stage.broker().trades += [
        SeenTrade(one.order_id, instrument(one.symbol), one.action, one.quantity, one.price / 100) for one in settled
    ]
    stage.until(lambda: sum(not estimated for _, _, estimated in settlements(stage, run).values()) == 2)
    assert {symbol: value for symbol, (_, value, _) in settlements(stage, run).items()} == {
        one.symbol: one.price * LOT for one in settled
    }
    assert charges(stage, run) == []


def test_trade_without_a_price_leaves_an_estimate_that_is_more_than_nothing(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, venue="paper:stage", close=MIDNIGHT)
    closed(stage, run)
    settle_at_the_exchange(stage, 0.0, 0.0)
    stage.play(10)
    assert settlements(stage, run) == {CALL: (LOT, 650_000, True), PUT: (LOT, 0, False)}


def settle_at_the_exchange(stage: Stage, call: float, put: float) -> None:
    """A paper exchange settles after midnight with a trade of its own."""
    for symbol, price in ((CALL, call), (PUT, put)):
        name = f"EXPIRY-{symbol}-NRML"
        stage.broker().trades.append(SeenTrade(name, instrument(symbol), Action.BUY, LOT, price))


def test_estimate_gives_way_to_the_exchanges_price(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, venue="paper:stage", close=MIDNIGHT)
    closed(stage, run)
    assert settlements(stage, run) == {CALL: (LOT, 650_000, True), PUT: (LOT, 0, True)}
    settle_at_the_exchange(stage, 95.5, 0.0)
    stage.until(lambda: not settlements(stage, run)[CALL][2])
    assert settlements(stage, run)[CALL] == (LOT, 620_750, False)
    assert charges(stage, run) == []
    assert stage.run(run).profit_paise == round((150 - 95.5 + 120) * LOT * 100)
    assert stage.broker().net == {}
    stage.play(10)
    assert sum("the exchange settled" in event.message for event in stage.events("settlement")) == 2


def test_exchange_that_settles_first_gives_the_price_at_once(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, venue="paper:stage", close=MIDNIGHT)
    stage.hands[1].silent.add("quotes")
    stage.until(lambda: stage.clock.now() >= MIDNIGHT, 60)
    settle_at_the_exchange(stage, 95.5, 2.0)
    closed(stage, run)
    assert settlements(stage, run) == {CALL: (LOT, 620_750, False), PUT: (LOT, 13_000, False)}
    assert charges(stage, run) == []


def test_paper_goes_on_trading_between_the_close_of_india_and_midnight(tmp_path: Path) -> None:
    stage, run = entered(tmp_path, venue="paper:stage")
    stage.play(60)
    assert settlements(stage, run) == {}
    stage.close(run)
    closed(stage, run)
    assert settlements(stage, run) == {}
    assert stage.broker().net == {}
