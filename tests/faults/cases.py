"""Every kind of trouble the paper exchange can make, as one account suffers it, and what is known of it beforehand.

A kind of a call befalls one order call, a kind of a book every read of its books for a while, a kind of the stream the
account's pushes for some seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from engine.paper.faults import KINDS, STREAM_KINDS

QUIET_ANSWERED = 2.0
QUIET_UNANSWERED = 3.0
"""Quiet times of these houses: this exchange is known to finish a request within the lateness given here."""
APART = 2.0
"""Two reads of the books that prove an absence begin so far apart (RULES 5)."""
UNHEARD = 4.4
"""Longer than the 3 s after which an order without an answer is called unknown, and than a pass on a busy machine."""
LATE = 3.6
"""How long orders are validated, or hidden from the books."""
READS = 24
BOOKS = ("orderbook", "tradebook", "positionbook")


class Proof(StrEnum):
    """What the answer proves of a call that was not carried out."""

    REFUSED = "refused"
    OPEN = "open"
    NONE = "none"
    NOTHING_TO_PROVE = "carried out"

    @property
    def quiet(self) -> float:
        """Seconds after the sending before which the same may not be sent again."""
        match self:
            case Proof.OPEN:
                return QUIET_ANSWERED + APART
            case Proof.NONE:
                return QUIET_UNANSWERED + APART
            case _:
                return 0.0


class Ending(StrEnum):
    """How an account gets out of it."""

    ALONE = "flat by itself"
    APPROVED = "a person approves the order and says so"
    MODE_BACK = "a person switches the server back and says what became of the order"
    TOKEN_BACK = "a person logs in at the broker again"
    OUTSIDE = "flat; what the broker bought or sold twice stays as outside until a person closes it"


DEAD_TOKEN = "token_dead"


@dataclass(frozen=True, eq=False)
class Case:
    """One account's trouble. ``fields`` are those of the fault; ``endpoints`` of books, none for an order call."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    proof: Proof = Proof.NOTHING_TO_PROVE
    doubtful: bool = False
    """Whether the answer leaves open what became of the call: the order must be called unknown."""
    ending: Ending = Ending.ALONE
    endpoints: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The account's name, and the line in the table."""
        return self.kind if not self.endpoints or self.endpoints == BOOKS else f"{self.kind} {self.endpoints[0]}"

    @property
    def is_stream(self) -> bool:
        """Whether it befalls the websocket."""
        return self.kind in STREAM_KINDS

    @property
    def is_token(self) -> bool:
        """Whether the account's broker refuses its session."""
        return self.kind == DEAD_TOKEN


CALLS = (
    Case("drop_before", proof=Proof.NONE, doubtful=True),
    Case("drop_after", doubtful=True),
    Case("delay", {"seconds": UNHEARD}, doubtful=True),
    Case("late", {"seconds": 1.5}),
    Case("bad_gateway", doubtful=True),
    Case("garbage", doubtful=True),
    Case("wrong_content_type", doubtful=True),
    Case("slow_body", {"seconds": UNHEARD}, doubtful=True),
    Case("half_body", doubtful=True),
    Case("rate_limit_429", {"count": 2}, proof=Proof.REFUSED),
    Case("broker_429", {"count": 2}, proof=Proof.REFUSED),
    Case("error_500", proof=Proof.OPEN, doubtful=True),
    Case("broker_error", proof=Proof.OPEN, doubtful=True),
    Case("broker_error_after", doubtful=True),
    Case("null_orderid", doubtful=True),
    Case("reject"),
    Case("clip", {"fraction": 0.4}),
    Case("duplicate", ending=Ending.OUTSIDE),
    Case("late_visibility", {"seconds": LATE}),
    Case("market_as_limit"),
    Case("moving_timestamp"),
    Case("validation", {"seconds": LATE}),
    Case("stale_status", {"seconds": LATE}),
    Case("mode_toggled", ending=Ending.MODE_BACK),
    Case("queued", ending=Ending.APPROVED),
)
READ = (
    Case("empty_book", {"count": READS}, endpoints=BOOKS),
    Case("smaller_book", {"count": READS}, endpoints=BOOKS),
    Case("old_book", {"count": READS, "seconds": 5.0}, endpoints=BOOKS),
    Case("empty_book", {"count": READS}, endpoints=("positionbook",)),
    Case("smaller_book", {"count": READS}, endpoints=("tradebook",)),
    Case("broker_error", {"count": READS}, endpoints=("positionbook",)),
)
STREAM = tuple(Case(kind, {"seconds": 8.0}) for kind in sorted(STREAM_KINDS))
TOKEN = (Case(DEAD_TOKEN, ending=Ending.TOKEN_BACK),)
"""No kind of the fault script: a switch of the account in live mode."""
CALM = ("calm one", "calm two")
"""Accounts without any trouble."""

assert {case.kind for case in (*CALLS, *READ)} == set(KINDS), "every kind the exchange knows is a case"
