"""When a run leaves: limits, each account by itself, trailing stop, Supertrend, times of day (RULES 7)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time
from typing import Any

import streamlit as st

from engine.services.drafts import LimitsDraft, StrategyDraft, SupertrendDraft
from engine.services.limit_checks import MOST_RUPEES
from engine.services.lock_words import lock_words
from engine.services.views import AccountView
from pages.components.entry_settings import choice
from pages.components.rule_settings import rule_settings
from pages.components.words import EXIT_ON, INTERVALS, SERIES, TESTS, TRAILING, UNITS

NO_TRAILING = "none"
LOCK = "lock_and_trail"
NARROWEST = 120
"""Pixels that a field needs: two stand beside each other on a phone."""
LOCK_FIELDS = ("lock_reach", "lock_keep", "lock_step", "lock_rise")


def exit_settings(draft: StrategyDraft, accounts: Sequence[AccountView], key: str) -> LimitsDraft:
    """Show the exits of a draft inside a form, open where they are used; return them as they were typed."""
    limits = draft.limits
    amounts = _amounts(limits, key)
    times = _times(limits, key)
    with st.expander("Trailing stop", expanded=limits.trailing_kind is not None, key=f"{key}-open-trailing"):
        trailing = _trailing(limits, key)
    own = limits.account_max_loss is not None or limits.account_max_profit is not None
    with st.expander("Limits of each account by itself", expanded=own, key=f"{key}-open-account"):
        account = _account(limits, key)
    with st.expander("Supertrend", expanded=limits.supertrend is not None, key=f"{key}-open-supertrend"):
        supertrend = _supertrend(limits.supertrend, key)
    with st.expander("What each rule does", expanded=bool(limits.rules), key=f"{key}-open-rules"):
        st.caption(
            "A rule that is set above is on and takes out what it watches: the run, that account, or for a leg's own "
            "rule that leg. Say here what shall be different."
        )
        rules = rule_settings(limits.rules, accounts, len(draft.legs), key)
    return LimitsDraft(**amounts, **times, **trailing, **account, supertrend=supertrend, rules=rules)


def _amounts(limits: LimitsDraft, key: str) -> dict[str, Any]:
    with st.grid(4, min_column_width=NARROWEST):
        max_loss = _amount("Max loss", limits.max_loss, f"{key}-loss")
        loss_unit = choice("in", UNITS, limits.max_loss_unit, f"{key}-loss-unit")
        max_profit = _amount("Max profit", limits.max_profit, f"{key}-profit")
        profit_unit = choice("in ", UNITS, limits.max_profit_unit, f"{key}-profit-unit")
    return {
        "max_loss": max_loss,
        "max_loss_unit": loss_unit,
        "max_profit": max_profit,
        "max_profit_unit": profit_unit,
    }


def _account(limits: LimitsDraft, key: str) -> dict[str, Any]:
    st.caption("On what the run makes on each account: only that account leaves, the others go on.")
    with st.grid(4, min_column_width=NARROWEST):
        max_loss = _amount("Max loss of an account", limits.account_max_loss, f"{key}-account-loss")
        loss_unit = choice("in  ", UNITS, limits.account_max_loss_unit, f"{key}-account-loss-unit")
        max_profit = _amount("Max profit of an account", limits.account_max_profit, f"{key}-account-profit")
        profit_unit = choice("in   ", UNITS, limits.account_max_profit_unit, f"{key}-account-profit-unit")
    return {
        "account_max_loss": max_loss,
        "account_max_loss_unit": loss_unit,
        "account_max_profit": max_profit,
        "account_max_profit_unit": profit_unit,
    }


def _trailing(limits: LimitsDraft, key: str) -> dict[str, Any]:
    kinds = {NO_TRAILING: "No trailing stop", **TRAILING}
    with st.grid(3, min_column_width=NARROWEST):
        kind = choice("Trailing stop", kinds, limits.trailing_kind or NO_TRAILING, f"{key}-trailing")
        value = _amount("Trailing value", limits.trailing_value, f"{key}-trailing-value")
        activate = _amount("Counts from a profit of ₹", limits.trailing_activate_at, f"{key}-activate")
    labels = ("Lock at a profit of ₹", "keep ₹", "for every further ₹", "keep so much more ₹")
    with st.grid(4, min_column_width=NARROWEST):
        figures = {
            field: _amount(label, getattr(limits, field), f"{key}-{field.replace('_', '-')}")
            for label, field in zip(labels, LOCK_FIELDS, strict=True)
        }
    st.caption(f"**Lock and trail.** {lock_words(LimitsDraft(**figures))} “Check” reckons it with what you typed.")
    typed = {"trailing_value": value, "trailing_activate_at": activate, **figures}
    return {"trailing_kind": None if kind == NO_TRAILING else kind} | {
        # what a kind does not use is dropped, but not what was typed just now: ``typed_in_vain`` tells of that
        field: amount if field in _used(kind) or amount != getattr(limits, field) else None
        for field, amount in typed.items()
    }


def _used(kind: str) -> frozenset[str]:
    """Return the figures that a kind of trailing stop uses."""
    if kind == NO_TRAILING:
        return frozenset()
    return frozenset(LOCK_FIELDS if kind == LOCK else ("trailing_value", "trailing_activate_at"))


def typed_in_vain(limits: LimitsDraft) -> str:
    """Return what was typed for another kind of trailing stop than the chosen one, in words; empty if nothing was.

    Nobody shall believe in a stop that is not there.
    """
    used = _used(limits.trailing_kind or NO_TRAILING)
    if "lock_reach" not in used and any(getattr(limits, field) is not None for field in LOCK_FIELDS):
        return "the figures of a lock need “Lock and trail” as kind of the stop; choose it, or empty them"
    if limits.trailing_value is not None and "trailing_value" not in used:
        return "the trailing value is not used by this kind of stop; choose another kind, or empty it"
    if limits.trailing_activate_at is not None and not used:
        return "choose the kind of the trailing stop, or empty the profit it counts from"
    return ""


def _supertrend(stored: SupertrendDraft | None, key: str) -> SupertrendDraft | None:
    shown = stored or SupertrendDraft()
    key = f"{key}-supertrend"
    used = st.toggle("Leave by Supertrend", value=stored is not None, key=f"{key}-used")
    st.caption("On bars that have closed. It needs at least 50 of them, and 7 times its period, before it decides.")
    with st.grid(5, min_column_width=NARROWEST):
        series = choice("On", SERIES, shown.series, f"{key}-series")
        leg = st.number_input(
            "Leg", value=shown.leg, step=1, key=f"{key}-leg", placeholder="none", help="By number, for “One leg” only"
        )
        interval = choice("Bars of", {name: name for name in INTERVALS}, shown.interval, f"{key}-interval")
        period = st.number_input("Period", value=shown.period, step=1, key=f"{key}-period")
        multiplier = st.number_input(
            "Multiplier", value=shown.multiplier, step=0.1, format="%g", key=f"{key}-multiplier"
        )
    with st.grid(2, min_column_width=2 * NARROWEST):
        exit_on = choice("Leaves on", EXIT_ON, shown.exit_on, f"{key}-exit-on")
        test = choice("Counts when", TESTS, shown.test, f"{key}-test")
    if not used:
        return None
    return SupertrendDraft(
        series=series,
        leg=leg if series == "leg" else None,
        interval=interval,
        period=shown.period if period is None else period,
        multiplier=shown.multiplier if multiplier is None else multiplier,
        exit_on=exit_on,
        test=test,
    )


def _times(limits: LimitsDraft, key: str) -> dict[str, Any]:
    with st.grid(2, min_column_width=NARROWEST):
        exit_time = st.time_input(
            "Leave at (IST)",
            value=clock_of(limits.exit_time),
            step=300,
            key=f"{key}-exit",
            help="When you want to be out: the run leaves by itself at this time of its day. Empty: no such time",
        )
        square_off = st.time_input(
            "Square off at (IST)",
            value=clock_of(limits.square_off_time),
            step=300,
            key=f"{key}-square",
            help="The latest time, before the broker squares off itself: whatever is still open is taken off. "
            "Intraday (MIS) without one gets 15:10. The earlier of both times counts",
        )
    return {"exit_time": clock_text(exit_time), "square_off_time": clock_text(square_off)}


def _amount(label: str, value: float | None, key: str) -> float | None:
    # no bounds here: the browser keeps an amount beyond them to itself, and Save would not say what is wrong
    shown = None if value is None else min(value, MOST_RUPEES)  # what an earlier release stored may be beyond
    amount: float | None = st.number_input(label, value=shown, step=1.0, key=key, placeholder="none")
    return amount


def clock_of(text: str | None) -> time | None:
    """Return a time of day from HH:MM."""
    return None if text is None else time.fromisoformat(text)


def clock_text(moment: time | None) -> str | None:
    """Return HH:MM of a time of day."""
    return None if moment is None else f"{moment:%H:%M}"
