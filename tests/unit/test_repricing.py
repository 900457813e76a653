"""The limit of a resting exit goes further each time and never back; when it may be asked for again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import Action
from engine.domain.repricing import (
    MOST_SHARE,
    MOST_TICKS,
    REFUSALS,
    UNKNOWN,
    Answer,
    Modification,
    Step,
    limit_price,
    next_step,
    reference_price,
)
from tests.unit.strategies import thorough

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
ticks = st.sampled_from([0.01, 0.05, 0.1, 0.5, 1.0])
actions = st.sampled_from(list(Action))
references = st.integers(min_value=1, max_value=2_000_000).map(lambda count: count / 100)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def step(*, acknowledged: float = 60.0, repriced: float | None = None, **fields: Any) -> Step:
    plain: dict[str, Any] = {"last": Modification(Answer.TAKEN), "seen_since": True}
    at = None if repriced is None else ago(repriced)
    return next_step(acknowledged_at=ago(acknowledged), repriced_at=at, now=NOW, **(plain | fields))


# ── the price ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@thorough
@given(action=actions, path=st.lists(references, min_size=2, max_size=12), tick=ticks)
def test_price_never_goes_back_whatever_the_market_does(action: Action, path: list[float], tick: float) -> None:
    before = 0.0
    for number, reference in enumerate(path, start=1):
        price = limit_price(action, reference, step=number, tick_size=tick, before=before)
        if before:
            assert (price - before) * action.sign >= 0
        before = price


@thorough
@given(action=actions, reference=references, tick=ticks, number=st.integers(min_value=1, max_value=500))
def test_price_is_marketable_in_whole_ticks_and_within_the_most(
    action: Action, reference: float, tick: float, number: int
) -> None:
    price = limit_price(action, reference, step=number, tick_size=tick)
    assert abs(price / tick - round(price / tick)) < 1e-6
    beyond = (price - reference) * action.sign
    most = max(float(MOST_SHARE) * reference, MOST_TICKS * tick)
    assert beyond <= most + tick
    assert beyond > 0 or price == tick  # a sale cannot go below one tick


@thorough
@given(action=actions, reference=references, tick=ticks, number=st.integers(min_value=1, max_value=60))
def test_a_later_step_goes_at_least_as_far(action: Action, reference: float, tick: float, number: int) -> None:
    first, second = (limit_price(action, reference, step=at, tick_size=tick) for at in (number, number + 1))
    assert (second - first) * action.sign >= 0


def test_steps_of_a_cheap_option_go_by_ticks_and_of_a_dear_one_by_percent() -> None:
    assert [limit_price(Action.BUY, 1.0, step=n, tick_size=0.05) for n in (1, 2, 20, 21)] == [1.1, 1.2, 3.0, 3.0]
    assert [limit_price(Action.SELL, 200.0, step=n, tick_size=0.05) for n in (1, 2, 20, 21)] == [199, 198, 180, 180]


@pytest.mark.parametrize(
    ("touch", "ltp", "expected"),
    [
        ((99.0, 101.0, ago(5)), 100.0, 101.0),
        ((99.0, 101.0, ago(5.1)), 100.0, 100.0),
        ((102.0, 101.0, ago(0)), 100.0, 100.0),  # crossed: no touch
        ((0.0, 101.0, ago(0)), 100.0, 100.0),
        ((99.0, float("nan"), ago(0)), None, None),
        (None, None, None),
        (None, 0.0, None),
    ],
)
def test_reference_is_the_young_touch_else_the_price_else_nothing(touch: Any, ltp: Any, expected: Any) -> None:
    assert reference_price(Action.BUY, touch=touch, ltp=ltp, now=NOW) == expected


def test_sale_starts_from_the_bid() -> None:
    assert reference_price(Action.SELL, touch=(99.0, 101.0, NOW), ltp=None, now=NOW) == 99.0


# ── the schedule ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_first_modification_comes_two_seconds_after_the_acknowledgement_and_the_next_ones_every_two() -> None:
    assert [step(acknowledged=seconds) for seconds in (0, 1.9, 2)] == [Step.WAIT, Step.WAIT, Step.MODIFY]
    assert [step(repriced=seconds) for seconds in (0, 1.9, 2)] == [Step.WAIT, Step.WAIT, Step.MODIFY]


def test_nothing_is_asked_while_an_answer_is_waited_for() -> None:
    assert step(repriced=600, last=Modification(Answer.WAITED_FOR)) is Step.WAIT


@pytest.mark.parametrize("answer", [Answer.UNCLEAR, Answer.REFUSED])
def test_unclear_or_refused_modification_waits_for_books_that_show_the_order_working(answer: Answer) -> None:
    assert step(repriced=600, last=Modification(answer, 1), seen_since=False) is Step.WAIT
    assert step(repriced=600, last=Modification(answer, 1)) is Step.MODIFY


def test_modification_of_an_earlier_engine_is_unclear() -> None:
    assert step(repriced=600, last=UNKNOWN, seen_since=False) is Step.WAIT
    assert step(repriced=600, last=UNKNOWN) is Step.MODIFY


def test_modification_that_was_taken_or_never_sent_needs_no_books() -> None:
    for answer in (Answer.TAKEN, Answer.NOT_SENT):
        assert step(repriced=2, last=Modification(answer), seen_since=False) is Step.MODIFY


def test_three_refusals_in_a_row_end_in_a_cancellation_once_the_books_show_it_working() -> None:
    refused = Modification(Answer.REFUSED, REFUSALS)
    assert step(repriced=2, last=refused, seen_since=False) is Step.WAIT
    assert step(repriced=2, last=refused) is Step.CANCEL
    assert step(repriced=2, last=Modification(Answer.REFUSED, REFUSALS - 1)) is Step.MODIFY


def test_clock_set_back_does_not_stop_the_schedule() -> None:
    assert step(repriced=-3600) is Step.MODIFY
