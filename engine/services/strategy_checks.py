"""What a strategy must fulfil before it is stored: every refusal names the leg and the field."""

from __future__ import annotations

import math
import re
from datetime import time
from typing import assert_never

from engine.domain.expiries import WEEK_CHOICES, ExpiryChoice, has_weekly_expiries
from engine.domain.instruments import Action, InstrumentType, PriceType, Product
from engine.domain.strikes import LARGEST_OFFSET, StrikeKind
from engine.services.errors import InvalidInput
from engine.services.views import LegDraft, LimitsDraft, StrategyDraft

MARKET_CONDITIONS = ("any", "expiry", "non_expiry")
EXPIRY_CHOICES = tuple(str(choice) for choice in ExpiryChoice)
STRIKE_KINDS = tuple(str(kind) for kind in StrikeKind)
LIMIT_UNITS = ("rupees", "per_lot", "percent_of_premium")
TRAILING_KINDS = ("percent_of_premium", "amount", "points", "percent_of_profit")
FAILURE_POLICIES = ("unwind", "hold")
MOST_LEGS = 12
MOST_RATIO = 50
MOST_RUPEES = 1_000_000.0
SESSION_OPENS, SESSION_CLOSES = time(9, 15), time(15, 40)
MIS_SQUARE_OFF = "15:10"

_UNDERLYING = re.compile(r"[A-Z][A-Z0-9&-]{0,29}")


def checked(draft: StrategyDraft) -> StrategyDraft:
    """Return the draft with cleaned text and the defaults of its product; raises InvalidInput naming leg and field.

    An intraday (MIS) strategy without a square-off time gets 15:10 (RULES 7).
    """
    name = draft.name.strip()
    if not 1 <= len(name) <= 80:
        raise InvalidInput("name", "1 to 80 characters")
    if len(draft.description) > 500:
        raise InvalidInput("description", "at most 500 characters")
    _one_of("product", draft.product, [str(item) for item in Product])
    _one_of("market condition", draft.market_condition, MARKET_CONDITIONS)
    _one_of("hedge failure", draft.hedge_failure, FAILURE_POLICIES)
    _one_of("sold leg failure", draft.sold_leg_failure, FAILURE_POLICIES)
    if draft.sizing_percentage is not None and not 0 < draft.sizing_percentage <= 100:
        raise InvalidInput("percentage of funds", "more than 0 and at most 100, or empty for each account's grade")
    if draft.fixed_lots is not None and not 1 <= draft.fixed_lots <= 1_000:
        raise InvalidInput("fixed lots", "1 to 1,000, or empty to size from margin")
    if not 1 <= len(draft.legs) <= MOST_LEGS:
        raise InvalidInput("legs", f"1 to {MOST_LEGS} legs")
    legs = [_leg(f"leg {number}", leg, draft.product) for number, leg in enumerate(draft.legs, start=1)]
    limits = _limits(draft.limits, legs)
    if draft.product == Product.MIS and limits.square_off_time is None:
        limits = limits.model_copy(update={"square_off_time": MIS_SQUARE_OFF})
    return draft.model_copy(
        update={
            "name": name, "description": draft.description.strip(), "legs": legs, "limits": limits,
            "account_ids": sorted(set(draft.account_ids)),
        }
    )  # fmt: skip


def _leg(place: str, leg: LegDraft, product: str) -> LegDraft:
    underlying = leg.underlying.strip().upper()
    if not _UNDERLYING.fullmatch(underlying):
        raise InvalidInput(f"{place}, underlying", "an index or share by its exchange symbol, like NIFTY")
    _one_of(f"{place}, action", leg.action, [str(item) for item in Action])
    _one_of(f"{place}, type", leg.instrument_type, ["CE", "PE", "FUT", "EQ"])
    if leg.price_type != PriceType.MARKET:
        raise InvalidInput(f"{place}, price type", "MARKET is the one kind that entries use")
    if not 1 <= leg.ratio <= MOST_RATIO:
        raise InvalidInput(f"{place}, ratio", f"1 to {MOST_RATIO}")
    kind = InstrumentType(leg.instrument_type)
    if product == Product.CNC and kind is not InstrumentType.EQ:
        raise InvalidInput(f"{place}, type", "delivery (CNC) is for shares; options and futures take NRML or MIS")
    if kind is InstrumentType.EQ and product == Product.NRML:
        raise InvalidInput(f"{place}, type", "shares take CNC or MIS, not NRML")
    if kind is not InstrumentType.EQ:
        _expiry(place, underlying, leg, kind)
    if kind in {InstrumentType.CE, InstrumentType.PE}:
        _strike(place, leg)
        return leg.model_copy(update={"underlying": underlying})
    return leg.model_copy(update={"underlying": underlying, "strike_kind": "atm", "strike_value": 0.0})


