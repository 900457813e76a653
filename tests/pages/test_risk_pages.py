"""The risk page: every rule with its distance, limits of the day, the Supertrend chart, who gives prices."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from engine.desk import Desk
from engine.services.risk_views import GaugeView
from engine.store.tables import Role
from pages.components import gate
from tests import risk_sample
from tests.desk_factory import NOW, DeskFactory, sample_live
from tests.pages.risk_scene import bars, limit_of, press, show, with_limits
from tests.pages.scene import Scene, texts


def test_every_rule_of_a_run_has_a_bar_with_its_distance_and_what_it_does(risky: Scene) -> None:
    at = risky.open("risk")
    shown = {text.split("**")[1]: (used, text) for used, text in bars(at)}
    assert shown["Max profit"][0] == 91
    assert "₹1,382.60 away (9 %)" in shown["Max profit"][1]
    assert "exit all" in shown["Max profit"][1]
    assert "in 3 h 15 min" in shown["Exit time"][1]
    assert "₹58.85 away (50 %)" in shown["Leg stop · leg 2, Asha"][1]  # the nearest of six stands for the others
    said = texts(at)
    assert "Square-off" in said
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
    assert "the books leave -130" in said
    assert "Drift" in said


def test_a_latched_rule_is_re_armed_by_asking_once(risky: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, str, str]] = []
    monkeypatch.setattr(Desk, "rearm_rule", lambda _desk, *order: sent.append(order) or _answer(risky))
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


def test_gauges_of_unknown_rules_are_shown_by_their_own_name(risky: Scene) -> None:
    accounts = risky.desk.accounts()
    view = show(risky, accounts)
    odd = view.runs[0].model_copy(update={"gauges": [GaugeView(rule="new_rule", note="not known yet")]})
    show(risky, accounts, runs=[odd])
    assert "new rule" in texts(risky.open("risk"))


def chart(at: AppTest) -> dict[str, Any]:
    (found,) = at.get("plotly_chart")
    return dict(json.loads(found.proto.spec))


def test_the_supertrend_chart_marks_flip_entry_and_the_bar_that_fired(
    risky: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Desk, "supertrend_series", lambda _desk, run_id: risk_sample.series(run_id, NOW))
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
    monkeypatch.setattr(Desk, "supertrend_series", lambda _desk, _run: empty)
    view = show(risky, risky.desk.accounts())
    trend = view.runs[0].supertrend
    assert trend is not None
    warming = trend.model_copy(update={"state": "warming", "bars": 32, "direction": 0, "line": None})
    show(risky, risky.desk.accounts(), runs=[view.runs[0].model_copy(update={"supertrend": warming}), view.runs[1]])
    at = risky.open("risk")
    assert "No bar of this series has closed yet." in texts(at)
    assert any("warming: 32 of 50 bars" in text for _used, text in bars(at))


def test_the_series_of_no_run_draws_no_chart(scene: Scene) -> None:
    scene.family_with_runs()
    at = scene.open("risk")
    assert not at.get("plotly_chart")
