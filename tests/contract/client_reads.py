"""For every endpoint that is read: how the typed client asks a recorded request, and what its answer must become.

The checks compare figure by figure with the JSON, in their own words: none of them uses the client's parsers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from engine.broker import OpenAlgoClient
from engine.broker.models import HolidayKind
from engine.broker.requests import MarginPosition
from engine.domain.instruments import Action, Exchange, InstrumentType, PriceType, Product
from tests.contract.client_stage import NOW

IST = timedelta(hours=5, minutes=30)


@dataclass(frozen=True)
class Read:
    """``ask`` takes the recorded request; ``plain`` is a request for files whose own cannot be expressed."""

    path: str
    ask: Callable[[OpenAlgoClient, dict[str, Any]], Any]
    plain: dict[str, Any]
    check: Callable[[Any, Any], None]
    method: str = "POST"


def same(value: Any, wire: dict[str, Any], *names: str, **renamed: str) -> None:
    pairs = {name: name for name in names} | renamed
    assert {ours: getattr(value, ours) for ours in pairs} == {ours: wire.get(theirs) for ours, theirs in pairs.items()}


def in_ist(moment: datetime) -> str:
    return (moment + IST).strftime("%Y-%m-%d %H:%M:%S")


def day(text: str) -> date:
    return datetime.strptime(text.title(), "%d%b%y").replace(tzinfo=UTC).date()


def pair(row: dict[str, Any]) -> tuple[str, Exchange]:
    return row["symbol"], Exchange(row["exchange"])


def check_ping(pong: Any, wire: Any) -> None:
    same(pong, wire["data"], "broker")


def check_analyzer(status: Any, wire: Any) -> None:
    same(status, wire["data"], "analyze_mode", "mode")


def check_read(read: Any, wire: Any) -> None:
    assert read.mode == wire.get("mode", "live")
    assert (read.begun_at, read.ended_at) == (NOW, NOW + timedelta(seconds=1))


def check_funds(funds: Any, wire: Any) -> None:
    check_read(funds, wire)
    for name in ("availablecash", "collateral", "utiliseddebits", "m2munrealized", "m2mrealized"):
        assert getattr(funds, name) == round(float(wire["data"][name]) * 100)


def check_order(row: Any, wire: dict[str, Any]) -> None:
    same(row, wire, "orderid", "symbol", "exchange", "product", "action", "quantity", "price", "trigger_price")
    same(row, wire, "filled_quantity", "pending_quantity", "average_price", "strategy")  # missing is None, not zero
    assert row.price_type == wire.get("pricetype", wire.get("price_type"))
    assert row.status == row.raw_status == wire["order_status"]
    assert row.rejection_reason == wire.get("rejection_reason", "")
    assert in_ist(row.timestamp) == wire["timestamp"]


def check_orderbook(book: Any, wire: Any) -> None:
    check_read(book, wire)
    for row, sent in zip(book.rows, wire["data"]["orders"], strict=True):
        check_order(row, sent)


def check_status(reading: Any, wire: Any) -> None:
    check_read(reading, wire)
    check_order(reading.row, wire["data"])


def check_tradebook(book: Any, wire: Any) -> None:
    check_read(book, wire)
    for row, sent in zip(book.rows, wire["data"], strict=True):
        same(row, sent, "orderid", "symbol", "exchange", "product", "action", "quantity", "average_price", "strategy")
        same(row, sent, trade_id="tradeid")
        if " " in sent["timestamp"]:
            assert in_ist(row.timestamp) == sent["timestamp"]
        else:
            assert (row.timestamp.strftime("%H:%M:%S"), row.timestamp.utcoffset()) == (sent["timestamp"], IST)


def check_positionbook(book: Any, wire: Any) -> None:
    check_read(book, wire)
    for row, sent in zip(book.rows, wire["data"], strict=True):
        same(row, sent, "symbol", "exchange", "product", "quantity", "ltp", "pnl")
        assert row.average_price == float(sent["average_price"]), "text in live mode, a number in analyzer mode"


def check_holdings(holdings: Any, wire: Any) -> None:
    check_read(holdings, wire)
    for row, sent in zip(holdings.rows, wire["data"]["holdings"], strict=True):
        same(row, sent, "symbol", "exchange", "product", "quantity", "average_price", "pnl", pnl_percent="pnlpercent")
    same(
        holdings,
        wire["data"]["statistics"],
        total_value="totalholdingvalue",
        total_invested="totalinvvalue",
        total_pnl="totalprofitandloss",
        total_pnl_percent="totalpnlpercentage",
    )


def check_open_position(position: Any, wire: Any) -> None:
    assert (position.quantity, position.mode) == (wire["quantity"], wire.get("mode", "live"))


def check_pnl(book: Any, wire: Any) -> None:
    check_read(book, wire)
    same(book, wire, "total_pnl", "total_pnl_today", "total_unrealized_pnl", "total_today_realized_pnl")
    for row, sent in zip(book.rows, wire["data"], strict=True):
        same(row, sent, *sent)


def check_triggers(book: Any, wire: Any) -> None:
    check_read(book, wire)
    for row, sent in zip(book.rows, wire["data"], strict=True):
        same(row, sent, "trigger_id", "status", "symbol", "exchange", "last_price", "strategy")
        same(row, sent, "created_at", "updated_at", "expires_at")
        assert row.trigger_type == {"single": "SINGLE", "two-leg": "OCO"}[sent["trigger_type"]]
        assert list(row.trigger_prices) == sent["trigger_prices"]
        assert row.margin_blocked == (round(sent["margin_blocked"] * 100) if "margin_blocked" in sent else None)
        for leg, told in zip(row.legs, sent["legs"], strict=True):
            same(leg, told, "action", "quantity", "price", "product", price_type="pricetype")


def check_quote(quote: Any, wire: Any) -> None:
    same(quote, wire["data"], *wire["data"])


def check_multiquotes(found: Any, wire: Any) -> None:
    assert len(found) == len(wire["results"])
    for row in wire["results"]:
        if "error" in row:
            assert found[pair(row)] == row["error"]
        else:
            check_quote(found[pair(row)], row)


def check_depth(depth: Any, wire: Any) -> None:
    sent = wire["data"]
    same(depth, sent, "ltp", "open", "high", "low", "prev_close", "volume", "oi", last_quantity="ltq")
    same(depth, sent, total_buy_quantity="totalbuyqty", total_sell_quantity="totalsellqty")
    for levels, told in ((depth.bids, sent["bids"]), (depth.asks, sent["asks"])):
        assert [(level.price, level.quantity) for level in levels] == [(row["price"], row["quantity"]) for row in told]
        assert len(levels) == 5


def check_history(bars: Any, wire: Any) -> None:
    for bar, sent in zip(bars, wire["data"], strict=True):
        same(bar, sent, "open", "high", "low", "close", "volume", open_interest="oi")
        assert bar.start == datetime.fromtimestamp(sent["timestamp"], UTC)


def check_intervals(intervals: Any, wire: Any) -> None:
    assert {name: list(getattr(intervals, name)) for name in wire["data"]} == wire["data"]


def check_symbol_row(row: Any, sent: dict[str, Any]) -> None:
    same(row, sent, "symbol", "exchange", "name", "token", broker_symbol="brsymbol", broker_exchange="brexchange")
    assert (row.strike, row.lot_size, row.tick_size) == tuple(
        float(sent[name]) for name in ("strike", "lotsize", "tick_size")
    )
    freeze = sent.get("freeze_qty", 1)
    assert row.freeze_quantity == (None if freeze == 1 else freeze)
    is_index = sent["exchange"].endswith("_INDEX")
    assert row.instrument_type == (InstrumentType.INDEX if is_index else sent["instrumenttype"])
    assert (row.expiry.strftime("%d-%b-%y").upper() if row.expiry else "") == sent["expiry"]


def check_symbol(row: Any, wire: Any) -> None:
    check_symbol_row(row, wire["data"])


def check_symbols(rows: Any, wire: Any) -> None:
    if isinstance(wire, str):
        head, *lines = (line.split(",") for line in wire.strip().split("\r\n"))
        wire = {"data": [dict(zip(head, line, strict=True)) for line in lines]}
    for row, sent in zip(rows, wire["data"], strict=True):
        check_symbol_row(row, sent)


def check_expiry(days: list[date], wire: Any) -> None:
    assert [day.strftime("%d-%b-%y").upper() for day in days] == wire["data"]


def check_chain(chain: Any, wire: Any) -> None:
    same(chain, wire, "underlying", "underlying_exchange", "underlying_ltp", "atm_strike")
    same(chain, wire, "underlying_prev_close", "forward_price")
    assert chain.expiry.strftime("%d%b%y").upper() == wire["expiry_date"]
    assert (chain.begun_at, chain.ended_at) == (NOW, NOW + timedelta(seconds=1))
    for row, sent in zip(chain.rows, wire["chain"], strict=True):
        assert row.strike == sent["strike"]
        for side, told in ((row.ce, sent["ce"]), (row.pe, sent["pe"])):
            same(side, told, "symbol", "label", "ltp", "bid", "ask", "tick_size", "oi", "volume", lot_size="lotsize")
            if wire["greeks_included"]:
                same(side.greeks, told, "implied_volatility", "delta", "gamma", "theta", "vega")
            else:
                assert side.greeks is None


def check_option_symbol(found: Any, wire: Any) -> None:
    same(found, wire, "symbol", "exchange", "tick_size", "underlying_ltp", lot_size="lotsize")
    assert found.freeze_quantity == (None if wire["freeze_qty"] == 1 else wire["freeze_qty"])


def check_greeks(greeks: Any, wire: Any) -> None:
    same(greeks, wire, "symbol", "exchange", "underlying", "option_type", "strike", "days_to_expiry", "option_price")
    same(greeks, wire, "spot_price", "interest_rate", "implied_volatility")
    same(greeks, wire["greeks"], "delta", "gamma", "theta", "vega", "rho")
    assert greeks.expiry.strftime("%d-%b-%Y") == wire["expiry_date"]


def check_multi_greeks(found: Any, wire: Any) -> None:
    assert wire["status"] == "partial"
    assert len(found) == wire["summary"]["total"]
    for row in wire["data"]:
        if row["status"] == "error":
            assert found[pair(row)] == row["message"]
        else:
            check_greeks(found[pair(row)], row)


def check_synthetic(future: Any, wire: Any) -> None:
    same(future, wire, "underlying", "atm_strike", "underlying_ltp", price="synthetic_future_price")
    assert future.expiry == day(wire["expiry"])


def check_margin(figure: Any, wire: Any) -> None:
    names = {"total": "total_margin_required", "span": "span_margin", "exposure": "exposure_margin"}
    assert {ours: getattr(figure, ours) for ours in names} == {
        ours: round(wire["data"][theirs] * 100) for ours, theirs in names.items()
    }


def check_sessions(sessions: Any, wire: list[dict[str, Any]]) -> None:
    for session, sent in zip(sessions, wire, strict=True):
        assert session.exchange == sent["exchange"]
        assert session.opens_at.timestamp() * 1000 == sent["start_time"]
        assert session.closes_at.timestamp() * 1000 == sent["end_time"]


def check_holidays(holidays: Any, wire: Any) -> None:
    assert holidays.known == bool(wire["data"])
    for listed, sent in zip(holidays.days, wire["data"], strict=True):
        same(listed, sent, "description")
        assert (listed.day.isoformat(), listed.kind) == (sent["date"], HolidayKind(sent["holiday_type"]))
        assert list(listed.closed) == sent["closed_exchanges"]
        check_sessions(listed.sessions, sent["open_exchanges"])


def check_timings(timings: Any, wire: Any) -> None:
    check_sessions(timings.sessions, wire["data"])


def ask_margin(client: OpenAlgoClient, sent: dict[str, Any]) -> Any:
    def leg(row: dict[str, Any]) -> MarginPosition:
        return MarginPosition(
            *pair(row), Action(row["action"]), int(row["quantity"]), Product(row["product"]),
            PriceType(row["pricetype"]), float(row.get("price", 0)), float(row.get("trigger_price", 0)),
        )  # fmt: skip

    return client.margin([leg(row) for row in sent["positions"]])


def ask_option_symbol(client: OpenAlgoClient, sent: dict[str, Any]) -> Any:
    expiry = day(sent["expiry_date"]) if "expiry_date" in sent else None
    kind = InstrumentType(sent["option_type"])
    strike_int = sent.get("strike_int")
    exchange = Exchange(sent["exchange"])
    return client.option_symbol(sent["underlying"], exchange, expiry, sent["offset"], kind, strike_int=strike_int)


def ask_greeks(client: OpenAlgoClient, sent: dict[str, Any]) -> Any:
    underlying = None
    if "underlying_symbol" in sent:
        underlying = (sent["underlying_symbol"], Exchange(sent["underlying_exchange"]))
    return client.option_greeks(*pair(sent), underlying=underlying, forward_price=sent.get("forward_price"))


def ask_chain(client: OpenAlgoClient, sent: dict[str, Any]) -> Any:
    expiry, count, greeks = day(sent["expiry_date"]), sent.get("strike_count"), sent.get("with_greeks", False)
    return client.option_chain(sent["underlying"], Exchange(sent["exchange"]), expiry, count, with_greeks=greeks)


def ask_history(client: OpenAlgoClient, sent: dict[str, Any]) -> Any:
    days = [date.fromisoformat(sent[name]) for name in ("start_date", "end_date")]
    return client.history(*pair(sent), sent["interval"], *days)


def ask_open_position(client: OpenAlgoClient, sent: dict[str, Any]) -> Any:
    return client.open_position(*pair(sent), Product(sent["product"]), strategy=sent["strategy"])


def ask_instruments(client: OpenAlgoClient, sent: dict[str, Any]) -> Any:
    return client.instruments(Exchange(sent["exchange"]), wire_format=sent.get("format", "json"))


def ask_search(client: OpenAlgoClient, sent: dict[str, Any]) -> Any:
    return client.search(sent["query"], Exchange(sent["exchange"]) if "exchange" in sent else None)


def ask_synthetic(client: OpenAlgoClient, sent: dict[str, Any]) -> Any:
    return client.synthetic_future(sent["underlying"], Exchange(sent["exchange"]), day(sent["expiry_date"]))


def ask_expiry(client: OpenAlgoClient, sent: dict[str, Any]) -> Any:
    return client.expiry(*pair(sent), sent["instrumenttype"])


def ask_toggle(client: OpenAlgoClient, sent: dict[str, Any]) -> Any:
    return client.analyzer_toggle(analyze=sent["mode"], confirm_whole_server=True)


NIFTY = {"symbol": "NIFTY", "exchange": "NSE_INDEX"}
CALL = {"symbol": "NIFTY01DEC2626000CE", "exchange": "NFO"}
CHAIN = {"underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": "01DEC26"}
LEG = {**CALL, "action": "SELL", "quantity": "65", "product": "NRML", "pricetype": "MARKET"}
HISTORY = {**NIFTY, "interval": "1m", "start_date": "2026-11-20", "end_date": "2026-11-20"}

READS = {
    "ping": Read("ping", lambda c, _: c.ping(), {}, check_ping),
    "analyzerstatus": Read("analyzer", lambda c, _: c.analyzer_status(), {}, check_analyzer),
    "analyzertoggle": Read("analyzer/toggle", ask_toggle, {"mode": True}, check_analyzer),
    "funds": Read("funds", lambda c, _: c.funds(), {}, check_funds),
    "orderbook": Read("orderbook", lambda c, _: c.orderbook(), {}, check_orderbook),
    "tradebook": Read("tradebook", lambda c, _: c.tradebook(), {}, check_tradebook),
    "positionbook": Read("positionbook", lambda c, _: c.positionbook(), {}, check_positionbook),
    "holdings": Read("holdings", lambda c, _: c.holdings(), {}, check_holdings),
    "pnlsymbols": Read("pnl/symbols", lambda c, _: c.symbol_pnl(), {}, check_pnl),
    "gttorderbook": Read("gttorderbook", lambda c, _: c.gtt_orderbook(), {}, check_triggers),
    "openposition": Read(
        "openposition", ask_open_position, {**CALL, "product": "NRML", "strategy": "x"}, check_open_position
    ),
    "orderstatus": Read(
        "orderstatus",
        lambda c, sent: c.order_status(sent["orderid"], strategy=sent["strategy"]),
        {"orderid": "26112", "strategy": "x"},
        check_status,
    ),
    "margin": Read("margin", ask_margin, {"positions": [LEG]}, check_margin),
    "quotes": Read("quotes", lambda c, sent: c.quotes(*pair(sent)), NIFTY, check_quote),
    "multiquotes": Read(
        "multiquotes",
        lambda c, sent: c.multiquotes([pair(row) for row in sent["symbols"]]),
        {"symbols": [NIFTY]},
        check_multiquotes,
    ),
    "depth": Read("depth", lambda c, sent: c.depth(*pair(sent)), CALL, check_depth),
    "history": Read("history", ask_history, HISTORY, check_history),
    "intervals": Read("intervals", lambda c, _: c.intervals(), {}, check_intervals),
    "symbol": Read("symbol", lambda c, sent: c.symbol(*pair(sent)), NIFTY, check_symbol),
    "search": Read("search", ask_search, {"query": "NIFTY"}, check_symbols),
    "instruments": Read("instruments", ask_instruments, {"exchange": "NFO"}, check_symbols, "GET"),
    "expiry": Read(
        "expiry", ask_expiry, {"symbol": "NIFTY", "exchange": "NFO", "instrumenttype": "options"}, check_expiry
    ),
    "optionchain": Read("optionchain", ask_chain, CHAIN, check_chain),
    "optionsymbol": Read(
        "optionsymbol", ask_option_symbol, {**CHAIN, "offset": "ATM", "option_type": "CE"}, check_option_symbol
    ),
    "optiongreeks": Read("optiongreeks", ask_greeks, CALL, check_greeks),
    "multioptiongreeks": Read(
        "multioptiongreeks",
        lambda c, sent: c.multi_option_greeks([pair(row) for row in sent["symbols"]]),
        {"symbols": [CALL]},
        check_multi_greeks,
    ),
    "syntheticfuture": Read("syntheticfuture", ask_synthetic, CHAIN, check_synthetic),
    "holidays": Read("market/holidays", lambda c, sent: c.holidays(sent["year"]), {"year": 2026}, check_holidays),
    "timings": Read(
        "market/timings",
        lambda c, sent: c.timings(date.fromisoformat(sent["date"])),
        {"date": "2026-11-23"},
        check_timings,
    ),
    "transport": Read("nosuchendpoint", lambda c, _: c.ask("nosuchendpoint"), {}, check_ping),
}
