"""How a strategy enters: what happens to a hedge, a sold leg or a limit order that does not fill (RULES 4)."""

from __future__ import annotations

from typing import Any

import streamlit as st

from engine.services.drafts import StrategyDraft
from pages.components.words import LIMIT_TIMEOUTS, POLICIES


def entry_settings(draft: StrategyDraft, key: str) -> dict[str, Any]:
    """Show the entry settings of a draft inside a form; return the fields as they were typed."""
    one, two = st.columns(2)
    with one:
        hedge_failure = choice("A hedge does not fill", POLICIES, draft.hedge_failure, f"{key}-hedge")
    with two:
        sold_failure = choice("A sold leg is rejected", POLICIES, draft.sold_leg_failure, f"{key}-sold")
    one, two, three = st.columns(3)
    hedge_seconds = one.number_input(
        "Seconds for a hedge",
        value=draft.hedge_seconds,
        step=1.0,
        format="%g",
        key=f"{key}-hedge-seconds",
        help="A bought leg at market that is not filled by then has failed: no leg is sold against it",
    )
    limit_seconds = two.number_input(
        "Seconds for a limit",
        value=draft.limit_seconds,
        step=1.0,
        format="%g",
        key=f"{key}-limit-seconds",
        help="How long a leg that enters at a limit may rest before its remainder is cancelled",
    )
    with three:
        timeout = choice("When a limit's time is over", LIMIT_TIMEOUTS, draft.limit_timeout, f"{key}-limit-timeout")
    return {
        "hedge_failure": hedge_failure,
        "sold_leg_failure": sold_failure,
        "hedge_seconds": draft.hedge_seconds if hedge_seconds is None else hedge_seconds,
        "limit_seconds": draft.limit_seconds if limit_seconds is None else limit_seconds,
        "limit_timeout": timeout,
    }


def choice(label: str, words: dict[str, str], value: str, key: str) -> str:
    """Show a choice in words; a value that none of them says stays choosable."""
    options = list(words) if value in words else [*words, value]
    chosen = st.selectbox(
        label, options, index=options.index(value), format_func=lambda option: words.get(option, option), key=key
    )
    return chosen or value
