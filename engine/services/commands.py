"""Clicks as rows: what a person asks of the engine, written once, taken by the engine (RULES 4).

The pages never trade. A command carries an idempotency key, so that two presses, two tabs or a rerun are one command,
and a time until which the engine may take it; exits and halts never expire.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlmodel import Session, col, select

from engine.domain.runs import RUN_ENDED
from engine.services.activity import log_activity
from engine.services.errors import InvalidInput, NotFound, Refused
from engine.services.exit_parts import ids_of, share_of, whole_of
from engine.services.identity import Caller, require
from engine.services.risk_views import DrillView
from engine.services.views import CommandView
from engine.store.database import Database
from engine.store.tables import (
    Command,
    CommandState,
    Role,
    Strategy,
    StrategyExecution,
    StrategyVersion,
    TradingAccount,
    User,
)

ENTRY_VALID_FOR = timedelta(seconds=15)
"""How long the engine may still take an entry or a preview (RULES 4)."""

TAKING_GRACE = timedelta(seconds=1)
"""A row that the engine takes in the last instant may still look pending for this long."""

KINDS = frozenset(
    {
        "preview",
        "execute",
        "close_run",
        "halt",
        "rearm",
        "reload_accounts",
        "declare_order",
        "take_over",
        "adopt",
        "set_limits",
        "rearm_rule",
        "drill",
    }
)
ENDED_RUNS = tuple(str(state) for state in RUN_ENDED)
"""States of runs that need no one any more, as stored."""


def submit(
    database: Database,
    caller: Caller,
    *,
    kind: str,
    payload: dict[str, Any],
    idempotency_key: str,
    valid_for: timedelta | None,
    now: datetime,
) -> CommandView:
    """Write a command, or return the one that already carries this key.

    ``valid_for`` None never expires. Raises InvalidInput when the key is unusable or belongs to a command of another
    kind, NotAllowed for viewers.
    """
    require(caller, Role.TRADER)
    with database.write() as session:
        return _view(
            enqueue(session, caller, kind=kind, payload=payload, key=idempotency_key, valid_for=valid_for, now=now), now
        )


def enqueue(
    session: Session,
    caller: Caller,
    *,
    kind: str,
    payload: dict[str, Any],
    key: str,
    valid_for: timedelta | None,
    now: datetime,
) -> Command:
    """Write a command in a transaction of the caller's, or return the row that already carries the key."""
    if kind not in KINDS:
        raise InvalidInput("kind", f"there is no command {kind!r}")
    if not 1 <= len(key) <= 64:
        raise InvalidInput("idempotency_key", "1 to 64 characters")
    known = session.exec(
        select(Command).where(Command.user_id == caller.user_id, Command.idempotency_key == key)
    ).one_or_none()
    if known is not None:
        if known.kind != kind:
            raise InvalidInput("idempotency_key", f"it already belongs to a command {known.kind!r}")
        return known
    row = Command(
        user_id=caller.user_id,
        kind=kind,
        payload=payload,
        idempotency_key=key,
        created_at=now,
        valid_until=None if valid_for is None else now + valid_for,
    )
    session.add(row)
    session.flush()
    if kind not in {"preview", "reload_accounts"}:
        log_activity(session, caller, action=f"command.{kind}", target=f"command {row.id}", now=now, detail=payload)
    return row


def command_of(session: Session, caller: Caller, kind: str, key: str, now: datetime) -> CommandView | None:
    """Return the caller's command of a kind that carries the key: what is pressed twice is judged once."""
    row = session.exec(
        select(Command).where(Command.user_id == caller.user_id, Command.idempotency_key == key, Command.kind == kind)
    ).one_or_none()
    return None if row is None else _view(row, now)


def enqueue_reload(session: Session, caller: Caller, *, now: datetime) -> None:
    """Ask the engine to read the user's accounts anew; it does not expire."""
    enqueue(session, caller, kind="reload_accounts", payload={}, key=uuid4().hex, valid_for=None, now=now)


def command_view(database: Database, caller: Caller, *, command_id: int, now: datetime) -> CommandView:
    """Return how far a command of the caller's is; raises NotFound for anybody else's."""
    with database.read() as session:
        row = session.get(Command, command_id)
    if row is None or row.user_id != caller.user_id:
        raise NotFound(f"There is no command {command_id}.")
    return _view(row, now)


