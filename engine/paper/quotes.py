"""Quotes: last price, bid and ask, the day so far and five levels of depth for any listed contract."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engine.domain.instruments import Contract, InstrumentType
from engine.paper import pricing, traded
from engine.paper.candles import Candles, Integers, Row
from engine.paper.catalogue import INDICES
from engine.paper.fronts import fronts
from engine.paper.market import FEW, Market, Prints
from engine.paper.paths import Floats
from engine.paper.timeline import Timeline
from engine.paper.traded import LEVELS, Level

__all__ = ["LEVELS", "Level", "Quote", "Quotes"]

TICK_PAISE = 5
SPOT_TYPES = (InstrumentType.INDEX, InstrumentType.EQ)


@dataclass(frozen=True, slots=True)
class Quote:
    """Prices in paise, quantities in units. ``bid`` and ``ask`` are 0 for an index, which nobody trades."""

    ltp: int
    bid: int
    ask: int
    open: int
    high: int
    low: int
    previous_close: int
    volume: int
    open_interest: int


@dataclass(slots=True)
class _DaySoFar:
    """A derivative's day in paise: fixed figures, running extremes, the instant up to which prices were seen."""

    opened_at: float
    opened: int
    previous_close: int
    high: int
    low: int
    seen: float


class Quotes:
    """Prices contracts from the market. Derivatives follow their underlying unless they are pinned.

    ``close_of`` gives the instant (epoch seconds) at which a contract's last session ends.
    """

    def __init__(self, market: Market, close_of: Callable[[Contract], float]) -> None:
        self._market = market
        self._close_of = lru_cache(maxsize=4096)(close_of)
        self._pins: dict[tuple[str, str], Timeline[int | None]] = {}
        self._lasts: dict[Contract, tuple[Hashable, int]] = {}
        self._days: dict[Contract, _DaySoFar] = {}
        self._windows: dict[tuple[str, bool], tuple[float, float, Prints]] = {}
        self.candles = Candles(market, self.row)

    def pin(self, symbol: str, exchange: str, paise: int, at: float = 0.0) -> None:
        """Hold a contract's price from an instant on."""
        self._pins.setdefault((symbol, exchange), Timeline(None)).set(paise, at)

    def clear(self, symbol: str | None = None, exchange: str | None = None, at: float | None = None) -> None:
        """End the pin of one contract, or all, from an instant on; without one they have never been."""
        for key, pins in list(self._pins.items()):
            if symbol is not None and exchange is not None and key != (symbol, exchange):
                continue
            if at is None:
                del self._pins[key]
            elif pins.latest is not None:
                pins.set(None, at)
        if at is None:
            self._market.revision += 1
            self._lasts.clear()
            self._days.clear()

    def last(self, contract: Contract, at: float) -> int:
        """Last price in paise, at least one tick."""
        pins = self._pins.get((contract.symbol, contract.exchange))
        pinned = None if pins is None else pins.value(pins.state(at))
        if pinned is not None:
            return pinned
        moment = self._market.moment(contract.underlying, at)
        known = self._lasts.get(contract)
        if known is not None and known[0] == moment:
            return known[1]
        printed_at = self._market.printed_at(contract.underlying, at)
        value = self._model(contract, self._market.spot(contract.underlying, at), printed_at)
        self._lasts[contract] = (moment, value)
        return value

    def touch(self, contract: Contract, at: float) -> tuple[int, int, int]:
        """Last price, bid and ask in paise. Nobody quotes an index: bid and ask are 0."""
        last = self.last(contract, at)
        bid, ask = self._sides(contract, last)
        return last, bid, ask

    def underlying_paise(self, contract: Contract, at: float) -> int:
        """Return the underlying's price in paise: what margin is counted on."""
        return round(self._market.spot(contract.underlying, at) * 100)

    def quote(self, contract: Contract, at: float) -> Quote:
        """Everything that ``quotes`` answers."""
        last, bid, ask = self.touch(contract, at)
        opened_at = self._market.opened_at(contract.underlying, at)
        if contract.instrument_type in SPOT_TYPES:
            day = self._market.day(contract.underlying, at)
            opened, close = round(day.open * 100), round(day.previous_close * 100)
            high, low = round(day.high * 100), round(day.low * 100)
        else:
            seen = self._day(contract, opened_at, at)
            opened, close, high, low = seen.opened, seen.previous_close, seen.high, seen.low
        printed_at = self._market.printed_at(contract.underlying, at)
        return Quote(
            ltp=last,
            bid=bid,
            ask=ask,
            open=opened,
            high=max(high, last),
            low=min(low, last),
            previous_close=close,
            volume=0 if opened_at is None else traded.volume(contract, opened_at, printed_at),
            open_interest=traded.open_interest(contract),
        )

    def depth(self, contract: Contract, at: float) -> tuple[list[Level], list[Level]]:
        """Five levels of bids and asks around the last price, best first, as they stand in this second."""
        _, bid, ask = self.touch(contract, at)
        tick = self._tick(contract)
        second = math.floor(at)
        return (
            traded.ladder(contract, best=bid, step=-tick, side="bid", second=second),
            traded.ladder(contract, best=ask, step=tick, side="ask", second=second),
        )

    def row(self, contract: Contract, start: float, end: float, *, seconds: float) -> Row:
        """Return the prices that make the bars of ``seconds`` from ``start`` to before ``end``."""
        prints = self._market.prints(contract.underlying, start, end)
        pins = self._pins.get((contract.symbol, contract.exchange))
        events = [] if pins is None else pins.changes(*self._market.within(contract.underlying, start, end))
        if events:
            prints = self._with(contract.underlying, prints, events)
        bars = np.floor((prints.instants - start) / seconds).astype(np.int64)
        if pins is None:
            chosen = fronts(prints.spots, bars)
            return Row(bars[chosen], self._models(contract, prints.spots[chosen], prints.times[chosen]))
        states = pins.state(math.nextafter(start, -math.inf)) + np.searchsorted(
            np.array(pins.changes(start, end)), prints.instants, side="right"
        )
        chosen = fronts(prints.spots, bars * (pins.state(end) + 1) + states)
        prices = self._models(contract, prints.spots[chosen], prints.times[chosen])
        held = np.array([pins.value(state) or 0 for state in range(pins.state(end) + 1)])[states[chosen]]
        return Row(bars[chosen], np.where(held > 0, held, prices))

    def _day(self, contract: Contract, opened_at: float | None, at: float) -> _DaySoFar:
        """Return a derivative's day with the extremes of all prices up to an instant."""
        market, underlying = self._market, contract.underlying
        if opened_at is None:  # a replay that is held: the day has not begun
            last = self.last(contract, at)
            close = self._model(contract, market.day(underlying, at).previous_close, at)
            return _DaySoFar(at, last, close, last, last, at)
        seen = self._days.get(contract)
        if seen is None or seen.opened_at != opened_at:
            close = self._model(
                contract, market.previous_close(underlying, opened_at), opened_at - market.print_seconds
            )
            opened = self.last(contract, opened_at)
            seen = self._days[contract] = _DaySoFar(opened_at, opened, close, opened, opened, opened_at)
        if at > seen.seen:
            prices = self._since(contract, seen, seen.seen, math.nextafter(at, math.inf))
            seen.high, seen.low = max(seen.high, *prices, seen.low), min(seen.low, *prices, seen.high)
            seen.seen = at
        return seen

    def _since(self, contract: Contract, seen: _DaySoFar, start: float, end: float) -> list[int]:
        """Return prices from ``start`` to before ``end`` with the highest and the lowest among them."""
        if (contract.symbol, contract.exchange) in self._pins:
            return [int(price) for price in self.row(contract, start, end, seconds=math.inf).prices]
        prints = self._window(contract.underlying, start, end, whole_day=seen.seen == seen.opened_at)
        if len(prints.spots) > FEW:
            return [int(price) for price in self._models(contract, prints.spots, prints.times)]
        pairs = zip(prints.spots.tolist(), prints.times.tolist(), strict=True)
        return [self._model(contract, spot, at) for spot, at in pairs]

    def _window(self, underlying: str, start: float, end: float, *, whole_day: bool) -> Prints:
        """Return the prints of a span that any contract's extremes can lie at; asked for many contracts in turn."""
        known = self._windows.get((underlying, whole_day))
        if known is not None and known[:2] == (start, end):
            return known[2]
        if known is not None and known[0] == start and known[1] < end:
            prints = _joined(known[2], self._market.prints(underlying, known[1], end))
        else:
            prints = self._market.prints(underlying, start, end)
        chosen = fronts(prints.spots, np.zeros(len(prints.spots), dtype=np.int64))
        prints = Prints(prints.instants[chosen], prints.times[chosen], prints.spots[chosen])
        self._windows[underlying, whole_day] = (start, end, prints)
        return prints

    def _with(self, underlying: str, prints: Prints, events: list[float]) -> Prints:
        """Return the prints with one more at each event, at which a contract was pinned or let go."""
        times = np.array([self._market.printed_at(underlying, at) for at in events])
        spots = np.array([self._market.spot(underlying, at) for at in events])
        joined = _joined(prints, Prints(np.array(events), times, spots))
        order = np.argsort(joined.instants, kind="stable")
        return Prints(joined.instants[order], joined.times[order], joined.spots[order])

    def _model(self, contract: Contract, spot: float, at: float) -> int:
        """Price in paise from the underlying's price, on the contract's tick."""
        if contract.instrument_type in SPOT_TYPES:
            return max(round(spot * 100), TICK_PAISE)
        time = pricing.years(self._close_of(contract) - at)
        value = future = pricing.forward(spot, time)
        if contract.instrument_type is not InstrumentType.FUT:
            volatility = pricing.smile(self._level(contract.underlying), future, contract.strike, time)
            call = contract.instrument_type is InstrumentType.CE
            value = pricing.premium(future, contract.strike, time, volatility, call=call)
        tick = self._tick(contract)
        return max(round(value * 100 / tick) * tick, tick)

    def _models(self, contract: Contract, spots: Floats, instants: Floats) -> Integers:
        """Return ``_model`` of several prices and instants."""
        if contract.instrument_type in SPOT_TYPES:
            return np.maximum(np.rint(spots * 100), TICK_PAISE).astype(np.int64)
        times = np.maximum(self._close_of(contract) - instants, pricing.SHORTEST_SECONDS) / pricing.YEAR_SECONDS
        values = futures = spots * np.exp(pricing.RATE * times)
        if contract.instrument_type is not InstrumentType.FUT:
            volatilities = pricing.smiles(self._level(contract.underlying), futures, contract.strike, times)
            call = contract.instrument_type is InstrumentType.CE
            values = pricing.premiums(futures, contract.strike, times, volatilities, call=call)
        tick = self._tick(contract)
        paise: Integers = np.maximum(np.rint(values * 100 / tick) * tick, tick).astype(np.int64)
        return paise

    def _sides(self, contract: Contract, last: int) -> tuple[int, int]:
        if contract.instrument_type is InstrumentType.INDEX:
            return 0, 0
        tick = self._tick(contract)
        below, above = last // tick * tick, -(-last // tick) * tick
        half = max(round(last * 0.0003 / tick), 1) * tick
        return max(below - half, tick), above + half

    def _tick(self, contract: Contract) -> int:
        return max(round(contract.tick_size * 100), 1)

    def _level(self, underlying: str) -> float:
        return INDICES[underlying].volatility


def _joined(earlier: Prints, later: Prints) -> Prints:
    return Prints(
        np.concatenate((earlier.instants, later.instants)),
        np.concatenate((earlier.times, later.times)),
        np.concatenate((earlier.spots, later.spots)),
    )
