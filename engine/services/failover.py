"""Market data of a market comes from one account; when that fails the next gives it, and back (RULES 1, DESIGN 2).

Only market data: books and orders never move to another account. Who gives the prices is known in memory only; every
change is an event.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from engine.domain.feed_choice import Choice, Source, choose, patience_after, silence
from engine.services.connection import venue_name
from engine.services.data_leaders import Health, Leading
from engine.services.ledger import Pass
from engine.services.price_board import market_of
from engine.services.risk_views import FeedView
from engine.services.world import Account, World

JUDGED_EVERY = timedelta(seconds=0.2)
NOBODY = "no account"


def judge(changes: Pass, world: World) -> None:
    """Choose who gives each market's prices, and record every change of it."""
    now, data = changes.now, world.data
    if data.judged_at is not None and timedelta(0) <= now - data.judged_at < JUDGED_EVERY:
        return
    data.judged_at = now
    for gone in data.health.keys() - world.accounts.keys():
        del data.health[gone]
    markets: dict[tuple[int, str], list[Account]] = {}
    for account in world.accounts.values():
        _note_health(data.health.setdefault(account.id, Health()), account, now)
        markets.setdefault((account.facts.owner_id, account.facts.venue), []).append(account)
    for (owner_id, venue), accounts in markets.items():
        _judge_market(changes, world, owner_id, venue, accounts)


def _note_health(health: Health, account: Account, now: datetime) -> None:
    if account.connected and account.feed == "connected":
        health.healthy_since, health.away_since = health.healthy_since or now, None
    else:
        health.healthy_since, health.away_since = None, health.away_since or now


def _judge_market(changes: Pass, world: World, owner_id: int, venue: str, accounts: list[Account]) -> None:
    now, data, market = changes.now, world.data, market_of(owner_id, venue)
    begun_at = data.begun_at.setdefault(market, now)
    leading = data.leading.get(market)
    leader = leading.account_id if leading else None
    choice = choose(
        [_source(account, data.health[account.id]) for account in accounts],
        leader=leader,
        begun_at=None if leading else begun_at,
        silent=_silence(world, market, venue, leading, now),
        now=now,
    )
    if choice.account_id != leader:
        leading = Leading(choice.account_id, now, choice.why, back=bool(leading) and _is_home(world, accounts, choice))
        changes.after_commit.append(partial(_lead, world, market, leading, choice))
    if leading is not None:
        _tell(changes, world, owner_id, venue, leading)


def _source(account: Account, health: Health) -> Source:
    return Source(
        account_id=account.id,
        is_primary=account.facts.is_primary,
        priority=account.facts.priority,
        healthy_since=health.healthy_since,
        away_since=health.away_since,
        why_away="its price feed is away" if account.connected else "its server does not answer",
        silent_at=health.silent_at,
        patience=health.patience,
    )


def _silence(world: World, market: str, venue: str, leading: Leading | None, now: datetime) -> str:
    """Return why the leader's feed is taken for mute, empty if nothing speaks for it or nothing is listened to."""
    data = world.data
    watched = world.watched.get(leading.account_id) if leading and leading.account_id is not None else None
    if leading is None or not watched:
        return ""
    if not any(world.in_session(venue, exchange, now) for exchange in {symbol[1] for symbol in watched}):
        data.closed_at[market] = now
        return ""
    waits = max(at for at in (leading.since, data.asked_at.get(market), data.closed_at.get(market)) if at is not None)
    return silence(
        now,
        news_at=max(waits, world.prices.last_news(market) or waits),
        tick_at=max(waits, world.prices.last_tick(market) or waits),
        moved_at=world.prices.moved_since_news(market),
        quoted_at=world.prices.last_quote(market),
    )


def _is_home(world: World, accounts: list[Account], choice: Choice) -> bool:
    return choice.account_id == min(accounts, key=lambda account: world.shown(account.id)).id


