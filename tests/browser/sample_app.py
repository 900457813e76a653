"""The pages over a temporary desk with sample figures, to be looked at without an engine: ``streamlit run`` this file.

SAMPLE=empty shows a new user's desk, SAMPLE=doubt one in trouble, SAMPLE=risk one near its limits, anything else a
family with two open runs. A thread plays the engine: heartbeat, P that moves, answers to orders. Only tests and people
who build pages start it.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import streamlit as st
from sqlmodel import select

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.desk import Desk
from engine.domain.calendar import ist_day
from engine.domain.orders import OrderState
from engine.domain.runs import AccountState
from engine.services.identity import Caller
from engine.services.views import AccountView, LiveView
from engine.store.tables import Command, CommandState, RiskLimit
from pages.components import gate
from pages.components.shell import main
from tests import risk_sample
from tests.desk_factory import DeskFactory, add_order, add_run, sample_doubt, sample_live, sample_preview


def play_engine(factory: DeskFactory, caller: Caller, accounts: list[AccountView]) -> None:
    """Beat, move P, and answer commands until the process ends."""
    while True:
        now = datetime.now(UTC)
        factory.clock = lambda: datetime.now(UTC)
        factory.heartbeat(age=0.2)
        if accounts:
            shown = sample_live(accounts, as_of=now)
            factory.write_live(caller, moved(SAMPLES.get(os.environ.get("SAMPLE", ""), as_it_is)(shown)))
        with factory.database.write() as session:
            for row in session.exec(select(Command).where(Command.state == CommandState.PENDING)):
                if now - row.created_at.astimezone(UTC) < timedelta(seconds=0.3):
                    continue
                row.state = CommandState.DONE
                row.outcome = outcome(row, accounts, now)
                session.add(row)
        time.sleep(0.5)


def outcome(row: Command, accounts: list[AccountView], now: datetime) -> dict[str, object]:
    """Answer a command as the engine would."""
    if row.kind == "preview":
        chosen = [account for account in accounts if account.id in (row.payload["account_ids"] or [])]
        preview = sample_preview(chosen, as_of=now, strategy_id=row.payload["strategy_id"])
        return {"preview": preview.model_dump(mode="json")}
    if row.kind == "drill":
        return {"message": "Rehearsed.", "drill": risk_sample.drill(accounts, now).model_dump(mode="json")}
    return {"run_id": 3, "message": "Taken."}


def as_it_is(view: LiveView) -> LiveView:
    """Return the sample without trouble."""
    return view


SAMPLES = {"doubt": sample_doubt, "risk": risk_sample.at_risk}


def moved(view: LiveView) -> LiveView:
    """Shift P a little, as a market does."""
    shift = random.randint(-40_000, 40_000)
    runs = [
        run.model_copy(update={"profit_paise": run.profit_paise + shift}) if run.profit_paise is not None else run
        for run in view.runs
    ]
    return view.model_copy(update={"runs": runs, "profit_paise": (view.profit_paise or 0) + shift})


@st.cache_resource
def sample() -> tuple[DeskFactory, Caller]:
    """Build the desk once for all sessions of this process."""
    factory = DeskFactory(Path(tempfile.mkdtemp()), now=datetime.now(UTC))
    factory.clock = lambda: datetime.now(UTC)
    caller = factory.person("asha")
    accounts: list[AccountView] = []
    if os.environ.get("SAMPLE") != "empty":
        desk = factory.desk(caller)
        accounts = factory.family(desk)
        straddle = desk.create_from_template("short_straddle", [account.id for account in accounts])
        desk.create_from_template("iron_condor", [account.id for account in accounts])
        factory.risk_event(caller)
        run = add_run(factory, caller, straddle, {account.id: AccountState.FLAT for account in accounts})
        for account, state, words in (
            (accounts[0], OrderState.FILLED, "complete"),
            (accounts[1], OrderState.REJECTED, "RMS: margin exceeds, available 1,20,400.00"),
            (accounts[2], OrderState.FILLED, ""),
        ):
            filled = 65 if state is OrderState.FILLED else 0
            add_order(factory, run, account.id, state, filled=filled, words=words)
    if os.environ.get("SAMPLE") == "risk":
        limits = risk_sample.at_risk(sample_live(accounts, as_of=datetime.now(UTC))).day_limits
        with factory.database.write() as session:
            for limit in limits:
                fields = limit.model_dump(exclude={"account", "profit_paise"})
                session.add(RiskLimit(**fields, owner_id=caller.user_id, latched_day=ist_day(datetime.now(UTC))))
    threading.Thread(target=play_engine, args=(factory, caller, accounts), daemon=True).start()
    return factory, caller


if __name__ == "__main__":
    made, person = sample()
    gate.provide = lambda: made.desk(person)
    if os.environ.get("SAMPLE") == "risk":
        Desk.supertrend_series = lambda desk, run_id: risk_sample.series(run_id, desk.now)
    main()
