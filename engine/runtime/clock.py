"""The machine's clocks: the time of day, and one that goes on through a suspend."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path


class SystemClock:
    """Time as the engine sees it when it runs for real."""

    def now(self) -> datetime:
        """Return the time of day, aware UTC."""
        return datetime.now(UTC)

    def boot(self) -> float:
        """Return seconds since boot, suspend included."""
        return boot_seconds()

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def boot_seconds() -> float:
    """Return CLOCK_BOOTTIME, where the system has it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


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
