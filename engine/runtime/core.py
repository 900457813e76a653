"""The core: one thread that owns all trading state. It drains, decides, commits once, and only then acts (DESIGN 2)."""

from __future__ import annotations

import faulthandler
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import assert_never

from sqlalchemy.exc import OperationalError

from engine.domain.orders import OrderState
from engine.domain.runs import Run, RunState
from engine.runtime.inbox import Inbox, Prices
from engine.services import (
    candle_watch,
    connecting,
    crossing,
    day_limits,
    entry,
    exiting,
    failover,
    monitor,
    outcomes,
    placing,
    polling,
    previewing,
    reading,
    recovery,
    reentry,
    refusing,
    repricing,
    scheduling,
    settling,
)
from engine.services.guarding import Guarding, quoted
from engine.services.intake import Intake
from engine.services.journal import Journal, LeaseLostError
from engine.services.ledger import Ledger, Pass
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
    StopAsked,
)
from engine.services.world import World

_log = logging.getLogger(__name__)
RENEW_SECONDS = 1.0
PASS_LIMIT_SECONDS = 3.0
"""A core without a finished pass for this long dumps its stacks and ends the process: another may take over."""
IDLE_SECONDS = 0.25
HURRY_SECONDS = 0.02
STOP_PATIENCE_SECONDS = 5.0
BEHIND_SECONDS = 0.001
"""How long the core waits for something new while runs wait for their turn."""
SHOW_BOX_SECONDS = 0.002
"""How long a pass may last to make the live view before prices are looked at again."""
_SHOWN = object()
HOUSEKEEPING_SECONDS = 0.05
"""With many runs, reads and subscriptions are looked at this often, and with every message."""
MESSAGES_BOX_SECONDS = 0.001
"""With many runs a pass takes messages for so long, then looks at prices: books of hundreds of orders take longer."""
CAREFUL_SECONDS = 10.0
"""How long passes stay in pieces after one of them failed."""
NO_DATABASE_SECONDS = 0.1
LOG_AGAIN_SECONDS = 5.0


