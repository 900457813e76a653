"""Limits of the day in the settings: sent as typed, wrong ones named, asked for where they would act at once."""

from __future__ import annotations

import pytest

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
