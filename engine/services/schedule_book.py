"""Strategies that enter by the clock, as the database has them: read at start and whenever one was saved.

A schedule that was changed, switched off or archived a short while ago is read too: what was due before that is skipped
with the reason, never silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import zip_longest

from sqlmodel import Session, col, select

from engine.domain.calendar import IST
from engine.domain.errors import DomainError
from engine.domain.schedule import LOOK_BACK_DAYS, EntrySchedule, may_be_due
from engine.services.drafts import ScheduleDraft
from engine.services.terms import StrategyTerms, read_terms
from engine.store import tables

ARCHIVED = "strategy.archive"
"""What the activity log calls it; the row names the strategy by its id."""


@dataclass(frozen=True, slots=True)
class ScheduledStrategy:
    """A strategy in its present version, with its schedule; None where that makes no sense (``problem`` says why)."""

    terms: StrategyTerms
    schedule: EntrySchedule | None
    problem: str = ""

    @property
    def id(self) -> int:
        """The strategy's id."""
        return self.terms.strategy_id


@dataclass(frozen=True, slots=True)
class EndedSchedule:
    """A schedule that holds no more: ``until`` when it did, and ``why`` what was due by then could not begin."""

    strategy: ScheduledStrategy
    schedule: EntrySchedule
    until: datetime
    why: str


@dataclass(slots=True)
class ScheduleBook:
    """Schedules by strategy. The rest is found again at any time and only spares work.

    ``ended``: schedules of the last days that hold no more. ``reload`` reads the database anew. ``quiet``: from when
    until when there is nothing to judge about a strategy. ``waits_for``: why an entry that is due did not begin yet.
    ``following``: when the next entry was looked for, and what was found. ``looked``: when everything was looked at,
    and when to do it again.
    """

    strategies: dict[int, ScheduledStrategy] = field(default_factory=dict)
    ended: tuple[EndedSchedule, ...] = ()
    quiet: dict[int, tuple[datetime, datetime]] = field(default_factory=dict)
    waits_for: dict[tuple[int, date], str] = field(default_factory=dict)
    following: dict[int, tuple[datetime, datetime | None]] = field(default_factory=dict)
    looked: tuple[datetime, datetime] | None = None
    reload: Callable[[], None] | None = None

    def replace(self, strategies: dict[int, ScheduledStrategy], ended: Iterable[EndedSchedule] = ()) -> None:
        """Take what the database has now, and look at all of it again."""
        self.strategies, self.ended = strategies, tuple(ended)
        self.quiet, self.following, self.looked = {}, {}, None


def read_schedules(session: Session) -> dict[int, ScheduledStrategy]:
    """Return the strategies whose present version enters by the clock, by id; archived ones do not."""
    rows = session.exec(
        select(tables.Strategy, tables.StrategyVersion)
        .where(
            tables.Strategy.id == tables.StrategyVersion.strategy_id,
            tables.Strategy.version == tables.StrategyVersion.number,
            col(tables.Strategy.archived).is_(False),
        )
        .order_by(col(tables.Strategy.id))
    ).all()
    found: dict[int, ScheduledStrategy] = {}
    for strategy, version in rows:
        if strategy.id is None or version.id is None or not version.schedule.get("enabled"):
            continue
        try:
            terms = read_terms(session, version.id)
        except (DomainError, ValueError):
            continue  # its legs make no sense: it cannot be executed by hand either
        if terms is not None:
            found[strategy.id] = _scheduled(terms, version.created_at.astimezone(UTC))
    return found


def read_ended_schedules(session: Session, now: datetime) -> list[EndedSchedule]:
    """Return the schedules that a later version or the archive ended, where an entry of the last days may be open."""
    since = now - timedelta(days=LOOK_BACK_DAYS + 1)
    archived = _archived_since(session, since)
    saved = session.exec(
        select(tables.StrategyVersion.strategy_id).where(tables.StrategyVersion.created_at >= since).distinct()
    ).all()
    versions = session.exec(
        select(tables.StrategyVersion)
        .where(col(tables.StrategyVersion.strategy_id).in_({*saved, *archived}))
        .order_by(col(tables.StrategyVersion.strategy_id), col(tables.StrategyVersion.number))
    ).all()
    found: list[EndedSchedule] = []
    for version, following in zip_longest(versions, versions[1:]):
        if following is not None and following.strategy_id == version.strategy_id:
            until = following.created_at.astimezone(UTC)
            off = not following.schedule.get("enabled")
            what = "its schedule was switched off" if off else f"version {following.number} of it was saved"
        elif version.strategy_id in archived:
            until, what = archived[version.strategy_id], "it was archived"
        else:
            continue  # it holds
        if (one := _ended(session, version, until, now)) is not None and one.schedule is not None:
            why = f"{what} at {until.astimezone(IST):%H:%M:%S}, before it could begin"
            found.append(EndedSchedule(one, one.schedule, until, why))
    return found


def _archived_since(session: Session, since: datetime) -> dict[int, datetime]:
    rows = session.exec(
        select(tables.ActivityLog).where(
            tables.ActivityLog.at >= since, tables.ActivityLog.action == ARCHIVED, tables.ActivityLog.outcome == "done"
        )
    ).all()
    return {int(row.detail["strategy_id"]): row.at.astimezone(UTC) for row in rows if "strategy_id" in row.detail}


def _ended(
    session: Session, version: tables.StrategyVersion, until: datetime, now: datetime
) -> ScheduledStrategy | None:
    """Return what a version entered by, None if nothing of it can have been due before it ended."""
    made_at = version.created_at.astimezone(UTC)
    try:
        entry_time = time.fromisoformat(str(version.schedule.get("entry_time")))
        if version.id is None or not version.schedule.get("enabled") or not may_be_due(entry_time, made_at, until, now):
            return None
        terms = read_terms(session, version.id)
    except (DomainError, ValueError):
        return None  # it could not enter by the clock either
    return None if terms is None else _scheduled(terms, made_at)


def _scheduled(terms: StrategyTerms, made_at: datetime) -> ScheduledStrategy:
    try:
        return ScheduledStrategy(terms, _schedule(terms, terms.schedule, made_at))
    except (TypeError, ValueError, OverflowError) as error:
        return ScheduledStrategy(terms, None, f"its schedule makes no sense: {error}")


def _schedule(terms: StrategyTerms, draft: ScheduleDraft, made_at: datetime) -> EntrySchedule:
    if draft.entry_time is None:
        raise ValueError("it has no entry time")
    return EntrySchedule(
        entry_time=time.fromisoformat(draft.entry_time),
        weekdays=frozenset(draft.weekdays),
        last_entry_time=draft.last_entry_time,
        grace=timedelta(seconds=max(0.0, draft.grace_seconds)),
        condition=terms.market_condition,
        underlyings=tuple(dict.fromkeys(leg.underlying for leg in terms.legs)),
        since=made_at,
    )
