"""What the core knows beside the ledger: accounts, prices, reads. None of it is needed to recover."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from engine.broker.buckets import SendBucket
from engine.domain.calendar import Calendar
from engine.domain.errors import CalendarError
from engine.domain.evidence import AccountBooks, Instrument, SeenOrder
from engine.domain.instruments import Action, Exchange, Key
from engine.domain.intervals import Interval
from engine.domain.legs import Leg
from engine.domain.netting import Traded
from engine.domain.orders import Order
from engine.domain.prices import FeedView, confirmed
from engine.domain.repricing import Modification
from engine.services.candle_board import CandleBoard
from engine.services.data_leaders import DataLeaders
from engine.services.day_marks import DayMarks
from engine.services.messages import Symbol
from engine.services.price_board import PriceBoard, market_of
from engine.services.resolution import Resolution
from engine.services.schedule_book import ScheduleBook
from engine.services.standing import Standing
from engine.services.terms import StrategyTerms

IST = ZoneInfo("Asia/Kolkata")
PUSHES_KEPT = 200
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
TELL_AGAIN = timedelta(seconds=60)
OWNER_AGE = timedelta(seconds=5)
NO_FEED = FeedView()


class Clock(Protocol):
    """Time as the core sees it: ``now`` aware UTC, ``boot`` seconds that go on through a suspend."""

    def now(self) -> datetime:
        """Return the time of day, UTC."""
        ...

    def boot(self) -> float:
        """Return seconds on CLOCK_BOOTTIME."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class Licence:
    """The right to send one order: valid until ``expires_boot`` on CLOCK_BOOTTIME (DESIGN 1, "Lease")."""

    order_id: int
    expires_boot: float


class Hands(Protocol):
    """What the core may have done for one account; each call returns at once, the result comes as a message."""

    def connect(self) -> None:
        """Read broker and mode."""
        ...

    def send(self, order: Order, licence: Licence) -> None:
        """Place an order, once."""
        ...

    def cancel(self, order: Order) -> None:
        """Ask to cancel a working order."""
        ...

    def modify(self, order: Order, price: float) -> None:
        """Ask to change a working order to a limit at ``price`` (₹), its quantity as it is."""
        ...

    def probe(self) -> None:
        """Find out whether the account queues orders for approval."""
        ...

    def read_books(self, *, holdings: bool = False) -> None:
        """Read broker, order, trade and position book; ``holdings``: and the shares of earlier days."""
        ...

    def read_funds(self) -> None:
        """Read funds."""
        ...

    def read_quotes(self, market: str, symbols: Collection[Symbol]) -> None:
        """Read quotes in one call."""
        ...

    def read_history(self, symbol: Symbol, interval: Interval, first_day: date, last_day: date) -> None:
        """Read the broker's bars of one symbol from the first to the last day; they come as HistoryRead."""
        ...

    def resolve(self, legs: tuple[Leg, ...], *, run_id: int | None, command_id: int | None) -> None:
        """Resolve legs to contracts from one spot reading and one chain."""
        ...

    def watch(self, symbols: Collection[Symbol]) -> None:
        """Have ticks of exactly these symbols pushed."""
        ...

    def close(self) -> None:
        """End threads and connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """An account's settings as the database has them; no key."""

    id: int
    owner_id: int
    name: str
    venue: str
    broker: str
    mode: str
    is_primary: bool
    priority: int
    grade: str
    max_lots: int | None
    multiplier: int
    funds_model: str
    haircut: float
    percentage: float
    host: str
    ws_url: str
    relation: str = ""
    group: str = ""
    smart_exit: bool = False

    @property
    def market(self) -> str:
        """Where the account's prices go."""
        return market_of(self.owner_id, self.venue)


