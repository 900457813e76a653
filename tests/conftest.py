"""What all tests share: where the market files lie, and a skip that says why."""

from __future__ import annotations

from pathlib import Path

import pytest

MARKET = Path(__file__).resolve().parents[2] / "shared" / "market"


@pytest.fixture
def market_file() -> Path:
    """The folder of the shared market files; skips where it is missing."""
    if not MARKET.is_dir():
        pytest.skip(
            "the shared market files (../shared/market) are not here: they carry no licence and are not shipped"
        )
    return MARKET
