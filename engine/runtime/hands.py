"""The hands of one account: its order workers, its reader and its stream. What hangs here hangs only here (law 9)."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

from engine.broker.answers import ChangeOutcome, NothingToDo, NotSent, PlacementOutcome, Refused, Unclear
from engine.broker.client import OpenAlgoClient
from engine.broker.errors import BrokerError, KeyRefusedError
from engine.broker.feed import Connected as StreamUp
from engine.broker.feed import Connecting, Down, LoginRefused, OrderPush, StreamState, Subscribed, Tick
from engine.broker.funds import FundsModel, available_paise
from engine.broker.requests import ModifyRequest, OrderRequest, SmartOrderRequest
from engine.broker.stream import OpenAlgoStream
from engine.domain.errors import DomainError
from engine.domain.instruments import PriceType
from engine.domain.intervals import Interval
from engine.domain.legs import Leg
from engine.domain.orders import Order
from engine.runtime.clock import boot_seconds, steady_now
from engine.runtime.inbox import Inbox
from engine.runtime.seen import seen_books, seen_push
from engine.services.messages import (
    NEEDS_SESSION,
    Answered,
    BooksRead,
    CancelAnswered,
    Connected,
    FeedChanged,
    FundsRead,
    HistoryRead,
    Message,
    ModifyAnswered,
    Probed,
    Pushed,
    QuotesRead,
    Resolved,
    Symbol,
)
from engine.services.resolution import resolve
from engine.services.world import Licence

_log = logging.getLogger(__name__)
PROBED_ID = "am-probe"
"""An order id that no broker gives (some count from 1): cancelling it changes nothing."""

CHANGE_SECONDS = 2.0
"""How long a modification may wait for its first byte."""

CHANGERS = 32
"""Threads for changes of orders at most: what hangs there must not keep an exit from being placed."""

CANCELS_AT_ONCE = 3
"""Cancellations of one order that may wait for answers: one that hangs must not stop the next, nor fill the pool."""

TIMES_AHEAD = timedelta(seconds=5)
"""A trade stamped further ahead of its receipt than this has a wrong time."""

LATEST_STAMP = 32_503_680_000_000
"""Epoch milliseconds of the year 3000: a larger time is none."""

MOST_WORKERS = 32
"""Threads of an account at most: 4 that work, and those set aside that still listen."""


class LicenceExpired(RuntimeError):  # noqa: N818 - an outcome, not a defect
    """The right to send ran out before the first byte."""


class AccountHands:
    """Does for one account what the core asks; every method returns at once."""

    def __init__(
        self,
        *,
        account_id: int,
        market: str,
        client: OpenAlgoClient,
        ws_url: str,
        api_key: str,
        label: str,
        funds_model: FundsModel,
        haircut: float,
        inbox: Inbox,
    ) -> None:
        self._account_id = account_id
        self._market = market
        self._client = client
        self._funds_model = funds_model
        self._haircut = haircut
        self._inbox = inbox
        self._workers = ThreadPoolExecutor(MOST_WORKERS, thread_name_prefix=f"orders {label}")
        self._changers = ThreadPoolExecutor(CHANGERS, thread_name_prefix=f"changes {label}")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix=f"books {label}")
        self._asker = ThreadPoolExecutor(2, thread_name_prefix=f"data {label}")
        self._historian = ThreadPoolExecutor(2, thread_name_prefix=f"history {label}")
        self._asked: set[object] = set()
        self._asked_lock = threading.Lock()
        self._placing: set[int] = set()
        self._cancelling: Counter[int] = Counter()
        self._closed = False
        self._stream = OpenAlgoStream(
            ws_url,
            api_key,
            label=label,
            on_tick=self._tick,
            on_order=self._push,
            on_state=self._state,
            wall_clock=steady_now,
        )
        self._stream.start()

    # ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, order: Order, licence: Licence) -> None:
        """Place an order once, in a worker that keeps its connection open for the answer; there always is one."""

        def before_write() -> None:
            if boot_seconds() > licence.expires_boot:
                raise LicenceExpired("the licence to send ran out before the first byte")

        if len(self._placing) >= MOST_WORKERS:
            # waiting for one of them would take minutes: proof that nothing left is worth more, it is planned anew
            why = f"all {MOST_WORKERS} workers of the account wait for answers"
            self._inbox.put(Answered(order.id, NotSent(why)))
            return
        self._placing.add(order.id)

        # A pool that gets no thread raises, yet keeps the work for another worker: who holds this answers, and only he.
        one_answer = threading.Lock()

        def work() -> None:
            if not one_answer.acquire(blocking=False):
                return
            outcome: PlacementOutcome
            try:
                place = self._smart(order) if order.smart else partial(self._client.place_order, _request(order))
            except Exception as error:  # noqa: BLE001 - no request was made: no byte can have left
                outcome = NotSent(f"{type(error).__name__}: {error}")
            else:
                outcome = place(before_write=before_write)
            self._placing.discard(order.id)
            self._inbox.put(Answered(order.id, outcome))

        def dropped(future: Future[None]) -> None:
            if future.cancelled():
                self._placing.discard(order.id)
                self._inbox.put(Answered(order.id, NotSent("the account's connection was closed before")))

        try:
            self._workers.submit(work).add_done_callback(dropped)
        except RuntimeError as error:  # the pool is closed, or the system gives no thread
            if one_answer.acquire(blocking=False):
                self._placing.discard(order.id)
                self._inbox.put(Answered(order.id, NotSent(f"no worker took it: {error}")))

    def cancel(self, order: Order) -> None:
        """Ask to cancel a working order; there always is an answer, of this request or of the three before it."""
        with self._asked_lock:
            if self._cancelling[order.id] >= CANCELS_AT_ONCE:
                return
            self._cancelling[order.id] += 1

        def ask() -> ChangeOutcome:
            return self._client.cancel_order(order.orderid or "", strategy=order.tag)

        def answered(outcome: ChangeOutcome) -> Message:
            with self._asked_lock:
                self._cancelling[order.id] -= 1
                if not self._cancelling[order.id]:
                    del self._cancelling[order.id]
            return CancelAnswered(order.id, outcome)

        self._change(ask, answered)

    def modify(self, order: Order, price: float) -> None:
        """Ask to change a working order to a limit at ``price`` (₹); there always is an answer.

        The server wants every field again; the quantity stays that of the whole order. What waited longer than 2 s
        for a worker or a connection is not sent: by then there is a newer price.
        """
        asked = boot_seconds()

        def before_write() -> None:
            if boot_seconds() - asked > CHANGE_SECONDS:
                raise LicenceExpired("the modification grew old before the first byte")

        def ask() -> ChangeOutcome:
            limit = replace(order, price_type=PriceType.LIMIT, price=price, trigger_price=0.0)
            request = ModifyRequest(order.orderid or "", _request(limit))
            return self._client.modify_order(request, before_write=before_write)

        self._change(ask, lambda outcome: ModifyAnswered(order.id, price, outcome))

    def probe(self) -> None:
        """Find out whether the account queues orders for approval: its live server then refuses any cancellation."""

        def work() -> None:
            outcome = self._client.cancel_order(PROBED_ID)
            match outcome:
                case Refused(status_code=403, message=words) if "semi-auto" in words.casefold():
                    semi_auto: bool | None = True
                case Refused(status_code=400 | 404, message=words):
                    semi_auto = False
                case Unclear(detail=words) if words.startswith("500:"):
                    semi_auto = False  # live servers answer so for an id they do not know: they did try to cancel it
                case _:
                    semi_auto, words = None, str(outcome)
            self._inbox.put(Probed(self._account_id, semi_auto, words))

        self._submit(self._changers, work)

    # ── reads ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def connect(self) -> None:
        """Read broker and mode."""

        def work() -> Connected:
            broker = self._client.ping().broker
            return Connected(self._account_id, broker, self._client.analyzer_status().mode.value)

        self._read("connect", self._asker, work, lambda why: Connected(self._account_id, "", "", why))

    def read_books(self, *, holdings: bool = False) -> None:
        """Read broker, order, trade and position book, in this order: what the last shows, the others explain."""
        begun = steady_now()

        def work() -> BooksRead:
            broker = self._client.ping().broker
            orders, trades = self._client.orderbook(), self._client.tradebook()
            positions = self._client.positionbook()
            shares = self._client.holdings() if holdings else None
            books = seen_books(orders, trades, positions, broker, shares).worked_out()
            return BooksRead(self._account_id, books, begun)

        self._read("books", self._reader, work, lambda why: BooksRead(self._account_id, None, begun, why))

    def read_funds(self) -> None:
        """Read funds and count them by the account's model (RULES 2)."""
        begun = steady_now()

        def work() -> FundsRead:
            funds = self._client.funds()
            available = available_paise(funds, self._funds_model, self._haircut)
            return FundsRead(self._account_id, available, funds.utiliseddebits, begun)

        self._read("funds", self._asker, work, lambda why: FundsRead(self._account_id, None, None, begun, why))

    def read_quotes(self, market: str, symbols: Collection[Symbol]) -> None:
        """Read quotes in one call; what the server does not know stays without a price."""

        def work() -> QuotesRead:
            begun = steady_now()
            quotes = self._client.multiquotes(list(symbols))
            prices = {symbol: quote.ltp for symbol, quote in quotes.items() if not isinstance(quote, str)}
            touches = {
                symbol: (quote.bid, quote.ask)
                for symbol, quote in quotes.items()
                if not isinstance(quote, str) and quote.bid and quote.ask
            }
            return QuotesRead(market, prices, begun, touches=touches)

        self._read("quotes", self._asker, work, lambda why: QuotesRead(market, {}, steady_now(), why))

    def read_history(self, symbol: Symbol, interval: Interval, first_day: date, last_day: date) -> None:
        """Read the broker's bars of one symbol; what it lists is judged by who asked.

        In threads of its own: a history that hangs must not keep quotes and funds waiting.
        """
        begun = steady_now()

        def work() -> HistoryRead:
            bars = self._client.history(*symbol, interval, first_day, last_day)
            return HistoryRead(self._market, symbol, interval, bars, begun)

        def failed(why: str) -> HistoryRead:
            return HistoryRead(self._market, symbol, interval, None, begun, why)

        self._read(("history", symbol, interval, first_day, last_day), self._historian, work, failed)

    def resolve(self, legs: tuple[Leg, ...], *, run_id: int | None, command_id: int | None) -> None:
        """Resolve legs to contracts."""

        def work() -> Resolved:
            return Resolved(run_id, command_id, resolve(self._client, legs, steady_now()))

        what = ("resolve", run_id, command_id)
        self._read(what, self._asker, work, lambda why: Resolved(run_id, command_id, None, why))

    def watch(self, symbols: Collection[Symbol]) -> None:
        """Have ticks of exactly these symbols pushed."""
        self._stream.set_symbols(symbols)

    def close(self) -> None:
        """End stream, threads and connections; a placement in flight is left to end by itself."""
        self._closed = True
        self._stream.stop()
        for pool in (self._workers, self._changers, self._reader, self._asker, self._historian):
            pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _read(
        self,
        what: object,
        pool: ThreadPoolExecutor,
        work: Callable[[], Message],
        failed: Callable[[str], Message],
    ) -> None:
        """Read in a thread of the pool; what is asked again while it still waits for one is asked once."""
        with self._asked_lock:
            if what in self._asked:
                return
            self._asked.add(what)

        def guarded() -> None:
            with self._asked_lock:
                self._asked.discard(what)
            try:
                message = work()
            except KeyRefusedError as error:
                message = failed(f"{NEEDS_SESSION} ({error})")
            except (BrokerError, DomainError, ValueError) as error:
                message = failed(str(error))
            except Exception as error:  # noqa: BLE001 - the edge of this account: its trouble stays its own
                _log.exception("account %s: a read failed", self._account_id)
                message = failed(type(error).__name__)
            if not self._closed:  # what an earlier key or server showed proves nothing about the present one
                self._inbox.put(message)

        self._submit(pool, guarded)

    def _smart(self, order: Order) -> Callable[..., PlacementOutcome]:
        """Return the call that brings the order's position to 0; if there is nothing to do, nothing was placed."""
        request = SmartOrderRequest(
            strategy=order.tag,
            symbol=order.symbol,
            exchange=order.exchange,
            action=order.action,
            quantity=0,  # with a quantity a server would open a position where there is none
            position_size=0,
            product=order.product,
        )

        def place(*, before_write: Callable[[], None]) -> PlacementOutcome:
            outcome = self._client.place_smart_order(request, before_write=before_write)
            return Refused(f"nothing to exit: {outcome.message}", 200) if isinstance(outcome, NothingToDo) else outcome

        return place

    def _change(self, ask: Callable[[], ChangeOutcome], answered: Callable[[ChangeOutcome], Message]) -> None:
        """Change an order in a worker; what goes wrong before a byte left is an answer too."""

        def work() -> None:
            outcome: ChangeOutcome
            try:
                outcome = ask()
            except Exception as error:  # noqa: BLE001 - no request was made: the client itself never raises
                outcome = NotSent(f"{type(error).__name__}: {error}")
            self._inbox.put(answered(outcome))

        try:
            self._changers.submit(work)
        except RuntimeError as error:  # the pool is closed, or the system gives no thread
            self._inbox.put(answered(NotSent(f"no worker took it: {error}")))

    def _submit(self, pool: ThreadPoolExecutor, work: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the pool is closed: the engine ends
            pool.submit(work)

    def _tick(self, tick: Tick) -> None:
        symbol = (tick.symbol, tick.exchange)
        traded_at = _traded_at(tick) if (self._market, symbol) in self._inbox.kept else None
        self._inbox.price(self._market, symbol, tick.ltp, tick.received_utc, traded_at)

    def _push(self, push: OrderPush) -> None:
        if self._closed:
            return
        self._inbox.put(Pushed(self._account_id, seen_push(push), push.mode.value))

    def _state(self, state: StreamState) -> None:
        if self._closed:
            return
        match state:
            case StreamUp():
                self._inbox.put(FeedChanged(self._account_id, "connected"))
            case Subscribed(instruments=instruments):
                self._inbox.put(FeedChanged(self._account_id, "connected", acknowledged=instruments))
            case LoginRefused(reason=reason):
                self._inbox.put(FeedChanged(self._account_id, "refused", reason))
            case Down(reason=reason):
                self._inbox.put(FeedChanged(self._account_id, "down", reason))
            case Connecting():
                self._inbox.put(FeedChanged(self._account_id, "connecting"))
            case _:
                pass


def _traded_at(tick: Tick) -> datetime | None:
    """Return when a price was traded by the exchange's clock, None where no believable time is sent."""
    for stamp in (tick.last_trade_time, tick.exchange_time):
        if stamp is not None and 0 < stamp < LATEST_STAMP:
            at = datetime.fromtimestamp(stamp / 1000, UTC)
            if at <= tick.received_utc + TIMES_AHEAD:
                return at
    return None


def _request(order: Order) -> OrderRequest:
    return OrderRequest(
        strategy=order.tag,
        symbol=order.symbol,
        exchange=order.exchange,
        action=order.action,
        quantity=order.quantity,
        product=order.product,
        price_type=order.price_type,
        price=order.price,
        trigger_price=order.trigger_price,
    )
