"""Bars built from our own ticks."""

import math
from datetime import date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.calendar import ALWAYS_OPEN, INDIA, IST, Calendar, Hours, SpecialSession
from engine.domain.candles import Bar, BarSource, ClosedBar
from engine.domain.instruments import Exchange
from engine.domain.intervals import BarGrid, Interval
from engine.domain.tick_bars import TickBars, TickOutcome

NFO = Exchange.NFO
MONDAY = date(2026, 11, 23)
FIVE = BarGrid(Interval.M5, INDIA, NFO)
SECOND = timedelta(seconds=1)


def at(hour: int, minute: int, second: float = 0, day: date = MONDAY) -> datetime:
    return datetime.combine(day, time(hour, minute), IST) + timedelta(seconds=second)


BEFORE_OPEN = at(9, 0)


def bars_from(since: datetime = BEFORE_OPEN, grid: BarGrid = FIVE) -> TickBars:
    return TickBars(grid, since=since)


def fed(bars: TickBars, *ticks: tuple[float, datetime]) -> tuple[TickBars, list[ClosedBar]]:
    closed = []
    for price, when in ticks:
        taken = bars.tick(price, at=when, now=when)
        bars = taken.bars
        if taken.closed:
            closed.append(taken.closed)
    return bars, closed


def test_ticks_of_one_window_become_its_open_high_low_and_close():
    bars, closed = fed(
        bars_from(),
        (100.0, at(9, 15)),
        (104.0, at(9, 16)),
        (97.0, at(9, 18)),
        (101.0, at(9, 19, 59)),
        (102.0, at(9, 20)),
    )
    assert closed == [ClosedBar(Bar(at(9, 15), 100.0, 104.0, 97.0, 101.0), BarSource.TICKS, whole=True)]
    assert bars.open_bar == Bar(at(9, 20), 102.0, 102.0, 102.0, 102.0)


def test_a_bar_closes_two_seconds_after_its_end_although_no_tick_comes_and_not_a_moment_earlier():
    bars, closed = fed(bars_from(), (100.0, at(9, 16)))
    early = bars.until(at(9, 20, 1.999))
    assert early.closed is None
    assert early.bars == bars
    over = bars.until(at(9, 20, 2))
    assert over.closed == ClosedBar(Bar(at(9, 15), 100.0, 100.0, 100.0, 100.0), BarSource.TICKS)
    assert over.bars.open_bar is None
    assert over.bars.until(at(9, 21)).closed is None
    assert closed == []


def test_a_tick_still_on_its_way_at_the_end_of_a_bar_is_its_close():
    bars = fed(bars_from(), (100.0, at(9, 16)))[0].until(at(9, 20)).bars
    taken = bars.tick(97.0, at=at(9, 19, 59.8), now=at(9, 20, 0.3))
    assert taken.outcome is TickOutcome.TAKEN
    assert taken.bars.until(at(9, 20, 2)).closed == ClosedBar(Bar(at(9, 15), 100.0, 100.0, 97.0, 97.0), BarSource.TICKS)
    first = bars_from().until(at(9, 20)).bars.tick(97.0, at=at(9, 19, 59.8), now=at(9, 20, 0.3))
    assert first.outcome is TickOutcome.TAKEN


def test_a_late_tick_changes_no_closed_bar_and_says_so():
    bars, closed = fed(bars_from(), (100.0, at(9, 16)), (101.0, at(9, 20, 1)))
    late = bars.tick(500.0, at=at(9, 19, 59), now=at(9, 20, 2))
    assert late.outcome is TickOutcome.LATE
    assert late.outcome.reason == "its bar is closed"
    assert (late.bars.open_bar, late.closed) == (bars.open_bar, None)
    assert len(closed) == 1
    assert late.bars.watched(FIVE.window_at(at(9, 20)))


def test_a_late_tick_opens_no_bar_in_a_window_that_was_told_empty():
    bars = bars_from().until(at(9, 21)).bars
    assert bars.tick(100.0, at=at(9, 19), now=at(9, 21)).outcome is TickOutcome.LATE
    assert bars.tick(100.0, at=at(9, 20), now=at(9, 21)).outcome is TickOutcome.TAKEN


