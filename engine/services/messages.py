"""What reaches the core: answers, reads, pushes, commands, the clock. Frozen; made by other threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.broker.answers import ChangeOutcome, PlacementOutcome
from engine.domain.candles import Bar
from engine.domain.evidence import AccountBooks, SeenOrder
from engine.domain.instruments import Exchange
from engine.domain.intervals import Interval
from engine.services.resolution import Resolution

Symbol = tuple[str, Exchange]

NEEDS_SESSION = "needs a new broker session"
"""How the problem of a read begins that the server refused for the key or the broker's session behind it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A placement ended: what its answer proves. ``sent``: whether a byte may have left."""

    order_id: int
    outcome: PlacementOutcome


@dataclass(frozen=True, slots=True)
class CancelAnswered:
    """A cancellation ended."""

    order_id: int
    outcome: ChangeOutcome


@dataclass(frozen=True, slots=True)
class ModifyAnswered:
    """A modification to the limit ``price`` (₹) ended."""

    order_id: int
    price: float
    outcome: ChangeOutcome


@dataclass(frozen=True, slots=True)
class Probed:
    """A cancellation of an id that no order has was tried: ``semi_auto`` None when the answer does not tell."""

    account_id: int
    semi_auto: bool | None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Connected:
    """Ping and mode of an account were read; ``problem`` says why not."""

    account_id: int
    broker: str
    mode: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BooksRead:
    """The three books of an account were read one after the other; ``books`` None: the read failed."""

    account_id: int
    books: AccountBooks | None
    begun_at: datetime
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FundsRead:
    """Funds of an account in paise by its funds model; None: the read failed, which is never zero."""

    account_id: int
    available_paise: int | None
    used_paise: int | None
    begun_at: datetime
    problem: str = ""


@dataclass(frozen=True, slots=True)
class QuotesRead:
    """Quotes polled for silent symbols of a market; ``touches``: bid and ask (₹) of those that have both."""

    market: str
    prices: Mapping[Symbol, float]
    at: datetime
    problem: str = ""
    touches: Mapping[Symbol, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pushed:
    """An order push of an account; ``mode``: the server's when it was made, empty where nobody knows."""

    account_id: int
    seen: SeenOrder
    mode: str = ""


@dataclass(frozen=True, slots=True)
class FeedChanged:
    """The state of an account's websocket: connected, down, refused; which symbols its server acknowledged."""

    account_id: int
    state: str
    problem: str = ""
    acknowledged: frozenset[Symbol] = frozenset()


@dataclass(frozen=True, slots=True)
class Resolved:
    """Contracts were resolved for a run (``run_id``) or a preview (``command_id``)."""

    run_id: int | None
    command_id: int | None
    resolution: Resolution | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CommandArrived:
    """A command row was found pending. ``role`` of who gave it: the core reads no users."""

    id: int
    user_id: int
    kind: str
    payload: dict[str, Any]
    created_at: datetime
    valid_until: datetime | None
    username: str = ""
    role: str = ""

    @property
    def by(self) -> str:
        """Who gave it, by name."""
        return self.username or f"user {self.user_id}"


@dataclass(frozen=True, slots=True)
class HistoryRead:
    """Bars of one symbol from the broker's history, as it listed them; ``bars`` None: the read failed."""

    market: str
    symbol: Symbol
    interval: Interval
    bars: tuple[Bar, ...] | None
    begun_at: datetime
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Beat:
    """The scheduler says: a second has passed."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The lifeline closed or a signal came: finish what is in hand and end."""

    reason: str


Message = (
    Answered
    | CancelAnswered
    | ModifyAnswered
    | Probed
    | Connected
    | BooksRead
    | FundsRead
    | QuotesRead
    | Pushed
    | FeedChanged
    | Resolved
    | CommandArrived
    | HistoryRead
    | Beat
    | StopAsked
)
