"""The kill switch of a user, of one account, of everyone: what leaves, what is halted, and the way back (RULES 7)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from engine.services.messages import CommandArrived
from engine.store import tables
from engine.store.tables import Role
from tests.stage import BEGIN, CALL, LOT, Stage

OTHER = 2
_keys = itertools.count(1)


@pytest.fixture
def family(tmp_path: Path) -> Stage:
    """Asha (admin) with run 1 on accounts 1 and 2 and run 2 on account 1; Ravi, who has account 3 and no run."""
    stage = Stage(tmp_path, accounts=3)
    with stage.database.write() as session:
        session.add(tables.User(id=OTHER, username="ravi", password_hash="x", role=Role.TRADER, created_at=BEGIN))
    with stage.database.write() as session:
        session.get_one(tables.TradingAccount, 3).owner_id = OTHER
    stage.restart()
    stage.arm()
    assert (begin(stage, 1, 2), begin(stage, 1)) == (1, 2)
    return stage


def execute(stage: Stage, *accounts: int) -> int:
    """Order an entry on accounts of the first user; returns the command."""
    seen = [run.id for run in stage.ledger.runs.values() if run.state not in {"closed", "refused"}]
    payload = {"strategy_id": stage.strategy, "version": 1, "seen_run_ids": seen, "again": True}
    return stage.command("execute", payload | {"account_ids": list(accounts)})


def begin(stage: Stage, *accounts: int) -> int:
    """Open a run on accounts of the first user; returns its id."""
    before = set(stage.ledger.runs)
    execute(stage, *accounts)
    stage.until(lambda: set(stage.ledger.runs) - before)
    run_id = max(stage.ledger.runs)
    stage.until(lambda: stage.run(run_id).state == "open")
    return run_id


def give(stage: Stage, kind: str, payload: dict[str, Any], *, user: int = 1, role: str = "admin") -> tables.Command:
    """Let a user of a role give a command, as the ears of the engine bring it; returns what became of it."""
    now = stage.clock.now()
    with stage.database.write() as session:
        row = tables.Command(
            user_id=user, kind=kind, payload=payload, idempotency_key=f"given {next(_keys)}", created_at=now
        )
        session.add(row)
        session.flush()
        number = int(row.id or 0)
    stage.inbox.put(CommandArrived(number, user, kind, payload, now, None, "asha" if user == 1 else "ravi", role))
    stage.until(lambda: stage.answer(number).state != "pending")
    return stage.answer(number)


def halts(stage: Stage) -> dict[tuple[int, int | None], str]:
    """Who is halted now, and why, as it stands on disk."""
    with stage.database.read() as session:
        rows = session.exec(select(tables.RiskLimit)).all()
    return {(row.owner_id, row.account_id): row.reason for row in rows if row.halted_at is not None}


def flat(stage: Stage, account: int) -> bool:
    return not any(stage.broker(account).net.values())


# ── scopes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_account_leaves_every_run_and_the_others_go_on(family: Stage) -> None:
    answer = give(family, "halt", {"account_id": 1})
    assert answer.state == "done"
    assert "2 open runs are being closed on account 1; no entries there until re-armed" in answer.outcome["message"]
    family.until(lambda: flat(family, 1), 30)
    family.until(lambda: family.run(2).state == "closed", 30)  # it was on that account only
    family.play(3.0)
    assert family.broker(2).net[CALL] == -LOT
    assert family.run(1).state == "open"
    assert halts(family) == {(1, 1): "kill switch"}
    assert [plan.account_ids for plan in family.plans(1)] == [[1]]


def test_a_halted_account_is_skipped_and_the_other_enters(family: Stage) -> None:
    give(family, "halt", {"account_id": 1})
    family.until(lambda: flat(family, 1), 30)
    run = begin(family, 1, 2)
    rows = {row.account_id: row for row in family.ledger.accounts[run].values()}
    assert (rows[1].state, rows[2].state) == ("skipped", "entered")
    assert "kill switch" in rows[1].reason


def test_the_user_s_own_switch_leaves_other_users_alone(family: Stage) -> None:
    give(family, "halt", {}, user=OTHER, role="trader")
    family.play(3.0)
    assert halts(family) == {(OTHER, None): "kill switch"}
    assert {family.run(1).state, family.run(2).state} == {"open"}


def test_everyone_halts_and_takes_out_all_users(family: Stage) -> None:
    answer = give(family, "halt", {"everyone": True})
    assert "2 open runs are being closed for everyone" in answer.outcome["message"]
    family.until(lambda: {family.run(1).state, family.run(2).state} == {"closed"}, 30)
    assert halts(family) == {
        (1, None): "kill switch (everyone, by asha)",
        (OTHER, None): "kill switch (everyone, by asha)",
    }
    told = [event for event in family.events("kill_switch") if event.owner_id == OTHER]
    assert len(told) == 1
    give(family, "rearm", {"everyone": True})
    assert halts(family) == {}


@pytest.mark.parametrize("role", ["trader", "viewer", ""])
@pytest.mark.parametrize("kind", ["halt", "rearm"])
def test_only_an_admin_speaks_for_everyone_whatever_the_payload_says(family: Stage, kind: str, role: str) -> None:
    answer = give(family, kind, {"everyone": True, "role": "admin"}, user=OTHER, role=role)
    assert (answer.state, answer.outcome["message"]) == ("refused", "Only an admin may do this for everyone.")
    family.play(1.0)
    assert halts(family) == {}
    assert {family.run(1).state, family.run(2).state} == {"open"}


@pytest.mark.parametrize("kind", ["halt", "rearm"])
@pytest.mark.parametrize("account", [1, 99, "first"])
def test_another_user_s_account_is_refused(family: Stage, kind: str, account: object) -> None:
    answer = give(family, kind, {"account_id": account}, user=OTHER, role="trader")
    assert answer.state == "refused"
    assert halts(family) == {}
    assert family.plans(1) == []


# ── back ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_re_arming_the_user_tells_which_accounts_stay_halted(family: Stage) -> None:
    give(family, "halt", {"account_id": 2})
    give(family, "halt", {})
    family.until(lambda: {family.run(1).state, family.run(2).state} == {"closed"}, 30)
    answer = give(family, "rearm", {})
    assert "Still halted by themselves: account 2" in answer.outcome["message"]
    assert halts(family) == {(1, 2): "kill switch"}
    answer = give(family, "rearm", {"account_id": 2})
    assert answer.outcome["message"] == "Entries are allowed again on account 2."
    assert halts(family) == {}
    told = [(event.account_id, event.knew["halted_for"]) for event in family.events("rearmed")]
    assert told == [(None, "kill switch"), (2, "kill switch")]


def test_re_arming_an_account_under_a_user_s_halt_says_so(family: Stage) -> None:
    give(family, "halt", {"account_id": 2})
    give(family, "halt", {})
    answer = give(family, "rearm", {"account_id": 2})
    assert "All entries are still halted: kill switch" in answer.outcome["message"]
    command = execute(family, 1, 2)
    family.play(1.0)
    assert family.answer(command).state == "refused"


def test_a_kill_lasts_over_days_and_restarts_until_re_armed(family: Stage) -> None:
    give(family, "halt", {})
    family.until(lambda: {family.run(1).state, family.run(2).state} == {"closed"}, 30)
    family.clock.pause(5 * 86_400)
    family.restart()
    family.arm()
    command = execute(family, 1, 2)
    family.play(1.0)
    assert family.answer(command).state == "refused"
    give(family, "rearm", {})
    begin(family, 1, 2)


def test_a_limit_of_the_day_does_not_shorten_a_kill(family: Stage) -> None:
    give(family, "set_limits", {"account_id": 2, "max_loss": 10.0 * LOT})
    family.ledger.limits[1, 2] = replace(family.ledger.limits[1, 2], halted_at=family.clock.now(), reason="kill switch")
    family.price(CALL, 165.0)
    family.until(lambda: flat(family, 2), 30)
    limits = family.ledger.limits[1, 2]
    assert (limits.latched, limits.halted_until, limits.reason) == (("max_loss",), None, "kill switch")


def test_a_kill_in_the_same_pass_as_a_limit_of_the_day_makes_one_exit(family: Stage) -> None:
    give(family, "set_limits", {"max_loss": 10.0 * LOT})
    family.hands[1].broker.price[CALL] = family.hands[2].broker.price[CALL] = 165.0
    family.price(CALL, 165.0)
    family.command("halt")
    family.until(lambda: {family.run(1).state, family.run(2).state} == {"closed"}, 30)
    family.play(3.0)
    assert [plan.reason for plan in family.plans(1)] == ["kill_switch"]
    assert family.ledger.limits[1, None].halted_until is None


def test_a_restart_right_after_a_kill_of_one_account_goes_on_with_it(family: Stage) -> None:
    give(family, "halt", {"account_id": 1})
    family.restart()
    family.until(lambda: flat(family, 1), 30)
    family.play(5.0)
    bought = sum(row.quantity for row in family.broker(1).orders.values() if row.action == "BUY")
    assert bought == 4 * LOT
    assert family.broker(2).net[CALL] == -LOT
