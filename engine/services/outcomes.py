"""What answers, pushes and books do to our orders (RULES 5): every change of an order that was sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial

from engine.broker.answers import NoAnswer, NotSent, OutcomeOpen, Placed, Queued, RateLimited, Refused
from engine.domain.evidence import AccountBooks, Instrument, SeenOrder, SeenTrade, candidates
from engine.domain.money import value_paise
from engine.domain.orders import Observation, Order, OrderState, moved, observed
from engine.services.ledger import Pass
from engine.services.messages import Answered, CancelAnswered, Pushed
from engine.services.world import Account, World, trading_day

ABSENT_READS_APART = timedelta(seconds=2)
SEMI_AUTO = "an order waits for approval: the account is in semi-auto mode"
"""Why an account with a queued order is quarantined, also after a restart, until a person says what became of it."""
UNKNOWN_AFTER = timedelta(seconds=3)
ANSWER_REPEATED = timedelta(seconds=10)


def on_answered(changes: Pass, world: World, message: Answered) -> None:
    """Take the answer to a placement: what it proves decides the state, nothing else does."""
    order = changes.order(message.order_id)
    if order is None or order.state not in {OrderState.SENDING, OrderState.UNKNOWN, OrderState.WORKING, *_ENDED}:
        return
    account = world.accounts.get(order.account_id)
    if account is not None:
        account.sending.pop(order.id, None)
        account.books_wanted = True
    now = changes.now
    match message.outcome:
        case Placed(mode=mode) if account is not None and _other_mode(account, mode):
            words = f"its server took it in {mode} mode, it was armed in {account.facts.mode} mode"
            _in_doubt(changes, order, words, now + world.quiet_answered)
        case Placed(orderid=orderid):
            _named(changes, account, order, orderid, "")
        case Refused(orderid=None) | RateLimited():
            limited = isinstance(message.outcome, RateLimited)
            words = f"429: {message.outcome.message}" if limited else message.outcome.message
            if order.state in {OrderState.SENDING, OrderState.UNKNOWN}:
                changes.put_order(moved(order, OrderState.REJECTED, now, words=words, answered_at=now))
                _changed(account, order, now)
            elif _only_claimed(order):
                _release(changes, account, order, OrderState.REJECTED, words)
        case Refused(message=words, orderid=orderid):
            _named(changes, account, order, str(orderid), words)
        case Queued(pending_id=pending):
            if order.state is OrderState.SENDING:
                words = f"queued for approval at the server (request {pending})"
                changes.put_order(moved(order, OrderState.QUEUED, now, words=words, answered_at=now))
            if account is not None:
                account.quarantine = SEMI_AUTO
                account.disarm(account.quarantine)
        case OutcomeOpen(detail=words):
            _in_doubt(changes, order, words, now + world.quiet_answered)
        case NoAnswer(detail=words):
            sent = order.sent_at or now
            _in_doubt(changes, order, words, max(now, sent + world.quiet_unanswered))
        case NotSent(detail=words):
            if order.state is OrderState.SENDING:
                changes.put_order(moved(order, OrderState.NOT_SENT, now, words=words, answered_at=now))
            elif order.state is OrderState.UNKNOWN:
                words = f"no byte left: {words}"
                changes.put_order(moved(order, OrderState.NOT_RECEIVED, now, words=words, answered_at=now))
            elif _only_claimed(order):
                _release(changes, account, order, OrderState.NOT_SENT, words)
            _changed(account, order, now)


def on_lost_answer(changes: Pass, world: World, message: Answered) -> None:
    """Take an answer that cannot be used (it failed twice): the order is in doubt, and the books decide."""
    order = changes.order(message.order_id)
    if order is not None:
        sent = order.sent_at or changes.now
        words = "its answer could not be used"
        _in_doubt(changes, order, words, max(changes.now, sent + world.quiet_unanswered))


_ENDED = {OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED, OrderState.NOT_RECEIVED}


def on_silence(changes: Pass, world: World) -> None:
    """Call an order unknown that has no answer for 3 s; its worker listens on (DESIGN 2)."""
    for account in world.accounts.values():
        for order_id, since in list(account.sending.items()):
            if changes.now - since < UNKNOWN_AFTER:
                continue
            changes.after_commit.append(partial(account.sending.pop, order_id, None))
            order = changes.order(order_id)
            if order is not None and order.state is OrderState.SENDING:
                changes.put_order(moved(order, OrderState.UNKNOWN, changes.now, words="no answer for 3 s"))
                account.books_wanted = True
                _tell(changes, order, "no answer for 3 s; its worker listens on")


def on_cancel_answered(changes: Pass, world: World, message: CancelAnswered) -> None:
    """Take the answer to a cancellation: it proves nothing by itself, the books say what the order became."""
    order = changes.order(message.order_id)
    if order is None:
        return
    if (account := world.accounts.get(order.account_id)) is not None:
        account.books_wanted = True
    if isinstance(message.outcome, NotSent | RateLimited) and not order.terminal:
        changes.put_order(replace(order, cancel_requested=False, updated_at=changes.now))


def on_pushed(changes: Pass, world: World, message: Pushed) -> None:
    """Take an order push; one that no order of ours is known by is kept, it may come before the answer."""
    account = world.accounts.get(message.account_id)
    if account is None:
        return
    if _other_mode(account, message.mode):
        account.books_wanted = True  # what the other mode filled is in none of the books that count here
        return
    seen = message.seen
    order = _by_orderid(changes, account.id, seen.orderid, trading_day(changes.now))
    if order is None:
        account.pushes.append(seen)
        if any(order.state is OrderState.UNKNOWN for order in _orders_on(changes, account.id)):
            _resolve_unknown(changes, account, list(account.pushes), None)
        return
    _observe(changes, account, order, _of_row(seen, "push"))


def on_valid_books(changes: Pass, account: Account, books: AccountBooks) -> None:
    """Bring every order of the account up to what valid books show, and resolve what was unknown."""
    _resolve_unknown(changes, account, [*books.orders, *account.pushes], books)
    rows = {row.orderid: row for row in books.orders}
    trades: dict[str, list[SeenTrade]] = {}
    for trade in books.trades:
        trades.setdefault(trade.orderid, []).append(trade)
    day = trading_day(books.begun_at)
    for order in _orders_on(changes, account.id):
        if order.orderid is None or order.orderid not in rows or not _of_day(order, day):
            continue
        _observe_books(changes, account, order, rows[order.orderid], trades.get(order.orderid, []))


def unclaimed_trades(
    changes: Pass, account: Account, books: AccountBooks, instrument: Instrument | None = None
) -> list[SeenTrade]:
    """Return the trades that no order of ours explains; ``instrument`` None: under every instrument."""
    ours = _claimed(changes, account.id, trading_day(books.begun_at))
    return [trade for trade in books.trades if instrument in {None, trade.instrument} and trade.orderid not in ours]


def _other_mode(account: Account, mode: str) -> bool:
    """Whether something was said by the server in another mode than the one the account was armed in."""
    return bool(mode and account.facts.mode) and mode != account.facts.mode


def _named(changes: Pass, account: Account | None, order: Order, orderid: str, words: str) -> None:
    now = changes.now
    others = [
        other
        for other in _orders_on(changes, order.account_id)
        if other.id != order.id and other.orderid == orderid and other.trading_day == order.trading_day
    ]
    if any(not _only_claimed(other) for other in others):
        # Two answers name one order: that of the first stays, and this one is looked up.
        _in_doubt(changes, order, f"its answer named {orderid}, which is another order's id", now + ANSWER_REPEATED)
        return
    for other in others:
        # The answer is stronger than a claim from the books: the other order looks again.
        changes.put_order(
            replace(
                other,
                state=OrderState.UNKNOWN,
                orderid=None,
                filled_quantity=0,
                filled_value_paise=0,
                updated_at=now,
            ),
            source="claim released",
        )
    if order.orderid is not None and order.orderid != orderid:
        order = changes.put_order(
            replace(order, state=OrderState.WORKING, filled_quantity=0, filled_value_paise=0), source="claim swapped"
        )
    if order.state is OrderState.NOT_RECEIVED:
        _tell(changes, order, f"was called not received, and is there as {orderid}")
        order = changes.put_order(replace(order, state=OrderState.WORKING))
    if order.terminal or order.state is OrderState.WORKING:
        order = changes.put_order(replace(order, orderid=orderid, answered_at=now, updated_at=now))
    else:
        order = changes.put_order(
            moved(order, OrderState.WORKING, now, orderid=orderid, answered_at=now, words=words or order.words)
        )
    if account is not None:
        for seen in [push for push in account.pushes if push.orderid == orderid]:
            order = _observe(changes, account, order, _of_row(seen, "push"))
            account.pushes.remove(seen)


def _in_doubt(changes: Pass, order: Order, words: str, quiet_until: datetime) -> None:
    if order.state in {OrderState.SENDING, OrderState.UNKNOWN}:
        now = changes.now
        if order.state is OrderState.SENDING:
            _tell(changes, order, words)
        changes.put_order(moved(order, OrderState.UNKNOWN, now, words=words, quiet_until=quiet_until, answered_at=None))


def _tell(changes: Pass, order: Order, words: str) -> None:
    """Record that an order's fate is unknown: nothing more goes in its key until it is known."""
    changes.event(
        owner_id=changes.run(order.execution_id).owner_id,
        kind="unknown_order",
        action="alert_only",
        message=f"{order.action} {order.quantity} {order.symbol}: {words}",
        knew={"order": order.id, "tag": order.tag, "visible_before": list(order.visible_before)},
        run_id=order.execution_id,
        account_id=order.account_id,
        plan_id=order.exit_plan_id,
    )


