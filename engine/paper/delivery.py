"""The day's change of shares: CNC positions become holdings, sales are delivered from them (see holdings.py)."""

from __future__ import annotations

from datetime import date

from engine.domain.instruments import Product
from engine.paper.accounts import Account, Position
from engine.paper.holdings import Holding
from engine.paper.storage import HOLDING, Storage


class Delivery:
    """Turns the day for accounts, once a day each; what happened is on disk before it counts for a new order."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._turned: dict[str, date] = {}

    def turn(self, account: Account, today: date) -> None:
        """Move what CNC positions of earlier days still hold into holdings. Money stays exact: cost goes along.

        A clock that is set back turns no day.
        """
        if self._turned.get(account.book, date.min) >= today:
            return
        due = [
            position
            for position in account.positions.values()
            if position.product is Product.CNC and position.quantity and position.day < today.isoformat()
        ]
        if due:
            with self._storage.transaction():
                for position in due:
                    self._deliver(account, position)
        self._turned[account.book] = today

    def _deliver(self, account: Account, position: Position) -> None:
        key = (position.symbol, position.exchange)
        holding = account.holdings.get(key) or Holding(*key, 0, 0)
        if position.quantity > 0:
            holding.add(position.quantity, position.cost)
        else:
            position.realised += position.cost - holding.deliver(-position.quantity)
        position.quantity = position.cost = position.notional = 0
        name = f"{position.symbol}:{position.exchange}"
        if holding.quantity:
            account.holdings[key] = holding
            self._storage.save_document(HOLDING, account.book, name, holding.document())
        else:
            account.holdings.pop(key, None)
            self._storage.delete_document(HOLDING, account.book, name)
        self._storage.save_position(account.book, position)