@dataclass(slots=True)
class Account:
    """What is known of an account now."""

    facts: AccountFacts
    hands: Hands
    bucket: SendBucket = field(default_factory=SendBucket)
    armed: bool = False
    waits_for: str = "its server to answer"
    quarantine: str = ""
    connected: bool = False
    connecting_since: datetime | None = None
    feed: str = "connecting"
    acknowledged: frozenset[Symbol] = frozenset()
    books: AccountBooks | None = None
    books_problem: str = ""
    books_day: date | None = None
    books_in_session: bool = False
    opening: Mapping[Instrument, int] | None = None
    opening_confirmed: bool = False
    disagreement: tuple[Mapping[Instrument, int], datetime] | None = None
    mode_changed: bool = False
    traded: Mapping[str, int] = field(default_factory=dict)
    reading_books_since: datetime | None = None
    books_wanted: bool = True
    books_due: datetime = LONG_AGO
    drift_since: dict[Instrument, tuple[int, datetime]] = field(default_factory=dict)
    spent: dict[tuple[Instrument, Action], Traded] = field(default_factory=dict)
    outside: dict[Instrument, int] = field(default_factory=dict)
    outside_day: date | None = None
    available_paise: int | None = None
    used_paise: int | None = None
    funds_begun: datetime | None = None
    funds_problem: str = ""
    reading_funds_since: datetime | None = None
    funds_due: datetime = LONG_AGO
    pushes: deque[SeenOrder] = field(default_factory=lambda: deque(maxlen=PUSHES_KEPT))
    last_change: dict[Key, datetime] = field(default_factory=dict)
    sending: dict[int, datetime] = field(default_factory=dict)
    modifications: dict[int, Modification] = field(default_factory=dict)
    semi_auto: bool | None = None
    clock_offset: timedelta | None = None
    standing: Standing = field(default_factory=Standing)

    @property
    def id(self) -> int:
        """The account's id."""
        return self.facts.id

    def disarm(self, why: str) -> None:
        """Let the account wait: nothing is sent until it is armed again."""
        self.armed = False
        self.waits_for = why

    def books_since(self, moment: datetime | None) -> AccountBooks | None:
        """Return the last valid books if their read began after ``moment``."""
        if self.books is None or (moment is not None and self.books.begun_at <= moment):
            return None
        return self.books


@dataclass(slots=True)
class Preview:
    """A preview in the making: answered when contracts and funds are there."""

    command_id: int
    user_id: int
    terms: StrategyTerms
    account_ids: tuple[int, ...]
    deadline: datetime
    resolution: Resolution | None = None
    problem: str = ""


@dataclass(slots=True)
class Gathering:
    """Symbols by owner and venue, as far as runs were asked what they need; ``left``: runs that were not yet."""

    left: list[int]
    found: dict[tuple[int, str], set[Symbol]]


