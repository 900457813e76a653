"""Risk events of the caller: what took, or should have taken, a position off."""

from __future__ import annotations

from collections import defaultdict

from sqlmodel import Session, col, select

from engine.services.errors import NotFound
from engine.services.identity import Caller
from engine.services.views import RiskEventView
from engine.store.database import Database
from engine.store.tables import Order, RiskEvent, Strategy, StrategyExecution, TradingAccount


def risk_events(database: Database, caller: Caller, *, limit: int = 100) -> list[RiskEventView]:
    """Return the caller's events, newest first, at most ``limit``."""
    with database.read() as session:
        rows = session.exec(
            select(RiskEvent)
            .where(RiskEvent.owner_id == caller.user_id)
            .order_by(col(RiskEvent.id).desc())
            .limit(max(1, min(limit, 1_000)))
        ).all()
        return _views(session, caller, list(rows))


def risk_event(database: Database, caller: Caller, *, event_id: int) -> RiskEventView:
    """Return one event of the caller; raises NotFound for anybody else's."""
    with database.read() as session:
        row = session.get(RiskEvent, event_id)
        if row is None or row.owner_id != caller.user_id:
            raise NotFound(f"There is no risk event {event_id}.")
        return _views(session, caller, [row])[0]


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
        )
        for row in rows
    ]
