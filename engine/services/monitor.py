"""Every open run against its rules: decided, written, and only then acted on (RULES 7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from engine.domain.breaches import Breach, ExitAction, ExitRule, first_exits
from engine.domain.exit_scopes import Scope
from engine.domain.instruments import Exchange
from engine.domain.leg_rules import LegFigures, moved_to_cost
from engine.domain.money import paise
from engine.domain.rules import Decision, RunFigures, RunLimits, decide, unmeasured
from engine.domain.runs import Run, RunState
from engine.services import amounts, blindness, supertrend_exit
from engine.services.exit_plans import TOLD_TAKEN_OVER, all_taken_over
from engine.services.exit_scopes import held_keys, kept_now, plan_over
from engine.services.exiting import open_plan
from engine.services.knowledge import confirmed_prices, knowledge
from engine.services.ledger import Pass
from engine.services.rule_figures import leg_memory, run_figures
from engine.services.rule_terms import RuleTerms, rule_terms
from engine.services.terms import StrategyTerms
from engine.services.world import World

WATCHED = frozenset({RunState.ENTERING, RunState.OPEN})
"""States of runs whose rules decide; in the others there is nothing yet, or it is leaving already."""


def watch_run(changes: Pass, world: World, run: Run, terms: StrategyTerms) -> None:
    """Decide about one run; what a rule needs later (peak, stop, latches, costs) is written before it is used."""
    if run.state not in WATCHED or not any(held.quantity for held in changes.holdings(run.id).values()):
        blindness.forget(world, run)
        return
    rules = rule_terms(terms, str(run.resolved.get("product", "")))
    figures = run_figures(changes, run, confirmed_prices(changes, world, run), rules.limits)
    sighted = figures.profit_paise is not None
    blindness.watch(changes, world, run, sighted=sighted, knew=lambda: knowledge(changes, world, run))
    _tell_broken(changes, world, run, rules, figures)
    decision = decide(
        rules.limits,
        figures,
        changes.now,
        calendar=world.calendar(run.venue),
        exchange=Exchange(run.resolved["legs"][0]["exchange"]),
        others=_others(changes, world, run, terms, rules),
    )
    alerts = [breach for breach in decision.breaches if not breach.exits]
    _keep(changes, run, decision, {breach.latch for breach in alerts})
    for breach in alerts:
        _alert(changes, world, run, breach)
    left = decision.breaches
    while exits := first_exits(left):
        leaving = {(one.account_id, leg) for one in exits for leg in (one.leg_index, *one.leaving.legs)}
        staying = [leg for leg in figures.legs if (leg.account_id, leg.leg_index) not in leaving]
        acted = [
            _act(
                changes,
                world,
                run,
                decision,
                breach,
                costs=moved_to_cost(rules.limits.legs, [breach], staying),
                legs=figures.legs,
            )
            for breach in exits
        ]
        if any(acted):
            break
        # what all of these would take is leaving already: they keep no narrower exit back
        left = tuple(breach for breach in left if breach not in exits)


def _others(changes: Pass, world: World, run: Run, terms: StrategyTerms, rules: RuleTerms) -> list[Breach]:
    """Return what is breached beside P, prices and times; its switch is that of the run's rules."""
    switch = rules.supertrend
    breach = supertrend_exit.judge(changes, world, run, terms) if switch.enabled else None
    return [] if breach is None else [replace(breach, action=switch.action, part=switch.part)]


def _keep(changes: Pass, run: Run, decision: Decision, told: set[str]) -> None:
    """Write what the rules remember: peak, stop, and the latches of the alerts that are ``told`` now."""
    trailing = decision.trailing
    latches = tuple(sorted({*run.latches, *told}))
    before = (run.trailing_active, run.stop_paise, tuple(sorted(run.latches)))
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


