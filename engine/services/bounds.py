"""From the rules of a run to the rows of its guard: P of the run and of each account, each leg's price (DESIGN 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from engine.domain.guard import Form, Place
from engine.domain.instruments import Key
from engine.domain.pnl import Holding
from engine.domain.rule_bounds import Bounds, profit_bounds
from engine.domain.runs import Run, RunState
from engine.services.ledger import Pass
from engine.services.price_board import market_of
from engine.services.rule_figures import run_figures
from engine.services.rule_terms import rule_terms
from engine.services.world import World

_WATCHED = frozenset({RunState.ENTERING, RunState.OPEN})


def forms_of(changes: Pass, world: World, run: Run) -> list[Form]:
    """Return the rows of a run: strictly within their bounds its rules on prices change nothing; ended runs have none.

    Whoever waits for something else (a time, books, an answer) is judged in turn, not by a price.
    """
    holdings = changes.holdings(run.id)
    if run.state not in _WATCHED or not any(held.quantity for held in holdings.values()):
        return []
    limits = rule_terms(world.terms_of(run.version_id), str(run.resolved.get("product", ""))).limits
    return _profit_form(run, holdings, profit_bounds(limits, run_figures(changes, run, {})))


def _profit_form(run: Run, holdings: Mapping[Key, Holding], bounds: Bounds) -> list[Form]:
    """Return P of some holdings as a row, none where no P changes anything."""
    low, high = bounds
    if low is None and high is None:
        return []
    terms: dict[Place, int] = {}
    market = market_of(run.owner_id, run.venue)
    open_keys = [key for key, held in holdings.items() if held.quantity]
    for key in open_keys:
        place = (market, (key.symbol, key.exchange))
        terms[place] = terms.get(place, 0) + holdings[key].quantity
    base = sum(held.sell_value_paise - held.buy_value_paise for held in holdings.values())
    return [
        Form(
            base,
            terms,
            -math.inf if low is None else low,
            math.inf if high is None else high,
            positions=len(open_keys),
        )
    ]


def of_account(holdings: Mapping[Key, Holding], account_id: int) -> dict[Key, Holding]:
    """Return what a run holds on one account."""
    return {key: held for key, held in holdings.items() if key.account_id == account_id}


def symbols_in(forms: Iterable[Form]) -> set[Place]:
    """Return whose prices the rows need."""
    return {place for form in forms for place in form.terms}
