"""Tables as CSV for spreadsheets: times in India, and no cell that could become a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone

IST = timezone(timedelta(hours=5, minutes=30), "IST")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV under a head.

    >>> csv_text(["what", "much"], [["=1+1", -5], ["plain", None]]).splitlines()
    ['what,much', "'=1+1,-5", 'plain,']
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_harmless(cell) for cell in row])
    return text.getvalue()


def ist_text(moment: datetime | None) -> str:
    """Return a time as people in India read it, to the second; empty without one."""
    return "" if moment is None else moment.astimezone(IST).isoformat(timespec="seconds")


def _harmless(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
