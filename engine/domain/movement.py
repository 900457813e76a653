"""What became of an order that no row names: what valid books say of the net it would move (RULES 5, steps 3 to 5).

In valid books the net is what the day opened with plus today's trades. Trades of listed orders are explained: by an
order of ours, or as somebody's own. What is left (the opening, and trades whose order the order book does not list)
moves only by an order that we cannot see.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum

from engine.domain.evidence import AccountBooks, Instrument, SeenOrder, SeenTrade
from engine.domain.instruments import Action
from engine.domain.orders import Order


class Fate(StrEnum):
    """What one valid read says of an order that nothing names: not there, filled by position, or neither."""

    ABSENT = "absent"
    FILLED = "filled"
    OPEN = "open"


def unexplained(books: AccountBooks, instrument: Instrument, claimed: Collection[str] = ()) -> int:
    """Return the part of an instrument's net (signed units) that neither a listed order nor one of ours explains.

    ``claimed`` are the ids of our orders: of books read one after the other, an order that was sent between the reads
    of orders and of trades is in the trade book only.
    """
    traded = sum(
        trade.action.sign * trade.quantity
        for trade in books.trades_under.get(instrument, ())
        if trade.orderid in books.rows or trade.orderid in claimed
    )
    return books.net.get(instrument, 0) - traded


def visible_ids(
    books: AccountBooks | None, pushes: Iterable[SeenOrder], instrument: Instrument, action: Action
) -> tuple[str, ...]:
    """Return the broker ids of a side of an instrument that books and pushes show; stored with ``sending`` (RULES 5).

    Of every quantity, not of the order's class alone: a fill of any of them is nobody's new order.
    """
    rows = [*(books.rows_under.get(instrument, ()) if books else ()), *pushes]
    ids = [row.orderid for row in rows if row.instrument == instrument and row.action is action]
    ids += [trade.orderid for trade in unlisted_trades(books, instrument, action)] if books else []
    return tuple(dict.fromkeys(ids))


def unlisted_trades(books: AccountBooks, instrument: Instrument, action: Action) -> list[SeenTrade]:
    """Return the trades of a side of an instrument whose order the order book does not list."""
    return [
        trade
        for trade in books.trades_under.get(instrument, ())
        if trade.action is action and trade.orderid not in books.rows
    ]


def unlisted_rows(order: Order, books: AccountBooks) -> list[SeenOrder]:
    """Return what only the trade book shows as rows of the order's own kind: trades are candidates too (RULES 5)."""
    instrument = Instrument(order.symbol, order.exchange, order.product)
    by_id: dict[str, list[SeenTrade]] = {}
    for trade in unlisted_trades(books, instrument, order.action):
        by_id.setdefault(trade.orderid, []).append(trade)
    return [
        SeenOrder(
            orderid, instrument, order.action, sum(trade.quantity for trade in trades), order.price_type, order.price,
            "", None, None, None, None,
        )
        for orderid, trades in by_id.items()
    ]  # fmt: skip


def fate_by_position(order: Order, books: AccountBooks, *, claimed: Collection[str], alone: bool) -> Fate:
    """Return what valid books say of an order without a candidate; ``claimed`` are the ids of other orders of ours.

    Filled: what nothing explained moved by exactly the order, no trade of a listed order on its side is new, and it is
    ``alone``: no other order of ours in its key is in doubt or was inferred since, so that the movement can only be
    its own. Absent: nothing moved and no trade on its side is new. Everything else is left open for a person.
    """
    instrument = Instrument(order.symbol, order.exchange, order.product)
    known = {*claimed, *order.visible_before}
    listed = {row.orderid for row in books.orders}
    new = [
        trade
        for trade in books.trades
        if trade.instrument == instrument and trade.action is order.action and trade.orderid not in known
    ]
    if any(trade.orderid in listed for trade in new):
        return Fate.OPEN  # somebody's own trade, or ours in another shape: nobody can tell
    if order.unexplained_before is None:
        return Fate.OPEN  # nobody knows where the net stood
    moved = unexplained(books, instrument, claimed) - order.unexplained_before
    if moved == 0 and not new:
        return Fate.ABSENT
    return Fate.FILLED if alone and moved == order.action.sign * order.quantity else Fate.OPEN
