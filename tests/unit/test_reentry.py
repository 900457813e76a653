"""Re-entry: back at its cost from the side it left, counted, a minute apart, on its own day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.breaches import ExitRule
from engine.domain.instruments import Action
from engine.domain.reentry import BETWEEN_TRIES, ClosedLeg, Reentry, is_back_at_cost, is_over, may_try

AT = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)  # 11:30 in India
SL, TARGET = ExitRule.LEG_SL, ExitRule.LEG_TARGET


def leg(action: Action = Action.SELL, closed_by: ExitRule = SL, **given: object) -> ClosedLeg:
    return ClosedLeg(action, closed_by, AT, 100.0, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("action", "closed_by", "away", "back"),
    [
        (Action.SELL, SL, 100.05, 100.0),  # left above its cost: it comes back down
        (Action.SELL, TARGET, 99.95, 100.0),
        (Action.BUY, SL, 99.95, 100.0),
        (Action.BUY, TARGET, 100.05, 100.0),
    ],
)
def test_back_at_cost_from_the_side_it_left(action: Action, closed_by: ExitRule, away: float, back: float) -> None:
    assert not is_back_at_cost(leg(action, closed_by), away)
    assert is_back_at_cost(leg(action, closed_by), back)


@pytest.mark.parametrize("price", [None, 0.0, float("nan"), -5.0, float("inf")])
def test_without_a_price_it_is_not_back(price: float | None) -> None:
    assert not any(is_back_at_cost(leg(action, by), price) for action in Action for by in (SL, TARGET))


def test_a_fresh_strike_needs_no_price_and_none_never_enters() -> None:
    assert may_try(Reentry.FRESH, 1, leg(), None, AT)
    assert not may_try(Reentry.AT_COST, 1, leg(), None, AT)
    assert not may_try(Reentry.NONE, 1, leg(), 100.0, AT)


def test_no_more_than_n_times() -> None:
    assert may_try(Reentry.FRESH, 2, leg(done=1), None, AT)
    assert not may_try(Reentry.FRESH, 2, leg(done=2), None, AT)
    assert is_over(Reentry.FRESH, 2, leg(done=2), AT)


def test_a_minute_between_tries_and_a_clock_set_back_holds_nothing_up() -> None:
    tried = leg(done=1, tried_at=AT)
    assert not may_try(Reentry.FRESH, 3, tried, None, AT + BETWEEN_TRIES - timedelta(seconds=1))
    assert may_try(Reentry.FRESH, 3, tried, None, AT + BETWEEN_TRIES)
    assert may_try(Reentry.FRESH, 3, tried, None, AT - timedelta(seconds=1))


def test_not_on_another_day() -> None:
    midnight = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)
    assert not is_over(Reentry.FRESH, 1, leg(), midnight - timedelta(seconds=1))
    assert is_over(Reentry.FRESH, 1, leg(), midnight)


@given(
    st.sampled_from(Action), st.sampled_from([SL, TARGET]), st.floats(0.05, 1e5), st.integers(0, 5), st.integers(0, 5)
)
def test_what_is_over_never_tries(action: Action, by: ExitRule, price: float, most: int, done: int) -> None:
    for kind in Reentry:
        closed = leg(action, by, done=done)
        if is_over(kind, most, closed, AT):
            assert not may_try(kind, most, closed, price, AT)
