"""The send limit: never more than 9 in any 1.05 s (RULES 3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.broker.buckets import SendBucket
from engine.domain.instruments import Exchange

WAITS = st.lists(
    st.tuples(st.sampled_from([Exchange.NFO, Exchange.BFO, Exchange.NSE]), st.floats(0, 0.4)), min_size=1, max_size=80
)


def most_in_a_window(times: list[float], window: float) -> int:
    return max(sum(1 for other in times if begin <= other < begin + window) for begin in times)


@given(WAITS, st.floats(0, 1e7))
def test_never_more_than_nine_sends_in_any_window(waits: list[tuple[Exchange, float]], begin: float) -> None:
    bucket = SendBucket()
    now = begin
    sent: list[float] = []
    for exchange, wait in waits:
        now = bucket.ready_at(exchange, now + wait)
        bucket.take(exchange, now)
        sent.append(now)
    assert most_in_a_window(sent, 1.05) <= 9


@given(WAITS)
def test_exchanges_are_limited_apart_when_the_account_may_send_more(waits: list[tuple[Exchange, float]]) -> None:
    bucket = SendBucket(overall_limit=18)
    now = 0.0
    sent: dict[Exchange, list[float]] = {}
    for exchange, wait in waits:
        now = bucket.ready_at(exchange, now + wait)
        bucket.take(exchange, now)
        sent.setdefault(exchange, []).append(now)
    assert all(most_in_a_window(times, 1.05) <= 9 for times in sent.values())
    assert most_in_a_window([time for times in sent.values() for time in times], 1.05) <= 18


def test_nine_go_at_once_and_the_tenth_waits_for_the_first_to_leave_the_window() -> None:
    bucket = SendBucket()
    for _ in range(9):
        assert bucket.ready_at(Exchange.NFO, 100.0) == 100.0
        bucket.take(Exchange.NFO, 100.0)
    assert bucket.ready_at(Exchange.NFO, 100.0) == 101.05
    assert bucket.ready_at(Exchange.BFO, 100.0) == 101.05, "the account's own limit holds over all exchanges"


def test_a_send_too_early_is_refused_and_not_counted() -> None:
    bucket = SendBucket(limit=1)
    bucket.take(Exchange.NFO, 10.0)
    with pytest.raises(ValueError, match="NFO"):
        bucket.take(Exchange.NFO, 10.5)
    assert bucket.ready_at(Exchange.NFO, 10.5) == 11.05


def test_another_exchange_need_not_wait_when_the_account_may_send_more() -> None:
    bucket = SendBucket(limit=1, overall_limit=2)
    bucket.take(Exchange.NFO, 10.0)
    assert bucket.ready_at(Exchange.BFO, 10.1) == 10.1
    assert bucket.ready_at(Exchange.NFO, 10.1) == 11.05


@pytest.mark.parametrize(("limit", "window"), [(0, 1.0), (9, 0.0), (9, float("nan"))])
def test_a_limit_that_makes_no_sense_is_refused(limit: int, window: float) -> None:
    with pytest.raises(ValueError, match=r"^(limit|window): "):
        SendBucket(limit, window)
