"""A stage with a timeline: brokers that err, engines that are killed, people who trade by hand, and the laws."""

from __future__ import annotations

import heapq
import itertools
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from engine.domain.evidence import Instrument
from engine.domain.instruments import Action, Exchange, Product
from engine.services.drafts import LegDraft, LimitsDraft, StrategyDraft
from engine.services.identity import Caller
from engine.services.ledger import Pass
from engine.services.strategies import save_strategy
from engine.store import tables
from tests.simulation.hands import Sent, ShownBroker, TroubledHands
from tests.simulation.laws import Laws
from tests.simulation.trouble import Placing, Read
from tests.stage import BEGIN, CALL, FLY, HEDGE, PUT, FakeHands, Stage, StageJournal

_CORE_LOGGER = logging.getLogger("engine.runtime.core")
SYMBOLS = (CALL, PUT, HEDGE)
BOUGHT = (("BUY", "CE", "atm", 0.0), ("BUY", "PE", "atm", 0.0))
"""The legs of the second strategy: the other side of what the first one sells."""
REST_SECONDS = 900.0
"""How long an exit may take once nothing fails any more: longer than the longest quiet time and back-off."""
PERSON_SECONDS = 60.0
"""How long after the quiet time a person looks at an order that is still unknown, and says what became of it."""
LONGEST_LIE = 45.0


class MadeToFail(RuntimeError):  # noqa: N818 - a fault, not a defect
    """A commit that fails for no reason."""


class Killed(BaseException):
    """kill -9."""


