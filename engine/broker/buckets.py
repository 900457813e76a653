"""The send limit of an account: how many orders may leave, and when the next one may (RULES 3)."""

from __future__ import annotations

from collections import deque

from engine.domain.instruments import Exchange


class SendBucket:
    """At most ``limit`` sends in any ``window`` seconds per exchange, and ``overall_limit`` over all exchanges.

    The law allows 10 orders a second per account and exchange, and the server counts 10 a second per endpoint and
    address: 9 in 1.05 s keeps clear of both with the jitter of a network. One bucket serves one account and belongs
    to one thread; times are seconds of a monotonic clock, passed in.

    >>> bucket = SendBucket(limit=2, window=1.0)
    >>> bucket.take(Exchange.NFO, 10.0)
    >>> bucket.take(Exchange.NFO, 10.2)
    >>> bucket.ready_at(Exchange.NFO, 10.3)
    11.0
    """

    def __init__(self, limit: int = 9, window: float = 1.05, *, overall_limit: int | None = None) -> None:
        overall = limit if overall_limit is None else overall_limit
        if limit < 1 or overall < 1:
            raise ValueError("limit: at least one send must be allowed")
        if not window > 0:
            raise ValueError("window: must be positive")
        self._limit = limit
        self._window = window
        self._overall: deque[float] = deque(maxlen=overall)
        self._by_exchange: dict[Exchange, deque[float]] = {}

    def ready_at(self, exchange: Exchange, now: float) -> float:
        """Return the earliest time, not before ``now``, at which an order to this exchange may be sent."""
        return max(now, self._free_at(self._overall), self._free_at(self._sends(exchange)))

    def take(self, exchange: Exchange, now: float) -> None:
        """Count a send; raises ValueError, counting nothing, when the limit does not allow one now."""
        ready = self.ready_at(exchange, now)
        if ready > now:
            raise ValueError(f"{exchange}: the next send is allowed in {ready - now:.3f} s")
        self._overall.append(now)
        self._sends(exchange).append(now)

    def _sends(self, exchange: Exchange) -> deque[float]:
        return self._by_exchange.setdefault(exchange, deque(maxlen=self._limit))

    def _free_at(self, sends: deque[float]) -> float:
        return sends[0] + self._window if len(sends) == sends.maxlen else float("-inf")
