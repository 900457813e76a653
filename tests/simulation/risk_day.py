"""A day of prices from a seed, with trouble at fixed times, and an oracle that says which stop must act when.

The market ticks only through the account that has subscribed and lives; quotes answer only while their account does.
The oracle knows the broker's fills and every price that was delivered, and nothing of the engine's memory.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.broker.answers import NotSent, PlacementOutcome
from engine.domain.evidence import AccountBooks
from engine.domain.instruments import Action, Exchange
from engine.domain.orders import Order
from engine.services.drafts import LegDraft, LimitsDraft, StrategyDraft
from engine.services.identity import Caller
from engine.services.messages import Connected, FeedChanged
from engine.services.strategies import save_strategy
from engine.store import tables
from tests.stage import BEGIN, CALL, FLY, HEDGE, LOT, PUT, SOLD, FakeHands, Stage, fill_at_once

CALM, CLOSE_BY = 2.0, 0.25
"""Seconds a step: while nothing is under way, and while something is."""
CUT = (6_000.0, 6_120.0)
"""No tick and no quote: seconds after the beginning."""
DEAD = (9_000.0, 9_600.0)
"""The primary account's server, stream and broker answer nothing."""
SECOND_LOOK = 2 * CALM
"""The first ticks of a new engine wait for a quote that agrees, or for ticks that stay: two steps of the day."""
KILLS = ((3_600.0, 3_720.0), (12_000.0, 12_003.0))
"""When the engine is killed, and when another one starts."""
SQUARE_OFF = (datetime(2026, 11, 23, 9, 40, tzinfo=BEGIN.tzinfo) - BEGIN).total_seconds()  # 15:10 in India
SIGHT = 5.0
"""A price decides for so long after it was delivered."""


@dataclass(frozen=True)
class Plan:
    """A run of the day: when it begins, what it trades, what takes it out. ``rule``: kind of the event expected."""

    name: str
    at: float
    legs: tuple[tuple[str, str, str, float], ...]
    limits: dict[str, Any]


PLANS = (
    Plan("loss", 10.0, SOLD, {"max_loss": 9_000.0}),
    Plan("profit", 600.0, SOLD, {"max_profit": 6_000.0}),
    Plan("trailing", 1_200.0, FLY, {"trailing_kind": "amount", "trailing_value": 5_000.0}),
    Plan("killed", KILLS[0][0] - 60.0, SOLD, {"max_loss": 500.0, "max_profit": 500.0}),
    Plan("cut", CUT[0] - 90.0, SOLD, {"max_loss": 1_200.0, "max_profit": 1_200.0}),
    Plan("dead", DEAD[0] - 120.0, FLY, {"max_loss": 2_000.0, "max_profit": 2_000.0}),
    Plan("second kill", 11_400.0, SOLD, {"trailing_kind": "amount", "trailing_value": 2_500.0}),
    Plan("time", 300.0, FLY, {"max_loss": 500_000.0}),
)


