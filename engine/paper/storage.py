"""State on disk: every accepted order is committed before its answer leaves.

One SQLite file in WAL mode, rows as JSON documents under their ids. A killed process loses nothing that was committed;
without a file the same tables live in memory.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.paper.accounts import Account, Position, PositionKey
from engine.paper.orders import PaperOrder, Trade

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

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything written inside at once, or nothing of it."""
        self._depth += 1
        if self._depth == 1:
            self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0:
                self._db.execute("ROLLBACK")
            raise
        self._depth -= 1
        if self._depth == 0:
            self._db.execute("COMMIT")

    def save_account(self, account: Account) -> None:
        """Keep who an account is; its books are kept row by row."""
        self._db.execute(
            "INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?, ?)",
            (account.api_key, account.name, account.funds, account.face, account.created_at),
        )

    def save_order(self, order: PaperOrder) -> None:
        """Insert or update an order."""
        self._db.execute(
            "INSERT INTO paper_order (order_id, api_key, document) VALUES (?, ?, ?) "
            "ON CONFLICT (order_id) DO UPDATE SET document = excluded.document",
            (order.order_id, order.api_key, json.dumps(order.document())),
        )

    def save_trade(self, trade: Trade) -> None:
        """Append a trade."""
        self._db.execute(
            "INSERT INTO trade (trade_id, api_key, document) VALUES (?, ?, ?)",
            (trade.trade_id, trade.api_key, json.dumps(trade.document())),
        )

    def save_position(self, api_key: str, position: Position) -> None:
        """Insert or update a position."""
        self._db.execute(
            "INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?, ?)",
            (api_key, position.symbol, position.exchange, position.product, json.dumps(position.document())),
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

    def clear_controls(self, symbol: str | None, exchange: str | None) -> None:
        """Forget prices set from outside, of one instrument or of all."""
        if symbol is None:
            self._db.execute("DELETE FROM price_control")
        else:
            self._db.execute("DELETE FROM price_control WHERE symbol = ? AND exchange = ?", (symbol, exchange))

    def controls(self) -> list[PriceControl]:
        """Prices set from outside, oldest first."""
        rows = self._db.execute("SELECT kind, symbol, exchange, value, at FROM price_control ORDER BY sequence")
        return [PriceControl(*row) for row in rows]

    def accounts(self) -> dict[str, Account]:
        """All accounts with their books, as they were when the process ended."""
        accounts = {row[0]: Account(*row) for row in self._db.execute("SELECT * FROM account")}
        for api_key, document in self._db.execute("SELECT api_key, document FROM paper_order ORDER BY sequence"):
            accounts[api_key].remember(PaperOrder.from_document(json.loads(document)))
        for api_key, document in self._db.execute("SELECT api_key, document FROM trade ORDER BY sequence"):
            accounts[api_key].trades.append(Trade.from_document(json.loads(document)))
        for api_key, document in self._db.execute("SELECT api_key, document FROM position"):
            position = Position.from_document(json.loads(document))
            accounts[api_key].positions[PositionKey(position.symbol, position.exchange, position.product)] = position
        return accounts

    def close(self) -> None:
        """Write everything into the main file and close it."""
        self._db.close()
