"""Entries by the clock: a strategy enters once a day at its time, or is skipped with the reason (RULES 4, 7).

The row of the day is written in the commit that begins the run or skips it, so that no restart, clock or second look
enters twice.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial

from engine.domain.calendar import ist_day
from engine.domain.contracts import derivatives_exchange
from engine.domain.errors import DomainError
from engine.domain.instruments import Exchange
from engine.domain.runs import Run, RunState, ScheduledEntry
from engine.domain.schedule import Judgement, Step, TradingDays, days_to_judge, judge, judge_ended, next_due
from engine.services.beginning import accounts_for, begin_run
from engine.services.day_profit import day_of
from engine.services.errors import Refused
from engine.services.ledger import Pass
from engine.services.risk_views import ScheduledView
from engine.services.schedule_book import EndedSchedule, ScheduledStrategy
from engine.services.terms import StrategyTerms
from engine.services.world import World

LOOK_AGAIN = timedelta(seconds=1)
"""How often everything is looked at; what is due earlier is looked at then."""

WAITING_LOOKS_AGAIN = timedelta(milliseconds=100)


def enter_due(changes: Pass, world: World) -> None:
    """Begin every scheduled entry that is due, and skip those that were missed or cannot be; each day is decided once.

    Within its grace an entry waits for one of its accounts to be armed; what else stands in its way skips it at once.
    """
    book, now = world.schedules, changes.now
    if world.stopping or (book.looked is not None and book.looked[0] <= now < book.looked[1]):
        return
    day_of(changes, world)  # a halt of yesterday must not skip what is due right after a night's sleep
    again = now + LOOK_AGAIN
    for one in book.strategies.values():
        known = book.quiet.get(one.id)
        if known is None or not known[0] <= now < known[1]:
            again = min(again, _judge_days(changes, world, one))
        else:
            again = min(again, known[1])
    for one_ended in book.ended:
        _skip_ended(changes, world, one_ended)
    _tell_refused(changes)
    book.looked = (now, again)


def schedule_views(changes: Pass, world: World, owner_id: int) -> list[ScheduledView]:
    """Return today's entry of each strategy of a user that enters by the clock, or its next one."""
    return [_view(changes, world, one) for one in world.schedules.strategies.values() if one.terms.owner_id == owner_id]


def _judge_days(changes: Pass, world: World, one: ScheduledStrategy) -> datetime:
    """Judge the days of a strategy that are open; return when to look at it again."""
    now, book = changes.now, world.schedules
    if one.schedule is None:
        book.quiet[one.id] = (now, now + timedelta(minutes=1))
        return now + timedelta(minutes=1)
    days = _trading_days(world, one)
    until = now + timedelta(minutes=1)
    for day in days_to_judge(now):
        if changes.scheduled_entry(one.id, day) is not None:
            continue
        found = judge(one.schedule, day, now, days)
        if found.step is Step.WAIT and found.due_at is not None:
            until = min(until, found.due_at)
        elif found.step is Step.BEGIN:
            _begin(changes, world, one, found)
            return now + WAITING_LOOKS_AGAIN
        elif found.step is Step.SKIP:
            _skip(changes, world, one, found)
            return now + WAITING_LOOKS_AGAIN
    # noted at once: nothing was decided, so it holds whatever becomes of this pass
    book.quiet[one.id] = (now, until)
    return until


def _skip_ended(changes: Pass, world: World, ended: EndedSchedule) -> None:
    """Skip what was due by a schedule when it was changed, unless the strategy enters later that day by its new one."""
    one, present = ended.strategy, world.schedules.strategies.get(ended.strategy.id)
    days = _trading_days(world, one)
    for day in days_to_judge(changes.now):
        if changes.scheduled_entry(one.id, day) is not None:
            continue
        found = judge_ended(ended.schedule, day, changes.now, days, until=ended.until, why=ended.why)
        if found.step is not Step.SKIP:
            continue
        if present is None or _leaves_out(changes, world, present, day):
            _skip(changes, world, one, found)


def _leaves_out(changes: Pass, world: World, one: ScheduledStrategy, day: date) -> bool:
    """Whether nothing of a strategy is due on a day by the schedule that it has now."""
    if one.schedule is None:
        return True
    return judge(one.schedule, day, changes.now, _trading_days(world, one)).step is Step.NONE


def _begin(changes: Pass, world: World, one: ScheduledStrategy, found: Judgement) -> None:
    terms = _as_it_stands(changes, world, one)
    if terms is None:
        return
    why = _in_the_way(changes, one) if terms.owner_may_trade else "its owner may not trade any more"
    try:
        accounts = accounts_for(world, terms.owner_id, terms.account_ids)
    except Refused as refusal:
        why = why or str(refusal)
    else:
        halts = [changes.halted(terms.owner_id, account.id) for account in accounts]
        why = why or (f"entries are halted: {halts[0]}" if all(halts) else "")
    if why:
        _skip(changes, world, one, replace(found, reason=why))
        return
    if not any(account.armed for account in accounts):
        waits = "; ".join(f"{account.facts.name} waits for {account.waits_for}" for account in accounts)
        changes.after_commit.append(partial(world.schedules.waits_for.__setitem__, (one.id, found.day), waits))
        return
    run = begin_run(changes, world, terms, accounts, command_id=None)
    _decide(changes, one, found, "begun", run=run)


