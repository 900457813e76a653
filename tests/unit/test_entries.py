"""Entering one slice: what a limit asks for, and what comes next after each fate of an order (RULES 4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.entries import (
    EntryTerms,
    LimitTimeout,
    SliceState,
    hedge_late,
    late,
    limit_price,
    slice_state,
    unfilled,
)
from engine.domain.errors import DomainError
from engine.domain.instruments import Action, Exchange, PriceType, Product
from engine.domain.orders import TERMINAL, Order, OrderState, Purpose
from tests.unit.strategies import thorough

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)
AT_MARKET = EntryTerms(limit_timeout=LimitTimeout.MARKET)
ORDER = Order(
    id=1, execution_id=1, account_id=1, exit_plan_id=None, purpose=Purpose.ENTRY, leg_index=1, slice_index=0,
    symbol="NIFTY01DEC2626000CE", exchange=Exchange.NFO, product=Product.NRML, action=Action.BUY,
    price_type=PriceType.MARKET, quantity=130, price=0.0, trigger_price=0.0, state=OrderState.WORKING, orderid="7",
    trading_day=NOW.date(), tag="am-1-1", filled_quantity=0, filled_value_paise=0, cancel_requested=False, words="",
    visible_before=(), created_at=NOW, sent_at=NOW, answered_at=NOW, quiet_until=None, absent_since=None,
    updated_at=NOW,
)  # fmt: skip
LIMIT = replace(ORDER, price_type=PriceType.LIMIT, price=99.5)


def order(state: str, **changes: Any) -> Order:
    return replace(ORDER, state=OrderState(state), **changes)


@given(
    action=st.sampled_from(Action),
    bid=st.integers(1, 200_000),
    spread=st.integers(0, 5_000),
    offset=st.integers(0, 20_000),
    tick=st.sampled_from([1, 5, 10, 25, 100]),
)
@thorough
def test_limit_is_on_the_tick_and_never_worse_for_us_than_asked(
    action: Action, bid: int, spread: int, offset: int, tick: int
) -> None:
    """Reckoned in paise beside it: within one tick of what was asked for, on the passive side."""
    wanted = Fraction(2 * bid + spread, 2) - action.sign * offset
    try:
        price = limit_price(action, bid / 100, (bid + spread) / 100, offset=offset / 100, tick=tick / 100)
    except DomainError:
        assert action is Action.BUY
        assert wanted < tick
        return
    paise = round(price * 100)
    assert price == paise / 100
    assert paise > 0
    assert paise % tick == 0
    assert 0 <= action.sign * (wanted - paise) < tick


@pytest.mark.parametrize(
    ("bid", "ask", "field"),
    [
        (None, 100.0, "limit price"),
        (100.0, None, "limit price"),
        (0.0, 100.0, "limit price"),
        (100.0, float("nan"), "limit price"),
        (float("inf"), 100.0, "limit price"),
        (0.05, 0.05, "limit price"),
    ],
)
def test_no_limit_without_a_bid_and_an_ask_or_with_nothing_left(
    bid: float | None, ask: float | None, field: str
) -> None:
    with pytest.raises(DomainError) as caught:
        limit_price(Action.BUY, bid, ask, offset=0.05, tick=0.05)
    assert caught.value.field == field


@pytest.mark.parametrize(("offset", "tick"), [(-0.5, 0.05), (float("nan"), 0.05), (0.5, 0.0), (0.5, float("nan"))])
def test_no_limit_by_an_offset_or_a_tick_that_is_none(offset: float, tick: float) -> None:
    with pytest.raises(DomainError):
        limit_price(Action.SELL, 99.0, 101.0, offset=offset, tick=tick)


@pytest.mark.parametrize(
    ("orders", "terms", "then", "cut_then"),
    [
        ([], EntryTerms(), "failed", "cut"),
        ([order("planned")], EntryTerms(), "waits", "waits"),
        ([order("unknown")], AT_MARKET, "waits", "waits"),
        ([order("queued")], EntryTerms(), "waits", "waits"),
        ([order("working", filled_quantity=65)], EntryTerms(), "waits", "waits"),
        ([order("filled", filled_quantity=130)], EntryTerms(), "filled", "filled"),
        ([order("cancelled", filled_quantity=130)], EntryTerms(), "filled", "filled"),
        ([order("cancelled", filled_quantity=65)], EntryTerms(), "failed", "failed"),
        ([order("rejected", words="no margin")], EntryTerms(), "failed", "failed"),
        ([order("not_received")], EntryTerms(), "failed", "failed"),
        ([order("expired")], EntryTerms(), "failed", "failed"),
        ([order("denied")], EntryTerms(), "failed", "failed"),
        ([order("void")], EntryTerms(), "failed", "cut"),
        ([order("not_sent")], EntryTerms(), "again", "cut"),
        ([order("not_sent")] * 2, EntryTerms(), "again", "cut"),
        ([order("not_sent")] * 3, EntryTerms(), "failed", "cut"),
        ([order("rejected", words="429: slow down")], EntryTerms(), "again", "cut"),
        ([order("rejected", words="429: slow down", updated_at=LATER)], EntryTerms(), "waits", "cut"),
        ([order("rejected", words="4290 lots are too many")], EntryTerms(), "failed", "failed"),
        ([order("unknown"), order("not_sent")], EntryTerms(), "waits", "waits"),
        ([replace(LIMIT, state=OrderState.CANCELLED, cancel_requested=True)], AT_MARKET, "market", "cut"),
        ([replace(LIMIT, state=OrderState.CANCELLED, cancel_requested=True)], EntryTerms(), "failed", "failed"),
        ([replace(LIMIT, state=OrderState.CANCELLED)], AT_MARKET, "failed", "failed"),
        ([replace(LIMIT, state=OrderState.REJECTED, cancel_requested=True)], AT_MARKET, "failed", "failed"),
        ([order("cancelled", cancel_requested=True)], AT_MARKET, "failed", "failed"),
        ([replace(LIMIT, state=OrderState.CANCELLED, cancel_requested=True), order("not_sent")], AT_MARKET, "again",
         "cut"),
        ([replace(LIMIT, state=OrderState.CANCELLED, filled_quantity=65), order("filled", filled_quantity=65)],
         AT_MARKET, "filled", "filled"),
    ],
)  # fmt: skip
def test_what_a_slice_needs_next(orders: list[Order], terms: EntryTerms, then: str, cut_then: str) -> None:
    assert slice_state(orders, 130, terms, LATER) == then
    assert slice_state(orders, 130, terms, LATER, cut=True) == cut_then


@given(
    states=st.lists(st.sampled_from(OrderState), max_size=4),
    limits=st.lists(st.booleans(), min_size=4, max_size=4),
    fills=st.lists(st.integers(0, 65), min_size=4, max_size=4),
    asked=st.booleans(),
)
@thorough
def test_nothing_is_sent_beside_an_order_that_may_fill_nor_beyond_what_is_left(
    states: list[OrderState], limits: list[bool], fills: list[int], asked: bool
) -> None:
    orders = [
        replace(LIMIT if limit else ORDER, state=state, filled_quantity=filled, cancel_requested=asked)
        for state, limit, filled in zip(states, limits, fills, strict=False)
    ]
    next_step = slice_state(orders, 130, AT_MARKET, LATER)
    if next_step in {SliceState.AGAIN, SliceState.MARKET}:
        assert all(one.state in TERMINAL for one in orders)
        assert 0 < unfilled(orders, 130) == 130 - sum(one.filled_quantity for one in orders)
        assert orders[-1].state in {OrderState.NOT_SENT, OrderState.REJECTED, OrderState.CANCELLED}
        assert orders[-1].state is not OrderState.REJECTED  # these have no words: nothing says 429
    assert slice_state(orders, 130, AT_MARKET, LATER, cut=True) not in {SliceState.AGAIN, SliceState.MARKET}


def test_patience_is_that_of_the_kind_of_order_and_counts_from_its_sending() -> None:
    terms = EntryTerms(hedge_seconds=4.0, limit_seconds=20.0)
    sold = replace(ORDER, action=Action.SELL)
    for one, seconds in ((ORDER, 4), (sold, 10), (LIMIT, 20)):
        assert not late(one, terms, NOW + timedelta(seconds=seconds))
        assert late(one, terms, NOW + timedelta(seconds=seconds + 0.1))
        assert late(one, terms, NOW - timedelta(seconds=seconds + 0.1))  # the clock was set back
        assert not late(replace(one, sent_at=None), terms, NOW + timedelta(days=1))
        assert not late(replace(one, state=OrderState.FILLED), terms, NOW + timedelta(days=1))


def test_hedge_at_a_limit_that_goes_on_at_market_has_the_time_of_both() -> None:
    terms = replace(AT_MARKET, hedge_seconds=4.0, limit_seconds=20.0)
    assert not hedge_late(LIMIT, terms, NOW + timedelta(seconds=24))
    assert hedge_late(LIMIT, terms, NOW + timedelta(seconds=24.1))
    assert hedge_late(LIMIT, replace(terms, limit_timeout=LimitTimeout.CANCEL), NOW + timedelta(seconds=20.1))
