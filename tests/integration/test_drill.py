"""The fire drill: what the kill switch would send, by the engine's own decisions; nothing is sent or changed."""

from __future__ import annotations

import copy
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engine.broker.answers import NoAnswer
from engine.cli.drill import drill_lines
from engine.domain.instruments import Action
from engine.services import commands
from engine.services.drafts import LegDraft, StrategyDraft
from engine.services.drill import drilled
from engine.services.errors import NotFound, Refused
from engine.services.halting import halt
from engine.services.identity import Caller
from engine.services.ledger import Pass
from engine.services.messages import CommandArrived
from engine.services.part_views import ExitOrders, exit_orders
from engine.services.risk_views import DrillView
from engine.services.showing import live_views
from engine.services.strategies import save_strategy
from engine.store import tables
from tests.stage import BEGIN, CALL, FLY, HEDGE, LOT, PUT, FakeHands, Stage, StageClock, fill_at_once, lose, take_only

ASHA = Caller(1, "asha", tables.Role.ADMIN)


def rehearsed(stage: Stage) -> DrillView:
    """What a drill finds now."""
    number = stage.command("drill")
    stage.until(lambda: stage.answer(number).state != "pending")
    return commands.drill_result(stage.database, ASHA, command_id=number, now=stage.clock.now())


def tables_now(stage: Stage) -> dict[str, Any]:
    """Every row that a drill must not touch."""
    kept = ("strategy_execution", "execution_account", "exit_plan", "orders", "fill", "position", "risk_limit")
    with stage.database.read() as session:
        return {name: session.connection().execute(text(f"SELECT * FROM {name}")).all() for name in kept}


def next_ids(stage: Stage) -> tuple[int, ...]:
    """The next id of each table, looked at without taking it."""
    counters = stage.ledger.counters
    return tuple(next(copy.copy(one)) for one in (counters.run, counters.order, counters.plan, counters.fill))


def second_run(stage: Stage, action: str, lots: int = 1) -> int:
    """Open a run of one call on account 1; returns its id."""
    leg = LegDraft(underlying="NIFTY", action=action, instrument_type="CE", expiry_choice="next_week")
    draft = StrategyDraft(name=f"{action} {lots}", account_ids=[1], fixed_lots=lots, legs=[leg])
    strategy = save_strategy(stage.database, ASHA, draft, now=BEGIN).id
    before = set(stage.ledger.runs)
    payload = {"strategy_id": strategy, "version": 1, "seen_run_ids": [], "again": False, "account_ids": None}
    stage.command("execute", payload)
    stage.until(lambda: set(stage.ledger.runs) - before)
    run = max(stage.ledger.runs)
    stage.until(lambda: stage.ledger.runs[run].state == "open")
    return run


def shown_orders(stage: Stage) -> ExitOrders:
    """What the dialog of the kill switch counts, from the figures that pages are shown."""
    runs = live_views(Pass(stage.ledger, stage.clock.now()), stage.world)[ASHA.user_id].runs
    return exit_orders([row for run in runs if not run.ended for row in run.positions], together=True)


def sent_by_halt(stage: Stage) -> dict[int, list[tuple[int, str, str, int]]]:
    """What a real kill switch sends on each account, in order."""
    before = {account_id: len(hands.sent) for account_id, hands in stage.hands.items()}
    stage.command("halt")
    stage.until(lambda: not any(hands.broker.net for hands in stage.hands.values()), 60)
    return {
        account_id: [(o.execution_id, str(o.action), o.symbol, o.quantity) for o in hands.sent[before[account_id] :]]
        for account_id, hands in stage.hands.items()
    }


def planned_by(view: DrillView, account_id: int) -> list[tuple[int, str, str, int]]:
    return [(o.run_id, o.action, o.symbol, o.quantity) for o in view.orders if o.account_id == account_id]


def test_sold_legs_of_both_accounts_are_bought_back_before_the_hedges_go(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, legs=FLY)
    stage.enter()
    view = rehearsed(stage)
    for account_id in (1, 2):
        mine = [order for order in view.orders if order.account_id == account_id]
        assert [(o.stage, o.action, o.symbol, o.quantity) for o in mine] == [
            (1, "BUY", CALL, LOT),
            (1, "BUY", PUT, LOT),
            (2, "SELL", HEDGE, LOT),
        ]
    assert [(account.orders, account.units, account.problem) for account in view.accounts] == [(3, 3 * LOT, "")] * 2
    assert view.seconds_to_flat is not None
    assert not any("would stay open" in note for note in view.notes)


