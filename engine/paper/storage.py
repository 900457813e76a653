"""State on disk: every accepted order is committed before its answer leaves.

One SQLite file in WAL mode, rows as JSON documents under their ids. A killed process loses nothing that was committed;
without a file the same tables live in memory.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.paper.accounts import Account, Position, PositionKey
from engine.paper.gtt import Gtt
from engine.paper.holdings import Holding
from engine.paper.orders import PaperOrder, Trade
from engine.paper.wire import Refusal

GTT, HOLDING, _MODE = "gtt", "holding", "mode"
"""Kinds of documents that belong to an account."""

_TABLES = """
CREATE TABLE IF NOT EXISTS account (
    api_key TEXT PRIMARY KEY, name TEXT NOT NULL, funds INTEGER NOT NULL, face TEXT NOT NULL, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS paper_order (
    sequence INTEGER PRIMARY KEY, order_id TEXT NOT NULL UNIQUE, api_key TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS trade (
    sequence INTEGER PRIMARY KEY, trade_id TEXT NOT NULL UNIQUE, api_key TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS position (
    api_key TEXT NOT NULL, symbol TEXT NOT NULL, exchange TEXT NOT NULL, product TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (api_key, symbol, exchange, product));
CREATE TABLE IF NOT EXISTS price_control (
    sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, symbol TEXT NOT NULL, exchange TEXT NOT NULL,
    value REAL NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS document (
    sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, api_key TEXT NOT NULL, id TEXT NOT NULL, document TEXT NOT NULL,
    UNIQUE (kind, api_key, id));
"""


@dataclass(frozen=True, slots=True)
class PriceControl:
    """A price set from outside: ``kind`` shift (value in percent) or pin (value in ₹), from an instant on."""

    kind: str
    symbol: str
    exchange: str
    value: float
    at: float


class Storage:
    """The exchange's memory. All writes of one event go through one ``transaction``."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
        self._db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_TABLES)
        self._depth = 0
        self.on_undone: Callable[[], None] = lambda: None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything written inside at once, or nothing of it.

        After anything but a refusal ``on_undone`` is called: what memory holds of it is on no disk.
        """
        outermost = self._depth == 0
        self._depth += 1
        try:
            if outermost:
                self._db.execute("BEGIN IMMEDIATE")
            yield
            if outermost:
                self._db.execute("COMMIT")
        except BaseException as problem:
            if outermost:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if not isinstance(problem, Refusal):
                    self.on_undone()
            raise
        finally:
            self._depth -= 1

    def save_account(self, account: Account) -> None:
        """Keep who an account is and its switches; it becomes the account of its key. Its books are kept row by row."""
        self._db.execute(
            "INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?, ?)",
            (account.api_key, account.name, account.funds, account.face, account.created_at),
        )
        self.save_switches(account)

    def save_switches(self, account: Account) -> None:
        """Keep an account's switches; which account its key has now stays as it is."""
        self.save_document(_MODE, account.api_key, account.face, account.switches())

    def save_order(self, book: str, order: PaperOrder) -> None:
        """Insert or update an order of an account's book (``Account.book``)."""
        self._db.execute(
            "INSERT INTO paper_order (order_id, api_key, document) VALUES (?, ?, ?) "
            "ON CONFLICT (order_id) DO UPDATE SET document = excluded.document",
            (order.order_id, book, json.dumps(order.document())),
        )

    def save_trade(self, book: str, trade: Trade) -> None:
        """Append a trade to an account's book."""
        self._db.execute(
            "INSERT INTO trade (trade_id, api_key, document) VALUES (?, ?, ?)",
            (trade.trade_id, book, json.dumps(trade.document())),
        )

    def save_position(self, book: str, position: Position) -> None:
        """Insert or update a position of an account's book."""
        self._db.execute(
            "INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?, ?)",
            (book, position.symbol, position.exchange, position.product, json.dumps(position.document())),
        )

    def save_document(self, kind: str, api_key: str, name: str, document: dict[str, Any]) -> None:
        """Insert or update a document of a kind (gtt, holding, mode, queued) under a key and a name of its own."""
        self._db.execute(
            "INSERT INTO document (kind, api_key, id, document) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (kind, api_key, id) DO UPDATE SET document = excluded.document",
            (kind, api_key, name, json.dumps(document)),
        )

    def delete_document(self, kind: str, api_key: str, name: str) -> None:
        """Forget a document, if it is there."""
        self._db.execute("DELETE FROM document WHERE kind = ? AND api_key = ? AND id = ?", (kind, api_key, name))

    def documents(self, kind: str) -> list[tuple[str, str, dict[str, Any]]]:
        """Key, name and document of all of a kind, oldest first."""
        rows = self._db.execute("SELECT api_key, id, document FROM document WHERE kind = ? ORDER BY sequence", (kind,))
        return [(api_key, name, json.loads(document)) for api_key, name, document in rows]

    def save_control(self, control: PriceControl) -> None:
        """Append a price set from outside."""
        self._db.execute(
            "INSERT INTO price_control (kind, symbol, exchange, value, at) VALUES (?, ?, ?, ?, ?)",
            (control.kind, control.symbol, control.exchange, control.value, control.at),
        )

    def controls(self) -> list[PriceControl]:
        """Prices set from outside, oldest first."""
        rows = self._db.execute("SELECT kind, symbol, exchange, value, at FROM price_control ORDER BY sequence")
        return [PriceControl(*row) for row in rows]

    def accounts(self) -> tuple[dict[str, Account], dict[str, Account]]:
        """Accounts in their present mode and those of the other mode, by key, with their books as the process left."""
        current = {row[0]: Account(*row) for row in self._db.execute("SELECT * FROM account")}
        parked: dict[str, Account] = {}
        for api_key, face, row in self.documents(_MODE):
            account = current[api_key]
            if account.face != face:
                account = parked[api_key] = Account(api_key, account.name, account.funds, face, row["created_at"])
            account.set_switches(row)
        books = {account.book: account for account in (*current.values(), *parked.values())}
        for book, document in self._db.execute("SELECT api_key, document FROM paper_order ORDER BY sequence"):
            books[book].remember(PaperOrder.from_document(json.loads(document)))
        for book, document in self._db.execute("SELECT api_key, document FROM trade ORDER BY sequence"):
            books[book].trades.append(Trade.from_document(json.loads(document)))
        for book, document in self._db.execute("SELECT api_key, document FROM position"):
            position = Position.from_document(json.loads(document))
            books[book].positions[PositionKey(position.symbol, position.exchange, position.product)] = position
        for book, _, row in self.documents(HOLDING):
            holding = Holding.from_document(row)
            books[book].holdings[holding.symbol, holding.exchange] = holding
        for book, name, row in self.documents(GTT):
            books[book].gtts[name] = Gtt.from_document(row)
        return current, parked

    def close(self) -> None:
        """Write everything into the main file and close it."""
        self._db.close()
