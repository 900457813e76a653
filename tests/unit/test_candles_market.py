"""Candles over real days: the shared market files, one-minute bars of indices in May and June 2024."""

import csv
import math
from collections import Counter, defaultdict
from datetime import date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from engine.domain.calendar import IST, Calendar, Holiday, Hours, SpecialSession, ist_day
from engine.domain.candles import Bar, ClosedBar, is_warming
from engine.domain.history_bars import closed_bars, missing_windows, resample
from engine.domain.instruments import Exchange
from engine.domain.intervals import BarGrid, Interval
from engine.domain.tick_bars import TickBars

pytestmark = pytest.mark.market

INDEX = Exchange.NSE_INDEX
TWO_WINDOWS = date(2024, 5, 18)
ELECTION = date(2024, 6, 4)
SPRING = Calendar(
    hours=(Hours(frozenset({INDEX}), date(2024, 1, 1), time(9, 15), time(15, 30), time(15, 30)),),
    holidays=(
        Holiday(date(2024, 5, 1), "Maharashtra Day", frozenset({INDEX})),
        Holiday(date(2024, 5, 20), "General election in Mumbai", frozenset({INDEX})),
        Holiday(date(2024, 6, 17), "Bakri Id", frozenset({INDEX})),
    ),
    special_sessions=(
        SpecialSession(TWO_WINDOWS, "recovery site, first window", time(9, 15), time(10, 0), frozenset({INDEX})),
        SpecialSession(TWO_WINDOWS, "recovery site, second window", time(11, 30), time(12, 30), frozenset({INDEX})),
    ),
    years=frozenset({2024}),
)
NOT_IN_THE_FILES = date(2024, 5, 7)  # a trading day; both files of May lack it
LATER = datetime(2024, 7, 1, tzinfo=IST)
ONE = BarGrid(Interval.M1, SPRING, INDEX)


@cache
def rows(folder: Path, name: str) -> tuple[Bar, ...]:
    with (folder / f"{name}.csv").open(encoding="utf-8") as lines:
        return tuple(
            Bar(
                datetime.fromisoformat(line["timestamp"]).replace(tzinfo=IST),
                *(float(line[field]) for field in ("open", "high", "low", "close")),
            )
            for line in csv.DictReader(lines)
        )


def days_of(bars) -> dict[date, list[ClosedBar]]:
    days: dict[date, list[ClosedBar]] = defaultdict(list)
    for closed in bars:
        days[ist_day(closed.bar.start)].append(closed)
    return days


@pytest.mark.parametrize(
    "name", ["NIFTY_1m_2024-05", "NIFTY_1m_2024-06", "BANKNIFTY_1m_2024-05", "BANKNIFTY_1m_2024-06"]
)
def test_every_day_has_its_375_minutes_and_the_saturday_105(market_file, name):
    seen = closed_bars(rows(market_file, name), ONE, LATER)
    assert (seen.refused, seen.forming) == ((), None)
    counts = {day: len(bars) for day, bars in days_of(seen.closed).items()}
    assert {day for day, count in counts.items() if count != 375} == ({TWO_WINDOWS} if name.endswith("05") else set())
    assert counts.get(TWO_WINDOWS, 105) == 105
    end = seen.closed[-1].bar.start + timedelta(minutes=1)
    missing = Counter(ist_day(window.start) for window in missing_windows(seen.closed, ONE, end))
    assert missing == ({NOT_IN_THE_FILES: 375} if name.endswith("05") else {})


