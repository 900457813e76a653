"""What simulations found: each of these broke a law once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.floor import Floor
from tests.simulation.trouble import Fate, Placing, Read
from tests.stage import CALL, FLY, HEDGE, SOLD


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    floor = Floor(tmp_path, legs=FLY, pushes=True, sold_leg_failure="unwind")
    floor.wait(1.0)
    yield floor
    floor.close_floor()


def test_hedge_stays_while_books_do_not_list_the_sold_leg_that_a_push_showed(floor: Floor) -> None:
    """The push of a fill comes before the books show it: the sold leg was not closed by hand."""
    floor.fate(1, Placing(Fate.FILL), Placing(Fate.OPEN, 6.0), Placing(Fate.REFUSED))
    floor.begin_run()
    for _ in range(200):
        floor.step(0.1)
        floor.laws.after_step()
    exits = [order.symbol for order in floor.hands[1].sent if order.purpose == "exit"]
    assert exits == [CALL, HEDGE]
    assert not [fill for fill in floor.events("drift") if "closed outside" in fill.message]
    floor.end()
    assert floor.broker(1).net == {}


def test_books_without_the_trade_of_an_order_they_call_complete_charge_nothing(tmp_path: Path) -> None:
    """The first books after an entry list its orders, and empty trades and positions: nobody closed anything."""
    floor = Floor(tmp_path, legs=SOLD)
    floor.wait(1.0)
    floor.reads(1, Read.NO_TRADES)
    floor.begin_run()
    floor.wait(40.0)
    floor.laws.after_step()
    assert floor.run(1).state == "open"
    floor.end()
    assert [order.purpose for order in floor.hands[1].sent] == ["entry", "entry", "exit", "exit"]
    assert floor.broker(1).net == {}
    floor.close_floor()
