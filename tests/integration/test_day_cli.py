"""Limits of the day and scopes of the kill switch at the command line, against a real engine and without one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.cli import door
from engine.desk import Desk
from engine.services.risk_views import DayLimitView
from tests.house import House
from tests.integration.test_cli import Console
from tests.paper_server import wait_until

ACCOUNTS = (("Asha", 1_500_000.0, "B"), ("Ravi", 1_500_000.0, "A"))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with House(tmp_path_factory.mktemp("limits"), accounts=ACCOUNTS) as house:
        house.straddle("Straddle")
        yield house


@pytest.fixture
def say(house: House) -> Console:
    return Console(house)


def test_limits_are_set_and_shown_and_what_is_not_named_stays(say: Console) -> None:
    said = say("limits", "set", "--max-loss", "5,000", "--max-profit", "9000.50")
    assert said.code == 0, said.err
    assert "max loss ₹5,000.00, max profit ₹9,000.50" in said.out
    said = say("limits", "set", "--max-profit", "none", "--max-loss-action", "alert_only")
    assert "max loss ₹5,000.00 (alert only), no max profit" in said.out
    say("limits", "set", "--account", "Ravi", "--max-loss", "700", "--max-loss-switch", "off")
    shown = say("limits", "show").out.splitlines()
    assert shown[0].endswith("max loss ₹5,000.00 (alert only), no max profit")
    assert any(line.startswith("Ravi: ") and "max loss ₹700.00 (off)" in line for line in shown)
    document = say("limits", "show", "--json").document
    assert {row["account"]: row["max_loss_paise"] for row in document["limits"]} == {
        "": 500_000, "Asha": None, "Ravi": 70_000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--max-loss", "-1"), 1, "max_loss"),
        (("--max-loss", "nan"), 1, "max_loss"),
        (("--max-loss", "many"), 2, "is no amount"),
        (("--account", "Nobody", "--max-loss", "5"), 1, "there is no account 'Nobody'; there are Asha, Ravi"),
    ],
)
def test_limits_that_make_no_sense_are_told_in_words(
    say: Console, arguments: tuple[str, ...], code: int, words: str
) -> None:
    before = say("limits", "show").out
    said = say("limits", "set", *arguments)
    assert said.code == code
    assert words in said.err
    assert say("limits", "show").out == before


def test_one_account_is_halted_while_the_other_goes_on(say: Console, house: House) -> None:
    run = say("execute", "Straddle", "--wait", "60", "--json").document["id"]
    said = say("halt", "--account", "Ravi")
    assert said.code == 0, said.err
    assert "on Ravi; no entries there until re-armed" in said.out
    wait_until(lambda: house.net("Ravi"), lambda net: net == {}, seconds=60)
    assert len(house.net("Asha")) == 2
    status = say("status").out
    assert status.startswith("HALTED: Ravi, no entries until re-armed (kill switch)")
    assert "rearm --account 'Ravi'" in status.splitlines()[0]
    assert "account Ravi: ok, halted, otherwise ready" in status
    assert "account Asha: ok, armed" in status
    assert say("rearm", "--account", "Ravi").out.strip() == "Entries are allowed again on Ravi."
    assert "HALTED" not in say("status").out
    assert say("exit", str(run), "--wait", "60").code == 0


def test_everyone_is_for_an_admin_and_never_beside_one_account(say: Console) -> None:
    assert say("halt", "--account", "Ravi", "--everyone").code == 2
    said = say("halt", "--everyone")
    assert said.code == 0, said.err
    assert "for everyone" in said.out
    assert "everyone, by" in say("status").out.splitlines()[0]
    assert say("rearm", "--everyone").code == 0
    assert "HALTED" not in say("status").out


def test_without_an_engine_limits_are_read_from_the_database_and_a_change_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "TAKE_SECONDS", 0.3)
    with House(tmp_path, accounts=ACCOUNTS[:1], engine=False) as house:
        say = Console(house)
        said = say("limits", "set", "--max-loss", "500")
        assert said.code == 4
        assert "It is noted and holds as soon as an engine runs." in said.err
        shown = say("limits", "show")
        assert shown.code == 0
        assert "all accounts: P –, no max loss, no max profit" in shown.out


def test_status_tells_a_limit_that_acted_halted_or_not(
    say: Console, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    halted = DayLimitView(
        account_id=None, account="", latched=["max_loss"], halted_at=datetime.now(UTC), reason="max loss of 23 Nov 2026"
    )
    told = DayLimitView(account_id=2, account="Ravi", latched=["max_profit"])
    live = Desk.live
    for limit in (halted, told):
        monkeypatch.setattr(Desk, "live", lambda desk, one=limit: live(desk).model_copy(update={"day_limits": [one]}))
        lines = say("status").out.splitlines()
        if limit is halted:
            assert lines[0].startswith("HALTED: all accounts, no entries until re-armed (max loss of 23 Nov 2026)")
            assert not [line for line in lines if "armed" in line and line.startswith("account")]
        else:
            assert lines[0] == "LIMIT REACHED: Ravi, max profit of the day; entries are not halted."
