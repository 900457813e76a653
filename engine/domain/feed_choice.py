"""Which account gives a market's prices: the primary, else the next healthy one, and back (RULES 1, DESIGN 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

GONE_AFTER = timedelta(seconds=2)
"""A server or a feed that is away for longer is left."""
SILENT_AFTER = timedelta(seconds=5)
"""A feed that told no new price for this long is left, if quotes moved meanwhile ..."""
MOVED_FOR = timedelta(seconds=1)
"""... and did so this long ago: a tick and a quote of one trade may come one after the other."""
SILENT_UNSEEN_AFTER = timedelta(seconds=15)
"""A feed without any tick for this long is left, if no quote says that the market is quiet."""
QUOTES_FRESH = timedelta(seconds=5)
BACK_AFTER = timedelta(seconds=30)
"""How long the primary must be healthy before prices come back to it."""
MOST_PATIENCE = timedelta(minutes=5)
LED_WELL = timedelta(minutes=2)
NOT_AGAIN_FOR = timedelta(minutes=5)
"""A feed left for its silence is not chosen again for this long, unless the others are worse."""
FIRST_WAIT = timedelta(seconds=3)
"""At the start the primary has this long to come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An account as a source of prices.

    ``healthy_since``: its server answers and its feed stands since, None: not now; ``away_since``: the opposite, in
    the words ``why_away``; ``silent_at``: when it was last left for its silence; ``patience``: how long it must be
    healthy before prices come back to it.
    """

    account_id: int
    is_primary: bool = False
    priority: int = 0
    healthy_since: datetime | None = None
    away_since: datetime | None = None
    why_away: str = ""
    silent_at: datetime | None = None
    patience: timedelta = BACK_AFTER

    @property
    def rank(self) -> tuple[bool, int, int]:
        """The order in which accounts are asked: the primary, then by priority, then by id."""
        return (not self.is_primary, self.priority, self.account_id)

    def barred(self, now: datetime) -> bool:
        """Whether it was left for its silence lately."""
        return self.silent_at is not None and timedelta(0) <= now - self.silent_at < NOT_AGAIN_FOR


@dataclass(frozen=True, slots=True)
class Choice:
    """Who shall give the prices and why, in words; ``account_id`` None: nobody can. ``silent``: the former was mute."""

    account_id: int | None
    why: str = ""
    silent: bool = False


def silence(
    now: datetime, *, news_at: datetime, tick_at: datetime, moved_at: datetime | None, quoted_at: datetime | None
) -> str:
    """Return why a feed that is connected is taken for mute or frozen, in words; empty if it is not.

    ``news_at``: the last tick in session that told a new price, ``tick_at``: the last one at all, or when the waiting
    for one began; ``moved_at``: when quotes first showed another price since; ``quoted_at``: the newest read of
    quotes. Quotes that do not move tell of a quiet market, not of a mute feed.
    """
    still_for, quiet_for = now - news_at, now - tick_at
    if moved_at is not None and still_for >= SILENT_AFTER and now - moved_at >= MOVED_FOR:
        return f"no new price for {still_for.total_seconds():.0f} s while quotes moved"
    quoted = quoted_at is not None and now - quoted_at < QUOTES_FRESH
    if quiet_for >= SILENT_UNSEEN_AFTER and not quoted:
        return f"no tick for {quiet_for.total_seconds():.0f} s and no quotes"
    return ""


def choose(
    sources: Sequence[Source], *, leader: int | None, begun_at: datetime | None, silent: str, now: datetime
) -> Choice:
    """Return who shall give the prices; the same as ``leader`` if nothing is to change.

    ``begun_at``: since when the first choice is waited for, None if it was made; ``silent``: why the leader's feed is
    taken for mute (``silence``), empty if it is not. A leader that is away is left after 2 s; a mute one only for one
    that was not mute lately; the primary leads again once it was healthy for its patience.
    """
    ranked = sorted(sources, key=lambda source: source.rank)
    healthy = [source for source in ranked if source.healthy_since is not None]
    best = min(healthy, key=lambda source: (source.barred(now), source.rank), default=None)
    current = next((source for source in ranked if source.account_id == leader), None)
    if leader is None:
        waits = begun_at is not None and timedelta(0) <= now - begun_at < FIRST_WAIT
        return Choice(None) if best is None or (waits and best is not ranked[0]) else Choice(best.account_id)
    if current is None:
        return Choice(best.account_id if best else None, "it is not in use any more")
    if current.healthy_since is None:
        away = now - (current.away_since or now)
        if timedelta(0) <= away <= GONE_AFTER:
            return Choice(leader)
        return Choice(best.account_id if best else None, current.why_away)
    others = [source for source in healthy if source is not current and not source.barred(now)]
    if silent:
        return Choice(others[0].account_id, silent, silent=True) if others else Choice(leader)
    home = ranked[0]
    if home in others and home.healthy_since is not None and now - home.healthy_since >= home.patience:
        return Choice(home.account_id, f"it has been well for {home.patience.total_seconds():.0f} s")
    return Choice(leader)


def patience_after(patience: timedelta, *, led_for: timedelta) -> timedelta:
    """Return how long an account that came back and failed again must be healthy before it comes back once more.

    Twice as long as before if it led for less than 2 minutes, at most 5 minutes; otherwise 30 s.

    >>> [patience_after(timedelta(seconds=s), led_for=timedelta(seconds=40)).seconds for s in (30, 60, 200)]
    [60, 120, 300]
    >>> patience_after(timedelta(seconds=240), led_for=timedelta(hours=1)).seconds
    30
    """
    return BACK_AFTER if led_for >= LED_WELL else min(2 * patience, MOST_PATIENCE)