def _resolve_unknown(changes: Pass, account: Account, rows: list[SeenOrder], books: AccountBooks | None) -> None:
    unknown = [order for order in _orders_on(changes, account.id) if order.state is OrderState.UNKNOWN]
    for order in sorted(unknown, key=lambda one: (one.sent_at or one.created_at, one.id)):
        claimed = _claimed(changes, account.id, trading_day(changes.now))
        found = candidates(order, rows, claimed=claimed)
        if found:
            _observe(
                changes,
                account,
                changes.put_order(moved(order, OrderState.WORKING, changes.now, orderid=found[0].orderid)),
                _of_row(found[0], "book"),
            )
        elif books is not None:
            _absent(changes, account, order, books)


def _absent(changes: Pass, account: Account, order: Order, books: AccountBooks) -> None:
    if order.quiet_until is None or books.begun_at <= order.quiet_until:
        return
    instrument = Instrument(order.symbol, order.exchange, order.product)
    moved_by_others = any(
        trade.action is order.action and trade.orderid not in order.visible_before
        for trade in unclaimed_trades(changes, account, books, instrument)
    )
    if moved_by_others:
        return
    if order.absent_since is None:
        changes.put_order(replace(order, absent_since=books.begun_at, updated_at=changes.now))
    elif books.begun_at - order.absent_since >= ABSENT_READS_APART:
        words = "in none of the books after the quiet time, twice"
        changes.put_order(moved(order, OrderState.NOT_RECEIVED, changes.now, words=words))
        _changed(account, order, changes.now)


