"""Limits of the day and scopes of the kill switch at the desk: who may, which field is wrong, what is shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from engine.desk import Desk
from engine.domain.calendar import ist_day
from engine.runtime.inbox import Inbox
from engine.runtime.listening import CommandWatch
from engine.services.errors import InvalidInput, NotFound
from engine.services.identity import NotAllowed
from engine.services.messages import CommandArrived
from engine.services.risk_views import DayLimitView
from engine.store import tables
from engine.store.tables import Role
from tests.desk_factory import NOW, DeskFactory


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[DeskFactory]:
    made = DeskFactory(tmp_path)
    yield made
    made.close()


def person(factory: DeskFactory, name: str, role: Role = Role.TRADER) -> Desk:
    return factory.desk(factory.person(name, role))


def commands(factory: DeskFactory, kind: str) -> list[tables.Command]:
    with factory.database.read() as session:
        return list(session.exec(select(tables.Command).where(tables.Command.kind == kind)).all())


def test_the_desk_checks_scopes_before_anything_is_written(factory: DeskFactory) -> None:
    asha, ravi = person(factory, "asha", Role.ADMIN), person(factory, "ravi")
    mine = factory.family(asha)[0].id
    with pytest.raises(NotAllowed):
        ravi.halt("a", everyone=True)
    with pytest.raises(NotAllowed):
        ravi.rearm("b", everyone=True)
    with pytest.raises(NotFound):
        ravi.halt("c", mine)
    with pytest.raises(NotFound):
        ravi.rearm("d", mine)
    with pytest.raises(InvalidInput):
        asha.halt("e", mine, everyone=True)
    assert commands(factory, "halt") == commands(factory, "rearm") == []
    assert asha.halt("f", mine).state == "pending"
    assert asha.halt("g", everyone=True).state == "pending"
    rows = commands(factory, "halt")
    everyone = sorted(person.caller.user_id for person in (asha, ravi))
    assert [row.payload for row in rows] == [{"account_id": mine}, {"everyone": True, "user_ids": everyone}]
    assert all(row.valid_until is None for row in rows)


@pytest.mark.parametrize(
    ("role", "active", "told"), [("admin", True, "admin"), ("trader", True, "trader"), ("admin", False, "")]
)
def test_the_engine_reads_the_role_itself(factory: DeskFactory, role: str, active: bool, told: str) -> None:
    caller = factory.person("asha", Role.ADMIN)
    factory.desk(caller).halt("k", everyone=True)
    with factory.database.write() as session:
        user = session.get_one(tables.User, caller.user_id)
        user.role, user.active = Role(role), active
    inbox = Inbox()
    CommandWatch(factory.database, inbox).look()
    (arrived,) = [one for one in inbox.drain(0.0)[0] if isinstance(one, CommandArrived) and one.kind == "halt"]
    assert arrived.role == told


def test_a_halt_whose_day_has_passed_is_none_where_no_engine_runs(factory: DeskFactory) -> None:
    caller = factory.person("asha", Role.TRADER)
    account = factory.family(factory.desk(caller))[0].id
    today = ist_day(NOW)
    with factory.database.write() as session:
        session.add(
            tables.RiskLimit(
                owner_id=caller.user_id, halted_at=NOW - timedelta(days=1), halted_until=today, reason="yesterday"
            )
        )
        session.add(
            tables.RiskLimit(
                owner_id=caller.user_id, account_id=account, halted_at=NOW, halted_until=today + timedelta(days=3),
                reason="today", max_loss_paise=500_000,
            )
        )  # fmt: skip
    live = factory.desk(caller).live()
    assert not live.halted
    assert [(limit.account_id, limit.halted, limit.reason) for limit in live.day_limits] == [
        (None, False, ""), (account, True, "today"), (account + 1, False, ""), (account + 2, False, ""),
    ]  # fmt: skip
    assert live.day_limits[1].max_loss_paise == 500_000


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("max_loss", 0.0),
        ("max_loss", -5.0),
        ("max_loss", float("nan")),
        ("max_loss", float("inf")),
        ("max_loss", 1e9 + 1),
        ("max_loss", True),
        ("max_loss", "5"),
        ("max_profit", 0.009),
        ("max_loss_enabled", "yes"),
        ("max_profit_enabled", 1),
        ("max_loss_action", "close_partial"),
        ("max_profit_action", "sell everything"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_its_field(factory: DeskFactory, field: str, given: Any) -> None:
    desk = person(factory, "asha")
    with pytest.raises(InvalidInput) as refused:
        desk.set_limits("key", **{field: given})
    assert refused.value.field == field
    assert commands(factory, "set_limits") == []


def test_limits_of_another_user_s_account_cannot_be_set(factory: DeskFactory) -> None:
    account = factory.family(person(factory, "asha"))[0].id
    with pytest.raises(NotFound):
        person(factory, "ravi").set_limits("key", account_id=account, max_loss=100.0)
    with pytest.raises(NotAllowed):
        person(factory, "guest", Role.VIEWER).set_limits("key", max_loss=100.0)


def test_limits_are_one_command_however_often_they_are_sent(factory: DeskFactory) -> None:
    desk = person(factory, "asha")
    first = desk.set_limits("key", max_loss=5_000.0)
    again = desk.set_limits("key", max_loss=5_000.0)
    assert (first.id, first.state) == (again.id, "pending")
    with factory.database.read() as session:
        row = session.get_one(tables.Command, first.id)
    assert row.valid_until is None
    assert row.payload["max_loss"] == 5_000.0


def test_limits_carry_what_was_seen_and_which_fields_change_where_that_is_said(factory: DeskFactory) -> None:
    desk = person(factory, "asha")
    desk.set_limits("a", max_loss=5_000.0)
    desk.set_limits("b", max_profit=9_000.0, seen=DayLimitView(account_id=None, account="", max_loss_paise=500_000))
    desk.set_limits("c", max_loss=None, only=["max_loss_action", "max_loss"], max_loss_action="alert_only")
    plain, seen, only = (row.payload for row in commands(factory, "set_limits"))
    assert not {"seen", "only"} & plain.keys()
    assert seen["seen"] == {
        "max_loss_paise": 500_000, "max_loss_enabled": True, "max_loss_action": "close_all",
        "max_profit_paise": None, "max_profit_enabled": True, "max_profit_action": "close_all",
    }  # fmt: skip
    assert only["only"] == ["max_loss", "max_loss_action"]


@pytest.mark.parametrize(
    "given", [{"seen": {"max_loss_paise": 1}}, {"only": ["max_los"]}, {"only": "max_loss"}, {"only": [["max_loss"]]}]
)
def test_what_was_seen_and_named_is_checked_at_the_desk(factory: DeskFactory, given: dict[str, Any]) -> None:
    desk = person(factory, "asha")
    with pytest.raises(InvalidInput) as caught:
        desk.set_limits("key", max_loss=100.0, **given)
    assert caught.value.field == next(iter(given))
    assert commands(factory, "set_limits") == []
