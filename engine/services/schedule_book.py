"""Strategies that enter by the clock, as the database has them: read at start and whenever one was saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from sqlmodel import Session, col, select

from engine.domain.errors import DomainError
from engine.domain.schedule import EntrySchedule
from engine.services.drafts import ScheduleDraft
from engine.services.terms import StrategyTerms, read_terms
from engine.store import tables


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


@dataclass(slots=True)
class ScheduleBook:
    """Schedules by strategy. The rest is found again at any time and only spares work.

    ``reload`` reads the database anew. ``quiet``: from when until when there is nothing to judge about a strategy.
    ``waits_for``: why an entry that is due did not begin yet. ``following``: when the next entry was looked for, and
    what was found. ``looked``: when everything was looked at, and when to do it again.
    """

    strategies: dict[int, ScheduledStrategy] = field(default_factory=dict)
    quiet: dict[int, tuple[datetime, datetime]] = field(default_factory=dict)
    waits_for: dict[tuple[int, date], str] = field(default_factory=dict)
    following: dict[int, tuple[datetime, datetime | None]] = field(default_factory=dict)
    looked: tuple[datetime, datetime] | None = None
    reload: Callable[[], None] | None = None

    def replace(self, strategies: dict[int, ScheduledStrategy]) -> None:
        """Take what the database has now, and look at all of it again."""
        self.strategies = strategies
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
