"""What an account's books must agree with (RULES 5, "valid"): the day's opening, what was carried, what we know filled.

All of it outlives a restart: an engine that begins anew must not take an emptied book for the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from engine.domain.errors import DomainError
from engine.domain.evidence import DISAGREE, AccountBooks, Instrument, defect, lost
from engine.domain.instruments import Exchange, Key, Product
from engine.domain.orders import Order
from engine.domain.runs import AccountMemory
from engine.domain.symbols import parse_symbol
from engine.services.ledger import Pass
from engine.services.sightings import orders_on
from engine.services.world import Account, trading_day

Rows = tuple[tuple[str, str, str, int], ...]


def begin_day(changes: Pass, account: Account, day: date, *, in_session: bool) -> None:
    """Count a day anew when it begins, and when its session does: brokers empty their books at some time of the night.

    After a restart within the day its opening is known from memory, if that was written in the same part of the day.
    """
    if account.books_day == day and (account.books_in_session or not in_session):
        return
    memory = changes.memory(account.id)
    opened = memory is not None and memory.carried_at is not None and trading_day(memory.carried_at) == day
    account.books_day, account.books_in_session = day, in_session or opened
    account.opening, account.opening_confirmed = None, False
    account.traded, account.disagreement = {}, None
    if memory is not None and memory.day == day and (opened or not in_session):
        account.opening, account.opening_confirmed = positions(memory.opening), True
        account.traded = _filled(_given(changes, account, day))


def defect_of(changes: Pass, account: Account, books: AccountBooks, day: date, *, in_session: bool) -> str | None:
    """Return why a read is no evidence, None if it is; notes which acknowledged orders it does not list.

    An id that a push told counts too, unless the trade book shows it: books that know nothing of it yet show less than
    there is. An order that a person declared is no longer asked for: a broker that never lists it must not spoil the
    day.
    """
    named = [
        order
        for order in _given(changes, account, day)
        if (order.answered_at or order.updated_at) <= books.begun_at
        and (order.answered_at is not None or order.orderid not in books.traded)
    ]
    carried = _kept(changes.memory(account.id), day) if account.opening is None else None
    problem = defect(
        books,
        mode=account.facts.mode,
        broker=account.facts.broker if books.broker else None,
        acknowledged={order.orderid for order in named if order.orderid and order.declared_by is None},
        traded_before=account.traded,
        opening=account.opening,
        in_session=in_session,
        carried=carried,
    )
    account.standing.missing = frozenset(order.orderid or "" for order in named) - books.rows.keys()
    if problem is None and in_session and carried and lost(books, carried):
        return DISAGREE  # what was carried is gone on the first read of a day: it needs as long as a conversion
    return problem


def unexplained(changes: Pass, account: Account, books: AccountBooks, day: date) -> frozenset[Key]:
    """Return the keys in which a trade book shows less than our orders of the day filled, as pushes or rows told.

    Such books are behind what we know, in their positions as well: they are no evidence of an outside trade there.
    """
    traded, filled = books.traded, _filled(given := _given(changes, account, day))
    return frozenset(
        order.key for order in given if traded.get(order.orderid or "", 0) < filled.get(order.orderid or "", 0)
    )


def lost_overnight(changes: Pass, account: Account, books: AccountBooks, day: date) -> bool:
    """Whether the books of a new day show less than what was carried into it."""
    kept = _kept(changes.memory(account.id), day) if account.opening is None else None
    return bool(kept and lost(books, kept))


def remember(changes: Pass, account: Account, books: AccountBooks, day: date, *, in_session: bool) -> None:
    """Write down what a restart must know; only what changed is written (it is in the trade path)."""
    before = changes.memory(account.id)
    carried = rows(books.net) if in_session or before is None else before.carried
    carried_at = before.carried_at if before is not None else None
    if in_session and (
        before is None or carried != before.carried or carried_at is None or trading_day(carried_at) != day
    ):
        carried_at = books.begun_at
    changes.put_memory(
        AccountMemory(
            account_id=account.id,
            broker=account.facts.broker,
            mode=account.facts.mode,
            armed_at=before.armed_at if before is not None and before.armed_at is not None else changes.now,
            day=day,
            opening=rows(account.opening or {}),
            carried=carried,
            carried_at=carried_at,
        )
    )


def rows(held: Mapping[Instrument, int]) -> Rows:
    """Return positions as they are stored, without those that are flat.

    >>> rows({Instrument("NIFTY29DEC26FUT", Exchange.NFO, Product.NRML): -65})
    (('NIFTY29DEC26FUT', 'NFO', 'NRML', -65),)
    """
    return tuple(
        (one.symbol, str(one.exchange), str(one.product), quantity)
        for one, quantity in sorted(held.items())
        if quantity
    )


def positions(stored: Rows) -> dict[Instrument, int]:
    """Return stored positions by instrument."""
    return {
        Instrument(symbol, Exchange(exchange), Product(product)): quantity
        for symbol, exchange, product, quantity in stored
    }


def _kept(memory: AccountMemory | None, day: date) -> dict[Instrument, int] | None:
    """Return what an earlier day's session carried into this day, None if it is not known.

    Only what is kept overnight counts: an intraday product is squared off by the broker, delivered shares are holdings
    the next day, and contracts that expired meanwhile are gone.
    """
    if memory is None or memory.carried_at is None or trading_day(memory.carried_at) >= day:
        return None
    return {
        one: quantity
        for one, quantity in positions(memory.carried).items()
        if one.product is Product.NRML and not _expired(one, day)
    }


def _expired(instrument: Instrument, day: date) -> bool:
    try:
        expiry = parse_symbol(instrument.symbol, instrument.exchange).expiry
    except DomainError:
        return False
    return expiry is not None and expiry < day


def _given(changes: Pass, account: Account, day: date) -> list[Order]:
    """Return our orders of a day that the server with which the account is armed gave an id, not an earlier one."""
    memory = changes.memory(account.id)
    armed = memory.armed_at if memory is not None else None
    if armed is not None and armed > changes.now:
        armed = None  # the clock was set back since: what is sent now is not of an earlier server
    return [
        order
        for order in orders_on(changes, account.id)
        if order.orderid is not None
        and order.trading_day == day
        and (armed is None or order.sent_at is None or order.sent_at >= armed)
    ]


def _filled(orders: Iterable[Order]) -> dict[str, int]:
    """Return what our own orders filled by their broker ids: no trade book may show less after a restart."""
    return {
        order.orderid: order.filled_quantity
        for order in orders
        if order.orderid is not None and order.filled_quantity and not order.estimated and order.declared_by is None
    }
