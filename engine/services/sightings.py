"""What a row, a trade or a push does to the order it belongs to (RULES 5); shared by answers, books and look-ups."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date, datetime, timedelta

from engine.domain.evidence import ENDS, SeenOrder, SeenTrade
from engine.domain.money import value_paise
from engine.domain.orders import Observation, Order, OrderState, observed
from engine.services.ledger import Pass
from engine.services.world import Account, World

PRICE_PATIENCE = timedelta(seconds=2)
"""How long a trade may stand in valid books without a price before its quantity counts at an estimated one."""

END_PATIENCE = timedelta(seconds=5)
"""How long books must repeat an end that may not be the order's own, or not all of it, before it counts."""

OTHER_ID = "its server named another order when it was changed"
"""How the words of such an order begin: which of the two works cannot be told, so no further one is sent beside them.

What the other one fills is charged from the books like any trade that is not ours.
"""


def named_another(order: Order) -> bool:
    """Whether the server named another order when this one was changed: nothing is sent in its key any more."""
    return order.words.startswith(OTHER_ID)


def orders_on(changes: Pass, account_id: int) -> list[Order]:
    """Return every order of an account that is in memory, those of ended runs too: their broker ids still count."""
    return changes.orders_on(account_id)


def of_day(order: Order, day: date) -> bool:
    """Whether a broker id of this day may be the order's: some brokers count anew every day."""
    return order.trading_day == day or not order.terminal


def by_orderid(changes: Pass, account_id: int, orderid: str, day: date) -> Order | None:
    """Return the order that has a broker id on a day, None if it is nobody's of ours."""
    found = [order for order in orders_on(changes, account_id) if order.orderid == orderid and of_day(order, day)]
    return max(found, key=lambda order: order.trading_day, default=None)


def claimed_ids(changes: Pass, account_id: int, day: date) -> set[str]:
    """Return the broker ids that are ours on a day."""
    orders = orders_on(changes, account_id)
    return {order.orderid for order in orders if order.orderid is not None and of_day(order, day)}


def only_claimed(order: Order) -> bool:
    """Whether the broker id comes from books or pushes: no answer has named it."""
    return order.orderid is not None and order.answered_at is None


def note_change(account: Account | None, order: Order, now: datetime) -> None:
    """Note that what the broker nets may have changed: only books begun later show it."""
    if account is not None:
        account.last_change[order.key] = now


def tell(changes: Pass, order: Order, words: str, **knew: object) -> None:
    """Record what is not known of an order, or was wrong about it."""
    changes.event(
        owner_id=changes.run(order.execution_id).owner_id,
        kind="unknown_order",
        action="alert_only",
        message=f"{order.action} {order.quantity} {order.symbol}: {words}",
        knew={"order": order.id, "tag": order.tag, "visible_before": list(order.visible_before), **knew},
        run_id=order.execution_id,
        account_id=order.account_id,
        plan_id=order.exit_plan_id,
    )


def observe(changes: Pass, account: Account, order: Order, seen: Observation) -> Order:
    """Take one observation of an order's broker id; return the order as it is then."""
    if named_another(order):
        seen = replace(seen, words="")  # the broker's word for its end must not hide that another one may work
    after = observed(order, seen, changes.now)
    if after is order:
        return order
    if order.terminal and after.filled_quantity > order.filled_quantity:
        declared = "declared" if order.declared_by is not None else "called"
        tell(changes, order, f"filled {after.filled_quantity} after it was {declared} {order.state}")
    if after.filled_quantity != order.filled_quantity or after.terminal != order.terminal:
        note_change(account, order, changes.now)
        account.books_wanted = True
    return changes.put_order(after, source=seen.source)


def observe_books(  # noqa: PLR0917 - what is known, and where it comes from
    changes: Pass, world: World, account: Account, order: Order, row: SeenOrder | None, trades: Collection[SeenTrade]
) -> Order:
    """Take what valid books show of an order: its trades, then its row.

    A trade without a price still moved the position: after 2 s its quantity counts at the row's average, its limit or
    the last price, marked estimated (RULES 5, step 3). Until then the row's word for its end does not count either: an
    order that ended with what it filled must not be taken for one that filled nothing.
    """
    orderid = order.orderid or ""
    quantity = sum(trade.quantity for trade in trades)
    if trades and all(trade.price > 0 for trade in trades):
        value = sum(value_paise(trade.price, trade.quantity) for trade in trades)
        order = observe(changes, account, order, Observation(orderid, "", quantity, value, "trade"))
        account.standing.unpriced_since.pop(order.id, None)
    elif quantity > order.filled_quantity and not _priced(row):
        price = _estimate(changes, world, account, order)
        if price is None:
            account.books_wanted = True
            return order
        value = sum(value_paise(trade.price if trade.price > 0 else price, trade.quantity) for trade in trades)
        seen = Observation(orderid, "", quantity, value, "position", estimated=True)
        order = observe(changes, account, order, seen)
    if row is None:
        return order
    if _disproved(account, order, row, quantity):
        value = sum(value_paise(trade.price, trade.quantity) for trade in trades)
        return take_back_declared(changes, account, order, OrderState(row.status), quantity, value, row.words)
    return observe(changes, account, order, of_row(_with_sure_end(account, order, row, changes.now), "book"))


