"""Supertrend exits that would take a winning position out are told, and only where that is plain."""

from __future__ import annotations

from typing import Any

import pytest

from engine.services.drafts import LegDraft, LimitsDraft, RuleDraft, StrategyDraft, SupertrendDraft
from engine.services.exit_warnings import Warned, exit_warnings


def leg(text: str, **fields: Any) -> LegDraft:
    """``SELL CE 0``: strikes out of the money, below 0 in it; ``SELL 2 CE 0`` for two lots."""
    action, *ratio, kind, away = text.split()
    strikes = int(away)
    place: dict[str, Any] = {"strike_kind": "atm"} if not strikes else {"strike_kind": "otm" if strikes > 0 else "itm"}
    place |= {"strike_value": abs(strikes), "ratio": int(ratio[0]) if ratio else 1}
    return LegDraft(underlying="NIFTY", action=action, instrument_type=kind, **place | fields)


def warned(legs: list[str] | list[LegDraft], exit_on: str, rule: RuleDraft | None = None, **trend: Any) -> list[Warned]:
    built = [one if isinstance(one, LegDraft) else leg(one) for one in legs]
    rules = {} if rule is None else {"supertrend": rule}
    limits = LimitsDraft(supertrend=SupertrendDraft(exit_on=exit_on, **trend), rules=rules)
    return exit_warnings(StrategyDraft(name="x", account_ids=[1], legs=built, limits=limits))


STRADDLE, LONG = ["SELL CE 0", "SELL PE 0"], ["BUY CE 0", "BUY PE 0"]
CONDOR = ["SELL CE 4", "SELL PE 4", "BUY CE 8", "BUY PE 8"]
DEBIT, CREDIT = ["BUY CE 0", "SELL CE 4"], ["SELL PE 0", "BUY PE 4"]
BACK = ["SELL CE 0", "BUY 2 CE 3"]
REVERSAL = ["SELL PE 3", "BUY CE 3"]


@pytest.mark.parametrize(
    ("legs", "series", "wrong"),
    [
        (STRADDLE, "combined", "breakdown"),
        (CONDOR, "combined", "breakdown"),
        (CREDIT, "combined", "breakdown"),
        (LONG, "combined", "breakout"),
        (DEBIT, "combined", "breakout"),
        (BACK, "combined", None),
        (REVERSAL, "combined", None),
        (STRADDLE, "underlying", None),
        (CREDIT, "underlying", "breakout"),
        (DEBIT, "underlying", "breakout"),
        (["BUY PE 0"], "underlying", "breakdown"),
        (REVERSAL, "underlying", "breakout"),
    ],
)
def test_the_direction_that_contradicts_the_position_is_told(legs: list[str], series: str, wrong: str | None) -> None:
    assert [one for one in ("breakout", "breakdown") if warned(legs, one, series=series)] == ([wrong] if wrong else [])


def test_one_leg_is_judged_by_what_the_whole_run_gains_from() -> None:
    spread = ["SELL PE 0", "BUY PE 4"]
    assert warned(spread, "breakdown", series="leg", leg=1)
    assert warned(spread, "breakdown", series="leg", leg=2), "the bought leg rises too when the run loses"
    assert not warned(spread, "breakout", series="leg", leg=2)
    assert not warned(STRADDLE, "breakdown", series="leg", leg=1), "the other leg decides"


def test_a_rule_that_closes_only_its_own_leg_is_judged_by_that_leg() -> None:
    own = RuleDraft(action="close_partial", legs=[1])
    assert warned(STRADDLE, "breakdown", own, series="leg", leg=1)
    assert not warned(STRADDLE, "breakout", own, series="leg", leg=1)


def test_what_is_said_names_the_field_the_reason_and_the_way_out() -> None:
    ((field, reason),) = warned(LONG, "breakout")
    assert field == "Supertrend, leaves on"
    assert "net bought" in reason
    assert "takes out a winning position" in reason
    assert "Choose breakdown" in reason
    ((_field, reason),) = warned(LONG, "breakout", RuleDraft(action="alert_only"))
    assert "reports a winning position" in reason


def test_a_rule_that_is_switched_off_and_legs_that_cannot_be_compared_are_left_alone() -> None:
    assert not warned(LONG, "breakout", RuleDraft(enabled=False))
    calendar = [leg("SELL CE 0"), leg("BUY CE 0", expiry_choice="next_week")]
    mixed = [leg("SELL CE 0"), leg("BUY CE 0", strike_kind="exact", strike_value=26_500)]
    for legs in (calendar, mixed):
        assert not warned(legs, "breakout")
        assert not warned(legs, "breakdown")


def test_strikes_and_premiums_tell_the_dearer_leg() -> None:
    high = leg("BUY PE 0", strike_kind="exact", strike_value=26_000)
    low = leg("SELL PE 0", strike_kind="exact", strike_value=25_500)
    assert warned([high, low], "breakout"), "the put of the higher strike is the dearer one"
    dear = leg("SELL CE 0", strike_kind="premium_near", strike_value=100)
    cheap = leg("BUY CE 0", strike_kind="premium_near", strike_value=20)
    assert warned([dear, cheap], "breakdown")
