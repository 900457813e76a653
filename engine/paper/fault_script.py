"""A fault script: which calls something goes wrong with, and what a fault has in hand when it does.

The kinds are listed and explained in ``faults``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from engine.paper.accounts import Account
from engine.paper.calls import Endpoint
from engine.paper.exchange import PaperExchange
from engine.paper.history import History
from engine.paper.orders import Treatment

ANY = "*"
LISTS = ("orders", "legs", "symbols", "positions")
"""Where a request names several instruments."""
MOST_SUFFERED = 50_000
"""Faults that happened are remembered up to so many; the oldest are forgotten."""


@dataclass(slots=True)
class Fault:
    """A fault for ``count`` calls of an endpoint (``*``: any), of one account or of all.

    The first ``after`` matching calls pass unharmed. ``symbol`` and ``action`` narrow it to calls whose body names
    them, both in the same order of a basket. What ``seconds``, ``fraction`` (0 to 1), ``message`` and ``code`` mean
    depends on the kind.
    """

    kind: str
    endpoint: str = ANY
    api_key: str | None = None
    count: int = 1
    after: int = 0
    symbol: str | None = None
    action: str | None = None
    seconds: float = 0.0
    fraction: float = 0.5
    message: str = ""
    code: int = 0

    def concerns(self, endpoint: str, api_key: str, body: dict[str, Any]) -> bool:
        """Whether it is scripted for such a call."""
        if self.endpoint not in (ANY, endpoint) or self.api_key not in (None, api_key):
            return False
        if self.symbol is None and self.action is None:
            return True
        return any(self._named(row) for row in _rows(body))

    def _named(self, row: dict[str, Any]) -> bool:
        symbol = self.symbol is None or row.get("symbol") == self.symbol
        return symbol and (self.action is None or str(row.get("action", "")).upper() == self.action.upper())


@dataclass(slots=True)
class InHand:
    """A call that a fault decides about. ``answer`` carries it out and gives the regular response.

    ``values`` are its fields as the schema read them, None if the body does not fit it. ``account`` is None for a
    wrong key.
    """

    request: Request
    endpoint: Endpoint
    values: dict[str, Any] | None
    account: Account | None
    exchange: PaperExchange
    history: History
    answer: Callable[[Treatment], Response]


Kind = Callable[[InHand, Fault], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Suffered:
    """A fault that happened: when (epoch seconds), to which call of which account."""

    at: float
    kind: str
    endpoint: str
    api_key: str

    def document(self) -> dict[str, Any]:
        """Return it as JSON, without the key."""
        return {name: value for name, value in asdict(self).items() if name != "api_key"}


@dataclass(slots=True)
class FaultBook:
    """Faults that wait for their calls, first come first served, and those that happened."""

    waiting: list[Fault] = field(default_factory=list)
    suffered: deque[Suffered] = field(default_factory=lambda: deque(maxlen=MOST_SUFFERED))

    def add(self, fault: Fault) -> None:
        """Let a fault wait."""
        self.waiting.append(fault)

    def clear(self) -> None:
        """Forget those that wait."""
        self.waiting.clear()

    def of(self, api_key: str) -> list[dict[str, Any]]:
        """Return what an account suffered, in the order in which it happened."""
        return [one.document() for one in self.suffered if one.api_key == api_key]

    def take(self, endpoint: str, api_key: str, body: dict[str, Any]) -> Fault | None:
        """Return the fault for this call, counted down, or None. One that still skips lets the next ones see it."""
        for fault in self.waiting:
            if not fault.concerns(endpoint, api_key, body):
                continue
            if fault.after:
                fault.after -= 1
                continue
            fault.count -= 1
            if fault.count <= 0:
                self.waiting.remove(fault)
            return fault
        return None


def _rows(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what may name a symbol and an action: the body's orders, each with what stands beside them."""
    yield body
    for name in LISTS:
        rows = body.get(name)
        if isinstance(rows, list):
            yield from (row for row in rows if isinstance(row, dict))
