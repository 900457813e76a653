"""A position that its broker moved to another product, without a trade: the run's quantity goes along (RULES 5, 6)."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlmodel import select

from engine.domain.evidence import Instrument
from engine.domain.instruments import Action
from engine.store import tables
from tests.integration.test_drift import by_hand, charges, closed, over_night
from tests.stage import CALL, LOT, PUT, Stage, fill_at_once, instrument, take_change, take_only


def convert(stage: Stage, quantity: int, *, to: str = "MIS", symbol: str = CALL) -> None:
    """The broker moves a position from NRML to another product; there is no trade."""
    carried = stage.broker().carried
    carried[instrument(symbol)] = carried.get(instrument(symbol), 0) - quantity
    carried[instrument(symbol, to)] = carried.get(instrument(symbol, to), 0) + quantity


def products(stage: Stage, run: int, symbol: str = CALL) -> dict[str, int]:
    return {
        str(key.product): held.quantity
        for key, held in stage.ledger.holdings[run].items()
        if key.symbol == symbol and held.quantity
    }


def test_converted_position_is_left_under_the_product_that_the_broker_holds(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(2)
    convert(stage, -LOT)
    stage.until(lambda: products(stage, run) == {"MIS": -LOT}, 90, by=0.5)
    assert charges(stage, run) == []
    assert charges(stage, run, "conversion") == [(LOT, 975_000, False), (-LOT, 975_000, False)]
    assert any("converted from NRML to MIS" in event.message for event in stage.events("drift"))
    stage.close(run)
    closed(stage, run)
    assert stage.broker().net == {}
    assert [order.product for order in stage.orders(run) if order.purpose == "exit" and order.symbol == CALL] == ["MIS"]
    assert all(not quantity for quantity in stage.broker().positions().values())


def test_converted_position_stays_its_leg(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(2)
    convert(stage, -LOT, symbol=PUT)
    stage.until(lambda: products(stage, run, PUT) == {"MIS": -LOT}, 90, by=0.5)
    stage.close(run)
    closed(stage, run)
    assert {order.leg_index for order in stage.orders(run) if order.symbol == PUT} == {2}
    with stage.database.read() as session:
        rows = session.exec(select(tables.Position).where(tables.Position.symbol == PUT)).all()
    assert {(row.product, row.leg_index) for row in rows} == {("NRML", 2), ("MIS", 2)}


def test_conversion_changes_no_profit(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(2)
    convert(stage, -LOT)
    stage.until(lambda: products(stage, run) == {"MIS": -LOT}, 90, by=0.5)
    held = [one for key, one in stage.ledger.holdings[run].items() if key.symbol == CALL]
    assert sum(one.realised_paise for one in held) == 0
    assert sum(one.open_value_paise for one in held) == -975_000
    stage.price(CALL, 100.0)
    stage.close(run)
    closed(stage, run)
    assert stage.run(run).profit_paise == 50 * LOT * 100


def test_conversion_over_night_is_seen_in_the_morning(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live")
    run = stage.enter()
    over_night(stage)
    convert(stage, -LOT)
    stage.until(lambda: products(stage, run) == {"MIS": -LOT}, 90)
    assert charges(stage, run) == []


@pytest.mark.parametrize("after", [0.5, 2.0, 10.0, 50.0])
def test_exit_ordered_during_a_conversion_goes_under_the_new_product_only(tmp_path: Path, after: float) -> None:
    """Under the old one it would open a position on the other side."""
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(3)
    convert(stage, -LOT)
    stage.until(lambda: stage.world.accounts[1].books_problem)
    stage.play(after)
    stage.close(run)
    stage.until(lambda: stage.broker().net.get(PUT, 0) == 0, 10)  # the other leg does not wait for it
    stage.until(lambda: stage.run(run).state == "closed", 120)
    assert [(o.product, o.state) for o in stage.orders(run) if o.purpose == "exit" and o.symbol == CALL] == [
        ("MIS", "filled")
    ]
    assert all(not quantity for quantity in stage.broker().positions().values())


def test_partial_conversion_moves_the_newest_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    old, new = stage.enter(), stage.enter(again=True)
    stage.play(2)
    convert(stage, -LOT)
    stage.until(lambda: products(stage, new) == {"MIS": -LOT}, 90, by=0.5)
    assert products(stage, old) == {"NRML": -LOT}
    for run in (old, new):
        stage.close(run)
        closed(stage, run)
    assert all(not quantity for quantity in stage.broker().positions().values())


def test_quantity_that_another_product_does_not_explain_whole_is_no_conversion(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2)
    run = stage.enter()
    stage.play(2)
    convert(stage, -LOT)
    stage.broker().carried[instrument(CALL)] += LOT  # and another lot is gone, nobody knows how
    stage.until(lambda: charges(stage, run), 90, by=0.5)
    assert charges(stage, run, "conversion") == []
    assert [quantity for quantity, _, estimated in charges(stage, run) if estimated] == [2 * LOT]


def test_outside_position_in_another_product_is_not_taken_for_a_conversion(tmp_path: Path) -> None:
    """The quantity under MIS was there before: what is gone under NRML did not go there."""
    stage = Stage(tmp_path)
    stage.broker().carried[instrument(CALL, "MIS")] = -LOT
    run = stage.enter()
    stage.play(3)
    stage.broker().carried[instrument(CALL)] = LOT
    stage.until(lambda: charges(stage, run), 90, by=0.5)
    assert charges(stage, run, "conversion") == []
    assert charges(stage, run)[0][0] == LOT


def test_quantity_that_somebody_trades_under_another_product_is_not_taken_for_a_conversion(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(2)
    stage.broker().carried[instrument(CALL)] = LOT
    by_hand(stage, Action.SELL, LOT, 150.0, product="MIS")
    stage.until(lambda: charges(stage, run), 90, by=0.5)
    assert charges(stage, run, "conversion") == []
    assert stage.broker().net == {CALL: -LOT, PUT: -LOT}


def test_conversion_while_the_engine_was_down_is_told_from_what_stood_outside_before(tmp_path: Path) -> None:
    """Somebody holds the same under MIS as well: only what came to it was converted."""
    stage = Stage(tmp_path)
    stage.broker().carried[instrument(CALL, "MIS")] = -LOT
    run = stage.enter()
    stage.play(5)
    convert(stage, -LOT)
    stage.restart()
    stage.until(lambda: products(stage, run) == {"MIS": -LOT}, 120, by=0.5)
    assert charges(stage, run) == []
    stage.close(run)
    closed(stage, run)
    assert {one: quantity for one, quantity in stage.broker().positions().items() if quantity} == {
        instrument(CALL, "MIS"): -LOT
    }


@pytest.mark.parametrize("seconds", [1, 30, 59, 61, 62, 63, 64])
def test_restart_in_the_middle_of_a_conversion_does_not_lose_it(tmp_path: Path, seconds: int) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.play(2)
    convert(stage, -LOT)
    stage.play(seconds, by=0.25)
    stage.restart()
    stage.until(lambda: products(stage, run) == {"MIS": -LOT}, 120, by=0.5)
    stage.play(10, by=0.5)
    assert charges(stage, run) == []
    assert products(stage, run) == {"MIS": -LOT}


def held(stage: Stage) -> dict[Instrument, int]:
    """Open quantity at the broker."""
    return {one: quantity for one, quantity in stage.broker().positions().items() if quantity}


def share_resting(tmp_path: Path, *, lots: int, share: float) -> tuple[Stage, int]:
    """An exit of a share under way, whose orders rest."""
    stage = Stage(tmp_path, lots=lots)
    run = stage.enter()
    stage.play(2)
    stage.hands[1].usual, stage.hands[1].modifies = take_only, take_change
    stage.command("close_run", {"run_id": run, "share": share})
    stage.until(lambda: [order.state for order in stage.orders(run) if order.purpose == "exit"] == ["working"] * 2)
    return stage, run


def goes_on(stage: Stage, run: int) -> None:
    """What rests fills, and so does all that follows; the exit ends."""
    stage.hands[1].usual = fill_at_once
    for row in list(stage.broker().orders.values()):
        if row.status == "open":
            stage.broker().fill(row.orderid, row.quantity)
    stage.until(lambda: [plan.state for plan in stage.plans(run)] == ["done"], 60)


@pytest.mark.parametrize("restart", [False, True])
def test_conversion_of_what_stays_during_an_exit_of_a_share_keeps_no_more(tmp_path: Path, restart: bool) -> None:
    """Two of three lots leave; the third is converted: it stays under its new product, and the others leave."""
    stage, run = share_resting(tmp_path, lots=3, share=60.0)
    convert(stage, -LOT)
    stage.until(lambda: products(stage, run) == {"NRML": -2 * LOT, "MIS": -LOT}, 90, by=0.5)
    if restart:
        stage.restart()
        stage.arm()
    goes_on(stage, run)
    assert held(stage) == {instrument(CALL, "MIS"): -LOT, instrument(PUT): -LOT}
    assert [order.state for order in stage.orders(run) if order.purpose == "exit"] == ["filled"] * 2
    stage.close(run)
    closed(stage, run)
    assert all(not quantity for quantity in stage.broker().positions().values())


def test_conversion_of_more_than_stays_takes_the_rest_out_under_the_new_product(tmp_path: Path) -> None:
    stage, run = share_resting(tmp_path, lots=3, share=60.0)
    convert(stage, -2 * LOT)
    stage.until(lambda: products(stage, run) == {"NRML": -LOT, "MIS": -2 * LOT}, 90, by=0.5)
    first = next(order.id for order in stage.orders(run) if order.purpose == "exit" and order.symbol == CALL)
    stage.until(lambda: stage.ledger.orders[run][first].state == "cancelled", 10)
    goes_on(stage, run)
    assert held(stage) == {instrument(CALL, "MIS"): -LOT, instrument(PUT): -LOT}


def test_conversion_of_less_than_stays_leaves_the_rest_of_it_under_the_old_product(tmp_path: Path) -> None:
    stage, run = share_resting(tmp_path, lots=3, share=20.0)
    convert(stage, -LOT)
    stage.until(lambda: products(stage, run) == {"NRML": -2 * LOT, "MIS": -LOT}, 90, by=0.5)
    goes_on(stage, run)
    assert held(stage) == {instrument(CALL): -LOT, instrument(CALL, "MIS"): -LOT, instrument(PUT): -2 * LOT}


def test_share_of_what_stands_under_two_products_is_taken_of_each(tmp_path: Path) -> None:
    """What stays under one product is nothing that another keeps."""
    stage = Stage(tmp_path, lots=5)
    run = stage.enter()
    stage.play(2)
    convert(stage, -LOT)
    stage.until(lambda: products(stage, run) == {"NRML": -4 * LOT, "MIS": -LOT}, 90, by=0.5)
    stage.command("close_run", {"run_id": run, "share": 50.0})
    stage.until(lambda: [plan.state for plan in stage.plans(run)] == ["done"], 60)
    assert held(stage) == {instrument(CALL): -2 * LOT, instrument(PUT): -2 * LOT}
