"""The core's inbox: messages in the order they came, and of each symbol only the newest price."""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime

from engine.services.messages import Message, Symbol

PriceKey = tuple[str, Symbol]


class Inbox:
    """Filled by any thread, drained by the core."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._messages: deque[Message] = deque()
        self._prices: dict[PriceKey, tuple[float, datetime]] = {}

    def put(self, message: Message) -> None:
        """Add a message and wake the core."""
        with self._condition:
            self._messages.append(message)
            self._condition.notify()

    def price(self, market: str, symbol: Symbol, ltp: float, at: datetime) -> None:
        """Note a symbol's newest price in a market and wake the core."""
        with self._condition:
            self._prices[market, symbol] = (ltp, at)
            self._condition.notify()

    def back(self, messages: list[Message]) -> None:
        """Put messages of a pass that could not be committed back in front."""
        with self._condition:
            self._messages.extendleft(reversed(messages))

    def drain(self, timeout: float) -> tuple[list[Message], dict[PriceKey, tuple[float, datetime]]]:
        """Wait up to ``timeout`` seconds for something, then take everything that is there."""
        with self._condition:
            if not self._messages and not self._prices:
                self._condition.wait(timeout)
            messages, prices = list(self._messages), self._prices
            self._messages.clear()
            self._prices = {}
        return messages, prices
