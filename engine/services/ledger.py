"""What the core remembers, and the changes of one pass.

The ledger is the memory; only the core thread touches it. A pass collects changes in front of it, so that every
decision of the pass sees them, commits them in one transaction and only then makes them memory. A commit that fails
leaves the ledger as it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, TypeVar

from engine.domain.calendar import ist_day
from engine.domain.day_limits import DayLimits
from engine.domain.evidence import Instrument
from engine.domain.instruments import Action, Exchange, Key, PriceType, Product
from engine.domain.netting import Charges, Owner, charge_drift
from engine.domain.orders import IN_DOUBT, Order, OrderState, Purpose
from engine.domain.pnl import Holding, apply_fill
from engine.domain.runs import (
    RUN_ENDED,
    AccountMemory,
    Charge,
    DayMark,
    ExitPlan,
    PlanState,
    Run,
    RunAccount,
    ScheduledEntry,
)
from engine.services.run_index import RunIndex

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRow:
    """An increment of what filled; ``quantity`` 0 is a price correction. ``order_id`` None: a charge."""

    id: int
    order_id: int | None
    execution_id: int
    key: Key
    action: Action
    quantity: int
    value_paise: int
    source: str
    estimated: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A risk event to be recorded: what happened, and what the engine knew."""

    id: int
    at: datetime
    owner_id: int
    execution_id: int | None
    account_id: int | None
    exit_plan_id: int | None
    kind: str
    action: str
    threshold_paise: int | None
    value_paise: int | None
    message: str
    knew: dict[str, Any]


@dataclass(slots=True)
class Counters:
    """The next id of each table the core writes: it is the only writer, so memory may give them."""

    run: itertools.count[int]
    run_account: itertools.count[int]
    order: itertools.count[int]
    plan: itertools.count[int]
    fill: itertools.count[int]
    event: itertools.count[int]
    scheduled: itertools.count[int] = field(default_factory=lambda: itertools.count(1))


@dataclass(slots=True)
class Ledger:
    """Runs that are not ended, everything that belongs to them, and today's broker ids of ended ones.

    ``day``: the one (IST) that P of the day is counted for, None before it was asked for.
    """

    counters: Counters
    runs: dict[int, Run] = field(default_factory=dict)
    accounts: dict[int, dict[int, RunAccount]] = field(default_factory=dict)
    orders: dict[int, dict[int, Order]] = field(default_factory=dict)
    plans: dict[int, dict[int, ExitPlan]] = field(default_factory=dict)
    charges: dict[int, dict[int, Charge]] = field(default_factory=dict)
    holdings: dict[int, dict[Key, Holding]] = field(default_factory=dict)
    limits: dict[tuple[int, int | None], DayLimits] = field(default_factory=dict)
    run_of_order: dict[int, int] = field(default_factory=dict)
    in_doubt: dict[int, Order] = field(default_factory=dict)
    memories: dict[int, AccountMemory] = field(default_factory=dict)
    scheduled: dict[tuple[int, date], ScheduledEntry] = field(default_factory=dict)
    day_marks: list[DayMark] = field(default_factory=list)
    day: date | None = None
    _index: RunIndex | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def index(self) -> RunIndex:
        """What the rows say, by what is asked for; read from all of them once, then kept with every commit."""
        if self._index is None or self._index.known != len(self.runs):
            self._index = RunIndex.of(self)
        return self._index


def holdings_of(orders: Iterable[Order], charges: Iterable[Charge]) -> dict[Key, Holding]:
    """Return what a run owns per key, rebuilt from its orders' fills and its charges in the order they came.

    Rebuilding instead of adding up keeps it exact when a price is corrected later.
    """
    entries: list[tuple[datetime, int, Key, Action, int, int]] = [
        (order.created_at, order.id, order.key, order.action, order.filled_quantity, order.filled_value_paise)
        for order in orders
        if order.filled_quantity
    ]
    entries += [
        (charge.at, charge.id, charge.key, charge.action, charge.quantity, charge.value_paise) for charge in charges
    ]
    holdings: dict[Key, Holding] = {}
    for _at, _id, key, action, quantity, value in sorted(entries, key=lambda entry: entry[:2]):
        holdings[key] = apply_fill(holdings.get(key, Holding()), action, quantity, value)
    return holdings


