"""Prices set from outside: shifts and pins that hold until they are cleared, and survive a restart."""

from __future__ import annotations

from engine.domain.instruments import Exchange, InstrumentType
from engine.paper.listing import Listing
from engine.paper.market import Market
from engine.paper.quotes import Quotes
from engine.paper.storage import PriceControl, Storage

CLEAR = "clear"
"""The kind of a control that ends others: those of an instrument, or all if it names none."""
UNDERLYINGS = (InstrumentType.INDEX, InstrumentType.EQ)


class PriceControls:
    """Applies what the storage remembers at once; later ones are on disk before they count."""

    def __init__(self, market: Market, quotes: Quotes, listing: Listing, storage: Storage) -> None:
        self._market = market
        self._quotes = quotes
        self._listing = listing
        self._storage = storage
        for control in storage.controls():
            self._apply(control)

    def set(self, control: PriceControl) -> None:
        """Move or hold a price from its instant on."""
        with self._storage.transaction():
            self._storage.save_control(control)
        self._apply(control)

    def clear(self, symbol: str | None = None, exchange: str | None = None) -> None:
        """Let prices go their own way again from now on: of one instrument, or all.

        What they were stays in the past, so that history shows what was quoted.
        """
        if symbol is None or exchange is None:
            self.set(PriceControl(CLEAR, "", "", 0.0, self._listing.now()))
        else:
            self.set(PriceControl(CLEAR, symbol, exchange, 0.0, self._listing.now()))

    def _apply(self, control: PriceControl) -> None:
        if control.kind == CLEAR:
            self._market.clear(control.symbol or None, control.at)
            self._quotes.clear(control.symbol or None, control.exchange or None, control.at)
            return
        contract = self._listing.contract(control.symbol, Exchange(control.exchange))
        if control.kind == "shift":
            self._market.shift(control.symbol, control.value, control.at)
        elif contract.instrument_type in UNDERLYINGS:
            self._market.pin(control.symbol, control.value, control.at)
        else:
            self._quotes.pin(control.symbol, control.exchange, round(control.value * 100), control.at)
