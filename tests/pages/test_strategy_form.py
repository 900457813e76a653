"""The form of a strategy: nothing typed is lost, columns have names of their own, odd exits are said."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest

from engine.services.drafts import LegDraft, SupertrendDraft
from engine.services.views import StrategyView
from tests.pages.scene import Scene, texts


def straddle(scene: Scene) -> StrategyView:
    accounts = scene.family_with_runs()
    return scene.desk.create_from_template("short_straddle", [account.id for account in accounts])


def editors(at: AppTest) -> list[Any]:
    return [frame.proto for frame in at.dataframe if frame.proto.editing_mode]


def test_no_two_columns_of_an_editor_share_a_name(scene: Scene) -> None:
    straddle(scene)
    found = editors(scene.open("strategies"))
    assert len(found) == 2
    for one in found:
        labels = [column.get("label", "").strip() for column in json.loads(one.columns).values()]
        assert len(labels) == len(set(labels)), labels


def test_editors_hand_each_cell_over_at_once(scene: Scene) -> None:
    """Else the browser keeps it for 150 ms, and Save pressed within them sends the form without it."""
    straddle(scene)
    assert [one.ignore_rerun for one in editors(scene.open("strategies"))] == [True, True]


def test_what_is_typed_stays_when_another_tab_saves_and_is_not_saved_over_it(scene: Scene) -> None:
    strategy = straddle(scene)
    at = scene.open("strategies")
    other = strategy.draft.model_copy(update={"description": "from the other tab"})
    scene.desk.save_strategy(other, strategy_id=strategy.id, expected_version=1)
    at.text_input(key=f"edit-{strategy.id}-1-note").set_value("typed here")
    at.button(key=f"edit-{strategy.id}-1-save").click().run()
    assert any("was saved elsewhere as version 2" in error.value for error in at.error)
    assert at.text_input(key=f"edit-{strategy.id}-1-note").value == "typed here"
    assert "What you typed is still here" in texts(at)
    assert scene.desk.strategy(strategy.id).draft.description == "from the other tab"
    at.button(key=f"fill-anew-{strategy.id}").click().run()
    assert at.text_input(key=f"edit-{strategy.id}-2-note").value == "from the other tab"
    at.text_input(key=f"edit-{strategy.id}-2-note").set_value("typed again")
    at.button(key=f"edit-{strategy.id}-2-save").click().run()
    assert scene.desk.strategy(strategy.id).draft.description == "typed again"


def test_a_form_stays_while_another_tab_of_the_page_is_looked_at(scene: Scene) -> None:
    strategy = straddle(scene)
    at = scene.open("strategies")
    assert [box.key for box in at.text_input if box.key == "new-strategy-name"] == []
    at.session_state["strategies-tab"] = "New"
    at.run()
    assert at.text_input(key=f"edit-{strategy.id}-1-name").value == strategy.name
    assert at.text_input(key="new-strategy-name").value == ""
    at.session_state["strategies-tab"] = "Mine"
    at.run()
    assert at.text_input(key="new-strategy-name").value == ""
    assert not at.exception


def test_check_reckons_the_lock_with_what_was_typed_and_saves_nothing(scene: Scene) -> None:
    strategy = straddle(scene)
    at = scene.open("strategies")
    key = f"edit-{strategy.id}-1"
    assert "For example: once the run has made ₹5,000, it leaves when its profit falls back to ₹3,000" in texts(at)
    at.selectbox(key=f"{key}-trailing").set_value("lock_and_trail")
    for name, amount in (("reach", 8_000.0), ("keep", 2_000.0), ("step", 1_000.0), ("rise", 1_000.0)):
        at.number_input(key=f"{key}-lock-{name}").set_value(amount)
    at.button(key=f"{key}-check").click().run()
    said = texts(at)
    assert "Once the run has made ₹8,000, it leaves when its profit falls back to ₹2,000" in said
    assert "whose profit reached ₹11,000 leaves when it is back at ₹5,000" in said
    assert "It can be saved as it is." in said
    assert scene.desk.strategy(strategy.id).version == 1
    at.number_input(key=f"{key}-lock-keep").set_value(9_000.0)
    at.button(key=f"{key}-check").click().run()
    assert any("would exit at once" in error.value for error in at.error)


def test_an_exit_that_takes_a_winning_position_out_is_warned_of_and_may_be_saved(scene: Scene) -> None:
    strategy = straddle(scene)
    at = scene.open("strategies")
    key = f"edit-{strategy.id}-1"
    at.toggle(key=f"{key}-supertrend-used").set_value(True)
    at.selectbox(key=f"{key}-supertrend-exit-on").set_value("breakdown")
    at.button(key=f"{key}-check").click().run()
    assert [one.proto.title for one in at.warning if "net sold" in one.value] == ["Look at: Supertrend, leaves on"]
    at.button(key=f"{key}-save").click().run()
    saved = scene.desk.strategy(strategy.id)
    assert saved.draft.limits.supertrend == SupertrendDraft(exit_on="breakdown")
    assert any("takes out a winning position" in one.value for one in at.warning)
    bought = [LegDraft(underlying="NIFTY", action="BUY", instrument_type="CE")]
    scene.desk.save_strategy(saved.draft.model_copy(update={"legs": bought}), strategy_id=saved.id, expected_version=2)
    assert not any("takes out a winning position" in one.value for one in scene.open("strategies").warning)
