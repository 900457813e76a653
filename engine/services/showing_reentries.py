"""Legs that wait to enter again: for what price, until when, and how often they still may (RULES 7)."""

from __future__ import annotations

from engine.domain.instruments import Exchange
from engine.domain.reentry import Reentry, left_above, pause_until
from engine.domain.runs import Run
from engine.services.ledger import Pass
from engine.services.reentry import OpenTry, open_tries
from engine.services.risk_views import ReentryView
from engine.services.world import World


def reentry_views(changes: Pass, world: World, run: Run) -> list[ReentryView]:
    """Return the legs of a run that may enter again, by account and leg."""
    tries = sorted(open_tries(changes, world, run), key=lambda one: (world.shown(one.account_id), one.leg_index))
    return [_view(changes, world, run, one) for one in tries]


def _view(changes: Pass, world: World, run: Run, one: OpenTry) -> ReentryView:
    account, closed = world.accounts.get(one.account_id), one.closed
    symbol = (str(one.contract["symbol"]), Exchange(one.contract["exchange"]))
    at_cost, pause = one.kind is Reentry.AT_COST, pause_until(closed)
    return ReentryView(
        account_id=one.account_id,
        account=account.facts.name if account else f"account {one.account_id}",
        leg_index=one.leg_index,
        kind=one.kind,
        state=one.state,
        symbol=symbol[0],
        left=max(0, one.most - closed.done),
        most=one.most,
        price=closed.entry_price if at_cost else None,
        falls=at_cost and left_above(closed),
        ltp=world.confirmed_price(run.owner_id, run.venue, symbol, changes.now) if at_cost else None,
        until=one.until,
        not_before=pause if one.state == "waiting" and pause is not None and pause > changes.now else None,
        note=one.held_up,
    )
