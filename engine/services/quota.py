"""How often a user may ask for what reaches a broker (DESIGN 9): in memory, or in Redis when several servers run."""

from __future__ import annotations

from limits import RateLimitItemPerMinute
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from engine.services.errors import TooManyRequests
from engine.services.identity import Caller

DATA_PER_MINUTE = 100
HEAVY_PER_MINUTE = 20


class Quota:
    """Counts a user's requests of the last minute."""

    def __init__(self, redis_url: str = "") -> None:
        self._limiter = MovingWindowRateLimiter(storage_from_string(redis_url or "memory://"))

    def take_data(self, caller: Caller) -> None:
        """Count a read that reaches a broker; raises TooManyRequests beyond 100 a minute."""
        self._take(caller, "data", DATA_PER_MINUTE)

    def take_heavy(self, caller: Caller) -> None:
        """Count a connection test or the like; raises TooManyRequests beyond 20 a minute."""
        self._take(caller, "heavy", HEAVY_PER_MINUTE)

    def _take(self, caller: Caller, kind: str, amount: int) -> None:
        if not self._limiter.hit(RateLimitItemPerMinute(amount), kind, str(caller.user_id)):
            raise TooManyRequests(
                f"More than {amount} requests of this kind in a minute. Wait a moment, then try again."
            )
