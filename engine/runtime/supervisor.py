"""The web server's children: the engine and the paper exchange, started, watched, restarted and ended.

Each child runs in a session of its own, so that a Ctrl-C in the console reaches the server only, and holds the reading
end of a pipe: its lifeline. When the server stops or is killed, the writing end closes, and the child ends by itself.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from engine.settings import Settings
from engine.store.vault import key_file

log = logging.getLogger(__name__)

LEASE_HELD = 3
"""Exit code of an engine that found another one trading."""
LIFELINE = "{lifeline}"
"""Stands in a child's command for the number of its pipe."""
RESTART_AFTER = (0.0, 1.0, 2.0, 5.0, 10.0)
STEADY_SECONDS = 60.0
FIRST_RETRY_SECONDS = 2.0
RETRY_SECONDS = 10.0
FINISH_SECONDS = 8.0
TERMINATE_SECONDS = 2.0
FROZEN_SECONDS = 5.0
"""A child that the system holds stopped for this long is killed and started again."""
LOG_BYTES = 10_000_000
LAST_WORDS = "stopped with"
ANOTHER_TRADES = "another engine holds the lease and trades"
_PACKAGE_HOME = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep alive. ``command`` holds LIFELINE where the pipe's number goes.

    ``blocked`` returns in words why it cannot start now, empty when it can.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    blocked: Callable[[], str] = str
    speaks_last: bool = False
    """Its last line belongs on the console: it says how many runs nobody watches now."""


def children_of(settings: Settings) -> list[Child]:
    """Return the children that the settings ask for, in the order in which they start.

    With ENGINE=external the engine is somebody else's; the paper exchange, which holds no money, still runs here.
    """
    python = [sys.executable, "-m", "engine"]
    # The folder of the package goes by PYTHONPATH; the working folder stays, since relative settings count from there.
    found = {"PYTHONPATH": os.pathsep.join(filter(None, [str(_PACKAGE_HOME), os.environ.get("PYTHONPATH", "")]))}
    folder = settings.data_dir / "paper"
    token = key_file(folder / "control.token", secrets.token_urlsafe(32).encode()).decode()
    paper = Child(
        name="paper",
        command=[
            *python, "paper", "--port", str(settings.paper_port), "--seed", str(settings.paper_seed),
            "--state", str(folder / "exchange.db"), "--control", "--lifeline-fd", LIFELINE,
        ],
        environment=found | {"PAPER_CONTROL_TOKEN": token},
        blocked=lambda: _port_taken(settings.paper_port),
    )  # fmt: skip
    engine = Child(
        name="engine", command=[*python, "run", "--lifeline-fd", LIFELINE], environment=found, speaks_last=True
    )
    return [paper, engine] if settings.engine == "child" else [paper] if settings.engine == "external" else []


class Supervisor:
    """Keeps the children alive until ``stop``; one thread of its own, no zombies."""

    def __init__(self, settings: Settings, children: Sequence[Child] | None = None) -> None:
        chosen = children_of(settings) if children is None else children
        self._kept = [_Kept(child, settings.log_dir) for child in chosen]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the children and watch them from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the children, the last one first: the engine finishes its call while its counterpart is still there.

        Each has 8 s to end by its lifeline, then it is terminated, then killed.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for kept in reversed(self._kept):
            kept.end()

    def pids(self) -> dict[str, int | None]:
        """Return the process id of each child, None while it is down."""
        return {kept.child.name: kept.pid for kept in self._kept}

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for kept in self._kept:
                try:
                    kept.look(time.monotonic())
                except OSError as error:  # no process, no file descriptor, no disk: the next look may do better
                    kept.postpone(time.monotonic(), f"cannot be started: {error}")
            self._stopping.wait(0.2)


