"""Runs that leave together: opposite quantities are crossed inside, the market sees only the rest (RULES 6)."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlmodel import col, select

from engine.broker.answers import Placed
from engine.domain.instruments import Action
from engine.domain.orders import Order
from engine.services.drafts import LegDraft, StrategyDraft
from engine.services.identity import Caller
from engine.services.strategies import save_strategy
from engine.store import tables
from tests.stage import BEGIN, CALL, LOT, FakeHands, Stage, fill_at_once, instrument, take_only

SHORT = (("SELL", "CE", "atm", 0.0),)


def begin(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path, legs=SHORT)
    stage.arm()
    return stage


def enter(stage: Stage, lots: int) -> int:
    """Open a run of its own that is long (above 0) or short so many lots of the call; returns its id."""
    run = start(stage, lots)
    stage.until(lambda: stage.run(run).state == "open")
    return run


def start(stage: Stage, lots: int) -> int:
    """Begin such a run."""
    draft = StrategyDraft(
        name=f"Call {lots} {len(stage.ledger.runs)}",
        product="NRML",
        account_ids=[1],
        fixed_lots=abs(lots),
        legs=[
            LegDraft(
                underlying="NIFTY",
                action="BUY" if lots > 0 else "SELL",
                instrument_type="CE",
                expiry_choice="next_week",
                strike_kind="atm",
            )
        ],
    )
    strategy = save_strategy(stage.database, Caller(1, "asha", tables.Role.ADMIN), draft, now=BEGIN).id
    payload = {"strategy_id": strategy, "version": 1, "seen_run_ids": [], "again": False, "account_ids": None}
    before = set(stage.ledger.runs)
    stage.command("execute", payload)
    stage.until(lambda: set(stage.ledger.runs) - before)
    return max(stage.ledger.runs)


def kill(stage: Stage) -> None:
    stage.command("halt")


def all_closed(stage: Stage, *runs: int) -> None:
    stage.until(lambda: all(stage.run(run).state == "closed" for run in runs), 60)


def crossings(stage: Stage) -> list[tables.Fill]:
    with stage.database.read() as session:
        rows = session.exec(
            select(tables.Fill).where(tables.Fill.source == "crossing").order_by(col(tables.Fill.id))
        ).all()
        return list(rows)


def sent_after(stage: Stage, before: int) -> list[int]:
    """Signed quantities of the orders that the broker got since."""
    return [row.action.sign * row.quantity for row in list(stage.broker().orders.values())[before:]]


@pytest.mark.parametrize(
    ("lots", "outside", "sent", "left"),
    [
        ((1, -1), 0, [], 0),  # A +65, B −65, N 0
        ((1, -2), 0, [LOT], 0),  # one order for −ΣE
        ((3, -1), 0, [-2 * LOT], 0),
        ((1, 1, -2), 0, [], 0),
        ((2, 1, -1), 0, [-LOT, -LOT], 0),  # which run sends is by what is left of its own
        ((1, -1), 1, [-LOT], 0),  # what came from outside closed B: A sells its own
    ],
)
def test_vectors_of_the_rules(tmp_path: Path, lots: tuple[int, ...], outside: int, sent: list[int], left: int) -> None:
    stage = begin(tmp_path)
    if outside:
        stage.broker().take(instrument(CALL), Action.BUY, outside * LOT)
        stage.play(3)
    runs = [enter(stage, count) for count in lots]
    before = len(stage.broker().orders)
    stage.play(3)
    kill(stage)
    all_closed(stage, *runs)
    assert sorted(sent_after(stage, before)) == sorted(sent)
    assert stage.broker().net.get(CALL, 0) == left


def test_both_sides_are_booked_at_one_price_to_the_paisa(tmp_path: Path) -> None:
    stage = begin(tmp_path)
    runs = [enter(stage, 1), enter(stage, 2), enter(stage, -3)]
    for tick in (151.3, 152.35):
        stage.price(CALL, tick)
        stage.play(2)
    kill(stage)
    all_closed(stage, *runs)
    booked = crossings(stage)
    assert [(row.execution_id, row.action, row.quantity) for row in booked] == [
        (runs[0], "SELL", LOT),
        (runs[1], "SELL", 2 * LOT),
        (runs[2], "BUY", 3 * LOT),
    ]
    assert sum((1 if row.action == "BUY" else -1) * row.value_paise for row in booked) == 0
    assert {row.value_paise / row.quantity for row in booked} == {15235.0}
    profits = [stage.run(run).profit_paise for run in runs]
    assert profits == [235 * LOT, 470 * LOT, -705 * LOT]


def test_middle_of_the_touch_counts_where_no_price_is_confirmed(tmp_path: Path) -> None:
    stage = begin(tmp_path)
    runs = [enter(stage, 1), enter(stage, -1)]
    before = len(stage.broker().orders)
    stage.quiet_market()
    stage.play(70)
    stage.world.prices.touch(stage.market, (CALL, instrument(CALL).exchange), 100.0, 100.15, stage.clock.now())
    kill(stage)
    all_closed(stage, *runs)
    assert sent_after(stage, before) == []
    assert {row.value_paise for row in crossings(stage)} == {10008 * LOT}  # 100.075, to the paisa


def test_without_a_price_the_exits_go_by_themselves(tmp_path: Path) -> None:
    stage = begin(tmp_path)
    runs = [enter(stage, 1), enter(stage, -1)]
    before = len(stage.broker().orders)
    stage.quiet_market()
    stage.play(70)
    kill(stage)
    all_closed(stage, *runs)
    assert sorted(sent_after(stage, before)) == [-LOT, LOT]
    assert crossings(stage) == []
    assert stage.broker().net == {}


def test_runs_closed_one_by_one_are_not_crossed(tmp_path: Path) -> None:
    stage = begin(tmp_path)
    runs = [enter(stage, 1), enter(stage, -1)]
    before = len(stage.broker().orders)
    for run in runs:
        stage.close(run)
    all_closed(stage, *runs)
    assert sorted(sent_after(stage, before)) == [-LOT, LOT]
    assert crossings(stage) == []


def test_run_leaving_for_a_reason_of_its_own_is_not_crossed(tmp_path: Path) -> None:
    stage = begin(tmp_path)
    runs = [enter(stage, 1), enter(stage, -1)]
    stage.hands[1].placements = [take_only]
    stage.close(runs[0])
    stage.until(lambda: len(stage.broker().orders) == 3)
    stage.hands[1].usual = fill_at_once
    kill(stage)
    all_closed(stage, *runs)
    assert crossings(stage) == []
    assert len(stage.broker().orders) == 4
    assert stage.broker().net == {}


def test_run_with_an_order_at_the_broker_is_not_crossed(tmp_path: Path) -> None:
    stage = begin(tmp_path)
    short = enter(stage, -1)
    before = len(stage.broker().orders)

    def half(hands: FakeHands, order: Order) -> Placed:
        return Placed(hands.broker.take(instrument(order.symbol), order.action, order.quantity, fills=LOT))

    stage.hands[1].placements = [half]
    stage.hands[1].silent.add("cancel")
    long = start(stage, 2)
    stage.until(lambda: any(order.filled_quantity for order in stage.orders(long)))
    stage.hands[1].usual = take_only
    kill(stage)
    stage.play(3)
    assert crossings(stage) == [], "what it still buys is not known"
    stage.hands[1].silent.discard("cancel")
    stage.hands[1].usual = fill_at_once
    for orderid in list(stage.broker().orders)[before + 1 :]:
        if stage.broker().orders[orderid].status == "open":
            stage.broker().fill(orderid, LOT)
    all_closed(stage, short, long)
    assert crossings(stage) == []
    assert stage.broker().net == {}


def test_crossing_waits_for_books_as_young_as_an_exit_needs(tmp_path: Path) -> None:
    stage = begin(tmp_path)
    runs = [enter(stage, 1), enter(stage, -1)]
    before = len(stage.broker().orders)
    stage.hands[1].books_now = lambda: None
    stage.play(6)
    kill(stage)
    stage.play(0.5)
    assert crossings(stage) == []
    assert sent_after(stage, before) == []
    stage.hands[1].books_now = None
    all_closed(stage, *runs)
    assert len(crossings(stage)) == 2
    assert sent_after(stage, before) == []


def test_undecided_drift_is_not_crossed(tmp_path: Path) -> None:
    stage = begin(tmp_path)
    runs = [enter(stage, 1), enter(stage, -1)]
    stage.play(3)
    broker, before = stage.broker(), len(stage.broker().orders)
    broker.price[CALL] = 0.0  # a trade without a price explains nothing yet
    broker.take(instrument(CALL), Action.SELL, LOT)
    broker.price[CALL] = 150.0
    stage.until(lambda: stage.world.accounts[1].drift_since, 5)
    kill(stage)
    all_closed(stage, *runs)
    assert crossings(stage) == []
    assert sent_after(stage, before) == [-LOT, LOT]  # A's by hand, B's own
    assert broker.net == {}


def test_crossing_happens_once_over_a_restart(tmp_path: Path) -> None:
    stage = begin(tmp_path)
    runs = [enter(stage, 1), enter(stage, -2)]
    before = len(stage.broker().orders)
    stage.hands[1].usual = take_only
    kill(stage)
    stage.until(lambda: crossings(stage))
    stage.restart()
    stage.hands[1].usual = fill_at_once
    all_closed(stage, *runs)
    assert [row.quantity for row in crossings(stage)] == [LOT, LOT]
    assert sent_after(stage, before) == [LOT]
    assert stage.broker().net == {}


def test_crossing_that_cannot_be_committed_is_made_again_and_counts_once(tmp_path: Path) -> None:
    stage = begin(tmp_path)
    runs = [enter(stage, 1), enter(stage, -1)]
    stage.journal.broken = [RuntimeError("boom")]
    kill(stage)
    all_closed(stage, *runs)
    assert len(crossings(stage)) == 2
    assert stage.broker().net == {}


def test_crossed_runs_say_so(tmp_path: Path) -> None:
    stage = begin(tmp_path)
    runs = [enter(stage, 1), enter(stage, -1)]
    stage.play(1)
    kill(stage)
    all_closed(stage, *runs)
    told = [event for event in stage.events("kill_switch") if "crossed inside" in event.message]
    assert [event.execution_id for event in told] == runs
    assert f"against run {runs[1]}" in told[0].message


def test_hands_got_nothing_for_what_was_crossed(tmp_path: Path) -> None:
    stage = begin(tmp_path)
    runs = [enter(stage, 1), enter(stage, -1)]
    hands: FakeHands = stage.hands[1]
    before = len(hands.sent)
    kill(stage)
    all_closed(stage, *runs)
    assert hands.sent[before:] == []
