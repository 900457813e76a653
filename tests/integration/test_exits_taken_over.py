"""A person takes an account of a run over: no rule sends anything there; the run ends when the books show it flat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.domain.instruments import Action
from tests.stage import CALL, LOT, PUT, Stage, fill_at_once, instrument, lose, take_change, take_only

LOSS = {"max_loss": 1_000.0}


def begin(tmp_path: Path, **options: object) -> tuple[Stage, int]:
    stage = Stage(tmp_path, **options)  # type: ignore[arg-type]
    return stage, stage.enter()


def take_over(stage: Stage, run: int, account: int = 1) -> tuple[str, str]:
    """Take over and return the command's state and words."""
    command = stage.command("take_over", {"run_id": run, "account_id": account})
    stage.step()
    answer = stage.answer(command)
    return str(answer.state), answer.outcome["message"]


def state(stage: Stage, run: int, account: int = 1) -> str:
    return str(stage.ledger.accounts[run][account].state)


def exits(stage: Stage, account: int = 1) -> int:
    return sum(order.purpose == "exit" for order in stage.hands[account].sent)


def by_hand(stage: Stage, account: int = 1) -> None:
    """The person closes everything at his broker."""
    for symbol, quantity in list(stage.broker(account).net.items()):
        side = Action.SELL if quantity > 0 else Action.BUY
        stage.broker(account).take(instrument(symbol), side, abs(quantity))


def rise(stage: Stage) -> None:
    """The market goes beyond the run's loss."""
    stage.price(CALL, 400.0)


def test_no_rule_sends_an_exit_where_a_person_took_over(tmp_path: Path) -> None:
    stage, run = begin(tmp_path, limits=LOSS)
    assert take_over(stage, run)[0] == "done"
    rise(stage)
    stage.play(10)
    assert exits(stage) == 0
    assert stage.broker().net == {CALL: -LOT, PUT: -LOT}
    assert stage.plans(run) == []
    stage.restart()
    stage.play(10)
    assert exits(stage) == 0
    assert state(stage, run) == "taken_over"


