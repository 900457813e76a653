"""What a price that jumps is worth: it is doubted until a second look agrees (RULES 6, law 7).

No server tells a day's band, so absurd ticks are known by what came before them. A look (a tick or a quote) that lies
implausibly far from the last good price of its symbol is not used until another agrees with it:

- a quote whose read began after the doubt, near the doubted price, or a tick near a doubted quote; or
- ticks alone: at least 2, staying near each other for 2 s (5 s where a quote meanwhile said the old price).

A real crash stays where it is and is believed after one poll, or after 2 s of ticks; a spike is gone by then. The rule
is the same however old the good price is: after a night the first look may wait for the second.

A symbol without any good price (after a start, or newly watched) has nothing to be judged by. Its first quote is
believed at once, for that is a full read of the server; what ticked before is doubted where the quote is far from it.
Its first tick is doubted like a jump: until a quote, whenever its read began, or 2 s of ticks agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.domain.instruments import Exchange

MOST_TIMES = 1.5
"""Options, futures and shares: more than this many times the last good price, or less than its inverse, is doubted."""
LEAST_RUPEES = 5.0
"""... and only if it is more than this many ₹ away: a cheap option doubles for nothing."""
INDEX_SHARE = 0.05
"""Indices: more than this share away from the last good price is doubted."""
STAYS = timedelta(seconds=2)
STAYS_CONTESTED = timedelta(seconds=5)
TICKS = 2
INDICES = frozenset({Exchange.NSE_INDEX, Exchange.BSE_INDEX, Exchange.MCX_INDEX, Exchange.GLOBAL_INDEX})


@dataclass(frozen=True, slots=True)
class Look:
    """A price (₹) somebody told. ``at``: when its tick arrived, or when the read of its quote began (aware)."""

    price: float
    at: datetime
    polled: bool


@dataclass(frozen=True, slots=True)
class Doubt:
    """A price that is not believed yet.

    ``price``: the newest look at it, at ``last``; ``ticks``: how many ticks told it; ``contested``: whether a quote
    told the old price meanwhile.
    """

    since: datetime
    last: datetime
    price: float
    ticks: int
    contested: bool = False


def plausible(good: float, price: float, *, index: bool) -> bool:
    """Tell whether a price may follow a good one without a second look (both ₹, above 0).

    >>> plausible(100.0, 150.0, index=False), plausible(100.0, 150.05, index=False), plausible(100.0, 66.0, index=False)
    (True, False, False)
    >>> plausible(2.0, 6.9, index=False), plausible(26_000.0, 27_300.0, index=True)
    (True, True)
    >>> plausible(26_000.0, 24_699.0, index=True)
    False
    """
    if index:
        return abs(price - good) <= INDEX_SHARE * good
    return good / MOST_TIMES <= price <= good * MOST_TIMES or abs(price - good) <= LEAST_RUPEES


def sense(good: float | None, doubt: Doubt | None, look: Look, *, index: bool) -> tuple[bool, Doubt | None]:
    """Return whether a look is believed, and the doubt that is left after it.

    ``good``: the last good price (₹), None if there never was one. A believed look that ends a doubt far from ``good``
    is the new good price.
    """
    if good is None and look.polled:
        agrees = doubt is not None and plausible(doubt.price, look.price, index=index)
        return True, None if agrees else _after_the_old_price(doubt, look)
    if good is not None and plausible(good, look.price, index=index):
        return True, _after_the_old_price(doubt, look)
    if doubt is None or look.at < doubt.since or not plausible(doubt.price, look.price, index=index):
        if doubt is not None and look.polled and look.at <= doubt.since:
            return False, doubt  # its read began before the doubt: it says nothing about it
        return False, Doubt(look.at, look.at, look.price, 0 if look.polled else 1)
    if look.polled:
        return (True, None) if look.at > doubt.since else (False, doubt)
    told = replace(doubt, last=look.at, price=look.price, ticks=doubt.ticks + 1)
    stays = STAYS_CONTESTED if doubt.contested else STAYS
    agreed = doubt.ticks == 0 or (told.ticks >= TICKS and look.at - doubt.since >= stays)
    return (True, None) if agreed else (False, told)


def _after_the_old_price(doubt: Doubt | None, look: Look) -> Doubt | None:
    """Return what is left of a doubt when the old price is told again.

    A tick ends it. A quote begun after it ends a quote's doubt, and one that no tick repeated for 2 s; ticks that go on
    telling it are only contested: a server's quotes may lag in a crash.
    """
    if doubt is None or not look.polled:
        return None
    if look.at <= doubt.since:
        return doubt
    return None if doubt.ticks == 0 or look.at - doubt.last >= STAYS else replace(doubt, contested=True)
