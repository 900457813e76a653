"""Limits of the day in the settings: sent as typed, wrong ones named, asked for where they would act at once."""

from __future__ import annotations

import pytest
import streamlit as st

from tests.pages.risk_scene import limit_of, press, with_limits
from tests.pages.scene import Scene


def test_limits_of_the_day_are_sent_as_typed(risky: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    account = risky.desk.accounts()[1]
    with_limits(monkeypatch, limit_of(None, 1_000), limit_of(account.id, 1_000, max_profit_paise=900_000))
    at = risky.open("settings")
    key = f"limits-{account.id}"
    assert at.number_input(key=f"{key}-profit").value == 9_000.0
    at.number_input(key=f"{key}-loss").set_value(2_500.0)
    at.selectbox(key=f"{key}-loss-does").set_value("alert_only")
    at.toggle(key=f"{key}-profit-on").set_value(False)
    at.button(key=f"{key}-set").click().run()
    (row,) = risky.rows("set_limits")
    assert row.payload == {
        "account_id": account.id, "max_loss": 2_500.0, "max_loss_enabled": True, "max_loss_action": "alert_only",
        "max_profit": 9_000.0, "max_profit_enabled": False, "max_profit_action": "close_all",
        "seen": {
            "max_loss_paise": None, "max_loss_enabled": True, "max_loss_action": "close_all",
            "max_profit_paise": 900_000, "max_profit_enabled": True, "max_profit_action": "close_all",
        },
    }  # fmt: skip
    assert at.number_input(key=f"{key}-loss").value == 2_500.0
    assert not at.exception


def test_a_wrong_limit_names_its_field_and_changes_nothing(risky: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with_limits(monkeypatch, limit_of(None, 1_000))
    at = risky.open("settings")
    at.number_input(key="limits-me-loss").set_value(-5.0)
    at.button(key="limits-me-set").click().run()
    (error,) = at.error
    assert "₹ 0.01" in error.value
    assert risky.rows("set_limits") == []
    assert at.number_input(key="limits-me-loss").value == -5.0


@pytest.mark.parametrize(("profit", "label"), [(-600_000, "Set it, and let it act"), (None, "Set it")])
def test_a_limit_that_would_act_at_once_is_asked_for_first(
    risky: Scene, monkeypatch: pytest.MonkeyPatch, profit: int | None, label: str
) -> None:
    with_limits(monkeypatch, limit_of(None, profit))
    at = risky.open("settings")
    at.number_input(key="limits-me-loss").set_value(5_000.0)
    at.button(key="limits-me-set").click().run()
    assert risky.rows("set_limits") == []
    press(at, label)
    assert [row.payload["max_loss"] for row in risky.rows("set_limits")] == [5_000.0]


def test_a_form_that_another_tab_overtook_sends_what_it_showed_and_is_filled_anew(
    risky: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_limits(monkeypatch, limit_of(None, 1_000))
    at = risky.open("settings")
    with_limits(monkeypatch, limit_of(None, 1_000, max_loss_paise=500_000, max_loss_action="alert_only"))
    st.cache_resource.clear()
    at.number_input(key="limits-me-profit").set_value(9_000.0)
    at.button(key="limits-me-set").click().run()
    (row,) = risky.rows("set_limits")
    assert (row.payload["max_loss"], row.payload["max_profit"]) == (None, 9_000.0)
    assert row.payload["seen"]["max_loss_paise"] is None, "the engine refuses it: the form showed no max loss"
    assert at.number_input(key="limits-me-loss").value == 5_000.0
    assert at.selectbox(key="limits-me-loss-does").value == "alert_only"
    assert at.number_input(key="limits-me-profit").value is None
    at.number_input(key="limits-me-profit").set_value(9_000.0)
    at.button(key="limits-me-set").click().run()
    again = risky.rows("set_limits")[1].payload
    assert (again["max_loss"], again["max_profit"], again["seen"]["max_loss_paise"]) == (5_000.0, 9_000.0, 500_000)
