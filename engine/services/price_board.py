"""Prices as the core knows them: the newest per market and symbol, with when and how each came (RULES 6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from engine.domain.instruments import Exchange
from engine.domain.price_sense import INDICES, Doubt, Look, plausible, sense
from engine.domain.prices import FeedView, PriceView, is_price
from engine.services.messages import Symbol

QUOTE_TAKES = timedelta(seconds=60)
"""No read of quotes takes longer: a tick further ahead of its beginning is of a clock since set back."""
DENIES_AFTER = timedelta(seconds=1)
"""A quote that differs from a price ticked at least this long before its read denies it."""
SAME_RUPEES = 0.02


def market_of(owner_id: int, venue: str) -> str:
    """Return the name of a venue as one user's accounts see it: prices never cross users.

    >>> market_of(1, "live")
    '1|live'
    """
    return f"{owner_id}|{venue}"


class PriceBoard:
    """The newest good price per market and symbol, what is doubted, and when each exchange of a market last ticked.

    A market is a venue as one user's accounts see it: nobody's server decides about another user's runs. A tick is news
    when its price was first told: one that only repeats what a quote has denied since comes from a feed that stands
    still, and is dropped.
    """

    def __init__(self) -> None:
        self._prices: dict[tuple[str, str, Exchange], PriceView] = {}
        self._told: dict[tuple[str, str, Exchange], tuple[float, datetime]] = {}
        self._denied: set[tuple[str, str, Exchange]] = set()
        self._doubts: dict[str, dict[Symbol, Doubt]] = {}
        self._last_tick: dict[tuple[str, Exchange], datetime] = {}
        self._last_news: dict[str, datetime] = {}
        self._last_quote: dict[str, datetime] = {}
        self._moved: dict[str, datetime] = {}
        self._touches: dict[tuple[str, str, Exchange], tuple[float, float, datetime]] = {}
        self.doubted_looks = 0

    def tick(self, market: str, symbol: Symbol, ltp: float, at: datetime) -> None:
        """Take a pushed price; what is no price is dropped (RULES 6), a first one or a jump waits for a second look."""
        if not is_price(ltp):
            return
        key = (market, *symbol)
        told = self._told.get(key)
        if told is None or told[0] != ltp:
            self._told[key] = (ltp, at)
            self._denied.discard(key)
            self._moved.pop(market, None)
            self._last_news[market] = at
        elif key in self._denied:
            return
        before = self._prices.get(key)
        self._last_tick[market, symbol[1]] = at
        undoubted = (
            before is not None
            and before.doubted_since is None
            and plausible(before.ltp or ltp, ltp, index=symbol[1] in INDICES)
        )
        if undoubted or self._believed(market, symbol, before, Look(ltp, at, polled=False)):
            self._prices[key] = PriceView(ltp, at, before.quote_at if before is not None else None)

    def quote(self, market: str, symbol: Symbol, ltp: float, at: datetime) -> None:
        """Take a polled price whose read began ``at``, unless ticks brought a newer one; what jumps is doubted too."""
        if not is_price(ltp):
            return
        key = (market, *symbol)
        before = self._prices.get(key)
        if before is not None and before.quote_at is not None and at < before.quote_at < at + QUOTE_TAKES:
            return  # a server that answers late
        self._last_quote[market] = at
        if before is None:
            before = self._first_quote(market, symbol, ltp, at)
        if before is None:
            return
        good, index = before.ltp or ltp, symbol[1] in INDICES
        newest = before.tick_at if before.tick_at is None or before.tick_at < at + QUOTE_TAKES else None
        overtaken = newest is not None and newest > at and key in self._told and self._told[key][1] > at
        if not overtaken:
            self._compare(market, key, ltp, at, good=good)
        doubt = self._doubts.get(market, {}).get(symbol)
        if overtaken and doubt is None and not plausible(good, ltp, index=index):
            return
        if not self._believed(market, symbol, before, Look(ltp, at, polled=True)):
            return
        if overtaken:
            ltp = good
        elif doubt is not None and doubt.ticks and doubt.last > at and not plausible(good, ltp, index=index):
            ltp, newest = doubt.price, doubt.last  # it says that the ticks were right, and they are newer
        elif newest is not None and not _same(ltp, good):
            newest = min(newest, at)  # later ticks told another price
        left = self._doubts.get(market, {}).get(symbol)
        self._prices[key] = PriceView(ltp, newest, at, left.since if left else None)

    def _first_quote(self, market: str, symbol: Symbol, ltp: float, at: datetime) -> PriceView | None:
        """Take the first quote of a symbol; return what its ticks told if the quote agrees with them."""
        key, doubt = (market, *symbol), self._doubts.get(market, {}).get(symbol)
        self._believed(market, symbol, None, Look(ltp, at, polled=True))
        if doubt is not None and plausible(doubt.price, ltp, index=symbol[1] in INDICES):
            return PriceView(doubt.price, doubt.last)
        told = self._told.get(key)
        if told is not None and not at < told[1] <= at + QUOTE_TAKES:
            self._compare(market, key, ltp, at, good=ltp)
        left = self._doubts.get(market, {}).get(symbol)
        self._prices[key] = PriceView(ltp, None, at, left.since if left else None)
        return None

    def _compare(self, market: str, key: tuple[str, str, Exchange], ltp: float, at: datetime, *, good: float) -> None:
        """Set a quote beside what ticks told before it: where it differs they are missing, or the feed stands still."""
        told = self._told.get(key)
        if told is None or told[1] > at + QUOTE_TAKES:
            self._told.pop(key, None)
            if not _same(ltp, good):
                self._moved.setdefault(market, at)
        elif _same(told[0], ltp):
            self._denied.discard(key)
        elif at - told[1] >= DENIES_AFTER:
            self._denied.add(key)
            self._moved.setdefault(market, at)

    def _believed(self, market: str, symbol: Symbol, before: PriceView | None, look: Look) -> bool:
        """Judge a look by the last good price; what is doubted after it is noted on the board."""
        doubts = self._doubts.get(market, {})
        doubt = doubts.get(symbol)
        good = before.ltp if before is not None else None
        believed, left = sense(good, doubt, look, index=symbol[1] in INDICES)
        self.doubted_looks += not believed and good is not None
        if left is None:
            doubts.pop(symbol, None)
        else:
            self._doubts.setdefault(market, {})[symbol] = left
        since = left.since if left else None
        if before is not None and not believed and before.doubted_since != since:
            self._prices[market, *symbol] = replace(before, doubted_since=since)
        return believed

    def doubts(self, market: str) -> dict[Symbol, Doubt]:
        """Return what is told in a market and not believed yet, by symbol."""
        return self._doubts.get(market, {})

    def touch(self, market: str, symbol: Symbol, bid: float, ask: float, at: datetime) -> None:
        """Take a polled bid and ask; what is no price is dropped."""
        if is_price(bid) and is_price(ask):
            self._touches[market, *symbol] = (bid, ask, at)

    def touch_of(self, market: str, symbol: Symbol) -> tuple[float, float, datetime] | None:
        """Return the newest bid, ask and when they were read; None if there never were any."""
        return self._touches.get((market, *symbol))

    def view(self, market: str, symbol: Symbol) -> PriceView | None:
        """Return the newest good price, None if there never was one."""
        return self._prices.get((market, *symbol))

    def feed(self, market: str, exchange: Exchange, *, acknowledged: bool) -> FeedView:
        """Return what the market's feed of an exchange is worth now."""
        return FeedView(self._last_tick.get((market, exchange)), acknowledged)

    def last_tick(self, market: str) -> datetime | None:
        """Return when anything of a market last ticked, None if nothing ever did."""
        return max((at for (one, _), at in self._last_tick.items() if one == market), default=None)

    def last_news(self, market: str) -> datetime | None:
        """Return when a tick of a market last told another price than before, None if none ever did."""
        return self._last_news.get(market)

    def last_quote(self, market: str) -> datetime | None:
        """Return when the newest read of quotes of a market began, None if there never was one."""
        return self._last_quote.get(market)

    def moved_since_news(self, market: str) -> datetime | None:
        """Return when quotes first showed another price than ticks, if no news ticked since: the feed stands still."""
        return self._moved.get(market)

    def repeated_since(self, market: str, symbol: Symbol) -> datetime | None:
        """Return since when the ticks of a symbol tell one price, None if it never ticked."""
        told = self._told.get((market, *symbol))
        return None if told is None else told[1]


def _same(one: float, other: float) -> bool:
    """Whether two servers mean the same price: ticks are ₹ 0.05 apart, digits beyond are theirs."""
    return abs(one - other) < SAME_RUPEES
