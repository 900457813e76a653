"""What a broker's history says on the stage: bars of every symbol, level until it jumps, and faults on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.domain.calendar import ist_day
from engine.domain.candles import Bar
from engine.domain.instruments import Exchange
from engine.domain.intervals import Interval
from engine.services.ledger import Pass
from engine.services.messages import Symbol
from engine.services.risk_views import SupertrendView
from engine.services.supertrend_exit import supertrend_view
from tests.stage import BEGIN, CALL, PUT, VENUE, Stage

MINUTE = timedelta(minutes=1)
LEVELS = {CALL: 150.0, PUT: 120.0, "NIFTY": 26_000.0}
BEFORE = BEGIN - timedelta(hours=3)


def minute(number: int) -> datetime:
    """When the n-th minute of the stage begins."""
    return BEGIN + number * MINUTE


@dataclass
class Tape:
    """Level prices, ``jumps`` by symbol (from when, by how much), ``lacks`` bars; faults on request.

    ``offers``: the intervals; ``fails``: which accounts; ``late``: by how much; ``slow``: symbols late by 3 minutes.
    """

    stage: Stage
    jumps: dict[str, list[tuple[datetime, float]]] = field(default_factory=dict)
    lacks: set[tuple[str, datetime]] = field(default_factory=set)
    begin: datetime = BEFORE
    offers: frozenset[str] = frozenset(Interval)
    fails: Callable[[int], bool] = lambda _account: False
    late: timedelta = timedelta(0)
    slow: frozenset[str] = frozenset()
    asked: list[tuple[int, str, str, date]] = field(default_factory=list)

    def price(self, symbol: str, at: datetime) -> float:
        return LEVELS[symbol] + sum(step for when, step in self.jumps.get(symbol, []) if at >= when)

    def install(self) -> None:
        for account_id, hands in self.stage.hands.items():
            hands.histories = self._of(account_id)

    def bars(self, symbol: str, interval: Interval, first: date, now: datetime) -> tuple[Bar, ...]:
        found, start = [], max(self.begin, min(self.begin, now))
        late = timedelta(minutes=3) if symbol in self.slow else self.late
        while start <= now - late:
            prices = [self.price(symbol, start + part) for part in (timedelta(0), interval.length - MINUTE)]
            if ist_day(start) >= first and (symbol, start) not in self.lacks:
                found.append(Bar(start, prices[0], max(prices) + 1.0, min(prices) - 1.0, prices[-1]))
            start += interval.length
        return tuple(found)

    def _of(self, account_id: int) -> Callable[[Symbol, Interval, date, date], tuple[Bar, ...] | None]:
        def history(symbol: Symbol, interval: Interval, first: date, _last: date) -> tuple[Bar, ...] | None:
            self.asked.append((account_id, symbol[0], interval.value, first))
            if interval.value not in self.offers or self.fails(account_id):
                return None
            return self.bars(symbol[0], interval, first, self.stage.clock.now())

        return history


def supertrend_stage(
    folder: Path,
    *,
    accounts: int = 1,
    venue: str = VENUE,
    rules: dict[str, Any] | None = None,
    leg_extras: dict[int, dict[str, Any]] | None = None,
    **draft: Any,
) -> Stage:
    """A short straddle that leaves on the Supertrend of 1-minute bars of its call, unless told otherwise."""
    settings = {"series": "leg", "leg": 1, "interval": "1m", **draft}
    if settings["series"] != "leg":
        settings.pop("leg")
    limits = {"supertrend": settings, "rules": rules or {}}
    return Stage(folder, accounts=accounts, venue=venue, limits=limits, leg_extras=leg_extras)


def begin(stage: Stage, tape: Tape) -> int:
    """Enter a run with the tape in place and the feed up."""
    tape.install()
    run_id = stage.enter()
    stage.play(1.0)
    stage.feed(1, up=True)
    stage.play(1.0)
    return run_id


def play_until(stage: Stage, tape: Tape, at: datetime, *, ticks: bool = True, by: float = 0.5) -> None:
    """Let time go to an instant, the market ticking with what the tape says."""
    while stage.clock.now() < at:
        stage.step(min(by, max(0.05, (at - stage.clock.now()).total_seconds())))
        if ticks:
            tick(stage, tape)


def tick(stage: Stage, tape: Tape) -> None:
    """A tick of every symbol, traded now."""
    now = stage.clock.now()
    for symbol, exchange in ((CALL, Exchange.NFO), (PUT, Exchange.NFO), ("NIFTY", Exchange.NSE_INDEX)):
        price = tape.price(symbol, now)
        for hands in stage.hands.values():
            hands.broker.price[symbol] = price
        stage.inbox.price(stage.market, (symbol, exchange), price, now, now)


def view(stage: Stage, run_id: int) -> SupertrendView:
    """Where the exit stands, as pages show it."""
    run = stage.ledger.runs[run_id]
    changes = Pass(stage.ledger, stage.clock.now())
    shown = supertrend_view(changes, stage.world, run, stage.world.terms_of(run.version_id))
    assert shown is not None
    return shown


def exits(stage: Stage) -> list[tuple[str, str]]:
    """Every Supertrend event: action and words."""
    return [(event.action, event.message) for event in stage.events("supertrend")]
