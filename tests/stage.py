"""The core alone on a stage: a virtual clock, a real SQLite journal, and a small broker of memory behind fake hands.

    stage = Stage(tmp_path, limits={"max_loss": 1_000.0})
    run = stage.enter()
    stage.broker(1).price[CALL] = 200.0
    stage.play(5.0)
    assert stage.broker(1).net == {}

Time goes only when a test lets it. What a test asserts on are the broker's books, or what stands in the database.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from engine.broker.answers import Acknowledged, ChangeOutcome, NoAnswer, Placed, PlacementOutcome, Refused
from engine.domain.calendar import ALWAYS_OPEN, INDIA
from engine.domain.candles import Bar
from engine.domain.evidence import AccountBooks, Instrument, SeenOrder, SeenTrade
from engine.domain.instruments import Action, Contract, Exchange, InstrumentType, PriceType
from engine.domain.intervals import Interval
from engine.domain.legs import Leg, ResolvedLeg
from engine.domain.orders import Order
from engine.runtime.bootstrap import _owner_reader, _terms_finder, _terms_reader, load_schedules
from engine.runtime.core import Core
from engine.runtime.inbox import Inbox, Prices
from engine.runtime.lease import Lease
from engine.runtime.roster import facts_of
from engine.services.drafts import LegDraft, LimitsDraft, StrategyDraft
from engine.services.identity import Caller
from engine.services.intake import Intake
from engine.services.journal import Journal
from engine.services.ledger import Pass
from engine.services.messages import (
    Answered,
    Beat,
    BooksRead,
    CancelAnswered,
    CommandArrived,
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
from engine.services.price_board import market_of
from engine.services.resolution import Resolution, ResolvedContract
from engine.services.strategies import save_strategy
from engine.services.world import Account, Licence, World
from engine.store import tables
from engine.store.database import Database
from tests.fresh_database import fresh_database

CALL, PUT, HEDGE = "NIFTY01DEC2626000CE", "NIFTY01DEC2626000PE", "NIFTY01DEC2626500CE"
VENUE = "paper:stage"
LOT = 65
BEGIN = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)  # 10:30 in India, a Monday
SOLD = (("SELL", "CE", "atm", 0.0), ("SELL", "PE", "atm", 0.0))
FLY = (*SOLD, ("BUY", "CE", "otm", 10.0))
_SYMBOLS = {("CE", "atm"): CALL, ("PE", "atm"): PUT, ("CE", "otm"): HEDGE}


class StageClock:
    """Time that goes when it is told to. ``skew``: how far the wall is off."""

    def __init__(self, begin: datetime = BEGIN) -> None:
        self.begin = begin
        self.seconds = 1_000.0
        self.skew = timedelta(0)

    def now(self) -> datetime:
        return self.begin + timedelta(seconds=self.seconds - 1_000.0) + self.skew

    def boot(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


class StageInbox(Inbox):
    """An inbox that never waits."""

    def drain(self, timeout: float) -> tuple[list[Message], Prices]:
        return super().drain(0.0)


@dataclass
class Broker:
    """Orders, trades and positions of one account, as its broker holds them."""

    account_id: int
    clock: StageClock
    mode: str = "analyze"
    name: str = "stage"
    semi_auto: bool = False
    funds: int = 10**12
    price: dict[str, float] = field(default_factory=lambda: {CALL: 150.0, PUT: 120.0, HEDGE: 20.0, "NIFTY": 26_000.0})
    touch: dict[str, tuple[float, float]] = field(default_factory=dict)
    orders: dict[str, SeenOrder] = field(default_factory=dict)
    trades: list[SeenTrade] = field(default_factory=list)
    carried: dict[Instrument, int] = field(default_factory=dict)
    held: dict[Instrument, int] = field(default_factory=dict)
    ids: Any = field(default_factory=lambda: itertools.count(1))

    def take(
        self,
        instrument: Instrument,
        action: Action,
        quantity: int,
        *,
        fills: int | None = None,
        tag: str | None = None,
        limit: float = 0.0,
    ) -> str:
        """Take a market order (with ``limit``: a limit one) and fill it (or ``fills`` units of it); returns its id."""
        kind = PriceType.LIMIT if limit else PriceType.MARKET
        orderid = f"{self.account_id}-{next(self.ids)}"
        self.orders[orderid] = SeenOrder(
            orderid, instrument, action, quantity, kind, limit, "open", 0, None, self.clock.now(), tag
        )
        self.fill(orderid, quantity if fills is None else fills)
        return orderid

    def fill(self, orderid: str, quantity: int) -> None:
        """Fill so many units more."""
        row = self.orders[orderid]
        price = self.price[row.instrument.symbol]
        done = (row.filled_quantity or 0) + quantity
        if quantity:
            self.trades.append(SeenTrade(orderid, row.instrument, row.action, quantity, price))
        status = "complete" if done == row.quantity else "open"
        self._change(row, status, done, price if done else None)

    def change(self, orderid: str, price: float) -> None:
        """Give a working order a limit."""
        self.orders[orderid] = replace(self.orders[orderid], price_type=PriceType.LIMIT, price=price)

    def end(self, orderid: str, status: str, words: str = "") -> None:
        """End an order with the broker's word for it."""
        row = self.orders[orderid]
        self._change(row, status, row.filled_quantity or 0, row.average_price, words)

    def _change(self, row: SeenOrder, status: str, filled: int, price: float | None, words: str = "") -> None:
        self.orders[row.orderid] = SeenOrder(
            row.orderid, row.instrument, row.action, row.quantity, row.price_type, row.price,
            status, filled, price, row.at, row.tag, words,
        )  # fmt: skip

    @property
    def net(self) -> dict[str, int]:
        """Open quantity by symbol."""
        return {one.symbol: quantity for one, quantity in self.positions().items() if quantity}

    def positions(self) -> dict[Instrument, int]:
        sums = dict(self.carried)
        for trade in self.trades:
            sums[trade.instrument] = sums.get(trade.instrument, 0) + trade.action.sign * trade.quantity
        return sums

    def books(self) -> AccountBooks:
        """The three books as a read begun now shows them."""
        begun = self.clock.now() + timedelta(milliseconds=1)
        return AccountBooks(
            self.mode,
            begun,
            begun,
            tuple(self.orders.values()),
            tuple(self.trades),
            self.positions(),
            self.name,
            self.held,
        )


