"""Tables: the same columns, order and alignment wherever a thing is shown. A missing figure is a dash, never a zero."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import pandas as pd
import streamlit as st

from engine.services.views import AccountView, PositionView, PreviewView, RiskEventView, RunAccountView, RunView
from pages.components import formats
from pages.components.freshness import FRESH_SECONDS
from pages.components.words import ACCOUNT_STATES, ACTIONS, BOUNDS, EVENTS, HEALTH, RUN_STATES, word

WHOLE_ROWS = 40
"""Tables up to this many rows are shown whole; longer ones scroll."""

RIGHT = st.column_config.Column(alignment="right")
PROFIT_COLOURS = {"light": ("#166534", "#b91c1c"), "dark": ("#4ade80", "#f87171")}


def accounts_table(accounts: Sequence[AccountView], now: datetime, *, halted: bool = False, key: str) -> None:
    """Show accounts with health, what they wait for, funds with their age, and P of the day."""
    rows = [
        {
            "Account": _name(account),
            "State": _account_state(account, halted=halted),
            "P": formats.profit(account.profit_paise),
            "Available": formats.rupees(account.available_paise, decimals=False),
            "Used": formats.rupees(account.used_paise, decimals=False),
            "Funds read": formats.since(account.funds_at, now),
            "Health": word(HEALTH, account.health),
            "Grade": account.grade,
            "Broker": account.broker,
        }
        for account in accounts
    ]
    _table(rows, key=key, alt="Accounts", pinned="Account", right=("Available", "Used"))


def run_accounts_table(accounts: Sequence[RunAccountView], *, key: str) -> None:
    """Show a run's accounts: lots, what bound them, state and P."""
    rows = [
        {
            "Account": account.account,
            "Lots": account.lots,
            "State": word(ACCOUNT_STATES, account.state),
            "P": formats.profit(account.profit_paise),
            "Bound by": word(BOUNDS, account.bound_by),
            "Why": account.reason,
        }
        for account in accounts
    ]
    _table(rows, key=key, alt="Accounts of the run", pinned="Account")


def positions_table(positions: Sequence[PositionView], *, behind: float, key: str) -> None:
    """Show positions by account and leg, each price with its age; the view itself is ``behind`` seconds old."""
    rows = [
        {
            "Account": position.account,
            "Contract": position.symbol,
            "P": formats.profit(position.profit_paise),
            "Quantity": formats.quantity(position.quantity),
            "Average": formats.price(position.average_price),
            "LTP": formats.price(position.ltp),
            "Price": _price_state(position, behind),
            "Product": position.product,
            "Leg": position.leg_index,
        }
        for position in sorted(positions, key=lambda row: (row.account, row.leg_index, row.symbol))
    ]
    _table(rows, key=key, alt="Positions", right=("Quantity", "Average", "LTP"))


def exit_orders_table(positions: Sequence[PositionView], *, key: str) -> None:
    """Show the orders that would take positions off, sold legs first (RULES 7)."""
    open_positions = [position for position in positions if position.exit_quantity]
    rows = [
        {
            "Account": position.account,
            "Side": position.exit_action,
            "Quantity": formats.grouped(position.exit_quantity),
            "Contract": position.symbol,
        }
        for position in sorted(open_positions, key=lambda row: (row.quantity > 0, row.account, row.leg_index))
    ]
    _table(rows, key=key, alt="Exit orders", right=("Quantity",))


def preview_legs_table(preview: PreviewView, *, key: str) -> None:
    """Show the resolved contracts with their prices."""
    rows = [
        {
            "Contract": leg.symbol,
            "Side": leg.action,
            "LTP": formats.price(leg.ltp),
            "Bid": formats.price(leg.bid),
            "Ask": formats.price(leg.ask),
            "Lot": leg.lot_size,
            "Lots a structure": leg.ratio,
            "Expiry": f"{leg.expiry:%d %b %Y}",
            "Freeze": formats.UNKNOWN if leg.freeze_quantity is None else formats.grouped(leg.freeze_quantity),
            "Lot and freeze from": leg.source,
        }
        for leg in preview.legs
    ]
    _table(rows, key=key, alt="Resolved contracts", pinned="Contract", right=("LTP", "Bid", "Ask", "Freeze"))


