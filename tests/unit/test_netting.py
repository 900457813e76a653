from datetime import UTC, datetime, timedelta
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import DomainError
from engine.domain.netting import (
    FlatView,
    Owner,
    PricedCharge,
    Traded,
    charge_drift,
    charges_at_trades,
    cross_opposites,
    exit_quantity,
    is_flat,
    unspent,
)
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


# ── against every small state ─────────────────────────────────────────────────────────────────────────────────────────

LOTS = range(-3, 4)


def small_states():
    """Every state of up to 4 runs of at most 3 lots, with every net of at most 6 lots."""
    for count in range(5):
        yield from product(product(LOTS, repeat=count), range(-6, 7))


def charged_lot_by_lot(quantities, net):
    """RULES 6 in other words: lots of the drift are given away one by one, each to the newest run that still owns one.

    A lot of the drift closes a lot of a run of the other sign; what finds no such run is outside.
    """
    left, outside = list(quantities), 0
    drift = net - sum(quantities)
    step = 1 if drift > 0 else -1
    for _ in range(abs(drift)):
        bearers = [run for run, owned in enumerate(left) if owned * step < 0]
        if bearers:
            left[bearers[-1]] += step
        else:
            outside += step
    return left, outside


def test_charges_are_those_of_the_definition_in_every_small_state():
    for quantities, net in small_states():
        runs = [Owner(run, 65 * quantity, run) for run, quantity in enumerate(quantities)]
        charges = charge_drift(runs, 65 * net)
        entitled = [run.quantity - charges.of_run(run.run_id) for run in runs]
        left, outside = charged_lot_by_lot(quantities, net)
        assert (entitled, charges.outside) == ([65 * lots for lots in left], 65 * outside), (quantities, net)


def test_charging_again_what_is_charged_changes_nothing_in_every_small_state():
    for quantities, net in small_states():
        charges = charge_drift([Owner(run, quantity, run) for run, quantity in enumerate(quantities)], net)
        left = [Owner(run, quantity - charges.of_run(run), run) for run, quantity in enumerate(quantities)]
        again = charge_drift(left, net)
        assert (again.by_run, again.outside) == ({}, charges.outside)


def test_exits_in_any_order_end_at_what_is_outside_in_every_small_state():
    """Whoever leaves first: each sends only its own, never turns around, and at the end what is outside stays."""
    for quantities, net in small_states():
        if len(quantities) > 3:
            continue
        for order in permutations(range(len(quantities))):
            owned, now, outside = list(quantities), net, charge_drift(_owners(quantities), net).outside
            for run in order:
                charges = charge_drift(_owners(owned), now)
                owned = [one - charges.of_run(number) for number, one in enumerate(owned)]
                sent = exit_quantity(owned[run], 0)
                others = sum(owned) - owned[run]
                assert abs(now + sent - others - outside) <= abs(now - others - outside)
                owned[run] += sent
                now += sent
            assert (now, set(owned) - {0}) == (outside, set())


def _owners(quantities):
    return [Owner(run, quantity, run) for run, quantity in enumerate(quantities)]


def test_crossing_is_that_of_the_definition_in_every_small_state():
    """One lot of a long run against one of a short run, until one side has none left."""
    for count in range(5):
        for quantities in product(LOTS, repeat=count):
            crossing = cross_opposites([Owner(run, 65 * quantity) for run, quantity in enumerate(quantities)])
            left = list(quantities)
            while any(one > 0 for one in left) and any(one < 0 for one in left):
                left[next(run for run, one in enumerate(left) if one > 0)] -= 1
                left[next(run for run, one in enumerate(left) if one < 0)] += 1
            assert crossing.remaining == {run: 65 * one for run, one in enumerate(left)}
            assert crossing.order_quantity == -65 * sum(quantities)


# ── trades that explain charges ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("seen", "spent", "left"),
    [
        (Traded(65, 100), Traded(), Traded(65, 100)),
        (Traded(130, 300), Traded(65, 100), Traded(65, 200)),
        (Traded(65, 100), Traded(65, 100), Traded()),
        (Traded(65, 100), Traded(130, 300), Traded()),
        (Traded(), Traded(65, 100), Traded()),
    ],
)
def test_trades_explain_only_what_they_did_not_explain_before(seen, spent, left):
    assert unspent(seen, spent) == left


@pytest.mark.parametrize(
    ("by_run", "traded", "priced"),
    [
        ({3: 65, 1: 65}, Traded(130, 1_301), [(3, 65, 650), (1, 65, 651)]),
        ({3: -65}, Traded(130, 1_300), [(3, -65, 650)]),
        ({3: 65, 1: 65}, Traded(65, 700), [(3, 65, 700)]),
        ({3: 65, 1: 65}, Traded(100, 1_000), [(3, 65, 650), (1, 35, 350)]),
        ({3: 65}, Traded(), []),
        ({}, Traded(65, 700), []),
    ],
)
def test_trades_price_the_newest_charges_first_and_no_more_units_than_were_traded(by_run, traded, priced):
    assert charges_at_trades(by_run, traded) == [PricedCharge(*one) for one in priced]


@given(st.lists(st.integers(1, 200), min_size=1, max_size=5), st.integers(0, 10_000_000))
@thorough
def test_trades_that_explain_everything_are_shared_out_to_the_paisa(sizes, value):
    by_run = dict(enumerate(sizes))
    priced = charges_at_trades(by_run, Traded(sum(sizes), value))
    assert sum(one.value_paise for one in priced) == value
    assert {one.run_id: one.quantity for one in priced} == by_run
