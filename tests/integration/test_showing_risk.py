"""What the risk page is shown of a run: the age of its oldest price, since when it is blind, what its books leave."""

from __future__ import annotations

from pathlib import Path

from engine.services.ledger import Pass
from engine.services.showing import as_json, live_views, oldest_price
from engine.services.views import LiveView, RunView
from tests.stage import CALL, LOT, PUT, Stage, instrument

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