class Floor(Stage):
    """Runs of two strategies, one the other's opposite, over accounts in trouble; every step is judged by the laws.

    ``story`` is what happened so far, in words: a simulation that fails shows it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        accounts: int = 1,
        legs: tuple[tuple[str, str, str, float], ...] = FLY,
        limits: dict[str, Any] | None = None,
        lots: int = 1,
        product: str = "NRML",
        quiet_answered: float = 10.0,
        quiet_unanswered: float = 30.0,
        tags: bool = False,
        pushes: bool = False,
        **policy: str,
    ) -> None:
        self.lots, self.product = lots, Product(product)
        self.story: list[str] = []
        self.sent: dict[int, Sent] = {}
        self.laws = Laws(self)
        self.writes = 0
        self._declared: set[int] = set()
        self._timeline: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._kill_at = ""
        self._commits_to_break: deque[Exception] = deque()
        self._core_log = _FailedPasses()
        super().__init__(
            folder, accounts=accounts, legs=legs, limits=limits, lots=lots, product=product,
            quiet_answered=quiet_answered, quiet_unanswered=quiet_unanswered, **policy,
        )  # fmt: skip
        self.opposite = self._save_opposite(accounts, lots, product, (limits or {}).get("square_off_time"))
        for hands in self.troubled.values():
            hands.shows_tags, hands.conduct.pushes = tags, pushes
        _CORE_LOGGER.addHandler(self._core_log)
        _CORE_LOGGER.propagate = False  # hundreds of passes in which commits fail: what is wrong is told by the laws

    def close_floor(self) -> None:
        """Give back what is open."""
        _CORE_LOGGER.removeHandler(self._core_log)
        _CORE_LOGGER.propagate = True
        self.laws.close()
        self.database.close()

    @property
    def troubled(self) -> dict[int, TroubledHands]:
        return {number: hands for number, hands in self.hands.items() if isinstance(hands, TroubledHands)}

    def shown_broker(self, account_id: int) -> ShownBroker:
        return self.troubled[account_id].broker

    # ── lives of the engine ───────────────────────────────────────────────────────────────────────────────────────────

    def hands_for(self, account_id: int, before: FakeHands | None) -> FakeHands:
        return TroubledHands(self, account_id, before if isinstance(before, TroubledHands) else None)

    def restart(self) -> None:
        """kill -9 and a new engine: what the old one was told and did not write, it never knew."""
        super().restart()
        self.journal.breaks = self._break
        self._kill_at = ""
        if self.sent:
            self.laws.forget_unwritten()

    def kill(self, at: str) -> None:
        """Have the engine killed at its next commit (``before``, ``after``) or placement (``sent``)."""
        self._kill_at = at

    def may_be_killed(self, at: str) -> None:
        if self._kill_at == at:
            raise Killed(at)

    def break_commits(self, count: int, *, locked: bool) -> None:
        """Have the next commits fail: the database is locked, or something nobody thought of."""
        for _ in range(count):
            error = OperationalError("commit", {}, Exception("database is locked")) if locked else MadeToFail("made")
            self._commits_to_break.append(error)

    def _break(self, changes: Pass) -> Exception | None:
        if changes.empty:
            return None
        self.writes += 1
        self.may_be_killed("before")
        if self._kill_at == "after":
            # the pass is on disk, and nothing of it was done: the old engine dies between commit and act
            self._kill_at = ""
            super(StageJournal, self.journal).commit(changes, renewed_boot=None)
            raise Killed("after")
        return self._commits_to_break.popleft() if self._commits_to_break else None

    # ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Have something happen in so many seconds, whatever engine runs then."""
        heapq.heappush(self._timeline, (self.clock.seconds + seconds, next(self._numbers), act))

    def step(self, seconds: float = 0.05) -> str | None:
        until = self.clock.seconds + seconds
        while self._timeline and self._timeline[0][0] <= until:
            at, _, act = heapq.heappop(self._timeline)
            self.clock.seconds = max(self.clock.seconds, at)
            act()
        self.clock.seconds = max(self.clock.seconds, until)
        try:
            return super().step(0.0)
        except Killed as death:
            self.note(f"the engine was killed ({death})")
            self.restart()
            return None

    def wait(self, seconds: float) -> None:
        """Let time go: in small steps at first, in larger ones later."""
        left = seconds
        while left > 0:
            by = min(left, 0.1 if seconds - left < 2 else 0.5 if seconds - left < 20 else 2.0)
            self.step(by)
            left -= by

    # ── what people and servers do ────────────────────────────────────────────────────────────────────────────────────

    def note(self, words: str) -> None:
        self.story.append(f"{self.clock.seconds - 1_000.0:8.2f} s  {words}")

    def fate(self, account_id: int, *placings: Placing) -> None:
        """Say what becomes of the next orders of an account."""
        self.troubled[account_id].conduct.placings.extend(placings)

    def reads(self, account_id: int, read: Read) -> None:
        """Say what becomes of an account's reads from now on.

        Two lies would be believed, rightly (RULES 5), and are not told: positions that say the same against all trades
        for 60 s, and empty books of an account whose server never took an order of ours.
        """
        if read is Read.EMPTY and not self._ever_took(account_id):
            read = Read.FAILED
        self.note(f"account {account_id}: books {read}")
        conduct = self.troubled[account_id].conduct
        conduct.reads = read
        if read is Read.FLAT:

            def truth() -> None:
                if conduct.reads is Read.FLAT:
                    conduct.reads = Read.TRUE

            self.later(LONGEST_LIE, truth)

    def _ever_took(self, account_id: int) -> bool:
        long_ago = self.clock.seconds - 5.0
        return any(
            sent.known and sent.orderid is not None and sent.at < long_ago
            for sent in self.sent.values()
            if sent.order.account_id == account_id
        )

    def by_hand(self, account_id: int, symbol: str, quantity: int) -> None:
        """Have somebody trade at the broker's own terminal: above 0 buys."""
        self.note(f"account {account_id}: somebody trades {quantity:+} {symbol}")
        broker = self.shown_broker(account_id)
        action = Action.BUY if quantity > 0 else Action.SELL
        orderid = broker.take(Instrument(symbol, Exchange.NFO, self.product), action, abs(quantity))
        broker.by_hand.add(orderid)

    def tick(self, symbol: str, ltp: float) -> None:
        self.note(f"{symbol} {ltp:g}")
        self.price(symbol, ltp)

    def begin_run(self, *, opposite: bool = False) -> None:
        """Ask for a further run of one of the two strategies, on accounts that are in the mode they were armed in.

        An account whose server is found in another mode before a run begins is armed in that one, rightly.
        """
        if any(account.facts.mode != self.hands[number].broker.mode for number, account in self.world.accounts.items()):
            return
        strategy = self.opposite if opposite else self.strategy
        seen = [
            run.id
            for run in self.ledger.runs.values()
            if run.strategy_id == strategy and run.state not in {"closed", "refused"}
        ]
        self.note(f"execute {'the opposite' if opposite else 'the strategy'}")
        self.command(
            "execute",
            {"strategy_id": strategy, "version": 1, "seen_run_ids": seen, "again": True, "account_ids": None},
        )

    def open_runs(self) -> list[int]:
        return [run.id for run in self.ledger.runs.values() if run.state not in {"closed", "refused"}]

    def pending(self, account_id: int) -> list[str]:
        """Broker ids of orders that rest."""
        broker = self.shown_broker(account_id)
        return [orderid for orderid, row in broker.orders.items() if row.status == "open"]

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def calm(self) -> None:
        """Lift every trouble; what is on its way still comes."""
        self.note("calm")
        self._commits_to_break.clear()
        self._kill_at = ""
        for account_id, hands in self.troubled.items():
            hands.conduct.calm()
            self.feed(account_id, up=True)

    def end(self) -> None:
        """Lift every trouble, have everything closed, and see that it is: an exit stays an exit (law 8)."""
        self.calm()
        self.note("halt")
        self.command("halt")
        self.step(0.1)
        self.come_to_rest(REST_SECONDS)

    def come_to_rest(self, seconds: float) -> None:
        """Let time go until every run is closed, at most so long, and judge what is left."""
        began = self.clock.seconds
        while self.open_runs() or self._timeline or any(sent.coming for sent in self.sent.values()):
            gone = self.clock.seconds - began
            self.laws.stands(gone < seconds, "law 8", f"runs {self.open_runs()} are never closed")
            if gone > self.quiet[1].total_seconds() + PERSON_SECONDS:
                self._declare()
            self.step(0.1 if gone < 3 else 0.5 if gone < 30 else 2.0)
            self.laws.after_step()
        for _ in range(6):
            self.step(1.0)
        self.laws.after_step()
        self.laws.at_rest()

    def _declare(self) -> None:
        """Have a person say what became of the orders whose fate books cannot tell (RULES 5, number 5)."""
        for order_id, truth in self.laws.undecided():
            if order_id not in self._declared:
                self._declared.add(order_id)
                self.note(f"order {order_id} is declared {truth}")
                self.command("declare_order", {"order_id": order_id, **truth})

    def failed_passes(self) -> list[BaseException]:
        """What the core caught since the last call and nobody made."""
        found = self._core_log.found
        self._core_log.found = []
        return [error for error in found if not isinstance(error, MadeToFail | OperationalError)]

    def _save_opposite(self, accounts: int, lots: int, product: str, square_off: str | None) -> int:
        draft = StrategyDraft(
            name="Opposite",
            product=product,
            account_ids=list(range(1, accounts + 1)),
            fixed_lots=lots,
            legs=[
                LegDraft(
                    underlying="NIFTY", action=action, instrument_type=kind, expiry_choice="next_week",
                    strike_kind=strike, strike_value=value,
                )
                for action, kind, strike, value in BOUGHT
            ],
            limits=LimitsDraft(square_off_time=square_off),
        )  # fmt: skip
        return save_strategy(self.database, Caller(1, "asha", tables.Role.ADMIN), draft, now=BEGIN).id


class _FailedPasses(logging.Handler):
    """Keeps what the core caught and logged: no simulation may make it stumble."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.found.append(record.exc_info[1])
