"""The series that Supertrend exits run on, as memory holds them; all of it can be read and built again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from engine.domain.intervals import Interval
from engine.services.candle_series import CandleSeries
from engine.services.messages import Symbol
from engine.services.price_board import PriceBoard
from engine.services.run_trend import RunTrend

SeriesKey = tuple[str, Symbol, Interval]


class KeptTick(NamedTuple):
    """A pushed price with the exchange's time of it (``at``), and when it came; both aware UTC."""

    market: str
    symbol: Symbol
    price: float
    at: datetime
    received: datetime


@dataclass(slots=True)
class CandleBoard:
    """Bars by market, symbol and interval; what they say of each run; which symbols' every tick is wanted.

    ``broken``: why a run's Supertrend exit is out of order. ``leaving``: trends of ended runs that are to be shown once
    more. ``due``: when series are looked at next.
    """

    series: dict[SeriesKey, CandleSeries] = field(default_factory=dict)
    trends: dict[int, RunTrend] = field(default_factory=dict)
    leaving: dict[int, RunTrend] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)
    kept: frozenset[tuple[str, Symbol]] = frozenset()
    due: datetime | None = None
    _by_symbol: dict[tuple[str, Symbol], tuple[CandleSeries, ...]] = field(default_factory=dict)

    def take(
        self, ticks: Iterable[KeptTick], missed: Iterable[tuple[str, Symbol]], prices: PriceBoard, now: datetime
    ) -> None:
        """Put ticks into the bars of their symbols, as ``prices`` judges them; of ``missed`` ones some were dropped."""
        for tick in ticks:
            followed = self._by_symbol.get((tick.market, tick.symbol), ())
            good = prices.view(tick.market, tick.symbol) if followed else None
            for series in followed:
                series.own.tick(tick.price, tick.at, now, good)
        for key in missed:
            for series in self._by_symbol.get(key, ()):
                series.own.missed(now)

    def of_symbol(self, market: str, symbol: Symbol) -> tuple[CandleSeries, ...]:
        """Return the series of one symbol."""
        return self._by_symbol.get((market, symbol), ())

    def followed(self, run_id: int) -> frozenset[Symbol]:
        """Return the symbols whose ticks the Supertrend exit of a run needs."""
        trend = self.trends.get(run_id)
        return frozenset() if trend is None else frozenset(trend.terms.symbols)

    def add(self, key: SeriesKey, series: CandleSeries) -> CandleSeries:
        """Follow a series from now on."""
        self.series[key] = series
        self._index()
        return series

    def drop_unused(self) -> None:
        """Forget series that no run needs any more."""
        used = {id(series) for trend in self.trends.values() for series in trend.series}
        if any(id(series) not in used for series in self.series.values()):
            self.series = {key: series for key, series in self.series.items() if id(series) in used}
            self._index()

    def _index(self) -> None:
        found: dict[tuple[str, Symbol], tuple[CandleSeries, ...]] = {}
        for (market, symbol, _interval), series in self.series.items():
            found[market, symbol] = (*found.get((market, symbol), ()), series)
        self._by_symbol = found
        self.kept = frozenset(found)
