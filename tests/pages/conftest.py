"""What every test of the pages has: a scene of one person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pages.components import gate
from tests.desk_factory import DeskFactory
from tests.pages.risk_scene import show
from tests.pages.scene import Scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    factory = DeskFactory(tmp_path)
    made = Scene(factory, factory.person())
    monkeypatch.setattr(gate, "provide", lambda: made.desk)
    yield made
    factory.close()


@pytest.fixture
def risky(scene: Scene) -> Scene:
    """A family with two runs: one with gauges, one that is blind."""
    accounts = scene.factory.family(scene.desk)
    scene.factory.heartbeat()
    show(scene, accounts)
    return scene