@pytest.mark.parametrize("late", [at(9, 20), at(9, 24, 59)], ids=["at its very start", "at its end"])
def test_a_window_whose_only_trade_came_too_late_was_not_silent(late):
    bars = bars_from().until(at(9, 26)).bars
    assert bars.watched(FIVE.window_at(at(9, 20)))
    after = bars.tick(100.0, at=late, now=at(9, 26)).bars
    assert not after.watched(FIVE.window_at(at(9, 20)))
    assert after.watched(FIVE.window_at(at(9, 25)))


def test_a_trade_refused_at_the_very_start_of_a_window_leaves_its_bar_not_whole():
    ahead = bars_from().tick(100.0, at=at(9, 20), now=at(9, 19, 54)).bars
    _, closed = fed(ahead, (101.0, at(9, 21)), (102.0, at(9, 25)))
    assert [one.whole for one in closed] == [False]


def test_a_clock_set_back_opens_nothing_that_was_closed():
    bars = bars_from().until(at(9, 31)).bars
    back = bars.until(at(9, 22)).bars
    assert back == bars
    assert back.tick(100.0, at=at(9, 23), now=at(9, 23)).outcome is TickOutcome.LATE
    building, _ = fed(bars, (100.0, at(9, 32)))
    assert building.until(at(9, 22)).bars == building


def test_of_two_ticks_with_one_time_the_first_is_the_open_and_the_last_the_close():
    bars, _ = fed(bars_from(), (100.0, at(9, 16)), (101.0, at(9, 16)))
    assert (bars.open_bar.open, bars.open_bar.close) == (100.0, 101.0)


def test_a_price_of_a_bar_that_closed_by_the_clock_is_late_even_without_a_bar_open():
    bars = fed(bars_from(), (100.0, at(9, 16)))[0].until(at(9, 20, 2)).bars
    assert bars.tick(100.0, at=at(9, 19), now=at(9, 20, 2)).outcome is TickOutcome.LATE


def test_an_old_price_at_the_start_of_the_stream_builds_no_bar():
    bars = bars_from(since=at(11, 0))
    assert bars.tick(100.0, at=at(10, 59, 59), now=at(11, 0)).outcome is TickOutcome.LATE
    assert bars.tick(100.0, at=datetime(1970, 1, 1, tzinfo=IST), now=at(11, 0)).outcome is TickOutcome.LATE
    assert bars.tick(100.0, at=at(11, 0), now=at(11, 0)).outcome is TickOutcome.TAKEN


@pytest.mark.parametrize(
    "when", [at(9, 14, 59), at(15, 40), at(20, 0), at(10, 0, day=date(2026, 11, 24)), at(10, 0, day=date(2026, 11, 28))]
)
def test_ticks_outside_sessions_are_ignored(when):
    taken = bars_from().tick(100.0, at=when, now=when)
    assert taken.outcome is TickOutcome.OUTSIDE
    assert taken.outcome.reason
    assert taken.bars.open_bar is None


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_what_is_no_price_is_refused(price):
    bars, _ = fed(bars_from(), (100.0, at(9, 16)))
    taken = bars.tick(price, at=at(9, 17), now=at(9, 17))
    assert taken.outcome is TickOutcome.REFUSED
    assert taken.bars == bars


def test_a_time_far_ahead_closes_nothing_and_the_bar_that_lacks_the_trade_is_not_whole():
    bars, _ = fed(bars_from(), (100.0, at(9, 16)))
    taken = bars.tick(101.0, at=at(9, 24), now=at(9, 17))
    assert taken.outcome is TickOutcome.AHEAD
    assert (taken.closed, taken.bars.open_bar) == (None, bars.open_bar)
    _, closed = fed(taken.bars, (100.0, at(9, 21)), (100.0, at(9, 25)), (100.0, at(9, 30)))
    assert [one.whole for one in closed] == [False, False, True]
    broken = bars.tick(101.0, at=at(9, 17, day=date(2099, 1, 1)), now=at(9, 17)).bars
    assert not broken.watched(FIVE.window_at(at(10, 15)))
    assert broken.watched(FIVE.window_at(at(10, 20)))
    assert bars.tick(101.0, at=at(9, 20, 4), now=at(9, 19, 59)).closed is not None


