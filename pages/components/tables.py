"""Tables: the same columns, order and alignment wherever a thing is shown. A missing figure is a dash, never a zero."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal

import pandas as pd
import streamlit as st

from engine.services.views import AccountView, PositionView, PreviewView, RiskEventView, RunAccountView, RunView
from pages.components import formats
from pages.components.freshness import FRESH_SECONDS
from pages.components.words import (
    ACCOUNT_STATES,
    BOUNDS,
    EVENTS,
    HEALTH,
    RUN_STATES,
    action_word,
    event_word,
    venue_word,
    waits,
    word,
)

WHOLE_ROWS = 40
"""Tables up to this many rows are shown whole; longer ones scroll."""
SCROLLED_HEIGHT = 900
SHORT = 24
SILENT_SECONDS = 60.0
"""A price older than this is marked: it decides nothing any more (RULES 6)."""

_OPTION = re.compile(r".+?\d{2}[A-Z]{3}\d{2}(?P<strike>\d+(?:\.\d+)?)(?P<side>CE|PE)")

AMOUNT = st.column_config.Column(alignment="right", width=140)
"""Wide enough for crores: what does not fit is cut at the left, with the minus sign."""
RIGHT_CELLS = {"text-align": "right !important"}
PROFITS = ("P", "P today")
MARK_COLOURS = {"light": "#b45309", "dark": "#fbbf24"}
PROFIT_COLOURS = {"light": ("#166534", "#b91c1c"), "dark": ("#4ade80", "#f87171")}


def accounts_table(accounts: Sequence[AccountView], now: datetime, *, halted: Collection[int] = ()) -> None:
    """Show accounts with health, what they wait for, funds with their age, and P of the day; ``halted``: which are."""
    rows = [
        {
            "Account": _name(account),
            "Venue": venue_word(account.venue),
            "State": _account_state(account, halted=account.id in halted),
            "P today": formats.profit(account.profit_paise),
            "Available": formats.rupees(account.available_paise, decimals=False),
            "Used": formats.rupees(account.used_paise, decimals=False),
            "Funds read": formats.since(account.funds_at, now),
            "Health": word(HEALTH, account.health),
            "Grade": account.grade,
            "Broker": formats.plain(account.broker),
        }
        for account in accounts
    ]
    show_table(rows, alt="Accounts", right=("Available", "Used"))
    if any(account.is_primary for account in accounts):
        st.caption("★ primary: the prices of an exchange come from this account. P today: profit and loss of the day.")


def run_accounts_table(accounts: Sequence[RunAccountView]) -> None:
    """Show a run's accounts: lots, what bound them, state and P; below, why one stands where it stands."""
    rows = [
        {
            "Account": formats.plain(account.account),
            "Lots": _lots(account),
            "State": word(ACCOUNT_STATES, account.state),
            "P": formats.profit(account.profit_paise),
            "Bound by": word(BOUNDS, account.bound_by),
        }
        for account in accounts
    ]
    show_table(rows, alt="Accounts of the run", right=("Lots",))
    for account in accounts:  # not in the table: a sentence makes it tall and wide on a phone
        if why := _why(account):
            st.caption(f"{formats.plain(account.account)}: {why}")


def entered_less(account: RunAccountView) -> bool:
    """Whether an account entered fewer lots than it was sized for."""
    return account.lots_filled is not None and account.lots_filled != account.lots


def account_positions(positions: Sequence[PositionView], *, behind: float) -> None:
    """Show the positions of a run, an account beside the other where there is room; the view is ``behind`` seconds old.

    Narrow enough for a phone: what is the same for all of them, the contracts in full and the product, stands below.
    """
    by_account: dict[int, list[PositionView]] = {}
    for position in positions:
        by_account.setdefault(position.account_id, []).append(position)
    with st.grid(min(3, max(1, len(by_account))), min_column_width=310):
        for rows in by_account.values():
            with st.container(gap="xsmall"):
                _positions_of_account(rows, behind=behind)
    contracts = ", ".join(dict.fromkeys(formats.plain(position.symbol) for position in positions))
    products = ", ".join(dict.fromkeys(position.product for position in positions))
    st.caption(f"{contracts} · {products}")


