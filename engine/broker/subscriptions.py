"""Which instruments are wanted in which mode, and what has to be said to the server for that."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from engine.broker.feed import Instrument, StreamMode

_BATCH = 200
_LOOK_AGAIN = 1.0

Subscription = tuple[StreamMode, Instrument]
Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Due:
    """What to send now; ``fewer`` when something acknowledged is no longer wanted."""

    given_back: tuple[Message, ...] = ()
    asked_for: tuple[Message, ...] = ()
    fewer: bool = False


class Subscriptions:
    """Wanted, asked for and acknowledged, on one connection.

    ``want`` may be called from any thread; everything else belongs to the stream's. What is not answered or refused is
    asked for again after ``ask_again_after`` seconds.
    """

    def __init__(self, ask_again_after: float) -> None:
        self._ask_again_after = ask_again_after
        self._lock = threading.Lock()
        self._wanted: frozenset[Subscription] = frozenset()
        self._seen: frozenset[Subscription] = frozenset()
        self._asked: dict[Subscription, float] = {}
        self._taken: set[Subscription] = set()
        self._next_look = 0.0

    @property
    def taken(self) -> frozenset[Subscription]:
        """What the server has acknowledged and is still wanted."""
        return frozenset(self._taken)

    def want(self, mode: StreamMode, instruments: Iterable[Instrument]) -> None:
        """Want exactly these in this mode; what is wanted in other modes stays."""
        new = {(mode, instrument) for instrument in instruments}
        with self._lock:
            self._wanted = frozenset({one for one in self._wanted if one[0] is not mode} | new)

    def reset(self) -> None:
        """Begin anew: a new connection knows nothing."""
        self._asked.clear()
        self._taken.clear()
        self._seen = frozenset()
        self._next_look = 0.0

    def acknowledge(self, taken: Collection[tuple[StreamMode | None, Instrument]]) -> None:
        """Note what the server took; without a mode that was asked for it means every one that was."""
        for mode, instrument in taken:
            exactly = {one for one in self._asked if one == (mode, instrument)}
            self._taken |= (exactly or {one for one in self._asked if one[1] == instrument}) & self._wanted

    def due(self, now: float) -> Due:
        """Return what brings the server in line with what is wanted; nothing most of the time."""
        wanted = self._wanted
        if wanted is self._seen and now < self._next_look:
            return Due()
        self._seen, self._next_look = wanted, now + _LOOK_AGAIN
        gone = [one for one in self._asked if one not in wanted]
        for one in gone:
            del self._asked[one]
        new = [
            one
            for one in sorted(wanted)
            if one not in self._taken and now - self._asked.get(one, float("-inf")) >= self._ask_again_after
        ]
        self._asked.update(dict.fromkeys(new, now))
        fewer = bool(self._taken - wanted)
        self._taken &= wanted
        return Due(tuple(_giving_back(gone)), tuple(_asking(new)), fewer)


def _giving_back(gone: list[Subscription]) -> Iterable[Message]:
    # The mode stands with each symbol: without it the server gives back mode 2.
    for start in range(0, len(gone), _BATCH):
        rows = [
            {"symbol": symbol, "exchange": exchange.value, "mode": int(mode)}
            for mode, (symbol, exchange) in gone[start : start + _BATCH]
        ]
        yield {"action": "unsubscribe", "symbols": rows}


def _asking(new: list[Subscription]) -> Iterable[Message]:
    for mode in StreamMode:
        names = [instrument for one, instrument in new if one is mode]
        for start in range(0, len(names), _BATCH):
            rows = [
                {"symbol": symbol, "exchange": exchange.value} for symbol, exchange in names[start : start + _BATCH]
            ]
            yield {"action": "subscribe", "symbols": rows, "mode": int(mode)}
