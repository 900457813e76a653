"""Moments of November 2026 in India, and ways to get there: days turn at the broker, or the engine sleeps through them.

Monday the 23rd is a NIFTY expiry, because Tuesday the 24th is a holiday; Sunday the 8th holds the Muhurat session from
18:00 to 19:15.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time

from engine.domain.calendar import IST, ist_day
from engine.domain.legs import Leg
from engine.services.messages import Resolved
from engine.services.resolution import Resolution, ResolvedContract
from tests.stage import FakeHands, Stage, _resolved

MUHURAT, FRIDAY, MONDAY = date(2026, 11, 8), date(2026, 11, 20), date(2026, 11, 23)
HOLIDAY, WEDNESDAY = date(2026, 11, 24), date(2026, 11, 25)


def at(day: date, clock: str) -> datetime:
    """An instant by a clock in India."""
    return datetime.combine(day, time.fromisoformat(clock), IST).astimezone(UTC)


def sleep_until(stage: Stage, moment: datetime) -> None:
    """Let the clock stand there without a pass; the broker begins the days that go by."""
    day = ist_day(stage.clock.now())
    stage.clock.seconds += (moment - stage.clock.now()).total_seconds()
    if ist_day(moment) != day:
        for hands in stage.hands.values():
            broker = hands.broker
            broker.carried, broker.orders, broker.trades = broker.positions(), {}, []


def play_until(stage: Stage, moment: datetime, *, by: float = 1.0) -> None:
    """Run passes until just before a moment."""
    while (moment - stage.clock.now()).total_seconds() > by:
        stage.step(by)


def trade_expiring(stage: Stage, expiry: date) -> dict[str, str]:
    """Have the legs resolve to contracts of another expiry, at the prices of the stage's; returns symbols by old."""
    names: dict[str, str] = {}

    def named(contract: ResolvedContract) -> ResolvedContract:
        old = contract.resolved.contract
        symbol = old.symbol.replace("01DEC26", f"{expiry:%d%b%y}".upper())
        names[old.symbol] = symbol
        new = replace(old, symbol=symbol, expiry=expiry)
        return replace(contract, resolved=replace(contract.resolved, contract=new))

    def resolve_with(hands: FakeHands) -> None:
        def resolve(legs: tuple[Leg, ...], *, run_id: int | None, command_id: int | None) -> None:
            contracts = tuple(named(_resolved(leg, hands.touch)) for leg in legs)
            for old, new in names.items():
                hands.broker.price.setdefault(new, hands.broker.price[old])
            stage.inbox.put(
                Resolved(run_id, command_id, Resolution("NIFTY", 26_000.0, stage.clock.now(), False, contracts))
            )

        hands.resolve = resolve  # type: ignore[method-assign]

    for hands in stage.hands.values():
        resolve_with(hands)
    return names


def flat(stage: Stage, run: int, seconds: float = 30.0) -> None:
    """Wait until a run is closed and the broker holds nothing."""
    stage.until(lambda: stage.run(run).state == "closed", seconds)
    assert all(hands.broker.net == {} for hands in stage.hands.values())


def exits(stage: Stage, run: int) -> list[tuple[str, int]]:
    """Symbol and quantity of each exit order that was sent."""
    return [(o.symbol, o.quantity) for o in stage.orders(run) if o.purpose == "exit" and o.sent_at is not None]


def reasons(stage: Stage, run: int) -> list[str]:
    """Why exits of a run were opened."""
    return [plan.reason for plan in stage.plans(run)]
