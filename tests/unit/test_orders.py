"""Order states: every step from one table, and quantities that only grow (RULES 5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import TransitionError
from engine.domain.instruments import Action, Exchange, Key, PriceType, Product
from engine.domain.orders import (
    IN_DOUBT,
    TERMINAL,
    TRANSITIONS,
    Observation,
    Order,
    OrderState,
    Purpose,
    moved,
    observed,
)
from tests.unit.strategies import thorough

S = OrderState
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)

LEGAL = {
    (S.PLANNED, S.SENDING), (S.PLANNED, S.DENIED), (S.PLANNED, S.VOID),
    (S.SENDING, S.WORKING), (S.SENDING, S.REJECTED), (S.SENDING, S.QUEUED), (S.SENDING, S.UNKNOWN),
    (S.SENDING, S.NOT_SENT),
    (S.UNKNOWN, S.WORKING), (S.UNKNOWN, S.FILLED), (S.UNKNOWN, S.CANCELLED), (S.UNKNOWN, S.REJECTED),
    (S.UNKNOWN, S.NOT_RECEIVED),
    (S.QUEUED, S.WORKING), (S.QUEUED, S.REJECTED), (S.QUEUED, S.CANCELLED),
    (S.WORKING, S.FILLED), (S.WORKING, S.CANCELLED), (S.WORKING, S.REJECTED), (S.WORKING, S.EXPIRED),
}  # fmt: skip
"""RULES 5, word for word."""


def order(**fields: Any) -> Order:
    plain: dict[str, Any] = {
        "id": 7, "execution_id": 3, "account_id": 1, "exit_plan_id": None, "purpose": Purpose.ENTRY, "leg_index": 1,
        "slice_index": 0, "symbol": "NIFTY01DEC2626000CE", "exchange": Exchange.NFO, "product": Product.NRML,
        "action": Action.SELL, "price_type": PriceType.MARKET, "quantity": 130, "price": 0.0, "trigger_price": 0.0,
        "state": S.WORKING, "orderid": "A1", "trading_day": date(2026, 11, 23), "tag": "am-3-7", "filled_quantity": 0,
        "filled_value_paise": 0, "cancel_requested": False, "words": "", "visible_before": (), "created_at": NOW,
        "sent_at": NOW, "answered_at": NOW, "quiet_until": None, "absent_since": None, "updated_at": NOW,
    }  # fmt: skip
    return Order(**(plain | fields))


def seen(
    filled: int | None = None, value: int | None = None, status: str = "open", source: str = "book"
) -> Observation:
    return Observation("A1", status, filled, value, source)


@pytest.mark.parametrize(("before", "after"), list(product(S, S)))
def test_step_is_taken_exactly_when_the_rules_know_it(before: OrderState, after: OrderState) -> None:
    if before is after or (before, after) in LEGAL:
        assert moved(order(state=before), after, NOW).state is after
    else:
        with pytest.raises(TransitionError, match=f"order 7 cannot go from {before} to {after}"):
            moved(order(state=before), after, NOW)


def test_states_without_a_way_out_are_the_terminal_ones() -> None:
    assert {state for state in S if not TRANSITIONS.get(state)} == set(TERMINAL)
    assert not IN_DOUBT & TERMINAL


def test_every_state_but_the_first_can_be_reached() -> None:
    assert {after for steps in TRANSITIONS.values() for after in steps} == set(S) - {S.PLANNED}


@pytest.mark.parametrize("state", list(S))
def test_pending_is_what_may_still_fill(state: OrderState) -> None:
    one = order(state=state, filled_quantity=65)
    assert one.pending_quantity == (0 if state in TERMINAL else 65)
    assert one.signed_filled == -65
    assert one.key == Key(1, "NIFTY01DEC2626000CE", Exchange.NFO, Product.NRML)


def test_largest_quantity_of_any_source_counts_and_never_their_sum() -> None:
    one = observed(order(), seen(65, 650_000, source="trade"), NOW)
    one = observed(one, seen(65, 650_000, source="push"), NOW)
    one = observed(one, seen(65, 650_000), NOW)
    assert (one.filled_quantity, one.state) == (65, S.WORKING)
    one = observed(one, seen(130, 1_300_000, source="push"), NOW)
    assert (one.filled_quantity, one.filled_value_paise, one.state) == (130, 1_300_000, S.FILLED)


def test_smaller_quantity_seen_later_changes_nothing() -> None:
    one = order(filled_quantity=65, filled_value_paise=650_000)
    assert observed(one, seen(0, 0), NOW) is one
    assert observed(one, seen(None), NOW) is one


def test_trades_refine_the_price_and_nothing_else() -> None:
    filled = observed(order(), seen(130, 1_300_000, "complete"), NOW)
    refined = observed(filled, seen(130, 1_301_500, "", "trade"), NOW)
    assert refined == replace(filled, filled_value_paise=1_301_500)
    assert observed(refined, seen(130, 1_200_000, "complete"), NOW) is refined
    assert observed(refined, seen(130, 1_200_000, "complete", "push"), NOW) is refined


def test_price_that_was_traded_corrects_an_estimated_one_and_counts_nothing_twice() -> None:
    guessed = observed(order(), replace(seen(130, 1_000, source="position"), estimated=True), NOW)
    assert (guessed.state, guessed.filled_quantity, guessed.estimated) == (S.FILLED, 130, True)
    assert observed(guessed, replace(seen(130, 2_000, source="position"), estimated=True), NOW) is guessed
    for source in ("book", "push", "trade"):
        corrected = observed(guessed, seen(130, 1_300, source=source), NOW)
        assert (corrected.filled_quantity, corrected.filled_value_paise, corrected.estimated) == (130, 1_300, False)
    assert observed(guessed, seen(65, 900, source="trade"), NOW) is guessed


def test_complete_without_a_price_fills_nothing() -> None:
    assert observed(order(), seen(130, None, "complete"), NOW).filled_quantity == 0
    assert observed(order(), seen(None, None, "complete"), NOW).state is S.WORKING


@pytest.mark.parametrize("status", ["cancelled", "rejected", "expired"])
def test_brokers_end_keeps_what_filled(status: str) -> None:
    one = observed(order(), seen(65, 650_000, status), NOW)
    assert (one.state, one.filled_quantity, one.pending_quantity) == (S(status), 65, 0)


@pytest.mark.parametrize("state", sorted(TERMINAL - {S.FILLED}))
def test_late_fill_after_the_end_counts_and_the_end_stays(state: OrderState) -> None:
    late = observed(order(state=state), seen(65, 650_000, source="trade"), NOW)
    assert (late.state, late.filled_quantity) == (state, 65)
    whole = observed(late, seen(130, 1_300_000, source="trade"), NOW)
    assert (whole.state, whole.filled_quantity) == (state, 130)


@pytest.mark.parametrize("state", sorted(IN_DOUBT))
def test_order_that_is_seen_is_in_doubt_no_more(state: OrderState) -> None:
    assert observed(order(state=state), seen(), NOW).state is S.WORKING
    assert observed(order(state=state), seen(130, 1_300_000), NOW).state is S.FILLED
    assert observed(order(state=state), seen(status="rejected"), NOW).state is S.REJECTED


def test_more_than_was_ordered_is_cut_with_its_value() -> None:
    """A row that somebody made larger at the broker: our share of it has our share of the value."""
    one = observed(order(), seen(260, 2_600_000, "complete"), NOW)
    assert (one.filled_quantity, one.filled_value_paise) == (130, 1_300_000)


observations = st.builds(
    Observation,
    orderid=st.just("A1"),
    status=st.sampled_from(["open", "complete", "cancelled", "rejected", "expired", "trigger pending", ""]),
    filled_quantity=st.none() | st.integers(-65, 260),
    value_paise=st.none() | st.integers(0, 5_000_000),
    source=st.sampled_from(["book", "push", "trade"]),
    words=st.sampled_from(["", "no margin"]),
)


@thorough
@given(
    state=st.sampled_from([state for state in S if state is not S.PLANNED]), story=st.lists(observations, max_size=12)
)
def test_whatever_is_seen_quantity_only_grows_and_an_end_is_an_end(state: OrderState, story: list[Observation]) -> None:
    one = order(state=state)
    if state is S.FILLED:
        one = replace(one, filled_quantity=130, filled_value_paise=1_300_000)
    for observation in story:
        after = observed(one, observation, NOW)
        assert one.filled_quantity <= after.filled_quantity <= one.quantity
        assert after.filled_value_paise >= 0
        if one.terminal:
            assert after.state is one.state
        if after.state is S.FILLED:
            assert after.filled_quantity == after.quantity
        assert observed(after, observation, NOW) is after
        one = after
