"""Prices that are doubted are told of, where a run depends on them (law 7)."""

from __future__ import annotations

from functools import partial

from engine.domain.instruments import Exchange
from engine.services.ledger import Pass
from engine.services.messages import Symbol
from engine.services.price_board import market_of
from engine.services.world import World


def tell(changes: Pass, world: World, owner_id: int, venue: str) -> None:
    """Record that a price of something held is doubted, at most once a minute per symbol.

    A first tick waits for its second look at every start: that is told only where a good price contradicts it.
    """
    now, market = changes.now, market_of(owner_id, venue)
    for symbol, doubt in world.prices.doubts(market).items():
        told = ("price_doubted", market, symbol)
        view = world.prices.view(market, symbol)
        if view is None or view.ltp is None or world.told_lately(told, now):
            continue
        if not (runs := _runs_with(changes, owner_id, venue, symbol)):
            continue
        last = view.ltp
        changes.event(
            owner_id=owner_id,
            kind="price_doubted",
            action="alert_only",
            message=f"{symbol[0]} at {doubt.price:,.2f} after {last:,.2f} is not believed until a second look agrees",
            knew={
                "venue": venue,
                "symbol": symbol[0],
                "exchange": str(symbol[1]),
                "doubted": doubt.price,
                "last_good": last,
                "last_good_age_seconds": (now - at).total_seconds() if (at := view.looked_at) else None,
                "ticks": doubt.ticks,
                "runs": runs,
                "doubted_looks_since_start": world.prices.doubted_looks,
            },
            run_id=runs[0] if len(runs) == 1 else None,
        )
        changes.after_commit.append(partial(world.note_told, told, now))


def _runs_with(changes: Pass, owner_id: int, venue: str, symbol: Symbol) -> list[int]:
    """Return the open runs of a user at a venue that hold something of a symbol."""
    return [
        run.id
        for run in changes.open_runs()
        if (run.owner_id, run.venue) == (owner_id, venue)
        and any(
            (key.symbol, Exchange(key.exchange)) == symbol and held.quantity
            for key, held in changes.holdings(run.id).items()
        )
    ]
