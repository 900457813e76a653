"""Risk events: what took, or should have taken, a position off, with what the engine knew then."""

from __future__ import annotations

import streamlit as st

from pages.components import formats
from pages.components.knowledge import show_knowledge
from pages.components.shell import require_desk
from pages.components.tables import events_table
from pages.components.words import ACTIONS, event_word, word

desk = require_desk()
events = desk.risk_events(limit=200)
if not events:
    st.caption("No risk event so far. Stops, targets, square-offs, alarms and the kill switch are recorded here.")
else:
    st.caption("Newest first. Choose a row to see what the engine knew.")
    st.button("Refresh", key="refresh-events", icon=":material/refresh:")  # left of where the table's toolbar appears
    chosen = events_table(events, key="risk-events")
    for event in (events[place] for place in chosen if place < len(events)):
        with st.container(border=True):
            st.subheader(f"{event_word(event)} · {word(ACTIONS, event.action)}", anchor=False)
            st.markdown(formats.plain(event.message))
            st.caption(
                f"{formats.clock(event.at)} IST · event {event.id}" + (f" · run {event.run_id}" if event.run_id else "")
            )
            with st.grid(2, min_column_width=220):
                st.metric("Value", formats.profit(event.value_paise), border=True)
                st.metric("Limit", formats.profit(event.threshold_paise), border=True)
            orders = formats.plain(", ".join(event.order_ids))
            st.markdown(f"Exit orders: {orders}" if orders else "No exit order went out for it.")
            show_knowledge(event.knew)
