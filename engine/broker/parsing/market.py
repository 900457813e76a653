"""From OpenAlgo's JSON to prices, depth, bars and the instrument master: pure; BadAnswerError names the field."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from engine.broker import fields as f
from engine.broker.errors import BadAnswerError
from engine.broker.models import Depth, DepthLevel, Intervals, Quote, SymbolRow
from engine.broker.parsing.answer import Answer, count, count_or_none, data
from engine.domain.candles import Bar
from engine.domain.instruments import Exchange, InstrumentType

Listed = tuple[str, Exchange]
_EXCHANGES, _KINDS = frozenset(Exchange), frozenset(InstrumentType)
_UNKNOWN_FREEZE = (None, 0, 1)
_DAYS_AND_LONGER = frozenset({"D", "W", "M", "Q", "Y"})
_EARLIEST_S, _LATEST_S = 315_532_800, 4_102_444_800  # 1980 and 2100: outside it is no time in seconds
_MASTER_COLUMNS = {"symbol", "name", "exchange", "expiry", "strike", "lotsize", "instrumenttype", "tick_size"}


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows of an instrument master; ``left_out`` counts those of exchanges and kinds that have no word here."""

    rows: tuple[SymbolRow, ...]
    left_out: Mapping[str, int]


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
    return quote(data(answer))


def multiquotes(answer: Answer, asked: Sequence[Listed]) -> dict[Listed, Quote | str]:
    """Answer of ``multiquotes``, by what was asked: a quote, or the reason why there is none."""
    found: dict[tuple[str, str], Quote | str] = {}
    for row in f.items(answer, "results"):
        if isinstance(row, dict) and isinstance(row.get("symbol"), str) and isinstance(row.get("exchange"), str):
            found[row["symbol"], row["exchange"]] = _quote_or_reason(row)
    return {(symbol, exchange): found.get((symbol, exchange.value), "not in the answer") for symbol, exchange in asked}


def depth(answer: Answer) -> Depth:
    """Answer of ``depth``."""
    row = data(answer)
    return Depth(
        bids=f.each(f.items(row, "bids"), "data.bids", depth_level),
        asks=f.each(f.items(row, "asks"), "data.asks", depth_level),
        ltp=f.number(row, "ltp"),
        last_quantity=f.whole_or_none(row, "ltq"),
        open=f.number(row, "open"),
        high=f.number(row, "high"),
        low=f.number(row, "low"),
        prev_close=f.number(row, "prev_close"),
        volume=f.whole(row, "volume"),
        oi=f.whole(row, "oi"),
        total_buy_quantity=f.whole_or_none(row, "totalbuyqty"),
        total_sell_quantity=f.whole_or_none(row, "totalsellqty"),
    )


def depth_level(row: Answer) -> DepthLevel:
    """One level of depth, of an answer or of a frame."""
    return DepthLevel(f.number(row, "price"), count(row, "quantity"), count_or_none(row, "orders"))


def history(answer: Answer, interval: str) -> tuple[Bar, ...]:
    """Answer of ``history``: every row as a bar, in the server's order.

    Bars of a day and longer start at midnight UTC of their trading date, whatever zone a plugin counts midnight in:
    midnight UTC and midnight IST are moments of the same Indian day. Whether a row makes sense, repeats another or
    lies outside the session is judged by ``domain.history_bars``.
    """
    return f.each(f.items(answer, "data"), "data", lambda row: _bar(row, interval))


def intervals(answer: Answer) -> Intervals:
    """Answer of ``intervals``."""
    row = data(answer)
    names = ("seconds", "minutes", "hours", "days", "weeks", "months")
    return Intervals(**{name: _words(row, name) for name in names})


def symbol(answer: Answer) -> SymbolRow:
    """Answer of ``symbol``."""
    return symbol_row(data(answer))


def symbols(answer: Answer) -> Listing:
    """Answer of ``search`` and ``instruments``; empty when nothing matches."""
    return _listing(f.items(answer, "data"), "data")


