"""What happens to runs when somebody trades beside them: charges, each trade once and at its price (RULES 6)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlmodel import col, select

from engine.domain.instruments import Action
from engine.services.ledger import Pass
from engine.store import tables
from tests.stage import CALL, LOT, PUT, Stage, instrument


def charges(stage: Stage, run: int, source: str = "charge") -> list[tuple[int, int, bool]]:
    """(signed quantity, value in paise, estimated) of what was booked without an order of ours."""
    with stage.database.read() as session:
        rows = session.exec(
            select(tables.Fill)
            .where(tables.Fill.execution_id == run, tables.Fill.source == source)
            .order_by(col(tables.Fill.id))
        ).all()
        return [(Action(row.action).sign * row.quantity, row.value_paise, row.estimated) for row in rows]


def by_hand(stage: Stage, action: Action, quantity: int, price: float, *, product: str = "NRML") -> str:
    """Somebody trades the call beside the desk."""
    stage.broker().price[CALL] = price
    return stage.broker().take(instrument(CALL, product), action, quantity)


def owned(stage: Stage, run: int, symbol: str = CALL) -> int:
    return sum(held.quantity for key, held in stage.ledger.holdings[run].items() if key.symbol == symbol)


def closed(stage: Stage, run: int) -> None:
    stage.until(lambda: stage.run(run).state == "closed", 60)


# ── prices of charges ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_partial_close_by_hand_is_charged_at_its_own_price(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=3)
    run = stage.enter()
    for count, price in enumerate((100.0, 110.0, 90.0), start=1):
        by_hand(stage, Action.BUY, LOT, price)
        stage.until(lambda wanted=count: len(charges(stage, run)) == wanted)
    assert charges(stage, run) == [(LOT, 650_000, False), (LOT, 715_000, False), (LOT, 585_000, False)]
    stage.close(run)
    closed(stage, run)
    assert stage.broker().net == {}


def test_restart_between_two_partial_closes_does_not_use_the_first_trade_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2)
    run = stage.enter()
    by_hand(stage, Action.BUY, LOT, 100.0)
    stage.until(lambda: len(charges(stage, run)) == 1)
    stage.restart()
    by_hand(stage, Action.BUY, LOT, 110.0)
    stage.until(lambda: len(charges(stage, run)) == 2)
    assert charges(stage, run) == [(LOT, 650_000, False), (LOT, 715_000, False)]


def test_round_trip_by_hand_does_not_price_a_later_charge(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    by_hand(stage, Action.SELL, LOT, 160.0)
    stage.play(3)
    by_hand(stage, Action.BUY, LOT, 140.0)
    stage.play(3)
    assert charges(stage, run) == []
    by_hand(stage, Action.BUY, LOT, 120.0)
    stage.until(lambda: charges(stage, run))
    assert charges(stage, run) == [(LOT, 780_000, False)]


def test_one_trade_that_closes_two_runs_is_shared_out_to_the_paisa(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    first, second = stage.enter(), stage.enter(again=True)
    by_hand(stage, Action.BUY, 2 * LOT, 100.05)
    stage.until(lambda: charges(stage, first) and charges(stage, second))
    assert charges(stage, first) == charges(stage, second) == [(LOT, 650_325, False)]


def test_newest_run_is_charged_first_and_the_older_one_exits_what_is_left(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    old, new = stage.enter(), stage.enter(again=True)
    by_hand(stage, Action.BUY, LOT, 100.0)
    stage.until(lambda: charges(stage, new))
    assert charges(stage, old) == []
    stage.close(old)
    closed(stage, old)
    assert stage.broker().net == {PUT: -LOT}
    stage.close(new)
    closed(stage, new)
    assert stage.broker().net == {}


def test_what_is_closed_beyond_the_run_stays_outside(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    by_hand(stage, Action.BUY, 2 * LOT, 100.0)
    stage.until(lambda: charges(stage, run))
    assert charges(stage, run) == [(LOT, 650_000, False)]
    stage.close(run)
    closed(stage, run)
    assert stage.broker().net == {CALL: LOT}


def test_trades_that_explain_a_part_are_charged_at_once_and_the_rest_after_two_reads(tmp_path: Path) -> None:
    """A part of the position is gone without a trade since the last read of yesterday, another part by a trade."""
    stage = Stage(tmp_path, venue="live", lots=2)
    run = stage.enter()
    over_night(stage)
    stage.broker().carried[instrument(CALL)] = -LOT
    by_hand(stage, Action.BUY, LOT, 100.0)
    stage.until(lambda: charges(stage, run), 90)  # what is lost over night is believed after 60 s in session
    assert charges(stage, run) == [(LOT, 650_000, False)]
    stage.price(CALL, 130.0)
    stage.play(4)
    assert len(charges(stage, run)) == 1
    stage.play(4)
    assert charges(stage, run)[1:] == [(LOT, 845_000, True)]


def test_drift_without_trades_is_charged_only_after_two_reads_in_session(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live")
    run = stage.enter()
    over_night(stage, hours=44)  # half past six in the morning: before the session
    stage.broker().carried[instrument(CALL)] = 0
    stage.play(30, by=0.5)
    assert charges(stage, run) == []
    stage.clock.seconds += 3 * 3600
    stage.price(CALL, 130.0)
    stage.until(lambda: stage.world.accounts[1].drift_since, 90)
    stage.play(4.5)
    assert charges(stage, run) == []
    stage.play(3)
    assert charges(stage, run) == [(LOT, 845_000, True)]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_traded_by_hand_each_closing_trade_is_charged_once_at_its_price(tmp_path: Path, seed: int) -> None:
    """Closes in parts, round trips beside the run and restarts, in any order."""
    chance = random.Random(seed)
    stage = Stage(tmp_path, lots=6)
    run = stage.enter()
    left, value = 6, 0
    while left:
        price = chance.randint(1_600, 3_000) / 20
        match chance.choice(("close", "trip", "restart")):
            case "close":
                lots = chance.randint(1, left)
                by_hand(stage, Action.BUY, lots * LOT, price)
                left, value = left - lots, value + round(price * 100) * lots * LOT
            case "trip":
                by_hand(stage, Action.SELL, 2 * LOT, price)
                stage.play(chance.choice((0.1, 3.0)))
                by_hand(stage, Action.BUY, 2 * LOT, price - 5)
            case _:
                stage.restart()
                stage.arm()
        stage.play(3)
        assert owned(stage, run) == -left * LOT
    booked = charges(stage, run)
    assert sum(quantity for quantity, _, _ in booked) == 6 * LOT
    assert sum(paise for _, paise, _ in booked) == value
    assert not any(estimated for _, _, estimated in booked)


def test_books_that_are_taken_twice_charge_once(tmp_path: Path) -> None:
    """The pass that would have booked the charge fails; its books come again."""
    stage = Stage(tmp_path)
    run = stage.enter()
    by_hand(stage, Action.BUY, LOT, 100.0)
    failed: list[bool] = []

    def once(changes: Pass) -> Exception | None:
        if changes.charges and not failed:
            failed.append(True)
            return RuntimeError("the commit failed")
        return None

    stage.journal.breaks = once
    stage.until(lambda: charges(stage, run))
    stage.play(3)
    assert failed
    assert charges(stage, run) == [(LOT, 650_000, False)]


def test_order_that_the_server_sent_twice_is_told_once_and_never_exited(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    by_hand(stage, Action.SELL, LOT, 150.0)
    stage.play(10)
    stage.restart()
    stage.play(10)
    told = [event for event in stage.events("drift") if "no run owns" in event.message]
    assert [event.knew["outside"] for event in told] == [-LOT]
    stage.close(run)
    closed(stage, run)
    assert stage.broker().net == {CALL: -LOT}


def test_outside_position_against_a_leg_is_told_when_the_run_enters(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.broker().carried[instrument(CALL)] = LOT
    stage.broker().carried[instrument(PUT)] = -LOT
    run = stage.enter()
    told = [event for event in stage.events("drift") if "outside this desk, against" in event.message]
    assert [(event.knew["outside"], event.account_id) for event in told] == [(LOT, 1)]
    stage.until(lambda: owned(stage, run) == 0)  # as RULES 6 has it: the net knows no owners
    stage.close(run)
    closed(stage, run)
    assert stage.broker().net == {PUT: -LOT}


def over_night(stage: Stage, *, hours: float = 48) -> None:
    """The next trading day (the 24th is a holiday): positions are carried, orders and trades are gone."""
    stage.play(3)
    broker = stage.broker()
    broker.carried, broker.orders, broker.trades = broker.positions(), {}, []
    stage.clock.seconds += hours * 3600
