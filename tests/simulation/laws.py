"""The laws of the engine (DESIGN 5), judged from outside after every step.

What is true is derived from the brokers' own rows and trades and from what was really sent; what the engine believes
is read from its tables. Nothing here uses the engine's reckoning.

One doubt is left on purpose: where the books show no tag, a person's order of the same class may be taken for an
order in doubt (RULES 5 says: claim the first seen). Keys in which that happened are ``mistaken``; laws about whose
units they are do not hold there, those about sending do.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine.domain.instruments import Action
from engine.domain.orders import Order
from tests.stage import LOT

if TYPE_CHECKING:
    from tests.simulation.floor import Floor
    from tests.simulation.hands import Sent, ShownBroker

Row = dict[str, Any]
IN_DOUBT = {"sending", "unknown", "queued"}
NEVER_SENT = {"planned", "void", "denied"}
ENDED = {"cancelled", "rejected", "expired"}
CLOSED_OUTSIDE = "charge"
TWO_READS = 2.0
"""Seconds between the two reads that prove an absence."""


class LawBroken(AssertionError):
    """Which law, by what, and everything that happened before."""


@dataclass(frozen=True)
class Books:
    """What stands in the engine's tables now."""

    orders: list[Row]
    plans: list[Row]
    accounts: list[Row]
    runs: dict[int, Row]
    outside: list[Row]
    halted: bool


