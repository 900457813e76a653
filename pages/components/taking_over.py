"""A run's positions on one account, taken over by hand: asked once, said what stops (RULES 7)."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import streamlit as st

from engine.services.views import LiveView, RunView
from pages.components import formats
from pages.components.notes import note
from pages.components.sending import ask, say_when_engine_is_away, send
from pages.components.tables import exit_orders_table

MAY_BE_TAKEN = frozenset({"entered", "unwinding"})
"""States of a run on an account in which it can be taken over: it is not entering any more, and not out."""


@dataclass(frozen=True)
class AskedTakeOver:
    """A run on one account that shall be taken over; ``key``: of the command."""

    key: str
    run_id: int
    account_id: int
    account: str


def take_over_menu(run: RunView, *, enabled: bool) -> None:
    """Show the accounts of a run that may be taken over, inside a live fragment; the dialog confirms."""
    there = {row.account_id: row.account for row in run.accounts if row.state in MAY_BE_TAKEN}
    if not there or run.ended:
        return
    chosen = st.menu_button(
        "Take over by hand",
        list(there),
        key=f"take-over-{run.id}",
        icon=":material/back_hand:",
        format_func=lambda account_id: there.get(account_id, ""),
        disabled=not enabled,
        help="The engine stops sending for one account of this run; you go on at the broker",
    )
    if chosen is not None:
        ask(AskedTakeOver(uuid4().hex, run.id, chosen, there.get(chosen, "this account")))
        st.rerun()


def take_over_dialog(asked: AskedTakeOver, live: LiveView) -> None:
    """Open the dialog, unless the run has ended meanwhile."""
    run = next((run for run in live.open_runs if run.id == asked.run_id), None)
    if run is None:
        note("This run has ended.")
        return
    _dialog(asked, run, live)


@st.dialog("Take over by hand", icon=":material/back_hand:", width="medium")
def _dialog(asked: AskedTakeOver, run: RunView, live: LiveView) -> None:
    name = formats.plain(asked.account)
    st.markdown(
        f"**From then on the engine sends nothing for run {run.id} ({formats.plain(run.strategy)}) on {name}**: no "
        "stop, no target, no square-off time, no retry of an exit. Its orders that still work are cancelled. That ends "
        "only with the kill switch or Close."
    )
    positions = [row for row in run.positions if row.account_id == asked.account_id and row.exit_quantity]
    if positions:
        st.markdown("Taking these off is then up to you, at the broker:")
        exit_orders_table(positions)
    else:
        st.markdown("Nothing is held there as far as the engine knows.")
    others = [row.account for row in run.accounts if row.account_id != asked.account_id and row.state in MAY_BE_TAKEN]
    if others:
        st.markdown(f"The engine goes on for {formats.plain(', '.join(others))}.")
    doubtful = [order for order in live.unknown if (order.run_id, order.account_id) == (run.id, asked.account_id)]
    if doubtful:
        st.warning(
            f"{formats.count(len(doubtful), 'order')} of it may or may not be at the broker: look there first.",
            icon=":material/help:",
        )
    say_when_engine_is_away(live)
    with st.container(horizontal=True):
        label = f"Take over run {run.id} on {name}"
        if st.button(label, key=f"confirm-{asked.key}", type="primary", on_click=send_take_over, args=(asked,)):
            st.rerun()
        if st.button("Leave it to the engine", key=f"keep-{asked.key}"):
            st.rerun()


def send_take_over(asked: AskedTakeOver) -> None:
    """Send the take-over, after checking again who asks."""
    title = f"Take over run {asked.run_id} on {asked.account}"
    send(title, lambda desk: desk.take_over(asked.run_id, asked.account_id, asked.key))
