"""kill -9 at failpoints and executed lines of entry, exit and recovery (a seeded sample), and at moments of tales."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.cases import Case, Recorded, all_cases, sample
from tests.crash.failpoints import FAILPOINTS
from tests.crash.flows import FLOWS
from tests.crash.matrix import SAMPLE, SEED, main
from tests.crash.places import line_name, line_number, line_text, watched_files
from tests.crash.stand import Result, Stand, stand

WIDTH = 6
MOST_NOT_REACHED = 9
TOLD = (
    "part.part@send-left#3",
    "again.reentry@send-left#3",
    "fresh.reentry@answer-taken#3",
    "day.day@commit-written#1",
    "trail.trail@commit-begins#1",
    "trend.trend@act-begins#1",
    "rearm.rearm@commit-done#2",
)
"""One moment of each tale, where most would be lost."""
TELLING = {
    "acts-first": ("fly.exit@commit-begins#2", "fly.exit@commit-written#2", "fly.entry@commit-written#4"),
    "sending-is-not-sent": ("fly.exit@send-left#1", "fly.exit@send-arrived#2", "fly.exit@answer-taken#1"),
    "parts-forgotten": ("part.part@send-left#3", "part.part@answer-taken#3"),
}
"""Cases that come out wrong with each breakage."""
TRIES = 4
"""How often they are played: which commit a kill hits differs with the pace of the machine."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stand]:
    with stand() as stage:
        yield stage


@pytest.fixture(scope="module")
def recorded(stage: Stand) -> Recorded:
    """What the workflows execute when nobody is killed; tales are not recorded, their cases are named."""
    return stage.record([name for name, flow in FLOWS.items() if flow.tale is None])


@pytest.mark.timeout(600)
def test_workflows_pass_every_failpoint(recorded: Recorded) -> None:
    passed = {place for phases in recorded.values() for places in phases.values() for place in places}
    assert set(FAILPOINTS) - passed == set()


@pytest.mark.timeout(900)
def test_engine_killed_anywhere_leaves_every_run_flat_and_executed_once(stage: Stand, recorded: Recorded) -> None:
    results = stage.play(sample(all_cases(recorded), SAMPLE, SEED), width=WIDTH)
    failed = [result for result in results if result.problems]
    assert not failed, "\n".join(_told(result) for result in failed)
    not_reached = [str(result.case) for result in results if not result.reached]
    assert len(results) == SAMPLE
    assert len(not_reached) <= MOST_NOT_REACHED, f"nobody was killed at {not_reached}"


@pytest.mark.timeout(600)
def test_engine_killed_in_a_tale_goes_on_where_it_was(stage: Stand) -> None:
    results = stage.play([Case.named(name) for name in TOLD], width=WIDTH)
    failed = [result for result in results if result.problems]
    assert not failed, "\n".join(_told(result) for result in failed)
    assert not [str(result.case) for result in results if not result.reached]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("broken", TELLING)
def test_matrix_notices_an_engine_that_is_broken_on_purpose(stage: Stand, broken: str) -> None:
    results = []
    for _ in range(TRIES):
        results += stage.play([Case.named(name) for name in TELLING[broken]], width=WIDTH, broken=broken)
        if any(result.problems for result in results):
            return
    pytest.fail(f"nobody noticed: {[str(result) for result in results]}")


@pytest.mark.crash_all
@pytest.mark.timeout(4 * 3600)
def test_engine_killed_at_every_place(tmp_path: Path) -> None:
    assert main(["--all", "--write", str(tmp_path / "crash-matrix.md")]) == 0


def test_lines_are_named_by_their_function_and_found_again() -> None:
    for file in watched_files():
        for number in (1, 40, 80, 120):
            name = line_name(file, number)
            assert name is None or line_number(name) == (file, number)
    assert line_text("tests/crash/places.py:line_text+0").startswith("def line_text")


def test_case_is_read_from_its_name() -> None:
    case = Case("fly", "exit", "engine/services/placing.py:_send+12", 3)
    assert Case.named(str(case)) == case
    with pytest.raises(ValueError, match="is no case"):
        Case.named("fly.exit@send-left")


def _told(result: Result) -> str:
    return f"{result.case}: {'; '.join(result.problems)}\n  {result.replay}\n{result.log}"