def _as_it_stands(changes: Pass, world: World, one: ScheduledStrategy) -> StrategyTerms | None:
    """Return the strategy as the database has it; None if it changed since, and everything is read anew at once.

    Read once a day and strategy, as for an order by hand: a schedule that was switched off must not enter.
    """
    if world.read_terms is None:
        return one.terms
    now_there = world.read_terms(one.terms.version_id)
    if not now_there.archived and now_there.current_number == one.terms.number:
        return now_there
    if world.schedules.reload is not None:
        changes.after_commit.append(world.schedules.reload)
    return None


def _in_the_way(changes: Pass, one: ScheduledStrategy) -> str:
    """Return why a strategy must not enter now although it is due, empty when nothing stands in its way."""
    there = [f"run {run.id}" for run in changes.open_runs() if run.strategy_id == one.id]
    if there:
        return f"{', '.join(there)} of it is still open"
    return "" if one.terms.account_ids else "it names no account"


def _skip(changes: Pass, world: World, one: ScheduledStrategy, found: Judgement) -> None:
    if found.missed and (waited := world.schedules.waits_for.get((one.id, found.day))):
        found = replace(found, reason=f"no account was ready in time: {waited}")
    _decide(changes, one, found, "skipped")


def _decide(changes: Pass, one: ScheduledStrategy, found: Judgement, state: str, *, run: Run | None = None) -> None:
    assert found.due_at is not None
    changes.put_scheduled(
        ScheduledEntry(
            id=next(changes.ledger.counters.scheduled),
            strategy_id=one.id,
            day=found.day,
            state=state,
            due_at=found.due_at,
            decided_at=changes.now,
            run_id=None if run is None else run.id,
            reason=found.reason,
        )
    )
    name = one.terms.name
    words = f"{name} enters by its schedule: run {run.id}" if run else f"{name} does not enter today: {found.reason}"
    if run is None and found.day != ist_day(changes.now):
        words = f"{name} did not enter on {found.day:%-d %b %Y}: {found.reason}"
    _tell(changes, one.terms.owner_id, words, found.due_at, one.id, reason=found.reason, run_id=run.id if run else None)


def _tell_refused(changes: Pass) -> None:
    """Note scheduled entries whose run was refused before anything was sent, with its reason."""
    for entry in list(changes.ledger.scheduled.values()):
        if entry.state != "begun" or entry.run_id is None:
            continue
        run = changes.runs.get(entry.run_id) or changes.ledger.runs.get(entry.run_id)
        if run is None or run.state is not RunState.REFUSED:
            continue
        changes.put_scheduled(replace(entry, state="refused", reason=run.reason, decided_at=changes.now))
        words = f"the scheduled entry was refused, nothing was sent: {run.reason}"
        _tell(changes, run.owner_id, words, entry.due_at, entry.strategy_id, reason=run.reason, run_id=run.id)


def _tell(
    changes: Pass, owner_id: int, words: str, due_at: datetime, strategy_id: int, *, reason: str, run_id: int | None
) -> None:
    changes.event(
        owner_id=owner_id,
        kind="scheduled_entry",
        action="alert_only",
        message=words,
        knew={
            "strategy_id": strategy_id,
            "due_at": due_at.isoformat(),
            "late_seconds": (changes.now - due_at).total_seconds(),
            "reason": reason,
        },
        run_id=run_id,
    )


def _trading_days(world: World, one: ScheduledStrategy) -> TradingDays:
    """Return the days of a strategy's venue: that of its accounts; the live one while none of them is active."""
    accounts = (world.accounts.get(account_id) for account_id in one.terms.account_ids)
    venue = next((account.facts.venue for account in accounts if account is not None), "live")
    try:
        exchange = derivatives_exchange(one.terms.legs[0].underlying)
    except (DomainError, IndexError):
        exchange = Exchange.NFO
    return TradingDays(exchange=exchange, sessions=world.calendar(venue), listing=world.live_calendar)


def _view(changes: Pass, world: World, one: ScheduledStrategy) -> ScheduledView:
    today: date = ist_day(changes.now)
    entry = changes.scheduled_entry(one.id, today)
    shown = ScheduledView(strategy_id=one.id, strategy=one.terms.name, due_at=None, state="none", reason=one.problem)
    if entry is not None:
        change = {"due_at": entry.due_at, "state": entry.state, "run_id": entry.run_id, "reason": entry.reason}
        return shown.model_copy(update=change)
    if one.schedule is None:
        return shown
    waits = world.schedules.waits_for.get((one.id, today))
    if waits is not None:
        return shown.model_copy(update={"state": "due", "due_at": changes.now, "reason": waits})
    due = _next_due(changes, world, one)
    if due is None:
        return shown.model_copy(update={"reason": "no day of it is known within the next weeks"})
    return shown.model_copy(update={"due_at": due, "state": "due"})


def _next_due(changes: Pass, world: World, one: ScheduledStrategy) -> datetime | None:
    """Return the next entry; it is looked for once a minute and when the last one found has come."""
    now, following = changes.now, world.schedules.following
    known = following.get(one.id)
    young = known is not None and timedelta(0) <= now - known[0] < timedelta(minutes=1)
    if known is not None and young and (known[1] is None or known[1] > now):
        return known[1]
    assert one.schedule is not None
    following[one.id] = (now, next_due(one.schedule, now, _trading_days(world, one)))
    return following[one.id][1]
