from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import DomainError
from engine.domain.netting import FlatView, Owner, charge_drift, cross_opposites, exit_quantity, is_flat
from tests.unit.strategies import signed_lots, thorough

A, B, C = 1, 2, 3
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


def owners(**quantities):
    ids = {"A": A, "B": B, "C": C}
    return [Owner(ids[name], quantity, begun_order=ids[name]) for name, quantity in quantities.items()]


@pytest.mark.parametrize(
    ("owned", "net", "charged", "outside", "exits"),
    [
        ({"A": 65, "B": -65}, 0, {}, 0, {A: -65, B: 65}),
        ({"B": -65}, -65, {}, 0, {B: 65}),
        ({"A": 65}, 0, {A: 65}, 0, {A: 0}),
        ({"A": 65, "B": -65}, -65, {A: 65}, 0, {A: 0, B: 65}),
        ({"A": 65, "C": 65}, 65, {C: 65}, 0, {A: -65, C: 0}),
        ({"A": 65}, 130, {}, 65, {A: -65}),
        ({"A": 65, "B": -130}, -130, {A: 65}, 0, {A: 0, B: 130}),
        ({"A": 65}, -65, {A: 65}, -65, {A: 0}),
        ({"A": 130, "C": 65}, 65, {C: 65, A: 65}, 0, {A: -65, C: 0}),
        ({"B": -130}, -65, {B: -65}, 0, {B: 65}),
        ({"B": -65}, -130, {}, -65, {B: 65}),
        ({}, 65, {}, 65, {}),
    ],
)
def test_drift_is_charged_to_the_newest_run_it_closed_and_the_rest_is_outside(owned, net, charged, outside, exits):
    runs = owners(**owned)
    charges = charge_drift(runs, net)
    assert dict(charges.by_run) == charged
    assert charges.outside == outside
    assert {run.run_id: exit_quantity(run.quantity - charges.of_run(run.run_id), 0) for run in runs} == exits


def test_two_opposite_runs_leave_one_after_the_other():
    assert exit_quantity(65, 0) == -65  # A sells, the net goes from 0 to -65
    assert charge_drift(owners(B=-65), -65).by_run == {}
    assert exit_quantity(-65, 0) == 65  # later B buys, the net goes back to 0


def test_an_outside_quantity_stays_where_it_is():
    assert exit_quantity(65, 0) == -65  # net 130: A sells 65
    assert charge_drift([], 65).outside == 65


def test_runs_without_a_beginning_are_taken_oldest_first_as_named():
    assert charge_drift([Owner(7, 65), Owner(5, 65)], 65).by_run == {5: 65}


def test_the_beginning_decides_and_not_the_order_of_naming():
    assert charge_drift([Owner(C, 65, begun_order=9), Owner(A, 65, begun_order=1)], 65).by_run == {C: 65}


@pytest.mark.parametrize(
    ("entitled", "pending", "wanted", "order"),
    [
        (65, 0, None, -65),
        (-130, 65, None, 65),
        (65, 65, None, 0),
        (65, 130, None, 0),
        (0, 0, None, 0),
        (-130, 0, 65, 65),
        (130, 65, 130, -65),
        (130, 0, 0, 0),
    ],
)
def test_an_exit_never_exceeds_what_the_run_owns_less_its_pending_exits(entitled, pending, wanted, order):
    assert exit_quantity(entitled, pending, wanted=wanted) == order


@pytest.mark.parametrize(("pending", "wanted", "field"), [(-1, None, "pending_exit_quantity"), (0, -1, "wanted")])
def test_a_negative_quantity_is_refused(pending, wanted, field):
    with pytest.raises(DomainError) as caught:
        exit_quantity(65, pending, wanted=wanted)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("view", "terminal", "book", "expected"),
    [
        (FlatView(0, 0, 0, 0), True, 1, True),
        (FlatView(0, -65, -130, 65), True, 1, True),
        (FlatView(65, 65, 0, 0), True, 1, False),
        (FlatView(0, 65, 0, 0), True, 1, False),
        (FlatView(0, None, 0, 0), True, 1, False),
        (FlatView(0, 0, 0, 0), False, 1, False),
        (FlatView(0, 0, 0, 0), True, 0, False),
        (FlatView(0, 0, 0, 0), True, -1, False),
        (FlatView(0, 0, 0, 0), True, None, False),
    ],
)
def test_a_run_is_flat_when_a_later_valid_book_shows_only_what_others_own(view, terminal, book, expected):
    begun = None if book is None else NOW + timedelta(seconds=book)
    keys = [FlatView(0, 0, 0, 0), view]
    assert is_flat(keys, orders_terminal=terminal, book_begun_at=begun, last_fill_at=NOW) is expected


