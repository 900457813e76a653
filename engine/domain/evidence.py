"""What an account's books prove (RULES 5): which reads count, and which row may be an order whose fate is unknown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple, TypeVar

from engine.domain.instruments import Action, Exchange, PriceType, Product
from engine.domain.orders import Order

Group = TypeVar("Group")
Row = TypeVar("Row")

TAG_PREFIX = "am-"
"""Every order of this desk carries a tag that begins so; analyzer and paper books show it, live ones may not."""

DISAGREE = "position book and trades disagree"
"""The one defect that may be a truth: a position can change without a trade."""

EARLIER_THAN_SENT = timedelta(seconds=5)
"""How far a broker's clock text may lie before our sending and still be ours (RULES 5)."""


class Instrument(NamedTuple):
    """A key without its account."""

    symbol: str
    exchange: Exchange
    product: Product


@dataclass(frozen=True, slots=True)
class SeenOrder:
    """One broker order as a book or a push shows it. ``average_price`` ₹; ``at`` UTC, where readable."""

    orderid: str
    instrument: Instrument
    action: Action
    quantity: int
    price_type: PriceType
    price: float
    status: str
    filled_quantity: int | None
    average_price: float | None
    at: datetime | None
    tag: str | None
    words: str = ""


@dataclass(frozen=True, slots=True)
class SeenTrade:
    """One trade of a broker order; ``price`` ₹."""

    orderid: str
    instrument: Instrument
    action: Action
    quantity: int
    price: float


def _grouped(entries: Iterable[tuple[Group, Row]]) -> dict[Group, list[Row]]:
    found: dict[Group, list[Row]] = {}
    for group, row in entries:
        found.setdefault(group, []).append(row)
    return found


@dataclass(frozen=True)
class AccountBooks:
    """Order, trade and position book of one account, read one after the other; ``net`` is signed.

    ``broker`` is the name that the server gives, empty where it was not asked. ``held``: shares of earlier days,
    which a position book does not show; kept under CNC. What follows from the books is worked out once.
    """

    mode: str
    begun_at: datetime
    ended_at: datetime
    orders: tuple[SeenOrder, ...]
    trades: tuple[SeenTrade, ...]
    net: Mapping[Instrument, int]
    broker: str = ""
    held: Mapping[Instrument, int] = field(default_factory=dict)

    def owned(self, instrument: Instrument) -> int:
        """Return N: the net of the position book, for CNC with what is held from earlier days (RULES 6)."""
        return self.net.get(instrument, 0) + self.held.get(instrument, 0)

    @cached_property
    def rows(self) -> Mapping[str, SeenOrder]:
        """Rows of the order book by broker order id."""
        return {row.orderid: row for row in self.orders}

    @cached_property
    def trades_of(self) -> Mapping[str, list[SeenTrade]]:
        """Trades by broker order id."""
        return _grouped((trade.orderid, trade) for trade in self.trades)

    @cached_property
    def rows_under(self) -> Mapping[Instrument, list[SeenOrder]]:
        """Rows of the order book by instrument."""
        return _grouped((row.instrument, row) for row in self.orders)

    @cached_property
    def trades_under(self) -> Mapping[Instrument, list[SeenTrade]]:
        """Trades by instrument."""
        return _grouped((trade.instrument, trade) for trade in self.trades)

    @cached_property
    def traded(self) -> Mapping[str, int]:
        """Units traded per broker order id."""
        return {orderid: sum(trade.quantity for trade in trades) for orderid, trades in self.trades_of.items()}

    @cached_property
    def opening(self) -> Mapping[Instrument, int]:
        """What the day began with: net less today's trades; only what is not zero."""
        sums = defaultdict(int, self.net)
        for trade in self.trades:
            sums[trade.instrument] -= trade.action.sign * trade.quantity
        return {instrument: quantity for instrument, quantity in sums.items() if quantity}

    def worked_out(self) -> AccountBooks:
        """Return these books with all that follows worked out: where they are read, not where they are judged."""
        _ = self.rows, self.rows_under, self.trades_under, self.traded, self.opening
        return self


def defect(
    books: AccountBooks,
    *,
    mode: str,
    acknowledged: Collection[str],
    traded_before: Mapping[str, int],
    opening: Mapping[Instrument, int] | None,
    broker: str | None = None,
    after: datetime | None = None,
    in_session: bool = True,
    carried: Mapping[Instrument, int] | None = None,
) -> str | None:
    """Return why these books are no evidence, None when they are (RULES 5, "valid").

    That they were answered with 200 and parsed is the client's part: there are no books otherwise. The rest, in the
    order of the rule: ``mode`` and ``broker`` (None: not asked) are those with which the account was armed; ``after``
    is the event that they shall prove something about; ``acknowledged`` are the broker ids given to us today;
    ``traded_before`` the units per id in the last valid read; ``opening`` what the day began with, None before the
    first valid read. Outside the session (``in_session`` False) no book is evidence of less: ``carried`` is then what
    was held when the last session ended, and books that show less of it without a trade are none.
    """
    if books.mode != mode:
        return f"the server is in {books.mode} mode, the account was armed in {mode} mode"
    if broker is not None and books.broker != broker:
        return f"the server speaks for {books.broker or 'nobody'}, the account was armed with {broker}"
    if after is not None and books.begun_at <= after:
        return "the read began before what it shall prove"
    if missing := sorted(set(acknowledged) - books.rows.keys()):
        return f"the order book lacks {len(missing)} of our orders (first {missing[0]})"
    for orderid, quantity in traded_before.items():
        if books.traded.get(orderid, 0) < quantity:
            return f"the trade book shows less of order {orderid} than before"
    if not in_session and carried is not None and (less := lost(books, carried)):
        return f"outside the session no book is evidence of less ({less[0].symbol})"
    if opening is not None and books.opening != opening:
        return DISAGREE
    return None


