"""Option premiums: Black-76 on the future, with a modest smile."""

from __future__ import annotations

import math
from dataclasses import dataclass

RATE = 0.065
"""Carry and discount rate, a year, continuously compounded."""
YEAR_SECONDS = 365.0 * 86_400.0
SHORTEST_SECONDS = 900.0
"""Premiums of the last quarter of an hour stand still in time, so that expiry day stays tradable at any hour."""
DAYS = 365.0


@dataclass(frozen=True, slots=True)
class Greeks:
    """Sensitivities of one option: volatility in percent, theta in ₹ a day, vega in ₹ per percentage point."""

    implied_volatility: float
    delta: float
    gamma: float
    theta: float
    vega: float


def years(seconds: float) -> float:
    """Time to expiry in years, never shorter than a quarter of an hour.

    >>> round(years(YEAR_SECONDS), 6), years(-5.0) == years(900.0)
    (1.0, True)
    """
    return max(seconds, SHORTEST_SECONDS) / YEAR_SECONDS


def forward(spot: float, time: float) -> float:
    """Price of the future in ₹: spot at carry over ``time`` years.

    >>> round(forward(26000.0, 9 / 365), 2)
    26041.7
    """
    return spot * math.exp(RATE * time)


def smile(level: float, future: float, strike: float, time: float) -> float:
    """Volatility of a strike as a fraction a year: puts a little dearer than calls, both wings dearer than the middle.

    ``level`` is the volatility at the money. The result stays within 0.7 and 2.2 times of it.

    >>> smile(0.13, 26000.0, 26000.0, 0.02)
    0.13
    >>> smile(0.13, 26000.0, 25000.0, 0.02) > smile(0.13, 26000.0, 27000.0, 0.02) > 0.13
    True
    """
    moneyness = math.log(strike / future) / (level * math.sqrt(time))
    shape = 1.0 - 0.03 * moneyness + 0.02 * moneyness * moneyness
    return level * min(max(shape, 0.7), 2.2)


def premium(future: float, strike: float, time: float, volatility: float, *, call: bool) -> float:
    """Black-76 premium in ₹.

    >>> call = premium(26040.0, 26000.0, 0.025, 0.13, call=True)
    >>> put = premium(26040.0, 26000.0, 0.025, 0.13, call=False)
    >>> round(call, 2), round(call - put, 2) == round(40 * math.exp(-RATE * 0.025), 2)
    (233.58, True)
    """
    spread = volatility * math.sqrt(time)
    d1 = math.log(future / strike) / spread + spread / 2.0
    d2 = d1 - spread
    sign = 1.0 if call else -1.0
    value = sign * (future * _normal(sign * d1) - strike * _normal(sign * d2))
    return max(math.exp(-RATE * time) * value, 0.0)


def greeks(future: float, strike: float, time: float, volatility: float, *, call: bool) -> Greeks:
    """Black-76 sensitivities to the future, rounded as OpenAlgo rounds them.

    >>> greeks(26040.0, 26000.0, 0.025, 0.13, call=True).delta
    0.533
    """
    root = math.sqrt(time)
    spread = volatility * root
    d1 = math.log(future / strike) / spread + spread / 2.0
    discount = math.exp(-RATE * time)
    density = math.exp(-d1 * d1 / 2.0) / math.sqrt(2.0 * math.pi)
    sign = 1.0 if call else -1.0
    value = premium(future, strike, time, volatility, call=call)
    decay = -future * discount * density * volatility / (2.0 * root) + RATE * value
    return Greeks(
        implied_volatility=round(volatility * 100.0, 2),
        delta=round(sign * discount * _normal(sign * d1), 4),
        gamma=round(discount * density / (future * spread), 6),
        theta=round(decay / DAYS, 4),
        vega=round(future * discount * density * root / 100.0, 4),
    )


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
