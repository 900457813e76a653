"""What needs a person now, most urgent first: one line each, with where to go."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from pages.components import formats
from pages.components.live import Now


class Matter(NamedTuple):
    """One thing that needs a person; ``urgent`` ones are shown as errors."""

    title: str
    text: str
    urgent: bool


def matters(now: Now) -> list[Matter]:
    """Return what needs a person, most urgent first."""
    found: list[Matter] = []
    if not now.engine.alive:
        note = f" {now.engine.stopped_note}" if now.engine.stopped_note else ""
        found.append(Matter("Engine", f"{now.engine.problem}{note}", urgent=bool(now.engine.open_runs)))
    elif now.live.problem:
        found.append(Matter("Figures", now.live.problem, urgent=True))
    for run in now.live.open_runs:
        title = f"{run.strategy} (run {run.id})"
        if run.unknown_orders:
            text = f"{formats.count(run.unknown_orders, 'order')} with unknown fate: the engine is looking it up."
            found.append(Matter(title, text, urgent=True))
        if run.problem and now.engine.alive:
            found.append(Matter(title, run.problem, urgent=True))
    for account in now.live.accounts:
        if now.engine.alive and not account.armed:
            reason = f"waits for {account.waits_for}" if account.waits_for else "is not armed"
            health = f" · {account.health}" if account.health not in {"ok", "unknown", "waiting"} else ""
            found.append(Matter(account.name, f"{reason}{health}: nothing starts there until then.", urgent=False))
    return sorted(found, key=lambda matter: not matter.urgent)


def show_matters(now: Now, *, first_steps: bool) -> None:
    """Show what needs a person, or that nothing does; open first steps are something to do."""
    if now.live.halted:
        with st.container(border=True):
            st.markdown(
                ":red[**The kill switch was pressed.**] No strategy starts on any account until you re-arm "
                "at the top of the page.",
            )
    found = matters(now)
    if not found:
        if not now.live.halted and not first_steps:
            st.caption(":green[:material/check_circle:] Nothing needs you now.")
        return
    with st.container(border=True, gap="small"):
        st.markdown("**Needs you now**")
        for matter in found:
            icon = ":red[:material/error:]" if matter.urgent else ":orange[:material/schedule:]"
            st.markdown(f"{icon} **{formats.plain(matter.title)}** · {formats.plain(matter.text)}")
