"""Risk events of the caller: what took, or should have taken, a position off."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from engine.domain.money import rupees
from engine.services.csv_text import IST, csv_text, ist_text
from engine.services.errors import InvalidInput, NotFound
from engine.services.identity import Caller
from engine.services.views import EventFilter, RiskEventView
from engine.store.database import Database
from engine.store.tables import AuditLink, Order, RiskEvent, Strategy, StrategyExecution, TradingAccount

MOST = 10_000
COLUMNS = (
    "event", "at_ist", "kind", "action", "run", "strategy", "account", "limit", "value", "what_happened", "broker_ids",
    "audit_link", "knew",
)  # fmt: skip


def risk_events(
    database: Database, caller: Caller, *, limit: int = 100, only: EventFilter | None = None
) -> list[RiskEventView]:
    """Return the caller's events, newest first, at most ``limit`` (1 to 10,000), sifted by ``only``.

    Raises InvalidInput when the last day lies before the first.
    """
    query = select(RiskEvent).where(RiskEvent.owner_id == caller.user_id, *_sieve(only or EventFilter()))
    with database.read() as session:
        rows = session.exec(query.order_by(col(RiskEvent.id).desc()).limit(max(1, min(limit, MOST)))).all()
        return _views(session, caller, list(rows))


def event_kinds(database: Database, caller: Caller) -> list[str]:
    """Return the kinds of events that the caller has, in order."""
    with database.read() as session:
        kinds = session.exec(select(RiskEvent.kind).where(RiskEvent.owner_id == caller.user_id).distinct()).all()
    return sorted(kinds)


def events_csv(rows: Sequence[RiskEventView]) -> str:
    """Return events as CSV with a head; amounts in ₹, times in IST, what the engine knew as JSON in one cell."""
    return csv_text(
        COLUMNS,
        (
            (
                row.id, ist_text(row.at), row.kind, row.action, row.run_id, row.strategy, row.account,
                None if row.threshold_paise is None else rupees(row.threshold_paise),
                None if row.value_paise is None else rupees(row.value_paise),
                row.message, " ".join(row.order_ids), row.link, json.dumps(row.knew, ensure_ascii=False, default=str),
            )
            for row in rows
        ),
    )  # fmt: skip


def risk_event(database: Database, caller: Caller, *, event_id: int) -> RiskEventView:
    """Return one event of the caller; raises NotFound for anybody else's."""
    with database.read() as session:
        row = session.get(RiskEvent, event_id)
        if row is None or row.owner_id != caller.user_id:
            raise NotFound(f"There is no risk event {event_id}.")
        return _views(session, caller, [row])[0]


def _sieve(only: EventFilter) -> list[ColumnElement[bool]]:
    if only.first_day is not None and only.last_day is not None and only.last_day < only.first_day:
        raise InvalidInput("last day", "it lies before the first day")
    if any(day is not None and not 1970 <= day.year < date.max.year for day in (only.first_day, only.last_day)):
        raise InvalidInput("day", "from 1970 to 9998")
    found: list[ColumnElement[bool]] = []
    if only.kinds:
        found.append(col(RiskEvent.kind).in_(only.kinds))
    if only.run_id is not None:
        found.append(col(RiskEvent.execution_id) == only.run_id)
    if only.account_id is not None:
        found.append(col(RiskEvent.account_id) == only.account_id)
    if only.first_day is not None:
        found.append(col(RiskEvent.at) >= _midnight(only.first_day))
    if only.last_day is not None:
        found.append(col(RiskEvent.at) < _midnight(only.last_day + timedelta(days=1)))
    if only.words.strip():
        found.append(col(RiskEvent.message).icontains(only.words.strip(), autoescape=True))
    if only.before_id is not None:
        found.append(col(RiskEvent.id) < only.before_id)
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), IST).astimezone(UTC)


def _views(session: Session, caller: Caller, rows: list[RiskEvent]) -> list[RiskEventView]:
    accounts = {
        row.id: row.name
        for row in session.exec(select(TradingAccount).where(TradingAccount.owner_id == caller.user_id))
    }
    runs = {row.execution_id for row in rows if row.execution_id is not None}
    strategies: dict[int, str] = dict(
        session.exec(
            select(StrategyExecution.id, Strategy.name)
            .join(Strategy, col(Strategy.id) == col(StrategyExecution.strategy_id))
            .where(col(StrategyExecution.id).in_(runs))
        ).all()
    )
    plans = {row.exit_plan_id for row in rows if row.exit_plan_id is not None}
    orders: defaultdict[int | None, list[str]] = defaultdict(list)
    for order in session.exec(select(Order).where(col(Order.exit_plan_id).in_(plans)).order_by(col(Order.id))):
        if order.orderid is not None:
            orders[order.exit_plan_id].append(order.orderid)
    links = select(AuditLink.row_id, AuditLink.id).where(
        AuditLink.source == "risk_event", col(AuditLink.row_id).in_([row.id for row in rows])
    )
    chained: dict[int, int] = dict(session.exec(links).all())
    return [
        RiskEventView(
            id=row.id,
            at=row.at,
            kind=row.kind,
            action=row.action,
            run_id=row.execution_id,
            strategy=strategies.get(row.execution_id, "") if row.execution_id is not None else "",
            account=accounts.get(row.account_id, "") if row.account_id is not None else "",
            threshold_paise=row.threshold_paise,
            value_paise=row.value_paise,
            message=row.message,
            knew=row.knew,
            order_ids=orders[row.exit_plan_id] if row.exit_plan_id is not None else [],
            link=chained.get(row.id),
        )
        for row in rows
    ]