def test_what_the_person_closes_ends_the_run(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    take_over(stage, run)
    by_hand(stage)
    stage.until(lambda: stage.run(run).state == "closed", 30)
    assert exits(stage) == 0
    assert stage.broker().net == {}
    assert stage.run(run).profit_paise == 0


def test_other_accounts_of_the_run_are_taken_out_without_it(tmp_path: Path) -> None:
    stage, run = begin(tmp_path, accounts=2, limits=LOSS)
    take_over(stage, run, 2)
    rise(stage)
    stage.until(lambda: stage.broker(1).net == {}, 20)
    stage.play(5)
    assert stage.broker(2).net == {CALL: -LOT, PUT: -LOT}
    assert exits(stage, 2) == 0
    assert [plan.state for plan in stage.plans(run)] == ["done"]
    assert stage.run(run).state == "exiting"
    by_hand(stage, 2)
    stage.until(lambda: stage.run(run).state == "closed", 30)


def test_account_is_taken_out_of_an_exit_under_way_and_its_resting_orders_are_cancelled(tmp_path: Path) -> None:
    stage, run = begin(tmp_path, accounts=2)
    for hands in stage.hands.values():
        hands.usual, hands.modifies = take_only, take_change
    stage.close(run)
    stage.until(lambda: sum(order.state == "working" for order in stage.orders(run)) == 4)
    take_over(stage, run, 2)
    modified = len(stage.hands[2].modified)
    stage.play(10)
    assert [row.status for row in list(stage.broker(2).orders.values())[2:]] == ["cancelled"] * 2
    assert exits(stage, 2) == 2
    assert [row.status for row in list(stage.broker(1).orders.values())[2:]] == ["open"] * 2
    assert [plan.state for plan in stage.plans(run)] == ["active"]
    assert len(stage.hands[2].modified) == modified
    assert stage.hands[1].modified, "the other account's exit goes on"


def test_exit_of_this_account_alone_ends_as_taken_over(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change
    stage.close(run)
    stage.until(lambda: exits(stage) == 2)
    take_over(stage, run)
    assert [plan.state for plan in stage.plans(run)] == ["taken_over"]
    stage.play(5)
    by_hand(stage)
    stage.until(lambda: stage.run(run).state == "closed", 30)
    assert stage.broker().net == {}


def test_cancellation_is_asked_again_after_a_restart(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change
    stage.close(run)
    stage.until(lambda: sum(order.state == "working" for order in stage.orders(run)) == 2)
    stage.hands[1].silent.add("cancel")
    take_over(stage, run)
    stage.restart()
    stage.play(3)
    stage.hands[1].silent.discard("cancel")
    stage.play(10)
    assert [row.status for row in list(stage.broker().orders.values())[2:]] == ["cancelled"] * 2


@pytest.mark.parametrize("order", ["halt", "close_run"])
def test_order_of_a_person_takes_the_account_back(tmp_path: Path, order: str) -> None:
    stage, run = begin(tmp_path)
    take_over(stage, run)
    stage.play(3)
    stage.command(order, {"run_id": run})
    stage.until(lambda: stage.run(run).state == "closed", 30)
    assert stage.broker().net == {}
    assert exits(stage) == 2


@pytest.mark.parametrize("order", ["halt", "close_run"])
def test_account_taken_out_of_an_exit_is_taken_back_into_it(tmp_path: Path, order: str) -> None:
    stage, run = begin(tmp_path, accounts=2)
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change
    stage.hands[2].usual, stage.hands[2].modifies = take_only, take_change
    stage.close(run)
    stage.until(lambda: exits(stage, 1) == exits(stage, 2) == 2)
    take_over(stage, run, 2)
    stage.play(5)
    for hands in stage.hands.values():
        hands.usual = fill_at_once
    stage.command(order, {"run_id": run})
    stage.until(lambda: stage.broker(2).net == {}, 30)
    assert [plan.state for plan in stage.plans(run)] == ["active"]
    for orderid in list(stage.broker(1).orders)[2:]:
        stage.broker(1).fill(orderid, LOT)
    stage.until(lambda: stage.run(run).state == "closed", 30)
    assert stage.broker(1).net == {}


def test_order_in_doubt_is_named_and_what_it_fills_counts(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    stage.hands[1].usual = lose
    stage.close(run)
    stage.until(lambda: any(order.state == "unknown" for order in stage.orders(run)), 10)
    done, words = take_over(stage, run)
    assert done == "done"
    assert "2 orders are in doubt" in words
    # both had reached the broker after all
    for symbol in (CALL, PUT):
        stage.broker().take(instrument(symbol), Action.BUY, LOT)
    stage.until(lambda: stage.run(run).state == "closed", 30)
    assert stage.broker().net == {}


def test_who_took_over_is_recorded(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    take_over(stage, run)
    (event,) = stage.events("taken_over")
    assert (event.execution_id, event.account_id, event.knew["user_id"]) == (run, 1, 1)
    assert event.knew["held"] == {CALL: -LOT, PUT: -LOT}


def test_what_cannot_be_taken_over_is_refused_with_the_reason(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    assert take_over(stage, 99) == ("refused", "Run 99 is not open.")
    assert take_over(stage, run, 7) == ("refused", f"Run {run} has no account 7.")
    assert take_over(stage, run)[0] == "done"
    assert take_over(stage, run) == ("refused", f"account 1 of run {run} was taken over already.")
    by_hand(stage)
    stage.until(lambda: stage.run(run).state == "closed", 30)
    assert take_over(stage, run) == ("refused", f"Run {run} is not open.")


def test_account_that_is_flat_or_still_entering_is_refused(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2)
    stage.arm()
    stage.hands[2].usual = take_only
    stage.execute()
    stage.until(lambda: stage.ledger.accounts.get(1, {}) and state(stage, 1, 2) == "selling")
    assert "still entering" in take_over(stage, 1, 2)[1]
    for orderid in list(stage.broker(2).orders):
        stage.broker(2).fill(orderid, LOT)
    stage.hands[2].usual = fill_at_once
    stage.until(lambda: stage.run(1).state == "open")
    stage.command("close_run", {"run_id": 1, "account_ids": [2]})
    stage.until(lambda: state(stage, 1, 2) == "flat")
    assert "holds nothing" in take_over(stage, 1, 2)[1]


def test_somebody_elses_run_is_refused(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    stage.ledger.runs[run] = replace(stage.ledger.runs[run], owner_id=2)
    assert take_over(stage, run) == ("refused", f"Run {run} is not open.")
    assert state(stage, run) == "entered"


def told(stage: Stage, kind: str = "max_loss") -> list[tuple[str, bool]]:
    """Action of each event of a rule, and whether it says that nobody acts."""
    return [(event.action, "nobody acts" in event.message) for event in stage.events(kind)]


def test_rule_that_is_breached_where_a_person_has_all_accounts_is_told_once(tmp_path: Path) -> None:
    stage, run = begin(tmp_path, accounts=2, limits=LOSS)
    take_over(stage, run, 1)
    take_over(stage, run, 2)
    rise(stage)
    stage.play(10)
    assert told(stage) == [("alert_only", True)]
    event = stage.events("max_loss")[0]
    assert (event.execution_id, event.threshold_paise, event.value_paise) == (run, -100_000, -2 * 250 * LOT * 100)
    assert "reached" in event.message
    stage.restart()
    stage.play(10)
    assert len(told(stage)) == 1
    assert exits(stage, 1) == exits(stage, 2) == 0
    assert stage.run(run).latches == []


def test_account_that_is_given_back_is_taken_out_by_the_rule_that_was_told(tmp_path: Path) -> None:
    stage, run = begin(tmp_path, accounts=2, lots=2, limits=LOSS)
    take_over(stage, run, 1)
    take_over(stage, run, 2)
    rise(stage)
    stage.play(5)
    stage.command("close_run", {"run_id": run, "account_ids": [1], "leg_indexes": [1], "share": 50.0})
    stage.until(lambda: stage.broker(1).net == {}, 30)
    assert told(stage) == [("alert_only", True), ("close_all", False)]
    assert stage.broker(2).net == {CALL: -2 * LOT, PUT: -2 * LOT}
    assert exits(stage, 2) == 0


def test_rule_is_told_again_when_all_accounts_are_taken_over_anew(tmp_path: Path) -> None:
    stage, run = begin(tmp_path, lots=3, limits=LOSS)
    take_over(stage, run)
    rise(stage)
    stage.until(lambda: told(stage), 10)
    stage.price(CALL, 150.0)
    stage.play(5)
    stage.command("close_run", {"run_id": run, "share": 34.0})
    stage.until(lambda: stage.plans(run) and stage.plans(run)[-1].state == "done", 30)
    assert stage.broker().net == {CALL: -2 * LOT, PUT: -2 * LOT}
    take_over(stage, run)
    stage.play(5)
    assert len(told(stage)) == 1
    rise(stage)
    stage.play(10)
    assert told(stage) == [("alert_only", True)] * 2
    assert stage.broker().net == {CALL: -2 * LOT, PUT: -2 * LOT}


def test_rule_for_an_account_that_a_person_has_is_told_although_another_is_watched(tmp_path: Path) -> None:
    limits = LOSS | {"rules": {"max_loss": {"action": "close_partial", "account_ids": [2]}}}
    stage, run = begin(tmp_path, accounts=2, limits=limits)
    take_over(stage, run, 2)
    rise(stage)
    stage.play(10)
    assert told(stage) == [("alert_only", True)]
    assert exits(stage, 1) == exits(stage, 2) == 0


def test_account_that_is_out_already_makes_no_exit_where_a_person_has_the_rest(tmp_path: Path) -> None:
    stage, run = begin(tmp_path, accounts=2, limits=LOSS)
    stage.command("close_run", {"run_id": run, "account_ids": [1]})
    stage.until(lambda: state(stage, run, 1) == "flat", 30)
    take_over(stage, run, 2)
    rise(stage)
    stage.play(10)
    assert told(stage) == [("alert_only", True)]
    assert [plan.reason for plan in stage.plans(run)] == ["by_hand"]
    assert stage.run(run).state == "open"
