"""When a price may decide (RULES 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

OWN_TICK_AGE = timedelta(seconds=5)
FEED_TICK_AGE = timedelta(seconds=5)
QUOTE_AGE = timedelta(seconds=5)
QUIET_SYMBOL_AGE = timedelta(seconds=60)
BLIND_AFTER = timedelta(seconds=15)
"""An open leg without a price for this long in session makes its run blind."""


@dataclass(frozen=True, slots=True)
class PriceView:
    """The last good price of a symbol (₹), and when its tick arrived and its quote's read began (aware).

    ``doubted_since``: since when newer looks say something that is not believed yet (``price_sense``).
    """

    ltp: float | None
    tick_at: datetime | None = None
    quote_at: datetime | None = None
    doubted_since: datetime | None = None

    @property
    def looked_at(self) -> datetime | None:
        """When the price was last told, by a tick or a quote."""
        return max((at for at in (self.tick_at, self.quote_at) if at is not None), default=None)


@dataclass(frozen=True, slots=True)
class FeedView:
    """The feed behind a symbol: the last tick of its exchange, and whether the subscription is confirmed."""

    last_tick_on_exchange_at: datetime | None = None
    acknowledged: bool = False


def is_price(value: float | None) -> bool:
    """Tell whether a number is a price: finite and above 0 (RULES 6).

    No server tells a day's band; what jumps implausibly is doubted instead (``price_sense``).

    >>> is_price(100.05), is_price(0.0), is_price(float("nan")), is_price(None)
    (True, False, False, False)
    """
    return value is not None and math.isfinite(value) and value > 0


def confirmed(price: PriceView, feed: FeedView, now: datetime) -> bool:
    """Tell whether a price may decide at ``now`` (RULES 6).

    One of: its own tick at most 5 s old; a live feed (a tick on the same exchange at most 5 s old, the subscription
    acknowledged) and the symbol's last tick or quote at most 60 s old; a quote at most 5 s old. A time that lies ahead
    of ``now`` by more than these ages confirms nothing. While newer looks are doubted the symbol is not a quiet one:
    only a tick or quote of the price itself, at most 5 s old, confirms it.
    """
    if not is_price(price.ltp):
        return False
    if _within(price.tick_at, now, OWN_TICK_AGE) or _within(price.quote_at, now, QUOTE_AGE):
        return True
    if price.doubted_since is not None:
        return False
    alive = feed.acknowledged and _within(feed.last_tick_on_exchange_at, now, FEED_TICK_AGE)
    return alive and (_within(price.tick_at, now, QUIET_SYMBOL_AGE) or _within(price.quote_at, now, QUIET_SYMBOL_AGE))


def _within(at: datetime | None, now: datetime, age: timedelta) -> bool:
    # a clock set back makes recent times look ahead: their age is unknown, not nought
    return at is not None and abs(now - at) <= age
