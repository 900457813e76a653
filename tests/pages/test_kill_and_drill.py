"""The kill switch by scope, closing a part, the fire drill: what they say and what they send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.desk import Desk
from engine.domain.runs import AccountState
from engine.store.tables import CommandState, Role, StrategyExecution
from pages.components import gate
from pages.components.asked import Asked
from tests import risk_sample
from tests.desk_factory import NOW, DeskFactory, add_run, sample_live
from tests.pages.risk_scene import limit_of, press, with_limits
from tests.pages.scene import Scene, tables, texts


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    factory = DeskFactory(tmp_path / "admin" if (tmp_path / "admin").mkdir() is None else tmp_path)
    made = Scene(factory, factory.person("root", Role.ADMIN))
    monkeypatch.setattr(gate, "provide", lambda: made.desk)
    yield made
    factory.close()


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


def test_the_kill_switch_for_one_account_says_what_it_sends_and_sends_only_that(risky: Scene) -> None:
    account = risky.desk.accounts()[1]
    at = risky.open()
    at.button(key="kill-switch").click().run()
    assert "Everyone" not in at.selectbox[0].options
    at.session_state["orders-asked"] = Asked("k" * 32)
    at.session_state[f"scope-{'k' * 32}"] = account.id
    at.run()
    assert "on **Ravi** only, with **2 orders** at market" in texts(at)
    press(at, "Take Ravi out")
    assert [row.payload for row in risky.rows("halt")] == [{"account_id": account.id}]


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
    assert [row.payload["everyone"] for row in admin.rows("halt")] == [True]


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
    (orders,) = [frame.value for frame in at.table if "Side" in frame.value]
    assert dict(zip(orders["Account"], orders["Quantity"], strict=True)) == {
        "Asha": "130",
        "Ravi": "65",
        "Meera": "130",
    }
    assert set(orders["Contract"]) == {"NIFTY23NOV2626000CE"}
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


def test_an_account_with_a_halt_of_its_own_is_not_called_armed(risky: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    asha, ravi, _meera = risky.desk.accounts()
    halt = {"halted_at": NOW, "reason": "max loss of the day"}
    with_limits(monkeypatch, limit_of(None, 1_000), limit_of(asha.id, 1_000), limit_of(ravi.id, -9_000, **halt))
    for page in ("desk", "accounts"):
        (shown,) = [frame.value for frame in risky.open(page).table if "Grade" in frame.value]
        states = dict(zip(shown["Account"], shown["State"], strict=True))
        assert [state for name, state in states.items() if "Asha" in name] == ["armed"]
        assert [state for name, state in states.items() if "Ravi" in name] == ["halted"]


def test_an_account_that_left_an_open_run_is_out_on_its_card(scene: Scene) -> None:
    view = sample_live(scene.family_with_runs(), as_of=NOW)
    run = view.runs[0]
    rows = [row.model_copy(update={"state": "flat"}) if row.account == "Ravi" else row for row in run.accounts]
    scene.show(view.model_copy(update={"runs": [run.model_copy(update={"accounts": rows})]}))
    said = texts(scene.open())
    assert "Ravi out" in said
    assert "Asha 3 lots" in said


def test_what_comes_and_goes_with_runs_stands_below_the_form(scene: Scene) -> None:
    """Else the table of legs moves under the hand that types in it."""
    accounts = scene.family_with_runs()
    strategy = scene.desk.create_from_template("short_straddle", [account.id for account in accounts])
    add_run(scene.factory, scene.caller, strategy, {accounts[0].id: AccountState.ENTERED})
    at = scene.open("strategies")
    shown = [str(getattr(one, "key", None) or getattr(one, "value", "")) for one in at.main]
    (warning,) = [place for place, one in enumerate(shown) if "is open already" in one]
    assert shown.index(f"edit-{strategy.id}-1-save") < warning
