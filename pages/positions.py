"""Positions: by run, then account, then leg; live, with the ways to close."""

from __future__ import annotations

import streamlit as st

from pages.components import places
from pages.components.freshness import lag
from pages.components.gate import fragment_desk
from pages.components.live import read_now
from pages.components.orders import close_run_buttons
from pages.components.run_card import exit_lines, hands_line, limits_line, reentry_lines, run_head
from pages.components.shell import require_desk
from pages.components.tables import account_positions, history_table, run_accounts_table
from pages.components.taking_over import take_over_menu


@st.fragment(run_every=1.0)
def live() -> None:
    """Show every open run with what it owns."""
    desk = fragment_desk()
    now = read_now(desk)
    if now.live.problem:
        st.warning(now.live.problem, icon=":material/history:")
    if not now.live.open_runs:
        st.caption("No run is open.")
        st.page_link(places.STRATEGIES, label="Start one from a strategy", icon=":material/account_tree:")
    for run in now.live.open_runs:
        with st.container(border=True, gap="small", key=f"run-{run.id}"):
            run_head(run, now.at)
            limits_line(run, now.at)
            exit_lines(run.exits, now.at)
            reentry_lines(run.reentries, now.at)
            hands_line(run)
            run_accounts_table(run.accounts)
            if run.positions:
                account_positions(run.positions, behind=lag(now.live.as_of, now.at))
            else:
                st.caption("Nothing is filled yet.")
            with st.container(horizontal=True, gap="small"):
                close_run_buttons(run, where="positions", enabled=desk.may_trade)
                take_over_menu(run, enabled=desk.may_trade)
    if now.live.ended_runs:
        st.subheader("Ended in the last day", anchor=False)
        history_table(now.live.ended_runs)


desk = require_desk()
live()
history = desk.run_history()
if history:
    with st.expander("All runs that ended", icon=":material/history:"):
        history_table(history)
