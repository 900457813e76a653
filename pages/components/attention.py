"""What needs a person now, most urgent first: one line each, with where to go."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import streamlit as st

from engine.services.risk_views import DayLimitView, FeedView
from engine.services.views import AccountView, RunView
from pages.components import formats, places
from pages.components.live import Now
from pages.components.quarantine import held_back, what_to_do
from pages.components.words import RULES, venue_word, waits, word

FAILED_OFTEN = 3
"""An exit whose orders failed so often is a matter for a person, although the engine goes on trying."""

LABELS = {
    places.ORDERS: "Orders", places.POSITIONS: "Positions", places.ACCOUNTS: "Accounts", places.RISK: "Risk",
    places.STRATEGIES: "Strategies",
}  # fmt: skip


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
    found += [matter for limit in now.live.day_limits if (matter := _of_limits(limit)) is not None]
    if now.engine.alive:
        found += [_of_feed(feed) for feed in now.live.feeds if feed.problem]
    found += [
        Matter(one.strategy, f"did not enter by itself: {one.reason}.", urgent=False, place=places.STRATEGIES)
        for one in now.live.schedules
        if one.state in {"skipped", "refused"} and one.reason
    ]
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
        found.append(Matter(title, run.problem, urgent=True, place=places.RISK if run.gauges else places.POSITIONS))
    found += [
        Matter(title, f"books differ from the ledger: {drifted}.", urgent=False, place=places.ORDERS)
        for drifted in run.drift
    ]
    return found


def _of_limits(limit: DayLimitView) -> Matter | None:
    """Return a halt of one account, or that a limit of everything acted; the kill switch has words of its own."""
    if limit.account_id is not None and limit.halted:
        until = "you re-arm it" if limit.halted_until is None else f"{limit.halted_until:%a %d %b}"
        why = f" ({limit.reason})" if limit.reason else ""
        return Matter(limit.account, f"no strategy starts there until {until}{why}.", urgent=False, place=places.RISK)
    if limit.latched and not limit.halted:
        acted = " and ".join(word(RULES, rule).lower() for rule in limit.latched)
        name = limit.account if limit.account_id is not None else "Limits of the day"
        return Matter(name, f"{acted} of the day was reached.", urgent=False, place=places.RISK)
    return None


def _of_feed(feed: FeedView) -> Matter:
    name = f"Prices of {venue_word(feed.venue)}"
    who = f"come from {feed.account}" if feed.account_id is not None else "come from nobody"
    return Matter(name, f"{who}: {feed.problem}.", urgent=feed.account_id is None, place=places.RISK)


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
        mine = next((limit for limit in now.live.day_limits if limit.account_id is None), None)
        why = mine.reason if mine is not None else ""
        head = "The kill switch was pressed." if not why or "kill" in why else f"Entries are halted: {why}."
        until = mine.halted_until if mine is not None else None
        end = "until you re-arm" if until is None else f"before {until:%a %d %b}, or until you re-arm"
        with st.container(border=True):
            st.markdown(
                f":red[**{formats.plain(head)}**] No strategy starts on any account {end} at the top of the page."
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
