"""Where the pages are, for navigation and links; absolute, so that any entry script finds them."""

from __future__ import annotations

from pathlib import Path

_PAGES = Path(__file__).resolve().parent.parent

DESK = _PAGES / "desk.py"
STRATEGIES = _PAGES / "strategies.py"
POSITIONS = _PAGES / "positions.py"
ORDERS = _PAGES / "orders.py"
ACCOUNTS = _PAGES / "accounts.py"
RISK = _PAGES / "risk.py"
RISK_EVENTS = _PAGES / "risk_events.py"
SETTINGS = _PAGES / "settings.py"

ICON = Path(__file__).resolve().parent / "icon.svg"
"""Served by this server: a Material name as page icon would be fetched from a third party."""
