"""What a server showed, as evidence: books and pushes without anything that only the wire knows (RULES 5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from engine.broker.feed import OrderPush
from engine.broker.models import Book, Holdings, OrderRow, OrderStatus, PositionRow, TradeRow
from engine.domain.evidence import AccountBooks, Instrument, SeenOrder, SeenTrade
from engine.domain.instruments import Exchange, Product

Value = TypeVar("Value")


def seen_books(
    orders: Book[OrderRow],
    trades: Book[TradeRow],
    positions: Book[PositionRow],
    broker: str = "",
    shares: Holdings | None = None,
) -> AccountBooks:
    """Return the books as evidence.

    Raises ValueError if the server changed its mode between them, and if a book contradicts itself: two rows of one
    position, an order in two states, one trade twice. Neither a sum nor the last row would be more than a guess.
    """
    modes = {orders.mode, trades.mode, positions.mode}
    if len(modes) > 1:
        raise ValueError("the server changed its mode between two books")
    if (held := _repeated((row.symbol, row.exchange, row.product) for row in positions.rows)) is not None:
        raise ValueError(f"the position book lists {' '.join(held)} twice")
    if (orderid := _repeated(row.orderid for row in set(orders.rows))) is not None:
        raise ValueError(f"the order book lists order {orderid} twice, and not the same")
    if (trade := _repeated(row for row in trades.rows if row.trade_id)) is not None:
        raise ValueError(f"the trade book lists trade {trade.trade_id} twice")
    return AccountBooks(
        mode=orders.mode.value,
        begun_at=orders.begun_at,
        ended_at=positions.ended_at,
        orders=tuple(_seen_order(row) for row in orders.rows),
        trades=tuple(
            SeenTrade(
                row.orderid,
                Instrument(row.symbol, row.exchange, row.product),
                row.action,
                row.quantity,
                row.average_price,
            )
            for row in trades.rows
        ),
        net={Instrument(row.symbol, row.exchange, row.product): row.quantity for row in positions.rows},
        broker=broker,
        held={}
        if shares is None
        else {Instrument(row.symbol, row.exchange, Product.CNC): row.quantity for row in shares.rows},
    )


def _repeated(values: Iterable[Value]) -> Value | None:
    """Return the first value that comes twice."""
    seen: set[Value] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def seen_push(push: OrderPush) -> SeenOrder:
    """Return an order push as evidence: it carries neither tag nor time."""
    return SeenOrder(
        orderid=push.orderid,
        instrument=Instrument(push.symbol, push.exchange, push.product),
        action=push.action,
        quantity=push.quantity,
        price_type=push.price_type,
        price=push.price,
        status=_state_word(push),
        filled_quantity=push.filled_quantity,
        average_price=push.average_price,
        at=None,
        tag=None,
        words=push.rejection_reason,
    )


def _state_word(row: OrderRow | OrderPush) -> str:
    """Return the state by OpenAlgo's word, in its case of letters; a broker's own word as it is."""
    return row.raw_status if row.status is OrderStatus.OTHER else row.status.value


def _seen_order(row: OrderRow) -> SeenOrder:
    return SeenOrder(
        orderid=row.orderid,
        instrument=Instrument(row.symbol, Exchange(row.exchange), row.product),
        action=row.action,
        quantity=row.quantity,
        price_type=row.price_type,
        price=row.price,
        status=_state_word(row),
        filled_quantity=row.filled_quantity,
        average_price=row.average_price,
        at=row.timestamp,
        tag=row.strategy,
        words=row.rejection_reason,
    )
