"""Who gets which frame of market data: subscriptions by mode, and the feed that several of them share.

One account stands for one server, and a server has one feed of each symbol, in the richest mode that anybody asked for.
Of each price the feed makes one frame for every mode that is subscribed; a lower one is cut out of the richer. A
subscriber gets every frame that is at least as rich as its mode, tagged with the richest of its own modes that fits
(openalgo-contract, ``subscribe.same-symbol-ltp-and-depth``: a mode 1 subscriber also sees the full frames). The feed
changes its modes with the frame after next: what was subscribed when the last price went out decides about this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.domain.instruments import Contract

Name = tuple[str, str]
"""Symbol and exchange."""


@dataclass(slots=True)
class Subscriptions:
    """What one socket listens to: contracts by name, each with the modes in the order of subscribing."""

    contracts: dict[Name, Contract] = field(default_factory=dict)
    modes: dict[Name, set[int]] = field(default_factory=dict)

    def add(self, name: Name, mode: int, contract: Contract) -> None:
        """Subscribe; twice is once."""
        self.contracts[name] = contract
        self.modes.setdefault(name, set()).add(mode)

    def remove(self, name: Name, mode: int) -> None:
        """Unsubscribe one mode; what was never subscribed is none of it."""
        modes = self.modes.get(name, set())
        modes.discard(mode)
        if not modes:
            self.modes.pop(name, None)
            self.contracts.pop(name, None)

    def clear(self) -> list[Name]:
        """Unsubscribe all and return what that was."""
        names = list(self.modes)
        self.modes.clear()
        self.contracts.clear()
        return names


class Cast(NamedTuple):
    """A frame to make: of which contract, in which mode; ``is_cut`` if it is cut out of a richer one."""

    contract: Contract
    mode: int
    is_cut: bool


@dataclass(slots=True)
class Feed:
    """The feed of one account: the modes of each symbol when its last price went out."""

    fed: dict[Name, frozenset[int]] = field(default_factory=dict)

    def next(self, subscribers: Iterable[Subscriptions]) -> dict[Name, list[Cast]]:
        """Return the frames of the next price, the richest first."""
        wanted: dict[Name, set[int]] = {}
        contracts: dict[Name, Contract] = {}
        for subscriptions in subscribers:
            contracts |= subscriptions.contracts
            for name, modes in subscriptions.modes.items():
                wanted.setdefault(name, set()).update(modes)
        casts = {name: _casts(contracts[name], self.fed.get(name) or modes) for name, modes in wanted.items()}
        self.fed = {name: frozenset(modes) for name, modes in wanted.items()}
        return casts


def received(subscriptions: Subscriptions, casts: dict[Name, list[Cast]]) -> Iterator[tuple[Cast, int]]:
    """Yield the frames that a socket gets, each with the mode that it is tagged with."""
    for name, modes in subscriptions.modes.items():
        for cast in casts.get(name, ()):
            fitting = [mode for mode in modes if mode <= cast.mode]
            if fitting:
                yield cast, max(fitting)


def _casts(contract: Contract, modes: Iterable[int]) -> list[Cast]:
    ordered = sorted(modes, reverse=True)
    return [Cast(contract, mode, mode < ordered[0]) for mode in ordered]