def _act(
    changes: Pass,
    world: World,
    run: Run,
    decision: Decision,
    breach: Breach,
    *,
    costs: Iterable[tuple[int, int]],
    legs: Iterable[LegFigures],
) -> bool:
    """Open the exit of a breach, latch its rule, and note with the run what it means for the legs.

    ``costs``: account and number of the legs that stay, whose stops move to their cost with it.

    Returns False where all that it would take is leaving already: its rule has not acted and is not latched.
    """
    leaving, closed = breach.leaving, _closed(changes, run, breach, legs)
    there = {row.account_id for row in changes.accounts_of(run.id)}
    accounts = tuple(account_id for account_id in leaving.account_ids if account_id in there)
    if leaving.account_ids and not accounts:
        _alert(changes, world, run, breach, note="none of the accounts it closes is in this run")
        _latch(changes, run, breach, {})
        return True
    if not _is_there(changes, run, accounts, leaving.legs):
        _tell_nothing_there(changes, world, run, breach)
        return False
    if all_taken_over(changes, run, accounts):
        _tell_taken_over(changes, world, run, breach)
        return False
    plan = open_plan(
        changes,
        changes.run(run.id),
        kind=breach.rule.risk_event,
        message=_words(run, breach),
        knew=_knew(changes, world, run, decision, breach, costs=costs),
        account_ids=accounts,
        leg_indexes=leaving.legs,
        share=leaving.share,
        threshold_paise=_threshold(breach),
        value_paise=_value(breach),
    )
    if plan is None:
        return False
    noted: dict[str, dict[str, Any]] = {}
    for account_id, leg_index in costs:
        noted[f"{account_id}:{leg_index}"] = {**leg_memory(run, account_id, leg_index), "at_cost": True}
    _latch(changes, run, breach, noted | closed)
    return True


def _is_there(changes: Pass, run: Run, accounts: tuple[int, ...], legs: tuple[int, ...]) -> bool:
    """Whether the run holds something of these accounts and legs (empty: all), or an order of it may still fill."""
    scope = Scope(frozenset(accounts), frozenset(legs))
    return any(scope.covers(held) for held in held_keys(changes, run))


def _tell_nothing_there(changes: Pass, world: World, run: Run, breach: Breach) -> None:
    """Alarm once a minute while a rule is breached and nothing of what it closes is held: it is not latched by that."""
    told = ("nothing_there", run.id, breach.latch)
    if not world.told_lately(told, changes.now):
        _alert(changes, world, run, breach, note="nothing of what it closes is held")
        changes.after_commit.append(partial(world.note_told, told, changes.now))


def _tell_taken_over(changes: Pass, world: World, run: Run, breach: Breach) -> None:
    """Tell once that a rule is breached where a person has every account; it acts when one of them is given back."""
    watch = changes.run(run.id).watch
    if breach.latch in watch.get(TOLD_TAKEN_OVER, ()):
        return
    _alert(changes, world, run, breach, note="nobody acts: every account it closes is taken over by hand")
    told = sorted({*watch.get(TOLD_TAKEN_OVER, ()), breach.latch})
    changes.put_run(replace(changes.run(run.id), watch=watch | {TOLD_TAKEN_OVER: told}))


def _latch(changes: Pass, run: Run, breach: Breach, noted: dict[str, dict[str, Any]]) -> None:
    """Write that a rule acted, and what the run remembers of its legs since."""
    now = changes.run(run.id)
    watch = now.watch | {"legs": {**now.watch.get("legs", {}), **noted}} if noted else now.watch
    changes.put_run(replace(now, latches=tuple(sorted({*now.latches, breach.latch})), watch=watch))


