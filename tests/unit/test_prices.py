import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.prices import FeedView, PriceView, confirmed, is_price
from tests.unit.strategies import thorough

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


def ago(seconds):
    return None if seconds is None else NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("tick", "quote", "exchange_tick", "acknowledged", "expected"),
    [
        (0, None, None, False, True),
        (5, None, None, False, True),
        (5.001, None, None, False, False),
        (None, 5, None, False, True),
        (None, 5.001, None, False, False),
        (60, None, 5, True, True),
        (None, 60, 5, True, True),
        (60.001, None, 5, True, False),
        (60, None, 5.001, True, False),
        (60, None, 5, False, False),
        (60, None, None, True, False),
        (None, None, 0, True, False),
        (-6, None, None, False, False),
        (3600, 3, None, False, True),
    ],
)
def test_a_price_is_confirmed_by_its_tick_its_quote_or_a_live_feed(tick, quote, exchange_tick, acknowledged, expected):
    price = PriceView(101.5, tick_at=ago(tick), quote_at=ago(quote))
    assert confirmed(price, FeedView(ago(exchange_tick), acknowledged), NOW) is expected


@pytest.mark.parametrize("ltp", [None, 0.0, -1.0, math.nan, math.inf, -math.inf])
def test_a_number_that_is_no_price_is_never_confirmed(ltp):
    assert not is_price(ltp)
    assert not confirmed(PriceView(ltp, tick_at=NOW, quote_at=NOW), FeedView(NOW, acknowledged=True), NOW)


@thorough
@given(tick=st.floats(0, 120), feed=st.floats(0, 120), later=st.floats(0, 120))
def test_a_price_that_is_not_confirmed_does_not_become_so_by_waiting(tick, feed, later):
    price, view = PriceView(101.5, tick_at=ago(tick)), FeedView(ago(feed), acknowledged=True)
    if not confirmed(price, view, NOW):
        assert not confirmed(price, view, NOW + timedelta(seconds=later))
