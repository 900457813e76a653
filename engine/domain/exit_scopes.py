"""What an exit takes: accounts, legs, a share; and how plans of one run are kept from meeting in a key (RULES 7).

A scope is accounts × legs, and what it keeps under single keys. Two scopes that would meet in a key become one, which
takes under every key what the one that takes more of it would: nothing ordered is lost, nothing else leaves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.domain.instruments import Key


@dataclass(frozen=True, slots=True)
class HeldKey:
    """What a run owns under one key (signed units) when an exit is ordered, and the legs it belongs to.

    ``side``: the one on which a bought leg covers a sold one: puts, or everything else.
    """

    key: Key
    leg_indexes: frozenset[int]
    quantity: int
    lot_size: int
    side: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """Accounts × legs of an exit; empty means all. ``keep``: signed units that stay under a key, 0 where not named."""

    account_ids: frozenset[int] = frozenset()
    leg_indexes: frozenset[int] = frozenset()
    keep: Mapping[Key, int] = field(default_factory=dict)

    def covers(self, held: HeldKey) -> bool:
        """Whether the exit decides about a key; a key of no known leg belongs to exits of all legs alone."""
        if self.account_ids and held.key.account_id not in self.account_ids:
            return False
        return not self.leg_indexes or bool(self.leg_indexes & held.leg_indexes)

    def contains(self, other: Scope) -> bool:
        """Whether accounts and legs of the other one are among those of this one."""
        return _within(other.account_ids, self.account_ids) and _within(other.leg_indexes, self.leg_indexes)

    def meets(self, other: Scope, held: Iterable[HeldKey] = ()) -> bool:
        """Whether both name an account and a leg together, or decide about one key that is held."""
        if _common(self.account_ids, other.account_ids) and _common(self.leg_indexes, other.leg_indexes):
            return True
        return any(self.covers(one) and other.covers(one) for one in held)


def side_of(instrument_type: str) -> str:
    """Return the side on which a contract is covered: a put by puts, a call or a future by calls and futures."""
    return "down" if instrument_type == "PE" else "up"


def staying(owned: int, keep: int) -> int:
    """Return how many of the units owned (signed) stay where ``keep`` (signed) shall: never more than are there.

    >>> staying(-195, -65), staying(-65, -130), staying(65, -65), staying(0, 65)
    (-65, -65, 0, 0)
    """
    if owned * keep <= 0:
        return 0
    return keep if abs(keep) < abs(owned) else owned


def share_leaving(quantity: int, share: float, lot_size: int) -> int:
    """Return how many of ``quantity`` units leave when ``share`` percent shall: whole lots, half a lot counts as one.

    At least one lot leaves where there is one. Less than a lot cannot be shared and stays.

    >>> [share_leaving(195, share, 65) for share in (10, 50, 60, 99)], share_leaving(65, 1, 65)
    ([65, 130, 130, 195], 65)
    """
    lots = math.floor(quantity * share / 100 / lot_size + 0.5)
    least = lot_size if quantity >= lot_size else 0
    return min(quantity, max(lots * lot_size, least))


def keep_of_share(scope: Scope, share: float, held: Sequence[HeldKey]) -> dict[Key, int]:
    """Return what stays under each key of a scope when ``share`` percent leave; keys that leave whole are not named.

    ``held``: everything the run owns. A bought leg keeps as many units as it takes to cover what stays sold on its
    account and side, as far as it did before: a share makes nothing naked that was covered (RULES 7).
    """
    stays: dict[Key, int] = {}
    for one in held:
        size = abs(one.quantity)
        leaving = share_leaving(size, share, one.lot_size) if scope.covers(one) else 0
        stays[one.key] = size - leaving
    for place in dict.fromkeys((one.key.account_id, one.side) for one in held):
        there = [one for one in held if (one.key.account_id, one.side) == place]
        open_sold = sum(stays[one.key] for one in there if one.quantity < 0)
        bought = [one for one in there if one.quantity > 0]
        missing = open_sold - sum(stays[one.key] for one in bought)
        for one in bought:
            more = min(max(missing, 0), one.quantity - stays[one.key])
            stays[one.key] += more
            missing -= more
    return {
        one.key: stays[one.key] if one.quantity > 0 else -stays[one.key]
        for one in held
        if scope.covers(one) and stays[one.key]
    }


def takes_as_much(there: Scope, wanted: Scope, held: Iterable[HeldKey]) -> bool:
    """Whether an exit takes all that another one would: then two triggers make one exit."""
    return there.contains(wanted) and all(
        abs(staying(one.quantity, there.keep.get(one.key, 0)))
        <= abs(staying(one.quantity, wanted.keep.get(one.key, 0)))
        for one in held
        if wanted.covers(one)
    )


def absorbing(wanted: Scope, active: Sequence[Scope], held: Sequence[HeldKey]) -> tuple[Scope, list[int]]:
    """Return the scope of a new exit that takes in the active ones it meets, and which of them those are.

    It spans the accounts and legs of all of them. Under a key that several decide about, the one that keeps less
    decides; what none of them named stays whole.
    """
    taken: list[int] = []
    span = wanted
    while True:
        more = [n for n, scope in enumerate(active) if n not in taken and span.meets(scope, held)]
        if not more:
            break
        taken += more
        parts = [wanted, *(active[n] for n in taken)]
        span = Scope(_span(part.account_ids for part in parts), _span(part.leg_indexes for part in parts))
    parts = [wanted, *(active[n] for n in taken)]
    keep: dict[Key, int] = {}
    for one in held:
        if not span.covers(one):
            continue
        deciding = [staying(one.quantity, part.keep.get(one.key, 0)) for part in parts if part.covers(one)]
        stays = min(deciding, key=abs) if deciding else one.quantity
        if stays:
            keep[one.key] = stays
    return Scope(span.account_ids, span.leg_indexes, keep), sorted(taken)


def _within(narrow: frozenset[int], wide: frozenset[int]) -> bool:
    return not wide or (bool(narrow) and narrow <= wide)


def _common(one: frozenset[int], other: frozenset[int]) -> bool:
    return not one or not other or bool(one & other)


def _span(parts: Iterable[frozenset[int]]) -> frozenset[int]:
    known = list(parts)
    return frozenset() if any(not part for part in known) else frozenset().union(*known)
