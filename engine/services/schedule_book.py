"""Strategies that enter by the clock, as the database has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ScheduleBook:
    """Schedules by strategy."""
