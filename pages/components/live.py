"""The shared one-second cache of what moves, keyed by user: ten tabs of one person read the figures once a second."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import streamlit as st

from engine.desk import Desk
from engine.services.views import EngineView, LiveView


class Now(NamedTuple):
    """The heartbeat and the figures of one reading; ``at`` is when it was made."""

    engine: EngineView
    live: LiveView
    at: datetime


def read_now(desk: Desk) -> Now:
    """Return what moves for the desk's caller, at most a second old."""
    return _read(desk.caller.user_id, desk)


@st.cache_resource(ttl=0.9, max_entries=500, show_spinner=False)
def _read(user_id: int, _desk: Desk) -> Now:
    del user_id  # the key of the cache
    return Now(engine=_desk.engine(), live=_desk.live(), at=_desk.now)
