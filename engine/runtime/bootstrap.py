"""The one place where the engine's objects are built, started and ended."""

from __future__ import annotations

import gc
import logging
import logging.handlers
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from engine.domain.calendar import ALWAYS_OPEN, INDIA
from engine.runtime.auditing import AuditThread
from engine.runtime.clock import SystemClock, ahead_of_the_machine
from engine.runtime.core import Core, open_run_count
from engine.runtime.inbox import Inbox
from engine.runtime.lease import Lease
from engine.runtime.listening import CommandWatch, watch_lifeline, watch_signals
from engine.runtime.reserve import DiskReserve
from engine.runtime.roster import Roster
from engine.services.amounts import count
from engine.services.intake import Intake
from engine.services.journal import Journal, LeaseLostError
from engine.services.ledger import Pass
from engine.services.messages import Beat
from engine.services.risk_views import SeriesView
from engine.services.schedule_book import read_ended_schedules, read_schedules
from engine.services.series_views import changed_series, note_written
from engine.services.showing import as_json, views_in_turn
from engine.services.terms import StrategyTerms, owner_may_trade, read_terms, version_id_of
from engine.services.views import LiveView
from engine.services.world import World
from engine.settings import Settings
from engine.store.database import Database
from engine.store.live import LiveStore
from engine.store.schema import upgrade
from engine.store.vault import Vault

_log = logging.getLogger(__name__)
SWITCH_INTERVAL_SECONDS = 0.0002
"""Python's own lets a waiting thread wait 9 ms beside a busy one at p99; this 1.7 ms (measured)."""
BEAT_SECONDS = 1.0
CORE_BUSY_TIMEOUT_MS = 1_000
WHOLE_COLLECTION_SECONDS = 600.0
"""How often all objects are gone through for those that only refer to each other."""
MIDDLE_COLLECTION_AFTER = 4
"""Collections of what is new before one of what outlived them; Python's own 10 make it 2 ms and longer."""
NEVER = 1_000_000_000


