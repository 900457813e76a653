"""Pages over a temporary desk: what they show, what a press writes, what they say when something is wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import streamlit as st
from sqlmodel import select
from streamlit.testing.v1 import AppTest

from engine.desk import Desk, Unavailable
from engine.services.errors import ConnectionFailed
from engine.store.tables import CommandState, RiskEvent, RiskLimit, Role, StrategyExecution, TradingAccount
from pages.components import gate
from pages.components.orders import Asked
from tests.desk_factory import NOW, DeskFactory, sample_live, sample_preview
from tests.pages.scene import HOME, Scene, tables, texts

PAGES = ["desk", "strategies", "positions", "orders", "risk", "risk_events", "accounts", "settings"]


@pytest.mark.parametrize("page", PAGES)
def test_a_new_user_sees_every_page(scene: Scene, page: str) -> None:
    assert scene.open(page).title


@pytest.mark.parametrize("page", PAGES)
def test_a_family_with_runs_sees_every_page(scene: Scene, page: str) -> None:
    accounts = scene.family_with_runs()
    scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    scene.factory.risk_event(scene.caller)
    assert scene.open(page).title


def test_without_a_session_nothing_is_shown(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.family_with_runs()
    monkeypatch.setattr(gate, "provide", lambda: None)
    at = AppTest.from_file(str(HOME), default_timeout=30).run()
    assert not at.exception
    assert [warning.value for warning in at.warning] == [
        "Your session has ended. Log in to go on; nothing that trades depends on it."
    ]
    assert not at.title
    assert not tables(at)


def test_the_first_press_makes_paper_accounts(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Desk, "start_with_paper_accounts", lambda desk: scene.factory.family(desk))  # noqa: PLW0108
    at = scene.open()
    assert at.button(key="start-paper").label == "Start with paper accounts"
    at.button(key="start-paper").click().run()
    with scene.factory.database.read() as session:
        assert len(session.exec(select(TradingAccount)).all()) == 3
    assert "start-paper" not in {button.key for button in at.button}


def test_a_paper_exchange_that_does_not_answer_is_said(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_desk: Desk) -> None:
        raise ConnectionFailed("The paper exchange has not started yet.")

    monkeypatch.setattr(Desk, "start_with_paper_accounts", fail)
    at = scene.open()
    at.button(key="start-paper").click().run()
    assert [error.value for error in at.error] == ["The paper exchange has not started yet."]


def test_the_desk_shows_money_runs_and_what_needs_me(scene: Scene) -> None:
    scene.family_with_runs()
    at = scene.open()
    assert {metric.label: metric.value for metric in at.metric} == {
        "P of the day": "+₹14,617.40", "Available": "₹39.19 L", "Used margin": "₹22.81 L", "Open runs": "2",
    }  # fmt: skip
    shown = texts(at)
    assert "Needs you now" in shown
    assert "1 order with unknown fate" in shown
    assert "**Meera** · waits for books" in shown


def test_a_dead_engine_leaves_the_last_figures_with_their_age(scene: Scene) -> None:
    accounts = scene.factory.family(scene.desk)
    scene.factory.heartbeat(age=240)
    scene.factory.write_live(scene.caller, sample_live(accounts, as_of=NOW - timedelta(minutes=4)))
    at = scene.open("positions")
    assert "The engine is not running" in texts(at)
    assert "Short straddle, NIFTY" in texts(at)
    assert "Stale · 4 min ago" in texts(at)
    assert "26000 CE unconfirmed, 4 min ago" in texts(at)
    assert "prices now" not in texts(at)
    assert "4 min ago" in tables(scene.open("accounts"))


def test_the_age_of_funds_grows_with_the_preview(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    at = scene.open("strategies")
    at.button(key="preview").click().run()
    preview = sample_preview(accounts, as_of=NOW - timedelta(seconds=40), strategy_id=strategy.id)
    scene.answer("preview", {"preview": preview.model_dump(mode="json")})
    at.run()
    assert "51 s ago" in tables(at)
    assert "11 s ago" not in tables(at)


def test_a_template_becomes_a_strategy_for_all_accounts(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    at = scene.open("strategies")
    button = at.button(key="template-short_straddle")
    assert button.label == "Use this template"
    button.click().run()
    assert not at.exception
    strategy = scene.desk.strategies()[0]
    assert (strategy.name, strategy.account_ids) == ("Short straddle, NIFTY", [account.id for account in accounts])
    assert at.selectbox(key="chosen-strategy").value == strategy.id
    assert [success.value for success in at.success] == ["Short straddle, NIFTY is ready."]
    assert not at.toast  # it would lie over the kill switch
    assert not at.run().success  # said once


def test_preview_then_execute_writes_one_command_and_shows_what_became_of_it(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    at = scene.open("strategies")
    at.button(key="preview").click().run()
    preview = sample_preview(accounts, as_of=NOW, strategy_id=strategy.id)
    scene.answer("preview", {"preview": preview.model_dump(mode="json")})
    at.run()
    assert "takes no part" in texts(at)
    assert "**4 orders** at market to **2 accounts**" in texts(at)
    at.button(key="execute").click().run()
    assert at.button(key="execute").disabled
    (row,) = scene.rows("execute")
    assert row.payload == {
        "strategy_id": strategy.id, "version": 1, "account_ids": [account.id for account in accounts],
        "seen_run_ids": [], "again": False, "contracts": ["NIFTY23NOV2626000CE", "NIFTY23NOV2626000PE"],
    }  # fmt: skip
    scene.answer("execute", {"run_id": 7, "message": "Run 7 has begun on 2 accounts."})
    at.run()
    assert [success.value for success in at.success] == ["Run 7 has begun on 2 accounts."]


def test_the_run_that_execute_began_is_told_first_and_not_warned_of(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    at = scene.open("strategies")
    at.button(key="preview").click().run()
    preview = sample_preview(accounts, as_of=NOW, strategy_id=strategy.id)
    scene.answer("preview", {"preview": preview.model_dump(mode="json")})
    at.run()
    assert "from the margin table, row “other day”" in texts(at)
    at.button(key="execute").click().run()
    scene.answer("execute", {"run_id": 7, "message": "Run 7 has begun."})
    run = StrategyExecution(
        id=7, owner_id=scene.caller.user_id, strategy_id=strategy.id, version_id=strategy.version_id, venue="live",
        state="open", created_at=NOW,
    )  # fmt: skip
    with scene.factory.database.write() as session:
        session.add(run)
    at.run()
    assert [success.value for success in at.success] == ["Run 7 has begun."]
    assert not at.warning
    shown = [element.type for element in at.main]
    assert shown.index("success") < shown.index("button_group")
    at.button(key="preview").click().run()  # another one beside it
    assert [warning.value for warning in at.warning] == ["A run of this strategy is open already (7)."]


def test_a_run_that_was_refused_says_why_and_stages_without_hedges_have_no_then(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    at = scene.open("strategies")
    assert any("PAPER" in str(badge.value) for badge in at.markdown)
    at.button(key="preview").click().run()
    outcome = sample_preview(accounts, as_of=NOW, strategy_id=strategy.id).model_dump(mode="json")
    for account in outcome["accounts"]:
        account["orders"] = [order | {"stage": "then sold legs"} for order in account["orders"]]
    scene.answer("preview", {"preview": outcome})
    at.run()
    assert "sold legs" in tables(at)
    assert "then sold legs" not in tables(at)
    at.button(key="execute").click().run()
    view = sample_live(accounts, as_of=NOW)
    refused = view.runs[0].model_copy(update={"state": "refused", "reason": "The strikes moved."})
    scene.factory.write_live(scene.caller, view.model_copy(update={"runs": [refused]}))
    scene.answer("execute", {"run_id": 1, "message": "Run 1 has begun."})
    st.cache_resource.clear()
    at.run()
    assert [error.value for error in at.error] == ["The strikes moved."]
    assert not at.success


def test_a_refusal_of_the_engine_is_shown_in_its_words(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    at = scene.open("strategies")
    at.button(key="preview").click().run()
    scene.answer("preview", {"message": "No prices for NIFTY."}, CommandState.REFUSED)
    at.run()
    assert [error.value for error in at.error] == ["No prices for NIFTY."]
    assert "execute" not in {button.key for button in at.button}


def test_a_second_run_needs_run_again(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    run = StrategyExecution(
        id=3, owner_id=scene.caller.user_id, strategy_id=strategy.id, version_id=strategy.version_id, venue="live",
        state="open", created_at=NOW,
    )  # fmt: skip
    with scene.factory.database.write() as session:
        session.add(run)
    at = scene.open("strategies")
    at.button(key="preview").click().run()
    preview = sample_preview(accounts, as_of=NOW, strategy_id=strategy.id)
    scene.answer("preview", {"preview": preview.model_dump(mode="json")})
    at.run()
    assert at.button(key="execute").disabled
    at.checkbox[0].check().run()
    at.button(key="execute").click().run()
    assert [(row.payload["again"], row.payload["seen_run_ids"]) for row in scene.rows("execute")] == [(True, [3])]


def test_a_wrong_field_is_named_and_what_was_typed_stays(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_strangle", [account.id for account in accounts])
    at = scene.open("strategies")
    key = f"edit-{strategy.id}-1"
    at.text_input(key=f"{key}-note").set_value("typed by hand")
    at.number_input(key=f"{key}-trailing-value").set_value(0.0)
    at.button(key=f"{key}-save").click().run()
    assert len(at.error) == 1
    assert at.text_input(key=f"{key}-note").value == "typed by hand"
    at.number_input(key=f"{key}-trailing-value").set_value(15.0)
    at.button(key=f"{key}-save").click().run()
    saved = scene.desk.strategy(strategy.id)
    assert (saved.version, saved.description, saved.draft.limits.trailing_value) == (2, "typed by hand", 15.0)
    assert saved.draft.legs == strategy.draft.legs


def test_saving_says_when_nothing_changed_and_what_is_wrong_with_an_amount(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_strangle", [account.id for account in accounts])
    at = scene.open("strategies")
    key = f"edit-{strategy.id}-1"
    at.button(key=f"{key}-save").click().run()
    assert "Nothing changed." in texts(at)
    assert scene.desk.strategy(strategy.id).version == 1
    at.number_input(key=f"{key}-loss").set_value(-5.0)
    at.button(key=f"{key}-save").click().run()
    assert "Nothing changed." not in texts(at)
    assert len(at.error) == 1
    assert scene.desk.strategy(strategy.id).version == 1


def test_two_legs_that_are_the_same_are_said(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    legs = [*strategy.draft.legs, strategy.draft.legs[0]]
    draft = strategy.draft.model_copy(update={"legs": legs})
    scene.desk.save_strategy(draft, strategy_id=strategy.id, expected_version=1)
    at = scene.open("strategies")
    assert {warning.value.split(":")[0] for warning in at.warning} == {"Legs 1 and 3 are the same"}


def test_the_kill_switch_asks_and_says_what_it_sends(scene: Scene) -> None:
    scene.family_with_runs()
    at = scene.open()
    at.button(key="kill-switch").click().run()
    assert "**2 open runs** out on **3 accounts** with **7 orders**" in texts(at)
    assert scene.rows("halt") == []
    confirm = next(button for button in at.button if button.label == "Take everything out")
    confirm.click().run()
    assert len(scene.rows("halt")) == 1
    assert "Waiting for the engine" in texts(at)


def test_closing_a_run_asks_and_orders_it(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    run = StrategyExecution(
        id=1, owner_id=scene.caller.user_id, strategy_id=strategy.id, version_id=strategy.version_id, venue="live",
        state="open", created_at=NOW,
    )  # fmt: skip
    with scene.factory.database.write() as session:
        session.add(run)
    at = scene.open("positions")
    at.button(key="close-positions-1").click().run()
    assert "on **Asha, Ravi, Meera** with **6 orders**" in texts(at)
    next(button for button in at.button if button.label == "Close run 1 everywhere").click().run()
    assert [row.payload for row in scene.rows("close_run")] == [{"run_id": 1, "account_ids": None}]


def test_closing_on_one_account_says_so(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    at = scene.open("positions")
    at.session_state["orders-asked"] = Asked("k" * 32, 1, accounts[1].id, "Ravi")
    at.run()
    assert "Closes run 1 (Short straddle, NIFTY) on **Ravi** only with **2 orders**" in texts(at)
    assert "It stays open on **Asha, Meera**." in texts(at)
    labels = [button.label for button in at.button]
    assert "Close run 1 on Ravi" in labels
    assert "Close run 1 everywhere" not in labels


def halt(scene: Scene) -> None:
    with scene.factory.database.write() as session:
        session.add(RiskLimit(owner_id=scene.caller.user_id, halted_at=NOW))


def test_while_halted_nothing_looks_ready_and_re_arm_is_on_every_page(scene: Scene) -> None:
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    halt(scene)
    at = scene.open("accounts")
    assert "halted" in tables(at)
    assert "armed" not in tables(at).replace("not armed", "")
    at = scene.open("strategies")
    at.button(key="preview").click().run()
    preview = sample_preview(accounts, as_of=NOW, strategy_id=strategy.id)
    scene.answer("preview", {"preview": preview.model_dump(mode="json")})
    at.run()
    assert at.button(key="execute").disabled
    assert any("re-arm" in warning.value for warning in at.warning)
    at.button(key="rearm-top").click().run()
    assert len(scene.rows("rearm")) == 1


def test_the_kill_switch_pressed_again_without_runs_offers_no_exit(scene: Scene) -> None:
    accounts = scene.factory.family(scene.desk)
    scene.factory.heartbeat()
    scene.factory.write_live(scene.caller, sample_live(accounts, as_of=NOW).model_copy(update={"runs": []}))
    halt(scene)
    at = scene.open()
    at.button(key="kill-switch").click().run()
    assert "It was pressed already" in texts(at)
    labels = [button.label for button in at.button]
    assert not {"Take everything out", "Stop all entries"} & set(labels)
    assert labels.count("Re-arm") == 2


def test_a_viewer_may_look_and_press_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factory = DeskFactory(tmp_path)
    scene = Scene(factory, factory.person("guest", Role.VIEWER))
    monkeypatch.setattr(gate, "provide", lambda: scene.desk)
    at = scene.open()
    assert at.button(key="kill-switch").disabled
    assert at.button(key="start-paper").disabled
    factory.close()


def test_an_account_that_cannot_be_added_names_the_field(scene: Scene) -> None:
    at = scene.open("accounts")
    at.text_input(key="new-name-0").set_value("Asha")
    at.text_input(key="new-host-0").set_value("ftp://somewhere")
    at.text_input(key="new-key-0").set_value("made-up-key")
    at.button(key="add-account").click().run()
    assert "begin with http://" in at.error[0].value
    assert at.text_input(key="new-name-0").value == "Asha"
    at.text_input(key="new-host-0").set_value("http://127.0.0.1:5056")
    at.button(key="add-account").click().run()
    assert [account.name for account in scene.desk.accounts()] == ["Asha"]
    assert at.text_input(key="new-key-1").value == ""


def test_a_risk_event_shows_what_the_engine_knew(scene: Scene) -> None:
    scene.factory.risk_event(scene.caller)
    at = scene.open("risk_events")
    at.session_state["risk-events"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    at.run()
    assert "Max loss · Exit all" in texts(at)
    assert {metric.label: metric.value for metric in at.metric}["Value"] == "−₹5,123.50"
    legs = next(table.value for table in at.table if "Confirmed" in table.value)
    assert legs.iloc[0].to_dict() == {
        "Account": "Asha", "Contract": "NIFTY23NOV2626000CE", "Quantity": "−195", "Average": "148.35",
        "Open value": "−₹28,928.25", "LTP": "182.40", "Age": "0.3 s", "Confirmed": "yes", "Realised": "₹0.00",
    }  # fmt: skip
    assert (legs.iloc[1]["LTP"], legs.iloc[1]["Confirmed"]) == ("–", "no")
    shown = tables(at)
    assert "+₹1,20,400.00" in shown
    assert "Asha 1.2 s, Ravi –" in shown
    assert "Trailing stop" in shown
    assert "{" not in shown
    assert {metric.label for metric in at.metric} == {"Value", "Limit"}


def test_a_gap_without_an_engine_is_not_called_a_missing_price(scene: Scene) -> None:
    with scene.factory.database.write() as session:
        for number, knew in ((1, {"unwatched_from": "x"}), (2, {"profit": None})):
            session.add(
                RiskEvent(
                    id=number, at=NOW, owner_id=scene.caller.user_id, kind="blind", action="alert_only",
                    message="-", knew=knew,
                )
            )  # fmt: skip
    shown = tables(scene.open("risk_events"))
    assert shown.count("No engine ran") == 1
    assert shown.count("Blind: no confirmed price") == 1


def test_all_exit_orders_of_an_event_are_named(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.factory.risk_event(scene.caller)
    ids = [f"2611200000{number}" for number in range(12)]
    (event,) = scene.desk.risk_events()
    monkeypatch.setattr(Desk, "risk_events", lambda _desk, limit, only: [event.model_copy(update={"order_ids": ids})])
    at = scene.open("risk_events")
    at.session_state["risk-events"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    at.run()
    assert f"Exit orders: {', '.join(ids)}" in texts(at)


def test_the_kill_switch_without_runs_still_stops_entries(scene: Scene) -> None:
    scene.factory.family(scene.desk)
    at = scene.open()
    at.button(key="kill-switch").click().run()
    assert "No run is open. **No strategy starts**" in texts(at)
    assert [warning.value for warning in at.warning] == [
        "The order waits and is carried out as soon as the engine is back."
    ]


def test_runs_that_ended_are_not_counted_as_open(scene: Scene) -> None:
    accounts = scene.factory.family(scene.desk)
    scene.factory.heartbeat()
    view = sample_live(accounts, as_of=NOW)
    ended = [run.model_copy(update={"state": "closed", "exit_reason": "kill_switch"}) for run in view.runs]
    scene.factory.write_live(scene.caller, view.model_copy(update={"runs": ended}))
    at = scene.open()
    assert {metric.label: metric.value for metric in at.metric}["Open runs"] == "0"
    assert "Kill switch" in tables(at)


def test_a_session_that_ends_takes_the_page_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.family_with_runs()
    at = scene.open("positions")
    monkeypatch.setattr(gate, "provide", lambda: None)
    at.run()
    assert not tables(at)
    assert at.warning[0].value.startswith("Your session has ended")


def test_a_database_that_does_not_answer_is_said_not_shown_as_empty(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.family_with_runs()

    def fail() -> Desk:
        raise Unavailable("The database does not answer.")

    monkeypatch.setattr(gate, "provide", fail)
    at = AppTest.from_file(str(HOME), default_timeout=30).run()
    assert not at.exception
    assert [error.value for error in at.error] == ["The database does not answer."]
    assert not tables(at)
