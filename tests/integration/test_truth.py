"""Ledger against books: what is shown when they agree, when they do not, and when nobody knows (RULES 6)."""

from __future__ import annotations

from pathlib import Path

from engine.domain.evidence import Instrument
from engine.domain.instruments import Action, Exchange, Product
from engine.services.ledger import Pass
from engine.services.truth import account_truth
from engine.services.views import AccountTruthView, TruthRowView
from tests.integration.test_core import crowd
from tests.stage import CALL, HEDGE, LOT, PUT, Stage, instrument, lose, take_only


def truth(stage: Stage, account: int = 1) -> AccountTruthView:
    return account_truth(Pass(stage.ledger, stage.clock.now()), stage.world, stage.world.accounts[account])


def row(stage: Stage, symbol: str) -> TruthRowView:
    return next(one for one in truth(stage).rows if one.symbol == symbol)


def test_run_and_broker_that_say_the_same_agree(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(3)
    shown = truth(stage)
    assert shown.agrees is True
    assert [one.symbol for one in shown.rows] == [CALL, PUT]
    assert row(stage, CALL) == TruthRowView(
        symbol=CALL, exchange="NFO", product="NRML", owned=-LOT, entitled=-LOT, net=-LOT, outside=0, pending=0,
        in_doubt=False, run_ids=[run],
    )  # fmt: skip
    assert shown.books_age_seconds is not None
    assert 0 <= shown.books_age_seconds < 3
    assert shown.problem == ""


def test_several_runs_are_added_up(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    first, second = stage.enter(), stage.enter(again=True)
    stage.play(3)
    assert (row(stage, CALL).owned, row(stage, CALL).run_ids) == (-2 * LOT, [first, second])
    assert truth(stage).agrees is True


def test_account_that_holds_nothing_agrees_with_nothing_to_show(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2)
    stage.arm()
    assert (truth(stage, 2).agrees, truth(stage, 2).rows) == (True, [])


def test_what_somebody_holds_by_hand_is_outside_and_no_disagreement(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    stage.broker().take(instrument(HEDGE), Action.BUY, 2 * LOT)
    stage.broker().take(instrument(CALL), Action.SELL, LOT)
    stage.play(3)
    assert (row(stage, HEDGE).owned, row(stage, HEDGE).outside, row(stage, HEDGE).run_ids) == (0, 2 * LOT, [])
    assert (row(stage, CALL).net, row(stage, CALL).outside, row(stage, CALL).entitled) == (-2 * LOT, -LOT, -LOT)
    assert truth(stage).agrees is True


def test_drift_that_is_not_charged_yet_is_a_disagreement(tmp_path: Path) -> None:
    """A position is gone without a trade: until two reads have shown it for 5 s, ledger and broker differ."""
    stage = Stage(tmp_path)
    stage.enter()
    stage.play(3)
    stage.broker().carried[instrument(CALL)] = LOT
    stage.until(lambda: stage.world.accounts[1].drift_since, 90, by=0.5)
    shown = truth(stage)
    assert shown.agrees is False
    assert (row(stage, CALL).owned, row(stage, CALL).entitled, row(stage, CALL).net) == (-LOT, 0, 0)
    stage.play(8)
    assert truth(stage).agrees is True


def test_position_book_that_trades_do_not_explain_leaves_it_open(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    stage.play(3)
    stage.broker().carried[instrument(CALL)] = LOT
    stage.play(5)
    shown = truth(stage)
    assert shown.agrees is None
    assert "disagree" in shown.problem


def test_order_in_doubt_leaves_its_row_open(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(3)
    stage.hands[1].usual = lose
    stage.close(run)
    stage.play(8)
    shown = row(stage, CALL)
    assert (shown.in_doubt, shown.outside, shown.pending) == (True, None, LOT)
    assert truth(stage).agrees is None


def test_working_exit_is_pending(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(3)
    stage.hands[1].usual = take_only
    stage.close(run)
    stage.until(lambda: all(one.pending == LOT and not one.in_doubt for one in truth(stage).rows))


def test_account_without_books_is_not_known(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.hands[1].silent.add("books")
    stage.play(3)
    shown = truth(stage)
    assert (shown.agrees, shown.books_at, shown.rows) == (None, None, [])
    assert shown.problem


def test_old_books_agree_with_nothing_and_show_their_age(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    stage.play(3)
    stage.hands[1].silent.add("books")
    stage.play(20, by=0.5)
    shown = truth(stage)
    assert shown.agrees is None
    assert shown.books_age_seconds is not None
    assert shown.books_age_seconds > 19
    assert row(stage, CALL).net == -LOT


def test_shares_of_earlier_days_count_to_the_net(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    share = Instrument("RELIANCE", Exchange.NSE, Product.CNC)
    stage.broker().price[share.symbol] = 1_300.0
    stage.broker().held[share] = 10
    stage.arm()
    stage.broker().take(share, Action.SELL, 4)
    stage.play(15)
    assert (row(stage, share.symbol).net, row(stage, share.symbol).outside) == (6, 6)


def test_hundreds_of_runs_on_several_accounts_are_added_up(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=4)
    run = stage.enter()
    crowd(stage, run, 300)
    stage.play(4)
    changes = Pass(stage.ledger, stage.clock.now())
    shown = [account_truth(changes, stage.world, account) for account in stage.world.accounts.values()]
    assert [(one.owned, one.net) for view in shown for one in view.rows] == [(-300 * LOT, -300 * LOT)] * 8
