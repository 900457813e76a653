"""Limits on P of the day, of a user and of each account: what they take out, and the halt that follows (RULES 7).

Real money is judged by real prices alone: as soon as a user has a live account or run, his own limits count live runs
only, and act on these; runs on paper then have the limits of their accounts (RULES 1, "Venue").
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from typing import Any

from engine.domain.calendar import ist_day
from engine.domain.day_limits import DayBreach, DayLimits, day_breach, halted_for_the_day, latched
from engine.domain.instruments import Exchange
from engine.domain.money import rupees
from engine.domain.prices import BLIND_AFTER
from engine.domain.rules import ExitAction
from engine.domain.runs import AccountState, Run
from engine.services import amounts
from engine.services.day_limit_rows import limit_view
from engine.services.day_marks import Judged
from engine.services.day_profit import DayProfit, by_account, day_figures, day_of, keep_marks, total
from engine.services.exit_plans import open_plan
from engine.services.knowledge import knowledge
from engine.services.ledger import Pass
from engine.services.risk_views import DayLimitView
from engine.services.world import World

JUDGE_EVERY = timedelta(seconds=0.25)
"""How often the day of a user with many runs is judged: P of hundreds of them is not reckoned in every pass."""
FEW = 40
"""Up to so many runs on accounts are reckoned in every pass: their limits of the day act before the runs' own."""
LIVE = "live"

_ENDED = frozenset({AccountState.FLAT, AccountState.SKIPPED})


def watch(changes: Pass, world: World) -> None:
    """Judge the day of every user with limits, with many runs four times a second; keep the marks of P of the day."""
    day = day_of(changes, world)
    judged = world.day_marks.judged
    for owner_id in sorted({one.owner_id for one in all_limits(changes) if one.watched(day)}):
        last = judged.get(owner_id)
        just_set = any(owner == owner_id for owner, _account in changes.limits)
        if last is None or just_set or last.places <= FEW or abs(changes.now - last.at) >= JUDGE_EVERY:
            watch_user(changes, world, owner_id)
    keep_marks(changes, world)


def watch_user(changes: Pass, world: World, owner_id: int) -> None:
    """Judge the day of one user now: what P has reached acts once, the user's own limits before those of accounts."""
    day = day_of(changes, world)
    mine = [one for one in all_limits(changes) if one.owner_id == owner_id and one.watched(day)]
    if not mine:
        return
    figures = day_figures(changes, world, owner_id)
    judged = Judged(changes.now, len(figures))
    changes.after_commit.append(partial(world.day_marks.judged.__setitem__, owner_id, judged))
    _tell_unmarked(changes, world, owner_id, figures)
    for limits in sorted(mine, key=lambda one: (one.account_id is not None, one.account_id or 0)):
        counted = counted_for(changes, world, limits, figures)
        _tell_dark(changes, world, limits, counted)
        if (breach := day_breach(limits, total(counted), day)) is not None:
            _act(changes, world, limits, breach, counted=counted)


def all_limits(changes: Pass) -> list[DayLimits]:
    """Return all limits and halts, as this pass sees them."""
    return list({**changes.ledger.limits, **changes.limits}.values())


def counted_for(changes: Pass, world: World, limits: DayLimits, figures: list[DayProfit]) -> list[DayProfit]:
    """Return what of a user's P of the day these limits judge."""
    if limits.account_id is not None:
        return [one for one in figures if one.account_id == limits.account_id]
    live = _trades_live(changes, world, limits.owner_id)
    return [one for one in figures if not live or one.venue == LIVE]


def next_session_day(changes: Pass, world: World, limits: DayLimits) -> date:
    """Return the day (IST) on which a halt that begins now ends: the next trading day of the scope's venue."""
    if limits.account_id is None:
        venue = LIVE if _trades_live(changes, world, limits.owner_id) else "paper"
    else:
        account = world.accounts.get(limits.account_id)
        venue = account.facts.venue if account is not None else LIVE
    return world.calendar(venue).next_trading_day(Exchange.NFO, _today(changes, world), assume_weekdays=True)


def _today(changes: Pass, world: World) -> date:
    """Return the day (IST) by which halts count: no later one than P of the day is counted for."""
    return min(ist_day(changes.now), day_of(changes, world))


def scope_name(world: World, limits: DayLimits) -> str:
    """Return whose limits they are, in words."""
    if limits.account_id is None:
        return "all accounts"
    account = world.accounts.get(limits.account_id)
    return account.facts.name if account is not None else f"account {limits.account_id}"


def day_limit_views(changes: Pass, world: World, owner_id: int, profits: dict[int, int | None]) -> list[DayLimitView]:
    """Return the limits of a user and of each account with P of the day (paise) by account, as these limits count."""
    mine = sorted(
        (account for account in world.accounts.values() if account.facts.owner_id == owner_id),
        key=lambda account: world.shown(account.id),
    )
    live = _trades_live(changes, world, owner_id)
    venues = {account.id: account.facts.venue for account in mine}
    counted = [p for account_id, p in profits.items() if not live or venues.get(account_id, LIVE) == LIVE]
    known = [profit for profit in counted if profit is not None]
    whole = sum(known) if len(known) == len(counted) else None
    day, today = day_of(changes, world), _today(changes, world)
    return [
        limit_view(changes.limits_of(owner_id), name="", profit_paise=whole, day=day, today=today),
        *(
            limit_view(
                changes.limits_of(owner_id, account.id),
                name=account.facts.name,
                profit_paise=profits.get(account.id, 0),
                day=day,
                today=today,
            )
            for account in mine
        ),
    ]


