"""Hands whose server errs in every way that scripts say, and a broker that shows some rows late."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.broker.answers import (
    Acknowledged,
    ChangeOutcome,
    NoAnswer,
    NotSent,
    OutcomeOpen,
    Placed,
    PlacementOutcome,
    RateLimited,
    Refused,
    Unclear,
)
from engine.domain.evidence import AccountBooks, Instrument, SeenOrder, SeenTrade
from engine.domain.instruments import Action, PriceType
from engine.domain.orders import Order
from engine.services.messages import Answered, BooksRead, CancelAnswered, ModifyAnswered, Pushed, Symbol
from engine.services.world import Licence
from tests.simulation.trouble import LIES, USUAL, Change, Conduct, Fate, Placing, Read
from tests.stage import Broker, FakeHands, StageClock

if TYPE_CHECKING:
    from tests.simulation.floor import Floor

LINE_SECONDS = 5.0
"""After how long a line that carries no answer ends."""


class ShownBroker(Broker):
    """A broker that shows rows only from a moment on, keeps its own people's orders apart, and pushes."""

    def __init__(self, account_id: int, clock: StageClock) -> None:
        super().__init__(account_id, clock)
        self.shown_from: dict[str, float] = {}
        self.by_hand: set[str] = set()
        self._filled: dict[str, int] = {}
        self.tell: Callable[[SeenOrder], None] = lambda _row: None

    def _change(self, row: SeenOrder, status: str, filled: int, price: float | None, words: str = "") -> None:
        super()._change(row, status, filled, price, words)
        self.tell(self.orders[row.orderid])

    def shown_orders(self) -> tuple[SeenOrder, ...]:
        return tuple(row for row in self.orders.values() if self._shown(row.orderid))

    def shown_trades(self) -> tuple[SeenTrade, ...]:
        return tuple(trade for trade in self.trades if self._shown(trade.orderid))

    def shown_positions(self) -> dict[Instrument, int]:
        sums = dict(self.carried)
        for trade in self.shown_trades():
            sums[trade.instrument] = sums.get(trade.instrument, 0) + trade.action.sign * trade.quantity
        return sums

    def fill(self, orderid: str, quantity: int) -> None:
        self._filled[orderid] = self._filled.get(orderid, 0) + quantity
        super().fill(orderid, quantity)

    def filled(self, orderid: str) -> int:
        return self._filled.get(orderid, 0)

    def reprice(self, orderid: str, price: float) -> None:
        """Turn an open order into a limit."""
        self.orders[orderid] = replace(self.orders[orderid], price_type=PriceType.LIMIT, price=price)

    def is_open(self, orderid: str) -> bool:
        return self.orders[orderid].status == "open"

    def _shown(self, orderid: str) -> bool:
        return self.shown_from.get(orderid, 0.0) <= self.clock.seconds


@dataclass
class Sent:
    """One placement whose bytes left, as it truly is.

    ``orderid``: what the broker calls it once it arrived; ``coming``: it will arrive. ``known``: the engine was told
    its fate, or shown its row; ``absent_from``: from when on (stage seconds) two valid reads without it prove that it
    never arrived, None while the connection is open.
    """

    order: Order
    at: float
    orderid: str | None = None
    coming: bool = False
    known: bool = False
    absent_from: float | None = None


