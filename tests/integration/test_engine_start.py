"""An engine that cannot start: what failed is said, and the lease is free for the next one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.runtime import bootstrap
from engine.runtime.lease import Lease
from engine.settings import Settings
from engine.store.database import Database


def test_failed_start_tells_its_own_error_and_gives_the_lease_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ArithmeticError("made to fail")

    settings = Settings(_env_file=None, database_url=f"sqlite:///{tmp_path}/desk.db", log_dir=tmp_path / "logs")
    monkeypatch.setattr(bootstrap.Journal, "load", broken)
    said: list[str] = []
    with pytest.raises(ArithmeticError, match="made to fail"):
        bootstrap.run_engine(settings, say=said.append)
    assert said == ["ended by an error; see the log"]
    database = Database(settings.database_url)
    next_one = Lease(database, settings.data_dir)
    assert next_one.take(wait_seconds=0.0) == 2
    next_one.release("")
    database.close()
