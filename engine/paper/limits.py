"""Rate limits: a moving window per client address, endpoint and account.

OpenAlgo counts per client address and endpoint, and serves one account. This exchange serves many: each account counts
as the server of its own that it stands for, unless the scope is set to ``address``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

ORDER_CALLS = frozenset({"placeorder", "modifyorder", "cancelorder"})
ORDERS_PER_SECOND = 10
OTHERS_PER_SECOND = 50
SCOPES = ("account", "address")


@dataclass(slots=True)
class RateLimits:
    """Counts calls of the last second. ``scope`` is ``account`` or ``address``."""

    enabled: bool = True
    scope: str = "account"
    _calls: dict[tuple[str, str, str], deque[float]] = field(default_factory=dict)

    def refused(self, address: str, endpoint: str, api_key: str, now: float) -> str | None:
        """OpenAlgo's words for the limit that is exceeded ("10 per 1 second"), or None; counts the call if not."""
        if not self.enabled:
            return None
        limit = ORDERS_PER_SECOND if endpoint in ORDER_CALLS else OTHERS_PER_SECOND
        account = api_key if self.scope == "account" else ""
        calls = self._calls.setdefault((address, endpoint, account), deque())
        while calls and calls[0] <= now - 1.0:
            calls.popleft()
        if len(calls) >= limit:
            return f"{limit} per 1 second"
        calls.append(now)
        return None
