"""From an underlying, an expiry and a distance from the money to a contract: ATM, ITMn, OTMn.

Serves ``optionsymbol``, ``syntheticfuture``, ``optionchain`` and the option orders (openalgo-contract, "Market data").
An underlying is an index, a share, or a future's symbol, whose expiry then stands for a missing expiry date. Its price
is always the spot's, and the future itself need not be listed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from engine.domain.errors import DomainError, SymbolError
from engine.domain.instruments import Contract, Exchange, InstrumentType
from engine.domain.symbols import format_expiry_compact, parse_expiry, parse_symbol
from engine.paper.catalogue import INDICES, SHARES, Index, Share
from engine.paper.exchange import PaperExchange
from engine.paper.wire import BAD_KEY, Refusal

NO_EXPIRY = "Expiry date required. Provide via expiry_date parameter or embed in underlying (e.g., NIFTY28OCT25FUT)."
FURTHEST = 50
_OFFSET = re.compile(r"(ATM)|(ITM|OTM)([1-9]\d?)")


@dataclass(frozen=True, slots=True)
class Underlying:
    """What options are on: its base name and spot exchange, its price in ₹, the expiry that its symbol named."""

    name: str
    exchange: Exchange
    ltp: float
    expiry: str | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The contract that an offset meant, and the underlying's price in ₹ that it was counted from."""

    contract: Contract
    underlying_ltp: float


def resolve(
    exchange: PaperExchange,
    *,
    api_key: str,
    underlying: str,
    segment: str,
    expiry_date: str | None,
    offset: str,
    option_type: str,
    strike_step: int | None = None,
) -> Resolved:
    """Return the listed option at an offset from the money.

    ``segment`` is the request's ``exchange``, ``expiry_date`` has the form 01DEC26, ``option_type`` is CE or PE.
    ``strike_step`` (the wire's ``strike_int``) leaves only the strikes that are its multiples. Raises Refusal in
    OpenAlgo's words: 403 bad key, 400 no expiry date, unknown underlying or offset out of range, 404 unknown expiry.
    """
    if api_key not in exchange.accounts:
        raise Refusal(403, f"Failed to fetch LTP for {underlying}. {BAD_KEY}")
    base, named = split(underlying)
    wanted = expiry_date or named
    if not wanted:
        raise Refusal(400, NO_EXPIRY)
    spot = spot_of(exchange, underlying, segment, joint=". ")
    day, strikes = listed_strikes(exchange, base, wanted)
    if strike_step:
        strikes = [strike for strike in strikes if strike % strike_step == 0]
    index = _distance(offset, InstrumentType(option_type))
    position = None if index is None or not strikes else at_the_money(strikes, spot.ltp) + index
    if position is None or not 0 <= position < len(strikes):
        raise Refusal(400, f"Offset {offset} is out of range for available strikes. Please use a smaller offset.")
    contract = exchange.listing.option(base, day, strikes[position], InstrumentType(option_type))
    return Resolved(contract, spot.ltp)


def split(underlying: str) -> tuple[str, str | None]:
    """Return base name and expiry of an underlying; only a future's symbol has an expiry.

    >>> split("NIFTY08DEC26FUT"), split("NIFTY")
    (('NIFTY', '08DEC26'), ('NIFTY', None))
    """
    try:
        parsed = parse_symbol(underlying, Exchange.NFO)
    except DomainError:
        return underlying, None
    if parsed.expiry is None or parsed.instrument_type is not InstrumentType.FUT:
        return underlying, None
    return parsed.underlying, format_expiry_compact(parsed.expiry)


def spot_of(exchange: PaperExchange, underlying: str, segment: str, *, joint: str) -> Underlying:
    """Return an underlying's spot on its own exchange or on that of its derivatives.

    ``joint`` stands between the two halves of the message of the Refusal (400) for any other.
    """
    base, expiry = split(underlying)
    known: Index | Share | None = INDICES.get(base) or SHARES.get(base)
    derivatives = exchange.listing.segment(base) or Exchange.NFO
    if known is None or segment not in (known.exchange, derivatives):
        problem = f"Failed to fetch LTP for {underlying}{joint}{not_found(underlying, segment)}"
        raise Refusal(400, problem)
    return Underlying(base, known.exchange, exchange.market.spot(base, exchange.clock()), expiry)


def listed_strikes(exchange: PaperExchange, base: str, written: str) -> tuple[date, list[float]]:
    """Return the expiry and its strikes in ₹, ascending. Raises Refusal (404) if there are none.

    Only the form 01DEC26 names an expiry: OpenAlgo compares text.
    """
    day = _compact_date(written)
    strikes = [] if day is None else exchange.listing.strikes(base, day)
    if day is None or not strikes:
        problem = f"No strikes found for {base} expiring {written}. Please check expiry date or update master contract."
        raise Refusal(404, problem)
    return day, strikes


def at_the_money(strikes: Sequence[float], spot: float) -> int:
    """Return the place of the strike nearest to the spot, of two the lower.

    >>> at_the_money([25900.0, 25950.0, 26000.0], 25975.0)
    1
    """
    return min(range(len(strikes)), key=lambda k: (abs(strikes[k] - spot), strikes[k]))


def label(distance: int, kind: InstrumentType) -> str:
    """Name a strike ``distance`` places above the money (below if negative).

    >>> label(2, InstrumentType.CE), label(2, InstrumentType.PE), label(0, InstrumentType.PE)
    ('OTM2', 'ITM2', 'ATM')
    """
    if not distance:
        return "ATM"
    outside = distance > 0 if kind is InstrumentType.CE else distance < 0
    return f"{'OTM' if outside else 'ITM'}{abs(distance)}"


def is_offset(written: str) -> bool:
    """Tell whether a text is ATM, ITM1 to ITM50 or OTM1 to OTM50."""
    return _distance(written, InstrumentType.CE) is not None


def not_found(symbol: str, segment: str) -> str:
    """Return OpenAlgo's words about a symbol that is not listed."""
    return (
        f"Symbol '{symbol}' not found for exchange '{segment}'. "
        "Please verify the symbol name and ensure master contracts are downloaded."
    )


def _distance(offset: str, kind: InstrumentType) -> int | None:
    match = _OFFSET.fullmatch(offset.upper())
    if match is None:
        return None
    if match[1]:
        return 0
    count = int(match[3])
    if count > FURTHEST:
        return None
    return count if (match[2] == "OTM") == (kind is InstrumentType.CE) else -count


def _compact_date(written: str) -> date | None:
    try:
        day = parse_expiry(written)
    except SymbolError:
        return None
    return day if format_expiry_compact(day) == written else None