class Laws:
    """Judges a floor. ``mistaken``: (account, symbol) in which a row was claimed for an order it is not."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.mistaken: set[tuple[int, str]] = set()
        self._connection: sqlite3.Connection | None = None
        self._at_send: LawBroken | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def stands(self, holds: object, law: str, words: str) -> None:
        if not holds:
            story = "\n".join(self.floor.story[-400:])
            at = self.floor.clock.seconds - 1_000.0
            raise LawBroken(f"{law}: {words}\nat {at:.2f} s, after\n{story}\norders\n{self._table()}")

    def _table(self) -> str:
        """What the engine believes of every order, beside what is true."""
        lines = []
        for row in self._read().orders:
            sent = self.floor.sent.get(row["id"])
            truth = "never sent"
            if sent is not None:
                truth = f"{sent.orderid or '-'} filled {self._true_fill(sent)} of at most {self._possible(sent)}"
            lines.append(
                f"run {row['execution_id']} account {row['account_id']} order {row['id']} {row['purpose']} {row['action']} "
                f"{row['quantity']} {row['symbol']}: {row['state']} {row['orderid'] or '-'} filled {row['filled_quantity']} "
                f"({row['words']}); truly {truth}"
            )
        return "\n".join(lines)

    # ── before a byte leaves ──────────────────────────────────────────────────────────────────────────────────────────

    def at_send(self, account_id: int, order: Order) -> None:
        """Judge one placement at the moment it leaves; the core survives what an act raises, so the step tells."""
        try:
            self._placement(account_id, order)
        except LawBroken as broken:
            self._at_send = self._at_send or broken

    def _placement(self, account_id: int, order: Order) -> None:
        books = self._read()
        self._mark_mistaken(books)
        what = f"order {order.id}: {order.purpose} {order.action} {order.quantity} {order.symbol}"
        row = next((one for one in books.orders if one["id"] == order.id), None)
        self.stands(
            row is not None and row["state"] == "sending", "law 1", f"{what} is sent without its intent on disk"
        )
        assert row is not None
        age = self.floor.clock.now() - _time(row["sent_at"])
        self.stands(timedelta(0) <= age <= timedelta(seconds=1), "law 1", f"{what}: its intent is of {row['sent_at']}")
        self.stands(order.id not in self.floor.sent, "law 2", f"{what} is sent again")
        others = [one for one in books.orders if one["id"] != order.id and _key(one) == _key(row)]
        for other in others:
            self.stands(other["state"] != "sending", "law 3", f"{what} beside order {other['id']}, sending in its key")
            if other["execution_id"] == order.execution_id:
                self.stands(
                    other["state"] not in IN_DOUBT, "law 2", f"{what} while order {other['id']} is {other['state']}"
                )
        self._earlier_are_known(order, what)
        self.stands(
            order.account_id == account_id, "law 5", f"{what} of account {order.account_id} through {account_id}"
        )
        if order.purpose == "entry":
            self.stands(not books.halted, "kill switch", f"{what} is sent although entries are halted")
            self._entry(order, what)
        else:
            self._exit(books, order, what)

    def _earlier_are_known(self, order: Order, what: str) -> None:
        """Law 2 from the evidence that was really given: an answer, a row, or absence after the quiet time."""
        if (order.account_id, order.symbol) in self.mistaken:
            return
        for sent in self._sent(order.execution_id, order.account_id, order.symbol):
            absent = sent.absent_from is not None and self.floor.clock.seconds >= sent.absent_from + TWO_READS
            self.stands(
                sent.known or (absent and not sent.coming and sent.orderid is None),
                "law 2",
                f"{what} although nothing is known of order {sent.order.id}",
            )

    def _entry(self, order: Order, what: str) -> None:
        size = self.floor.lots * LOT
        before = [
            sent for sent in self._sent(order.execution_id, order.account_id, order.symbol)
            if sent.order.purpose == "entry"
        ]  # fmt: skip
        possible = sum(self._possible(sent) for sent in before)
        if (order.account_id, order.symbol) not in self.mistaken:
            self.stands(possible + order.quantity <= size, "law 2", f"{what}: {possible} of {size} are already there")
        if order.action is Action.SELL:
            for symbol in self._symbols(order.execution_id, order.account_id, "entry", Action.BUY):
                bought = self._filled(order.execution_id, order.account_id, symbol, "entry")
                mistaken = (order.account_id, symbol) in self.mistaken
                self.stands(mistaken or bought == size, "RULES 4", f"{what} before {symbol} is bought ({bought})")

    def _exit(self, books: Books, order: Order, what: str) -> None:
        run_id, account_id, symbol = order.execution_id, order.account_id, order.symbol
        if (account_id, symbol) in self.mistaken:
            return
        owned = self._filled(run_id, account_id, symbol, "entry") + _outside(books, run_id, account_id, symbol)
        leaving = sum(
            sent.order.action.sign * self._possible(sent)
            for sent in self._sent(run_id, account_id, symbol)
            if sent.order.purpose == "exit"
        )
        left = owned + leaving
        self.stands(
            left * order.action.sign < 0 and order.quantity <= abs(left),
            "law 4",
            f"{what}: run {run_id} owns {owned}, {leaving:+} is leaving",
        )
        if order.action is Action.BUY:
            return
        for sold in self._symbols(run_id, account_id, "entry", Action.SELL):
            if (account_id, sold) in self.mistaken or self._by_hand(account_id, sold):
                continue
            short = self._owned(books, run_id, account_id, sold)
            self.stands(short == 0, "RULES 7", f"{what} while {short} {sold} of the same run are open")

    # ── after a step ──────────────────────────────────────────────────────────────────────────────────────────────────

    def after_step(self) -> None:
        """Judge what was sent since the last step, and what stands in the tables now."""
        if self._at_send is not None:
            raise self._at_send
        books = self._read()
        self._mark_mistaken(books)
        errors = self.floor.failed_passes()
        self.stands(not errors, "a pass failed", repr(errors))
        self._plans(books)
        self._one_sending(books)
        for row in books.orders:
            self._order(row)
        self._outside_is_true(books)
        self._nothing_crosses_zero(books)
        for row in books.accounts:
            if row["state"] in {"flat", "skipped"}:
                self._ended(books, row)

    def _plans(self, books: Books) -> None:
        covered: set[tuple[int, int]] = set()
        for plan in books.plans:
            if plan["state"] != "active":
                continue
            run_id = plan["execution_id"]
            scope = json.loads(plan["account_ids"]) or [
                row["account_id"] for row in books.accounts if row["execution_id"] == run_id
            ]
            for account_id in scope:
                twice = (run_id, account_id) in covered
                self.stands(not twice, "law 3", f"two active plans cover run {run_id} on account {account_id}")
                covered.add((run_id, account_id))

    def _one_sending(self, books: Books) -> None:
        sending = [_key(row) for row in books.orders if row["state"] == "sending"]
        self.stands(len(sending) == len(set(sending)), "law 3", f"two orders are sending in one key: {sending}")

    def _order(self, row: Row) -> None:
        """Law 6: what the engine says of an order is so, or it says that it does not know."""
        key = row["account_id"], row["symbol"]
        sent, state = self.floor.sent.get(row["id"]), row["state"]
        what = f"order {row['id']} is called {state}"
        if state in NEVER_SENT:
            self.stands(sent is None, "law 2", f"{what} and was sent")
            return
        if key in self.mistaken:
            return
        broker = self._broker(row["account_id"])
        shown = broker.filled(row["orderid"]) if row["orderid"] else 0
        known = row["filled_quantity"]
        self.stands(known <= shown, "law 6", f"order {row['id']} filled {known}, the broker has {shown}")
        if state == "filled":
            self.stands(shown == row["quantity"], "law 6", f"{what}, the broker has {shown}")
        elif state in ENDED and row["orderid"]:
            self.stands(not broker.is_open(row["orderid"]), "law 6", f"{what} and rests at the broker")
        elif state in ENDED | {"not_received", "not_sent"}:
            there = sent is not None and (sent.coming or sent.orderid is not None)
            self.stands(not there, "law 6", f"{what}, the broker has it")

    def _outside_is_true(self, books: Books) -> None:
        """Law 6: nobody is charged for what no outside trade did."""
        charged: dict[tuple[int, str, str], int] = {}
        for fill in books.outside:
            if fill["source"] == CLOSED_OUTSIDE:
                key = fill["account_id"], fill["symbol"], fill["action"]
                charged[key] = charged.get(key, 0) + fill["quantity"]
        for (account_id, symbol, action), quantity in charged.items():
            if (account_id, symbol) in self.mistaken:
                continue
            broker = self._broker(account_id)
            traded = sum(
                trade.quantity
                for trade in broker.trades
                if trade.orderid in broker.by_hand and trade.instrument.symbol == symbol and trade.action == action
            )
            words = f"account {account_id}: {quantity} {symbol} are charged as {action}, people did {traded}"
            self.stands(quantity <= traded, "law 6", words)

    def _nothing_crosses_zero(self, books: Books) -> None:
        size = self.floor.lots * LOT
        for run_id, account_id, symbol in {(s.order.execution_id, *_place(s)) for s in self.floor.sent.values()}:
            if (account_id, symbol) in self.mistaken:
                continue
            entered = self._filled(run_id, account_id, symbol, "entry")
            exited = self._filled(run_id, account_id, symbol, "exit")
            words = f"run {run_id} on account {account_id}: {symbol} {entered:+} entered, {exited:+} exited"
            self.stands(abs(entered) <= size and abs(exited) <= abs(entered) and entered * exited <= 0, "law 4", words)

    def _ended(self, books: Books, row: Row) -> None:
        run_id, account_id, state = row["execution_id"], row["account_id"], row["state"]
        mine = [
            sent
            for sent in self.floor.sent.values()
            if (sent.order.execution_id, sent.order.account_id) == (run_id, account_id)
        ]
        for symbol in {sent.order.symbol for sent in mine}:
            if (account_id, symbol) in self.mistaken:
                continue
            owned = self._owned(books, run_id, account_id, symbol)
            self.stands(
                owned == 0, "law 6", f"run {run_id} is {state} on account {account_id} and owns {owned} {symbol}"
            )
        for sent in mine:
            if _place(sent) not in self.mistaken:
                rests = self._possible(sent) != abs(self._true_fill(sent))
                words = f"run {run_id} is {state} on account {account_id} while order {sent.order.id} may still fill"
                self.stands(not rests, "law 8", words)

    # ── at rest ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def at_rest(self) -> None:
        """Judge the end: every run closed, every broker flat but for what people did, every P to the paisa."""
        books = self._read()
        for run_id, run in books.runs.items():
            self.stands(run["state"] in {"closed", "refused"}, "law 8", f"run {run_id} is {run['state']}")
        for plan in books.plans:
            self.stands(plan["state"] != "active", "law 8", f"plan {plan['id']} is still active")
        for row in books.orders:
            self.stands(
                row["state"] not in {*IN_DOUBT, "planned", "working"}, "law 8", f"order {row['id']} did not end"
            )
        claimed = {(row["account_id"], row["orderid"]) for row in books.orders if row["orderid"]}
        for account_id in self.floor.hands:
            broker = self._broker(account_id)
            self._left(books, account_id, broker, claimed)
            for orderid, shown in broker.orders.items():
                ours = orderid not in broker.by_hand and (account_id, shown.instrument.symbol) not in self.mistaken
                self.stands(not ours or shown.status != "open", "law 8", f"{orderid} still rests at the broker")
        for run_id, run in books.runs.items():
            if run["state"] == "closed":
                self._money(books, run_id, run)

    def _left(self, books: Books, account_id: int, broker: ShownBroker, claimed: set[tuple[int, str]]) -> None:
        for instrument, net in broker.positions().items():
            others = sum(
                trade.action.sign * trade.quantity
                for trade in broker.trades
                if trade.instrument == instrument and (account_id, trade.orderid) not in claimed
            )
            booked = sum(
                _signed(fill)
                for fill in books.outside
                if (fill["account_id"], fill["symbol"]) == (account_id, instrument.symbol)
            )
            words = (
                f"account {account_id} holds {net} {instrument.symbol}; people did {others}, {-booked} of it to runs"
            )
            self.stands(net == others - booked, "law 4", words)

    def _money(self, books: Books, run_id: int, run: Row) -> None:
        paise = 0
        for row in books.orders:
            if row["execution_id"] != run_id or not row["filled_quantity"]:
                continue
            trades = [trade for trade in self._broker(row["account_id"]).trades if trade.orderid == row["orderid"]]
            value = sum(int(Decimal(str(trade.price)) * trade.quantity * 100) for trade in trades)
            paise -= Action(row["action"]).sign * value
        paise -= sum(
            Action(fill["action"]).sign * fill["value_paise"]
            for fill in books.outside
            if fill["execution_id"] == run_id
        )
        self.stands(
            run["profit_paise"] == paise, "P", f"run {run_id} says {run['profit_paise']}, its trades {paise} paise"
        )

    # ── a new life ────────────────────────────────────────────────────────────────────────────────────────────────────

    def forget_unwritten(self) -> None:
        """What an engine was told and did not write before it died, no later one knows."""
        books = self._read()
        for row in books.orders:
            sent = self.floor.sent.get(row["id"])
            if sent is not None and row["state"] in {"sending", "unknown"}:
                sent.known = False
                if sent.absent_from is None:
                    sent.absent_from = sent.at + self.floor.quiet[1].total_seconds()

    def undecided(self) -> list[tuple[int, Row]]:
        """Orders that the engine calls unknown and whose fate is sealed, with what a person would declare."""
        found = []
        for row in self._read().orders:
            sent = self.floor.sent.get(row["id"])
            if row["state"] != "unknown" or (sent is not None and sent.coming):
                continue
            truth: Row = {"state": "not_received", "quantity": None, "price": None, "orderid": None}
            if sent is not None and sent.orderid is not None:
                shown = self._broker(row["account_id"]).orders[sent.orderid]
                words = {"open": "working", "complete": "filled"}.get(shown.status, shown.status)
                truth |= {"state": words, "quantity": shown.filled_quantity, "orderid": sent.orderid}
                truth |= {"price": shown.average_price}
            found.append((row["id"], truth))
        return found

    # ── what is true ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _broker(self, account_id: int) -> ShownBroker:
        return self.floor.shown_broker(account_id)

    def _sent(self, run_id: int, account_id: int, symbol: str) -> list[Sent]:
        wanted = run_id, account_id, symbol
        return [sent for sent in self.floor.sent.values() if (sent.order.execution_id, *_place(sent)) == wanted]

    def _true_fill(self, sent: Sent) -> int:
        return self._broker(sent.order.account_id).filled(sent.orderid) if sent.orderid else 0

    def _possible(self, sent: Sent) -> int:
        """Units that an order filled or may still fill, as its broker knows."""
        if sent.coming:
            return sent.order.quantity
        if sent.orderid is None:
            return 0
        broker = self._broker(sent.order.account_id)
        return sent.order.quantity if broker.is_open(sent.orderid) else broker.filled(sent.orderid)

    def _filled(self, run_id: int, account_id: int, symbol: str, purpose: str) -> int:
        """Signed units that a run's orders filled."""
        return sum(
            sent.order.action.sign * self._true_fill(sent)
            for sent in self._sent(run_id, account_id, symbol)
            if sent.order.purpose == purpose
        )

    def _owned(self, books: Books, run_id: int, account_id: int, symbol: str) -> int:
        filled = sum(self._filled(run_id, account_id, symbol, purpose) for purpose in ("entry", "exit"))
        return filled + _outside(books, run_id, account_id, symbol)

    def _symbols(self, run_id: int, account_id: int, purpose: str, action: Action) -> set[str]:
        return {
            sent.order.symbol
            for sent in self.floor.sent.values()
            if (sent.order.execution_id, sent.order.account_id) == (run_id, account_id)
            and sent.order.purpose == purpose
            and sent.order.action is action
        }

    def _by_hand(self, account_id: int, symbol: str) -> bool:
        broker = self._broker(account_id)
        return any(broker.orders[orderid].instrument.symbol == symbol for orderid in broker.by_hand)

    def _mark_mistaken(self, books: Books) -> None:
        for row in books.orders:
            sent = self.floor.sent.get(row["id"])
            if row["orderid"] and row["orderid"] != (sent.orderid if sent else None):
                key = row["account_id"], row["symbol"]
                if key not in self.mistaken:
                    self.floor.note(f"order {row['id']} claimed {row['orderid']}, which is not its row")
                self.mistaken.add(key)

    # ── what the engine wrote ─────────────────────────────────────────────────────────────────────────────────────────

    def _read(self) -> Books:
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


def _key(row: Row) -> tuple[int, str, str, str]:
    return row["account_id"], row["symbol"], row["exchange"], row["product"]


def _place(sent: Sent) -> tuple[int, str]:
    return sent.order.account_id, sent.order.symbol


def _signed(fill: Row) -> int:
    return Action(fill["action"]).sign * int(fill["quantity"])


def _outside(books: Books, run_id: int, account_id: int, symbol: str) -> int:
    """Signed units of a run that changed without an order of its own."""
    wanted = run_id, account_id, symbol
    fills: Iterable[Row] = books.outside
    return sum(_signed(f) for f in fills if (f["execution_id"], f["account_id"], f["symbol"]) == wanted)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
