"""The form of a strategy: nothing typed leaves it until it is saved, and a rerun loses nothing of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import time
from typing import Any

import pandas as pd
import streamlit as st

from engine.services.drafts import LegDraft, LimitsDraft, StrategyDraft
from engine.services.strategy_checks import MOST_OFFSET, MOST_PRICE, MOST_RATIO, MOST_RUPEES
from engine.services.views import AccountView
from pages.components.entry_settings import choice, entry_settings
from pages.components.words import CONDITIONS, EXPIRIES, PRICE_TYPES, STRIKES, TRAILING, UNITS

UNDERLYINGS = ["NIFTY", "BANKNIFTY", "SENSEX", "FINNIFTY", "MIDCPNIFTY", "BANKEX"]
PRODUCTS = {"NRML": "NRML · carried", "MIS": "MIS · intraday"}
NO_TRAILING = "none"

_COLUMNS = {
    "underlying": "Underlying",
    "action": "Side",
    "instrument_type": "Type",
    "expiry_choice": "Expiry",
    "strike_kind": "Strike",
    "strike_value": "Value",
    "ratio": "Lots",
    "price_type": "Enters at",
    "limit_offset": "Offset ₹",
}
_EXPIRY_KEYS = {label: key for key, label in EXPIRIES.items()}
_STRIKE_KEYS = {label: key for key, label in STRIKES.items()}
_PRICE_KEYS = {label: key for key, label in PRICE_TYPES.items()}


def strategy_form(
    draft: StrategyDraft, accounts: Sequence[AccountView], *, key: str, enabled: bool
) -> StrategyDraft | None:
    """Show the form filled with ``draft``; return what was typed when it is sent, None otherwise."""
    with st.form(key, enter_to_submit=False, border=False):
        head = _head(draft, accounts, key)
        st.markdown("**Legs**")
        st.caption(
            "Lots is the ratio inside one structure: 1 and 2 make a 1:2 spread. Bought legs are entered first. "
            "A limit asks for the mid of bid and ask, better for you by the offset. "
            "To delete a leg, tick the box at the left of its row, then press the bin above the table."
        )
        warn_of_twins(draft.legs)
        st.space("small")  # the editor's toolbar lies over what stands above it on a touch screen
        legs = _legs(draft.legs, key)
        st.markdown("**Limits of a run**")
        limits = _limits(draft.limits, key)
        with st.expander("How it enters, and when something goes wrong on the way"):
            entry = entry_settings(draft, key)
        sent = st.form_submit_button("Save strategy", key=f"{key}-save", type="primary", disabled=not enabled)
    if not sent:
        return None
    return StrategyDraft(**head, legs=legs, limits=limits, **entry)


def warn_of_twins(legs: Sequence[LegDraft]) -> None:
    """Say which legs are the same contract on the same side: seldom meant, and one leg with more lots does it."""
    places: dict[tuple[object, ...], list[int]] = {}
    for number, leg in enumerate(legs, start=1):
        same = leg.model_dump(exclude={"ratio", "price_type", "limit_offset"})
        places.setdefault(tuple(same.values()), []).append(number)
    for numbers in places.values():
        if len(numbers) > 1:
            named = " and ".join(map(str, numbers))
            st.warning(
                f"Legs {named} are the same: side, type, expiry and strike. Raise Lots of one of them, or delete one.",
                icon=":material/content_copy:",
            )


def _head(draft: StrategyDraft, accounts: Sequence[AccountView], key: str) -> dict[str, Any]:
    names = {account.id: account.name for account in accounts}
    left, right = st.columns(2)
    name = left.text_input("Name", value=draft.name, max_chars=80, key=f"{key}-name")
    chosen = right.multiselect(
        "Accounts",
        list(names),
        default=[account_id for account_id in draft.account_ids if account_id in names],
        format_func=lambda account_id: names.get(account_id, ""),
        key=f"{key}-accounts",
    )
    description = st.text_input("Note", value=draft.description, max_chars=500, key=f"{key}-note")
    first, second, third, fourth = st.columns(4)
    with first:
        product = choice("Product", PRODUCTS, draft.product, f"{key}-product")
    with second:
        condition = choice("Starts on", CONDITIONS, draft.market_condition, f"{key}-condition")
    percentage = third.number_input(
        "Percentage of funds",
        value=draft.sizing_percentage,
        step=1.0,
        key=f"{key}-percentage",
        placeholder="grade of the account",
        help="Empty: each account's own grade decides (A 95 %, B 65 %, C 36 %)",
    )
    fixed = fourth.number_input(
        "Fixed lots",
        value=draft.fixed_lots,
        step=1,
        key=f"{key}-fixed",
        placeholder="sized from margin",
        help="Empty: as many as the margin of the account allows",
    )
    return {
        "name": name or "",
        "description": description or "",
        "account_ids": chosen,
        "product": product,
        "market_condition": condition,
        "sizing_percentage": percentage,
        "fixed_lots": fixed,
    }


def _legs(legs: Sequence[LegDraft], key: str) -> list[LegDraft]:
    rows = [
        {
            "underlying": leg.underlying,
            "action": leg.action,
            "instrument_type": leg.instrument_type,
            "expiry_choice": EXPIRIES.get(leg.expiry_choice, leg.expiry_choice),
            "strike_kind": STRIKES.get(leg.strike_kind, leg.strike_kind),
            "strike_value": leg.strike_value,
            "ratio": leg.ratio,
            "price_type": PRICE_TYPES.get(leg.price_type, leg.price_type),
            "limit_offset": leg.limit_offset,
        }
        for leg in legs
    ]
    underlyings = sorted(
        {*UNDERLYINGS, *(leg.underlying for leg in legs)}, key=lambda name: (name not in UNDERLYINGS, name)
    )
    columns = st.column_config
    edited = st.data_editor(
        pd.DataFrame(rows, columns=list(_COLUMNS)),
        key=f"{key}-legs",
        num_rows="dynamic",
        hide_index=True,
        alt="Legs",
        column_config={
            "underlying": columns.SelectboxColumn("Underlying", options=underlyings, required=True, default="NIFTY"),
            "action": columns.SelectboxColumn("Side", options=["SELL", "BUY"], required=True, default="SELL"),
            "instrument_type": columns.SelectboxColumn("Type", options=["CE", "PE"], required=True, default="CE"),
            "expiry_choice": columns.SelectboxColumn(
                "Expiry", options=list(EXPIRIES.values()), required=True, default=EXPIRIES["current_week"]
            ),
            "strike_kind": columns.SelectboxColumn(
                "Strike", options=list(STRIKES.values()), required=True, default=STRIKES["atm"]
            ),
            "strike_value": columns.NumberColumn(
                "Value",
                min_value=0.0,
                max_value=MOST_PRICE,
                default=0.0,
                help="Strikes from the money, the strike, or the premium in ₹",
            ),
            "ratio": columns.NumberColumn("Lots", min_value=1, max_value=MOST_RATIO, step=1, default=1),
            "price_type": columns.SelectboxColumn(
                "Enters at", options=list(PRICE_TYPES.values()), required=True, default=PRICE_TYPES["MARKET"]
            ),
            "limit_offset": columns.NumberColumn(
                "Offset ₹",
                min_value=0.0,
                max_value=MOST_OFFSET,
                default=0.0,
                help="For a limit: so many ₹ better than the mid of bid and ask; 0 at market",
            ),
        },
    )
    return [_leg(row) for row in edited.to_dict("records") if _text(row.get("underlying"))]


def _leg(row: dict[Any, Any]) -> LegDraft:
    expiry, strike, enters = (_text(row.get(name)) for name in ("expiry_choice", "strike_kind", "price_type"))
    return LegDraft(
        underlying=_text(row.get("underlying")),
        action=_text(row.get("action")) or "SELL",
        instrument_type=_text(row.get("instrument_type")) or "CE",
        expiry_choice=_EXPIRY_KEYS.get(expiry, expiry or "current_week"),
        strike_kind=_STRIKE_KEYS.get(strike, strike or "atm"),
        strike_value=_number(row.get("strike_value"), 0.0),
        ratio=int(_number(row.get("ratio"), 1.0)),
        price_type=_PRICE_KEYS.get(enters, enters or "MARKET"),
        limit_offset=_number(row.get("limit_offset"), 0.0),
    )


def _limits(limits: LimitsDraft, key: str) -> LimitsDraft:
    one, two, three, four = st.columns(4)
    max_loss = _amount(one, "Max loss", limits.max_loss, f"{key}-loss")
    with two:
        loss_unit = choice("in", UNITS, limits.max_loss_unit, f"{key}-loss-unit")
    max_profit = _amount(three, "Max profit", limits.max_profit, f"{key}-profit")
    with four:
        profit_unit = choice("in ", UNITS, limits.max_profit_unit, f"{key}-profit-unit")
    one, two, three = st.columns(3)
    with one:
        kinds = {NO_TRAILING: "No trailing stop", **TRAILING}
        kind = choice("Trailing stop", kinds, limits.trailing_kind or NO_TRAILING, f"{key}-trailing")
    trailing = _amount(two, "Trailing value", limits.trailing_value, f"{key}-trailing-value")
    activate = _amount(three, "Counts from a profit of ₹", limits.trailing_activate_at, f"{key}-activate")
    one, two = st.columns(2)
    exit_time = one.time_input(
        "Leave at (IST)",
        value=_time(limits.exit_time),
        step=300,
        key=f"{key}-exit",
        help="When you want to be out: the run leaves by itself at this time of its day. Empty: no such time",
    )
    square_off = two.time_input(
        "Square off at (IST)",
        value=_time(limits.square_off_time),
        step=300,
        key=f"{key}-square",
        help="The latest time, before the broker squares off itself: whatever is still open is taken off. "
        "Intraday (MIS) without one gets 15:10. The earlier of both times counts",
    )
    trails = kind != NO_TRAILING
    return LimitsDraft(
        max_loss=max_loss,
        max_loss_unit=loss_unit,
        max_profit=max_profit,
        max_profit_unit=profit_unit,
        trailing_kind=kind if trails else None,
        trailing_value=trailing if trails else None,
        trailing_activate_at=activate if trails else None,
        exit_time=f"{exit_time:%H:%M}" if exit_time is not None else None,
        square_off_time=f"{square_off:%H:%M}" if square_off is not None else None,
    )


def _amount(place: Any, label: str, value: float | None, key: str) -> float | None:
    # no bounds here: the browser keeps an amount beyond them to itself, and Save would not say what is wrong
    shown = None if value is None else min(value, MOST_RUPEES)  # what an earlier release stored may be beyond
    amount: float | None = place.number_input(label, value=shown, step=1.0, key=key, placeholder="none")
    return amount


def _time(text: str | None) -> time | None:
    return None if text is None else time.fromisoformat(text)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _number(value: Any, otherwise: float) -> float:
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return otherwise
