"""The laws of the engine (DESIGN 5), judged from outside after every step.

What is true is derived from the brokers' own rows and trades and from what was really sent; what the engine believes
is read from its tables. Nothing here uses the engine's reckoning.

One doubt is left on purpose: where the books show no tag, a person's order of the same class may be taken for an
order in doubt (RULES 5 says: claim the first seen). Keys in which that happened are ``mistaken``; laws about whose
units they are do not hold there, those about sending do.
"""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from engine.domain.instruments import Action
from engine.domain.orders import Order
from engine.services.run_index import RunIndex
from tests.simulation.truth import Books, Row, Truth, key_of, outside_of, place_of, signed, time_of
from tests.stage import LOT

if TYPE_CHECKING:
    from tests.simulation.floor import Floor
    from tests.simulation.hands import ShownBroker

IN_DOUBT = {"sending", "unknown", "queued"}
NEVER_SENT = {"planned", "void", "denied"}
ENDED = {"cancelled", "rejected", "expired"}
CLOSED_OUTSIDE = "charge"
TWO_READS = 2.0
"""Seconds between the two reads that prove an absence."""


class LawBrokenError(AssertionError):
    """Which law, by what, and everything that happened before."""


class Laws(Truth):
    """Judges a floor."""

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor)
        self._at_send: LawBrokenError | None = None

    def stands(self, holds: object, law: str, words: str) -> None:
        if not holds:
            story = "\n".join(self.floor.story[-400:])
            at = self.floor.clock.seconds - 1_000.0
            raise LawBrokenError(f"{law}: {words}\nat {at:.2f} s, after\n{story}\norders\n{self.table()}")

    # ── before a byte leaves ──────────────────────────────────────────────────────────────────────────────────────────

    def at_send(self, account_id: int, order: Order) -> None:
        """Judge one placement at the moment it leaves; the core survives what an act raises, so the step tells."""
        try:
            self._placement(account_id, order)
        except LawBrokenError as broken:
            self._at_send = self._at_send or broken

    def _placement(self, account_id: int, order: Order) -> None:
        books = self.read()
        self.mark_mistaken(books)
        what = f"order {order.id}: {order.purpose} {order.action} {order.quantity} {order.symbol}"
        row = next((one for one in books.orders if one["id"] == order.id), None)
        self.stands(
            row is not None and row["state"] == "sending", "law 1", f"{what} is sent without its intent on disk"
        )
        assert row is not None
        age = self.floor.clock.now() - time_of(row["sent_at"])
        self.stands(timedelta(0) <= age <= timedelta(seconds=1), "law 1", f"{what}: its intent is of {row['sent_at']}")
        self.stands(order.id not in self.floor.sent, "law 2", f"{what} is sent again")
        others = [one for one in books.orders if one["id"] != order.id and key_of(one) == key_of(row)]
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
        for sent in self.sent_in(order.execution_id, order.account_id, order.symbol):
            absent = sent.absent_from is not None and self.floor.clock.seconds >= sent.absent_from + TWO_READS
            self.stands(
                sent.known or (absent and not sent.coming and sent.orderid is None),
                "law 2",
                f"{what} although nothing is known of order {sent.order.id}",
            )

    def _entry(self, order: Order, what: str) -> None:
        size = self.floor.lots * LOT
        before = [
            sent for sent in self.sent_in(order.execution_id, order.account_id, order.symbol)
            if sent.order.purpose == "entry"
        ]  # fmt: skip
        possible = sum(self.possible(sent) for sent in before)
        if (order.account_id, order.symbol) not in self.mistaken:
            self.stands(possible + order.quantity <= size, "law 2", f"{what}: {possible} of {size} are already there")
        if order.action is Action.SELL:
            for symbol in self.symbols(order.execution_id, order.account_id, "entry", Action.BUY):
                bought = self.filled(order.execution_id, order.account_id, symbol, "entry")
                mistaken = (order.account_id, symbol) in self.mistaken
                self.stands(mistaken or bought == size, "RULES 4", f"{what} before {symbol} is bought ({bought})")

    def _exit(self, books: Books, order: Order, what: str) -> None:
        run_id, account_id, symbol = order.execution_id, order.account_id, order.symbol
        if (account_id, symbol) in self.mistaken:
            return
        owned = self.filled(run_id, account_id, symbol, "entry") + outside_of(books, run_id, account_id, symbol)
        leaving = sum(
            sent.order.action.sign * self.possible(sent)
            for sent in self.sent_in(run_id, account_id, symbol)
            if sent.order.purpose == "exit"
        )
        left = owned + leaving
        kept = self.kept_of(books, run_id, account_id, symbol)
        self.stands(
            left * kept <= 0 or order.quantity <= max(0, abs(left) - abs(kept)),
            "law 4",
            f"{what}: run {run_id} owns {owned}, {leaving:+} is leaving, {kept:+} shall stay",
        )
        self.stands(
            left * order.action.sign < 0 and order.quantity <= abs(left),
            "law 4",
            f"{what}: run {run_id} owns {owned}, {leaving:+} is leaving",
        )
        if order.action is Action.BUY:
            return
        for sold in self.symbols(run_id, account_id, "entry", Action.SELL):
            if (account_id, sold) in self.mistaken or self.traded_by_hand(account_id, sold):
                continue
            short = self.owned(books, run_id, account_id, sold)
            if self.kept_of(books, run_id, account_id, sold):  # a share: what stays bought covers what stays sold
                other_side = (sold[-2:] == "PE") is not (symbol[-2:] == "PE")
                covered = other_side or left - order.quantity >= abs(short)
                self.stands(covered, "RULES 7", f"{what} of {left}, while {short} {sold} of the same run are open")
                continue
            self.stands(short == 0, "RULES 7", f"{what} while {short} {sold} of the same run are open")

    # ── after a step ──────────────────────────────────────────────────────────────────────────────────────────────────

    def after_step(self) -> None:
        """Judge what was sent since the last step, and what stands in the tables now."""
        if self._at_send is not None:
            raise self._at_send
        books = self.read()
        self.mark_mistaken(books)
        errors = self.floor.failed_passes()
        self.stands(not errors, "a pass failed", repr(errors))
        self._plans(books)
        self._one_sending(books)
        for row in books.orders:
            self._order(row)
        self._outside_is_true(books)
        self._index_is_true()
        self._nothing_crosses_zero(books)
        for row in books.accounts:
            if row["state"] in {"flat", "skipped"}:
                self._ended(books, row)

    def _index_is_true(self) -> None:
        ledger = self.floor.ledger
        kept, read = _plain(ledger.index), _plain(RunIndex.of(ledger))
        self.stands(kept == read, "index", f"kept with every commit {kept}, read from all rows {read}")

    def _plans(self, books: Books) -> None:
        covered: set[tuple[int, int, int]] = set()
        for plan in books.plans:
            if plan["state"] != "active":
                continue
            run_id = plan["execution_id"]
            scope = json.loads(plan["account_ids"]) or [
                row["account_id"] for row in books.accounts if row["execution_id"] == run_id
            ]
            for account_id in scope:
                for leg in json.loads(plan["leg_indexes"]) or (1, 2, 3):
                    twice = (run_id, account_id, leg) in covered
                    words = f"two active plans cover leg {leg} of run {run_id} on account {account_id}"
                    self.stands(not twice, "law 3", words)
                    covered.add((run_id, account_id, leg))

    def _one_sending(self, books: Books) -> None:
        sending = [key_of(row) for row in books.orders if row["state"] == "sending"]
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
        broker = self.broker(row["account_id"])
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
            broker = self.broker(account_id)
            traded = sum(
                trade.quantity
                for trade in broker.trades
                if trade.orderid in broker.by_hand and trade.instrument.symbol == symbol and trade.action == action
            )
            words = f"account {account_id}: {quantity} {symbol} are charged as {action}, people did {traded}"
            self.stands(quantity <= traded, "law 6", words)

    def _nothing_crosses_zero(self, books: Books) -> None:
        size = self.floor.lots * LOT
        for run_id, account_id, symbol in {(s.order.execution_id, *place_of(s)) for s in self.floor.sent.values()}:
            if (account_id, symbol) in self.mistaken:
                continue
            entered = self.filled(run_id, account_id, symbol, "entry")
            exited = self.filled(run_id, account_id, symbol, "exit")
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
            owned = self.owned(books, run_id, account_id, symbol)
            self.stands(
                owned == 0, "law 6", f"run {run_id} is {state} on account {account_id} and owns {owned} {symbol}"
            )
        for sent in mine:
            if place_of(sent) not in self.mistaken:
                rests = self.possible(sent) != abs(self.true_fill(sent))
                words = f"run {run_id} is {state} on account {account_id} while order {sent.order.id} may still fill"
                self.stands(not rests, "law 8", words)

    # ── at rest ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def at_rest(self) -> None:
        """Judge the end: every run closed, every broker flat but for what people did, every P to the paisa."""
        books = self.read()
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
            broker = self.broker(account_id)
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
                signed(fill)
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
            trades = [trade for trade in self.broker(row["account_id"]).trades if trade.orderid == row["orderid"]]
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


def _plain(index: RunIndex) -> dict[str, object]:
    """Return an index without places that hold nothing."""
    inner = {name: getattr(index, name) for name in ("on", "orders", "alive", "owners", "totals")}
    found: dict[str, object] = {name: {key: held for key, held in one.items() if held} for name, one in inner.items()}
    return found | {"open": index.open, "busy": index.busy, "planned": index.planned}
