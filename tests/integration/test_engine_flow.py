"""A short straddle through the whole house: sized, sent, watched and taken out, judged by the exchange's books."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from engine.services.drafts import LegDraft
from tests.house import House
from tests.paper_server import wait_until


def test_straddle_is_entered_on_three_accounts_and_taken_out_by_its_max_loss(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle(max_loss=20_000.0))
        opened = house.until_open(run)
        lots = {account.account: account.lots for account in opened.accounts}
        assert len(set(lots.values())) > 1
        for name, count in lots.items():
            assert sorted(house.net(name).values()) == [-65 * count, -65 * count], name
        house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
        closed = house.until_closed(run)
        assert closed.state == "closed"
        house.assert_clean(run)
        event = next(event for event in house.desk.risk_events() if event.kind == "max_loss")
        assert event.value_paise is not None
        assert event.value_paise <= -2_000_000
        assert event.knew["profit"] * 100 == pytest.approx(event.value_paise)
        assert {leg["account"] for leg in event.knew["legs"]} == set(house.keys)
        exits = [order for order in house.orders(run) if order.purpose == "exit"]
        assert sorted(event.order_ids) == sorted(order.orderid or "" for order in exits)


def test_max_profit_closes_the_run(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle(max_profit=3_000.0))
        house.until_open(run)
        for account in house.run(run).positions:  # type: ignore[union-attr]
            house.paper.set_price(account.symbol, "NFO", 50.0)
        house.until_closed(run)
        house.assert_clean(run)
        assert house.run(run).exit_reason == "max_profit"  # type: ignore[union-attr]


def test_trailing_stop_follows_the_peak_and_closes_on_the_way_back(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle(trailing_kind="amount", trailing_value=4_000.0))
        opened = house.until_open(run)
        symbols = {position.symbol: position.average_price or 0.0 for position in opened.positions}
        for symbol, price in symbols.items():
            house.paper.set_price(symbol, "NFO", round(price - 20, 1))
        peaked = wait_until(lambda: house.run(run), lambda r: r is not None and (r.limits.peak_paise or 0) > 2_000_000)
        assert peaked is not None
        assert peaked.limits.stop_paise is not None
        assert peaked.limits.stop_paise == (peaked.limits.peak_paise or 0) - 400_000
        for symbol, price in symbols.items():
            house.paper.set_price(symbol, "NFO", round(price - 10, 1))
        house.until_closed(run)
        house.assert_clean(run)
        assert house.run(run).exit_reason == "trailing_sl"  # type: ignore[union-attr]


def test_closing_by_hand_takes_out_one_account_and_leaves_the_others(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle())
        house.until_open(run)
        ravi = next(account for account in house.desk.accounts() if account.name == "Ravi")
        house.command(house.desk.close_run(run, [ravi.id], uuid4().hex))
        wait_until(lambda: house.net("Ravi"), lambda net: not net)
        live = house.run(run)
        assert live is not None
        assert live.state == "open"
        assert len(house.net("Asha")) == 2
        house.close(run)
        house.until_closed(run)
        house.assert_clean(run)


def test_bought_legs_fill_before_sold_ones_go_and_leave_after_them(tmp_path: Path) -> None:
    legs = [
        LegDraft(underlying="NIFTY", action=action, instrument_type=kind, expiry_choice="next_week", **strike)
        for action, strike in (
            ("SELL", {}),
            ("BUY", {"strike_kind": "otm", "strike_value": 6}),
        )
        for kind in ("CE", "PE")
    ]
    with House(tmp_path) as house:
        run = house.execute(house.straddle("Iron fly", legs=legs))
        house.until_open(run)
        house.close(run)
        house.until_closed(run)
        house.assert_clean(run)
        for name in house.keys:
            trades = sorted(house.books(name)["trades"], key=lambda row: row["at"])
            sides = [trade["action"] for trade in trades]
            assert sides == ["BUY", "BUY", "SELL", "SELL", "BUY", "BUY", "SELL", "SELL"], name


def test_two_presses_with_one_key_make_one_run(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        strategy = house.straddle()
        key = uuid4().hex
        first, second = house.submit(strategy, key=key), house.submit(strategy, key=key)
        assert first.id == second.id
        house.until_open(int(house.command(first).outcome["run_id"]))
        assert len(house.desk.live().runs) == 1
        for name in house.keys:
            assert len(house.books(name)["orders"]) == 2, name


def test_two_tabs_that_saw_no_run_make_one_run(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        strategy = house.straddle()
        commands = [house.submit(strategy, seen=[]) for _ in range(2)]
        states = sorted(house.command(command).state for command in commands)
        assert states == ["done", "refused"]
        assert len(house.desk.live().runs) <= 1


def test_run_again_opens_a_second_run_with_legs_of_its_own(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        strategy = house.straddle()
        first = house.execute(strategy, account_ids=[3])
        house.until_open(first)
        second = house.execute(strategy, account_ids=[2], again=True)
        house.until_open(second)
        house.close(first)
        house.until_closed(first)
        assert len(house.net("Ravi")) == 2
        assert house.net("Meera") == {}
        house.close(second)
        house.until_closed(second)


def test_click_while_the_engine_is_down_is_too_late_and_never_an_order(tmp_path: Path) -> None:
    with House(tmp_path, engine=False) as house:
        strategy = house.straddle()
        command = house.submit(strategy)
        with house.database.write() as session:
            row = session.get_one(__import__("engine.store.tables", fromlist=["Command"]).Command, command.id)
            row.valid_until = datetime.now(UTC)  # the 15 s are over before the engine comes
            session.add(row)
        house.start_engine()
        assert house.command(command).state in {"refused", "too_late"}
        for name in house.keys:
            assert house.books(name)["orders"] == []


def test_kill_switch_closes_every_run_and_stops_entries_until_rearmed(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        strategy = house.straddle()
        run = house.execute(strategy)
        house.until_open(run)
        assert house.command(house.desk.halt(uuid4().hex)).state == "done"
        house.until_closed(run)
        house.assert_clean(run)
        assert house.command(house.submit(strategy, seen=[])).state == "refused"
        assert house.command(house.desk.rearm(uuid4().hex)).state == "done"
        house.until_open(house.execute(strategy))


def test_manual_close_of_a_leg_is_charged_and_the_exit_does_not_turn_it_around(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        run = house.execute(house.straddle(), account_ids=None)
        opened = house.until_open(run)
        mine = next(p for p in opened.positions if p.account == "Ravi" and p.quantity < 0)
        house.paper.call(
            "placeorder", apikey=house.keys["Ravi"], strategy="by hand", symbol=mine.symbol, exchange="NFO",
            action="BUY", quantity=str(-mine.quantity), pricetype="MARKET", product="NRML", price="0",
            trigger_price="0", disclosed_quantity="0",
        )  # fmt: skip
        wait_until(lambda: [e.kind for e in house.desk.risk_events()], lambda kinds: "drift" in kinds, seconds=15)
        house.close(run)
        house.until_closed(run)
        house.assert_clean(run)


def test_large_order_is_sliced_below_the_freeze_quantity(tmp_path: Path) -> None:
    with House(tmp_path, accounts=(("Asha", 60_000_000.0, "A"),)) as house:
        run = house.execute(house.straddle())
        house.until_open(run, 40)
        house.close(run)
        house.until_closed(run, 40)
        house.assert_clean(run)
        quantities = [order["quantity"] for order in house.books("Asha")["orders"]]
        assert max(quantities) == 1755
        assert len(quantities) > 8


@pytest.mark.market
def test_election_day_stops_a_short_straddle_by_its_max_loss(tmp_path: Path, market_file: Path) -> None:
    """NIFTY of 4 June 2024, 300 times as fast: its fall breaches the limit and everyone is taken out."""
    with House(
        tmp_path,
        replay=market_file / "NIFTY_1m_2024-06.csv",
        replay_date=date(2024, 6, 4),
        speed=300.0,
        hold_replay=True,
    ) as house:
        run = house.execute(house.straddle(max_loss=100_000.0))
        house.until_open(run)
        house.paper.replay("start")
        closed = house.until_closed(run, seconds=90)
        assert closed.state == "closed"
        assert closed.exit_reason == "max_loss"
        house.assert_clean(run)
        for name in house.keys:
            orders = house.books(name)["orders"]
            assert all(order["quantity"] <= 1800 for order in orders)
            bought_back = [order["symbol"] for order in orders if order["action"] == "BUY"]
            assert sorted(bought_back) == sorted(set(bought_back)), "each leg is bought back once"
            assert len(bought_back) == 2
