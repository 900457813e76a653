"""When a strategy enters by itself, and until when it may enter at all."""

from __future__ import annotations

import streamlit as st

from engine.services.drafts import ScheduleDraft
from pages.components.exit_settings import NARROWEST, clock_of, clock_text
from pages.components.words import WEEKDAYS


def schedule_settings(schedule: ScheduleDraft, key: str) -> ScheduleDraft:
    """Show the schedule of a draft inside a form; return it as it was typed."""
    key = f"{key}-schedule"
    enabled = st.toggle("Enters by itself, once a day", value=schedule.enabled, key=f"{key}-enabled")
    with st.grid(3, min_column_width=NARROWEST):
        entry = st.time_input(
            "Enters at (IST)",
            value=clock_of(schedule.entry_time),
            step=300,
            key=f"{key}-entry",
            help="On trading days of its exchange, and only on the days it starts on (expiry day or not)",
        )
        last = st.time_input(
            "Last entry at (IST)",
            value=clock_of(schedule.last_entry_time),
            step=300,
            key=f"{key}-last",
            help="Nothing of it enters or re-enters later, by schedule or by hand. Empty: no such time",
        )
        grace = st.number_input(
            "Seconds of grace",
            value=schedule.grace_seconds,
            step=10.0,
            format="%g",
            key=f"{key}-grace",
            help="An entry that the engine missed by more than this is skipped, with the reason",
        )
    days = st.pills(
        "On",
        list(range(len(WEEKDAYS))),
        selection_mode="multi",
        default=[day for day in schedule.weekdays if 0 <= day < len(WEEKDAYS)],
        format_func=lambda day: WEEKDAYS[day],
        key=f"{key}-days",
        help="None: on every trading day",
    )
    return ScheduleDraft(
        enabled=enabled,
        entry_time=clock_text(entry),
        weekdays=sorted(days),
        last_entry_time=clock_text(last),
        grace_seconds=schedule.grace_seconds if grace is None else grace,
    )
