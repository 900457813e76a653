"""Option premiums: Black-76 on the future, with a modest smile.

``smiles`` and ``premiums`` are ``smile`` and ``premium`` of many instants at once, by the same formulas in rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.paper.paths import Floats

RATE = 0.065
"""Carry and discount rate, a year, continuously compounded."""
YEAR_SECONDS = 365.0 * 86_400.0
SHORTEST_SECONDS = 900.0
"""Premiums of the last quarter of an hour stand still in time, so that expiry day stays tradable at any hour."""
DAYS = 365.0


@dataclass(frozen=True, slots=True)
class Greeks:
    """Sensitivities of one option: volatility in percent, theta in ₹ a day, vega and rho in ₹ per percentage point."""

    implied_volatility: float
    delta: float
    gamma: float
    theta: float
    vega: float
    rho: float


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


def premium(future: float, strike: float, time: float, volatility: float, *, call: bool, rate: float = RATE) -> float:
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
    return max(math.exp(-rate * time) * value, 0.0)


def smiles(level: float, futures: Floats, strike: float, times: Floats) -> Floats:
    """Return ``smile`` of several futures (₹) and times (years)."""
    moneyness = np.log(strike / futures) / (level * np.sqrt(times))
    shape = 1.0 - 0.03 * moneyness + 0.02 * moneyness * moneyness
    return level * np.minimum(np.maximum(shape, 0.7), 2.2)


def premiums(futures: Floats, strike: float, times: Floats, volatilities: Floats, *, call: bool) -> Floats:
    """Return ``premium`` of several futures (₹), times (years) and volatilities."""
    spread = volatilities * np.sqrt(times)
    d1 = np.log(futures / strike) / spread + spread / 2.0
    d2 = d1 - spread
    sign = 1.0 if call else -1.0
    values = sign * (futures * _normals(sign * d1) - strike * _normals(sign * d2))
    return np.maximum(np.exp(-RATE * times) * values, 0.0)


def greeks(future: float, strike: float, time: float, volatility: float, *, call: bool, rate: float = RATE) -> Greeks:
    """Black-76 sensitivities to the future, rounded as OpenAlgo rounds them.

    >>> greeks(26040.0, 26000.0, 0.025, 0.13, call=True).delta
    0.533
    >>> greeks(26058.2, 26000.0, 9.191 / 365, 0.1311, call=True, rate=0.0).rho
    -0.062038
    """
    root = math.sqrt(time)
    spread = volatility * root
    d1 = math.log(future / strike) / spread + spread / 2.0
    discount = math.exp(-rate * time)
    density = math.exp(-d1 * d1 / 2.0) / math.sqrt(2.0 * math.pi)
    sign = 1.0 if call else -1.0
    value = premium(future, strike, time, volatility, call=call, rate=rate)
    decay = -future * discount * density * volatility / (2.0 * root) + rate * value
    return Greeks(
        implied_volatility=round(volatility * 100.0, 2),
        delta=round(sign * discount * _normal(sign * d1), 4),
        gamma=round(discount * density / (future * spread), 6),
        theta=round(decay / DAYS, 4),
        vega=round(future * discount * density * root / 100.0, 4),
        rho=round(-time * value / 100.0, 6),
    )


def implied_volatility(
    value: float, future: float, strike: float, time: float, *, call: bool, rate: float = 0.0
) -> float | None:
    """Return the volatility (a fraction a year) at which Black-76 gives a premium of ``value`` ₹.

    None if there is none between 0.1 % and 500 %: a premium at or below what exercising would bring has no time value.

    >>> price = premium(26040.0, 26000.0, 0.025, 0.13, call=True)
    >>> round(implied_volatility(price, 26040.0, 26000.0, 0.025, call=True, rate=RATE), 6)
    0.13
    >>> implied_volatility(39.0, 26040.0, 26000.0, 0.025, call=True) is None
    True
    """
    low, high = 0.001, 5.0
    if not premium(future, strike, time, low, call=call, rate=rate) < value:
        return None
    if not value <= premium(future, strike, time, high, call=call, rate=rate):
        return None
    for _ in range(40):
        middle = (low + high) / 2.0
        if premium(future, strike, time, middle, call=call, rate=rate) < value:
            low = middle
        else:
            high = middle
    return high


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def _normals(x: Floats) -> Floats:
    arguments = (-x / math.sqrt(2.0)).tolist()
    return 0.5 * np.fromiter(map(math.erfc, arguments), np.float64, len(arguments))
