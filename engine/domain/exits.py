"""How a run leaves: what may be sent now, so that nothing is exited twice and no sold leg stands naked (RULES 6, 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.domain.exit_scopes import staying
from engine.domain.instruments import Action, Key
from engine.domain.slicing import UNKNOWN_FREEZE_LOTS, known_freeze, slice_quantity

RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Back-off after an exit order that ended without filling: the last one repeats."""

CLOSED_RETRY = timedelta(minutes=5)
"""The same outside the exchange's session: a broker that refuses for the night is not asked four times a minute."""

BOOK_AGE = timedelta(seconds=5)
"""The first exit order goes on a valid position book at most this old (RULES 7)."""

FIRST_BOOK_PATIENCE = timedelta(seconds=1)
"""How long the first exit order of a plan waits for such a book at least, before own fills decide."""

BOOK_PATIENCE = timedelta(seconds=3)
"""Without a valid book for this long, own fills decide if the last valid book showed no drift."""

LAST_BOOK_AGE = timedelta(seconds=60)
"""How old that last valid book may be."""


@dataclass(frozen=True, slots=True)
class OpenKey:
    """One key of a run of which an exit decides, or which stays beside it.

    ``owned`` is E, signed; ``pending_exit`` units of own exit orders that may still fill; ``in_doubt``: an order of
    this run in the key is sending, unknown or queued; ``entry_alive``: an entry order of this run in the key may
    still fill; ``retry_at``: not before, after an exit order that failed. ``covered``: the exit decides about it, and
    ``kept`` units (signed) stay; what it does not cover stays whole. ``side``: see ``exit_scopes.side_of``.
    """

    key: Key
    leg_index: int
    underlying: str
    sold_leg: bool
    owned: int
    pending_exit: int
    in_doubt: bool
    entry_alive: bool
    retry_at: datetime | None = None
    covered: bool = True
    kept: int = 0
    side: str = ""

    @property
    def leaving(self) -> int:
        """Units that shall leave and have not left yet, those of own exit orders under way among them."""
        return abs(self.owned) - abs(staying(self.owned, self.kept)) if self.covered else 0


@dataclass(frozen=True, slots=True)
class ExitDue:
    """Units to take off under one key now."""

    key: Key
    leg_index: int
    action: Action
    quantity: int


def exits_due(keys: Sequence[OpenKey], now: datetime) -> list[ExitDue]:
    """Return what may be sent now; sold legs are bought back first (RULES 7, "Exit means").

    A bought leg waits while a sold leg of the same run, account and underlying is leaving or may still open, and as
    ``held_as_cover`` says. What is returned never exceeds |E| less what is kept and what own exit orders may still
    fill, and is on the other side of E. ``keys``: all of the run on an account, not only those that leave.
    """
    first = {
        (item.key.account_id, item.underlying)
        for item in keys
        if (item.owned < 0 and item.leaving > 0) or (item.covered and item.sold_leg and item.entry_alive)
    }
    cover = _needed_as_cover(keys)
    due: list[ExitDue] = []
    for number, item in enumerate(keys):
        if item.in_doubt or item.entry_alive or _waits(item.retry_at, now):
            continue
        rest = item.leaving - item.pending_exit
        if item.owned > 0:
            if (item.key.account_id, item.underlying) in first:
                continue
            rest -= cover.get(number, 0)
        if rest <= 0:
            continue
        action = Action.BUY if item.owned < 0 else Action.SELL
        due.append(ExitDue(item.key, item.leg_index, action, rest))
    return due


def held_as_cover(keys: Sequence[OpenKey]) -> list[Key]:
    """Return the bought keys of which something shall leave and may not: a sold leg that stays would stand naked.

    Where a sold leg of the same run, account and underlying is open that this exit leaves alone, the bought leg is
    held whole: RULES 7 to the letter. Where the exit takes a share of the sold legs, they are bought back first, and
    then a bought leg goes as far as what stays bought still covers what stays sold on its side: the structure is
    smaller by then, and as balanced as before.
    """
    return [keys[number].key for number in _needed_as_cover(keys)]


def _needed_as_cover(keys: Sequence[OpenKey]) -> dict[int, int]:
    """Return units that must not leave now although they shall, by the place of their key among ``keys``."""
    beside = {
        (item.key.account_id, item.underlying)
        for item in keys
        if not item.covered and (item.owned < 0 or (item.sold_leg and item.entry_alive))
    }
    spare: dict[tuple[int, str, str], int] = {}
    for item in keys:
        place = (item.key.account_id, item.underlying, item.side)
        sold_stays = abs(staying(item.owned, item.kept)) if item.covered else abs(item.owned)
        units = -sold_stays if item.owned < 0 else max(0, item.owned - item.pending_exit)
        spare[place] = spare.get(place, 0) + units
    needed: dict[int, int] = {}
    for number, item in enumerate(keys):
        rest = item.leaving - item.pending_exit
        if item.owned <= 0 or rest <= 0:
            continue
        place = (item.key.account_id, item.underlying, item.side)
        goes = 0 if place[:2] in beside else min(rest, max(0, spare[place]))
        spare[place] -= goes
        if goes < rest:
            needed[number] = rest - goes
    return needed


def exit_slices(quantity: int, *, lot_size: int, freeze_quantity: int | None) -> list[int]:
    """Cut an exit into child quantities; unlike an entry it is never denied (law 8).

    An unknown freeze quantity counts as 20 lots. Units beyond whole lots go as an order of their own, last: whether
    it takes them is the exchange's business. Raises ContractError for a quantity or lot size below 1.

    >>> exit_slices(160, lot_size=65, freeze_quantity=1800), exit_slices(1365, lot_size=65, freeze_quantity=None)
    ([130, 30], [1300, 65])
    """
    odd = quantity % lot_size if lot_size > 0 else 0
    freeze = known_freeze(freeze_quantity)
    if freeze is None or freeze < lot_size:
        freeze = UNKNOWN_FREEZE_LOTS * lot_size
    whole = quantity - odd
    slices = slice_quantity(whole, lot_size=lot_size, freeze_quantity=freeze) if whole or not odd else []
    return [*slices, odd] if odd else slices


def _waits(retry_at: datetime | None, now: datetime) -> bool:
    # further ahead than the longest delay: the clock was set back since, and nothing is waited for
    return retry_at is not None and now < retry_at <= now + CLOSED_RETRY


def retry_delay(failures: int, *, in_session: bool = True) -> timedelta:
    """How long to wait after this many exit orders in a row that ended without filling.

    Outside the session (which a calendar may have wrong) it grows to 5 minutes instead of 15 s.

    >>> [retry_delay(n).total_seconds() for n in (1, 2, 9)], retry_delay(9, in_session=False).total_seconds()
    ([0.5, 1.0, 15.0], 300.0)
    """
    if not in_session and failures >= len(RETRY_SECONDS):
        return CLOSED_RETRY
    return timedelta(seconds=RETRY_SECONDS[min(max(failures, 1), len(RETRY_SECONDS)) - 1])
