"""What reads of an account prove: books and funds. A failed read is unknown, never empty (law 6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from engine.domain.evidence import DISAGREE, AccountBooks
from engine.domain.instruments import Exchange
from engine.domain.orders import OrderState, Purpose
from engine.services import clock_offset, connecting, validity
from engine.services.declaring import take_back_disproved
from engine.services.drift import book_charges
from engine.services.ledger import Pass
from engine.services.messages import NEEDS_SESSION, BooksRead, FundsRead
from engine.services.outcomes import on_valid_books
from engine.services.world import Account, World, trading_day

BOOKS_AGAIN = timedelta(seconds=0.4)
FIRST_READ_CORRECTED = timedelta(seconds=2)
DISAGREEMENT_TAKEN = timedelta(seconds=60)


def on_books(changes: Pass, world: World, message: BooksRead) -> None:
    """Judge a read of the three books; only valid ones become evidence (RULES 5)."""
    account = world.accounts.get(message.account_id)
    if account is None:
        return
    account.reading_books_since = None
    connecting.probe_if_due(changes, account)
    books = message.books
    if books is None:
        _failed(changes, account, message.problem, BOOKS_AGAIN * 2)
        if message.problem.startswith(NEEDS_SESSION):
            connecting.tell_session(changes, world, account, message.problem)
        return
    if not connecting.same_server(changes, account, books.broker, books.mode):
        _failed(changes, account, account.quarantine, BOOKS_AGAIN)
        return
    day = trading_day(books.begun_at)
    in_session = world.in_session(account.facts.venue, Exchange.NFO, books.begun_at)
    validity.begin_day(changes, account, day, in_session=in_session)
    problem = validity.defect_of(changes, account, books, day, in_session=in_session)
    if problem and not (problem == DISAGREE and _believed(changes, account, books, day, in_session=in_session)):
        _failed(changes, account, problem, BOOKS_AGAIN)
        return
    opening = books.opening
    account.books_problem = ""
    account.books = books
    account.opening_confirmed = account.opening == opening or account.disagreement is not None
    if not account.opening_confirmed:
        account.books_wanted = True  # a read of its own, at once, shows whether the first of the day was torn
    account.disagreement = None
    account.opening = opening
    account.traded = books.traded
    validity.remember(changes, account, books, day, in_session=in_session)
    clock_offset.measure(changes, world, account, books)
    on_valid_books(changes, world, account, books)
    take_back_disproved(changes, world, account, books)
    account.standing.unexplained = validity.unexplained(changes, account, books, day)
    book_charges(changes, world, account, books)
    _arm(changes, account)


def _failed(changes: Pass, account: Account, problem: str, again: timedelta) -> None:
    """Note a read that is no evidence; another one follows soon."""
    account.books_problem = problem
    account.books_due = changes.now + again


def on_funds(changes: Pass, world: World, message: FundsRead) -> None:
    """Take a funds read and release what runs had reserved before it (RULES 2)."""
    account = world.accounts.get(message.account_id)
    if account is None:
        return
    account.reading_funds_since = None
    account.funds_begun = message.begun_at
    account.funds_problem = message.problem
    if message.available_paise is None:
        return
    account.available_paise, account.used_paise = message.available_paise, message.used_paise
    for run in changes.open_on(account.id):
        row = changes.account_of(run.id, account.id)
        if not row.reserved_paise:
            continue
        entries = [
            order
            for order in changes.orders_of(run.id)
            if order.account_id == account.id and order.purpose is Purpose.ENTRY
        ]
        if entries and all(order.terminal and order.updated_at < message.begun_at for order in entries):
            changes.put_account(replace(row, reserved_paise=0))
    changes.margins.append(
        {
            "account_id": account.id,
            "at": message.begun_at,
            "available_paise": message.available_paise,
            "used_paise": message.used_paise or 0,
            "reserved_paise": sum(
                changes.account_of(run.id, account.id).reserved_paise for run in changes.open_on(account.id)
            ),
            "funds_model": account.facts.funds_model,
        }
    )


def _believed(changes: Pass, account: Account, books: AccountBooks, day: date, *, in_session: bool) -> bool:
    """Tell whether a position book that trades do not explain is taken all the same (RULES 5, "valid").

    After it has said the same for 60 s in session (a product conversion), with an alarm. The first read of a day may
    have been torn by a fill: as long as no second one agreed with it, two later ones 2 s apart correct it.
    """
    found = books.opening
    if account.disagreement is None or account.disagreement[0] != found:
        account.disagreement = (found, books.begun_at)
    age = books.begun_at - account.disagreement[1]
    lost = validity.lost_overnight(changes, account, books, day)
    if not account.opening_confirmed and not lost:
        return age >= FIRST_READ_CORRECTED
    if age < DISAGREEMENT_TAKEN or not in_session:
        return False
    what = "positions carried into the day are gone" if lost else "positions changed without trades"
    changes.event(
        owner_id=account.facts.owner_id,
        kind="drift",
        action="alert_only",
        message=f"{account.facts.name}: {what} for 60 s; the position book is taken",
        knew={"opening": {one.symbol: quantity for one, quantity in found.items()}},
        account_id=account.id,
    )
    return True


def _arm(changes: Pass, account: Account) -> None:
    """Arm an account whose server answered, whose books were read and whose unknown orders are resolved."""
    if account.armed:
        return
    doubtful = changes.doubtful_orders(account.id)
    if account.quarantine:
        account.waits_for = account.quarantine
    elif not account.connected:
        account.waits_for = account.waits_for or "its server to answer"
    elif account.books is None:
        account.waits_for = (
            f"valid books ({account.books_problem})" if account.books_problem else "its books to be read"
        )
    elif doubtful:
        queued = any(order.state is OrderState.QUEUED for order in doubtful)
        account.waits_for = "an order queued for approval" if queued else f"{len(doubtful)} unknown orders"
    else:
        account.armed, account.waits_for = True, ""
