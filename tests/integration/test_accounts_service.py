"""Accounts: tested before they are stored, owned by one person, keys in the vault and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlmodel import select

from engine.paper.control import proof
from engine.services import desk_live
from engine.services.errors import ConnectionFailed, InvalidInput, NotFound, Refused, TooManyRequests
from engine.services.identity import NotAllowed
from engine.services.paper_family import start_with_paper_accounts
from engine.services.views import AccountDraft
from engine.store.tables import (
    AccountGroup,
    ActivityLog,
    Command,
    ExecutionAccount,
    Role,
    StrategyExecution,
    TradingAccount,
)
from tests.desk_factory import NOW, PAPER, DeskFactory, probe_ok, probe_refused, sample_live


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[DeskFactory]:
    made = DeskFactory(tmp_path)
    yield made
    made.close()


def draft(**changes: object) -> AccountDraft:
    return AccountDraft(name="Asha", host=PAPER, api_key="made-up-key").model_copy(update=changes)


def test_an_account_takes_broker_venue_and_stream_from_its_server(factory: DeskFactory) -> None:
    view = factory.desk(factory.person()).add_account(draft(group="Family", relation="self"))
    with factory.database.read() as session:
        row = session.get_one(TradingAccount, view.id)
    assert (row.broker, row.venue, row.ws_url, row.funds_model) == (
        "paper", "paper:127.0.0.1:5056", "ws://127.0.0.1:5056/", "net",
    )  # fmt: skip
    assert (view.group, view.is_primary, view.armed, view.waits_for) == ("Family", True, False, "engine")


def test_a_broker_account_is_live_and_streams_on_its_own_port(factory: DeskFactory) -> None:
    view = factory.desk(factory.person()).add_account(draft(api_key="live-key", host="http://localhost:5000/"))
    with factory.database.read() as session:
        row = session.get_one(TradingAccount, view.id)
    assert (row.venue, row.ws_url, row.host) == ("live", "ws://localhost:8765", "http://localhost:5000")


def test_the_first_account_of_each_venue_is_its_primary(factory: DeskFactory) -> None:
    desk = factory.desk(factory.person())
    paper = factory.family(desk)
    live = desk.add_account(draft(name="Broker", api_key="live-key", host="http://localhost:5000"))
    assert [row.is_primary for row in (*paper, live)] == [True, False, False, True]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": "  "}),
        ("host", {"host": "ftp://127.0.0.1"}),
        ("host", {"host": "http://user:word@127.0.0.1:5000"}),
        ("host", {"host": "http://"}),
        ("host", {"host": "http://127.0.0.1:99999"}),
        ("host", {"host": "http://127.0.0.1:5000/?a=b"}),
        ("ws_url", {"ws_url": "http://127.0.0.1:8765"}),
        ("api_key", {"api_key": ""}),
        ("api_key", {"api_key": "two words"}),
        ("api_key", {"api_key": "key\u200b"}),
        ("api_key", {"api_key": "key\ud800"}),
        ("api_key", {"api_key": "schlüssel"}),
        ("name", {"name": "Asha\u202e"}),
        ("name", {"name": "Asha\ud800"}),
        ("group", {"group": "Fam\x00ily"}),
        ("relation", {"relation": "self\u2066"}),
        ("ws_url", {"ws_url": "ws://h/" + "a" * 300}),
        ("grade", {"grade": "D"}),
        ("max_lots", {"max_lots": 0}),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(
    factory: DeskFactory, field: str, changes: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        factory.desk(factory.person()).add_account(draft(**changes))
    assert caught.value.field == field
    with factory.database.read() as session:
        assert session.exec(select(TradingAccount)).all() == []


def test_a_connection_that_fails_stores_nothing(factory: DeskFactory) -> None:
    with pytest.raises(ConnectionFailed, match="refuses this API key"):
        factory.desk(factory.person(), connect=probe_refused).add_account(draft())
    with factory.database.read() as session:
        assert session.exec(select(TradingAccount)).all() == []


def test_one_broker_server_is_one_account(factory: DeskFactory) -> None:
    desk = factory.desk(factory.person())
    desk.add_account(draft(api_key="live-key"))
    with pytest.raises(InvalidInput, match="Asha already uses this server"):
        desk.add_account(draft(name="Ravi", api_key="live-other"))


@pytest.mark.parametrize("key", ["paper-key", "live-key"])
def test_one_key_of_a_server_is_one_account(factory: DeskFactory, key: str) -> None:
    desk = factory.desk(factory.person())
    first = desk.add_account(draft(api_key=key, host="http://Algo.Example:80/"))
    again = draft(name="Ravi", api_key=f" {key} ", host="http://algo.example.")
    with pytest.raises(InvalidInput, match="Asha already uses this server with the same API key") as caught:
        desk.add_account(again)
    assert caught.value.field == "api_key"
    assert key not in str(caught.value)
    desk.deactivate_account(first.id)
    with pytest.raises(InvalidInput, match=r"Asha \(it is not active\) already uses this server"):
        desk.add_account(again)
    assert [row.name for row in desk.accounts()] == ["Asha"]
    desk.add_account(again.model_copy(update={"host": "http://algo.example:5001"}))
    assert factory.desk(factory.person("ravi")).add_account(again).name == "Ravi"  # another person's own affair


def test_the_key_is_stored_encrypted_and_appears_nowhere_else(factory: DeskFactory) -> None:
    key = "made-up-key-of-asha"
    desk = factory.desk(factory.person())
    view = desk.add_account(draft(api_key=key))
    assert key not in repr(draft(api_key=key))
    with factory.database.read() as session:
        row = session.get_one(TradingAccount, view.id)
        others = [*session.exec(select(Command)), *session.exec(select(ActivityLog))]
    assert key not in row.api_key_encrypted
    assert factory.vault.decrypt(row.api_key_encrypted).get_secret_value() == key
    assert key not in json.dumps([item.model_dump(mode="json") for item in others])


def test_every_change_asks_the_engine_to_read_the_accounts_anew(factory: DeskFactory) -> None:
    desk = factory.desk(factory.person())
    accounts = factory.family(desk)
    desk.set_primary(accounts[1].id)
    desk.deactivate_account(accounts[2].id)
    with factory.database.read() as session:
        kinds = [row.kind for row in session.exec(select(Command))]
        actions = [row.action for row in session.exec(select(ActivityLog))]
    assert kinds == ["reload_accounts"] * 5
    assert actions == ["account.add"] * 3 + ["account.primary", "account.deactivate"]


def test_a_new_primary_replaces_the_old_one(factory: DeskFactory) -> None:
    desk = factory.desk(factory.person())
    accounts = factory.family(desk)
    desk.set_primary(accounts[2].id)
    assert {row.name: row.is_primary for row in desk.accounts()} == {"Asha": False, "Ravi": False, "Meera": True}


def test_the_next_account_inherits_when_the_primary_leaves(factory: DeskFactory) -> None:
    desk = factory.desk(factory.person())
    accounts = factory.family(desk)
    desk.deactivate_account(accounts[0].id)
    rows = {row.name: (row.active, row.is_primary) for row in desk.accounts()}
    assert rows == {"Asha": (False, False), "Ravi": (True, True), "Meera": (True, False)}


def test_an_account_with_an_open_run_cannot_be_deactivated(factory: DeskFactory) -> None:
    caller = factory.person()
    desk = factory.desk(caller)
    account = factory.family(desk)[0]
    strategy = desk.create_from_template("short_straddle", [account.id])
    with factory.database.write() as session:
        session.add(
            StrategyExecution(
                id=5, owner_id=caller.user_id, strategy_id=strategy.id, version_id=strategy.version_id,
                venue=account.venue, state="open", created_at=NOW,
            )
        )  # fmt: skip
        session.flush()
        session.add(ExecutionAccount(id=1, execution_id=5, account_id=account.id, state="entered"))
    with pytest.raises(Refused, match=r"open runs \(5\)"):
        desk.deactivate_account(account.id)


def test_accounts_are_own_only(factory: DeskFactory) -> None:
    desk, other = factory.desk(factory.person("asha")), factory.desk(factory.person("ravi"))
    account = factory.family(desk)[0]
    assert other.accounts() == []
    for use_case in (other.test_account, other.set_primary, other.deactivate_account):
        with pytest.raises(NotFound):
            use_case(account.id)


def test_a_viewer_changes_nothing(factory: DeskFactory) -> None:
    desk = factory.desk(factory.person("guest", Role.VIEWER))
    with pytest.raises(NotAllowed):
        desk.add_account(draft())
    with pytest.raises(NotAllowed):
        desk.start_with_paper_accounts()


def test_connection_tests_are_limited(factory: DeskFactory) -> None:
    desk = factory.desk(factory.person())
    account = desk.add_account(draft())
    for _ in range(19):
        assert desk.test_account(account.id).ok
    with pytest.raises(TooManyRequests):
        desk.test_account(account.id)


def paper_exchange(seen: list[dict[str, object]], *, fail_at: int | None = None) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/control/whoami":
            assert "X-Control-Token" not in request.headers
            return httpx.Response(200, text=proof("token-of-the-test", request.url.params["nonce"]))
        assert request.url.path == "/control/accounts"
        assert request.headers["X-Control-Token"] == "token-of-the-test"
        if fail_at == len(seen):
            raise httpx.ConnectError("gone", request=request)
        seen.append(json.loads(request.content))
        return httpx.Response(200, json={"status": "success"})

    return httpx.MockTransport(answer)


def with_token(factory: DeskFactory) -> None:
    folder = factory.settings.data_dir / "paper"
    folder.mkdir()
    (folder / "control.token").write_text("token-of-the-test\n")


def test_a_family_starts_with_three_paper_accounts_and_pressing_again_adds_none(factory: DeskFactory) -> None:
    caller = factory.person()
    with_token(factory)
    seen: list[dict[str, object]] = []
    for _ in range(2):
        rows = start_with_paper_accounts(
            factory.database, factory.vault, factory.settings, caller, now=NOW, connect=probe_ok,
            transport=paper_exchange(seen),
        )  # fmt: skip
        assert [(row.name, row.relation, row.grade, row.group) for row in rows] == [
            ("Asha", "self", "B", "Family"), ("Ravi", "spouse", "A", "Family"), ("Meera", "parent", "C", "Family"),
        ]  # fmt: skip
    assert [item["funds"] for item in seen] == [1_500_000.0, 700_000.0, 4_000_000.0]
    assert len({item["api_key"] for item in seen}) == 3
    with factory.database.read() as session:
        assert len(session.exec(select(TradingAccount)).all()) == 3
        assert len(session.exec(select(AccountGroup)).all()) == 1


def test_the_family_is_stored_whole_or_not_at_all(factory: DeskFactory) -> None:
    caller = factory.person()
    with_token(factory)
    with pytest.raises(ConnectionFailed, match="does not answer"):
        start_with_paper_accounts(
            factory.database, factory.vault, factory.settings, caller, now=NOW, connect=probe_ok,
            transport=paper_exchange([], fail_at=2),
        )  # fmt: skip
    with factory.database.read() as session:
        assert session.exec(select(TradingAccount)).all() == []


def test_without_a_paper_exchange_the_error_says_so(factory: DeskFactory) -> None:
    with pytest.raises(ConnectionFailed, match="has not started yet"):
        factory.desk(factory.person()).start_with_paper_accounts()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text=""),
        httpx.Response(200, text="ok"),
        httpx.Response(200, text=proof("another-token", "nonce")),
        httpx.Response(200, text="\u0660" * 64),
        httpx.Response(302, headers={"Location": "/login"}),
        httpx.Response(403, json={"status": "error", "message": "no"}),
        httpx.Response(404, text="<html>not found</html>"),
        httpx.Response(501, text="<html>Unsupported method</html>"),
    ],
)
def test_a_stranger_on_the_paper_port_never_sees_the_token(factory: DeskFactory, answer: httpx.Response) -> None:
    caller = factory.person()
    with_token(factory)
    seen: list[httpx.Request] = []

    def stranger(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer

    with pytest.raises(ConnectionFailed, match="is not AlgoMirror's own paper exchange"):
        start_with_paper_accounts(
            factory.database, factory.vault, factory.settings, caller, now=NOW, connect=probe_ok,
            transport=httpx.MockTransport(stranger),
        )  # fmt: skip
    assert [request.url.path for request in seen] == ["/control/whoami"]
    assert "token-of-the-test" not in repr([(request.url, request.headers.raw, request.content) for request in seen])
    with factory.database.read() as session:
        assert session.exec(select(TradingAccount)).all() == []


def test_an_empty_token_proves_nothing(factory: DeskFactory) -> None:
    with_token(factory)
    (factory.settings.data_dir / "paper" / "control.token").write_text("\n")
    with pytest.raises(ConnectionFailed, match="has not started yet"):
        factory.desk(factory.person()).start_with_paper_accounts()


def test_a_name_that_is_taken_by_a_real_account_is_left_alone(factory: DeskFactory) -> None:
    caller = factory.person()
    factory.desk(caller).add_account(draft(api_key="live-key", host="http://localhost:5000"))
    with_token(factory)
    rows = start_with_paper_accounts(
        factory.database, factory.vault, factory.settings, caller, now=NOW, connect=probe_ok,
        transport=paper_exchange([]),
    )  # fmt: skip
    assert [row.name for row in rows] == ["Asha (paper)", "Ravi", "Meera"]


def test_a_dead_engine_leaves_its_last_figures_marked(factory: DeskFactory) -> None:
    caller = factory.person()
    desk = factory.desk(caller)
    accounts = factory.family(desk)
    factory.heartbeat(age=240)
    factory.write_live(caller, sample_live(accounts, as_of=NOW - timedelta(minutes=4)))
    view = desk.live()
    assert view.problem == "The engine is not running."
    assert view.as_of == NOW - timedelta(minutes=4)
    assert view.runs[0].profit_paise == 1_461_740
    assert not any(account.armed for account in view.accounts)
    assert not desk.engine().alive


def test_without_live_figures_the_database_says_what_is_open(factory: DeskFactory) -> None:
    caller = factory.person()
    desk = factory.desk(caller)
    account = factory.family(desk)[0]
    strategy = desk.create_from_template("short_straddle", [account.id])
    with factory.database.write() as session:
        session.add(
            StrategyExecution(
                id=5, owner_id=caller.user_id, strategy_id=strategy.id, version_id=strategy.version_id,
                venue=account.venue, state="open", created_at=NOW,
            )
        )  # fmt: skip
        session.flush()
        session.add(ExecutionAccount(id=1, execution_id=5, account_id=account.id, state="entered", lots=3))
    view = desk.live()
    assert (view.runs[0].id, view.runs[0].profit_paise, view.runs[0].accounts[0].lots) == (5, None, 3)
    assert view.profit_paise is None
    assert view.problem == "The engine has not started yet."


def test_a_live_engine_arms_accounts(factory: DeskFactory) -> None:
    caller = factory.person()
    desk = factory.desk(caller)
    accounts = factory.family(desk)
    factory.heartbeat()
    factory.write_live(caller, sample_live(accounts, as_of=NOW))
    assert desk.live().problem == ""
    assert [account.armed for account in desk.live().accounts] == [True, True, False]
    assert desk_live.engine_view(factory.database, caller, now=NOW).alive
