"""What is true on a floor, by the brokers' own rows and by what was really sent; and what stands in the tables.

Nothing here uses the engine's reckoning.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from engine.domain.instruments import Action

if TYPE_CHECKING:
    from tests.simulation.floor import Floor
    from tests.simulation.hands import Sent, ShownBroker

Row = dict[str, Any]


@dataclass(frozen=True)
class Books:
    """What stands in the engine's tables now."""

    orders: list[Row]
    plans: list[Row]
    accounts: list[Row]
    runs: dict[int, Row]
    outside: list[Row]
    halted: bool


class Truth:
    """Knows a floor. ``mistaken``: (account, symbol) in which a row was claimed for an order it is not."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.mistaken: set[tuple[int, str]] = set()
        self._connection: sqlite3.Connection | None = None
        self._files: dict[tuple[int, int, str], list[Sent]] = {}
        self._filed = 0

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def table(self) -> str:
        """What the engine believes of every order, beside what is true."""
        lines = []
        for row in self.read().orders:
            sent = self.floor.sent.get(row["id"])
            truth = "never sent"
            if sent is not None:
                truth = f"{sent.orderid or '-'} filled {self.true_fill(sent)} of at most {self.possible(sent)}"
            lines.append(
                f"run {row['execution_id']} account {row['account_id']} order {row['id']} {row['purpose']} "
                f"{row['action']} {row['quantity']} {row['symbol']}: {row['state']} {row['orderid'] or '-'} "
                f"filled {row['filled_quantity']} ({row['words']}); truly {truth}"
            )
        return "\n".join(lines)

    def kept_of(self, books: Books, run_id: int, account_id: int, symbol: str) -> int:
        """Units (signed) that an active plan of a run keeps of a contract on an account."""
        return sum(
            units
            for plan in books.plans
            if plan["state"] == "active" and plan["execution_id"] == run_id
            for account, name, _exchange, _product, units in json.loads(plan["keep"])
            if (account, name) == (account_id, symbol)
        )

    # ── a new life ────────────────────────────────────────────────────────────────────────────────────────────────────

    def forget_unwritten(self) -> None:
        """What an engine was told and did not write before it died, no later one knows."""
        books = self.read()
        for row in books.orders:
            sent = self.floor.sent.get(row["id"])
            if sent is not None and row["state"] in {"sending", "unknown"}:
                sent.known = False
                if sent.absent_from is None:
                    sent.absent_from = sent.at + self.floor.quiet[1].total_seconds()

    def undecided(self) -> list[tuple[int, Row]]:
        """Orders that the engine calls unknown and whose fate is sealed, with what a person would declare."""
        found = []
        for row in self.read().orders:
            sent = self.floor.sent.get(row["id"])
            if row["state"] != "unknown" or (sent is not None and sent.coming):
                continue
            truth: Row = {"state": "not_received", "quantity": None, "price": None, "orderid": None}
            if sent is not None and sent.orderid is not None:
                shown = self.broker(row["account_id"]).orders[sent.orderid]
                words = {"open": "working", "complete": "filled"}.get(shown.status, shown.status)
                truth |= {"state": words, "quantity": shown.filled_quantity, "orderid": sent.orderid}
                truth |= {"price": shown.average_price}
            found.append((row["id"], truth))
        return found

    # ── what is true ──────────────────────────────────────────────────────────────────────────────────────────────────

    def broker(self, account_id: int) -> ShownBroker:
        return self.floor.shown_broker(account_id)

    def sent_in(self, run_id: int, account_id: int, symbol: str) -> list[Sent]:
        for sent in itertools.islice(self.floor.sent.values(), self._filed, None):
            self._files.setdefault((sent.order.execution_id, *place_of(sent)), []).append(sent)
        self._filed = len(self.floor.sent)
        return self._files.get((run_id, account_id, symbol), [])

    def true_fill(self, sent: Sent) -> int:
        return self.broker(sent.order.account_id).filled(sent.orderid) if sent.orderid else 0

    def possible(self, sent: Sent) -> int:
        """Units that an order filled or may still fill, as its broker knows."""
        if sent.coming:
            return sent.order.quantity
        if sent.orderid is None:
            return 0
        broker = self.broker(sent.order.account_id)
        return sent.order.quantity if broker.is_open(sent.orderid) else broker.filled(sent.orderid)

    def filled(self, run_id: int, account_id: int, symbol: str, purpose: str) -> int:
        """Signed units that a run's orders filled."""
        return sum(
            sent.order.action.sign * self.true_fill(sent)
            for sent in self.sent_in(run_id, account_id, symbol)
            if sent.order.purpose == purpose
        )

    def owned(self, books: Books, run_id: int, account_id: int, symbol: str) -> int:
        filled = sum(self.filled(run_id, account_id, symbol, purpose) for purpose in ("entry", "exit"))
        return filled + outside_of(books, run_id, account_id, symbol)

    def symbols(self, run_id: int, account_id: int, purpose: str, action: Action) -> set[str]:
        return {
            sent.order.symbol
            for sent in self.floor.sent.values()
            if (sent.order.execution_id, sent.order.account_id) == (run_id, account_id)
            and sent.order.purpose == purpose
            and sent.order.action is action
        }

    def traded_by_hand(self, account_id: int, symbol: str) -> bool:
        broker = self.broker(account_id)
        return any(broker.orders[orderid].instrument.symbol == symbol for orderid in broker.by_hand)

    def mark_mistaken(self, books: Books) -> None:
        for row in books.orders:
            sent = self.floor.sent.get(row["id"])
            if row["orderid"] and row["orderid"] != (sent.orderid if sent else None):
                key = row["account_id"], row["symbol"]
                if key not in self.mistaken:
                    self.floor.note(f"order {row['id']} claimed {row['orderid']}, which is not its row")
                self.mistaken.add(key)

    # ── what the engine wrote ─────────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> Books:
        if self._connection is None:
            path = self.floor.folder / "stage.db"
            self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            self._connection.row_factory = sqlite3.Row
        return Books(
            orders=self._rows("select * from orders order by id"),
            plans=self._rows("select * from exit_plan"),
            accounts=self._rows("select * from execution_account"),
            runs={row["id"]: row for row in self._rows("select * from strategy_execution")},
            outside=self._rows("select * from fill where order_id is null"),
            halted=bool(self._rows("select 1 from risk_limit where halted_at is not null and account_id is null")),
        )

    def _rows(self, query: str) -> list[Row]:
        assert self._connection is not None
        return [dict(row) for row in self._connection.execute(query)]


def key_of(row: Row) -> tuple[int, str, str, str]:
    return row["account_id"], row["symbol"], row["exchange"], row["product"]


def place_of(sent: Sent) -> tuple[int, str]:
    return sent.order.account_id, sent.order.symbol


def signed(fill: Row) -> int:
    return Action(fill["action"]).sign * int(fill["quantity"])


def outside_of(books: Books, run_id: int, account_id: int, symbol: str) -> int:
    """Signed units of a run that changed without an order of its own."""
    wanted = run_id, account_id, symbol
    fills: Iterable[Row] = books.outside
    return sum(signed(f) for f in fills if (f["execution_id"], f["account_id"], f["symbol"]) == wanted)


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
