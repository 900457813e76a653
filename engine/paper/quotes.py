"""Quotes: last price, bid and ask, the day so far and five levels of depth for any listed contract."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from engine.domain.instruments import Contract, InstrumentType
from engine.paper import pricing
from engine.paper.catalogue import INDICES
from engine.paper.clock import day_start, trading_day
from engine.paper.market import Day, Market

LEVELS = 5
TICK_PAISE = 5
DAY_SECONDS = 86_400.0


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


@dataclass(frozen=True, slots=True)
class Level:
    """One level of depth: price in paise, units, orders."""

    price: int
    quantity: int
    orders: int


class Quotes:
    """Prices contracts from the market. Derivatives follow their underlying unless they are pinned.

    ``close_of`` gives the instant (epoch seconds) at which a contract's last session ends.
    """

    def __init__(self, market: Market, close_of: Callable[[Contract], float]) -> None:
        self._market = market
        self._close_of = lru_cache(maxsize=4096)(close_of)
        self._pins: dict[tuple[str, str], int] = {}
        self._lasts: dict[Contract, tuple[float, int]] = {}
        self._openings: dict[Contract, tuple[float, int, int]] = {}

    def pin(self, symbol: str, exchange: str, paise: int) -> None:
        """Hold a contract's price."""
        self._pins[symbol, exchange] = paise

    def clear(self, symbol: str | None = None, exchange: str | None = None) -> None:
        """Forget the pin of one contract, or all."""
        if symbol is None or exchange is None:
            self._pins.clear()
        else:
            self._pins.pop((symbol, exchange), None)

    def last(self, contract: Contract, at: float) -> int:
        """Last price in paise, at least one tick."""
        pinned = self._pins.get((contract.symbol, contract.exchange))
        if pinned is not None:
            return pinned
        known = self._lasts.get(contract)
        if known is not None and known[0] == at:
            return known[1]
        value = self._model(contract, self._market.spot(contract.underlying, at), at)
        self._lasts[contract] = (at, value)
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
        day = self._market.day(contract.underlying, at)
        if contract.instrument_type in (InstrumentType.INDEX, InstrumentType.EQ):
            opened, close = round(day.open * 100), round(day.previous_close * 100)
            high, low = round(day.high * 100), round(day.low * 100)
        else:
            opened, close = self._opening(contract, day, day_start(trading_day(at)))
            extremes = (self._model(contract, day.high, at), self._model(contract, day.low, at))
            high, low = max(*extremes, opened), min(*extremes, opened)
        is_index = contract.instrument_type is InstrumentType.INDEX
        return Quote(
            ltp=last,
            bid=bid,
            ask=ask,
            open=opened,
            high=max(high, last),
            low=min(low, last),
            previous_close=close,
            volume=0 if is_index else self._volume(contract, at),
            open_interest=self._lots(contract, "oi", 20_000) if contract.expiry is not None else 0,
        )

    def depth(self, contract: Contract, at: float) -> tuple[list[Level], list[Level]]:
        """Five levels of bids and asks around the last price, best first."""
        _, bid, ask = self.touch(contract, at)
        tick = self._tick(contract)
        unit = max(contract.lot_size, 1)
        buys = [Level(max(bid - k * tick, tick), (2 + k) * unit, k + 1) for k in range(LEVELS)]
        sells = [Level(ask + k * tick, (3 + k) * unit, k + 1) for k in range(LEVELS)]
        return buys, sells

    def forward(self, underlying: str, expiry_close: float, at: float) -> float:
        """Return the future's fair price in ₹ for an expiry that closes at ``expiry_close``."""
        return pricing.forward(self._market.spot(underlying, at), pricing.years(expiry_close - at))

    def greeks(self, contract: Contract, at: float) -> pricing.Greeks:
        """Black-76 sensitivities of an option."""
        time = pricing.years(self._close_of(contract) - at)
        future = pricing.forward(self._market.spot(contract.underlying, at), time)
        volatility = pricing.smile(self._level(contract.underlying), future, contract.strike, time)
        call = contract.instrument_type is InstrumentType.CE
        return pricing.greeks(future, contract.strike, time, volatility, call=call)

    def _opening(self, contract: Contract, day: Day, start: float) -> tuple[int, int]:
        """Open and previous close of a derivative in paise: fixed for the day."""
        known = self._openings.get(contract)
        if known is None or known[0] != start:
            opened = self._model(contract, day.open, start)
            known = (start, opened, self._model(contract, day.previous_close, start - 1.0))
            self._openings[contract] = known
        return known[1], known[2]

    def _model(self, contract: Contract, spot: float, at: float) -> int:
        """Price in paise from the underlying's price, on the contract's tick."""
        if contract.instrument_type in (InstrumentType.INDEX, InstrumentType.EQ):
            return max(round(spot * 100), TICK_PAISE)
        time = pricing.years(self._close_of(contract) - at)
        value = future = pricing.forward(spot, time)
        if contract.instrument_type is not InstrumentType.FUT:
            volatility = pricing.smile(self._level(contract.underlying), future, contract.strike, time)
            call = contract.instrument_type is InstrumentType.CE
            value = pricing.premium(future, contract.strike, time, volatility, call=call)
        tick = self._tick(contract)
        return max(round(value * 100 / tick) * tick, tick)

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

    def _volume(self, contract: Contract, at: float) -> int:
        share = (at - day_start(trading_day(at))) / DAY_SECONDS
        return int(self._lots(contract, "volume", 60_000) * share)

    def _lots(self, contract: Contract, kind: str, most: int) -> int:
        """Return a number of units that belongs to the contract and to nothing else."""
        return _number(f"{contract.symbol}:{contract.exchange}:{kind}", most) * max(contract.lot_size, 1)


@lru_cache(maxsize=8192)
def _number(name: str, most: int) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big") % most + 1
