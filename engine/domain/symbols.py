"""OpenAlgo's symbols: one parser and one formatter (RULES 1).

A future is the underlying, the expiry as DDMMMYY and FUT; an option has the strike (decimals only if needed) and CE or
PE instead. Equities and indices are their bare name.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from engine.domain.errors import SymbolError
from engine.domain.instruments import Exchange, InstrumentType

INDEX_EXCHANGES = frozenset({Exchange.NSE_INDEX, Exchange.BSE_INDEX, Exchange.MCX_INDEX, Exchange.GLOBAL_INDEX})
CASH_EXCHANGES = frozenset({Exchange.NSE, Exchange.BSE})

# not strftime: its month names follow the locale of the machine
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NAME = re.compile(r"[A-Z0-9][A-Z0-9&_.-]*")
_DERIVATIVE = re.compile(
    r"(?P<underlying>[A-Z0-9][A-Z0-9&_.-]*?)(?P<expiry>\d{2}[A-Z]{3}\d{2})"
    r"(?:(?P<future>FUT)|(?P<strike>\d+(?:\.\d+)?)(?P<right>CE|PE))"
)
_EXPIRY = re.compile(r"(\d{2})-?([A-Z]{3})-?(\d{4}|\d{2})")


@dataclass(frozen=True, slots=True)
class ParsedSymbol:
    """What a symbol says: ``expiry`` None and ``strike`` 0.0 where the instrument has none."""

    underlying: str
    instrument_type: InstrumentType
    expiry: date | None
    strike: float


def parse_expiry(text: str) -> date:
    """Return the date of ``01-DEC-26``, ``01DEC26`` or ``01-Dec-2026``, the forms OpenAlgo uses (RULES 1).

    Raises SymbolError for anything else and for days that do not exist.

    >>> parse_expiry("01-DEC-26") == parse_expiry("01DEC26") == parse_expiry("01-Dec-2026") == date(2026, 12, 1)
    True
    """
    match = _EXPIRY.fullmatch(text.strip().upper())
    if match is None or match[2] not in _MONTHS:
        raise SymbolError("expiry", f"{text!r} is not a date like 01-DEC-26 or 01DEC26")
    year = int(match[3]) + (2000 if len(match[3]) == 2 else 0)
    try:
        return date(year, _MONTHS.index(match[2]) + 1, int(match[1]))
    except ValueError as error:
        raise SymbolError("expiry", f"{text!r} is not a day of the calendar") from error


def format_expiry_compact(expiry: date) -> str:
    """Write an expiry in the form that symbols and the option chain want (RULES 1).

    >>> format_expiry_compact(date(2026, 12, 1))
    '01DEC26'
    """
    return f"{expiry.day:02d}{_MONTHS[expiry.month - 1]}{expiry.year % 100:02d}"


def format_expiry_dashed(expiry: date) -> str:
    """Write an expiry in the form that the expiry endpoint answers (RULES 1).

    >>> format_expiry_dashed(date(2026, 12, 1))
    '01-DEC-26'
    """
    return f"{expiry.day:02d}-{_MONTHS[expiry.month - 1]}-{expiry.year % 100:02d}"


def format_strike(strike: float) -> str:
    """Write a strike (₹) as symbols do: no exponent, decimals only if needed.

    Raises SymbolError if it is not a positive finite number.

    >>> format_strike(26000.0), format_strike(24292.5)
    ('26000', '24292.5')
    """
    if not math.isfinite(strike) or strike <= 0:
        raise SymbolError("strike", f"{strike!r} is not a positive number")
    return format(Decimal(str(strike)).normalize(), "f")


def format_option(underlying: str, expiry: date, strike: float, instrument_type: InstrumentType) -> str:
    """Return the symbol of an option; ``strike`` in ₹ (RULES 1).

    Raises SymbolError for a bad underlying or strike, or an ``instrument_type`` other than CE and PE.

    >>> format_option("NIFTY", date(2026, 12, 1), 26000, InstrumentType.CE)
    'NIFTY01DEC2626000CE'
    """
    if instrument_type not in (InstrumentType.CE, InstrumentType.PE):
        raise SymbolError("instrument_type", f"{instrument_type} is not an option: CE or PE is needed")
    return f"{_checked_name(underlying)}{format_expiry_compact(expiry)}{format_strike(strike)}{instrument_type}"


def format_future(underlying: str, expiry: date) -> str:
    """Return the symbol of a future (RULES 1).

    >>> format_future("BANKNIFTY", date(2026, 12, 29))
    'BANKNIFTY29DEC26FUT'
    """
    return f"{_checked_name(underlying)}{format_expiry_compact(expiry)}FUT"


def parse_symbol(symbol: str, exchange: Exchange | str) -> ParsedSymbol:
    """Tell what an OpenAlgo symbol names on an exchange (RULES 1).

    The exchange decides: a bare name is an index on an index exchange and an equity on NSE or BSE; everywhere else the
    symbol must be a future or an option. Only the spelling that the formatters give is accepted, so that a symbol and
    its parts convert into each other without loss. Raises SymbolError.

    >>> parse_symbol("VEDL25APR24292.5CE", "NFO").strike
    292.5
    """
    venue = _exchange(exchange)
    match = _DERIVATIVE.fullmatch(symbol)
    if venue in INDEX_EXCHANGES or venue in CASH_EXCHANGES:
        if match is not None:
            raise SymbolError("symbol", f"{symbol!r} is a derivative, which {venue} does not trade")
        kind = InstrumentType.INDEX if venue in INDEX_EXCHANGES else InstrumentType.EQ
        return ParsedSymbol(_checked_name(symbol), kind, None, 0.0)
    if match is None:
        raise SymbolError("symbol", f"{symbol!r} is neither a future nor an option of {venue}")
    expiry = parse_expiry(match["expiry"])
    if match["future"]:
        return ParsedSymbol(match["underlying"], InstrumentType.FUT, expiry, 0.0)
    strike = float(match["strike"])
    if strike <= 0 or format_strike(strike) != match["strike"]:
        raise SymbolError("symbol", f"{symbol!r} writes its strike in a form that no exchange uses")
    return ParsedSymbol(match["underlying"], InstrumentType(match["right"]), expiry, strike)


def _exchange(exchange: Exchange | str) -> Exchange:
    try:
        return Exchange(exchange)
    except ValueError as error:
        raise SymbolError("exchange", f"{exchange!r} is not an exchange of OpenAlgo") from error


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise SymbolError("symbol", f"{name!r} is not a name in capitals and digits")
    return name
