"""Every open run against its rules, on every price and every second; blindness is an event too (RULES 6, 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import time
from functools import partial
from typing import Any, TypeVar

from engine.domain.errors import DomainError
from engine.domain.instruments import Exchange, Key, Product
from engine.domain.money import rupees
from engine.domain.pnl import profit_paise
from engine.domain.rules import (
    Breach,
    Decision,
    ExitAction,
    ExitRule,
    Limit,
    LimitUnit,
    RunFigures,
    RunLimits,
    TimeLimit,
    TrailingLimit,
    decide,
)
from engine.domain.runs import Run, RunState
from engine.domain.trailing import TrailingKind, TrailingRule, TrailingState
from engine.services import amounts, blindness
from engine.services.drafts import LimitsDraft
from engine.services.exiting import open_plan
from engine.services.ledger import Pass
from engine.services.price_board import market_of
from engine.services.terms import StrategyTerms
from engine.services.world import World

Rule = TypeVar("Rule")

MIS_SQUARE_OFF = time(15, 10)
_WATCHED = frozenset({RunState.ENTERING, RunState.OPEN})
_TRAILING = {
    "percent_of_premium": TrailingKind.PERCENT_OF_PREMIUM,
    "amount": TrailingKind.AMOUNT,
    "points": TrailingKind.POINTS,
    "percent_of_profit": TrailingKind.PERCENTAGE_OF_PROFIT,
}


def watch_run(changes: Pass, world: World, run: Run, terms: StrategyTerms) -> None:
    """Decide about one run; what a rule needs later (peak, stop, latches) is written before it is used."""
    holdings = changes.holdings(run.id)
    if run.state not in _WATCHED or not any(held.quantity for held in holdings.values()):
        blindness.forget(world, run)
        return
    profit = run_profit(changes, world, run)
    blindness.watch(changes, world, run, sighted=profit is not None, knew=lambda: knowledge(changes, world, run))
    _tell_broken(changes, world, run, terms)
    decision = decide(
        run_limits(terms.limits, str(run.resolved.get("product", ""))),
        figures(run, profit),
        changes.now,
        calendar=world.calendar(run.venue),
        exchange=Exchange(run.resolved["legs"][0]["exchange"]),
    )
    _keep(changes, run, decision)
    for breach in decision.breaches:
        if breach.action is ExitAction.ALERT_ONLY:
            _alert(changes, world, run, breach)
    if decision.exit is not None:
        also = [str(breach.rule) for breach in decision.breaches if breach is not decision.exit]
        open_plan(
            changes,
            changes.run(run.id),
            kind=decision.exit.rule.risk_event,
            message=_words(decision.exit),
            knew=knowledge(changes, world, run) | ({"also_breached": also} if also else {}),
            threshold_paise=decision.exit.threshold_paise,
            value_paise=decision.exit.value_paise,
        )


def run_profit(changes: Pass, world: World, run: Run, *, account_id: int | None = None) -> int | None:
    """Return P of a run (paise), or of one account of it; None if an open leg has no confirmed price."""
    holdings = {
        key: held
        for key, held in changes.holdings(run.id).items()
        if account_id is None or key.account_id == account_id
    }
    prices = {key: _price(changes, world, run, key) for key, held in holdings.items() if held.quantity}
    return profit_paise(holdings, prices)


def figures(run: Run, profit: int | None) -> RunFigures:
    """Return what decides about a run; what is held of an entry that is not complete has its time too."""
    return RunFigures(
        entered_at=run.entered_at or run.created_at,
        profit_paise=profit,
        trailing=TrailingState(run.trailing_active, run.peak_paise or 0, run.stop_paise),
        latches=frozenset(ExitRule(name) for name in run.latches),
        lots_filled=run.lots_filled or None,
        premium_paise=run.premium_value_paise,
        units=run.units or None,
    )


def run_limits(draft: LimitsDraft, product: str) -> RunLimits:
    """Return the domain's limits of what a person set; MIS leaves at 15:10 unless told otherwise.

    A rule whose figures make no sense is left out (``broken_rules`` names it): it must not switch off the others.
    """
    return _built(draft, product)[0]


def broken_rules(draft: LimitsDraft, product: str) -> tuple[str, ...]:
    """Return why rules were left out, in words."""
    return _built(draft, product)[1]


def _built(draft: LimitsDraft, product: str) -> tuple[RunLimits, tuple[str, ...]]:
    problems: list[str] = []

    def rule(name: str, make: Callable[[], Rule | None]) -> Rule | None:
        try:
            return make()
        except (DomainError, ValueError, ArithmeticError, KeyError) as error:
            problems.append(f"{name}: {error}")
            return None

    square_off = rule("square-off time", lambda: _time(draft.square_off_time))
    if square_off is None and product == Product.MIS:
        square_off = TimeLimit(MIS_SQUARE_OFF)
    limits = RunLimits(
        max_loss=rule("max loss", lambda: _limit(draft.max_loss, draft.max_loss_unit)),
        max_profit=rule("max profit", lambda: _limit(draft.max_profit, draft.max_profit_unit)),
        trailing=rule("trailing stop", lambda: _trailing(draft)),
        exit_time=rule("exit time", lambda: _time(draft.exit_time)),
        square_off_time=square_off,
    )
    return limits, tuple(problems)


def knowledge(changes: Pass, world: World, run: Run) -> dict[str, Any]:
    """Return what the engine knows about a run now: P, peak, stop, and each open leg's price with its age."""
    now = changes.now
    legs = []
    for key, held in changes.holdings(run.id).items():
        view = world.prices.view(market_of(run.owner_id, run.venue), (key.symbol, key.exchange))
        legs.append(
            {
                "account": world.accounts[key.account_id].facts.name if key.account_id in world.accounts else "",
                "account_id": key.account_id,
                "symbol": key.symbol,
                "quantity": held.quantity,
                "open_value": rupees(held.open_value_paise),
                "realised": rupees(held.realised_paise),
                "ltp": view.ltp if view else None,
                "tick_age_seconds": (now - view.tick_at).total_seconds() if view and view.tick_at else None,
                "quote_age_seconds": (now - view.quote_at).total_seconds() if view and view.quote_at else None,
                "confirmed": _price(changes, world, run, key) is not None,
            }
        )
    books = {
        account.facts.name: (now - account.books.begun_at).total_seconds() if account.books else None
        for row in changes.accounts_of(run.id)
        if (account := world.accounts.get(row.account_id)) is not None
    }
    profit = run_profit(changes, world, run)
    return {
        "profit": None if profit is None else rupees(profit),
        "peak": None if run.peak_paise is None else rupees(run.peak_paise),
        "stop": None if run.stop_paise is None else rupees(run.stop_paise),
        "premium_value": None if run.premium_value_paise is None else rupees(run.premium_value_paise),
        "legs": legs,
        "books_age_seconds": books,
    }


