"""A disk that fills up while a run is open: the reserve lets its exit through (law 15)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import House


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB; skips where none may be mounted."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk_does_not_hold_back_the_exit(tmp_path: Path, small_disk: Path) -> None:
    database = f"sqlite:///{small_disk}/house.db"
    with House(tmp_path, database_url=database, data_folder=small_disk) as house:
        run = house.execute(house.straddle(max_loss=20_000.0))
        house.until_open(run)
        fill(small_disk / "other-things")
        house.paper.shift("NIFTY", "NSE_INDEX", 2.0)
        house.until_closed(run)
        house.assert_clean(run)
        assert any("disk is full" in event.message for event in house.desk.risk_events())


def fill(path: Path) -> None:
    """Write until nothing more goes."""
    with path.open("wb", buffering=0) as file:
        for size in (1_048_576, 4_096, 1):
            try:
                while True:
                    file.write(os.urandom(size))
            except OSError:
                continue