def _lead(world: World, market: str, leading: Leading, choice: Choice) -> None:
    """Note the new leader, and what the former one is worth from now on."""
    data, before = world.data, world.data.leading.get(market)
    former = data.health.get(before.account_id) if before and before.account_id is not None else None
    if before is not None and former is not None:
        if choice.silent:
            former.silent_at = leading.since
        if before.back and (choice.silent or former.healthy_since is None):
            former.patience = patience_after(former.patience, led_for=leading.since - before.since)
    data.lead(market, leading)


def _tell(changes: Pass, world: World, owner_id: int, venue: str, leading: Leading) -> None:
    """Record who gives the prices now if the newest event named another; the same change at most once a minute."""
    data, market = world.data, market_of(owner_id, venue)
    if market not in data.told:
        changes.after_commit.append(partial(data.told.__setitem__, market, leading.account_id))
        return
    before = data.told[market]
    told = ("failover", market, before, leading.account_id)
    if before == leading.account_id or world.told_lately(told, changes.now):
        return
    changes.event(
        owner_id=owner_id,
        kind="failover",
        action="alert_only",
        message=_words(world, venue, before, leading),
        knew={
            "venue": venue,
            "why": leading.why,
            "from": _state(world, before, changes.now),
            "to": _state(world, leading.account_id, changes.now),
            "seconds_without_tick": _age(world.prices.last_tick(market), changes.now),
        },
        account_id=leading.account_id,
    )
    changes.after_commit.append(partial(world.note_told, told, changes.now))
    changes.after_commit.append(partial(data.told.__setitem__, market, leading.account_id))


def _words(world: World, venue: str, before: int | None, leading: Leading) -> str:
    place, former, now = venue_name(venue), _name(world, before), _name(world, leading.account_id)
    if leading.account_id is None:
        return f"prices of {place} come from {NOBODY}: {former}: {leading.why}; quotes are asked where servers answer"
    if before is None:
        return f"prices of {place} come from {now} again: its server and its price feed are there"
    whose = now if leading.back else former
    again = " again" if leading.back else ""
    return f"prices of {place} come from {now}{again} instead of {former}: {whose}: {leading.why}"


def _name(world: World, account_id: int | None) -> str:
    if account_id is None:
        return NOBODY
    account = world.accounts.get(account_id)
    return account.facts.name if account else f"account {account_id}"


def _state(world: World, account_id: int | None, now: datetime) -> dict[str, Any] | None:
    account = world.accounts.get(account_id) if account_id is not None else None
    if account is None:
        return None
    health = world.data.health.get(account.id, Health())
    return {
        "account_id": account.id,
        "account": account.facts.name,
        "server": "answers" if account.connected else account.waits_for,
        "feed": account.feed,
        "healthy_seconds": _age(health.healthy_since, now),
        "away_seconds": _age(health.away_since, now),
        "acknowledged_symbols": len(account.acknowledged),
    }


def _age(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else (now - at).total_seconds()


def feed_views(_changes: Pass, world: World, owner_id: int) -> list[FeedView]:
    """Return who gives the prices of each venue of a user."""
    venues = sorted({one.facts.venue for one in world.accounts.values() if one.facts.owner_id == owner_id})
    return [_view(world, owner_id, venue) for venue in venues]


def _view(world: World, owner_id: int, venue: str) -> FeedView:
    market = market_of(owner_id, venue)
    leading = world.data.leading.get(market)
    account = world.accounts.get(leading.account_id) if leading and leading.account_id is not None else None
    problem = ""
    if leading is None:
        problem = "no account gave prices yet"
    elif account is None:
        problem = f"no account gives prices: {leading.why}"
    elif account.feed != "connected" or not account.connected:
        problem = "its price feed is away" if account.connected else "its server does not answer"
    return FeedView(
        venue=venue,
        account_id=account.id if account else None,
        account=account.facts.name if account else "",
        primary=account is not None and account.facts.is_primary,
        since=leading.since if leading else None,
        last_tick_at=world.prices.last_tick(market),
        problem=problem,
    )
