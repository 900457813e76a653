"""The guard: the same rows fire by numpy, by the kernel and by plain words, and within bounds nothing changes."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.calendar import ALWAYS_OPEN
from engine.domain.guard import Fired, Form, Guard, fired_rows, in_paise
from engine.domain.instruments import Exchange
from engine.domain.leg_rules import LegFigures, LegKind, LegLimits, LegRule, LegRules, leg_price_bounds
from engine.domain.rule_bounds import account_bounds, profit_bounds
from engine.domain.rules import Decision, Limit, RunFigures, RunLimits, ScopeFigures, TrailingLimit, decide
from engine.domain.trailing import Lock, TrailingKind, TrailingRule, TrailingState

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def by_kernel() -> Fired:
    from engine.domain.guard_kernel import compiled

    return compiled()


# ── which rows fire ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_row_fires_at_its_bounds_and_not_within_them() -> None:
    guard = Guard()
    guard.put("run", [Form(975_000, {"call": -65}, low=-100_000, high=200_000)])  # sold 65 at 150
    for price, fires in ((150.0, False), (165.38, False), (165.39, True), (119.24, False), (119.23, True)):
        guard.price("call", price)
        assert guard.fired() == ({"run"} if fires else set()), price


def test_row_with_a_price_missing_does_not_fire() -> None:
    guard = Guard()
    assert guard.put("run", [Form(0, {"call": 65, "put": 65}, low=0, high=0)]) == ["call", "put"]
    guard.price("call", 100.0)
    assert guard.fired() == set()
    guard.price("put", 100.0)
    assert guard.fired() == {"run"}
    guard.price("call", math.nan)
    assert guard.fired() == set()


def test_forms_of_an_owner_take_the_place_of_those_before() -> None:
    guard = Guard()
    guard.price("nobody asked", 1.0)
    guard.put(1, [Form(0, {"call": 65}, high=0)])
    guard.put(2, [Form(0, {"call": 65}, high=0), Form(0, {"call": 1, "put": 1}, low=math.inf)])
    guard.price("call", 100.0)
    guard.price("put", 50.0)
    assert guard.fired() == {1, 2}
    guard.put(1, [])
    guard.put(2, [Form(0, {"call": 65}, high=1e9)])
    assert guard.fired() == set()
    assert guard.owners() == [2]


def test_price_with_part_of_a_paisa_draws_every_bound_in_by_what_rounding_may_hide() -> None:
    guard = Guard()
    guard.put("run", [Form(0, {"call": 65}, high=650_001, positions=1)])
    guard.price("call", 100.0)
    assert guard.fired() == set()
    guard.price("other", 100.0)
    guard.price("call", 100.00008)  # 650,000.52 paise: rounded by itself that is 650,001
    assert guard.fired() == {"run"}


@pytest.mark.parametrize(("rupees", "paise"), [(235.4, 23_540.0), (0.05, 5.0), (99_999.95, 9_999_995.0)])
def test_price_of_an_exchange_is_a_whole_number_of_paise(rupees: float, paise: float) -> None:
    assert in_paise(rupees) == paise


PLACES = st.integers(0, 11)
FORMS = st.builds(
    Form,
    st.integers(-(10**7), 10**7),
    st.dictionaries(PLACES, st.sampled_from([-195, -65, 65, 130, 1]), max_size=5),
    st.one_of(st.just(-math.inf), st.integers(-(10**7), 10**7)),
    st.one_of(st.just(math.inf), st.integers(-(10**7), 10**7)),
)
PRICES = st.one_of(st.just(math.nan), st.integers(5, 100_000).map(lambda ticks: ticks * 5 / 100))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 8), st.lists(FORMS, max_size=4)),
        st.tuples(st.just("price"), PLACES, PRICES),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_kernel_and_numpy_fire_the_rows_that_fire_by_their_own_words(by_kernel: Fired, steps: list) -> None:
    guard, forms, prices = Guard(), {}, {}
    for what, place, value in steps:
        if what == "put":
            forms[place] = value
            for fresh in guard.put(place, value):
                guard.price(fresh, prices.get(fresh, math.nan))
        else:
            prices[place] = value
            guard.price(place, value)
        naive = {owner for owner, rows in forms.items() if any(row.terms and row.fires(prices) for row in rows)}
        for by in (fired_rows, by_kernel):
            guard.by = by
            assert guard.fired() == naive


def test_thousand_owners_that_come_and_go_leave_no_gaps_behind() -> None:
    guard = Guard()
    guard.price("call", 100.0)
    for owner in range(3_000):
        guard.put(owner, [Form(0, {"call": 65, owner % 7: 1}, high=1)])
        guard.put(owner - 20, [])
    assert guard.rows < 1_000
    assert len(guard.owners()) == 20


# ── within bounds nothing changes ─────────────────────────────────────────────────────────────────────────────────────

AMOUNTS = st.integers(1, 400).map(float)
LIMITS = st.one_of(st.none(), AMOUNTS.map(Limit), AMOUNTS.map(lambda amount: Limit(amount, enabled=False)))
TRAILING_RULES = st.one_of(
    st.builds(
        TrailingRule,
        st.sampled_from([TrailingKind.AMOUNT, TrailingKind.POINTS, TrailingKind.PERCENT_OF_PREMIUM]),
        st.integers(1, 90).map(float),
        st.one_of(st.none(), AMOUNTS),
    ),
    st.builds(TrailingRule, st.just(TrailingKind.PERCENTAGE_OF_PROFIT), st.integers(1, 90).map(float), AMOUNTS),
    AMOUNTS.map(
        lambda reach: TrailingRule(
            TrailingKind.LOCK_AND_TRAIL, lock=Lock(reach, reach / 2, max(1.0, reach / 4), max(1.0, reach / 4) / 2)
        )
    ),
)
LEG_RULES = st.one_of(st.none(), st.builds(LegRule, st.sampled_from(LegKind), st.integers(1, 60).map(float)))
RULES = st.builds(
    RunLimits,
    max_loss=LIMITS,
    max_profit=LIMITS,
    account_max_loss=LIMITS,
    account_max_profit=LIMITS,
    trailing=st.one_of(st.none(), TRAILING_RULES.map(TrailingLimit)),
    legs=st.builds(
        lambda stop, target: LegRules((LegLimits(1, stop, target),)),
        LEG_RULES,
        LEG_RULES,
    ),
)
LOT = 65
PATHS = st.lists(st.integers(-40, 40), min_size=1, max_size=40)


def _decided(limits: RunLimits, figures: RunFigures) -> Decision:
    return decide(limits, figures, NOW, calendar=ALWAYS_OPEN, exchange=Exchange.NFO)


def _at(figures: RunFigures, price: float) -> RunFigures:
    profit = (10_000 - round(price * 100)) * LOT  # sold at 100
    return replace(
        figures,
        profit_paise=profit,
        accounts=tuple(replace(one, profit_paise=profit) for one in figures.accounts),
        legs=tuple(replace(leg, price=price) for leg in figures.legs),
    )


def _forms(limits: RunLimits, figures: RunFigures) -> list[Form]:
    bounds = [profit_bounds(limits, figures)]
    bounds += [account_bounds(limits, account, figures.latches) for account in figures.accounts]
    base, forms = 10_000 * LOT, []
    for low, high in bounds:
        forms.append(Form(base, {"leg": -LOT}, -math.inf if low is None else low, math.inf if high is None else high))
    for leg in figures.legs:
        lowest, highest = leg_price_bounds(limits.legs, leg, figures.latches)
        low, high = -math.inf if lowest is None else lowest * 100, math.inf if highest is None else highest * 100
        forms.append(Form(0, {"leg": 1}, low, high))
    return forms


@settings(max_examples=400, deadline=None)
@given(RULES, PATHS, st.sampled_from([None, 1_300_000]), st.sampled_from([None, LOT]))
def test_decide_changes_nothing_where_no_row_fired(
    limits: RunLimits, path: list[int], premium: int | None, units: int | None
) -> None:
    """A run along a path of prices: decided by its guard alone it is what it is when decided at every price."""
    guard, price = Guard(), 100.0
    account = ScopeFigures(1, None, 1, premium)
    leg = LegFigures(account_id=1, leg_index=1, bought=False, average=100.0, price=None, symbol="leg")
    figures = RunFigures(NOW, None, lots_filled=1, premium_paise=premium, units=units, accounts=(account,), legs=(leg,))
    guard.put("run", _forms(limits, figures))
    for step in path:
        price = round(max(0.05, price + step * 0.05), 2)
        guard.price("leg", price)
        decision = _decided(limits, _at(figures, price))
        changed = (decision.trailing, decision.latches) != (figures.trailing, figures.latches) or decision.exits
        if changed:
            assert guard.fired() == {"run"}
            figures = replace(figures, trailing=decision.trailing, latches=decision.latches)
            guard.put("run", _forms(limits, figures))


def test_trailing_stop_of_a_run_fires_at_a_new_peak_and_at_its_stop() -> None:
    rule = TrailingLimit(TrailingRule(TrailingKind.AMOUNT, 100.0))
    figures = RunFigures(NOW, 0, trailing=TrailingState(active=True, peak_paise=5_000, stop_paise=-5_000))
    assert profit_bounds(RunLimits(trailing=rule), figures) == (-5_000, 5_001)
