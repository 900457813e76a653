"""What a strategy must fulfil before it is stored: every refusal names the leg and the field."""

from __future__ import annotations

import re
import unicodedata
from typing import assert_never

from engine.domain.entries import LimitTimeout
from engine.domain.expiries import WEEK_CHOICES, ExpiryChoice, has_weekly_expiries
from engine.domain.instruments import Action, InstrumentType, PriceType, Product
from engine.domain.strikes import LARGEST_OFFSET, StrikeKind
from engine.services.drafts import LegDraft, StrategyDraft
from engine.services.errors import InvalidInput
from engine.services.field_checks import LEAST, figure, one_of, whole
from engine.services.limit_checks import (
    MOST_PRICE,
    check_intraday,
    check_leg_rules,
    check_limits,
    check_told_apart,
)
from engine.services.schedule_checks import check_schedule

MARKET_CONDITIONS = ("any", "expiry", "non_expiry")
EXPIRY_CHOICES = tuple(str(choice) for choice in ExpiryChoice)
STRIKE_KINDS = tuple(str(kind) for kind in StrikeKind)
FAILURE_POLICIES = ("unwind", "hold")
LIMIT_TIMEOUTS = tuple(str(item) for item in LimitTimeout)
PRICE_TYPES = (str(PriceType.MARKET), str(PriceType.LIMIT))
MOST_SECONDS = 3_600
MOST_OFFSET = 10_000.0
"""Of a limit from the mid, in ₹."""
MOST_LEGS = 20
MOST_RATIO = 1_000
MOST_LOTS = 10_000
TRADED_TYPES = (InstrumentType.CE, InstrumentType.PE)
"""What the engine can size, enter and leave today."""
MIS_SQUARE_OFF = "15:10"