def test_nothing_changes_but_the_command_and_one_event(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, legs=FLY)
    stage.enter()
    stage.play(2)
    rows, ids = tables_now(stage), next_ids(stage)
    sent = [len(hands.sent) for hands in stage.hands.values()]
    buckets = [len(account.bucket._overall) for account in stage.world.accounts.values()]
    view = rehearsed(stage)
    assert view.orders
    stage.play(5)
    assert tables_now(stage) == rows
    assert next_ids(stage) == ids
    assert [len(hands.sent) for hands in stage.hands.values()] == sent
    assert [len(account.bucket._overall) for account in stage.world.accounts.values()] == buckets
    (event,) = stage.events("drill")
    assert event.action == "alert_only"
    assert event.knew["orders"] == len(view.orders) == 6
    assert not stage.ledger.limits


def test_memory_is_as_it_was(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2, legs=FLY)
    run = stage.enter()
    stage.hands[1].usual = take_only
    stage.close(run)
    stage.until(lambda: any(order.state == "working" for order in stage.orders(run)))
    now = stage.clock.now()
    kept = (stage.ledger.runs, stage.ledger.accounts, stage.ledger.orders, stage.ledger.plans, stage.ledger.holdings)
    before = copy.deepcopy(kept), looks_of(stage)
    changes = Pass(stage.ledger, now)
    view = drilled(changes, stage.world, CommandArrived(99, 1, "drill", {}, now, None), press=halt)
    assert view.orders
    assert (kept, looks_of(stage)) == before
    assert changes.empty
    assert not changes.after_commit


def looks_of(stage: Stage) -> list[str]:
    """Everything that is known of each account, and of the world beside."""
    world = stage.world
    shown = [repr({one.name: getattr(a, one.name) for one in fields(a)}) for a in world.accounts.values()]
    return [*shown, repr((world.told, world.blind_since, world.previews, world.watched, world.resolutions))]


@pytest.mark.parametrize("lots", [1, 60])
def test_a_real_kill_switch_sends_what_the_drill_showed(tmp_path: Path, lots: int) -> None:
    stage = Stage(tmp_path, accounts=2, legs=FLY, lots=lots)
    stage.enter()
    stage.play(3)
    view = rehearsed(stage)
    shown = {account_id: planned_by(view, account_id) for account_id in (1, 2)}
    assert sum(map(len, shown.values())) >= 6
    assert sent_by_halt(stage) == shown


def test_large_legs_leave_in_slices_and_take_the_time_of_the_send_limit(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=200)  # 13,000 units: 7 × 1,755 + 715 a leg
    stage.enter()
    stage.play(3)
    view = rehearsed(stage)
    assert sorted({order.quantity for order in view.orders}) == [715, 1755]
    assert len(view.orders) == 16
    assert shown_orders(stage) == (16, True, 0)
    assert [sum(o.quantity for o in view.orders if o.symbol == one) for one in (CALL, PUT)] == [13_000] * 2
    times = [order.at_seconds for order in view.orders]
    assert times == sorted(times)
    for first, tenth in zip(times, times[9:], strict=False):
        assert tenth - first >= 1.05 - 1e-3
    assert times[9] - times[0] < 1.2, "the tenth goes as soon as the limit allows"
    assert view.seconds_to_flat is not None
    assert view.seconds_to_flat >= 1.05


def test_an_unreachable_account_is_named_with_its_reason_and_its_orders(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=2)
    stage.enter()
    stage.hands[2].silent |= {"books", "connect"}
    stage.play(70, by=0.5)
    view = rehearsed(stage)
    first, second = view.accounts
    assert (first.problem, first.seconds_to_flat is not None) == ("", True)
    assert "books" in second.problem
    assert second.orders == 2
    assert second.seconds_to_flat is None
    assert view.seconds_to_flat is None
    assert "account 2" in stage.events("drill")[0].message
    assert any(line.strip().startswith("not sendable  account 2") for line in drill_lines(view))


