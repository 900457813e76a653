from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.instruments import Exchange
from engine.domain.price_sense import Look, plausible, sense
from engine.domain.prices import confirmed
from engine.services.price_board import PriceBoard
from tests.unit.strategies import thorough

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
MARKET, CALL, INDEX = "1|live", ("NIFTY01DEC2626000CE", Exchange.NFO), ("NIFTY", Exchange.NSE_INDEX)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def tick(price: float, seconds: float) -> Look:
    return Look(price, at(seconds), polled=False)


def quote(price: float, seconds: float) -> Look:
    return Look(price, at(seconds), polled=True)


def believed(*looks: Look, good: float = 100.0, index: bool = False) -> list[float]:
    """What the good price is after each look."""
    doubt, prices = None, []
    for look in looks:
        taken, doubt = sense(good, doubt, look, index=index)
        good = look.price if taken else good
        prices.append(good)
    return prices


@pytest.mark.parametrize(
    ("good", "price", "index", "expected"),
    [
        (100.0, 150.0, False, True),
        (100.0, 150.05, False, False),
        (150.0, 100.0, False, True),
        (150.0, 99.95, False, False),
        (2.0, 7.0, False, True),
        (2.0, 7.05, False, False),
        (5.0, 0.05, False, True),
        (100.0, 0.05, False, False),
        (26_000.0, 27_300.0, True, True),
        (26_000.0, 27_301.0, True, False),
        (26_000.0, 24_700.0, True, True),
        (26_000.0, 24_699.0, True, False),
    ],
)
def test_what_may_follow_a_price_without_a_second_look(good: float, price: float, index: bool, expected: bool) -> None:
    assert plausible(good, price, index=index) is expected


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        # a crash: a quote begun after the tick agrees
        ([tick(300, 0), quote(305, 0.1)], [100, 305]),
        # a quote begun before it, or at the same instant, proves nothing
        ([tick(300, 0), quote(305, -0.1), quote(305, 0)], [100, 100, 100]),
        # ticks alone: two of them, 2 s apart
        ([tick(300, 0), tick(310, 1.9), tick(308, 2)], [100, 100, 308]),
        ([tick(300, 0), tick(310, 2)], [100, 310]),
        # a spike is gone
        ([tick(0.05, 0), tick(100.5, 0.3)], [100, 100.5]),
        ([tick(0.05, 0), quote(100.5, 0.1), tick(101, 0.3)], [100, 100.5, 101]),
        # and what comes long after a spike begins anew
        ([tick(0.05, 0), tick(100, 0.3), tick(0.05, 9)], [100, 100, 100]),
        # two different jumps do not agree
        ([tick(300, 0), tick(0.05, 2.5)], [100, 100]),
        ([tick(300, 0), quote(600, 0.5), quote(610, 1.0)], [100, 100, 610]),
        # it runs on: each look near the one before
        ([tick(200, 0), tick(290, 1), tick(400, 2)], [100, 100, 400]),
        # quotes alone: the second agrees; a tick at the old price denies the first
        ([quote(300, 0), quote(310, 2)], [100, 310]),
        ([quote(300, 0), tick(310, 0.1)], [100, 310]),
        ([quote(300, 0), tick(101, 0.1), quote(300, 2)], [100, 101, 101]),
        ([quote(300, 0), quote(101, 2), quote(300, 4)], [100, 101, 101]),
        # quotes that lag in a crash only make it last: 5 s of ticks
        ([tick(300, 0), quote(100, 0.5), tick(300, 2), tick(300, 4.9), tick(300, 5)], [100, 100, 100, 100, 300]),
        # a spike that no tick repeats is forgotten when quotes deny it
        ([tick(300, 0), quote(100, 0.5), quote(100, 2.5), tick(300, 5), tick(300, 5.5)], [100] * 5),
        # a clock set back begins anew
        ([tick(300, 0), tick(300, -60), tick(300, -59), tick(300, -58)], [100, 100, 100, 300]),
    ],
)
def test_a_jump_is_believed_when_a_second_look_agrees(looks: list[Look], expected: list[float]) -> None:
    assert believed(*looks) == expected


