"""Pure rules of matching and of displayed quantities."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import Action, Exchange, PriceType, Product
from engine.paper import matching
from engine.paper.liquidity import REFILL_SECONDS, DisplayedLiquidity
from engine.paper.orders import PaperOrder, Status
from engine.paper.quotes import Level
from tests.paper_floor import Floor

LOT = 65
OPTION = Floor().option


def order(action: Action, price_type: PriceType = PriceType.LIMIT, price: int = 20_000, **fields: int) -> PaperOrder:
    return PaperOrder(
        order_id="1",
        api_key="k",
        strategy="t",
        symbol=OPTION.symbol,
        exchange=Exchange.NFO,
        action=action,
        quantity=10 * LOT,
        price_type=price_type,
        product=Product.NRML,
        price=price,
        trigger_price=0,
        placed_at=0.0,
        status=Status.OPEN,
        **fields,
    )


LADDERS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 500)), min_size=1, max_size=5).map(
    lambda rows: [Level(19_990 + 5 * sum(step for step, _ in rows[: k + 1]), rows[k][1], 1) for k in range(len(rows))]
)


@given(LADDERS, st.integers(1, 30), st.integers(19_980, 20_040))
def test_what_is_taken_is_whole_lots_within_limit_levels_and_quantity(
    levels: list[Level], lots: int, limit: int
) -> None:
    taken = matching.takes(order(Action.BUY, price=limit), levels, quantity=lots * LOT, lot_size=LOT)
    assert sum(units for _, units in taken) <= lots * LOT
    assert all(units % LOT == 0 and units > 0 for _, units in taken)
    assert all(price <= limit for price, _ in taken)
    assert [price for price, _ in taken] == sorted(price for price, _ in taken)
    within = sum(level.quantity // LOT for level in levels if level.price <= limit)
    assert sum(units for _, units in taken) == min(lots, within) * LOT


@pytest.mark.parametrize("kind", [PriceType.MARKET, PriceType.SL_M])
def test_order_without_a_limit_has_its_protected_price_for_one(kind: PriceType) -> None:
    assert matching.limit_of(order(Action.BUY, kind, protected=20_200)) == 20_200
    assert matching.crosses(order(Action.BUY, kind, protected=20_200), 20_200)
    assert not matching.crosses(order(Action.BUY, kind, protected=20_200), 20_205)
    assert not matching.crosses(order(Action.SELL, kind, protected=19_800), 19_795)


def liquidity(*asks: Level) -> DisplayedLiquidity:
    return DisplayedLiquidity(lambda _, __: ([Level(19_995, LOT, 1)], list(asks)))


def test_taken_units_are_missing_until_the_next_second() -> None:
    book = liquidity(Level(20_005, 3 * LOT, 1), Level(20_010, LOT, 1))
    book.take(OPTION, Action.BUY, price=20_005, quantity=2 * LOT, at=100.2)
    assert book.levels(OPTION, Action.BUY, 100.9) == [Level(20_005, LOT, 1), Level(20_010, LOT, 1)]
    book.take(OPTION, Action.BUY, price=20_005, quantity=LOT, at=100.95)
    assert book.levels(OPTION, Action.BUY, 100.99) == [Level(20_010, LOT, 1)]
    assert book.depth(OPTION, 100.99)[0] == [Level(19_995, LOT, 1)]
    assert book.levels(OPTION, Action.BUY, 100.0 + REFILL_SECONDS)[0].quantity == 3 * LOT


def test_levels_at_one_tick_are_emptied_one_after_the_other() -> None:
    book = liquidity(Level(5, 2 * LOT, 1), Level(5, 3 * LOT, 1))
    book.take(OPTION, Action.BUY, price=5, quantity=3 * LOT, at=1.0)
    assert book.levels(OPTION, Action.BUY, 1.5) == [Level(5, 2 * LOT, 1)]
