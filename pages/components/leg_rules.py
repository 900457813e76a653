"""Stop, target and re-entry of each leg: columns of the legs' editor (RULES 7)."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from engine.services.drafts import LegDraft
from engine.services.limit_checks import MOST_PRICE
from pages.components.words import LEG_LIMITS, REENTRIES

COLUMNS = ("stop_kind", "stop_value", "target_kind", "target_value", "reentry", "reentry_most")
MOST_REENTRIES = 20

_LIMIT_KEYS = {label: key for key, label in LEG_LIMITS.items()}
_REENTRY_KEYS = {label: key for key, label in REENTRIES.items()}


def leg_rule_cells(leg: LegDraft) -> dict[str, Any]:
    """Return the cells of a leg's own rules."""
    return {
        "stop_kind": LEG_LIMITS.get(leg.stop_kind, leg.stop_kind),
        "stop_value": leg.stop_value,
        "target_kind": LEG_LIMITS.get(leg.target_kind, leg.target_kind),
        "target_value": leg.target_value,
        "reentry": REENTRIES.get(leg.reentry, leg.reentry),
        "reentry_most": leg.reentry_most,
    }


def leg_rule_columns() -> dict[str, Any]:
    """Return how the columns look and what may be typed in them."""
    columns = st.column_config
    kinds, entries = list(LEG_LIMITS.values()), list(REENTRIES.values())
    value = {"min_value": 0.0, "max_value": MOST_PRICE, "default": 0.0, "width": 70}
    return {
        "stop_kind": columns.SelectboxColumn(
            "Leg stop", options=kinds, required=True, default=kinds[0], width=92,
            help="From each account's own entry average: 30 % on a leg sold at 100 is 130, on one bought 70",
        ),
        "stop_value": columns.NumberColumn("Stop at", **value),
        "target_kind": columns.SelectboxColumn(
            "Leg target", options=kinds, required=True, default=kinds[0], width=92,
            help="50 % on a leg sold at 100 is 50, on one bought 150",
        ),
        "target_value": columns.NumberColumn("Target at", **value | {"width": 82}),
        "reentry": columns.SelectboxColumn(
            "Re-entry", options=entries, required=True, default=entries[0], width=92,
            help="After its stop or target: the same contract back at its entry price, or a fresh strike at once",
        ),
        "reentry_most": columns.NumberColumn(
            "Times", min_value=0, max_value=MOST_REENTRIES, step=1, default=0, width=64,
            help="Re-entries at most, a run and account",
        ),
    }  # fmt: skip


def leg_rules(row: dict[Any, Any]) -> dict[str, Any]:
    """Return the fields of a leg's own rules as they were typed in a row."""
    stop, target, again = (text(row.get(name)) for name in ("stop_kind", "target_kind", "reentry"))
    return {
        "stop_kind": _LIMIT_KEYS.get(stop, stop or "none"),
        "stop_value": number(row.get("stop_value"), 0.0),
        "target_kind": _LIMIT_KEYS.get(target, target or "none"),
        "target_value": number(row.get("target_value"), 0.0),
        "reentry": _REENTRY_KEYS.get(again, again or "none"),
        "reentry_most": int(number(row.get("reentry_most"), 0.0)),
    }


def text(value: Any) -> str:
    """Return a cell's text, empty for none.

    >>> text(" CE "), text(None), text(float("nan"))
    ('CE', '', '')
    """
    return value.strip() if isinstance(value, str) else ""


def number(value: Any, otherwise: float) -> float:
    """Return a cell's number, ``otherwise`` for none.

    >>> number(2, 0.0), number(float("nan"), 1.0)
    (2.0, 1.0)
    """
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return otherwise
