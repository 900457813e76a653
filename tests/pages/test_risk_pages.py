"""Risk page, settings and the exits in the strategy form: what they show, what a press sends, what a field says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from engine.desk import Desk
from engine.services.drafts import RuleDraft, ScheduleDraft, SupertrendDraft
from engine.services.risk_views import DayLimitView, GaugeView, SeriesView
from engine.services.views import AccountView, LiveView
from engine.store.tables import CommandState, Role, StrategyExecution
from pages.components import gate
from pages.components.asked import Asked
from tests import risk_sample
from tests.desk_factory import NOW, DeskFactory, sample_live
from tests.pages.scene import Scene, tables, texts


@pytest.fixture
def risky(scene: Scene) -> Scene:
    """A family with two runs: one with gauges, one that is blind."""
    accounts = scene.factory.family(scene.desk)
    scene.factory.heartbeat()
    show(scene, accounts)
    return scene


@pytest.fixture(autouse=True)
def no_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Desk, "supertrend_series", lambda _desk, _run_id: None, raising=False)


def show(scene: Scene, accounts: list[AccountView], **changed: Any) -> LiveView:
    view = risk_sample.at_risk(sample_live(accounts, as_of=NOW)).model_copy(update=changed)
    scene.show(view)
    return view


def with_limits(monkeypatch: pytest.MonkeyPatch, *limits: DayLimitView) -> None:
    """Have the desk tell limits of the day as if they were stored so."""
    live = Desk.live
    monkeypatch.setattr(Desk, "live", lambda desk: live(desk).model_copy(update={"day_limits": list(limits)}))


def press(at: AppTest, label: str) -> AppTest:
    next(button for button in at.button if button.label == label).click()
    return at.run()


def bars(at: AppTest) -> list[tuple[int, str]]:
    return [(bar.proto.value, bar.proto.text) for bar in at.get("progress")]


def test_every_rule_of_a_run_has_a_bar_with_its_distance_and_what_it_does(risky: Scene) -> None:
    at = risky.open("risk")
    shown = {text.split("**")[1]: (used, text) for used, text in bars(at)}
    assert shown["Max profit"][0] == 91
    assert "₹1,382.60 away (9 %)" in shown["Max profit"][1]
    assert "exit all" in shown["Max profit"][1]
    assert "in 3 h 15 min" in shown["Exit time"][1]
    assert "₹58.85 away (50 %)" in shown["Leg stop · leg 2, Asha"][1]  # the nearest of six stands for the others
    said = texts(at)
    assert "**Square\\-off**" in said or "Square-off" in said
    assert "switched off" in said
    assert "acted, latched" in said
    (legs,) = [frame.value for frame in at.dataframe if "Away" in frame.value.columns]
    assert len(legs) == 6
    assert legs.iloc[0]["Does"] == "exit part"


def test_a_blind_run_stands_first_and_says_what_does_not_decide(risky: Scene) -> None:
    at = risky.open("risk")
    said = texts(at)
    assert said.index("Iron condor, NIFTY") < said.index("Short straddle, NIFTY")
    assert "Blind · 21 s" in said
    assert "the books leave \\-130" in said or "the books leave -130" in said
    assert "Drift" in said


def test_a_latched_rule_is_re_armed_by_asking_once(risky: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, str, str]] = []
    monkeypatch.setattr(Desk, "rearm_rule", lambda _desk, *order: sent.append(order) or _answer(risky), raising=False)
    at = risky.open("risk")
    press(at, "Re-arm trailing stop")
    assert "**Trailing stop** of run 1 acted and was latched" in texts(at)
    assert sent == []
    press(at, "Re-arm")
    assert [order[:2] for order in sent] == [(1, "trailing_sl")]


def _answer(scene: Scene) -> object:
    return scene.desk.halt("any key of a person")


def test_limits_of_the_day_stand_above_with_halts_and_the_way_back(
    risky: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = risk_sample.at_risk(sample_live(risky.desk.accounts(), as_of=NOW)).day_limits
    with_limits(monkeypatch, *limits)
    at = risky.open("risk")
    said = texts(at)
    assert "All accounts together" in said
    assert "No entries before Mon 23 Nov" in said
    assert "No limit of the day for Ravi, Meera." in said
    assert (29, "Max loss") not in bars(at)
    profit = next(text for used, text in bars(at) if "₹20,000.00" in text and used == 73)
    assert "₹5,382.60 away (27 %)" in profit
    at.button(key=f"rearm-day-{limits[1].account_id}").click().run()
    assert "**it acts at once**" in "".join(warning.value for warning in at.warning)
    press(at, "Re-arm, and let it act")
    assert [row.payload for row in risky.rows("rearm")] == [{"account_id": limits[1].account_id}]


def test_a_halted_account_needs_a_person(risky: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = risk_sample.at_risk(sample_live(risky.desk.accounts(), as_of=NOW)).day_limits
    with_limits(monkeypatch, *limits)
    said = texts(risky.open())
    assert "no strategy starts there until Mon 23 Nov" in said
    assert "come from Ravi" in said
    assert "did not enter by itself" in said


def test_re_arming_at_the_top_asks_where_a_limit_is_passed_still(risky: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    halted = {"halted_at": NOW, "latched": ["max_loss"], "reason": "max loss of the day"}
    with_limits(monkeypatch, limit_of(None, -600_000, max_loss_paise=500_000, **halted))
    live = Desk.live
    monkeypatch.setattr(Desk, "live", lambda desk: live(desk).model_copy(update={"halted": True}))
    at = risky.open()
    at.button(key="rearm-top").click().run()
    assert risky.rows("rearm") == []
    press(at, "Re-arm, and let it act")
    assert [row.payload for row in risky.rows("rearm")] == [{}]


def test_figures_of_an_engine_that_is_away_are_marked_old(scene: Scene) -> None:
    accounts = scene.factory.family(scene.desk)
    scene.factory.heartbeat(age=240)
    view = risk_sample.at_risk(sample_live(accounts, as_of=NOW - timedelta(minutes=4)))
    scene.show(view)
    said = texts(scene.open("risk"))
    assert "nothing here watches a run now" in said
    assert "Prices 4 min ago" in said
    assert "Blind · 4 min" in said


def test_without_runs_feeds_or_limits_the_page_says_so(scene: Scene) -> None:
    said = texts(scene.open("risk"))
    for words in (
        "No run is open.",
        "No account gives prices yet.",
        "No strategy enters by itself.",
        "No limit of the",
    ):
        assert words in said
    assert not scene.open("risk").exception


def test_who_gives_prices_and_who_enters_next_is_said(risky: Scene) -> None:
    said = texts(risky.open("risk"))
    assert "stands in for the primary" in said
    assert "Asha is silent" in said
    assert "in 10 min 0 s" in said
    assert "the engine missed it by 4 min" in said


def test_a_viewer_has_nothing_to_press(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factory = DeskFactory(tmp_path)
    trader = factory.desk(factory.person())
    accounts = factory.family(trader)
    scene = Scene(factory, factory.person("guest", Role.VIEWER))
    monkeypatch.setattr(gate, "provide", lambda: scene.desk)
    scene.factory.heartbeat()
    view = show(scene, accounts)
    with_limits(monkeypatch, *view.day_limits)
    at = scene.open("risk")
    assert all(button.disabled for button in at.button if button.label.startswith("Re-arm"))
    assert "drill" not in {button.key for button in at.button}
    at = scene.open("settings")
    assert all(button.disabled for button in at.button if button.label == "Set")
    factory.close()


# ── Supertrend ───────────────────────────────────────────────────────────────────────────────────────────────────────


def chart(at: AppTest) -> dict[str, Any]:
    import json

    (found,) = at.get("plotly_chart")
    return dict(json.loads(found.proto.spec))


def test_the_supertrend_chart_marks_flip_entry_and_the_bar_that_fired(
    risky: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Desk, "supertrend_series", lambda _desk, run_id: risk_sample.series(run_id, NOW), raising=False)
    at = risky.open("risk")
    names = [trace.get("name") for trace in chart(at)["data"]]
    assert names == ["Bars", "Supertrend, up", "Supertrend, down", "Turned up", "Own ticks"]
    notes = [note["text"] for note in chart(at)["layout"]["annotations"]]
    assert notes == ["entry", "fired"]
    said = texts(at)
    assert "the last one is still open and decides nothing" in said
    assert "4 from own ticks" in said
    assert "fired: it closed above the line" in said.replace("\\", "")
    assert "7/3 on combined premium, 5m" in said.replace("\\", "")


def test_a_series_without_bars_and_a_warming_one_say_so(risky: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = risk_sample.series(1, NOW).model_copy(update={"bars": [], "fired_at": None, "entered_at": None})
    monkeypatch.setattr(Desk, "supertrend_series", lambda _desk, _run: empty, raising=False)
    view = show(risky, risky.desk.accounts())
    trend = view.runs[0].supertrend
    assert trend is not None
    warming = trend.model_copy(update={"state": "warming", "bars": 32, "direction": 0, "line": None})
    show(risky, risky.desk.accounts(), runs=[view.runs[0].model_copy(update={"supertrend": warming}), view.runs[1]])
    at = risky.open("risk")
    assert "No bar of this series has closed yet." in texts(at)
    assert any("warming: 32 of 50 bars" in text for _used, text in bars(at))


# ── Fire drill ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_drill_says_what_would_leave_and_that_nothing_was_sent(risky: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    found = risk_sample.drill(risky.desk.accounts(), NOW)
    monkeypatch.setattr(Desk, "drill_result", lambda _desk, _command: found)
    at = risky.open("risk")
    at.button(key="drill").click().run()
    assert "The engine rehearses it." in texts(at)
    risky.answer("drill", {"message": "Rehearsed."})
    at.run()
    said = texts(at)
    assert "No order was sent" in said
    assert any("Its server does not answer" in error.value for error in at.error)
    figures = {metric.label: metric.value for metric in at.metric}
    assert (figures["Orders"], figures["Until flat"], figures["Crossed inside"]) == ("4", "1.40 s", "65")
    assert "0.22 s" in tables(at)
    assert risky.rows("halt") == []


def test_a_drill_that_the_engine_refuses_says_why(risky: Scene) -> None:
    at = risky.open("risk")
    at.button(key="drill").click().run()
    risky.answer("drill", {"message": "No books are valid."}, CommandState.REFUSED)
    at.run()
    assert "No books are valid." in [error.value for error in at.error]


# ── Kill switch and closing a part ───────────────────────────────────────────────────────────────────────────────────


def test_the_kill_switch_for_one_account_says_what_it_sends_and_sends_only_that(risky: Scene) -> None:
    account = risky.desk.accounts()[1]
    at = risky.open()
    at.button(key="kill-switch").click().run()
    assert "Everyone" not in at.selectbox[0].options
    at.session_state["orders-asked"] = Asked("k" * 32)
    at.session_state[f"scope-{'k' * 32}"] = account.id
    at.run()
    assert "on **Ravi** only, with at least **2 orders**" in texts(at)
    press(at, "Take Ravi out")
    assert [row.payload for row in risky.rows("halt")] == [{"account_id": account.id}]


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    factory = DeskFactory(tmp_path / "admin" if (tmp_path / "admin").mkdir() is None else tmp_path)
    made = Scene(factory, factory.person("root", Role.ADMIN))
    monkeypatch.setattr(gate, "provide", lambda: made.desk)
    yield made
    factory.close()


def test_an_admin_may_take_everyone_out(admin: Scene) -> None:
    admin.family_with_runs()
    at = admin.open()
    at.button(key="kill-switch").click().run()
    assert "Everyone" in at.selectbox[0].options
    at.session_state["orders-asked"] = Asked("e" * 32)
    at.session_state[f"scope-{'e' * 32}"] = "everyone"
    at.run()
    assert "**Every run of every user leaves**" in texts(at)
    press(at, "Take everyone out")
    assert [row.payload for row in admin.rows("halt")] == [{"everyone": True}]


def test_a_part_of_a_run_is_closed_by_legs_and_share(risky: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def close_run(desk: Desk, *order: Any, **part: Any) -> Any:
        sent.append((order, part))
        return desk.halt("any key of a person")

    monkeypatch.setattr(Desk, "close_run", close_run)
    key = "p" * 32
    at = risky.open("positions")
    at.session_state["orders-asked"] = Asked(key, 1)
    at.session_state[f"what-{key}"] = "part"
    at.session_state[f"legs-{key}"] = [1]
    at.session_state[f"share-{key}"] = 50.0
    at.run()
    said = texts(at)
    assert "Closes a part of" in said
    assert "**50 %** in whole lots" in said
    assert "Open stays: NIFTY23NOV2626000PE." in said
    press(at, "Close a part of run 1")
    assert sent == [((1, None, key), {"leg_indexes": [1], "share": 50.0})]


def test_all_of_a_run_is_closed_as_before(risky: Scene) -> None:
    strategy = risky.desk.create_from_template("short_straddle", [account.id for account in risky.desk.accounts()])
    with risky.factory.database.write() as session:
        session.add(
            StrategyExecution(
                id=1, owner_id=risky.caller.user_id, strategy_id=strategy.id, version_id=strategy.version_id,
                venue="live", state="open", created_at=NOW,
            )
        )  # fmt: skip
    at = risky.open("positions")
    at.button(key="close-positions-1").click().run()
    press(at, "Close run 1 everywhere")
    (row,) = risky.rows("close_run")
    assert (row.payload["run_id"], row.payload["account_ids"]) == (1, None)
    assert not row.payload.get("leg_indexes")
    assert not row.payload.get("share")


# ── Limits of the day ────────────────────────────────────────────────────────────────────────────────────────────────


def limit_of(account_id: int | None, profit: int | None, **fields: Any) -> DayLimitView:
    return DayLimitView(account_id=account_id, account="Ravi", profit_paise=profit, **fields)


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


# ── The strategy form ────────────────────────────────────────────────────────────────────────────────────────────────


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
    assert "supertrend" in error.proto.title.lower() if hasattr(error.proto, "title") else True
    assert at.text_input(key=f"{key}-note").value == "typed by hand"
    assert scene.desk.strategy(strategy.id).version == 1


def test_gauges_of_unknown_rules_are_shown_by_their_own_name(risky: Scene) -> None:
    accounts = risky.desk.accounts()
    view = show(risky, accounts)
    odd = view.runs[0].model_copy(update={"gauges": [GaugeView(rule="new_rule", note="not known yet")]})
    show(risky, accounts, runs=[odd])
    assert "new rule" in texts(risky.open("risk"))


def test_the_series_of_no_run_draws_no_chart(scene: Scene) -> None:
    scene.family_with_runs()
    at = scene.open("risk")
    assert not at.get("plotly_chart")
    assert isinstance(risk_sample.series(1, NOW), SeriesView)
