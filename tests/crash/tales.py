"""What happens to runs that are open, told step by step while engines are killed: parts, re-entries, limits, rules.

A tale enters unharmed; the doomed engine dies somewhere in what follows. Each tale yields what it waits for, and says
what must be true in between; that everything is flat in the end is judged as in every other workflow.

Where prices decide, the tale holds those of its own contracts at the exchange (a ``Slot``): scenes share it.
"""

from __future__ import annotations

import contextlib
import json
import queue
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar
from uuid import uuid4

from engine.services.drafts import LegDraft, LimitsDraft, RuleDraft, StrategyDraft, SupertrendDraft
from tests.crash.judge import ALIVE
from tests.crash.nursery import Forked
from tests.crash.scene import HEDGED, Scene
from tests.crash.telling import LOOK_SECONDS, Engines
from tests.house import ENDED

STEP_SECONDS = 60.0
DARK_SECONDS = 2.5
LONGEST_KNOWN = 60.0
"""Seconds: a price older than this is not confirmed, whoever still repeats it (RULES 6)."""
OFFSETS: queue.Queue[int] = queue.Queue()
for _offset in range(1, 20, 2):
    OFFSETS.put(_offset)
"""Strikes from the money that no tale trades now: two apart, for the index moves while a tale is told."""

Reached = Callable[[], object]


@contextlib.contextmanager
def _offset() -> Iterator[int]:
    offset = OFFSETS.get()
    try:
        yield offset
    finally:
        OFFSETS.put(offset)


def _leg(action: str, kind: str, offset: int, **rules: Any) -> LegDraft:
    """Return a leg of an expiry that the other workflows do not trade."""
    return LegDraft(
        underlying="NIFTY",
        action=action,
        instrument_type=kind,
        expiry_choice="next_month",
        strike_kind="otm",
        strike_value=offset,
        **rules,
    )


