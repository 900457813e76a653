"""From the rules of a run to the rows of its guard: P of the run and of each account, each leg's price (DESIGN 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from engine.domain.guard import Form, Place
from engine.domain.instruments import Key
from engine.domain.leg_rules import LegFigures, LegRules, leg_price_bounds
from engine.domain.pnl import Holding
from engine.domain.rule_bounds import Bounds, account_bounds, profit_bounds
from engine.domain.runs import Run
from engine.services.ledger import Pass
from engine.services.monitor import WATCHED
from engine.services.price_board import market_of
from engine.services.rule_figures import run_figures
from engine.services.rule_terms import rule_terms
from engine.services.world import World

PART_OF_A_PAISA = 1e-6
"""A leg's level may lie between two paise: it is reached so much earlier, which costs a look and hides nothing."""


def forms_of(changes: Pass, world: World, run: Run) -> list[Form]:
    """Return the rows of a run: strictly within their bounds its rules on prices change nothing; ended runs have none.

    Whoever waits for something else (a time, books, an answer) is judged in turn, not by a price.
    """
    holdings = changes.holdings(run.id)
    if run.state not in WATCHED or not any(held.quantity for held in holdings.values()):
        return []
    limits = rule_terms(world.terms_of(run.version_id), str(run.resolved.get("product", ""))).limits
    figures, market = run_figures(changes, run, {}), market_of(run.owner_id, run.venue)
    forms = _profit_form(market, holdings, profit_bounds(limits, figures))
    if limits.account_max_loss is not None or limits.account_max_profit is not None:
        for account in figures.accounts:
            mine = {key: held for key, held in holdings.items() if key.account_id == account.account_id}
            forms += _profit_form(market, mine, account_bounds(limits, account, run.latches))
    return forms + _leg_forms(market, holdings, limits.legs, figures.legs, run.latches)


def _profit_form(market: str, holdings: Mapping[Key, Holding], bounds: Bounds) -> list[Form]:
    """Return P of some holdings as a row, none where no P changes anything."""
    low, high = bounds
    if low is None and high is None:
        return []
    terms: dict[Place, int] = {}
    held_keys = [key for key, held in holdings.items() if held.quantity]
    for key in held_keys:
        place = (market, (key.symbol, key.exchange))
        terms[place] = terms.get(place, 0) + holdings[key].quantity
    base = sum(held.sell_value_paise - held.buy_value_paise for held in holdings.values())
    return [
        Form(
            base,
            terms,
            -math.inf if low is None else low,
            math.inf if high is None else high,
            positions=len(held_keys),
        )
    ]


def _leg_forms(
    market: str,
    holdings: Mapping[Key, Holding],
    rules: LegRules,
    legs: Iterable[LegFigures],
    latches: tuple[str, ...],
) -> list[Form]:
    """Return the price of each contract that a leg's rule waits for; one row where accounts hold the same."""
    exchanges = {(key.account_id, key.symbol): key.exchange for key in holdings}
    found: dict[Place, tuple[float, float]] = {}
    for leg in legs:
        low, high = leg_price_bounds(rules, leg, latches)
        if low is None and high is None:
            continue
        place = (market, (leg.symbol, exchanges[leg.account_id, leg.symbol]))
        lowest, highest = found.get(place, (-math.inf, math.inf))
        found[place] = (
            lowest if low is None else max(lowest, low * 100 + PART_OF_A_PAISA),
            highest if high is None else min(highest, high * 100 - PART_OF_A_PAISA),
        )
    return [Form(0.0, {place: 1}, low, high) for place, (low, high) in found.items()]
