"""A real engine that dies, or is stopped, at one exact place; and the nursery that forks such engines quickly.

``python -m tests.crash.doomed`` imports the engine once and reads one order per line from standard input, as
``nursery.Nursery`` writes them; each becomes a forked process that runs ``python -m engine run`` in its own folder.

Lines count from the moment that the process is in the doom's phase: ``entry`` from the command to execute until the run
is open, ``exit`` from there until it is closed, ``recovery`` from the start of the process until the run is open or
closed. A tale has one phase of its own: from the moment that all its runs are open until all are closed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import engine.cli
import engine.runtime.bootstrap  # the children share what is imported here
from engine.domain.runs import RUN_ENDED, RunState
from engine.runtime.core import Core
from engine.services import supertrend_judging
from engine.services.intake import Intake
from tests.crash import breakages, failpoints
from tests.crash.places import ROOT, line_name, line_number, watched_files

LOOK_SECONDS = 0.02


class Phases:
    """In which part of a run's life the process is."""

    def __init__(self, first: str, tale: str = "", runs: int = 1) -> None:
        self.now = first
        self._tale, self._runs = tale, runs
        self._opened: set[int] = set()
        self._ended: set[int] = set()

    def install(self) -> None:
        """Watch commands and what passes made of runs."""

        def take(original: Any, intake: Intake, changes: Any, world: Any, command: Any) -> None:
            if command.kind == "execute" and not self._tale:
                self.now = "entry"
            original(intake, changes, world, command)

        def act(original: Any, core: Core, changes: Any) -> None:
            for run in changes.runs.values():
                if self._tale:
                    self._tell(run.id, run.state)
                elif run.state in RUN_ENDED or (run.state is RunState.OPEN and self.now == "recovery"):
                    self.now = "after"
                elif run.state in {RunState.OPEN, RunState.EXITING} and self.now == "entry":
                    self.now = "exit"
            original(core, changes)

        failpoints.wrap(Intake, "take", take)
        failpoints.wrap(Core, "_act", act)

    def _tell(self, run_id: int, state: RunState) -> None:
        if state is RunState.OPEN:
            self._opened.add(run_id)
        elif state in RUN_ENDED:
            self._ended.add(run_id)
        if len(self._opened) >= self._runs:
            self.now = "after" if self._opened <= self._ended else self._tale


STOPPED_SECONDS = 1.2
"""Every stop lasts longer than this."""


class Doom:
    """Ends or stops this process when a place is reached for the n-th time in its phase."""

    def __init__(self, phases: Phases, order: dict[str, Any]) -> None:
        self._phases = phases
        self._phase, self._place, self._left = order["phase"], order["place"], int(order["hit"])
        self._signal = signal.SIGSTOP if order.get("stop") else signal.SIGKILL
        self._lock = threading.Lock()

    def install(self) -> None:
        """Watch the one place."""
        if ":" in self._place:
            file, line = line_number(self._place)
            _trace(_OneLine(str(ROOT / file), line, self))
        else:
            failpoints.install(self.failpoint)

    def failpoint(self, name: str) -> None:
        """Count a failpoint."""
        if name == self._place:
            self.reached()

    def reached(self) -> None:
        """Count, and strike at the last one."""
        if self._phases.now != self._phase:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                begun = time.clock_gettime(time.CLOCK_BOOTTIME)
                os.kill(os.getpid(), self._signal)
                # another thread may be the one that takes the signal: this one must not run on before all are stopped
                while time.clock_gettime(time.CLOCK_BOOTTIME) - begun < STOPPED_SECONDS:
                    time.sleep(0.01)


