"""Declared, taken over, adopted: who may say it, what is refused by name, and that two presses are one command."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from engine.desk import Desk
from engine.domain.orders import TERMINAL, OrderState
from engine.domain.runs import AccountState
from engine.services.errors import InvalidInput, NotFound, Refused
from engine.services.identity import NotAllowed
from engine.services.order_views import orders_csv
from engine.store.tables import ActivityLog, Command, Order, Role, Strategy
from tests.desk_factory import NOW, DeskFactory, add_order, add_run

CALL = "NIFTY23NOV2626000CE"


class Scene:
    """Asha with an open run on two of her accounts, and an order of it in doubt."""

    def __init__(self, folder: Path) -> None:
        self.factory = DeskFactory(folder)
        self.asha = self.factory.person("asha")
        self.desk = self.factory.desk(self.asha)
        self.accounts = self.factory.family(self.desk)
        self.strategy = self.desk.create_from_template("short_straddle", [row.id for row in self.accounts])
        self.first, self.second, self.third = (row.id for row in self.accounts)
        states = {self.first: AccountState.ENTERED, self.second: AccountState.FLAT}
        self.run = add_run(self.factory, self.asha, self.strategy, states)
        self.order = add_order(self.factory, self.run, self.first, OrderState.UNKNOWN)

    def rows(self) -> list[Command]:
        with self.factory.database.read() as session:
            return list(session.exec(select(Command).where(Command.kind != "reload_accounts")))

    def adopt(self, desk: Desk | None = None, **other: Any) -> Any:
        given: dict[str, Any] = {
            "run_id": self.run, "account_id": self.first, "key": "k", "symbol": CALL, "exchange": "NFO",
            "product": "NRML", "quantity": -65, "price": 120.5,
        } | other  # fmt: skip
        return (desk or self.desk).adopt(**given)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.factory.close()


@pytest.mark.parametrize(
    ("state", "given", "payload"),
    [
        ("filled", {"price": 101.5}, {"quantity": 65, "price": 101.5, "orderid": None}),
        ("filled", {"quantity": 65, "price": 99, "orderid": "x1"}, {"quantity": 65, "price": 99.0, "orderid": "x1"}),
        ("working", {"orderid": " 2611 "}, {"quantity": None, "price": None, "orderid": "2611"}),
        ("cancelled", {}, {"quantity": 0, "price": None, "orderid": None}),
        ("cancelled", {"quantity": 30, "price": 7.05}, {"quantity": 30, "price": 7.05, "orderid": None}),
        ("rejected", {}, {"quantity": None, "price": None, "orderid": None}),
        ("rejected", {"orderid": "2611"}, {"quantity": None, "price": None, "orderid": "2611"}),
        ("not_received", {}, {"quantity": None, "price": None, "orderid": None}),
    ],
)
def test_a_declaration_is_one_command_that_never_expires(
    scene: Scene, state: str, given: dict[str, Any], payload: dict[str, Any]
) -> None:
    first = scene.desk.declare_order(scene.order, state, "press-1", **given)
    assert scene.desk.declare_order(scene.order, state, "press-1", **given) == first  # pressed twice
    (row,) = scene.rows()
    assert (row.kind, row.valid_until) == ("declare_order", None)
    assert row.payload == {"order_id": scene.order, "state": state, **payload}
    scene.factory.clock = lambda: NOW + timedelta(days=3)
    assert scene.desk.command(first.id).state == "pending"
    with scene.factory.database.read() as session:
        logged = session.exec(select(ActivityLog).where(ActivityLog.action == "command.declare_order")).all()
    assert len(logged) == 1


@pytest.mark.parametrize(
    ("field", "state", "given"),
    [
        ("state", "gone", {}),
        ("state", "void", {}),
        ("state", "", {}),
        ("price", "filled", {}),
        ("price", "filled", {"price": math.nan}),
        ("price", "filled", {"price": math.inf}),
        ("price", "filled", {"price": -math.inf}),
        ("price", "filled", {"price": 0.0}),
        ("price", "filled", {"price": -1.0}),
        ("price", "filled", {"price": 1e9}),
        ("price", "filled", {"price": True}),
        ("price", "filled", {"price": "100"}),
        ("quantity", "filled", {"quantity": 66, "price": 1.0}),
        ("quantity", "filled", {"quantity": 64, "price": 1.0}),
        ("quantity", "filled", {"quantity": -65, "price": 1.0}),
        ("quantity", "filled", {"quantity": 65.0, "price": 1.0}),
        ("quantity", "filled", {"quantity": True, "price": 1.0}),
        ("quantity", "cancelled", {"quantity": 65, "price": 1.0}),
        ("quantity", "cancelled", {"quantity": -1, "price": 1.0}),
        ("quantity", "cancelled", {"quantity": 10**20, "price": 1.0}),
        ("price", "cancelled", {"quantity": 30}),
        ("price", "cancelled", {"quantity": 30, "price": math.nan}),
        ("price", "cancelled", {"price": 5.0}),
        ("orderid", "working", {}),
        ("orderid", "working", {"orderid": "   "}),
        ("orderid", "working", {"orderid": "x" * 65}),
        ("orderid", "working", {"orderid": "a\nb"}),
        ("quantity", "working", {"orderid": "1", "quantity": 5}),
        ("price", "rejected", {"price": 5.0}),
        ("orderid", "rejected", {"orderid": " "}),
        ("orderid", "not_received", {"orderid": "2611"}),
    ],
)
def test_a_declaration_that_makes_no_sense_names_its_field(
    scene: Scene, field: str, state: str, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        scene.desk.declare_order(scene.order, state, "k", **given)
    assert refused.value.field == field
    assert scene.rows() == []


def test_an_order_of_which_a_part_is_known_to_have_filled_was_received(scene: Scene) -> None:
    order = add_order(scene.factory, scene.run, scene.first, OrderState.UNKNOWN, filled=30)
    for state in ("rejected", "not_received"):
        with pytest.raises(InvalidInput, match="30 of it filled"):
            scene.desk.declare_order(order, state, "k")
    with pytest.raises(InvalidInput, match="from 30 to 64"):
        scene.desk.declare_order(order, "cancelled", "k", quantity=29, price=5.0)
    scene.desk.declare_order(order, "cancelled", "k", quantity=30)  # what is known has its price


@pytest.mark.parametrize("state", sorted(TERMINAL | {OrderState.PLANNED}))
def test_an_order_whose_fate_is_known_is_not_declared(scene: Scene, state: OrderState) -> None:
    order = add_order(scene.factory, scene.run, scene.first, state)
    with pytest.raises(Refused, match="nothing to declare"):
        scene.desk.declare_order(order, "rejected", "k")
    assert scene.rows() == []


def test_a_press_repeated_after_the_order_became_known_is_still_the_first(scene: Scene) -> None:
    first = scene.desk.declare_order(scene.order, "rejected", "k")
    with scene.factory.database.write() as session:
        row = session.get_one(Order, scene.order)
        row.state = OrderState.REJECTED
        session.add(row)
    assert scene.desk.declare_order(scene.order, "rejected", "k").id == first.id


def test_nobody_decides_about_what_belongs_to_another(scene: Scene) -> None:
    ravi = scene.factory.desk(scene.factory.person("ravi"))
    theirs: list[Callable[[], object]] = [
        lambda: ravi.declare_order(scene.order, "rejected", "k"),
        lambda: ravi.take_over(scene.run, scene.first, "k"),
        lambda: scene.adopt(ravi),
        lambda: scene.desk.declare_order(10_000, "rejected", "k"),
        lambda: scene.desk.declare_order(0, "rejected", "k"),
        lambda: scene.desk.take_over(10_000, scene.first, "k"),
        lambda: scene.desk.take_over(scene.run, scene.third, "k"),  # an account of hers, but not of this run
        lambda: scene.adopt(account_id=10_000),
    ]
    for press in theirs:
        with pytest.raises(NotFound):
            press()
    assert scene.rows() == []


def test_a_viewer_decides_nothing(scene: Scene) -> None:
    guest = scene.factory.desk(scene.factory.person("guest", Role.VIEWER))
    for press in (
        lambda: guest.declare_order(scene.order, "rejected", "k"),
        lambda: guest.take_over(scene.run, scene.first, "k"),
        lambda: scene.adopt(guest),
    ):
        with pytest.raises(NotAllowed):
            press()
    assert scene.rows() == []


def test_taking_over_is_one_command_that_never_expires(scene: Scene) -> None:
    first = scene.desk.take_over(scene.run, scene.first, "k")
    assert scene.desk.take_over(scene.run, scene.first, "k").id == first.id
    (row,) = scene.rows()
    assert (row.kind, row.payload, row.valid_until) == (
        "take_over", {"run_id": scene.run, "account_id": scene.first}, None,
    )  # fmt: skip


def test_what_has_ended_or_is_taken_over_is_not_taken_over(scene: Scene) -> None:
    with pytest.raises(Refused, match="has ended on this account"):
        scene.desk.take_over(scene.run, scene.second, "k")
    taken = add_run(scene.factory, scene.asha, scene.strategy, {scene.first: AccountState.TAKEN_OVER})
    with pytest.raises(Refused, match="already"):
        scene.desk.take_over(taken, scene.first, "k")
    closed = add_run(scene.factory, scene.asha, scene.strategy, {scene.first: AccountState.FLAT}, state="closed")
    with pytest.raises(Refused, match="not open"):
        scene.desk.take_over(closed, scene.first, "k")
    with pytest.raises(Refused, match="not open"):
        scene.adopt(run_id=closed)
    assert scene.rows() == []


def test_adopting_carries_what_was_typed(scene: Scene) -> None:
    first = scene.adopt(symbol=f" {CALL} ")
    assert scene.adopt().id == first.id
    (row,) = scene.rows()
    assert row.valid_until is None
    assert row.payload == {
        "run_id": scene.run, "account_id": scene.first, "symbol": CALL, "exchange": "NFO", "product": "NRML",
        "quantity": -65, "price": 120.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("quantity", {"quantity": 0}),
        ("quantity", {"quantity": 1.5}),
        ("quantity", {"quantity": math.nan}),
        ("quantity", {"quantity": 10**9}),
        ("price", {"price": math.nan}),
        ("price", {"price": math.inf}),
        ("price", {"price": 0}),
        ("price", {"price": -4.0}),
        ("price", {"price": None}),
        ("symbol", {"symbol": ""}),
        ("symbol", {"symbol": "x" * 200}),
        ("exchange", {"exchange": "NYSE"}),
        ("product", {"product": "nrml"}),
    ],
)
def test_an_adoption_that_makes_no_sense_names_its_field(scene: Scene, field: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        scene.adopt(**given)
    assert refused.value.field == field
    assert scene.rows() == []


def test_nothing_is_adopted_from_another_exchange(scene: Scene) -> None:
    live = add_run(scene.factory, scene.asha, scene.strategy, {scene.first: AccountState.ENTERED}, venue="live")
    with pytest.raises(InvalidInput, match="another exchange"):
        scene.adopt(run_id=live)


def test_todays_ended_orders_are_shown_newest_first_and_only_to_their_owner(scene: Scene) -> None:
    filled = add_order(scene.factory, scene.run, scene.first, OrderState.FILLED, filled=65, declared_by=scene.asha)
    rejected = add_order(scene.factory, scene.run, scene.first, OrderState.REJECTED, words="=cmd|' /C calc'!A0")
    add_order(scene.factory, scene.run, scene.first, OrderState.FILLED, filled=65, at=NOW - timedelta(days=1))
    seen = scene.desk.orders()
    assert [row.order_id for row in seen.rows] == [rejected, filled]  # neither the one in doubt nor yesterday's
    assert (seen.rows[1].average_price, seen.rows[1].declared_by) == (100.0, "asha")
    assert seen.complete
    assert not scene.desk.orders(limit=1).complete
    assert scene.factory.desk(scene.factory.person("ravi")).orders().rows == []

    table = list(csv.DictReader(io.StringIO(orders_csv(seen.rows))))
    assert [row["order"] for row in table] == [str(rejected), str(filled)]
    assert table[0]["broker_words"].startswith("'=cmd")  # no formula
    assert table[1]["average_price"] == "100.0000"
    with scene.factory.database.read() as session:
        strategy = session.exec(select(Strategy)).one()
    assert table[1]["strategy"] == strategy.name


def test_orders_in_doubt_are_shown_although_no_engine_ever_wrote_figures(scene: Scene) -> None:
    add_order(scene.factory, scene.run, scene.first, OrderState.WORKING, filled=20)
    live = scene.desk.live()
    assert live.problem
    assert [(one.order_id, one.account, one.waits_for) for one in live.unknown] == [
        (scene.order, "Asha", "the engine to look it up")
    ]
    assert [(one.filled_quantity, one.state) for one in live.working] == [(20, "working")]
    ravi = scene.factory.desk(scene.factory.person("ravi"))
    assert ravi.live().unknown == []
