"""What an account's server knows of the market: prices, depth, bars, instruments, sessions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from typing import Literal, get_args

from engine.broker.caller import Caller
from engine.broker.errors import BadAnswerError
from engine.broker.models import Depth, Holidays, Interval, Intervals, Quote, SymbolRow, Timings
from engine.broker.parsing import calendar, market
from engine.domain.candles import Bar
from engine.domain.instruments import Exchange
from engine.domain.intervals import Interval as CandleInterval

_log = logging.getLogger(__name__)

LARGEST_MASTER = 128 * 1024 * 1024
"""An instrument master of one exchange: a hundred thousand rows of some 300 bytes, and room."""


class MarketReads(Caller):
    """Reads of the market; every one raises ``errors.BrokerError`` where there is no usable answer."""

    def quotes(self, symbol: str, exchange: Exchange) -> Quote:
        """One quote."""
        return self._read("quotes", {"symbol": symbol, "exchange": exchange.value}, market.quotes)

    def multiquotes(self, symbols: Sequence[tuple[str, Exchange]]) -> dict[tuple[str, Exchange], Quote | str]:
        """Quotes in one call: for each symbol a quote, or the reason why there is none.

        Raises ValueError for no symbols, RefusedError when the server knows none of them.
        """
        if not symbols:
            raise ValueError("symbols: at least one")
        asked = list(dict.fromkeys(symbols))
        payload = {"symbols": [{"symbol": symbol, "exchange": exchange.value} for symbol, exchange in asked]}
        return self._read("multiquotes", payload, lambda answer: market.multiquotes(answer, asked))

    def depth(self, symbol: str, exchange: Exchange) -> Depth:
        """Five levels of bids and asks. A wrong key is answered with 404 and other words here: RefusedError."""
        return self._read("depth", {"symbol": symbol, "exchange": exchange.value}, market.depth)

    def history(
        self, symbol: str, exchange: Exchange, interval: Interval | CandleInterval, first_day: date, last_day: date
    ) -> tuple[Bar, ...]:
        """Bars of the trading days from ``first_day`` to ``last_day`` as the server lists them; () where it has none.

        ``Bar.start`` is the instant at which an intraday bar opens. A bar of a day or longer starts at midnight UTC of
        its trading date (``start.date()`` is that date). The last bar may still be forming, and what a broker sends is
        not checked for sense: that is ``domain.history_bars``. Raises ValueError for an interval that OpenAlgo does
        not have and for days in the wrong order, ServerFailedError for one that this broker does not offer
        (``intervals``).
        """
        name = str(interval)
        if name not in get_args(Interval):
            raise ValueError(f"interval: {name!r:.20} is none of {', '.join(get_args(Interval))}")
        if last_day < first_day:
            raise ValueError("last_day: before first_day")
        payload = {
            "symbol": symbol,
            "exchange": exchange.value,
            "interval": name,
            "start_date": first_day.isoformat(),
            "end_date": last_day.isoformat(),
        }
        return self._read("history", payload, lambda answer: market.history(answer, name))

    def intervals(self) -> Intervals:
        """Return the intervals that ``history`` can be asked for at this broker."""
        return self._read("intervals", {}, market.intervals)

    def symbol(self, symbol: str, exchange: Exchange) -> SymbolRow:
        """Return the instrument master's row; RefusedError with 404 if there is none."""
        return self._read("symbol", {"symbol": symbol, "exchange": exchange.value}, market.symbol)

    def search(self, query: str, exchange: Exchange | None = None) -> tuple[SymbolRow, ...]:
        """Return the instruments that match some words, empty when none does; raises ValueError without words.

        Like ``instruments``, without those of kinds that have no word here.
        """
        if not query.strip():
            raise ValueError("query: is empty")
        payload = {"query": query} if exchange is None else {"query": query, "exchange": exchange.value}
        return self._told(self._read("search", payload, market.symbols))

    def instruments(self, exchange: Exchange, *, wire_format: Literal["json", "csv"] = "json") -> tuple[SymbolRow, ...]:
        """Return every instrument of one exchange; freeze quantities are never part of it.

        A row of an exchange or kind that has no word in ``domain.instruments`` is left out and logged: it takes none of
        the others away. Any other spoiled row spoils the read. The only call that carries the key in its address, as
        the server wants it. ``csv`` is the smaller answer.
        """
        query = {"exchange": exchange.value}
        if wire_format == "csv":
            return self._told(self._fetch("instruments", {**query, "format": "csv"}, self._csv, largest=LARGEST_MASTER))
        listing = self._fetch(
            "instruments",
            query,
            lambda status_code, body: market.symbols(self._accepted("instruments", status_code, body)),
            largest=LARGEST_MASTER,
        )
        return self._told(listing)

    def holidays(self, year: int) -> Holidays:
        """Return the server's list of a year; it may have none for that year (``Holidays.known``)."""
        return self._read("market/holidays", {"year": year}, lambda answer: calendar.holidays(answer, year))

    def timings(self, day: date) -> Timings:
        """Who is open on a day; see ``Timings`` for the time zone trap."""
        return self._read("market/timings", {"date": day.isoformat()}, lambda answer: calendar.timings(answer, day))

    def _told(self, listing: market.Listing) -> tuple[SymbolRow, ...]:
        if listing.left_out:
            kinds = ", ".join(f"{kind:.40} ({rows})" for kind, rows in sorted(listing.left_out.items())[:10])
            _log.warning("%s: instruments of kinds unknown here are left out: %s", self.label, kinds)
        return listing.rows

    def _csv(self, status_code: int, body: bytes) -> market.Listing:
        if status_code != 200 or body.lstrip()[:1] in {b"{", b"["}:
            self._accepted("instruments", status_code, body)
            raise BadAnswerError("csv: the answer is none")
        try:
            return market.symbols_from_csv(self._key.scrub(body.decode()))
        except UnicodeDecodeError:
            raise BadAnswerError("csv: not UTF-8") from None
