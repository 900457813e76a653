"""What may be sent now so that nothing is exited twice and no sold leg stands naked (RULES 6, 7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import ContractError
from engine.domain.exits import RETRY_SECONDS, OpenKey, exit_slices, exits_due, held_as_cover, retry_delay
from engine.domain.instruments import Action, Exchange, Key, Product
from tests.unit.strategies import lot_sizes, thorough

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


def key(name: str = "CE", account: int = 1) -> Key:
    return Key(account, f"NIFTY01DEC2626000{name}", Exchange.NFO, Product.NRML)


def held(owned: int, name: str = "CE", account: int = 1, **fields: Any) -> OpenKey:
    plain: dict[str, Any] = {
        "leg_index": 1, "underlying": "NIFTY", "sold_leg": owned < 0, "owned": owned, "pending_exit": 0,
        "in_doubt": False, "entry_alive": False,
    }  # fmt: skip
    return OpenKey(key=key(name, account), **(plain | fields))


def due(*keys: OpenKey, now: datetime = NOW) -> dict[str, int]:
    return {one.key.symbol[-2:]: one.action.sign * one.quantity for one in exits_due(keys, now)}


def test_sold_leg_is_bought_back_and_bought_leg_sold() -> None:
    assert due(held(-65)) == {"CE": 65}
    assert due(held(130)) == {"CE": -130}


def test_pending_exit_orders_count() -> None:
    assert due(held(-130, pending_exit=65)) == {"CE": 65}
    assert due(held(-130, pending_exit=130)) == {}
    assert due(held(-65, pending_exit=130)) == {}


def test_bought_leg_waits_for_the_sold_ones_of_its_account_and_underlying() -> None:
    sold, bought = held(-65, "CE"), held(65, "PE")
    assert due(sold, bought) == {"CE": 65}
    assert due(held(0, "CE", sold_leg=True), bought) == {"PE": -65}
    assert exits_due([held(-65, "CE", account=2), bought], NOW)[1].action is Action.SELL
    other = OpenKey(key("CE"), 1, "BANKNIFTY", True, -65, 0, False, False)
    assert {one.key.symbol[-2:] for one in exits_due([other, bought], NOW)} == {"CE", "PE"}


def test_bought_leg_waits_while_a_sold_one_may_still_fill() -> None:
    assert due(held(0, "CE", sold_leg=True, entry_alive=True), held(65, "PE")) == {}


def test_bought_leg_waits_while_the_buying_back_is_on_its_way() -> None:
    assert due(held(-65, "CE", pending_exit=65), held(65, "PE")) == {}


@pytest.mark.parametrize("why", [{"in_doubt": True}, {"entry_alive": True}, {"retry_at": NOW + timedelta(seconds=1)}])
def test_key_in_doubt_entering_or_waiting_is_left_alone(why: dict[str, Any]) -> None:
    assert due(held(-65, "CE", **why), held(-65, "PE")) == {"PE": 65}


def test_retry_is_due_when_its_time_has_come() -> None:
    assert due(held(-65, retry_at=NOW)) == {"CE": 65}


def test_retry_far_ahead_comes_from_a_clock_that_was_set_back_and_waits_for_nothing() -> None:
    assert due(held(-65, retry_at=NOW + timedelta(hours=1))) == {"CE": 65}
    assert due(held(-65, retry_at=NOW + timedelta(seconds=RETRY_SECONDS[-1]))) == {}


def test_back_off_grows_and_ends_at_its_last_step() -> None:
    delays = [retry_delay(failures) for failures in range(10)]
    assert delays == sorted(delays)
    assert delays[0] == delays[1] == timedelta(seconds=0.5)
    assert delays[-1] == timedelta(seconds=15)


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_part_takes_what_is_beyond_what_it_keeps() -> None:
    assert due(held(-195, kept=-65)) == {"CE": 130}
    assert due(held(-195, kept=-65, pending_exit=65)) == {"CE": 65}
    assert due(held(195, kept=65)) == {"CE": -130}
    assert due(held(-65, kept=-65), held(-65, "PE")) == {"PE": 65}


def test_what_was_closed_otherwise_counts_in_the_part() -> None:
    assert due(held(-65, kept=-130)) == {}
    assert due(held(-130, kept=-65, pending_exit=130)) == {}
    assert due(held(65, kept=-65)) == {"CE": -65}


def test_leg_beside_the_part_stays() -> None:
    assert due(held(-65, "CE"), held(-65, "PE", covered=False)) == {"CE": 65}


def test_bought_leg_is_held_while_a_sold_one_beside_the_part_is_open() -> None:
    bought, sold = held(65, "CE"), held(-65, "PE", covered=False)
    assert due(bought, sold) == {}
    assert held_as_cover([bought, sold]) == [bought.key]
    still_entering = held(0, "PE", covered=False, sold_leg=True, entry_alive=True)
    assert held_as_cover([bought, still_entering]) == [bought.key]
    assert held_as_cover([bought, held(-65, "PE", account=2, covered=False)]) == []


def test_share_of_a_bought_leg_goes_after_the_share_of_the_sold_one() -> None:
    bought = held(130, "PE", kept=65, side="up")
    assert due(held(-130, "CE", kept=-65, side="up"), bought) == {"CE": 65}
    assert due(held(-65, "CE", kept=-65, side="up"), bought) == {"PE": -65}


def test_bought_leg_goes_only_as_far_as_the_rest_covers_what_stays_sold() -> None:
    sold, bought = held(-65, "CE", kept=-65, side="up"), held(130, "PE", side="up")
    assert due(sold, bought) == {"PE": -65}
    assert held_as_cover([sold, bought]) == [bought.key]
    assert due(sold, held(130, "PE", side="up", pending_exit=65)) == {}


def test_whole_exit_holds_no_bought_leg_as_cover() -> None:
    assert held_as_cover([held(-65, "CE"), held(65, "PE")]) == []


def part(key: OpenKey, *, covered: bool, kept: int, side: str) -> OpenKey:
    return replace(key, covered=covered, kept=kept, side=side)


open_keys = st.lists(
    st.builds(
        held,
        owned=st.integers(-10, 10).map(lambda lots: lots * 65),
        name=st.sampled_from(["CE", "PE"]),
        account=st.integers(1, 3),
        underlying=st.sampled_from(["NIFTY", "BANKNIFTY"]),
        sold_leg=st.booleans(),
        pending_exit=st.integers(0, 12).map(lambda lots: lots * 65),
        in_doubt=st.booleans(),
        entry_alive=st.booleans(),
        retry_at=st.none() | st.integers(-30, 30).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    ),
    max_size=8,
    unique_by=lambda one: (one.key, one.underlying),
)


@thorough
@given(open_keys)
def test_an_exit_never_exceeds_what_is_left_and_never_turns_anything_around(keys: list[OpenKey]) -> None:
    by_key = {(one.key, one.leg_index): [item for item in keys if item.key == one.key] for one in exits_due(keys, NOW)}
    for one in exits_due(keys, NOW):
        matching = [
            item
            for item in by_key[one.key, one.leg_index]
            if one.quantity == abs(item.owned) - item.pending_exit and item.owned * one.action.sign < 0
        ]
        assert matching, one
        assert one.quantity > 0
        assert any(not item.in_doubt and not item.entry_alive for item in matching)


@thorough
@given(open_keys)
def test_no_bought_leg_leaves_while_a_sold_one_is_open(keys: list[OpenKey]) -> None:
    naked = {(item.key.account_id, item.underlying) for item in keys if item.owned < 0}
    for one in exits_due(keys, NOW):
        if one.action is Action.SELL:
            candidates = [item for item in keys if item.key == one.key and item.owned > 0]
            assert any((item.key.account_id, item.underlying) not in naked for item in candidates)


@thorough
@given(open_keys)
def test_sold_legs_are_never_held_up_by_others(keys: list[OpenKey]) -> None:
    for item in keys:
        alone, among = exits_due([item], NOW), exits_due(keys, NOW)
        if item.owned < 0:
            assert all(one in among for one in alone)


parts = open_keys.flatmap(
    lambda keys: st.tuples(
        *(
            st.builds(
                part,
                st.just(one),
                covered=st.booleans(),
                kept=st.integers(-10, 10).map(lambda lots: lots * 65),
                side=st.sampled_from(["up", "down"]),
            )
            for one in keys
        )
    ).map(list)
)


@thorough
@given(parts)
def test_a_part_never_takes_more_than_is_beyond_what_it_keeps(keys: list[OpenKey]) -> None:
    left = {(one.key, one.leg_index): 0 for one in keys}
    for one in keys:
        kept = min(abs(one.kept), abs(one.owned)) if one.kept * one.owned > 0 else 0
        if one.covered:
            left[one.key, one.leg_index] += max(0, abs(one.owned) - kept - one.pending_exit)
    for one in exits_due(keys, NOW):
        left[one.key, one.leg_index] -= one.quantity
        assert one.quantity > 0
    assert min(left.values(), default=0) >= 0


@thorough
@given(parts)
def test_a_part_leaves_no_sold_leg_naked_that_was_covered(keys: list[OpenKey]) -> None:
    sold = [one for one in exits_due(keys, NOW) if one.action is Action.SELL]
    for place in {(one.key.account_id, one.underlying, one.side) for one in keys}:
        there = [one for one in keys if (one.key.account_id, one.underlying, one.side) == place]
        short = sum(-one.owned for one in there if one.owned < 0)
        spare = sum(max(0, one.owned - one.pending_exit) for one in there)
        names = {(one.key, one.leg_index, one.owned - one.pending_exit) for one in there if one.owned > 0}
        going = sum(one.quantity for one in sold if any((one.key, one.leg_index) == name[:2] for name in names))
        if len({one.key for one in keys}) == len(keys) and spare >= short:
            assert spare - going >= short


@thorough
@given(lot=lot_sizes, quantity=st.integers(1, 100_000), freeze=st.none() | st.integers(1, 5_000))
def test_exit_is_cut_into_what_the_exchange_takes_and_nothing_is_left(
    lot: int, quantity: int, freeze: int | None
) -> None:
    slices = exit_slices(quantity, lot_size=lot, freeze_quantity=freeze)
    assert sum(slices) == quantity
    assert all(size > 0 for size in slices)
    assert all(size % lot == 0 for size in slices[:-1])
    limit = freeze if freeze is not None and freeze > 1 and freeze >= lot else 20 * lot
    assert max(slices) <= limit


def test_exit_of_nothing_makes_no_sense() -> None:
    with pytest.raises(ContractError):
        exit_slices(0, lot_size=65, freeze_quantity=1800)
