"""Windows of bars: counted from the open of each session."""

import json
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.calendar import ALWAYS_OPEN, INDIA, IST, Calendar, Hours, SpecialSession
from engine.domain.errors import CalendarError, CandleError
from engine.domain.instruments import Exchange
from engine.domain.intervals import BarGrid, Interval

NFO, BFO, NSE_INDEX = Exchange.NFO, Exchange.BFO, Exchange.NSE_INDEX
RECORDED = Path(__file__).parents[1] / "contract" / "recorded"
MONDAY = date(2026, 11, 23)
TWO_WINDOWS = Calendar(
    hours=(Hours(frozenset({NSE_INDEX}), date(2024, 1, 1), time(9, 15), time(15, 30), time(15, 30)),),
    special_sessions=(
        SpecialSession(date(2024, 5, 18), "second window", time(11, 30), time(12, 30)),
        SpecialSession(date(2024, 5, 18), "first window", time(9, 15), time(10, 0)),
    ),
    years=frozenset({2024}),
)


def at(day: date, hour: int, minute: int, second: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute, second), IST)


def clock(windows) -> list[tuple[str, str]]:
    return [(f"{w.start.astimezone(IST):%H:%M}", f"{w.close.astimezone(IST):%H:%M}") for w in windows]


def test_the_names_are_those_of_the_servers_interval_list():
    answer = RECORDED / "rest" / "intervals.success.json"
    data = json.loads(answer.read_text(encoding="utf-8"))["response"]["data"]
    assert {interval.value for interval in Interval} <= {*data["minutes"], *data["hours"]}


@pytest.mark.parametrize(
    ("interval", "minutes"),
    [("1m", 1), ("3m", 3), ("5m", 5), ("10m", 10), ("15m", 15), ("30m", 30), ("1h", 60)],
)
def test_an_interval_is_as_long_as_its_name_says(interval, minutes):
    assert Interval(interval).length == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("exchange", "day", "interval", "count", "last"),
    [
        (NFO, date(2026, 7, 31), Interval.M1, 375, ("15:29", "15:30")),
        (NFO, MONDAY, Interval.M1, 385, ("15:39", "15:40")),
        (NFO, MONDAY, Interval.M5, 77, ("15:35", "15:40")),
        (NFO, MONDAY, Interval.M15, 26, ("15:30", "15:40")),
        (NFO, MONDAY, Interval.H1, 7, ("15:15", "15:40")),
        (NSE_INDEX, MONDAY, Interval.M15, 25, ("15:15", "15:30")),
        (NSE_INDEX, MONDAY, Interval.H1, 7, ("15:15", "15:30")),
        (BFO, MONDAY, Interval.M30, 13, ("15:15", "15:40")),
        (NFO, date(2026, 11, 8), Interval.H1, 2, ("19:00", "19:15")),
        (NFO, date(2025, 10, 21), Interval.M10, 6, ("14:35", "14:45")),
        (NFO, date(2026, 2, 1), Interval.M5, 75, ("15:25", "15:30")),
    ],
)
def test_a_session_is_cut_from_its_open_and_its_last_bar_ends_with_it(exchange, day, interval, count, last):
    windows = BarGrid(interval, INDIA, exchange).windows_of_day(day)
    assert len(windows) == count
    assert clock(windows)[-1] == last


def test_hourly_bars_open_at_a_quarter_past():
    assert clock(BarGrid(Interval.H1, INDIA, NSE_INDEX).windows_of_day(MONDAY)) == [
        ("09:15", "10:15"),
        ("10:15", "11:15"),
        ("11:15", "12:15"),
        ("12:15", "13:15"),
        ("13:15", "14:15"),
        ("14:15", "15:15"),
        ("15:15", "15:30"),
    ]


def test_two_sessions_of_one_day_each_begin_their_own_count():
    day = date(2024, 5, 18)
    assert len(BarGrid(Interval.M1, TWO_WINDOWS, NSE_INDEX).windows_of_day(day)) == 105
    assert clock(BarGrid(Interval.M30, TWO_WINDOWS, NSE_INDEX).windows_of_day(day)) == [
        ("09:15", "09:45"),
        ("09:45", "10:00"),
        ("11:30", "12:00"),
        ("12:00", "12:30"),
    ]
    grid = BarGrid(Interval.H1, TWO_WINDOWS, NSE_INDEX)
    assert grid.window_at(at(day, 10, 30)) is None
    first, second = grid.windows_of_day(day)
    assert grid.next_window(first) == second
    assert clock([second]) == [("11:30", "12:30")]


