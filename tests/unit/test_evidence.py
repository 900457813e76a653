"""Which reads are evidence, and which row may be an order whose fate is unknown (RULES 5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.evidence import (
    DISAGREE,
    AccountBooks,
    Instrument,
    SeenOrder,
    SeenTrade,
    candidates,
    defect,
    fewer,
    lookalikes,
    same_class,
)
from engine.domain.instruments import Action, Exchange, PriceType, Product
from engine.domain.orders import OrderState
from tests.unit.strategies import thorough
from tests.unit.test_orders import NOW, order

CALL = Instrument("NIFTY01DEC2626000CE", Exchange.NFO, Product.NRML)
PUT = Instrument("NIFTY01DEC2626000PE", Exchange.NFO, Product.NRML)
UNKNOWN = order(state=OrderState.UNKNOWN, orderid=None, sent_at=NOW)


def row(orderid: str = "B1", **fields: Any) -> SeenOrder:
    plain: dict[str, Any] = {
        "instrument": CALL, "action": Action.SELL, "quantity": 130, "price_type": PriceType.MARKET, "price": 0.0,
        "status": "open", "filled_quantity": 0, "average_price": None, "at": None, "tag": None,
    }  # fmt: skip
    return SeenOrder(orderid, **(plain | fields))


def trade(orderid: str, quantity: int, instrument: Instrument = CALL, action: Action = Action.SELL) -> SeenTrade:
    return SeenTrade(orderid, instrument, action, quantity, 100.0)


def books(orders: tuple[SeenOrder, ...] = (), trades: tuple[SeenTrade, ...] = (), **fields: Any) -> AccountBooks:
    net = fields.pop("net", {})
    return AccountBooks(fields.pop("mode", "live"), NOW, NOW, orders, trades, net, **fields)


def judged(one: AccountBooks, **fields: Any) -> str | None:
    plain: dict[str, Any] = {"mode": "live", "acknowledged": (), "traded_before": {}, "opening": None}
    return defect(one, **(plain | fields))


def test_books_that_show_everything_are_evidence() -> None:
    one = books((row("A1"),), (trade("A1", 65),), net={CALL: -65})
    assert judged(one, acknowledged={"A1"}, traded_before={"A1": 65}, opening={}) is None


@pytest.mark.parametrize(
    ("one", "asked", "why"),
    [
        (books(mode="analyze"), {}, "analyze mode"),
        (books(), {"acknowledged": {"A1", "A2"}}, "lacks 2 of our orders"),
        (books((row("A1"),)), {"acknowledged": {"A1"}, "traded_before": {"A1": 65}}, "less of order A1"),
        (books((row("A1"),), (trade("A1", 65),)), {"traded_before": {"A1": 130}}, "less of order A1"),
        (books(net={CALL: -65}), {"opening": {}}, DISAGREE),
        (books((row("A1"),), (trade("A1", 65),)), {"opening": {}}, DISAGREE),
        (books(), {"opening": {PUT: 65}}, DISAGREE),
    ],
)
def test_books_that_lack_something_are_a_failed_read(one: AccountBooks, asked: dict[str, Any], why: str) -> None:
    assert why in str(judged(one, **asked))


def test_empty_books_are_evidence_only_while_nothing_is_known() -> None:
    assert judged(books(), opening={}) is None
    assert judged(books(), acknowledged={"A1"}) is not None
    assert judged(books(), traded_before={"A1": 65}) is not None
    assert judged(books(), opening={CALL: -65}) is not None


LATER = NOW + timedelta(seconds=1)
HELD = {CALL: -130}
FULL = books((row("A1"),), (trade("A1", 65),), net={CALL: -195}, broker="zerodha")
KNOWN: dict[str, Any] = {
    "acknowledged": {"A1"}, "traded_before": {"A1": 65}, "opening": HELD, "broker": "zerodha",
    "after": NOW - timedelta(seconds=1), "in_session": False, "carried": HELD,
}  # fmt: skip


def test_books_are_valid_by_every_part_of_the_rule_at_once() -> None:
    assert judged(FULL, **KNOWN) is None


@pytest.mark.parametrize(
    ("changed", "asked", "why"),
    [
        ({"mode": "analyze"}, {}, "armed in live mode"),
        ({"broker": "angel"}, {}, "speaks for angel, the account was armed with zerodha"),
        ({"broker": ""}, {}, "speaks for nobody"),
        ({}, {"after": NOW}, "began before"),
        ({}, {"after": LATER}, "began before"),
        ({"orders": ()}, {}, "lacks 1 of our orders"),
        ({"orders": (row("A2"),)}, {}, "lacks 1 of our orders"),
        ({"trades": (trade("A1", 64),)}, {}, "less of order A1"),
        ({"trades": ()}, {}, "less of order A1"),
        ({"net": {CALL: -65}}, {}, "no book is evidence of less (NIFTY01DEC2626000CE)"),
        ({"net": {CALL: -130}}, {}, DISAGREE),  # it may still list the trades of the day before
        ({"net": {}}, {}, "no book is evidence of less"),
        ({"net": {CALL: 195}}, {}, "no book is evidence of less"),
        ({"net": {CALL: -130}}, {"in_session": True}, DISAGREE),
        ({"net": {CALL: -260}}, {}, DISAGREE),
        ({"orders": (), "trades": (), "net": {}}, {}, "lacks 1 of our orders"),
    ],
)
def test_each_part_of_the_rule_alone_makes_a_read_a_failed_one(
    changed: dict[str, Any], asked: dict[str, Any], why: str
) -> None:
    assert why in str(judged(replace(FULL, **changed), **(KNOWN | asked)))


def test_the_first_read_of_a_morning_cannot_make_a_carried_position_vanish() -> None:
    empty = books()
    assert judged(empty, in_session=True, carried=HELD) is None
    assert "evidence of less" in str(judged(empty, in_session=False, carried=HELD))
    assert judged(books(net={CALL: -195}), in_session=False, carried=HELD) is None, "more is evidence at any time"


def test_what_was_sold_today_is_no_less_outside_the_session() -> None:
    bought = trade("A1", 130, CALL, Action.BUY)
    assert judged(books((row("A1"),), (bought,)), in_session=False, carried=HELD, opening=HELD) is None


@thorough
@given(
    before=st.dictionaries(st.sampled_from([CALL, PUT]), st.integers(-300, 300), max_size=2),
    now=st.dictionaries(st.sampled_from([CALL, PUT]), st.integers(-300, 300), max_size=2),
)
def test_fewer_is_nearer_to_flat_or_turned_around(before: dict[Instrument, int], now: dict[Instrument, int]) -> None:
    found = fewer(now, before)
    assert fewer(before, before) == []
    for instrument in (CALL, PUT):
        held, left = before.get(instrument, 0), now.get(instrument, 0)
        kept = held == 0 or (held * left > 0 and abs(left) >= abs(held))
        assert (instrument in found) is not kept


def test_opening_is_net_less_what_was_traded_today() -> None:
    one = books(trades=(trade("A1", 65), trade("A2", 130, CALL, Action.BUY)), net={CALL: 130, PUT: -65})
    assert one.opening == {CALL: 65, PUT: -65}
    assert one.traded == {"A1": 65, "A2": 130}


@thorough
@given(
    carried=st.dictionaries(st.sampled_from([CALL, PUT]), st.integers(-300, 300).filter(bool), max_size=2),
    traded=st.lists(
        st.tuples(st.sampled_from([CALL, PUT]), st.sampled_from(list(Action)), st.integers(1, 300)), max_size=8
    ),
    lost=st.integers(0, 7),
)
def test_trades_explain_positions_and_a_lost_trade_is_noticed(
    carried: dict[Instrument, int], traded: list[Any], lost: int
) -> None:
    trades = tuple(trade(f"T{i}", q, inst, action) for i, (inst, action, q) in enumerate(traded))
    net: dict[Instrument, int] = dict(carried)
    for one in trades:
        net[one.instrument] = net.get(one.instrument, 0) + one.action.sign * one.quantity
    whole = books(trades=trades, net=net)
    assert judged(whole, opening=carried, traded_before=whole.traded) is None
    if lost < len(trades):
        less = books(trades=tuple(t for i, t in enumerate(trades) if i != lost), net=net)
        assert judged(less, opening=carried) == DISAGREE
        assert judged(less, traded_before=whole.traded) is not None


def test_row_of_the_same_class_is_a_candidate() -> None:
    assert candidates(UNKNOWN, [row("B1"), row("B2")], claimed=()) == [row("B1"), row("B2")]


@pytest.mark.parametrize(
    "other",
    [
        {"instrument": PUT},
        {"instrument": CALL._replace(product=Product.MIS)},
        {"instrument": CALL._replace(exchange=Exchange.BFO)},
        {"action": Action.BUY},
        {"quantity": 65},
        {"price_type": PriceType.SL},
        {"price_type": PriceType.SL_M},
        {"tag": "am-3-8"},
        {"at": NOW - timedelta(seconds=5, milliseconds=1)},
    ],
)
def test_row_of_another_class_kind_tag_or_time_is_none(other: dict[str, Any]) -> None:
    assert candidates(UNKNOWN, [row(**other)], claimed=()) == []


def test_row_that_stood_there_before_or_is_claimed_is_none() -> None:
    assert candidates(replace(UNKNOWN, visible_before=("B1",)), [row("B1")], claimed=()) == []
    assert candidates(UNKNOWN, [row("B1")], claimed={"B1"}) == []


def test_own_tag_is_the_only_candidate_and_needs_no_time() -> None:
    own = row("B2", tag=UNKNOWN.tag, at=NOW - timedelta(hours=1))
    assert candidates(UNKNOWN, [row("B1"), own, row("B3")], claimed=()) == [own]


def test_foreign_tag_may_be_ours_where_a_broker_writes_its_own() -> None:
    assert candidates(UNKNOWN, [row(tag="web")], claimed=()) == [row(tag="web")]


def test_time_is_a_lower_bound_only() -> None:
    for at in (NOW - timedelta(seconds=5), NOW, NOW + timedelta(hours=3)):
        assert candidates(UNKNOWN, [row(at=at)], claimed=()) == [row(at=at)]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (PriceType.MARKET, {PriceType.MARKET, PriceType.LIMIT}),
        (PriceType.SL_M, {PriceType.SL_M, PriceType.SL, PriceType.LIMIT, PriceType.MARKET}),
        (PriceType.SL, {PriceType.SL, PriceType.LIMIT}),
        (PriceType.LIMIT, {PriceType.LIMIT}),
    ],
)
def test_brokers_rewrite_price_types(ours: PriceType, theirs: set[PriceType]) -> None:
    one = replace(UNKNOWN, price_type=ours, price=101.5)
    found = {kind for kind in PriceType if candidates(one, [row(price_type=kind, price=101.5)], claimed=())}
    assert found == theirs


def test_limit_at_another_price_is_none() -> None:
    one = replace(UNKNOWN, price_type=PriceType.LIMIT, price=101.5)
    assert candidates(one, [row(price_type=PriceType.LIMIT, price=101.55)], claimed=()) == []


rows = st.builds(
    row,
    orderid=st.sampled_from([f"B{i}" for i in range(6)]),
    instrument=st.sampled_from([CALL, PUT]),
    action=st.sampled_from(list(Action)),
    quantity=st.sampled_from([65, 130]),
    price_type=st.sampled_from(list(PriceType)),
    tag=st.sampled_from([None, "am-3-7", "am-3-8", "web"]),
    at=st.none() | st.integers(-3600, 3600).map(lambda s: datetime(2026, 11, 23, 5, tzinfo=UTC) + timedelta(seconds=s)),
)


@thorough
@given(
    seen=st.lists(rows, max_size=8),
    claimed=st.sets(st.sampled_from([f"B{i}" for i in range(6)])),
    before=st.sets(st.sampled_from([f"B{i}" for i in range(6)])),
)
def test_no_candidate_is_claimed_known_before_or_of_another_class(
    seen: list[SeenOrder], claimed: set[str], before: set[str]
) -> None:
    one = replace(UNKNOWN, visible_before=tuple(before))
    for found in candidates(one, seen, claimed=claimed):
        assert found.orderid not in claimed | before
        assert same_class(one, found)
        assert found.tag != "am-3-8"


@pytest.mark.parametrize("behind", [5, 60, 3600])
def test_clock_that_is_known_to_be_behind_widens_the_search_and_one_ahead_does_not_narrow_it(behind: int) -> None:
    early = row(at=NOW - timedelta(seconds=behind + 4))
    assert candidates(UNKNOWN, [early], claimed=()) == []
    assert candidates(UNKNOWN, [early], claimed=(), offset=timedelta(seconds=-behind)) == [early]
    prompt = row(at=NOW - timedelta(seconds=4))
    assert candidates(UNKNOWN, [prompt], claimed=(), offset=timedelta(seconds=behind)) == [prompt]


def test_row_that_the_rules_exclude_may_be_the_order_all_the_same() -> None:
    stop = row(price_type=PriceType.SL)
    early = row(at=NOW - timedelta(seconds=60))
    assert candidates(UNKNOWN, [stop, early], claimed=()) == []
    assert lookalikes(UNKNOWN, [stop, early], claimed=()) == [stop, early]
    assert lookalikes(UNKNOWN, [stop, early], claimed=(), offset=timedelta(0)) == [stop], "its clock is known"


@pytest.mark.parametrize(
    "other", [{"tag": "am-9-9"}, {"quantity": 65}, {"action": Action.BUY}, {"instrument": PUT}], ids=str
)
def test_row_of_another_order_of_ours_or_of_another_class_looks_like_nothing(other: dict[str, Any]) -> None:
    assert lookalikes(UNKNOWN, [row(**other)], claimed=()) == []
    assert lookalikes(UNKNOWN, [row("B1")], claimed=("B1",)) == []
    assert lookalikes(replace(UNKNOWN, visible_before=("B1",)), [row("B1")], claimed=()) == []
