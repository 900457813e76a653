"""What can go wrong between the engine and its broker, on the way in and on the way out, judged by the broker's books.

Every scenario ends flat, no position is ever turned around, and nothing is executed twice. Quiet times are short here
because this exchange is known to finish a request within the lateness that the test gives it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.house import House
from tests.paper_server import wait_until

ONE = (("Asha", 1_500_000.0, "B"),)
QUIET = {"quiet_unanswered": 2.5, "quiet_answered": 1.2}

BOTH_WAYS: dict[str, dict[str, Any]] = {
    "drop_before": {},
    "drop_after": {},
    "delay": {"seconds": 3.4},
    "error_500": {},
    "bad_gateway": {},
    "null_orderid": {},
    "garbage": {},
    "rate_limit_429": {"count": 2},
    "late": {"seconds": 1.0},
}


class Watch:
    """The exchange's books from now on, of a house that many scenarios share."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.trades = {name: len(house.books(name)["trades"]) for name in house.keys}
        self.realised = house.realised_paise()

    def assert_left_once(self, run: int) -> None:
        """Flat, never beyond zero, each unit sold once and bought back once, and P that of the exchange."""
        for name in self.house.keys:
            assert self.house.net(name) == {}, name
            sold: dict[str, int] = {}
            bought: dict[str, int] = {}
            trades = sorted(self.house.books(name)["trades"], key=lambda row: row["at"])
            for trade in trades[self.trades[name] :]:
                side = sold if trade["action"] == "SELL" else bought
                side[trade["symbol"]] = side.get(trade["symbol"], 0) + trade["quantity"]
                assert bought.get(trade["symbol"], 0) <= sold.get(trade["symbol"], 0), f"{trade} crossed zero"
            seen = self.house.run(run)
            assert seen is not None
            lots = next(account.lots for account in seen.accounts if account.account == name)
            assert sold == bought
            assert set(sold.values()) == {65 * lots}
        assert seen.profit_paise == self.house.realised_paise() - self.realised


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with House(tmp_path_factory.mktemp("faults"), accounts=ONE, **QUIET) as house:
        yield house


def open_run(house: House, name: str, **limits: Any) -> int:
    run = house.execute(house.straddle(name, **limits), seen=[])
    house.until_open(run)
    return run


@pytest.mark.parametrize("kind", list(BOTH_WAYS))
def test_fault_on_the_way_in_and_out_executes_nothing_twice(house: House, kind: str) -> None:
    watch = Watch(house)
    fault = {"count": 1} | BOTH_WAYS[kind]
    house.paper.fault(kind, "placeorder", **fault)
    run = open_run(house, kind)
    held = {p.symbol: p.quantity for p in house.run(run).positions if p.quantity}  # type: ignore[union-attr]
    assert held == house.net("Asha")
    house.paper.fault(kind, "placeorder", **fault)
    house.close(run)
    closed = house.until_closed(run, 30)
    house.paper.clear_faults()
    assert closed.state == "closed"
    watch.assert_left_once(run)


def test_rejected_exit_is_tried_again_until_flat(house: House) -> None:
    watch = Watch(house)
    run = open_run(house, "rejected exit")
    house.paper.fault("reject", "placeorder", count=3)
    house.close(run)
    house.until_closed(run, 30)
    watch.assert_left_once(run)
    assert sum(order.state == "rejected" for order in house.orders(run)) == 3


def test_partly_filled_exit_is_finished(house: House) -> None:
    watch = Watch(house)
    run = open_run(house, "clipped exit")
    house.paper.fault("clip", "placeorder", count=1, fraction=0.4)
    house.close(run)
    house.until_closed(run, 30)
    watch.assert_left_once(run)


def test_rejected_entry_holds_what_filled_and_leaves_it_later(house: House) -> None:
    house.paper.fault("reject", "placeorder", count=1, message="margin exceeded")
    run = house.execute(house.straddle("rejected entry"), seen=[])
    entered = house.until(run, {"open", "closed", "refused"}, 20)
    assert entered.state == "open"
    assert len(house.net("Asha")) == 1
    assert "margin exceeded" in entered.accounts[0].reason
    house.close(run)
    house.until_closed(run)
    assert house.net("Asha") == {}


def test_empty_books_at_the_moment_of_the_stop_are_not_read_as_flat(house: House) -> None:
    watch = Watch(house)
    run = open_run(house, "empty books", max_loss=20_000.0)
    for endpoint in ("orderbook", "tradebook", "positionbook"):
        house.paper.fault("empty_book", endpoint, count=6)
    house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
    closed = house.until_closed(run, 40)
    house.paper.clear_faults()
    assert closed.exit_reason == "max_loss"
    watch.assert_left_once(run)
    exits = [order for order in house.orders(run) if order.purpose == "exit"]
    assert [order.state for order in exits] == ["filled", "filled"]


@pytest.mark.parametrize("kind", ["error_500"])
def test_books_that_cannot_be_read_hold_nobody_in(house: House, kind: str) -> None:
    watch = Watch(house)
    run = open_run(house, f"books {kind}")
    house.paper.fault(kind, "positionbook", count=5)
    house.close(run)
    closed = house.until_closed(run, 40)
    house.paper.clear_faults()
    assert closed.state == "closed"
    watch.assert_left_once(run)


@pytest.mark.parametrize("kind", ["stream_silence", "stream_cut"])
def test_max_loss_works_without_a_stream(house: House, kind: str) -> None:
    watch = Watch(house)
    run = open_run(house, kind, max_loss=20_000.0)
    house.paper.fault(kind, seconds=10.0)
    house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
    closed = house.until_closed(run, 20)
    house.paper.clear_faults()
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
