from datetime import date

import pytest

from engine.domain.errors import DomainError
from engine.domain.expiries import ExpiryChoice
from engine.domain.instruments import Action, Contract, Exchange, InstrumentType, PriceType, Product
from engine.domain.legs import Leg, ResolvedLeg
from engine.domain.strikes import StrikeKind, StrikeRule

CE, FUT, EQ = InstrumentType.CE, InstrumentType.FUT, InstrumentType.EQ
ATM = StrikeRule(StrikeKind.ATM)
WEEK, MONTH = ExpiryChoice.CURRENT_WEEK, ExpiryChoice.NEXT_MONTH


def leg(**changes):
    fields = {
        "index": 2,
        "underlying": "NIFTY",
        "action": Action.SELL,
        "instrument_type": CE,
        "expiry_choice": WEEK,
        "strike": ATM,
    }
    return Leg(**(fields | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"underlying": "SENSEX", "instrument_type": InstrumentType.PE, "lots_ratio": 2, "product": Product.MIS},
        {"underlying": "BANKNIFTY", "expiry_choice": MONTH, "price_type": PriceType.LIMIT},
        {"instrument_type": FUT, "strike": None, "expiry_choice": MONTH},
        {"underlying": "RELIANCE", "expiry_choice": MONTH},
        {
            "underlying": "RELIANCE",
            "instrument_type": EQ,
            "strike": None,
            "expiry_choice": None,
            "product": Product.CNC,
        },
    ],
)
def test_a_leg_that_makes_sense_is_accepted(changes):
    assert leg(**changes).index == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"index": 0}, "leg 0 index"),
        ({"underlying": ""}, "leg 2 underlying"),
        ({"lots_ratio": 0}, "leg 2 lots_ratio"),
        ({"lots_ratio": -1}, "leg 2 lots_ratio"),
        ({"price_type": PriceType.SL}, "leg 2 price_type"),
        ({"price_type": PriceType.SL_M}, "leg 2 price_type"),
        ({"instrument_type": InstrumentType.INDEX}, "leg 2 instrument_type"),
        ({"strike": None}, "leg 2 strike"),
        ({"expiry_choice": None}, "leg 2 expiry_choice"),
        ({"product": Product.CNC}, "leg 2 product"),
        ({"instrument_type": FUT, "expiry_choice": MONTH}, "leg 2 strike"),
        ({"instrument_type": FUT, "strike": None}, "leg 2 expiry_choice"),
        ({"underlying": "BANKNIFTY"}, "leg 2 expiry_choice"),
        ({"underlying": "BANKEX", "expiry_choice": ExpiryChoice.NEXT_WEEK}, "leg 2 expiry_choice"),
        ({"instrument_type": EQ, "expiry_choice": None, "product": Product.CNC}, "leg 2 strike"),
        ({"instrument_type": EQ, "strike": None, "product": Product.CNC}, "leg 2 expiry_choice"),
        ({"instrument_type": EQ, "strike": None, "expiry_choice": None}, "leg 2 product"),
    ],
)
def test_a_bad_leg_is_refused_naming_the_leg_and_the_field(changes, field):
    with pytest.raises(DomainError) as caught:
        leg(**changes)
    assert caught.value.field == field


def test_a_resolved_leg_knows_the_units_of_one_structure():
    contract = Contract("NIFTY01DEC2626000CE", Exchange.NFO, "NIFTY", CE, date(2026, 12, 1), 26000.0, 65, 0.05, 1800)
    assert ResolvedLeg(leg(lots_ratio=2), contract, 100.0).quantity_per_structure == 130