def test_a_frame_that_comes_twice_changes_nothing():
    once = bars_from().tick(100.0, at=at(9, 16), now=at(9, 16), day_volume=75).bars
    twice = once.tick(100.0, at=at(9, 16), now=at(9, 16), day_volume=75)
    assert twice.outcome is TickOutcome.TAKEN
    assert twice.bars == once


def test_a_window_without_ticks_has_no_bar_and_the_gap_is_told():
    bars, _ = fed(bars_from(), (100.0, at(9, 16)))
    taken = bars.tick(103.0, at=at(9, 31), now=at(9, 31))
    assert taken.closed is not None
    assert taken.closed.bar.start == at(9, 15)
    assert taken.bars.open_bar == Bar(at(9, 30), 103.0, 103.0, 103.0, 103.0)
    assert taken.gap is not None
    assert (taken.gap.after.close, taken.gap.before.start) == (at(9, 20), at(9, 30))


def test_neighbouring_windows_leave_no_gap_even_over_a_holiday():
    bars, _ = fed(bars_from(), (100.0, at(15, 36)))
    taken = bars.tick(103.0, at=at(9, 15, day=date(2026, 11, 25)), now=at(9, 15, day=date(2026, 11, 25)))
    assert (taken.gap, taken.closed.bar.start) == (None, at(15, 35))
    assert fed(bars, (100.0, at(15, 36)))[0].tick(1.0, at=at(15, 39), now=at(15, 39)).gap is None


def test_a_gap_is_told_after_the_bar_was_closed_by_the_clock():
    bars = fed(bars_from(), (100.0, at(9, 16)))[0].until(at(9, 27)).bars
    taken = bars.tick(103.0, at=at(9, 27), now=at(9, 27))
    assert taken.gap is not None
    assert bars.tick(103.0, at=at(9, 27), now=at(9, 27)).closed is None


def test_two_sessions_of_one_day_do_not_share_a_bar():
    day = date(2024, 5, 18)
    calendar = Calendar(
        hours=(Hours(frozenset({NFO}), date(2024, 1, 1), time(9, 15), time(15, 30), time(15, 30)),),
        special_sessions=(
            SpecialSession(day, "one", time(9, 15), time(10, 0)),
            SpecialSession(day, "two", time(11, 30), time(12, 30)),
        ),
        years=frozenset({2024}),
    )
    grid = BarGrid(Interval.H1, calendar, NFO)
    bars, closed = fed(bars_from(at(9, 0, day=day), grid), (100.0, at(9, 59, day=day)), (90.0, at(11, 30, day=day)))
    assert [one.bar.start for one in closed] == [at(9, 15, day=day)]
    assert bars.tick(1.0, at=at(10, 30, day=day), now=at(11, 31, day=day)).outcome is TickOutcome.LATE
    assert fed(bars_from(at(9, 0, day=day), grid), (100.0, at(10, 30, day=day)))[0].open_bar is None
    assert bars.open_bar.low == 90.0


def test_a_bar_of_which_only_a_part_was_seen_is_not_whole():
    bars, closed = fed(bars_from(since=at(9, 17)), (100.0, at(9, 18)), (101.0, at(9, 21)), (102.0, at(9, 25)))
    assert [(one.bar.start, one.whole) for one in closed] == [(at(9, 15), False), (at(9, 20), True)]
    assert bars.watched(FIVE.window_at(at(9, 25)))
    assert not bars.watched(FIVE.window_at(at(9, 15)))


def test_a_bar_during_which_the_stream_was_down_is_not_whole():
    bars, _ = fed(bars_from(), (100.0, at(9, 16)))
    down = bars.lost(at(9, 18))
    assert down.until(at(9, 20, 2)).closed.whole is False
    back = down.resumed(at(9, 19))
    assert back.tick(100.0, at=at(9, 19, 30), now=at(9, 19, 30)).bars.until(at(9, 20, 2)).closed.whole is False
    later, closed = fed(back, (100.0, at(9, 21)), (100.0, at(9, 25)))
    assert [one.whole for one in closed] == [False, True]
    assert later.lost(at(9, 25, 1)).lost(at(9, 31)).lost_at == at(9, 25, 1)


