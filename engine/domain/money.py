"""Money as integer paise: sums that are exact, rupees only at the edge."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

from engine.domain.errors import DomainError


def paise(rupees: float | str | Decimal) -> int:
    """₹ as integer paise, rounded half up from the printed decimal.

    Raises DomainError for text that is no number, NaN and infinities.

    >>> paise(235.4), paise("0.05"), paise(-1.005)
    (23540, 5, -101)
    """
    try:
        value = Decimal(str(rupees))
    except ArithmeticError as error:
        raise DomainError("amount", f"{rupees!r} is not a number") from error
    if not value.is_finite():
        raise DomainError("amount", f"{rupees!r} is not finite")
    return int((value * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def rupees(amount_paise: int) -> float:
    """Paise as ₹ for display and for comparison with limits.

    >>> rupees(23540)
    235.4
    """
    return amount_paise / 100


def value_paise(price: float, quantity: int) -> int:
    """Price (₹) × quantity as integer paise, exact for prices of any number of decimals up to rounding of the product.

    >>> value_paise(235.4, 65), value_paise(100.03333, 3)
    (1530100, 30010)
    """
    if not math.isfinite(price):
        raise DomainError("price", f"{price!r} is not finite")
    return int((Decimal(str(price)) * quantity * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))