@dataclass(slots=True)
class World:
    """Everything the services need beside the changes of a pass."""

    clock: Clock
    paper_calendar: Calendar
    live_calendar: Calendar
    quiet_answered: timedelta
    quiet_unanswered: timedelta
    accounts: dict[int, Account] = field(default_factory=dict)
    prices: PriceBoard = field(default_factory=PriceBoard)
    day_marks: DayMarks = field(default_factory=DayMarks)
    candles: CandleBoard = field(default_factory=CandleBoard)
    data: DataLeaders = field(default_factory=DataLeaders)
    schedules: ScheduleBook = field(default_factory=ScheduleBook)
    previews: dict[int, Preview] = field(default_factory=dict)
    blind_since: dict[int, datetime] = field(default_factory=dict)
    blind_told: set[int] = field(default_factory=set)
    terms: dict[int, StrategyTerms] = field(default_factory=dict)
    read_terms: Callable[[int], StrategyTerms] | None = None
    read_owner: Callable[[int], bool | None] | None = None
    ahead: Callable[[], timedelta] = timedelta
    owners: dict[int, tuple[datetime, bool]] = field(default_factory=dict)
    resolutions: dict[int, Resolution] = field(default_factory=dict)
    unwatched_since: datetime | None = None
    previewed: dict[int, tuple[str, ...]] = field(default_factory=dict)
    watched: dict[int, frozenset[Symbol]] = field(default_factory=dict)
    quotes_due: dict[str, datetime] = field(default_factory=dict)
    lease_renewed_boot: float = 0.0
    stopping: bool = False
    told: dict[tuple[object, ...], datetime] = field(default_factory=dict)
    unsettled_told: dict[tuple[int, Key], datetime] = field(default_factory=dict)
    drills: list[tuple[float, float]] = field(default_factory=list)
    wanted: dict[int, tuple[object, object, int, frozenset[Symbol]]] = field(default_factory=dict)
    gathered: dict[tuple[int, str], set[Symbol]] = field(default_factory=dict)
    gathered_at: datetime | None = None
    gathering: Gathering | None = None
    _acknowledged: dict[str, frozenset[Symbol]] = field(default_factory=dict)
    _acknowledged_at: datetime | None = None

    def calendar(self, venue: str) -> Calendar:
        """Return the trading calendar of a venue: paper exchanges are always open."""
        return self.live_calendar if venue == "live" else self.paper_calendar

    def in_session(self, venue: str, exchange: Exchange, now: datetime) -> bool:
        """Whether the exchange trades now; where no calendar knows, on any weekday in its hours, or always."""
        try:
            sessions = self.calendar(venue).sessions(exchange, trading_day(now), assume_weekdays=True)
        except CalendarError:
            return True
        return any(session.is_open(now) for session in sessions)

    def told_lately(self, what: tuple[object, ...], now: datetime) -> bool:
        """Whether this alarm was given within the last minute; ``note_told`` notes that it is."""
        return abs(now - self.told.get(what, LONG_AGO)) < TELL_AGAIN

    def note_told(self, what: tuple[object, ...], now: datetime) -> None:
        """Note an alarm, once it is committed."""
        self.told[what] = now
        self.told = {one: at for one, at in self.told.items() if abs(now - at) < TELL_AGAIN}

    def terms_of(self, version_id: int) -> StrategyTerms:
        """Return the terms of a strategy version; they never change, so one read serves a life."""
        if version_id not in self.terms:
            if self.read_terms is None:
                raise LookupError(f"no terms of version {version_id}")
            self.terms[version_id] = self.read_terms(version_id)
        return self.terms[version_id]

    def may_trade(self, owner_id: int, now: datetime, *, at_once: bool = False) -> bool | None:
        """Whether anything may be entered for a user; as read at most 5 s ago, with ``at_once`` as it is now.

        None where it cannot be read.
        """
        if self.read_owner is None:
            return True
        known = self.owners.get(owner_id)
        if at_once or known is None or abs(now - known[0]) >= OWNER_AGE:
            may = self.read_owner(owner_id)
            if may is None:
                return None
            known = self.owners[owner_id] = (now, may)
        return known[1]

    def shown(self, account_id: int) -> tuple[bool, int, int]:
        """Return the place of an account in every list and table: those that give prices first."""
        account = self.accounts.get(account_id)
        if account is None:
            return (True, sys.maxsize, account_id)
        return (not account.facts.is_primary, account.facts.priority, account_id)

    def of_venue(self, owner_id: int, venue: str) -> list[Account]:
        """Return a user's accounts of a venue, the one for market data first: who gives the prices, then by rank."""
        mine = [a for a in self.accounts.values() if a.facts.owner_id == owner_id and a.facts.venue == venue]
        leader = self.data.leader(market_of(owner_id, venue))
        return sorted(mine, key=lambda account: (account.id != leader, *_data_rank(account)))

    def reader_of(self, owner_id: int, venue: str) -> Account | None:
        """Return the account whose server answers for market data: who gives the prices, else the first that can."""
        accounts = self.of_venue(owner_id, venue)
        return next((account for account in accounts if account.connected), accounts[0] if accounts else None)

    def confirmed_price(self, owner_id: int, venue: str, symbol: Symbol, now: datetime) -> float | None:
        """Return the price a rule may decide on, None when there is none (RULES 6)."""
        market = market_of(owner_id, venue)
        price = self.prices.view(market, symbol)
        if price is None:
            return None
        if confirmed(price, NO_FEED, now):
            return price.ltp  # most are: their own tick or quote is young
        feed = self.prices.feed(market, symbol[1], acknowledged=symbol in self._acknowledged_in(market, now))
        return price.ltp if confirmed(price, feed, now) else None

    def _acknowledged_in(self, market: str, now: datetime) -> frozenset[Symbol]:
        """Return the symbols whose subscription a server of this market confirmed; gathered once for an instant."""
        if self._acknowledged_at != now:
            self._acknowledged, self._acknowledged_at = {}, now
        if market not in self._acknowledged:
            leader = self.data.leader(market)  # of another one no tick comes any more
            mine = [a for a in self.accounts.values() if a.acknowledged and a.facts.market == market]
            self._acknowledged[market] = frozenset().union(*(a.acknowledged for a in mine if leader in {None, a.id}))
        return self._acknowledged[market]

    def feed_changed(self) -> None:
        """Forget what was gathered of subscriptions: one of them changed."""
        self._acknowledged_at = None


def _data_rank(account: Account) -> tuple[bool, bool, bool, int, int]:
    """Who gives market data first: servers that answer and stream, the primary, then by priority."""
    facts = account.facts
    return (not account.connected, account.feed != "connected", not facts.is_primary, facts.priority, account.id)


def trading_day(now: datetime) -> date:
    """Return the exchange's day, in IST.

    >>> trading_day(datetime(2026, 11, 22, 20, 0, tzinfo=UTC))
    datetime.date(2026, 11, 23)
    """
    return now.astimezone(IST).date()


def chosen(accounts: Iterable[Account], ids: Collection[int]) -> list[Account]:
    """Return the accounts with these ids, in the order of the ids."""
    by_id = {account.id: account for account in accounts}
    return [by_id[one] for one in ids if one in by_id]
