"""A desk over a temporary database whose pages can be opened, and what they show as text."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from sqlmodel import select
from streamlit.testing.v1 import AppTest

from engine.services.identity import Caller
from engine.services.views import AccountView, LiveView
from engine.store.tables import Command, CommandState
from tests.desk_factory import NOW, DeskFactory, sample_doubt, sample_live

HOME = Path(__file__).resolve().parents[2] / "Home.py"


class Scene:
    """A desk whose pages can be opened."""

    def __init__(self, factory: DeskFactory, caller: Caller) -> None:
        self.factory = factory
        self.caller = caller
        self.desk = factory.desk(caller)

    def open(self, page: str = "desk") -> AppTest:
        st.cache_resource.clear()
        at = AppTest.from_file(str(HOME), default_timeout=30)
        at.run()
        if page != "desk":
            at.switch_page(f"pages/{page}.py").run()
        assert not at.exception
        return at

    def family_with_runs(self) -> list[AccountView]:
        accounts = self.factory.family(self.desk)
        self.factory.heartbeat()
        self.factory.write_live(self.caller, sample_live(accounts, as_of=NOW))
        return accounts

    def in_trouble(self) -> list[AccountView]:
        """A family with orders in doubt, an exit held up, a hand-over and books that differ."""
        accounts = self.factory.family(self.desk)
        self.factory.heartbeat()
        self.show(sample_doubt(sample_live(accounts, as_of=NOW)))
        return accounts

    def show(self, view: LiveView) -> None:
        """Have figures shown as the engine wrote them."""
        st.cache_resource.clear()
        self.factory.write_live(self.caller, view)

    def rows(self, kind: str) -> list[Command]:
        with self.factory.database.read() as session:
            return list(session.exec(select(Command).where(Command.kind == kind)))

    def answer(self, kind: str, outcome: dict[str, object], state: CommandState = CommandState.DONE) -> None:
        with self.factory.database.write() as session:
            for row in session.exec(select(Command).where(Command.kind == kind)):
                row.state, row.outcome = state, outcome
                session.add(row)


def texts(at: AppTest) -> str:
    parts = [*at.markdown, *at.caption, *at.error, *at.warning, *at.info, *at.success, *at.title, *at.subheader]
    return "\n".join(str(part.value) for part in parts)


def tables(at: AppTest) -> str:
    shown = "\n".join(frame.value.to_string() for frame in (*at.dataframe, *at.table))
    return shown.replace("\u00a0", " ").replace("\u2060", "")