def test_a_clock_set_back_while_the_stream_was_down_makes_no_bar_whole():
    bars, _ = fed(bars_from(), (100.0, at(10, 1)))
    back = bars.lost(at(10, 2)).resumed(at(9, 52))
    assert not back.watched(FIVE.window_at(at(10, 0)))
    assert back.until(at(10, 5, 2)).closed.whole is False
    begun_late = bars_from(since=at(10, 1)).resumed(at(9, 0))
    assert not begun_late.watched(FIVE.window_at(at(10, 0)))


def test_days_the_calendar_does_not_know_are_told_and_the_last_known_bar_still_closes():
    last_day, unknown = date(2026, 12, 31), date(2027, 1, 1)
    bars, _ = fed(bars_from(at(9, 0, day=last_day)), (100.0, at(15, 39, day=last_day)))
    taken = bars.tick(101.0, at=at(10, 0, day=unknown), now=at(10, 0, day=unknown))
    assert taken.outcome is TickOutcome.UNKNOWN_DAY
    assert "calendar" in taken.outcome.reason
    assert taken.bars == bars
    over = bars.until(at(10, 0, day=unknown))
    assert over.closed.bar.start == at(15, 35, day=last_day)
    assert over.bars.until(at(11, 0, day=unknown)).closed is None


def test_a_stream_lost_two_seconds_after_the_end_of_a_window_leaves_its_bar_whole():
    bars, _ = fed(bars_from(), (100.0, at(9, 16)))
    assert bars.lost(at(9, 20, 1.9)).until(at(9, 20, 2)).closed.whole is False
    assert bars.lost(at(9, 20, 2)).until(at(9, 20, 2)).closed.whole is True


def volumes(since: datetime, *frames: tuple[datetime, int | None]) -> list[int]:
    bars, told = TickBars(FIVE, since=since), []
    for when, volume in frames:
        taken = bars.tick(100.0, at=when, now=when, day_volume=volume)
        bars = taken.bars
        if taken.closed:
            told.append(taken.closed.bar.volume)
    return [*told, bars.open_bar.volume]


def test_the_volume_of_a_bar_is_what_the_day_grew_by():
    assert volumes(BEFORE_OPEN, (at(9, 15), 75), (at(9, 19), 300), (at(9, 20), 375), (at(9, 26), 900)) == [300, 75, 525]


def test_the_volume_before_the_stream_began_belongs_to_no_bar():
    assert volumes(at(11, 0), (at(11, 1), 50_000), (at(11, 3), 50_150), (at(11, 6), 50_200)) == [150, 50]


def test_a_negative_volume_is_not_where_the_counting_begins():
    assert volumes(at(11, 0), (at(11, 1), -5), (at(11, 2), 1000), (at(11, 6), 1100)) == [0, 100]


def test_a_day_volume_that_falls_makes_no_volume_negative():
    frames = ((at(9, 15), 300), (at(9, 20), 0), (at(9, 21), 100), (at(9, 22), -5), (at(9, 25), 450))
    assert volumes(BEFORE_OPEN, *frames) == [300, 0, 150]


def test_the_volume_begins_anew_on_the_next_day():
    next_day = date(2026, 11, 25)
    frames = ((at(15, 39), 90_000), (at(9, 15, day=next_day), 75), (at(9, 20, day=next_day), 100))
    assert volumes(BEFORE_OPEN, *frames) == [90_000, 75, 25]


def test_frames_without_volume_leave_it_out():
    assert volumes(BEFORE_OPEN, (at(9, 15), None), (at(9, 16), 75), (at(9, 17), None), (at(9, 20), None)) == [75, 0]


def test_a_paper_venue_builds_bars_at_night():
    grid = BarGrid(Interval.M1, ALWAYS_OPEN, NFO)
    _, closed = fed(bars_from(at(2, 0), grid), (100.0, at(2, 0)), (101.0, at(2, 1)))
    assert [one.bar.start for one in closed] == [at(2, 0)]


