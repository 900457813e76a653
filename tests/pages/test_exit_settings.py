"""Exits and schedule in the strategy form: what is typed is saved and shown again, what is wrong is named."""

from __future__ import annotations

from datetime import time

from engine.services.drafts import RuleDraft, ScheduleDraft, SupertrendDraft
from tests.pages.scene import Scene, texts


def test_every_exit_that_is_typed_is_saved_and_shown_again(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    at = scene.open("strategies")
    key = f"edit-{strategy.id}-1"
    at.session_state[f"{key}-legs"] = {
        "edited_rows": {
            0: {
                "stop_kind": "% of entry", "stop_value": 30, "target_kind": "Premium ₹", "target_value": 20,
                "reentry": "At cost", "reentry_most": 2,
            }
        },
        "added_rows": [],
        "deleted_rows": [],
    }  # fmt: skip
    at.session_state[f"{key}-rules"] = {
        "edited_rows": {
            1: {"action": "Alert only"},
            4: {"action": "Exit part", "legs": ["2"], "accounts": ["Ravi"], "share": 50},
            5: {"action": "Exit all"},
            8: {"enabled": False},
        },
        "added_rows": [],
        "deleted_rows": [],
    }
    at.checkbox(key=f"{key}-to-cost").check()
    at.number_input(key=f"{key}-account-loss").set_value(1_500.0)
    at.selectbox(key=f"{key}-account-loss-unit").set_value("per_lot")
    at.number_input(key=f"{key}-account-profit").set_value(4_000.0)
    at.selectbox(key=f"{key}-trailing").set_value("lock_and_trail")
    for name, amount in (("reach", 5_000.0), ("keep", 3_000.0), ("step", 1_000.0), ("rise", 500.0)):
        at.number_input(key=f"{key}-lock-{name}").set_value(amount)
    at.toggle(key=f"{key}-supertrend-used").set_value(True)
    at.selectbox(key=f"{key}-supertrend-series").set_value("leg")
    at.number_input(key=f"{key}-supertrend-leg").set_value(2)
    at.selectbox(key=f"{key}-supertrend-interval").set_value("15m")
    at.number_input(key=f"{key}-supertrend-period").set_value(10)
    at.number_input(key=f"{key}-supertrend-multiplier").set_value(2.5)
    at.selectbox(key=f"{key}-supertrend-exit-on").set_value("breakdown")
    at.selectbox(key=f"{key}-supertrend-test").set_value("level")
    at.toggle(key=f"{key}-schedule-enabled").set_value(True)
    at.time_input(key=f"{key}-schedule-entry").set_value(time(9, 20))
    at.time_input(key=f"{key}-schedule-last").set_value(time(14, 30))
    at.number_input(key=f"{key}-schedule-grace").set_value(120.0)
    at.session_state[f"{key}-schedule-days"] = [4, 0]
    at.button(key=f"{key}-save").click().run()
    assert [error.value for error in at.error] == []
    saved = scene.desk.strategy(strategy.id).draft
    leg = saved.legs[0]
    assert (leg.stop_kind, leg.stop_value, leg.target_kind, leg.target_value) == ("percent", 30.0, "premium", 20.0)
    assert (leg.reentry, leg.reentry_most) == ("at_cost", 2)
    assert saved.legs[1] == strategy.draft.legs[1]
    limits = saved.limits
    assert limits.rules == {
        "max_profit": RuleDraft(action="alert_only"),
        "trailing_sl": RuleDraft(action="close_partial", legs=[2], account_ids=[accounts[1].id], share=50.0),
        "leg_sl": RuleDraft(action="close_all"),
        "exit_time": RuleDraft(enabled=False),
    }
    assert limits.move_to_cost
    assert (limits.account_max_loss, limits.account_max_loss_unit) == (1_500.0, "per_lot")
    assert (limits.account_max_profit, limits.account_max_profit_unit) == (4_000.0, "rupees")
    assert (limits.trailing_kind, limits.trailing_value) == ("lock_and_trail", None)
    assert (limits.lock_reach, limits.lock_keep, limits.lock_step, limits.lock_rise) == (5_000, 3_000, 1_000, 500)
    assert limits.supertrend == SupertrendDraft(
        series="leg", leg=2, interval="15m", period=10, multiplier=2.5, exit_on="breakdown", test="level"
    )
    assert saved.schedule == ScheduleDraft(
        enabled=True, entry_time="09:20", weekdays=[0, 4], last_entry_time="14:30", grace_seconds=120.0
    )
    at = scene.open("strategies")
    at.button(key=f"edit-{strategy.id}-2-save").click().run()
    assert "Nothing changed." in texts(at)  # what the form shows is what is stored
    words = texts(at).replace("\\", "")
    assert "leg stop 30 % (the whole run)" in words
    assert "lock ₹3,000 from ₹5,000, then +₹500 for every ₹1,000" in words
    assert "Supertrend 10/2.5 on leg 2 15m" in words
    assert "15:15" not in words.split("Out at")[1].split("\n")[0]  # switched off
    assert "Enters by itself at 09:20 IST on Mon, Fri; no entry after 14:30 IST" in words


def test_figures_of_a_lock_without_its_kind_are_not_dropped_in_silence(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    at = scene.open("strategies")
    key = f"edit-{strategy.id}-1"
    at.number_input(key=f"{key}-lock-reach").set_value(5_000.0)
    at.button(key=f"{key}-save").click().run()
    assert "choose it, or empty them" in at.error[0].value
    assert scene.desk.strategy(strategy.id).version == 1
    at.selectbox(key=f"{key}-trailing").set_value("amount")
    at.number_input(key=f"{key}-trailing-value").set_value(2_000.0)
    at.number_input(key=f"{key}-lock-reach").set_value(None)
    at.button(key=f"{key}-save").click().run()
    saved = scene.desk.strategy(strategy.id).draft.limits
    assert (saved.trailing_kind, saved.trailing_value, saved.lock_reach) == ("amount", 2_000.0, None)


def test_a_wrong_figure_of_an_exit_is_named(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    at = scene.open("strategies")
    key = f"edit-{strategy.id}-1"
    at.toggle(key=f"{key}-supertrend-used").set_value(True)
    at.number_input(key=f"{key}-supertrend-period").set_value(0)
    at.text_input(key=f"{key}-note").set_value("typed by hand")
    at.button(key=f"{key}-save").click().run()
    (error,) = at.error
    assert "supertrend" in str(error.proto).lower()
    assert at.text_input(key=f"{key}-note").value == "typed by hand"
    assert scene.desk.strategy(strategy.id).version == 1
