"""The frame of every page: who looks, where to go, the engine's heartbeat, the kill switch."""

from __future__ import annotations

import streamlit as st

from engine.desk import Desk, Role
from pages.components import gate, places
from pages.components.freshness import engine_badge, freshness_badge
from pages.components.links import same_tab_link
from pages.components.live import read_now
from pages.components.notes import show_notes
from pages.components.orders import ask_kill_switch, forget_asked, open_asked_dialog, rearm_button
from pages.components.risk_limits import breached
from pages.components.sending import show_followed
from pages.components.words import is_paper, venue_badge

FRAMED = "page-is-framed"


def main() -> None:
    """Run the page that the browser asks for, inside the frame."""
    st.set_page_config(page_title="AlgoMirror", page_icon=places.ICON, layout="wide")
    pages = [  # without icons: on a phone they take little room
        st.Page(places.DESK, title="Desk", default=True),
        st.Page(places.STRATEGIES, title="Strategies"),
        st.Page(places.POSITIONS, title="Positions"),
        st.Page(places.ORDERS, title="Orders"),
        st.Page(places.RISK, title="Risk"),
        st.Page(places.RISK_EVENTS, title="Risk events"),
        st.Page(places.ACCOUNTS, title="Accounts"),
        st.Page(places.SETTINGS, title="Settings"),
    ]
    page = st.navigation(pages, position="hidden")  # Streamlit's own menu is a sidebar over the page on a phone
    desk = gate.checked_desk()
    with st.container(horizontal=True, gap="xxsmall", key="places"):
        for place in pages:
            st.page_link(place)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(width="stretch"):
            st.title(page.title, anchor=False)
        st.button(
            ":red[Kill switch]",
            key="kill-switch",
            icon=":material/emergency_home:",
            on_click=ask_kill_switch,
            disabled=not desk.may_trade,
            help="Takes every open run out, after asking once",
        )
        with st.popover(desk.caller.username, icon=":material/person:"):
            st.caption(f"Role: {desk.caller.role.value}")
            same_tab_link("Log out", "/logout", icon=":material/logout:")
    _heartbeat()
    open_asked_dialog(desk)
    show_notes()
    st.session_state[FRAMED] = True
    try:
        page.run()
    finally:
        st.session_state.pop(FRAMED, None)
    forget_asked()


def require_desk(role: Role = Role.VIEWER) -> Desk:
    """Return the desk for a page's run.

    A folder named pages is also Streamlit's old way to find pages: until Home's navigation has run once in the server,
    a page that is asked for first runs by itself. It then gets its frame here, and runs inside it.
    """
    if not st.session_state.get(FRAMED):
        main()
        st.stop()
    return gate.checked_desk(role)


@st.fragment(run_every=1.0, key="heartbeat")
def _heartbeat() -> None:
    desk = gate.fragment_desk()
    now = read_now(desk)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        engine_badge(now.engine)
        freshness_badge(now.live.as_of, now.at, now.live.problem)
        if now.live.accounts and all(is_paper(account.venue) for account in now.live.accounts):
            venue_badge(now.live.accounts[0].venue)
        if now.live.halted:
            st.badge("Halted: no entries", icon=":material/block:", color="red")
            mine = next((limit for limit in now.live.day_limits if limit.account_id is None), None)
            rearm_button(enabled=desk.may_trade, breached=breached(mine))
    show_followed(desk)