def request_preview(
    database: Database, caller: Caller, *, strategy_id: int, account_ids: list[int] | None, now: datetime
) -> CommandView:
    """Ask the engine what Execute would send now; the outcome carries a PreviewView."""
    require(caller, Role.TRADER)
    with database.write() as session:
        strategy = _own_strategy(session, caller, strategy_id)
        chosen = _own_accounts(session, caller, account_ids)
        payload = {"strategy_id": strategy_id, "version": strategy.version, "account_ids": chosen}
        row = enqueue(
            session, caller, kind="preview", payload=payload, key=uuid4().hex, valid_for=ENTRY_VALID_FOR, now=now
        )
        return _view(row, now)


def execute(
    database: Database,
    caller: Caller,
    *,
    strategy_id: int,
    version: int,
    account_ids: list[int] | None,
    seen_run_ids: list[int],
    key: str,
    again: bool,
    contracts: list[str] | None = None,
    now: datetime,
) -> CommandView:
    """Order an entry of the version that the page showed, with the open runs it showed (RULES 4).

    ``contracts``: the symbols its preview showed, leg by leg; if the legs mean others by now, nothing is sent.

    The engine compares both with what is there when it takes the command. Refused here at once when the version is no
    longer the present one, or when runs are open and ``again`` was not ticked.
    """
    require(caller, Role.TRADER)
    with database.write() as session:
        if (known := command_of(session, caller, "execute", key, now)) is not None:
            return known
        strategy = _own_strategy(session, caller, strategy_id)
        if strategy.version != version:
            raise Refused(
                f"{strategy.name} is at version {strategy.version} now, the page showed version {version}. "
                "Look at the preview again."
            )
        chosen = _own_accounts(session, caller, account_ids)
        if chosen is None and not _version_accounts(session, strategy_id, version):
            raise InvalidInput("accounts", "the strategy names no account; choose at least one")
        if seen_run_ids and not again:
            raise Refused(f"{strategy.name} already has an open run. Choose “Run again” to open a second one.")
        payload = {
            "strategy_id": strategy_id,
            "version": version,
            "account_ids": chosen,
            "seen_run_ids": sorted(seen_run_ids),
            "again": again,
            "contracts": contracts,
        }
        row = enqueue(session, caller, kind="execute", payload=payload, key=key, valid_for=ENTRY_VALID_FOR, now=now)
        return _view(row, now)


def close_run(
    database: Database,
    caller: Caller,
    *,
    run_id: int,
    account_ids: list[int] | None,
    key: str,
    now: datetime,
    leg_indexes: list[int] | None = None,
    share: float | None = None,
) -> CommandView:
    """Order the exit of a run: on all its accounts (None) or on some, all its legs or some, or a share of each in %.

    It never expires. Raises InvalidInput naming the field, NotFound for another's run.
    """
    require(caller, Role.TRADER)
    whole_of("run", run_id)
    accounts, legs = ids_of("accounts", "account", account_ids), ids_of("legs", "leg", leg_indexes)
    share = share_of(share)
    with database.write() as session:
        run = session.get(StrategyExecution, run_id)
        if run is None or run.owner_id != caller.user_id:
            raise NotFound(f"There is no run {run_id}.")
        if unknown := set(legs) - {int(leg["leg_index"]) for leg in run.resolved.get("legs", [])}:
            raise InvalidInput("legs", f"run {run_id} has no leg {min(unknown)}")
        payload: dict[str, Any] = {"run_id": run_id, "account_ids": list(accounts) or None}
        if legs:
            payload["leg_indexes"] = list(legs)
        if share is not None:
            payload["share"] = share
        row = enqueue(session, caller, kind="close_run", payload=payload, key=key, valid_for=None, now=now)
        return _view(row, now)


def rearm_rule(database: Database, caller: Caller, *, run_id: int, latch: str, key: str, now: datetime) -> CommandView:
    """Re-arm a rule of a run that acted (``latch``, as its gauge and its run name it); it never expires.

    Raises NotFound for another's run; the engine refuses a latch that the run does not have.
    """
    require(caller, Role.TRADER)
    with database.write() as session:
        run = session.get(StrategyExecution, run_id)
        if run is None or run.owner_id != caller.user_id:
            raise NotFound(f"There is no run {run_id}.")
        payload = {"run_id": run_id, "latch": latch}
        row = enqueue(session, caller, kind="rearm_rule", payload=payload, key=key, valid_for=None, now=now)
        return _view(row, now)


def halt(
    database: Database,
    caller: Caller,
    *,
    key: str,
    now: datetime,
    account_id: int | None = None,
    everyone: bool = False,
) -> CommandView:
    """Kill switch of the caller, of one account, or (admin) of everyone: runs out, no entries until re-armed.

    It never expires. Raises NotAllowed, NotFound for another's account, InvalidInput for both scopes at once.
    """
    return _scoped(database, caller, "halt", account_id, everyone=everyone, key=key, now=now)


