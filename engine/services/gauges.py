"""How far each rule of a run is from acting: what the risk monitor shows (RULES 7)."""

from __future__ import annotations

from collections.abc import Iterator

from engine.domain.breaches import ExitRule, Switch, latch
from engine.domain.due_times import due_times
from engine.domain.instruments import Exchange
from engine.domain.leg_rules import LegFigures, stop_level, target_level
from engine.domain.rules import Limit, RunFigures, RunLimits, ScopeFigures, TrailingLimit, limit_paise, unmeasured
from engine.domain.runs import Run, RunState
from engine.services import amounts
from engine.services.knowledge import confirmed_prices
from engine.services.ledger import Pass
from engine.services.risk_views import GaugeView
from engine.services.rule_figures import run_figures
from engine.services.rule_terms import rule_terms
from engine.services.supertrend_exit import supertrend_view
from engine.services.terms import StrategyTerms
from engine.services.world import World

BLIND = "blind: an open leg has no confirmed price"
LEG_BLIND = "blind: no confirmed price"


def run_gauges(changes: Pass, world: World, run: Run, terms: StrategyTerms) -> list[GaugeView]:
    """Return one gauge for every rule of a run, switched off or not, in order of precedence.

    Rules of an account are there for each account that has something of the run, rules of a leg for each open leg.
    """
    if not run.resolved.get("legs"):
        return []
    rules = rule_terms(terms, str(run.resolved.get("product", "")))
    figures = run_figures(changes, run, confirmed_prices(changes, world, run))
    gauges = [
        *_on_profit(rules.limits, figures, run),
        *_on_trailing(rules.limits.trailing, figures, run),
        *(gauge for leg in figures.legs for gauge in _on_leg(rules.limits, leg, run)),
        *_on_supertrend(changes, world, run, terms, rules.supertrend),
        *_on_times(rules.limits, run, world),
    ]
    gauges.sort(key=lambda gauge: (ExitRule(gauge.rule).precedence, gauge.account_id or 0, gauge.leg_index or 0))
    return [
        gauge.model_copy(
            update={
                "account": _account_name(world, gauge.account_id),
                "latched": latch(ExitRule(gauge.rule), gauge.account_id, gauge.leg_index) in run.latches,
                "note": "the run is leaving" if run.state is RunState.EXITING else gauge.note,
            }
        )
        for gauge in gauges
    ]


def _on_profit(limits: RunLimits, figures: RunFigures, run: Run) -> Iterator[GaugeView]:
    why = dict(unmeasured(limits, figures))
    scopes: list[tuple[Limit | None, Limit | None, RunFigures | ScopeFigures]] = [
        (limits.max_loss, limits.max_profit, figures),
        *((limits.account_max_loss, limits.account_max_profit, one) for one in figures.accounts),
    ]
    for loss, profit, scope in scopes:
        account_id = scope.account_id if isinstance(scope, ScopeFigures) else None
        for rule, limit, sign in ((ExitRule.MAX_LOSS, loss, -1), (ExitRule.MAX_PROFIT, profit, 1)):
            if limit is None:
                continue
            size = limit_paise(limit, lots_filled=scope.lots_filled, premium_paise=scope.premium_paise)
            value = scope.profit_paise
            yield GaugeView(
                rule=rule,
                scope="run" if account_id is None else "account",
                account_id=account_id,
                threshold_paise=None if size is None else sign * size,
                value_paise=value,
                used=None if size is None or value is None else _part(sign * value, size),
                enabled=limit.enabled,
                action=limit.action,
                note=_note(run, why.get(latch(rule, account_id), ""), blind=value is None),
            )


def _on_trailing(limit: TrailingLimit | None, figures: RunFigures, run: Run) -> Iterator[GaugeView]:
    if limit is None:
        return
    state, value = figures.trailing, figures.profit_paise
    why = dict(unmeasured(RunLimits(trailing=limit), figures)).get(ExitRule.TRAILING_SL.value, "")
    note = _note(run, why, blind=value is None)
    if not note and not state.active and (start := limit.rule.active_from_paise) is not None:
        note = f"active from a profit of {amounts.profit(start)}"
    used = None
    if state.active and state.stop_paise is not None and value is not None:
        used = _part(state.peak_paise - value, state.peak_paise - state.stop_paise)
    yield GaugeView(
        rule=ExitRule.TRAILING_SL,
        threshold_paise=state.stop_paise,
        value_paise=value,
        used=used,
        enabled=limit.enabled,
        action=limit.action,
        note=note,
    )


def _on_leg(limits: RunLimits, leg: LegFigures, run: Run) -> Iterator[GaugeView]:
    own = limits.legs.of(leg.leg_index)
    stop = stop_level(own.stop, leg.average, bought=leg.bought, at_cost=leg.at_cost)
    target = target_level(own.target, leg.average, bought=leg.bought)
    for rule, switch, level in (
        (ExitRule.LEG_SL, limits.legs.stop, stop),
        (ExitRule.LEG_TARGET, limits.legs.target, target),
    ):
        if level is None:
            continue
        note = _note(run, "", blind=leg.price is None, words=LEG_BLIND)
        yield GaugeView(
            rule=rule,
            scope="leg",
            account_id=leg.account_id,
            leg_index=leg.leg_index,
            symbol=leg.symbol,
            threshold_price=level,
            price=leg.price,
            used=None if leg.price is None else _way(leg, level, rising=leg.bought is (rule is ExitRule.LEG_TARGET)),
            enabled=switch.enabled,
            action=switch.action,
            note=note or ("moved to cost" if rule is ExitRule.LEG_SL and leg.at_cost else ""),
        )


def _on_supertrend(changes: Pass, world: World, run: Run, terms: StrategyTerms, switch: Switch) -> Iterator[GaugeView]:
    view = supertrend_view(changes, world, run, terms)
    if view is None:
        return
    note = view.note or (f"warming: {view.bars} of {view.needed} bars" if view.state == "warming" else view.state)
    yield GaugeView(rule=ExitRule.SUPERTREND, enabled=switch.enabled, action=switch.action, note=note)


def _on_times(limits: RunLimits, run: Run, world: World) -> Iterator[GaugeView]:
    exchange = Exchange(run.resolved["legs"][0]["exchange"])
    dues = due_times(limits, run.entered_at or run.created_at, world.calendar(run.venue), exchange)
    for rule, limit, due in dues:
        yield GaugeView(rule=rule, due_at=due, enabled=limit.enabled, action=limit.action)


def _note(run: Run, unmeasured_why: str, *, blind: bool, words: str = BLIND) -> str:
    if blind:
        return words
    if unmeasured_why and run.state is RunState.ENTERING:
        return "the entry is not complete"
    return f"nothing to measure by: {unmeasured_why}" if unmeasured_why else ""


def _way(leg: LegFigures, level: float, *, rising: bool) -> float:
    """Return how much of the way from entry to level a price went; of a level at cost, how near the price is to it."""
    price = leg.price or 0.0
    if (level - leg.average > 0) is rising and level != leg.average:
        return _clipped((price - leg.average) / (level - leg.average))
    return _clipped(price / level if rising else level / price)


def _part(value: int, whole: int) -> float:
    return _clipped(value / whole) if whole else float(value >= 0)


def _clipped(part: float) -> float:
    return min(1.0, max(0.0, part))


def _account_name(world: World, account_id: int | None) -> str:
    if account_id is None:
        return ""
    account = world.accounts.get(account_id)
    return account.facts.name if account else f"account {account_id}"
