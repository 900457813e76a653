"""The documented fields of every request, and OpenAlgo's words about those that are wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.domain.instruments import Exchange

EXCHANGE_ORDER = (
    "NSE", "NFO", "CDS", "BSE", "BFO", "BCD", "MCX", "NCDEX", "NCO",
    "NSE_INDEX", "BSE_INDEX", "MCX_INDEX", "GLOBAL_INDEX", "CRYPTO",
)  # fmt: skip
DERIVATIVE_ORDER = ("NFO", "BFO", "MCX", "CDS", "NCO", "BCD", "NCDEX", "CRYPTO")
MISSING = "Missing data for required field."
LARGEST_NUMBER = 1e15
MOST_ITEMS = 1_000
"""OpenAlgo sets baskets and multiquotes no bound; here others wait while a list is worked through."""
TOO_LONG = f"Longer than maximum length {MOST_ITEMS}."

Reader = Callable[[Any], Any]


class Invalid(Exception):  # noqa: N818 - carries what is wrong, is no fault of ours
    """What is wrong: texts of one field, or a mapping of field (or index) to what is wrong there."""

    def __init__(self, errors: dict[Any, Any] | list[str]) -> None:
        super().__init__(str(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Field:
    """One field: how it is read, whether it must be there, what stands for it if it is not (or null, if it may be)."""

    read: Reader
    required: bool = True
    default: Any = None
    nullable: bool = False


Schema = Mapping[str, Field]


def check(schema: Schema, body: object) -> dict[str, Any]:
    """Return the values of a body. Raises Invalid with every field that is wrong, missing or unknown."""
    if not isinstance(body, dict):
        raise Invalid({"_schema": ["Invalid input type."]})
    values: dict[str, Any] = {}
    errors: dict[Any, Any] = {}
    for name, field in schema.items():
        if name not in body:
            if field.required:
                errors[name] = [MISSING]
            else:
                values[name] = field.default
            continue
        given = body[name]
        if given is None:
            if field.nullable:
                values[name] = field.default
            else:
                errors[name] = ["Field may not be null."]
            continue
        try:
            values[name] = field.read(given)
        except Invalid as problem:
            errors[name] = problem.errors
    for name in body:
        if name not in schema:
            errors[name] = ["Unknown field."]
    if errors:
        raise Invalid(errors)
    return values


def text(given: Any) -> str:
    """Read a string."""
    if not isinstance(given, str):
        raise Invalid(["Not a valid string."])
    return given


def sized(low: int, high: int) -> Reader:
    """Read a string with a length between two bounds."""

    def read(given: Any) -> str:
        value = text(given)
        if not low <= len(value) <= high:
            raise Invalid([f"Length must be between {low} and {high}."])
        return value

    return read


def one_of(choices: tuple[str, ...]) -> Reader:
    """One of the given words."""

    def read(given: Any) -> str:
        value = text(given)
        if value not in choices:
            raise Invalid([f"Must be one of: {', '.join(choices)}."])
        return value

    return read


def number(given: Any) -> float:
    """Read a finite number or its text, up to a quadrillion: more is no amount of anything."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise Invalid(["Not a valid number."])
    try:
        value = float(given)
    except ValueError as problem:
        raise Invalid(["Not a valid number."]) from problem
    except OverflowError as problem:
        raise Invalid(["Number too large."]) from problem
    if not math.isfinite(value):
        raise Invalid(["Special numeric values (nan or infinity) are not permitted."])
    if abs(value) > LARGEST_NUMBER:
        raise Invalid(["Number too large."])
    return value


def price(given: Any) -> float:
    """Read a number that is not negative, in ₹."""
    value = number(given)
    if value < 0:
        raise Invalid(["Must be greater than or equal to 0."])
    return value


def quantity(given: Any) -> int:
    """Read a positive whole number or its text."""
    value = number(given)
    if value <= 0:
        raise Invalid(["Quantity must be a positive number."])
    if value != int(value):
        raise Invalid([f"Fractional quantity ({value}) is not allowed for non-crypto exchanges."])
    return int(value)


def whole(low: int, high: int) -> Reader:
    """Read a whole number between two bounds."""

    def read(given: Any) -> int:
        try:
            value = int(number(given))
        except Invalid as problem:
            raise Invalid(["Not a valid integer."]) from problem
        if not low <= value <= high:
            raise Invalid([f"Must be greater than or equal to {low} and less than or equal to {high}."])
        return value

    return read


