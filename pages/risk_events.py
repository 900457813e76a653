"""Risk events: what took, or should have taken, a position off, with what the engine knew then."""

from __future__ import annotations

import streamlit as st

from engine.desk import Desk, ServiceError
from engine.services.events import events_csv
from engine.services.views import EventFilter, RiskEventView
from pages.components import formats
from pages.components.knowledge import show_knowledge
from pages.components.shell import require_desk
from pages.components.tables import events_table
from pages.components.words import EVENTS, action_word, event_word, word

SHOWN = 200
EXPORTED = 10_000


def sieve(desk: Desk) -> EventFilter:
    """Ask which events are wanted."""
    kinds = desk.event_kinds()
    accounts = {account.id: account.name for account in desk.accounts()}
    with st.expander("Filter", icon=":material/filter_list:"), st.grid(3, min_column_width=220):
        chosen = st.multiselect("Events", kinds, format_func=lambda kind: word(EVENTS, kind), key="events-kinds")
        account = st.selectbox(
            "Account",
            list(accounts),
            index=None,
            placeholder="all",
            format_func=lambda number: accounts.get(number, formats.UNKNOWN),
            key="events-account",
        )
        run = st.number_input("Run", min_value=1, value=None, step=1, placeholder="all", key="events-run")
        first = st.date_input("From", value=None, key="events-first", format="DD/MM/YYYY")
        last = st.date_input("Until", value=None, key="events-last", format="DD/MM/YYYY")
        words = st.text_input("Words in what happened", key="events-words", max_chars=100)
    return EventFilter(
        kinds=chosen, account_id=account, run_id=run, first_day=first, last_day=last, words=words or "",
    )  # fmt: skip


def detail(event: RiskEventView) -> None:
    """Show everything that is known of one event."""
    with st.container(border=True):
        st.subheader(f"{event_word(event)} · {action_word(event)}", anchor=False)
        st.markdown(formats.plain(event.message))
        run = f" · run {event.run_id}" if event.run_id else ""
        link = f" · link {formats.grouped(event.link)} of the audit chain" if event.link else " · not yet chained"
        st.caption(f"{formats.clock(event.at)} IST · event {event.id}{run}{link}")
        with st.grid(2, min_column_width=220):
            st.metric("Value", formats.profit(event.value_paise), border=True)
            st.metric("Limit", formats.profit(event.threshold_paise), border=True)
        orders = formats.plain(", ".join(event.order_ids))
        st.markdown(f"Exit orders: {orders}" if orders else "No exit order went out for it.")
        show_knowledge(event.knew)


desk = require_desk()
wanted = sieve(desk)
try:
    events = desk.risk_events(limit=SHOWN, only=wanted)
except ServiceError as error:
    st.error(str(error))
    st.stop()
if not events and wanted == EventFilter():
    st.caption("No risk event so far. Stops, targets, square-offs, alarms and the kill switch are recorded here.")
elif not events:
    st.caption("No risk event fits the filter.")
else:
    more = (
        f" The newest {SHOWN} that fit; the CSV holds up to {formats.grouped(EXPORTED)}."
        if len(events) == SHOWN
        else ""
    )
    st.caption(f"Newest first. Choose a row to see what the engine knew.{more}")
    with st.container(horizontal=True, gap="small"):  # left of where the table's toolbar appears
        st.button("Refresh", key="refresh-events", icon=":material/refresh:")
        st.download_button(
            "CSV",
            lambda: events_csv(desk.risk_events(limit=EXPORTED, only=wanted)),
            file_name="risk-events.csv",
            mime="text/csv",
            key="events-csv",
            icon=":material/download:",
            on_click="ignore",
        )
    chosen = events_table(events, key="risk-events")
    for event in (events[place] for place in chosen if place < len(events)):
        detail(event)
