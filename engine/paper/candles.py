"""Bars of any contract over any time: every price that was printed, minute by minute from midnight in Kolkata.

A closed minute never changes, so it is kept; longer bars are made of minutes, and a past day of its own prints.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.domain.instruments import Contract
from engine.paper import traded
from engine.paper.clock import day_start, trading_day

Integers = NDArray[np.int64]
MINUTE = 60.0
DAY_SECONDS = 86_400.0
KEPT_DAYS = 512
"""Days of contracts whose bars are kept, about 60 kB each."""


class Interval(StrEnum):
    """Bars that are offered."""

    MINUTE = "1m"
    THREE = "3m"
    FIVE = "5m"
    TEN = "10m"
    FIFTEEN = "15m"
    THIRTY = "30m"
    HOUR = "1h"
    DAY = "D"

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        if self is Interval.DAY:
            return DAY_SECONDS
        return float(self[:-1]) * (3600.0 if self is Interval.HOUR else MINUTE)


@dataclass(frozen=True, slots=True)
class Row:
    """Prices of a contract in paise, each with the number of the bar that it belongs to, in order of time.

    Of each bar it has the first, the last, the highest and the lowest price, not every one.
    """

    bars: Integers
    prices: Integers


@dataclass(frozen=True, slots=True)
class Candle:
    """One bar: its start in epoch seconds (of a day: midnight UTC of the date), prices in paise, units."""

    timestamp: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    open_interest: int


class MarketTime(Protocol):
    """What bars need of the market: when it printed, and whether its past was changed."""

    revision: int

    def within(self, symbol: str, start: float, end: float) -> tuple[float, float]:
        """Return the part of a span in which an underlying printed."""

    def printed_at(self, symbol: str, at: float) -> float:
        """Return the instant of the print that an instant belongs to."""

    def era(self, symbol: str) -> Hashable:
        """Return what names the past that an underlying has now."""


@dataclass(frozen=True, slots=True)
class _Bars:
    """Bars in rows: numbers from midnight on and their prices in paise; complete up to ``until`` (epoch seconds)."""

    until: float
    numbers: Integers
    prices: Integers  # columns open, high, low, close


class Candles:
    """Makes and keeps bars. ``row`` gives the prices of a contract between two instants, cut into bars."""

    def __init__(self, market: MarketTime, row: Callable[..., Row]) -> None:
        self._market = market
        self._row = row
        self._kept: OrderedDict[Hashable, _Bars] = OrderedDict()

    def of(
        self, contract: Contract, interval: Interval, *, first: date, last: date, at: float
    ) -> Iterator[list[Candle]]:
        """Give the bars from one date to another (Kolkata), day by day; the bar of ``at`` is the open one, so far."""
        day = first
        while day <= min(last, trading_day(at)):
            yield self._of_day(contract, interval, day, at)
            day += date.resolution

    def _of_day(self, contract: Contract, interval: Interval, day: date, at: float) -> list[Candle]:
        begin = day_start(day)
        minutes = interval is not Interval.DAY or at < begin + DAY_SECONDS
        bars = self._bars(contract, day, at, seconds=MINUTE if minutes else DAY_SECONDS)
        if minutes and interval is not Interval.MINUTE:
            bars = _longer(bars, round(interval.seconds / MINUTE))
        if not len(bars.numbers):
            return []
        starts = begin + bars.numbers * interval.seconds
        end = self._market.printed_at(contract.underlying, min(at, begin + DAY_SECONDS))
        edges = [
            self._market.within(contract.underlying, start, max(min(start + interval.seconds, end), start))
            for start in starts.tolist()
        ]
        volumes = traded.volumes(contract, day, edges)
        open_interest = traded.open_interest(contract)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        stamps = [midnight] if interval is Interval.DAY else starts.tolist()
        rows = zip(stamps, bars.prices.tolist(), volumes, strict=True)
        return [
            Candle(int(stamp), opened, high, low, close, volume, open_interest)
            for stamp, (opened, high, low, close), volume in rows
        ]

    def _bars(self, contract: Contract, day: date, at: float, *, seconds: float) -> _Bars:
        """Return a day's bars up to an instant; those that are closed are kept."""
        begin = day_start(day)
        key = (contract, day, seconds, self._market.era(contract.underlying), self._market.revision)
        known = self._kept.pop(key, None) or _Bars(begin, np.empty(0, np.int64), np.empty((0, 4), np.int64))
        end = min(begin + DAY_SECONDS, math.nextafter(at, math.inf))
        made = known
        if known.until < end:
            made = _joined(known, _made(self._row(contract, known.until, end, seconds=seconds)), begin, seconds)
        closed_until = begin + math.floor((end - begin) / seconds) * seconds
        closed = made.numbers < round((closed_until - begin) / seconds)
        self._kept[key] = _Bars(max(closed_until, known.until), made.numbers[closed], made.prices[closed])
        if len(self._kept) > KEPT_DAYS:
            self._kept.popitem(last=False)
        return made


def _made(row: Row) -> tuple[Integers, Integers]:
    """Return the numbers of bars and their open, high, low and close."""
    if not len(row.bars):
        return np.empty(0, np.int64), np.empty((0, 4), np.int64)
    firsts = np.flatnonzero(np.concatenate(([True], np.diff(row.bars) > 0)))
    lasts = np.concatenate((firsts[1:], [len(row.bars)])) - 1
    highs, lows = np.maximum.reduceat(row.prices, firsts), np.minimum.reduceat(row.prices, firsts)
    return row.bars[firsts], np.column_stack((row.prices[firsts], highs, lows, row.prices[lasts]))


def _joined(known: _Bars, made: tuple[Integers, Integers], begin: float, seconds: float) -> _Bars:
    offset = round((known.until - begin) / seconds)
    numbers = np.concatenate((known.numbers, made[0] + offset))
    return _Bars(known.until, numbers, np.concatenate((known.prices, made[1])))


def _longer(bars: _Bars, count: int) -> _Bars:
    """Return bars of ``count`` bars each."""
    if not len(bars.numbers):
        return bars
    numbers = bars.numbers // count
    firsts = np.flatnonzero(np.concatenate(([True], np.diff(numbers) > 0)))
    lasts = np.concatenate((firsts[1:], [len(numbers)])) - 1
    opens, highs, lows, closes = bars.prices.T
    columns = (opens[firsts], np.maximum.reduceat(highs, firsts), np.minimum.reduceat(lows, firsts), closes[lasts])
    return _Bars(bars.until, numbers[firsts], np.column_stack(columns))