looks = st.lists(
    st.builds(
        Look,
        price=st.sampled_from([0.05, 1.0, 40.0, 95.0, 100.0, 140.0, 160.0, 290.0, 300.0, 900.0]),
        at=st.floats(0, 12).map(at),
        polled=st.booleans(),
    ),
    max_size=25,
)


@thorough
@given(looks=looks)
def test_no_price_is_used_that_jumped_without_an_earlier_look_near_it(looks: list[Look]) -> None:
    good, doubt = 100.0, None
    for number, look in enumerate(looks):
        taken, doubt = sense(good, doubt, look, index=False)
        if taken and not plausible(good, look.price, index=False):
            assert any(
                before.at <= look.at and plausible(before.price, look.price, index=False) for before in looks[:number]
            )
        good = look.price if taken else good


@thorough
@given(before=st.lists(st.sampled_from([0.05, 50.0, 100.0, 300.0, 900.0]), max_size=8), crash=st.floats(0.05, 5_000))
def test_a_price_that_stays_is_believed_within_two_seconds_of_ticks(before: list[float], crash: float) -> None:
    good, doubt = 100.0, None
    for number, price in enumerate(before):
        taken, doubt = sense(good, doubt, tick(price, number * 0.3), index=False)
        good = price if taken else good
    for number in range(6):
        taken, doubt = sense(good, doubt, tick(crash, 10 + number * 0.5), index=False)
        good = crash if taken else good
    assert good == crash


# ── the board ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def ltp(board: PriceBoard, symbol: tuple[str, Exchange] = CALL) -> float | None:
    view = board.view(MARKET, symbol)
    return view.ltp if view else None


def is_confirmed(board: PriceBoard, seconds: float, *, acknowledged: bool = True) -> bool:
    view = board.view(MARKET, CALL)
    return view is not None and confirmed(view, board.feed(MARKET, CALL[1], acknowledged=acknowledged), at(seconds))


def test_the_first_quote_ever_is_taken() -> None:
    board = PriceBoard()
    board.quote(MARKET, CALL, 0.05, at(0))
    assert ltp(board) == 0.05
    assert is_confirmed(board, 5)


def test_the_first_tick_ever_waits_for_a_second_look() -> None:
    board = PriceBoard()
    board.tick(MARKET, CALL, 900.0, at(0))
    assert ltp(board) is None
    assert board.doubts(MARKET).keys() == {CALL}
    assert board.doubted_looks == 0  # nothing speaks against it
    board.tick(MARKET, CALL, 905.0, at(1.9))
    assert ltp(board) is None
    board.tick(MARKET, CALL, 901.0, at(2))
    assert ltp(board) == 901.0
    assert not board.doubts(MARKET)


@pytest.mark.parametrize("begun", [-20.0, -5.0, 0.0, 0.1])
def test_a_first_tick_is_believed_when_a_quote_agrees_whenever_its_read_began(begun: float) -> None:
    board = PriceBoard()
    board.tick(MARKET, CALL, 100.0, at(0))
    board.tick(MARKET, CALL, 102.0, at(0.2))
    board.quote(MARKET, CALL, 99.0, at(begun))
    assert ltp(board) == 102.0
    assert not board.doubts(MARKET)
    assert is_confirmed(board, 5.2)
    assert not is_confirmed(board, 5.3)


@pytest.mark.parametrize("begun", [-1.0, 0.0, 0.1])
def test_a_first_tick_far_from_the_first_quote_stays_doubted(begun: float) -> None:
    board = PriceBoard()
    board.tick(MARKET, CALL, 900.0, at(0))
    board.quote(MARKET, CALL, 150.0, at(begun))
    assert ltp(board) == 150.0
    assert board.doubts(MARKET).keys() == {CALL}
    assert is_confirmed(board, begun + 5)
    assert not is_confirmed(board, begun + 5.1)
    board.tick(MARKET, CALL, 151.0, at(0.5))
    assert ltp(board) == 151.0
    assert not board.doubts(MARKET)


