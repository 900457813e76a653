"""P of the day (RULES 6): P now less P at the last mark before today's session; headline, columns and limits use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial

from engine.domain.instruments import Key
from engine.domain.money import value_paise
from engine.domain.runs import RUN_ENDED, AccountState, Run, RunState
from engine.services.ledger import Pass
from engine.services.world import World, trading_day

ROWS_A_PASS = 500
"""Marks written in one pass at most: the core must not stop for a long transaction (DESIGN 4)."""
RUNS_A_TURN = 50
FRESH_SECONDS = 2.0
"""P that was noted so lately need not be reckoned anew before it is written."""

_NOTHING_YET = frozenset({AccountState.SIZING, AccountState.SKIPPED})
Worth = Callable[[Run, Key, int], int | None]
"""What a signed quantity of a run is worth at the confirmed price (paise), None without one."""


@dataclass(frozen=True, slots=True)
class DayProfit:
    """P of one run on one account (paise): now and at the mark before today's session; None: not known."""

    run_id: int
    account_id: int
    venue: str
    profit_paise: int | None
    mark_paise: int | None

    @property
    def day_paise(self) -> int | None:
        """What of it was made today."""
        if self.profit_paise is None or self.mark_paise is None:
            return None
        return self.profit_paise - self.mark_paise


def day_figures(changes: Pass, world: World, owner_id: int) -> list[DayProfit]:
    """Return P of the day of a user's runs, account by account; what is confirmed is noted for the next marks.

    A run begun today has mark 0; a run that ended on an earlier day counts no more.
    """
    found: list[DayProfit] = []
    for some in figures_in_turn(lambda: changes, world, owner_id):
        found += some
    return found


def figures_in_turn(look: Callable[[], Pass], world: World, owner_id: int) -> Iterator[list[DayProfit]]:
    """Give what ``day_figures`` returns, some runs at a time; ``look`` gives memory as it is at each turn."""
    changes, marks = look(), world.day_marks
    day = day_of(changes, world)
    runs = [run.id for run in _counting(changes, day) if run.owner_id == owner_id]
    for begin in range(0, len(runs), RUNS_A_TURN):
        changes = look()
        worth = worth_at(changes, world)
        yield [
            one
            for run_id in runs[begin : begin + RUNS_A_TURN]
            for one in _of_run(changes, world, changes.run(run_id), day, worth)
        ]
    marks.noted[owner_id] = changes.now


def _of_run(changes: Pass, world: World, run: Run, day: date, worth: Worth) -> list[DayProfit]:
    found, marks = [], world.day_marks
    profits = _profits_or_none(changes, run, worth)
    begun_today = trading_day(run.created_at) >= day
    for row in changes.accounts_of(run.id):
        place = (run.id, row.account_id)
        known = 0 if row.state in _NOTHING_YET else profits.get(row.account_id, 0) if profits is not None else None
        if known is not None:
            marks.last[place] = known
        mark = 0 if begun_today else marks.marks.get(place)
        found.append(DayProfit(run.id, row.account_id, run.venue, known, mark))
    return found


def day_profits(changes: Pass, world: World, owner_id: int) -> dict[int, int | None]:
    """Return P of the day by account in paise; None where a P or a mark is not known. Their sum is the user's."""
    return by_account(day_figures(changes, world, owner_id))


def by_account(figures: Iterable[DayProfit]) -> dict[int, int | None]:
    """Return P of the day by account in paise, None where one of its runs has none."""
    found: dict[int, int | None] = {}
    for one in figures:
        before, today = found.get(one.account_id, 0), one.day_paise
        found[one.account_id] = None if before is None or today is None else before + today
    return found


def total(figures: Iterable[DayProfit]) -> int | None:
    """Return P of the day of all of them in paise, None if one of them has none."""
    amounts = [one.day_paise for one in figures]
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None


def account_profit(changes: Pass, world: World, run: Run, account_id: int) -> int | None:
    """Return P of a run on one account since it began (paise); None if an open leg has no confirmed price."""
    if changes.account_of(run.id, account_id).state in _NOTHING_YET:
        return 0
    return _profits(changes, run, worth_at(changes, world), only=account_id).get(account_id, 0)


def day_of(changes: Pass, world: World) -> date:
    """Return the day that P of the day is counted for (IST), its marks in memory.

    The machine's clock counts, which the engine's time may be ahead of, as far as the time since boot agrees.
    """
    wall, ledger = changes.now - world.ahead(), changes.ledger
    ledger.day = world.day_marks.day_at(wall, world.clock.boot(), ledger.day_marks)
    return ledger.day


def keep_marks(changes: Pass, world: World) -> None:
    """Write what P was last known to be: what changed, once a minute and when the day has turned."""
    marks, day = world.day_marks, day_of(changes, world)
    if marks.settles is not None:
        return  # what stands on disk makes the same marks
    if not marks.waiting:
        if not marks.due(changes.now):
            return
        runs = _counting(changes, day)
        for owner_id in sorted({run.owner_id for run in runs}):
            noted = marks.noted.get(owner_id)
            if noted is None or abs(changes.now - noted).total_seconds() > FRESH_SECONDS:
                day_figures(changes, world, owner_id)
        marks.look((run.id for run in runs if run.id in changes.ledger.runs), changes.now)
    rows = [marks.row(place) for place in marks.waiting[:ROWS_A_PASS]]
    if rows:
        changes.day_marks.extend(rows)
        changes.after_commit.append(partial(marks.wrote, rows))


def worth_at(changes: Pass, world: World) -> Worth:
    """Return what values quantities at confirmed prices; each price is looked up once."""
    prices: dict[tuple[int, str, str, str], float | None] = {}
    known: dict[tuple[int, str, str, str, int], int | None] = {}

    def worth(run: Run, key: Key, quantity: int) -> int | None:
        place = (run.owner_id, run.venue, key.symbol, key.exchange)
        held = (*place, quantity)
        if held not in known:
            if place not in prices:
                symbol = (key.symbol, key.exchange)
                prices[place] = world.confirmed_price(run.owner_id, run.venue, symbol, changes.now)
            price = prices[place]
            known[held] = None if price is None else value_paise(price, quantity)
        return known[held]

    return worth


def _profits(changes: Pass, run: Run, worth: Worth, *, only: int | None = None) -> dict[int, int | None]:
    """Return P of a run since it began by account (paise); what has ended needs no price."""
    found: dict[int, int | None] = {}
    ended = run.state in RUN_ENDED
    for key, held in changes.holdings(run.id).items():
        if only is not None and key.account_id != only:
            continue
        before = found.get(key.account_id, 0)
        value = worth(run, key, held.quantity) if held.quantity and not ended else 0
        if before is None or value is None:
            found[key.account_id] = None
        else:
            found[key.account_id] = before + held.sell_value_paise - held.buy_value_paise + value
    return found


def _profits_or_none(changes: Pass, run: Run, worth: Worth) -> dict[int, int | None] | None:
    try:
        return _profits(changes, run, worth)
    except Exception:  # noqa: BLE001 - the edge of one run: its own view says what is wrong with it
        return None


def _counting(changes: Pass, day: date) -> list[Run]:
    """Return the runs that count today: open ones, and those that ended on it."""
    runs = [changes.run(run_id) for run_id in dict.fromkeys([*changes.ledger.runs, *changes.runs])]
    return [
        run
        for run in runs
        if run.state is not RunState.REFUSED and (run.closed_at is None or trading_day(run.closed_at) >= day)
    ]
