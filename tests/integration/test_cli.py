"""The command line against a real engine and exchange: what it prints, what it orders, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine import cli
from engine.cli import door
from engine.store.tables import Role, User
from tests.house import House
from tests.paper_server import ROOT, PaperServer


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Console:
    """Runs commands in this process, as the house's database has them."""

    def __init__(self, house: House) -> None:
        self.house = house

    def __call__(self, *arguments: str, typed: str = "") -> Said:
        out, err = io.StringIO(), io.StringIO()
        before = sys.stdin, sys.stdout, sys.stderr, door.get_settings
        sys.stdin, sys.stdout, sys.stderr = io.StringIO(typed), out, err
        door.get_settings = lambda: self.house.settings  # type: ignore[assignment]
        try:
            cli.main(arguments)
        except SystemExit as ended:
            return Said(int(ended.code or 0), out.getvalue(), err.getvalue())
        finally:
            sys.stdin, sys.stdout, sys.stderr, door.get_settings = before
        raise AssertionError("a command ends with an exit code")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    accounts = (("Asha", 1_500_000.0, "B"), ("Ravi", 700_000.0, "A"))
    with House(tmp_path_factory.mktemp("cli"), accounts=accounts) as house:
        house.straddle("Straddle")
        yield house


@pytest.fixture
def say(house: House) -> Console:
    return Console(house)


def orders(house: House) -> int:
    return sum(len(house.books(name)["orders"]) for name in house.keys)


def test_status_tells_the_engine_its_accounts_and_no_runs(say: Console) -> None:
    said = say("status")
    assert said.code == 0
    assert "engine: running" in said.out
    assert "account Asha: ok, armed" in said.out
    assert "no open runs" in said.out


def test_status_as_json_is_one_document(say: Console) -> None:
    said = say("status", "--json")
    assert said.code == 0
    assert said.document["engine"]["alive"] is True
    assert {account["name"] for account in said.document["live"]["accounts"]} >= {"Asha", "Ravi"}


def test_strategies_are_listed(say: Console) -> None:
    assert "Straddle  version 1  no open run" in say("strategies", "list").out
    assert [row["name"] for row in say("strategies", "list", "--json").document] == ["Straddle"]


def test_dry_run_shows_every_order_and_sends_none(say: Console, house: House) -> None:
    before = orders(house)
    said = say("execute", "Straddle", "--dry-run", "--json")
    assert said.code == 0
    shown = [order for account in said.document["accounts"] for order in account["orders"]]
    assert {order["action"] for order in shown} == {"SELL"}
    assert len(shown) == 4
    words = say("execute", "Straddle", "--dry-run").out
    assert "nothing was sent" in words
    assert "  sold legs: SELL" in words
    assert "then sold legs" not in words  # nothing goes before them
    assert "margin of one structure ₹" in words
    assert "from the margin table (" in words
    assert "1 lots" not in words
    assert orders(house) == before


def test_execute_and_exit_wait_until_it_is_done(say: Console, house: House) -> None:
    said = say("execute", "Straddle", "--accounts", "Asha", "--wait", "30", "--json")
    assert said.code == 0, said.err
    run = said.document
    assert run["state"] == "open"
    assert [account["account"] for account in run["accounts"]] == ["Asha"]
    assert len(house.net("Asha")) == 2
    assert f"run {run['id']} of Straddle: open" in say("status").out

    again = say("execute", "Straddle", "--json")
    assert again.code == 1
    assert "open" in again.document["error"]

    left = say("exit", str(run["id"]), "--wait", "30", "--json")
    assert left.code == 0
    assert left.document["state"] == "closed"
    assert house.net("Asha") == {}


def test_wait_that_is_too_short_says_that_it_goes_on(say: Console, house: House) -> None:
    said = say("execute", "Straddle", "--wait", "0.01")
    assert said.code == 5
    run = house.desk.strategies()[0].open_run_ids[0]
    house.until_open(run)
    left = say("exit", str(run), "--wait", "30")
    assert left.code == 0


def test_halt_closes_what_is_open_and_rearm_allows_entries_again(say: Console, house: House) -> None:
    run = say("execute", "Straddle", "--wait", "30", "--json").document["id"]
    halted = say("halt")
    assert halted.code == 0
    assert "1 open run is being closed" in halted.out
    house.until_closed(run)
    status = say("status").out
    assert status.startswith("HALTED: ")
    assert "rearm" in status.splitlines()[0]
    assert "armed" not in status.replace("re-armed", "").replace("rearm", "")
    assert "account Asha: ok, halted, otherwise ready" in status
    assert "No run is open" in say("halt").out
    refused = say("execute", "Straddle")
    assert refused.code == 1
    assert "kill switch" in refused.err
    assert say("rearm").code == 0
    assert "HALTED" not in say("status").out
    assert house.net("Asha") == {}
    assert house.net("Ravi") == {}


@pytest.mark.parametrize("accounts", ["", " , "])
def test_accounts_that_name_nobody_never_mean_everybody(say: Console, house: House, accounts: str) -> None:
    """``--accounts "$FAMILY"`` with the variable empty must not trade on all of them."""
    before = orders(house)
    said = say("execute", "Straddle", "--accounts", accounts)
    assert said.code == 1
    assert "no account was named" in said.err
    assert say("accounts", "test", accounts).code == 1
    assert orders(house) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("execute", "Nobody's"), 'there is no strategy "Nobody\'s"; there are Straddle'),
        (("execute", "Straddle", "--accounts", "Nobody"), "there is no account 'Nobody'"),
        (("exit", "4711"), "4711"),
        (("accounts", "test", "Nobody"), "there is no account"),
        (("status", "--as", "nobody"), "there is no user 'nobody'"),
    ],
)
def test_what_is_not_there_is_refused_by_name(say: Console, arguments: tuple[str, ...], words: str) -> None:
    said = say(*arguments)
    assert said.code == 1
    assert words in said.err
    as_json = say(*arguments, "--json")
    assert as_json.document["code"] == 1
    assert words in as_json.document["error"]
    assert as_json.err == ""


