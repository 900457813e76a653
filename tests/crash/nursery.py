"""Engines forked from one process that imported the engine once: a start costs a tenth of a second, not one."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

from tests.paper_server import ROOT, wait_until


class Forked:
    """One forked engine. ``status`` is its exit code, negative for a signal, None while it lives."""

    def __init__(self, folder: Path) -> None:
        self._out = folder / "engine.out"
        self._said_before = len(self._read())
        self._begun, self._ended = threading.Event(), threading.Event()
        self.pid = 0
        self.status: int | None = None

    @property
    def said(self) -> str:
        """What it printed."""
        return self._read()[self._said_before :]

    def ready(self, seconds: float = 30.0) -> bool:
        """Wait until it trades; False if it ended before."""
        wait_until(lambda: "engine ready" in self.said or self._ended.is_set(), seconds=seconds)
        return not self._ended.is_set()

    @property
    def alive(self) -> bool:
        return not self._ended.is_set()

    def wait(self, seconds: float) -> int:
        """Wait until it ended and return its status; fails if it does not."""
        assert self._ended.wait(seconds), f"engine {self.pid} did not end in {seconds} s"
        assert self.status is not None, "the nursery is gone; its words say why"
        return self.status

    def kill(self) -> None:
        """kill -9."""
        self.send(signal.SIGKILL)
        assert self._ended.wait(10)

    def stop(self, seconds: float = 15.0) -> int:
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal if it still lives."""
        assert self._begun.wait(10)
        if self.alive:
            os.kill(self.pid, number)

    def told(self, what: dict[str, int]) -> None:
        """Take what the nursery says of it."""
        if "pid" in what:
            self.pid = what["pid"]
            self._begun.set()
        else:
            self.status = what["ended"]
            self._ended.set()

    def lost(self) -> None:
        """Nobody tells any more: it counts as ended."""
        self._begun.set()
        self._ended.set()

    def _read(self) -> str:
        return self._out.read_text() if self._out.exists() else ""


class Nursery:
    """The forking process. What it forked ends with it, however it ends."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.doomed"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._forked: dict[int, Forked] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(15)
        self._listener.join(5)

    def start(self, environment: dict[str, str], folder: Path, options: tuple[str, ...] = (), **how: Any) -> Forked:
        """Fork an engine; ``how``: doom, record, broken as ``doomed.prepare`` takes them."""
        assert self._process.stdin is not None
        forked = Forked(folder)
        with self._lock:
            number = next(self._numbers)
            self._forked[number] = forked
            order = {"number": number, "environment": environment, "folder": str(folder), "options": options, **how}
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        return forked

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                what = json.loads(line)
                self._forked[what["number"]].told(what)
        for forked in self._forked.values():  # the nursery is gone, and what it forked with it
            forked.lost()
