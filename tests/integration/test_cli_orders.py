"""The command line about orders in doubt and hand-overs, against a real engine and exchange, judged by its books."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.house import House
from tests.integration.test_cli import Console
from tests.paper_server import wait_until

HOUR = 3_600.0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Quiet times of an hour: what is in doubt stays so until somebody says what became of it."""
    folder = tmp_path_factory.mktemp("cli-orders")
    accounts = (("Asha", 1_500_000.0, "B"), ("Ravi", 1_700_000.0, "A"))
    with House(folder, accounts=accounts, quiet_unanswered=HOUR, quiet_answered=HOUR) as house:
        house.straddle("Straddle")
        yield house


@pytest.fixture
def say(house: House) -> Console:
    return Console(house)


def test_an_order_that_never_arrived_is_shown_declared_and_its_exit_goes_on(house: House, say: Console) -> None:
    said = say("execute", "Straddle", "--accounts", "Asha", "--wait", "30", "--json")
    assert said.code == 0, said.err
    run = said.document["id"]
    assert "no order is in doubt or working" in say("orders").out
    house.paper.fault("drop_before", "placeorder", api_key=house.keys["Asha"], count=1)
    assert say("exit", str(run)).code == 0
    wait_until(lambda: house.desk.live().unknown, seconds=10)
    order = house.desk.live().unknown[0]

    listed = say("orders")
    assert listed.code == 0
    assert f"IN DOUBT order {order.order_id}: BUY" in listed.out
    assert f"exit of run {run}, unknown, sent " in listed.out
    assert "quiet until" in listed.out
    assert "Asha: ledger against broker" in listed.out
    document = say("orders", "--json").document
    assert [row["order_id"] for row in document["unknown"]] == [order.order_id]
    assert {row["account"] for row in document["truth"]} == {"Asha", "Ravi"}

    for words, arguments in (
        ("price: say at which average price", ("filled",)),
        ("price: it must be a finite number", ("filled", "--price", "nan")),
        ("orderid: it must have 1 to 64", ("working",)),
        ("quantity: it must be from 0", ("cancelled", "--quantity", "-5")),
    ):
        refused = say("declare", str(order.order_id), *arguments)
        assert refused.code == 1
        assert words in refused.err
    assert say("declare", str(order.order_id), "vanished").code == 2
    assert say("declare", "99999", "rejected").code == 1
    assert [row.order_id for row in house.desk.live().unknown] == [order.order_id]

    declared = say("declare", str(order.order_id), "not_received")
    assert declared.code == 0, declared.err
    assert say("declare", str(order.order_id), "not_received").code == 1  # known by now
    house.until_closed(run)
    house.assert_clean(run)
    assert len(house.books("Asha")["orders"]) == 4  # the one that never arrived was sent anew, once
    ended = say("orders", "--ended")
    assert f"order {order.order_id}: BUY" in ended.out
    assert "declared by asha" in ended.out


def test_what_is_taken_over_is_left_to_its_owner_until_close(house: House, say: Console) -> None:
    run = say("execute", "Straddle", "--accounts", "Ravi", "--wait", "30", "--json").document["id"]
    held = house.net("Ravi")
    assert len(held) == 2
    assert say("take-over", str(run), "Nobody").code == 1
    assert say("take-over", str(run), "Asha").code == 1  # not of this run
    taken = say("take-over", str(run), "Ravi")
    assert taken.code == 0, taken.err
    assert "is yours" in taken.out
    again = say("take-over", str(run), "Ravi")
    assert again.code == 1
    assert "already" in again.err
    live = wait_until(
        lambda: house.run(run), lambda view: view is not None and view.accounts[0].state == "taken_over", seconds=5
    )
    assert live is not None
    assert house.net("Ravi") == held
    closed = say("exit", str(run), "--wait", "30")
    assert closed.code == 0, closed.err
    assert house.net("Ravi") == {}


def test_a_declaration_without_an_engine_is_noted_and_says_so(tmp_path: Path) -> None:
    with House(tmp_path, accounts=(("Asha", 1_500_000.0, "B"),), quiet_unanswered=HOUR) as house:
        say = Console(house)
        house.straddle("Straddle")
        house.paper.fault("drop_before", "placeorder", count=1)
        assert say("execute", "Straddle").code == 0
        wait_until(lambda: house.desk.live().unknown, seconds=15)
        order = house.desk.live().unknown[0].order_id
        house.engine.kill()
        wait_until(lambda: house.desk.engine().alive, lambda alive: not alive, seconds=10)
        listed = say("orders")
        assert listed.code == 4
        assert "The engine is not running" in listed.out
        assert f"IN DOUBT order {order}" in listed.out  # the last figures, with their age
        noted = say("declare", str(order), "not_received")
        assert noted.code == 4
        assert "It is noted and will be taken as soon as an engine runs" in noted.err
        house.start_engine()
        wait_until(lambda: house.desk.live().unknown, lambda rows: not rows, seconds=15)
