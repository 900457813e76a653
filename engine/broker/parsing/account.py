"""From OpenAlgo's JSON to an account's funds, books and holdings: pure; BadAnswerError names the field."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from engine.broker import fields as f
from engine.broker.models import (
    AnalyzerStatus,
    Funds,
    Holding,
    Holdings,
    MarginFigure,
    Mode,
    OpenPosition,
    OrderRow,
    OrderStatus,
    PnlBook,
    Pong,
    PositionRow,
    SymbolPnl,
    TradeRow,
)
from engine.broker.parsing.answer import Answer, amount, count, count_or_none, data, mode, orderid
from engine.domain.instruments import Action, Exchange, PriceType, Product

_FUNDS = ("availablecash", "collateral", "utiliseddebits", "m2munrealized", "m2mrealized")


def ping(answer: Answer) -> Pong:
    """Answer of ``ping``."""
    return Pong(broker=f.text(data(answer), "broker"))


def analyzer_status(answer: Answer) -> AnalyzerStatus:
    """Answer of ``analyzer`` and ``analyzer/toggle``."""
    row = data(answer)
    status = AnalyzerStatus(analyze_mode=f.flag(row, "analyze_mode"), mode=f.word(row, "mode", Mode))
    if status.analyze_mode is not (status.mode is Mode.ANALYZE):
        raise f.bad("data.mode", "contradicts analyze_mode")
    return status


def funds(answer: Answer, begun_at: datetime, ended_at: datetime) -> Funds:
    """Answer of ``funds``; live servers answer 200 with ``{}`` when the broker refused."""
    row = data(answer)
    if not row:
        raise f.bad("data", "empty: the broker gave no funds (broker token dead?)")
    amounts = {name: amount(row, name) for name in _FUNDS}
    return Funds(**amounts, mode=mode(answer), begun_at=begun_at, ended_at=ended_at)


def margin(answer: Answer) -> MarginFigure:
    """Answer of ``margin``."""
    row = data(answer)
    return MarginFigure(
        total=amount(row, "total_margin_required"),
        span=amount(row, "span_margin"),
        exposure=amount(row, "exposure_margin"),
    )


def orders(answer: Answer) -> tuple[OrderRow, ...]:
    """Answer of ``orderbook``."""
    return f.each(f.items(data(answer), "orders"), "data.orders", order_row)


def order(answer: Answer) -> OrderRow:
    """Answer of ``orderstatus``."""
    return order_row(data(answer))


def order_row(row: Answer) -> OrderRow:
    """One order; the price type is called ``pricetype`` or, in an analyzer's order status, ``price_type``."""
    raw = f.text(row, "order_status")
    return OrderRow(
        orderid=orderid(row),
        symbol=f.text(row, "symbol"),
        exchange=f.word(row, "exchange", Exchange),
        product=f.word(row, "product", Product),
        action=f.word(row, "action", Action),
        quantity=count(row, "quantity"),
        price=f.number(row, "price"),
        trigger_price=f.number(row, "trigger_price"),
        price_type=f.word(row, "price_type" if "price_type" in row else "pricetype", PriceType),
        status=order_status(raw),
        raw_status=raw,
        filled_quantity=count_or_none(row, "filled_quantity"),
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


def holdings(answer: Answer, begun_at: datetime, ended_at: datetime) -> Holdings:
    """Answer of ``holdings``."""
    row = data(answer)
    sums = f.mapping(row.get("statistics", {}), "data.statistics")
    return Holdings(
        rows=f.each(f.items(row, "holdings"), "data.holdings", _holding),
        total_value=f.number_or_none(sums, "totalholdingvalue"),
        total_invested=f.number_or_none(sums, "totalinvvalue"),
        total_pnl=f.number_or_none(sums, "totalprofitandloss"),
        total_pnl_percent=f.number_or_none(sums, "totalpnlpercentage"),
        mode=mode(answer),
        begun_at=begun_at,
        ended_at=ended_at,
    )


def open_position(answer: Answer) -> OpenPosition:
    """Answer of ``openposition``."""
    return OpenPosition(quantity=f.whole(answer, "quantity"), mode=mode(answer))


def symbol_pnl(answer: Answer, begun_at: datetime, ended_at: datetime) -> PnlBook:
    """Answer of ``pnl/symbols``."""
    return PnlBook(
        rows=f.each(f.items(answer, "data"), "data", _pnl_row),
        total_pnl=f.number_or_none(answer, "total_pnl"),
        total_pnl_today=f.number_or_none(answer, "total_pnl_today"),
        total_unrealized_pnl=f.number_or_none(answer, "total_unrealized_pnl"),
        total_today_realized_pnl=f.number_or_none(answer, "total_today_realized_pnl"),
        mode=mode(answer),
        begun_at=begun_at,
        ended_at=ended_at,
    )


def _trade_row(row: dict[str, Any]) -> TradeRow:
    return TradeRow(
        orderid=orderid(row),
        symbol=f.text(row, "symbol"),
        exchange=f.word(row, "exchange", Exchange),
        product=f.word(row, "product", Product),
        action=f.word(row, "action", Action),
        quantity=count(row, "quantity"),
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


def _holding(row: dict[str, Any]) -> Holding:
    return Holding(
        symbol=f.text(row, "symbol"),
        exchange=f.word(row, "exchange", Exchange),
        product=f.word(row, "product", Product),
        quantity=f.whole(row, "quantity"),
        average_price=f.number_or_none(row, "average_price"),
        pnl=f.number_or_none(row, "pnl"),
        pnl_percent=f.number_or_none(row, "pnlpercent"),
    )


def _pnl_row(row: dict[str, Any]) -> SymbolPnl:
    return SymbolPnl(
        symbol=f.text(row, "symbol"),
        exchange=f.word(row, "exchange", Exchange),
        product=f.word(row, "product", Product),
        quantity=f.whole(row, "quantity"),
        pnl=f.number_or_none(row, "pnl"),
        unrealized_pnl=f.number_or_none(row, "unrealized_pnl"),
        today_realized_pnl=f.number_or_none(row, "today_realized_pnl"),
        total_pnl_today=f.number_or_none(row, "total_pnl_today"),
    )