Placement = Callable[["FakeHands", Order], PlacementOutcome | None]
"""What a broker does with an order; None: no answer yet."""


def fill_at_once(hands: FakeHands, order: Order) -> PlacementOutcome:
    """Take the order and fill it."""
    return Placed(
        hands.broker.take(_instrument(order), order.action, order.quantity, tag=hands.tag_of(order), limit=order.price)
    )


def take_only(hands: FakeHands, order: Order) -> PlacementOutcome:
    """Take the order and let it rest."""
    return Placed(hands.broker.take(_instrument(order), order.action, order.quantity, fills=0, limit=order.price))


def fill_in_silence(hands: FakeHands, order: Order) -> None:
    """Take and fill the order, and never answer."""
    fill_at_once(hands, order)


def lose(_hands: FakeHands, _order: Order) -> None:
    """Neither take nor answer."""


def fail(_hands: FakeHands, _order: Order) -> PlacementOutcome:
    """Neither take nor answer; the line is cut."""
    return NoAnswer("the line was cut")


def take_change(hands: FakeHands, order: Order, price: float) -> ChangeOutcome:
    """Take a modification; the order rests on at its new price."""
    orderid = order.orderid or ""
    if hands.broker.orders[orderid].status != "open":
        return Refused("the order is complete", 400)
    hands.broker.change(orderid, price)
    return Acknowledged(orderid)


def fill_change(hands: FakeHands, order: Order, price: float) -> ChangeOutcome:
    """Take a modification, and fill the order where its new price reaches the broker's."""
    outcome = take_change(hands, order, price)
    row = hands.broker.orders[order.orderid or ""]
    market = hands.broker.price[row.instrument.symbol]
    if row.status == "open" and (price - market) * row.action.sign >= 0:
        hands.broker.fill(row.orderid, row.quantity - (row.filled_quantity or 0))
    return outcome


