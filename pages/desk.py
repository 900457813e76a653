"""The desk: what needs me now, first steps, P of the day, open runs, accounts."""

from __future__ import annotations

import streamlit as st

from engine.desk import Desk, ServiceError
from pages.components import formats, places
from pages.components.attention import show_matters
from pages.components.gate import fragment_desk
from pages.components.live import read_now
from pages.components.notes import note
from pages.components.orders import close_run_buttons
from pages.components.run_card import accounts_line, limits_line, reentry_lines, run_head
from pages.components.shell import require_desk
from pages.components.tables import accounts_table, history_table

P_OF_THE_DAY = (
    "P is profit and loss. Of the day: what P changed by since midnight in India, over open runs and those that ended "
    "today. – while a price, or P at midnight, is not known."
)


def first_steps(desk: Desk) -> bool:
    """Lead a new user from nothing to a running strategy; gone, and False, when a run was made."""
    has_accounts = any(account.active for account in desk.accounts())
    has_strategies = bool(desk.strategies())
    if has_accounts and has_strategies and (desk.engine().open_runs or desk.run_history(limit=1)):
        return False
    with st.container(border=True):
        st.subheader("First steps", anchor=False)
        st.caption(
            "Three paper accounts of a family, at a paper exchange that is built in and always open. No money moves."
        )
        with st.grid(3):
            with st.container(gap="small"):
                step("1", "Accounts", done=has_accounts)
                if not has_accounts and st.button(
                    "Start with paper accounts", key="start-paper", type="primary", disabled=not desk.may_trade
                ):
                    start_with_paper_accounts(desk)
                st.page_link(places.ACCOUNTS, label="Or add an account of a broker", icon=":material/add:")
            with st.container(gap="small"):
                step("2", "Choose a template", done=has_strategies)
                st.page_link(
                    places.STRATEGIES, label="Templates", icon=":material/account_tree:", disabled=not has_accounts
                )
            with st.container(gap="small"):
                step("3", "Preview, then Execute", done=False)
                st.page_link(places.STRATEGIES, label="Strategies", icon=":material/send:", disabled=not has_strategies)
    return True


def step(number: str, title: str, *, done: bool) -> None:
    """Show the head of one step."""
    mark = ":green[:material/check_circle:]" if done else f":primary-badge[{number}]"
    st.markdown(f"{mark} **{title}**")


def start_with_paper_accounts(desk: Desk) -> None:
    """Make the family's paper accounts and show them."""
    try:
        with st.spinner("Opening three paper accounts…"):
            accounts = desk.start_with_paper_accounts()
    except ServiceError as error:
        st.error(str(error))
        return
    note(f"{formats.count(len(accounts), 'paper account')} ready.")
    st.rerun()


@st.fragment(run_every=1.0)
def live(*, steps_open: bool) -> None:
    """Show what moves."""
    desk = fragment_desk()
    now = read_now(desk)
    show_matters(now, first_steps=steps_open)
    if not now.live.accounts:
        return
    unknown = now.live.funds_unknown
    left_out = f"Without {', '.join(unknown)}: funds not read" if unknown else None
    with st.grid(4, min_column_width=150):
        st.metric("P of the day", formats.profit(now.live.profit_paise), border=True, help=P_OF_THE_DAY)
        st.metric("Available", formats.short_rupees(now.live.available_paise), border=True, help=left_out)
        st.metric("Used margin", formats.short_rupees(now.live.used_paise), border=True, help=left_out)
        st.metric("Open runs", len(now.live.open_runs), border=True)
    st.subheader("Open runs", anchor=False)
    if not now.live.open_runs:
        st.caption("No run is open.")
    with st.grid(2):
        for run in now.live.open_runs:
            with st.container(border=True, gap="small", height="stretch"):
                run_head(run, now.at)
                limits_line(run, now.at)
                accounts_line(run)
                reentry_lines(run.reentries, now.at)
                close_run_buttons(run, where="desk", enabled=desk.may_trade)
    if now.live.ended_runs:
        st.subheader("Ended in the last day", anchor=False)
        history_table(now.live.ended_runs)
    st.subheader("Accounts", anchor=False)
    accounts_table(now.live.accounts, now.at, halted=now.live.halted_accounts)


live(steps_open=first_steps(require_desk()))
