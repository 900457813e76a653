"""Which account gives each market's prices now, and since when."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class DataLeaders:
    """The account that gives prices, by market."""
