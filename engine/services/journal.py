"""The ledger on disk: loads it at start, writes a pass in one transaction under the lease.

Only the core writes these tables. Statements are plain upserts by primary key, so a pass costs one short transaction.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, bindparam, func, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlmodel import Session, SQLModel, col, or_, select

from engine.domain.day_limits import DayLimits
from engine.domain.instruments import Action, Exchange, Key, PriceType, Product
from engine.domain.orders import IN_DOUBT, Order, OrderState, Purpose
from engine.domain.runs import (
    RUN_ENDED,
    AccountMemory,
    AccountState,
    Charge,
    DayMark,
    ExitPlan,
    PlanState,
    Run,
    RunAccount,
    RunState,
    ScheduledEntry,
)
from engine.services.day_limit_rows import limits_of_row
from engine.services.ledger import Counters, EventRow, FillRow, Ledger, Pass, holdings_of
from engine.store import tables
from engine.store.database import Database

RECENT_SCHEDULES = timedelta(days=3)
"""Scheduled entries of this long ago are loaded: no older one can be due."""


class LeaseLostError(RuntimeError):
    """Another engine took the lease: this one must not write or send any more."""


class Journal:
    """Reads and writes the core's tables. ``lease_token``: the token under which this engine may write."""

    def __init__(self, database: Database, lease_token: int) -> None:
        self._database = database
        self._token = lease_token

    def load(self, now: datetime) -> Ledger:
        """Return every run that is not ended, and those that ended within a day: their broker ids still count."""
        with self._database.read() as session:
            counters = Counters(
                run=_next(session, tables.StrategyExecution),
                run_account=_next(session, tables.ExecutionAccount),
                order=_next(session, tables.Order),
                plan=_next(session, tables.ExitPlan),
                fill=_next(session, tables.Fill),
                event=_next(session, tables.RiskEvent),
                scheduled=_next(session, tables.ScheduledEntry),
            )
            ledger = Ledger(counters)
            recent = now - timedelta(days=1)
            runs = session.exec(
                select(tables.StrategyExecution).where(
                    or_(
                        col(tables.StrategyExecution.state).not_in(list(RUN_ENDED)),
                        col(tables.StrategyExecution.closed_at) >= recent,
                    )
                )
            ).all()
            ids = [row.id for row in runs]
            ledger.runs = {row.id: _run(row) for row in runs}
            for account in _of(session, tables.ExecutionAccount, ids):
                ledger.accounts.setdefault(account.execution_id, {})[account.account_id] = _run_account(account)
            for order in _of(session, tables.Order, ids):
                ledger.orders.setdefault(order.execution_id, {})[order.id] = _order(order)
                ledger.run_of_order[order.id] = order.execution_id
                if order.state in IN_DOUBT:
                    ledger.in_doubt[order.id] = ledger.orders[order.execution_id][order.id]
            for plan in _of(session, tables.ExitPlan, ids):
                ledger.plans.setdefault(plan.execution_id, {})[plan.id] = _plan(plan)
            for fill in _of(session, tables.Fill, ids):
                if fill.order_id is None:
                    ledger.charges.setdefault(fill.execution_id, {})[fill.id] = _charge(fill)
            for run_id in ids:
                ledger.holdings[run_id] = holdings_of(
                    ledger.orders.get(run_id, {}).values(), ledger.charges.get(run_id, {}).values()
                )
            ledger.memories = {row.account_id: _memory(row) for row in session.exec(select(tables.AccountMemory)).all()}
            for limit in session.exec(select(tables.RiskLimit)).all():
                ledger.limits[limit.owner_id, limit.account_id] = limits_of_row(limit)
            since = (now - RECENT_SCHEDULES).date()
            for entry in session.exec(select(tables.ScheduledEntry).where(col(tables.ScheduledEntry.day) >= since)):
                ledger.scheduled[entry.strategy_id, entry.day] = ScheduledEntry(**entry.model_dump())
            marks = _of(session, tables.DayMark, ids, order=tables.DayMark.execution_id)
            ledger.day_marks = [DayMark(**mark.model_dump()) for mark in marks]
        return ledger

    def commit(self, changes: Pass, *, renewed_boot: float | None) -> None:
        """Write a pass and, if given, renew the lease, in one transaction.

        Raises LeaseLostError if the lease carries another token: then nothing was written.
        """
        with self._database.write() as session:
            lease: dict[str, Any] = {"held_token": self._token, "last_pass_at": changes.now}
            if renewed_boot is not None:
                lease |= {"renewed_boot": renewed_boot, "renewed_at": changes.now}
            held = session.connection().execute(_held_lease(), lease)
            if held.rowcount != 1:
                raise LeaseLostError("another engine holds the lease")
            if not changes.empty:
                self._write(session, changes)

    def _write(self, session: Session, changes: Pass) -> None:
        sqlite, connection = self._database.is_sqlite, session.connection()  # rows need nothing of a session
        _upsert(connection, sqlite, tables.StrategyExecution, [_plain(run) for run in changes.runs.values()])
        _upsert(connection, sqlite, tables.ExecutionAccount, [_plain(row) for row in changes.run_accounts.values()])
        _upsert(connection, sqlite, tables.ExitPlan, [_plain(plan) for plan in changes.plans.values()])
        _free_orderids(connection, changes)
        _upsert(connection, sqlite, tables.Order, [_plain(order) for order in changes.orders.values()])
        _upsert(connection, sqlite, tables.Fill, [_fill_row(row) for row in changes.fills])
        _upsert_positions(connection, sqlite, changes)
        _upsert(connection, sqlite, tables.RiskEvent, [_event_row(row) for row in changes.events])
        memories = [_plain(memory) for memory in changes.memories.values()]
        _upsert(connection, sqlite, tables.AccountMemory, memories, key="account_id")
        for margin in changes.margins:
            session.add(tables.MarginTracker(**margin))
        for command_id, (state, outcome) in changes.outcomes.items():
            session.execute(
                update(tables.Command)
                .where(col(tables.Command.id) == command_id)
                .values(state=tables.CommandState(state), outcome=outcome, taken_at=changes.now, done_at=changes.now)
            )
        for limits in changes.limits.values():
            _write_limits(session, limits)
        _upsert(connection, sqlite, tables.ScheduledEntry, [_plain(entry) for entry in changes.scheduled.values()])
        marks = [_plain(mark) for mark in changes.day_marks]
        _upsert(connection, sqlite, tables.DayMark, marks, key="execution_id", also="account_id")


