"""The kill switch and closing, asked once in a dialog that says what will be sent; and which dialog was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import streamlit as st

from engine.desk import Desk
from engine.services.views import LiveView, RunView
from pages.components import formats
from pages.components.adopting import AskedAdoption, adoption_dialog
from pages.components.declaring import AskedDeclaration, declaration_dialog
from pages.components.live import read_now
from pages.components.notes import note
from pages.components.sending import ASKED, WAITING, ask, follow, say_when_engine_is_away, send, show_followed
from pages.components.tables import exit_orders_table
from pages.components.taking_over import AskedTakeOver, take_over_dialog

__all__ = [
    "WAITING",
    "Asked",
    "ask_kill_switch",
    "close_run_buttons",
    "follow",
    "forget_asked",
    "open_asked_dialog",
    "show_followed",
]

REARM_KEY = "orders-rearm-key"


@dataclass(frozen=True)
class Asked:
    """What shall be confirmed: ``run_id`` None is the kill switch, ``account_id`` None every account of the run."""

    key: str
    run_id: int | None = None
    account_id: int | None = None
    account: str = ""

    @property
    def title(self) -> str:
        """What was asked for, in words."""
        if self.run_id is None:
            return "Kill switch"
        return f"Close run {self.run_id}" + (f" on {self.account}" if self.account_id is not None else "")


def ask_kill_switch() -> None:
    """Note that the kill switch was pressed."""
    ask(Asked(key=uuid4().hex))


def ask_close(run_id: int, account_id: int | None = None, account: str = "") -> None:
    """Note that a run, or its part on one account, shall be closed."""
    ask(Asked(uuid4().hex, run_id, account_id, account))


def close_run_buttons(run: RunView, *, where: str, enabled: bool) -> None:
    """Show the ways to close a run inside a live fragment; they only ask, the dialog confirms."""
    with st.container(horizontal=True, gap="small"):
        if st.button("Close run", key=f"close-{where}-{run.id}", icon=":material/logout:", disabled=not enabled):
            ask_close(run.id)
            st.rerun()
        held = {position.account_id: position.account for position in run.positions if position.exit_quantity}
        if len(held) > 1:
            chosen = st.menu_button(
                "Close one account",
                list(held),
                key=f"close-one-{where}-{run.id}",
                format_func=lambda account_id: held.get(account_id, ""),
                disabled=not enabled,
            )
            if chosen is not None:
                ask_close(run.id, chosen, held.get(chosen, "this account"))
                st.rerun()


def open_asked_dialog(desk: Desk) -> None:
    """Open the dialog that was asked for; ``forget_asked`` at the end of a whole run makes it once.

    A run that another one cuts short would otherwise take the dialog with it, and the press would be lost.
    """
    asked = st.session_state.get(ASKED)
    if asked is None:
        return
    live = read_now(desk).live
    match asked:
        case AskedDeclaration():
            declaration_dialog(asked, live, desk.now)
        case AskedTakeOver():
            take_over_dialog(asked, live)
        case AskedAdoption():
            adoption_dialog(asked, live)
        case Asked(run_id=None):
            _kill_dialog(asked, live)
        case Asked():
            _open_close_dialog(asked, live)


def forget_asked() -> None:
    """Note that the dialog stands: the page was run to its end."""
    st.session_state.pop(ASKED, None)


def _open_close_dialog(asked: Asked, live: LiveView) -> None:
    run = next((run for run in live.open_runs if run.id == asked.run_id), None)
    if run is None:
        note("This run has ended.")
        return
    # the title says whether all of the run is meant: it is not known before
    dialog = st.dialog(formats.plain(asked.title), icon=":material/logout:", width="medium")
    dialog(_close_dialog)(asked, run, live)


@st.dialog("Kill switch", icon=":material/emergency_home:", width="medium")
def _kill_dialog(asked: Asked, live: LiveView) -> None:
    positions = [position for run in live.open_runs for position in run.positions if position.exit_quantity]
    accounts = {position.account_id for position in positions}
    runs = formats.count(len(live.open_runs), "open run")
    if live.halted and not live.open_runs and not live.problem:
        st.markdown("**It was pressed already**: no strategy starts on any account, and no run is open to take out.")
        with st.container(horizontal=True):
            rearm_button(enabled=True, where="dialog")
            if st.button("Stay halted", key=f"keep-{asked.key}"):
                st.rerun()
        return
    if live.open_runs:
        st.markdown(
            f"Takes **{runs}** out on **{formats.count(len(accounts), 'account')}** with at least "
            f"**{formats.count(len(positions), 'order')}** at market, in slices where the exchange's freeze quantity "
            "asks for them. Entry orders that still work are cancelled. No strategy starts until you re-arm."
        )
    else:
        st.markdown("No run is open. **No strategy starts** on any account until you re-arm.")
    say_when_engine_is_away(live)
    st.caption("Positions that were opened outside of AlgoMirror are left alone.")
    if positions:
        exit_orders_table(positions)
    _confirm("Take everything out" if live.open_runs else "Stop all entries", asked, send_halt)


def _close_dialog(asked: Asked, run: RunView, live: LiveView) -> None:
    positions = [
        position
        for position in run.positions
        if position.exit_quantity and asked.account_id in {None, position.account_id}
    ]
    accounts = {position.account_id: position.account for position in positions}
    names = ", ".join(formats.plain(name) for name in accounts.values()) or "no account"
    if asked.account_id is None:
        what = f"Closes **{formats.plain(run.strategy)}** (run {run.id}) on **{names}**"
    else:
        what = f"Closes run {run.id} ({formats.plain(run.strategy)}) on **{formats.plain(asked.account)}** only"
    st.markdown(
        f"{what} with at least "
        f"**{formats.count(len(positions), 'order')}** at market, sold legs first, in slices where the exchange's "
        "freeze quantity asks for them."
    )
    others = {position.account for position in run.positions if position.exit_quantity} - {asked.account}
    if asked.account_id is not None and others:
        st.markdown(f"It stays open on **{formats.plain(', '.join(sorted(others)))}**.")
    say_when_engine_is_away(live)
    if positions:
        exit_orders_table(positions)
    else:
        st.info("Nothing is open here as far as the engine knows; entry orders that still work are cancelled.")
    label = f"{asked.title} everywhere" if asked.account_id is None else formats.plain(asked.title)
    _confirm(label, asked, send_close)


def _confirm(label: str, asked: Asked, send: Callable[[Asked], None]) -> None:
    with st.container(horizontal=True):
        if st.button(label, key=f"confirm-{asked.key}", type="primary", on_click=send, args=(asked,)):
            st.rerun()
        if st.button("Keep as it is", key=f"keep-{asked.key}"):
            st.rerun()


def send_halt(asked: Asked) -> None:
    """Send the kill switch, after checking again who asks."""
    send("Kill switch", lambda desk: desk.halt(asked.key))


def send_close(asked: Asked) -> None:
    """Send the exit of a run, after checking again who asks."""
    run_id = asked.run_id
    if run_id is None:
        return
    account_ids = None if asked.account_id is None else [asked.account_id]
    send(asked.title, lambda desk: desk.close_run(run_id, account_ids, asked.key))


def rearm_button(*, enabled: bool, where: str = "top") -> None:
    """Show the way back from a halt."""
    key = st.session_state.setdefault(REARM_KEY, uuid4().hex)
    if st.button(
        "Re-arm",
        key=f"rearm-{where}",
        icon=":material/lock_open:",
        help="Strategies may start again on armed accounts",
        on_click=send_rearm,
        args=(key,),
        disabled=not enabled,
    ):
        st.session_state.pop(REARM_KEY, None)
        if where == "dialog":
            st.rerun()


def send_rearm(key: str) -> None:
    """Send the re-arming after a kill switch, after checking again who asks."""
    send("Re-arm", lambda desk: desk.rearm(key))
