"""A part of a run is ordered at the desk and on the command line; what makes no sense is refused with its field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from engine.domain.runs import AccountState
from engine.services.errors import InvalidInput
from engine.store.tables import Command, StrategyExecution
from tests.desk_factory import DeskFactory, add_run
from tests.house import House
from tests.integration.test_cli import Console


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[DeskFactory]:
    made = DeskFactory(tmp_path)
    yield made
    made.close()


def opened(factory: DeskFactory) -> Any:
    """A desk whose person has run 1 with two legs."""
    caller = factory.person()
    desk = factory.desk(caller)
    account = factory.family(desk)[0]
    strategy = desk.create_from_template("short_straddle", [account.id])
    run = add_run(factory, caller, strategy, {account.id: AccountState.ENTERED})
    with factory.database.write() as session:
        row = session.get_one(StrategyExecution, run)
        row.resolved = {"legs": [{"leg_index": 1}, {"leg_index": 2}]}
        session.add(row)
    return desk, run


def exits(factory: DeskFactory) -> list[Command]:
    with factory.database.read() as session:
        return list(session.exec(select(Command).where(Command.kind == "close_run").order_by(col(Command.id))))


def test_part_is_written_into_the_command_and_a_whole_exit_as_before(factory: DeskFactory) -> None:
    desk, run = opened(factory)
    for key, part in (("a", {}), ("b", {"leg_indexes": [2, 1, 2], "share": 50}), ("c", {"share": 100})):
        desk.close_run(run, None, key, **part)
    payloads = [row.payload for row in exits(factory)]
    whole = {"run_id": run, "account_ids": None}
    assert payloads == [whole, whole | {"leg_indexes": [1, 2], "share": 50.0}, whole]


@pytest.mark.parametrize(
    ("field", "order"),
    [
        ("run_id", {"run_id": True}),
        ("run_id", {"run_id": "1"}),
        ("accounts", {"account_ids": []}),
        ("account_ids", {"account_ids": [True]}),
        ("account_ids", {"account_ids": [1.0]}),
        ("legs", {"leg_indexes": []}),
        ("legs", {"leg_indexes": ["1"]}),
        ("legs", {"leg_indexes": [0]}),
        ("legs", {"leg_indexes": [3]}),
        ("share", {"share": 0}),
        ("share", {"share": 101}),
        ("share", {"share": True}),
        ("share", {"share": "50"}),
        ("share", {"share": float("inf")}),
    ],
)
def test_part_that_makes_no_sense_is_refused_at_the_desk(
    factory: DeskFactory, field: str, order: dict[str, Any]
) -> None:
    desk, run = opened(factory)
    with pytest.raises(InvalidInput) as caught:
        desk.close_run(**({"run_id": run, "account_ids": None, "key": "k"} | order))
    assert caught.value.field == field
    assert exits(factory) == []


def test_command_line_closes_a_leg_on_an_account_and_waits_until_it_is_out(tmp_path: Path) -> None:
    accounts = (("Asha", 1_500_000.0, "B"), ("Ravi", 700_000.0, "A"))
    with House(tmp_path, accounts=accounts) as house:
        house.straddle("Straddle")
        say = Console(house)
        run = say("execute", "Straddle", "--wait", "30", "--json").document["id"]
        said = say("exit", str(run), "--legs", "1", "--accounts", "Asha", "--wait", "30", "--json")
        assert said.code == 0, said.err
        assert said.document["state"] == "open"
        assert [len(house.net(name)) for name in ("Asha", "Ravi")] == [1, 2]
        assert "has no leg 7" in say("exit", str(run), "--legs", "7").err
        assert "are no legs" in say("exit", str(run), "--legs", "one").err
        assert "at most 100" in say("exit", str(run), "--share", "200").err
        was = house.net("Ravi")
        said = say("exit", str(run), "--accounts", "Ravi", "--share", "50", "--wait", "30")
        assert said.code == 0, said.err
        stays = house.net("Ravi")
        told = {
            f"  Ravi: {abs(units - stays.get(symbol, 0))} of {abs(units)} {symbol} closed"
            for symbol, units in was.items()
        }
        assert told == {line for line in said.out.splitlines() if line.endswith("closed")}
        assert say("exit", str(run), "--wait", "30", "--json").document["state"] == "closed"
        assert [house.net(name) for name in ("Asha", "Ravi")] == [{}, {}]
