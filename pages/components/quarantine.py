"""Why nothing is sent for an account, and what a person can do about it (RULES 5)."""

from __future__ import annotations

from engine.services.views import AccountView

_ADVICE = (
    (
        ("semi-auto", "semi_auto", "approval"),
        "On its OpenAlgo server approve or reject what waits, set its order mode to auto, then declare it on Orders.",
    ),
    (
        ("session", "token", "log in", "login"),
        "Log the server in to the broker again; the engine goes on by itself when its books are read.",
    ),
    (
        ("speaks for", "another broker", "armed with", "changed from"),
        "Log the server in to the broker it had before; another broker is an account of its own, to be added here.",
    ),
    (
        (" mode",),
        "Switch the server back to the mode it was armed in; the engine goes on by itself when it is.",
    ),
)
GENERAL = "Look at its OpenAlgo server; the engine goes on by itself when the cause is gone."


def held_back(account: AccountView) -> str:
    """Return why nothing at all can be sent for an account, empty when it can: quarantined, or without a session."""
    if account.quarantine:
        return account.quarantine
    return account.waits_for if "session" in account.waits_for.lower() else ""


def what_to_do(quarantine: str) -> str:
    """Return what ends a quarantine, in words.

    >>> what_to_do("its server is in live mode, it was armed in analyze mode")
    'Switch the server back to the mode it was armed in; the engine goes on by itself when it is.'
    """
    said = quarantine.lower()
    return next((advice for signs, advice in _ADVICE if any(sign in said for sign in signs)), GENERAL)
