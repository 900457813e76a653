import json
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.calendar import INDIA, IST
from engine.domain.errors import CalendarError, ContractError
from engine.domain.expiries import (
    ExpiryChoice,
    choose_expiry,
    has_weekly_expiries,
    is_expiry_day,
    listed_expiries,
)
from engine.domain.instruments import Exchange
from engine.domain.symbols import parse_expiry
from tests.unit.strategies import thorough

REPOSITORY = Path(__file__).parents[2]
SUNDAY = date(2026, 11, 22)
NIFTY_LIST = [parse_expiry(text) for text in ("23NOV26", "01DEC26", "08DEC26", "15DEC26", "29DEC26", "25JAN27")]
BANKNIFTY_LIST = [parse_expiry(text) for text in ("23NOV26", "29DEC26", "25JAN27")]
INDICES = ["NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "SENSEX", "BANKEX"]


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), IST)


def nfo_close(day: date) -> datetime:
    return INDIA.last_close(Exchange.NFO, day)


def recorded_expiries(name: str) -> list[date]:
    places = [REPOSITORY / "tests" / "contract" / "recorded", REPOSITORY.parent / "shared" / "openalgo-contract"]
    found = [path for place in places for path in place.rglob(name)]
    if not found:
        pytest.skip("the recorded OpenAlgo contract is not here")
    return [parse_expiry(text) for text in json.loads(found[0].read_text(encoding="utf-8"))["response"]["data"]]


def test_nifty_lists_the_moved_expiry_first_and_then_tuesdays():
    assert listed_expiries("NIFTY", SUNDAY, INDIA) == NIFTY_LIST


def test_the_rule_gives_what_the_server_listed():
    assert listed_expiries("NIFTY", SUNDAY, INDIA) == recorded_expiries("expiry.success-options.json")
    assert listed_expiries("SENSEX", SUNDAY, INDIA, weeks=3, months=2) == recorded_expiries("expiry.success-bfo.json")


@pytest.mark.parametrize("underlying", ["BANKNIFTY", "FINNIFTY", "MIDCPNIFTY"])
def test_a_monthly_index_lists_the_last_tuesday_of_each_month(underlying):
    assert listed_expiries(underlying, SUNDAY, INDIA) == BANKNIFTY_LIST


def test_bankex_lists_the_last_thursday_of_each_month():
    assert listed_expiries("BANKEX", SUNDAY, INDIA) == [date(2026, 11, 26), date(2026, 12, 31), date(2027, 1, 28)]


@pytest.mark.parametrize(
    ("underlying", "nominal", "moved"),
    [
        ("NIFTY", date(2026, 3, 3), date(2026, 3, 2)),
        ("NIFTY", date(2026, 3, 31), date(2026, 3, 30)),
        ("NIFTY", date(2026, 4, 14), date(2026, 4, 13)),
        ("NIFTY", date(2026, 10, 20), date(2026, 10, 19)),
        ("NIFTY", date(2026, 11, 10), date(2026, 11, 9)),
        ("NIFTY", date(2026, 11, 24), date(2026, 11, 23)),
        ("NIFTY", date(2025, 10, 21), date(2025, 10, 20)),
        ("SENSEX", date(2026, 1, 15), date(2026, 1, 14)),
        ("SENSEX", date(2026, 3, 26), date(2026, 3, 25)),
        ("SENSEX", date(2026, 5, 28), date(2026, 5, 27)),
        ("SENSEX", date(2025, 10, 2), date(2025, 10, 1)),
        ("SENSEX", date(2025, 12, 25), date(2025, 12, 24)),
    ],
)
def test_an_expiry_on_a_holiday_moves_to_the_trading_day_before(underlying, nominal, moved):
    listed = listed_expiries(underlying, moved - timedelta(days=3), INDIA)
    assert moved in listed
    assert nominal not in listed


def test_today_is_listed_until_midnight_and_a_moved_expiry_is_gone_on_the_holiday():
    assert listed_expiries("NIFTY", date(2026, 11, 23), INDIA)[0] == date(2026, 11, 23)
    assert listed_expiries("NIFTY", date(2026, 11, 24), INDIA)[0] == date(2026, 12, 1)