def _positions_of_account(positions: Sequence[PositionView], *, behind: float) -> None:
    account = positions[0].account
    odd = [row for row in positions if row.exit_quantity and not _is_fresh(row, behind)]
    ages = [row.ltp_age_seconds for row in positions if row.ltp_age_seconds is not None]
    state = (
        f":orange[{', '.join(f'{short_contract(row.symbol)} {_price_state(row, behind)}' for row in odd)}]" if odd
        else f":gray[prices {formats.age(_older(max(ages), behind))}]" if ages
        else ":gray[no price]"
    )  # fmt: skip
    st.markdown(f"**{formats.plain(account)}** · :small[{state}]")
    rows = [
        {
            "Leg": short_contract(position.symbol),
            "Qty": formats.quantity(position.quantity),
            "P": formats.profit(position.profit_paise),
            "LTP": formats.price(position.ltp),
            "Average": formats.price(position.average_price),
        }
        for position in positions
    ]
    show_table(rows, alt=f"Positions of {account}", right=("Qty", "LTP", "Average"))


def exit_orders_table(positions: Sequence[PositionView]) -> None:
    """Show the orders that would take positions off, sold legs first (RULES 7)."""
    open_positions = [position for position in positions if position.exit_quantity]
    rows = [
        {
            "Account": formats.plain(position.account),
            "Side": position.exit_action,
            "Quantity": formats.grouped(position.exit_quantity),
            "Contract": formats.plain(position.symbol),
        }
        for position in sorted(open_positions, key=lambda row: (row.quantity > 0, row.account, row.leg_index))
    ]
    show_table(rows, alt="Exit orders", right=("Quantity",))


def preview_legs_table(preview: PreviewView) -> None:
    """Show the resolved contracts with their prices."""
    rows = [
        {
            "Contract": formats.plain(leg.symbol),
            "Side": leg.action,
            "LTP": formats.price(leg.ltp),
            "Bid": formats.price(leg.bid),
            "Ask": formats.price(leg.ask),
            "Lot": leg.lot_size,
            "Lots a structure": leg.ratio,
            "Expiry": f"{leg.expiry:%d %b %Y}",
            "Freeze": formats.UNKNOWN if leg.freeze_quantity is None else formats.grouped(leg.freeze_quantity),
            "Lot and freeze from": formats.plain(leg.source),
        }
        for leg in preview.legs
    ]
    show_table(rows, alt="Resolved contracts", right=("LTP", "Bid", "Ask", "Freeze"))


def preview_accounts_table(preview: PreviewView, *, behind: float) -> None:
    """Show the sizing of each account, from funds to lots; the preview itself is ``behind`` seconds old."""
    rows = [
        {
            "Account": formats.plain(account.account),
            "Lots": account.lots,
            "Bound by": word(BOUNDS, account.bound_by),
            "Orders": len(account.orders),
            "Available": formats.rupees(account.available_paise, decimals=False),
            "Grade and share": f"{account.grade} · {percent}" if account.grade else percent,
            "Usable": formats.rupees(account.usable_paise, decimals=False),
            "Margin of one, by table": formats.rupees(account.structure_margin_paise, decimals=False),
            "Funds read": formats.age(_older(account.funds_age_seconds, behind)),
        }
        for account in preview.accounts
        for percent in [formats.percent(account.percentage)]
    ]
    money = ("Available", "Grade and share", "Usable", "Margin of one, by table")
    show_table(rows, alt="Sizing per account", right=money)


def preview_orders_table(preview: PreviewView) -> None:
    """Show each child order in the order it would go."""
    names = {account.account_id: account.account for account in preview.accounts}
    rows = [
        {
            "Account": formats.plain(names.get(order.account_id, "")),
            "Stage": account.stage_of(order),
            "Side": order.action,
            "Quantity": formats.grouped(order.quantity),
            "Contract": formats.plain(order.symbol),
            "Price": "market" if order.price is None else formats.price(order.price),
            "Slice": order.slice_index + 1,
        }
        for account in preview.accounts
        for order in account.orders
    ]
    show_table(rows, alt="Orders", right=("Quantity", "Price"))


def history_table(runs: Sequence[RunView]) -> None:
    """Show runs that ended."""
    rows = [
        {
            "Run": run.id,
            "Strategy": formats.plain(run.strategy),
            "Venue": venue_word(run.venue),
            "P": formats.profit(run.profit_paise),
            "State": RUN_STATES.get(run.state, (run.state, ""))[0],
            "Left because": word(EVENTS, run.exit_reason) or formats.plain(run.reason),
            "Began": formats.clock(run.created_at),
            "Ended": formats.clock(run.closed_at),
            "Lots": ", ".join(f"{formats.plain(account.account)} {_lots(account)}" for account in run.accounts),
        }
        for run in runs
    ]
    show_table(rows, alt="Runs that ended")


