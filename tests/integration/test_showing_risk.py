"""What the risk page is shown of a run: the age of its oldest price, since when it is blind, what its books leave."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from engine.broker.answers import PlacementOutcome
from engine.domain.orders import Order
from engine.services.ledger import Pass
from engine.services.showing import as_json, live_views, oldest_price
from engine.services.views import LiveView, RunView
from tests.stage import CALL, LOT, PUT, FakeHands, Stage, instrument, take_only

OWNER = 1


def shown(stage: Stage) -> RunView:
    (run,) = live_views(Pass(stage.ledger, stage.clock.now()), stage.world)[OWNER].runs
    return run


def test_an_open_run_shows_the_age_of_its_oldest_price(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    stage.play(1.0)
    stage.quiet_market()
    stage.price(CALL, 150.0)
    stage.price(PUT, 120.0)
    stage.step()
    stage.play(3.0)
    stage.price(CALL, 151.0)
    stage.step()
    run = shown(stage)
    assert run.price_age_seconds is not None
    assert 2.9 < run.price_age_seconds < 3.5
    assert run.blind_seconds is None
    assert run.drift == []


def test_a_run_whose_prices_fell_silent_says_for_how_long_it_is_blind(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    stage.play(1.0)
    stage.quiet_market()
    stage.until(lambda: shown(stage).blind_seconds is not None, 120.0)
    before = shown(stage).blind_seconds
    stage.play(10.0)
    after = shown(stage).blind_seconds
    assert before is not None
    assert after is not None
    assert 9.5 < after - before < 10.5
    stage.price(CALL, 150.0)
    stage.price(PUT, 120.0)
    stage.step()
    assert shown(stage).blind_seconds is None


def test_what_left_the_books_over_night_shows_as_drift_until_it_is_charged(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live")
    stage.enter()
    stage.play(3.0)
    broker = stage.broker()
    broker.carried, broker.orders, broker.trades = broker.positions(), {}, []
    broker.carried[instrument(CALL)] = 0
    stage.clock.seconds += 47 * 3600  # the 24th is a holiday
    stage.price(CALL, 130.0)
    stage.until(lambda: shown(stage).drift, 90.0)
    assert shown(stage).drift == [f"account 1 {CALL}: owns {-LOT:+}, the books leave +0"]
    stage.until(lambda: not shown(stage).drift, 60.0)


def test_a_leg_without_any_price_makes_the_age_unknown(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    stage.play(1.0)
    first, second = shown(stage).positions
    assert oldest_price([first, second]) is not None
    assert oldest_price([first, second.model_copy(update={"ltp_age_seconds": None})]) is None
    flat = second.model_copy(update={"ltp_age_seconds": None, "quantity": 0})
    assert oldest_price([first, flat]) == first.ltp_age_seconds
    assert oldest_price([]) is None


def test_view_is_written_run_by_run_and_gives_way_after_each(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    one = live_views(Pass(stage.ledger, stage.clock.now()), stage.world)[OWNER]
    view = one.model_copy(update={"runs": one.runs * 3})
    turns: list[None] = []
    written = as_json(view, lambda: turns.append(None))
    assert len(turns) == len(view.runs) == 3
    assert LiveView.model_validate_json(written) == view


AT_COST = {"stop_kind": "percent", "stop_value": 30.0, "reentry": "at_cost", "reentry_most": 2}


def stop_the_call(stage: Stage) -> None:
    """The call rises to its stop (130 % of 150) and is bought back; the put stays."""
    stage.price(CALL, 195.0)
    stage.until(lambda: stage.broker().net == {PUT: -LOT})
    stage.until(lambda: all(plan.state != "active" for plan in stage.plans(1)))


def test_a_leg_that_waits_at_cost_shows_its_price_and_how_many_tries_are_left(tmp_path: Path) -> None:
    stage = Stage(tmp_path, leg_extras={1: AT_COST}, schedule={"last_entry_time": "14:30"})
    stage.enter()
    stage.play(1.0)
    assert shown(stage).reentries == [], "nothing waits while the leg is open"
    stop_the_call(stage)
    (waiting,) = shown(stage).reentries
    assert (waiting.account_id, waiting.leg_index, waiting.kind, waiting.state) == (1, 1, "at_cost", "waiting")
    assert (waiting.symbol, waiting.price, waiting.falls, waiting.ltp) == (CALL, 150.0, True, 195.0)
    assert (waiting.left, waiting.most, waiting.note) == (2, 2, "")
    assert waiting.until == datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    stage.price(CALL, 150.0)
    stage.until(lambda: stage.broker().net == {CALL: -LOT, PUT: -LOT})
    stage.play(3.0)
    assert shown(stage).reentries == []
    stop_the_call(stage)
    (again,) = shown(stage).reentries
    assert (again.left, again.not_before is not None) == (1, True), "a minute lies between two tries"
    stage.command("halt")
    stage.play(1.0)
    assert shown(stage).reentries == [], "after the kill switch nothing waits any more"


def test_a_try_under_way_and_one_that_is_held_up_say_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path, leg_extras={1: AT_COST})
    stage.enter()
    stop_the_call(stage)
    stage.hands[1].usual = take_only
    stage.price(CALL, 150.0)
    stage.until(lambda: shown(stage).reentries[0].state == "entering")
    assert (shown(stage).reentries[0].left, shown(stage).reentries[0].note) == (1, "")


def test_lots_that_did_not_fill_are_told_leg_by_leg(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2, offsets={2: 1.0}, limit_seconds=5.0)
    partly = {CALL: 2 * LOT, PUT: LOT}

    def fill(hands: FakeHands, order: Order) -> PlacementOutcome:
        answer = take_only(hands, order)
        hands.broker.fill(answer.orderid, partly[order.symbol])  # type: ignore[union-attr]
        return answer

    stage.arm()
    stage.hands[1].usual = fill
    stage.execute()
    stage.until(lambda: stage.ledger.runs)
    stage.until(lambda: shown(stage).state == "open", 60.0)
    (account,) = shown(stage).accounts
    assert (account.lots, account.lots_filled) == (2, 1)
    assert account.uneven == "leg 1: 2 of 2, leg 2: 1 of 2"


def test_lots_that_filled_whole_are_all_of_them(tmp_path: Path) -> None:
    stage = Stage(tmp_path, lots=2)
    stage.enter()
    (account,) = shown(stage).accounts
    assert (account.lots, account.lots_filled, account.uneven) == (2, 2, "")
