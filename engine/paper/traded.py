"""Volumes and depth: figures that belong to a contract, a minute or a second, and to nothing else.

Both are functions of names and time, as the prices are: after a restart, in bars and in quotes they are the same.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np

from engine.domain.instruments import Contract, InstrumentType
from engine.paper.clock import day_start, trading_day
from engine.paper.paths import Floats

LEVELS = 5
MINUTE = 60.0
DAY_MINUTES = 1_440
BUSIEST_LOTS = 60_000
"""No contract trades more lots a day, give or take a third."""
_MINUTES = np.arange(DAY_MINUTES + 1) * MINUTE
CASH_UNIT = 25
"""Shares that a displayed order of a share counts, where a derivative's counts lots."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of depth: price in paise, units, orders. A level that nobody fills has a quantity of 0."""

    price: int
    quantity: int
    orders: int


def number(name: str, most: int) -> int:
    """Return a number from 1 to ``most`` that belongs to a name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big") % most + 1


def volume(contract: Contract, start: float, end: float) -> int:
    """Return units that were traded from one instant to another: whole lots; 0 for an index, which nobody trades."""
    units, day, last = 0, trading_day(start), trading_day(end)
    while day <= last:
        units += volumes(contract, day, [(start, end)])[0]
        day += date.resolution
    return units


def volumes(contract: Contract, day: date, spans: Sequence[tuple[float, float]]) -> list[int]:
    """Return units that were traded on one day (Kolkata) in several spans of time (epoch seconds)."""
    if contract.instrument_type is InstrumentType.INDEX:
        return [0] * len(spans)
    shares = _shares(contract.symbol, contract.exchange, day)
    seconds = np.clip(np.array(spans, dtype=np.float64) - day_start(day), 0.0, DAY_MINUTES * MINUTE)
    traded = np.interp(seconds, _MINUTES, shares) * _lots(contract.symbol, contract.exchange, day) + 1e-9
    lots = np.floor(traded).astype(np.int64)
    return [int(units) for units in np.maximum(lots[:, 1] - lots[:, 0], 0) * max(contract.lot_size, 1)]


def open_interest(contract: Contract) -> int:
    """Return units that are open in a derivative; 0 for anything else."""
    if contract.expiry is None:
        return 0
    return number(f"{contract.symbol}:{contract.exchange}:oi", 20_000) * contract.lot_size


def ladder(contract: Contract, *, best: int, step: int, side: str, second: int) -> list[Level]:
    """Return five levels from the best price on, ``step`` paise apart: tens of lots that change every second."""
    unit = contract.lot_size if contract.expiry is not None else CASH_UNIT
    chance = random.Random(f"{contract.symbol}:{contract.exchange}:{side}:{second}")  # noqa: S311 - figures, no secrets
    liquid = 8 + number(f"{contract.symbol}:{contract.exchange}:depth", 24)
    levels = []
    for place in range(LEVELS):
        price = best + place * step
        if best <= 0 or price <= 0:
            levels.append(Level(0, 0, 0))
            continue
        lots = max(round(liquid * (1.0 + 0.35 * place) * chance.uniform(0.5, 1.6)), 2)
        levels.append(Level(price, lots * unit, chance.randint(2, max(lots // 2, 3))))
    return levels


@lru_cache(maxsize=1024)
def _lots(symbol: str, exchange: str, day: date) -> int:
    """Return the lots of a whole day: the contract's own figure, give or take a third."""
    busy = number(f"{symbol}:{exchange}:volume", BUSIEST_LOTS)
    return max(round(busy * (0.67 + number(f"{symbol}:{exchange}:{day}", 66) / 100.0)), 1)


@lru_cache(maxsize=512)
def _shares(symbol: str, exchange: str, day: date) -> Floats:
    """Return the part of a day's volume that was traded by the end of each minute, from 0 to 1."""
    seed = int.from_bytes(hashlib.blake2b(f"{symbol}:{exchange}:{day}".encode(), digest_size=8).digest(), "big")
    weights = np.random.default_rng(seed).exponential(1.0, DAY_MINUTES) + 0.2
    shares = np.concatenate(([0.0], np.cumsum(weights)))
    whole: Floats = shares / shares[-1]
    return whole