def events_table(events: Sequence[RiskEventView], *, key: str) -> list[int]:
    """Show risk events and return the places of the selected rows."""
    rows = [
        {
            "Time": formats.clock(event.at),
            "Event": event_word(event),
            "Action": action_word(event),
            "Run": str(event.run_id or ""),
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
        column_config={"Value": AMOUNT, "Limit": AMOUNT, "What happened": st.column_config.TextColumn(width="large")},
    )
    return list(chosen.selection.rows)


def show_table(
    rows: list[dict[str, Any]], *, alt: str, right: Sequence[str] = (), marked: str = "", calm: str = ""
) -> None:
    """Show rows whole, without the toolbar that st.dataframe lays over what stands above it on a touch screen.

    Texts of the column ``marked`` that are not ``calm`` stand out.
    """
    frame = pd.DataFrame(rows)
    frame = frame.map(_unbroken).rename(columns=_unbroken)
    to_right = [name for name in map(_unbroken, (*right, *PROFITS)) if name in frame]
    heads = [f"th.col_heading.col{place}" for place, name in enumerate(frame) if name in to_right]
    shown = frame.style.set_properties(subset=to_right, **RIGHT_CELLS)
    if heads:
        shown = shown.set_table_styles([{"selector": head, "props": list(RIGHT_CELLS.items())} for head in heads])
    coloured = [name for name in map(_unbroken, PROFITS) if name in frame]
    if coloured:
        shown = shown.map(_profit_style, subset=coloured)
    if (marked := _unbroken(marked)) in frame:
        shown = shown.map(lambda text: "" if text == _unbroken(calm) else _marked_style(), subset=[marked])
    height: int | Literal["content"] = "content" if len(rows) <= WHOLE_ROWS else SCROLLED_HEIGHT
    st.table(shown, border="horizontal", hide_index=True, height=height, alt=alt)


def _unbroken(cell: Any) -> Any:
    """Keep a short text on one line: on a phone the table scrolls sideways instead of growing tall."""
    if not isinstance(cell, str) or len(cell) > SHORT:
        return cell
    return cell.replace(" ", "\u00a0").replace("₹", "\u2060₹")


def _profit_style(text: str) -> str:
    above, below = PROFIT_COLOURS["dark" if st.context.theme.type == "dark" else "light"]
    if text.startswith("+"):
        return f"color: {above}"
    return f"color: {below}" if text.startswith("−") else ""


def _marked_style() -> str:
    return f"color: {MARK_COLOURS['dark' if st.context.theme.type == 'dark' else 'light']}; font-weight: 600"


def _lots(account: RunAccountView) -> str:
    return f"{account.lots_filled} of {account.lots}" if entered_less(account) else str(account.lots)


def _why(account: RunAccountView) -> str:
    parts = [f"{account.uneven} lots"] if account.uneven else []
    if account.reason and account.reason != word(ACCOUNT_STATES, account.state):
        parts.append(account.reason)
    return formats.plain("; ".join(parts))


def _name(account: AccountView) -> str:
    relation = f" · {account.relation}" if account.relation else ""
    return formats.plain(f"{'★ ' if account.is_primary else ''}{account.name}{relation}")


def _account_state(account: AccountView, *, halted: bool) -> str:
    if not account.active:
        return "not active"
    if account.quarantine:
        return f"quarantined · {account.unknown_orders} unknown" if account.unknown_orders else "quarantined"
    if account.armed:
        state = "halted" if halted else "armed"
        return f"{state} · {account.unknown_orders} unknown" if account.unknown_orders else state
    return waits(account.waits_for) if account.waits_for else "not armed"


def _is_fresh(position: PositionView, behind: float) -> bool:
    age = _older(position.ltp_age_seconds, behind)
    return position.confirmed and behind <= FRESH_SECONDS and age is not None and age <= SILENT_SECONDS


def _price_state(position: PositionView, behind: float) -> str:
    if position.ltp is None:
        return "no price"
    age = formats.age(_older(position.ltp_age_seconds, behind))
    return age if position.confirmed and behind <= FRESH_SECONDS else f"unconfirmed, {age}"


def short_contract(symbol: str) -> str:
    """Return an option's strike and side without underlying and expiry; what is no option stays as it is.

    >>> [short_contract(one) for one in ("NIFTY23NOV2626000CE", "VEDL25APR24292.5PE", "BANKNIFTY29DEC26FUT")]
    ['26000 CE', '292.5 PE', 'BANKNIFTY29DEC26FUT']
    """
    found = _OPTION.fullmatch(symbol)
    return f"{found['strike']} {found['side']}" if found else symbol


def _older(seconds: float | None, behind: float) -> float | None:
    return None if seconds is None else seconds + behind
