"""Orders whose fate is unknown: found in books and pushes, inferred from the position, absent, or left to a person.

RULES 5, "Resolving an unknown order", steps 1 to 5. Nothing is ever sent again here; what ends the doubt is evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from engine.domain.evidence import AccountBooks, Instrument, SeenOrder, candidates, lookalikes
from engine.domain.money import value_paise
from engine.domain.movement import Fate, fate_by_position, unexplained, unlisted_rows, unlisted_trades
from engine.domain.orders import Observation, Order, OrderState, moved
from engine.services.ledger import Pass
from engine.services.quarantine import waits_for_approval
from engine.services.sightings import (
    claimed_ids,
    last_price,
    note_change,
    observe,
    observe_books,
    of_push,
    orders_on,
    tell,
)
from engine.services.views import UnknownOrderView
from engine.services.world import Account, World, trading_day

READS_APART = timedelta(seconds=2)
"""Two valid reads so far apart must agree before an order is called absent or filled by position (RULES 5)."""

AT_MIDNIGHT = timedelta(minutes=5)
"""How long after its sending a row of the next day may still be an order's own: a server may take minutes."""


def resolve(
    changes: Pass, world: World, account: Account, rows: Sequence[SeenOrder], books: AccountBooks | None
) -> None:
    """Look for every unknown order of the account, first sent first; ``books`` None: only a push is there.

    Orders that were called filled by position are looked for too: their row brings the id and the true price.
    """
    wanted = [order for order in changes.doubtful_orders(account.id) if order.state is OrderState.UNKNOWN]
    day = trading_day(changes.now)
    if books is not None:
        wanted += _inferred(changes, account, books)
    if not wanted:
        return
    claimed = claimed_ids(changes, account.id, day)
    for order in wanted:
        mine = [*rows, *unlisted_rows(order, books)] if books is not None else rows
        mine = [row for row in mine if _of_its_day(order, row, day)]
        found = candidates(order, mine, claimed=claimed, offset=account.clock_offset)
        if found:
            claimed.add(found[0].orderid)
            _claim(changes, world, account, order, found[0], books)
        elif books is not None and order.state is OrderState.UNKNOWN:
            _judge(changes, world, account, order, books, claimed)


def evidence_of(changes: Pass, world: World, order: Order) -> UnknownOrderView:
    """Return what is known of an order in doubt, for the person who may declare it."""
    account = world.accounts.get(order.account_id)
    books = account.books if account is not None else None
    sent = order.sent_at
    rows: list[str] = []
    shift: int | None = None
    if account is not None and books is not None and order.orderid is None:
        claimed = claimed_ids(changes, account.id, trading_day(changes.now))
        mine = [*books.orders, *account.pushes, *unlisted_rows(order, books)]
        mine = [row for row in mine if _of_its_day(order, row, trading_day(changes.now))]
        rows = [row.orderid for row in candidates(order, mine, claimed=claimed, offset=account.clock_offset)]
        if order.unexplained_before is not None:
            shift = unexplained(books, _instrument(order), claimed) - order.unexplained_before
    return UnknownOrderView(
        order_id=order.id,
        run_id=order.execution_id,
        account_id=order.account_id,
        account=account.facts.name if account is not None else f"account {order.account_id}",
        purpose=order.purpose,
        state=order.state,
        action=order.action,
        quantity=order.quantity,
        filled_quantity=order.filled_quantity,
        symbol=order.symbol,
        exchange=order.exchange,
        product=order.product,
        orderid=order.orderid,
        words=order.words,
        sent_at=sent,
        age_seconds=None if sent is None else (changes.now - sent).total_seconds(),
        quiet_until=order.quiet_until,
        absent_since=order.absent_since,
        candidates=list(dict.fromkeys(rows)),
        moved=shift,
        books_age_seconds=None if books is None else (changes.now - books.begun_at).total_seconds(),
        waits_for=_waits_for(changes, world, account, order),
    )


def never_listed(account: Account, order: Order) -> bool:
    """Whether an order that a server named stands in no order book: a person may say what became of it."""
    return order.orderid is not None and order.orderid in account.standing.missing and not order.terminal


def declarable(changes: Pass, world: World) -> list[Order]:
    """Return the orders that a person may declare, of every account, first sent first."""
    found = []
    for account in world.accounts.values():
        found += [order for order in changes.doubtful_orders(account.id) if order.state is not OrderState.SENDING]
        if account.standing.missing:
            found += [order for order in orders_on(changes, account.id) if never_listed(account, order)]
    return sorted(found, key=lambda order: (order.sent_at or order.created_at, order.id))


def _claim(  # noqa: PLR0917 - what is known, and where it comes from
    changes: Pass, world: World, account: Account, order: Order, row: SeenOrder, books: AccountBooks | None
) -> None:
    """Bind an order to the row that it is, and take what books or push say of it."""
    if order.state is OrderState.UNKNOWN:
        order = moved(order, OrderState.WORKING, changes.now, orderid=row.orderid, absent_since=None)
    else:
        order = replace(order, orderid=row.orderid, updated_at=changes.now)
    changes.put_order(order)
    account.standing.moved_since.pop(order.id, None)
    listed = books is not None and any(one.orderid == row.orderid for one in books.orders)
    trades = [trade for trade in books.trades if trade.orderid == row.orderid] if books is not None else []
    if listed or trades:
        observe_books(changes, world, account, order, row if listed else None, trades)
    else:
        observe(changes, account, order, of_push(account, order, row))