class Tale(ABC):
    """``runs`` it opens; ``entries``: how often a leg of it may enter; ``engine``: how its engines are forked."""

    runs: ClassVar[int] = 1
    entries: ClassVar[int] = 1
    engine: ClassVar[dict[str, Any]] = {}

    def __init__(self, scene: Scene, lots: int, engines: Engines, problems: list[str]) -> None:
        self._scene, self._lots, self._engines, self._problems = scene, lots, engines, problems
        self._stops: dict[int, int] = {}
        self._held: dict[str, float] = {}

    def tell(self) -> None:
        """Tell it from the first engine's start to the last one's end; raises AssertionError where it gets stuck."""
        engine = self._engines.start()
        assert engine.ready(), f"the first engine ended with {engine.status}"
        self._scene.until_armed(30.0)
        with _offset() as offset:
            try:
                for reached in self.story(offset):
                    until = time.monotonic() + STEP_SECONDS
                    while not reached():
                        assert time.monotonic() < until, f"stuck for {STEP_SECONDS:.0f} s: {self._where()}"
                        self._look()
                        if not engine.alive:
                            self.before_restart()
                            engine = self._engines.after(engine)
                            self.after_restart(engine)
                        time.sleep(LOOK_SECONDS)
                self._look()
                self._engines.end(engine)
                self._problems += self.afterwards()
                self._problems += _unconfirmed(self._scene)
            finally:
                for symbol in self._held:
                    self._scene.paper.control("price", clear=True, symbol=symbol, exchange="NFO")

    @abstractmethod
    def story(self, offset: int) -> Iterator[Reached]:
        """Yield what is waited for, step by step."""

    def before_restart(self) -> None:  # noqa: B027 - in most tales nothing
        """Do what happens while no engine runs."""

    def after_restart(self, engine: Forked) -> None:  # noqa: B027 - in most tales nothing
        """Look at an engine that follows a killed one."""

    def afterwards(self) -> list[str]:
        """Return what else is wrong once everything is over."""
        return []

    # ── what a person does ────────────────────────────────────────────────────────────────────────────────────────────

    def enter(self, name: str, *legs: LegDraft, lots: int | None = None, **limits: Any) -> Reached:
        """Save and execute a strategy on all accounts; return what its entry waits for."""
        draft = StrategyDraft(
            name=name,
            account_ids=[account.id for account in self._scene.desk.accounts()],
            legs=list(legs),
            fixed_lots=lots or self._lots,
            limits=LimitsDraft(**limits),
        )
        before = len(self.states())
        self._scene.submit(self._scene.desk.save_strategy(draft).id)
        return lambda: set(self.states()[before:]) & {"open", "exiting", *ENDED}

    def close(self, **part: Any) -> None:
        """Order the exit of the first run, or of a part of it."""
        self._scene.desk.close_run(1, None, uuid4().hex, **part)

    def hold(self, symbol: str, price: float) -> None:
        """Hold the price of a contract from now on."""
        self._held[symbol] = round(round(price / 0.05) * 0.05, 2)
        self._scene.paper.set_price(symbol, "NFO", self._held[symbol])

    # ── what is there ─────────────────────────────────────────────────────────────────────────────────────────────────

    def states(self) -> list[str]:
        """The states of the runs in their order."""
        return [str(state) for (state,) in self._scene.rows("SELECT state FROM strategy_execution ORDER BY id")]

    def ended(self) -> bool:
        """Whether the first ``runs`` are over."""
        return all(state in ENDED for state in self.states()[: self.runs])

    def left(self, plans: int) -> Reached:
        """Return whether so many exits were begun and all of them have ended."""

        def reached() -> bool:
            states = [state for (state,) in self._scene.rows("SELECT state FROM exit_plan")]
            return len(states) >= plans and "active" not in states and self.settled()

        return reached

    def settled(self) -> bool:
        """Whether no order is on its way."""
        return not self._scene.rows(f"SELECT 1 FROM orders WHERE state IN {ALIVE}")

    def legs(self) -> list[str]:
        """The contracts of the first run in the order of its legs."""
        ((resolved,),) = self._scene.rows("SELECT resolved FROM strategy_execution WHERE id = 1")
        rows = sorted(json.loads(resolved)["legs"], key=lambda leg: int(leg["leg_index"]))
        return [str(leg["symbol"]) for leg in rows]

    def last(self, symbol: str) -> float:
        """The price of a contract at the exchange."""
        answer = self._scene.paper.call("quotes", apikey=self._any_key, symbol=symbol, exchange="NFO")
        return float(answer["data"]["ltp"])

    def watch(self) -> dict[str, Any]:
        """What the first run remembers of its rules."""
        ((watch,),) = self._scene.rows("SELECT watch FROM strategy_execution WHERE id = 1")
        return dict(json.loads(watch))

    def stop(self) -> int | None:
        """Where the trailing stop of the first run stands (paise)."""
        ((stop,),) = self._scene.rows("SELECT stop_paise FROM strategy_execution WHERE id = 1")
        return None if stop is None else int(stop)

    def keeps(self, name: str, wanted: dict[str, int]) -> None:
        """Note a problem where an account does not hold exactly this."""
        wanted = {symbol: quantity for symbol, quantity in wanted.items() if quantity}
        if (there := self._scene.net(name)) != wanted:
            self._problems.append(f"{name} should keep {wanted} and holds {there}")

    def acted(self, kind: str) -> int:
        """How often a rule took something out of the first run."""
        query = "SELECT 1 FROM risk_event WHERE kind = ? AND execution_id = 1 AND action != 'alert_only'"
        plans = len(self._scene.rows("SELECT 1 FROM exit_plan WHERE reason = ?", kind))
        events = len(self._scene.rows(query, kind))
        if plans != events:
            self._problems.append(f"{kind}: {plans} exits and {events} events")
        return plans

    @property
    def _any_key(self) -> str:
        return next(iter(self._scene.keys.values()))

    def _look(self) -> None:
        """Note a stop that sank."""
        for run, stop in self._scene.rows("SELECT id, stop_paise FROM strategy_execution"):
            before = self._stops.get(run)
            if before is not None and (stop is None or stop < before):
                self._problems.append(f"the stop of run {run} went from {before} to {stop}")
            if stop is not None:
                self._stops[run] = stop

    def _where(self) -> str:
        plans = self._scene.rows("SELECT reason, state FROM exit_plan")
        return f"runs {self.states()}, exits {plans}, stop {self._stops}"


