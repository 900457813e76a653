"""What valid books say of an order that no row names: absent, filled by position, or nobody can tell (RULES 5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.evidence import AccountBooks, SeenOrder, SeenTrade
from engine.domain.instruments import Action
from engine.domain.movement import Fate, fate_by_position, unexplained, unlisted_rows, visible_ids
from engine.domain.orders import Order, OrderState
from tests.unit.strategies import thorough
from tests.unit.test_evidence import CALL, PUT, books, row, trade
from tests.unit.test_orders import NOW, order


def unknown(**fields: Any) -> Order:
    """A sale of 130 calls whose fate is unknown, sent when nothing was unexplained."""
    plain: dict[str, Any] = {"state": OrderState.UNKNOWN, "orderid": None, "sent_at": NOW, "unexplained_before": 0}
    return order(**(plain | fields))


def fate(one: Order, seen: AccountBooks, *, alone: bool = True, claimed: tuple[str, ...] = ()) -> Fate:
    return fate_by_position(one, seen, claimed=claimed, alone=alone)


SOLD = {CALL: -130}


@pytest.mark.parametrize(
    ("seen", "how", "expected"),
    [
        (books(), {}, Fate.ABSENT),
        (books(net=SOLD), {}, Fate.FILLED),
        (books(net=SOLD), {"alone": False}, Fate.OPEN),
        (books(net={CALL: -65}), {}, Fate.OPEN),
        (books(net={CALL: 130}), {}, Fate.OPEN),
        (books(net={PUT: -130}), {}, Fate.ABSENT),
        # trades of an order that the order book does not list: unexplained, and ours if they are exactly ours
        (books(trades=(trade("X1", 60), trade("X2", 70)), net=SOLD), {}, Fate.FILLED),
        (books(trades=(trade("X1", 60),), net={CALL: -60}), {}, Fate.OPEN),
        # trades of a listed order are somebody's own, or ours in another shape
        (books((row("M1"),), (trade("M1", 130),), net=SOLD), {}, Fate.OPEN),
        (books((row("M1"),), (trade("M1", 130),), net=SOLD), {"claimed": ("M1",)}, Fate.ABSENT),
        (books((row("M1", action=Action.BUY),), (trade("M1", 65, CALL, Action.BUY),), net={CALL: 65}), {}, Fate.ABSENT),
        (books((row("M1"),), (trade("M1", 65), trade("X1", 130)), net={CALL: -195}), {}, Fate.OPEN),
        # somebody bought what ours sold: the net stands still, but a trade on our side is new
        (books(trades=(trade("X1", 130), trade("X2", 130, CALL, Action.BUY))), {}, Fate.OPEN),
    ],
)
def test_fate_of_an_order_that_nothing_names(seen: AccountBooks, how: dict[str, Any], expected: Fate) -> None:
    assert fate(unknown(), seen, **how) is expected


def test_trades_that_were_visible_before_prove_nothing() -> None:
    seen = books((row("M1"),), (trade("M1", 130),), net=SOLD)
    assert fate(unknown(visible_before=("M1",)), seen) is Fate.ABSENT


def test_what_was_unexplained_before_is_no_movement() -> None:
    one = unknown(unexplained_before=-130)
    assert fate(one, books(net=SOLD)) is Fate.ABSENT
    assert fate(one, books(net={CALL: -260})) is Fate.FILLED
    assert fate(one, books()) is Fate.OPEN


def test_order_without_a_net_of_before_is_left_to_a_person() -> None:
    one = unknown(unexplained_before=None)
    assert fate(one, books()) is Fate.OPEN
    assert fate(one, books(net=SOLD)) is Fate.OPEN


def test_ids_that_books_and_pushes_show_are_of_the_side_and_of_every_quantity() -> None:
    seen = books(
        (row("A1"), row("A2", quantity=65), row("A3", action=Action.BUY), row("A4", instrument=PUT)),
        (trade("X1", 5), trade("A1", 5), trade("X2", 5, CALL, Action.BUY)),
    )
    assert visible_ids(seen, [row("P1")], CALL, Action.SELL) == ("A1", "A2", "P1", "X1")
    assert visible_ids(None, [], CALL, Action.SELL) == ()


def test_trade_book_alone_gives_rows_of_the_orders_own_kind() -> None:
    seen = books((row("A1"),), (trade("A1", 130), trade("X1", 60), trade("X1", 70), trade("X2", 5, PUT)))
    assert [(one.orderid, one.quantity) for one in unlisted_rows(unknown(), seen)] == [("X1", 130)]


trades_seen = st.lists(
    st.builds(
        SeenTrade,
        st.sampled_from(["A1", "A2", "X1", "X2"]),
        st.sampled_from([CALL, PUT]),
        st.sampled_from(list(Action)),
        st.integers(1, 5).map(lambda lots: lots * 65),
        st.just(100.0),
    ),
    max_size=6,
)


@thorough
@given(trades_seen, st.integers(-3, 3).map(lambda lots: lots * 65), st.booleans())
def test_order_whose_fill_moved_the_net_is_never_called_absent(
    trades: list[SeenTrade], opening: int, listed_too: bool
) -> None:
    """Whatever others did before and since: a fill of ours in the books, in any shape, is never taken for nothing."""
    rows: tuple[SeenOrder, ...] = (row("A1"), row("A2"))

    def shown(of: list[SeenTrade], also: tuple[SeenOrder, ...] = ()) -> AccountBooks:
        net = opening + sum(one.action.sign * one.quantity for one in of if one.instrument == CALL)
        return books((*rows, *also), tuple(of), net={CALL: net})

    before = shown(trades)
    one = unknown(
        unexplained_before=unexplained(before, CALL), visible_before=visible_ids(before, [], CALL, Action.SELL)
    )
    assert fate(one, before) is Fate.ABSENT
    also = (row("NEW", quantity=65),) if listed_too else ()
    after = shown([*trades, trade("NEW", 130)], also)
    assert fate(one, after) is (Fate.OPEN if listed_too else Fate.FILLED)
    silent = books(rows, tuple(trades), net={CALL: before.net[CALL] - 130})
    assert fate(one, silent) is Fate.FILLED


def test_trade_of_ours_that_came_between_two_books_leaves_nothing_unexplained() -> None:
    """The order book was read before our sale, the trade book after it: absence of the next order stays provable."""
    torn = books(trades=(trade("A1", 65),), net={CALL: -65})
    before = unexplained(torn, CALL, {"A1"})
    assert (before, unexplained(torn, CALL)) == (0, -65)
    later = books((row("A1"),), (trade("A1", 65),), net={CALL: -65})
    assert fate(unknown(unexplained_before=before), later, claimed=("A1",)) is Fate.ABSENT
    assert fate(unknown(unexplained_before=before), torn, claimed=("A1",)) is Fate.ABSENT
