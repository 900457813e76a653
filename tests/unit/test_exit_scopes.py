"""What a part takes, what stays, and how exits of one run are kept from meeting in a key (RULES 6, 7)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.exit_scopes import (
    HeldKey,
    Scope,
    absorbing,
    keep_of_share,
    share_leaving,
    side_of,
    staying,
    takes_as_much,
)
from engine.domain.instruments import Exchange, Key, Product
from tests.unit.strategies import lot_sizes, thorough

LOT = 65
LEGS = {1: "26000CE", 2: "26000PE", 3: "26500CE", 4: "25500PE"}


def key(leg: int, account: int = 1) -> Key:
    return Key(account, f"NIFTY01DEC26{LEGS[leg]}", Exchange.NFO, Product.NRML)


def held(leg: int, lots: int, account: int = 1) -> HeldKey:
    return HeldKey(key(leg, account), frozenset({leg}), lots * LOT, LOT, side_of(LEGS[leg][-2:]))


def scope(
    accounts: set[int] | None = None, legs: set[int] | None = None, keep: Mapping[Key, int] | None = None
) -> Scope:
    return Scope(frozenset(accounts or ()), frozenset(legs or ()), keep or {})


STRADDLE = [held(leg, -3, account) for account in (1, 2) for leg in (1, 2)]


@pytest.mark.parametrize(
    ("lots", "share", "leaves"),
    [(3, 50, 2), (2, 50, 1), (1, 50, 1), (1, 1, 1), (3, 33, 1), (3, 99, 3), (10, 25, 3), (4, 25, 1), (0, 50, 0)],
)
def test_share_leaves_in_whole_lots_half_a_lot_counts_as_one_and_one_leaves_at_least(
    lots: int, share: float, leaves: int
) -> None:
    assert share_leaving(lots * LOT, share, LOT) == leaves * LOT


@thorough
@given(quantity=st.integers(0, 5_000), share=st.floats(0.01, 99.99), lot=lot_sizes)
def test_share_never_leaves_more_than_is_there_and_only_whole_lots(quantity: int, share: float, lot: int) -> None:
    leaving = share_leaving(quantity, share, lot)
    assert 0 <= leaving <= quantity
    assert leaving % lot == 0 or leaving == quantity
    assert leaving >= lot or quantity < lot


def test_share_keeps_the_rest_under_every_key_of_its_scope_and_names_no_other() -> None:
    assert keep_of_share(scope({1}, {2}), 50, STRADDLE) == {key(2): -LOT}
    assert keep_of_share(scope(), 1, [held(1, -1)]) == {}


def test_bought_leg_keeps_what_covers_the_sold_ones_that_stay() -> None:
    two_hedges = [held(1, -2), HeldKey(key(3), frozenset({3}), LOT, LOT, "up"), held(4, 1)]
    assert keep_of_share(scope(), 50, two_hedges) == {key(1): -LOT, key(3): LOT}
    assert keep_of_share(scope(), 50, [held(1, -2), held(3, 2)]) == {key(1): -LOT, key(3): LOT}
    assert keep_of_share(scope(set(), {3}), 50, [held(1, -2), held(3, 2)]) == {key(3): 2 * LOT}


def test_side_of_a_put_is_covered_by_puts_alone() -> None:
    assert keep_of_share(scope(), 50, [held(2, -2), held(3, 1)]) == {key(2): -LOT}


@pytest.mark.parametrize(
    ("there", "wanted", "covered"),
    [
        (scope(), scope({1}, {1}), True),
        (scope({1}), scope({1}, {2}), True),
        (scope({1}), scope(), False),
        (scope(set(), {1}), scope({1}), False),
        (scope(set(), {1, 2}), scope({2}, {1}), True),
        (scope(keep={key(1): -LOT}), scope({1}, {1}), False),
        (scope(keep={key(1): -LOT}), scope({1}, {2}), True),
        (scope(keep={key(1): -LOT}), scope(keep={key(1): -LOT}), True),
        (scope(keep={key(1): -LOT}), scope(keep={key(1): -2 * LOT}), True),
        (scope(keep={key(1): -2 * LOT}), scope(keep={key(1): -LOT}), False),
    ],
)
def test_exit_is_there_already_only_where_one_takes_as_much(there: Scope, wanted: Scope, covered: bool) -> None:
    assert takes_as_much(there, wanted, STRADDLE) is covered


def test_exits_that_meet_in_no_key_stay_beside_each_other() -> None:
    wanted = scope({1}, {1})
    assert absorbing(wanted, [scope({1}, {2}), scope({2}, {1})], STRADDLE) == (wanted, [])


def test_accounts_of_an_exit_that_is_met_stay_in_it() -> None:
    assert absorbing(scope({2, 3}), [scope({1, 2})], STRADDLE) == (scope({1, 2, 3}), [0])


def test_leg_taken_out_of_a_share_leaves_whole_and_the_others_keep_theirs() -> None:
    share = scope(keep=keep_of_share(scope(), 50, STRADDLE))
    merged, taken = absorbing(scope({1}, {1}), [share], STRADDLE)
    assert taken == [0]
    assert merged == scope(keep={key(2): -LOT, key(1, 2): -LOT, key(2, 2): -LOT})


def test_what_lies_between_two_exits_that_meet_stays_whole() -> None:
    merged, _ = absorbing(scope({1, 2}, {1}), [scope({1})], STRADDLE)
    assert merged == scope({1, 2}, keep={key(2, 2): -3 * LOT})


def test_legs_of_one_contract_meet_in_its_key() -> None:
    both = HeldKey(key(1), frozenset({1, 2}), -2 * LOT, LOT)
    _, taken = absorbing(scope(set(), {1}), [scope(set(), {2})], [both])
    assert taken == [0]


# ── whatever is ordered ───────────────────────────────────────────────────────────────────────────────────────────────

accounts_asked = st.frozensets(st.integers(1, 3), max_size=3)
legs_asked = st.frozensets(st.sampled_from(sorted(LEGS)), max_size=3)
books = st.dictionaries(
    st.tuples(st.sampled_from(sorted(LEGS)), st.integers(1, 3)), st.integers(-5, 5).filter(bool), max_size=12
).map(lambda lots: [held(leg, size, account) for (leg, account), size in lots.items()])
orders = st.lists(st.tuples(accounts_asked, legs_asked, st.none() | st.integers(1, 99)), min_size=1, max_size=6)


def ordered(accounts: frozenset[int], legs: frozenset[int], share: int | None, everything: list[HeldKey]) -> Scope:
    plain = Scope(accounts, legs)
    return plain if share is None else Scope(accounts, legs, keep_of_share(plain, share, everything))


@thorough
@given(books, orders)
def test_whatever_is_ordered_one_exit_decides_about_a_key_and_nothing_ordered_is_lost(
    everything: list[HeldKey], wanted: list[tuple[frozenset[int], frozenset[int], int | None]]
) -> None:
    active: list[Scope] = []
    least: dict[Key, int] = {}
    for accounts, legs, share in wanted:
        scope = ordered(accounts, legs, share, everything)
        for one in everything:
            if scope.covers(one):
                stays = abs(staying(one.quantity, scope.keep.get(one.key, 0)))
                least[one.key] = min(least.get(one.key, abs(one.quantity)), stays)
        if any(takes_as_much(there, scope, everything) for there in active):
            continue
        merged, taken = absorbing(scope, active, everything)
        active = [there for number, there in enumerate(active) if number not in taken] + [merged]
    for one in everything:
        over = [there for there in active if there.covers(one)]
        assert len(over) <= 1, "law 3"
        stays = abs(staying(one.quantity, over[0].keep.get(one.key, 0))) if over else abs(one.quantity)
        assert stays == least.get(one.key, abs(one.quantity)), "exactly what was ordered leaves"


@thorough
@given(books, accounts_asked, st.integers(1, 99))
def test_share_of_all_legs_makes_nothing_naked(everything: list[HeldKey], accounts: frozenset[int], share: int) -> None:
    taken = Scope(accounts)
    keep = keep_of_share(taken, share, everything)
    for place in {(one.key.account_id, one.side) for one in everything}:
        there = [one for one in everything if (one.key.account_id, one.side) == place]
        stays = {one.key: keep.get(one.key, 0) if taken.covers(one) else one.quantity for one in there}

        def naked(quantities: list[int]) -> int:
            return max(0, -sum(quantities))

        assert naked(list(stays.values())) <= naked([one.quantity for one in there])
        for one in there:
            assert stays[one.key] * one.quantity >= 0
            assert abs(stays[one.key]) <= abs(one.quantity)
