"""What the engine knew when it decided: the legs and prices as tables, the rest in words, money in rupees."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.components import formats
from pages.components.words import EVENTS, word

PROFITS = frozenset({"profit", "peak", "stop", "realised"})
AMOUNTS = frozenset({"premium_value", "open_value"})
GROUPS = frozenset({"evidence", "declared"})
"""Figures that are a table of their own: what was known of an order when somebody said what became of it."""
WORDS = {
    "profit": "P",
    "peak": "Peak of P",
    "stop": "Trailing stop",
    "premium_value": "Premium at entry",
    "also_breached": "Also reached",
    "books_age_seconds": "Books read",
    "waits_for": "Waits for",
}


def show_knowledge(knew: dict[str, Any]) -> None:
    """Show the recorded figures of a decision."""
    legs, prices = knew.get("legs"), knew.get("prices")
    if _is_rows(legs):
        _show("Legs then", [_leg(leg) for leg in legs])
    if isinstance(prices, dict) and prices:
        _show("Prices then", [_price(str(symbol), known) for symbol, known in prices.items()])
    shown = {"prices"} | ({"legs"} if _is_rows(legs) else set())
    tables = {key: value for key, value in knew.items() if key not in shown and _is_rows(value)}
    for key, value in tables.items():
        _show(_name(key), [{_name(name): _words(name, one) for name, one in row.items()} for row in value])
    groups = {key: value for key, value in knew.items() if key not in shown and key in GROUPS and _is_group(value)}
    for key, value in groups.items():
        _show(_name(key), [{"What": _name(name), "Value": _words(name, one)} for name, one in value.items()])
    rest = {key: value for key, value in knew.items() if key not in shown | set(tables) | set(groups)}
    if rest:
        _show("Figures then", [{"What": _name(key), "Value": _words(key, value)} for key, value in rest.items()])


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _is_group(value: Any) -> bool:
    return isinstance(value, dict) and bool(value)


def _show(title: str, rows: list[dict[str, str]]) -> None:
    st.caption(title)
    frame = pd.DataFrame([{name: formats.plain(text) for name, text in row.items()} for row in rows])
    st.table(frame, border="horizontal", hide_index=True, alt=title)


def _leg(leg: dict[str, Any]) -> dict[str, str]:
    quantity, value = leg.get("quantity"), leg.get("open_value")
    average = abs(value / quantity) if _is_number(value) and _is_number(quantity) and quantity else None
    ages = [leg[key] for key in ("tick_age_seconds", "quote_age_seconds") if _is_number(leg.get(key))]
    confirmed = leg.get("confirmed")
    return {
        "Account": str(leg.get("account") or formats.UNKNOWN),
        "Contract": str(leg.get("symbol") or formats.UNKNOWN),
        "Quantity": formats.quantity(int(quantity)) if _is_number(quantity) else formats.UNKNOWN,
        "Average": formats.price(average),
        "Open value": _words("open_value", value),
        "LTP": formats.price(leg["ltp"] if _is_number(leg.get("ltp")) else None),
        "Age": _seconds(min(ages, default=None)),
        "Confirmed": formats.UNKNOWN if confirmed is None else "yes" if confirmed else "no",
        "Realised": _words("realised", leg.get("realised")),
    }


def _price(symbol: str, known: Any) -> dict[str, str]:
    values = known if isinstance(known, dict) else {"ltp": known}
    ltp, seconds = values.get("ltp"), values.get("age_seconds")
    return {
        "Contract": symbol,
        "LTP": formats.price(ltp if _is_number(ltp) else None),
        "Age": _seconds(seconds if _is_number(seconds) else None),
    }


def _name(key: str) -> str:
    bare = key.removesuffix("_paise")
    return WORDS.get(bare, bare.removesuffix("_seconds").replace("_", " ").capitalize())


def _words(key: str, value: Any) -> str:
    """Return a recorded value in words; amounts are recorded in rupees, or in paise under a key that says so."""
    bare = key.removesuffix("_paise")
    if value is None:
        return formats.UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_number(value):
        if key.endswith("_paise") or bare in PROFITS | AMOUNTS:
            paise = round(value if key.endswith("_paise") else value * 100)
            return formats.rupees(paise) if bare in AMOUNTS else formats.profit(paise)
        return _number(key, value)
    if isinstance(value, dict):
        parts = [f"{name} {_words(key, one)}" for name, one in value.items()]
        return ", ".join(parts) or formats.UNKNOWN
    if isinstance(value, list | tuple):
        return ", ".join(_words(key, one) for one in value) or formats.UNKNOWN
    return word(EVENTS, str(value)) if key == "also_breached" else str(value)


def _number(key: str, value: float) -> str:
    if key.endswith("_seconds"):
        return _seconds(value)
    if key == "price":
        return formats.price(value)
    return formats.grouped(value) if isinstance(value, int) and "id" not in key and key != "order" else f"{value:g}"


def _seconds(seconds: float | None) -> str:
    return formats.UNKNOWN if seconds is None else f"{seconds:.1f} s"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
