"""From OpenAlgo's JSON to typed answers: pure, one function per endpoint; BadAnswerError names the field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from engine.broker import fields as f
from engine.broker.answers import order_id
from engine.broker.errors import BadAnswerError
from engine.broker.models import (
    AnalyzerStatus,
    ChainRow,
    ChainSide,
    Funds,
    Holiday,
    HolidayKind,
    Holidays,
    MarginFigure,
    Mode,
    OptionChain,
    OrderRow,
    OrderStatus,
    Pong,
    PositionRow,
    Quote,
    SessionTimes,
    SymbolRow,
    Timings,
    TradeRow,
)
from engine.domain.errors import DomainError
from engine.domain.instruments import Action, Exchange, InstrumentType, PriceType, Product
from engine.domain.money import paise

Answer = Mapping[str, Any]
_FUNDS = ("availablecash", "collateral", "utiliseddebits", "m2munrealized", "m2mrealized")
_UNKNOWN_FREEZE = (None, 0, 1)


def mode(answer: Answer) -> Mode:
    """Analyzer answers carry ``mode``; live ones carry none."""
    value = answer.get("mode")
    if value in (None, "live"):
        return Mode.LIVE
    if value == "analyze":
        return Mode.ANALYZE
    raise f.bad("mode", f"{value!r:.40} is neither analyze nor live")


def ping(answer: Answer) -> Pong:
    """Answer of ``ping``."""
    return Pong(broker=f.text(_data(answer), "broker"))


def analyzer_status(answer: Answer) -> AnalyzerStatus:
    """Answer of ``analyzer``."""
    data = _data(answer)
    return AnalyzerStatus(analyze_mode=f.flag(data, "analyze_mode"), mode=f.word(data, "mode", Mode))


def funds(answer: Answer, begun_at: datetime, ended_at: datetime) -> Funds:
    """Answer of ``funds``; live servers answer 200 with ``{}`` when the broker refused."""
    data = _data(answer)
    if not data:
        raise f.bad("data", "empty: the broker gave no funds (broker token dead?)")
    amounts = {name: _paise(data, name) for name in _FUNDS}
    return Funds(**amounts, mode=mode(answer), begun_at=begun_at, ended_at=ended_at)


def quote(row: Answer) -> Quote:
    """Return the ``data`` of a quote."""
    return Quote(
        ltp=f.number(row, "ltp"),
        bid=f.number(row, "bid"),
        ask=f.number(row, "ask"),
        open=f.number(row, "open"),
        high=f.number(row, "high"),
        low=f.number(row, "low"),
        prev_close=f.number(row, "prev_close"),
        volume=f.whole(row, "volume"),
        oi=f.whole(row, "oi"),
    )


def quotes(answer: Answer) -> Quote:
    """Answer of ``quotes``."""
    return quote(_data(answer))


def multiquotes(answer: Answer, asked: list[tuple[str, Exchange]]) -> dict[tuple[str, Exchange], Quote | str]:
    """Answer of ``multiquotes``, by what was asked: a quote, or the reason why there is none."""
    found: dict[tuple[str, str], Quote | str] = {}
    for row in f.items(answer, "results"):
        if isinstance(row, dict) and isinstance(row.get("symbol"), str) and isinstance(row.get("exchange"), str):
            found[row["symbol"], row["exchange"]] = _quote_or_reason(row)
    return {(symbol, exchange): found.get((symbol, exchange.value), "not in the answer") for symbol, exchange in asked}


def symbol(answer: Answer) -> SymbolRow:
    """Answer of ``symbol``; a freeze quantity of 1 means that the server does not know (all of BFO)."""
    row = _data(answer)
    exchange = f.word(row, "exchange", Exchange)
    kind = f.word(row, "instrumenttype", InstrumentType)
    freeze = f.whole_or_none(row, "freeze_qty")
    return SymbolRow(
        symbol=f.text(row, "symbol"),
        exchange=exchange,
        name=f.text(row, "name"),
        instrument_type=InstrumentType.INDEX if exchange.endswith("_INDEX") else kind,
        expiry=f.expiry(row["expiry"], "expiry") if row.get("expiry") else None,
        strike=f.number(row, "strike"),
        lot_size=_at_least_zero(row, "lotsize"),
        tick_size=f.number(row, "tick_size"),
        freeze_quantity=None if freeze in _UNKNOWN_FREEZE else _at_least_zero(row, "freeze_qty"),
    )


def expiries(answer: Answer) -> list[date]:
    """Answer of ``expiry``: dates in ascending order; empty when the server knows none."""
    return sorted(f.expiry(value, f"data[{place}]") for place, value in enumerate(f.items(answer, "data")))


def option_chain(answer: Answer, begun_at: datetime, ended_at: datetime) -> OptionChain:
    """Answer of ``optionchain``."""
    return OptionChain(
        underlying=f.text(answer, "underlying"),
        underlying_exchange=f.word(answer, "underlying_exchange", Exchange),
        underlying_ltp=f.number(answer, "underlying_ltp"),
        atm_strike=f.number(answer, "atm_strike"),
        expiry=f.expiry(answer.get("expiry_date"), "expiry_date"),
        rows=f.each(f.items(answer, "chain"), "chain", _chain_row),
        begun_at=begun_at,
        ended_at=ended_at,
    )


def margin(answer: Answer) -> MarginFigure:
    """Answer of ``margin``."""
    data = _data(answer)
    return MarginFigure(
        total=_paise(data, "total_margin_required"),
        span=_paise(data, "span_margin"),
        exposure=_paise(data, "exposure_margin"),
    )


def orders(answer: Answer) -> tuple[OrderRow, ...]:
    """Answer of ``orderbook``."""
    return f.each(f.items(_data(answer), "orders"), "data.orders", order_row)


def order(answer: Answer) -> OrderRow:
    """Answer of ``orderstatus``."""
    return order_row(_data(answer))


def order_row(row: Answer) -> OrderRow:
    """One order; the price type is called ``pricetype`` or, in an analyzer's order status, ``price_type``."""
    raw = f.text(row, "order_status")
    return OrderRow(
        orderid=_order_id(row),
        symbol=f.text(row, "symbol"),
        exchange=f.word(row, "exchange", Exchange),
        product=f.word(row, "product", Product),
        action=f.word(row, "action", Action),
        quantity=_at_least_zero(row, "quantity"),
        price=f.number(row, "price"),
        trigger_price=f.number(row, "trigger_price"),
        price_type=f.word(row, "price_type" if "price_type" in row else "pricetype", PriceType),
        status=order_status(raw),
        raw_status=raw,
        filled_quantity=f.whole_or_none(row, "filled_quantity"),
        average_price=f.number_or_none(row, "average_price"),
        pending_quantity=f.whole_or_none(row, "pending_quantity"),
        rejection_reason=f.text_or_none(row, "rejection_reason") or "",
        strategy=f.text_or_none(row, "strategy"),
        timestamp=f.moment_or_none(row, "timestamp"),
    )


