"""What needs a person now, most urgent first: one line each, with where to go."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import streamlit as st

from engine.services.views import AccountView, RunView
from pages.components import formats, places
from pages.components.live import Now
from pages.components.quarantine import held_back, what_to_do
from pages.components.words import waits

FAILED_OFTEN = 3
"""An exit whose orders failed so often is a matter for a person, although the engine goes on trying."""

LABELS = {places.ORDERS: "Orders", places.POSITIONS: "Positions", places.ACCOUNTS: "Accounts"}


class Matter(NamedTuple):
    """One thing that needs a person; ``urgent`` ones are shown as errors, ``place`` is where to go."""

    title: str
    text: str
    urgent: bool
    place: Path | None = None


def matters(now: Now) -> list[Matter]:
    """Return what needs a person, most urgent first."""
    found: list[Matter] = []
    if not now.engine.alive:
        note = f" {now.engine.stopped_note}" if now.engine.stopped_note else ""
        found.append(Matter("Engine", f"{now.engine.problem}{note}", urgent=bool(now.engine.open_runs)))
    elif now.live.problem:
        found.append(Matter("Figures", now.live.problem, urgent=True))
    for run in now.live.open_runs:
        found += _of_run(run, alive=now.engine.alive)
    for account in now.live.accounts:
        if now.engine.alive and (matter := _of_account(account)) is not None:
            found.append(matter)
    return sorted(found, key=lambda matter: not matter.urgent)


def _of_run(run: RunView, *, alive: bool) -> list[Matter]:
    title = f"{run.strategy} (run {run.id})"
    found = []
    if run.unknown_orders:
        text = (
            f"{formats.count(run.unknown_orders, 'order')} with unknown fate. Orders says what each waits for; who "
            "has looked at the broker may declare it."
        )
        found.append(Matter(title, text, urgent=True, place=places.ORDERS))
    found += [
        Matter(
            title,
            f"the exit on {one.account} is held up: it waits for {one.waits_for}.",
            urgent=True,
            place=places.POSITIONS,
        )
        for one in run.exits
        if one.blocked or one.failed >= FAILED_OFTEN
    ]
    if by_hand := [row.account for row in run.accounts if row.state == "taken_over"]:
        text = f"taken over by hand on {', '.join(by_hand)}: the engine sends nothing there until you press Close."
        found.append(Matter(title, text, urgent=True, place=places.POSITIONS))
    if run.problem and alive:
        found.append(Matter(title, run.problem, urgent=True, place=places.POSITIONS))
    return found


def _of_account(account: AccountView) -> Matter | None:
    if why := held_back(account):
        text = f"{why}. Nothing is sent there. {what_to_do(why)}"
        return Matter(account.name, text, urgent=True, place=places.ACCOUNTS)
    if account.armed:
        return None
    reason = waits(account.waits_for) if account.waits_for else "is not armed"
    health = f" · {account.health}" if account.health not in {"ok", "unknown", "waiting"} else ""
    text = f"{reason}{health}: nothing starts there until then."
    return Matter(account.name, text, urgent=False, place=places.ACCOUNTS)


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
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                words = f"{icon} **{formats.plain(matter.title)}** · {formats.plain(matter.text)}"
                st.markdown(words, width="stretch")
                if matter.place is not None:
                    st.page_link(matter.place, label=LABELS[matter.place], icon=":material/arrow_forward:")