class PartTale(Tale):
    """By hand: a leg leaves, then half of the others, then the rest."""

    def story(self, offset: int) -> Iterator[Reached]:
        yield self.enter("Parts", *HEDGED)
        bought, call, put = self.legs()
        whole = abs(self._scene.net("Asha")[put])
        self.close(leg_indexes=[3])
        yield self.left(1)
        self.keeps("Asha", {bought: whole, call: -whole})
        self.close(share=50.0)
        yield self.left(2)
        half = whole // self._lots * (self._lots // 2)  # of an odd number of lots the larger half leaves
        self.keeps("Asha", {bought: half, call: -half})
        self.close()
        yield self.ended


class RearmTale(Tale):
    """A limit closes half, once; re-armed by hand it closes half of the rest, once."""

    def story(self, offset: int) -> Iterator[Reached]:
        half = {"max_loss": RuleDraft(action="close_partial", share=50.0)}
        strangle = (_leg("SELL", "CE", offset), _leg("SELL", "PE", offset))
        yield self.enter("Strangle", *strangle, max_loss=5.0, max_loss_unit="percent_of_premium", rules=half)
        call, put = self.legs()
        for symbol in (put, call):
            self.hold(symbol, self.last(symbol))
        whole = abs(self._scene.net("Asha")[call])
        self.hold(call, 1.3 * self._held[call])
        yield self.left(1)
        lot = whole // self._lots
        kept = -lot * (self._lots // 2)
        self.keeps("Asha", {call: kept, put: kept})
        self._scene.desk.rearm_rule(1, "max_loss", uuid4().hex)
        yield self.left(2)
        kept = -lot * (self._lots // 2 // 2)
        self.keeps("Asha", {call: kept, put: kept})
        self.close()
        yield self.ended

    def afterwards(self) -> list[str]:
        acted, armed = self.acted("max_loss"), self._scene.rows("SELECT 1 FROM risk_event WHERE kind = 'rearmed'")
        return [] if (acted, len(armed)) == (2, 1) else [f"max loss acted {acted} times, re-armed {len(armed)} times"]


class CostTale(Tale):
    """A leg leaves by its stop, enters again at its cost, and leaves once more; then it stays out."""

    entries = 2
    kind: ClassVar[str] = "at_cost"

    def story(self, offset: int) -> Iterator[Reached]:
        again = _leg("SELL", "CE", offset, stop_kind="percent", stop_value=20.0, reentry=self.kind, reentry_most=1)
        yield self.enter("Again", again, _leg("SELL", "PE", offset))
        call, put = self.legs()
        for symbol in (put, call):
            self.hold(symbol, self.last(symbol))
        before, cost = dict(self._scene.net("Asha")), self._held[call]
        self.hold(call, 1.3 * cost)
        yield self.left(1)
        if self.kind == "at_cost":
            self.keeps("Asha", {put: before[put]})
            self.hold(call, 0.9 * cost)
        yield self.tried
        for symbol in self.entered(before[call], put):
            self.hold(symbol, 1.3 * self.last(symbol))
            yield self.left(2)
        self.keeps("Asha", {put: before[put]})
        for symbol in set(self._held) - {put}:
            self.hold(symbol, 0.9 * cost)  # nothing waits for its price any more
        self.close()
        yield self.ended

    def tried(self) -> bool:
        """Whether the one try is over."""
        for place in self.watch().get("legs", {}).values():
            if "reentry" not in place and ("reentries" in place or "closed_by" not in place):
                return self.settled()
        return False

    def entered(self, before: int, put: str) -> list[str]:
        """Return the contracts that entered again; note more than what left, and less where nobody was killed."""
        there = {symbol: quantity for symbol, quantity in self._scene.net("Asha").items() if symbol != put}
        again = sum(there.values())
        if not before <= again <= 0 or (self._engines.begun == 1 and again != before):
            self._problems.append(f"{before} left and {there} entered again")
        return list(there)

    def afterwards(self) -> list[str]:
        tries = Counter(self._scene.rows("SELECT leg_index, slice_index FROM orders WHERE purpose = 'reentry'"))
        twice = [f"a re-entry was planned twice: {tries}"] if any(count > 1 for count in tries.values()) else []
        counts = [place.get("reentries", 0) for place in self.watch().get("legs", {}).values()]
        return twice + ([f"tries are counted {counts}"] if sum(counts) != 1 else [])


class FreshTale(CostTale):
    """The same with a fresh strike, at once."""

    kind = "fresh"


class DayTale(Tale):
    """The day of one account ends, then that of its user: two runs leave, opposite ones together, and none enters."""

    runs = 2

    def story(self, offset: int) -> Iterator[Reached]:
        yield self.enter("Strangle", _leg("SELL", "CE", offset), _leg("SELL", "PE", offset))
        yield self.enter("Call", _leg("BUY", "CE", offset), lots=4)
        for symbol in self.legs():
            self.hold(symbol, self.last(symbol))
        call = self.legs()[0]
        ravi = self._scene.net("Ravi")
        loss = 0.1 * self._held[call] * abs(ravi[call])
        account_ids = {account.name: account.id for account in self._scene.desk.accounts()}
        self._scene.desk.set_limits(uuid4().hex, account_id=account_ids["Asha"], max_loss=loss)
        yield lambda: "done" in self._scene.commands("set_limits")
        self.hold(call, 1.3 * self._held[call])
        yield self.left(2)
        self.keeps("Asha", {})
        self.keeps("Ravi", ravi)
        yield from self.refused("Asha", account_ids["Asha"])
        self._scene.desk.set_limits(uuid4().hex, max_loss=loss)
        yield self.ended
        yield from self.refused("Asha", account_ids["Asha"])
        yield from self.refused("Ravi", account_ids["Ravi"])

    def refused(self, name: str, account_id: int) -> Iterator[Reached]:
        """Try to enter on a halted account."""
        seen = [run for run, state in enumerate(self.states(), 1) if run == 1 and state not in ENDED]
        said = len(self._scene.commands("execute"))
        orders = len(self._scene.books(name)["orders"])
        self._scene.submit(1, account_ids=[account_id], seen=seen, again=bool(seen))
        yield lambda: not {"pending", "taken"} & set(self._scene.commands("execute")[said:])
        if (state := self._scene.commands("execute")[-1]) not in {"refused", "expired"}:
            self._problems.append(f"an entry on {name} was {state} after the limit of the day")
        if len(self._scene.books(name)["orders"]) != orders or len(self.states()) != self.runs:
            self._problems.append(f"something entered on {name} after the limit of the day")

    def afterwards(self) -> list[str]:
        query = (
            "SELECT account_id, COUNT(*) FROM risk_event"
            " WHERE kind = 'max_loss' AND execution_id IS NULL GROUP BY account_id"
        )
        events = dict(self._scene.rows(query))
        halts = self._scene.rows("SELECT account_id, latched FROM risk_limit WHERE halted_at IS NOT NULL")
        latched = {account: json.loads(rules) for account, rules in halts}
        ((asha,),) = self._scene.rows("SELECT id FROM trading_account WHERE name = 'Asha'")
        problems = []
        if events != {asha: 1, None: 1}:
            problems.append(f"limits of the day acted by account: {events}")
        if latched != {asha: ["max_loss"], None: ["max_loss"]}:
            problems.append(f"halted and latched by account: {latched}")
        return problems


class TrailTale(Tale):
    """A trailing stop follows the peak of P twice, then P falls back to it.

    While no engine runs P falls below the stop, and the next engine sees no price at first: it must not leave on what
    it does not know, and must leave once it does.
    """

    def story(self, offset: int) -> Iterator[Reached]:
        self._fallen = False
        strangle = (_leg("SELL", "CE", offset), _leg("SELL", "PE", offset))
        yield self.enter("Trailing", *strangle, trailing_kind="percent_of_premium", trailing_value=10.0)
        call, put = self.legs()
        for symbol in (put, call):
            self.hold(symbol, self.last(symbol))
        self._call, self._cost = call, self._held[call]
        yield lambda: self.stop() is not None or self.leaving()
        for way in (0.9, 0.8):
            stop = self.stop()
            if not self._fallen:
                self.hold(call, way * self._cost)
            yield lambda stop=stop: (self.stop() or 0) > (stop or 0) or self._fallen or self.leaving()
        if not self._fallen:
            self.hold(call, 1.15 * self._cost)
        yield self.ended

    def leaving(self) -> bool:
        """Whether an exit was begun."""
        return bool(self._scene.rows("SELECT 1 FROM exit_plan"))

    def before_restart(self) -> None:
        if self._fallen or not hasattr(self, "_call") or self.leaving() or self.stop() is None:
            return
        self._fallen = True
        self.hold(self._call, 1.4 * self._cost)  # below where the stop began
        for endpoint in ("quotes", "multiquotes"):
            self._scene.paper.fault("error_500", endpoint, count=1_000, api_key=self._any_key)
        self._scene.paper.fault("stream_silence", seconds=1_000.0, api_key=self._any_key)

    def after_restart(self, engine: Forked) -> None:
        if not self._fallen:
            return
        assert engine.ready(), f"the next engine ended with {engine.status}"
        until = time.monotonic() + DARK_SECONDS
        while time.monotonic() < until:
            if self.leaving():
                self._problems.append("it left on a price that it could not know")
                break
            time.sleep(LOOK_SECONDS)
        self._scene.paper.fault("stream_silence", seconds=0.0, api_key=self._any_key)

    def afterwards(self) -> list[str]:
        acted = self.acted("trailing_sl")
        return [] if acted == 1 else [f"the trailing stop acted {acted} times"]


class TrendTale(Tale):
    """A Supertrend exit on a bar of the day before: it fires once, and takes everything out."""

    engine: ClassVar[dict[str, Any]] = {"bars_before_entry": True}

    def story(self, offset: int) -> Iterator[Reached]:
        trend = SupertrendDraft(series="underlying", interval="1m", multiplier=1.0)
        yield self.enter("Trend", *HEDGED, supertrend=trend)
        yield self.ended

    def afterwards(self) -> list[str]:
        acted = self.acted("supertrend")
        return [] if acted == 1 else [f"the Supertrend exit acted {acted} times"]


def _unconfirmed(scene: Scene) -> list[str]:
    """Return exits by prices whose event does not know a confirmed, young price of each leg that was open."""
    query = (
        "SELECT kind, at, knew FROM risk_event WHERE exit_plan_id IS NOT NULL AND action != 'alert_only'"
        " AND kind IN ('max_loss', 'max_profit', 'trailing_sl', 'leg_sl', 'leg_target') AND execution_id IS NOT NULL"
    )
    problems = []
    for kind, at, knew in scene.rows(query):
        for leg in json.loads(knew).get("legs", []):
            ages = [age for age in (leg["tick_age_seconds"], leg["quote_age_seconds"]) if age is not None]
            if leg["quantity"] and not (leg["confirmed"] and ages and min(ages) <= LONGEST_KNOWN):
                problems.append(f"{kind} at {at} acted on {leg}")
    return problems
