"""The core's inbox: messages in the order they came, of each symbol only the newest price, of few of them all."""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime

from engine.services.candle_board import KeptTick
from engine.services.messages import Message, Symbol

PriceKey = tuple[str, Symbol]
Prices = dict[PriceKey, tuple[float, datetime]]

TICKS_KEPT = 100_000
"""Ticks that may wait for the core: beyond, they are dropped, and their symbols are told of."""


class Inbox:
    """Filled by any thread, drained by the core."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._messages: deque[Message] = deque()
        self._prices: Prices = {}
        self.kept: frozenset[PriceKey] = frozenset()
        self._ticks: list[KeptTick] = []
        self._missed: set[PriceKey] = set()

    def put(self, message: Message) -> None:
        """Add a message and wake the core."""
        with self._condition:
            self._messages.append(message)
            self._condition.notify()

    def price(self, market: str, symbol: Symbol, ltp: float, at: datetime, traded_at: datetime | None = None) -> None:
        """Note a symbol's newest price in a market and wake the core. ``traded_at``: the exchange's time, if sent."""
        key = (market, symbol)
        with self._condition:
            self._prices[key] = (ltp, at)
            if key in self.kept:
                if len(self._ticks) < TICKS_KEPT:
                    self._ticks.append(KeptTick(market, symbol, ltp, traded_at or at, at))
                else:
                    self._missed.add(key)
            self._condition.notify()

    def keep(self, symbols: frozenset[PriceKey]) -> None:
        """Keep every tick of these symbols from now on, not only the newest: candles are made of them."""
        self.kept = symbols

    def ticks(self) -> tuple[list[KeptTick], set[PriceKey]]:
        """Take the kept ticks in the order they came, and the symbols of which some were dropped."""
        if not self._ticks:
            return [], set()
        with self._condition:
            ticks, missed = self._ticks, self._missed
            self._ticks, self._missed = [], set()
        return ticks, missed

    def back(self, messages: list[Message]) -> None:
        """Put messages of a pass that could not be committed back in front."""
        with self._condition:
            self._messages.extendleft(reversed(messages))

    def prices(self) -> Prices:
        """Take the newest prices alone."""
        with self._condition:
            prices, self._prices = self._prices, {}
        return prices

    def drain(self, timeout: float) -> tuple[list[Message], Prices]:
        """Wait up to ``timeout`` seconds for something, then take everything that is there."""
        with self._condition:
            if not self._messages and not self._prices:
                self._condition.wait(timeout)
            messages, prices = list(self._messages), self._prices
            self._messages.clear()
            self._prices = {}
        return messages, prices