@pytest.mark.parametrize(
    ("interval", "ordinary", "saturday", "last"),
    [
        (Interval.M3, 125, 35, time(15, 27)),
        (Interval.M5, 75, 21, time(15, 25)),
        (Interval.M10, 38, 11, time(15, 25)),
        (Interval.M15, 25, 7, time(15, 15)),
        (Interval.M30, 13, 4, time(15, 15)),
        (Interval.H1, 7, 2, time(15, 15)),
    ],
)
def test_minutes_become_longer_bars_counted_from_the_open(market_file, interval, ordinary, saturday, last):
    history = closed_bars(rows(market_file, "NIFTY_1m_2024-05"), ONE, LATER).closed
    grid = BarGrid(interval, SPRING, INDEX)
    built = resample(history, grid, LATER)
    by_minute, by_bar = days_of(history), days_of(built)
    assert all(closed.whole for closed in built)
    for day, bars in by_bar.items():
        assert len(bars) == (saturday if day == TWO_WINDOWS else ordinary)
        assert bars[0].bar.start == datetime.combine(day, time(9, 15), IST)
        if day != TWO_WINDOWS:
            assert bars[-1].bar.start == datetime.combine(day, last, IST)
        minutes = [closed.bar for closed in by_minute[day]]
        assert max(closed.bar.high for closed in bars) == max(bar.high for bar in minutes)
        assert min(closed.bar.low for closed in bars) == min(bar.low for bar in minutes)
        assert (bars[0].bar.open, bars[-1].bar.close) == (minutes[0].open, minutes[-1].close)
    end = history[-1].bar.start + timedelta(minutes=1)
    missing = missing_windows(built, grid, end)
    assert missing == grid.windows_of_day(NOT_IN_THE_FILES)
    starts = [closed.bar.start for closed in built]
    for earlier, later in pairwise(starts):
        assert grid.close_of(earlier) <= later


def test_the_first_hour_of_the_election_day_is_what_its_minutes_say(market_file):
    history = closed_bars(rows(market_file, "NIFTY_1m_2024-06"), ONE, LATER).closed
    hour = days_of(resample(history, BarGrid(Interval.H1, SPRING, INDEX), LATER))[ELECTION][0].bar
    minutes = [closed.bar for closed in days_of(history)[ELECTION][:60]]
    assert minutes[-1].start == datetime.combine(ELECTION, time(10, 14), IST)
    assert (hour.open, hour.close) == (minutes[0].open, minutes[-1].close)
    assert (hour.high, hour.low) == (max(bar.high for bar in minutes), min(bar.low for bar in minutes))


@pytest.mark.parametrize("day", [TWO_WINDOWS, ELECTION])
@pytest.mark.parametrize("interval", [Interval.M1, Interval.M5, Interval.M15, Interval.H1])
def test_bars_built_from_ticks_are_the_resampled_ones(market_file, day, interval):
    name = f"NIFTY_1m_2024-{day:%m}"
    history = days_of(closed_bars(rows(market_file, name), ONE, LATER).closed)[day]
    grid = BarGrid(interval, SPRING, INDEX)
    bars = TickBars(grid, since=datetime.combine(day, time(9, 0), IST))
    built: list[ClosedBar] = []
    for minute in history:
        for second, price in zip(
            (0, 15, 30, 59), (minute.bar.open, minute.bar.high, minute.bar.low, minute.bar.close), strict=True
        ):
            now = minute.bar.start + timedelta(seconds=second)
            taken = bars.tick(price, at=now, now=now)
            bars = taken.bars
            if taken.closed is not None:
                assert now >= grid.close_of(taken.closed.bar.start)
                built.append(taken.closed)
            assert taken.gap is None
    built += [closed for closed in [bars.until(LATER).closed] if closed]
    assert [closed.bar for closed in built] == [closed.bar for closed in resample(history, grid, LATER)]
    assert all(closed.whole for closed in built)


def test_an_answer_read_in_the_middle_of_the_day_holds_only_what_is_over(market_file):
    minutes = [bar for bar in rows(market_file, "NIFTY_1m_2024-06") if bar.start.date() == ELECTION]
    now = datetime.combine(ELECTION, time(11, 7, 30), IST)
    seen = closed_bars([bar for bar in minutes if bar.start <= now], ONE, now)
    assert len(seen.closed) == 112
    assert seen.forming == minutes[112]
    five = resample(seen.closed, BarGrid(Interval.M5, SPRING, INDEX), now)
    assert five[-1].bar.start == datetime.combine(ELECTION, time(11, 0), IST)
    assert all(closed.whole for closed in five)
    assert is_warming(five, 7)
    assert math.isclose(five[0].bar.open, minutes[0].open)