_UNDERLYING = re.compile(r"[A-Z][A-Z0-9&-]{0,29}")
_UNSEEN = frozenset("\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of text or break its line without being seen."""


def checked(draft: StrategyDraft, *, always_open: bool = False) -> StrategyDraft:
    """Return the draft with cleaned text and the defaults of its product; raises InvalidInput naming leg and field.

    An intraday (MIS) strategy without a square-off time gets 15:10 (RULES 7).
    ``always_open``: its accounts are at a venue without closing hours, where any time of day will do.
    """
    name = plain_text("name", draft.name)
    if not 1 <= len(name) <= 80:
        raise InvalidInput("name", "1 to 80 characters")
    description = plain_text("description", draft.description)
    if len(description) > 500:
        raise InvalidInput("description", "at most 500 characters")
    one_of("product", draft.product, [str(item) for item in Product])
    one_of("market condition", draft.market_condition, MARKET_CONDITIONS)
    one_of("hedge failure", draft.hedge_failure, FAILURE_POLICIES)
    one_of("sold leg failure", draft.sold_leg_failure, FAILURE_POLICIES)
    one_of("limit time-out", draft.limit_timeout, LIMIT_TIMEOUTS)
    for field, seconds in (("hedge seconds", draft.hedge_seconds), ("limit seconds", draft.limit_seconds)):
        words = f"1 to {MOST_SECONDS:,} seconds"
        if not 1 <= figure(field, seconds, words) <= MOST_SECONDS:
            raise InvalidInput(field, words)
    if draft.sizing_percentage is not None:
        field, words = "percentage of funds", "0.01 to 100, or empty for each account's grade"
        if not LEAST <= figure(field, draft.sizing_percentage, words) <= 100:
            raise InvalidInput(field, words)
    if draft.fixed_lots is not None:
        whole("fixed lots", draft.fixed_lots, 1, MOST_LOTS, ", or empty to size from margin")
    if not 1 <= len(draft.legs) <= MOST_LEGS:
        raise InvalidInput("legs", f"1 to {MOST_LEGS} legs")
    legs = [_leg(f"leg {number}", leg, draft.product) for number, leg in enumerate(draft.legs, start=1)]
    _together(legs)
    check_told_apart(legs)
    limits = draft.limits
    check_limits(limits, legs=len(legs), account_ids=draft.account_ids, always_open=always_open)
    if draft.product == Product.MIS and limits.square_off_time is None:
        limits = limits.model_copy(update={"square_off_time": MIS_SQUARE_OFF})
    check_schedule(draft.schedule, limits, always_open=always_open)
    if draft.product == Product.MIS:
        check_intraday(draft.schedule, limits)
    return draft.model_copy(
        update={
            "name": name, "description": description, "legs": legs, "limits": limits,
            "account_ids": sorted(set(draft.account_ids)),
        }
    )  # fmt: skip


def plain_text(field: str, text: str) -> str:
    """Return the text without blanks around it; raises InvalidInput for characters that nobody sees.

    Control characters, marks that turn the direction of what is read, halves of a surrogate pair.

    >>> plain_text("name", " Straddle, NIFTY ₹ ")
    'Straddle, NIFTY ₹'
    """
    stripped = text.strip()
    if any(character in _UNSEEN or unicodedata.category(character) in {"Cc", "Cs"} for character in stripped):
        raise InvalidInput(field, "it holds a control character or a mark that cannot be seen; type it anew")
    return stripped


def _leg(place: str, leg: LegDraft, product: str) -> LegDraft:
    underlying = leg.underlying.strip().upper()
    if not _UNDERLYING.fullmatch(underlying):
        raise InvalidInput(f"{place}, underlying", "an index or share by its exchange symbol, like NIFTY")
    one_of(f"{place}, action", leg.action, [str(item) for item in Action])
    if leg.instrument_type not in TRADED_TYPES:
        raise InvalidInput(
            f"{place}, type", f"{leg.instrument_type!r}: the engine trades options only so far, choose CE or PE"
        )
    one_of(f"{place}, price type", leg.price_type, PRICE_TYPES)
    if leg.price_type == PriceType.MARKET and leg.limit_offset != 0:
        raise InvalidInput(f"{place}, limit offset", "0 for a leg that enters at market, or choose LIMIT")
    field, words = f"{place}, limit offset", f"₹ better than the mid of bid and ask, 0 to {MOST_OFFSET:,.0f}"
    if not 0 <= figure(field, leg.limit_offset, words) <= MOST_OFFSET:
        raise InvalidInput(field, words)
    whole(f"{place}, ratio", leg.ratio, 1, MOST_RATIO)
    if product == Product.CNC:
        raise InvalidInput(f"{place}, type", "delivery (CNC) is for shares; options take NRML or MIS")
    one_of(f"{place}, expiry", leg.expiry_choice, EXPIRY_CHOICES)
    if leg.expiry_choice in WEEK_CHOICES and not has_weekly_expiries(underlying):
        raise InvalidInput(f"{place}, expiry", f"{underlying} has no weekly options: choose current or next month")
    _strike(place, leg)
    check_leg_rules(place, leg)
    return leg.model_copy(update={"underlying": underlying})


def _together(legs: list[LegDraft]) -> None:
    """Refuse what single legs may ask for, but not one structure."""
    first_of: dict[tuple[object, ...], tuple[int, str]] = {}
    for number, leg in enumerate(legs, start=1):
        if leg.underlying != legs[0].underlying:
            raise InvalidInput(
                f"leg {number}, underlying",
                f"the engine trades one underlying a strategy so far, and leg 1 is {legs[0].underlying}",
            )
        contract = (leg.instrument_type, leg.expiry_choice, leg.strike_kind, leg.strike_value)
        first, action = first_of.setdefault(contract, (number, leg.action))
        if action != leg.action:
            raise InvalidInput(
                f"leg {number}, action", f"leg {first} has the same contract with {action}: the two cancel each other"
            )


def _strike(place: str, leg: LegDraft) -> None:
    one_of(f"{place}, strike", leg.strike_kind, STRIKE_KINDS)
    field = f"{place}, strike value"
    value = figure(field, leg.strike_value)
    match StrikeKind(leg.strike_kind):
        case StrikeKind.OTM | StrikeKind.ITM:
            if value != int(value) or not 1 <= value <= LARGEST_OFFSET:
                raise InvalidInput(field, f"the number of strikes from the money, 1 to {LARGEST_OFFSET}")
        case StrikeKind.EXACT:
            if not LEAST <= value <= MOST_PRICE:
                raise InvalidInput(field, f"the strike, 0.01 to {MOST_PRICE:,.0f}")
        case StrikeKind.PREMIUM_NEAR:
            if not LEAST <= value <= MOST_PRICE:
                raise InvalidInput(field, f"the premium in ₹, 0.01 to {MOST_PRICE:,.0f}")
        case StrikeKind.ATM:
            if value != 0:
                raise InvalidInput(field, "empty or 0 for a leg at the money")
        case never:
            assert_never(never)
