"""Who looks at the page: checked against the session in the database on every run, of the page or of a fragment."""

from __future__ import annotations

from uuid import uuid4

import streamlit as st

from engine.desk import Desk, Role, Unavailable, open_desk
from pages.components.links import same_tab_link


def provide() -> Desk | None:
    """Return the desk of the browser's session cookie, None when it is not, or no longer, logged in."""
    return open_desk(st.context.cookies)


def _provided() -> Desk | None:
    try:
        return provide()
    except Unavailable as error:
        st.error(str(error), title="Unavailable", icon=":material/cloud_off:")
        st.button("Try again", key=f"try-again-{uuid4().hex}")
        st.stop()


def checked_desk(role: Role = Role.VIEWER) -> Desk:
    """Return the desk, or end the page's run with the way to the login."""
    desk = _provided()
    if desk is None:
        st.warning("Your session has ended. Log in to go on; nothing that trades depends on it.", title="Logged out")
        same_tab_link("Log in", "/login", icon=":material/login:")
        st.stop()
    if role is not Role.VIEWER and not desk.may_trade:
        st.error("Your role may look, not trade.", title="Not permitted")
        st.stop()
    return desk


def fragment_desk() -> Desk:
    """Return the desk inside a fragment; a session that has ended rebuilds the page, which then asks to log in."""
    desk = _provided()
    if desk is None:
        st.rerun()
    return desk
