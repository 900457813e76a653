"""What moves, with its age: the engine's heartbeat and its live view, honest while the engine is away.

A dead engine leaves its last figures; they are returned marked stale. Without any, the database says what is open, with
profit unknown: never an empty table because something failed (DESIGN 7, law 6).
"""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from engine.services.accounts import list_accounts
from engine.services.identity import Caller
from engine.services.limit_commands import day_limits
from engine.services.order_views import open_orders
from engine.services.runs import count_open_runs, open_runs
from engine.services.views import AccountView, EngineView, LiveView
from engine.store.database import Database
from engine.store.live import LiveStore
from engine.store.tables import EngineLease

LEASE_STALE_SECONDS = 5.0
"""A lease older than this is a dead engine on the same host (DESIGN 1)."""

VIEW_STALE_SECONDS = 5.0
"""The engine writes once a second; a view older than this does not move any more."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def engine_view(database: Database, caller: Caller, *, now: datetime) -> EngineView:
    """Return the heartbeat of the engine that holds the lease, judged by the lease's age."""
    with database.read() as session:
        lease = session.get(EngineLease, 1)
        runs = count_open_runs(session, caller)
    if lease is None or not lease.holder:
        return EngineView(
            alive=False, lease_age_seconds=None, last_pass_at=None, holder="", pid=None, open_runs=runs,
            problem="The engine has not started yet." if lease is None else _not_running(runs),
            stopped_note=lease.stopped_note if lease is not None else "",
        )  # fmt: skip
    age = lease_age(lease, now)
    alive = age <= LEASE_STALE_SECONDS and not lease.stopped_note
    return EngineView(
        alive=alive,
        lease_age_seconds=age,
        last_pass_at=lease.last_pass_at,
        holder=lease.holder,
        pid=lease.pid,
        open_runs=runs,
        problem="" if alive else _not_running(runs),
        stopped_note="" if alive else lease.stopped_note,
    )


def lease_age(lease: EngineLease, now: datetime) -> float:
    """Return seconds since the lease was renewed; on the same boot by a clock that no one can set."""
    if lease.boot_id and lease.boot_id == _boot_id():
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - lease.renewed_boot)
    return max(0.0, (now - lease.renewed_at).total_seconds())


def live_view(database: Database, live: LiveStore, caller: Caller, *, now: datetime) -> LiveView:
    """Return what moves for the caller; ``problem`` says when it does not, and why."""
    accounts = list_accounts(database, caller)
    engine = engine_view(database, caller, now=now)
    written = _read(live, caller.user_id)
    if written is None:
        runs = open_runs(database, caller)
        unknown, working = open_orders(database, caller, now=now)
        missing = "The engine has written no live figures yet." if accounts or runs else ""
        limits = day_limits(database, caller, accounts, now=now)
        return LiveView(
            as_of=now,
            accounts=accounts,
            runs=runs,
            profit_paise=None,
            halted=limits[0].halted,
            problem=engine.problem or missing,
            unknown=unknown,
            working=working,
            day_limits=limits,
        )
    problem = engine.problem
    if not problem and (now - written.as_of).total_seconds() > VIEW_STALE_SECONDS:
        problem = "The engine runs but writes no live figures."
    merged = _merge(accounts, written.accounts, trading=not problem)
    stored = day_limits(database, caller, accounts, now=now)
    profits = {limit.account_id: limit.profit_paise for limit in written.day_limits}
    limits = [limit.model_copy(update={"profit_paise": profits.get(limit.account_id)}) for limit in stored]
    fields = {"accounts": merged, "problem": problem, "halted": stored[0].halted, "day_limits": limits}
    return written.model_copy(update=fields)


def accounts_view(database: Database, live: LiveStore, caller: Caller, *, now: datetime) -> list[AccountView]:
    """Return the caller's accounts, those that are not active last, with health and funds as the engine sees them."""
    moving = {account.id: account for account in live_view(database, live, caller, now=now).accounts}
    rows = list_accounts(database, caller, active_only=False)
    return sorted((moving.get(row.id, row) for row in rows), key=lambda row: not row.active)


def _merge(stored: list[AccountView], written: list[AccountView], *, trading: bool) -> list[AccountView]:
    """Names and roles as stored, health and funds as the engine wrote them; armed only under a living engine."""
    moving = {account.id: account for account in written}
    merged = []
    for row in stored:
        found = moving.get(row.id)
        if found is None:
            merged.append(row)
            continue
        fields = {
            "name": row.name, "relation": row.relation, "group": row.group, "grade": row.grade,
            "is_primary": row.is_primary, "active": row.active,
        }  # fmt: skip
        if not trading:
            fields |= {"armed": False, "waits_for": "engine", "health": "unknown", "feed": "unknown"}
        merged.append(found.model_copy(update=fields))
    return merged


def _read(live: LiveStore, user_id: int) -> LiveView | None:
    try:
        body = live.read(user_id)
        return None if body is None else LiveView.model_validate_json(body)
    except (sqlite3.Error, ValidationError):
        return None  # another release wrote it, or the file is being made: the database answers instead


def _not_running(runs: int) -> str:
    if not runs:
        return "The engine is not running."
    return f"The engine is not running: {runs} open run{'s are' if runs > 1 else ' is'} not watched."


@cache
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def utc_now() -> datetime:
    """Return the wall clock, aware UTC."""
    return datetime.now(UTC)
