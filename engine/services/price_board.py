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


def market_of(owner_id: int, venue: str) -> str:
    """Return the name of a venue as one user's accounts see it: prices never cross users.

    >>> market_of(1, "live")
    '1|live'
    """
    return f"{owner_id}|{venue}"


class PriceBoard:
    """The newest good price per market and symbol, what is doubted, and when each exchange of a market last ticked.

    A market is a venue as one user's accounts see it: nobody's server decides about another user's runs.
    """

    def __init__(self) -> None:
        self._prices: dict[tuple[str, str, Exchange], PriceView] = {}
        self._doubts: dict[str, dict[Symbol, Doubt]] = {}
        self._last_tick: dict[tuple[str, Exchange], datetime] = {}
        self._last_quote: dict[str, datetime] = {}
        self._moved: dict[str, datetime] = {}
        self._touches: dict[tuple[str, str, Exchange], tuple[float, float, datetime]] = {}
        self.doubted_looks = 0

    def tick(self, market: str, symbol: Symbol, ltp: float, at: datetime) -> None:
        """Take a pushed price; what is no price is dropped (RULES 6), a jump waits for a second look."""
        if not is_price(ltp):
            return
        key = (market, *symbol)
        before = self._prices.get(key)
        self._last_tick[market, symbol[1]] = at
        self._moved.pop(market, None)
        if before is None:
            self._prices[key] = PriceView(ltp, at)
            return
        good = before.ltp or ltp
        undoubted = before.doubted_since is None and plausible(good, ltp, index=symbol[1] in INDICES)
        if undoubted or self._believed(market, symbol, before, Look(ltp, at, polled=False)):
            self._prices[key] = PriceView(ltp, at, before.quote_at)

    def quote(self, market: str, symbol: Symbol, ltp: float, at: datetime) -> None:
        """Take a polled price whose read began ``at``, unless a newer tick is there; what jumps is doubted too."""
        if not is_price(ltp):
            return
        key = (market, *symbol)
        before = self._prices.get(key)
        self._last_quote[market] = at
        if before is None:
            self._prices[key] = PriceView(ltp, None, at)
            return
        good, index = before.ltp or ltp, symbol[1] in INDICES
        newest = before.tick_at if before.tick_at is None or before.tick_at < at + QUOTE_TAKES else None
        doubt = self._doubts.get(market, {}).get(symbol)
        ticked_since = newest is not None and newest > at
        if not ticked_since and ltp != before.ltp:
            self._moved.setdefault(market, at)
        if ticked_since and doubt is None and not plausible(good, ltp, index=index):
            return  # overtaken by a tick
        if not self._believed(market, symbol, before, Look(ltp, at, polled=True)):
            return
        if ticked_since:
            ltp = good
        elif doubt is not None and doubt.ticks and doubt.last > at and not plausible(good, ltp, index=index):
            ltp, newest = doubt.price, doubt.last  # it says that the ticks were right, and they are newer
        left = self._doubts.get(market, {}).get(symbol)
        self._prices[key] = PriceView(ltp, newest, at, left.since if left else None)

    def _believed(self, market: str, symbol: Symbol, before: PriceView, look: Look) -> bool:
        """Judge a look by the last good price; what is doubted after it is noted on the board."""
        doubts = self._doubts.get(market, {})
        doubt = doubts.get(symbol)
        believed, left = sense(before.ltp or look.price, doubt, look, index=symbol[1] in INDICES)
        self.doubted_looks += not believed
        if left is None:
            doubts.pop(symbol, None)
        else:
            self._doubts.setdefault(market, {})[symbol] = left
        since = left.since if left else None
        if not believed and before.doubted_since != since:
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

    def last_quote(self, market: str) -> datetime | None:
        """Return when the newest read of quotes of a market began, None if there never was one."""
        return self._last_quote.get(market)

    def moved_since_tick(self, market: str) -> datetime | None:
        """Return when quotes first showed another price than was known, if nothing ticked since: ticks are missing."""
        return self._moved.get(market)
