"""Entries by the clock: which days are a strategy's, when it is due on one, and what to do at an instant (RULES 4, 7).

Times of day are Asia/Kolkata, instants aware UTC. A scheduled entry is taken at most once a day, at its time or a
little later; one that was missed is skipped with the reason, never taken late.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import assert_never

from engine.domain.calendar import IST, Calendar, ist_day
from engine.domain.errors import CalendarError
from engine.domain.expiries import is_expiry_day, listed_expiries
from engine.domain.instruments import Exchange

CONDITIONS = ("any", "expiry", "non_expiry")

LOOK_BACK_DAYS = 2
"""An entry that was missed is told up to so many days later; nobody waits for an older one."""

LOOK_AHEAD_DAYS = 45
"""How far the next entry is looked for: a monthly expiry is nearer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrySchedule:
    """When a strategy enters by itself.

    ``weekdays``: 0 Monday to 6 Sunday, none means every trading day. ``condition``: any, expiry or non_expiry days of
    ``underlyings``. ``since``: when it was made; what was due before is nobody's.
    """

    entry_time: time
    weekdays: frozenset[int] = frozenset()
    last_entry_time: str | None = None
    grace: timedelta = timedelta(seconds=60)
    condition: str = "any"
    underlyings: tuple[str, ...] = ()
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingDays:
    """Where a schedule's days come from: the sessions of its venue, and the calendar that its expiries are listed by.

    A paper venue trades every day, but its contracts expire as the exchange's do.
    """

    exchange: Exchange
    sessions: Calendar
    listing: Calendar


