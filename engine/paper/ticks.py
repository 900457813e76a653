"""Market data frames of the websocket, mode by mode, with the quirks of the recorded server."""

from __future__ import annotations

from typing import Any

from engine.domain.instruments import Contract, InstrumentType
from engine.paper.calls import BROKER
from engine.paper.clock import milliseconds
from engine.paper.quotes import Level, Quotes
from engine.paper.subscriptions import Cast

LTP, QUOTE, DEPTH = 1, 2, 3
MODE_NAMES = {LTP: "LTP", QUOTE: "Quote", DEPTH: "Depth"}
DATA_MODES = {LTP: "ltp", QUOTE: "quote", DEPTH: "full"}
_SPELLINGS = {"ltp": LTP, "quote": QUOTE, "depth": DEPTH, "1": LTP, "2": QUOTE, "3": DEPTH}


def read_mode(given: object) -> int | None:
    """Return the mode of a request: 1, 2, 3 or its name in any case; None if it is neither."""
    return _SPELLINGS.get(str(given).lower())


def bad_mode(given: object) -> str:
    """Return what the server says about any other mode."""
    return f"Invalid mode {given}; expected 1 (LTP), 2 (Quote), or 3 (Depth)"


def frame(quotes: Quotes, cast: Cast, tagged: int, at: float) -> dict[str, Any]:
    """One frame of type ``market_data``, tagged with the mode of its subscriber.

    ``timestamp`` is epoch milliseconds; ``ltt`` is too, except in mode 3 where it is seconds, and missing where the
    frame is cut out of a richer one. Indices have fewer fields.
    """
    contract, mode = cast.contract, cast.mode
    now = milliseconds(at)
    data: dict[str, Any] = {
        "symbol": contract.symbol,
        "exchange": contract.exchange,
        "mode": DATA_MODES[mode],
        "ltp": quotes.last(contract, at) / 100,
    }
    if not cast.is_cut:
        data["ltt"] = now // 1000 if mode == DEPTH else now
    data["timestamp"] = now
    if mode != LTP:
        if contract.instrument_type is InstrumentType.INDEX:
            data |= {"volume": 0, "price_change": 0, "price_change_percent": 0}
        else:
            data |= _traded(quotes, contract, mode, at)
    return {
        "type": "market_data",
        "symbol": contract.symbol,
        "exchange": contract.exchange,
        "mode": tagged,
        "data": data,
        "broker": BROKER,
    }


def _traded(quotes: Quotes, contract: Contract, mode: int, at: float) -> dict[str, Any]:
    quote = quotes.quote(contract, at)
    buys, sells = quotes.depth(contract, at)
    data: dict[str, Any] = {
        "volume": quote.volume,
        "last_quantity": contract.lot_size,
        "average_price": quote.ltp / 100,
        "total_buy_quantity": sum(level.quantity for level in buys),
        "total_sell_quantity": sum(level.quantity for level in sells),
        "open": quote.open / 100,
        "high": quote.high / 100,
        "low": quote.low / 100,
        "close": quote.previous_close / 100,
    }
    if mode == DEPTH:
        data |= {
            "oi": quote.open_interest,
            "open_interest": quote.open_interest,
            "depth": {"buy": [_level(level) for level in buys], "sell": [_level(level) for level in sells]},
        }
    return data


def _level(level: Level) -> dict[str, Any]:
    return {"price": level.price / 100, "quantity": level.quantity, "orders": level.orders}
