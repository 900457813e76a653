"""What every story of the crash matrix needs: its engines, one after the other, and when the next one begins."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from typing import Any

from tests.crash.nursery import Forked
from tests.crash.scene import Scene

LOOK_SECONDS = 0.1
LAST_ACT_SECONDS = 0.3


@dataclass(slots=True)
class Played:
    """What came of a scene: ``reached`` tells whether the doomed engine died at its place; no problem is a pass."""

    reached: bool = False
    problems: list[str] = field(default_factory=list)


class Engines:
    """The engines of a scene: ``hows`` are those that are doomed or recorded, what follows them is left alone.

    ``every``: how all of them are forked.
    """

    def __init__(self, scene: Scene, hows: list[dict[str, Any]], every: dict[str, Any], played: Played) -> None:
        self._scene, self._hows, self._every, self._played = scene, hows, every, played
        self._watchdogs = 0
        self.begun = 0

    def start(self) -> Forked:
        """Fork the next one; it need not have started yet."""
        how = self._hows[self.begun] if self.begun < len(self._hows) else {}
        self.begun += 1
        return self._scene.fork(**how, **self._every)

    def after(self, engine: Forked) -> Forked:
        """Fork the one after an engine that ended, which must have been killed."""
        if self._is_doomed and engine.status == -signal.SIGKILL:
            self._played.reached = self.begun == len(self._hows)
        else:  # on a machine that is too busy the watchdog ends an engine, as it shall: another one goes on
            fired = self._scene.watchdogs_fired()
            assert fired > self._watchdogs, f"engine {self.begun} ended by itself with {engine.status}"
            self._watchdogs = fired
        return self.start()

    def end(self, engine: Forked) -> None:
        """End a story: what is doomed may still die, what is recorded is stopped."""
        if self._is_doomed:
            time.sleep(LAST_ACT_SECONDS)  # it may die after the run's last commit
        if not engine.alive:
            engine = self.after(engine)
        how = self._hows[self.begun - 1] if self.begun <= len(self._hows) else {}
        if how.get("record"):
            status = engine.stop()
            assert status == 0, f"the recorded engine ended with {status}"

    @property
    def _is_doomed(self) -> bool:
        return self.begun <= len(self._hows) and "doom" in self._hows[self.begun - 1]
