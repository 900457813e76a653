"""Money: what is no amount is refused by name, whatever the digits."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.domain.errors import DomainError
from engine.domain.money import paise, value_paise


@pytest.mark.parametrize(
    "amount", [1e300, -1e300, 1.0000001e15, "1e999999", "1e99999999999", "9" * 60, Decimal("1e40"), -(10**16)]
)
def test_an_amount_beyond_every_real_one_is_refused_by_name(amount: float | str | Decimal) -> None:
    with pytest.raises(DomainError, match=r"^amount: .* is too large$"):
        paise(amount)


@pytest.mark.parametrize("amount", ["", "ten", "nan", "inf", float("nan"), float("-inf"), "1e999999999999999999999"])
def test_what_is_no_amount_is_refused_by_name(amount: float | str) -> None:
    with pytest.raises(DomainError, match=r"^amount: "):
        paise(amount)


def test_an_integer_too_long_to_print_is_refused_by_name() -> None:
    with pytest.raises(DomainError, match=r"^amount: "):
        paise(10**5_000)
    with pytest.raises(DomainError, match=r"^amount: .* is too large$"):
        value_paise(1.0, 10**5_000)


def test_amounts_at_the_bound_are_exact() -> None:
    assert paise("999999999999999.99") == 99_999_999_999_999_999
    assert paise(-1e15) == -(10**17)
    assert paise("1e-999999") == 0


@pytest.mark.parametrize(("price", "quantity"), [(1e300, 1), (1e10, 10**6), (-1e10, 10**6), (235.4, 10**30)])
def test_a_value_beyond_every_real_one_is_refused_by_name(price: float, quantity: int) -> None:
    with pytest.raises(DomainError, match=r"^amount: .* is too large$"):
        value_paise(price, quantity)


def test_a_value_at_the_bound_is_exact() -> None:
    assert value_paise(1e9, 10**6) == 10**17
    assert value_paise(0.05, -65) == -325
