"""What pages and the command line are shown: read-only figures, each with its age. Money in paise, time in UTC."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from pydantic import Field

from engine.services.drafts import StrategyDraft
from engine.services.frozen import View
from engine.services.risk_views import DayLimitView, FeedView, GaugeView, ReentryView, ScheduledView, SupertrendView


def _known_sum(amounts: Iterable[int | None]) -> int | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


class EngineView(View):
    """The engine's heartbeat. ``alive`` is judged from the lease's age; ``problem`` says in words what is wrong."""

    alive: bool
    lease_age_seconds: float | None
    last_pass_at: datetime | None
    holder: str
    pid: int | None
    open_runs: int
    problem: str = ""
    stopped_note: str = ""


class AccountView(View):
    """One account. ``armed`` accounts may trade; the others say in ``waits_for`` what they wait for.

    ``health``: ok, waiting, unreachable, refused, unknown. Funds None: never read; ``funds_at`` gives their age.
    ``profit_paise``: P of the day (RULES 6). ``quarantine``: why nothing at all is sent there, empty when it may be.
    """

    id: int
    name: str
    relation: str
    group: str
    broker: str
    venue: str
    host: str
    grade: str
    is_primary: bool
    active: bool
    armed: bool = False
    waits_for: str = ""
    health: str = "unknown"
    feed: str = "unknown"
    available_paise: int | None = None
    used_paise: int | None = None
    funds_at: datetime | None = None
    books_at: datetime | None = None
    profit_paise: int | None = None
    unknown_orders: int = 0
    quarantine: str = ""


class PositionView(View):
    """What one run owns on one account under one key. ``ltp_age_seconds`` None: no price; ``confirmed``: RULES 6.

    ``lot_size``: units of one lot, and ``freeze_quantity``: units that one order may have; 0 where that is not known.
    """

    run_id: int
    account_id: int
    account: str
    leg_index: int
    symbol: str
    exchange: str
    product: str
    quantity: int
    average_price: float | None
    ltp: float | None
    ltp_age_seconds: float | None
    confirmed: bool
    realised_paise: int
    profit_paise: int | None
    lot_size: int = 0
    freeze_quantity: int = 0

    @property
    def exit_action(self) -> str:
        """The side that would take this position off; empty when it is flat."""
        return "" if not self.quantity else "SELL" if self.quantity > 0 else "BUY"

    @property
    def exit_quantity(self) -> int:
        """Units that would take this position off."""
        return abs(self.quantity)


class RunAccountView(View):
    """A run on one account: lots, the limit that bound them, state and P.

    ``lots``: as sized; ``lots_filled``: those of which every leg was entered whole, None where nobody counted.
    ``uneven``: in words, which leg got how much, where the legs differ.
    """

    account_id: int
    account: str
    state: str
    lots: int
    bound_by: str
    reason: str
    profit_paise: int | None
    lots_filled: int | None = None
    uneven: str = ""


class ExitView(View):
    """How far an active exit of a run is on one account.

    ``waits_for``: in words. ``sent``, ``filled``, ``failed`` count its orders, ``reprices`` the changes of limits.
    ``blocked``: it cannot go on, and an alarm said so within the last minute. ``part``: which legs leave and what stays
    of them, in words; empty where all leaves.
    """

    plan_id: int
    account_id: int
    account: str
    reason: str
    begun_at: datetime
    waits_for: str
    sent: int
    filled: int
    failed: int
    reprices: int
    blocked: bool
    part: str = ""


class LimitView(View):
    """One limit of a run in ₹ (paise): None when not set. ``trailing_words``: what lock and trail does, in words."""

    max_loss_paise: int | None = None
    max_profit_paise: int | None = None
    trailing: str = ""
    trailing_words: str = ""
    peak_paise: int | None = None
    stop_paise: int | None = None
    square_off_at: datetime | None = None
    exit_at: datetime | None = None


class RunView(View):
    """One run with live P. ``profit_paise`` None: not confirmed, ``problem`` says why.

    ``gauges``: distance to each rule. ``price_age_seconds``: of the oldest price of an open leg. ``blind_seconds``:
    since when P rules cannot decide, None while they can. ``drift``: contracts whose books differ from the ledger.
    """

    id: int
    strategy_id: int
    strategy: str
    version: int
    venue: str
    state: str
    reason: str
    created_at: datetime
    entered_at: datetime | None
    closed_at: datetime | None
    profit_paise: int | None
    problem: str
    limits: LimitView
    accounts: list[RunAccountView]
    positions: list[PositionView]
    exit_reason: str = ""
    unknown_orders: int = 0
    exits: list[ExitView] = []
    reentries: list[ReentryView] = []
    gauges: list[GaugeView] = []
    supertrend: SupertrendView | None = None
    price_age_seconds: float | None = None
    blind_seconds: float | None = None
    drift: list[str] = []

    @property
    def ended(self) -> bool:
        """Whether nothing of the run is open or may still open."""
        return self.state in {"closed", "refused"}


class OrderView(View):
    """One child order. Prices in ₹: ``price`` is the limit asked for, 0 for none; ``average_price`` None: not filled.

    ``declared_by``: the name of who said what became of it. ``estimated``: what filled was inferred from the position.
    """

    order_id: int
    run_id: int
    strategy: str
    account_id: int
    account: str
    purpose: str
    state: str
    action: str
    quantity: int
    filled_quantity: int
    average_price: float | None
    symbol: str
    exchange: str
    product: str
    price_type: str
    price: float
    reprices: int
    orderid: str | None
    words: str
    created_at: datetime
    sent_at: datetime | None
    updated_at: datetime
    estimated: bool = False
    declared_by: str = ""


class OrdersView(View):
    """The orders of one trading day that have ended, newest first; ``complete`` False: there are older ones of it."""

    day: date
    as_of: datetime
    rows: list[OrderView]
    complete: bool


class UnknownOrderView(View):
    """An order whose fate is not known, with what is known of it (RULES 5); a person may declare it.

    ``waits_for``: in words, what will end the doubt. ``quiet_until`` None: its connection is still open.
    ``candidates``: broker ids of unclaimed rows in its class. ``moved``: units the net moved that nothing explains.
    ``books_age_seconds``: of the last valid books, None if there are none.
    """

    order_id: int
    run_id: int
    account_id: int
    account: str
    purpose: str
    state: str
    action: str
    quantity: int
    filled_quantity: int
    symbol: str
    exchange: str
    product: str
    orderid: str | None
    words: str
    sent_at: datetime | None
    age_seconds: float | None
    quiet_until: datetime | None
    absent_since: datetime | None
    candidates: list[str] = []
    moved: int | None = None
    books_age_seconds: float | None = None
    waits_for: str = ""


class TruthRowView(View):
    """One instrument of an account: what the ledger says beside what the broker's books say; quantities signed.

    ``owned``: ΣQ of our runs, ``entitled``: ΣE after charges, ``net``: the broker's (CNC with holdings), None without
    valid books. ``outside``: what nobody here owns. ``pending``: units of our orders that may still fill.
    """

    symbol: str
    exchange: str
    product: str
    owned: int
    entitled: int
    net: int | None
    outside: int | None
    pending: int
    in_doubt: bool
    run_ids: list[int] = []


class AccountTruthView(View):
    """Ledger against books of one account (RULES 6), with the age of both sides; ``agrees`` None: not known."""

    account_id: int
    account: str
    books_at: datetime | None
    books_age_seconds: float | None
    problem: str = ""
    agrees: bool | None
    rows: list[TruthRowView] = []


class LiveView(View):
    """Everything of one user that moves: written by the engine once a second.

    ``profit_paise``: P of the day, the sum of the accounts' (RULES 6). ``problem``: why the figures do not move or are
    missing (added by services.desk_live when the engine is away).
    """

    as_of: datetime
    accounts: list[AccountView]
    runs: list[RunView]
    profit_paise: int | None
    halted: bool = False
    problem: str = ""
    unknown: list[UnknownOrderView] = []
    working: list[OrderView] = []
    truth: list[AccountTruthView] = []
    day_limits: list[DayLimitView] = []
    feeds: list[FeedView] = []
    schedules: list[ScheduledView] = []

    @property
    def open_runs(self) -> list[RunView]:
        """Runs that have not ended."""
        return [run for run in self.runs if not run.ended]

    @property
    def halted_accounts(self) -> set[int]:
        """Accounts on which nothing may enter: all of them where the user is halted, or by a halt of their own."""
        halts = {limit.account_id for limit in self.day_limits if limit.halted}
        whole = self.halted or None in halts
        return {account.id for account in self.accounts if whole or account.id in halts}

    @property
    def ended_runs(self) -> list[RunView]:
        """Runs that ended not long ago, newest first."""
        return sorted((run for run in self.runs if run.ended), key=lambda run: -run.id)

    @property
    def available_paise(self) -> int | None:
        """Available funds over the accounts whose funds are known; None when none are."""
        return _known_sum(account.available_paise for account in self.accounts)

    @property
    def used_paise(self) -> int | None:
        """Used margin over the accounts whose funds are known; None when none are."""
        return _known_sum(account.used_paise for account in self.accounts)

    @property
    def funds_unknown(self) -> list[str]:
        """Names of the accounts that the sums leave out."""
        return [account.name for account in self.accounts if account.available_paise is None]


class PreviewLeg(View):
    """One resolved leg: the contract and its prices at the one reading.

    ``limit_price`` (₹): what a LIMIT leg asks for; None at market, and where ``limit_problem`` says why there is none.
    """

    leg_index: int
    action: str
    ratio: int
    symbol: str
    exchange: str
    expiry: date
    strike: float
    instrument_type: str
    ltp: float | None
    bid: float | None
    ask: float | None
    lot_size: int
    freeze_quantity: int | None
    source: str
    price_type: str = "MARKET"
    limit_price: float | None = None
    limit_problem: str = ""


class PreviewOrder(View):
    """One child order in the order it would go; ``price`` (₹) is its limit, None at market."""

    account_id: int
    leg_index: int
    slice_index: int
    stage: str
    action: str
    symbol: str
    quantity: int
    price: float | None = None


class PreviewAccount(View):
    """The sizing waterfall of one account, in paise; 0 lots carries the reason. ``grade`` empty: an own percentage."""

    account_id: int
    account: str
    available_paise: int | None
    funds_age_seconds: float | None
    grade: str = ""
    percentage: float
    usable_paise: int | None
    structure_margin_paise: int | None
    lots: int
    bound_by: str
    reason: str
    orders: list[PreviewOrder]

    def stage_of(self, order: PreviewOrder) -> str:
        """Return the stage of an order in words; there is no "then" and no "first" where all go at once."""
        alone = len({each.stage for each in self.orders}) == 1
        return order.stage.removeprefix("then ").removesuffix(" first") if alone else order.stage


class PreviewView(View):
    """What Execute would send, from one spot reading and one chain."""

    strategy_id: int
    version: int
    underlying: str
    spot: float
    as_of: datetime
    expiry_day: bool
    legs: list[PreviewLeg]
    accounts: list[PreviewAccount]


class CommandView(View):
    """How far a command is. ``state``: pending, taken, done, refused, too_late; ``message`` in words for the person."""

    id: int
    kind: str
    state: str
    message: str
    outcome: dict[str, Any]
    created_at: datetime


class EventFilter(View):
    """Which risk events are wanted; what is empty or None sifts nothing. Days are days in India, both included.

    ``words``: part of the message, in any case. ``before_id``: only older ones, to turn the page.
    """

    kinds: list[str] = []
    run_id: int | None = None
    account_id: int | None = None
    first_day: date | None = None
    last_day: date | None = None
    words: str = ""
    before_id: int | None = None


class RiskEventView(View):
    """One risk event with what the engine knew. ``link``: its link in the audit chain, None until it is chained."""

    id: int
    at: datetime
    kind: str
    action: str
    run_id: int | None
    strategy: str
    account: str
    threshold_paise: int | None
    value_paise: int | None
    message: str
    knew: dict[str, Any]
    order_ids: list[str]
    link: int | None = None


class StrategyView(View):
    """A strategy in its present version."""

    id: int
    name: str
    version: int
    version_id: int
    description: str
    product: str
    market_condition: str
    account_ids: list[int]
    draft: StrategyDraft
    open_run_ids: list[int]


class TemplateView(View):
    """A ready-made strategy to start from."""

    key: str
    title: str
    description: str
    draft: StrategyDraft


class ConnectionReport(View):
    """What a connection test saw, in words; ``ok`` only if ping, mode and funds answered."""

    ok: bool
    broker: str = ""
    mode: str = ""
    venue: str = ""
    funds_paise: int | None = None
    funds_model: str = ""
    problem: str = ""


class AccountDraft(View):
    """An account as a person adds it; the api key goes nowhere but into the vault."""

    name: str
    host: str
    ws_url: str = ""
    api_key: str = Field(repr=False)
    relation: str = ""
    group: str = ""
    grade: str = "B"
    max_lots: int | None = None