def _observe_books(changes: Pass, account: Account, order: Order, row: SeenOrder, trades: Iterable[SeenTrade]) -> None:
    mine = list(trades)
    if mine and all(trade.price > 0 for trade in mine):  # zero is no price: the row's own, if any, then counts
        quantity = sum(trade.quantity for trade in mine)
        value = sum(value_paise(trade.price, trade.quantity) for trade in mine)
        order = _observe(changes, account, order, Observation(row.orderid, "", quantity, value, "trade"))
    _observe(changes, account, order, _of_row(row, "book"))


def _observe(changes: Pass, account: Account, order: Order, seen: Observation) -> Order:
    after = observed(order, seen, changes.now)
    if after is order:
        return order
    if order.terminal and after.filled_quantity > order.filled_quantity:
        _tell(changes, order, f"filled {after.filled_quantity} after it was called {order.state}")
    if after.filled_quantity != order.filled_quantity or after.terminal != order.terminal:
        _changed(account, order, changes.now)
        account.books_wanted = True
    return changes.put_order(after, source=seen.source)


def _of_row(row: SeenOrder, source: str) -> Observation:
    priced = row.average_price is not None and row.average_price > 0 and row.filled_quantity
    value = value_paise(row.average_price or 0.0, row.filled_quantity or 0) if priced else None
    return Observation(row.orderid, row.status, row.filled_quantity if priced else None, value, source, row.words)


def _changed(account: Account | None, order: Order, now: datetime) -> None:
    if account is not None:
        account.last_change[order.key] = now


def _orders_on(changes: Pass, account_id: int) -> list[Order]:
    runs = dict.fromkeys([*changes.ledger.runs, *changes.runs])
    return [order for run_id in runs for order in changes.orders_of(run_id) if order.account_id == account_id]


def _of_day(order: Order, day: date) -> bool:
    """Whether a broker id of this day may be the order's: some brokers count anew every day."""
    return order.trading_day == day or not order.terminal


def _by_orderid(changes: Pass, account_id: int, orderid: str, day: date) -> Order | None:
    found = [o for o in _orders_on(changes, account_id) if o.orderid == orderid and _of_day(o, day)]
    return max(found, key=lambda order: order.trading_day, default=None)


def _claimed(changes: Pass, account_id: int, day: date) -> set[str]:
    orders = _orders_on(changes, account_id)
    return {order.orderid for order in orders if order.orderid is not None and _of_day(order, day)}


def _only_claimed(order: Order) -> bool:
    """Whether the broker id comes from books or pushes: no answer has named it."""
    return order.orderid is not None and order.answered_at is None


def _release(changes: Pass, account: Account | None, order: Order, state: OrderState, words: str) -> None:
    """Give a claimed row back: the answer proves that it is somebody else's."""
    now = changes.now
    changes.put_order(
        replace(
            order,
            state=state,
            orderid=None,
            filled_quantity=0,
            filled_value_paise=0,
            words=words,
            answered_at=now,
            updated_at=now,
        ),
        source="claim released",
    )
    _changed(account, order, now)
