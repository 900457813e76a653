"""The kill switch rehearsed: the engine's own decisions over a copy of memory, with a broker that fills at once.

Nothing of it is committed or sent: the passes are scratch, what they would do after a commit is never done, and the
copies have no hands. What is copied is all that a decision may change at once; the rest is only read.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from statistics import median
from typing import cast

from engine.domain.evidence import AccountBooks, Instrument
from engine.domain.instruments import Action, Key
from engine.domain.orders import IN_DOUBT, Order, OrderState, Purpose, moved
from engine.domain.pnl import Holding, apply_fill
from engine.domain.runs import RUN_ENDED, Charge, PlanState, RunState
from engine.services import crossing, exiting, placing
from engine.services.ledger import Counters, Ledger, Pass
from engine.services.owned import instrument_of, owned_now
from engine.services.settling import is_over
from engine.services.world import Account, Hands, World

BUDGET_SECONDS = 1.0
"""A rehearsal that takes the core longer than this ends where it is, and says so: real exits must not wait for it."""

IDLE_SECONDS = 16.0
"""How long (rehearsed) it waits where nothing can go: exits that failed are tried again within 15 s."""

IDLE_STEP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class RehearsedOrder:
    """An order that would go; ``stage`` counts from 1 per run and account, ``at_seconds`` from pressing."""

    order: Order
    stage: int
    at_seconds: float


@dataclass(slots=True)
class Rehearsal:
    """What came of it. ``flat_seconds``: per account, when its last order had filled; None: something stays open.

    ``left``: what would stay open, as (key, units). ``answer_seconds``: the measured time to an answer, per account
    that has one. ``taken_as_filled`` and ``cancelled``: orders that work at their brokers now.
    """

    orders: list[RehearsedOrder] = field(default_factory=list)
    run_ids: list[int] = field(default_factory=list)
    flat_seconds: dict[int, float | None] = field(default_factory=dict)
    left: list[tuple[Key, int]] = field(default_factory=list)
    answer_seconds: dict[int, float] = field(default_factory=dict)
    crossed: int = 0
    taken_as_filled: int = 0
    cancelled: int = 0
    complete: bool = True


@dataclass(slots=True)
class _Clock:
    """Time of the rehearsal, which goes only when it is told to."""

    begun: datetime
    begun_boot: float
    seconds: float = 0.0

    def now(self) -> datetime:
        return self.begun + timedelta(seconds=self.seconds)

    def boot(self) -> float:
        return self.begun_boot + self.seconds

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


class _NoHands:
    """Hands that may be named for after a commit, but not used: whoever tries has found a mistake, not a broker."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def use(*_args: object, **_options: object) -> None:
            raise RuntimeError(f"a rehearsal has no hands to {name}")

        return use


class _ScratchPass(Pass):
    """A pass whose fills change what is held without counting all of a run's fills anew; money is nobody's here."""

    _units: tuple[Key, Action, int]

    def put_order(self, order: Order, *, source: str = "") -> Order:
        """Change or add an order."""
        before = self.order(order.id)
        self._units = (order.key, order.action, order.filled_quantity - (before.filled_quantity if before else 0))
        return super().put_order(order, source=source)

    def put_charge(self, charge: Charge) -> Charge:
        """Book a crossing."""
        self._units = (charge.key, charge.action, charge.quantity)
        return super().put_charge(charge)

    def _stale_holdings(self, run_id: int) -> None:
        key, action, quantity = self._units
        holdings = self.holdings(run_id)
        self._owners, self._drift = {}, {}
        self._holdings[run_id] = {**holdings, key: apply_fill(holdings.get(key, Holding()), action, quantity, 0)}


def rehearse(changes: Pass, world: World, owner_id: int, *, press: Callable[[Pass, World], None]) -> Rehearsal:
    """Return what ``press`` (the kill switch) would set going for a user's runs; ``changes`` is only read."""
    return _Scene(changes, world, owner_id).play(press)


