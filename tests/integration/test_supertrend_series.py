"""The series behind a Supertrend exit: what a chart is shown, what stays of it, which ticks are kept for it."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from engine.broker.feed import Tick
from engine.domain.instruments import Exchange
from engine.runtime import inbox as inboxes
from engine.runtime.hands import _traded_at
from engine.runtime.inbox import Inbox
from engine.services.identity import Caller
from engine.services.ledger import Pass
from engine.services.risk_views import SeriesView
from engine.services.series_views import changed_series, note_written, read_series
from engine.store import live as live_store
from engine.store.live import LiveStore
from engine.store.tables import Role
from tests.integration.supertrend_tape import Tape, begin, minute, play_until, supertrend_stage
from tests.stage import BEGIN, CALL, Stage
from tests.unit.supertrend_pine import Bars, pine

SECOND = timedelta(seconds=1)
SYMBOL = (CALL, Exchange.NFO)


def news(stage: Stage) -> list[SeriesView]:
    """What the next writing would take, and take it."""
    views = [view for _owner, view in changed_series(Pass(stage.ledger, stage.clock.now()), stage.world)]
    note_written(stage.world, views)
    return views


def test_a_chart_shows_pines_line_and_the_open_bar_and_what_did_not_change_is_not_written(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(-40), 9.0), (minute(-20), -14.0)]})
    begin(stage, tape)
    play_until(stage, tape, minute(1) + 10 * SECOND)
    (shown,) = news(stage)
    closed = [bar for bar in shown.bars if bar.closed]
    columns = ([bar.high for bar in closed], [bar.low for bar in closed], [bar.close for bar in closed])
    said = pine(Bars("shown", *(np.array(column) for column in columns)), 7, 3.0)
    assert [bar.direction for bar in closed] == said.direction.tolist()
    assert [bar.line for bar in closed[6:]] == said.line[6:].tolist()
    assert [bar.line for bar in closed[:6]] == [None] * 6
    assert (shown.bars[-1].closed, shown.bars[-1].start) == (False, minute(1))
    assert news(stage) == [], "nothing happened since"
    tape.jumps[CALL].append((minute(1) + 11 * SECOND, 2.0))
    play_until(stage, tape, minute(1) + 11.5 * SECOND)
    assert news(stage) == [], "the open bar every 2 s at most"
    play_until(stage, tape, minute(1) + 13 * SECOND)
    (shown,) = news(stage)
    assert shown.bars[-1].close == shown.bars[-2].close + 2.0


def test_a_run_that_left_keeps_its_series_with_the_bar_that_took_it_out(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(2), 60.0)]})
    run_id = begin(stage, tape)
    news(stage)
    stage.until(lambda: stage.run(run_id).state == "closed", 300.0)
    stage.play(1.0)
    (shown,) = news(stage)
    assert shown.fired_at == minute(2)
    assert "turned up" in shown.fired_why
    stage.play(10.0)
    assert news(stage) == []
    assert stage.world.candles.series == {}
    assert stage.world.candles.kept == frozenset()


def test_only_the_owner_reads_a_series_and_old_ones_are_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LiveStore(tmp_path / "live.db")
    view = SeriesView(
        run_id=7, title="NIFTY", interval="1m", period=7, multiplier=3.0, entered_at=None, bars=[], as_of=BEGIN
    )
    store.write({1: "{}"}, {(1, 7): view.model_dump_json(), (1, 8): "from another release"})
    asha, ravi = (Caller(number, name, Role.TRADER) for number, name in ((1, "asha"), (2, "ravi")))
    assert read_series(store, asha, 7) == view
    assert read_series(store, ravi, 7) is None
    assert read_series(store, asha, 8) is None
    assert read_series(store, asha, 9) is None
    store.write({1: "{}"})
    assert read_series(store, asha, 7) == view, "a second without news takes nothing away"
    monkeypatch.setattr(live_store, "SERIES_KEPT_SECONDS", -1)
    store.write({1: "{}"}, {(1, 9): view.model_dump_json()})
    assert read_series(store, asha, 7) is None
    store.close()


def test_a_live_file_of_an_earlier_release_gets_the_new_table(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "live.db") as old:
        old.execute("CREATE TABLE live_view (user_id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
    store = LiveStore(tmp_path / "live.db")
    assert store.read_series(1, 1) is None
    store.write({1: "x"}, {(1, 1): "y"})
    assert (store.read(1), store.read_series(1, 1)) == ("x", "y")
    store.close()


def test_of_symbols_with_bars_every_tick_is_kept_and_of_others_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = Inbox()
    inbox.keep(frozenset({("1|live", SYMBOL)}))
    for step in range(3):
        inbox.price("1|live", SYMBOL, 100.0 + step, BEGIN + step * SECOND, BEGIN)
        inbox.price("1|live", ("NIFTY", Exchange.NSE_INDEX), 100.0 + step, BEGIN)
        inbox.price("2|live", SYMBOL, 5.0, BEGIN)
    assert len(inbox.drain(0)[1]) == 3
    ticks, missed = inbox.ticks()
    assert [(tick.market, tick.price, tick.at) for tick in ticks] == [("1|live", 100.0 + s, BEGIN) for s in range(3)]
    assert missed == set()
    assert inbox.ticks() == ([], set())
    monkeypatch.setattr(inboxes, "TICKS_KEPT", 2)
    for _ in range(3):
        inbox.price("1|live", SYMBOL, 100.0, BEGIN)
    ticks, missed = inbox.ticks()
    assert (len(ticks), missed) == (2, {("1|live", SYMBOL)}), "what is dropped is told"


def test_ticks_of_many_threads_are_all_kept() -> None:
    inbox = Inbox()
    inbox.keep(frozenset({("1|live", SYMBOL)}))

    def push() -> None:
        for _ in range(500):
            inbox.price("1|live", SYMBOL, 1.0, BEGIN)

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    taken = 0
    while any(thread.is_alive() for thread in threads):
        taken += len(inbox.ticks()[0])
    assert taken + len(inbox.ticks()[0]) == 2_000


def test_a_dropped_tick_leaves_no_whole_bar(tmp_path: Path) -> None:
    stage = supertrend_stage(tmp_path)
    tape = Tape(stage, jumps={CALL: [(minute(3), 60.0)]})
    begin(stage, tape)
    play_until(stage, tape, minute(3) + 20 * SECOND)
    tape.late = timedelta(minutes=9)
    stage.world.candles.take([], [(stage.market, SYMBOL)], stage.world.prices, stage.clock.now())
    play_until(stage, tape, minute(4) + 40 * SECOND)
    assert stage.events("supertrend") == []


@pytest.mark.parametrize(
    ("traded", "stamped", "expected"),
    [
        (-3_000, -1_000, -3),
        (None, -1_000, -1),
        (3_600_000, -1_000, -1),
        (None, None, None),
        (3_600_000, 3_600_000, None),
    ],
)
def test_a_tick_counts_at_the_exchanges_time_where_that_can_be_believed(
    traded: int | None, stamped: int | None, expected: int | None
) -> None:
    now = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
    epoch = int(now.timestamp() * 1000)
    tick = Tick(
        CALL, Exchange.NFO, 100.0, None if stamped is None else epoch + stamped, 0.0, now,
        None if traded is None else epoch + traded,
    )  # fmt: skip
    assert _traded_at(tick) == (None if expected is None else now + expected * SECOND)
    assert _traded_at(Tick(CALL, Exchange.NFO, 100.0, 10**18, 0.0, now, 0)) is None