class FakeHands:
    """Hands that do everything at once. ``placements`` scripts what becomes of the next orders, ``usual`` of others."""

    def __init__(self, account_id: int, inbox: Inbox, clock: StageClock) -> None:
        self.account_id = account_id
        self.inbox = inbox
        self.clock = clock
        self.broker = Broker(account_id, clock)
        self.placements: list[Placement] = []
        self.usual: Placement = fill_at_once
        self.sent: list[Order] = []
        self.modified: list[tuple[Order, float]] = []
        self.modifies: Callable[[FakeHands, Order, float], ChangeOutcome] = fill_change
        self.licences: list[Licence] = []
        self.shows_tags = False
        self.silent: set[str] = set()
        self.cancelled: list[Order] = []
        self.touch: tuple[float | None, float | None] = (99.9, 100.1)
        self.books_now: Callable[[], AccountBooks | None] | None = None
        self.symbols: frozenset[Symbol] = frozenset()
        self.market = market_of(1, VENUE)
        self.histories: Callable[[Symbol, Interval, date, date], tuple[Bar, ...] | None] = lambda *_asked: ()
        self.resolution: Resolution | None = None
        self.closed = False

    def tag_of(self, order: Order) -> str | None:
        return order.tag if self.shows_tags else None

    def connect(self) -> None:
        if "connect" not in self.silent:
            self.inbox.put(Connected(self.account_id, self.broker.name, self.broker.mode))

    def send(self, order: Order, licence: Licence) -> None:
        self.sent.append(order)
        self.licences.append(licence)
        what = self.placements.pop(0) if self.placements else self.usual
        outcome = what(self, order)
        if outcome is not None:
            self.inbox.put(Answered(order.id, outcome))

    def cancel(self, order: Order) -> None:
        assert order.orderid is not None
        self.cancelled.append(order)
        if "cancel" in self.silent:
            return
        row = self.broker.orders.get(order.orderid)
        if row is not None and row.status == "open":
            self.broker.end(order.orderid, "cancelled")
        self.inbox.put(CancelAnswered(order.id, Acknowledged(order.orderid)))

    def modify(self, order: Order, price: float) -> None:
        self.modified.append((order, price))
        outcome: ChangeOutcome = self.modifies(self, order, price)
        self.inbox.put(ModifyAnswered(order.id, price, outcome))

    def probe(self) -> None:
        if "probe" not in self.silent:
            self.inbox.put(Probed(self.account_id, self.broker.semi_auto))

    def read_books(self, *, holdings: bool = False) -> None:
        if "books" in self.silent:
            return
        books = self.broker.books() if self.books_now is None else self.books_now()
        if books is not None and not holdings:
            books = replace(books, held={})
        if books is not None:
            books = books.worked_out()  # as real hands do, outside the core's thread
        begun = self.clock.now()
        self.inbox.put(BooksRead(self.account_id, books, begun, "" if books is not None else "made to fail"))

    def read_funds(self) -> None:
        if "funds" not in self.silent:
            begun = self.clock.now() + timedelta(milliseconds=1)
            self.inbox.put(FundsRead(self.account_id, self.broker.funds, 0, begun))

    def read_quotes(self, market: str, symbols: Collection[Symbol]) -> None:
        if "quotes" not in self.silent:
            prices = {symbol: self.broker.price[symbol[0]] for symbol in symbols}
            touches = {symbol: self.broker.touch[symbol[0]] for symbol in symbols if symbol[0] in self.broker.touch}
            self.inbox.put(QuotesRead(market, prices, self.clock.now(), touches=touches))

    def read_history(self, symbol: Symbol, interval: Interval, first_day: date, last_day: date) -> None:
        if "history" in self.silent:
            return
        begun = self.clock.now()
        bars = self.histories(symbol, interval, first_day, last_day)
        self.inbox.put(
            HistoryRead(self.market, symbol, interval, bars, begun, "" if bars is not None else "made to fail")
        )

    def resolve(self, legs: tuple[Leg, ...], *, run_id: int | None, command_id: int | None) -> None:
        contracts = tuple(_resolved(leg, self.touch) for leg in legs)
        resolution = Resolution("NIFTY", 26_000.0, self.clock.now(), False, contracts)
        self.inbox.put(Resolved(run_id, command_id, resolution))

    def watch(self, symbols: Collection[Symbol]) -> None:
        self.symbols = frozenset(symbols)

    def close(self) -> None:
        self.closed = True


class StageJournal(Journal):
    """A journal that can be made to fail. ``broken``: what the next commits raise."""

    def __init__(self, database: Database, token: int) -> None:
        super().__init__(database, token)
        self.broken: list[Exception] = []
        self.breaks: Callable[[Pass], Exception | None] = lambda _changes: None

    def commit(self, changes: Pass, *, renewed_boot: float | None) -> None:
        if self.broken:
            raise self.broken.pop(0)
        if (error := self.breaks(changes)) is not None:
            raise error
        super().commit(changes, renewed_boot=renewed_boot)


