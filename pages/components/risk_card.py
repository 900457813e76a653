"""One open run on the risk page: P, peak and stop, every rule with its distance, how good what it decides on is."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from engine.services.views import RunView
from pages.components import formats
from pages.components.freshness import FRESH_SECONDS, lag
from pages.components.gauges import SUPERTREND, countdown, gauge_list
from pages.components.live import Now
from pages.components.run_card import exit_lines, hands_line, reentry_lines, run_head
from pages.components.supertrend_chart import supertrend_line
from pages.components.words import ACTIONS, word

OLD_PRICE_SECONDS = 60.0


def risk_card(run: RunView, now: Now, *, enabled: bool) -> None:
    """Show the card inside a live fragment; what is older than it should be is marked."""
    behind = lag(now.live.as_of, now.at)
    run_head(run, now.at)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        _badges(run, behind if behind > FRESH_SECONDS else 0.0)
    st.markdown(f":small[{' · '.join(_figures(run, now.at))}]")
    if run.limits.trailing_words:
        st.caption(f"Lock and trail: {formats.plain(run.limits.trailing_words)}")
    if run.drift:
        differs = formats.plain(", ".join(run.drift))
        st.caption(f":orange[:material/difference: Books differ from the ledger: {differs}]")
    exit_lines(run.exits, now.at)
    reentry_lines(run.reentries, now.at)
    hands_line(run)
    gauge_list(run, now.at, enabled=enabled)
    if run.supertrend is not None:
        supertrend_line(run.supertrend, now.at, does=_supertrend_does(run))


def _supertrend_does(run: RunView) -> str:
    gauge = next((gauge for gauge in run.gauges if gauge.rule == SUPERTREND), None)
    if gauge is None:
        return "exit all"
    if gauge.latched:
        return "acted, latched"
    return word(ACTIONS, gauge.action).lower() if gauge.enabled else "switched off"


def _badges(run: RunView, behind: float) -> None:
    if run.blind_seconds is not None:
        st.badge(
            f"Blind · {_long(run.blind_seconds + behind)}",
            icon=":material/visibility_off:",
            color="red",
            help="An open leg has no confirmed price: rules on P do not decide. Times still do",
        )
    if run.price_age_seconds is not None:
        age = run.price_age_seconds + behind
        st.badge(
            f"Prices {formats.age(age)}",
            icon=":material/schedule:",
            color="red" if age > OLD_PRICE_SECONDS else "orange" if age > FRESH_SECONDS else "green",
            help="Of the oldest price of an open leg",
        )
    elif any(row.exit_quantity for row in run.positions):
        st.badge("No price", icon=":material/cloud_off:", color="red")
    if run.drift:
        st.badge("Drift", icon=":material/difference:", color="orange")


def _figures(run: RunView, now: datetime) -> list[str]:
    limits = run.limits
    parts = [f"Peak {formats.profit(limits.peak_paise)}", f"Stop **{formats.profit(limits.stop_paise)}**"]
    if limits.peak_paise is None and limits.stop_paise is None:
        parts = ["No trailing stop"] if not limits.trailing else ["Trailing stop not active yet"]
    leaves = [moment for moment in (limits.exit_at, limits.square_off_at) if moment is not None]
    if leaves:
        parts.append(f"leaves **{countdown(min(leaves), now)}**")
    return parts


def _long(seconds: float) -> str:
    return formats.age(seconds).removesuffix(" ago")
