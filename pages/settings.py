"""Settings: limits on P of the day, for a person and for each account."""

from __future__ import annotations

import streamlit as st

from pages.components.gate import fragment_desk
from pages.components.live import read_now
from pages.components.risk_limits import day_limit_cards, limits_forms
from pages.components.shell import require_desk


@st.fragment(run_every=1.0)
def live() -> None:
    """Show what is set now, against P of the day."""
    desk = fragment_desk()
    now = read_now(desk)
    if now.live.problem:
        st.warning(now.live.problem, icon=":material/history:")
    day_limit_cards(now.live, now.at, enabled=desk.may_trade, link=False)


desk = require_desk()
st.subheader("Limits of the day", anchor=False)
st.caption(
    "On profit and loss since midnight in India. A limit that acts takes every run out there and halts entries until "
    "the next session, or until you re-arm; limits of each strategy are set with the strategy."
)
live()
limits = read_now(desk).live.day_limits
if limits:
    limits_forms(desk, limits)
else:
    st.caption("They can be set as soon as there is an account and the engine runs: it tells what is set now.")
