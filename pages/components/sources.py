"""Who gives prices now, and which strategies enter by themselves next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from engine.services.risk_views import FeedView, ScheduledView
from pages.components import formats
from pages.components.freshness import FRESH_SECONDS
from pages.components.gauges import countdown
from pages.components.live import Now
from pages.components.words import SCHEDULE_STATES, venue_badge


def sources(now: Now) -> None:
    """Show feeds and the next entries by schedule, inside a live fragment."""
    with st.grid(2, min_column_width=330):
        with st.container(border=True, gap="small", height="stretch"):
            st.markdown("**Prices come from**")
            _feeds(now.live.feeds, now.at)
        with st.container(border=True, gap="small", height="stretch"):
            st.markdown("**Entries by schedule**")
            _schedules(now.live.schedules, now.at)


def _feeds(feeds: Sequence[FeedView], now: datetime) -> None:
    if not feeds:
        st.caption("No account gives prices yet.")
    for feed in feeds:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            venue_badge(feed.venue)
            if feed.account_id is None:
                st.markdown(":red[**nobody**]", width="content")
            else:
                place = "primary" if feed.primary else ":orange[stands in for the primary]"
                st.markdown(f"**{formats.plain(feed.account)}** · {place}", width="content")
        late = feed.last_tick_at is None or (now - feed.last_tick_at).total_seconds() > FRESH_SECONDS
        tick = f"last tick {formats.since(feed.last_tick_at, now)}"
        parts = [f":orange[{tick}]" if late else tick]
        if feed.since is not None:
            parts.append(f"since {formats.clock(feed.since, now=now)} IST")
        if feed.problem:
            parts.append(f":red[{formats.plain(feed.problem)}]")
        st.caption(" · ".join(parts))


def _schedules(schedules: Sequence[ScheduledView], now: datetime) -> None:
    if not schedules:
        st.caption("No strategy enters by itself. A schedule is set with the strategy.")
    far = datetime.max.replace(tzinfo=now.tzinfo)
    for one in sorted(schedules, key=lambda one: one.due_at or far):
        label, colour = SCHEDULE_STATES.get(one.state, (one.state, "gray"))
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{formats.plain(one.strategy)}**", width="content")
            st.badge(label, color=colour)
        parts = []
        if one.due_at is not None:
            left = f", {countdown(one.due_at, now)}" if one.state == "due" else ""
            parts.append(f"{formats.clock(one.due_at, now=now)} IST{left}")
        if one.run_id is not None:
            parts.append(f"run {one.run_id}")
        if one.reason:
            parts.append(formats.plain(one.reason))
        st.caption(" · ".join(parts) or formats.UNKNOWN)
