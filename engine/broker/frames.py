"""Reading one WebSocket frame of a server: pure; a frame that is not as recorded becomes ``Unusable``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.broker import fields as f
from engine.broker.errors import BadAnswerError
from engine.broker.feed import DepthTick, Instrument, OrderPush, QuoteTick, StreamMode, Tick
from engine.broker.models import DepthLevel, Mode
from engine.broker.parsing import account, market
from engine.broker.parsing.answer import count_or_none
from engine.broker.scrub import Secret, masked
from engine.domain.instruments import Exchange

_EXCHANGES = {exchange.value: exchange for exchange in Exchange}
_EARLIEST_MS = 1_000_000_000_000
_LATEST_MS = 10_000_000_000_000
_MODE_NAMES = {"ltp": StreamMode.LTP, "quote": StreamMode.QUOTE, "depth": StreamMode.DEPTH}


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The key is good and the broker's feed is connected."""

    broker: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An answer to ``subscribe``: what was taken, in which mode where it says so, and what was not, with reasons."""

    taken: frozenset[tuple[StreamMode | None, Instrument]]
    refused: dict[Instrument, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OrdersAcknowledged:
    """Order pushes are on."""


@dataclass(frozen=True, slots=True)
class Other:
    """A frame that says nothing we act on: pongs, answers to ``unsubscribe``."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error frame."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """A frame that is not as the contract says."""

    kind: str
    reason: str


Frame = Tick | OrderPush | Authenticated | Acknowledged | OrdersAcknowledged | Other | Failure | Unusable


def read_frame(
    message: str | bytes, received_at: float, received_utc: datetime, *, secret: Secret | None = None
) -> Frame:
    """Return what a frame says; texts of it never carry the secret."""
    try:
        frame = json.loads(message)
    except (ValueError, RecursionError):
        return Unusable("json", "not JSON")
    if not isinstance(frame, dict):
        return Unusable("json", "not an object")
    kind = frame.get("type")
    try:
        if secret is not None and secret.may_be_in(message):
            frame = masked(frame, secret)
        if kind == "market_data":
            return _tick(frame, received_at, received_utc)
        return _other(kind, frame, received_at, received_utc)
    except (BadAnswerError, RecursionError) as error:
        kind = frame.get("type")
        return Unusable(kind if isinstance(kind, str) else "frame", str(error))


def _tick(frame: dict[str, Any], received_at: float, received_utc: datetime) -> Tick | Unusable:
    data, symbol, name = frame.get("data"), frame.get("symbol"), frame.get("exchange")
    if not isinstance(data, dict) or not isinstance(symbol, str) or not symbol or not isinstance(name, str):
        return Unusable("tick", "without symbol, exchange or data")
    exchange = _EXCHANGES.get(name)
    if exchange is None:
        return Unusable("tick", "unknown exchange")
    ltp = data.get("ltp")
    if isinstance(ltp, bool) or not isinstance(ltp, int | float) or not 0 < ltp < 1e12 or not math.isfinite(ltp):
        return Unusable("tick", "no price above zero")
    price, stamp, traded = float(ltp), _milliseconds(data.get("timestamp")), _any_milliseconds(data.get("ltt"))
    match frame.get("mode"):
        case StreamMode.QUOTE:
            fields = _quote_fields(data)
            return QuoteTick(symbol, exchange, price, stamp, received_at, received_utc, traded, **fields)
        case StreamMode.DEPTH:
            fields = _quote_fields(data) | _depth_fields(data)
            return DepthTick(symbol, exchange, price, stamp, received_at, received_utc, traded, **fields)
        case _:
            return Tick(symbol, exchange, price, stamp, received_at, received_utc, traded)


def _milliseconds(value: Any) -> int | None:
    usable = isinstance(value, int) and not isinstance(value, bool) and _EARLIEST_MS <= value < _LATEST_MS
    return value if usable else None


def _any_milliseconds(value: Any) -> int | None:
    """Return a time of a plugin that sends seconds in one mode and milliseconds in the others."""
    if isinstance(value, int) and _EARLIEST_MS <= value * 1000 < _LATEST_MS:
        return value * 1000
    return _milliseconds(value)


def _quote_fields(data: dict[str, Any]) -> dict[str, Any]:
    prices = ("open", "high", "low", "close", "average_price")
    counts = ("volume", "last_quantity", "total_buy_quantity", "total_sell_quantity")
    return {name: _number(data, name) for name in prices} | {name: _count(data, name) for name in counts}


def _depth_fields(data: dict[str, Any]) -> dict[str, Any]:
    depth = data.get("depth")
    sides = depth if isinstance(depth, dict) else {}
    interest = _count(data, "open_interest")
    return {
        "open_interest": _count(data, "oi") if interest is None else interest,
        "bids": _levels(sides, "buy"),
        "asks": _levels(sides, "sell"),
    }


def _number(data: dict[str, Any], name: str) -> float | None:
    try:
        return f.number_or_none(data, name)
    except BadAnswerError:
        return None


def _count(data: dict[str, Any], name: str) -> int | None:
    try:
        return count_or_none(data, name)
    except BadAnswerError:
        return None


def _levels(sides: dict[str, Any], name: str) -> tuple[DepthLevel, ...] | None:
    try:
        return f.each(f.items(sides, name), name, market.depth_level)
    except BadAnswerError:
        return None


def _other(kind: Any, frame: dict[str, Any], received_at: float, received_utc: datetime) -> Frame:
    succeeded = frame.get("status") == "success"
    match kind:
        case "order_update":
            return _push(frame, received_at, received_utc)
        case "auth" if succeeded:
            return Authenticated(f.text_or_none(frame, "broker") or "")
        case "subscribe":
            return _acknowledged(frame)
        case "subscribe_orders" if succeeded:
            return OrdersAcknowledged()
        case _ if frame.get("status") == "error":
            return Failure(f.text_or_none(frame, "code") or "", f.text_or_none(frame, "message") or "")
        case _:
            return Other()


def _push(frame: dict[str, Any], received_at: float, received_utc: datetime) -> OrderPush:
    row = account.order_row(frame)
    return OrderPush(
        mode=f.word(frame, "mode", Mode),
        orderid=row.orderid,
        symbol=row.symbol,
        exchange=row.exchange,
        product=row.product,
        action=row.action,
        quantity=row.quantity,
        price=row.price,
        trigger_price=row.trigger_price,
        price_type=row.price_type,
        status=row.status,
        raw_status=row.raw_status,
        filled_quantity=row.filled_quantity,
        average_price=row.average_price,
        pending_quantity=row.pending_quantity,
        rejection_reason=row.rejection_reason,
        received_at=received_at,
        received_utc=received_utc,
    )


def _acknowledged(frame: dict[str, Any]) -> Acknowledged:
    taken: set[tuple[StreamMode | None, Instrument]] = set()
    refused: dict[Instrument, str] = {}
    for entry in f.items(frame, "subscriptions"):
        row = f.mapping(entry, "subscriptions")
        instrument = (f.text(row, "symbol"), f.word(row, "exchange", Exchange))
        if row.get("status") == "success":
            mode = row.get("mode")
            taken.add((_MODE_NAMES.get(mode.casefold()) if isinstance(mode, str) else None, instrument))
        else:
            refused[instrument] = f.text_or_none(row, "message") or "no reason given"
    return Acknowledged(frozenset(taken), refused)