def take_back_declared(  # noqa: PLR0917 - what was declared, and what is proven instead
    changes: Pass, account: Account | None, order: Order, state: OrderState, quantity: int, value: int, words: str
) -> Order:
    """Put what is proven in the place of a fill that a person declared: what is held shows again, and is exited.

    The order stays one that a person declared: books that never list it are still good ones.
    """
    tell(changes, order, f"{order.filled_quantity} were declared filled, it ended {state} with {quantity}: {words}")
    note_change(account, order, changes.now)
    return changes.put_order(
        replace(
            order, state=state, filled_quantity=quantity, filled_value_paise=value, words=words, updated_at=changes.now
        ),
        source="declaration taken back",
    )  # fmt: skip


def _disproved(account: Account, order: Order, row: SeenOrder, traded: int) -> bool:
    """Whether the order's own row surely ended with less than a person declared filled."""
    if order.declared_by is None or not order.terminal or row.status not in ENDS:
        return False
    repeated = row.orderid in account.standing.repeated
    return not repeated and max(traded, row.filled_quantity or 0) == traded < order.filled_quantity


def of_row(row: SeenOrder, source: str) -> Observation:
    """Return what a row or a push says; a filled quantity without a price says nothing."""
    value = value_paise(row.average_price or 0.0, row.filled_quantity or 0) if _priced(row) else None
    return Observation(row.orderid, row.status, row.filled_quantity if _priced(row) else None, value, source, row.words)


def of_push(account: Account, order: Order, push: SeenOrder) -> Observation:
    """Return what a push of an order says; an end with more filled than is known, without a price, waits for books."""
    if _tells_more(order, push):
        account.books_wanted = True
        push = replace(push, status="")
    return of_row(push, "push")


def last_price(world: World, account: Account, order: Order) -> float | None:
    """Return the last price of an order's contract in ₹, None if there never was one."""
    view = world.prices.view(account.facts.market, (order.symbol, order.exchange))
    return None if view is None else view.ltp


def release(changes: Pass, order: Order, **changed: object) -> Order:
    """Give a claimed row back: the order has neither its id nor what it filled any more."""
    return changes.put_order(
        replace(order, orderid=None, filled_quantity=0, filled_value_paise=0, updated_at=changes.now, **changed),  # type: ignore[arg-type]
        source="claim released",
    )


def _estimate(changes: Pass, world: World, account: Account, order: Order) -> float | None:
    """Return the price for trades that have none, None as long as their own may still come."""
    since = account.standing.unpriced_since.setdefault(order.id, changes.now)
    if changes.now - since < PRICE_PATIENCE:
        return None
    return order.price if order.price > 0 else last_price(world, account, order)


def _with_sure_end(account: Account, order: Order, row: SeenOrder, now: datetime) -> SeenOrder:
    """Return the row, without its end where that is not sure: a push says so, or 5 s pass.

    It may be the end of the row before it; or it tells of more filled than the trades show, without a price: what is
    exited then must not be what such late trades closed already.
    """
    since = account.standing.ended_since
    unsure = row.orderid in account.standing.repeated or _tells_more(order, row)
    if not unsure or order.terminal:
        since.pop(order.id, None)
        return row
    return row if now - since.setdefault(order.id, now) >= END_PATIENCE else replace(row, status="")


def _tells_more(order: Order, row: SeenOrder) -> bool:
    """Whether a row ends an order with more filled than is known of it, and without the price that would count it."""
    return row.status in ENDS and not _priced(row) and (row.filled_quantity or 0) > order.filled_quantity


def _priced(row: SeenOrder | None) -> bool:
    return row is not None and row.average_price is not None and row.average_price > 0 and bool(row.filled_quantity)
