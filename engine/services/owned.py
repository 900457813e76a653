"""What a run may exit under a key, and what its contracts are (RULES 6)."""

from __future__ import annotations

from typing import Any

from engine.domain.errors import DomainError
from engine.domain.evidence import AccountBooks, Instrument
from engine.domain.instruments import Key
from engine.domain.runs import Run
from engine.services.ledger import Pass
from engine.services.world import Account

USUAL_TICK = 0.05


def owned_now(changes: Pass, account: Account, run: Run, key: Key) -> int:
    """Return E (RULES 6): what the run may exit under a key after drift that is seen but not yet booked."""
    quantity = changes.holdings(run.id)[key].quantity if key in changes.holdings(run.id) else 0
    books = settled_books(changes, account, key) if quantity else None
    if books is None:
        return quantity
    charges = changes.drift(key, books.owned(instrument_of(key)))
    return quantity - charges.of_run(run.id)


def settled_books(changes: Pass, account: Account, key: Key) -> AccountBooks | None:
    """Return valid books that may show drift under a key.

    They are newer than the last change there, show every trade of ours, and nothing of ours is in doubt.
    """
    books = account.books_since(account.last_change.get(key))
    return None if books is None or changes.in_doubt(key) or key in account.standing.unexplained else books


def instrument_of(key: Key) -> Instrument:
    """Return a key without its account."""
    return Instrument(key.symbol, key.exchange, key.product)


def lot_and_freeze(run: Run, symbol: str) -> tuple[int, int | None]:
    """Return lot size and freeze quantity of a contract of the run, as resolved at entry.

    Raises DomainError for a symbol that is none of its contracts.
    """
    leg = _leg(run, symbol)
    if leg is None:
        raise DomainError("symbol", f"{symbol} is no contract of run {run.id}")
    return int(leg["lot_size"]), leg["freeze_quantity"]


def tick_size(run: Run, symbol: str) -> float:
    """Return the tick (₹) of a contract of the run; ₹ 0.05 where the run does not know it."""
    tick = float((_leg(run, symbol) or {}).get("tick_size") or 0.0)
    return tick if 0 < tick < float("inf") else USUAL_TICK


def _leg(run: Run, symbol: str) -> dict[str, Any] | None:
    return next((leg for leg in run.resolved.get("legs", []) if leg["symbol"] == symbol), None)
