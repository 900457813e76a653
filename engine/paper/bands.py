"""Price bands: the lowest and the highest price at which a contract may be ordered and traded on a day.

This exchange's rule, after those of NSE and BSE:

* index futures: ± 10 % of the fair future on the underlying's previous close; shares: previous close ± 20 %;
* options: from the least to the most that the model gives for the option when its underlying is anywhere within 10 %
  of its previous close, at the beginning of the day;
* never below one tick, and whole ticks: the lower limit is rounded up, the upper one down;
* flexed with the market: a band always reaches 5 % (at least 20 ticks) beyond the last price on both sides, as the
  exchanges widen a band that the market has come to. So quotes never leave it, whatever happens to the underlying.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from engine.domain.instruments import Contract, InstrumentType
from engine.paper import pricing
from engine.paper.catalogue import INDICES
from engine.paper.clock import day_start, trading_day
from engine.paper.market import Market
from engine.paper.quotes import Quotes

FUTURE_PERCENT = 10
SHARE_PERCENT = 20
UNDERLYING_PERCENT = 10
FLEX_PERCENT = 5
FLEX_TICKS = 20


@dataclass(frozen=True, slots=True)
class Band:
    """Lowest and highest price in paise, both allowed."""

    lower: int
    upper: int

    def holds(self, price: int) -> bool:
        """Whether a price in paise is within the band."""
        return self.lower <= price <= self.upper


class Bands:
    """Bands by contract. ``close_of`` gives the instant at which a contract's last session ends."""

    def __init__(self, market: Market, quotes: Quotes, close_of: Callable[[Contract], float]) -> None:
        self._market = market
        self._quotes = quotes
        self._close_of = close_of
        self._of_day: dict[Contract, tuple[float, int, int]] = {}

    def band(self, contract: Contract, at: float) -> Band:
        """Return the band of a contract at an instant: that of the day, flexed with the last price."""
        start = day_start(trading_day(at))
        known = self._of_day.get(contract)
        if known is None or known[0] != start:
            known = (start, *self._fixed(contract, at, start))
            self._of_day[contract] = known
        last = self._quotes.last(contract, at)
        tick = tick_of(contract)
        flex = max(last * FLEX_PERCENT // 100, FLEX_TICKS * tick)
        lower, upper = min(known[1], last - flex), max(known[2], last + flex)
        return Band(max(-(-lower // tick) * tick, tick), upper // tick * tick)

    def _fixed(self, contract: Contract, at: float, start: float) -> tuple[int, int]:
        """Return the day's limits in paise, before they are put on ticks."""
        opened_at = self._market.opened_at(contract.underlying, at)
        close = self._market.previous_close(contract.underlying, at if opened_at is None else opened_at)
        match contract.instrument_type:
            case InstrumentType.CE | InstrumentType.PE:
                ends = [self._premium(contract, close * (100 + move) / 100, start) for move in _MOVES]
                return min(ends), max(ends)
            case InstrumentType.FUT:
                paise, percent = round(pricing.forward(close, self._years(contract, start)) * 100), FUTURE_PERCENT
            case InstrumentType.EQ | InstrumentType.INDEX:
                paise, percent = round(close * 100), SHARE_PERCENT
            case _:
                assert_never(contract.instrument_type)
        return paise * (100 - percent) // 100, paise * (100 + percent) // 100

    def _premium(self, contract: Contract, spot: float, at: float) -> int:
        time = self._years(contract, at)
        future = pricing.forward(spot, time)
        volatility = pricing.smile(INDICES[contract.underlying].volatility, future, contract.strike, time)
        call = contract.instrument_type is InstrumentType.CE
        return round(pricing.premium(future, contract.strike, time, volatility, call=call) * 100)

    def _years(self, contract: Contract, at: float) -> float:
        return pricing.years(self._close_of(contract) - at)


_MOVES = (-UNDERLYING_PERCENT, UNDERLYING_PERCENT)


def tick_of(contract: Contract) -> int:
    """Tick of a contract in paise."""
    return max(round(contract.tick_size * 100), 1)
