"""What pages are shown of orders and exits: evidence with its age, ledger and books, no view that blinds others."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from engine.broker.answers import Refused
from engine.domain.instruments import Action
from engine.services import showing_orders
from engine.services.ledger import Pass
from engine.services.showing import live_views
from engine.services.views import LiveView
from tests.stage import CALL, LOT, PUT, Stage, fill_in_silence, instrument, lose, take_only

OWNER = 1


def shown(stage: Stage) -> LiveView:
    return live_views(Pass(stage.ledger, stage.clock.now()), stage.world)[OWNER]


def fail(*_: object) -> None:
    raise RuntimeError("made to fail")


def leave(stage: Stage, run: int) -> None:
    """Ask for the exit, and let the core take it."""
    stage.close(run)
    stage.step()


def in_doubt(folder: Path) -> tuple[Stage, int]:
    """A straddle whose first exit order never reached the broker and has no answer for 3 s."""
    stage = Stage(folder)
    run = stage.enter()
    stage.play(1.0)
    stage.hands[1].placements = [lose]
    leave(stage, run)
    stage.until(lambda: shown(stage).unknown)
    return stage, run


def test_an_order_without_an_answer_for_3_s_is_shown_with_its_evidence_and_age(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(1.0)
    stage.hands[1].placements = [lose]
    leave(stage, run)
    stage.until(lambda: stage.hands[1].sent and not stage.hands[1].placements)
    sent = stage.clock.now()
    stage.until(lambda: shown(stage).unknown, 4.0)
    assert timedelta(seconds=2.5) < stage.clock.now() - sent < timedelta(seconds=4)
    (one,) = shown(stage).unknown
    assert (one.run_id, one.account, one.purpose, one.action) == (run, "account 1", "exit", "BUY")
    assert (one.quantity, one.filled_quantity, one.orderid, one.candidates) == (LOT, 0, None, [])
    stage.play(2.0)
    later = shown(stage).unknown[0]
    assert one.age_seconds is not None
    assert later.age_seconds == pytest.approx(one.age_seconds + 2.0, abs=0.2)
    assert later.state == "unknown"
    assert later.waits_for
    assert later.books_age_seconds is not None  # the books are read while it is in doubt
    assert later.books_age_seconds < 5
    assert later.order_id not in {order.order_id for order in shown(stage).working}
    assert [row.unknown_orders for row in shown(stage).runs] == [1]
    assert [row.unknown_orders for row in shown(stage).accounts] == [1]


def test_an_order_that_answers_within_3_s_is_never_shown_as_one_in_doubt(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.close(run)
    while stage.run(run).state != "closed":
        stage.step(0.1)
        assert shown(stage).unknown == []


def test_working_orders_are_shown_with_what_filled_and_not_those_that_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    assert shown(stage).working == []  # the entry filled
    stage.hands[1].placements = [take_only]
    leave(stage, run)
    stage.until(lambda: any(order.orderid for order in shown(stage).working))
    order = next(order for order in shown(stage).working if order.orderid)
    stage.broker(1).fill(str(order.orderid), 20)
    stage.until(lambda: any(one.filled_quantity == 20 for one in shown(stage).working), 3.0)
    order = next(one for one in shown(stage).working if one.filled_quantity == 20)
    assert (order.strategy, order.purpose, order.state, order.quantity) == ("Straddle", "exit", "working", LOT)
    assert order.average_price == stage.broker(1).price[order.symbol]


def test_an_exit_says_what_it_waits_for_and_what_its_orders_came_to(tmp_path: Path) -> None:
    stage, run = in_doubt(tmp_path)
    (exit_,) = shown(stage).runs[0].exits
    assert (exit_.account, exit_.reason, exit_.sent) == ("account 1", "by_hand", len(stage.hands[1].sent) - 2)
    assert exit_.waits_for.startswith("certainty about BUY 65 NIFTY")
    assert exit_.begun_at <= stage.clock.now()
    assert shown(stage).runs[0].id == run


def test_an_exit_whose_orders_are_refused_counts_them_and_says_why_it_waits(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].usual = lambda _hands, _order: Refused("RMS: frozen", 400)
    leave(stage, run)
    stage.until(lambda: any(one.failed >= 2 for one in shown(stage).runs[0].exits))
    (exit_,) = shown(stage).runs[0].exits
    assert (exit_.filled, exit_.sent) == (0, exit_.failed)
    assert "RMS: frozen" in exit_.waits_for
    assert stage.broker(1).net == {CALL: -LOT, PUT: -LOT}


def test_accounts_that_are_out_have_no_exit_lines_and_others_have(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2)
    run = stage.enter()
    stage.hands[2].usual = take_only
    leave(stage, run)
    stage.until(lambda: [one.account for one in shown(stage).runs[0].exits] == ["account 2"])
    (exit_,) = shown(stage).runs[0].exits
    assert exit_.waits_for.endswith("to fill at the broker")


def test_the_ledger_stands_beside_the_books_of_every_account(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2)
    stage.enter()
    stage.play(3.0)
    view = shown(stage)
    assert [(one.account, one.agrees) for one in view.truth] == [("account 1", True), ("account 2", True)]
    assert {(row.symbol, row.owned, row.net) for row in view.truth[0].rows} == {(CALL, -LOT, -LOT), (PUT, -LOT, -LOT)}
    stage.broker(2).take(instrument(CALL), Action.SELL, LOT)  # by hand, beside the run
    stage.until(lambda: any(row.outside for row in shown(stage).truth[1].rows), 15.0)
    row = next(row for row in shown(stage).truth[1].rows if row.symbol == CALL)
    assert (row.owned, row.net, row.outside) == (-LOT, -2 * LOT, -LOT)
    assert not any(row.outside for row in shown(stage).truth[0].rows)


def test_evidence_that_cannot_be_gathered_blinds_no_other_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, accounts=2)
    run = stage.enter()
    stage.play(1.0)
    for hands in stage.hands.values():
        hands.placements = [lose]
    leave(stage, run)
    stage.until(lambda: len({one.account_id for one in shown(stage).unknown}) == 2)
    real = showing_orders.evidence_of
    broken = shown(stage).unknown[0].order_id
    monkeypatch.setattr(
        showing_orders, "evidence_of", lambda c, w, order: fail() if order.id == broken else real(c, w, order)
    )
    view = shown(stage)
    by_id = {one.order_id: one for one in view.unknown}
    assert by_id[broken].waits_for == "its evidence, which cannot be shown (made to fail)"
    assert by_id[broken].symbol
    assert all(one.books_age_seconds is not None for order_id, one in by_id.items() if order_id != broken)
    assert len(by_id) >= 2
    assert [run.id for run in view.runs] == [run]


def test_a_comparison_that_cannot_be_made_blinds_no_other_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, accounts=2)
    stage.enter()
    stage.play(3.0)
    real = showing_orders.account_truth
    monkeypatch.setattr(
        showing_orders, "account_truth", lambda c, w, account: fail() if account.id == 1 else real(c, w, account)
    )
    first, second = shown(stage).truth
    assert (first.agrees, first.problem, first.rows) == (None, "the comparison cannot be made: made to fail", [])
    assert first.books_age_seconds is not None
    assert second.agrees is True


def test_orders_in_doubt_are_shown_although_the_list_of_declarable_ones_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, _run = in_doubt(tmp_path)
    before = [one.order_id for one in shown(stage).unknown]
    monkeypatch.setattr(showing_orders, "declarable", fail)
    assert [one.order_id for one in shown(stage).unknown] == before


def test_an_order_that_filled_in_silence_leaves_the_list_when_the_books_name_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(1.0)
    stage.hands[1].silent.add("books")
    stage.hands[1].placements = [fill_in_silence]
    leave(stage, run)
    stage.until(lambda: shown(stage).unknown, 30.0)
    stage.hands[1].silent.clear()
    stage.until(lambda: not shown(stage).unknown, 60.0)
    stage.until(lambda: stage.run(run).state == "closed", 60.0)
    assert stage.broker(1).net == {}


def test_an_account_in_quarantine_says_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    assert shown(stage).accounts[0].quarantine == ""
    stage.broker(1).mode = "live"
    stage.until(lambda: shown(stage).accounts[0].quarantine, 15.0)
    account = shown(stage).accounts[0]
    assert "live mode" in account.quarantine
    assert (account.armed, account.health) == (False, "refused")