def test_a_paper_venue_counts_from_midnight_in_india():
    grid = BarGrid(Interval.H1, ALWAYS_OPEN, NFO)
    windows = grid.windows_of_day(date(2026, 11, 22))
    assert len(windows) == 24
    assert windows[0].start == at(date(2026, 11, 22), 0, 0)
    assert clock([grid.window_at(at(MONDAY, 23, 59, 59))]) == [("23:00", "00:00")]
    assert grid.next_window(windows[-1]).start == at(MONDAY, 0, 0)


def test_a_window_holds_its_start_and_not_its_close():
    grid = BarGrid(Interval.M5, INDIA, NFO)
    window = grid.window_at(at(MONDAY, 9, 15))
    assert grid.window_at(at(MONDAY, 9, 14, 59)) is None
    assert grid.window_at(at(MONDAY, 9, 19, 59)) == window
    assert grid.window_at(at(MONDAY, 9, 20)) == grid.next_window(window)
    assert grid.window_at(at(MONDAY, 15, 39, 59)) is not None
    assert grid.window_at(at(MONDAY, 15, 40)) is None
    assert grid.window_at(at(date(2026, 11, 24), 10, 0)) is None
    assert window.start.tzinfo is UTC


def test_the_window_after_the_last_of_a_session_is_the_first_of_the_next_one():
    grid = BarGrid(Interval.M15, INDIA, NFO)
    last = grid.windows_of_day(MONDAY)[-1]
    assert grid.next_window(last).start == at(date(2026, 11, 25), 9, 15)  # the 24th is a holiday


def test_the_close_of_a_bar_is_its_own_even_when_it_is_short():
    grid = BarGrid(Interval.M15, INDIA, NFO)
    assert grid.close_of(at(MONDAY, 10, 0)) == at(MONDAY, 10, 15)
    assert grid.close_of(at(MONDAY, 15, 30)) == at(MONDAY, 15, 40)


@pytest.mark.parametrize("start", [at(MONDAY, 10, 7), at(MONDAY, 9, 0), at(MONDAY, 15, 40)])
def test_a_start_where_no_bar_opens_is_refused(start):
    with pytest.raises(CandleError) as caught:
        BarGrid(Interval.M15, INDIA, NFO).close_of(start)
    assert caught.value.field == "start"


def test_a_window_is_closed_at_its_end_and_not_before():
    grid = BarGrid(Interval.M5, INDIA, NFO)
    assert len(grid.closed_on(MONDAY, at(MONDAY, 9, 19, 59))) == 0
    assert clock(grid.closed_on(MONDAY, at(MONDAY, 9, 20))) == [("09:15", "09:20")]
    assert len(grid.closed_on(MONDAY, at(MONDAY, 15, 40))) == 77


def test_the_last_closed_windows_reach_back_over_closed_days():
    grid = BarGrid(Interval.M5, INDIA, NFO)
    windows = grid.closed_by(at(date(2026, 11, 25), 9, 31), count=80)
    assert len(windows) == 80
    assert windows[-1].close == at(date(2026, 11, 25), 9, 30)
    assert windows[-4].close == at(MONDAY, 15, 40)
    assert windows == tuple(sorted(set(windows)))
    assert grid.closed_by(at(MONDAY, 3, 0), count=1)[0].close == at(date(2026, 11, 20), 15, 40)


def test_questions_without_an_answer_name_their_field():
    grid = BarGrid(Interval.M5, INDIA, NFO)
    with pytest.raises(CandleError, match="count"):
        grid.closed_by(at(MONDAY, 10, 0), count=0)
    with pytest.raises(CalendarError, match="time zone"):
        grid.window_at(datetime(2026, 11, 23, 10, 0))  # noqa: DTZ001
    with pytest.raises(CalendarError, match="2027"):
        grid.window_at(at(date(2027, 1, 4), 10, 0))


@settings(deadline=None, max_examples=150)
@given(
    day=st.dates(date(2025, 1, 1), date(2026, 12, 31)),
    interval=st.sampled_from(Interval),
    exchange=st.sampled_from([NFO, BFO, NSE_INDEX]),
    second=st.integers(0, 86_399),
)
def test_windows_fill_each_session_without_overlap(day, interval, exchange, second):
    grid = BarGrid(interval, INDIA, exchange)
    windows = grid.windows_of_day(day)
    sessions = INDIA.sessions(exchange, day)
    assert sum((w.close - w.start for w in windows), timedelta()) == sum(
        (s.close - s.open for s in sessions), timedelta()
    )
    for earlier, later in pairwise(windows):
        assert earlier.close <= later.start
        assert earlier.close - earlier.start == interval.length or earlier.close in {s.close for s in sessions}
        assert grid.next_window(earlier) == later
    instant = at(day, 0, 0) + timedelta(seconds=second)
    holding = [window for window in windows if window.holds(instant)]
    assert grid.window_at(instant) == (holding[0] if holding else None)
    assert len(holding) <= 1