class _Kept:
    """One child over its lives."""

    def __init__(self, child: Child, log_dir: Path) -> None:
        self.child = child
        self._log = log_dir / f"{child.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self._started = 0.0
        self._next_start = 0.0
        self._deaths = 0
        self._said = ""
        self._frozen_since: float | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def look(self, now: float) -> None:
        """Start the child when its time has come, note its death when it died."""
        if self._process is None:
            if now >= self._next_start:
                if reason := self.child.blocked():
                    self.postpone(now, reason)
                else:
                    self._start(now)
            return
        code = self._process.poll()
        if code is None:
            self._end_frozen(now)
            return
        self._let_go()
        if code == LEASE_HELD:
            first = self._said != ANOTHER_TRADES  # one whose server was just killed is gone in a moment
            self.postpone(now, ANOTHER_TRADES, after=RETRY_SECONDS if not first else FIRST_RETRY_SECONDS)
            return
        if now - self._started >= STEADY_SECONDS:
            self._deaths = 0
        delay = RESTART_AFTER[min(self._deaths, len(RESTART_AFTER) - 1)]
        self._deaths += 1
        self._next_start = now + delay
        self._said = ""
        self._say(f"ended ({_in_words(code)}); started again in {delay:.0f} s. Its output: {self._log}")

    def _end_frozen(self, now: float) -> None:
        """Kill a child that is held stopped; one that hangs by itself is ended by its own watchdog."""
        assert self._process is not None
        if not _held_stopped(self._process.pid):
            self._frozen_since = None
        elif self._frozen_since is None:
            self._frozen_since = now
        elif now - self._frozen_since >= FROZEN_SECONDS:
            self._say(f"was held stopped for {FROZEN_SECONDS:.0f} s: killed")
            self._process.kill()
            self._frozen_since = None

    def postpone(self, now: float, reason: str, *, after: float = RETRY_SECONDS) -> None:
        """Try again later; the reason is logged once, however often it returns."""
        self._next_start = now + after
        if reason != self._said:
            self._say(f"{reason}; tried again every {RETRY_SECONDS:.0f} s")
            self._said = reason

    def end(self) -> None:
        """Close the lifeline and wait; terminate, then kill what does not end."""
        if self._process is None:
            return
        written = _size(self._log)
        os.close(self._lifeline)
        self._lifeline = -1
        for limit, harder in ((FINISH_SECONDS, self._process.terminate), (TERMINATE_SECONDS, self._process.kill)):
            try:
                self._process.wait(limit)
                break
            except subprocess.TimeoutExpired:
                self._say("does not end by itself: ended by force")
                harder()
        self._process.wait()
        self._let_go()
        if self.child.speaks_last:
            _to_console(_last_words(self._log, written) or f"{self.child.name}: ended without saying what is open")

    def _start(self, now: float) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        if _size(self._log) > LOG_BYTES:
            self._log.replace(self._log.with_name(self._log.name + ".1"))
        reading, writing = os.pipe()
        try:
            with self._log.open("ab") as output:
                self._process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
                    [str(reading) if part == LIFELINE else part for part in self.child.command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=os.environ | dict(self.child.environment),
                    pass_fds=(reading,),
                    start_new_session=True,
                )
        except OSError:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        self._lifeline, self._started = writing, now

    def _let_go(self) -> None:
        self._process = None
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def _say(self, what: str) -> None:
        log.warning("%s: %s", self.child.name, what)


def _port_taken(port: int) -> str:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return f"port {port} is taken by another program: stop it, or choose another with PAPER_PORT"
    return ""


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _last_words(path: Path, since: int) -> str:
    """Return the last line written after ``since`` that says how many runs are open, empty without one."""
    with suppress(FileNotFoundError), path.open("rb") as output:
        output.seek(since)
        lines = output.read().decode(errors="replace").splitlines()
        return next((line for line in reversed(lines) if LAST_WORDS in line), "")
    return ""


def _to_console(line: str) -> None:
    sys.stderr.write(f"  {line}\n")
    sys.stderr.flush()


def _held_stopped(pid: int) -> bool:
    """Tell whether the system holds a process stopped; where it does not say, none is."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] == ["T"]


def _in_words(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