def test_a_first_quote_far_from_ticks_that_go_on_gives_way_to_them() -> None:
    board = PriceBoard()
    for quarter in range(21):
        board.tick(MARKET, CALL, 900.0 + quarter, at(quarter / 4))
        if quarter == 1:
            board.quote(MARKET, CALL, 150.0, at(0.1))
        if quarter in range(1, 20):
            assert ltp(board) == 150.0
    assert ltp(board) == 920.0


def test_a_feed_that_stands_still_from_its_first_tick_on_is_denied_by_the_first_quote() -> None:
    board = PriceBoard()
    for quarter in range(7):
        board.tick(MARKET, CALL, 900.0, at(quarter / 4))
    board.quote(MARKET, CALL, 150.0, at(1.4))
    for quarter in range(7, 40):
        board.tick(MARKET, CALL, 900.0, at(quarter / 4))
    assert ltp(board) == 150.0
    assert board.moved_since_news(MARKET) == at(1.4)


def test_first_ticks_that_contradict_each_other_are_no_price() -> None:
    board = PriceBoard()
    for half in range(40):
        board.tick(MARKET, CALL, (0.05, 900.0)[half % 2], at(half / 2))
    assert ltp(board) is None


def known(price: float, symbol: tuple[str, Exchange] = CALL) -> PriceBoard:
    """A board that a quote told a good price a second ago."""
    board = PriceBoard()
    board.quote(MARKET, symbol, price, at(-1))
    return board


def test_a_doubted_price_is_not_shown_and_the_good_one_ages() -> None:
    board = known(100.0)
    board.tick(MARKET, CALL, 100.0, at(0))
    board.tick(MARKET, CALL, 300.0, at(1))
    assert ltp(board) == 100.0
    assert board.doubts(MARKET).keys() == {CALL}
    assert board.doubted_looks == 1
    # its exchange ticks on, but a symbol that is doubted is not a quiet one
    board.tick(MARKET, ("OTHER", Exchange.NFO), 5.0, at(5.9))
    assert is_confirmed(board, 5)
    assert not is_confirmed(board, 5.1)


def test_a_quote_that_agrees_brings_the_newest_tick() -> None:
    board = PriceBoard()
    board.tick(MARKET, CALL, 100.0, at(0))
    board.tick(MARKET, CALL, 300.0, at(1))
    board.tick(MARKET, CALL, 310.0, at(1.2))
    board.quote(MARKET, CALL, 301.0, at(1.1))
    assert ltp(board) == 310.0
    assert not board.doubts(MARKET)
    assert is_confirmed(board, 6.2)


def test_a_quote_older_than_the_newest_tick_changes_no_price_and_opens_no_doubt() -> None:
    board = known(100.0)
    board.tick(MARKET, CALL, 100.0, at(1))
    board.quote(MARKET, CALL, 300.0, at(0.5))
    assert not board.doubts(MARKET)
    board.quote(MARKET, CALL, 99.0, at(0.9))
    assert ltp(board) == 100.0


def test_a_server_that_answers_late_does_not_overrule_a_later_read() -> None:
    board = PriceBoard()
    board.quote(MARKET, CALL, 100.0, at(0))
    board.quote(MARKET, CALL, 120.0, at(4))
    board.quote(MARKET, CALL, 101.0, at(1))
    assert ltp(board) == 120.0
    assert is_confirmed(board, 9)
    assert not is_confirmed(board, 9.1)


def test_an_index_is_doubted_by_its_own_measure() -> None:
    board = known(26_000.0, INDEX)
    board.tick(MARKET, INDEX, 26_000.0, at(0))
    board.tick(MARKET, INDEX, 27_500.0, at(1))
    assert ltp(board, INDEX) == 26_000.0


def test_a_tick_of_a_clock_that_was_set_back_does_not_outlive_quotes() -> None:
    board = PriceBoard()
    board.tick(MARKET, CALL, 100.0, at(3_600))
    board.quote(MARKET, CALL, 110.0, at(0))
    assert ltp(board) == 110.0
    assert is_confirmed(board, 1)


