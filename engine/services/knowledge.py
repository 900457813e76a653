"""What the engine knows of a run now: its prices, its P, and what an event keeps of both (RULES 6, 7)."""

from __future__ import annotations

from typing import Any

from engine.domain.instruments import Key
from engine.domain.money import rupees
from engine.domain.pnl import profit_paise
from engine.domain.runs import Run
from engine.services.ledger import Pass
from engine.services.price_board import market_of
from engine.services.world import World


def confirmed_prices(changes: Pass, world: World, run: Run) -> dict[Key, float | None]:
    """Return the price (₹) that rules may use of each open key of a run; None: there is none (RULES 6, law 7)."""
    return {
        key: world.confirmed_price(run.owner_id, run.venue, (key.symbol, key.exchange), changes.now)
        for key, held in changes.holdings(run.id).items()
        if held.quantity
    }


def run_profit(changes: Pass, world: World, run: Run, *, account_id: int | None = None) -> int | None:
    """Return P of a run (paise), or of one account of it; None if an open leg has no confirmed price."""
    holdings = {
        key: held
        for key, held in changes.holdings(run.id).items()
        if account_id is None or key.account_id == account_id
    }
    prices = {
        key: world.confirmed_price(run.owner_id, run.venue, (key.symbol, key.exchange), changes.now)
        for key, held in holdings.items()
        if held.quantity
    }
    return profit_paise(holdings, prices)


def knowledge(changes: Pass, world: World, run: Run) -> dict[str, Any]:
    """Return what the engine knows about a run now: P, peak, stop, and each open leg's price with its age."""
    now = changes.now
    prices = confirmed_prices(changes, world, run)
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
                "confirmed": prices.get(key) is not None,
            }
        )
    books = {
        account.facts.name: (now - account.books.begun_at).total_seconds() if account.books else None
        for row in changes.accounts_of(run.id)
        if (account := world.accounts.get(row.account_id)) is not None
    }
    profit = profit_paise(changes.holdings(run.id), prices)
    return {
        "profit": None if profit is None else rupees(profit),
        "peak": None if run.peak_paise is None else rupees(run.peak_paise),
        "stop": None if run.stop_paise is None else rupees(run.stop_paise),
        "premium_value": None if run.premium_value_paise is None else rupees(run.premium_value_paise),
        "legs": legs,
        "books_age_seconds": books,
    }