class Record:
    """Counts what is executed in each phase and writes it down when the engine ends."""

    def __init__(self, phases: Phases, path: Path) -> None:
        self._phases = phases
        self._path = path
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._files = {str(ROOT / file): file for file in watched_files()}

    def install(self) -> None:
        """Watch everything."""
        failpoints.install(lambda name: self._count(name, 0))
        _trace(self)
        run_engine = engine.runtime.bootstrap.run_engine

        def recorded(*args: Any, **kwargs: Any) -> None:
            try:
                run_engine(*args, **kwargs)
            finally:
                self._write()

        engine.runtime.bootstrap.run_engine = recorded

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self._line if frame.f_code.co_filename in self._files else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self._count(frame.f_code.co_filename, frame.f_lineno)
        return self._line

    def _count(self, where: str, line: int) -> None:
        self._counts[self._phases.now, where, line] += 1

    def _write(self) -> None:
        found: dict[str, dict[str, int]] = {}
        for (phase, where, line), count in dict(self._counts).items():
            place = line_name(self._files[where], line) if where in self._files else where
            if place is not None:
                found.setdefault(phase, {})[place] = count
        self._path.write_text(json.dumps(found))


class _OneLine:
    """A trace function that costs nothing but in the function that holds the line."""

    def __init__(self, file: str, line: int, doom: Doom) -> None:
        self._file, self._number, self._doom = file, line, doom
        self._holds: dict[CodeType, bool] = {}

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        code = frame.f_code
        holds = self._holds.get(code)
        if holds is None:
            lines = {line for _, _, line in code.co_lines()}
            holds = self._holds[code] = code.co_filename == self._file and self._number in lines
        return self._line if holds else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and frame.f_lineno == self._number:
            self._doom.reached()
        return self._line


def _trace(function: Any) -> None:
    threading.settrace(function)
    sys.settrace(function)


def prepare(order: dict[str, Any]) -> None:
    """Make the engine of this process doomed, recorded, broken on purpose, or leave it as it is."""
    if order.get("broken"):
        breakages.BREAKAGES[order["broken"]].install()
    if order.get("bars_before_entry"):
        judge_bars_before_entry()
    doom, record = order.get("doom"), order.get("record")
    if doom is None and record is None:
        return
    phases = Phases(order["first"], order.get("tale", ""), order.get("runs", 1))
    phases.install()
    if doom is not None:
        Doom(phases, doom).install()
    else:
        Record(phases, Path(record)).install()


def judge_bars_before_entry() -> None:
    """Let bars of the day before its entry take a run out, so that a Supertrend exit need not be waited for."""

    def decide(original: Any, *args: Any, entered_at: datetime, **kwargs: Any) -> Any:
        return original(*args, entered_at=entered_at - timedelta(days=1), **kwargs)

    failpoints.wrap(supertrend_judging, "decide", decide)


def _become_engine(order: dict[str, Any], lifeline: int) -> None:
    folder = Path(order["folder"])
    for descriptor, name in ((1, "engine.out"), (2, "engine.err")):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.environ.update(order["environment"])
    prepare(order)
    engine.cli.main(["run", "--lifeline-fd", str(lifeline), *order["options"]])


def nursery() -> None:
    """Fork an engine for each line of standard input; tell of each that began or ended. Ends with its input."""
    lifeline, held = os.pipe()
    living: dict[int, int] = {}
    waiting = b""
    while True:
        if select.select([0], [], [], LOOK_SECONDS if living else None)[0]:
            chunk = os.read(0, 65536)
            if not chunk:
                break
            *lines, waiting = (waiting + chunk).split(b"\n")
            for line in lines:
                order = json.loads(line)
                child = os.fork()
                if child == 0:
                    os.close(held)
                    try:
                        _become_engine(order, lifeline)
                    except Exception:  # noqa: BLE001 - it is in the scene's log then, and the exit code says so
                        traceback.print_exc()
                    finally:
                        os._exit(70)
                living[child] = order["number"]
                _tell(number=order["number"], pid=child)
        for pid in list(living):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                _tell(number=living.pop(pid), ended=os.waitstatus_to_exitcode(status))
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _tell(**what: int) -> None:
    os.write(1, (json.dumps(what) + "\n").encode())


if __name__ == "__main__":
    nursery()
