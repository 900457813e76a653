"""How far a server's clock is off ours, as the times in its order book prove it (RULES 5, "Resolving", 1).

A row of an order of ours was written after we sent it and before we had read it, whatever its broker shows: the time of
the order or of its last change. So ``at - sent`` is at least, and ``at - read`` at most, what the clock is ahead of
ours. Times are whole seconds, cut off. The least upper bound widens the search for unknown orders; a bound that leaves
more than 2 s in one direction is an alarm.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from engine.domain.evidence import AccountBooks
from engine.services.ledger import Pass
from engine.services.sightings import orders_on
from engine.services.world import Account, World, trading_day

ALARM = timedelta(seconds=2)
WHOLE_SECOND = timedelta(seconds=1)


def measure(changes: Pass, world: World, account: Account, books: AccountBooks) -> None:
    """Take the bounds that the rows of our acknowledged orders of the day give; alarm once a minute beyond 2 s."""
    day = trading_day(books.begun_at)
    most: timedelta | None = None
    least: timedelta | None = None
    for order in orders_on(changes, account.id):
        row = books.rows.get(order.orderid or "")
        at = row.at if row is not None else None
        if at is None or order.sent_at is None or order.answered_at is None or order.trading_day != day:
            continue
        upper, lower = at + WHOLE_SECOND - order.sent_at, at - books.ended_at
        most = upper if most is None else min(most, upper)
        least = lower if least is None else max(least, lower)
    if most is None or least is None:
        return
    account.clock_offset = most if account.clock_offset is None else min(most, account.clock_offset)
    off = least if least > ALARM else most if most < -ALARM else None
    told = ("clock", account.id)
    if off is None or world.told_lately(told, changes.now):
        return
    seconds = off.total_seconds()
    changes.event(
        owner_id=account.facts.owner_id,
        kind="drift",
        action="alert_only",
        message=f"{account.facts.name}: the clock of its server differs by {seconds:+.0f} s from this machine's",
        knew={"seconds": seconds},
        account_id=account.id,
    )
    changes.after_commit.append(partial(world.note_told, told, changes.now))