class Core:
    """Runs passes until told to stop.

    ``show`` is called after a pass, about once a second; where it gives something to go on with, passes do so.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        world: World,
        journal: Journal,
        intake: Intake,
        inbox: Inbox,
        show: Callable[[Pass, World], Iterator[None] | None],
        watchdog: bool = True,
        give_up_reserve: Callable[[], bool] = bool,
        guarding: Guarding | None = None,
    ) -> None:
        self._ledger = ledger
        self._world = world
        self._journal = journal
        self._intake = intake
        self._inbox = inbox
        self._show = show
        self._watchdog = watchdog
        self._give_up_reserve = give_up_reserve
        self._guarding = guarding or Guarding()
        self._kept_house_boot = float("-inf")
        self._disk_full = False
        self._recovered = False
        self._shown_boot = 0.0
        self._showing: Iterator[None] | None = None
        self._held_back = False
        self._hurry = False
        self._careful_until_boot = float("-inf")
        self._logged: dict[str, float] = {}
        self._stop_boot: float | None = None

    def run(self) -> str:
        """Run until the lifeline closes; return why it ended. Raises LeaseLostError if another engine took over."""
        while True:
            if self._watchdog:
                faulthandler.dump_traceback_later(PASS_LIMIT_SECONDS, exit=True)
            reason = self.one_pass()
            if reason is not None:
                faulthandler.cancel_dump_traceback_later()
                return reason

    def one_pass(self) -> str | None:
        """Drain, decide, commit, act; return the reason when the engine shall end.

        A pass that fails changed nothing, and its messages are taken again: piece by piece, so that a message or a run
        that fails again holds up nothing but itself.
        """
        messages, prices = self._inbox.drain(self._patience())
        world = self._world
        begun = world.clock.boot()
        self._see(prices)
        self._inbox.keep(world.candles.kept)
        world.candles.take(*self._inbox.ticks(), world.prices, world.clock.now())
        careful = world.clock.boot() < self._careful_until_boot
        stop = self._piece_by_piece(messages) if careful else self._all_at_once(messages)
        if stop is None:
            return None
        self._show_some(begun)
        return self._ending(stop)

    def _see(self, prices: Prices, latest: datetime | None = None) -> None:
        """Note prices; to a pass under way they are as old as the pass itself (``latest``), never from its future."""
        for (market, symbol), (ltp, at) in prices.items():
            self._world.prices.tick(market, symbol, ltp, at if latest is None else min(at, latest))
            self._guarding.price(market, symbol)

    def _show_some(self, begun: float) -> None:
        """Have the live view made, once a second, in what is left of a pass that began at ``begun`` (boot seconds).

        Where that is longer than a price may wait, later passes go on with it.
        """
        clock = self._world.clock.boot
        try:
            if self._showing is None and clock() - self._shown_boot >= RENEW_SECONDS:
                self._shown_boot = clock()
                self._showing = self._show(Pass(self._ledger, self._world.clock.now()), self._world)
            late = clock() - self._shown_boot >= 2 * RENEW_SECONDS
            until = (clock() if late else begun) + SHOW_BOX_SECONDS
            while self._showing is not None and clock() < until:
                if next(self._showing, _SHOWN) is _SHOWN:
                    self._showing = None
        except Exception:  # noqa: BLE001 - what pages show never ends the engine
            self._showing = None
            self._log_at_times("show", "the live view could not be made")

    def _patience(self) -> float:
        """Return for how long (seconds) the core may wait for something new."""
        if self._guarding.behind or self._showing is not None or self._world.gathering is not None:
            return BEHIND_SECONDS
        return HURRY_SECONDS if self._hurry else IDLE_SECONDS

    def _all_at_once(self, messages: list[Message]) -> str | None:
        """Take everything in one pass; return the reason to stop, empty if there is none, None if the pass failed."""
        stop, changes = "", Pass(self._ledger, self._world.clock.now())
        try:
            if not self._recovered:
                recovery.recover(changes, self._world)
            messages = self._after_prices(changes, messages)
            until = self._world.clock.boot() + MESSAGES_BOX_SECONDS
            for place, message in enumerate(messages, start=1):
                stop = self._take(changes, message) or stop
                late = self._world.clock.boot() >= until and not self._ledger.index.few
                if late or _reads_anew(message):
                    self._inbox.back(messages[place:])  # in their order, for the pass that follows at once
                    messages = messages[:place]
                    break
            if self._disk_full:
                _tell_full(changes)
            if messages and not self._ledger.index.few:
                self._see(self._inbox.prices(), changes.now)  # those that came meanwhile need not wait for a commit
            self._decide(changes, messages)
            self._commit(changes)
        except LeaseLostError:
            raise
        except OperationalError as error:
            self._guarding.undone(changes)
            self._no_database(messages, error)
            return None
        except Exception:  # noqa: BLE001 - the edge of a pass: memory is as it was, the messages come again
            self._guarding.undone(changes)
            _log.exception("a pass failed and changed nothing; its messages are taken again, one by one")
            self._inbox.back([message for message in messages if not isinstance(message, Beat)])
            self._careful_until_boot = self._world.clock.boot() + CAREFUL_SECONDS
            return None
        self._recovered, self._disk_full = True, False
        self._act(changes)
        return stop

    def _after_prices(self, changes: Pass, messages: list[Message]) -> list[Message]:
        """Return the messages to be taken now: with many runs none, once, where a price asks for a decision first."""
        first = bool(messages) and not self._held_back and not self._guarding.few(changes)
        self._held_back = first and self._guarding.asks(changes, self._world)
        if not self._held_back:
            return messages
        self._inbox.back(messages)
        return []

    def _piece_by_piece(self, messages: list[Message]) -> str | None:
        """Take every message and every run in a pass of its own; what fails is set aside with an alarm."""
        stop = ""
        left: list[Message] = [message for message in messages if not isinstance(message, Beat)]
        try:
            if not self._recovered:
                if not self._piece("recovery", lambda changes: recovery.recover(changes, self._world)):
                    self._inbox.back(left)
                    self._world.clock.pause(NO_DATABASE_SECONDS)
                    return None
                self._recovered = True
            while left:
                message = left[0]
                if isinstance(message, StopAsked):
                    stop = message.reason
                elif not self._piece(type(message).__name__, partial(self._take, message=message)):
                    self._set_aside(message)
                left.pop(0)
            self._decide_by_pieces()
        except OperationalError as error:
            self._no_database([StopAsked(stop), *left] if stop else left, error)
            return None
        return stop

    def _decide_by_pieces(self) -> None:
        world = self._world
        self._piece("silence", lambda changes: outcomes.on_silence(changes, world))
        for name, work in (
            ("failover", failover.judge),
            ("schedules", scheduling.enter_due),
            ("candles", candle_watch.progress),
            ("day limits", day_limits.watch),
            ("crossing", crossing.cross),
        ):
            self._piece(name, partial(_with_world, work, world))
        for run in Pass(self._ledger, world.clock.now()).open_runs():
            for step in self._steps:
                if not self._piece(f"{step.__name__} of run {run.id}", partial(_of_run, step, run.id)):
                    self._tell_fault(run.owner_id, run_id=run.id)
        if not self._piece("previews", lambda changes: previewing.progress(changes, world)):
            world.previews.clear()
        hurry = False
        for account_id in list(world.accounts):
            waiting: list[bool] = []
            self._piece("dispatch", partial(_dispatch, world=world, account_id=account_id, waiting=waiting))
            hurry |= any(waiting)
        self._hurry = hurry
        self._piece("watch", lambda changes: polling.watch(changes, world))
        self._piece("poll", lambda changes: polling.poll(changes, world))

    def _piece(self, what: str, work: Callable[[Pass], object]) -> bool:
        changes = Pass(self._ledger, self._world.clock.now())
        try:
            work(changes)
            exiting.reopen_late(changes)
            self._commit(changes)
        except (LeaseLostError, OperationalError):
            raise
        except Exception:  # noqa: BLE001 - one message or run in trouble: everything else goes on
            self._careful_until_boot = self._world.clock.boot() + CAREFUL_SECONDS
            self._log_at_times(what, f"{what} failed and changed nothing")
            return False
        self._act(changes)
        return True

    def _set_aside(self, message: Message) -> None:
        """Give up on a message that failed by itself: an order's answer leaves it in doubt, a command is refused."""
        world = self._world
        match message:
            case Answered():
                _log.error("the answer %r to order %s cannot be used", message.outcome, message.order_id)
                self._piece("lost answer", lambda changes: outcomes.on_lost_answer(changes, world, message))
            case CommandArrived(id=command_id):
                words = "The engine could not carry this out; nothing was sent. Its log says why."
                self._piece(
                    "refusal", lambda changes: changes.answer_command(command_id, "refused", {"message": words})
                )
            case BooksRead(account_id=account_id) if account_id in world.accounts:
                account = world.accounts[account_id]
                account.books_problem = "they cannot be used; the log says why"
                account.books_due = world.clock.now() + reading.BOOKS_AGAIN * 2
                self._tell_fault(account.facts.owner_id, account_id=account_id)
            case _:
                pass

    def _tell_fault(self, owner_id: int, *, run_id: int | None = None, account_id: int | None = None) -> None:
        now, told = self._world.clock.now(), ("fault", run_id, account_id)
        if self._world.told_lately(told, now):
            return
        self._world.note_told(told, now)
        self._piece(
            "alarm",
            lambda changes: changes.event(
                owner_id=owner_id,
                kind="engine_fault",
                action="alert_only",
                message="the engine cannot judge this by itself; look at it, its log says why",
                knew={},
                run_id=run_id,
                account_id=account_id,
            ),
        )

    def _no_database(self, messages: list[Message], error: OperationalError) -> None:
        """Wait a little: the database is locked, full or gone. Nothing was changed and nothing is sent meanwhile.

        On a full disk the reserve is given up first: exits need a little room for their intents.
        """
        if "full" in str(error.orig).lower() and self._give_up_reserve():
            self._disk_full = True
            _log.critical("the disk is full: the reserve for exits was given up, make room now")
        self._log_at_times("database", "the database takes nothing; the pass is repeated")
        self._inbox.back([message for message in messages if not isinstance(message, Beat)])
        self._world.clock.pause(NO_DATABASE_SECONDS)

    def _log_at_times(self, what: str, text: str) -> None:
        """Log an exception, but the same one only every few seconds: a full disk must not be filled by its log."""
        boot = self._world.clock.boot()
        if boot - self._logged.get(what, float("-inf")) >= LOG_AGAIN_SECONDS:
            self._logged[what] = boot
            _log.exception(text)

    def _act(self, changes: Pass) -> None:
        for act in changes.after_commit:
            try:
                act()
            except Exception:  # noqa: BLE001 - committed is committed: one act that fails keeps none of the others back
                _log.exception("an act after a commit failed")
        _log_changes(changes)  # last: no order waits for a log line

    def _take(self, changes: Pass, message: Message) -> str:
        world = self._world
        match message:
            case Answered():
                outcomes.on_answered(changes, world, message)
            case CancelAnswered():
                outcomes.on_cancel_answered(changes, world, message)
            case ModifyAnswered():
                repricing.on_modify_answered(changes, world, message)
            case Probed():
                connecting.on_probed(changes, world, message)
            case Pushed():
                outcomes.on_pushed(changes, world, message)
            case BooksRead():
                reading.on_books(changes, world, message)
            case FundsRead():
                reading.on_funds(changes, world, message)
            case Connected():
                connecting.on_connected(changes, world, message)
            case QuotesRead(market=market, prices=prices, at=at):
                for symbol, ltp in prices.items():
                    world.prices.quote(market, symbol, ltp, at)
                for symbol, (bid, ask) in message.touches.items():
                    world.prices.touch(market, symbol, bid, ask, at)
                for place in quoted(message):
                    self._guarding.price(*place)
            case FeedChanged(account_id=account_id, state=state):
                account = world.accounts.get(account_id)
                if account is not None:
                    came_back = state == "connected" and account.feed != "connected"
                    account.feed = state
                    account.acknowledged = message.acknowledged if state == "connected" else frozenset()
                    account.books_wanted = account.books_wanted or came_back
                    candle_watch.on_feed(world, message, changes.now)
                    world.feed_changed()
            case HistoryRead():
                candle_watch.on_history(world, message)
            case Resolved():
                self._resolved(changes, message)
            case CommandArrived():
                self._intake.take(changes, world, message)
            case StopAsked(reason=reason):
                return reason
            case Beat():
                pass
            case _:
                assert_never(message)
        return ""

    def _resolved(self, changes: Pass, message: Resolved) -> None:
        world = self._world
        if message.command_id is not None and message.command_id in world.previews:
            preview = world.previews[message.command_id]
            preview.resolution, preview.problem = message.resolution, message.problem
            return
        run = None if message.run_id is None else changes.open_run(message.run_id)
        if run is None:
            return
        if run.state is not RunState.RESOLVING:
            reentry.on_resolved(changes, world, run, message)
            return
        entry.on_resolved(changes, world, run, message)

    def _decide(self, changes: Pass, messages: list[Message]) -> None:
        """Bring everything one step further; with many runs, what only a price concerns waits for nobody else."""
        world = self._world
        few = self._guarding.few(changes)
        outcomes.on_silence(changes, world)
        exiting.reopen_late(changes)
        boot = world.clock.boot()
        in_time = boot - self._kept_house_boot >= HOUSEKEEPING_SECONDS
        keep_house = few or bool(messages) or in_time
        if few or in_time:
            self._kept_house_boot = boot
        if keep_house:
            failover.judge(changes, world)
            scheduling.enter_due(changes, world)
            candle_watch.progress(changes, world)
            day_limits.watch(changes, world)
            crossing.cross(changes, world)
        if few:
            for run in changes.open_runs():
                self._judge(changes, run.id)
            self._guarding.all_judged()
        else:
            self._judge_some(changes, messages)
        previewing.progress(changes, world)
        self._hurry = placing.dispatch(changes, world)
        if few or in_time:
            polling.watch(changes, world)
        elif world.gathering is not None:
            polling.gather(changes, world)
        if keep_house:
            polling.poll(changes, world)

    def _judge_some(self, changes: Pass, messages: list[Message]) -> None:
        guarding, world = self._guarding, self._world
        urgent = guarding.urgent(changes, world, messages)
        for run_id in urgent:
            self._judge(changes, run_id)
        for run_id in guarding.routine(changes, world, set(urgent)):
            self._judge(changes, run_id)
        guarding.compile_soon()

    def _judge(self, changes: Pass, run_id: int) -> None:
        for step in self._steps:
            _of_run(step, run_id, changes)

    def _enter(self, changes: Pass, run: Run) -> None:
        world = self._world
        if run.state is RunState.RESOLVING and changes.now - run.created_at > entry.SIZING_PATIENCE:
            why = "no contracts were read in time; nothing was sent"
            refusing.refuse(changes, run, why)
        elif run.state is RunState.ENTERING:
            entry.progress(changes, world, run, world.terms_of(run.version_id))
        entry.take_back_left_over(changes, world, run)

    @property
    def _steps(self) -> tuple[Callable[[Pass, Run], None], ...]:
        """What is done for every open run, in this order."""
        return (self._enter, self._expire, self._watch, self._reenter, self._exit)

    def _expire(self, changes: Pass, run: Run) -> None:
        settling.settle_expired(changes, self._world, run)

    def _watch(self, changes: Pass, run: Run) -> None:
        if run.state is not RunState.RESOLVING:
            monitor.watch_run(changes, self._world, run, self._world.terms_of(run.version_id))

    def _reenter(self, changes: Pass, run: Run) -> None:
        if run.state is RunState.OPEN:
            reentry.progress(changes, self._world, run)

    def _exit(self, changes: Pass, run: Run) -> None:
        if run.state is not RunState.RESOLVING:
            exiting.drive(changes, self._world, run)
            exiting.settle(changes, self._world, changes.run(run.id))

    def _commit(self, changes: Pass) -> None:
        boot = self._world.clock.boot()
        renew = boot - self._world.lease_renewed_boot >= RENEW_SECONDS
        if changes.empty and not renew:
            return
        self._journal.commit(changes, renewed_boot=boot if renew else None)
        if renew:
            self._world.lease_renewed_boot = boot
        changes.become_memory()
        self._guarding.committed(changes)

    def _ending(self, stop: str) -> str | None:
        world = self._world
        if stop and self._stop_boot is None:
            world.stopping, self._stop_boot, self._reason = True, world.clock.boot(), stop
        if self._stop_boot is None:
            return None
        in_hand = any(
            order.state is OrderState.SENDING for orders in self._ledger.orders.values() for order in orders.values()
        )
        if in_hand and world.clock.boot() - self._stop_boot < STOP_PATIENCE_SECONDS:
            return None
        return self._reason

    _reason = ""


