"""Measures Supertrend beside its peers in one run: ``python -m tests.benchmarks.supertrend_speed [--seconds 2]``.

Peers: ``openalgo.ta.supertrend``, called once a series or pair of settings as it has no other form, and
``talib.SUPERTREND``, which is another indicator with the same name — its average true range starts one bar later and is
summed in another order — and stands here for the speed of plain C. Both take what they need to check their input, and
so do we: every call below is the public one, output arrays included.

Prints a table. Nothing here is asserted in a test: figures belong to the machine they were measured on.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import talib
from openalgo import ta

from engine.domain.supertrend import supertrend, supertrend_grid, supertrend_many
from engine.domain.supertrend_live import SupertrendState
from engine.domain.supertrend_streams import SupertrendStreams

Columns = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]
Call = Callable[[], object]

CALLS_A_TURN = 3
"""So that most calls find their own data in the caches, not that of the one before."""


@dataclass(frozen=True)
class Candle:
    """A bar as far as Supertrend looks."""

    high: float
    low: float
    close: float


def walk(bars: int, seed: int = 1) -> Columns:
    """A random walk like an index by the minute."""
    random = np.random.default_rng(seed)
    close = 22_000.0 + np.cumsum(random.normal(0.0, 6.0, bars))
    return close + np.abs(random.normal(0.0, 5.0, bars)), close - np.abs(random.normal(0.0, 5.0, bars)), close


def measure(calls: dict[str, Call], *, seconds: float, most: int = 20_000) -> dict[str, list[float]]:
    """Seconds of each call, taken in turns so that a busy machine is busy for all of them."""
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends or min(len(values) for values in taken.values()) < 5:
        for name, call in calls.items():
            for _ in range(CALLS_A_TURN):
                begun = time.perf_counter()
                call()
                taken[name].append(time.perf_counter() - begun)
        if len(taken[next(iter(taken))]) >= most:
            break
    gc.enable()
    return taken


def verdict(*, met: bool) -> str:
    """One word for a target."""
    return "met" if met else "MISSED"


def rows_of_bars(
    what: str, bars: int, calls: dict[str, Call], *, seconds: float, limit: float, ratio: float
) -> list[str]:
    """Rows of one task: ns a bar by median and least, and how many times the first is faster than openalgo."""
    taken = measure(calls, seconds=seconds)
    medians = {name: statistics.median(values) / bars * 1e9 for name, values in taken.items()}
    ours = medians["AlgoMirror"]
    rows = []
    for name, values in taken.items():
        least = min(values) / bars * 1e9
        if name == "AlgoMirror":
            times = medians["openalgo"] / ours
            goal = f"≤ {limit:g} ns: {verdict(met=ours <= limit)}; "
            goal += f"≥ {ratio:g}× openalgo: {verdict(met=times >= ratio)} ({times:.1f}×)"
        else:
            goal = f"{medians[name] / ours:.1f}× our time"
        rows.append(f"| {what} | {name} | {medians[name]:.2f} | {least:.2f} | {len(values)} | {goal} |")
    return rows


def single(bars: int, *, seconds: float, ratio: float) -> list[str]:
    """One series of that many bars."""
    high, low, close = walk(bars)
    calls: dict[str, Call] = {
        "AlgoMirror": lambda: supertrend(high, low, close, 7, 3.0),
        "openalgo": lambda: ta.supertrend(high, low, close, 7, 3.0),
        "talib.SUPERTREND": lambda: talib.SUPERTREND(high, low, close, 7, 3.0),
    }
    return rows_of_bars(f"one series, {bars:,} bars", bars, calls, seconds=seconds, limit=7.0, ratio=ratio)


def many(series: int, bars: int, *, seconds: float) -> list[str]:
    """Many series at once; the peers get each as contiguous arrays of its own."""
    alone = [walk(bars, seed) for seed in range(series)]
    high, low, close = (np.stack(columns, axis=1) for columns in zip(*alone, strict=True))
    calls: dict[str, Call] = {
        "AlgoMirror": lambda: supertrend_many(high, low, close, 7, 3.0),
        "openalgo": lambda: [ta.supertrend(*columns, 7, 3.0) for columns in alone],
        "talib.SUPERTREND": lambda: [talib.SUPERTREND(*columns, 7, 3.0) for columns in alone],
    }
    return rows_of_bars(f"{series} series × {bars} bars", series * bars, calls, seconds=seconds, limit=2.0, ratio=10.0)


def grid(bars: int, *, seconds: float) -> list[str]:
    """Twenty periods with twenty multipliers on one series."""
    high, low, close = walk(bars)
    periods, multipliers = list(range(2, 22)), [0.5 * k for k in range(1, 21)]
    pairs = [(period, multiplier) for period in periods for multiplier in multipliers]
    calls: dict[str, Call] = {
        "AlgoMirror": lambda: supertrend_grid(high, low, close, periods, multipliers),
        "openalgo": lambda: [ta.supertrend(high, low, close, *pair) for pair in pairs],
        "talib.SUPERTREND": lambda: [talib.SUPERTREND(high, low, close, *pair) for pair in pairs],
    }
    what = f"{len(pairs)} pairs × {bars:,} bars"
    return rows_of_bars(what, len(pairs) * bars, calls, seconds=seconds, limit=2.0, ratio=10.0)


def one_bar(series: int, *, seconds: float) -> list[str]:
    """One more bar: of many series in one call, and of one run in plain Python."""
    alone = [walk(400, seed) for seed in range(series)]
    high, low, close = (np.stack(columns, axis=1) for columns in zip(*alone, strict=True))
    streams = SupertrendStreams(series, 7, 3.0)
    streams.commit_bars(high[:300], low[:300], close[:300])
    new = [tuple(column[300 + k] for column in (high, low, close)) for k in range(100)]
    state = SupertrendState.start(7, 3.0)
    candles = [Candle(*map(float, prices)) for prices in zip(*alone[0], strict=True)]

    def commit_all() -> None:
        for bar in new:
            streams.commit(*bar)

    def preview_all() -> None:
        for bar in new:
            streams.preview(*bar)

    def commit_one() -> None:
        moved = state
        for bar in candles[:100]:
            moved = moved.commit(bar)

    rows = []
    goals = {
        f"commit of {series} series": True,
        f"preview of {series} series": True,
        "commit of one run, no numba": False,
    }
    calls = dict(zip(goals, (commit_all, preview_all, commit_one), strict=True))
    for name, values in measure(calls, seconds=seconds).items():
        each = [value / len(new) * 1e6 for value in values]
        median = statistics.median(each)
        goal = f"≤ 2 µs: {verdict(met=median <= 2.0)}" if goals[name] else ""
        rows.append(f"| one new bar | {name} | {median:.2f} µs | {min(each):.2f} µs | {len(each)} × 100 | {goal} |")
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each task is repeated")
    seconds = parser.parse_args().seconds
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("numba", "numpy", "openalgo", "TA-Lib")
    )
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {versions}"
    )
    print(
        "| task | who | median ns a bar | least | repeats | target of the design |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    print(*single(10_000, seconds=seconds, ratio=1.5), sep="\n", flush=True)
    print(*single(1_000_000, seconds=seconds, ratio=5.0), sep="\n", flush=True)
    print(*many(500, 500, seconds=seconds), sep="\n", flush=True)
    print(*grid(5_000, seconds=seconds), sep="\n", flush=True)
    print(*one_bar(500, seconds=seconds), sep="\n", flush=True)


if __name__ == "__main__":
    main()