def test_an_account_whose_server_speaks_for_another_broker_is_unreachable(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    stage.broker().name = "another"
    stage.restart()
    stage.until(lambda: stage.world.accounts[1].quarantine)
    view = rehearsed(stage)
    assert view.accounts[0].problem == stage.world.accounts[1].quarantine
    assert view.accounts[0].orders == 2
    assert view.seconds_to_flat is None


def test_runs_that_cross_inside_need_no_order(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=(("SELL", "CE", "atm", 0.0),))
    stage.enter()
    second_run(stage, "BUY", 3)
    stage.play(2)
    view = rehearsed(stage)
    assert view.crossed == LOT
    assert [(o.action, o.quantity) for o in view.orders] == [("SELL", 2 * LOT)]
    assert shown_orders(stage) == (1, True, LOT)
    assert sent_by_halt(stage) == {1: planned_by(view, 1)}


def test_what_was_closed_by_hand_is_not_sent_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    call = next(one for one in stage.broker().positions() if one.symbol == CALL)
    stage.broker().take(call, Action.BUY, LOT)
    stage.play(20)
    assert [(o.run_id, o.symbol) for o in rehearsed(stage).orders] == [(run, PUT)]


def test_books_older_than_the_last_fill_do_not_hide_the_position(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    stage.hands[1].silent.add("books")
    stage.execute()
    stage.until(lambda: len(stage.hands[1].sent) == 2)
    for row in list(stage.broker().orders.values()):
        stage.push(1, row)
    stage.play(0.5)
    view = rehearsed(stage)
    assert {o.symbol for o in view.orders} == {CALL, PUT}


def test_an_order_in_doubt_leaves_its_key_open_and_is_said(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].placements = [lambda _hands, _order: NoAnswer("the line was cut")]
    stage.close(run)
    stage.until(lambda: any(order.state == "unknown" for order in stage.orders(run)))
    view = rehearsed(stage)
    assert view.seconds_to_flat is None
    assert view.accounts[0].problem == ""
    assert any("would stay open" in note for note in view.notes)


def test_exit_orders_at_the_broker_are_not_counted_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY)
    run = stage.enter()
    stage.hands[1].usual = take_only
    stage.hands[1].modifies = lambda _hands, _order, _price: NoAnswer("busy")
    stage.close(run)
    stage.until(lambda: sum(order.state == "working" for order in stage.orders(run)) == 2)
    view = rehearsed(stage)
    assert [(o.action, o.symbol) for o in view.orders] == [("SELL", HEDGE)]
    assert any("2 exit orders at a broker already" in note for note in view.notes)


def test_more_than_can_be_rehearsed_in_time_is_cut_and_said(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=200)
    stage.enter()
    stage.play(3)
    stage.world.clock = TickingClock(stage.clock)
    now = stage.clock.now()
    command = CommandArrived(99, 1, "drill", {}, now, None)
    view = drilled(Pass(stage.ledger, now), stage.world, command, press=halt)
    assert 0 < len(view.orders) < 16
    assert view.seconds_to_flat is None
    assert any("more than could be rehearsed in time" in note for note in view.notes)
    assert not any("stay open" in note for note in view.notes)


class TickingClock:
    """A clock that goes on by a third of a second whenever it is asked: a busy machine."""

    def __init__(self, clock: StageClock) -> None:
        self.now, self.pause = clock.now, clock.pause
        self.seconds = clock.seconds

    def boot(self) -> float:
        self.seconds += 0.3
        return self.seconds


def test_a_drill_without_a_run_says_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    view = rehearsed(stage)
    assert (view.run_ids, view.orders, view.accounts, view.seconds_to_flat) == ([], [], [], 0.0)
    assert "no run is open" in stage.events("drill")[0].message


def test_only_the_callers_own_drill_can_be_read_and_only_when_it_is_done(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    pressed = commands.drill(stage.database, ASHA, key="d1", now=stage.clock.now())
    with pytest.raises(Refused):
        commands.drill_result(stage.database, ASHA, command_id=pressed.id, now=stage.clock.now())
    other = Caller(2, "ravi", tables.Role.TRADER)
    with pytest.raises(NotFound):
        commands.drill_result(stage.database, other, command_id=pressed.id, now=stage.clock.now())


def test_a_drill_while_a_placement_has_no_answer_sends_nothing_twice(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()

    def hold(hands: FakeHands, order: Any) -> None:
        lose(hands, order)

    stage.hands[1].usual = hold
    stage.close(run)
    stage.until(lambda: any(order.state == "sending" for order in stage.orders(run)))
    sent = len(stage.hands[1].sent)
    rehearsed(stage)
    stage.play(1)
    assert len(stage.hands[1].sent) == sent


def test_what_a_person_took_over_is_taken_back_by_the_kill_switch_and_said(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.command("take_over", {"run_id": run, "account_id": 1})
    stage.play(10)
    view = rehearsed(stage)
    assert any("taken over by hand" in note for note in view.notes)
    assert len(view.orders) == 2
    assert sent_by_halt(stage) == {1: planned_by(view, 1)}


def test_entry_orders_that_rest_are_taken_back_first_and_counted(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=FLY, offsets={1: 5.0, 2: 5.0})
    stage.arm()
    stage.hands[1].usual = lambda hands, order: (take_only if order.action is Action.SELL else fill_at_once)(
        hands, order
    )
    stage.execute()
    stage.until(lambda: sum(order.state == "working" for order in stage.orders(1)) == 2)
    view = rehearsed(stage)
    assert any("2 entry orders would be cancelled first" in note for note in view.notes)
    assert [(o.action, o.symbol) for o in view.orders] == [("SELL", HEDGE)]
    assert not any(order.cancel_requested for order in stage.orders(1))
    stage.hands[1].usual = fill_at_once
    assert sent_by_halt(stage) == {1: planned_by(view, 1)}
