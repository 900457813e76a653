"""Supertrend written down line by line from RULES 8, slowly and by itself, and series to try it on.

Nothing here comes from the engine: it is what the engine is measured against.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

PERIODS = (1, 2, 3, 5, 7, 10, 14, 21, 34, 50)
MULTIPLIERS = (0.5, 1.0, 1.7, 2.0, 3.0, 4.25, 10.0)


@dataclass(frozen=True)
class Bars:
    """One series with the words to name it in a failure."""

    name: str
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray

    def __len__(self) -> int:
        return len(self.close)

    @property
    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.high, self.low, self.close

    def first(self, bars: int) -> Bars:
        return Bars(f"{self.name}, first {bars}", self.high[:bars], self.low[:bars], self.close[:bars])


@dataclass(frozen=True)
class Candle:
    """A bar as far as Supertrend looks."""

    high: float
    low: float
    close: float


def candles(bars: Bars) -> list[Candle]:
    return [Candle(*prices) for prices in zip(*(column.tolist() for column in bars.columns), strict=True)]


@dataclass(frozen=True)
class Pine:
    """What RULES 8 makes of a series; directions in the project's sign."""

    line: np.ndarray
    direction: np.ndarray
    average: np.ndarray
    clear_seed: bool
    """Whether the first bands are the raw ones, as if there had been no rule about the bands before them."""


def average_true_range(high: Sequence[float], low: Sequence[float], close: Sequence[float], n: int) -> list[float]:
    """TR and A of RULES 8."""
    tr = [high[0] - low[0]] if high else []
    tr += [max(high[i] - low[i], abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1])) for i in range(1, len(close))]
    a: list[float] = []
    for i, reach in enumerate(tr):
        if i < n - 1:
            a.append(math.nan)
        elif i == n - 1:
            total = 0.0
            for each in tr[:n]:
                total += each
            a.append(total / n)
        else:
            a.append((a[i - 1] * (n - 1) + reach) / n)
    return a


def pine(bars: Bars, n: int, f: float, *, raw_seed: bool = False) -> Pine:
    """RULES 8, bands of warm-up and all; ``raw_seed`` takes the first bands raw, as the package openalgo does."""
    high, low, close = (column.tolist() for column in bars.columns)
    a = average_true_range(high, low, close, n)
    lowers: list[float] = []
    uppers: list[float] = []
    lines: list[float] = []
    directions: list[int] = []
    clear = True
    for i in range(len(close)):
        middle = (high[i] + low[i]) / 2
        raw_lower, raw_upper = middle - f * a[i], middle + f * a[i]
        before = close[i - 1] if i else math.nan
        average_before = a[i - 1] if i else math.nan
        pl = 0.0 if not i or math.isnan(lowers[i - 1]) else lowers[i - 1]
        pu = 0.0 if not i or math.isnan(uppers[i - 1]) else uppers[i - 1]
        lower = raw_lower if (raw_lower > pl or before < pl) else pl
        upper = raw_upper if (raw_upper < pu or before > pu) else pu
        if i == n - 1:
            clear = lower == raw_lower and upper == raw_upper
            if raw_seed:
                lower, upper = raw_lower, raw_upper
        if math.isnan(average_before):
            up = False
        elif lines[i - 1] == pu:
            up = close[i] > upper
        else:
            up = not close[i] < lower
        lowers.append(lower)
        uppers.append(upper)
        lines.append(math.nan if math.isnan(a[i]) else lower if up else upper)
        directions.append(0 if math.isnan(a[i]) else 1 if up else -1)
    return Pine(np.array(lines), np.array(directions, np.int8), np.array(a), clear)


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal to the last bit, NaN where NaN."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def walk(bars: int, *, seed: int, start: float = 22_000.0, step: float = 6.0, gap: float = 0.0) -> Bars:
    """A random walk; ``gap`` > 0 lets it jump now and then."""
    random = np.random.default_rng(seed)
    steps = random.normal(0.0, step, bars)
    if gap:
        steps += random.normal(0.0, gap, bars) * (random.random(bars) < 0.03)
    close = start + np.cumsum(steps)
    high = close + np.abs(random.normal(0.0, step, bars))
    low = close - np.abs(random.normal(0.0, step, bars))
    return Bars(f"walk from {start} seed {seed} gap {gap}", high, low, close)


def flat(bars: int, price: float, *, moves_at: int | None = None) -> Bars:
    """One price for good, so that both bands are one; with ``moves_at`` it jumps up by one there and stays."""
    close = np.full(bars, price)
    if moves_at is not None:
        close[moves_at:] += 1.0
    return Bars(f"flat at {price}, moving at {moves_at}", close.copy(), close.copy(), close)


def odd_series() -> Iterator[Bars]:
    """Series that have broken indicators before."""
    for seed in range(6):
        yield walk(400, seed=seed)
        yield walk(400, seed=seed, gap=300.0)
        yield walk(400, seed=seed, start=-150.0, step=2.0)
        yield walk(400, seed=seed, start=0.0, step=3.0)
        yield walk(400, seed=seed, start=5.0, step=2.0)
        rounded = walk(400, seed=seed, start=100.0, step=0.1)
        yield Bars(f"{rounded.name} in ticks", *(np.round(column * 20) / 20 for column in rounded.columns))
    for price in (0.0, 100.0, -37.5, 0.05):
        yield flat(120, price)
        yield flat(120, price, moves_at=60)
        yield flat(120, price, moves_at=1)


@st.composite
def small_bars(draw: st.DrawFn, *, longest: int = 60) -> Bars:
    """Short series on a coarse grid, around zero: ties, flat runs and bands that meet are common."""
    moves = draw(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2), st.integers(0, 2)), max_size=longest))
    close = np.cumsum([draw(st.integers(-8, 8)), *(move for move, _, _ in moves)])[1:] * 0.25
    above = np.array([up for _, up, _ in moves], float) * 0.25
    below = np.array([down for _, _, down in moves], float) * 0.25
    return Bars("drawn", close + above, close - below, close.astype(float))


def market_series(folder: Path) -> Iterator[Bars]:
    """Every day and every file whole, of each symbol by itself."""
    for path in sorted(folder.glob("*.csv")):
        whole: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        daily: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
        with path.open() as file:
            for row in csv.DictReader(file):
                prices = float(row["high"]), float(row["low"]), float(row["close"])
                whole[row["symbol"]].append(prices)
                daily[row["symbol"], row["timestamp"][:10]].append(prices)
        for name, rows in [*whole.items(), *((" ".join(key), rows) for key, rows in daily.items())]:
            yield Bars(f"{path.name} {name}", *np.array(rows).T.copy())
