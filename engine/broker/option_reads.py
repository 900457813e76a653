"""What an account's server knows of options: expiries, chains, offsets, greeks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

from engine.broker.caller import Caller
from engine.broker.fields import expiry_text
from engine.broker.models import OptionChain, OptionGreeks, OptionSymbol, SyntheticFuture
from engine.broker.multi_requests import checked_offset, checked_option_type
from engine.broker.parsing import options
from engine.domain.instruments import Exchange, InstrumentType

_PARTIAL = frozenset({"success", "partial"})


class OptionReads(Caller):
    """Reads of options; every one raises ``errors.BrokerError`` where there is no usable answer."""

    def expiry(
        self, underlying: str, exchange: Exchange, instrument: Literal["options", "futures"] = "options"
    ) -> list[date]:
        """Return listed expiries, ascending; ``exchange`` is the derivatives one (NFO, BFO), empty if it lists none."""
        payload = {"symbol": underlying, "exchange": exchange.value, "instrumenttype": instrument}
        return self._read("expiry", payload, options.expiries)

    def option_chain(
        self,
        underlying: str,
        exchange: Exchange,
        expiry: date,
        strike_count: int | None = None,
        *,
        with_greeks: bool = False,
    ) -> OptionChain:
        """One expiry's chain; ``strike_count`` strikes on each side of ATM (1 to 100), None for all.

        ``exchange`` is the underlying's (NSE_INDEX, BSE_INDEX); RefusedError with 404 for an expiry that is not listed.
        """
        payload: dict[str, Any] = {
            "underlying": underlying,
            "exchange": exchange.value,
            "expiry_date": expiry_text(expiry),
        }
        if strike_count is not None:
            payload["strike_count"] = strike_count
        if with_greeks:
            payload["with_greeks"] = True
        begun = self._clock()
        return self._read("optionchain", payload, lambda answer: options.option_chain(answer, begun, self._clock()))

    def option_symbol(
        self,
        underlying: str,
        exchange: Exchange,
        expiry: date | None,
        offset: str,
        option_type: InstrumentType,
        *,
        strike_int: int | None = None,
    ) -> OptionSymbol:
        """Return the contract that an offset from the money (ATM, ITM1-50, OTM1-50) means at this moment.

        ``expiry`` None only with a future as ``underlying``; ``strike_int`` is a step between strikes instead of the
        listed ones. Raises ContractError for an offset or option type that is none, RefusedError for a strike or expiry
        that is not listed. A wrong key says 403 with other words around it: KeyRefusedError all the same.
        """
        payload: dict[str, Any] = {
            "underlying": underlying,
            "exchange": exchange.value,
            "offset": checked_offset(offset),
            "option_type": checked_option_type(option_type).value,
        }
        if expiry is not None:
            payload["expiry_date"] = expiry_text(expiry)
        if strike_int is not None:
            payload["strike_int"] = strike_int
        return self._read("optionsymbol", payload, options.option_symbol)

    def option_greeks(
        self,
        symbol: str,
        exchange: Exchange,
        *,
        underlying: tuple[str, Exchange] | None = None,
        forward_price: float | None = None,
    ) -> OptionGreeks:
        """Greeks of one option; the server allows 30 of these calls a minute (RateLimitedError).

        ``underlying`` names where the spot is read, ``forward_price`` (₹) replaces it. What is no option
        fails with 500.
        """
        payload: dict[str, Any] = {"symbol": symbol, "exchange": exchange.value}
        if underlying is not None:
            payload |= {"underlying_symbol": underlying[0], "underlying_exchange": underlying[1].value}
        if forward_price is not None:
            payload["forward_price"] = forward_price
        return self._read("optiongreeks", payload, options.option_greeks)

    def multi_option_greeks(
        self, symbols: Sequence[tuple[str, Exchange]]
    ) -> dict[tuple[str, Exchange], OptionGreeks | str]:
        """Greeks of 1 to 50 options in one call: for each the greeks, or the reason why there are none."""
        asked = list(dict.fromkeys(symbols))
        if not 1 <= len(asked) <= 50:
            raise ValueError("symbols: 1 to 50 can be asked for")
        payload = {"symbols": [{"symbol": symbol, "exchange": exchange.value} for symbol, exchange in asked]}
        return self._read(
            "multioptiongreeks",
            payload,
            lambda answer: options.multi_option_greeks(answer, asked),
            accepted=_PARTIAL,
        )

    def synthetic_future(self, underlying: str, exchange: Exchange, expiry: date) -> SyntheticFuture:
        """Return the future that the options at the money make."""
        payload = {"underlying": underlying, "exchange": exchange.value, "expiry_date": expiry_text(expiry)}
        return self._read("syntheticfuture", payload, options.synthetic_future)
