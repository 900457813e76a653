"""Ledger against broker: what our runs own on an account beside what its books show, by instrument (RULES 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from engine.domain.evidence import AccountBooks, Instrument
from engine.domain.instruments import Key
from engine.services.ledger import Pass
from engine.services.views import AccountTruthView, TruthRowView
from engine.services.world import Account, World

BOOKS_AGE = timedelta(seconds=15)
"""Older books are shown with their age, and agree with nothing."""


@dataclass(slots=True)
class _Ours:
    """What the ledger knows under an instrument."""

    owned: int = 0
    pending: int = 0
    run_ids: list[int] = field(default_factory=list)


def account_truth(changes: Pass, _world: World, account: Account) -> AccountTruthView:
    """Return one row per instrument that either side knows, sorted by symbol.

    ``agrees``: True when fresh valid books leave nothing of our runs uncharged (an outside quantity alone is no
    disagreement), False when they do, None when it is not known: no books, old or disputed ones, or doubt in a key.
    """
    books = account.books
    ours = _ledger_side(changes, account)
    known = set(ours)
    if books is not None:
        known |= {one for one, quantity in [*books.net.items(), *books.held.items()] if quantity}
    rows = [_row(changes, account, books, one, ours.get(one, _Ours())) for one in sorted(known)]
    age = None if books is None else changes.now - books.begun_at
    return AccountTruthView(
        account_id=account.id,
        account=account.facts.name,
        books_at=None if books is None else books.begun_at,
        books_age_seconds=None if age is None else age.total_seconds(),
        problem=_problem(account),
        agrees=_agrees(account, rows) if age is not None and age <= BOOKS_AGE else None,
        rows=rows,
    )


def _ledger_side(changes: Pass, account: Account) -> dict[Instrument, _Ours]:
    found: dict[Instrument, _Ours] = {}
    for run in changes.open_on(account.id):
        mine: set[Instrument] = set()
        for key, held in changes.holdings(run.id).items():
            if key.account_id == account.id and held.quantity:
                one = Instrument(key.symbol, key.exchange, key.product)
                found.setdefault(one, _Ours()).owned += held.quantity
                mine.add(one)
        for order in changes.orders_of(run.id):
            if order.account_id == account.id and not order.terminal:
                one = Instrument(order.symbol, order.exchange, order.product)
                found.setdefault(one, _Ours()).pending += order.pending_quantity
                mine.add(one)
        for one in mine:
            found[one].run_ids.append(run.id)
    return found


def _row(
    changes: Pass, account: Account, books: AccountBooks | None, instrument: Instrument, ours: _Ours
) -> TruthRowView:
    key = Key(account.id, *instrument)
    in_doubt = changes.in_doubt(key)
    entitled, outside = ours.owned, None
    if books is not None and not in_doubt and account.books_since(account.last_change.get(key)) is not None:
        charges = changes.drift(key, books.owned(instrument))
        entitled, outside = ours.owned - sum(charges.by_run.values()), charges.outside
    return TruthRowView(
        symbol=instrument.symbol,
        exchange=str(instrument.exchange),
        product=str(instrument.product),
        owned=ours.owned,
        entitled=entitled,
        net=None if books is None else books.owned(instrument),
        outside=outside,
        pending=ours.pending,
        in_doubt=in_doubt,
        run_ids=ours.run_ids,
    )


def _agrees(account: Account, rows: Iterable[TruthRowView]) -> bool | None:
    if account.books_problem:
        return None
    judged = list(rows)
    if any(row.entitled != row.owned for row in judged):
        return False
    return None if any(row.outside is None for row in judged) else True


def _problem(account: Account) -> str:
    if account.books_problem:
        return account.books_problem
    return account.quarantine or ("" if account.books is not None else account.waits_for)