def preview_accounts_table(preview: PreviewView, *, behind: float, key: str) -> None:
    """Show the sizing of each account, from funds to lots; the preview itself is ``behind`` seconds old."""
    rows = [
        {
            "Account": account.account,
            "Lots": account.lots,
            "Bound by": word(BOUNDS, account.bound_by),
            "Orders": len(account.orders),
            "Available": formats.rupees(account.available_paise, decimals=False),
            "Grade and share": f"{account.grade} · {percent}" if account.grade else percent,
            "Usable": formats.rupees(account.usable_paise, decimals=False),
            "Margin of one": formats.rupees(account.structure_margin_paise, decimals=False),
            "Funds read": formats.age(_older(account.funds_age_seconds, behind)),
            "Why": account.reason,
        }
        for account in preview.accounts
        for percent in [formats.percent(account.percentage)]
    ]
    money = ("Available", "Grade and share", "Usable", "Margin of one")
    _table(rows, key=key, alt="Sizing per account", pinned="Account", right=money)


def preview_orders_table(preview: PreviewView, *, key: str) -> None:
    """Show each child order in the order it would go."""
    names = {account.account_id: account.account for account in preview.accounts}
    rows = [
        {
            "Account": names.get(order.account_id, ""),
            "Stage": order.stage,
            "Side": order.action,
            "Quantity": formats.grouped(order.quantity),
            "Contract": order.symbol,
            "Slice": order.slice_index + 1,
        }
        for account in preview.accounts
        for order in account.orders
    ]
    _table(rows, key=key, alt="Orders", right=("Quantity",))


def history_table(runs: Sequence[RunView], *, key: str) -> None:
    """Show runs that ended."""
    rows = [
        {
            "Run": run.id,
            "Strategy": run.strategy,
            "P": formats.profit(run.profit_paise),
            "State": RUN_STATES.get(run.state, (run.state, ""))[0],
            "Left because": word(EVENTS, run.exit_reason) or run.reason,
            "Began": formats.clock(run.created_at),
            "Ended": formats.clock(run.closed_at),
            "Lots": ", ".join(f"{account.account} {account.lots}" for account in run.accounts),
        }
        for run in runs
    ]
    _table(rows, key=key, alt="Runs that ended")


def events_table(events: Sequence[RiskEventView], *, key: str) -> list[int]:
    """Show risk events and return the places of the selected rows."""
    rows = [
        {
            "Time": formats.clock(event.at),
            "Event": word(EVENTS, event.kind),
            "Action": word(ACTIONS, event.action),
            "Strategy": event.strategy,
            "Account": event.account or "all",
            "Value": formats.profit(event.value_paise),
            "Limit": formats.profit(event.threshold_paise),
            "What happened": event.message,
        }
        for event in events
    ]
    chosen = st.dataframe(
        pd.DataFrame(rows),
        key=key,
        hide_index=True,
        alt="Risk events",
        on_select="rerun",
        selection_mode="single-row",
        column_config={"Value": RIGHT, "Limit": RIGHT, "What happened": st.column_config.TextColumn(width="large")},
    )
    return list(chosen.selection.rows)


def _table(
    rows: list[dict[str, Any]], *, key: str, alt: str, pinned: str | None = None, right: Sequence[str] = ()
) -> None:
    frame = pd.DataFrame(rows)
    if "Why" in frame and not frame["Why"].any():
        frame = frame.drop(columns="Why")
    config: dict[str, Any] = dict.fromkeys((*right, "P"), RIGHT)
    if pinned is not None:
        config[pinned] = st.column_config.TextColumn(pinned=True)
    shown = frame.style.map(_profit_style, subset=["P"]) if "P" in frame else frame
    height: Literal["content", "auto"] = "content" if len(rows) <= WHOLE_ROWS else "auto"
    st.dataframe(shown, key=key, hide_index=True, alt=alt, column_config=config, height=height)


def _profit_style(text: str) -> str:
    above, below = PROFIT_COLOURS["dark" if st.context.theme.type == "dark" else "light"]
    if text.startswith("+"):
        return f"color: {above}"
    return f"color: {below}" if text.startswith("−") else ""


def _name(account: AccountView) -> str:
    relation = f" · {account.relation}" if account.relation else ""
    return f"{'★ ' if account.is_primary else ''}{account.name}{relation}"


def _account_state(account: AccountView, *, halted: bool) -> str:
    if not account.active:
        return "not active"
    if account.armed:
        state = "halted" if halted else "armed"
        return f"{state} · {account.unknown_orders} unknown" if account.unknown_orders else state
    return f"waits for {account.waits_for}" if account.waits_for else "not armed"


def _price_state(position: PositionView, behind: float) -> str:
    if position.ltp is None:
        return "no price"
    age = formats.age(_older(position.ltp_age_seconds, behind))
    return age if position.confirmed and behind <= FRESH_SECONDS else f"unconfirmed, {age}"


def _older(seconds: float | None, behind: float) -> float | None:
    return None if seconds is None else seconds + behind