def _expiry(place: str, underlying: str, leg: LegDraft, kind: InstrumentType) -> None:
    _one_of(f"{place}, expiry", leg.expiry_choice, EXPIRY_CHOICES)
    if leg.expiry_choice in WEEK_CHOICES:
        if kind is InstrumentType.FUT:
            raise InvalidInput(f"{place}, expiry", "futures expire monthly: choose current or next month")
        if not has_weekly_expiries(underlying):
            raise InvalidInput(f"{place}, expiry", f"{underlying} has no weekly options: choose current or next month")


def _strike(place: str, leg: LegDraft) -> None:
    _one_of(f"{place}, strike", leg.strike_kind, STRIKE_KINDS)
    value = leg.strike_value
    if not math.isfinite(value):
        raise InvalidInput(f"{place}, strike value", "a number")
    field = f"{place}, strike value"
    match StrikeKind(leg.strike_kind):
        case StrikeKind.OTM | StrikeKind.ITM:
            if value != int(value) or not 1 <= value <= LARGEST_OFFSET:
                raise InvalidInput(field, f"the number of strikes from the money, 1 to {LARGEST_OFFSET}")
        case StrikeKind.EXACT:
            if not 0 < value <= MOST_RUPEES:
                raise InvalidInput(field, "the strike, more than 0")
        case StrikeKind.PREMIUM_NEAR:
            if not 0 < value <= MOST_RUPEES:
                raise InvalidInput(field, "the premium in ₹, more than 0")
        case StrikeKind.ATM:
            if value != 0:
                raise InvalidInput(field, "empty or 0 for a leg at the money")
        case never:
            assert_never(never)


def _limits(limits: LimitsDraft, legs: list[LegDraft]) -> LimitsDraft:
    only_options = all(leg.instrument_type in {"CE", "PE"} for leg in legs)
    for field, amount, unit in (
        ("max loss", limits.max_loss, limits.max_loss_unit),
        ("max profit", limits.max_profit, limits.max_profit_unit),
    ):
        _one_of(f"{field}, unit", unit, LIMIT_UNITS)
        if amount is None:
            continue
        if not math.isfinite(amount) or amount <= 0:
            raise InvalidInput(field, "more than 0, or empty")
        if unit == "percent_of_premium":
            _needs_premium(field, amount, only_options=only_options)
    _trailing(limits, only_options=only_options)
    for field, text in (("exit time", limits.exit_time), ("square-off time", limits.square_off_time)):
        if text is not None:
            _clock(field, text)
    return limits


def _trailing(limits: LimitsDraft, *, only_options: bool) -> None:
    if limits.trailing_kind is None:
        if limits.trailing_value is not None or limits.trailing_activate_at is not None:
            raise InvalidInput("trailing stop", "choose its kind, or empty its value")
        return
    _one_of("trailing stop, kind", limits.trailing_kind, TRAILING_KINDS)
    value, activate = limits.trailing_value, limits.trailing_activate_at
    if value is None or not math.isfinite(value) or value <= 0:
        raise InvalidInput("trailing stop, value", "more than 0")
    if activate is not None and (not math.isfinite(activate) or activate <= 0):
        raise InvalidInput("trailing stop, activate at", "the profit in ₹, more than 0, or empty")
    if limits.trailing_kind == "percent_of_premium":
        _needs_premium("trailing stop", value, only_options=only_options)
    if limits.trailing_kind == "percent_of_profit":
        if activate is None:
            raise InvalidInput(
                "trailing stop, activate at", "a percentage of profit needs the profit from which it counts"
            )
        if value >= 100:
            raise InvalidInput("trailing stop, value", "less than 100 % of the profit")


def _needs_premium(field: str, percent: float, *, only_options: bool) -> None:
    if not only_options:
        raise InvalidInput(field, "a percentage of premium needs option legs only; use ₹ or ₹ per lot")
    if percent > 1_000:
        raise InvalidInput(field, "at most 1,000 % of the premium")


def _clock(field: str, text: str) -> None:
    try:
        moment = time.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not re.fullmatch(r"\d\d:\d\d", text):
        raise InvalidInput(field, "HH:MM in Indian time, like 15:10")
    if not SESSION_OPENS < moment <= SESSION_CLOSES:
        raise InvalidInput(field, "inside the session, after 09:15 and until 15:40")


def _one_of(field: str, value: str, allowed: tuple[str, ...] | list[str]) -> None:
    if value not in allowed:
        raise InvalidInput(field, f"{value!r} is not one of {', '.join(allowed)}")
