"""Commands: one click is one row, nobody sees another's, and what comes too late is said to be."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import select

from engine.desk import Desk
from engine.services import commands, events
from engine.services.drafts import LegDraft, StrategyDraft
from engine.services.errors import InvalidInput, NotFound, Refused, ServiceError, Unavailable
from engine.services.identity import NotAllowed
from engine.services.views import AccountDraft
from engine.store.database import Database
from engine.store.tables import ActivityLog, Command, CommandState, Role
from tests.desk_factory import NOW, DeskFactory


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[DeskFactory]:
    made = DeskFactory(tmp_path)
    yield made
    made.close()


def test_two_identical_submits_are_one_row(factory: DeskFactory) -> None:
    caller = factory.person()
    first, second = (
        commands.halt(factory.database, caller, key="press-1", now=NOW + timedelta(milliseconds=gap)) for gap in (0, 80)
    )
    assert first == second
    with factory.database.read() as session:
        assert len(session.exec(select(Command)).all()) == 1


def test_presses_in_many_tabs_at_once_are_one_row(factory: DeskFactory) -> None:
    caller = factory.person()
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: commands.halt(factory.database, caller, key="same", now=NOW).id, range(16)))
    assert len(ids) == 1


def test_the_same_key_of_two_people_is_two_commands(factory: DeskFactory) -> None:
    asha, ravi = factory.person("asha"), factory.person("ravi")
    assert (
        commands.halt(factory.database, asha, key="k", now=NOW).id
        != commands.halt(factory.database, ravi, key="k", now=NOW).id
    )


def test_a_person_cannot_see_the_command_of_another(factory: DeskFactory) -> None:
    asha, ravi = factory.person("asha"), factory.person("ravi")
    view = commands.halt(factory.database, asha, key="k", now=NOW)
    assert commands.command_view(factory.database, asha, command_id=view.id, now=NOW).state == "pending"
    with pytest.raises(NotFound):
        commands.command_view(factory.database, ravi, command_id=view.id, now=NOW)


def test_a_key_is_not_taken_over_by_another_kind(factory: DeskFactory) -> None:
    caller = factory.person()
    commands.halt(factory.database, caller, key="k", now=NOW)
    with pytest.raises(InvalidInput, match="idempotency_key"):
        commands.rearm(factory.database, caller, key="k", now=NOW)


def test_an_entry_nobody_took_in_time_says_so(factory: DeskFactory) -> None:
    caller = factory.person()
    desk = factory.desk(caller)
    strategy = desk.create_from_template("short_straddle", [row.id for row in factory.family(desk)])
    view = desk.execute(strategy.id, 1, None, [], "k")
    factory.clock = lambda: NOW + timedelta(seconds=15)
    assert desk.command(view.id).state == "pending"
    factory.clock = lambda: NOW + timedelta(seconds=17)
    late = desk.command(view.id)
    assert (late.state, late.message) == ("too_late", "The engine did not take this in time; nothing was sent.")


def test_a_halt_never_comes_too_late(factory: DeskFactory) -> None:
    caller = factory.person()
    view = commands.halt(factory.database, caller, key="k", now=NOW)
    later = commands.command_view(factory.database, caller, command_id=view.id, now=NOW + timedelta(days=2))
    assert later.state == "pending"


def test_a_taken_command_shows_its_outcome(factory: DeskFactory) -> None:
    caller = factory.person()
    view = commands.halt(factory.database, caller, key="k", now=NOW)
    with factory.database.write() as session:
        row = session.get_one(Command, view.id)
        row.state, row.outcome = CommandState.DONE, {"message": "2 runs are leaving."}
        session.add(row)
    done = commands.command_view(factory.database, caller, command_id=view.id, now=NOW + timedelta(days=1))
    assert (done.state, done.message) == ("done", "2 runs are leaving.")


def test_execute_carries_what_the_page_showed(factory: DeskFactory) -> None:
    caller = factory.person()
    desk = factory.desk(caller)
    accounts = [row.id for row in factory.family(desk)]
    strategy = desk.create_from_template("short_straddle", accounts)
    symbols = ["NIFTY23NOV2626000CE", "NIFTY23NOV2626000PE"]
    view = desk.execute(strategy.id, 1, accounts[:2], [], "k", contracts=symbols)
    with factory.database.read() as session:
        row = session.get_one(Command, view.id)
    assert row.payload == {
        "strategy_id": strategy.id, "version": 1, "account_ids": accounts[:2], "seen_run_ids": [], "again": False,
        "contracts": symbols,
    }  # fmt: skip
    assert row.valid_until == NOW + timedelta(seconds=15)


def test_execute_refuses_an_old_version_and_a_second_run_without_again(factory: DeskFactory) -> None:
    caller = factory.person()
    desk = factory.desk(caller)
    accounts = [row.id for row in factory.family(desk)]
    strategy = desk.create_from_template("short_straddle", accounts)
    with pytest.raises(Refused, match="version 1 now"):
        desk.execute(strategy.id, 2, None, [], "a")
    with pytest.raises(Refused, match="open run"):
        desk.execute(strategy.id, 1, None, [7], "b")
    assert desk.execute(strategy.id, 1, None, [7], "c", again=True).state == "pending"


def test_execute_of_a_foreign_strategy_or_account_is_not_found(factory: DeskFactory) -> None:
    asha, ravi = factory.person("asha"), factory.person("ravi")
    desk, other = factory.desk(asha), factory.desk(ravi)
    accounts = [row.id for row in factory.family(desk)]
    strategy = desk.create_from_template("short_straddle", accounts)
    mine = other.create_from_template("short_straddle", [])
    with pytest.raises(NotFound):
        other.execute(strategy.id, 1, None, [], "k")
    with pytest.raises(NotFound):
        other.execute(mine.id, 1, accounts, [], "k")
    with pytest.raises(InvalidInput, match="accounts"):
        other.execute(mine.id, 1, None, [], "k")


def test_a_viewer_orders_nothing(factory: DeskFactory) -> None:
    viewer = factory.person("guest", Role.VIEWER)
    desk = factory.desk(viewer)
    with pytest.raises(NotAllowed):
        desk.halt("k")
    with pytest.raises(NotAllowed):
        desk.close_run(1, None, "k")
    with factory.database.read() as session:
        assert session.exec(select(Command)).all() == []


def test_closing_a_run_of_somebody_else_is_not_found(factory: DeskFactory) -> None:
    with pytest.raises(NotFound):
        factory.desk(factory.person()).close_run(12, None, "k")


def test_orders_are_in_the_activity_log(factory: DeskFactory) -> None:
    caller = factory.person()
    factory.desk(caller).halt("k")
    with factory.database.read() as session:
        row = session.exec(select(ActivityLog)).one()
    assert (row.user_id, row.action) == (caller.user_id, "command.halt")


def test_risk_events_are_own_only(factory: DeskFactory) -> None:
    asha, ravi = factory.person("asha"), factory.person("ravi")
    factory.risk_event(asha)
    assert [event.kind for event in events.risk_events(factory.database, asha)] == ["max_loss"]
    assert events.risk_events(factory.database, ravi) == []
    with pytest.raises(NotFound):
        events.risk_event(factory.database, ravi, event_id=1)


CALLS: dict[str, Callable[[Desk], object]] = {
    "engine": lambda desk: desk.engine(),
    "live": lambda desk: desk.live(),
    "accounts": lambda desk: desk.accounts(),
    "add_account": lambda desk: desk.add_account(AccountDraft(name="A", host="http://h:1", api_key="k")),
    "test_account": lambda desk: desk.test_account(1),
    "deactivate_account": lambda desk: desk.deactivate_account(1),
    "set_primary": lambda desk: desk.set_primary(1),
    "start_with_paper_accounts": lambda desk: desk.start_with_paper_accounts(),
    "strategies": lambda desk: desk.strategies(),
    "strategy": lambda desk: desk.strategy(1),
    "check_strategy": lambda desk: desk.check_strategy(
        StrategyDraft(name="S", account_ids=[], legs=[LegDraft(underlying="NIFTY", action="BUY", instrument_type="CE")])
    ),
    "save_strategy": lambda desk: desk.save_strategy(
        StrategyDraft(name="S", account_ids=[], legs=[LegDraft(underlying="NIFTY", action="BUY", instrument_type="CE")])
    ),
    "create_from_template": lambda desk: desk.create_from_template("short_straddle", []),
    "archive_strategy": lambda desk: desk.archive_strategy(1),
    "request_preview": lambda desk: desk.request_preview(1),
    "command": lambda desk: desk.command(1),
    "execute": lambda desk: desk.execute(1, 1, None, [], "key"),
    "close_run": lambda desk: desk.close_run(1, None, "key"),
    "halt": lambda desk: desk.halt("key"),
    "rearm": lambda desk: desk.rearm("key"),
    "set_limits": lambda desk: desk.set_limits("key", max_loss=1_000.0),
    "rearm_rule": lambda desk: desk.rearm_rule(1, "max_loss", "key"),
    "drill": lambda desk: desk.drill("key"),
    "drill_result": lambda desk: desk.drill_result(1),
    "declare_order": lambda desk: desk.declare_order(1, "rejected", "key"),
    "take_over": lambda desk: desk.take_over(1, 1, "key"),
    "adopt": lambda desk: desk.adopt(1, 1, "key", symbol="X", exchange="NFO", product="NRML", quantity=65, price=1.0),
    "orders": lambda desk: desk.orders(),
    "risk_events": lambda desk: desk.risk_events(),
    "event_kinds": lambda desk: desk.event_kinds(),
    "run_history": lambda desk: desk.run_history(),
}


def test_every_method_of_the_desk_is_called_below() -> None:
    public = {name for name, _ in inspect.getmembers(Desk, inspect.isfunction) if not name.startswith("_")}
    assert public == CALLS.keys() | {"templates", "supertrend_series"}


@pytest.mark.parametrize("name", CALLS)
def test_a_database_without_tables_is_told_in_words(factory: DeskFactory, name: str) -> None:
    desk = factory.desk(factory.person())
    with factory.database.write() as session:
        tables = session.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        session.execute(text("PRAGMA defer_foreign_keys=ON"))
        for table in tables:
            if not table.startswith("sqlite_"):
                session.execute(text(f'ALTER TABLE "{table}" RENAME TO "gone_{table}"'))
    with pytest.raises(Unavailable, match=r"^The database does not answer; nothing was taken\. Press again\.$"):
        CALLS[name](desk)


def test_a_locked_database_is_told_in_words_and_takes_nothing(factory: DeskFactory) -> None:
    caller = factory.person()
    factory.database = Database(factory.settings.database_url, busy_timeout_ms=50)
    desk = factory.desk(caller)
    with factory.database.write() as session:
        session.execute(text("SELECT 1"))  # begins, and holds the one place for writers
        with pytest.raises(Unavailable) as caught:
            desk.halt("key")
    assert isinstance(caught.value, ServiceError)
    with factory.database.read() as session:
        assert session.exec(select(Command)).all() == []
    assert desk.halt("key").state == "pending"


@pytest.mark.parametrize("number", [2**63, 10**400, 0, -1, -(2**63) - 1])
def test_an_id_that_no_row_has_is_not_found(factory: DeskFactory, number: int) -> None:
    desk = factory.desk(factory.person())
    strategy = desk.create_from_template("short_straddle", [])
    calls: list[Callable[[], object]] = [
        lambda: desk.test_account(number),
        lambda: desk.set_primary(account_id=number),
        lambda: desk.deactivate_account(number),
        lambda: desk.strategy(number),
        lambda: desk.archive_strategy(number),
        lambda: desk.save_strategy(strategy.draft, strategy_id=number),
        lambda: desk.save_strategy(strategy.draft.model_copy(update={"account_ids": [number]})),
        lambda: desk.create_from_template("short_straddle", [number]),
        lambda: desk.request_preview(number),
        lambda: desk.request_preview(strategy.id, [number]),
        lambda: desk.command(number),
        lambda: desk.execute(number, 1, None, [], "key"),
        lambda: desk.execute(strategy.id, 1, [number], [], "key"),
        lambda: desk.execute(strategy.id, 1, None, [number], "key", again=True),
        lambda: desk.close_run(number, None, "key"),
        lambda: desk.declare_order(number, "rejected", "key"),
        lambda: desk.take_over(number, 1, "key"),
        lambda: desk.take_over(1, number, "key"),
        lambda: desk.adopt(number, 1, "key", symbol="X", exchange="NFO", product="NRML", quantity=65, price=1.0),
        lambda: desk.adopt(1, number, "key", symbol="X", exchange="NFO", product="NRML", quantity=65, price=1.0),
    ]
    for call in calls:
        with pytest.raises(NotFound, match=r"There is no (account|strategy|command|run|order) "):
            call()
    assert desk.orders(number).rows == []
    assert desk.run_history(number) == desk.risk_events(number) == []


@pytest.mark.parametrize("half", ["a\ud800", "\udfff", "nul\0"])
def test_text_that_no_database_can_hold_is_refused_by_name(factory: DeskFactory, half: str) -> None:
    desk = factory.desk(factory.person())
    strategy = desk.create_from_template("short_straddle", [])
    calls: list[tuple[str, Callable[[], object]]] = [
        ("key", lambda: desk.halt(half)),
        ("key", lambda: desk.rearm(half)),
        ("key", lambda: desk.close_run(1, None, half)),
        ("key", lambda: desk.execute(strategy.id, 1, None, [], half)),
        ("contracts", lambda: desk.execute(strategy.id, 1, None, [], "key", contracts=[half])),
        ("key", lambda: desk.create_from_template(half, [])),
        ("key", lambda: desk.declare_order(1, "rejected", half)),
        ("state", lambda: desk.declare_order(1, half, "key")),
        ("orderid", lambda: desk.declare_order(1, "working", "key", orderid=half)),
        ("key", lambda: desk.take_over(1, 1, half)),
        ("name", lambda: desk.create_from_template("short_straddle", [], name=half)),
        ("description", lambda: desk.save_strategy(strategy.draft.model_copy(update={"description": half}))),
        ("api_key", lambda: desk.add_account(AccountDraft(name="A", host="http://h:1", api_key=half))),
        ("ws_url", lambda: desk.add_account(AccountDraft(name="A", host="http://h:1", api_key="k", ws_url=half))),
    ]
    for field, call in calls:
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == field


@pytest.mark.parametrize("wrong", [True, False, 1.0, "1", [1], {"id": 1}, (1,), b"1"])
def test_an_id_that_is_no_whole_number_is_refused_by_name(factory: DeskFactory, wrong: Any) -> None:
    desk = factory.desk(factory.person())
    account = factory.family(desk)[0].id
    strategy = desk.create_from_template("short_straddle", [account])
    calls: list[tuple[str, Callable[[], object]]] = [
        ("account_id", lambda: desk.halt("key", wrong)),
        ("account_id", lambda: desk.rearm("key", account_id=wrong)),
        ("account_id", lambda: desk.set_limits("key", account_id=wrong, max_loss=100.0)),
        ("account_id", lambda: desk.test_account(wrong)),
        ("account_id", lambda: desk.deactivate_account(wrong)),
        ("account_id", lambda: desk.set_primary(account_id=wrong)),
        ("strategy_id", lambda: desk.strategy(wrong)),
        ("strategy_id", lambda: desk.archive_strategy(wrong)),
        ("strategy_id", lambda: desk.save_strategy(strategy.draft, strategy_id=wrong, expected_version=1)),
        ("strategy_id", lambda: desk.execute(wrong, 1, None, [], "key")),
        ("account_ids", lambda: desk.execute(strategy.id, 1, [wrong], [], "key")),
        ("seen_run_ids", lambda: desk.execute(strategy.id, 1, None, [wrong], "key")),
        ("account_ids", lambda: desk.request_preview(strategy.id, [wrong])),
        ("account_ids", lambda: desk.create_from_template("short_straddle", [wrong])),
        ("command_id", lambda: desk.command(wrong)),
        ("command_id", lambda: desk.drill_result(wrong)),
        ("run_id", lambda: desk.close_run(wrong, None, "key")),
        ("run_id", lambda: desk.rearm_rule(wrong, "max_loss", "key")),
        ("run_id", lambda: desk.supertrend_series(wrong)),
        ("order_id", lambda: desk.declare_order(wrong, "rejected", "key")),
        ("run_id", lambda: desk.take_over(wrong, 1, "key")),
        ("account_id", lambda: desk.take_over(1, wrong, "key")),
    ]
    if not isinstance(wrong, list | tuple):
        calls.append(("account_ids", lambda: desk.request_preview(strategy.id, wrong)))
    for field, call in calls:
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == field
    with factory.database.read() as session:
        kinds = {row.kind for row in session.exec(select(Command))}
    assert kinds <= {"reload_accounts"}, "only what adding the accounts told the engine"


@pytest.mark.parametrize("number", [2**63, 10**400, 0, -1])
def test_limits_and_halts_of_an_account_that_no_row_has_are_not_found(factory: DeskFactory, number: int) -> None:
    desk = factory.desk(factory.person())
    calls: list[Callable[[], object]] = [
        lambda: desk.halt("key", number),
        lambda: desk.rearm("key", number),
        lambda: desk.set_limits("key", account_id=number, max_loss=100.0),
        lambda: desk.supertrend_series(number),
        lambda: desk.drill_result(number),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()
