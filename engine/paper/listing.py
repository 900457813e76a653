"""What is listed today: indices, shares, and derivatives with real expiries and strikes around the spot."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Hashable, Iterator
from datetime import date
from functools import lru_cache
from typing import Any

from engine.domain.calendar import INDIA
from engine.domain.contracts import OPTION_TICK, Terms, derivatives_exchange, fallback_contract_terms
from engine.domain.errors import DomainError
from engine.domain.expiries import listed_expiries
from engine.domain.instruments import Contract, Exchange, InstrumentType
from engine.domain.symbols import ParsedSymbol, format_expiry_dashed, format_future, format_option, parse_symbol
from engine.paper.catalogue import INDICES, SHARES
from engine.paper.clock import trading_day
from engine.paper.market import Market

BAND = 0.12
"""Strikes are listed up to this share beyond the day's extremes of the underlying."""
STEP = 25.0
"""Every distance between strikes is a multiple of it, in ₹."""
FUTURE_TICK = 0.1
WEEKS = 5
MONTHS = 3
OPTIONS = (InstrumentType.CE, InstrumentType.PE)
UNKNOWN_FREEZE = 1
"""What OpenAlgo's ``freeze_qty`` says when it does not know: outside derivatives and for all of BFO."""


class Listing:
    """Contracts of the day. A contract that somebody traded stays known for good (``keep``)."""

    def __init__(self, market: Market, clock: Callable[[], float]) -> None:
        self._market = market
        self._clock = clock
        self._kept: dict[tuple[str, Exchange], Contract] = {}
        self._rows: dict[Exchange, tuple[Hashable, list[dict[str, Any]]]] = {}
        self._bands: dict[str, tuple[Hashable, tuple[float, float]]] = {}

    def now(self) -> float:
        """Return the exchange's time in epoch seconds."""
        return self._clock()

    def resolve(self, symbol: str, exchange: Exchange) -> Contract | None:
        """Return the contract of a symbol if it is listed now, else None."""
        try:
            parsed = parse_symbol(symbol, exchange)
        except DomainError:
            return None
        if parsed.expiry is None:
            return self._cash(parsed, exchange)
        if self.segment(parsed.underlying) is not exchange:
            return None
        kept = self._kept.get((symbol, exchange))
        if kept is not None:
            return kept if trading_day(self._clock()) <= parsed.expiry else None
        futures = parsed.instrument_type is InstrumentType.FUT
        if parsed.expiry not in self.expiries(parsed.underlying, futures=futures):
            return None
        if not futures and not self._lists(parsed.underlying, parsed.expiry, parsed.strike):
            return None
        return self._derivative(symbol, exchange, parsed)

    def contract(self, symbol: str, exchange: Exchange) -> Contract:
        """Return the contract of a symbol that was listed at some time. Raises DomainError for any other."""
        kept = self._kept.get((symbol, exchange))
        if kept is not None:
            return kept
        parsed = parse_symbol(symbol, exchange)
        found = self._cash(parsed, exchange) if parsed.expiry is None else None
        if parsed.expiry is not None and _has_derivatives(parsed.underlying):
            found = self._derivative(symbol, exchange, parsed)
        if found is None:
            raise DomainError("symbol", f"{symbol} is not traded on {exchange}")
        return found

    def keep(self, symbol: str, exchange: Exchange) -> None:
        """Keep a contract known, wherever the spot goes."""
        self._kept[symbol, exchange] = self.contract(symbol, exchange)

    def segment(self, underlying: str) -> Exchange | None:
        """Where derivatives of an index are traded, None if there are none."""
        return derivatives_exchange(underlying) if _has_derivatives(underlying) else None

    def expiries(self, underlying: str, *, futures: bool = False) -> list[date]:
        """Return listed expiries of an index in order, from today on; empty for anything else."""
        if not _has_derivatives(underlying):
            return []
        return _expiries(underlying, trading_day(self._clock()), futures)

    def strikes(self, underlying: str, expiry: date) -> list[float]:
        """Return listed strikes of an expiry in order, in ₹; empty if there is no such expiry."""
        if expiry not in self.expiries(underlying):
            return []
        low, high = self._band(underlying)
        step = self._step(underlying, expiry)
        listed = {k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)}
        listed |= {
            kept.strike
            for kept in self._kept.values()
            if kept.underlying == underlying and kept.expiry == expiry and kept.instrument_type in OPTIONS
        }
        return sorted(listed)

    def option(self, underlying: str, expiry: date, strike: float, kind: InstrumentType) -> Contract:
        """Return a listed option by its parts."""
        return self.contract(format_option(underlying, expiry, strike, kind), derivatives_exchange(underlying))

    def listed_option(self, underlying: str, expiry: date, strike: float, kind: InstrumentType) -> Contract | None:
        """Return an option by its parts if it is listed: of a strike that was kept there may be the call or the put."""
        symbol, exchange = format_option(underlying, expiry, strike, kind), derivatives_exchange(underlying)
        if (symbol, exchange) in self._kept or self._lists(underlying, expiry, strike):
            return self.contract(symbol, exchange)
        return None

    def rows(self, exchange: Exchange) -> list[dict[str, Any]]:
        """Return the rows of everything that is listed on an exchange; they are made anew when the list changes."""
        bands = tuple(self._band(name) for name in INDICES if self.segment(name) is exchange)
        state = (
            trading_day(self._clock()),
            len(self._kept),
            tuple((math.ceil(low / STEP), high // STEP) for low, high in bands),
        )
        known = self._rows.get(exchange)
        if known is None or known[0] != state:
            known = self._rows[exchange] = (state, [self.row(contract) for contract in self.contracts(exchange)])
        return known[1]

    def contracts(self, exchange: Exchange) -> Iterator[Contract]:
        """Give everything that is listed on an exchange: by underlying and expiry the future, then calls and puts."""
        for name in (*INDICES, *SHARES):
            cash = INDICES.get(name) or SHARES[name]
            if cash.exchange is exchange:
                kind = InstrumentType.INDEX if name in INDICES else InstrumentType.EQ
                found = self._cash(ParsedSymbol(name, kind, None, 0.0), exchange)
                assert found is not None
                yield found
            if self.segment(name) is exchange:
                yield from self._derivatives(name, exchange)

    def _derivatives(self, underlying: str, exchange: Exchange) -> Iterator[Contract]:
        futures = set(self.expiries(underlying, futures=True))
        for expiry in sorted(futures | set(self.expiries(underlying))):
            if expiry in futures:
                yield self.contract(format_future(underlying, expiry), exchange)
            for strike in self.strikes(underlying, expiry):
                for kind in OPTIONS:
                    option = self.listed_option(underlying, expiry, strike, kind)
                    if option is not None:
                        yield option

    def close_of(self, contract: Contract) -> float:
        """Epoch seconds at which the last session of a derivative closes on India's exchanges."""
        if contract.expiry is None:
            return 0.0
        return _last_close(contract.exchange, contract.expiry)

    def row(self, contract: Contract) -> dict[str, Any]:
        """Return what the ``symbol`` endpoint shows. OpenAlgo does not know freeze quantities of BFO: 1."""
        is_index = contract.instrument_type is InstrumentType.INDEX
        known = contract.exchange is Exchange.NFO and contract.freeze_quantity is not None
        brexchange = {Exchange.NSE_INDEX: "NSE", Exchange.BSE_INDEX: "BSE"}.get(contract.exchange, contract.exchange)
        name = INDICES[contract.symbol].full_name if is_index else contract.underlying
        number = int.from_bytes(hashlib.blake2b(contract.symbol.encode(), digest_size=3).digest(), "big")
        return {
            "id": number,
            "symbol": contract.symbol,
            "brsymbol": name if is_index else contract.symbol,
            "name": name,
            "exchange": contract.exchange,
            "brexchange": brexchange,
            "token": str(number),
            "expiry": "" if contract.expiry is None else format_expiry_dashed(contract.expiry),
            "strike": contract.strike,
            "lotsize": 0 if is_index else contract.lot_size,
            "instrumenttype": "EQ" if is_index else contract.instrument_type,
            "tick_size": contract.tick_size,
            "freeze_qty": contract.freeze_quantity if known else UNKNOWN_FREEZE,
        }

    def _cash(self, parsed: ParsedSymbol, exchange: Exchange) -> Contract | None:
        name = parsed.underlying
        if parsed.instrument_type is InstrumentType.INDEX:
            index = INDICES.get(name)
            if index is None or index.exchange is not exchange:
                return None
            return Contract(name, exchange, name, InstrumentType.INDEX, None, 0.0, 0, 0.0, None)
        share = SHARES.get(name)
        if share is None or share.exchange is not exchange:
            return None
        return Contract(name, exchange, name, InstrumentType.EQ, None, 0.0, 1, OPTION_TICK, None)

    def _lists(self, underlying: str, expiry: date, strike: float) -> bool:
        low, high = self._band(underlying)
        return low <= strike <= high and strike % self._step(underlying, expiry) == 0

    def _step(self, underlying: str, expiry: date) -> float:
        return _terms(underlying, expiry, trading_day(self._clock())).strike_step

    def _band(self, underlying: str) -> tuple[float, float]:
        """Lowest and highest strike in ₹: around everything the underlying has seen today and around its base."""
        at = self._clock()
        moment = self._market.revision, self._market.moment(underlying, at)
        known = self._bands.get(underlying)
        if known is not None and known[0] == moment:
            return known[1]
        day = self._market.day(underlying, at)
        replayed = self._market.replay is not None and self._market.replay.covers(underlying)
        base = day.open if replayed else INDICES[underlying].base
        band = min(day.low, day.open, base) * (1.0 - BAND), max(day.high, day.open, base) * (1.0 + BAND)
        self._bands[underlying] = (moment, band)
        return band

    def _derivative(self, symbol: str, exchange: Exchange, parsed: ParsedSymbol) -> Contract:
        assert parsed.expiry is not None
        terms = _terms(parsed.underlying, parsed.expiry, trading_day(self._clock()))
        futures = parsed.instrument_type is InstrumentType.FUT
        return Contract(
            symbol=symbol,
            exchange=exchange,
            underlying=parsed.underlying,
            instrument_type=parsed.instrument_type,
            expiry=parsed.expiry,
            strike=parsed.strike,
            lot_size=terms.lot_size,
            tick_size=FUTURE_TICK if futures else terms.tick_size,
            freeze_quantity=terms.freeze_quantity,
        )


def _has_derivatives(underlying: str) -> bool:
    return underlying in INDICES and INDICES[underlying].derivatives


@lru_cache(maxsize=1024)
def _last_close(exchange: Exchange, expiry: date) -> float:
    return INDIA.last_close(exchange, expiry, assume_weekdays=True).timestamp()


@lru_cache(maxsize=1024)
def _terms(underlying: str, expiry: date, today: date) -> Terms:
    return fallback_contract_terms(underlying, expiry, today)


@lru_cache(maxsize=256)
def _expiries(underlying: str, today: date, futures: bool) -> list[date]:
    return listed_expiries(underlying, today, INDIA, weeks=0 if futures else WEEKS, months=MONTHS)