class _Scene:
    """One rehearsal: copies of the user's part of ledger and world, and a broker that fills what is sent."""

    def __init__(self, changes: Pass, world: World, owner_id: int) -> None:
        self._real_clock = world.clock
        self._clock = _Clock(changes.now, world.clock.boot())
        self._ledger = _copied_ledger(changes, owner_id)
        self._found = Rehearsal()
        self._nets: dict[int, dict[Instrument, int]] = {}
        accounts = [account for account in world.accounts.values() if account.facts.owner_id == owner_id]
        self._world = replace(
            world,
            clock=self._clock,
            accounts={account.id: _copied_account(account) for account in accounts},
            terms=dict(world.terms),
            previews={},
            blind_since=dict(world.blind_since),
            blind_told=set(world.blind_told),
            resolutions=dict(world.resolutions),
            previewed={},
            watched={},
            quotes_due={},
            told=dict(world.told),
            unsettled_told=dict(world.unsettled_told),
            stopping=False,
        )
        for account in self._world.accounts.values():
            self._nets[account.id] = _net(self._ledger, account)
        self._found.answer_seconds = _answer_seconds(changes, self._ledger)
        self._in_flight: dict[int, float] = {}
        self._stages: dict[tuple[int, int], int] = {}
        self._stage_of: dict[int, int] = {}
        self._last_fill: dict[int, float] = {}

    def play(self, press: Callable[[Pass, World], None]) -> Rehearsal:
        """Press, and go on until nothing is left to send."""
        self._pass(press, wake=True)
        self._pass(self._end_working, wake=True)
        idle = 0.0
        until = self._real_clock.boot() + BUDGET_SECONDS
        while self._real_clock.boot() < until:
            if (moment := self._next_moment()) is not None:
                self._clock.seconds, idle = max(self._clock.seconds, moment), 0.0
                self._pass(None, wake=False)
            elif idle < IDLE_SECONDS and any(True for _ in self._open()):
                idle += IDLE_STEP_SECONDS
                self._clock.seconds += IDLE_STEP_SECONDS
                self._pass(None, wake=True)
            else:
                break
        else:
            self._found.complete = False
        self._sum_up()
        return self._found

    def _pass(self, first: Callable[[Pass, World], None] | None, *, wake: bool) -> None:
        """Decide as the core does; ``wake``: about every run, otherwise only about those whose orders filled.

        What crosses inside does so before the first order goes: afterwards only what stood in its way may have ended.
        """
        changes = _ScratchPass(self._ledger, self._clock.now())
        runs = {order.execution_id for order in self._fill(changes)}
        if first is not None:
            first(changes, self._world)
        before = set(self._ledger.run_of_order)
        self._show_books()
        if wake:
            crossing.cross(changes, self._world)
        for run in changes.open_runs():
            if (wake or run.id in runs) and run.state is not RunState.RESOLVING:
                exiting.drive(changes, self._world, run)
        self._count_stages(changes, before)
        placing.dispatch(changes, self._world)
        self._note_sent(changes)
        self._found.crossed += sum(
            charge.quantity
            for charge in changes.charges.values()
            if charge.source == "crossing" and charge.action.sign < 0
        )
        changes.become_memory()

    def _fill(self, changes: Pass) -> list[Order]:
        """Fill what was sent and has had its time."""
        done = [order_id for order_id, at in self._in_flight.items() if at <= self._clock.seconds]
        filled = []
        for order_id in done:
            del self._in_flight[order_id]
            order = changes.order(order_id)
            assert order is not None
            self._world.accounts[order.account_id].sending.pop(order_id, None)
            filled.append(self._filled(changes, moved(order, OrderState.WORKING, changes.now)))
        return filled

    def _filled(self, changes: Pass, order: Order) -> Order:
        units = order.pending_quantity
        net = self._nets[order.account_id]
        instrument = instrument_of(order.key)
        net[instrument] = net.get(instrument, 0) + order.action.sign * units
        self._last_fill[order.account_id] = self._clock.seconds
        return changes.put_order(moved(order, OrderState.FILLED, changes.now, filled_quantity=order.quantity))

    def _end_working(self, changes: Pass, world: World) -> None:
        """Take exit orders that work at their brokers as filled, and entry orders that are taken back as cancelled."""
        for run in changes.open_runs():
            for order in changes.orders_of(run.id):
                if order.state is not OrderState.WORKING or order.account_id not in world.accounts:
                    continue
                if order.purpose is Purpose.EXIT:
                    self._found.taken_as_filled += 1
                    self._filled(changes, order)
                elif order.cancel_requested:
                    self._found.cancelled += 1
                    changes.put_order(moved(order, OrderState.CANCELLED, changes.now))

    def _count_stages(self, changes: Pass, before: set[int]) -> None:
        """Give what one run plans on one account in one go its stage: bought legs come after the sold ones."""
        new = [o for o in changes.orders.values() if o.id not in before and o.purpose is Purpose.EXIT]
        for pair in {(order.execution_id, order.account_id) for order in new}:
            self._stages[pair] = self._stages.get(pair, 0) + 1
        for order in new:
            self._stage_of[order.id] = self._stages[order.execution_id, order.account_id]

    def _note_sent(self, changes: Pass) -> None:
        for order in changes.orders.values():
            known = self._ledger.orders.get(order.execution_id, {}).get(order.id)
            if order.state is not OrderState.SENDING or (known is not None and known.state is OrderState.SENDING):
                continue
            stage = self._stage_of.get(order.id, 1)
            self._found.orders.append(RehearsedOrder(order, stage, round(self._clock.seconds, 3)))
            self._world.accounts[order.account_id].sending[order.id] = changes.now
            self._in_flight[order.id] = self._clock.seconds + self._found.answer_seconds.get(order.account_id, 0.0)

    def _next_moment(self) -> float | None:
        """Return when something can happen next (seconds of the rehearsal): an order fills, the send limit allows."""
        moments = list(self._in_flight.values())
        waiting = {
            (order.account_id, order.exchange)
            for order in Pass(self._ledger, self._clock.now()).planned_orders()
            if order.account_id in self._world.accounts
        }
        boot = self._clock.boot()
        for account_id, exchange in waiting:
            ready = self._world.accounts[account_id].bucket.ready_at(exchange, boot)
            if ready > boot:
                moments.append(ready - self._clock.begun_boot)
        return min(moments, default=None)

    def _show_books(self) -> None:
        """Give every account books of this instant: what its broker showed, and what filled in the rehearsal."""
        now = self._clock.now()
        for account in self._world.accounts.values():
            last = account.books
            known = last or AccountBooks(account.facts.mode, now, now, (), (), {}, account.facts.broker)
            account.books = replace(known, begun_at=now, ended_at=now, net=dict(self._nets[account.id]))

    def _open(self) -> Iterable[tuple[Key, int]]:
        """Yield what the pressed runs could still exit."""
        changes = Pass(self._ledger, self._clock.now())
        for run in changes.open_runs():
            if not any(plan.state is PlanState.ACTIVE for plan in changes.plans_of(run.id)):
                continue
            for key in changes.holdings(run.id):
                account = self._world.accounts.get(key.account_id)
                units = 0 if account is None else owned_now(changes, account, run, key)
                if units and not is_over(self._world, run.venue, key, changes.now):
                    yield key, units

    def _sum_up(self) -> None:
        self._found.left = list(self._open())
        stuck = {key.account_id for key, _units in self._found.left}
        for run in self._ledger.runs.values():
            if run.state in RUN_ENDED:
                continue
            self._found.run_ids.append(run.id)
            for account_id in self._ledger.accounts.get(run.id, {}):
                last = round(self._last_fill.get(account_id, 0.0), 3)
                self._found.flat_seconds[account_id] = None if account_id in stuck else last