def _judge(  # noqa: PLR0917 - what is known, and where it comes from
    changes: Pass, world: World, account: Account, order: Order, books: AccountBooks, claimed: set[str]
) -> None:
    """Take what valid books say of an order that nothing names: it needs two of them, in session, after its quiet time.

    An order of an earlier day is left to a person: today's books say nothing of it. So is one that waits for approval
    at the server, which no book lists, and one that a new row looks like which the rules exclude.
    """
    fate = Fate.OPEN
    alike = lookalikes(order, [*books.orders, *account.pushes], claimed=claimed, offset=account.clock_offset)
    if not alike and _may_be_judged(world, account, order, books):
        fate = fate_by_position(order, books, claimed=claimed, alone=_alone(changes, order))
    since = account.standing.moved_since
    if fate is not Fate.FILLED:
        since.pop(order.id, None)
    if fate is not Fate.ABSENT and order.absent_since is not None:
        order = changes.put_order(replace(order, absent_since=None, updated_at=changes.now))
    match fate:
        case Fate.ABSENT if order.absent_since is None:
            changes.put_order(replace(order, absent_since=books.begun_at, updated_at=changes.now))
        case Fate.ABSENT if _apart(order.absent_since, books):
            words = "in none of the books after the quiet time, twice, and the position did not move"
            changes.put_order(moved(order, OrderState.NOT_RECEIVED, changes.now, words=words))
            note_change(account, order, changes.now)
        case Fate.FILLED if _apart(since.setdefault(order.id, books.begun_at), books):
            _fill_by_position(changes, world, account, order, books)
        case _:
            pass


def _of_its_day(order: Order, row: SeenOrder, day: date) -> bool:
    """Whether a row that books or pushes of a day show can be an order of its own day.

    What a later day's books show is somebody's own of that day, unless its time says that it was there at midnight.
    """
    if order.trading_day == day or row.at is None or order.sent_at is None:
        return order.trading_day == day
    return trading_day(row.at) == order.trading_day or row.at - order.sent_at <= AT_MIDNIGHT


def _apart(since: datetime | None, books: AccountBooks) -> bool:
    return since is not None and books.begun_at - since >= READS_APART


def _may_be_judged(world: World, account: Account, order: Order, books: AccountBooks) -> bool:
    return (
        order.quiet_until is not None
        and books.begun_at > order.quiet_until
        and order.trading_day == trading_day(books.begun_at)
        and world.in_session(account.facts.venue, order.exchange, books.begun_at)
        and not waits_for_approval(order)
    )


def _alone(changes: Pass, order: Order) -> bool:
    """Whether a movement in the key can only be this order's: no other of ours is in doubt there, or was inferred."""
    doubtful = [one for one in changes.doubtful_orders(order.account_id) if one.key == order.key]
    sent = order.sent_at or order.created_at
    return not any(one.id != order.id for one in doubtful) and not any(
        one.id != order.id and one.key == order.key and one.orderid is None and one.filled_quantity
        and one.updated_at >= sent
        for one in orders_on(changes, order.account_id)
    )  # fmt: skip


def _fill_by_position(changes: Pass, world: World, account: Account, order: Order, books: AccountBooks) -> None:
    """Call an order filled because the net moved by exactly it and nothing else explains that (RULES 5, step 3)."""
    claimed = claimed_ids(changes, account.id, trading_day(books.begun_at))
    trades = [
        trade
        for trade in unlisted_trades(books, _instrument(order), order.action)
        if trade.orderid not in claimed and trade.orderid not in order.visible_before
    ]
    price = last_price(world, account, order)
    traded = trades and sum(t.quantity for t in trades) == order.quantity and all(t.price > 0 for t in trades)
    if not traded and price is None:
        account.books_wanted = True
        return  # without any price it would be worth nothing: a quote comes within seconds
    value = (
        sum(value_paise(trade.price, trade.quantity) for trade in trades)
        if traded
        else value_paise(price or 0.0, order.quantity)
    )
    account.standing.moved_since.pop(order.id, None)
    words = "no book names it, and the position moved by exactly this order: filled by position, price estimated"
    tell(changes, order, words, moved=order.action.sign * order.quantity, price_paise=value // order.quantity)
    seen = Observation("", "", order.quantity, value, "position", words, estimated=True)
    observe(changes, account, order, seen)


def _inferred(changes: Pass, account: Account, books: AccountBooks) -> list[Order]:
    """Return today's orders whose fill was inferred or declared without an id: a row may still name them."""
    day = trading_day(books.begun_at)
    return [
        order
        for order in orders_on(changes, account.id)
        if order.state is OrderState.FILLED
        and order.orderid is None
        and order.trading_day == day
        and (order.estimated or order.declared_by is not None)
    ]


def _waits_for(changes: Pass, world: World, account: Account | None, order: Order) -> str:
    """Return in words what will end the doubt."""
    if account is None:
        return "its account, which is not active"
    if order.orderid is not None:
        return f"a book that lists {order.orderid}, or a person who says what became of it"
    if waits_for_approval(order):
        return "a person: approve or decline it at the server, then declare what became of it"
    if order.trading_day != trading_day(changes.now):
        return "a person: it was sent on an earlier day, and today's books say nothing of it"
    if order.quiet_until is None:
        return "the answer: its connection is still open"
    if changes.now <= order.quiet_until:
        return "the end of its quiet time, then two valid reads of the books"
    if not world.in_session(account.facts.venue, order.exchange, changes.now):
        return "the exchange's session, or a person: outside it no book is evidence of less"
    if account.books_problem or account.books is None:
        return f"valid books ({account.books_problem or 'not answered'})"
    if order.absent_since is not None or order.id in account.standing.moved_since:
        return "a second valid read of the books"
    return "a person: the books show what may be this order, or somebody's own, and no rule can tell"


def _instrument(order: Order) -> Instrument:
    return Instrument(order.symbol, order.exchange, order.product)