class Pass:
    """The changes of one pass of the core: readable at once, memory only after the commit."""

    def __init__(self, ledger: Ledger, now: datetime) -> None:
        self.ledger = ledger
        self.now = now
        self.runs: dict[int, Run] = {}
        self.run_accounts: dict[tuple[int, int], RunAccount] = {}
        self.orders: dict[int, Order] = {}
        self.plans: dict[int, ExitPlan] = {}
        self.charges: dict[int, Charge] = {}
        self.fills: list[FillRow] = []
        self.events: list[EventRow] = []
        self.outcomes: dict[int, tuple[str, dict[str, Any]]] = {}
        self.limits: dict[tuple[int, int | None], DayLimits] = {}
        self.scheduled: dict[tuple[int, date], ScheduledEntry] = {}
        self.day_marks: list[DayMark] = []
        self.margins: list[dict[str, Any]] = []
        self.memories: dict[int, AccountMemory] = {}
        self.after_commit: list[Callable[[], object]] = []
        self.telling: set[tuple[object, ...]] = set()
        self._holdings: dict[int, dict[Key, Holding]] = {}
        self._touched: dict[int, set[int]] = {}
        # indexes: a kill switch over hundreds of runs must not look at every row for every run
        self._accounts_by_run: dict[int, dict[int, RunAccount]] = {}
        self._plans_by_run: dict[int, dict[int, ExitPlan]] = {}
        self._charges_by_run: dict[int, dict[int, Charge]] = {}
        self._doubt_changed: dict[int, Order | None] = {}
        self._doubtful_keys: frozenset[Key] | None = None
        self._owners: dict[Key, list[Owner]] = {}
        self._drift: dict[tuple[Key, int], Charges] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing has to be written."""
        changed = (
            self.runs, self.run_accounts, self.orders, self.plans, self.charges,
            self.fills, self.events, self.outcomes, self.limits, self.margins, self.memories,
            self.scheduled, self.day_marks,
        )  # fmt: skip
        return not any(changed)

    # ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, run_id: int) -> Run:
        """Return a run as this pass sees it."""
        return self.runs.get(run_id) or self.ledger.runs[run_id]

    def open_runs(self) -> list[Run]:
        """Return the runs that are not ended, oldest first."""
        known, runs = self.ledger.index.open, self.ledger.runs
        if not self.runs:
            return [runs[run_id] for run_id in known]
        ids = sorted(known.keys() | self.runs.keys())
        return [run for run in map(self.run, ids) if run.state not in RUN_ENDED]

    def open_run(self, run_id: int) -> Run | None:
        """Return a run that is not ended, None if there is none with this id."""
        run = self.runs.get(run_id) or self.ledger.runs.get(run_id)
        return None if run is None or run.state in RUN_ENDED else run

    def open_on(self, account_id: int) -> list[Run]:
        """Return the runs that are not ended and that have this account, oldest first."""
        known, runs = self.ledger.index.on.get(account_id, {}), self.ledger.runs
        if not self.runs and not self.run_accounts:
            return [runs[run_id] for run_id in sorted(known)]
        ids = set(known)
        ids.update(run_id for run_id, account in self.run_accounts if account == account_id)
        return [run for run in map(self.open_run, sorted(ids)) if run is not None]

    def busy_runs(self) -> list[Run]:
        """Return the open runs that wait for something, and those that this pass changed; oldest first."""
        ids = sorted(self.ledger.index.busy.keys() | self.touched_runs())
        return [run for run in map(self.open_run, ids) if run is not None]

    def put_run(self, run: Run) -> Run:
        """Change or add a run."""
        self.runs[run.id] = run
        return run

    def accounts_of(self, run_id: int) -> list[RunAccount]:
        """Return the accounts of a run."""
        return list({**self.ledger.accounts.get(run_id, {}), **self._accounts_by_run.get(run_id, {})}.values())

    def account_of(self, run_id: int, account_id: int) -> RunAccount:
        """Return one account of a run."""
        changed = self.run_accounts.get((run_id, account_id))
        return changed if changed is not None else self.ledger.accounts[run_id][account_id]

    def put_account(self, row: RunAccount) -> RunAccount:
        """Change or add an account of a run."""
        self.run_accounts[row.execution_id, row.account_id] = row
        self._accounts_by_run.setdefault(row.execution_id, {})[row.account_id] = row
        return row

    # ── orders, fills, holdings ───────────────────────────────────────────────────────────────────────────────────────

    def order(self, order_id: int) -> Order | None:
        """Return an order, None if it belongs to no run in memory."""
        if order_id in self.orders:
            return self.orders[order_id]
        run_id = self.ledger.run_of_order.get(order_id)
        return None if run_id is None else self.ledger.orders[run_id][order_id]

    def orders_of(self, run_id: int) -> list[Order]:
        """Return the orders of a run in the order they were planned."""
        known = self.ledger.orders.get(run_id, {})
        touched = self._touched.get(run_id)
        if not touched:
            return list(known.values())
        merged = dict(known)
        merged.update({order_id: self.orders[order_id] for order_id in sorted(touched)})
        return list(merged.values())

    def orders_on(self, account_id: int) -> list[Order]:
        """Return every order of an account that is in memory, first planned first; those of ended runs too."""
        rows = self.ledger.orders
        known = self.ledger.index.orders.get(account_id, {})
        if not self.orders:
            return [rows[run_id][order_id] for order_id, run_id in known.items()]
        changed = self.orders
        found = [changed.get(order_id) or rows[run_id][order_id] for order_id, run_id in known.items()]
        found += [o for order_id, o in sorted(changed.items()) if o.account_id == account_id and order_id not in known]
        return found

    def alive_orders(self, account_id: int) -> list[Order]:
        """Return the orders of an account that are not terminal, first planned first."""
        known, rows = self.ledger.index.alive.get(account_id, {}), self.ledger.orders
        found = {order_id: rows[run_id][order_id] for order_id, run_id in known.items()}
        found |= {order_id: order for order_id, order in self.orders.items() if order.account_id == account_id}
        return [order for _id, order in sorted(found.items()) if not order.terminal]

    def planned_orders(self) -> list[Order]:
        """Return the orders that were planned and not sent yet, first planned first."""
        rows = self.ledger.orders
        found = {order_id: rows[run_id][order_id] for order_id, run_id in self.ledger.index.planned.items()}
        found |= self.orders
        return [order for _id, order in sorted(found.items()) if order.state is OrderState.PLANNED]

    def put_order(self, order: Order, *, source: str = "") -> Order:
        """Change or add an order; what it filled since is booked as a fill from ``source``."""
        before = self.order(order.id)
        quantity = order.filled_quantity - (before.filled_quantity if before else 0)
        value = order.filled_value_paise - (before.filled_value_paise if before else 0)
        if quantity or value:
            self.fills.append(
                FillRow(
                    id=next(self.ledger.counters.fill),
                    order_id=order.id,
                    execution_id=order.execution_id,
                    key=order.key,
                    action=order.action,
                    quantity=quantity,
                    value_paise=value,
                    source=source,
                    estimated=order.estimated,
                    at=self.now,
                )
            )
        self.orders[order.id] = order
        self._touched.setdefault(order.execution_id, set()).add(order.id)
        if order.state in IN_DOUBT or order.id in self.ledger.in_doubt or order.id in self._doubt_changed:
            self._doubt_changed[order.id] = order if order.state in IN_DOUBT else None
            self._doubtful_keys = None
        if quantity or value:
            self._stale_holdings(order.execution_id)
        return order

    def plan_order(
        self,
        *,
        run: Run,
        purpose: Purpose,
        key: Key,
        leg_index: int,
        slice_index: int,
        action: Action,
        quantity: int,
        trading_day: date,
        exit_plan_id: int | None = None,
        price_type: PriceType = PriceType.MARKET,
        price: float = 0.0,
    ) -> Order:
        """Add a planned order; its tag names run and order, so that books which show it can be matched.

        ``price`` (₹) is the limit of a LIMIT order.
        """
        order_id = next(self.ledger.counters.order)
        return self.put_order(
            Order(
                id=order_id,
                execution_id=run.id,
                account_id=key.account_id,
                exit_plan_id=exit_plan_id,
                purpose=purpose,
                leg_index=leg_index,
                slice_index=slice_index,
                symbol=key.symbol,
                exchange=Exchange(key.exchange),
                product=Product(key.product),
                action=action,
                price_type=price_type,
                quantity=quantity,
                price=price,
                trigger_price=0.0,
                state=OrderState.PLANNED,
                orderid=None,
                trading_day=trading_day,
                tag=f"am-{run.id}-{order_id}",
                filled_quantity=0,
                filled_value_paise=0,
                cancel_requested=False,
                words="",
                visible_before=(),
                created_at=self.now,
                sent_at=None,
                answered_at=None,
                quiet_until=None,
                absent_since=None,
                updated_at=self.now,
            )
        )

    def charges_of(self, run_id: int) -> list[Charge]:
        """Return the charges of a run."""
        return list({**self.ledger.charges.get(run_id, {}), **self._charges_by_run.get(run_id, {})}.values())

    def put_charge(self, charge: Charge) -> Charge:
        """Book a charge (RULES 6) as a fill without an order of ours; the same id again replaces it."""
        self.charges[charge.id] = charge
        self._charges_by_run.setdefault(charge.execution_id, {})[charge.id] = charge
        self.fills.append(
            FillRow(
                id=charge.id,
                order_id=None,
                execution_id=charge.execution_id,
                key=charge.key,
                action=charge.action,
                quantity=charge.quantity,
                value_paise=charge.value_paise,
                source=charge.source,
                estimated=charge.estimated,
                at=charge.at,
            )
        )
        self._stale_holdings(charge.execution_id)
        return charge

    def holdings(self, run_id: int) -> dict[Key, Holding]:
        """Return what a run owns per key."""
        if run_id in self._holdings:
            return self._holdings[run_id]
        return self.ledger.holdings.get(run_id, {})

    def changed_orders(self, run_id: int) -> list[Order]:
        """Return the orders of a run that this pass changed."""
        return [self.orders[order_id] for order_id in sorted(self._touched.get(run_id, ()))]

    def in_doubt(self, key: Key) -> bool:
        """Whether an order of ours under a key is sending, unknown or queued."""
        if self._doubtful_keys is None:
            orders: dict[int, Order | None] = {**self.ledger.in_doubt, **self._doubt_changed}
            self._doubtful_keys = frozenset(order.key for order in orders.values() if order is not None)
        return key in self._doubtful_keys

    def doubtful_orders(self, account_id: int) -> list[Order]:
        """Return the orders of an account that are sending, unknown or queued, first sent first."""
        orders: dict[int, Order | None] = {**self.ledger.in_doubt, **self._doubt_changed}
        found = [order for order in orders.values() if order is not None and order.account_id == account_id]
        return sorted(found, key=lambda order: (order.sent_at or order.created_at, order.id))

    def owners(self, key: Key) -> list[Owner]:
        """Return what each run owns under a key, oldest run first."""
        if key not in self._owners:
            found = dict(self.ledger.index.owners.get(key, {}))
            for run_id, holdings in self._holdings.items():
                held = holdings.get(key)
                found[run_id] = held.quantity if held is not None else 0
            self._owners[key] = [Owner(run_id, quantity) for run_id, quantity in sorted(found.items()) if quantity]
        return self._owners[key]

    def owned_on(self, account_id: int) -> dict[Instrument, int]:
        """Return what all runs together own on an account."""
        totals = dict(self.ledger.index.totals.get(account_id, {}))
        for run_id, holdings in self._holdings.items():
            for quantities, sign in ((self.ledger.holdings.get(run_id, {}), -1), (holdings, 1)):
                for key, held in quantities.items():
                    if key.account_id == account_id:
                        one = Instrument(*key[1:])
                        totals[one] = totals.get(one, 0) + sign * held.quantity
        return totals

    def drift(self, key: Key, net: int) -> Charges:
        """Return who bears the difference between the broker's net and what the runs own (RULES 6)."""
        if (key, net) not in self._drift:
            self._drift[key, net] = charge_drift(self.owners(key), net)
        return self._drift[key, net]

    def _stale_holdings(self, run_id: int) -> None:
        self._owners, self._drift = {}, {}
        self._holdings[run_id] = holdings_of(self.orders_of(run_id), self.charges_of(run_id))

    # ── plans, events, commands ───────────────────────────────────────────────────────────────────────────────────────

    def plans_of(self, run_id: int) -> list[ExitPlan]:
        """Return the exit plans of a run."""
        return list({**self.ledger.plans.get(run_id, {}), **self._plans_by_run.get(run_id, {})}.values())

    def active_plan(self, run_id: int, account_id: int) -> ExitPlan | None:
        """Return the active exit plan that covers an account of a run."""
        for plan in self.plans_of(run_id):
            if plan.state is PlanState.ACTIVE and plan.covers(account_id):
                return plan
        return None

    def put_plan(self, plan: ExitPlan) -> ExitPlan:
        """Change or add an exit plan."""
        self.plans[plan.id] = plan
        self._plans_by_run.setdefault(plan.execution_id, {})[plan.id] = plan
        return plan

    def event(
        self,
        *,
        owner_id: int,
        kind: str,
        action: str,
        message: str,
        knew: dict[str, Any],
        run_id: int | None = None,
        account_id: int | None = None,
        plan_id: int | None = None,
        threshold_paise: int | None = None,
        value_paise: int | None = None,
    ) -> None:
        """Record a risk event."""
        self.events.append(
            EventRow(
                id=next(self.ledger.counters.event),
                at=self.now,
                owner_id=owner_id,
                execution_id=run_id,
                account_id=account_id,
                exit_plan_id=plan_id,
                kind=kind,
                action=action,
                threshold_paise=threshold_paise,
                value_paise=value_paise,
                message=message,
                knew=knew,
            )
        )

    # ── limits of the day, halts, schedules ───────────────────────────────────────────────────────────────────────────

    def limits_of(self, owner_id: int, account_id: int | None = None) -> DayLimits:
        """Return the limits and halts of a user (``account_id`` None) or of one account; without any, empty ones."""
        known = self.limits.get((owner_id, account_id)) or self.ledger.limits.get((owner_id, account_id))
        return known if known is not None else DayLimits(owner_id=owner_id, account_id=account_id)

    def put_limits(self, limits: DayLimits) -> DayLimits:
        """Change limits or halts of a user or an account; written only when they changed."""
        if self.limits_of(limits.owner_id, limits.account_id) != limits:
            self.limits[limits.owner_id, limits.account_id] = limits
        return limits

    def halted(self, owner_id: int, account_id: int | None = None) -> str:
        """Return why entries are halted for a user, or on one account of his; empty when they may go."""
        today = ist_day(self.now)
        if self.ledger.day is not None:
            today = min(today, self.ledger.day)  # a clock that jumped ends no halt
        for place in dict.fromkeys((None, account_id)):
            limits = self.limits_of(owner_id, place)
            if limits.halts(today):
                return limits.reason or "halted"
        return ""

    def scheduled_entry(self, strategy_id: int, day: date) -> ScheduledEntry | None:
        """Return what became of a strategy's scheduled entry on a day, None if nothing was decided yet."""
        return self.scheduled.get((strategy_id, day)) or self.ledger.scheduled.get((strategy_id, day))

    def put_scheduled(self, entry: ScheduledEntry) -> ScheduledEntry:
        """Note what became of a scheduled entry."""
        self.scheduled[entry.strategy_id, entry.day] = entry
        return entry

    def memory(self, account_id: int) -> AccountMemory | None:
        """Return what is remembered of an account, None before it was ever armed."""
        return self.memories.get(account_id) or self.ledger.memories.get(account_id)

    def put_memory(self, memory: AccountMemory) -> AccountMemory:
        """Remember an account's broker, mode, opening and carried positions; written only when they changed."""
        if self.memory(memory.account_id) != memory:
            self.memories[memory.account_id] = memory
        return memory

    def answer_command(self, command_id: int, state: str, outcome: dict[str, Any]) -> None:
        """Write what became of a command."""
        self.outcomes[command_id] = (state, outcome)

    def touched_runs(self) -> set[int]:
        """Return the runs this pass changed anything of."""
        return (
            {run_id for run_id, _ in self.run_accounts}
            | set(self.runs)
            | set(self._touched)
            | {plan.execution_id for plan in self.plans.values()}
            | {charge.execution_id for charge in self.charges.values()}
        )

    def changed_holdings(self) -> dict[int, dict[Key, Holding]]:
        """Return the holdings this pass changed."""
        return self._holdings

    def become_memory(self) -> None:
        """Make the committed changes memory."""
        ledger, index = self.ledger, self.ledger.index
        ledger.runs.update(self.runs)
        for (run_id, account_id), row in self.run_accounts.items():
            ledger.accounts.setdefault(run_id, {})[account_id] = row
        for order_id in sorted(self.orders):
            order = self.orders[order_id]
            ledger.orders.setdefault(order.execution_id, {})[order_id] = order
            ledger.run_of_order[order_id] = order.execution_id
            if order.state in IN_DOUBT:
                ledger.in_doubt[order_id] = order
            else:
                ledger.in_doubt.pop(order_id, None)
        for plan in self.plans.values():
            ledger.plans.setdefault(plan.execution_id, {})[plan.id] = plan
        for charge in self.charges.values():
            ledger.charges.setdefault(charge.execution_id, {})[charge.id] = charge
        ledger.holdings.update(self._holdings)
        ledger.memories.update(self.memories)
        ledger.limits.update(self.limits)
        ledger.scheduled.update(self.scheduled)
        index.take_orders(ledger, {order_id: self.orders[order_id].execution_id for order_id in sorted(self.orders)})
        for run_id in self._holdings:
            index.take_holdings(ledger, run_id)
        for run_id in sorted(self.touched_runs()):
            index.take_run(ledger, run_id)
        index.known = len(ledger.runs)


def with_reason(row: RunAccount, reason: str) -> RunAccount:
    """Return the row with a further reason in words."""
    return replace(row, reason=f"{row.reason}; {reason}" if row.reason and reason not in row.reason else reason)
