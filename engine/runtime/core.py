"""The core: one thread that owns all trading state. It drains, decides, commits once, and only then acts (DESIGN 2)."""

from __future__ import annotations

import faulthandler
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from engine.domain.orders import OrderState
from engine.domain.runs import RunState
from engine.runtime.inbox import Inbox
from engine.services import entry, exiting, monitor, outcomes, placing, polling, previewing, reading, recovery
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
    Message,
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


class Core:
    """Runs passes until told to stop. ``show`` is called after a pass, about once a second."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        world: World,
        journal: Journal,
        intake: Intake,
        inbox: Inbox,
        show: Callable[[Pass, World], None],
        watchdog: bool = True,
    ) -> None:
        self._ledger = ledger
        self._world = world
        self._journal = journal
        self._intake = intake
        self._inbox = inbox
        self._show = show
        self._watchdog = watchdog
        self._recovered = False
        self._shown_boot = 0.0
        self._hurry = False
        self._stop_boot: float | None = None
        self._dirty = True

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
        """Drain, decide, commit, act; return the reason when the engine shall end."""
        messages, prices = self._inbox.drain(HURRY_SECONDS if self._hurry else IDLE_SECONDS)
        world = self._world
        for (venue, symbol), (ltp, at) in prices.items():
            world.prices.tick(venue, symbol, ltp, at)
        changes = Pass(self._ledger, world.clock.now())
        stop = ""
        try:
            if not self._recovered:
                recovery.recover(changes, world)
            for message in messages:
                stop = self._take(changes, message) or stop
            self._decide(changes)
            self._commit(changes)
        except LeaseLostError:
            raise
        except Exception:  # noqa: BLE001 - the edge of a pass: memory is as it was, the messages come again
            _log.exception("a pass failed and changed nothing; its messages are taken again")
            self._inbox.back([message for message in messages if not isinstance(message, Beat)])
            world.clock.pause(HURRY_SECONDS)
            return None
        self._recovered = True
        for act in changes.after_commit:
            act()
        self._dirty = bool(messages) or not changes.empty or self._hurry
        if world.clock.boot() - self._shown_boot >= RENEW_SECONDS:
            self._shown_boot = world.clock.boot()
            self._show(changes, world)
        return self._ending(stop)

    def _take(self, changes: Pass, message: Message) -> str:
        world = self._world
        match message:
            case Answered():
                outcomes.on_answered(changes, world, message)
            case CancelAnswered():
                outcomes.on_cancel_answered(changes, world, message)
            case Pushed():
                outcomes.on_pushed(changes, world, message)
            case BooksRead():
                reading.on_books(changes, world, message)
            case FundsRead():
                reading.on_funds(changes, world, message)
            case Connected():
                reading.on_connected(changes, world, message)
            case QuotesRead(venue=venue, prices=prices, at=at):
                for symbol, ltp in prices.items():
                    world.prices.quote(venue, symbol, ltp, at)
            case FeedChanged(account_id=account_id, state=state):
                account = world.accounts.get(account_id)
                if account is not None:
                    came_back = state == "connected" and account.feed != "connected"
                    account.feed = state
                    account.acknowledged = message.acknowledged if state == "connected" else frozenset()
                    account.books_wanted = account.books_wanted or came_back
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
        run = next((run for run in changes.open_runs() if run.id == message.run_id), None)
        if run is None or run.state is not RunState.RESOLVING:
            return
        terms = world.terms_of(run.version_id)
        resolution = message.resolution
        problem = message.problem
        if resolution is not None and terms.market_condition in {"expiry", "non_expiry"}:
            wants_expiry = terms.market_condition == "expiry"
            if wants_expiry is not resolution.expiry_day:
                problem = "the strategy is for expiry days" if wants_expiry else "the strategy is not for expiry days"
        if resolution is None or problem:
            ended = replace(run, reason=problem, closed_at=changes.now, profit_paise=0, state=RunState.REFUSED)
            changes.put_run(ended)
            return
        world.resolutions[run.id] = resolution
        resolved = entry.resolved_json(resolution, resolution.legs)
        changes.put_run(replace(run, state=RunState.ENTERING, resolved=resolved))

    def _decide(self, changes: Pass) -> None:
        world = self._world
        outcomes.on_silence(changes, world)
        for run in changes.open_runs():
            if run.state is RunState.RESOLVING:
                if changes.now - run.created_at > entry.SIZING_PATIENCE:
                    why = "no contracts were read in time; nothing was sent"
                    ended = replace(run, state=RunState.REFUSED, reason=why, closed_at=changes.now, profit_paise=0)
                    changes.put_run(ended)
                continue
            terms = world.terms_of(run.version_id)
            if run.state is RunState.ENTERING:
                if (resolution := world.resolutions.get(run.id)) is not None:
                    entry.size_accounts(changes, world, run, terms, resolution)
                entry.progress(changes, changes.run(run.id), terms)
            monitor.watch_run(changes, world, changes.run(run.id), terms)
            exiting.drive(changes, world, changes.run(run.id))
            exiting.settle(changes, world, changes.run(run.id))
        previewing.progress(changes, world)
        self._hurry = placing.dispatch(changes, world)
        polling.watch(changes, world)
        polling.poll(changes, world)

    def _commit(self, changes: Pass) -> None:
        boot = self._world.clock.boot()
        renew = boot - self._world.lease_renewed_boot >= RENEW_SECONDS
        if changes.empty and not renew:
            return
        self._journal.commit(changes, renewed_boot=boot if renew else None)
        if renew:
            self._world.lease_renewed_boot = boot
        changes.become_memory()

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


def open_run_count(ledger: Ledger) -> int:
    """Return how many runs are not ended."""
    return sum(run.state not in {RunState.CLOSED, RunState.REFUSED} for run in ledger.runs.values())