prices = st.floats(0.05, 100_000, allow_nan=False)
quick = settings(deadline=None, max_examples=60)


@quick
@given(data=st.data(), price_list=st.lists(prices, min_size=1, max_size=25))
def test_inside_a_bar_the_order_of_arrival_does_not_matter(data, price_list):
    times = data.draw(
        st.lists(st.integers(0, 299_999), min_size=len(price_list), max_size=len(price_list), unique=True)
    )
    ticks = [
        (price, at(9, 15) + timedelta(milliseconds=offset)) for price, offset in zip(price_list, times, strict=True)
    ]
    arrived = data.draw(st.permutations(ticks))
    bars = bars_from()
    for price, when in arrived:
        bars = bars.tick(price, at=when, now=at(9, 20) - SECOND).bars
    in_order = sorted(ticks, key=lambda tick: tick[1])
    figures = [price for price, _ in in_order]
    assert bars.open_bar == Bar(at(9, 15), figures[0], max(figures), min(figures), figures[-1])


@quick
@given(
    steps=st.lists(
        st.tuples(prices, st.integers(0, 900), st.integers(-400, 20), st.booleans()), min_size=1, max_size=60
    ),
    interval=st.sampled_from([Interval.M1, Interval.M3, Interval.M5]),
)
def test_no_bar_closes_before_its_end_twice_or_out_of_order(steps, interval):
    grid = BarGrid(interval, INDIA, NFO)
    bars, now, closed = bars_from(grid=grid), at(9, 10), []
    for price, pause, skew, is_tick in steps:
        now += timedelta(seconds=pause)
        stamp = now + timedelta(seconds=skew)
        before = list(closed)
        taken = bars.tick(price, at=stamp, now=now) if is_tick else bars.until(now)
        bars = taken.bars
        if taken.closed is not None:
            closed.append(taken.closed)
            # the clock is past its end, or the exchange itself has stamped a later trade
            known = max(now, stamp) if is_tick else now
            assert known >= grid.close_of(taken.closed.bar.start)
        assert closed[: len(before)] == before
        if bars.open_bar is not None:
            assert bars.forming.window.start == bars.open_bar.start
            assert all(one.bar.start < bars.open_bar.start for one in closed)
    starts = [one.bar.start for one in closed]
    assert starts == sorted(set(starts))
    for earlier, later in pairwise(starts):
        assert grid.close_of(earlier) <= later


step = st.tuples(
    st.sampled_from([0.3, 5.0, 20.0]),
    st.sampled_from(["tick", "tick", "tick", "lost", "resumed", "clock"]),
    prices,
    st.sampled_from([0.0, 0.0, -0.5, 0.5, -6.0, -30.0, -600.0]),
)


@settings(deadline=None, max_examples=150)
@given(steps=st.lists(step, min_size=40, max_size=60))
def test_a_whole_bar_has_every_trade_of_its_time_whatever_became_of_stream_and_clock(steps):
    grid = BarGrid(Interval.M1, INDIA, NFO)
    true, behind, streaming = at(10, 0, 12.5), timedelta(), True
    bars, trades, closed = bars_from(since=true, grid=grid), [], []
    for pause, what, price, offset in steps:
        true += timedelta(seconds=pause)
        now = true + behind
        match what:
            case "clock" if streaming:
                behind = timedelta(seconds=offset)
            case "lost" if streaming and behind > -2 * SECOND:
                bars, streaming = bars.lost(now), False
            case "resumed" if not streaming:
                bars, streaming = bars.resumed(now), True
            case "tick":
                stamp = true - timedelta(seconds=0.2)
                trades.append((stamp, price))
                if streaming:
                    taken = bars.tick(price, at=stamp, now=now)
                    bars, closed = taken.bars, closed + ([taken.closed] if taken.closed else [])
        taken = bars.until(now)
        bars, closed = taken.bars, closed + ([taken.closed] if taken.closed else [])
    for one in closed:
        if one.whole:
            traded = [price for stamp, price in trades if one.bar.start <= stamp < grid.close_of(one.bar.start)]
            assert one.bar == Bar(one.bar.start, traded[0], max(traded), min(traded), traded[-1])
