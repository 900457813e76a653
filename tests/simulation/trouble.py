"""What may become of a placement, a cancellation, a modification and a read: the words that all simulations use."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Fate(StrEnum):
    """What becomes of an order that is sent."""

    FILL = "fill"
    SLOW = "slow"
    REST = "rest"
    PARTIAL = "partial"
    PUSHED_FIRST = "pushed first"
    REFUSED = "refused"
    LIMITED = "limited"
    NOT_SENT = "not sent"
    REJECTED = "rejected"
    SILENT = "silent"
    LOST = "lost"
    LATE = "late"
    LATE_ANSWER = "late answer"
    OPEN = "open"
    OPEN_LOST = "open, lost"
    CUT = "cut"


FATES = {
    Fate.FILL: "taken, filled, answered",
    Fate.SLOW: "taken and answered; fills after so many seconds",
    Fate.REST: "taken and answered; rests",
    Fate.PARTIAL: "taken and answered; a part fills, the rest rests",
    Fate.PUSHED_FIRST: "filled and pushed; answered after so many seconds",
    Fate.REFUSED: "400 without an id",
    Fate.LIMITED: "429",
    Fate.NOT_SENT: "no byte left",
    Fate.REJECTED: "answered with an id; the book shows it rejected",
    Fate.SILENT: "filled; the connection ends without an answer after so many seconds",
    Fate.LOST: "never arrives; the connection ends without an answer after so many seconds",
    Fate.LATE: "the connection ends without an answer; arrives and fills after so many seconds",
    Fate.LATE_ANSWER: "filled; answered after so many seconds",
    Fate.OPEN: "filled, but answered without an id; the books show it after so many seconds",
    Fate.OPEN_LOST: "never arrives, answered without an id",
    Fate.CUT: "a part fills, the broker cancels the rest",
}


class Change(StrEnum):
    """What becomes of a cancellation or a modification."""

    DONE = "done"
    SLOW = "slow"
    LOST = "lost"
    UNHEARD = "unheard"
    REFUSED = "refused"
    RACED = "raced"


CHANGES = {
    Change.DONE: "done and acknowledged",
    Change.SLOW: "acknowledged at once, done after three seconds",
    Change.LOST: "neither done nor answered clearly",
    Change.UNHEARD: "done, but the answer is not clear",
    Change.REFUSED: "refused",
    Change.RACED: "refused: the order filled meanwhile",
}


class Read(StrEnum):
    """What becomes of reads of the books."""

    TRUE = "true"
    FAILED = "failed"
    SILENT = "silent"
    SLOW = "slow"
    TORN = "torn"
    EMPTY = "empty"
    NO_TRADES = "no trades"
    FLAT = "flat"
    OTHER_MODE = "other mode"


READS = {
    Read.TRUE: "the three books of one moment",
    Read.FAILED: "an error",
    Read.SILENT: "nothing at all",
    Read.SLOW: "begun now, answered after four seconds",
    Read.TORN: "a second between each of the three books",
    Read.EMPTY: "200 with three empty lists",
    Read.NO_TRADES: "the orders, and two empty lists",
    Read.FLAT: "orders and trades, and an empty position book",
    Read.OTHER_MODE: "the empty books of the server's other mode",
}
LIES = frozenset({Read.EMPTY, Read.NO_TRADES, Read.FLAT, Read.OTHER_MODE})


class Placing(NamedTuple):
    """A fate with its seconds."""

    fate: Fate
    seconds: float = 0.0


USUAL = Placing(Fate.FILL)


@dataclass
class Conduct:
    """How the server of one account behaves from now on; it outlives the engine."""

    placings: deque[Placing] = field(default_factory=deque)
    cancels: deque[Change] = field(default_factory=deque)
    modifies: deque[Change] = field(default_factory=deque)
    reads: Read = Read.TRUE
    pushes: bool = False
    no_quotes: bool = False
    no_funds: bool = False

    def calm(self) -> None:
        """No trouble any more."""
        self.placings.clear()
        self.cancels.clear()
        self.modifies.clear()
        self.reads, self.no_quotes, self.no_funds = Read.TRUE, False, False
