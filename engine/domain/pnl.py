"""Profit and loss from fills, in exact integer paise (RULES 6 and 7)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from engine.domain.errors import DomainError, RuleError
from engine.domain.instruments import Action, InstrumentType
from engine.domain.legs import OPTION_TYPES
from engine.domain.money import rupees, value_paise
from engine.domain.prices import is_price

KeyT = TypeVar("KeyT", bound=Hashable)

SMALLEST_NET_PERCENT = 20
"""Limits in % of V need a net premium of at least this share of all premium traded."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a run holds under one key; quantities in units, money in paise.

    ``quantity`` is signed. ``open_value_paise`` is what the open quantity cost: above 0 for a long one, below 0 (money
    received) for a short one. At every moment sells − buys = realised − open value.
    """

    quantity: int = 0
    buy_value_paise: int = 0
    sell_value_paise: int = 0
    buy_quantity: int = 0
    sell_quantity: int = 0
    realised_paise: int = 0
    open_value_paise: int = 0


FLAT = Holding()
"""Nothing bought, nothing sold."""


@dataclass(frozen=True, slots=True)
class EntryFill:
    """A fill of the entry: its value is price × quantity in paise."""

    action: Action
    instrument_type: InstrumentType
    value_paise: int


@dataclass(frozen=True, slots=True)
class EntryPremium:
    """V and the sum of all premium traded, paise; ``refusal`` says why no limit may be a percentage of V."""

    value_paise: int
    gross_paise: int
    refusal: str | None


def apply_fill(holding: Holding, action: Action, quantity: int, value: int) -> Holding:
    """Return the holding after a fill of ``quantity`` units for ``value`` paise, by average cost (RULES 6).

    Closing takes its share of the open value, rounded toward zero; the remainder stays with what is open, so that no
    paisa is lost. A fill beyond the open quantity closes it and opens the rest on the other side. Raises DomainError
    unless ``quantity`` is above 0 and ``value`` at least 0.

    >>> sold = apply_fill(Holding(), Action.SELL, 130, 1_950_000)
    >>> apply_fill(sold, Action.BUY, 65, 650_000).realised_paise
    325000
    """
    if quantity <= 0:
        raise DomainError("quantity", f"{quantity} is not a filled quantity: it must be above 0")
    if value < 0:
        raise DomainError("value_paise", f"{value} is negative")
    closing = min(quantity, abs(holding.quantity)) if holding.quantity * action.sign < 0 else 0
    closing_value = value * closing // quantity
    freed = _share(holding.open_value_paise, closing, abs(holding.quantity))
    bought = action is Action.BUY
    return replace(
        holding,
        quantity=holding.quantity + action.sign * quantity,
        buy_value_paise=holding.buy_value_paise + (value if bought else 0),
        sell_value_paise=holding.sell_value_paise + (0 if bought else value),
        buy_quantity=holding.buy_quantity + (quantity if bought else 0),
        sell_quantity=holding.sell_quantity + (0 if bought else quantity),
        realised_paise=holding.realised_paise - action.sign * closing_value - freed,
        open_value_paise=holding.open_value_paise - freed + action.sign * (value - closing_value),
    )


def average_price(holding: Holding) -> float | None:
    """Return the average price of the open quantity (₹), None when nothing is open.

    >>> average_price(apply_fill(Holding(), Action.SELL, 65, 975_000))
    150.0
    """
    if holding.quantity == 0:
        return None
    return rupees(holding.open_value_paise) / holding.quantity


def profit_paise(holdings: Mapping[KeyT, Holding], prices: Mapping[KeyT, float | None]) -> int | None:
    """Return P in paise: sells − buys + Σ quantity × price (RULES 6).

    ``prices`` holds the confirmed price (₹) of each open key; None if any of them has none. Closed keys need no price.

    >>> profit_paise({"call": apply_fill(Holding(), Action.SELL, 65, 975_000)}, {"call": 140.0})
    65000
    """
    total = 0
    for key, holding in holdings.items():
        total += holding.sell_value_paise - holding.buy_value_paise
        if holding.quantity:
            price = prices.get(key)
            if price is None or not is_price(price):
                return None
            total += value_paise(price, holding.quantity)
    return total


def entry_premium(fills: Iterable[EntryFill]) -> EntryPremium:
    """Return V = |Σ sold premium − Σ bought premium| of the option legs, and whether limits may use it (RULES 7).

    Refused with futures or equity legs, and where V is less than 20 % of all premium traded.
    """
    taken = list(fills)
    options = [fill for fill in taken if fill.instrument_type in OPTION_TYPES]
    net = abs(sum(fill.action.sign * fill.value_paise for fill in options))
    gross = sum(fill.value_paise for fill in options)
    refusal = None
    if len(options) < len(taken):
        refusal = "the run has legs that are not options"
    elif gross == 0:
        refusal = "no premium was traded"
    elif net * 100 < gross * SMALLEST_NET_PERCENT:
        refusal = f"the net premium is less than {SMALLEST_NET_PERCENT} % of the premium traded"
    return EntryPremium(net, gross, refusal)


def entry_premium_value(fills: Iterable[EntryFill]) -> int:
    """Return V in paise for limits in % of it. Raises RuleError where RULES 7 refuses such limits.

    >>> call = EntryFill(Action.SELL, InstrumentType.CE, value_paise(150, 75))
    >>> put = EntryFill(Action.SELL, InstrumentType.PE, value_paise(120, 75))
    >>> rupees(entry_premium_value([call, put]))
    20250.0
    """
    premium = entry_premium(fills)
    if premium.refusal is not None:
        raise RuleError("percent_of_premium", f"{premium.refusal}: set the limit in ₹ or per lot")
    return premium.value_paise


def _share(amount: int, part: int, whole: int) -> int:
    if part == 0:
        return 0
    size = abs(amount) * part // whole
    return size if amount >= 0 else -size
