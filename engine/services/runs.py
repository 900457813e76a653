"""Runs as the database knows them: for history, and for the pages while the engine writes no live view."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlmodel import Session, col, select

from engine.domain.money import rupees
from engine.services.accounts import SHOWN_ORDER
from engine.services.commands import ENDED_RUNS
from engine.services.identity import Caller
from engine.services.views import LimitView, PositionView, RunAccountView, RunView
from engine.store.database import Database
from engine.store.tables import (
    ExecutionAccount,
    ExitPlan,
    Order,
    Position,
    Strategy,
    StrategyExecution,
    StrategyVersion,
    TradingAccount,
)

UNKNOWN = "unknown"


def open_runs(database: Database, caller: Caller) -> list[RunView]:
    """Return the caller's runs that have not ended, oldest first, with what they own and no prices."""
    with database.read() as session:
        rows = session.exec(
            select(StrategyExecution)
            .where(StrategyExecution.owner_id == caller.user_id, col(StrategyExecution.state).not_in(ENDED_RUNS))
            .order_by(col(StrategyExecution.id))
        ).all()
        return _views(session, list(rows))


def ended_runs(database: Database, caller: Caller, *, limit: int = 50) -> list[RunView]:
    """Return the caller's runs that ended, newest first; their P is what was realised."""
    with database.read() as session:
        rows = session.exec(
            select(StrategyExecution)
            .where(StrategyExecution.owner_id == caller.user_id, col(StrategyExecution.state).in_(ENDED_RUNS))
            .order_by(col(StrategyExecution.id).desc())
            .limit(limit)
        ).all()
        return _views(session, list(rows))


def count_open_runs(session: Session, caller: Caller) -> int:
    """Return how many of the caller's runs have not ended."""
    return len(
        session.exec(
            select(StrategyExecution.id).where(
                StrategyExecution.owner_id == caller.user_id, col(StrategyExecution.state).not_in(ENDED_RUNS)
            )
        ).all()
    )


def _views(session: Session, runs: list[StrategyExecution]) -> list[RunView]:
    if not runs:
        return []
    ids = [run.id for run in runs]
    owner = runs[0].owner_id
    owned = select(TradingAccount).where(TradingAccount.owner_id == owner).order_by(*SHOWN_ORDER)
    names = {row.id: row.name for row in session.exec(owned)}
    strategies = {row.id: row.name for row in session.exec(select(Strategy).where(Strategy.owner_id == owner))}
    versions = {
        row.id: row
        for row in session.exec(
            select(StrategyVersion).where(col(StrategyVersion.id).in_({run.version_id for run in runs}))
        )
    }
    shown = {account_id: place for place, account_id in enumerate(names)}
    accounts = _grouped(session.exec(select(ExecutionAccount).where(col(ExecutionAccount.execution_id).in_(ids))))
    positions = _grouped(session.exec(select(Position).where(col(Position.execution_id).in_(ids))))
    for rows in (*accounts.values(), *positions.values()):
        rows.sort(key=lambda row: shown.get(row.account_id, len(shown)))
    reasons: dict[int, str] = {}
    for plan in session.exec(
        select(ExitPlan).where(col(ExitPlan.execution_id).in_(ids)).order_by(col(ExitPlan.id).desc())
    ):
        reasons.setdefault(plan.execution_id, plan.reason)
    unknown = _grouped(session.exec(select(Order).where(col(Order.execution_id).in_(ids), Order.state == UNKNOWN)))
    return [
        _view(
            run,
            strategy=strategies.get(run.strategy_id, ""),
            version=versions[run.version_id],
            accounts=accounts[run.id],
            positions=positions[run.id],
            names=names,
            exit_reason=reasons.get(run.id, ""),
            unknown_orders=len(unknown[run.id]),
        )
        for run in runs
    ]


def _grouped(rows: Any) -> defaultdict[int, list[Any]]:
    groups: defaultdict[int, list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda item: item.id):
        groups[row.execution_id].append(row)
    return groups


def _view(
    run: StrategyExecution,
    *,
    strategy: str,
    version: StrategyVersion,
    accounts: list[ExecutionAccount],
    positions: list[Position],
    names: dict[int | None, str],
    exit_reason: str,
    unknown_orders: int,
) -> RunView:
    ended = run.state in ENDED_RUNS
    return RunView(
        id=run.id,
        strategy_id=run.strategy_id,
        strategy=strategy,
        version=version.number,
        venue=run.venue,
        state=str(run.state),
        reason=run.reason,
        created_at=run.created_at,
        entered_at=run.entered_at,
        closed_at=run.closed_at,
        profit_paise=run.profit_paise if ended else None,
        problem="" if ended else "No live prices: the engine is not running.",
        limits=LimitView(
            trailing=str(version.limits.get("trailing_kind") or ""),
            peak_paise=run.peak_paise,
            stop_paise=run.stop_paise,
        ),
        accounts=[
            RunAccountView(
                account_id=row.account_id,
                account=names.get(row.account_id, ""),
                state=str(row.state),
                lots=row.lots,
                bound_by=str(row.sizing.get("bound_by", "")),
                reason=row.reason,
                profit_paise=None,
            )
            for row in accounts
        ],
        positions=[_position(row, names) for row in positions if row.quantity != 0 or ended],
        exit_reason=exit_reason,
        unknown_orders=unknown_orders,
    )


def _position(row: Position, names: dict[int | None, str]) -> PositionView:
    return PositionView(
        run_id=row.execution_id,
        account_id=row.account_id,
        account=names.get(row.account_id, ""),
        leg_index=row.leg_index,
        symbol=row.symbol,
        exchange=row.exchange,
        product=row.product,
        quantity=row.quantity,
        average_price=abs(rupees(row.open_value_paise) / row.quantity) if row.quantity else None,
        ltp=None,
        ltp_age_seconds=None,
        confirmed=False,
        realised_paise=row.realised_paise,
        profit_paise=row.realised_paise if row.quantity == 0 else None,
    )
