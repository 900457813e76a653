"""A run that nobody sees any more: an open leg without a price for 15 s in session is an event and an alarm (RULES 6).

The 15 s count from the last look at the leg, so that the alarm comes at most 16 s after its feed fell silent.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from engine.domain.instruments import Exchange, Key
from engine.domain.prices import BLIND_AFTER, OWN_TICK_AGE
from engine.domain.runs import Run
from engine.services.ledger import Pass
from engine.services.price_board import market_of
from engine.services.world import World

JUST_NOW = OWN_TICK_AGE + timedelta(seconds=2)
"""A look this young has only just become too old: the run saw until then."""


def watch(changes: Pass, world: World, run: Run, *, sighted: bool, knew: Callable[[], dict[str, Any]]) -> None:
    """Note whether a run sees its prices; after 15 s without, and when they are back, an event says so.

    ``sighted``: whether every open leg has a confirmed price; ``knew``: what the engine knows, made when it is told.
    """
    if sighted:
        _sees(changes, world, run, knew)
        return
    now, told = changes.now, run.id in world.blind_told
    dark = _dark_legs(changes, world, run)
    if not any(world.in_session(run.venue, Exchange(key.exchange), now) for key in dark):
        if not told:
            world.blind_since.pop(run.id, None)  # the 15 s are those of a session
        return
    since = world.blind_since.get(run.id)
    if since is None or since > now:
        since = world.blind_since[run.id] = _dark_since(world, run, dark, now)
    if told or now - since < BLIND_AFTER:
        return
    changes.after_commit.append(partial(world.blind_told.add, run.id))
    changes.event(
        owner_id=run.owner_id,
        kind="blind",
        action="alert_only",
        message=f"no confirmed price for an open leg for {int(BLIND_AFTER.total_seconds())} s: only time rules decide",
        knew=knew(),
        run_id=run.id,
    )


def forget(world: World, run: Run) -> None:
    """Forget that a run was blind: it has nothing open that a price could tell of."""
    world.blind_since.pop(run.id, None)
    world.blind_told.discard(run.id)


def _sees(changes: Pass, world: World, run: Run, knew: Callable[[], dict[str, Any]]) -> None:
    if run.id not in world.blind_told:
        world.blind_since.pop(run.id, None)
        return
    since = world.blind_since.get(run.id, changes.now)
    changes.event(
        owner_id=run.owner_id,
        kind="blind",
        action="alert_only",
        message=f"prices are confirmed again after {(changes.now - since).total_seconds():.0f} s: all rules decide",
        knew=knew(),
        run_id=run.id,
    )
    changes.after_commit.append(partial(forget, world, run))


def _dark_legs(changes: Pass, world: World, run: Run) -> list[Key]:
    return [
        key
        for key, held in changes.holdings(run.id).items()
        if held.quantity
        and world.confirmed_price(run.owner_id, run.venue, (key.symbol, Exchange(key.exchange)), changes.now) is None
    ]


def _dark_since(world: World, run: Run, dark: list[Key], now: datetime) -> datetime:
    """Return since when nothing was heard of a leg that has just gone dark; now, if it was dark before it counted."""
    market = market_of(run.owner_id, run.venue)
    since = now
    for key in dark:
        symbol = (key.symbol, Exchange(key.exchange))
        view, feed = world.prices.view(market, symbol), world.prices.feed(market, symbol[1], acknowledged=True)
        for at in (view.looked_at if view else None, feed.last_tick_on_exchange_at):
            if at is not None and timedelta(0) <= now - at <= JUST_NOW:
                since = min(since, at)
                break
    return since
