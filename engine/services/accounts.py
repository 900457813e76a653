"""The family's accounts: add, test, choose the primary, take out of use; start with paper accounts.

Every change writes what was done to the activity log and asks the engine to read the accounts anew, in one transaction.
API keys go into the vault and nowhere else.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, func, select

from engine.services.activity import log_activity
from engine.services.commands import ENDED_RUNS, enqueue_reload
from engine.services.connection import Probe, clean_host, clean_ws_url, probe
from engine.services.errors import ConnectionFailed, InvalidInput, NotFound, Refused
from engine.services.identity import Caller, require
from engine.services.strategy_checks import plain_text
from engine.services.views import AccountDraft, AccountView, ConnectionReport
from engine.store.database import Database
from engine.store.tables import (
    AccountGroup,
    ExecutionAccount,
    MarginTracker,
    Role,
    StrategyExecution,
    TradingAccount,
)
from engine.store.vault import Vault, VaultError

GRADES = ("A", "B", "C")
LIVE_HOST_TAKEN = "{name} already uses this server; one OpenAlgo server is one account"
KEY_TAKEN = "{name} already uses this server with the same API key; a second account needs a key of its own"


def add_account(
    database: Database,
    vault: Vault,
    caller: Caller,
    draft: AccountDraft,
    *,
    now: datetime,
    connect: Probe = probe,
) -> AccountView:
    """Test the connection, then store the account; the first of a venue becomes its primary.

    Broker, mode, venue and funds model come from the server. Raises InvalidInput naming the field, ConnectionFailed
    with what is wrong in words; nothing is stored then.
    """
    require(caller, Role.TRADER)
    draft = check_draft(draft)
    with database.read() as session:
        _refuse_taken_name(session, caller, draft.name)
    report = connect(draft.host, draft.api_key)
    if not report.ok:
        raise ConnectionFailed(report.problem)
    with database.write() as session:
        _refuse_taken_name(session, caller, draft.name)
        account = insert_account(session, vault, caller, draft, report, now=now)
        enqueue_reload(session, caller, now=now)
        log_activity(
            session, caller, action="account.add", target=account.name, now=now,
            detail={"broker": account.broker, "venue": account.venue, "mode": account.mode},
        )  # fmt: skip
        return account_views(session, [account])[0]


def check_draft(draft: AccountDraft) -> AccountDraft:
    """Return the draft with cleaned text; raises InvalidInput naming the field."""
    name, relation, group = (plain_text(field, getattr(draft, field)) for field in ("name", "relation", "group"))
    if not 1 <= len(name) <= 80:
        raise InvalidInput("name", "1 to 80 characters")
    api_key = draft.api_key.strip()
    if not 1 <= len(api_key) <= 256 or not all("!" <= character <= "~" for character in api_key):
        raise InvalidInput("api_key", "1 to 256 letters, digits and signs without spaces, as OpenAlgo shows it")
    if draft.grade not in GRADES:
        raise InvalidInput("grade", "A, B or C")
    if draft.max_lots is not None and not 1 <= draft.max_lots <= 10_000:
        raise InvalidInput("max_lots", "1 to 10,000, or empty for no cap")
    if len(relation) > 40 or len(group) > 80:
        raise InvalidInput("relation" if len(relation) > 40 else "group", "too long")
    host = clean_host(draft.host)
    clean_ws_url(draft.ws_url, host=host, broker="")
    return draft.model_copy(
        update={
            "name": name, "api_key": api_key, "host": host, "relation": relation, "group": group,
        }
    )  # fmt: skip


def insert_account(
    session: Session, vault: Vault, caller: Caller, draft: AccountDraft, report: ConnectionReport, *, now: datetime
) -> TradingAccount:
    """Add a tested account to the transaction.

    One live server is one account; a paper exchange holds many, each with a key of its own.
    """
    _refuse_taken_key(session, vault, caller, draft)
    if not report.venue.startswith("paper:"):
        taken = session.exec(
            select(TradingAccount).where(
                TradingAccount.owner_id == caller.user_id,
                TradingAccount.host == draft.host,
                TradingAccount.active,
            )
        ).first()
        if taken is not None:
            raise InvalidInput("host", LIVE_HOST_TAKEN.format(name=taken.name))
    account = TradingAccount(
        owner_id=caller.user_id,
        group_id=_group_id(session, caller, draft.group),
        name=draft.name,
        relation=draft.relation,
        host=draft.host,
        ws_url=clean_ws_url(draft.ws_url, host=draft.host, broker=report.broker),
        api_key_encrypted=vault.encrypt(draft.api_key),
        broker=report.broker,
        venue=report.venue,
        mode=report.mode,
        is_primary=_primary(session, caller, report.venue) is None,
        grade=draft.grade,
        max_lots=draft.max_lots,
        funds_model=report.funds_model or "gross",
        created_at=now,
    )
    session.add(account)
    session.flush()
    return account


def check_account(
    database: Database, vault: Vault, caller: Caller, *, account_id: int, now: datetime, connect: Probe = probe
) -> ConnectionReport:
    """Test the connection of a stored account; changes nothing but the activity log."""
    require(caller, Role.TRADER)
    with database.read() as session:
        account = own_account(session, caller, account_id)
    try:
        api_key = vault.decrypt(account.api_key_encrypted)
    except VaultError as error:
        raise ConnectionFailed(str(error)) from None
    report = connect(account.host, api_key.get_secret_value())
    if report.ok and report.venue != account.venue:
        report = report.model_copy(
            update={
                "ok": False,
                "problem": f"{account.host} is now {report.venue}, the account was added as {account.venue}.",
            }
        )
    with database.write() as session:
        log_activity(
            session, caller, action="account.test", target=account.name, now=now,
            outcome="done" if report.ok else "failed",
        )  # fmt: skip
    return report


SHOWN_ORDER = (col(TradingAccount.is_primary).desc(), col(TradingAccount.priority), col(TradingAccount.id))
"""The order of accounts in every list and table: those that give prices first (``World.shown`` is the same)."""


def list_accounts(database: Database, caller: Caller, *, active_only: bool = True) -> list[AccountView]:
    """Return the caller's accounts as stored, primary ones first; what moves comes from the live view."""
    with database.read() as session:
        statement = select(TradingAccount).where(TradingAccount.owner_id == caller.user_id)
        if active_only:
            statement = statement.where(TradingAccount.active)
        rows = session.exec(statement.order_by(*SHOWN_ORDER)).all()
        return account_views(session, rows)