def test_days_before_the_present_rule_are_refused():
    with pytest.raises(CalendarError, match="2025-09-01"):
        listed_expiries("NIFTY", date(2025, 8, 28), INDIA)


def test_an_index_without_rule_is_refused():
    with pytest.raises(ContractError):
        listed_expiries("RELIANCE", SUNDAY, INDIA)


@pytest.mark.parametrize(
    ("choice", "now", "listed", "expiry"),
    [
        ("current_week", at(SUNDAY, 12), NIFTY_LIST, "23NOV26"),
        ("next_week", at(SUNDAY, 12), NIFTY_LIST, "01DEC26"),
        ("current_month", at(SUNDAY, 12), NIFTY_LIST, "23NOV26"),
        ("next_month", at(SUNDAY, 12), NIFTY_LIST, "29DEC26"),
        ("current_week", at(date(2026, 11, 23), 15, 39), NIFTY_LIST, "23NOV26"),
        ("current_week", at(date(2026, 11, 23), 15, 40), NIFTY_LIST, "01DEC26"),
        ("next_week", at(date(2026, 11, 23), 15, 40), NIFTY_LIST, "08DEC26"),
        ("current_month", at(date(2026, 11, 23), 15, 40), NIFTY_LIST, "29DEC26"),
        ("next_month", at(date(2026, 11, 23), 15, 40), NIFTY_LIST, "25JAN27"),
        ("current_month", at(date(2026, 12, 2), 10), NIFTY_LIST, "29DEC26"),
        ("current_week", at(date(2026, 12, 2), 10), NIFTY_LIST, "08DEC26"),
        ("current_month", at(SUNDAY, 12), BANKNIFTY_LIST, "23NOV26"),
        ("next_month", at(SUNDAY, 12), BANKNIFTY_LIST, "29DEC26"),
        ("current_month", at(SUNDAY, 12), list(reversed(NIFTY_LIST)), "23NOV26"),
    ],
)
def test_a_choice_means_a_listed_expiry(choice, now, listed, expiry):
    assert choose_expiry(ExpiryChoice(choice), listed, now, nfo_close) == parse_expiry(expiry)


@pytest.mark.parametrize(
    ("choice", "listed"),
    [
        ("current_week", []),
        ("current_week", [date(2026, 11, 17)]),
        ("next_week", [date(2026, 11, 23)]),
        ("next_month", [date(2026, 11, 23), date(2027, 1, 25)]),
    ],
)
def test_a_choice_that_nothing_listed_fits_is_refused(choice, listed):
    with pytest.raises(ContractError) as caught:
        choose_expiry(ExpiryChoice(choice), listed, at(SUNDAY, 12), nfo_close)
    assert caught.value.field == "expiry"


def test_expiry_day_is_a_listed_day_and_not_a_weekday():
    assert is_expiry_day(NIFTY_LIST, date(2026, 11, 23))  # a Monday
    assert not is_expiry_day(NIFTY_LIST, date(2026, 11, 24))  # a Tuesday, but a holiday


def test_only_one_index_of_each_exchange_has_weeklies():
    assert [name for name in INDICES if has_weekly_expiries(name)] == ["NIFTY", "SENSEX"]


@thorough
@given(today=st.dates(date(2025, 9, 1), date(2026, 12, 31)), underlying=st.sampled_from(INDICES))
def test_listed_expiries_are_ascending_future_trading_days_and_resolve_every_choice(today, underlying):
    listed = listed_expiries(underlying, today, INDIA)
    assert listed == sorted(set(listed))
    assert all(day >= today and INDIA.is_trading_day(Exchange.NFO, day, assume_weekdays=True) for day in listed)
    chosen = [choose_expiry(choice, listed, at(today, 8), nfo_close) for choice in ExpiryChoice]
    current_week, next_week, current_month, next_month = chosen
    assert current_week <= current_month < next_month
    assert current_week < next_week
