"""What all tests share: where the market files lie, a skip that says why, and what SQLAlchemy compiled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from engine.store import database

MARKET = Path(__file__).resolve().parents[2] / "shared" / "market"


@pytest.fixture
def market_file() -> Path:
    """The folder of the shared market files; skips where it is missing."""
    if not MARKET.is_dir():
        pytest.skip(
            "the shared market files (../shared/market) are not here: they carry no licence and are not shipped"
        )
    return MARKET


@pytest.fixture(scope="session", autouse=True)
def _statements_compiled_once() -> Iterator[None]:
    """Let all SQLite databases of this process share compiled statements: each test has a database of its own, and
    would compile the same hundred statements anew. Connections, transactions and data stay everybody's own.
    """
    shared = sqlalchemy.create_engine("sqlite://")
    shared.connect().close()  # what the dialect learns of SQLite, it learns now
    shared.dispose()

    def create_engine(url: sqlalchemy.URL, **options: Any) -> sqlalchemy.Engine:
        made = sqlalchemy.create_engine(url, **options)
        if made.dialect.name == shared.dialect.name:
            made.dialect, made._compiled_cache = shared.dialect, shared._compiled_cache
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "create_engine", create_engine)
        yield
