"""Risk: how far everything is from a stop, what the Supertrend sees, who gives prices, what would leave in a fire."""

from __future__ import annotations

import streamlit as st

from engine.services.views import RunView
from pages.components import formats
from pages.components.drill import drill_section
from pages.components.gate import fragment_desk
from pages.components.gauges import nearness
from pages.components.live import read_now
from pages.components.risk_card import risk_card
from pages.components.risk_limits import day_limit_cards
from pages.components.shell import require_desk
from pages.components.sources import sources
from pages.components.supertrend_chart import supertrend_chart

CHART_SECONDS = 5.0
CHARTED = "charted-run"


@st.fragment(run_every=1.0)
def live() -> None:
    """Show what moves: limits of the day, every open run, feeds and schedules."""
    desk = fragment_desk()
    now = read_now(desk)
    if now.live.problem:
        st.warning(
            f"{now.live.problem} The figures below are the last ones; nothing here watches a run now.",
            icon=":material/history:",
        )
    st.subheader("Limits of the day", anchor=False)
    day_limit_cards(now.live, now.at, enabled=desk.may_trade)
    st.subheader("Open runs", anchor=False)
    if not now.live.open_runs:
        st.caption("No run is open.")
    with st.grid(min(2, max(1, len(now.live.open_runs))), min_column_width=330):
        for run in sorted(now.live.open_runs, key=lambda run: -nearness(run)):
            with st.container(border=True, gap="small", height="stretch", key=f"risk-{run.id}"):
                risk_card(run, now, enabled=desk.may_trade)
    sources(now)


@st.fragment(run_every=CHART_SECONDS, key="supertrend")
def chart() -> None:
    """Show the series of one run that leaves by Supertrend; nothing while there is none."""
    desk = fragment_desk()
    runs = with_supertrend(read_now(desk).live.open_runs)
    if not runs:
        return
    st.subheader("Supertrend", anchor=False)
    chosen = next(iter(runs))
    if len(runs) > 1:
        picked = st.selectbox(
            "Run", list(runs), format_func=lambda key: runs.get(key, ""), key=CHARTED, label_visibility="collapsed"
        )
        chosen = picked or chosen
    series = desk.supertrend_series(chosen)
    if series is None:
        st.caption("The engine has no bars of this run yet.")
        return
    st.markdown(f"**{formats.plain(series.title[:1].upper() + series.title[1:])}**")
    supertrend_chart(series, desk.now, dark=st.context.theme.type == "dark")


def with_supertrend(runs: list[RunView]) -> dict[int, str]:
    """Return the runs that leave by Supertrend, by id, with their names."""
    return {run.id: f"{run.strategy} (run {run.id})" for run in runs if run.supertrend is not None}


desk = require_desk()
live()
chart()
drill_section(desk)
