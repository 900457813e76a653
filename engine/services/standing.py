"""What the core notes about the trust an account's server deserves; made anew with every life of the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from engine.domain.evidence import SeenOrder, SeenTrade
from engine.domain.instruments import Key
from engine.domain.orders import Order


@dataclass(slots=True)
class Standing:
    """How an account's server stands with us.

    ``server_changed``: in words, that it speaks for another broker or mode than the account was armed with (empty: it
    does not). ``probed_at``: when it was last asked whether it queues orders. ``missing``: ids given to us today that
    the newest read of the order book did not list. ``moved_since``: per unknown order, the begin of the first valid
    read in which the net had moved by exactly it. ``unpriced_since``: per order, the begin of the first valid read with
    a trade that had no price. ``repeated``: ids whose end the newest valid read may have taken over from
    the row before; ``ended_since``: per order, since when. ``unexplained``: keys in which the newest valid trade book
    shows less than our orders filled, as pushes or rows told: it shows no drift there.
    ``unmoved_since``: per order declared filled, the begin of the first valid read whose net had not moved by it.
    ``told``: per ended order of which the newest valid read told all there is, what it showed.
    """

    server_changed: str = ""
    probed_at: datetime | None = None
    missing: frozenset[str] = frozenset()
    moved_since: dict[int, datetime] = field(default_factory=dict)
    unpriced_since: dict[int, datetime] = field(default_factory=dict)
    repeated: frozenset[str] = frozenset()
    ended_since: dict[int, datetime] = field(default_factory=dict)
    unexplained: frozenset[Key] = frozenset()
    unmoved_since: dict[int, datetime] = field(default_factory=dict)
    told: dict[int, tuple[Order, SeenOrder | None, list[SeenTrade]]] = field(default_factory=dict)
