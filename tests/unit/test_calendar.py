import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.calendar import ALWAYS_OPEN, INDIA, IST, Calendar, Holiday, Hours, SpecialSession, ist_day
from engine.domain.errors import CalendarError
from engine.domain.instruments import Exchange
from tests.unit.strategies import thorough

NSE, BSE, NFO, BFO = Exchange.NSE, Exchange.BSE, Exchange.NFO, Exchange.BFO
NSE_INDEX = Exchange.NSE_INDEX
REPOSITORY = Path(__file__).parents[2]


def at(day: date, hour: int, minute: int) -> datetime:
    return datetime.combine(day, time(hour, minute), IST)


@pytest.mark.parametrize(
    ("exchange", "day", "opens", "act_by", "closes"),
    [
        (NFO, date(2026, 7, 31), (9, 15), (15, 30), (15, 30)),
        (NFO, date(2026, 8, 3), (9, 15), (15, 40), (15, 40)),
        (BFO, date(2026, 7, 31), (9, 15), (15, 30), (15, 30)),
        (BFO, date(2026, 8, 3), (9, 15), (15, 30), (15, 40)),
        (NSE, date(2026, 11, 23), (9, 15), (15, 30), (15, 30)),
        (BSE, date(2026, 11, 23), (9, 15), (15, 30), (15, 30)),
        (NSE_INDEX, date(2026, 11, 23), (9, 15), (15, 30), (15, 30)),
        (NFO, date(2025, 2, 1), (9, 15), (15, 30), (15, 30)),
        (NFO, date(2025, 10, 21), (13, 45), (14, 45), (14, 45)),
        (NFO, date(2026, 2, 1), (9, 15), (15, 30), (15, 30)),
        (BFO, date(2026, 11, 8), (18, 0), (19, 15), (19, 15)),
    ],
)
def test_a_session_has_the_hours_in_force_on_its_day(exchange, day, opens, act_by, closes):
    (session,) = INDIA.sessions(exchange, day)
    assert (session.open, session.act_by, session.close) == (at(day, *opens), at(day, *act_by), at(day, *closes))
    assert session.open.tzinfo is UTC


@pytest.mark.parametrize(
    "day",
    [
        date(2026, 11, 24),
        date(2026, 1, 15),
        date(2025, 10, 22),
        date(2025, 12, 25),
        date(2026, 11, 21),
        date(2026, 11, 22),
        date(2026, 8, 15),
    ],
)
def test_nothing_trades_on_a_holiday_or_at_the_weekend(day):
    assert INDIA.sessions(NFO, day) == ()
    assert not INDIA.is_trading_day(NFO, day)


def test_a_muhurat_day_trades_but_holds_no_ordinary_session():
    assert INDIA.is_trading_day(NFO, date(2025, 10, 21))
    assert not INDIA.is_ordinary_day(NFO, date(2025, 10, 21))
    assert not INDIA.is_ordinary_day(NFO, date(2026, 2, 1))


@pytest.mark.parametrize("day", [date(2024, 12, 31), date(2027, 1, 4), date(2027, 1, 3)])
def test_a_year_without_data_is_an_error_and_not_a_year_without_holidays(day):
    with pytest.raises(CalendarError) as caught:
        INDIA.is_trading_day(NFO, day)
    assert caught.value.field in ("day", "exchange")


def test_the_error_says_which_year_is_missing():
    with pytest.raises(CalendarError, match="2027"):
        INDIA.next_trading_day(NFO, date(2026, 12, 31))
    with pytest.raises(CalendarError, match="2027"):
        INDIA.is_ordinary_day(NFO, date(2027, 3, 2))


@pytest.mark.parametrize(
    ("day", "trades"),
    [(date(2027, 1, 25), True), (date(2027, 1, 26), False), (date(2027, 1, 30), False), (date(2027, 12, 24), True)],
)
def test_a_listing_may_assume_weekdays_and_holidays_of_fixed_date(day, trades):
    assert INDIA.is_trading_day(NFO, day, assume_weekdays=True) is trades


def test_assuming_weekdays_changes_nothing_in_a_known_year():
    assert not INDIA.is_trading_day(NFO, date(2026, 11, 24), assume_weekdays=True)


@pytest.mark.parametrize(
    ("day", "before", "after"),
    [
        (date(2026, 11, 22), date(2026, 11, 20), date(2026, 11, 23)),
        (date(2026, 11, 24), date(2026, 11, 23), date(2026, 11, 25)),
        (date(2026, 11, 9), date(2026, 11, 8), date(2026, 11, 11)),
        (date(2026, 2, 2), date(2026, 2, 1), date(2026, 2, 3)),
        (date(2025, 10, 23), date(2025, 10, 21), date(2025, 10, 24)),
    ],
)
def test_the_neighbouring_trading_days_skip_what_is_closed_and_keep_special_sessions(day, before, after):
    assert INDIA.previous_trading_day(NFO, day) == before
    assert INDIA.next_trading_day(NFO, day) == after


