"""Orders: those in doubt with their evidence, those that work, the ledger beside the books, and what ended today."""

from __future__ import annotations

from uuid import uuid4

import streamlit as st

from engine.services.order_views import orders_csv
from engine.services.views import AccountTruthView, LiveView, TruthRowView, UnknownOrderView
from pages.components import formats
from pages.components.adopting import AskedAdoption, runs_for
from pages.components.declaring import AskedDeclaration
from pages.components.doubt import evidence, order_words
from pages.components.freshness import lag
from pages.components.gate import fragment_desk
from pages.components.live import Now, read_now
from pages.components.order_tables import ended_orders_table, truth_table, working_orders_table
from pages.components.sending import ask
from pages.components.shell import require_desk
from pages.components.tables import short_contract
from pages.components.words import ORDER_STATES, word

DECLARING = (
    "While its fate is unknown nothing more is sent for its run in this contract. The engine looks it up in the "
    "broker's books; who has looked there may say what became of it."
)
COMPARED = (
    "What the runs own beside what the broker's position book shows. What belongs to no run is never traded here."
)


@st.fragment(run_every=1.0)
def live() -> None:
    """Show what is in doubt, what works, and where ledger and books differ."""
    desk = fragment_desk()
    now = read_now(desk)
    if now.live.problem:
        st.warning(
            f"{formats.plain(now.live.problem)} What stands here was read {formats.since(now.live.as_of, now.at)}.",
            icon=":material/history:",
        )
    st.subheader("Orders in doubt", anchor=False)
    if now.live.unknown:
        st.caption(DECLARING)
        with st.grid(2):
            for order in now.live.unknown:
                doubtful(order, now, enabled=desk.may_trade)
    else:
        st.caption(":green[:material/check_circle:] What became of every order is known.")
    st.subheader("Working orders", anchor=False)
    if now.live.working:
        working_orders_table(now.live.working, now.at)
    else:
        st.caption("No order is working.")
    if now.live.truth:
        st.subheader("Ledger against broker", anchor=False)
        st.caption(COMPARED)
    for account in now.live.truth:
        truth(account, now.live, behind=lag(now.live.as_of, now.at), enabled=desk.may_trade)


def doubtful(order: UnknownOrderView, now: Now, *, enabled: bool) -> None:
    """Show an order in doubt with its evidence and the way to say what became of it."""
    with st.container(border=True, gap="small", height="stretch", key=f"doubt-{order.order_id}"):
        state = "not in the books" if order.state == "working" else word(ORDER_STATES, order.state)
        st.badge(state, icon=":material/help:", color="red")
        st.markdown(f"**{order_words(order)}**")
        st.markdown("  \n".join(evidence(order, now.at, behind=lag(now.live.as_of, now.at))))
        if st.button(
            "Declare…", key=f"declare-{order.order_id}", icon=":material/contact_support:", disabled=not enabled
        ):
            ask(AskedDeclaration(uuid4().hex, order.order_id))
            st.rerun()


def truth(account: AccountTruthView, live: LiveView, *, behind: float, enabled: bool) -> None:
    """Show one account's ledger beside its books, with their age, and the way to adopt what is outside."""
    with st.container(border=True, gap="small", key=f"truth-{account.account_id}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{formats.plain(account.account)}**", width="content")
            match account.agrees:
                case True if any(row.outside for row in account.rows):
                    st.badge("Agrees · more outside", icon=":material/add_circle:", color="blue")
                case True:
                    st.badge("Agrees", icon=":material/check:", color="green")
                case False:
                    st.badge("Differs", icon=":material/difference:", color="orange")
                case None:
                    st.badge("Not known", icon=":material/help:", color="red")
            seconds = account.books_age_seconds
            st.caption(f"Books read {formats.age(None if seconds is None else seconds + behind)}", width="content")
        if account.problem:
            st.caption(f":orange[:material/warning: {formats.plain(account.problem)}]")
        if account.rows:
            truth_table(account.rows, known=account.agrees is not None)
        elif not account.problem:
            st.caption("Neither our runs nor the broker hold anything here.")
        outside = [row for row in account.rows if row.outside and not row.in_doubt]
        adoptable = [row for row in outside if runs_for(live, account.account_id, row.symbol)]
        if adoptable:
            with st.container(horizontal=True, gap="small"):
                for row in adoptable:
                    adopt_button(account, row, enabled=enabled)


def adopt_button(account: AccountTruthView, row: TruthRowView, *, enabled: bool) -> None:
    """Show the way to take what is outside into a run; the dialog confirms."""
    if st.button(
        f"Adopt {formats.quantity(row.outside or 0)} {formats.plain(short_contract(row.symbol))}…",
        key=f"adopt-{account.account_id}-{row.exchange}-{row.symbol}-{row.product}",
        icon=":material/move_to_inbox:",
        disabled=not enabled,
    ):
        ask(
            AskedAdoption(
                uuid4().hex,
                account.account_id,
                account.account,
                row.symbol,
                row.exchange,
                row.product,
                row.outside or 0,
            )
        )
        st.rerun()


desk = require_desk()
live()
ended = desk.orders()
st.subheader(f"Ended today, {ended.day:%d %b}", anchor=False)
if ended.rows:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Refresh", key="refresh-orders", icon=":material/refresh:")
        st.download_button(
            "CSV",
            orders_csv(ended.rows),
            file_name=f"orders-{ended.day:%Y-%m-%d}.csv",
            mime="text/csv",
            key="orders-csv",
            icon=":material/download:",
            on_click="ignore",
        )
        if not ended.complete:
            st.caption(f"The newest {formats.count(len(ended.rows), 'order')} of the day.", width="content")
    ended_orders_table(ended.rows)
else:
    st.caption("No order has ended today.")
    st.button("Refresh", key="refresh-orders", icon=":material/refresh:")
