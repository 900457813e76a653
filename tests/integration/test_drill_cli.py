"""`python -m engine drill` against a real engine and exchange: what it lists is what the kill switch then sends."""

from __future__ import annotations

from pathlib import Path

from tests.house import House
from tests.integration.test_cli import Console
from tests.paper_server import wait_until


def test_the_drill_lists_what_the_kill_switch_then_sends(tmp_path: Path) -> None:
    accounts = (("Asha", 1_500_000.0, "B"), ("Ravi", 1_700_000.0, "A"))
    with House(tmp_path, accounts=accounts) as house:
        say = Console(house)
        assert "no run is open" in say("drill").out
        house.straddle("Straddle")
        assert say("execute", "Straddle", "--wait", "30").code == 0
        held = {name: house.net(name) for name in ("Asha", "Ravi")}
        sent = {name: len(house.books(name)["orders"]) for name in held}

        said = say("drill", "--json")
        assert said.code == 0, said.err
        orders = said.document["orders"]
        for name, net in held.items():
            shown = {order["symbol"]: order["quantity"] for order in orders if order["account"] == name}
            assert shown == {symbol: -quantity for symbol, quantity in net.items()}
        assert {order["action"] for order in orders} == {"BUY"}
        assert said.document["seconds_to_flat"] > 0
        assert {name: len(house.books(name)["orders"]) for name in held} == sent, "nothing may be sent"
        assert {name: house.net(name) for name in held} == held
        words = say("drill").out
        assert "Nothing was sent." in words
        assert "Asha: 2 orders" in words

        house.paper.change(house.keys["Ravi"], face="live")
        missed = wait_until(lambda: say("drill"), lambda said: said.code == 1, seconds=15)
        assert "Ravi: NOT REACHABLE" in missed.out
        assert "not sendable  Ravi" in missed.out
        house.paper.change(house.keys["Ravi"], face="analyze")
        wait_until(lambda: say("drill"), lambda said: said.code == 0, seconds=30)

        assert say("halt").code == 0
        wait_until(lambda: [house.net(name) for name in held], lambda nets: not any(nets), seconds=30)
        for name in held:
            exits = house.books(name)["orders"][sent[name] :]
            shown = sorted((o["symbol"], o["action"], o["quantity"]) for o in orders if o["account"] == name)
            assert sorted((o["symbol"], o["action"], int(o["quantity"])) for o in exits) == shown


def test_a_drill_without_an_engine_says_so(tmp_path: Path) -> None:
    with House(tmp_path, accounts=(("Asha", 1_500_000.0, "B"),)) as house:
        house.engine.kill()
        wait_until(lambda: house.desk.engine().alive, lambda alive: not alive, seconds=10)
        said = Console(house)("drill")
        assert said.code == 4
        assert "lapses" in said.err
