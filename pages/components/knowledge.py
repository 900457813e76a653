"""What the engine knew when it decided: prices as a table, the rest as it was recorded."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.components import formats


def show_knowledge(knew: dict[str, Any]) -> None:
    """Show the recorded figures of a decision; amounts that end in ``_paise`` are shown in rupees."""
    prices = knew.get("prices")
    if isinstance(prices, dict) and prices:
        st.caption("Prices")
        st.dataframe(pd.DataFrame(_price_rows(prices)), key="knew-prices", hide_index=True, alt="Prices then")
    rest = [
        {"What": key.removesuffix("_paise").replace("_", " "), "Value": _text(key, value)}
        for key, value in knew.items()
        if key != "prices"
    ]
    if rest:
        st.caption("What the engine knew")
        st.dataframe(pd.DataFrame(rest), key="knew-rest", hide_index=True, alt="What the engine knew")


def _price_rows(prices: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for symbol, known in prices.items():
        values = known if isinstance(known, dict) else {"ltp": known}
        ltp, seconds = values.get("ltp"), values.get("age_seconds")
        rows.append(
            {
                "Contract": str(symbol),
                "LTP": formats.price(float(ltp)) if isinstance(ltp, int | float) else formats.UNKNOWN,
                "Age": f"{seconds:.1f} s" if isinstance(seconds, int | float) else formats.UNKNOWN,
            }
        )
    return rows


def _text(key: str, value: Any) -> str:
    if key.endswith("_paise") and isinstance(value, int):
        return formats.profit(value)
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or formats.UNKNOWN
    return formats.UNKNOWN if value is None else str(value)
