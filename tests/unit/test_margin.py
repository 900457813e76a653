import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import SizingError
from engine.domain.expiries import ExpiryChoice
from engine.domain.instruments import Action, Contract, Exchange, InstrumentType
from engine.domain.legs import Leg, ResolvedLeg
from engine.domain.margin import (
    DEFAULT_MARGIN_ROWS,
    BrokerStep,
    StructureLeg,
    margin_row,
    size_by_broker,
    structure_leg,
    structure_margin,
)
from engine.domain.strikes import StrikeKind, StrikeRule
from tests.unit.strategies import thorough

LOT_SIZES = {"NIFTY": 65, "BANKNIFTY": 30, "SENSEX": 20, "RELIANCE": 1}


def leg(text: str, price: float | None = None) -> StructureLeg:
    """``sell 2 NIFTY CE``."""
    action, lots, underlying, kind = text.split()
    return StructureLeg(
        underlying, InstrumentType(kind), Action(action.upper()), int(lots), LOT_SIZES.get(underlying, 50), price
    )


def margin(*legs, expiry_day=False, **options):
    taken = [leg(each) if isinstance(each, str) else each for each in legs]
    return structure_margin(taken, DEFAULT_MARGIN_ROWS, expiry_day=expiry_day, **options).total_paise / 100


@pytest.mark.parametrize(
    ("underlying", "expiry_day", "one_side", "both_sides", "futures"),
    [
        ("NIFTY", True, 205_000, 250_000, 215_000),
        ("NIFTY", False, 250_000, 320_000, 215_000),
        ("BANKNIFTY", True, 205_000, 250_000, 215_000),
        ("BANKNIFTY", False, 250_000, 320_000, 215_000),
        ("SENSEX", True, 180_000, 225_000, 185_000),
        ("SENSEX", False, 220_000, 290_000, 185_000),
    ],
)
def test_the_default_rows_are_those_of_the_rules(underlying, expiry_day, one_side, both_sides, futures):
    assert margin(f"sell 1 {underlying} CE", expiry_day=expiry_day) == one_side
    assert margin(f"sell 1 {underlying} PE", expiry_day=expiry_day) == one_side
    both = (f"sell 1 {underlying} CE", f"sell 1 {underlying} PE")
    assert margin(*both, expiry_day=expiry_day) == both_sides
    assert margin(f"buy 1 {underlying} FUT", expiry_day=expiry_day) == futures


@pytest.mark.parametrize(
    ("legs", "rupees"),
    [
        (["sell 1 NIFTY CE", "sell 2 NIFTY PE"], 320_000 + 250_000),
        (["sell 3 NIFTY CE", "sell 1 NIFTY PE"], 320_000 + 2 * 250_000),
        (["sell 1 NIFTY CE", "sell 1 NIFTY CE"], 500_000),
        (["sell 1 NIFTY FUT", "buy 2 NIFTY FUT"], 3 * 215_000),
        (["sell 1 NIFTY CE", "sell 1 SENSEX PE"], 250_000 + 220_000),
        (["sell 1 NIFTY CE", "sell 1 NIFTY PE", "sell 1 NIFTY FUT"], 320_000 + 215_000),
        (["buy 1 NIFTY CE"], 20_000),
        (["buy 3 BANKNIFTY PE"], 60_000),
        (["buy 1 NIFTY PE", "buy 1 NIFTY FUT"], 215_000 + 20_000),
        (["buy 1 NIFTY CE", "sell 1 SENSEX CE"], 20_000 + 220_000),
    ],
)
def test_a_structure_costs_the_sum_of_its_parts(legs, rupees):
    assert margin(*legs) == rupees


def test_bought_legs_alone_cost_their_premium():
    assert margin(leg("buy 2 NIFTY CE", price=100.05)) == pytest.approx(2 * 65 * 100.05)


@pytest.mark.parametrize("price", [None, 0.0, -1.0, math.nan, math.inf])
def test_a_bought_leg_without_a_price_costs_the_default(price):
    assert margin(leg("buy 1 NIFTY CE", price=price)) == 20_000


def test_bought_legs_beside_sold_ones_cost_their_premium_only_if_the_user_counts_it():
    spread = [leg("sell 1 NIFTY CE", price=150.0), leg("buy 1 NIFTY CE", price=60.0)]
    assert margin(*spread) == 250_000
    assert margin(*spread, count_bought_premium=True) == 250_000 + 65 * 60


@pytest.mark.parametrize(
    "text", ["sell 1 FINNIFTY CE", "buy 1 BANKEX PE", "buy 1 MIDCPNIFTY FUT", "sell 1 RELIANCE EQ"]
)
def test_an_instrument_without_a_row_is_denied(text):
    with pytest.raises(SizingError, match="no margin row"):
        margin("sell 1 NIFTY CE", text)


def test_a_bought_equity_costs_its_price_and_needs_one():
    assert margin(leg("buy 10 RELIANCE EQ", price=1500.5)) == 15_005
    with pytest.raises(SizingError) as caught:
        margin("buy 10 RELIANCE EQ")
    assert caught.value.field == "price"


