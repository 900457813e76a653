"""The switch of each rule and what it does; what “exit part” closes (RULES 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from engine.services.drafts import RuleDraft
from engine.services.views import AccountView
from pages.components.leg_rules import number, text
from pages.components.words import ACTIONS, RULES

LEG_RULES = ("leg_sl", "leg_target")
FEWEST_LEGS = 8
"""Leg numbers that may be chosen at least: legs may be added in the same form."""

_ACTION_KEYS = {label: key for key, label in ACTIONS.items()}


def rule_settings(
    rules: Mapping[str, RuleDraft], accounts: Sequence[AccountView], legs: int, key: str
) -> dict[str, RuleDraft]:
    """Show every rule in a row inside a form; return those that are set otherwise than usual, as typed."""
    names = _names(accounts, rules)
    options = [str(leg) for leg in range(1, max(legs + 4, FEWEST_LEGS) + 1)]
    columns = st.column_config
    edited = st.data_editor(
        pd.DataFrame([_row(name, rules.get(name, _usual(name)), names) for name in RULES]),
        key=f"{key}-rules",
        on_change="ignore",  # else the browser keeps a cell to itself for 150 ms, and a quick Save would miss it
        num_rows="fixed",
        hide_index=True,
        alt="Rules",
        column_config={
            "rule": columns.TextColumn("Rule", disabled=True, width=180),
            "enabled": columns.CheckboxColumn("On", width=50),
            "action": columns.SelectboxColumn(
                "Does", options=list(ACTIONS.values()), required=True, width=120,
                help="“Exit part” closes what the columns at the right say; for a leg's rule with none, its leg",
            ),
            "legs": columns.MultiselectColumn(
                "Part: legs", options=options, width=130, help="By number, from above. None: every leg"
            ),
            "accounts": columns.MultiselectColumn(
                "Part: accounts", options=list(names.values()), width=180, help="None: every account"
            ),
            "share": columns.NumberColumn(
                "Part: share %", min_value=0.0, max_value=100.0, width=110,
                help="Of each leg, in whole lots. Empty: all of it",
            ),
        },
    )  # fmt: skip
    ids = {label: account_id for account_id, label in names.items()}
    typed = {name: _typed(row, ids) for name, row in zip(RULES, edited.to_dict("records"), strict=True)}
    return {name: rule for name, rule in typed.items() if rule != _usual(name)}


def _usual(name: str) -> RuleDraft:
    """Return what a rule is that the draft does not name: on; one of a leg closes that leg, all others all."""
    return RuleDraft(action="close_partial") if name in LEG_RULES else RuleDraft()


def _names(accounts: Sequence[AccountView], rules: Mapping[str, RuleDraft]) -> dict[int, str]:
    names: dict[int, str] = {}
    for account in accounts:
        names[account.id] = f"{account.name} ({account.id})" if account.name in names.values() else account.name
    for account_id in (one for rule in rules.values() for one in rule.account_ids):
        names.setdefault(account_id, f"account {account_id}")
    return names


def _row(name: str, rule: RuleDraft, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "rule": RULES[name],
        "enabled": rule.enabled,
        "action": ACTIONS.get(rule.action, rule.action),
        "legs": [str(leg) for leg in rule.legs],
        "accounts": [names[account_id] for account_id in rule.account_ids],
        "share": float("nan") if rule.share is None else rule.share,
    }


def _typed(row: Mapping[Any, Any], ids: Mapping[str, int]) -> RuleDraft:
    action = text(row.get("action"))
    share = number(row.get("share"), -1.0)
    part = _ACTION_KEYS.get(action) == "close_partial"
    return RuleDraft(
        enabled=bool(row.get("enabled")),
        action=_ACTION_KEYS.get(action, action or "close_all"),
        legs=sorted(int(leg) for leg in _list(row.get("legs"))) if part else [],
        account_ids=sorted(ids[name] for name in _list(row.get("accounts")) if name in ids) if part else [],
        share=share if part and share >= 0 else None,
    )


def _list(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) or hasattr(value, "tolist") else []
