"""Prices as the core knows them: the newest per market and symbol, with when and how each came (RULES 6)."""

from __future__ import annotations

from datetime import datetime

from engine.domain.instruments import Exchange
from engine.domain.prices import FeedView, PriceView, is_price
from engine.services.messages import Symbol


def market_of(owner_id: int, venue: str) -> str:
    """Return the name of a venue as one user's accounts see it: prices never cross users.

    >>> market_of(1, "live")
    '1|live'
    """
    return f"{owner_id}|{venue}"


class PriceBoard:
    """The newest price per market and symbol, and when each exchange of a market last ticked.

    A market is a venue as one user's accounts see it: nobody's server decides about another user's runs.
    """

    def __init__(self) -> None:
        self._prices: dict[tuple[str, str, Exchange], PriceView] = {}
        self._last_tick: dict[tuple[str, Exchange], datetime] = {}
        self._touches: dict[tuple[str, str, Exchange], tuple[float, float, datetime]] = {}

    def tick(self, market: str, symbol: Symbol, ltp: float, at: datetime) -> None:
        """Take a pushed price; what is no price is dropped (RULES 6)."""
        if not is_price(ltp):
            return
        before = self._prices.get((market, *symbol))
        self._prices[market, *symbol] = PriceView(ltp, at, before.quote_at if before else None)
        self._last_tick[market, symbol[1]] = at

    def quote(self, market: str, symbol: Symbol, ltp: float, at: datetime) -> None:
        """Take a polled price, unless a newer tick is there."""
        if not is_price(ltp):
            return
        before = self._prices.get((market, *symbol))
        if before is not None and before.tick_at is not None and before.tick_at > at:
            self._prices[market, *symbol] = PriceView(before.ltp, before.tick_at, at)
        else:
            self._prices[market, *symbol] = PriceView(ltp, before.tick_at if before else None, at)

    def touch(self, market: str, symbol: Symbol, bid: float, ask: float, at: datetime) -> None:
        """Take a polled bid and ask; what is no price is dropped."""
        if is_price(bid) and is_price(ask):
            self._touches[market, *symbol] = (bid, ask, at)

    def touch_of(self, market: str, symbol: Symbol) -> tuple[float, float, datetime] | None:
        """Return the newest bid, ask and when they were read; None if there never were any."""
        return self._touches.get((market, *symbol))

    def view(self, market: str, symbol: Symbol) -> PriceView | None:
        """Return the newest price, None if there never was one."""
        return self._prices.get((market, *symbol))

    def feed(self, market: str, exchange: Exchange, *, acknowledged: bool) -> FeedView:
        """Return what the market's feed of an exchange is worth now."""
        return FeedView(self._last_tick.get((market, exchange)), acknowledged)