def run_engine(
    settings: Settings, *, lifeline_fd: int | None = None, wait_seconds: float = 0.0, say: Callable[[str], None] = print
) -> None:
    """Trade until told to stop. Raises LeaseHeldError if another engine does, LeaseLostError if one took over."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    database = Database(settings.database_url)
    upgrade(database)
    vault = Vault.open(settings)
    lease = Lease(database, settings.data_dir)
    token = lease.take(wait_seconds=wait_seconds)
    note = "ended by an error; see the log"
    clock = SystemClock()
    world = World(
        clock=clock,
        paper_calendar=ALWAYS_OPEN,
        live_calendar=INDIA,
        quiet_answered=timedelta(seconds=settings.quiet_answered_seconds),
        quiet_unanswered=timedelta(seconds=settings.quiet_unanswered_seconds),
        read_terms=_terms_reader(database),
        read_owner=_owner_reader(database),
        ahead=ahead_of_the_machine,
        unwatched_since=lease.last_pass_before,
        lease_renewed_boot=clock.boot(),
    )
    inbox = Inbox()
    roster = Roster(database, vault, inbox)
    commands = CommandWatch(database, inbox)
    audit = AuditThread(database)
    scheduler = BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(2), "risk": ThreadPoolExecutor(1)},
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
    )
    show = _Show(settings)
    reserve = DiskReserve(settings.data_dir)
    # the core must never wait for the database as long as its watchdog waits for the core
    own_database = Database(settings.database_url, busy_timeout_ms=CORE_BUSY_TIMEOUT_MS)
    try:
        reserve.make()
        journal = Journal(own_database, token)
        ledger = journal.load(clock.now())
        reload = _reloader(database, roster, world)
        reload()
        intake = Intake(_terms_finder(database), reload)
        core = Core(
            ledger=ledger,
            world=world,
            journal=journal,
            intake=intake,
            inbox=inbox,
            show=show,
            give_up_reserve=reserve.give_up,
        )
        watch_signals(inbox)
        if lifeline_fd is not None:
            watch_lifeline(lifeline_fd, inbox)
        scheduler.add_job(lambda: inbox.put(Beat()), "interval", seconds=BEAT_SECONDS, executor="risk", id="risk tick")
        scheduler.add_job(gc.collect, "interval", seconds=WHOLE_COLLECTION_SECONDS, id="whole collection")
        scheduler.start()
        commands.start()
        show.start()
        audit.start()
        calm_collector()
        runs, accounts = count(open_run_count(ledger), "open run"), count(len(world.accounts), "account")
        say(f"engine ready: {runs}, {accounts}")
        reason = core.run()
        left = open_run_count(ledger)
        note = f"stopped with {count(left, 'open run')}{', unwatched from now on' if left else ''} ({reason})"
    except LeaseLostError:
        note = "another engine took over"
        raise
    finally:
        if scheduler.running:
            scheduler.shutdown(wait=False)
        commands.stop()
        show.stop()
        audit.stop()
        roster.close(world)
        lease.release(note)
        own_database.close()
        database.close()
        say(note)


def _reloader(database: Database, roster: Roster, world: World) -> Callable[[], None]:
    """Return what reads accounts and schedules anew."""

    def reload() -> None:
        roster.refresh(world)
        load_schedules(database, world)

    return reload


def load_schedules(database: Database, world: World) -> None:
    """Read the strategies that enter by the clock, with their terms: a pass must not wait for the database."""
    with database.read() as session:
        found, ended = read_schedules(session), read_ended_schedules(session, world.clock.now())
    world.terms.update({one.terms.version_id: one.terms for one in found.values()})
    world.schedules.replace(found, ended)
    world.schedules.reload = partial(load_schedules, database, world)


def calm_collector() -> None:
    """Keep collections short: what was loaded stays and is gone through no more, and a whole one is made by the clock.

    A whole one takes 0.05 s with a thousand runs, while prices wait, and Python would make one every ten seconds; what
    is in no circle is freed without any.
    """
    gc.freeze()
    young, _middle, _whole = gc.get_threshold()
    gc.set_threshold(young, MIDDLE_COLLECTION_AFTER, NEVER)


def _terms_reader(database: Database) -> Callable[[int], StrategyTerms]:
    def read(version_id: int) -> StrategyTerms:
        with database.read() as session:
            terms = read_terms(session, version_id)
        if terms is None:
            raise LookupError(f"strategy version {version_id} is missing")
        return terms

    return read


def _owner_reader(database: Database) -> Callable[[int], bool | None]:
    def read(owner_id: int) -> bool | None:
        try:
            with database.read() as session:
                return owner_may_trade(session, owner_id)
        except Exception:  # noqa: BLE001 - the edge of one question: exits never wait for the row of a user
            _log.exception("whether user %s may trade cannot be read", owner_id)
            return None

    return read


def _terms_finder(database: Database) -> Callable[[int, int], StrategyTerms | None]:
    def find(strategy_id: int, number: int) -> StrategyTerms | None:
        with database.read() as session:
            version_id = version_id_of(session, strategy_id, number)
            return None if version_id is None else read_terms(session, version_id)

    return find


def give_way() -> None:
    """Let another thread go on."""
    time.sleep(0)


class _Show:
    """Writes the live view in a thread of its own: the core never waits for a file."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.data_dir / "live.db"
        self._rows: queue.Queue[tuple[dict[int, LiveView], list[tuple[int, SeriesView]]] | None] = queue.Queue(1)
        self._thread = threading.Thread(target=self._run, name="live view", daemon=True)

    def __call__(self, changes: Pass, world: World) -> Iterator[None]:
        views = yield from views_in_turn(lambda: Pass(changes.ledger, world.clock.now()), world)
        series = changed_series(Pass(changes.ledger, world.clock.now()), world)
        try:
            self._rows.put_nowait((views, series))
        except queue.Full:
            _log.warning("the live view is behind: one second is not shown")
        else:
            note_written(world, [view for _owner, view in series])

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and end."""
        if self._thread.is_alive():
            self._rows.put(None)
            self._thread.join(timeout=2)

    def _run(self) -> None:
        store = LiveStore(self._path)
        while (shown := self._rows.get()) is not None:
            views, series = shown
            try:
                rows = {owner: as_json(view, give_way) for owner, view in views.items()}
                store.write(rows, {(owner, view.run_id): view.model_dump_json() for owner, view in series})
            except Exception:  # noqa: BLE001 - the edge of this thread: the next second is written again
                _log.exception("the live view could not be written")
        store.close()


def configure_logging(settings: Settings, name: str) -> None:
    """Log to the console and to a file that turns over at 5 MB."""
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    file = logging.handlers.RotatingFileHandler(settings.log_dir / name, maxBytes=5_000_000, backupCount=3)
    logging.basicConfig(
        level=settings.log_level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[file, logging.StreamHandler()],
    )
    for noisy in ("httpx", "httpcore", "apscheduler"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