def lost(books: AccountBooks, carried: Mapping[Instrument, int]) -> list[Instrument]:
    """Return the instruments of which books show less than was carried, and no trade of the day explains it.

    A book that still lists the trades of the day before opens with less, but its net is what it was: nothing is lost.
    """
    less = fewer(books.opening, carried)
    return [instrument for instrument in fewer(books.net, carried) if instrument in less]


def fewer(now: Mapping[Instrument, int], before: Mapping[Instrument, int]) -> list[Instrument]:
    """Return the instruments of which there is less than before: nearer to flat, flat, or turned around.

    >>> call = Instrument("NIFTY01DEC2626000CE", Exchange.NFO, Product.NRML)
    >>> [fewer({call: quantity}, {call: -130}) == [call] for quantity in (-195, -130, -65, 65)]
    [False, False, True, True]
    """
    return [
        instrument
        for instrument, quantity in sorted(before.items())
        if (quantity > 0 and now.get(instrument, 0) < quantity) or (quantity < 0 and now.get(instrument, 0) > quantity)
    ]


ENDS = frozenset({"cancelled", "rejected", "expired"})
"""The broker's words for an order that ended without filling whole."""


def repeated_ends(rows: Iterable[SeenOrder]) -> frozenset[str]:
    """Return the ids of rows that show the same end as the row before them, in the order of the book.

    A live server shows an order in a state that it does not know with the status of the row before (recorded): such an
    order may be alive, and a second one in its place would double it.
    """
    found, before = set(), ""
    for row in rows:
        if row.status in ENDS and row.status == before:
            found.add(row.orderid)
        before = row.status
    return frozenset(found)


_COMPATIBLE = {
    PriceType.MARKET: frozenset({PriceType.MARKET, PriceType.LIMIT}),
    PriceType.SL_M: frozenset({PriceType.SL_M, PriceType.SL, PriceType.LIMIT, PriceType.MARKET}),
    PriceType.SL: frozenset({PriceType.SL, PriceType.LIMIT}),
    PriceType.LIMIT: frozenset({PriceType.LIMIT}),
}


def same_class(order: Order, row: SeenOrder) -> bool:
    """Whether a row is of the order's class: symbol, exchange, product, action, quantity."""
    return (
        row.instrument == Instrument(order.symbol, order.exchange, order.product)
        and row.action is order.action
        and row.quantity == order.quantity
    )


def candidates(
    order: Order, rows: Iterable[SeenOrder], *, claimed: Collection[str], offset: timedelta | None = None
) -> list[SeenOrder]:
    """Return the rows that may be this order, first seen first (RULES 5, "Resolving an unknown order").

    A row with another order's tag of ours is never a candidate; one with the order's own tag is the only one.
    ``offset``: by how much the account's clock is at most ahead of ours. Only a clock that is behind widens the bound:
    many brokers show the time of the last change, so that a clock may seem ahead that is not.
    """
    found: list[SeenOrder] = []
    for row in rows:
        if row.orderid in claimed or row.orderid in order.visible_before or not same_class(order, row):
            continue
        if row.tag == order.tag:
            return [row]
        if row.tag is not None and row.tag.startswith(TAG_PREFIX):
            continue
        if row.price_type not in _COMPATIBLE[order.price_type]:
            continue
        if order.price_type is PriceType.LIMIT and row.price != order.price:
            continue
        if too_early(order, row, offset):
            continue
        found.append(row)
    return found


def too_early(order: Order, row: SeenOrder, offset: timedelta | None) -> bool:
    """Whether the readable time of a row is more than 5 s before the order was sent, by the account's clock."""
    behind = min(offset or timedelta(0), timedelta(0))
    return row.at is not None and order.sent_at is not None and row.at < order.sent_at + behind - EARLIER_THAN_SENT


def lookalikes(
    order: Order, rows: Iterable[SeenOrder], *, claimed: Collection[str], offset: timedelta | None = None
) -> list[SeenOrder]:
    """Return the new rows of the order's class that the rules exclude and that may be it all the same.

    A price type that no broker was seen to make of ours, or a time that only an account's unknown clock (``offset``
    None) puts before our sending: while such a row is there, nobody but a person can call the order absent.
    """
    return [
        row
        for row in rows
        if row.orderid not in claimed
        and row.orderid not in order.visible_before
        and same_class(order, row)
        and (row.tag is None or not row.tag.startswith(TAG_PREFIX))
        and not (order.price_type is PriceType.LIMIT is row.price_type and row.price != order.price)
        and (offset is None or not too_early(order, row, offset))
    ]
