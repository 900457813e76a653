"""Our own bars of one symbol: its ticks cut into bars, and which of them were seen from end to end (RULES 7).

A tick enters a bar only when it is a price (RULES 6), as the price board judges it: one that may not follow the
board's last good price waits outside.

- The board comes to a price near it: it was true, and enters at its own time, with the others that waited.
- A tick near the last good price comes, or a quote begun after it ends the board's doubt: it was no price, and the bar
  is as if it had never come.
- Its bar closes before either: the bar is not whole, and history says what was traded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from engine.domain.candle_freshness import Cover, cover_of
from engine.domain.candles import Bar, ClosedBar
from engine.domain.intervals import BarWindow
from engine.domain.price_sense import plausible
from engine.domain.prices import PriceView, is_price
from engine.domain.tick_bars import Taken, TickBars

BARS_KEPT = 500
DOUBTED_KEPT = 500
"""So many ticks of a symbol may wait for a second look, which takes seconds; beyond, their bar is not whole."""


class DoubtedTick(NamedTuple):
    """A tick that is not believed yet: ₹, the exchange's time, and when it was taken from the inbox (aware)."""

    price: float
    at: datetime
    taken_at: datetime


@dataclass(slots=True)
class OwnBars:
    """Closed bars of our ticks, the one being built, and whether the feed is seen. ``index``: of an index's price."""

    ticks: TickBars
    index: bool
    _closed: dict[datetime, ClosedBar] = field(default_factory=dict)
    _doubted: list[DoubtedTick] = field(default_factory=list)
    _judged_by: PriceView | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the feed is down, as far as is known."""
        return self.ticks.lost_at is not None

    @property
    def open_bar(self) -> Bar | None:
        """The bar that is not over yet."""
        return self.ticks.open_bar

    def tick(self, price: float, at: datetime, now: datetime, good: PriceView | None) -> None:
        """Take a tick at the exchange's time ``at``; ``good`` is what the price board holds by now."""
        if not is_price(price):
            return
        self.judge(good)
        if at < self.ticks.closed_until:  # it changes no bar: nothing hangs on its price
            self._taken(self.ticks.tick(price, at=at, now=now))
        elif self._follows(good, price):
            if self._doubted:  # the good price is told again: what lay far from it before was none
                self._doubted = [tick for tick in self._doubted if tick.at > at]
            self._taken(self.ticks.tick(price, at=at, now=now))
        elif len(self._doubted) < DOUBTED_KEPT:
            self._doubted.append(DoubtedTick(price, at, now))
        else:
            self.missed(now)

    def judge(self, good: PriceView | None) -> None:
        """Take the ticks that the price board believes by now, and forget those that it refused."""
        if not self._doubted or good is None or good is self._judged_by:
            return
        self._judged_by, waited = good, self._doubted
        believed = [tick for tick in waited if self._follows(good, tick.price)]
        refused = good.doubted_since is None and good.quote_at is not None and good.quote_at > waited[-1].taken_at
        if believed or refused:
            self._doubted = []
        for tick in believed:
            self._taken(self.ticks.tick(tick.price, at=tick.at, now=tick.taken_at))

    def until(self, now: datetime) -> None:
        """Close the bar that is over although no tick came; one whose time a doubted tick tells is not whole."""
        self._taken(self.ticks.until(now))
        if not self._doubted:
            return
        closed_until = self.ticks.closed_until
        for tick in self._doubted:
            if tick.at < closed_until:
                self._lacks(tick.at)
        self._doubted = [tick for tick in self._doubted if tick.at >= closed_until]

    def lost(self, at: datetime) -> None:
        """Note that the feed has given nothing since ``at``: bars that closed later are not whole."""
        if self.ticks.lost_at is not None and at >= self.ticks.lost_at:
            return
        self.ticks = self.ticks.lost(at)
        for start in reversed(list(self._closed)):
            if self.ticks.grid.close_of(start) <= at:
                break
            self._closed[start] = replace(self._closed[start], whole=False)

    def resumed(self, at: datetime) -> None:
        """Note that the feed is back."""
        if self.is_lost:
            self.ticks = self.ticks.resumed(at)

    def missed(self, at: datetime) -> None:
        """Note that ticks before ``at`` are in no bar: the one they belong to is not whole."""
        if self.is_lost:
            return
        self.lost(self.ticks.forming.window.start if self.ticks.forming is not None else at)
        self.resumed(at)

    def whole(self, begin: datetime, through: datetime) -> Iterator[ClosedBar]:
        """Give the bars that open from ``begin`` to ``through`` and were seen from end to end."""
        return (bar for start, bar in self._closed.items() if begin <= start <= through and bar.whole)

    def cover(self, window: BarWindow) -> Cover:
        """Return what our ticks have of a window."""
        bar = self._closed.get(window.start)
        return cover_of(window, [] if bar is None else [bar], looked=self.ticks.watched(window))

    def _follows(self, good: PriceView | None, price: float) -> bool:
        """Tell whether a price may follow the board's last good one without a second look."""
        return good is not None and good.ltp is not None and plausible(good.ltp, price, index=self.index)

    def _lacks(self, at: datetime) -> None:
        """Note that a tick of this time, before the open bar, is in no bar."""
        self.ticks = self.ticks.unseen(at)
        for start in reversed(list(self._closed)):
            if self.ticks.grid.close_of(start) <= at:
                break
            if start <= at:
                self._closed[start] = replace(self._closed[start], whole=False)

    def _taken(self, taken: Taken) -> None:
        self.ticks = taken.bars
        if taken.closed is not None:
            self._closed[taken.closed.bar.start] = taken.closed
            while len(self._closed) > BARS_KEPT:
                del self._closed[next(iter(self._closed))]
