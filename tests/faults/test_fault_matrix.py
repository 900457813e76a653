"""The fault matrix: every kind of trouble at every step of a run, on a real engine and a real exchange.

A failing cell names step, face, account and what was wrong. ``python -m tests.faults.matrix --write
docs/fault-matrix.md`` writes what was measured.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.paper.faults import KINDS, STREAM_KINDS
from tests.faults.cases import DEAD_TOKEN
from tests.faults.matrix import SCENES
from tests.faults.scenes import Companies, Step, cases_of

PLAYED = [(step, face) for face, steps in SCENES.items() for step in steps]


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companies]:
    with Companies(tmp_path_factory.mktemp("companies")) as companies:
        yield companies


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("step", "face"), PLAYED, ids=[f"{step}-{face}" for step, face in PLAYED])
def test_every_kind_of_trouble_ends_flat_with_nothing_sent_twice(companies: Companies, step: Step, face: str) -> None:
    rows = companies.play(step, face)
    wrong = [f"{step} · {face} · {row.case}: {problem}" for row in rows for problem in row.problems]
    assert not wrong, "\n" + "\n".join(wrong)


def test_every_kind_that_the_exchange_knows_is_played_at_entry_and_at_exit() -> None:
    for step in (Step.ENTRY, Step.EXIT):
        for face in SCENES:
            assert {case.kind for case in cases_of(step, face)} - {DEAD_TOKEN} == set(KINDS) | STREAM_KINDS
