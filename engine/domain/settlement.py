"""What index contracts are worth when their last session is over (RULES 6, "Expired index contracts settle")."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from engine.domain.calendar import Calendar
from engine.domain.contracts import index_exchange
from engine.domain.errors import CalendarError, ContractError, SymbolError
from engine.domain.instruments import Exchange, InstrumentType
from engine.domain.symbols import CASH_EXCHANGES, INDEX_EXCHANGES, parse_symbol

OPEN_ALL_DAY = timedelta(minutes=15)
"""Where the next session begins as the last one ends, a price settles for this long after the close."""


@dataclass(frozen=True, slots=True)
class ContractEnd:
    """The end of a contract: when its last session closes (UTC), and until when its underlying stands where it stood.

    ``index``: symbol and exchange of the index that it settles against, None for what is delivered (stocks).
    """

    closes_at: datetime
    settles_until: datetime
    index: tuple[str, Exchange] | None

    def over(self, now: datetime) -> bool:
        """Whether it trades no more."""
        return now >= self.closes_at


@lru_cache(maxsize=4096)
def contract_end(symbol: str, exchange: Exchange, calendar: Calendar) -> ContractEnd | None:
    """Return when and against what a contract ends; None for what has no expiry and what the calendar cannot place.

    On an expiry that became a holiday the last session is that of the trading day before (RULES 1).
    """
    if exchange in CASH_EXCHANGES or exchange in INDEX_EXCHANGES:
        return None
    try:
        parsed = parse_symbol(symbol, exchange)
        if parsed.expiry is None:
            return None
        day = parsed.expiry
        if not calendar.is_trading_day(exchange, day, assume_weekdays=True):
            day = calendar.previous_trading_day(exchange, day, assume_weekdays=True)
        closes = calendar.last_close(exchange, day, assume_weekdays=True)
        return ContractEnd(closes, _next_open(calendar, exchange, day, closes), _index(parsed.underlying))
    except (CalendarError, SymbolError):
        return None


def intrinsic_value(symbol: str, exchange: Exchange, spot: float) -> float:
    """Return what one unit of an expired contract pays, in ₹: intrinsic value of an option, the index for a future.

    Raises SymbolError for what does not expire, ContractError for a spot that is no price.

    >>> intrinsic_value("NIFTY01DEC2626000CE", Exchange.NFO, 26_130.5)
    130.5
    >>> intrinsic_value("NIFTY01DEC2626000PE", Exchange.NFO, 26_130.5)
    0.0
    >>> intrinsic_value("NIFTY29DEC26FUT", Exchange.NFO, 26_130.5)
    26130.5
    """
    if not math.isfinite(spot) or spot <= 0:
        raise ContractError("spot", f"{spot!r} is no price of an index")
    contract = parse_symbol(symbol, exchange)
    match contract.instrument_type:
        case InstrumentType.CE:
            return round(max(spot - contract.strike, 0.0), 2)
        case InstrumentType.PE:
            return round(max(contract.strike - spot, 0.0), 2)
        case InstrumentType.FUT:
            return spot
        case _:
            raise SymbolError("symbol", f"{symbol!r} does not expire")


def _index(underlying: str) -> tuple[str, Exchange] | None:
    try:
        return underlying, index_exchange(underlying)
    except ContractError:
        return None


def _next_open(calendar: Calendar, exchange: Exchange, day: date, closes: datetime) -> datetime:
    following = calendar.next_trading_day(exchange, day, assume_weekdays=True)
    opens = calendar.sessions(exchange, following, assume_weekdays=True)[0].open
    return max(opens, closes + OPEN_ALL_DAY)
