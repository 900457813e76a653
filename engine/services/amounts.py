"""Amounts in words for people: ₹, commas in lakh and crore, a real minus sign; the same on pages and command line."""

from __future__ import annotations

import re

UNKNOWN = "–"
_WRITTEN = re.compile(r"(-?)₹\s?(-?)(\d[\d,]*)(\.\d+)?")


def rupees(paise: int | None, *, decimals: bool = True) -> str:
    """Return an amount in paise as rupees, grouped the Indian way.

    >>> rupees(123456750), rupees(-5), rupees(None), rupees(150000000, decimals=False)
    ('₹12,34,567.50', '−₹0.05', '–', '₹15,00,000')
    """
    if paise is None:
        return UNKNOWN
    sign = "−" if paise < 0 else ""
    whole, part = divmod(abs(paise), 100)
    if not decimals:
        return f"{sign if whole else ''}₹{grouped(whole)}"
    return f"{sign}₹{grouped(whole)}.{part:02d}"


def profit(paise: int | None, *, decimals: bool = True) -> str:
    """Return a profit or loss with its sign.

    >>> profit(487250), profit(-5), profit(0), profit(None)
    ('+₹4,872.50', '−₹0.05', '₹0.00', '–')
    """
    text = rupees(paise, decimals=decimals)
    return f"+{text}" if paise is not None and paise > 0 else text


def grouped(number: int) -> str:
    """Return a whole number with commas after the first three digits and then every two.

    >>> [grouped(n) for n in (7, 999, 1000, 123456, 12345678, -65)]
    ['7', '999', '1,000', '1,23,456', '1,23,45,678', '−65']
    """
    sign, digits = ("−" if number < 0 else ""), str(abs(number))
    head, tail = digits[:-3], digits[-3:]
    groups = [tail]
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    return sign + ",".join(groups)


def regrouped(text: str) -> str:
    """Return text of the pure rules, which write amounts as Python does, with its ₹ amounts as people read them.

    >>> regrouped("margin: ₹252000.00 usable, one structure needs ₹320,000.00"), regrouped("negative: ₹-170,248.00")
    ('margin: ₹2,52,000.00 usable, one structure needs ₹3,20,000.00', 'negative: −₹1,70,248.00')
    """

    def written(found: re.Match[str]) -> str:
        before, inside, whole, part = found.groups()
        return f"{'−' if before or inside else ''}₹{grouped(int(whole.replace(',', '')))}{part or ''}"

    return _WRITTEN.sub(written, text)


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun.

    >>> count(1, "account"), count(3, "account"), count(2, "entry", "entries")
    ('1 account', '3 accounts', '2 entries')
    """
    return f"{grouped(number)} {one if number == 1 else many or one + 's'}"
