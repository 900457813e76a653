"""What every answer has in common: its mode, its ``data``, amounts, counts and order ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.broker import fields as f
from engine.broker.answers import order_id
from engine.broker.models import Mode
from engine.domain.errors import DomainError
from engine.domain.money import paise

Answer = Mapping[str, Any]


def mode(answer: Answer) -> Mode:
    """Analyzer answers carry ``mode``; live ones carry none."""
    value = answer.get("mode")
    if value in (None, "live"):
        return Mode.LIVE
    if value == "analyze":
        return Mode.ANALYZE
    raise f.bad("mode", f"{value!r:.40} is neither analyze nor live")


def data(answer: Answer) -> dict[str, Any]:
    """Return the object that most answers keep their figures in."""
    return f.mapping(answer.get("data"), "data")


def amount(row: Answer, name: str) -> int:
    """Return an amount of money in paise."""
    try:
        return paise(f.number(row, name))
    except (DomainError, ArithmeticError):
        raise f.bad(name, "no amount of money") from None


def count(row: Answer, name: str) -> int:
    """Return a whole number of at least zero."""
    value = f.whole(row, name)
    if value < 0:
        raise f.bad(name, f"{value} is negative")
    return value


def count_or_none(row: Answer, name: str) -> int | None:
    """Return a whole number of at least zero; None where the field is missing or null."""
    return None if row.get(name) is None else count(row, name)


def orderid(row: Answer) -> str:
    """Return an order id that can be looked up."""
    found = order_id(row.get("orderid"))
    if found is None:
        raise f.bad("orderid", "no order id")
    return found
