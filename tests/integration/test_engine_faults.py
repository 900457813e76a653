"""Regressions by name: what went wrong between an engine and its broker, judged by the broker's books.

Every scenario ends flat, no position is ever turned around, and nothing is executed twice. Every kind of trouble at
every step is in ``tests/faults``. Quiet times are short here because this exchange is known to finish a request within
the lateness that the test gives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house import House
from tests.paper_server import wait_until

QUIET = {"quiet_unanswered": 2.5, "quiet_answered": 1.2}
BOOKS = ("orderbook", "tradebook", "positionbook")
FUNDS = 1_500_000.0
ASHA, LATA = "Asha", "Lata"


class Watch:
    """The exchange's books from now on, of a house that many scenarios share."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.trades = {name: len(house.books(name)["trades"]) for name in house.keys}
        self.calls = {name: len(house.paper.requests(key)) for name, key in house.keys.items()}
        self.realised = {name: int(house.books(name)["realised_paise"]) for name in house.keys}

    def orders_sent(self, name: str) -> list[dict[str, Any]]:
        """Placements of an account since then."""
        calls = self.house.paper.requests(self.house.keys[name])[self.calls[name] :]
        return [call for call in calls if call["endpoint"] == "placeorder"]

    def assert_left_once(self, run: int) -> None:
        """Flat, never beyond zero, each unit sold once and bought back once, and P that of the exchange per account."""
        seen = self.house.run(run)
        assert seen is not None
        for account in seen.accounts:
            name = account.account
            assert self.house.net(name) == {}, name
            sold: dict[str, int] = {}
            bought: dict[str, int] = {}
            trades = sorted(self.house.books(name)["trades"], key=lambda row: row["at"])
            for trade in trades[self.trades[name] :]:
                side = sold if trade["action"] == "SELL" else bought
                side[trade["symbol"]] = side.get(trade["symbol"], 0) + trade["quantity"]
                assert bought.get(trade["symbol"], 0) <= sold.get(trade["symbol"], 0), f"{trade} crossed zero"
            assert sold == bought
            assert set(sold.values()) == {65 * account.lots}
            assert account.profit_paise == int(self.house.books(name)["realised_paise"]) - self.realised[name]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Asha's server is in analyzer mode, Lata's in live mode."""
    with House(tmp_path_factory.mktemp("faults"), accounts=((ASHA, FUNDS, "B"),), engine=False, **QUIET) as house:
        house.add_account(LATA, FUNDS, face="live")
        house.start_engine()
        yield house


def open_run(house: House, name: str, *, on: tuple[str, ...] = (ASHA,), **limits: Any) -> int:
    ids = [account.id for account in house.desk.accounts() if account.name in on]
    run = house.execute(house.straddle(name, account_ids=ids, **limits), seen=[])
    house.until_open(run)
    return run


def test_two_accounts_each_exit_through_their_own_account_once(house: House) -> None:
    watch = Watch(house)
    run = open_run(house, "two accounts", on=(ASHA, LATA))
    held = {name: house.net(name) for name in (ASHA, LATA)}
    assert all(len(legs) == 2 for legs in held.values())
    house.close(run)
    house.until_closed(run)
    watch.assert_left_once(run)
    for name, legs in held.items():
        exits = [call["body"] for call in watch.orders_sent(name) if call["body"]["action"] == "BUY"]
        assert {row["symbol"]: -int(row["quantity"]) for row in exits} == legs
        assert len(exits) == 2


def test_exit_rejected_three_times_is_tried_again_until_flat(house: House) -> None:
    watch = Watch(house)
    run = open_run(house, "rejected exit")
    house.paper.fault("reject", "placeorder", api_key=house.keys[ASHA], count=3)
    house.close(run)
    house.until_closed(run, 30)
    watch.assert_left_once(run)
    assert sum(order.state == "rejected" for order in house.orders(run)) == 3


def test_rejected_entry_holds_what_filled_and_leaves_it_later(house: House) -> None:
    house.paper.fault("reject", "placeorder", api_key=house.keys[ASHA], message="margin exceeded")
    ids = [account.id for account in house.desk.accounts() if account.name == ASHA]
    run = house.execute(house.straddle("rejected entry", account_ids=ids), seen=[])
    entered = house.until(run, {"open", "closed", "refused"}, 20)
    assert entered.state == "open"
    assert len(house.net(ASHA)) == 1
    assert "margin exceeded" in entered.accounts[0].reason
    house.close(run)
    house.until_closed(run)
    assert house.net(ASHA) == {}


@pytest.mark.parametrize("name", [ASHA, LATA])
def test_push_that_comes_before_the_answer_fills_the_order_once(house: House, name: str) -> None:
    watch = Watch(house)
    run = open_run(house, f"late answer {name}", on=(name,))
    house.paper.fault("slow_body", "placeorder", api_key=house.keys[name], seconds=1.5, count=2)
    house.close(run)
    house.until_closed(run)
    watch.assert_left_once(run)
    suffered = [one["kind"] for one in house.paper.suffered(house.keys[name])]
    assert suffered[-2:] == ["slow_body"] * 2
    assert len(watch.orders_sent(name)) == 4


@pytest.mark.parametrize("kind", ["empty_book", "smaller_book"])
@pytest.mark.parametrize("name", [ASHA, LATA])
def test_books_that_succeed_and_lack_rows_at_the_moment_of_the_stop_are_not_read_as_flat(
    house: House, name: str, kind: str
) -> None:
    watch = Watch(house)
    run = open_run(house, f"{kind} {name}", on=(name,), max_loss=20_000.0)
    for endpoint in BOOKS:
        house.paper.fault(kind, endpoint, api_key=house.keys[name], count=6)
    house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
    closed = house.until_closed(run, 40)
    house.paper.clear_faults()
    assert closed.exit_reason == "max_loss"
    watch.assert_left_once(run)
    assert [order.state for order in house.orders(run) if order.purpose == "exit"] == ["filled", "filled"]
    assert any(one["kind"] == kind for one in house.paper.suffered(house.keys[name]))


@pytest.mark.parametrize("kind", ["error_500", "garbage", "drop_before"])
def test_position_book_that_fails_at_the_moment_of_the_stop_holds_nobody_in(house: House, kind: str) -> None:
    watch = Watch(house)
    run = open_run(house, f"position book {kind}", max_loss=20_000.0)
    house.paper.fault(kind, "positionbook", api_key=house.keys[ASHA], count=5)
    house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
    closed = house.until_closed(run, 40)
    house.paper.clear_faults()
    assert closed.exit_reason == "max_loss"
    watch.assert_left_once(run)
    failed = [one for one in house.paper.suffered(house.keys[ASHA]) if one["kind"] == kind]
    assert any(one["endpoint"] == "positionbook" for one in failed)


def test_order_shown_as_complete_that_is_not_fills_when_it_fills(house: House) -> None:
    """A live server shows a new order with the status of the row before it, complete, until it knows better."""
    watch = Watch(house)
    run = open_run(house, "shown complete", on=(LATA,))
    house.paper.fault("stale_status", "placeorder", api_key=house.keys[LATA], action="BUY", seconds=3.0)
    house.close(run)
    waiting = wait_until(lambda: [order for order in house.books(LATA)["orders"] if order["status"] == "open"])
    shown = {row["orderid"]: row["order_status"] for row in book(house, LATA)}
    assert [shown[order["order_id"]] for order in waiting] == ["complete"]
    house.until_closed(run)
    watch.assert_left_once(run)
    assert len(watch.orders_sent(LATA)) == 4


def book(house: House, name: str) -> list[dict[str, Any]]:
    """The order book as the account's server shows it."""
    return list(house.paper.call("orderbook", apikey=house.keys[name])["data"]["orders"])


@pytest.mark.parametrize("kind", ["stream_silence", "stream_cut", "stream_frozen"])
def test_max_loss_works_without_a_stream(house: House, kind: str) -> None:
    watch = Watch(house)
    run = open_run(house, kind, max_loss=20_000.0)
    house.paper.fault(kind, seconds=10.0)
    house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
    closed = house.until_closed(run, 20)
    house.paper.fault(kind, seconds=0)
    assert closed.exit_reason == "max_loss"
    watch.assert_left_once(run)


def test_one_account_whose_broker_hangs_does_not_keep_the_others_in(tmp_path: Path) -> None:
    with House(tmp_path, quiet_unanswered=15.0, quiet_answered=3.0) as house:
        watch = Watch(house)
        run = house.execute(house.straddle(max_loss=30_000.0))
        house.until_open(run)
        house.paper.fault("delay", api_key=house.keys["Ravi"], seconds=9.0, count=400)
        house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
        wait_until(lambda: (house.net("Asha"), house.net("Meera")), lambda nets: nets == ({}, {}), seconds=8)
        assert len(house.net("Ravi")) == 2
        house.paper.clear_faults()
        closed = house.until_closed(run, 40)
        assert closed.exit_reason == "max_loss"
        watch.assert_left_once(run)
