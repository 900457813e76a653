"""How figures look: rupees in lakh and crore, profit with its sign, Indian time, ages in words. Unknown is a dash."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from engine.services.amounts import UNKNOWN, count, grouped, profit, rupees

__all__ = [
    "IST", "UNKNOWN", "age", "clock", "coloured_profit", "count", "grouped", "percent", "plain", "price", "profit",
    "quantity", "rupees", "short_rupees", "since",
]  # fmt: skip

IST = timezone(timedelta(hours=5, minutes=30), "IST")


def short_rupees(paise: int | None) -> str:
    """Return an amount in lakh or crore where it is large, for cards.

    >>> short_rupees(150000000), short_rupees(25_00_00_000_00), short_rupees(987650), short_rupees(None)
    ('₹15.00 L', '₹25.00 Cr', '₹9,876.50', '–')
    """
    if paise is None:
        return UNKNOWN
    sign, amount = ("−" if paise < 0 else ""), abs(paise)
    if amount >= 100_00_000_00:
        return f"{sign}₹{amount / 100_00_000_00:.2f} Cr"
    if amount >= 10_00_000_00:
        return f"{sign}₹{amount / 1_00_000_00:.2f} L"
    return rupees(paise)


def coloured_profit(paise: int | None, *, decimals: bool = True) -> str:
    """Return a profit or loss as Markdown: green above zero, red below, grey when unknown.

    >>> coloured_profit(487250), coloured_profit(-5), coloured_profit(None)
    (':green[+₹4,872.50]', ':red[−₹0.05]', ':gray[–]')
    """
    text = profit(paise, decimals=decimals)
    if paise is None:
        return f":gray[{text}]"
    return f":green[{text}]" if paise > 0 else f":red[{text}]" if paise < 0 else text


def price(value: float | None) -> str:
    """Return a price in ₹ with two decimals.

    >>> price(131.2), price(26012.45), price(None)
    ('131.20', '26,012.45', '–')
    """
    if value is None:
        return UNKNOWN
    sign = "−" if value < 0 else ""
    whole, part = divmod(round(abs(value) * 100), 100)
    return f"{sign}{grouped(whole)}.{part:02d}"


def quantity(units: int) -> str:
    """Return a signed quantity: what is owned with +, what is owed with −.

    >>> quantity(195), quantity(-2600), quantity(0)
    ('+195', '−2,600', '0')
    """
    return f"+{grouped(units)}" if units > 0 else grouped(units)


def percent(value: float) -> str:
    """Return a percentage without needless decimals.

    >>> percent(65.0), percent(12.5)
    ('65 %', '12.5 %')
    """
    return f"{value:g} %"


def clock(moment: datetime | None, *, now: datetime | None = None) -> str:
    """Return Indian time; the date too when it is another day than ``now``.

    >>> from datetime import UTC
    >>> clock(datetime(2026, 11, 20, 6, 30, tzinfo=UTC), now=datetime(2026, 11, 20, 9, 0, tzinfo=UTC))
    '12:00:00'
    >>> clock(datetime(2026, 11, 20, 6, 30, tzinfo=UTC))
    '20 Nov 12:00:00'
    """
    if moment is None:
        return UNKNOWN
    local = moment.astimezone(IST)
    if now is not None and now.astimezone(IST).date() == local.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%d %b %H:%M:%S}"


def age(seconds: float | None) -> str:
    """Return an age in words.

    >>> [age(s) for s in (0.2, 3.4, 75, 4000, 200_000, None)]
    ['now', '3 s ago', '1 min ago', '1 h ago', '2 d ago', 'never']
    """
    if seconds is None:
        return "never"
    if seconds < 1:
        return "now"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def since(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a moment was, in words."""
    return age(None if moment is None else max(0.0, (now - moment).total_seconds()))


def plain(text: str) -> str:
    r"""Return text that a person or a broker wrote so that Markdown shows it as it is.

    >>> plain("a*b [c](d) :red[e] $x$")
    'a\\*b \\[c\\](d) \\:red\\[e\\] \\$x\\$'
    """
    return "".join(f"\\{character}" if character in "\\`*_[]{}<>#|$~:!" else character for character in text)
