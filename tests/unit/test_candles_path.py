"""The way of a bar from the market to Supertrend: a slow broker, a stream that breaks, and the bars that are used.

A made-up market trades for half an hour. Its server shows minutes with a delay, answers late or not at all; its stream
brings each trade 0.8 s later and goes down now and then. Whatever came of it, a bar that was used is the bar of the
trades, and Supertrend of the used bars is Supertrend of the true ones.
"""

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from engine.domain.calendar import INDIA, IST
from engine.domain.candle_freshness import CandleStep, HistoryState, advise, cover_of
from engine.domain.candles import Bar, ClosedBar
from engine.domain.history_bars import closed_bars, resample
from engine.domain.instruments import Exchange
from engine.domain.intervals import BarGrid, BarWindow, Interval
from engine.domain.supertrend_live import SupertrendState
from engine.domain.tick_bars import TickBars

NFO = Exchange.NFO
DAY = date(2026, 11, 23)
OPEN = datetime.combine(DAY, time(9, 15), IST).astimezone(UTC)
END = OPEN + timedelta(minutes=30)
MINUTES = BarGrid(Interval.M1, INDIA, NFO)
STREAM_DELAY = timedelta(seconds=0.8)
PASS = timedelta(seconds=0.4)


@dataclass
class Market:
    """Trades of half an hour, and what a server that is ``delay`` behind shows of them."""

    chance: random.Random
    trades: list[tuple[datetime, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        at, price = OPEN, 100.0
        while at < END:
            at += timedelta(seconds=self.chance.choice([0.5, 1, 3, 9, 60]) * self.chance.random())
            price = max(1.0, round(price + self.chance.gauss(0, 1), 2))
            self.trades.append((at, price))

    def bar(self, window: BarWindow, *, until: datetime = END) -> Bar | None:
        prices = [price for at, price in self.trades if window.holds(at) and at <= until]
        return Bar(window.start, prices[0], max(prices), min(prices), prices[-1]) if prices else None

    def shown(self, now: datetime) -> list[Bar]:
        until = now - timedelta(seconds=self.chance.choice([0.0, 0.5, 1.9]))
        bars = (self.bar(window, until=until) for window in MINUTES.windows_of_day(DAY) if window.start <= now)
        return [bar for bar in bars if bar is not None]


@dataclass
class Desk:
    """What the engine holds of one instrument: the stream's bars, and the newest answer of history."""

    grid: BarGrid
    chance: random.Random
    answers: float
    ticks: TickBars
    ours: list[ClosedBar] = field(default_factory=list)
    theirs: tuple[ClosedBar, ...] = ()
    state: HistoryState = field(default_factory=HistoryState)
    answer: tuple[datetime, list[Bar]] | None = None
    answer_at: datetime | None = None
    streaming: bool = True
    seen: int = 0

    def stream(self, market: Market, now: datetime) -> None:
        if self.chance.random() < (0.001 if self.streaming else 0.02):
            self.ticks = self.ticks.lost(now) if self.streaming else self.ticks.resumed(now)
            self.streaming = not self.streaming
        while self.seen < len(market.trades) and market.trades[self.seen][0] + STREAM_DELAY <= now:
            at, price = market.trades[self.seen]
            self.seen += 1
            if self.streaming:
                self.took(self.ticks.tick(price, at=at, now=now))
        self.took(self.ticks.until(now))

    def took(self, taken) -> None:
        self.ticks = taken.bars
        self.ours += [taken.closed] if taken.closed else []

    def ask(self, market: Market, now: datetime) -> None:
        self.answer = (now, market.shown(now))
        self.answer_at = now + timedelta(seconds=self.chance.choice([0.5, 2, 9]))
        self.state = replace(self.state, asked_at=now, asking=True)

    def hear(self, now: datetime) -> None:
        if self.answer is None or now < self.answer_at:
            return
        (begun_at, rows), self.answer = self.answer, None
        self.state = replace(self.state, asking=False)
        if self.chance.random() < self.answers:
            self.theirs = resample(closed_bars(rows, MINUTES, begun_at).closed, self.grid, begun_at)
            self.state = replace(self.state, begun_at=begun_at)

    def advice(self, window: BarWindow, now: datetime):
        cover = cover_of(window, self.theirs, looked=self.state.begun_at is not None)
        ours = cover_of(window, self.ours, looked=self.ticks.watched(window))
        return advise(window, now, replace(self.state, cover=cover), ours)


def used(source, window: BarWindow) -> Bar:
    return next(closed.bar for closed in source if closed.bar.start == window.start)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("answers", "expected"),
    [(1.0, CandleStep.USE_HISTORY), (0.3, CandleStep.USE_HISTORY), (0.0, CandleStep.USE_TICKS)],
    ids=["the broker answers", "one answer in three", "no answers"],
)
def test_every_bar_that_is_used_is_the_bar_of_the_trades(seed: int, answers: float, expected: CandleStep) -> None:
    chance = random.Random(seed)
    market = Market(chance)
    grid = BarGrid(chance.choice([Interval.M1, Interval.M3, Interval.M5]), INDIA, NFO)
    desk = Desk(grid, chance, answers, TickBars(grid, since=OPEN - timedelta(minutes=1)))
    windows = [window for window in grid.windows_of_day(DAY) if window.close <= END - timedelta(minutes=2)]
    ours, true, steps = SupertrendState.start(2, 1.0), SupertrendState.start(2, 1.0), Counter()
    now = OPEN
    while windows and now < END:
        now += PASS
        desk.stream(market, now)
        desk.hear(now)
        if len(windows) > 1 and now >= windows[1].close:
            windows.pop(0)  # nobody had it in its time: the next one has closed
        if now < windows[0].close:
            continue
        advice = desk.advice(windows[0], now)
        steps[advice.step] += 1
        match advice.step:
            case CandleStep.ASK_HISTORY:
                desk.ask(market, now)
            case CandleStep.USE_HISTORY | CandleStep.USE_TICKS:
                window = windows.pop(0)
                bar = used(desk.theirs if advice.step is CandleStep.USE_HISTORY else desk.ours, window)
                assert bar == market.bar(window)
                ours, true = ours.commit(bar), true.commit(market.bar(window))
            case CandleStep.NO_BAR:
                window = windows.pop(0)
                assert market.bar(window) is None or advice.overdue
    assert ours == true
    assert ours.bars >= 2
    assert steps[expected] >= 2
