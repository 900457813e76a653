"""Every rule of a run as a bar: how far it is from acting, what it would do, whether it acted already (RULES 7)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
import streamlit as st

from engine.services.risk_views import GaugeView
from engine.services.views import RunView
from pages.components import formats
from pages.components.rearming import ask_rearm
from pages.components.words import ACTIONS, RULES, word

CLOSE, NEAR = 0.85, 0.6
"""From which part of its way a rule is shown in red, and in orange."""
SUPERTREND = "supertrend"
BARS = 4
"""Rules of legs and accounts up to this many have a bar each; more of them share a table."""


def latch_of(gauge: GaugeView) -> str:
    """Return the name of a rule among the latches of its run.

    >>> latch_of(GaugeView(rule="leg_sl", scope="leg", account_id=3, leg_index=2)), latch_of(GaugeView(rule="max_loss"))
    ('leg_sl@3.2', 'max_loss')
    >>> latch_of(GaugeView(rule="account_max_loss", scope="account", account_id=3))
    'max_loss@3'
    """
    if gauge.account_id is None:
        return gauge.rule
    rule = gauge.rule.removeprefix("account_")
    return f"{rule}@{gauge.account_id}" + (f".{gauge.leg_index}" if gauge.leg_index is not None else "")


def nearness(run: RunView) -> float:
    """Return how near a run is to the first rule that would act, for sorting: what cannot be judged comes first.

    Times are left out: at the end of a day all of them would be near.
    """
    if run.blind_seconds is not None or run.unknown_orders:
        return 2.0
    judged = (gauge.used for gauge in run.gauges if gauge.enabled and not gauge.latched and gauge.due_at is None)
    return max((used for used in judged if used is not None), default=0.0)


def countdown(due: datetime, now: datetime) -> str:
    """Return the time that is left, in words.

    >>> from datetime import UTC, timedelta
    >>> at = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
    >>> [countdown(at + timedelta(seconds=s), at) for s in (-1, 42, 605, 11_700, 200_000)]
    ['due now', 'in 42 s', 'in 10 min 5 s', 'in 3 h 15 min', 'in 2 d 7 h']
    """
    left = int((due - now).total_seconds())
    if left <= 0:
        return "due now"
    if left < 60:
        return f"in {left} s"
    minutes, seconds = divmod(left, 60)
    if minutes < 60:
        return f"in {minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"in {hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"in {days} d {hours} h"


def distance(gauge: GaugeView, now: datetime) -> str:
    """Return how far a rule is from acting, in its own measure; empty while that is not known."""
    if gauge.due_at is not None:
        return countdown(gauge.due_at, now)
    if gauge.used is not None and gauge.used >= 1.0:
        return "reached"
    percent = "" if gauge.used is None else f" ({max(0.0, 1.0 - gauge.used) * 100:.0f} %)"
    if gauge.threshold_paise is not None and gauge.value_paise is not None:
        return f"{formats.rupees(abs(gauge.value_paise - gauge.threshold_paise))} away{percent}"
    if gauge.threshold_price is not None and gauge.price is not None:
        return f"₹{formats.price(abs(gauge.price - gauge.threshold_price))} away{percent}"
    return ""


def acts_at(gauge: GaugeView, now: datetime) -> str:
    """Return where a rule acts: P, a price or a time of day."""
    if gauge.due_at is not None:
        return f"{formats.clock(gauge.due_at, now=now)} IST"
    if gauge.threshold_paise is not None:
        return formats.profit(gauge.threshold_paise)
    return "" if gauge.threshold_price is None else f"₹{formats.price(gauge.threshold_price)}"


def title(gauge: GaugeView) -> str:
    """Return what a rule is called, with the account and leg that it is for."""
    name = word(RULES, gauge.rule)
    if gauge.scope == "run":
        return name
    name = {"max_loss": "Max loss", "max_profit": "Max profit"}.get(gauge.rule.removeprefix("account_"), name)
    where = gauge.account if gauge.leg_index is None else f"leg {gauge.leg_index}, {gauge.account}"
    return f"{name} · {where}"


def gauge_list(run: RunView, now: datetime, *, enabled: bool) -> None:
    """Show the rules of a run inside a live fragment, each with its bar; latched ones with the way to re-arm them."""
    if not run.gauges:
        if run.state in {"open", "exiting"}:
            st.caption("No rule watches this run: nothing but you takes it out.")
        return
    # the Supertrend has lines of its own on the card
    wide = [gauge for gauge in run.gauges if gauge.scope == "run" and not (gauge.rule == SUPERTREND and run.supertrend)]
    narrow = [gauge for gauge in run.gauges if gauge.scope != "run"]
    for gauge in wide:
        _bar(gauge, run, now)
    if len(narrow) <= BARS:
        for gauge in narrow:
            _bar(gauge, run, now)
    else:
        nearest = max(narrow, key=lambda gauge: -1.0 if gauge.used is None or gauge.latched else gauge.used)
        _bar(nearest, run, now)
        label = f"All {len(narrow)} rules of accounts and legs"
        with st.expander(label, icon=":material/format_list_bulleted:", key=f"narrow-{run.id}"):
            _table(narrow, run, now)
    for gauge in run.gauges:
        if gauge.latched:
            _rearm(gauge, run, enabled=enabled)


def state_words(gauge: GaugeView, run: RunView) -> str:
    """Return what a rule does or why it does not decide; plain text."""
    if gauge.latched:
        return "acted, latched"
    if not gauge.enabled:
        return "switched off"
    does = word(ACTIONS, gauge.action).lower()
    if gauge.note:
        return gauge.note if gauge.used is None else f"{does}, {gauge.note}"
    if run.blind_seconds is not None and gauge.due_at is None:
        return "blind: does not decide"
    return does


def _bar(gauge: GaugeView, run: RunView, now: datetime) -> None:
    decides = gauge.enabled and not gauge.latched
    used = gauge.used if decides else None
    colour = "gray" if used is None else "red" if used >= CLOSE else "orange" if used >= NEAR else "green"
    if gauge.due_at is not None:
        colour = "blue"
    far = distance(gauge, now) if decides else ""
    state = formats.plain(state_words(gauge, run))
    parts = [f"**{formats.plain(title(gauge))}** {formats.plain(acts_at(gauge, now))}".rstrip()]
    if far:
        parts.append(f":{colour}[{formats.plain(far)}]")
    parts.append(f":orange[{state}]" if gauge.latched else f":gray[{state}]")
    text = " · ".join(parts)
    if used is None:
        st.markdown(f":small[{text}]")
    else:
        st.progress(min(1.0, max(0.0, used)), text=text)


def _table(gauges: Sequence[GaugeView], run: RunView, now: datetime) -> None:
    ordered = sorted(gauges, key=lambda gauge: -(gauge.used if gauge.used is not None else -1.0))
    st.dataframe(
        pd.DataFrame(
            {
                "Rule": title(gauge),
                "Used": None if gauge.used is None else 100 * min(1.0, max(0.0, gauge.used)),
                "Away": distance(gauge, now) or formats.UNKNOWN,
                "Now": formats.price(gauge.price) if gauge.value_paise is None else formats.profit(gauge.value_paise),
                "Acts at": acts_at(gauge, now) or formats.UNKNOWN,
                "Does": state_words(gauge, run),
            }
            for gauge in ordered
        ),
        hide_index=True,
        alt="Rules of accounts and legs",
        column_config={
            "Used": st.column_config.ProgressColumn("Used", min_value=0.0, max_value=100.0, format="%.0f %%")
        },
    )


def _rearm(gauge: GaugeView, run: RunView, *, enabled: bool) -> None:
    latch = latch_of(gauge)
    if st.button(
        f"Re-arm {title(gauge).lower()}",
        key=f"rearm-{run.id}-{latch}",
        icon=":material/lock_open:",
        disabled=not enabled,
        help="It acted once and does not act again for this run until it is re-armed",
    ):
        breached = None if gauge.used is None else gauge.used >= 1.0
        ask_rearm(title(gauge), run_id=run.id, latch=latch, breached=breached)
        st.rerun()