def _price(changes: Pass, world: World, run: Run, key: Key) -> float | None:
    return world.confirmed_price(run.owner_id, run.venue, (key.symbol, key.exchange), changes.now)


def _tell_broken(changes: Pass, world: World, run: Run, terms: StrategyTerms) -> None:
    """Alarm once a minute while a rule of the run is out of order; the other rules decide."""
    broken = broken_rules(terms.limits, str(run.resolved.get("product", "")))
    told = ("broken_rule", run.id, 0)
    if not broken or world.told_lately(told, changes.now):
        return
    changes.event(
        owner_id=run.owner_id,
        kind="engine_fault",
        action=str(ExitAction.ALERT_ONLY),
        message=f"not watched: {'; '.join(broken)}; the other rules decide",
        knew={"rules": list(broken)},
        run_id=run.id,
    )
    changes.after_commit.append(partial(world.note_told, told, changes.now))


def _keep(changes: Pass, run: Run, decision: Decision) -> None:
    trailing = decision.trailing
    latches = tuple(sorted(decision.latches))
    before = (run.trailing_active, run.stop_paise, run.latches)
    moved_peak = trailing.active and trailing.peak_paise != run.peak_paise
    if moved_peak or before != (trailing.active, trailing.stop_paise, latches):
        changes.put_run(
            replace(
                run,
                trailing_active=trailing.active,
                peak_paise=trailing.peak_paise if trailing.active else run.peak_paise,
                stop_paise=trailing.stop_paise,
                latches=latches,
            )
        )


def _alert(changes: Pass, world: World, run: Run, breach: Breach) -> None:
    changes.event(
        owner_id=run.owner_id,
        kind=breach.rule.risk_event,
        action=str(ExitAction.ALERT_ONLY),
        message=_words(breach),
        knew=knowledge(changes, world, run),
        run_id=run.id,
        threshold_paise=breach.threshold_paise,
        value_paise=breach.value_paise,
    )


def _words(breach: Breach) -> str:
    name = breach.rule.value.replace("_", " ")
    if breach.value_paise is not None and breach.threshold_paise is not None:
        return f"{name}: P {amounts.profit(breach.value_paise)} reached {amounts.profit(breach.threshold_paise)}"
    return f"{name} was due" + (f" at {breach.due_at:%H:%M} UTC" if breach.due_at else "")


def _limit(amount: float | None, unit: str) -> Limit | None:
    return None if amount is None else Limit(amount, LimitUnit(unit))


def _trailing(draft: LimitsDraft) -> TrailingLimit | None:
    if draft.trailing_kind is None or draft.trailing_value is None:
        return None
    return TrailingLimit(TrailingRule(_TRAILING[draft.trailing_kind], draft.trailing_value, draft.trailing_activate_at))


def _time(text: str | None) -> TimeLimit | None:
    return None if text is None else TimeLimit(time.fromisoformat(text))