def _reads_anew(message: Message) -> bool:
    """Whether accounts are read anew when its pass is committed: what was asked after it is taken with them."""
    return isinstance(message, CommandArrived) and message.kind == "reload_accounts"


def _with_world(work: Callable[[Pass, World], None], world: World, changes: Pass) -> None:
    work(changes, world)


def _of_run(step: Callable[[Pass, Run], None], run_id: int, changes: Pass) -> None:
    run = changes.open_run(run_id)
    if run is not None:
        step(changes, run)


def _dispatch(changes: Pass, *, world: World, account_id: int, waiting: list[bool]) -> None:
    waiting.append(placing.dispatch(changes, world, only=account_id))


def open_run_count(ledger: Ledger) -> int:
    """Return how many runs are not ended."""
    return sum(run.state not in {RunState.CLOSED, RunState.REFUSED} for run in ledger.runs.values())


def _log_changes(changes: Pass) -> None:
    """Log what was committed, with the ids a person needs to find it again; never a key."""
    for run in changes.runs.values():
        _log.info("run %s: %s %s", run.id, run.state, run.reason)
    for order in changes.orders.values():
        if order.state is OrderState.PLANNED:
            continue
        _log.info(
            "run %s account %s order %s: %s %s %s %s filled %s %s",
            order.execution_id, order.account_id, order.id, order.action, order.quantity, order.symbol, order.state,
            order.filled_quantity, order.words,
        )  # fmt: skip
    for event in changes.events:
        _log.warning("run %s account %s event %s: %s", event.execution_id, event.account_id, event.kind, event.message)


def _tell_full(changes: Pass) -> None:
    for owner_id in sorted({run.owner_id for run in changes.open_runs()}):
        changes.event(
            owner_id=owner_id,
            kind="engine_fault",
            action="alert_only",
            message="the disk is full: the room kept back for exits is in use, make room now",
            knew={},
        )