def rearm(
    database: Database,
    caller: Caller,
    *,
    key: str,
    now: datetime,
    account_id: int | None = None,
    everyone: bool = False,
) -> CommandView:
    """Allow entries of the same scopes again after a halt; its limits of the day may act again. It never expires."""
    return _scoped(database, caller, "rearm", account_id, everyone=everyone, key=key, now=now)


def owned_account(session: Session, caller: Caller, account_id: int) -> TradingAccount:
    """Return an active account of the caller; raises NotFound for anybody else's, InvalidInput for one not active."""
    account = session.get(TradingAccount, account_id)
    if account is None or account.owner_id != caller.user_id:
        raise NotFound(f"There is no account {account_id}.")
    if not account.active:
        raise InvalidInput("account", f"{account.name} is not active")
    return account


def _scoped(
    database: Database,
    caller: Caller,
    kind: str,
    account_id: int | None,
    *,
    everyone: bool,
    key: str,
    now: datetime,
) -> CommandView:
    """Write a halt or a re-arm of a scope; the engine looks at the role once more when it takes it."""
    require(caller, Role.ADMIN if everyone else Role.TRADER)
    if everyone and account_id is not None:
        raise InvalidInput("account", "say one account or everyone, not both")
    payload: dict[str, Any] = {"everyone": True} if everyone else {}
    with database.write() as session:
        if everyone:  # the engine knows only those who have an account or a run
            payload["user_ids"] = list(session.exec(select(User.id).order_by(col(User.id))))
        if account_id is not None:
            payload["account_id"] = owned_account(session, caller, account_id).id
        return _view(enqueue(session, caller, kind=kind, payload=payload, key=key, valid_for=None, now=now), now)


def drill(database: Database, caller: Caller, *, key: str, now: datetime) -> CommandView:
    """Ask the engine to rehearse the kill switch; the outcome carries a DrillView, nothing is sent."""
    return submit(database, caller, kind="drill", payload={}, idempotency_key=key, valid_for=ENTRY_VALID_FOR, now=now)


def drill_result(database: Database, caller: Caller, *, command_id: int, now: datetime) -> DrillView:
    """Return what a drill found; raises Refused until it is done, NotFound where there is no such drill."""
    command = command_view(database, caller, command_id=command_id, now=now)
    if command.kind != "drill":
        raise NotFound(f"Command {command_id} is no fire drill.")
    if "drill" not in command.outcome:
        raise Refused(command.message or "The fire drill is not done yet.")
    return DrillView.model_validate(command.outcome["drill"])


def open_run_ids(session: Session, caller: Caller, strategy_id: int) -> list[int]:
    """Return the ids of the caller's runs of a strategy that have not ended."""
    return list(
        session.exec(
            select(StrategyExecution.id)
            .where(
                StrategyExecution.owner_id == caller.user_id,
                StrategyExecution.strategy_id == strategy_id,
                col(StrategyExecution.state).not_in(ENDED_RUNS),
            )
            .order_by(col(StrategyExecution.id))
        )
    )


def _own_strategy(session: Session, caller: Caller, strategy_id: int) -> Strategy:
    strategy = session.get(Strategy, strategy_id)
    if strategy is None or strategy.owner_id != caller.user_id or strategy.archived:
        raise NotFound(f"There is no strategy {strategy_id}.")
    return strategy


def _own_accounts(session: Session, caller: Caller, account_ids: list[int] | None) -> list[int] | None:
    if account_ids is None:
        return None
    if not account_ids:
        raise InvalidInput("accounts", "choose at least one account")
    for account_id in account_ids:
        account = session.get(TradingAccount, account_id)
        if account is None or account.owner_id != caller.user_id:
            raise NotFound(f"There is no account {account_id}.")
        if not account.active:
            raise InvalidInput("accounts", f"{account.name} is not active")
    return sorted(set(account_ids))


def _version_accounts(session: Session, strategy_id: int, number: int) -> list[int]:
    version = session.exec(
        select(StrategyVersion).where(StrategyVersion.strategy_id == strategy_id, StrategyVersion.number == number)
    ).one()
    return version.account_ids


def _view(row: Command, now: datetime) -> CommandView:
    assert row.id is not None
    message = str(row.outcome.get("message", ""))
    state = str(row.state)
    if (
        row.state is CommandState.PENDING
        and row.valid_until is not None
        and now > row.valid_until.astimezone(UTC) + TAKING_GRACE
    ):
        state, message = "too_late", "The engine did not take this in time; nothing was sent."
    return CommandView(
        id=row.id, kind=row.kind, state=state, message=message, outcome=row.outcome, created_at=row.created_at
    )
