"""Supertrend exits on the stage: the right bar takes the run out, once, whatever history and feed do (RULES 7)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from engine.domain.instruments import Exchange
from engine.services.messages import FeedChanged
from tests.integration.supertrend_tape import Tape, begin, exits, minute, play_until, supertrend_stage, tick, view
from tests.integration.test_reentry import FRESH, fresh
from tests.stage import CALL, HEDGE, LOT, PUT

SECOND = timedelta(seconds=1)


def test_a_run_leaves_on_the_bar_that_turned_two_seconds_after_its_close_and_once(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(3), 60.0)]})
    run_id = begin(stage, tape)
    assert (view(stage, run_id).state, view(stage, run_id).direction) == ("watching", -1)
    play_until(stage, tape, minute(4) + 1.5 * SECOND)
    assert stage.broker().net == {CALL: -65, PUT: -65}, "the bar is over, but may still change at the broker"
    play_until(stage, tape, minute(4) + 4 * SECOND)
    assert stage.broker().net == {}
    ((action, words),) = exits(stage)
    assert action == "close_all"
    assert "turned up on the 1m bar of 23 Nov 10:33 IST" in words
    knew = stage.events("supertrend")[0].knew["supertrend"]
    assert (knew["close"], knew["direction"], knew["source"]) == (210.0, 1, "history")
    play_until(stage, tape, minute(7))
    assert len(stage.plans(run_id)) == 1
    assert stage.run(run_id).state == "closed"


def test_an_open_bar_that_points_up_for_a_while_takes_nobody_out(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(3) + 5 * SECOND, 60.0), (minute(3) + 50 * SECOND, -60.0)]})
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(5))
    assert stage.broker().net == {CALL: -65, PUT: -65}
    assert view(stage, run_id).state == "watching"


def test_a_turn_before_the_entry_is_not_the_runs(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(-5), 60.0)]})
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(4))
    assert (view(stage, run_id).direction, exits(stage)) == (1, [])


def test_a_level_leaves_on_the_first_bar_that_closes_after_the_entry(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, test="level")
    tape = Tape(stage, jumps={CALL: [(minute(-5), 60.0)]})
    begin(stage, tape)
    assert exits(stage) == []
    play_until(stage, tape, minute(1) + 4 * SECOND)
    assert "is up on the 1m bar of 23 Nov 10:30 IST" in exits(stage)[0][1]
    assert stage.broker().net == {}


def test_a_breakdown_leaves_when_the_direction_turns_down(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, exit_on="breakdown")
    tape = Tape(stage, jumps={CALL: [(minute(-5), 60.0), (minute(2), -80.0)]})
    begin(stage, tape)
    play_until(stage, tape, minute(3) + 4 * SECOND)
    assert "turned down on the 1m bar of 23 Nov 10:32 IST" in exits(stage)[0][1]


def test_an_alert_is_given_once_and_the_run_stays(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, rules={"supertrend": {"action": "alert_only"}})
    tape = Tape(stage, jumps={CALL: [(minute(2), 60.0)]})
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(5))
    assert [action for action, _words in exits(stage)] == ["alert_only"]
    assert stage.broker().net == {CALL: -65, PUT: -65}
    assert view(stage, run_id).state == "fired"


def test_a_rule_that_is_off_watches_and_does_nothing(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, rules={"supertrend": {"enabled": False}})
    tape = Tape(stage, jumps={CALL: [(minute(2), 60.0)]})
    begin(stage, tape)
    play_until(stage, tape, minute(5))
    assert exits(stage) == []


def test_late_history_leaves_it_to_our_own_ticks_after_twenty_seconds_and_says_so(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(3), 60.0)]})
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(3))
    tape.late = timedelta(minutes=3)
    play_until(stage, tape, minute(4) + 21 * SECOND)
    assert exits(stage) == []
    assert "waiting for the broker's history" in view(stage, run_id).note
    play_until(stage, tape, minute(4) + 24 * SECOND)
    assert "built of own ticks" in exits(stage)[0][1]
    assert stage.broker().net == {}
    asked = [one for one in tape.asked if one[1] == CALL]
    assert len(asked) < 20, "a broker is asked every 3 s at most"


def test_without_the_bar_of_one_leg_there_is_no_decision_on_that_window(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, series="combined")
    tape = Tape(stage, jumps={CALL: [(minute(2), 60.0)]}, lacks={(PUT, minute(2))})
    run_id = begin(stage, tape)
    assert stage.ledger.runs[run_id].watch["premium"] == {"weights": {CALL: 1, PUT: 1}, "sign": 1}
    play_until(stage, tape, minute(2) + SECOND)
    # the put is not seen from here on: neither history nor our ticks have its bar
    symbols = stage.hands[1].symbols
    stage.inbox.put(FeedChanged(1, "connected", acknowledged=frozenset(one for one in symbols if one[0] != PUT)))
    play_until(stage, tape, minute(3) + 50 * SECOND)
    assert exits(stage) == []
    assert [event.message for event in stage.events("blind")], "and a person is told"
    play_until(stage, tape, minute(4) + 4 * SECOND)
    assert "23 Nov 10:33 IST" in exits(stage)[0][1], "the next window has both"


def test_an_engine_that_ends_between_the_close_and_the_exit_goes_on_with_it(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(3), 60.0)]})
    begin(stage, tape)
    play_until(stage, tape, minute(4) + SECOND)
    stage.restart()
    tape.install()
    stage.until(lambda: stage.broker().net == {}, 20.0)
    assert len(exits(stage)) == 1


def test_a_turn_while_the_engine_was_down_still_takes_the_run_out(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(3), 60.0), (minute(5), -80.0)]})
    begin(stage, tape)
    play_until(stage, tape, minute(2))
    stage.clock.pause(8 * 60)
    stage.restart()
    tape.install()
    stage.until(lambda: stage.broker().net == {}, 20.0)
    assert "10:33 IST" in exits(stage)[0][1], "up at 10:33 and down again at 10:35: it was due"


def test_a_restart_does_not_judge_again_what_was_judged(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, rules={"supertrend": {"action": "alert_only"}})
    tape = Tape(stage, jumps={CALL: [(minute(2), 60.0)]})
    begin(stage, tape)
    play_until(stage, tape, minute(4))
    stage.restart()
    tape.install()
    stage.play(30.0)
    assert len(exits(stage)) == 1


def test_a_rearmed_rule_waits_for_a_new_turn(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, rules={"supertrend": {"action": "alert_only"}})
    tape = Tape(stage, jumps={CALL: [(minute(2), 60.0), (minute(6), -80.0), (minute(8), 90.0)]})
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(4))
    stage.command("rearm_rule", {"run_id": run_id, "latch": "supertrend"})
    play_until(stage, tape, minute(6))
    assert len(exits(stage)) == 1, "what it acted on does not act again"
    play_until(stage, tape, minute(9) + 4 * SECOND)
    assert len(exits(stage)) == 2


def test_a_bar_with_a_part_unseen_is_not_used_and_history_decides(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(3), 60.0)]})
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(3) + 20 * SECOND)
    tape.late = timedelta(minutes=3)
    stage.feed(1, up=False)
    stage.feed(1, up=True)  # back in the same pass: a part is unseen all the same
    play_until(stage, tape, minute(4) + 40 * SECOND)
    assert exits(stage) == [], "20 s are over, but the own bar is not whole (law 7)"
    assert "neither history nor our ticks" in view(stage, run_id).note
    tape.late = timedelta(0)
    play_until(stage, tape, minute(4) + 56 * SECOND)
    assert "10:33 IST" in exits(stage)[0][1]
    assert "own ticks" not in exits(stage)[0][1]


def test_the_next_account_is_asked_when_the_first_one_fails(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, accounts=2)
    tape = Tape(stage, jumps={CALL: [(minute(3), 60.0)]}, fails=lambda account: account == 1)
    begin(stage, tape)
    play_until(stage, tape, minute(4) + 8 * SECOND)
    assert {one[0] for one in tape.asked} == {1, 2}
    assert tape.asked[0][0] == 1
    assert stage.broker(1).net == stage.broker(2).net == {}


def test_a_broker_without_the_interval_gives_minutes_and_the_view_says_so(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, interval="3m")
    tape = Tape(stage, jumps={CALL: [(minute(3), 60.0)]}, offers=frozenset({"1m"}))
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(0) + 10 * SECOND)
    shown = view(stage, run_id)
    assert (shown.state, shown.bars) == ("watching", 60)
    assert "1-minute bars" in shown.note
    play_until(stage, tape, minute(6) + 4 * SECOND)
    assert "3m bar of 23 Nov 10:33 IST" in exits(stage)[0][1]


def test_too_little_history_is_warming_and_says_how_much_is_there(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(3), 60.0)]}, begin=minute(-20))
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(5))
    shown = view(stage, run_id)
    assert (shown.state, shown.bars, shown.needed) == ("warming", 24, 50)
    assert exits(stage) == []


def test_the_underlying_is_followed_and_pushed(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, series="underlying")
    tape = Tape(stage, jumps={"NIFTY": [(minute(2), 90.0)]})
    run_id = begin(stage, tape)
    assert "NIFTY" in {symbol for symbol, _exchange in stage.hands[1].symbols}
    assert view(stage, run_id).series == "NIFTY"
    play_until(stage, tape, minute(3) + 4 * SECOND)
    assert "of the NIFTY turned up" in exits(stage)[0][1]
    assert stage.broker().net == {}


def test_the_premium_stays_as_it_was_fixed_when_a_leg_has_left(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, series="combined")
    tape = Tape(stage)
    run_id = begin(stage, tape)
    fixed = stage.ledger.runs[run_id].watch["premium"]
    stage.restart()
    tape.install()
    stage.play(5.0)
    assert stage.ledger.runs[run_id].watch["premium"] == fixed
    shown = view(stage, run_id)
    assert shown.close == pytest.approx(270.0)


def test_a_restarted_engine_comes_to_the_same_line(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, series="combined")
    tape = Tape(stage, jumps={CALL: [(minute(-30), 7.0), (minute(-11), -3.0)], PUT: [(minute(-4), 5.0)]})
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(3) + 10 * SECOND)
    before = view(stage, run_id)
    stage.restart()
    tape.install()
    stage.play(5.0)
    after = view(stage, run_id)
    assert (after.line, after.direction, after.bars) == (before.line, before.direction, before.bars)


def test_a_premium_of_nothing_is_out_of_order_and_told_every_minute(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, series="combined")
    tape = Tape(stage)
    stage.arm()
    run_id = begin(stage, tape)
    run = stage.ledger.runs[run_id]
    stage.world.candles.trends.clear()
    stage.ledger.runs[run_id] = type(run)(
        **{name: getattr(run, name) for name in run.__slots__} | {"watch": {"premium": {"problem": "it is 0"}}}
    )
    play_until(stage, tape, minute(2) + 30 * SECOND)
    told = [event.message for event in stage.events("engine_fault")]
    assert len(told) in {2, 3}
    assert all("Supertrend: premium: it is 0; the other rules decide" in message for message in told)
    tick(stage, tape)
    assert view(stage, run_id).note == "out of order: premium: it is 0"


def test_one_absurd_tick_takes_nobody_out_when_only_our_ticks_are_there(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage)
    begin(stage, tape)
    play_until(stage, tape, minute(3) + 59.8 * SECOND)
    tape.late = timedelta(minutes=9)
    last = minute(3) + 59.9 * SECOND
    stage.inbox.price(stage.market, (CALL, Exchange.NFO), 9_000.0, stage.clock.now(), last)
    play_until(stage, tape, minute(6))
    assert exits(stage) == []
    assert stage.broker().net == {CALL: -65, PUT: -65}


def test_a_stream_that_falls_silent_leaves_no_whole_bars(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(3), 60.0)]})
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(3) + 20 * SECOND)
    tape.late = timedelta(minutes=9)
    play_until(stage, tape, minute(4) + 40 * SECOND, ticks=False)
    assert exits(stage) == []
    assert view(stage, run_id).state == "waiting"


def test_a_history_that_hangs_is_asked_for_again(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, accounts=2)
    tape = Tape(stage, jumps={CALL: [(minute(3), 60.0)]})
    begin(stage, tape)
    play_until(stage, tape, minute(3) + 30 * SECOND)
    stage.hands[1].silent.add("history")
    play_until(stage, tape, minute(4) + 15 * SECOND)
    assert "10:33 IST" in exits(stage)[0][1]
    assert "own ticks" not in exits(stage)[0][1]


def test_the_premium_weighs_the_lots_of_all_accounts(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, accounts=2, series="combined")
    tape = Tape(stage)
    run_id = begin(stage, tape)
    assert stage.ledger.runs[run_id].watch["premium"] == {"weights": {CALL: 2, PUT: 2}, "sign": 1}


def test_live_bars_are_counted_from_the_sessions_open_over_as_many_days_as_it_takes(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, venue="live", interval="15m")
    tape = Tape(stage, jumps={CALL: [(minute(20), 60.0)]}, begin=minute(-75) - timedelta(days=6))
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(0) + 20 * SECOND)
    shown = view(stage, run_id)
    assert tape.asked[0][3].isoformat() == "2026-11-19", "Thursday: a weekend lies between"
    assert (shown.state, shown.bars) == ("watching", 2 * 26 + 5), "26 a day, the last one 10 minutes long"
    assert shown.bar_at == minute(-15)
    play_until(stage, tape, minute(30) + 5 * SECOND, by=2.0)
    assert "15m bar of 23 Nov 10:45 IST" in exits(stage)[0][1]
    assert stage.broker().net == {}


def test_a_bar_that_only_a_part_was_seen_of_stays_missing_when_later_bars_come(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(3) + 30 * SECOND, 60.0), (minute(4), -60.0)]}, lacks={(CALL, minute(3))})
    run_id = begin(stage, tape)
    play_until(stage, tape, minute(3) + 10 * SECOND)
    stage.feed(1, up=False)
    stage.feed(1, up=True)
    play_until(stage, tape, minute(5) + 5 * SECOND)
    starts = [row.closed.bar.start for row in stage.world.candles.trends[run_id].rows]
    assert starts[-2:] == [minute(2), minute(4)]
    assert exits(stage) == []


def test_a_window_waits_for_the_leg_whose_history_is_late(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, series="combined")
    tape = Tape(stage, jumps={CALL: [(minute(2), 60.0)]})
    begin(stage, tape)
    play_until(stage, tape, minute(2) + 10 * SECOND)
    tape.slow = frozenset({PUT})
    play_until(stage, tape, minute(3) + 20 * SECOND)
    assert exits(stage) == [], "our ticks have the put's bar, but its history has time until 22 s after the close"
    play_until(stage, tape, minute(3) + 24 * SECOND)
    assert "own ticks" in exits(stage)[0][1]


def test_where_a_series_begins_depends_on_the_run_and_not_on_when_the_engine_began(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage)
    run_id = begin(stage, tape)
    first_day = stage.world.candles.trends[run_id].first_day
    stage.clock.pause(24 * 3600)
    stage.restart()
    tape.install()
    stage.play(2.0)
    assert stage.world.candles.trends[run_id].first_day == first_day
    assert view(stage, run_id).bars == 24 * 60 + 180


def test_one_leg_is_the_contract_it_was_entered_with_also_after_fresh_strikes_and_a_restart(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, leg_extras={1: FRESH | {"reentry_most": 2}})
    tape = Tape(stage)
    run_id = begin(stage, tape)
    fixed = {"symbol": CALL, "exchange": "NFO"}
    assert stage.ledger.runs[run_id].watch["premium"] == fixed
    read = stage.hands[1].resolve
    for stopped, at, other in ((CALL, 195.0, HEDGE), (HEDGE, 27.0, CALL)):
        stage.hands[1].resolve = read  # type: ignore[method-assign]
        fresh(stage, other)
        stage.price(stopped, at)
        stage.until(lambda other=other: stage.broker().net == {other: -LOT, PUT: -LOT}, 120)  # type: ignore[misc]
        stage.play(3.0)
    rows = [leg["symbol"] for leg in stage.ledger.runs[run_id].resolved["legs"] if leg["leg_index"] == 1]
    assert rows == [HEDGE, CALL], "the leg came back to its first contract"
    assert view(stage, run_id).series == f"leg 1: {CALL}"
    stage.restart()
    tape.install()
    stage.play(5.0)
    assert stage.ledger.runs[run_id].watch["premium"] == fixed
    assert view(stage, run_id).series == f"leg 1: {CALL}"


def test_one_leg_stays_the_contract_of_its_entry_while_the_leg_has_another(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path, leg_extras={1: FRESH})
    tape = Tape(stage)
    run_id = begin(stage, tape)
    fresh(stage, HEDGE)
    stage.price(CALL, 195.0)
    stage.until(lambda: stage.broker().net == {HEDGE: -LOT, PUT: -LOT}, 120)
    stage.restart()
    tape.install()
    stage.play(5.0)
    assert view(stage, run_id).series == f"leg 1: {CALL}"