def order_status(raw: str) -> OrderStatus:
    """Return the status by its word, in any case of letters; OTHER for a word outside the contract."""
    try:
        return OrderStatus(raw.strip().casefold())
    except ValueError:
        return OrderStatus.OTHER


def trades(answer: Answer) -> tuple[TradeRow, ...]:
    """Answer of ``tradebook``."""
    return f.each(f.items(answer, "data"), "data", _trade_row)


def positions(answer: Answer) -> tuple[PositionRow, ...]:
    """Answer of ``positionbook``."""
    return f.each(f.items(answer, "data"), "data", _position_row)


def holidays(answer: Answer, year: int) -> Holidays:
    """Answer of ``market/holidays``."""
    return Holidays(year=year, days=f.each(f.items(answer, "data"), "data", _holiday))


def timings(answer: Answer, day: date) -> Timings:
    """Answer of ``market/timings``."""
    return Timings(day=day, sessions=f.each(f.items(answer, "data"), "data", _session))


def _data(answer: Answer) -> dict[str, Any]:
    return f.mapping(answer.get("data"), "data")


def _paise(row: Answer, name: str) -> int:
    try:
        return paise(f.number(row, name))
    except (DomainError, ArithmeticError):
        raise f.bad(name, "no amount of money") from None


def _at_least_zero(row: Answer, name: str) -> int:
    value = f.whole(row, name)
    if value < 0:
        raise f.bad(name, f"{value} is negative")
    return value


