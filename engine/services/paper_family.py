"""Three accounts of a family at the built-in paper exchange: the first minute of a new user.

The funds are chosen so that a short straddle on NIFTY gets different lots on each account, on expiry day and before:
RULES 2 gives Asha 3 and 3, Ravi 2 and 2, Meera 4 and 5.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import NamedTuple

import httpx
from sqlmodel import Session, col, select

from engine.services.accounts import account_views, insert_account
from engine.services.activity import log_activity
from engine.services.commands import enqueue_reload
from engine.services.connection import Probe, probe, venue_of
from engine.services.errors import ConnectionFailed, InvalidInput
from engine.services.identity import Caller, require
from engine.services.views import AccountDraft, AccountView, ConnectionReport
from engine.settings import Settings
from engine.store.database import Database
from engine.store.tables import Role, TradingAccount
from engine.store.vault import Vault

GROUP = "Family"
CONTROL_TIMEOUT_SECONDS = 5.0
SILENT = "The paper exchange does not answer at {host}. Try again in a few seconds; its console says why."
STRANGER = (
    "What answers at {host} is not AlgoMirror's own paper exchange; no account was opened there. "
    "Another program uses this port: end it, or choose another with PAPER_PORT."
)


class Member(NamedTuple):
    """One account of the family; funds in ₹."""

    name: str
    relation: str
    funds: float
    grade: str


FAMILY = (
    Member("Asha", "self", 1_500_000.0, "B"),
    Member("Ravi", "spouse", 700_000.0, "A"),
    Member("Meera", "parent", 4_000_000.0, "C"),
)


def start_with_paper_accounts(
    database: Database,
    vault: Vault,
    settings: Settings,
    caller: Caller,
    *,
    now: datetime,
    connect: Probe = probe,
    transport: httpx.BaseTransport | None = None,
) -> list[AccountView]:
    """Return the family's paper accounts; those that are missing are made, all of them or none.

    Pressing twice makes three accounts. Raises ConnectionFailed when the paper exchange does not answer. ``transport``
    stands in for the paper exchange in tests.
    """
    require(caller, Role.TRADER)
    host = f"http://127.0.0.1:{settings.paper_port}"
    with database.read() as session:
        missing = [member for member in FAMILY if _existing(session, caller, host, member) is None]
    prepared = _open_accounts(settings, host, missing, connect=connect, transport=transport)
    with database.write() as session:
        added = []
        for member, draft, report in prepared:
            if _existing(session, caller, host, member) is None:
                named = draft.model_copy(update={"name": _free_name(session, caller, member)})
                added.append(insert_account(session, vault, caller, named, report, now=now).name)
        revived = _revive(session, caller, host)
        if added or revived:
            enqueue_reload(session, caller, now=now)
            log_activity(session, caller, action="account.paper_family", target=", ".join([*added, *revived]), now=now)
        rows = [_existing(session, caller, host, member) for member in FAMILY]
        return account_views(session, [row for row in rows if row is not None])


def _open_accounts(
    settings: Settings,
    host: str,
    members: list[Member],
    *,
    connect: Probe,
    transport: httpx.BaseTransport | None,
) -> list[tuple[Member, AccountDraft, ConnectionReport]]:
    if not members:
        return []
    token_file = settings.data_dir / "paper" / "control.token"
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except OSError:
        token = ""
    if not token:
        raise ConnectionFailed("The paper exchange has not started yet. Wait a few seconds, then try again.")
    prepared = []
    with httpx.Client(base_url=host, timeout=CONTROL_TIMEOUT_SECONDS, trust_env=False, transport=transport) as client:
        _make_sure_it_is_ours(client, host, token)
        for member in members:
            api_key = secrets.token_hex(32)
            try:
                answer = client.post(
                    "/control/accounts",
                    json={"api_key": api_key, "name": member.name, "funds": member.funds},
                    headers={"X-Control-Token": token},
                )
            except httpx.HTTPError:
                raise ConnectionFailed(SILENT.format(host=host)) from None
            if answer.status_code >= 400:
                raise ConnectionFailed(
                    f"The paper exchange at {host} refused to open a paper account ({answer.status_code}). "
                    "Its console says why."
                )
            report = connect(host, api_key)
            if not report.ok:
                raise ConnectionFailed(f"The paper exchange opened an account but does not serve it: {report.problem}")
            draft = AccountDraft(
                name=member.name, host=host, api_key=api_key, relation=member.relation, group=GROUP, grade=member.grade
            )
            prepared.append((member, draft, report))
    return prepared


def _make_sure_it_is_ours(client: httpx.Client, host: str, token: str) -> None:
    """Let the listener prove that it knows the token before it is shown: the port may be another program's."""
    nonce = secrets.token_hex(32)
    expected = hmac.new(token.encode(), nonce.encode(), hashlib.sha256).hexdigest()
    try:
        answer = client.get("/control/whoami", params={"nonce": nonce})
    except httpx.HTTPError:
        raise ConnectionFailed(SILENT.format(host=host)) from None
    if answer.status_code != 200 or not hmac.compare_digest(answer.content.strip(), expected.encode()):
        raise ConnectionFailed(STRANGER.format(host=host))


def _existing(session: Session, caller: Caller, host: str, member: Member) -> TradingAccount | None:
    return session.exec(
        select(TradingAccount).where(
            TradingAccount.owner_id == caller.user_id,
            TradingAccount.host == host,
            col(TradingAccount.name).in_(_names(member)),
        )
    ).first()


def _names(member: Member) -> list[str]:
    return [member.name, f"{member.name} (paper)"]


def _free_name(session: Session, caller: Caller, member: Member) -> str:
    for name in _names(member):
        taken = session.exec(
            select(TradingAccount).where(TradingAccount.owner_id == caller.user_id, TradingAccount.name == name)
        ).first()
        if taken is None:
            return name
    raise InvalidInput("name", f"{member.name} and {member.name} (paper) are both in use by other accounts")


def _revive(session: Session, caller: Caller, host: str) -> list[str]:
    """Bring deactivated members back, so that the button always ends with a family that can trade."""
    revived = []
    for member in FAMILY:
        row = _existing(session, caller, host, member)
        if row is not None and not row.active:
            row.active = True
            session.add(row)
            revived.append(row.name)
    venue = venue_of(host, "paper")
    active = session.exec(
        select(TradingAccount)
        .where(TradingAccount.owner_id == caller.user_id, TradingAccount.venue == venue, TradingAccount.active)
        .order_by(col(TradingAccount.priority), col(TradingAccount.id))
    ).all()
    if active and not any(row.is_primary for row in active):
        active[0].is_primary = True
        session.add(active[0])
    return revived
