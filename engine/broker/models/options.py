"""Option chains, resolved offsets and greeks; prices in ₹, volatility in percent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from engine.domain.instruments import Exchange, InstrumentType


@dataclass(frozen=True, slots=True)
class ChainGreeks:
    """Volatility (percent) and greeks of one option of a chain."""

    implied_volatility: float
    delta: float
    gamma: float
    theta: float
    vega: float


@dataclass(frozen=True, slots=True)
class ChainSide:
    """A call or a put of one strike; ``label`` is ATM, ITMn or OTMn, ``greeks`` only where they were asked for."""

    symbol: str
    ltp: float
    bid: float
    ask: float
    lot_size: int
    tick_size: float
    oi: int
    volume: int
    label: str = ""
    greeks: ChainGreeks | None = None


@dataclass(frozen=True, slots=True)
class ChainRow:
    """One strike; a side that is not listed is None."""

    strike: float
    ce: ChainSide | None
    pe: ChainSide | None


@dataclass(frozen=True, slots=True)
class OptionChain:
    """One chain of one expiry, read in one call: all legs of a run resolve from it (RULES 1)."""

    underlying: str
    underlying_exchange: Exchange
    underlying_ltp: float
    atm_strike: float
    expiry: date
    rows: tuple[ChainRow, ...]
    begun_at: datetime
    ended_at: datetime
    underlying_prev_close: float | None = None
    forward_price: float | None = None


@dataclass(frozen=True, slots=True)
class OptionSymbol:
    """The contract that an offset means now; ``freeze_quantity`` None: not known (the server says 1 then)."""

    symbol: str
    exchange: Exchange
    lot_size: int
    tick_size: float
    freeze_quantity: int | None
    underlying_ltp: float


@dataclass(frozen=True, slots=True)
class OptionGreeks:
    """Greeks of one option. ``spot_price`` is a forward price where no spot is given; volatility in percent."""

    symbol: str
    exchange: Exchange
    underlying: str
    option_type: InstrumentType
    strike: float
    expiry: date
    days_to_expiry: float
    option_price: float
    spot_price: float
    interest_rate: float
    implied_volatility: float
    delta: float
    gamma: float
    theta: float
    vega: float
    rho: float


@dataclass(frozen=True, slots=True)
class SyntheticFuture:
    """The future that a call and a put at the money make, in ₹."""

    underlying: str
    expiry: date
    atm_strike: float
    underlying_ltp: float
    price: float
