"""The combined premium of a run's legs, as bars and as a figure (RULES 7, Supertrend)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.domain.candles import Bar, BarSource, ClosedBar, fault
from engine.domain.errors import CandleError, RuleError
from engine.domain.instruments import Action
from engine.domain.prices import is_price


@dataclass(frozen=True, slots=True)
class PremiumLeg:
    """One leg as it was entered: ``lots`` above 0, ``entry_price`` the average of its fills in ₹."""

    symbol: str
    action: Action
    lots: int
    entry_price: float

    @property
    def weight(self) -> int:
        """The lots: + sold, − bought."""
        return -self.action.sign * self.lots


@dataclass(frozen=True, slots=True)
class CombinedPremium:
    """C = s · Σ w·p, with ``weights`` w a symbol and ``sign`` s, both fixed at entry (RULES 7)."""

    weights: Mapping[str, int]
    sign: int

    def value(self, prices: Mapping[str, float]) -> float | None:
        """Return C (₹ × lots) at these prices (₹), None when a leg has none: all legs or nothing (law 7)."""
        if any(not is_price(prices.get(symbol)) for symbol in self.weights):
            return None
        return self._sum(prices)

    def bar(self, bars: Mapping[str, Bar]) -> Bar:
        """Return the combined bar of one window from the bars of all legs.

        Each field is combined by itself; then the high is the highest of the four and the low the lowest. No absolute
        value: C may go below 0. Volume and open interest are 0, the legs' cannot be added. Raises CandleError when a
        leg has no bar, a bar that makes no sense (law 7), or the bars open at different instants.
        """
        if lacking := [symbol for symbol in self.weights if symbol not in bars]:
            raise CandleError("bars", f"no bar of {', '.join(lacking)}: all legs or none")
        for symbol in self.weights:
            if reason := fault(bars[symbol]):
                raise CandleError("bars", f"the bar of {symbol} makes no sense: {reason}")
        if len(starts := {bars[symbol].start for symbol in self.weights}) > 1:
            raise CandleError("bars", f"the legs' bars open at {len(starts)} different instants")
        o = self._sum({symbol: bar.open for symbol, bar in bars.items()})
        h = self._sum({symbol: bar.high for symbol, bar in bars.items()})
        low = self._sum({symbol: bar.low for symbol, bar in bars.items()})
        c = self._sum({symbol: bar.close for symbol, bar in bars.items()})
        return Bar(starts.pop(), o, max(o, h, low, c), min(o, h, low, c), c)

    def _sum(self, prices: Mapping[str, float]) -> float:
        return self.sign * math.fsum(weight * prices[symbol] for symbol, weight in self.weights.items())


@dataclass(frozen=True, slots=True)
class CombinedBars:
    """The combined ``bars`` in order of time, and for each instant that gave none the legs that ``lack`` a bar."""

    bars: tuple[ClosedBar, ...]
    lacking: tuple[tuple[datetime, tuple[str, ...]], ...] = ()


def combined_premium(legs: Iterable[PremiumLeg]) -> CombinedPremium:
    """Fix weights and sign at entry: w = lots, s = the sign of Σ w·entry price, so that C begins above 0 (RULES 7).

    Legs in one symbol are one: their weights are added, their entry price is the average over their lots. Raises
    RuleError when there is no leg, a leg without lots or entry price, when legs cancel each other, and when
    Σ w·entry price is 0: then there is no premium to follow.
    """
    legs = tuple(legs)
    if not legs:
        raise RuleError("legs", "a combined premium needs at least one leg")
    by_symbol: dict[str, list[PremiumLeg]] = {}
    for leg in legs:
        if leg.lots < 1:
            raise RuleError("lots", f"{leg.symbol} has {leg.lots} lots: at least 1 is needed")
        if not is_price(leg.entry_price):
            raise RuleError("entry_price", f"{leg.symbol} was entered at {leg.entry_price}, which is no price")
        by_symbol.setdefault(leg.symbol, []).append(leg)
    weights = {symbol: weight for symbol, same in by_symbol.items() if (weight := sum(leg.weight for leg in same))}
    entries = [weight * _average(by_symbol[symbol]) for symbol, weight in weights.items()]
    paid = math.fsum(entries)
    # averages of fills are rounded binary numbers: a sum this small is 0
    if abs(paid) <= 1e-9 * math.fsum(map(abs, entries)):
        raise RuleError(
            "legs", "sold and bought premium at entry are equal: the combined premium is 0, so it has no direction"
        )
    return CombinedPremium(weights, 1 if paid > 0 else -1)


def _average(legs: Sequence[PremiumLeg]) -> float:
    return math.fsum(leg.lots * leg.entry_price for leg in legs) / sum(leg.lots for leg in legs)


def combined_bars(premium: CombinedPremium, bars: Mapping[str, Sequence[ClosedBar]]) -> CombinedBars:
    """Join the legs' bars on their start: where all legs have one there is a combined bar, else none (RULES 7).

    A bar that makes no sense is none. A combined bar is whole when all its parts are; its source is ``ticks`` if that
    of any part is.
    """
    by_start = {
        symbol: {closed.bar.start: closed for closed in bars.get(symbol, ()) if fault(closed.bar) is None}
        for symbol in premium.weights
    }
    joined: list[ClosedBar] = []
    lacking: list[tuple[datetime, tuple[str, ...]]] = []
    for start in sorted({start for rows in by_start.values() for start in rows}):
        parts = {symbol: rows[start] for symbol, rows in by_start.items() if start in rows}
        if len(parts) < len(by_start):
            lacking.append((start, tuple(symbol for symbol in by_start if symbol not in parts)))
            continue
        ours = any(part.source is BarSource.TICKS for part in parts.values())
        joined.append(
            ClosedBar(
                premium.bar({symbol: part.bar for symbol, part in parts.items()}),
                BarSource.TICKS if ours else BarSource.HISTORY,
                whole=all(part.whole for part in parts.values()),
            )
        )
    return CombinedBars(tuple(joined), tuple(lacking))