def test_a_session_is_open_from_its_opening_until_just_before_its_close():
    day = date(2026, 11, 23)
    second = timedelta(seconds=1)
    assert INDIA.session_open_at(NFO, at(day, 9, 15) - second) is None
    assert INDIA.session_open_at(NFO, at(day, 9, 15)) == INDIA.sessions(NFO, day)[0]
    assert INDIA.session_open_at(NFO, at(day, 15, 40) - second) is not None
    assert INDIA.session_open_at(NFO, at(day, 15, 40)) is None
    assert INDIA.session_open_at(NSE, at(day, 15, 35)) is None


def test_an_instant_after_half_past_six_utc_in_the_evening_belongs_to_the_next_day_in_india():
    assert ist_day(datetime(2026, 11, 22, 18, 29, tzinfo=UTC)) == date(2026, 11, 22)
    assert ist_day(datetime(2026, 11, 22, 18, 30, tzinfo=UTC)) == date(2026, 11, 23)


def test_a_time_without_zone_is_refused():
    with pytest.raises(CalendarError, match="time zone"):
        INDIA.session_open_at(NFO, datetime(2026, 11, 23, 10, 0))  # noqa: DTZ001


def test_an_exchange_without_hours_is_refused():
    with pytest.raises(CalendarError) as caught:
        INDIA.sessions(Exchange.MCX, date(2026, 11, 23))
    assert caught.value.field == "exchange"


def test_the_last_close_of_a_day_without_sessions_is_refused():
    assert INDIA.last_close(BFO, date(2026, 11, 26)) == at(date(2026, 11, 26), 15, 40)
    with pytest.raises(CalendarError):
        INDIA.last_close(NFO, date(2026, 11, 24))


def test_a_calendar_without_any_trading_day_says_so_instead_of_searching_for_ever():
    closed = Calendar(
        hours=(Hours(frozenset({NFO}), date(2020, 1, 1), time(9, 15), time(15, 30), time(15, 30)),),
        holidays=tuple(Holiday(date(2026, 1, 1) + timedelta(days=count), "closed") for count in range(90)),
        years=frozenset({2026}),
    )
    with pytest.raises(CalendarError, match="no trading day"):
        closed.next_trading_day(NFO, date(2026, 1, 1))


def test_a_day_may_hold_two_sessions_with_a_pause_between_them():
    day = date(2024, 5, 18)
    calendar = Calendar(
        hours=(Hours(frozenset({NFO}), date(2024, 1, 1), time(9, 15), time(15, 30), time(15, 30)),),
        special_sessions=(
            SpecialSession(day, "second window", time(11, 30), time(12, 30)),
            SpecialSession(day, "first window", time(9, 15), time(10, 0)),
        ),
        years=frozenset({2024}),
    )
    first, second = calendar.sessions(NFO, day)
    assert (first.open, first.close) == (at(day, 9, 15), at(day, 10, 0))
    assert (second.open, second.close) == (at(day, 11, 30), at(day, 12, 30))
    assert calendar.session_open_at(NFO, at(day, 10, 0)) is None
    assert calendar.session_open_at(NFO, at(day, 11, 30)) == second
    assert calendar.last_close(NFO, day) == at(day, 12, 30)
    assert not calendar.is_ordinary_day(NFO, day)


@pytest.mark.parametrize("day", [date(2026, 11, 22), date(2026, 11, 24), date(2031, 1, 26)])
def test_a_paper_venue_is_open_all_day_every_day(day):
    (session,) = ALWAYS_OPEN.sessions(NFO, day)
    assert session.open == at(day, 0, 0)
    assert session.close == session.act_by == at(day + timedelta(days=1), 0, 0)
    assert ALWAYS_OPEN.session_open_at(BFO, at(day, 3, 33)) == session
    assert ALWAYS_OPEN.previous_trading_day(NFO, day) == day - timedelta(days=1)


def test_the_table_of_2026_agrees_with_the_recorded_answer_of_the_server():
    places = [REPOSITORY / "tests" / "contract" / "recorded", REPOSITORY.parent / "shared" / "openalgo-contract"]
    found = [path for place in places for path in place.rglob("holidays.success-default-year.json")]
    if not found:
        pytest.skip("the recorded OpenAlgo contract is not here")
    rows = json.loads(found[0].read_text(encoding="utf-8"))["response"]["data"]
    closed = {date.fromisoformat(row["date"]) for row in rows if row["holiday_type"] == "TRADING_HOLIDAY"}
    assert closed == {holiday.day for holiday in INDIA.holidays if holiday.day.year == 2026}
    (special,) = (row for row in rows if row["holiday_type"] == "SPECIAL_SESSION")
    for row in special["open_exchanges"]:
        if row["exchange"] in ("NSE", "BSE", "NFO", "BFO"):
            (session,) = INDIA.sessions(Exchange(row["exchange"]), date.fromisoformat(special["date"]))
            assert session.open.timestamp() * 1000 == row["start_time"]
            assert session.close.timestamp() * 1000 == row["end_time"]


@thorough
@given(day=st.dates(date(2025, 2, 10), date(2026, 11, 30)), exchange=st.sampled_from([NSE, BSE, NFO, BFO]))
def test_the_day_after_the_previous_trading_day_leads_back_to_a_trading_day(day, exchange):
    before = INDIA.previous_trading_day(exchange, day)
    assert before < day
    assert INDIA.is_trading_day(exchange, before)
    following = INDIA.next_trading_day(exchange, before)
    assert following >= day
    assert (following == day) == INDIA.is_trading_day(exchange, day)
