"""Who is judged in a pass: whose guard fires, who waits for something, and everybody within a second (DESIGN 2).

With few open runs all of them are judged in every pass. With many a price asks only those it can change something for;
the others have their turn a few at a time, so that no pass stalls.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from engine.domain.guard import Guard, Owner
from engine.services.bounds import forms_of
from engine.services.ledger import Pass
from engine.services.messages import BooksRead, Connected, FundsRead, Message, Probed, QuotesRead, Symbol
from engine.services.run_index import FEW_RUNS
from engine.services.world import World

_log = logging.getLogger(__name__)

EVERYBODY_SECONDS: Final = 0.9
"""How long a round over all open runs takes; each is judged at least once a second (RULES 7)."""
BUSY_SECONDS: Final = 0.05
"""How long a round over the runs that wait for something takes."""
BOX_SECONDS: Final = 0.0015
"""How long one pass goes on with a round before prices are looked at again."""
BEHIND: Final = 3
"""A round that is behind by more than 1 / so many of its runs has four times as long in a pass."""
KERNEL_FROM_ROWS: Final = 500
"""From so many rows on the guard is compiled; below that numpy is as good, and numba needs not be loaded."""


class Rota:
    """Gives each of many runs a turn within a period, a few in each pass, always in the same order."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._left: list[int] = []
        self._owed = 0.0
        self._boot: float | None = None
        self._size = 0

    @property
    def behind(self) -> float:
        """Which part of a round is owed: 0 none, 1 all of it."""
        return int(self._owed) / self._size if self._size else 0.0

    def owe(self, ids: Collection[int], boot: float) -> None:
        """Note how many turns fell due until ``boot`` (seconds); at first, and after a period, all."""
        elapsed = self._period if self._boot is None else boot - self._boot
        self._boot, self._size = boot, len(ids)
        self._owed = min(self._owed + self._size * elapsed / self._period, self._size)

    def turns(self, ids: Collection[int], clock: Callable[[], float]) -> Iterator[int]:
        """Give the runs that are due, until the pass has given it enough time."""
        box = BOX_SECONDS * (4 if self.behind > 1 / BEHIND else 1)
        until = clock() + box
        while self._owed >= 1 and ids:
            if not self._left:
                self._left = sorted(ids, reverse=True)
            self._owed -= 1
            yield self._left.pop()
            if clock() >= until:
                return


class Guarding:
    """Rows of all open runs, kept as passes are committed; ``few``: how many runs are all judged in every pass."""

    def __init__(self, *, few: int = FEW_RUNS) -> None:
        self.guard = Guard()
        self._few = few
        self._everybody = Rota(EVERYBODY_SECONDS)
        self._busy = Rota(BUSY_SECONDS)
        self._moved: set[tuple[str, Symbol]] = set()
        self._stale: set[int] | None = None
        self._unguarded: set[int] = set()
        self._asked: set[Owner] = set()
        self._again: set[int] = set()
        self._compiling: threading.Thread | None = None

    def few(self, changes: Pass) -> bool:
        """Whether so few runs are open that all of them are judged in every pass."""
        return len(changes.ledger.index.open) <= self._few

    @property
    def behind(self) -> bool:
        """Whether somebody's turn is due that no pass had time for."""
        return self._everybody.behind > 0 or self._busy.behind > 0

    def price(self, market: str, symbol: Symbol) -> None:
        """Note that a price came; what it is worth is on the board."""
        self._moved.add((market, symbol))

    def committed(self, changes: Pass) -> None:
        """Note what a committed pass changed: it is judged again in the next one, by new bounds."""
        touched = changes.touched_runs()
        self._again |= touched
        if self._stale is not None:
            self._stale |= touched

    def undone(self, changes: Pass) -> None:
        """Note that a pass was not committed: bounds that were drawn with its changes in sight are drawn anew."""
        if self._stale is not None:
            self._stale |= changes.touched_runs() & changes.ledger.runs.keys()

    def asks(self, changes: Pass, world: World) -> bool:
        """Whether a price that came since the last pass asks for a decision that the last one did not ask for.

        Who fires on and on (a breach at a price that nothing confirms) is judged in every pass, and holds up nothing.
        """
        if not self._moved:
            return False
        self._renew(changes, world)
        return not self.guard.fired() <= self._asked

    def urgent(self, changes: Pass, world: World, messages: Iterable[Message]) -> list[int]:
        """Return the runs to be judged now: fired, concerned by a message, changed, or waiting; oldest first."""
        self._renew(changes, world)
        index = changes.ledger.index
        self._asked = self.guard.fired()
        found = {owner for owner in self._asked if isinstance(owner, int)}
        found |= changes.touched_runs() | self._again | self._unguarded
        concerned = {
            message.account_id
            for message in messages
            if isinstance(message, BooksRead | FundsRead | Connected | Probed)
        }
        for account_id in concerned:
            found |= index.busy.keys() & index.on.get(account_id, {}).keys()
        clock = world.clock.boot
        self._busy.owe(index.busy, clock())
        found.update(self._busy.turns(index.busy, clock))
        self._again = set()
        return sorted(found)

    def routine(self, changes: Pass, world: World, judged: Collection[int]) -> Iterator[int]:
        """Give the runs whose turn it is, as time allows; what is to be sent at once goes first."""
        clock, ids = world.clock.boot, changes.ledger.index.open
        self._everybody.owe(ids, clock())
        if changes.empty or self._everybody.behind > 1 / BEHIND:
            yield from (one for one in self._everybody.turns(ids, clock) if one not in judged)

    def all_judged(self) -> None:
        """Note that every run was judged in this pass."""
        self._again = set()

    def compile_soon(self) -> None:
        """Have the kernel compiled in a thread of its own, once there are rows enough; it takes over when ready."""
        if self._compiling is None and self.guard.rows >= KERNEL_FROM_ROWS:
            self._compiling = threading.Thread(target=self._compile, name="guard kernel", daemon=True)
            self._compiling.start()

    def _compile(self) -> None:
        try:
            from engine.domain.guard_kernel import compiled  # noqa: PLC0415 - numba is not loaded at the engine's start

            self.guard.by = compiled()
        except Exception:  # noqa: BLE001 - the edge of this thread: numpy does the same work
            _log.exception("the guard's kernel cannot be compiled; numpy goes on")

    def _renew(self, changes: Pass, world: World) -> None:
        """Bring rows and prices up to what is known now."""
        known = changes.ledger.runs
        if self._stale is None:
            self._stale = set(changes.ledger.index.open)
            gone: set[Owner] = set(self.guard.owners()) - self._stale
            for owner in gone:
                self.guard.put(owner, ())
        for run_id in self._stale:
            self._unguarded.discard(run_id)
            try:
                forms = forms_of(changes, world, known[run_id])
            except Exception:  # noqa: BLE001 - the edge of one run: who cannot be guarded is judged in every pass
                _log.exception("run %s cannot be guarded; it is judged in every pass", run_id)
                forms = []
                self._unguarded.add(run_id)
            for place in self.guard.put(run_id, forms):
                self._moved.add(place)  # type: ignore[arg-type]
        self._stale = set()
        for market, symbol in self._moved:
            view = world.prices.view(market, symbol)
            if view is not None and view.ltp is not None:
                self.guard.price((market, symbol), view.ltp)
        self._moved = set()


def quoted(message: QuotesRead) -> Iterator[tuple[str, Symbol]]:
    """Give market and symbol of every price of a read."""
    for symbol in message.prices:
        yield message.market, symbol
