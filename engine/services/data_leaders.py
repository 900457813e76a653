"""Which account gives each market's prices now, and since when; none of it is needed to recover."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.domain.feed_choice import BACK_AFTER

HURRY = timedelta(seconds=0.5)
"""Between two polls for a price that is doubted."""


@dataclass(frozen=True, slots=True)
class Leading:
    """Who gives a market's prices, since when, and why; ``account_id`` None: nobody can. ``back``: they came back."""

    account_id: int | None
    since: datetime
    why: str = ""
    back: bool = False


@dataclass(slots=True)
class Health:
    """How one account is as a source of prices.

    ``healthy_since``: server and feed stand without a break since; ``away_since``: they do not; ``silent_at``: when it
    was left for its silence; ``patience``: how long it must be healthy before prices come back to it.
    """

    healthy_since: datetime | None = None
    away_since: datetime | None = None
    silent_at: datetime | None = None
    patience: timedelta = BACK_AFTER


@dataclass(slots=True)
class DataLeaders:
    """The account that gives prices, by market.

    ``changed_at``: when ticks of a market began to come from another account (not at the first choice): own bars have
    a gap there. ``told``: whom the newest event named. ``asked_at``: when the watched symbols last changed;
    ``closed_at``: when the market was last seen out of session; ``polls``, ``polled_at``: how often servers were asked
    for quotes, and when last. ``version`` grows with every change of a leader.
    """

    leading: dict[str, Leading] = field(default_factory=dict)
    changed_at: dict[str, datetime] = field(default_factory=dict)
    told: dict[str, int | None] = field(default_factory=dict)
    health: dict[int, Health] = field(default_factory=dict)
    begun_at: dict[str, datetime] = field(default_factory=dict)
    asked_at: dict[str, datetime] = field(default_factory=dict)
    closed_at: dict[str, datetime] = field(default_factory=dict)
    polls: dict[str, int] = field(default_factory=dict)
    polled_at: dict[str, datetime] = field(default_factory=dict)
    judged_at: datetime | None = None
    version: int = 0

    def leader(self, market: str) -> int | None:
        """Return the account that gives a market's prices, None if nobody does or nobody was chosen yet."""
        leading = self.leading.get(market)
        return None if leading is None else leading.account_id

    def lead(self, market: str, leading: Leading) -> None:
        """Note who gives a market's prices from now on."""
        if market in self.leading:
            self.changed_at[market] = leading.since
        self.leading[market] = leading
        self.version += 1

    def polled(self, market: str, now: datetime) -> None:
        """Note that a server was asked for quotes."""
        self.polls[market] = self.polls.get(market, 0) + 1
        self.polled_at[market] = now

    def may_hurry(self, market: str, now: datetime) -> bool:
        """Whether quotes may be asked for at once: the last poll was not just now."""
        return market not in self.polled_at or abs(now - self.polled_at[market]) >= HURRY