def _copied_ledger(changes: Pass, owner_id: int) -> Ledger:
    """Return a user's part of the memory, with ids of its own: those of the real one must not advance."""
    real = changes.ledger
    ids = [run.id for run in {**real.runs, **changes.runs}.values() if run.owner_id == owner_id]
    # entry orders that ended have had their effect: what is held is kept by itself
    orders = {
        run_id: {o.id: o for o in changes.orders_of(run_id) if not o.terminal or o.purpose is Purpose.EXIT}
        for run_id in ids
    }
    plans = {run_id: {plan.id: plan for plan in changes.plans_of(run_id)} for run_id in ids}
    charges = {run_id: {charge.id: charge for charge in changes.charges_of(run_id)} for run_id in ids}
    every = [order for of_run in orders.values() for order in of_run.values()]
    return Ledger(
        counters=Counters(
            run=_after(ids),
            run_account=_after([]),
            order=_after(order_id for run_id in ids for order_id in map(_id, changes.orders_of(run_id))),
            plan=_after(plan_id for of_run in plans.values() for plan_id in of_run),
            fill=_after(charge_id for of_run in charges.values() for charge_id in of_run),
            event=_after([]),
        ),
        runs={run_id: changes.run(run_id) for run_id in ids},
        accounts={run_id: {row.account_id: row for row in changes.accounts_of(run_id)} for run_id in ids},
        orders=orders,
        plans=plans,
        charges=charges,
        holdings={run_id: dict(changes.holdings(run_id)) for run_id in ids},
        limits={**real.limits, **changes.limits},
        run_of_order={order.id: order.execution_id for order in every},
        in_doubt={order.id: order for order in every if order.state in IN_DOUBT},
        memories={**real.memories, **changes.memories},
        scheduled={**real.scheduled, **changes.scheduled},
    )


