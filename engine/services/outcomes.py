"""What answers, pushes and books do to our orders (RULES 5): every change of an order that was sent.

Orders whose fate is unknown are looked up in ``unknowns``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from engine.broker.answers import NoAnswer, NotSent, OutcomeOpen, Placed, Queued, RateLimited, Refused
from engine.domain.evidence import AccountBooks, Instrument, SeenOrder, SeenTrade, repeated_ends, same_class
from engine.domain.orders import Order, OrderState, moved
from engine.services import quarantine, unknowns
from engine.services.ledger import Pass
from engine.services.messages import Answered, CancelAnswered, Pushed
from engine.services.sightings import (
    END_PATIENCE,
    by_orderid,
    claimed_ids,
    note_change,
    observe,
    observe_books,
    of_day,
    of_push,
    only_claimed,
    orders_on,
    release,
    take_back_declared,
    tell,
)
from engine.services.world import Account, World, trading_day

UNKNOWN_AFTER = timedelta(seconds=3)
ANSWER_REPEATED = timedelta(seconds=10)
_ENDED = {OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED, OrderState.NOT_RECEIVED}
_UNNAMED_ENDS = _ENDED - {OrderState.FILLED}
"""Ends that an order without a broker id was given by evidence or by a person; an answer that names it is stronger."""


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
                note_change(account, order, now)
            elif only_claimed(order):
                release(changes, order, state=OrderState.REJECTED, words=words, answered_at=now)
                note_change(account, order, now)
            else:
                _contradicted(changes, account, order, OrderState.REJECTED, words)
        case Refused(message=words, orderid=orderid):
            _named(changes, account, order, str(orderid), words)
        case Queued(pending_id=pending):
            _queued(changes, account, order, pending)
        case OutcomeOpen(detail=words):
            _in_doubt(changes, order, words, now + world.quiet_answered)
            _look_in_pushes(changes, world, account)
        case NoAnswer(detail=words):
            sent = order.sent_at or now
            _in_doubt(changes, order, words, max(now, sent + world.quiet_unanswered))
            _look_in_pushes(changes, world, account)
        case NotSent(detail=words):
            if order.state is OrderState.SENDING:
                changes.put_order(moved(order, OrderState.NOT_SENT, now, words=words, answered_at=now))
            elif order.state is OrderState.UNKNOWN:
                words = f"no byte left: {words}"
                changes.put_order(moved(order, OrderState.NOT_RECEIVED, now, words=words, answered_at=now))
            elif only_claimed(order):
                release(changes, order, state=OrderState.NOT_SENT, words=words, answered_at=now)
            else:
                _contradicted(changes, account, order, OrderState.NOT_SENT, words)
            note_change(account, order, now)


def on_lost_answer(changes: Pass, world: World, message: Answered) -> None:
    """Take an answer that cannot be used (it failed twice): the order is in doubt, and the books decide."""
    order = changes.order(message.order_id)
    if order is not None:
        sent = order.sent_at or changes.now
        words = "its answer could not be used"
        _in_doubt(changes, order, words, max(changes.now, sent + world.quiet_unanswered))


def on_silence(changes: Pass, world: World) -> None:
    """Call an order unknown that has no answer for 3 s; its worker listens on (DESIGN 2)."""
    for account in world.accounts.values():
        known = account.sending
        # an account that was taken out and came back knows nothing of what its former hands were sending
        strange = {
            order.id: order.sent_at or order.created_at
            for order in changes.doubtful_orders(account.id)
            if order.state is OrderState.SENDING and order.id not in known
        }
        for order_id, since in [*known.items(), *strange.items()]:
            if changes.now - since < UNKNOWN_AFTER:
                continue
            changes.after_commit.append(partial(account.sending.pop, order_id, None))
            order = changes.order(order_id)
            if order is not None and order.state is OrderState.SENDING:
                changes.put_order(moved(order, OrderState.UNKNOWN, changes.now, words="no answer for 3 s"))
                account.books_wanted = True
                tell(changes, order, "no answer for 3 s; its worker listens on")
                _look_in_pushes(changes, world, account)


def on_cancel_answered(changes: Pass, world: World, message: CancelAnswered) -> None:
    """Take the answer to a cancellation: it proves nothing by itself, the books say what the order became.

    One that never left, or that the server's limit turned away, is asked for again after 2 s like one without effect.
    """
    order = changes.order(message.order_id)
    if order is None:
        return
    if (account := world.accounts.get(order.account_id)) is not None:
        account.books_wanted = True


def on_pushed(changes: Pass, world: World, message: Pushed) -> None:
    """Take an order push; one that no order of ours is known by is kept, it may come before the answer."""
    account = world.accounts.get(message.account_id)
    if account is None:
        return
    if _other_mode(account, message.mode):
        account.books_wanted = True  # what the other mode filled is in none of the books that count here
        return
    seen = message.seen
    order = by_orderid(changes, account.id, seen.orderid, trading_day(changes.now))
    if order is None:
        account.pushes.append(seen)
        unknowns.resolve(changes, world, account, list(account.pushes), None)
        return
    observe(changes, account, order, of_push(account, order, seen))


def on_valid_books(changes: Pass, world: World, account: Account, books: AccountBooks) -> None:
    """Bring every order of the account up to what valid books show, and resolve what was unknown."""
    account.standing.repeated = repeated_ends(books.orders) if books.mode == "live" else frozenset()
    unknowns.resolve(changes, world, account, [*books.orders, *account.pushes], books)
    rows, trades = books.rows, books.trades_of
    day, before, told = trading_day(books.begun_at), account.standing.told, {}
    for order in orders_on(changes, account.id):
        if order.orderid is None or not of_day(order, day):
            continue
        row, traded = rows.get(order.orderid), trades.get(order.orderid, [])
        if (known := before.get(order.id)) is not None and known[0] is order and known[1:] == (row, traded):
            told[order.id] = known
            continue
        if order.trading_day != day:
            row, traded = _its_own(order, row, traded)
        if row is not None or traded:
            after = observe_books(changes, world, account, order, row, traded)
            if after is order and _settled(account, order, traded):
                told[order.id] = (order, row, traded)
        elif order.trading_day != day:
            _outlived(changes, world, account, order, books)
    account.standing.told = told


def _settled(account: Account, order: Order, trades: list[SeenTrade]) -> bool:
    """Whether the same rows can tell nothing new of an order, however late: it ended, and its trades are all of it."""
    exact = sum(trade.quantity for trade in trades) == order.filled_quantity and order.declared_by is None
    waits = order.id in account.standing.unpriced_since or order.id in account.standing.ended_since
    return order.terminal and exact and not waits


def _its_own(order: Order, row: SeenOrder | None, trades: list[SeenTrade]) -> tuple[SeenOrder | None, list[SeenTrade]]:
    """Return what of a later day's books can be an order's: some brokers give its id to another one the next day."""
    instrument = Instrument(order.symbol, order.exchange, order.product)
    mine = row if row is not None and same_class(order, row) else None
    return mine, [trade for trade in trades if trade.instrument == instrument and trade.action is order.action]


def _outlived(changes: Pass, world: World, account: Account, order: Order, books: AccountBooks) -> None:
    """Call a working order expired that a later day's valid books do not list in session, for 5 s.

    A day's order cannot outlive its day. What it filled unseen shows as drift of the position.
    """
    if order.state is not OrderState.WORKING:
        return
    if not world.in_session(account.facts.venue, order.exchange, books.begun_at):
        return
    since = account.standing.ended_since.setdefault(order.id, books.begun_at)
    if books.begun_at - since < END_PATIENCE:
        account.books_wanted = True
        return
    account.standing.ended_since.pop(order.id)
    words = "the books of a later day do not list it"
    changes.put_order(moved(order, OrderState.EXPIRED, changes.now, words=words))
    note_change(account, order, changes.now)


def unclaimed_trades(
    changes: Pass, account: Account, books: AccountBooks, instrument: Instrument | None = None
) -> list[SeenTrade]:
    """Return the trades that no order of ours explains; ``instrument`` None: under every instrument."""
    ours = claimed_ids(changes, account.id, trading_day(books.begun_at))
    return [trade for trade in books.trades if instrument in {None, trade.instrument} and trade.orderid not in ours]


def _other_mode(account: Account, mode: str) -> bool:
    """Whether something was said by the server in another mode than the one the account was armed in."""
    return bool(mode and account.facts.mode) and mode != account.facts.mode


def _named(changes: Pass, account: Account | None, order: Order, orderid: str, words: str) -> None:
    now = changes.now
    others = [
        other
        for other in orders_on(changes, order.account_id)
        if other.id != order.id and other.orderid == orderid and other.trading_day == order.trading_day
    ]
    if any(not only_claimed(other) for other in others):
        # Two answers name one order: that of the first stays, and this one is looked up.
        _in_doubt(changes, order, f"its answer named {orderid}, which is another order's id", now + ANSWER_REPEATED)
        return
    for other in others:
        # The answer is stronger than a claim from the books: the other order looks again.
        release(changes, other, state=OrderState.UNKNOWN, absent_since=None)
    if order.orderid is not None and order.orderid != orderid:
        order = changes.put_order(
            replace(order, state=OrderState.WORKING, filled_quantity=0, filled_value_paise=0), source="claim swapped"
        )
    if order.orderid is None and order.state in _UNNAMED_ENDS:
        declared = "declared" if order.declared_by is not None else "called"
        tell(changes, order, f"was {declared} {order.state}, and is there as {orderid}")
        order = changes.put_order(replace(order, state=OrderState.WORKING))
        note_change(account, order, now)
    if order.terminal or order.state is OrderState.WORKING:
        order = changes.put_order(replace(order, orderid=orderid, answered_at=now, updated_at=now))
    else:
        order = changes.put_order(
            moved(order, OrderState.WORKING, now, orderid=orderid, answered_at=now, words=words or order.words)
        )
    if account is not None:
        for seen in [push for push in account.pushes if push.orderid == orderid]:
            order = observe(changes, account, order, of_push(account, order, seen))
            account.pushes.remove(seen)


def _look_in_pushes(changes: Pass, world: World, account: Account | None) -> None:
    """Look for an order that has just become unknown among the pushes that came before: books may not answer now."""
    if account is not None and account.pushes:
        unknowns.resolve(changes, world, account, list(account.pushes), None)


def _contradicted(changes: Pass, account: Account | None, order: Order, state: OrderState, words: str) -> None:
    """Take an answer that nothing was placed of an order that was inferred or declared to have filled.

    It proves a declaration wrong. What the position showed stays: a person must look.
    """
    if not order.filled_quantity or order.orderid is not None:
        return
    if order.declared_by is not None:
        take_back_declared(changes, account, order, state, 0, 0, f"its late answer says: {words}")
    else:
        tell(
            changes,
            order,
            f"its late answer says that nothing was placed ({words}); its fill was inferred from the position",
        )


def _queued(changes: Pass, account: Account | None, order: Order, pending: str | None) -> None:
    """Take the answer that an order waits at its server for a person: the account is quarantined (RULES 5).

    One that was called unknown meanwhile, or not received, is unknown (again): it may be approved at any time.
    """
    now = changes.now
    words = f"{quarantine.APPROVAL} (request {pending})"
    if order.state is OrderState.SENDING:
        changes.put_order(moved(order, OrderState.QUEUED, now, words=words, answered_at=now))
    elif order.state in {OrderState.UNKNOWN, OrderState.NOT_RECEIVED}:
        changes.put_order(
            replace(order, state=OrderState.UNKNOWN, words=words, answered_at=None, absent_since=None, updated_at=now)
        )
        tell(changes, order, words, pending=pending)
    elif only_claimed(order):
        claimed = order.orderid
        release(changes, order, state=OrderState.UNKNOWN, words=words, absent_since=None)
        tell(changes, order, f"{words}, and not {claimed} in the books", pending=pending)
        note_change(account, order, now)
    if account is not None:
        account.semi_auto = True
        quarantine.judge(changes, account)


def _in_doubt(changes: Pass, order: Order, words: str, quiet_until: datetime) -> None:
    if order.state in {OrderState.SENDING, OrderState.UNKNOWN}:
        now = changes.now
        if order.state is OrderState.SENDING:
            tell(changes, order, words)
        changes.put_order(moved(order, OrderState.UNKNOWN, now, words=words, quiet_until=quiet_until, answered_at=None))
    elif only_claimed(order):
        # what was found in the books may prove to be another's: then this says how long absence proves nothing
        changes.put_order(replace(order, quiet_until=quiet_until, updated_at=changes.now))
