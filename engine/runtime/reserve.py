"""Room kept back on the disk: a full disk must not hold back exits (law 15), and their intents need some (law 1)."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

_log = logging.getLogger(__name__)
RESERVE_BYTES = 8 * 1024 * 1024
"""A few hundred commits: an exit of hundreds of orders needs fewer."""


class DiskReserve:
    """A file of nothing beside the database, given up when the disk is full and made again when there is room."""

    def __init__(self, folder: Path, size: int = RESERVE_BYTES) -> None:
        self._path = folder / "reserve"
        self._size = size

    def make(self) -> bool:
        """Keep the room back; return whether it is there. A disk without room for it is no error."""
        with contextlib.suppress(OSError):
            if self._path.stat().st_size >= self._size:
                return True
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._path.open("wb") as file:
                # written, not only promised: some file systems keep no room for holes
                for _ in range(self._size // 65_536):
                    file.write(os.urandom(65_536))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            _log.warning("there is no room for the disk reserve of %d MB", self._size // 1_048_576)
            self.give_up()
            return False
        return True

    def give_up(self) -> bool:
        """Free the room; return whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