@pytest.mark.parametrize("arguments", [(), ("fly",), ("execute",), ("exit", "one"), ("accounts", "add", "--name", "X")])
def test_wrong_usage_ends_with_two(say: Console, arguments: tuple[str, ...]) -> None:
    assert say(*arguments).code == 2


def test_a_run_is_asked_for_by_its_number(say: Console) -> None:
    assert "'Straddle' is no run: say its number, as `status` shows it" in say("exit", "Straddle").err


def test_profit_is_written_as_on_the_pages(say: Console, house: House) -> None:
    run = say("execute", "Straddle", "--accounts", "Asha", "--wait", "30", "--json").document["id"]
    left = say("exit", str(run), "--wait", "30").out
    assert re.search(r"closed, P ([+−]₹[\d,]+\.\d\d|₹0\.00)", left), left


def test_accounts_stand_in_one_order_everywhere(say: Console, house: House) -> None:
    """Whichever way a command names them."""
    names = [row["name"] for row in say("accounts", "list", "--json").document]
    assert [row["name"] for row in say("status", "--json").document["live"]["accounts"]] == names
    shown = say("execute", "Straddle", "--accounts", "Ravi,Asha", "--dry-run", "--json").document["accounts"]
    assert [row["account"] for row in shown] == [name for name in names if name in {"Asha", "Ravi"}]
    run = say("execute", "Straddle", "--accounts", "Ravi,Asha", "--wait", "30", "--json").document
    assert [row["account"] for row in run["accounts"]] == [row["account"] for row in shown]
    assert list(dict.fromkeys(row["account"] for row in run["positions"])) == [row["account"] for row in shown]
    assert say("exit", str(run["id"]), "--wait", "30").code == 0


def test_a_taken_port_of_the_paper_exchange_is_named(say: Console) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = say("paper", "--port", str(port))
    assert said.code == 1
    assert f"port {port} of 127.0.0.1 is taken" in said.err


def test_account_is_added_with_its_key_from_standard_input_and_tested(say: Console, house: House) -> None:
    house.paper.add_account("made-up-key-kiran", funds=500_000, name="Kiran")
    where = ("--host", house.paper.url, "--ws", house.paper.ws_url)
    assert say("accounts", "add", "--name", "Kiran", *where).code == 1  # nothing came on standard input
    added = say("accounts", "add", "--name", "Kiran", *where, "--json", typed="made-up-key-kiran\n")
    assert added.code == 0, added.out
    assert added.document["name"] == "Kiran"
    assert "made-up-key" not in added.out
    assert say("accounts", "test", "Kiran").code == 0
    assert "Kiran  paper exchange at 127.0.0.1:" in say("accounts", "list").out
    assert {row["name"] for row in say("accounts", "list", "--json").document} == {"Asha", "Ravi", "Kiran"}
    refused = say("accounts", "add", "--name", "Wrong", *where, typed="no-such-key\n")
    assert refused.code == 1
    assert "no-such-key" not in refused.out + refused.err


def test_another_user_sees_nothing_of_the_admins(say: Console, house: House) -> None:
    with house.database.write() as session:
        other = User(username="other", password_hash="x", role=Role.TRADER, created_at=datetime.now(UTC))
        session.add(other)
    assert say("strategies", "list", "--as", "other").out.strip() == "no strategies"
    assert say("accounts", "list", "--as", "OTHER").out.strip() == "no accounts"
    assert say("execute", "Straddle", "--as", "other").code == 1
    assert say("strategies", "list", "--as", "asha").code == 0


def test_accounts_of_two_exchanges_are_refused_in_words(say: Console, house: House, tmp_path: Path) -> None:
    with PaperServer(state=tmp_path / "other.db") as other:
        other.add_account("made-up-key-dev", funds=500_000, name="Dev")
        where = ("--host", other.url, "--ws", other.ws_url)
        assert say("accounts", "add", "--name", "Dev", *where, typed="made-up-key-dev\n").code == 0
        said = say("execute", "Straddle", "--accounts", "Asha,Dev", "--dry-run")
    assert said.code == 1
    assert "These accounts are at 2 exchanges" in said.err
    for url in (house.paper.url, other.url):
        assert f"the paper exchange at {url.removeprefix('http://')}" in said.err


def test_second_engine_ends_with_three(house: House) -> None:
    second = house.start_engine(wait=False)
    assert second.process.wait(20) == 3
    house.processes.remove(second)


def test_engine_that_is_down_is_told_with_four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "TAKE_SECONDS", 0.3)
    with House(tmp_path, accounts=(("Asha", 1_500_000.0, "B"),), engine=False) as house:
        house.straddle("Straddle")
        say = Console(house)
        assert say("status").code == 4
        assert say("execute", "Straddle").code == 4
        assert say("execute", "Straddle", "--dry-run").code == 4
        armed = say("rearm")
        assert armed.code == 4
        assert "entries are allowed again as soon as an engine runs" in armed.err
        assert "close at the broker" not in armed.err
        halted = say("halt", "--json")
        assert halted.code == 4
        assert halted.document["error"]
        assert house.books("Asha")["orders"] == []


def test_module_runs_as_a_command_and_needs_a_user_first(tmp_path: Path) -> None:
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/a.db", "LOG_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "engine", "status"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "register in the browser first" in ended.stderr
