"""The page of risk events: the filter sifts, the detail tells, the CSV holds what fits."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest

from engine.services.audit import extend
from engine.services.errors import InvalidInput
from engine.services.events import events_csv
from engine.services.views import EventFilter
from engine.store.tables import RiskEvent
from tests.desk_factory import NOW
from tests.pages.scene import Scene, tables, texts

KINDS = ("max_loss", "blind", "drift")


def record(scene: Scene, *, message: str = "P −12,000 reached −10,000", owner: int | None = None) -> None:
    """One event a kind, a day apart."""
    with scene.factory.database.write() as session:
        for number, kind in enumerate(KINDS, start=1):
            session.add(
                RiskEvent(
                    id=number, at=NOW - timedelta(days=number - 1), owner_id=owner or scene.caller.user_id, kind=kind,
                    action="alert_only", message=message, knew={"profit": -12_000.0}, threshold_paise=-1_000_000,
                    value_paise=-1_200_000,
                )
            )  # fmt: skip


def kinds(scene: Scene, **only: object) -> list[str]:
    return [event.kind for event in scene.desk.risk_events(only=EventFilter(**only))]  # type: ignore[arg-type]


def test_the_filter_sifts_by_kind_day_words_and_age(scene: Scene) -> None:
    record(scene)
    day = (NOW - timedelta(days=1)).date()
    assert kinds(scene) == ["drift", "blind", "max_loss"]
    assert kinds(scene, kinds=["blind", "drift"]) == ["drift", "blind"]
    assert kinds(scene, first_day=day, last_day=day) == ["blind"]
    assert kinds(scene, words="Reached") == ["drift", "blind", "max_loss"]
    assert kinds(scene, words="%") == []
    assert kinds(scene, before_id=3) == ["blind", "max_loss"]
    assert kinds(scene, run_id=9) == kinds(scene, account_id=9) == []


def test_days_in_the_wrong_order_are_refused_by_name(scene: Scene) -> None:
    with pytest.raises(InvalidInput, match="last day"):
        kinds(scene, first_day=NOW.date(), last_day=NOW.date() - timedelta(days=1))


def test_the_page_shows_what_fits_and_says_when_nothing_does(scene: Scene) -> None:
    record(scene)
    at = scene.open("risk_events")
    at.multiselect(key="events-kinds").select("blind").run()
    assert "Blind: no confirmed price" in tables(at)
    assert "Outside trade" not in tables(at)
    at.text_input(key="events-words").input("nothing like it").run()
    assert "No risk event fits the filter." in texts(at)


def test_the_detail_names_the_link_of_the_audit_chain(scene: Scene) -> None:
    record(scene)
    extend(scene.factory.database, now=NOW)
    at = scene.open("risk_events")
    at.session_state["risk-events"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    at.run()
    assert "of the audit chain" in texts(at)


def test_the_csv_holds_what_fits_and_no_formula(scene: Scene) -> None:
    record(scene, message='=HYPERLINK("x")')
    rows = list(csv.DictReader(io.StringIO(events_csv(scene.desk.risk_events(only=EventFilter(kinds=["max_loss"]))))))
    assert [row["kind"] for row in rows] == ["max_loss"]
    assert rows[0]["what_happened"].startswith("'=")
    assert (rows[0]["limit"], rows[0]["value"]) == ("-10000.0", "-12000.0")
    assert rows[0]["at_ist"].endswith("+05:30")


def test_events_of_somebody_else_are_neither_listed_nor_counted(scene: Scene) -> None:
    other = scene.factory.person("ravi")
    record(scene, owner=other.user_id)
    assert kinds(scene) == []
    assert scene.desk.event_kinds() == []
