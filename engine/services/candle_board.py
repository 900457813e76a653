"""The series that Supertrend exits run on, as memory holds them; all of it can be read and built again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class CandleBoard:
    """Bars by market, symbol and interval, and what is asked for."""