class Step(StrEnum):
    """What to do about the entry of one day: nothing (none, wait), or decide it (begin, skip)."""

    NONE = "none"
    WAIT = "wait"
    BEGIN = "begin"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to do about the entry of ``day`` now. ``missed``: skipped because it is too late for it."""

    day: date
    step: Step
    due_at: datetime | None = None
    reason: str = ""
    missed: bool = field(default=False)


def due_on(schedule: EntrySchedule, day: date, days: TradingDays) -> datetime | None:
    """Return when the entry of a day is due (UTC), None if it is no day of the schedule.

    Raises CalendarError where the calendar does not know the day.

    >>> from engine.domain.calendar import INDIA
    >>> nse = TradingDays(exchange=Exchange.NFO, sessions=INDIA, listing=INDIA)
    >>> expiry = EntrySchedule(entry_time=time(9, 20), condition="expiry", underlyings=("NIFTY",))
    >>> [due_on(expiry, date(2026, 11, day), nse) is not None for day in (20, 23, 24)]
    [False, True, False]
    """
    if schedule.weekdays and day.weekday() not in schedule.weekdays:
        return None
    if not days.sessions.is_trading_day(days.exchange, day) or not _fits(schedule, day, days):
        return None
    return _instant(day, schedule.entry_time)


def judge(schedule: EntrySchedule, day: date, now: datetime, days: TradingDays) -> Judgement:
    """Return what to do now about the entry of a day of which nothing was decided yet.

    It begins from its time until the grace is over, inside a session and not after its last entry time; later it is
    skipped. A day that the calendar does
    not know is skipped at its time: nobody enters on a guess.
    """
    at = _instant(day, schedule.entry_time)
    if schedule.since is not None and at < schedule.since:
        return Judgement(day, Step.NONE)
    try:
        due = due_on(schedule, day, days)
        open_then = due is not None and _open_for_orders(days, due)
        open_now = _open_for_orders(days, now)
    except CalendarError as error:
        return Judgement(day, Step.WAIT if now < at else Step.SKIP, at, str(error))
    if due is None:
        return Judgement(day, Step.NONE)
    if now < due:
        return Judgement(day, Step.WAIT, due)
    if not open_then:
        return Judgement(day, Step.SKIP, due, f"{_clock(due)} is outside the session of {_day(day)}")
    if too_late := may_enter(schedule.last_entry_time, due):
        return Judgement(day, Step.SKIP, due, too_late)
    late = now - due
    if late > schedule.grace:
        when = _clock(due) if day == ist_day(now) else f"{_clock(due)} on {_day(day)}"
        reason = f"the engine was not running or asleep at {when}; skipped {late.total_seconds():.0f} s after"
        return Judgement(day, Step.SKIP, due, reason, missed=True)
    why = "" if open_now else "the session was over"
    if schedule.last_entry_time is not None and now > _instant(day, time.fromisoformat(schedule.last_entry_time)):
        why = why or f"its last entry time, {schedule.last_entry_time}, was over"
    if why:
        reason = f"{why} when it could begin, {late.total_seconds():.0f} s after {_clock(due)}"
        return Judgement(day, Step.SKIP, due, reason, missed=True)
    return Judgement(day, Step.BEGIN, due)


def judge_ended(
    schedule: EntrySchedule, day: date, now: datetime, days: TradingDays, *, until: datetime, why: str
) -> Judgement:
    """Return what to do about a day of which nothing was decided, of a schedule that was changed at ``until``.

    What was due by then is skipped: for ``why``, or as missed where it was too late for it already. What was not due is
    nobody's.
    """
    found = judge(schedule, day, until, days)
    match found.step:
        case Step.BEGIN:
            return replace(found, step=Step.SKIP, reason=why)
        case Step.SKIP:
            return judge(schedule, day, max(now, until), days)
        case Step.NONE | Step.WAIT:
            return Judgement(day, Step.NONE)
        case _:
            assert_never(found.step)


def may_be_due(entry_time: time, made_at: datetime, until: datetime, now: datetime) -> bool:
    """Whether a day that may still have to be decided has this time (IST) between two instants."""
    return any(made_at <= _instant(day, entry_time) < until for day in days_to_judge(now))


def days_to_judge(now: datetime) -> tuple[date, ...]:
    """Return the days whose entries may still have to be decided, oldest first: an engine may have been off."""
    today = ist_day(now)
    return tuple(today - timedelta(days=back) for back in range(LOOK_BACK_DAYS, -1, -1))


def next_due(schedule: EntrySchedule, now: datetime, days: TradingDays) -> datetime | None:
    """Return when the schedule is due next (UTC), None if nothing of it lies within 45 days that are known."""
    today = ist_day(now)
    for ahead in range(LOOK_AHEAD_DAYS):
        try:
            due = due_on(schedule, today + timedelta(days=ahead), days)
        except CalendarError:
            return None
        if due is not None and due > now and (schedule.since is None or due >= schedule.since):
            return due
    return None


def may_enter(last_entry_time: str | None, now: datetime) -> str:
    """Return why nothing of a strategy may enter or re-enter now, empty when it may; the time is HH:MM IST (RULES 7).

    A time that cannot be read stops entries: it was meant to limit them.

    >>> may_enter("14:30", datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)), may_enter(None, datetime.now(UTC))
    ('', '')
    >>> may_enter("14:30", datetime(2026, 11, 23, 9, 1, tzinfo=UTC))
    'nothing of it enters after its last entry time, 14:30'
    """
    if last_entry_time is None:
        return ""
    try:
        last = time.fromisoformat(last_entry_time)
    except ValueError:
        return f"its last entry time {last_entry_time!r} makes no sense: nothing of it enters"
    local = now.astimezone(IST).time()
    return f"nothing of it enters after its last entry time, {last_entry_time}" if local > last else ""


def _fits(schedule: EntrySchedule, day: date, days: TradingDays) -> bool:
    """Whether a day is of the kind that the strategy is for, as far as the exchange's rule tells.

    Where no rule is known every day is taken: the contracts that are read at entry decide then.
    """
    if schedule.condition not in {"expiry", "non_expiry"}:
        return True
    known = []
    for underlying in schedule.underlyings:
        try:
            listed = listed_expiries(underlying, day, days.listing, weeks=1, months=1)
        except ValueError:
            return True
        known.append(is_expiry_day(listed, day))
    return any(known) is (schedule.condition == "expiry") if known else True


def _open_for_orders(days: TradingDays, at: datetime) -> bool:
    return any(one.open <= at < one.act_by for one in days.sessions.sessions(days.exchange, ist_day(at)))


def _instant(day: date, at: time) -> datetime:
    return datetime.combine(day, at, IST).astimezone(UTC)


def _clock(at: datetime) -> str:
    return f"{at.astimezone(IST):%H:%M:%S}"


def _day(day: date) -> str:
    return f"{day:%-d %b %Y}"
