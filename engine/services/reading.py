"""What reads of an account prove: books, funds, connection. A failed read is unknown, never empty (law 6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from engine.domain.evidence import DISAGREE, AccountBooks, defect
from engine.domain.instruments import Exchange
from engine.domain.orders import IN_DOUBT, Order, OrderState, Purpose
from engine.services.drift import book_charges
from engine.services.ledger import Pass
from engine.services.messages import BooksRead, Connected, FundsRead, Probed
from engine.services.outcomes import SEMI_AUTO, on_valid_books
from engine.services.world import Account, World, trading_day

BOOKS_AGAIN = timedelta(seconds=0.4)
FIRST_READ_CORRECTED = timedelta(seconds=2)
DISAGREEMENT_TAKEN = timedelta(seconds=60)


def on_connected(changes: Pass, world: World, message: Connected) -> None:
    """Take broker and mode of an account; another broker or mode than before quarantines it (RULES 5)."""
    account = world.accounts.get(message.account_id)
    if account is None:
        return
    account.connecting_since = None
    if message.problem:
        account.connected = False
        account.waits_for = f"its server ({message.problem})"
        return
    facts = account.facts
    if account.books is not None and (message.broker, message.mode) != (facts.broker, facts.mode):
        account.quarantine = (
            f"the server changed from {facts.broker} in {facts.mode} mode to {message.broker} in {message.mode} mode"
        )
        account.disarm(account.quarantine)
        return
    account.facts = replace(facts, broker=message.broker, mode=message.mode)
    account.connected = True
    account.books_wanted = True
    _arm(changes, account)


def on_books(changes: Pass, world: World, message: BooksRead) -> None:
    """Judge a read of the three books; only valid ones become evidence (RULES 5)."""
    account = world.accounts.get(message.account_id)
    if account is None:
        return
    account.reading_books_since = None
    books = message.books
    if books is None:
        account.books_problem = message.problem
        account.books_due = changes.now + BOOKS_AGAIN * 2
        return
    _judge_mode(changes, account, books)
    day = trading_day(books.begun_at)
    in_session = world.in_session(account.facts.venue, Exchange.NFO, books.begun_at)
    if account.books_day != day or (in_session and not account.books_in_session):
        # brokers empty their books at some time of the night: the day is counted anew when its session begins
        account.books_in_session = in_session
        account.books_day, account.opening, account.traded = day, None, {}
        account.opening_confirmed, account.disagreement = False, None
    acknowledged = {
        order.orderid
        for order in _orders_on(changes, account.id)
        if order.orderid is not None
        and order.trading_day == day
        and order.answered_at is not None
        and order.answered_at <= books.begun_at
    }
    problem = defect(
        books,
        mode=account.facts.mode,
        acknowledged=acknowledged,
        traded_before=account.traded,
        opening=account.opening,
    )
    if problem and not (problem == DISAGREE and _believed(changes, account, books, in_session=in_session)):
        account.books_problem = problem
        account.books_due = changes.now + BOOKS_AGAIN
        return
    opening = books.opening()
    account.books_problem = ""
    account.books = books
    account.opening_confirmed = account.opening == opening or account.disagreement is not None
    account.disagreement = None
    account.opening = opening
    account.traded = books.traded()
    on_valid_books(changes, account, books)
    book_charges(changes, world, account, books)
    _arm(changes, account)


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
    for run in changes.open_runs():
        for row in changes.accounts_of(run.id):
            if row.account_id != account.id or not row.reserved_paise:
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
                row.reserved_paise
                for run in changes.open_runs()
                for row in changes.accounts_of(run.id)
                if row.account_id == account.id
            ),
            "funds_model": account.facts.funds_model,
        }
    )


def _judge_mode(changes: Pass, account: Account, books: AccountBooks) -> None:
    """Quarantine an account whose server changed its mode: an exit sent now would leave the real position where it is.

    It ends when the server is back in the mode the account was armed in.
    """
    changed = books.mode != account.facts.mode
    if changed == account.mode_changed:
        return
    account.mode_changed = changed
    if not changed:
        doubtful = any(order.state is OrderState.QUEUED for order in _orders_on(changes, account.id))
        account.quarantine = SEMI_AUTO if doubtful else ""
        return
    account.quarantine = f"its server is in {books.mode} mode, it was armed in {account.facts.mode} mode"
    account.disarm(account.quarantine)
    changes.event(
        owner_id=account.facts.owner_id,
        kind="drift",
        action="alert_only",
        message=f"{account.facts.name}: {account.quarantine}; nothing is sent there until it is back",
        knew={"mode": books.mode, "armed": account.facts.mode},
        account_id=account.id,
    )


def _believed(changes: Pass, account: Account, books: AccountBooks, *, in_session: bool) -> bool:
    """Tell whether a position book that trades do not explain is taken all the same (RULES 5, "valid").

    After it has said the same for 60 s in session (a product conversion), with an alarm. The first read of a day may
    have been torn by a fill: as long as no second one agreed with it, two later ones 2 s apart correct it.
    """
    found = books.opening()
    if account.disagreement is None or account.disagreement[0] != found:
        account.disagreement = (found, books.begun_at)
    age = books.begun_at - account.disagreement[1]
    if not account.opening_confirmed:
        return age >= FIRST_READ_CORRECTED
    if age < DISAGREEMENT_TAKEN or not in_session:
        return False
    changes.event(
        owner_id=account.facts.owner_id,
        kind="drift",
        action="alert_only",
        message=f"{account.facts.name}: positions changed without trades for 60 s; the position book is taken",
        knew={"opening": {one.symbol: quantity for one, quantity in found.items()}},
        account_id=account.id,
    )
    return True


def _arm(changes: Pass, account: Account) -> None:
    """Arm an account whose server answered, whose books were read and whose unknown orders are resolved."""
    if account.armed:
        return
    doubtful = [order for order in _orders_on(changes, account.id) if order.state in IN_DOUBT]
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


def _orders_on(changes: Pass, account_id: int) -> list[Order]:
    runs = dict.fromkeys([*changes.ledger.runs, *changes.runs])
    return [order for run_id in runs for order in changes.orders_of(run_id) if order.account_id == account_id]


def on_probed(changes: Pass, world: World, message: Probed) -> None:
    """Take what a probe found: an account that queues orders for approval is quarantined (RULES 5)."""
    account = world.accounts.get(message.account_id)
    if account is None or message.semi_auto is None:
        return
    account.semi_auto = message.semi_auto
    if message.semi_auto:
        account.quarantine = SEMI_AUTO
        account.disarm(account.quarantine)
    else:
        _arm(changes, account)
