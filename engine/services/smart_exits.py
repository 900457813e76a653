"""Exits sent as a smart order to position 0, for accounts whose capability is switched on by hand (off by default).

The server reads its own position and sends what is missing to 0: it can never turn a position around, but it takes
everything under the key. So only where all of it is one run's, no other order is about, and one order is enough.
"""

from __future__ import annotations

from typing import Any

from engine.domain.exits import BOOK_AGE
from engine.domain.instruments import Product
from engine.domain.orders import IN_DOUBT, Order, OrderState, Purpose
from engine.services.ledger import Pass
from engine.services.owned import instrument_of, settled_books
from engine.services.world import Account

CAPABILITY = "smart_exit"
_ENDED = frozenset({"complete", "cancelled", "rejected", "expired"})


def may_send_smart(capabilities: dict[str, Any]) -> bool:
    """Whether an account's settings allow smart exits; only a plain true does."""
    return capabilities.get(CAPABILITY) is True


def fits(changes: Pass, account: Account, order: Order, others: list[Order]) -> bool:
    """Whether a planned exit may go as a smart order to position 0 now. ``others``: our orders on the account.

    Its run owns all of the broker's position under the key in valid books at most 5 s old and begun after the last
    event there; the order is all of it in one piece; and no other order works under the key, ours or anybody's. Shares
    of earlier days are in no position book: never for CNC.
    """
    if not account.facts.smart_exit or order.purpose is not Purpose.EXIT or order.product is Product.CNC:
        return False
    books = settled_books(changes, account, order.key)
    if books is None or changes.now - books.begun_at > BOOK_AGE:
        return False
    instrument = instrument_of(order.key)
    owners = changes.owners(order.key)
    mine = len(owners) == 1 and owners[0].run_id == order.execution_id
    whole = mine and books.owned(instrument) == owners[0].quantity == -order.action.sign * order.quantity
    if not whole or instrument in account.drift_since:
        return False
    if any(other.key == order.key and other.id != order.id and not other.terminal for other in others):
        return False
    return all(row.instrument != instrument or row.status in _ENDED for row in [*books.orders, *account.pushes])


def holds_key(order: Order) -> bool:
    """Whether nobody may send under the key of this order: carried out late, it would take what came meanwhile."""
    return order.smart and (order.state is OrderState.SENDING or order.state in IN_DOUBT)
