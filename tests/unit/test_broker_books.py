"""Books that contradict themselves are a failed read: from the wire's rows to the evidence the engine judges."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.broker.errors import BadAnswerError
from engine.broker.feed import OrderPush
from engine.broker.frames import read_frame
from engine.broker.models import Book, Mode
from engine.broker.parsing import account
from engine.domain.evidence import AccountBooks, Instrument
from engine.domain.instruments import Exchange, Product
from engine.runtime.seen import seen_books, seen_push

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
CALL = {"symbol": "NIFTY01DEC2626000CE", "exchange": "NFO", "product": "NRML"}
POSITION = {**CALL, "quantity": 65, "average_price": "150.05"}
ORDER = {
    **CALL, "orderid": "26112", "action": "BUY", "quantity": 65, "price": 150.05, "trigger_price": 0,
    "pricetype": "LIMIT", "order_status": "open", "timestamp": "2026-11-23 10:00:00",
}  # fmt: skip
TRADE = {
    **CALL, "orderid": "26112", "action": "BUY", "quantity": 30, "average_price": 150.05, "tradeid": "T1",
    "timestamp": "10:00:01",
}  # fmt: skip


def book(rows: tuple[Any, ...]) -> Book[Any]:
    return Book(rows, Mode.LIVE, NOW, NOW)


def seen(*, orders: Any = (), trades: Any = (), positions: Any = ()) -> AccountBooks:
    return seen_books(
        book(account.orders({"data": {"orders": list(orders)}})),
        book(account.trades({"data": list(trades)})),
        book(account.positions({"data": list(positions)})),
    )


@pytest.mark.parametrize("second", [POSITION, {**POSITION, "quantity": -65}, {**POSITION, "quantity": 0}])
def test_two_rows_of_one_position_are_neither_added_nor_is_the_last_taken(second: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="position book lists NIFTY01DEC2626000CE NFO NRML twice"):
        seen(positions=[POSITION, second])


def test_one_symbol_in_two_products_is_two_positions() -> None:
    books = seen(positions=[POSITION, {**POSITION, "product": "MIS", "quantity": -30}])
    assert books.net == {
        Instrument(CALL["symbol"], Exchange.NFO, Product.NRML): 65,
        Instrument(CALL["symbol"], Exchange.NFO, Product.MIS): -30,
    }


def test_an_order_in_two_states_spoils_the_order_book() -> None:
    with pytest.raises(ValueError, match="order book lists order 26112 twice"):
        seen(orders=[ORDER, {**ORDER, "order_status": "complete"}])
    assert len(seen(orders=[ORDER, {**ORDER, "orderid": "26113"}]).orders) == 2


def test_an_order_listed_twice_the_same_is_one_fact() -> None:
    assert {row.orderid for row in seen(orders=[ORDER, ORDER]).orders} == {"26112"}


def test_one_trade_listed_twice_is_not_counted_twice() -> None:
    with pytest.raises(ValueError, match="trade book lists trade T1 twice"):
        seen(trades=[TRADE, TRADE])


@pytest.mark.parametrize("own", [{"tradeid": "T2"}, {"quantity": 35}, {"timestamp": "10:00:02"}])
def test_two_trades_of_one_order_are_counted_both(own: dict[str, Any]) -> None:
    assert seen(trades=[TRADE, {**TRADE, **own}]).traded == {"26112": 30 + own.get("quantity", 30)}


def test_brokers_that_number_no_trades_may_have_two_alike() -> None:
    plain = {name: value for name, value in TRADE.items() if name != "tradeid"}
    assert seen(trades=[plain, plain]).traded == {"26112": 60}


@pytest.mark.parametrize("orderid", [1_100_000_017, "1100000017", " 1100000017 "])
def test_an_id_that_is_a_number_is_the_same_in_every_book(orderid: Any) -> None:
    books = seen(orders=[{**ORDER, "orderid": orderid}], trades=[{**TRADE, "orderid": orderid}])
    assert (books.orders[0].orderid, books.trades[0].orderid) == ("1100000017", "1100000017")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filled_quantity", -65), ("quantity", -65), ("quantity", " 65"), ("quantity", "6e1"), ("quantity", True),
        ("quantity", 2**60), ("quantity", "65.5"), ("quantity", None), ("price", float("nan")),
        ("price", float("inf")), ("price", 10**400), ("average_price", "NaN"), ("orderid", ""), ("orderid", True),
        ("orderid", ["26112"]), ("action", "buy"), ("product", "nrml"), ("exchange", "nfo"), ("order_status", ""),
        ("order_status", None), ("symbol", " "), ("rejection_reason", 5), ("strategy", 5), ("pending_quantity", "all"),
    ],
)  # fmt: skip
def test_an_order_with_a_spoiled_field_spoils_the_book_and_names_it(field: str, value: Any) -> None:
    with pytest.raises(BadAnswerError, match=rf"data\.orders\[1\]\.{field}: "):
        seen(orders=[ORDER, {**ORDER, "orderid": "2", field: value}])


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda: seen(trades=[{**TRADE, "quantity": -30}]), "data[0].quantity"),
        (lambda: seen(trades=[{**TRADE, "orderid": None}]), "data[0].orderid"),
        (lambda: seen(positions=[{**POSITION, "quantity": "sixty"}]), "data[0].quantity"),
        (lambda: seen(positions=["flat"]), "data[0].row"),
    ],
)
def test_a_spoiled_trade_or_position_is_named(spoil: Callable[[], Any], named: str) -> None:
    with pytest.raises(BadAnswerError) as raised:
        spoil()
    assert raised.value.what.startswith(f"{named}: ")


def test_whole_numbers_may_come_as_text_or_with_a_point() -> None:
    assert seen(orders=[{**ORDER, "quantity": "65.0"}]).orders[0].quantity == 65
    assert seen(orders=[{**ORDER, "quantity": 65.0, "filled_quantity": "30"}]).orders[0].filled_quantity == 30


@pytest.mark.parametrize("word", ["COMPLETE", "Complete", " complete "])
def test_a_status_is_read_in_any_case_of_letters(word: str) -> None:
    row = account.order_row({**ORDER, "order_status": word})
    assert (row.status.value, row.raw_status) == ("complete", word)
    assert seen(orders=[{**ORDER, "order_status": word}]).orders[0].status == "complete"


def test_a_brokers_own_word_for_a_state_is_kept() -> None:
    assert seen(orders=[{**ORDER, "order_status": "AMO REQ RECEIVED"}]).orders[0].status == "AMO REQ RECEIVED"


@pytest.mark.parametrize("word", ["CANCELLED", "Cancelled"])
def test_a_pushed_state_is_read_in_any_case_of_letters(word: str) -> None:
    frame = {**ORDER, "type": "order_update", "mode": "live", "order_status": word}
    push = read_frame(json.dumps(frame), 0.0, NOW)
    assert isinstance(push, OrderPush)
    assert seen_push(push).status == "cancelled"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-23 10:00:00", datetime(2026, 11, 23, 4, 30, tzinfo=UTC)),
        ("23-Nov-2026 10:00:00", None),
        ("10:00:00 23-11-2026", None),
        ("11/23/2026 10:00:00 AM", None),
        ("10:00:00", None),
        ("", None),
        (1_795_408_200, None),
        ("9999-99-99 00:00:00", None),
        ("0001-01-01 00:00:00", None),
    ],
)
def test_a_time_that_is_not_as_recorded_is_no_time_and_costs_no_row(written: Any, read: datetime | None) -> None:
    assert seen(orders=[{**ORDER, "timestamp": written}]).orders[0].at == read
