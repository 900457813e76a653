"""What may happen next, one move at a time; ``pick`` chooses from a sequence (Hypothesis or a seeded generator)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.simulation.floor import SYMBOLS, Floor
from tests.simulation.trouble import Change, Fate, Placing, Read
from tests.stage import CALL, HEDGE, LOT, PUT

Pick = Callable[[Sequence[Any]], Any]
Move = Callable[[Floor, Pick], None]

MOST_OPEN_RUNS = 4
PRICES = {CALL: (100.0, 140.0, 150.0, 165.0, 230.0), PUT: (80.0, 115.0, 120.0, 130.0, 190.0), HEDGE: (10.0, 20.0, 45.0)}
UNITS = (10, 40, LOT, LOT + 25, 2 * LOT)


def begin(floor: Floor, pick: Pick) -> None:
    """A run of either strategy."""
    if len(floor.open_runs()) < MOST_OPEN_RUNS:
        floor.begin_run(opposite=pick((False, False, True)))
    floor.step(0.1)


def enter_quietly(floor: Floor, _pick: Pick) -> None:
    """Entries allowed, a run, and the time to enter it."""
    floor.command("rearm")
    if len(floor.open_runs()) < MOST_OPEN_RUNS:
        floor.begin_run()
        floor.wait(1.5)


def close(floor: Floor, pick: Pick) -> None:
    """Somebody closes a run, or one account of it."""
    if runs := floor.open_runs():
        run_id = pick(runs)
        scope = pick(((), (), (1,)))
        floor.note(f"close run {run_id} {scope or ''}")
        floor.command("close_run", {"run_id": run_id, "account_ids": list(scope)})
    floor.step(0.1)


def close_part(floor: Floor, pick: Pick) -> None:
    """Somebody closes a part of a run: legs, a share, an account."""
    if runs := floor.open_runs():
        run_id = pick(runs)
        part = {"account_ids": list(pick(((), (), (1,)))), "leg_indexes": pick((None, [1], [2], [1, 2], [3]))}
        if share := pick((None, 30, 50)):
            part["share"] = share
        floor.note(f"close of run {run_id} {part}")
        floor.command("close_run", {"run_id": run_id, **part})
    floor.step(0.1)


def halt(floor: Floor, _pick: Pick) -> None:
    """The kill switch."""
    floor.note("halt")
    floor.command("halt")
    floor.step(0.1)


def rearm(floor: Floor, _pick: Pick) -> None:
    """Entries are allowed again."""
    floor.note("rearm")
    floor.command("rearm")
    floor.step(0.1)


def every_trigger_at_once(floor: Floor, pick: Pick) -> None:
    """A stop, somebody's click and the kill switch in one pass."""
    floor.tick(CALL, 230.0)
    if runs := floor.open_runs():
        floor.command("close_run", {"run_id": pick(runs)})
    floor.note("halt and close")
    floor.command("halt")
    floor.step(0.05)


def tick(floor: Floor, pick: Pick) -> None:
    """A price."""
    symbol = pick(SYMBOLS)
    floor.tick(symbol, pick(PRICES[symbol]))
    floor.step(0.05)


def placing(floor: Floor, pick: Pick) -> None:
    """What becomes of the next one or two orders of an account."""
    account_id = pick(sorted(floor.hands))
    for _ in range(pick((1, 2))):
        fate = pick(list(Fate))
        quiet = floor.quiet[1].total_seconds()
        seconds = {
            Fate.SLOW: (0.3, 4.0, 30.0),
            Fate.CUT: (0.0, 1.0),
            Fate.PUSHED_FIRST: (0.0, 0.5, 5.0),
            Fate.SILENT: (0.5, 5.0, 25.0),
            Fate.LOST: (0.0, 5.0, 25.0),
            Fate.LATE: (1.0, 4.0, 15.0, min(60.0, quiet - 6.0)),
            Fate.LATE_ANSWER: (1.0, 5.0, 25.0),
            Fate.OPEN: (0.0, 2.0, 6.0),
        }.get(fate, (0.0,))
        floor.fate(account_id, Placing(fate, pick(seconds)))


def change(floor: Floor, pick: Pick) -> None:
    """What becomes of the next cancellation and modification of an account."""
    conduct = floor.troubled[pick(sorted(floor.hands))].conduct
    conduct.cancels.append(pick(list(Change)))
    conduct.modifies.append(pick(list(Change)))


