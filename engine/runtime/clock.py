"""The machine's clocks: the time of day, and one that goes on through a suspend."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

CATCH_UP_RATE = 0.5
"""How fast the engine's time goes while the machine's clock is behind it."""


class SteadyTime:
    """The time of day that never goes back, whatever is done to the machine's clock.

    Which read was begun after which fill, and how old a price is, are told by times: a clock set back by an hour would
    make every exit wait for an hour. So after a step back time goes on at half its rate until the machine's clock has
    caught up. A step forward is followed at once.
    """

    def __init__(self, wall: Callable[[], datetime], boot: Callable[[], float]) -> None:
        self._wall, self._boot = wall, boot
        self._lock = threading.Lock()
        self._last, self._last_boot = wall(), boot()

    def now(self) -> datetime:
        """Return the time of day, aware UTC; safe from any thread."""
        with self._lock:
            wall, boot = self._wall(), self._boot()
            elapsed = timedelta(seconds=max(0.0, boot - self._last_boot))
            self._last, self._last_boot = max(wall, self._last + elapsed * CATCH_UP_RATE), boot
            return self._last

    def ahead(self) -> timedelta:
        """Return how far the machine's clock is behind."""
        return self.now() - self._wall()


class SystemClock:
    """Time as the engine sees it when it runs for real."""

    def now(self) -> datetime:
        """Return the time of day, aware UTC; it never goes back."""
        return steady_now()

    def boot(self) -> float:
        """Return seconds since boot, suspend included."""
        return boot_seconds()

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def boot_seconds() -> float:
    """Return CLOCK_BOOTTIME, where the system has it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


_steady = SteadyTime(lambda: datetime.now(UTC), boot_seconds)


def steady_now() -> datetime:
    """Return the one time of day of this process: reads, ticks and the core must count by the same."""
    return _steady.now()


def ahead_of_the_machine() -> timedelta:
    """Return how far the machine's clock is behind the engine's."""
    return _steady.ahead()


def boot_id() -> str:
    """Return what tells this boot of this machine from others; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_start(pid: int) -> float | None:
    """Return when a process began (clock ticks since boot), None if there is none or the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return float(stat.rpartition(")")[2].split()[19])
