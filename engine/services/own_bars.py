"""Our own bars of one symbol: its ticks cut into bars, and which of them were seen from end to end (RULES 7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from engine.domain.candle_freshness import Cover, cover_of
from engine.domain.candles import Bar, ClosedBar
from engine.domain.intervals import BarWindow
from engine.domain.price_sense import plausible
from engine.domain.prices import is_price
from engine.domain.tick_bars import Taken, TickBars

BARS_KEPT = 500


@dataclass(slots=True)
class OwnBars:
    """Closed bars of our ticks, the one being built, and whether the feed is seen. ``index``: of an index's price."""

    ticks: TickBars
    index: bool
    _closed: dict[datetime, ClosedBar] = field(default_factory=dict)
    _good: float | None = None
    _doubted: float | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the feed is down, as far as is known."""
        return self.ticks.lost_at is not None

    @property
    def open_bar(self) -> Bar | None:
        """The bar that is not over yet."""
        return self.ticks.open_bar

    def tick(self, price: float, at: datetime, now: datetime) -> None:
        """Take a tick at the exchange's time ``at``.

        One that jumps implausibly is not taken until the next agrees with it. Either way the bar is not whole: history
        says what was traded.
        """
        if self._good is None or not is_price(price) or plausible(self._good, price, index=self.index):
            self._taken(self.ticks.tick(price, at=at, now=now))
            self._good, self._doubted = (price if is_price(price) else self._good), None
            return
        self.missed(now)
        if self._doubted is not None and plausible(self._doubted, price, index=self.index):
            self._taken(self.ticks.tick(price, at=at, now=now))
            self._good, self._doubted = price, None
        else:
            self._doubted = price

    def until(self, now: datetime) -> None:
        """Close the bar that is over although no tick came."""
        self._taken(self.ticks.until(now))

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

    def _taken(self, taken: Taken) -> None:
        self.ticks = taken.bars
        if taken.closed is not None:
            self._closed[taken.closed.bar.start] = taken.closed
            while len(self._closed) > BARS_KEPT:
                del self._closed[next(iter(self._closed))]
