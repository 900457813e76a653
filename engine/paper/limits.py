"""Rate limits: a moving window per client address, endpoint and account.

OpenAlgo counts per client address and endpoint, and serves one account. This exchange serves many: each account counts
as the server of its own that it stands for, unless the scope is set to ``address``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

ORDER_CALLS = (
    "placeorder",
    "modifyorder",
    "cancelorder",
    "placesmartorder",
    "optionsorder",
    "optionsmultiorder",
    "placegttorder",
    "modifygttorder",
    "cancelgttorder",
)
SCOPES = ("account", "address")
SWEEP_AT = 4_096
"""So many windows may be remembered before those that are over are forgotten."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many calls within a window; ``words`` is what OpenAlgo says about one too many."""

    calls: int
    seconds: float
    words: str


OTHERS = Limit(50, 1.0, "50 per 1 second")
LIMITS = {name: Limit(10, 1.0, "10 per 1 second") for name in ORDER_CALLS}
LIMITS["optiongreeks"] = Limit(30, 60.0, "30 per 1 minute")
LONGEST_SECONDS = max(limit.seconds for limit in LIMITS.values())


@dataclass(slots=True)
class RateLimits:
    """Counts the calls of each window. ``scope`` is ``account`` or ``address``."""

    enabled: bool = True
    scope: str = "account"
    _calls: dict[tuple[str, str, str], deque[float]] = field(default_factory=dict)

    def refused(self, address: str, endpoint: str, api_key: str, now: float) -> str | None:
        """OpenAlgo's words for the limit that is exceeded ("10 per 1 second"), or None; counts the call if not.

        ``now`` is in seconds of a clock that only moves forward. A refused call does not count.
        """
        if not self.enabled:
            return None
        limit = LIMITS.get(endpoint, OTHERS)
        account = api_key if self.scope == "account" else ""
        if len(self._calls) > SWEEP_AT:
            self._forget(now)
        calls = self._calls.setdefault((address, endpoint, account), deque())
        while calls and calls[0] <= now - limit.seconds:
            calls.popleft()
        if len(calls) >= limit.calls:
            return limit.words
        calls.append(now)
        return None

    def _forget(self, now: float) -> None:
        old = [key for key, calls in self._calls.items() if not calls or calls[-1] <= now - LONGEST_SECONDS]
        for key in old:
            del self._calls[key]
