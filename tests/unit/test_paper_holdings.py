"""Shares from one day to the next: positions become holdings, sales are delivered, money stays exact."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.instruments import Contract, Exchange, Product
from engine.paper.clock import day_start
from engine.paper.faces import FACES
from engine.paper.orders import Status
from engine.paper.wire import Refusal
from tests.paper_floor import DAY_SECONDS, Floor, Seat, unbalanced


class Shareholder:
    """One account that trades SBIN with CNC."""

    def __init__(self, floor: Floor, face: str = "analyze") -> None:
        self.floor = floor
        self.share: Contract = floor.contract("SBIN", Exchange.NSE)
        self.seat: Seat = floor.account("asha", face=face)
        floor.pin(self.share, 800.0)

    def trade(self, action: str, quantity: int, **fields: float) -> None:
        self.seat.place(action, quantity, contract=self.share, product=Product.CNC, **fields)

    @property
    def position(self) -> int:
        return self.seat.net(self.share, Product.CNC)

    @property
    def held(self) -> list[tuple[int, float]]:
        holdings = self.floor.exchange.holdings(self.seat.account)
        return [(holding.quantity, holding.average) for holding in holdings]


@pytest.fixture
def asha() -> Shareholder:
    return Shareholder(Floor())


def test_shares_of_today_are_a_position_and_of_yesterday_a_holding(asha: Shareholder) -> None:
    asha.trade("BUY", 10)
    price = asha.seat.account.trades[0].price
    before = asha.seat.available
    assert (asha.position, asha.held) == (10, [])
    asha.floor.pass_time(DAY_SECONDS)
    assert (asha.position, asha.held) == (0, [(10, price / 100)])
    assert asha.seat.available == before == asha.seat.account.funds - 10 * price
    asha.trade("BUY", 5)
    assert (asha.position, asha.held) == (5, [(10, price / 100)])
    asha.floor.pass_time(DAY_SECONDS)
    assert [quantity for quantity, _ in asha.held] == [15]


def test_holding_is_sold_today_and_delivered_tomorrow(asha: Shareholder) -> None:
    asha.trade("BUY", 10)
    asha.floor.pass_time(DAY_SECONDS)
    asha.floor.pin(asha.share, 900.0)
    before = asha.seat.available
    asha.trade("SELL", 4)
    assert asha.seat.available == before
    bought, sold = (trade.price for trade in asha.seat.account.trades)
    assert (asha.position, [quantity for quantity, _ in asha.held]) == (-4, [10])
    assert asha.seat.account.realised == 0
    asha.floor.pass_time(DAY_SECONDS)
    assert (asha.position, asha.held) == (0, [(6, bought / 100)])
    assert asha.seat.account.realised == 4 * (sold - bought)
    assert asha.seat.available == asha.seat.account.funds + 4 * (sold - bought) - 6 * bought
    asha.trade("SELL", 6)
    asha.floor.pass_time(DAY_SECONDS)
    assert (asha.held, asha.seat.account.delivered_cost) == ([], 0)
    assert unbalanced(asha.seat.account) == []


def test_sold_out_holding_does_not_come_back(tmp_path: Path) -> None:
    state = tmp_path / "paper.db"
    asha = Shareholder(Floor(state))
    asha.trade("BUY", 10)
    asha.floor.pass_time(DAY_SECONDS)
    assert Floor(state, now=asha.floor.now).exchange.accounts == asha.floor.exchange.accounts
    asha.trade("SELL", 10)
    asha.floor.pass_time(DAY_SECONDS)
    again = Floor(state, now=asha.floor.now).exchange
    assert again.accounts == asha.floor.exchange.accounts
    assert again.holdings(again.accounts["asha"]) == []


def test_what_is_sold_or_being_sold_cannot_be_sold_again(asha: Shareholder) -> None:
    asha.trade("BUY", 10)
    asha.floor.pass_time(DAY_SECONDS)
    asha.trade("SELL", 4)
    asha.trade("SELL", 5, price=850.0)
    with pytest.raises(Refusal, match="Only 1 shares available"):
        asha.trade("SELL", 2)
    (resting,) = asha.seat.account.working.values()
    with pytest.raises(Refusal, match="Only 6 shares available"):
        asha.seat.modify(resting, 7, price=850.0, contract=asha.share, product=Product.CNC)
    asha.seat.modify(resting, 6, price=850.0, contract=asha.share, product=Product.CNC)
    with pytest.raises(Refusal, match="No positions or holdings available"):
        asha.trade("SELL", 1)
    assert asha.position == -4


def test_bought_back_shares_are_kept(asha: Shareholder) -> None:
    asha.trade("BUY", 10)
    asha.floor.pass_time(DAY_SECONDS)
    asha.trade("SELL", 10)
    asha.trade("BUY", 10)
    assert asha.position == 0
    asha.floor.pass_time(DAY_SECONDS)
    assert [quantity for quantity, _ in asha.held] == [10]
    assert unbalanced(asha.seat.account) == []


def test_order_that_comes_before_the_first_sweep_of_a_day_finds_the_holding(asha: Shareholder) -> None:
    asha.trade("BUY", 10)
    asha.floor.now += DAY_SECONDS
    asha.trade("BUY", 1)
    assert (asha.position, [quantity for quantity, _ in asha.held]) == (1, [10])


def test_derivatives_and_intraday_shares_stay_positions(asha: Shareholder) -> None:
    asha.seat.place("BUY", 65)
    asha.seat.place("BUY", 10, contract=asha.share, product=Product.MIS)
    asha.floor.pass_time(DAY_SECONDS)
    assert (asha.held, asha.seat.net(), asha.seat.net(asha.share, Product.MIS)) == ([], 65, 10)


DAYS = st.lists(
    st.tuples(
        st.sampled_from(["BUY", "SELL"]), st.integers(1, 40), st.sampled_from([790.0, 800.05, 813.3]), st.booleans()
    ),
    max_size=12,
)


@settings(max_examples=20, derandomize=True, deadline=None)
@given(DAYS, st.sampled_from(["analyze", "live"]))
def test_shares_and_money_add_up_over_days(steps: list[tuple[str, int, float, bool]], face: str) -> None:
    with TemporaryDirectory() as folder:
        state = Path(folder) / "paper.db"
        asha = Shareholder(Floor(state), face)
        for action, quantity, rupees, next_day in steps:
            asha.floor.pin(asha.share, rupees)
            try:
                asha.trade(action, quantity)
            except Refusal:
                assert action == "SELL"
                assert asha.seat.account.sellable("SBIN", Exchange.NSE) < quantity
            if next_day:
                asha.floor.pass_time(DAY_SECONDS)
            assert unbalanced(asha.seat.account) == []
            assert asha.seat.account.sellable("SBIN", Exchange.NSE) >= 0
        asha.floor.pass_time(DAY_SECONDS)
        assert asha.position == 0
        assert Floor(state, now=asha.floor.now).exchange.accounts == asha.floor.exchange.accounts


@pytest.mark.parametrize("face", ["live", "analyze"])
def test_clock_that_is_set_back_over_midnight_ends_and_delivers_nothing(face: str) -> None:
    midnight = day_start(date(2026, 11, 25))
    floor = Floor(now=midnight + 1.0)
    asha = floor.account("asha", face=face)
    share = floor.contract("SBIN", Exchange.NSE)
    asha.place("BUY", 10, contract=share, product=Product.CNC)
    resting = asha.place("BUY", 65, price=round(floor.asks()[0][0] / 100 * 0.95, 1))
    floor.pass_time(-3.0)
    asha.place("SELL", 5, contract=share, product=Product.CNC)
    floor.exchange.sweep()
    assert asha.order(resting).status is Status.OPEN
    assert (asha.net(share, Product.CNC), asha.account.holdings) == (5, {})
    rows = FACES[face]
    assert len(rows.order_book(asha.account, floor.now)["orders"]) == 3
    assert len({row["orderid"] for row in rows.trade_book(asha.account, floor.now)}) == 2
    assert [row["quantity"] for row in rows.position_book(floor.exchange, asha.account)["data"]] == [5]
    floor.pass_time(DAY_SECONDS + 3.0)
    assert asha.order(resting).status is Status.CANCELLED
    assert [holding.quantity for holding in asha.account.holdings.values()] == [5]
    assert unbalanced(asha.account) == []
