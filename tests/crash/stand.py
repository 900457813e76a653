"""Where scenes are played: one exchange and one nursery for many, each scene with accounts and a folder of its own."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.cases import Case, Recorded
from tests.crash.flows import FLOWS, Flow, Played, play
from tests.crash.nursery import Nursery
from tests.crash.scene import Scene, prepared_database
from tests.paper_server import PaperServer

LOG_LINES = 80
RECORDED_AT_ONCE = 6
TABLES = (
    "SELECT id, state, reason FROM strategy_execution",
    "SELECT account_id, state, reason FROM execution_account",
    "SELECT id, account_id, symbol, purpose, action, quantity, state, filled_quantity, orderid, words FROM orders",
    "SELECT order_id, account_id, symbol, action, quantity, source FROM fill WHERE order_id IS NULL",
    "SELECT id, reason, state FROM exit_plan",
    "SELECT at, account_id, kind, message FROM risk_event",
)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case. ``reached``: the engine died there; no problem: the run ended as it must."""

    case: Case
    reached: bool
    problems: tuple[str, ...]
    seconds: float
    log: str = field(default="", repr=False)

    @property
    def outcome(self) -> str:
        """failed, held, or not reached: then the run ended well, but nobody was killed."""
        return "failed" if self.problems else "held" if self.reached else "not reached"

    @property
    def replay(self) -> str:
        """The command that plays exactly this case again."""
        return f"python -m tests.crash.matrix --case '{self.case}'"


class Stand:
    """Plays scenes, several at the same time. Scenes mostly wait: six of them keep two processors busy."""

    def __init__(self, folder: Path, exchange: PaperServer, nursery: Nursery, prepared: Path) -> None:
        self._folder, self._exchange, self._nursery, self._prepared = folder, exchange, nursery, prepared
        self._numbers = itertools.count(1)

    def record(self, flows: Iterable[str] = FLOWS) -> Recorded:
        """Play workflows unharmed and return what they executed; fails if one does not end well."""
        names = list(flows)
        with ThreadPoolExecutor(RECORDED_AT_ONCE) as pool:
            return dict(zip(names, pool.map(self._record, [FLOWS[name] for name in names]), strict=True))

    def play(
        self, cases: Sequence[Case], *, width: int, broken: str = "", each: Callable[[Result], None] | None = None
    ) -> list[Result]:
        """Play the cases, ``width`` at the same time; ``each`` hears of every result as it comes."""

        def one(case: Case) -> Result:
            result = self.one(case, broken=broken)
            if each is not None:
                each(result)
            return result

        with ThreadPoolExecutor(width) as pool:
            return list(pool.map(one, cases))

    def one(self, case: Case, *, broken: str = "") -> Result:
        """Play one case. One that was not reached is played again at its first execution."""
        result = self._once(case, broken)
        if result.outcome == "not reached" and case.hit > 1:
            return self._once(Case(case.flow, case.phase, case.place, 1), broken)
        return result

    @contextlib.contextmanager
    def scene(self, name: str, accounts: tuple[tuple[str, float, str], ...]) -> Iterator[Scene]:
        """Return a scene of its own accounts and folder, both gone after the block."""
        folder = self._folder / f"{name}-{next(self._numbers)}"
        folder.mkdir()
        try:
            with Scene(
                folder,
                exchange=self._exchange,
                nursery=self._nursery,
                prepared=self._prepared,
                accounts=accounts,
            ) as scene:
                yield scene
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _once(self, case: Case, broken: str) -> Result:
        began = time.monotonic()
        with self.scene(case.flow, case.workflow.accounts) as scene:
            played = play(scene, case.workflow, doom=case.doom, broken=broken)
            log = "" if not played.problems else _evidence(scene)
        return Result(case, played.reached, tuple(played.problems), time.monotonic() - began, log)

    def _record(self, flow: Flow) -> dict[str, dict[str, int]]:
        with self.scene(flow.name, flow.accounts) as scene:
            path = scene.folder / "executed.json"
            played: Played = play(scene, flow, record=str(path))
            assert not played.problems, f"{flow.name} unharmed: {played.problems}"
            found: dict[str, Any] = json.loads(path.read_text())
        return {phase: found.get(phase, {}) for phase in flow.phases}


@contextlib.contextmanager
def stand() -> Iterator[Stand]:
    """Return a stand with an exchange and a nursery that end with the block."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "prepared").mkdir()
        prepared = prepared_database(Path(folder) / "prepared")
        with PaperServer() as exchange, Nursery() as nursery:
            yield Stand(Path(folder), exchange, nursery, prepared)


def _evidence(scene: Scene) -> str:
    """Return what somebody needs to understand a failure: the engine's tables, its alarms and its last words."""
    parts = []
    for query in TABLES:
        parts += [query, *(f"  {row}" for row in scene.rows(query))]
    log = scene.folder / "engine.err"
    return "\n".join([*parts, *(log.read_text(errors="replace").splitlines()[-LOG_LINES:] if log.exists() else [])])
