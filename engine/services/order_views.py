"""Orders as the database knows them: today's that ended, and the open ones while no engine writes the live view."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from engine.domain.orders import IN_DOUBT, TERMINAL, OrderState
from engine.services.csv_text import IST, csv_text, ist_text
from engine.services.identity import Caller
from engine.services.views import OrdersView, OrderView, UnknownOrderView
from engine.store.database import Database
from engine.store.tables import Order, Strategy, StrategyExecution, TradingAccount, User

LOOKED_UP = "the engine to look it up"
COLUMNS = (
    "order", "run", "strategy", "account", "purpose", "state", "action", "quantity", "filled", "average_price",
    "symbol", "exchange", "product", "price_type", "limit", "reprices", "broker_id", "sent_at_ist", "ended_at_ist",
    "estimated", "declared_by", "broker_words",
)  # fmt: skip


def ended_orders(database: Database, caller: Caller, *, now: datetime, limit: int) -> OrdersView:
    """Return the caller's orders of this trading day that have ended, newest first, at most ``limit``."""
    day = now.astimezone(IST).date()
    with database.read() as session:
        rows = session.exec(
            select(Order)
            .join(StrategyExecution, col(StrategyExecution.id) == col(Order.execution_id))
            .where(
                StrategyExecution.owner_id == caller.user_id,
                Order.trading_day == day,
                col(Order.state).in_([str(state) for state in TERMINAL]),
            )
            .order_by(col(Order.id).desc())
            .limit(limit + 1)
        ).all()
        views = _views(session, caller, rows[:limit])
    return OrdersView(day=day, as_of=now, rows=views, complete=len(rows) <= limit)


def open_orders(database: Database, caller: Caller, *, now: datetime) -> tuple[list[UnknownOrderView], list[OrderView]]:
    """Return the caller's orders in doubt and those that work, from the tables: no books, no evidence."""
    with database.read() as session:
        rows = session.exec(
            select(Order)
            .join(StrategyExecution, col(StrategyExecution.id) == col(Order.execution_id))
            .where(
                StrategyExecution.owner_id == caller.user_id,
                col(Order.state).in_([str(state) for state in OrderState if state not in TERMINAL]),
            )
            .order_by(col(Order.id))
        ).all()
        doubtful = [row for row in rows if row.state in IN_DOUBT]
        views = _views(session, caller, [row for row in rows if row.state not in IN_DOUBT])
        names = _account_names(session, caller)
    return [_unknown(row, names, now) for row in doubtful], views


def orders_csv(rows: Sequence[OrderView]) -> str:
    """Return orders as CSV with a head; prices in ₹, times in IST. No cell can become a formula in a spreadsheet."""
    return csv_text(
        COLUMNS,
        (
            (
                row.order_id, row.run_id, row.strategy, row.account, row.purpose, row.state, row.action, row.quantity,
                row.filled_quantity, None if row.average_price is None else f"{row.average_price:.4f}", row.symbol,
                row.exchange, row.product, row.price_type, row.price or None, row.reprices, row.orderid,
                ist_text(row.sent_at), ist_text(row.updated_at), "yes" if row.estimated else "no", row.declared_by,
                row.words,
            )
            for row in rows
        ),
    )  # fmt: skip


def _views(session: Session, caller: Caller, rows: Sequence[Order]) -> list[OrderView]:
    if not rows:
        return []
    names = _account_names(session, caller)
    strategies: dict[int, str] = dict(
        session.exec(
            select(StrategyExecution.id, Strategy.name)
            .join(Strategy, col(Strategy.id) == col(StrategyExecution.strategy_id))
            .where(col(StrategyExecution.id).in_({row.execution_id for row in rows}))
        ).all()
    )
    named = {row.declared_by for row in rows if row.declared_by is not None}
    people = {user.id: user.username for user in session.exec(select(User).where(col(User.id).in_(named)))}
    return [
        OrderView(
            order_id=row.id,
            run_id=row.execution_id,
            strategy=strategies.get(row.execution_id, ""),
            account_id=row.account_id,
            account=names.get(row.account_id, f"account {row.account_id}"),
            purpose=row.purpose,
            state=row.state,
            action=row.action,
            quantity=row.quantity,
            filled_quantity=row.filled_quantity,
            average_price=row.filled_value_paise / row.filled_quantity / 100 if row.filled_quantity else None,
            symbol=row.symbol,
            exchange=row.exchange,
            product=row.product,
            price_type=row.price_type,
            price=row.price,
            reprices=row.reprices,
            orderid=row.orderid,
            words=row.words,
            created_at=row.created_at,
            sent_at=row.sent_at,
            updated_at=row.updated_at,
            estimated=row.estimated,
            declared_by=people.get(row.declared_by, "") if row.declared_by is not None else "",
        )
        for row in rows
    ]


def _unknown(row: Order, names: dict[int | None, str], now: datetime) -> UnknownOrderView:
    return UnknownOrderView(
        order_id=row.id,
        run_id=row.execution_id,
        account_id=row.account_id,
        account=names.get(row.account_id, f"account {row.account_id}"),
        purpose=row.purpose,
        state=row.state,
        action=row.action,
        quantity=row.quantity,
        filled_quantity=row.filled_quantity,
        symbol=row.symbol,
        exchange=row.exchange,
        product=row.product,
        orderid=row.orderid,
        words=row.words,
        sent_at=row.sent_at,
        age_seconds=None if row.sent_at is None else (now - row.sent_at).total_seconds(),
        quiet_until=row.quiet_until,
        absent_since=row.absent_since,
        waits_for=LOOKED_UP,
    )


def _account_names(session: Session, caller: Caller) -> dict[int | None, str]:
    owned = select(TradingAccount).where(TradingAccount.owner_id == caller.user_id)
    return {row.id: row.name for row in session.exec(owned)}