def deactivate_account(database: Database, caller: Caller, *, account_id: int, now: datetime) -> None:
    """Take an account out of use; refused while a run is open on it. The next account of its venue becomes primary."""
    require(caller, Role.TRADER)
    with database.write() as session:
        account = own_account(session, caller, account_id)
        if not account.active:
            return
        open_runs = session.exec(
            select(StrategyExecution.id)
            .join(ExecutionAccount, col(ExecutionAccount.execution_id) == col(StrategyExecution.id))
            .where(
                ExecutionAccount.account_id == account_id,
                col(StrategyExecution.state).not_in(ENDED_RUNS),
            )
        ).all()
        if open_runs:
            numbers = ", ".join(str(run) for run in sorted(open_runs))
            raise Refused(f"{account.name} has open runs ({numbers}). Close them first, then deactivate the account.")
        was_primary, account.active, account.is_primary = account.is_primary, False, False
        session.add(account)
        session.flush()
        if was_primary:
            heir = session.exec(
                select(TradingAccount)
                .where(
                    TradingAccount.owner_id == caller.user_id,
                    TradingAccount.venue == account.venue,
                    TradingAccount.active,
                )
                .order_by(col(TradingAccount.priority), col(TradingAccount.id))
            ).first()
            if heir is not None:
                heir.is_primary = True
                session.add(heir)
        enqueue_reload(session, caller, now=now)
        log_activity(session, caller, action="account.deactivate", target=account.name, now=now)


