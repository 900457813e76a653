"""The form of a strategy: nothing typed leaves it until it is saved, and a rerun loses nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from engine.services.drafts import LegDraft, StrategyDraft
from engine.services.exit_warnings import Warned
from engine.services.strategy_checks import MOST_OFFSET, MOST_PRICE, MOST_RATIO
from engine.services.views import AccountView
from pages.components import formats
from pages.components.entry_settings import choice, entry_settings
from pages.components.exit_settings import exit_settings, typed_in_vain
from pages.components.leg_rules import COLUMNS as LEG_RULE_COLUMNS
from pages.components.leg_rules import leg_rule_cells, leg_rule_columns, leg_rules, number, text
from pages.components.schedule_settings import schedule_settings
from pages.components.words import CONDITIONS, EXPIRIES, PRICE_TYPES, STRIKES

UNDERLYINGS = ["NIFTY", "BANKNIFTY", "SENSEX", "FINNIFTY", "MIDCPNIFTY", "BANKEX"]
PRODUCTS = {"NRML": "NRML · carried", "MIS": "MIS · intraday"}

_COLUMNS = (
    "underlying", "action", "instrument_type", "expiry_choice", "strike_kind", "strike_value", "ratio", "price_type",
    "limit_offset", *LEG_RULE_COLUMNS,
)  # fmt: skip
_NOT_OF_A_CONTRACT = {"ratio", "price_type", "limit_offset", *LEG_RULE_COLUMNS}
_EXPIRY_KEYS = {label: key for key, label in EXPIRIES.items()}
_STRIKE_KEYS = {label: key for key, label in STRIKES.items()}
_PRICE_KEYS = {label: key for key, label in PRICE_TYPES.items()}


class Typed(NamedTuple):
    """What was typed; ``save`` False: it shall only be checked."""

    draft: StrategyDraft
    save: bool


def strategy_form(draft: StrategyDraft, accounts: Sequence[AccountView], *, key: str, enabled: bool) -> Typed | None:
    """Show the form filled with ``draft``; return what was typed when a button of it is pressed, None otherwise."""
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
        to_cost = st.checkbox(
            "After a leg's stop, move the stops of the other legs to their cost",
            value=draft.limits.move_to_cost,
            key=f"{key}-to-cost",
            help="On that account, and only where it tightens them",
        )
        st.markdown("**When a run leaves**")
        limits = exit_settings(draft, accounts, key).model_copy(update={"move_to_cost": to_cost})
        st.markdown("**When it enters**")
        scheduled = draft.schedule.enabled or draft.schedule.last_entry_time is not None
        with st.expander("By itself, at a time of day", expanded=scheduled, key=f"{key}-open-schedule"):
            schedule = schedule_settings(draft.schedule, key)
        with st.expander("How, and when something goes wrong on the way", key=f"{key}-open-entry"):
            entry = entry_settings(draft, key)
        with st.container(horizontal=True):
            sent = st.form_submit_button("Save strategy", key=f"{key}-save", type="primary", disabled=not enabled)
            checking = st.form_submit_button(
                "Check", key=f"{key}-check", help="Says what is wrong or odd in what you typed; nothing is saved"
            )
    if not sent and not checking:
        return None
    if problem := typed_in_vain(limits):
        st.error(problem, title="Look at: trailing stop")
        return None
    return Typed(StrategyDraft(**head, legs=legs, limits=limits, schedule=schedule, **entry), save=sent)


def warn_of_exits(warned: Sequence[Warned]) -> None:
    """Show what of a strategy's exits should be looked at twice."""
    for one in warned:
        st.warning(formats.plain(one.reason), title=f"Look at: {one.field}", icon=":material/swap_vert:")


def warn_of_twins(legs: Sequence[LegDraft]) -> None:
    """Say which legs are the same contract on the same side: seldom meant, and one leg with more lots does it."""
    places: dict[tuple[object, ...], list[int]] = {}
    for place, leg in enumerate(legs, start=1):
        same = leg.model_dump(exclude=_NOT_OF_A_CONTRACT)
        places.setdefault(tuple(same.values()), []).append(place)
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
            **leg_rule_cells(leg),
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
        on_change="ignore",  # else the browser keeps a cell to itself for 150 ms, and a quick Save would miss it
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
                "Entry", options=list(PRICE_TYPES.values()), required=True, default=PRICE_TYPES["MARKET"]
            ),
            "limit_offset": columns.NumberColumn(
                "Offset",
                min_value=0.0,
                max_value=MOST_OFFSET,
                default=0.0,
                help="For a limit: so many ₹ better than the mid of bid and ask; 0 at market",
            ),
            **leg_rule_columns(),
        },
    )
    return [_leg(row) for row in edited.to_dict("records") if text(row.get("underlying"))]


def _leg(row: dict[Any, Any]) -> LegDraft:
    expiry, strike, enters = (text(row.get(name)) for name in ("expiry_choice", "strike_kind", "price_type"))
    return LegDraft(
        underlying=text(row.get("underlying")),
        action=text(row.get("action")) or "SELL",
        instrument_type=text(row.get("instrument_type")) or "CE",
        expiry_choice=_EXPIRY_KEYS.get(expiry, expiry or "current_week"),
        strike_kind=_STRIKE_KEYS.get(strike, strike or "atm"),
        strike_value=number(row.get("strike_value"), 0.0),
        ratio=int(number(row.get("ratio"), 1.0)),
        price_type=_PRICE_KEYS.get(enters, enters or "MARKET"),
        limit_offset=number(row.get("limit_offset"), 0.0),
        **leg_rules(row),
    )