def _after(ids: Iterable[int]) -> itertools.count[int]:
    return itertools.count(max(ids, default=0) + 1)


def _copied_account(account: Account) -> Account:
    """Return an account as if its server answered: what it would be sent is worth knowing also where it does not."""
    return replace(
        account,
        hands=cast("Hands", _NoHands()),
        bucket=copy.deepcopy(account.bucket),
        connected=True,
        quarantine="",
        traded=dict(account.traded),
        pushes=copy.copy(account.pushes),
        last_change=dict(account.last_change),
        drift_since=dict(account.drift_since),
        spent=dict(account.spent),
        outside=dict(account.outside),
        sending={},
        modifications={},
        standing=replace(account.standing, server_changed=""),
    )


def _net(ledger: Ledger, account: Account) -> dict[Instrument, int]:
    """Return what the broker shows; where its books are older than our last event there, what our runs own."""
    books = account.books
    net = {} if books is None else dict(books.net)
    owned: dict[Key, int] = {}
    for holdings in ledger.holdings.values():
        for key, held in holdings.items():
            if key.account_id == account.id:
                owned[key] = owned.get(key, 0) + held.quantity
    for key, quantity in owned.items():
        if account.books_since(account.last_change.get(key)) is None:
            instrument = instrument_of(key)
            net[instrument] = quantity - (0 if books is None else books.held.get(instrument, 0))
    return net


def _id(order: Order) -> int:
    return order.id


def _answer_seconds(changes: Pass, ledger: Ledger) -> dict[int, float]:
    """Return each account's median time from sending to the broker's answer, for those of which an order has one."""
    times: dict[int, list[float]] = {}
    for run_id in ledger.runs:
        for order in changes.orders_of(run_id):
            if order.orderid and order.answered_at and order.sent_at:
                took = (order.answered_at - order.sent_at).total_seconds()
                times.setdefault(order.account_id, []).append(max(0.0, took))
    return {account_id: median(taken) for account_id, taken in times.items()}
