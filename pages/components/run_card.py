"""One open run as a card: P, the stop it runs towards, its accounts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from engine.services.risk_views import ReentryView
from engine.services.views import ExitView, LimitView, RunAccountView, RunView
from pages.components import formats
from pages.components.tables import entered_less, short_contract
from pages.components.words import EVENTS, TRAILING_SHORT, run_state_badge, venue_badge, word


def run_head(run: RunView, now: datetime) -> None:
    """Show name, state and P of a run."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{formats.plain(run.strategy)}**", width="content")
        venue_badge(run.venue)
        run_state_badge(run.state)
        if run.unknown_orders:
            st.badge(f"{run.unknown_orders} unknown", icon=":material/help:", color="red")
    st.subheader(formats.coloured_profit(run.profit_paise), anchor=False)
    st.caption(f"Run {run.id} · version {run.version} · began {formats.since(run.entered_at or run.created_at, now)}")
    if run.problem:
        st.caption(f":orange[:material/warning: {formats.plain(run.problem)}]")


def limits_line(run: RunView, now: datetime) -> None:
    """Show where the run leaves by itself."""
    limits: LimitView = run.limits
    parts = []
    if limits.stop_paise is not None:
        kind = word(TRAILING_SHORT, limits.trailing)
        parts.append(f"Stop **{formats.profit(limits.stop_paise)}** (trailing, {kind})")
    if limits.peak_paise is not None:
        parts.append(f"Peak {formats.profit(limits.peak_paise)}")
    if limits.max_loss_paise is not None:
        parts.append(f"Max loss {formats.rupees(limits.max_loss_paise)}")
    if limits.max_profit_paise is not None:
        parts.append(f"Max profit {formats.rupees(limits.max_profit_paise)}")
    leaves = [moment for moment in (limits.exit_at, limits.square_off_at) if moment is not None]
    if leaves:
        parts.append(f"Leaves {formats.clock(min(leaves), now=now)}")
    none = (
        "Where it leaves is reckoned once something has filled."
        if run.state in {"resolving", "entering"}
        else "No limits are set: nothing but you takes this run out."
    )
    st.caption(" · ".join(parts) or none)


def accounts_line(run: RunView) -> None:
    """Show lots and P of each account in one line; an account that has left is out, the lots it had are not there."""
    parts = [
        f"{formats.plain(account.account)} "
        f"{'out' if account.state == 'flat' else lots_words(account)} "
        f"{formats.coloured_profit(account.profit_paise)}"
        for account in run.accounts
    ]
    st.markdown(" · ".join(parts))
    for account in run.accounts:
        if account.uneven and account.state != "flat":
            st.caption(
                f":orange[:material/warning: {formats.plain(account.account)} did not enter its legs evenly: "
                f"{formats.plain(account.uneven)} lots]"
            )


def lots_words(account: RunAccountView) -> str:
    """Return the lots of an account, and of how many where it entered less than planned; Markdown."""
    if not entered_less(account):
        return formats.count(account.lots, "lot")
    return f":orange[{account.lots_filled} of {formats.count(account.lots, 'lot')}]"


def reentry_lines(reentries: Sequence[ReentryView], now: datetime) -> None:
    """Show which legs wait to enter again: for what, until when, and how often they still may."""
    for one in reentries:
        st.markdown(f":blue[:material/replay:] {_reentry(one, now)}")


def _reentry(one: ReentryView, now: datetime) -> str:
    leg = f"**Leg {one.leg_index}, {formats.plain(one.account)}**"
    left = f"{one.left} of {formats.count(one.most, 're-entry', 're-entries')} left"
    contract = formats.plain(short_contract(one.symbol))
    if one.state == "entering":
        return f"{leg} is entering {contract} again · {left} after this one"
    if one.state == "reading":
        return f"{leg} is choosing its fresh strike · {left} after this one"
    what = "for its turn: a fresh strike, at once"
    if one.price is not None:
        side = "or below" if one.falls else "or above"
        is_now = "no confirmed price now" if one.ltp is None else f"now ₹{formats.price(one.ltp)}"
        what = f"for **₹{formats.price(one.price)} {side}** to enter {contract} again ({is_now})"
    parts = [f"{leg} waits {what}", left]
    if one.not_before is not None:
        parts.append(f"not before {formats.clock(one.not_before, now=now)}")
    parts.append("until the end of the day" if one.until is None else f"until {formats.clock(one.until, now=now)}")
    if one.note:
        parts.append(f":orange[held up: {formats.plain(one.note)}]")
    return " · ".join(parts)


def exit_lines(exits: Sequence[ExitView], now: datetime) -> None:
    """Show how far the exits of a run are, account by account: what each waits for and what its orders came to."""
    for one in exits:
        icon = ":red[:material/error:]" if one.blocked else ":blue[:material/logout:]"
        parts = [f"{one.sent} sent", f"{one.filled} filled"]
        if one.failed:
            parts.append(f":red[{one.failed} failed]")
        if one.reprices:
            parts.append(f"re-priced {one.reprices} ×")
        held_up = ":red[held up] · " if one.blocked else ""
        st.markdown(
            f"{icon} **{formats.plain(one.account)}** is leaving ({word(EVENTS, one.reason).lower()}, begun "
            f"{formats.since(one.begun_at, now)}) · {held_up}waits for {formats.plain(one.waits_for)} · "
            f"orders: {', '.join(parts)}"
        )


def hands_line(run: RunView) -> None:
    """Say on which accounts a person has taken the run over."""
    names = [account.account for account in run.accounts if account.state == "taken_over"]
    if names:
        st.markdown(
            f":orange[:material/back_hand:] **Taken over by hand** on {formats.plain(', '.join(names))}: the engine "
            "sends nothing there until you press Close or the kill switch."
        )