def symbols_from_csv(text: str) -> Listing:
    """Return the instrument master of an answer in CSV; raises BadAnswerError if it is none."""
    try:
        reader = csv.DictReader(text.splitlines(), strict=True)
        if not set(reader.fieldnames or ()) >= _MASTER_COLUMNS:
            raise BadAnswerError("csv: the head does not name the columns of an instrument master")
        rows: list[Any] = list(reader)
    except csv.Error:
        raise BadAnswerError("csv: cannot be read") from None
    return _listing(rows, "csv")


def symbol_row(row: Answer) -> SymbolRow:
    """One row of the instrument master; a freeze quantity of 1 means that the server does not know (all of BFO)."""
    exchange = f.word(row, "exchange", Exchange)
    is_index = exchange.endswith("_INDEX")  # whatever kind a plugin gives it, most say EQ
    return SymbolRow(
        symbol=f.text(row, "symbol"),
        exchange=exchange,
        name=f.text(row, "name"),
        instrument_type=InstrumentType.INDEX if is_index else f.word(row, "instrumenttype", InstrumentType),
        expiry=f.expiry(row["expiry"], "expiry") if row.get("expiry") else None,
        strike=f.number(row, "strike"),
        lot_size=count(row, "lotsize"),
        tick_size=f.number(row, "tick_size"),
        freeze_quantity=freeze_quantity(row),
        broker_symbol=f.text_or_none(row, "brsymbol") or "",
        broker_exchange=f.text_or_none(row, "brexchange") or "",
        token=f.text_or_none(row, "token") or "",
    )


def freeze_quantity(row: Answer) -> int | None:
    """Return the freeze quantity, None where it is missing or one of the words for "not known"."""
    freeze = f.whole_or_none(row, "freeze_qty")
    return None if freeze in _UNKNOWN_FREEZE else count(row, "freeze_qty")


def _listing(rows: list[Any], field: str) -> Listing:
    read = f.each(rows, field, _row_or_kind)
    known = tuple(one for one in read if isinstance(one, SymbolRow))
    return Listing(known, Counter(one for one in read if isinstance(one, str)))


def _row_or_kind(row: dict[str, Any]) -> SymbolRow | str:
    """Return the row, or the name of its kind where nothing here could trade or price it."""
    exchange, kind = f.text(row, "exchange"), f.text(row, "instrumenttype")
    if exchange in _EXCHANGES and (kind in _KINDS or exchange.endswith("_INDEX")):
        return symbol_row(row)
    return f"{exchange} {kind}"


def _quote_or_reason(row: dict[str, Any]) -> Quote | str:
    if "data" not in row:
        reason = row.get("error")
        return reason if isinstance(reason, str) and reason else "no data and no reason given"
    try:
        return quote(f.mapping(row["data"], "data"))
    except BadAnswerError as error:
        return error.what


def _bar(row: dict[str, Any], interval: str) -> Bar:
    seconds = f.whole(row, "timestamp")
    if not _EARLIEST_S <= seconds < _LATEST_S:
        raise f.bad("timestamp", f"{seconds} is no time in seconds since 1970")
    start = datetime.fromtimestamp(seconds, UTC)
    if interval in _DAYS_AND_LONGER:
        start = datetime.combine(start.astimezone(f.IST).date(), time(), UTC)
    return Bar(
        start=start,
        open=f.number(row, "open"),
        high=f.number(row, "high"),
        low=f.number(row, "low"),
        close=f.number(row, "close"),
        volume=f.whole(row, "volume"),
        open_interest=f.whole_or_none(row, "oi") or 0,
    )


def _words(row: Answer, name: str) -> tuple[str, ...]:
    words = f.items(row, name)
    if not all(isinstance(word, str) for word in words):
        raise f.bad(f"data.{name}", "expected texts")
    return tuple(words)