def _next(session: Session, table: type[SQLModel]) -> itertools.count[int]:
    highest = session.exec(select(func.max(table.id))).one()  # type: ignore[attr-defined]
    return itertools.count((highest or 0) + 1)


def _of(session: Session, table: type[Any], run_ids: Sequence[int], *, order: Any = None) -> Sequence[Any]:
    rows: list[Any] = []
    for start in range(0, len(run_ids), 500):
        chunk = run_ids[start : start + 500]
        rows += session.exec(
            select(table).where(table.execution_id.in_(chunk)).order_by(table.id if order is None else order)
        ).all()
    return rows


def _free_orderids(connection: Connection, changes: Pass) -> None:
    """Take back broker ids that change hands in this pass: written one by one, two orders may not share one."""
    before = {
        order_id: changes.ledger.orders.get(o.execution_id, {}).get(order_id) for order_id, o in changes.orders.items()
    }
    released = [
        order_id
        for order_id, old in before.items()
        if old is not None and old.orderid is not None and old.orderid != changes.orders[order_id].orderid
    ]
    if released:
        connection.execute(update(tables.Order).where(col(tables.Order.id).in_(released)).values(orderid=None))


@functools.cache
def _held_lease() -> Any:
    """Return the statement that updates the lease if it carries ``held_token``; making it takes long."""
    target: Table = tables.EngineLease.__table__  # type: ignore[attr-defined]
    return update(target).where(target.c.id == 1, target.c.token == bindparam("held_token"))


def _upsert(
    connection: Connection,
    sqlite: bool,
    table: type[SQLModel],
    rows: list[dict[str, Any]],
    *,
    key: str = "id",
    also: str = "",
) -> None:
    if rows:
        keys = tuple(name for name in (key, also) if name)
        connection.execute(_upserting(table, sqlite, keys, tuple(rows[0])), rows)


@functools.cache
def _upserting(table: type[SQLModel], sqlite: bool, keys: tuple[str, ...], names: tuple[str, ...]) -> Any:
    """Return the statement that writes rows of these columns over those with the same keys; making it takes longer."""
    target: Table = table.__table__  # type: ignore[attr-defined]
    insert = sqlite_insert(target) if sqlite else postgresql_insert(target)
    columns = {name: insert.excluded[name] for name in names if name not in keys}
    return insert.on_conflict_do_update(index_elements=list(keys), set_=columns)


