"""What a quoted premium implies: the synthetic future, volatility and greeks.

As OpenAlgo computes them: the forward is the strike at the money plus call less put, interest is 0 unless it is given,
and the volatility is the one at which Black-76 gives the premium that is quoted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from engine.domain.instruments import Contract, InstrumentType
from engine.paper import pricing
from engine.paper.exchange import PaperExchange
from engine.paper.offsets import at_the_money


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A future made of options: strike at the money and its price, in ₹."""

    strike: float
    price: float


def synthetic(exchange: PaperExchange, underlying: str, expiry: date, at: float) -> Synthetic:
    """Return strike + call − put at the strike nearest to the spot. The expiry must be listed."""
    strikes = exchange.listing.strikes(underlying, expiry)
    strike = strikes[at_the_money(strikes, exchange.market.spot(underlying, at))]
    call, put = (
        exchange.quotes.last(exchange.listing.option(underlying, expiry, strike, kind), at)
        for kind in (InstrumentType.CE, InstrumentType.PE)
    )
    return Synthetic(strike, (round(strike * 100) + call - put) / 100)


def measure(contract: Contract, *, premium: float, forward: float, seconds: float, rate: float = 0.0) -> pricing.Greeks:
    """Return implied volatility and sensitivities of an option.

    ``premium`` and ``forward`` in ₹, ``seconds`` to expiry, ``rate`` a year as a fraction. A premium without time value
    implies no volatility: it moves with the forward and with nothing else.
    """
    call, time = contract.instrument_type is InstrumentType.CE, pricing.years(seconds)
    volatility = pricing.implied_volatility(premium, forward, contract.strike, time, call=call, rate=rate)
    if volatility is None:
        return pricing.Greeks(0.0, 1.0 if call else -1.0, 0.0, 0.0, 0.0, 0.0)
    return pricing.greeks(forward, contract.strike, time, volatility, call=call, rate=rate)
