"""Spikes decide nothing, crashes are acted on within three seconds, and what hangs keeps no run blind (law 7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from engine.domain.instruments import Exchange
from tests.stage import CALL, LOT, PUT, SOLD, Stage

SYMBOL = (CALL, Exchange.NFO)
BOUGHT = (("BUY", "CE", "atm", 0.0),)


def tick(stage: Stage, ltp: float, symbol: str = CALL) -> None:
    """A tick, while quotes say what they said before."""
    stage.inbox.price(stage.market, (symbol, Exchange.NFO), ltp, stage.clock.now())


def stream(stage: Stage, seconds: float, ltp: float, *, put: float = 120.0, quotes: bool = True) -> None:
    """Four ticks a second in both legs; ``quotes``: they say the same."""
    for _ in range(round(seconds * 4)):
        stage.step(0.25)
        if quotes:
            for hands in stage.hands.values():
                hands.broker.price[CALL], hands.broker.price[PUT] = ltp, put
        tick(stage, ltp)
        tick(stage, put, PUT)


def took(stage: Stage, done: Callable[[], object], seconds: float = 10.0) -> float:
    begun = stage.clock.seconds
    stage.until(done, seconds, by=0.05)
    return stage.clock.seconds - begun


def sold_out(stage: Stage, run: int) -> Callable[[], bool]:
    return lambda: bool(stage.plans(run))


def test_crash_that_quotes_confirm_fires_the_stop_at_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 5_000.0})
    run = stage.enter()
    stream(stage, 3, 100.0)
    stage.price(CALL, 300.0)  # one tick, and there it stays
    assert took(stage, sold_out(stage, run)) <= 0.5
    stage.until(lambda: stage.broker().net == {})


def test_crash_fires_the_stop_within_three_seconds_of_ticks_although_no_quote_answers(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 5_000.0})
    run = stage.enter()
    stream(stage, 3, 100.0)
    stage.quiet_market()
    begun = stage.clock.seconds
    while not stage.plans(run):
        assert stage.clock.seconds - begun <= 3
        stream(stage, 0.25, 300.0, quotes=False)


def test_crash_fires_the_stop_after_five_seconds_of_ticks_although_quotes_lag(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 5_000.0})
    run = stage.enter()
    stream(stage, 3, 100.0)
    begun, ltp = stage.clock.seconds, 300.0
    while not stage.plans(run):
        assert stage.clock.seconds - begun <= 6
        ltp += 0.5
        stream(stage, 0.25, ltp, quotes=False)
    assert stage.clock.seconds - begun >= 5


def test_absurd_price_that_a_frozen_feed_repeats_fires_nothing_while_quotes_deny_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 5_000.0})
    run = stage.enter()
    stream(stage, 3, 100.0)
    stream(stage, 60, 300.0, quotes=False)
    assert stage.plans(run) == []


@pytest.mark.parametrize("spike", [0.05, 300.0, 100_000.0])
@pytest.mark.parametrize("quotes", [True, False])
def test_spike_fires_nothing_and_is_told_once(tmp_path: Path, spike: float, quotes: bool) -> None:
    stage = Stage(tmp_path, legs=SOLD, limits={"max_loss": 5_000.0, "max_profit": 5_000.0})
    run = stage.enter()
    stream(stage, 3, 120.0)
    if not quotes:
        stage.quiet_market()
    for _ in range(5):
        tick(stage, spike)
        stage.step(0.2)
        stream(stage, 2, 120.0)
    assert stage.plans(run) == []
    doubted = stage.events("price_doubted")
    assert len(doubted) == 1
    assert doubted[0].message == f"{CALL} at {spike:,.2f} after 120.00 is not believed until a second look agrees"
    assert (doubted[0].action, doubted[0].execution_id) == ("alert_only", run)
    assert doubted[0].knew["last_good"] == 120.0
    assert [event.kind for event in stage.events()] == ["price_doubted"]


def test_spike_in_a_quote_fires_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 5_000.0})
    run = stage.enter()
    stage.broker().price[CALL] = 900.0
    stage.until(lambda: stage.events("price_doubted"), 10, by=0.05)
    stage.broker().price[CALL] = 150.0
    stage.play(20)
    assert stage.plans(run) == []


def test_spike_of_what_nobody_holds_is_not_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path, legs=BOUGHT)
    stage.enter()
    tick(stage, 120.0, PUT)
    stage.step()
    tick(stage, 900.0, PUT)
    stage.play(2)
    assert stage.events() == []


def test_price_that_nobody_confirms_makes_the_run_blind_and_not_wrong(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 5_000.0, "max_profit": 5_000.0})
    run = stage.enter()
    stream(stage, 3, 120.0)
    stage.quiet_market()
    for number in range(80):  # 20 s of ticks that contradict each other
        stage.step(0.25)
        tick(stage, (0.05, 900.0)[number % 2])
        tick(stage, 120.0, PUT)
    assert stage.plans(run) == []
    assert len(stage.events("blind")) == 1


def test_price_far_from_yesterdays_waits_for_a_second_look_only(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 5_000.0})
    run = stage.enter()
    stage.quiet_market()
    stage.clock.skew += timedelta(hours=17)
    stage.play(1)
    stage.hands[1].silent.clear()
    stage.broker().price[CALL] = 400.0
    stage.until(lambda: stage.plans(run), 5)


# ── the first price after a start ─────────────────────────────────────────────────────────────────────────────────────


def begin_anew(stage: Stage, first: float) -> None:
    """A new life of the engine whose first tick of the call comes before any quote."""
    stage.restart()
    tick(stage, first)
    tick(stage, 120.0, PUT)


@pytest.mark.parametrize("absurd", [0.05, 900.0])
@pytest.mark.parametrize("repeated", [False, True])
def test_absurd_first_tick_after_a_restart_closes_nothing(tmp_path: Path, absurd: float, repeated: bool) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 5_000.0, "max_profit": 5_000.0})
    run = stage.enter()
    stream(stage, 3, 150.0)
    begin_anew(stage, absurd)
    for _ in range(100):
        stage.step(0.1)
        if repeated:
            tick(stage, absurd)
    stream(stage, 5, 150.0)
    assert stage.plans(run) == []
    assert [event.message for event in stage.events("price_doubted")] in (
        [],
        [f"{CALL} at {absurd:,.2f} after 150.00 is not believed until a second look agrees"],
    )
    assert stage.events("blind") == []


def test_absurd_first_tick_closes_nothing_while_quotes_do_not_answer_yet(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 5_000.0, "max_profit": 5_000.0})
    run = stage.enter()
    stream(stage, 3, 150.0)
    stage.quiet_market()
    begin_anew(stage, 900.0)
    stage.play(4)
    stream(stage, 10, 150.0)
    assert stage.plans(run) == []
    assert stage.events("price_doubted") == []


def test_true_first_tick_beyond_the_limit_fires_with_the_quote_that_agrees(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 5_000.0})
    run = stage.enter()
    stream(stage, 3, 150.0)
    stage.broker().price[CALL] = 900.0
    begin_anew(stage, 900.0)
    assert took(stage, sold_out(stage, run)) <= 3
    stage.until(lambda: stage.broker().net == {})
    assert stage.events("price_doubted") == []


def test_true_first_ticks_beyond_the_limit_fire_within_three_seconds_although_no_quote_answers(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 5_000.0})
    run = stage.enter()
    stream(stage, 3, 150.0)
    stage.quiet_market()
    begun = stage.clock.seconds
    begin_anew(stage, 900.0)
    while not stage.plans(run):
        assert stage.clock.seconds - begun <= 3
        stream(stage, 0.25, 900.0, quotes=False)
    assert stage.clock.seconds - begun >= 2


def test_prices_of_an_ordinary_restart_are_confirmed_within_half_a_second(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 5_000.0})
    stage.enter()
    stream(stage, 3, 150.0)
    begin_anew(stage, 150.0)

    def seen() -> bool:
        return stage.world.confirmed_price(1, stage.venue, SYMBOL, stage.clock.now()) is not None

    assert took(stage, seen) <= 0.5
    stage.play(5)
    assert stage.events() == []


# ── who is asked for quotes ───────────────────────────────────────────────────────────────────────────────────────────


def test_quotes_of_the_next_account_keep_a_run_sighted_while_the_primary_hangs(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=3, limits={"max_loss": 10_000.0})
    run = stage.enter()
    stage.hands[1].silent.add("quotes")
    stage.play(60)
    assert stage.events("blind") == []
    for hands in stage.hands.values():
        hands.broker.price[CALL] = 150.0 + 70.0
    took(stage, sold_out(stage, run), 8.0)


def test_a_run_is_sighted_while_two_of_three_servers_hang(tmp_path: Path) -> None:
    stage = Stage(tmp_path, accounts=3, limits={"max_loss": 10_000.0})
    run = stage.enter()
    stage.hands[1].silent.add("quotes")
    stage.hands[2].silent.add("quotes")
    stage.play(10)
    dark, longest = 0, 0
    for _ in range(600):
        stage.step(0.1)
        seen = stage.world.confirmed_price(1, stage.venue, SYMBOL, stage.clock.now()) is not None
        dark = 0 if seen else dark + 1
        longest = max(longest, dark)
    assert longest <= 5  # half a second
    assert stage.events("blind") == []
    stage.hands[3].broker.price[CALL] = 150.0 + 70.0
    took(stage, sold_out(stage, run), 8.0)


def test_one_account_alone_is_asked_again_although_a_call_hangs(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 1_000.0})
    run = stage.enter()
    stage.hands[1].silent.add("quotes")
    stage.play(10)
    stage.hands[1].silent.clear()
    stage.broker().price[CALL] = 150.0 + 2_000.0 / LOT
    took(stage, sold_out(stage, run), 3.0)


# ── blindness ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_alarm_comes_within_sixteen_seconds_of_the_last_price_and_its_end_is_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path, limits={"max_loss": 1_000.0})
    run = stage.enter()
    stage.quiet_market()
    stream(stage, 3, 150.0)
    silence = took(stage, lambda: stage.events("blind"), 30)
    assert 14.5 <= silence <= 16
    stage.play(10)
    stream(stage, 1, 150.0)
    dark, sight = stage.events("blind")
    assert dark.execution_id == sight.execution_id == run
    assert dark.message == "no confirmed price for an open leg for 15 s: only time rules decide"
    assert sight.message in {f"prices are confirmed again after {n} s: all rules decide" for n in (25, 26)}
    assert sight.action == "alert_only"
    stream(stage, 30, 150.0)
    assert len(stage.events("blind")) == 2
    stage.play(20)
    assert len(stage.events("blind")) == 3  # and a second time


def test_a_feed_that_dies_under_a_quiet_symbol_is_told_within_sixteen_seconds_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    stage.quiet_market()
    stage.step()
    stage.feed(1, up=True)
    stream(stage, 1, 150.0)
    for _ in range(80):  # the put alone ticks on for 20 s: the call is quiet, its feed alive
        stage.step(0.25)
        tick(stage, 120.0, PUT)
    assert stage.events("blind") == []
    assert 9.5 <= took(stage, lambda: stage.events("blind"), 30) <= 16


def test_short_silence_is_told_neither_way(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.enter()
    stage.quiet_market()
    for _ in range(5):
        stream(stage, 2, 150.0)
        stage.play(12)
    stream(stage, 2, 150.0)
    assert stage.events() == []


def test_blindness_is_told_per_run_and_again_after_a_restart(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    first = stage.enter()
    second = stage.enter(again=True)
    stage.quiet_market()
    stage.play(20)
    assert [event.execution_id for event in stage.events("blind")] == [first, second]
    stage.restart()
    assert took(stage, lambda: len(stage.events("blind")) == 4, 30) <= 16.5
    stage.play(30)
    assert len(stage.events("blind")) == 4


def test_the_night_is_no_blindness_and_the_morning_begins_anew(tmp_path: Path) -> None:
    stage = Stage(tmp_path, venue="live")
    stage.enter()
    stage.quiet_market()
    stage.play(8)
    stage.clock.skew += timedelta(hours=8)  # half past six in the evening
    stage.play(30, by=0.5)
    assert stage.events("blind") == []
    now = stage.clock.now()
    opens = now.replace(hour=3, minute=45, second=0, microsecond=0)
    opens += timedelta(days=2 if now > opens else 1)  # the 24th is a holiday
    stage.clock.skew += opens - now - timedelta(seconds=2)
    stage.play(2, by=0.5)
    assert 14.5 <= took(stage, lambda: stage.events("blind"), 30) <= 16.5