def test_a_run_that_never_filled_is_flat_on_any_valid_book():
    assert is_flat([], orders_terminal=True, book_begun_at=NOW, last_fill_at=None)


@pytest.mark.parametrize(
    ("leaving", "crossed", "remaining", "order"),
    [
        ({"A": 65, "B": -65}, {A: 65, B: -65}, {A: 0, B: 0}, 0),
        ({"A": 65, "B": -130}, {A: 65, B: -65}, {A: 0, B: -65}, 65),
        ({"A": 65, "B": -65, "C": 65}, {A: 65, B: -65, C: 0}, {A: 0, B: 0, C: 65}, -65),
        ({"A": 65, "C": 65}, {A: 0, C: 0}, {A: 65, C: 65}, -130),
        ({}, {}, {}, 0),
    ],
)
def test_runs_leaving_together_cross_inside_and_send_one_order(leaving, crossed, remaining, order):
    crossing = cross_opposites(owners(**leaving))
    assert (crossing.crossed, crossing.remaining, crossing.order_quantity) == (crossed, remaining, order)


@thorough
@given(st.lists(signed_lots, max_size=6), signed_lots)
def test_every_unit_of_the_net_belongs_to_a_run_or_is_outside(quantities, net):
    runs = [Owner(number, quantity, number) for number, quantity in enumerate(quantities)]
    charges = charge_drift(runs, net)
    entitled = {run.run_id: run.quantity - charges.of_run(run.run_id) for run in runs}
    assert sum(entitled.values()) + charges.outside == net
    for run in runs:
        assert abs(entitled[run.run_id]) <= abs(run.quantity)
        assert entitled[run.run_id] * run.quantity >= 0
    # an older run is charged only when the newer ones of its sign own nothing any more
    for old, new in product(runs, runs):
        if old.run_id < new.run_id and old.quantity * new.quantity > 0 and charges.of_run(old.run_id):
            assert entitled[new.run_id] == 0
    # what is outside never hides a run of the other sign that it would have closed
    if charges.outside:
        assert all(entitled[run.run_id] * charges.outside >= 0 for run in runs if run.quantity * charges.outside < 0)


@thorough
@given(st.lists(signed_lots, max_size=6))
def test_a_crossing_loses_nothing(quantities):
    crossing = cross_opposites([Owner(number, quantity) for number, quantity in enumerate(quantities)])
    assert sum(crossing.crossed.values()) == 0
    assert -sum(crossing.remaining.values()) == crossing.order_quantity == -sum(quantities)
    for number, quantity in enumerate(quantities):
        assert crossing.crossed[number] + crossing.remaining[number] == quantity
        assert crossing.crossed[number] * quantity >= 0
        assert crossing.remaining[number] * quantity >= 0
    signs = {remaining > 0 for remaining in crossing.remaining.values() if remaining}
    assert len(signs) <= 1


steps = st.lists(
    st.one_of(
        st.tuples(st.just("outside"), signed_lots, st.just(0)),
        st.tuples(st.just("exit"), st.integers(0, 3), st.integers(0, 40)),
    ),
    max_size=25,
)


@thorough
@given(st.lists(signed_lots, min_size=1, max_size=4), steps)
def test_whatever_happens_outside_a_run_only_shrinks_and_each_exit_moves_the_net_toward_the_others(quantities, history):
    owned = dict(enumerate(quantities))
    outside, net = 0, sum(quantities)
    for kind, first, filled in history:
        before = dict(owned)
        if kind == "outside":
            net += first
        elif first in owned:
            order = exit_quantity(owned[first], 0)
            fill = min(abs(order), filled) * (1 if order > 0 else -1)
            target = sum(owned.values()) - owned[first] + outside
            assert abs(net + fill - target) <= abs(net - target)
            owned[first] += fill
            net += fill
        charges = charge_drift([Owner(run, quantity, run) for run, quantity in owned.items()], net)
        for run in owned:  # a charge is booked as a fill
            owned[run] -= charges.of_run(run)
        outside = charges.outside
        assert sum(owned.values()) + outside == net
        assert all(abs(owned[run]) <= abs(before[run]) and owned[run] * before[run] >= 0 for run in owned)