class Stage:
    """One core over one database; ``restart`` gives it a new life."""

    def __init__(
        self,
        folder: Path,
        *,
        accounts: int = 1,
        legs: tuple[tuple[str, str, str, float], ...] = SOLD,
        limits: dict[str, Any] | None = None,
        product: str = "NRML",
        lots: int = 1,
        venue: str = VENUE,
        quiet_answered: float = 10.0,
        quiet_unanswered: float = 180.0,
        offsets: dict[int, float] | None = None,
        leg_extras: dict[int, dict[str, Any]] | None = None,
        begin: datetime = BEGIN,
        **policy: Any,
    ) -> None:
        self.folder = folder
        self.clock = StageClock(begin)
        self.venue = venue
        self.market = market_of(1, venue)
        self.quiet = (timedelta(seconds=quiet_answered), timedelta(seconds=quiet_unanswered))
        self.database = fresh_database(f"sqlite:///{folder}/stage.db")
        with self.database.write() as session:
            session.add(tables.User(id=1, username="asha", password_hash="x", role="admin", created_at=BEGIN))  # type: ignore[arg-type]
        with self.database.write() as session:
            for number in range(1, accounts + 1):
                session.add(_account(number, venue))
        draft = StrategyDraft(
            name="Straddle",
            product=product,
            account_ids=list(range(1, accounts + 1)),
            fixed_lots=lots,
            legs=[
                LegDraft(
                    underlying="NIFTY",
                    action=action,
                    instrument_type=kind,
                    expiry_choice="next_week",
                    strike_kind=strike,
                    strike_value=value,
                    price_type="LIMIT" if number in (offsets or {}) else "MARKET",
                    limit_offset=(offsets or {}).get(number, 0.0),
                    **(leg_extras or {}).get(number, {}),
                )
                for number, (action, kind, strike, value) in enumerate(legs, start=1)
            ],
            limits=LimitsDraft(**(limits or {})),
            **policy,
        )
        caller = Caller(1, "asha", tables.Role.ADMIN)
        self.strategy = save_strategy(self.database, caller, draft, now=begin).id
        self.hands: dict[int, FakeHands] = {}
        self._commands = itertools.count(1)
        self.restart()

    def hands_for(self, account_id: int, before: FakeHands | None) -> FakeHands:
        """Return the hands of a new life; what the broker holds, and how it behaves, goes on."""
        hands = FakeHands(account_id, self.inbox, self.clock)
        hands.market = self.market
        if before is not None:
            hands.broker, hands.usual, hands.modifies = before.broker, before.usual, before.modifies
            hands.shows_tags, hands.silent, hands.histories = before.shows_tags, before.silent, before.histories
        return hands

    def restart(self) -> None:
        """Begin anew from what is on disk; the brokers go on."""
        old = self.hands
        self.inbox = StageInbox()
        self.lease = Lease(self.database, self.folder)
        self.journal = StageJournal(self.database, self.lease.take())
        self.lease._lock.give_back()
        self.ledger = self.journal.load(self.clock.now())
        self.world = World(
            clock=self.clock,
            paper_calendar=ALWAYS_OPEN,
            live_calendar=INDIA,
            quiet_answered=self.quiet[0],
            quiet_unanswered=self.quiet[1],
            read_terms=_terms_reader(self.database),
            read_owner=_owner_reader(self.database),
            lease_renewed_boot=self.clock.boot(),
        )
        with self.database.read() as session:
            for row in session.exec(select(tables.TradingAccount)).all():
                hands = self.hands_for(int(row.id or 0), old.get(int(row.id or 0)))
                self.hands[int(row.id or 0)] = hands
                self.world.accounts[int(row.id or 0)] = Account(facts_of(session, row), hands)
        load_schedules(self.database, self.world)
        self.core = Core(
            ledger=self.ledger,
            world=self.world,
            journal=self.journal,
            intake=Intake(_terms_finder(self.database), lambda: load_schedules(self.database, self.world)),
            inbox=self.inbox,
            show=lambda _changes, _world: None,
            watchdog=False,
        )

    # ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def step(self, seconds: float = 0.05) -> str | None:
        """Let time go and run one pass."""
        self.clock.seconds += seconds
        self.inbox.put(Beat())
        return self.core.one_pass()

    def play(self, seconds: float, *, by: float = 0.1) -> None:
        """Run passes for so long."""
        for _ in range(round(seconds / by)):
            self.step(by)

    def until(self, wanted: Callable[[], object], seconds: float = 30.0, *, by: float = 0.1) -> None:
        """Run passes until it is so; fails after ``seconds`` of the stage's time."""
        until = self.clock.seconds + seconds
        while not wanted():
            assert self.clock.seconds < until, "not reached"
            self.step(by)

    # ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def command(self, kind: str, payload: dict[str, Any] | None = None, *, valid: float | None = None) -> int:
        """Put a command before the core and return its id."""
        now = self.clock.now()
        until = None if valid is None else now + timedelta(seconds=valid)
        with self.database.write() as session:
            row = tables.Command(
                user_id=1, kind=kind, payload=payload or {}, idempotency_key=f"stage {next(self._commands)}",
                created_at=now, valid_until=until,
            )  # fmt: skip
            session.add(row)
            session.flush()
            number = int(row.id or 0)
        self.inbox.put(CommandArrived(number, 1, kind, payload or {}, now, until))
        return number

    def execute(self, *, again: bool = False) -> int:
        seen = [run.id for run in self.ledger.runs.values() if run.state not in {"closed", "refused"}]
        return self.command(
            "execute",
            {"strategy_id": self.strategy, "version": 1, "seen_run_ids": seen, "again": again, "account_ids": None},
        )

    def arm(self) -> None:
        self.until(lambda: all(account.armed for account in self.world.accounts.values()))

    def enter(self, *, again: bool = False) -> int:
        """Arm, execute, and come back when the run is open; returns its id."""
        self.arm()
        before = set(self.ledger.runs)
        self.execute(again=again)
        self.until(lambda: set(self.ledger.runs) - before)
        run_id = max(self.ledger.runs)
        self.until(lambda: self.ledger.runs[run_id].state == "open")
        return run_id

    def close(self, run_id: int) -> int:
        return self.command("close_run", {"run_id": run_id})

    def price(self, symbol: str, ltp: float) -> None:
        """A tick, and what quotes say from now on."""
        for hands in self.hands.values():
            hands.broker.price[symbol] = ltp
        self.inbox.price(self.market, (symbol, Exchange.NFO), ltp, self.clock.now())

    def quiet_market(self) -> None:
        """No quotes any more: prices grow old."""
        for hands in self.hands.values():
            hands.silent.add("quotes")

    def push(self, account_id: int, seen: SeenOrder) -> None:
        self.inbox.put(Pushed(account_id, seen))

    def feed(self, account_id: int, *, up: bool) -> None:
        state = "connected" if up else "down"
        self.inbox.put(FeedChanged(account_id, state, acknowledged=self.hands[account_id].symbols))

    # ── truth ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def broker(self, account_id: int = 1) -> Broker:
        return self.hands[account_id].broker

    def run(self, run_id: int) -> tables.StrategyExecution:
        with self.database.read() as session:
            return session.get_one(tables.StrategyExecution, run_id)

    def orders(self, run_id: int) -> list[tables.Order]:
        with self.database.read() as session:
            return _all(session, tables.Order, run_id)

    def plans(self, run_id: int) -> list[tables.ExitPlan]:
        with self.database.read() as session:
            return _all(session, tables.ExitPlan, run_id)

    def events(self, kind: str | None = None) -> list[tables.RiskEvent]:
        with self.database.read() as session:
            rows = session.exec(select(tables.RiskEvent).order_by(col(tables.RiskEvent.id))).all()
            return [row for row in rows if kind in {None, row.kind}]

    def answer(self, command_id: int) -> tables.Command:
        with self.database.read() as session:
            return session.get_one(tables.Command, command_id)


