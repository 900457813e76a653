"""A figure is fresh, stale with its age, or unavailable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pages.components.freshness import Freshness, judge

NOW = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "problem", "expected"),
    [
        (1.0, "", Freshness.FRESH),
        (6.0, "", Freshness.STALE),
        (240.0, "The engine is not running.", Freshness.STALE),
        (0.0, "The engine has not started yet.", Freshness.UNAVAILABLE),
        (None, "", Freshness.UNAVAILABLE),
    ],
)
def test_what_a_figure_is_worth(seconds: float | None, problem: str, expected: Freshness) -> None:
    as_of = None if seconds is None else NOW - timedelta(seconds=seconds)
    assert judge(as_of, NOW, problem) is expected
