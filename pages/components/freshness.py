"""Each figure is fresh, stale with its age, or unavailable with the reason."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import streamlit as st

from engine.services.views import EngineView
from pages.components import formats

FRESH_SECONDS = 5.0


def lag(as_of: datetime, now: datetime) -> float:
    """Return by how many seconds every age inside a view read at ``as_of`` has grown since."""
    return max(0.0, (now - as_of).total_seconds())


class Freshness(StrEnum):
    """How far a figure can be trusted."""

    FRESH = "fresh"
    STALE = "stale"
    UNAVAILABLE = "unavailable"


def judge(as_of: datetime | None, now: datetime, problem: str = "") -> Freshness:
    """Return the freshness of a figure read at ``as_of``; a problem without old figures means that there are none."""
    if as_of is None:
        return Freshness.UNAVAILABLE
    if (now - as_of).total_seconds() > FRESH_SECONDS:
        return Freshness.STALE
    return Freshness.UNAVAILABLE if problem else Freshness.FRESH


def freshness_badge(as_of: datetime | None, now: datetime, problem: str = "") -> None:
    """Show a badge; the reason stands in its help and, when it matters, beside it."""
    match judge(as_of, now, problem):
        case Freshness.FRESH:
            st.badge(
                "Prices live", icon=":material/bolt:", color="green", help=f"As of {formats.clock(as_of, now=now)} IST"
            )
        case Freshness.STALE:
            label = f"Stale · {formats.since(as_of, now)}"
            st.badge(label, icon=":material/history:", color="orange", help=problem or "The figures do not move.")
        case Freshness.UNAVAILABLE:
            st.badge("Unavailable", icon=":material/cloud_off:", color="red", help=problem or "Never read.")


def engine_badge(engine: EngineView) -> None:
    """Show the engine's heartbeat."""
    if engine.alive:
        st.badge(
            f"Engine · {formats.age(engine.lease_age_seconds)}",
            icon=":material/favorite:",
            color="green",
            help=f"Process {engine.pid} watches every run; last pass {formats.clock(engine.last_pass_at)} IST",
        )
        return
    label = (
        "Engine stopped" if engine.lease_age_seconds is None else f"Engine · {formats.age(engine.lease_age_seconds)}"
    )
    st.badge(label, icon=":material/heart_broken:", color="red", help=engine.problem)
