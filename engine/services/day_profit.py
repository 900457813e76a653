"""P of the day (RULES 6): P now less P at the last mark before today's session; headline and columns come from here."""

from __future__ import annotations

from datetime import date

from engine.domain.runs import AccountState, Run, RunState
from engine.services.ledger import Pass
from engine.services.monitor import run_profit
from engine.services.world import World, trading_day


def day_profits(changes: Pass, world: World, owner_id: int) -> dict[int, int | None]:
    """Return P of the day by account in paise; None where a P or a mark is not known. Their sum is the user's.

    A run begun today has mark 0; a run that ended on an earlier day counts no more.
    """
    today, marks = trading_day(changes.now), world.day_marks
    marks.turn(today)
    found: dict[int, int | None] = {}
    for run in changes.ledger.runs.values():
        if run.owner_id != owner_id or not _counts(run, today):
            continue
        begun_today = trading_day(run.created_at) >= today
        for row in changes.accounts_of(run.id):
            place = (run.id, row.account_id)
            profit = _profit_or_none(changes, world, run, row.account_id)
            if profit is not None:
                marks.last[place] = profit
            mark = 0 if begun_today else marks.marks.get(place)
            before = found.get(row.account_id, 0)
            if profit is None or mark is None or before is None:
                found[row.account_id] = None
            else:
                found[row.account_id] = before + profit - mark
    return found


def account_profit(changes: Pass, world: World, run: Run, account_id: int) -> int | None:
    """Return P of a run on one account since it began (paise); None if an open leg has no confirmed price."""
    row = changes.account_of(run.id, account_id)
    if row.state in {AccountState.SIZING, AccountState.SKIPPED}:
        return 0
    if run.state in {RunState.CLOSED, RunState.REFUSED}:
        held = [h for key, h in changes.holdings(run.id).items() if key.account_id == account_id]
        return sum(h.sell_value_paise - h.buy_value_paise for h in held)
    return run_profit(changes, world, run, account_id=account_id)


def _counts(run: Run, today: date) -> bool:
    if run.state is RunState.REFUSED:
        return False
    return run.closed_at is None or trading_day(run.closed_at) >= today


def _profit_or_none(changes: Pass, world: World, run: Run, account_id: int) -> int | None:
    try:
        return account_profit(changes, world, run, account_id)
    except Exception:  # noqa: BLE001 - the edge of one run: its own view says what is wrong with it
        return None