def _act(changes: Pass, world: World, limits: DayLimits, breach: DayBreach, *, counted: list[DayProfit]) -> None:
    """Latch the limit, halt entries, take the scope out: one commit, so that a restart finds it done."""
    day = day_of(changes, world)
    name = str(breach.rule).replace("_", " ")
    reached = f"{amounts.profit(breach.value_paise)} reached {amounts.profit(breach.threshold_paise)}"
    message = f"{name} of {day:%d %b %Y} of {scope_name(world, limits)}: P of the day {reached}"
    closes = breach.action is not ExitAction.ALERT_ONLY
    limits = latched(limits, breach.rule, day)
    if closes:
        until = next_session_day(changes, world, limits)
        limits = halted_for_the_day(limits, changes.now, _today(changes, world), until=until, reason=message)
    changes.put_limits(limits)
    changes.event(
        owner_id=limits.owner_id,
        kind=str(breach.rule),
        action=str(breach.action),
        message=message,
        knew=_knew(world, counted, day, limits),
        account_id=limits.account_id,
        threshold_paise=breach.threshold_paise,
        value_paise=breach.value_paise,
    )
    if not closes:
        return
    for run in _runs_of(changes, world, limits):
        open_plan(
            changes,
            run,
            kind=breach.rule.plan_reason,
            message=message,
            knew=knowledge(changes, world, run) | {"day": day.isoformat(), "day_profit": rupees(breach.value_paise)},
            account_ids=() if limits.account_id is None else (limits.account_id,),
            threshold_paise=breach.threshold_paise,
            value_paise=breach.value_paise,
        )


def _runs_of(changes: Pass, world: World, limits: DayLimits) -> list[Run]:
    """Return the open runs that the limits take out, or take out of one account."""
    mine = [run for run in changes.open_runs() if run.owner_id == limits.owner_id]
    if limits.account_id is None:
        live = _trades_live(changes, world, limits.owner_id)
        return [run for run in mine if not live or run.venue == LIVE]
    return [run for run in mine if open_on(changes, run, limits.account_id)]


def open_on(changes: Pass, run: Run, account_id: int) -> bool:
    """Whether a run has something on an account that has not ended there."""
    return any(row.account_id == account_id and row.state not in _ENDED for row in changes.accounts_of(run.id))


def _knew(world: World, counted: list[DayProfit], day: date, limits: DayLimits) -> dict[str, Any]:
    def money(paise: int | None) -> float | None:
        return None if paise is None else rupees(paise)

    names = {account.id: account.facts.name for account in world.accounts.values()}
    return {
        "day": day.isoformat(),
        "accounts": [
            {"account_id": account_id, "account": names.get(account_id, ""), "profit": money(profit)}
            for account_id, profit in by_account(counted).items()
        ],
        "runs": [
            {
                "run_id": one.run_id,
                "account_id": one.account_id,
                "profit": money(one.profit_paise),
                "mark": money(one.mark_paise),
            }
            for one in counted
        ],
        "halted_until": limits.halted_until.isoformat() if limits.halted_until is not None else None,
    }


def _trades_live(changes: Pass, world: World, owner_id: int) -> bool:
    return any(a.facts.owner_id == owner_id and a.facts.venue == LIVE for a in world.accounts.values()) or any(
        run.owner_id == owner_id and run.venue == LIVE for run in changes.open_runs()
    )


def _tell_unmarked(changes: Pass, world: World, owner_id: int, figures: list[DayProfit]) -> None:
    """Tell once a day that limits cannot decide because P of the evening before is not known of a run."""
    marks = world.day_marks
    runs = sorted({one.run_id for one in figures if one.mark_paise is None})
    if not runs or marks.unmarked_told.get(owner_id) == marks.day:
        return
    assert marks.day is not None
    changes.event(
        owner_id=owner_id,
        kind="blind",
        action=str(ExitAction.ALERT_ONLY),
        message=f"P of the day is not known, its limits cannot decide: run {', '.join(map(str, runs))} began on an "
        "earlier day and what it had made by then was never confirmed",
        knew={"runs": runs, "day": marks.day.isoformat()},
    )
    changes.after_commit.append(partial(marks.unmarked_told.__setitem__, owner_id, marks.day))


def _tell_dark(changes: Pass, world: World, limits: DayLimits, counted: list[DayProfit]) -> None:
    """Tell that limits cannot decide because P of a run is not known for 15 s in session; again once it was known.

    A run tells by itself that it is blind, but not one that is leaving, and not that others lose their limits by it.
    """
    marks, place, now = world.day_marks, (limits.owner_id, limits.account_id), changes.now
    dark = sorted({one.run_id for one in counted if one.profit_paise is None})
    if not any(_trades_now(changes, world, changes.run(run_id)) for run_id in dark):
        marks.dark_since.pop(place, None)
        if not dark:
            marks.dark_told.discard(place)
        return
    since = marks.dark_since.setdefault(place, now)
    if place in marks.dark_told or now - since < BLIND_AFTER:
        return
    runs = f"run{'s' if len(dark) > 1 else ''} {', '.join(map(str, dark))}"
    changes.event(
        owner_id=limits.owner_id,
        kind="blind",
        action=str(ExitAction.ALERT_ONLY),
        message=f"limits of the day of {scope_name(world, limits)} cannot decide: P of {runs} is not known "
        f"for {BLIND_AFTER.total_seconds():.0f} s",
        knew={"runs": dark, "since": since.isoformat()},
        account_id=limits.account_id,
    )
    changes.after_commit.append(partial(marks.dark_told.add, place))


def _trades_now(changes: Pass, world: World, run: Run) -> bool:
    exchanges = {key.exchange for key, held in changes.holdings(run.id).items() if held.quantity}
    return any(world.in_session(run.venue, Exchange(exchange), changes.now) for exchange in exchanges)
