"""The cases of the crash matrix: which place, in which workflow and phase, at which of its executions.

A case is named ``fly.exit@engine/services/placing.py:_send+12#3`` or ``fly.exit@send-left#3``: workflow, phase, place,
and the execution in the phase at which the engine dies.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from typing import Any

from tests.crash.failpoints import FAILPOINTS
from tests.crash.flows import FLOWS, Flow
from tests.crash.places import files_of, line_text, statement_of

Recorded = dict[str, dict[str, dict[str, int]]]
"""Workflow → phase → place → how often it was executed."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kill."""

    flow: str
    phase: str
    place: str
    hit: int

    def __str__(self) -> str:
        return f"{self.flow}.{self.phase}@{self.place}#{self.hit}"

    @classmethod
    def named(cls, name: str) -> Case:
        """Return the case of a name; raises ValueError if it is none."""
        where, at, rest = name.partition("@")
        flow, dot, phase = where.partition(".")
        place, sharp, hit = rest.rpartition("#")
        if not (at and dot and sharp and hit.isdecimal()) or flow not in FLOWS or phase not in FLOWS[flow].phases:
            raise ValueError(f"{name!r} is no case: workflow.phase@place#execution")
        return cls(flow, phase, place, int(hit))

    @property
    def is_failpoint(self) -> bool:
        return ":" not in self.place

    @property
    def workflow(self) -> Flow:
        return FLOWS[self.flow]

    @property
    def doom(self) -> dict[str, Any]:
        """What the doomed engine is told."""
        return {"phase": self.phase, "place": self.place, "hit": self.hit}

    @property
    def text(self) -> str:
        """The place in words: what a failpoint means, or the source of the line."""
        return FAILPOINTS[self.place] if self.is_failpoint else line_text(self.place)


def all_cases(recorded: Recorded) -> list[Case]:
    """Return every case of what was recorded: each failpoint at several executions, each line once in each phase.

    A statement over several lines counts as its first one that was executed. At which of its executions a line kills is
    drawn by its name, from the first half of those counted: how often it runs depends a little on the machine.
    """
    cases: list[Case] = []
    taken: set[tuple[str, str, int]] = set()
    for flow in FLOWS.values():
        for phase in flow.phases:
            for place, count in sorted(recorded.get(flow.name, {}).get(phase, {}).items(), key=_in_order):
                if ":" not in place:
                    cases += [Case(flow.name, phase, place, hit) for hit in _spread(count)]
                elif place.partition(":")[0] not in files_of(flow.watched):
                    continue
                elif (statement := (phase, *statement_of(place))) not in taken:
                    taken.add(statement)
                    hit = 1 + zlib.crc32(f"{phase} {place}".encode()) % max(1, count // 2)
                    cases.append(Case(flow.name, phase, place, hit))
    return cases


def sample(cases: list[Case], size: int, seed: int) -> list[Case]:
    """Return a seeded sample: every failpoint once, the rest lines, as many of each phase as of every other."""
    chance = random.Random(seed)
    chosen = [chance.choice(those) for name in FAILPOINTS if (those := [case for case in cases if case.place == name])]
    phases = sorted({(case.flow, case.phase) for case in cases})
    lines = {
        phase: [case for case in cases if (case.flow, case.phase) == phase and not case.is_failpoint]
        for phase in phases
    }
    for those in lines.values():
        chance.shuffle(those)
    while len(chosen) < size and any(lines.values()):
        for those in lines.values():
            if those and len(chosen) < size:
                chosen.append(those.pop())
    return chosen


def _in_order(executed: tuple[str, int]) -> tuple[str, int]:
    function, _, distance = executed[0].rpartition("+")
    return (function, int(distance)) if function else (executed[0], 0)


def _spread(count: int) -> list[int]:
    most = max(1, count * 3 // 4)
    return sorted({1, min(2, most), max(1, most // 2), most})