def _upsert_positions(connection: Connection, sqlite: bool, changes: Pass) -> None:
    rows = []
    for run_id, holdings in changes.changed_holdings().items():
        before = changes.ledger.holdings.get(run_id, {})
        legs = {order.key: order.leg_index for order in changes.orders_of(run_id)}
        resolved = {leg["symbol"]: int(leg["leg_index"]) for leg in changes.run(run_id).resolved.get("legs", [])}
        rows += [
            {
                "execution_id": run_id,
                "account_id": key.account_id,
                "symbol": key.symbol,
                "exchange": str(key.exchange),
                "product": str(key.product),
                "leg_index": legs.get(key, resolved.get(key.symbol, 0)),
                "quantity": held.quantity,
                "buy_quantity": held.buy_quantity,
                "buy_value_paise": held.buy_value_paise,
                "sell_quantity": held.sell_quantity,
                "sell_value_paise": held.sell_value_paise,
                "open_value_paise": held.open_value_paise,
                "realised_paise": held.realised_paise,
                "updated_at": changes.now,
            }
            for key, held in holdings.items()
            if before.get(key) != held
        ]
    if rows:
        keys = ("execution_id", "account_id", "symbol", "exchange", "product")
        connection.execute(_upserting(tables.Position, sqlite, keys, tuple(rows[0])), rows)


def _write_limits(session: Session, limits: DayLimits) -> None:
    """Write the row of a user or account; the core is its only writer, so a read before the write is safe."""
    row = session.exec(
        select(tables.RiskLimit).where(
            tables.RiskLimit.owner_id == limits.owner_id,
            col(tables.RiskLimit.account_id).is_not_distinct_from(limits.account_id),
        )
    ).one_or_none()
    if row is None:
        row = tables.RiskLimit(owner_id=limits.owner_id, account_id=limits.account_id)
    for name, value in _plain(limits).items():
        setattr(row, name, value)
    session.add(row)


def _plain(record: Any) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in _columns(record).items()}


def _columns(record: Any) -> dict[str, Any]:
    """Return a record's fields as they are: what is written at once needs no copy."""
    return {one.name: getattr(record, one.name) for one in fields(record)}


def _fill_row(row: FillRow) -> dict[str, Any]:
    plain = _columns(row)
    key = row.key
    plain.pop("key")
    return plain | {
        "account_id": key.account_id,
        "symbol": key.symbol,
        "exchange": str(key.exchange),
        "product": str(key.product),
    }


def _event_row(row: EventRow) -> dict[str, Any]:
    return _columns(row)


def _run(row: tables.StrategyExecution) -> Run:
    return Run(**row.model_dump(exclude={"latches", "state"}), latches=tuple(row.latches), state=RunState(row.state))


def _run_account(row: tables.ExecutionAccount) -> RunAccount:
    return RunAccount(**row.model_dump(exclude={"state"}), state=AccountState(row.state))


def _plan(row: tables.ExitPlan) -> ExitPlan:
    plain = row.model_dump(exclude={"account_ids", "leg_indexes", "keep", "state"})
    keep = tuple((int(account), str(s), str(e), str(p), int(held)) for account, s, e, p, held in row.keep)
    return ExitPlan(
        **plain,
        account_ids=tuple(row.account_ids),
        leg_indexes=tuple(row.leg_indexes),
        keep=keep,
        state=PlanState(row.state),
    )


def _order(row: tables.Order) -> Order:
    plain = row.model_dump()
    return Order(
        **plain
        | {
            "purpose": Purpose(row.purpose),
            "exchange": Exchange(row.exchange),
            "product": Product(row.product),
            "action": Action(row.action),
            "price_type": PriceType(row.price_type),
            "state": OrderState(row.state),
            "visible_before": tuple(row.visible_before),
        }
    )


def _charge(row: tables.Fill) -> Charge:
    return Charge(
        id=row.id,
        execution_id=row.execution_id,
        key=Key(row.account_id, row.symbol, Exchange(row.exchange), Product(row.product)),
        action=Action(row.action),
        quantity=row.quantity,
        value_paise=row.value_paise,
        estimated=row.estimated,
        at=row.at,
        source=row.source,
    )


def _memory(row: tables.AccountMemory) -> AccountMemory:
    plain = row.model_dump(exclude={"opening", "carried"})
    return AccountMemory(**plain, opening=_positions(row.opening), carried=_positions(row.carried))


def _positions(rows: list[Any]) -> tuple[tuple[str, str, str, int], ...]:
    return tuple((str(symbol), str(exchange), str(product), int(held)) for symbol, exchange, product, held in rows)
