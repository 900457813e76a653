"""Whole days from a seed: bursts of trouble between quiet hours, square-off at 15:10, and nothing left at the close.

``SIMULATION_DAYS=200`` simulates more days than the gate does, ``SIMULATION_SEED=17`` replays one.
"""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.simulation.floor import Floor
from tests.simulation.laws import LawBrokenError
from tests.simulation.moves import MOVES
from tests.stage import BEGIN, FLY, SOLD

DAYS = int(os.environ.get("SIMULATION_DAYS", "20"))
ONE = os.environ.get("SIMULATION_SEED")
SEEDS = [int(ONE)] if ONE else list(range(1, DAYS + 1))
SQUARE_OFF = (datetime(2026, 11, 23, 9, 40, tzinfo=UTC) - BEGIN).total_seconds()  # 15:10 in India
CLOSE = (datetime(2026, 11, 23, 10, 10, tzinfo=UTC) - BEGIN).total_seconds()  # 15:40
LAST_ENTRY = SQUARE_OFF - 600.0
BURSTS = 10


def simulate(folder: Path, seed: int) -> Floor:
    """Simulate the day of a seed and judge it; returns the floor as the day left it."""
    chance = random.Random(seed)
    intraday = chance.random() < 0.5
    limits: dict[str, object] = {} if intraday else {"square_off_time": "15:10"}
    if chance.random() < 0.5:
        limits["max_loss"] = 3_000.0
    floor = Floor(
        folder,
        accounts=chance.choice((1, 2, 3)),
        legs=chance.choice((FLY, SOLD)),
        limits=limits,
        lots=chance.choice((1, 2)),
        product="MIS" if intraday else "NRML",
        quiet_unanswered=180.0,
        tags=chance.random() < 0.5,
        pushes=chance.random() < 0.5,
        sold_leg_failure=chance.choice(("hold", "unwind")),
    )
    try:
        _live(floor, chance)
    except LawBrokenError as broken:
        raise LawBrokenError(f"{broken}\nreplay: SIMULATION_SEED={seed} pytest tests/simulation/test_days.py") from None
    finally:
        floor.close_floor()
    return floor


def _live(floor: Floor, chance: random.Random) -> None:
    moves, weights = list(MOVES), list(MOVES.values())
    begun = floor.clock.seconds
    floor.wait(2.0)
    for burst in sorted(chance.uniform(0.0, LAST_ENTRY) for _ in range(BURSTS)):
        _pass_until(floor, begun + burst)
        for move in chance.choices(moves, weights, k=chance.randint(2, 8)):
            move(floor, chance.choice)
            floor.laws.after_step()
    _pass_until(floor, begun + SQUARE_OFF - 60.0)
    floor.calm()
    _pass_until(floor, begun + SQUARE_OFF)
    floor.note("square-off is due")
    floor.come_to_rest(CLOSE - SQUARE_OFF)


def _pass_until(floor: Floor, seconds: float) -> None:
    """Let a quiet stretch of the day pass: closely at first, then in coarse steps."""
    floor.wait(min(10.0, max(0.0, seconds - floor.clock.seconds)))
    while floor.clock.seconds < seconds:
        before = floor.writes
        floor.step(min(60.0, seconds - floor.clock.seconds))
        if floor.writes != before:
            floor.laws.after_step()


@pytest.mark.parametrize("seed", SEEDS)
def test_day_ends_flat_and_no_law_is_broken(tmp_path: Path, seed: int) -> None:
    floor = simulate(tmp_path, seed)
    for account_id in floor.hands:
        broker = floor.shown_broker(account_id)
        if not broker.by_hand:
            assert broker.net == {}


def test_same_seed_is_the_same_day(tmp_path: Path) -> None:
    stories = []
    for life in ("first", "second"):
        (tmp_path / life).mkdir()
        stories.append(simulate(tmp_path / life, 3).story)
    assert stories[0] == stories[1]
    assert any(" exit " in line for line in stories[0])