def _all(session: Session, table: Any, run_id: int) -> list[Any]:
    return list(session.exec(select(table).where(table.execution_id == run_id).order_by(table.id)).all())


def _account(number: int, venue: str) -> tables.TradingAccount:
    return tables.TradingAccount(
        id=number, owner_id=1, name=f"account {number}", host=f"http://127.0.0.1:{number}", ws_url="ws://127.0.0.1",
        api_key_encrypted="x", broker="stage", venue=venue, mode="analyze", is_primary=number == 1,
        funds_model="net", created_at=BEGIN,
    )  # fmt: skip


def _instrument(order: Order) -> Instrument:
    return Instrument(order.symbol, order.exchange, order.product)


def instrument(symbol: str, product: str = "NRML") -> Instrument:
    """An instrument of the stage."""
    from engine.domain.instruments import Product

    return Instrument(symbol, Exchange.NFO, Product(product))


def _resolved(leg: Leg, touch: tuple[float | None, float | None]) -> ResolvedContract:
    kind = leg.instrument_type
    assert leg.strike is not None
    symbol = _SYMBOLS[str(kind), str(leg.strike.kind)]
    strike = float(symbol[-7:-2])
    contract = Contract(symbol, Exchange.NFO, "NIFTY", InstrumentType(kind), date(2026, 12, 1), strike, LOT, 0.05, 1800)
    return ResolvedContract(ResolvedLeg(leg, contract, 100.0), 100.0, *touch)
