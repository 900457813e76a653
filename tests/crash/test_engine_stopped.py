"""An engine held by the system (SIGSTOP, a closed lid) between a commit and the send: what is late never leaves."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import uuid4

import psutil
import pytest

from engine.services.drafts import StrategyDraft
from tests.crash.judge import final_problems
from tests.crash.nursery import Forked
from tests.crash.scene import HEDGED, Scene
from tests.crash.stand import Stand, stand

LICENCE_PAST = 1.6
"""Longer than the licence to send, shorter than the watchdog's patience."""
LEASE_PAST = 6.0
ARRIVED = 1.0
ALONE = (("Asha", 60_000_000.0, "A"),)


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the engine is held in its exit, for how long, and whether another one waits for its lease."""

    place: str
    seconds: float
    standby: bool = False

    def __str__(self) -> str:
        return f"{self.place} {self.seconds:.0f}s{' standby' if self.standby else ''}"


STOPS = (
    Stop("send-handed", LICENCE_PAST),
    Stop("send-checking", LICENCE_PAST),
    Stop("send-handed", LEASE_PAST),
    Stop("commit-done", LEASE_PAST),
    Stop("act-begins", LEASE_PAST),
    Stop("act-begins", LEASE_PAST, standby=True),
    Stop("send-checking", LEASE_PAST, standby=True),
)


@dataclass(slots=True)
class Seen:
    """What a scene showed; ``sent``: orders of the exchange while the engine was held and when all was over."""

    problems: list[str]
    held_status: int | None
    states: list[str]
    sent: list[int] = field(default_factory=list)


@pytest.fixture(scope="module")
def scenes() -> Iterator[dict[Stop, Future[Seen]]]:
    """All scenes at the same time: they mostly wait."""
    with stand() as stage, ThreadPoolExecutor(len(STOPS)) as pool:
        yield {stop: pool.submit(_seen, stage, stop) for stop in STOPS}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("stop", STOPS, ids=str)
def test_engine_held_between_commit_and_send_exits_once(scenes: dict[Stop, Future[Seen]], stop: Stop) -> None:
    seen = scenes[stop].result(200)
    assert not seen.problems
    assert seen.sent[0] < seen.sent[1], "it was not held in the middle of its exit"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("stop", [stop for stop in STOPS if stop.seconds == LICENCE_PAST], ids=str)
def test_order_whose_licence_ran_out_is_not_sent_and_goes_out_anew(
    scenes: dict[Stop, Future[Seen]], stop: Stop
) -> None:
    seen = scenes[stop].result(200)
    assert seen.held_status is None, "the engine ended; it should have gone on"
    assert seen.states.count("not_sent") in {1, 2}, "both sold legs leave together"
    assert seen.states.count("filled") == 6


@pytest.mark.timeout(240)
@pytest.mark.parametrize("stop", [stop for stop in STOPS if stop.standby], ids=str)
def test_standby_ends_the_one_that_hangs_with_the_lease(scenes: dict[Stop, Future[Seen]], stop: Stop) -> None:
    assert scenes[stop].result(200).held_status == -signal.SIGKILL


def _seen(stage: Stand, stop: Stop) -> Seen:
    """Play it; anew where a busy machine held the engine so long that its watchdog ended it."""
    for _ in range(4):
        seen = _play(stage, stop)
        if stop.seconds != LICENCE_PAST or seen.held_status is None or seen.problems:
            break
    return seen


def _play(stage: Stand, stop: Stop) -> Seen:
    with stage.scene(f"stopped-{STOPS.index(stop)}", ALONE) as scene:
        doom = {"phase": "exit", "place": stop.place, "hit": 2, "stop": True}
        engine = scene.fork(first="before", doom=doom)
        assert engine.ready(60)
        scene.until_armed(60)
        scene.submit(_strategy(scene))
        scene.until_state({"open"}, 60)
        ((run,),) = scene.rows("SELECT id FROM strategy_execution")
        scene.desk.close_run(run, None, uuid4().hex)
        scene.wait(lambda: _is_held(engine), 30, lambda: f"not held; the run is {scene.run_state()}")
        held_since = time.monotonic()
        scene.wait(lambda: time.monotonic() - held_since >= ARRIVED, 30)  # what had left before it was held
        sent = [_orders(scene)]
        following = scene.fork("--standby", "60") if stop.standby else None
        if following is not None:
            assert following.ready(60)
        scene.wait(lambda: time.monotonic() - held_since >= stop.seconds, stop.seconds + 5)
        if following is None:
            assert _orders(scene) == sent[0], "a held engine sent"
        engine.send(signal.SIGCONT)
        until = time.monotonic() + 60
        while not scene.ended:
            assert time.monotonic() < until, f"the run is {scene.run_state()}"
            if not engine.alive and following is None:  # its watchdog ended it: whoever supervises it starts another
                following = scene.fork()
            time.sleep(0.1)
        sent.append(_orders(scene))
        states = [str(state) for (state,) in scene.rows("SELECT state FROM orders ORDER BY id")]
        return Seen(final_problems(scene, lots=2), engine.status, states, sent)


def _strategy(scene: Scene) -> int:
    accounts = [account.id for account in scene.desk.accounts()]
    draft = StrategyDraft(name="Hedged straddle", account_ids=accounts, legs=list(HEDGED), fixed_lots=2)
    return scene.desk.save_strategy(draft).id


def _orders(scene: Scene) -> int:
    return sum(len(scene.books(name)["orders"]) for name in scene.keys)


def _is_held(engine: Forked) -> bool:
    return engine.alive and psutil.Process(engine.pid).status() == psutil.STATUS_STOPPED
