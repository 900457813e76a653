"""The product's words for states: one label, icon and colour each, the same on every page."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from engine.services.views import RiskEventView

Colour = Literal["red", "orange", "blue", "green", "gray"]

RUN_STATES: dict[str, tuple[str, Colour]] = {
    "resolving": ("Choosing contracts", "blue"),
    "entering": ("Entering", "blue"),
    "open": ("Open", "green"),
    "exiting": ("Leaving", "orange"),
    "closed": ("Closed", "gray"),
    "refused": ("Refused", "red"),
}

ACCOUNT_STATES = {
    "sizing": "sizing",
    "buying": "buying hedges",
    "selling": "selling",
    "failing": "entry failed",
    "entered": "entered",
    "skipped": "skipped",
    "unwinding": "unwinding",
    "flat": "flat",
    "taken_over": "taken over by hand",
}

PURPOSES = {"entry": "entry", "exit": "exit", "reentry": "re-entry"}

ORDER_STATES = {
    "planned": "waits for its turn",
    "sending": "sent, no answer",
    "working": "working",
    "cancelling": "being cancelled",
    "unknown": "fate unknown",
    "queued": "queued for approval",
    "filled": "filled",
    "cancelled": "cancelled",
    "rejected": "rejected",
    "expired": "expired",
    "denied": "denied here",
    "not_sent": "never sent",
    "not_received": "never received",
    "void": "superseded",
}

HEALTH = {
    "ok": "🟢 ok",
    "waiting": "🟠 waiting",
    "unreachable": "🔴 unreachable",
    "refused": "🔴 refused",
    "unknown": "⚪ unknown",
}

BOUNDS = {
    "margin": "margin",
    "funds": "funds",
    "fixed_lots": "fixed lots",
    "allocation": "share of the total",
    "cap": "lot cap",
    "freeze": "freeze quantity",
}

EVENTS = {
    "max_loss": "Max loss",
    "max_profit": "Max profit",
    "trailing_sl": "Trailing stop",
    "supertrend": "Supertrend",
    "leg_sl": "Leg stop",
    "leg_target": "Leg target",
    "square_off": "Square-off",
    "kill_switch": "Kill switch",
    "by_hand": "By hand",
    "exit_time": "Exit time",
    "blind": "Blind: no confirmed price",
    "drift": "Outside trade",
    "unknown_order": "Unknown order",
    "declared": "Declared by hand",
    "taken_over": "Taken over by hand",
    "adopted": "Adopted by hand",
    "exit_blocked": "Exit held up",
    "late_fill": "Late fill",
    "settlement": "Settlement",
    "unverified": "Goes on unverified",
    "entry_failed": "Entry failed",
    "engine_fault": "Fault inside the engine",
    "failover": "Feed failover",
    "move_to_cost": "Stops moved to cost",
    "reentry": "Re-entry",
    "scheduled_entry": "Entry by the clock",
    "price_doubted": "Price doubted",
    "drill": "Fire drill",
    "limits_set": "Limits changed",
    "rearmed": "Re-armed",
}

ACTIONS = {"close_all": "Exit all", "close_partial": "Exit part", "alert_only": "Alert only"}

RULES = {
    "max_loss": "Max loss",
    "max_profit": "Max profit",
    "account_max_loss": "Max loss of an account",
    "account_max_profit": "Max profit of an account",
    "trailing_sl": "Trailing stop",
    "leg_sl": "Leg stop",
    "leg_target": "Leg target",
    "supertrend": "Supertrend",
    "exit_time": "Exit time",
    "square_off": "Square-off",
}
"""Rules of a run, in the order in which the engine asks them."""

EXPIRIES = {
    "current_week": "This week",
    "next_week": "Next week",
    "current_month": "This month",
    "next_month": "Next month",
}

STRIKES = {
    "atm": "ATM",
    "otm": "OTM by strikes",
    "itm": "ITM by strikes",
    "exact": "Strike ₹",
    "premium_near": "Premium near ₹",
}

UNITS = {"rupees": "₹", "per_lot": "₹ per lot", "percent_of_premium": "% of premium"}

TRAILING = {
    "percent_of_premium": "% of entry premium",
    "amount": "₹ below the peak",
    "points": "Points below the peak",
    "percent_of_profit": "% of profit given back",
    "lock_and_trail": "Lock and trail",
}

CONDITIONS = {"any": "Any day", "expiry": "Expiry day only", "non_expiry": "Not on expiry day"}

TRAILING_SHORT = {
    "percent_of_premium": "% of premium",
    "amount": "₹",
    "points": "points",
    "percent_of_profit": "% of profit",
    "lock_and_trail": "lock and trail",
}

LEG_LIMITS = {"none": "–", "percent": "% of entry", "points": "₹ from entry", "premium": "Premium ₹"}

REENTRIES = {"none": "–", "at_cost": "At cost", "fresh": "Fresh strike"}

INTERVALS = ("1m", "3m", "5m", "10m", "15m", "30m", "1h")

SERIES = {"combined": "Combined premium", "underlying": "Underlying", "leg": "One leg"}

SERIES_SHORT = {"combined": "the combined premium", "underlying": "the underlying", "leg": "leg"}

EXIT_ON = {"breakout": "Breakout: it turns up", "breakdown": "Breakdown: it turns down"}

TESTS = {"cross": "It turned after the entry", "level": "It points that way"}

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

SCHEDULE_STATES: dict[str, tuple[str, Colour]] = {
    "due": ("Next", "blue"),
    "begun": ("Entered", "green"),
    "skipped": ("Skipped", "orange"),
    "refused": ("Refused", "red"),
    "none": ("Not planned", "gray"),
}

POLICIES = {"unwind": "Unwind the account", "hold": "Hold and alert"}

PRICE_TYPES = {"MARKET": "Market", "LIMIT": "Limit"}

LIMIT_TIMEOUTS = {"cancel": "Give up the rest: the leg has failed", "market": "Send the rest at market"}


def waits(what: str) -> str:
    """Return what an account waits for, or needs, as it is said of the account.

    >>> waits("its server to answer"), waits("needs a new broker session")
    ('waits for its server to answer', 'needs a new broker session')
    """
    return what if what.startswith("needs ") else f"waits for {what}"


def is_paper(venue: str) -> bool:
    """Whether a venue is a paper exchange, where no money moves."""
    return venue.startswith("paper")


def venue_word(venue: str) -> str:
    """Return PAPER or LIVE."""
    return "PAPER" if is_paper(venue) else "LIVE"


def venue_badge(venue: str) -> None:
    """Show whether money moves there."""
    if is_paper(venue):
        st.badge("PAPER", icon=":material/science:", color="violet", help="A paper exchange: no money moves")
    else:
        st.badge("LIVE", icon=":material/currency_rupee:", color="blue", help="A broker: real money")


def run_state_badge(state: str) -> None:
    """Show a run's state."""
    label, colour = RUN_STATES.get(state, (state, "gray"))
    st.badge(label, color=colour)


def event_word(event: RiskEventView) -> str:
    """Return what a risk event is called; a gap without an engine is recorded as blind, but no price was missing."""
    return "No engine ran" if "unwatched_from" in event.knew else word(EVENTS, event.kind)


def action_word(event: RiskEventView) -> str:
    """Return what a risk event did; what only reports on a re-entry or a drill is no alert."""
    return "Report" if event.kind in {"reentry", "drill"} else word(ACTIONS, event.action)


def word(words: dict[str, str], key: str) -> str:
    """Return the word for a key; a key without one shows itself."""
    return words.get(key, key.replace("_", " "))