def test_prices_of_another_market_are_other_prices() -> None:
    board = known(100.0)
    board.tick("1|live", CALL, 100.0, at(0))
    board.tick("2|live", CALL, 900.0, at(0))
    board.quote("1|paper:x", CALL, 1.0, at(0.5))
    assert ltp(board) == 100.0


def test_quotes_that_move_without_ticks_are_evidence_until_the_next_tick() -> None:
    board = PriceBoard()
    board.tick(MARKET, CALL, 100.0, at(0))
    board.quote(MARKET, CALL, 100.0, at(3))
    assert board.moved_since_news(MARKET) is None
    board.quote(MARKET, CALL, 101.0, at(5))
    board.quote(MARKET, CALL, 102.0, at(7))
    assert board.moved_since_news(MARKET) == at(5)
    board.tick(MARKET, CALL, 102.0, at(8))
    assert board.moved_since_news(MARKET) is None


def test_ticks_that_repeat_what_a_quote_denied_are_dropped_until_they_tell_something_new() -> None:
    board = PriceBoard()
    for seconds in range(7):
        board.tick(MARKET, CALL, 100.0, at(seconds))
    board.quote(MARKET, CALL, 110.0, at(5.5))
    assert ltp(board) == 110.0  # the ticks since then were first told at 0 s
    board.tick(MARKET, CALL, 100.0, at(7))
    assert ltp(board) == 110.0
    assert not is_confirmed(board, 10.6, acknowledged=False)  # no tick told this price
    assert not is_confirmed(board, 11.1)  # of the ticks the one at 6 s was the last that counted
    assert board.moved_since_news(MARKET) == at(5.5)
    board.tick(MARKET, CALL, 111.0, at(8))
    board.tick(MARKET, CALL, 111.0, at(9))
    assert ltp(board) == 111.0
    assert is_confirmed(board, 14)
    assert board.moved_since_news(MARKET) is None


def test_a_quote_that_says_the_same_lets_repeated_ticks_count() -> None:
    board = PriceBoard()
    board.tick(MARKET, CALL, 100.0, at(0))
    board.quote(MARKET, CALL, 101.0, at(2))
    board.quote(MARKET, CALL, 100.01, at(4))
    board.tick(MARKET, CALL, 100.0, at(9))
    assert ltp(board) == 100.0
    assert is_confirmed(board, 14)


def test_a_quote_just_after_a_new_price_does_not_deny_it() -> None:
    board = PriceBoard()
    board.tick(MARKET, CALL, 100.0, at(0))
    board.quote(MARKET, CALL, 99.0, at(0.9))
    board.tick(MARKET, CALL, 100.0, at(1))
    assert ltp(board) == 100.0


@thorough
@given(
    told=st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from([0.0, float("nan"), -1.0, 0.05, 99.0, 100.0, 150.0, 301.0, 900.0]),
            st.floats(0, 90),
        ),
        max_size=20,
    ),
    later=st.floats(0, 70),
    acknowledged=st.booleans(),
)
def test_what_is_confirmed_was_told_as_lately_as_the_rule_wants(
    told: list[tuple[bool, float, float]], later: float, acknowledged: bool
) -> None:
    board = PriceBoard()
    told = sorted(told, key=lambda one: one[2])
    for polled, price, seconds in told:
        (board.quote if polled else board.tick)(MARKET, CALL, price, at(seconds))
    view = board.view(MARKET, CALL)
    now = at((told[-1][2] if told else 0) + later)
    if view is not None and confirmed(view, board.feed(MARKET, CALL[1], acknowledged=acknowledged), now):
        oldest = 60 if acknowledged else 5
        real = [(price, at(seconds)) for _, price, seconds in told if price > 0]
        assert any(price == view.ltp for price, _ in real)
        assert any(now - when <= timedelta(seconds=oldest) for _, when in real)
        if CALL in board.doubts(MARKET):
            assert view.looked_at is not None
            assert now - view.looked_at <= timedelta(seconds=5)