class Market:
    """Prices of a day: a walk of the index, premiums of a smooth curve over it, all from one seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._phase = self._chance.uniform(0.0, 2.0 * math.pi)
        self._noise = 0.0
        self._at = 0.0
        self.spot = 26_000.0

    def until(self, seconds: float) -> dict[str, float]:
        """Return the prices at so many seconds after the beginning; time only goes on."""
        while self._at + 1.0 <= seconds:
            self._at += 1.0
            self._noise = 0.999 * self._noise + self._chance.gauss(0.0, 1.6)
        hours = self._at / 3600.0
        self.spot = 26_000.0 + 90.0 * math.sin(1.7 * hours + self._phase) + 45.0 * math.sin(7.3 * hours) + self._noise
        decay = 1.0 - 0.08 * hours
        return {
            CALL: _premium(self.spot - 26_000.0, decay),
            PUT: _premium(26_000.0 - self.spot, decay),
            HEDGE: _premium(self.spot - 26_500.0, decay),
            "NIFTY": round(self.spot, 2),
        }


def _premium(inside: float, decay: float) -> float:
    """A premium (₹) by how far in the money: convex, above 0, in ticks of ₹ 0.05."""
    width = 220.0 * decay
    value = 0.5 * (inside + math.sqrt(inside * inside + width * width))
    return max(0.05, round(value * 20.0) / 20.0)


@dataclass
class Watched:
    """What the oracle knows of one run: from its fills at the brokers, and prices that were delivered."""

    plan: Plan
    run_id: int
    peak: float = 0.0
    due: tuple[float, str] | None = None
    fills: dict[str, tuple[int, float]] = field(default_factory=dict)

    def profit(self, seen: dict[str, float]) -> float:
        """P in ₹: money received less what closing would cost at these prices."""
        return sum(cash + quantity * seen[symbol] for symbol, (quantity, cash) in self.fills.items())

    def breach(self, profit: float) -> str | None:
        """The rule that acts at this P, by its own arithmetic."""
        limits = self.plan.limits
        if "max_loss" in limits and profit <= -limits["max_loss"]:
            return "max_loss"
        if "max_profit" in limits and profit >= limits["max_profit"]:
            return "max_profit"
        if "trailing_value" in limits:
            self.peak = max(self.peak, profit)
            if profit <= self.peak - limits["trailing_value"]:
                return "trailing_sl"
        return None


class DeadHands(FakeHands):
    """Hands whose server can be unplugged: nothing is read, nothing leaves, the stream is down."""

    dead = False

    def connect(self) -> None:
        if self.dead:
            self.inbox.put(Connected(self.account_id, "", "", "made to fail"))
        else:
            super().connect()


class RiskStage(Stage):
    """A stage whose accounts can die and come back."""

    def hands_for(self, account_id: int, before: FakeHands | None) -> FakeHands:
        hands = DeadHands(account_id, self.inbox, self.clock)
        hands.market = self.market
        if before is not None:
            hands.broker, hands.usual, hands.modifies = before.broker, before.usual, before.modifies
            hands.books_now, hands.silent = before.books_now, before.silent
            hands.dead = isinstance(before, DeadHands) and before.dead
        return hands


class RiskDay:
    """One simulated day; ``play`` runs it to its end, ``story`` is what happened, in order."""

    def __init__(self, folder: Path, seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.stage = RiskStage(folder, accounts=3, legs=SOLD, venue="live")
        self.market = Market(seed)
        self.chance = random.Random(seed + 1)
        self.seen: dict[str, float] = {}
        self.seen_at = -1e9
        self.first_seen_at = math.inf
        self.watched: list[Watched] = []
        self.alive = True
        self._strategies = {plan.name: self._save(plan) for plan in PLANS}
        self._armed = False

    # ── the day ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def now(self) -> float:
        """Seconds after the beginning."""
        return self.stage.clock.seconds - 1_000.0

    def play(self, until: float) -> None:
        """Let the day go by, with every trouble at its time."""
        todo: list[tuple[float, Callable[[], None]]] = [
            (plan.at, lambda plan=plan: self._enter(plan)) for plan in PLANS
        ]  # type: ignore[misc]
        todo += [(CUT[0], lambda: self._cut(on=True)), (CUT[1], lambda: self._cut(on=False))]
        todo += [(DEAD[0], lambda: self._unplug(on=True)), (DEAD[1], lambda: self._unplug(on=False))]
        for killed, started in KILLS:
            todo += [(killed, self._kill), (started, self._start)]
        todo.sort(key=lambda one: one[0])
        while self.now < until:
            while todo and todo[0][0] <= self.now:
                todo.pop(0)[1]()
            self._step()

    def _step(self) -> None:
        prices = self.market.until(self.now)
        for hands in self.stage.hands.values():
            hands.broker.price.update(prices)
        self._deliver(prices)
        self._judge()
        seconds = CLOSE_BY if self._busy() else CALM
        if self.alive:
            self.stage.step(seconds)
        else:
            self.stage.clock.seconds += seconds

    def _deliver(self, prices: dict[str, float]) -> None:
        if self._is_cut or not self.alive:
            return
        now = self.stage.clock.now()
        if self.seen and self.chance.random() < 0.02:  # what no exchange ever traded at, in a pass of its own
            nonsense = self.chance.choice((0.0, -5.0, math.nan, math.inf))
            self.stage.inbox.price(self.stage.market, (CALL, Exchange.NFO), nonsense, now)
            self.stage.step(0.0)
        for hands in self.stage.hands.values():
            if isinstance(hands, DeadHands) and hands.dead:
                continue
            for symbol, exchange in sorted(hands.symbols):
                if symbol in prices:
                    self.stage.inbox.price(self.stage.market, (symbol, exchange), prices[symbol], now)
                    self.seen, self.seen_at = dict(prices), self.now
                    self.first_seen_at = min(self.first_seen_at, self.now)

    _is_cut = False

    def _busy(self) -> bool:
        return any(not order.terminal for orders in self.stage.ledger.orders.values() for order in orders.values())

    def _cut(self, *, on: bool) -> None:
        self._is_cut = on
        for number, hands in self.stage.hands.items():
            (hands.silent.add if on else hands.silent.discard)("quotes")
            self.stage.feed(number, up=not on)

    def _unplug(self, *, on: bool) -> None:
        hands = self.stage.hands[1]
        assert isinstance(hands, DeadHands)
        hands.dead = on
        hands.usual = _never_left if on else fill_at_once
        for what in ("funds", "quotes", "probe", "cancel"):
            (hands.silent.add if on else hands.silent.discard)(what)
        hands.books_now = _no_books if on else None
        if on:
            self.stage.inbox.put(FeedChanged(1, "down", "made to fail"))
            self.stage.inbox.put(Connected(1, "", "", "made to fail"))
        else:
            self.stage.feed(1, up=True)

    def _kill(self) -> None:
        self.alive = False

    def _start(self) -> None:
        self.stage.restart()
        self.alive, self.first_seen_at = True, math.inf
        for number in self.stage.hands:
            self.stage.feed(number, up=True)

    # ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _save(self, plan: Plan) -> int:
        draft = StrategyDraft(
            name=plan.name,
            account_ids=[1, 2, 3],
            fixed_lots=1,
            legs=[
                LegDraft(
                    underlying="NIFTY", action=action, instrument_type=kind, expiry_choice="next_week",
                    strike_kind=strike, strike_value=value,
                )
                for action, kind, strike, value in plan.legs
            ],
            limits=LimitsDraft(square_off_time="15:10", **plan.limits),
        )  # fmt: skip
        return save_strategy(self.stage.database, Caller(1, "asha", tables.Role.ADMIN), draft, now=BEGIN).id

    def _enter(self, plan: Plan) -> None:
        before = set(self.stage.ledger.runs)
        payload = {"strategy_id": self._strategies[plan.name], "version": 1, "seen_run_ids": [], "again": False}
        if not self._armed:
            for number in self.stage.hands:
                self.stage.feed(number, up=True)
            self.stage.arm()
            self._armed = True
        self.stage.command("execute", payload | {"account_ids": None})
        self.stage.until(lambda: set(self.stage.ledger.runs) - before, by=CLOSE_BY)
        run_id = max(self.stage.ledger.runs)
        self.stage.until(lambda: self.stage.ledger.runs[run_id].state == "open", by=CLOSE_BY)
        one = Watched(plan, run_id)
        for order in self.stage.orders(run_id):
            sign = Action(order.action).sign
            quantity, cash = one.fills.get(order.symbol, (0, 0.0))
            filled, paid = order.filled_quantity, order.filled_value_paise / 100
            one.fills[order.symbol] = (quantity + sign * filled, cash - sign * paid)
        assert sum(abs(quantity) for quantity, _cash in one.fills.values()) == 3 * LOT * len(plan.legs)
        self.watched.append(one)

    def _judge(self) -> None:
        """Note when each run's rule must act: the first moment at which a living engine sees it breached."""
        sighted = self.alive and self.now - self.seen_at <= SIGHT and self.now - self.first_seen_at >= SECOND_LOOK
        for one in self.watched:
            if one.due is not None or not self.seen:
                continue
            if self.now >= SQUARE_OFF and self.alive:
                one.due = (self.now, "square_off")
            elif sighted and (kind := one.breach(one.profit(self.seen))) is not None:
                one.due = (self.now, kind)

    # ── what happened ─────────────────────────────────────────────────────────────────────────────────────────────────

    def seconds(self, at: datetime) -> float:
        """Return an instant as seconds after the beginning."""
        return (at.replace(tzinfo=BEGIN.tzinfo) - BEGIN).total_seconds()

    def story(self) -> list[tuple[Any, ...]]:
        """Everything that was decided and sent, in order."""
        found: list[tuple[Any, ...]] = [
            (self.seconds(event.at), "event", event.kind, event.execution_id, event.account_id, event.message)
            for event in self.stage.events()
        ]
        for one in self.watched:
            found += [
                (
                    self.seconds(order.created_at),
                    "order",
                    order.id,
                    order.symbol,
                    order.action,
                    order.quantity,
                    order.state,
                )
                for order in self.stage.orders(one.run_id)
            ]
        return found


def _never_left(_hands: FakeHands, _order: Order) -> PlacementOutcome:
    return NotSent("no connection: made to fail")


def _no_books() -> AccountBooks | None:
    return None