def _closed(changes: Pass, run: Run, breach: Breach, legs: Iterable[LegFigures]) -> dict[str, dict[str, Any]]:
    """Return what is remembered of a leg that its own rule takes out by itself, whole: it may enter again.

    ``units``: what it has now and is not leaving already, so that it enters again with no more.
    """
    account_id, leg_index, leaving = breach.account_id, breach.leg_index, breach.leaving
    if account_id is None or leg_index is None or leg_index not in leaving.legs or leaving.share is not None:
        return {}
    leg = [leg for leg in legs if (leg.account_id, leg.leg_index) == (account_id, leg_index)][-1]
    memory = {name: value for name, value in leg_memory(run, account_id, leg_index).items() if name != "at_cost"}
    return {
        f"{account_id}:{leg_index}": {
            **memory,
            "closed_by": str(breach.rule),
            "closed_at": changes.now.isoformat(),
            "entry_price": leg.average,
            "units": sum(
                abs(
                    held.quantity
                    if plan_over(changes, run, key) is None
                    else kept_now(changes, run, key, held.quantity)
                )
                for key, held in changes.holdings(run.id).items()
                if (key.account_id, key.symbol) == (account_id, leg.symbol)
            ),
        }
    }


def _knew(
    changes: Pass, world: World, run: Run, decision: Decision, breach: Breach, *, costs: Iterable[tuple[int, int]] = ()
) -> dict[str, Any]:
    """Return what an event of a breach keeps: what the engine knew, the rule's scope, what was breached with it."""
    knew = knowledge(changes, world, changes.run(run.id)) | _scope(breach)
    if also := [one.latch for one in decision.breaches if one is not breach]:
        knew["also_breached"] = also
    if moved := [{"account_id": account_id, "leg": leg_index} for account_id, leg_index in costs]:
        knew["moved_to_cost"] = moved
    return knew | (supertrend_exit.knowledge(run) if breach.rule is ExitRule.SUPERTREND else {})


def _scope(breach: Breach) -> dict[str, Any]:
    scope = {
        "rule": breach.latch,
        "account_id": breach.account_id,
        "leg": breach.leg_index,
        "threshold_price": breach.threshold_price,
        "price": breach.price,
        "due_at": breach.due_at.isoformat() if breach.due_at else None,
    }
    return {name: value for name, value in scope.items() if value is not None}


def _alert(changes: Pass, world: World, run: Run, breach: Breach, *, note: str = "") -> None:
    changes.event(
        owner_id=run.owner_id,
        kind=breach.rule.risk_event,
        action=str(ExitAction.ALERT_ONLY),
        message=f"{_words(run, breach)}{f'; {note}' if note else ''}",
        knew=knowledge(changes, world, run) | _scope(breach),
        run_id=run.id,
        account_id=breach.account_id,
        threshold_paise=_threshold(breach),
        value_paise=_value(breach),
    )


def _words(run: Run, breach: Breach) -> str:
    if breach.rule is ExitRule.SUPERTREND:
        return supertrend_exit.words(run)
    name = breach.rule.value.replace("_sl", "_stop").replace("_", " ")
    if breach.price is not None and breach.threshold_price is not None:
        return f"{name} of leg {breach.leg_index}: ₹{breach.price:,.2f} reached ₹{breach.threshold_price:,.2f}"
    if breach.value_paise is not None and breach.threshold_paise is not None:
        where = "" if breach.account_id is None else " on one account"
        reached = f"P {amounts.profit(breach.value_paise)} reached {amounts.profit(breach.threshold_paise)}"
        return f"{name}{where}: {reached}"
    return f"{name} was due" + (f" at {breach.due_at:%H:%M} UTC" if breach.due_at else "")


def _threshold(breach: Breach) -> int | None:
    return breach.threshold_paise if breach.threshold_price is None else paise(breach.threshold_price)


def _value(breach: Breach) -> int | None:
    return breach.value_paise if breach.price is None else paise(breach.price)


def _tell_broken(changes: Pass, world: World, run: Run, rules: RuleTerms, figures: RunFigures) -> None:
    """Alarm once a minute while a rule of the run is out of order, or measured by what the entry did not give."""
    broken = [*rules.problems, *(_unmeasured(rules.limits, figures) if run.state is RunState.OPEN else ())]
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


def _unmeasured(limits: RunLimits, figures: RunFigures) -> list[str]:
    return [
        f"{name.replace('@', ' on account ').replace('_', ' ')}: {why}" for name, why in unmeasured(limits, figures)
    ]