def resting(floor: Floor, pick: Pick) -> None:
    """What rests at a broker fills, wholly or in part, or its broker ends it."""
    account_id = pick(sorted(floor.hands))
    broker = floor.shown_broker(account_id)
    if pending := floor.pending(account_id):
        orderid = pick(pending)
        row = broker.orders[orderid]
        left = row.quantity - (row.filled_quantity or 0)
        what = pick(("all", "part", "cancelled", "expired", "rejected"))
        floor.note(f"account {account_id}: {orderid} {what}")
        if what in {"all", "part"}:
            broker.fill(orderid, left if what == "all" or left == 1 else left // 2)
        elif what != "rejected" or not row.filled_quantity:
            broker.end(orderid, what, "by the broker")
    floor.step(0.05)


def by_hand(floor: Floor, pick: Pick) -> None:
    """Somebody trades at the broker's own terminal."""
    account_id, symbol = pick(sorted(floor.hands)), pick(SYMBOLS)
    floor.by_hand(account_id, symbol, pick((1, -1)) * pick(UNITS))
    floor.step(0.05)


def reads(floor: Floor, pick: Pick) -> None:
    """What becomes of an account's books from now on."""
    account_id, read = pick(sorted(floor.hands)), pick(list(Read))
    if read is not Read.OTHER_MODE or floor.open_runs():  # where nothing runs, another mode is accepted
        floor.reads(account_id, read)
    floor.step(0.1)


def true_reads(floor: Floor, _pick: Pick) -> None:
    """Books, funds and quotes of every account can be read again."""
    for account_id, hands in floor.troubled.items():
        floor.reads(account_id, Read.TRUE)
        hands.conduct.no_funds = hands.conduct.no_quotes = False
    floor.step(0.1)


def data(floor: Floor, pick: Pick) -> None:
    """Feed, quotes or funds of an account come and go."""
    account_id = pick(sorted(floor.hands))
    what, there = pick(("feed", "quotes", "funds")), pick((True, False))
    floor.note(f"account {account_id}: {what} {'there' if there else 'gone'}")
    conduct = floor.troubled[account_id].conduct
    if what == "feed":
        floor.feed(account_id, up=there)
    elif what == "quotes":
        conduct.no_quotes = not there
    else:
        conduct.no_funds = not there
    floor.step(0.05)


def pushes(floor: Floor, pick: Pick) -> None:
    """Order pushes of an account begin or end."""
    floor.troubled[pick(sorted(floor.hands))].conduct.pushes = pick((True, False))


def restart(floor: Floor, _pick: Pick) -> None:
    """kill -9 between two passes."""
    floor.note("the engine was killed between two passes")
    floor.restart()
    floor.step(0.1)


def kill(floor: Floor, pick: Pick) -> None:
    """kill -9 within a pass: before its commit, after it, or as an order leaves."""
    at = pick(("before", "after", "sent"))
    floor.kill(at)
    floor.step(0.1)


def broken_commits(floor: Floor, pick: Pick) -> None:
    """The database takes nothing for a while, or one pass fails."""
    locked, count = pick((True, False)), pick((1, 3, 8))
    floor.note(f"{count} commits fail, {'locked' if locked else 'for no reason'}")
    floor.break_commits(count if locked else 1, locked=locked)
    floor.step(0.1)


def wait(floor: Floor, pick: Pick) -> None:
    """Time goes."""
    floor.wait(pick((0.05, 0.2, 0.5, 1.0, 2.5, 5.0, 12.0)))


def quiet_time(floor: Floor, _pick: Pick) -> None:
    """Time goes until every quiet time is over."""
    floor.wait(floor.quiet[1].total_seconds() + 8.0)


MOVES: dict[Move, int] = {
    begin: 3,
    enter_quietly: 4,
    close: 4,
    close_part: 3,
    halt: 1,
    rearm: 2,
    every_trigger_at_once: 1,
    tick: 4,
    placing: 8,
    change: 3,
    resting: 4,
    by_hand: 2,
    reads: 3,
    true_reads: 3,
    data: 1,
    pushes: 1,
    restart: 1,
    kill: 1,
    broken_commits: 1,
    wait: 8,
    quiet_time: 1,
}
"""Every move with its weight in a simulated day."""