def boolean(given: Any) -> bool:
    """Read a truth value, also in the spellings that OpenAlgo takes."""
    words = {"true": True, "t": True, "yes": True, "on": True, "1": True}
    words |= {"false": False, "f": False, "no": False, "off": False, "0": False}
    value = words.get(str(given).lower()) if isinstance(given, bool | int | str) else None
    if value is None:
        raise Invalid(["Not a valid boolean."])
    return value


def items(schema: Schema, *, shortest: int, longest: int = MOST_ITEMS, message: str = TOO_LONG) -> Reader:
    """Read a list of objects of one schema; ``message`` is said about a list that is too short or too long."""

    def read(given: Any) -> list[dict[str, Any]]:
        if not isinstance(given, list):
            raise Invalid(["Not a valid list."])
        if not shortest <= len(given) <= longest:
            raise Invalid([message if longest < MOST_ITEMS or len(given) < shortest else TOO_LONG])
        values: list[dict[str, Any]] = []
        errors: dict[Any, Any] = {}
        for index, item in enumerate(given):
            try:
                values.append(check(schema, item))
            except Invalid as problem:
                errors[index] = problem.errors
        if errors:
            raise Invalid(errors)
        return values

    return read


KEY = Field(sized(1, 256))
SYMBOL = Field(sized(1, 50))
EXCHANGE = Field(one_of(EXCHANGE_ORDER))
STRATEGY = Field(sized(1, 100))
ORDER_ID = Field(sized(1, 64))
ACTION = Field(one_of(("BUY", "SELL", "buy", "sell")))
PRICE_TYPES = ("MARKET", "LIMIT", "SL", "SL-M")
PRODUCTS = ("MIS", "NRML", "CNC")
PRICE = Field(price, required=False, default=0.0)

KEY_ONLY: Schema = {"apikey": KEY}
TOGGLE: Schema = {"apikey": KEY, "mode": Field(boolean)}
INSTRUMENT: Schema = {"apikey": KEY, "symbol": SYMBOL, "exchange": EXCHANGE}
MULTIQUOTES: Schema = {
    "apikey": KEY,
    "symbols": Field(
        items({"symbol": SYMBOL, "exchange": EXCHANGE}, shortest=1, message="Shorter than minimum length 1.")
    ),
}
EXPIRY: Schema = {
    "apikey": KEY,
    "symbol": SYMBOL,
    "exchange": Field(one_of(DERIVATIVE_ORDER)),
    "instrumenttype": Field(one_of(("futures", "options"))),
}
OPTION_CHAIN: Schema = {
    "apikey": KEY,
    "underlying": SYMBOL,
    "exchange": EXCHANGE,
    "expiry_date": Field(text),
    "strike_count": Field(whole(1, 100), required=False),
    "with_greeks": Field(boolean, required=False, default=False),
}
MARGIN: Schema = {
    "apikey": KEY,
    "positions": Field(
        items(
            {
                "symbol": SYMBOL,
                "exchange": EXCHANGE,
                "action": ACTION,
                "product": Field(one_of(PRODUCTS)),
                "pricetype": Field(one_of(PRICE_TYPES)),
                "quantity": Field(text),
                "price": Field(text, required=False, default="0"),
                "trigger_price": Field(text, required=False, default="0"),
            },
            shortest=1,
            longest=50,
            message="Positions must contain 1 to 50 items.",
        )
    ),
}
PLACE_ORDER: Schema = {
    "apikey": KEY,
    "strategy": STRATEGY,
    "symbol": SYMBOL,
    "exchange": EXCHANGE,
    "action": ACTION,
    "quantity": Field(quantity),
    "pricetype": Field(one_of(PRICE_TYPES), required=False, default="MARKET"),
    "product": Field(one_of(PRODUCTS), required=False, default="MIS"),
    "price": PRICE,
    "trigger_price": PRICE,
    "disclosed_quantity": PRICE,
}
MODIFY_ORDER: Schema = {
    "apikey": KEY,
    "orderid": ORDER_ID,
    "strategy": STRATEGY,
    "symbol": SYMBOL,
    "exchange": EXCHANGE,
    "action": ACTION,
    "product": Field(one_of(PRODUCTS)),
    "pricetype": Field(one_of(PRICE_TYPES)),
    "price": Field(price),
    "quantity": Field(quantity),
    "disclosed_quantity": Field(price),
    "trigger_price": Field(price),
}
ORDER_REFERENCE: Schema = {"apikey": KEY, "strategy": STRATEGY, "orderid": ORDER_ID}
HOLIDAYS: Schema = {"apikey": KEY, "year": Field(whole(2020, 2050), required=False)}
TIMINGS: Schema = {"apikey": KEY, "date": Field(text)}

assert set(EXCHANGE_ORDER) == set(Exchange)