def set_primary(database: Database, caller: Caller, *, account_id: int, now: datetime) -> None:
    """Make an account the source of market data of its venue."""
    require(caller, Role.TRADER)
    with database.write() as session:
        account = own_account(session, caller, account_id)
        if not account.active:
            raise Refused(f"{account.name} is not active.")
        present = _primary(session, caller, account.venue)
        if present is not None and present.id == account.id:
            return
        if present is not None:
            present.is_primary = False
            session.add(present)
        account.is_primary = True
        session.add(account)
        enqueue_reload(session, caller, now=now)
        log_activity(session, caller, action="account.primary", target=account.name, now=now)


def own_account(session: Session, caller: Caller, account_id: int) -> TradingAccount:
    """Return an account of the caller; raises NotFound for anybody else's."""
    account = session.get(TradingAccount, account_id)
    if account is None or account.owner_id != caller.user_id:
        raise NotFound(f"There is no account {account_id}.")
    return account


def account_views(session: Session, accounts: Sequence[TradingAccount]) -> list[AccountView]:
    """Return accounts as stored, each with its newest funds read; whether one is armed only the engine knows."""
    ids = [account.id for account in accounts]
    newest = (
        select(func.max(MarginTracker.id))
        .where(col(MarginTracker.account_id).in_(ids))
        .group_by(col(MarginTracker.account_id))
    )
    funds = {
        row.account_id: row for row in session.exec(select(MarginTracker).where(col(MarginTracker.id).in_(newest)))
    }
    groups = {
        row.id: row.name
        for row in session.exec(
            select(AccountGroup).where(col(AccountGroup.id).in_({account.group_id for account in accounts}))
        )
    }
    return [_view(account, groups.get(account.group_id, ""), funds.get(account.id or 0)) for account in accounts]


def _view(account: TradingAccount, group: str, funds: MarginTracker | None) -> AccountView:
    assert account.id is not None
    return AccountView(
        id=account.id,
        name=account.name,
        relation=account.relation,
        group=group,
        broker=account.broker,
        venue=account.venue,
        host=account.host,
        grade=account.grade,
        is_primary=account.is_primary,
        active=account.active,
        waits_for="engine" if account.active else "not active",
        available_paise=funds.available_paise if funds is not None else None,
        used_paise=funds.used_paise if funds is not None else None,
        funds_at=funds.at if funds is not None else None,
    )


def _refuse_taken_name(session: Session, caller: Caller, name: str) -> None:
    taken = session.exec(
        select(TradingAccount).where(TradingAccount.owner_id == caller.user_id, TradingAccount.name == name)
    ).first()
    if taken is not None:
        state = "" if taken.active else " (it is not active)"
        raise InvalidInput("name", f"you already have an account {name!r}{state}")


def _refuse_taken_key(session: Session, vault: Vault, caller: Caller, draft: AccountDraft) -> None:
    """Two accounts with one key are one account counted twice: in funds, in sizing and in every exit."""
    rows = session.exec(
        select(TradingAccount).where(TradingAccount.owner_id == caller.user_id, TradingAccount.host == draft.host)
    )
    for row in rows:
        try:
            known = vault.decrypt(row.api_key_encrypted).get_secret_value()
        except VaultError:
            continue  # its key is lost, so nobody can trade with it
        if secrets.compare_digest(known.encode(), draft.api_key.encode()):
            state = "" if row.active else " (it is not active)"
            raise InvalidInput("api_key", KEY_TAKEN.format(name=f"{row.name}{state}"))


def _group_id(session: Session, caller: Caller, name: str) -> int | None:
    if not name:
        return None
    group = session.exec(
        select(AccountGroup).where(AccountGroup.owner_id == caller.user_id, AccountGroup.name == name)
    ).one_or_none()
    if group is None:
        group = AccountGroup(owner_id=caller.user_id, name=name)
        session.add(group)
        session.flush()
    return group.id


def _primary(session: Session, caller: Caller, venue: str) -> TradingAccount | None:
    return session.exec(
        select(TradingAccount).where(
            TradingAccount.owner_id == caller.user_id,
            TradingAccount.venue == venue,
            TradingAccount.active,
            TradingAccount.is_primary,
        )
    ).first()