class TroubledHands(FakeHands):
    """Hands over a server that behaves as its ``Conduct`` says."""

    broker: ShownBroker

    def __init__(self, floor: Floor, account_id: int, before: TroubledHands | None) -> None:
        super().__init__(account_id, floor.inbox, floor.clock)
        self.floor = floor
        if before is None:
            self.broker, self.conduct = ShownBroker(account_id, floor.clock), Conduct()
        else:
            self.broker, self.conduct = before.broker, before.conduct
            self.shows_tags = before.shows_tags
        self.broker.tell = self._push

    # ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, order: Order, licence: Licence) -> None:
        self.floor.laws.at_send(self.account_id, order)
        self.sent.append(order)
        self.licences.append(licence)
        sent = self.floor.sent[order.id] = Sent(order, self.clock.seconds)
        placing = self.conduct.placings.popleft() if self.conduct.placings else USUAL
        self.floor.note(f"account {self.account_id} order {order.id} {order.purpose} {order.action} {order.quantity} "
                        f"{order.symbol} of run {order.execution_id}: {placing.fate} {placing.seconds:g}")  # fmt: skip
        self._place(sent, placing)
        self.floor.may_be_killed("sent")

    def _place(self, sent: Sent, placing: Placing) -> None:
        order, seconds, broker, floor = sent.order, placing.seconds, self.broker, self.floor
        match placing.fate:
            case Fate.FILL:
                self._answer(sent, self._take(sent))
            case Fate.SLOW:
                self._answer(sent, self._take(sent, 0))
                floor.later(seconds, lambda: self._fill_rest(sent))
            case Fate.REST:
                self._answer(sent, self._take(sent, 0))
            case Fate.PARTIAL:
                self._answer(sent, self._take(sent, max(1, order.quantity // 3)))
            case Fate.CUT:
                self._answer(sent, self._take(sent, max(1, order.quantity // 3)))
                floor.later(seconds, lambda: self._end(sent, "cancelled", "protection"))
            case Fate.PUSHED_FIRST:
                outcome = self._take(sent)
                self._show(broker.orders[outcome.orderid])
                self._answer(sent, outcome, seconds)
            case Fate.REFUSED:
                self._answer(sent, Refused("no margin", 400))
            case Fate.LIMITED:
                self._answer(sent, RateLimited("slow down"))
            case Fate.NOT_SENT:
                self._answer(sent, NotSent("the licence ran out"))
            case Fate.REJECTED:
                self._answer(sent, self._take(sent, 0))
                self._end(sent, "rejected", "outside the band")
            case Fate.SILENT:
                self._take(sent)
                self._answer(sent, NoAnswer("time-out"), seconds)
            case Fate.LOST:
                self._answer(sent, NoAnswer("the line was cut"), seconds)
            case Fate.LATE:
                sent.coming = True
                self._answer(sent, NoAnswer("the line was cut"), min(seconds, LINE_SECONDS))
                floor.later(seconds, lambda: self._take(sent))
            case Fate.LATE_ANSWER:
                self._answer(sent, self._take(sent), seconds)
            case Fate.OPEN:
                self._answer(sent, OutcomeOpen("200 without an id"))
                broker.shown_from[self._take(sent).orderid] = self.clock.seconds + seconds
            case Fate.OPEN_LOST:
                self._answer(sent, OutcomeOpen("200 without an id"))

    def cancel(self, order: Order) -> None:
        change = self.conduct.cancels.popleft() if self.conduct.cancels else Change.DONE
        self.floor.note(f"account {self.account_id} order {order.id}: cancellation {change}")
        outcome = self._changed(order, change, lambda: self.broker.end(order.orderid or "", "cancelled"))
        self._tell(CancelAnswered(order.id, outcome))

    def modify(self, order: Order, price: float) -> None:
        self.modified.append((order, price))
        change = self.conduct.modifies.popleft() if self.conduct.modifies else Change.DONE
        self.floor.note(f"account {self.account_id} order {order.id}: modification to {price:g} {change}")

        def reprice() -> None:
            orderid = order.orderid or ""
            self.broker.reprice(orderid, price)
            row = self.broker.orders[orderid]
            market = self.broker.price[row.instrument.symbol]
            if (market - price) * row.action.sign <= 0:
                self.broker.fill(orderid, row.quantity - (row.filled_quantity or 0))

        outcome = self._changed(order, change, reprice)
        self._tell(ModifyAnswered(order.id, price, outcome))

    def _changed(self, order: Order, change: Change, act: Callable[[], None]) -> ChangeOutcome:
        orderid, broker = order.orderid or "", self.broker
        if orderid not in broker.orders or not broker.is_open(orderid):
            return Refused("the order is complete", 400)

        def late() -> None:
            if broker.is_open(orderid):
                act()

        match change:
            case Change.DONE:
                act()
            case Change.UNHEARD:
                act()
                return Unclear("time-out")
            case Change.SLOW:
                self.floor.later(3.0, late)
            case Change.LOST:
                return Unclear("time-out")
            case Change.REFUSED:
                return Refused("try again", 400)
            case Change.RACED:
                row = broker.orders[orderid]
                broker.fill(orderid, row.quantity - (row.filled_quantity or 0))
                return Refused("the order is complete", 400)
        return Acknowledged(orderid)

    # ── reads ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def read_books(self, *, holdings: bool = False) -> None:
        broker, reads = self.broker, self.conduct.reads
        if reads is Read.SILENT:
            return
        begun = self.clock.now()
        if reads is Read.FAILED:
            self._tell(BooksRead(self.account_id, None, begun, "made to fail"))
            return
        whole = replace(broker.books(), orders=broker.shown_orders())
        apart = {Read.SLOW: 4.0, Read.TORN: 1.0}.get(reads, 0.0)

        def trades(books: AccountBooks) -> AccountBooks:
            return replace(books, trades=broker.shown_trades())

        def positions(books: AccountBooks) -> AccountBooks:
            return replace(books, net=broker.shown_positions(), ended_at=self.clock.now())

        def tell(books: AccountBooks) -> None:
            if self.inbox is not self.floor.inbox:
                return  # the engine that asked is gone
            if reads not in LIES:
                self._shown({row.orderid for row in books.orders})
            self.inbox.put(BooksRead(self.account_id, _lied(books, reads), begun))

        if not apart:
            tell(positions(trades(whole)))
        elif reads is Read.SLOW:
            books = positions(trades(whole))
            self.floor.later(apart, lambda: tell(books))
        else:

            def second() -> None:
                books = trades(whole)
                self.floor.later(apart, lambda: tell(positions(books)))

            self.floor.later(apart, second)

    def read_funds(self) -> None:
        if not self.conduct.no_funds:
            super().read_funds()

    def read_quotes(self, market: str, symbols: Collection[Symbol]) -> None:
        if not self.conduct.no_quotes:
            super().read_quotes(market, symbols)

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, sent: Sent, fills: int | None = None) -> Placed:
        order = sent.order
        at = Instrument(order.symbol, order.exchange, order.product)
        orderid = f"{self.account_id}-{next(self.broker.ids)}"
        row = SeenOrder(
            orderid, at, order.action, order.quantity, order.price_type, order.price, "open", 0, None,
            self.clock.now(), self.tag_of(order),
        )  # fmt: skip
        self.broker.orders[orderid] = row
        sent.orderid, sent.coming = orderid, False
        self.broker.fill(orderid, order.quantity if fills is None else fills)
        return Placed(orderid)

    def _fill_rest(self, sent: Sent) -> None:
        orderid = sent.orderid or ""
        if self.broker.is_open(orderid):
            row = self.broker.orders[orderid]
            self.broker.fill(orderid, row.quantity - (row.filled_quantity or 0))

    def _end(self, sent: Sent, status: str, words: str) -> None:
        if self.broker.is_open(sent.orderid or ""):
            self.broker.end(sent.orderid or "", status, words)

    def _answer(self, sent: Sent, outcome: PlacementOutcome, seconds: float = 0.0) -> None:
        def put() -> None:
            if self.inbox is not self.floor.inbox:
                return
            now = self.clock.seconds
            match outcome:
                case NoAnswer():
                    sent.absent_from = max(now, sent.at + self.floor.quiet[1].total_seconds())
                case OutcomeOpen():
                    sent.absent_from = now + self.floor.quiet[0].total_seconds()
                case _:
                    sent.known = True
            self.inbox.put(Answered(sent.order.id, outcome))

        if seconds:
            self.floor.later(seconds, put)
        else:
            put()

    def _tell(self, message: BooksRead | CancelAnswered | ModifyAnswered | Pushed) -> None:
        if self.inbox is self.floor.inbox:
            self.inbox.put(message)

    def _push(self, row: SeenOrder) -> None:
        if self.conduct.pushes:
            self.floor.later(0.02, lambda: self._show(row))

    def _show(self, row: SeenOrder) -> None:
        """Push a row as websockets do: without tag and time."""
        hands = self.floor.hands[self.account_id]
        if isinstance(hands, TroubledHands):
            hands._shown({row.orderid})
            hands._tell(Pushed(self.account_id, replace(row, at=None, tag=None)))

    def _shown(self, orderids: set[str]) -> None:
        for sent in self.floor.sent.values():
            if sent.order.account_id == self.account_id and sent.orderid in orderids:
                sent.known = True


def _lied(books: AccountBooks, reads: Read) -> AccountBooks:
    match reads:
        case Read.EMPTY:
            return replace(books, orders=(), trades=(), net={})
        case Read.NO_TRADES:
            return replace(books, trades=(), net={})
        case Read.FLAT:
            return replace(books, net={})
        case Read.OTHER_MODE:
            return replace(books, mode="live", orders=(), trades=(), net={})
        case _:
            return books


def opposite(action: Action) -> Action:
    """The other side."""
    return Action.SELL if action is Action.BUY else Action.BUY
