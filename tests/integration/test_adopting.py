"""What stands outside: adopted by a person into a run, and shares of earlier days, which count as well (RULES 6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.domain.evidence import Instrument
from engine.domain.instruments import Action, Exchange, Key, Product
from engine.domain.runs import Charge
from engine.services.ledger import Pass
from tests.integration.test_drift import charges, closed, over_night, owned
from tests.stage import CALL, HEDGE, LOT, PUT, Stage, instrument, take_only

SHARE = Instrument("RELIANCE", Exchange.NSE, Product.CNC)


def adopt(stage: Stage, run: int, **changed: Any) -> tuple[str, str]:
    """Adopt a sold call; returns state and words of the answer."""
    payload = {
        "run_id": run, "account_id": 1, "symbol": CALL, "exchange": "NFO", "product": "NRML", "quantity": -LOT,
        "price": 140.0,
    }  # fmt: skip
    number = stage.command("adopt", payload | changed)
    stage.until(lambda: stage.answer(number).state != "pending")
    answer = stage.answer(number)
    return str(answer.state), str(answer.outcome["message"])


# ── adoption ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_adopted_quantity_leaves_with_the_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.broker().take(instrument(CALL), Action.SELL, 2 * LOT)
    stage.play(3)
    assert adopt(stage, run)[0] == "done"
    assert owned(stage, run) == -2 * LOT
    assert charges(stage, run, "adopted") == [(-LOT, 910_000, False)]
    assert [event.knew["price"] for event in stage.events("adopted")] == [140.0]
    stage.close(run)
    closed(stage, run)
    assert stage.broker().net == {CALL: -LOT}  # what was not adopted stays


def test_adopted_quantity_is_the_runs_after_a_restart_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.broker().take(instrument(CALL), Action.SELL, LOT)
    stage.play(3)
    assert adopt(stage, run)[0] == "done"
    stage.restart()
    stage.arm()
    stage.broker().price[CALL] = 130.0
    stage.broker().take(instrument(CALL), Action.BUY, LOT)
    stage.until(lambda: charges(stage, run))
    assert charges(stage, run) == [(LOT, 845_000, False)]
    stage.close(run)
    closed(stage, run)
    assert stage.broker().net == {}
    assert stage.run(run).profit_paise == (150 + 140 - 130 - 130) * LOT * 100


def test_same_quantity_is_adopted_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.broker().take(instrument(CALL), Action.SELL, LOT)
    stage.play(3)
    assert adopt(stage, run)[0] == "done"
    stage.play(3)
    state, words = adopt(stage, run)
    assert (state, owned(stage, run)) == ("refused", -2 * LOT)
    assert "holds nothing" in words


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"run_id": 7}, "Run 7 is not open"),
        ({"account_id": 2}, "no active account 2"),
        ({"quantity": -2 * LOT}, "holds -65"),
        ({"quantity": LOT}, "of the other sign would close it"),
        ({"quantity": 0}, "nothing to adopt"),
        ({"price": 0.0}, "above ₹ 0"),
        ({"price": float("inf")}, "above ₹ 0"),
        ({"product": "MIS"}, "holds nothing"),
        ({"product": "SPOT"}, "SPOT is no product"),
        ({"exchange": "MOON"}, "MOON is no exchange"),
        ({"symbol": PUT}, "holds nothing"),
        ({"symbol": HEDGE}, "no contract of run 1"),
        ({"quantity": "all"}, "makes no sense"),
    ],
)
def test_adoption_that_does_not_fit_is_refused_with_the_reason(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.broker().take(instrument(CALL), Action.SELL, LOT)
    stage.broker().take(instrument(HEDGE), Action.SELL, LOT)
    stage.play(3)
    state, said = adopt(stage, run, **changed)
    assert state == "refused"
    assert words in said
    assert owned(stage, run) == -LOT


def test_run_that_leaves_adopts_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.broker().take(instrument(CALL), Action.SELL, LOT)
    stage.play(3)
    stage.hands[1].usual = take_only
    stage.close(run)
    stage.play(1)
    assert "leaving" in adopt(stage, run)[1]


def test_nothing_is_adopted_while_the_books_cannot_be_read(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.broker().take(instrument(CALL), Action.SELL, LOT)
    stage.play(3)
    stage.hands[1].silent.add("books")
    stage.play(20, by=0.5)
    assert "no valid books" in adopt(stage, run)[1]


# ── shares of earlier days ────────────────────────────────────────────────────────────────────────────────────────────


def own(stage: Stage, run: int, quantity: int) -> None:
    """Give the run shares that the account holds, as an adoption would if entries could buy them."""
    changes = Pass(stage.ledger, stage.clock.now())
    changes.put_charge(
        Charge(
            id=next(stage.ledger.counters.fill),
            execution_id=run,
            key=Key(1, *SHARE),
            action=Action.BUY,
            quantity=quantity,
            value_paise=quantity * 130_000,
            estimated=False,
            at=changes.now,
            source="adopted",
        )
    )
    stage.journal.commit(changes, renewed_boot=None)
    changes.become_memory()


def test_shares_that_became_a_holding_over_night_are_still_the_runs(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live")
    run = stage.enter()
    broker = stage.broker()
    broker.price[SHARE.symbol] = 1_300.0
    broker.take(SHARE, Action.BUY, 10)
    own(stage, run, 10)
    over_night(stage)
    del broker.carried[SHARE]
    broker.held[SHARE] = 10
    stage.play(2)
    stage.inbox.price(stage.market, (SHARE.symbol, SHARE.exchange), 1_310.0, stage.clock.now())
    stage.play(15)
    assert owned(stage, run, SHARE.symbol) == 10
    assert charges(stage, run) == []


def test_holding_sold_by_hand_is_charged_although_the_holding_stays_for_the_day(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live")
    run = stage.enter()
    broker = stage.broker()
    broker.price[SHARE.symbol] = 1_300.0
    broker.held[SHARE] = 10
    own(stage, run, 10)
    stage.play(10)
    assert charges(stage, run) == []
    broker.price[SHARE.symbol] = 1_400.0
    broker.take(SHARE, Action.SELL, 4)
    stage.until(lambda: charges(stage, run))
    assert charges(stage, run) == [(-4, 560_000, False)]
    assert owned(stage, run, SHARE.symbol) == 6


def test_shares_of_the_family_beside_the_runs_are_outside(tmp_path: Path) -> None:
    """100 shares were there before: selling 4 of them closes nothing of the run."""
    stage = Stage(tmp_path, venue="live")
    run = stage.enter()
    broker = stage.broker()
    broker.price[SHARE.symbol] = 1_300.0
    broker.held[SHARE] = 110
    own(stage, run, 10)
    stage.play(5)
    broker.take(SHARE, Action.SELL, 4)
    stage.play(10)
    assert charges(stage, run) == []
    assert stage.world.accounts[1].outside[SHARE] == 96
