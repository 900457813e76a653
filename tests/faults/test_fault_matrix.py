"""The fault matrix: every kind of trouble at every step of a run, on a real engine and a real exchange.

A failing cell names step, face, account and what was wrong. ``python -m tests.faults.matrix --write
docs/fault-matrix.md`` writes what was measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.paper.faults import KINDS, STREAM_KINDS
from tests.faults.cases import DEAD_TOKEN
from tests.faults.matrix import SCENES
from tests.faults.scenes import Company, Step, cases_of

PLAYED = [(step, face) for face, steps in SCENES.items() for step in steps]


class Companies:
    """One company per face, made when it is needed, and made anew after a scene that left something behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._now: Company | None = None

    def on(self, face: str) -> Company:
        if self._now is None or self._now.face != face or not self._now.sound:
            self.close()
            self._now = Company(Path(tempfile.mkdtemp(dir=self.folder)), face)
        return self._now

    def close(self) -> None:
        if self._now is not None:
            self._now.__exit__()
            self._now = None


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companies]:
    companies = Companies(tmp_path_factory.mktemp("companies"))
    yield companies
    companies.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("step", "face"), PLAYED, ids=[f"{step}-{face}" for step, face in PLAYED])
def test_every_kind_of_trouble_ends_flat_with_nothing_sent_twice(companies: Companies, step: Step, face: str) -> None:
    rows = companies.on(face).play(step)
    wrong = [f"{step} · {face} · {row.case}: {problem}" for row in rows for problem in row.problems]
    assert not wrong, "\n" + "\n".join(wrong)


def test_every_kind_that_the_exchange_knows_is_played_at_entry_and_at_exit() -> None:
    for step in (Step.ENTRY, Step.EXIT):
        for face in SCENES:
            assert {case.kind for case in cases_of(step, face)} - {DEAD_TOKEN} == set(KINDS) | STREAM_KINDS
