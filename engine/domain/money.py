"""Money as integer paise: sums that are exact, rupees only at the edge."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

from engine.domain.errors import DomainError

MOST_RUPEES = Decimal(10) ** 15
"""No amount of a family is larger; what is comes from a typing error or a broken server."""

PLAIN_RUPEES = 1e7
"""Below this every price of two decimals is the nearest number to its paise / 100, and back."""


def paise(rupees: float | str | Decimal) -> int:
    """₹ as integer paise, rounded half up from the printed decimal.

    Raises DomainError for text that is no number, NaN, infinities and amounts beyond ₹ 10¹⁵.

    >>> paise(235.4), paise("0.05"), paise(-1.005)
    (23540, 5, -101)
    """
    try:
        value = Decimal(str(rupees))
    except (ArithmeticError, ValueError) as error:  # ValueError: an integer too long to print
        raise DomainError("amount", f"{_shown(rupees)} is not a number") from error
    if not value.is_finite():
        raise DomainError("amount", f"{_shown(rupees)} is not finite")
    return _rounded(value, _shown(rupees))


def rupees(amount_paise: int) -> float:
    """Paise as ₹ for display and for comparison with limits.

    >>> rupees(23540)
    235.4
    """
    return amount_paise / 100


def value_paise(price: float, quantity: int) -> int:
    """Price (₹) × quantity as integer paise, exact for prices of any number of decimals up to rounding of the product.

    Raises DomainError for a price that is not finite and a value beyond ₹ 10¹⁵.

    >>> value_paise(235.4, 65), value_paise(100.03333, 3)
    (1530100, 30010)
    """
    if not math.isfinite(price):
        raise DomainError("price", f"{price!r} is not finite")
    if abs(price) < PLAIN_RUPEES and abs(quantity) < PLAIN_RUPEES and (whole := round(price * 100)) / 100 == price:
        return whole * quantity  # whole paise, as all prices of an exchange are: exact, and ten times as fast
    shown = f"{_shown(price)} × {_shown(quantity)}"
    try:
        value = Decimal(str(price)) * quantity
    except ArithmeticError as error:
        raise DomainError("amount", f"{shown} is too large") from error
    return _rounded(value, shown)


def _rounded(value: Decimal, shown: str) -> int:
    if value.copy_abs() > MOST_RUPEES:
        raise DomainError("amount", f"{shown} is too large")
    return int((value * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _shown(figure: object) -> str:
    try:
        text = repr(figure)
    except ValueError:  # an integer too long to print
        return "the figure"
    return text if len(text) <= 40 else f"{text[:37]}…"