def _order_id(row: Answer) -> str:
    found = order_id(row.get("orderid"))
    if found is None:
        raise f.bad("orderid", "no order id")
    return found


def _quote_or_reason(row: dict[str, Any]) -> Quote | str:
    if "data" not in row:
        reason = row.get("error")
        return reason if isinstance(reason, str) and reason else "no data and no reason given"
    try:
        return quote(f.mapping(row["data"], "data"))
    except BadAnswerError as error:
        return error.what


def _chain_row(row: dict[str, Any]) -> ChainRow:
    return ChainRow(strike=f.number(row, "strike"), ce=_chain_side(row, "ce"), pe=_chain_side(row, "pe"))


def _chain_side(row: dict[str, Any], name: str) -> ChainSide | None:
    if row.get(name) is None:
        return None
    side = f.mapping(row[name], name)
    return ChainSide(
        symbol=f.text(side, "symbol"),
        ltp=f.number(side, "ltp"),
        bid=f.number(side, "bid"),
        ask=f.number(side, "ask"),
        lot_size=_at_least_zero(side, "lotsize"),
        tick_size=f.number(side, "tick_size"),
        oi=f.whole(side, "oi"),
        volume=f.whole(side, "volume"),
    )


def _trade_row(row: dict[str, Any]) -> TradeRow:
    return TradeRow(
        orderid=_order_id(row),
        symbol=f.text(row, "symbol"),
        exchange=f.word(row, "exchange", Exchange),
        product=f.word(row, "product", Product),
        action=f.word(row, "action", Action),
        quantity=_at_least_zero(row, "quantity"),
        average_price=f.number(row, "average_price"),
        trade_id=f.text_or_none(row, "tradeid"),
        strategy=f.text_or_none(row, "strategy"),
        timestamp=f.moment_or_time(row, "timestamp"),
    )


def _position_row(row: dict[str, Any]) -> PositionRow:
    return PositionRow(
        symbol=f.text(row, "symbol"),
        exchange=f.word(row, "exchange", Exchange),
        product=f.word(row, "product", Product),
        quantity=f.whole(row, "quantity"),
        average_price=f.number(row, "average_price"),
        ltp=f.number_or_none(row, "ltp"),
        pnl=f.number_or_none(row, "pnl"),
    )


def _holiday(row: dict[str, Any]) -> Holiday:
    closed = [f.word({"exchange": name}, "exchange", Exchange) for name in f.items(row, "closed_exchanges")]
    return Holiday(
        day=f.iso_day(row, "date"),
        description=f.text_or_none(row, "description") or "",
        kind=f.word(row, "holiday_type", HolidayKind),
        closed=tuple(closed),
        sessions=f.each(f.items(row, "open_exchanges"), "open_exchanges", _session),
    )


def _session(row: dict[str, Any]) -> SessionTimes:
    opens_at, closes_at = f.epoch_ms(row, "start_time"), f.epoch_ms(row, "end_time")
    if closes_at <= opens_at:
        raise f.bad("end_time", "not after start_time")
    return SessionTimes(exchange=f.word(row, "exchange", Exchange), opens_at=opens_at, closes_at=closes_at)