def test_a_structure_without_legs_is_refused():
    with pytest.raises(SizingError):
        margin()


def test_the_breakdown_names_each_part():
    parts = structure_margin(
        [leg("sell 2 NIFTY CE"), leg("sell 1 NIFTY PE"), leg("sell 1 NIFTY FUT"), leg("buy 1 SENSEX CE", price=50.0)],
        DEFAULT_MARGIN_ROWS,
        expiry_day=False,
    ).parts
    assert [(part.underlying, part.kind, part.lots, part.amount_paise) for part in parts] == [
        ("NIFTY", "both sides sold", 1, 32_000_000),
        ("NIFTY", "one side sold", 1, 25_000_000),
        ("NIFTY", "futures", 1, 21_500_000),
        ("SENSEX", "premium", 1, 100_000),
    ]


def test_a_row_of_the_user_replaces_the_default():
    rows = {"NIFTY": margin_row("NIFTY", one_side=(1, 2), both_sides=(3, 4), futures=(5, 6))}
    assert structure_margin([leg("sell 1 NIFTY CE")], rows, expiry_day=True).total_paise == 100
    assert structure_margin([leg("sell 1 NIFTY FUT")], rows, expiry_day=False).total_paise == 600


@pytest.mark.parametrize("pair", [(0, 1), (1, -1), (math.nan, 1), (1, math.inf)])
def test_a_row_with_an_amount_that_is_none_is_refused(pair):
    with pytest.raises(SizingError) as caught:
        margin_row("NIFTY", one_side=(1, 2), both_sides=pair, futures=(1, 2))
    assert caught.value.field == "NIFTY both_sides"


def test_a_resolved_leg_gives_its_margin_figures():
    asked = Leg(
        1,
        "NIFTY",
        Action.BUY,
        InstrumentType.CE,
        ExpiryChoice.CURRENT_WEEK,
        StrikeRule(StrikeKind.ATM),
        lots_ratio=2,
    )
    contract = Contract(
        "NIFTY01DEC2626000CE", Exchange.NFO, "NIFTY", InstrumentType.CE, date(2026, 12, 1), 26000.0, 65, 0.05, 1800
    )
    assert structure_leg(ResolvedLeg(asked, contract, 90.0)) == leg("buy 2 NIFTY CE", price=90.0)


@thorough
@given(calls=st.integers(0, 20), puts=st.integers(0, 20), futures=st.integers(0, 20), more=st.integers(1, 5))
def test_a_multiple_of_a_structure_costs_that_multiple(calls, puts, futures, more):
    def cost(times):
        legs = [
            StructureLeg("NIFTY", kind, Action.SELL, lots * times, 65)
            for kind, lots in zip(
                (InstrumentType.CE, InstrumentType.PE, InstrumentType.FUT), (calls, puts, futures), strict=True
            )
        ]
        return structure_margin(legs, DEFAULT_MARGIN_ROWS, expiry_day=False).total_paise

    assert cost(more) == more * cost(1)


@pytest.mark.parametrize(
    ("answers", "step"),
    [
        ([], BrokerStep(1, settled=False)),
        ([(1, 70)], BrokerStep(0, settled=True)),
        ([(1, 40)], BrokerStep(1, settled=True)),
        ([(1, 15)], BrokerStep(4, settled=False)),
        ([(1, 15), (4, 65)], BrokerStep(4, settled=True)),
        ([(1, 15), (4, 80)], BrokerStep(3, settled=False)),
        ([(1, 15), (4, 66)], BrokerStep(3, settled=False)),
        ([(1, 15), (4, 80), (3, 60)], BrokerStep(3, settled=True)),
        ([(1, 15), (4, 80), (3, 66)], BrokerStep(1, settled=True)),
        ([(1, 15), (4, 200)], BrokerStep(1, settled=True)),
    ],
)
def test_the_brokers_figure_is_asked_at_most_three_times(answers, step):
    assert size_by_broker(65, answers) == step


def test_the_broker_is_not_asked_for_more_than_is_wanted():
    assert size_by_broker(65, [(1, 15)], at_most=2) == BrokerStep(2, settled=False)
    assert size_by_broker(65, [(1, 15)], at_most=1) == BrokerStep(1, settled=True)


def test_a_broker_margin_of_zero_is_refused():
    with pytest.raises(SizingError):
        size_by_broker(65, [(1, 0)])


@thorough
@given(usable=st.integers(0, 10**9), figures=st.lists(st.integers(1, 10**8), min_size=3, max_size=3))
def test_sizing_by_the_broker_settles_within_its_calls_on_a_number_that_fitted(usable, figures):
    answers = []
    while not (step := size_by_broker(usable, answers)).settled:
        answers.append((step.structures, figures[len(answers)]))
        assert len(answers) <= 3
    fitted = {asked for asked, margin in answers if margin <= usable}
    assert step.structures == 0 or step.structures in fitted
