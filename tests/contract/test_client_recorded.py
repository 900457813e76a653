"""Every recorded exchange of the endpoints we use, replayed through the real client."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.broker import OpenAlgoClient, answers, errors
from engine.broker.models import Book, Funds, HolidayKind, Mode, OrderRow, OrderStatus, Quote
from engine.broker.requests import MarginPosition, ModifyRequest, OrderRequest
from engine.domain.instruments import Action, Exchange, InstrumentType, PriceType, Product

REST = Path(__file__).parent / "recorded" / "rest"
KEY = "made-up-key-5f2c"
NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)


class Replay(httpx.BaseTransport):
    """Answers every request with one recorded exchange and keeps what was asked."""

    def __init__(self, exchange: dict[str, Any]) -> None:
        self.exchange = exchange
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.exchange["status_code"] is None:
            raise httpx.ReadTimeout("gave up", request=request)
        body = self.exchange["response"]
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        return httpx.Response(self.exchange["status_code"], content=content, headers=self.exchange["response_headers"])

    @property
    def body(self) -> dict[str, Any]:
        assert len(self.asked) == 1, "asked exactly once, never repeated"
        return json.loads(self.asked[0].content)


def recorded(endpoint: str) -> list[Any]:
    files = sorted(REST.glob(f"{endpoint}.*.json"))
    assert files, endpoint
    return [pytest.param(json.loads(file.read_text(encoding="utf-8")), id=file.stem) for file in files]


def client_for(replay: Replay) -> OpenAlgoClient:
    ticks = iter(range(1000))

    def clock() -> datetime:
        return NOW + timedelta(seconds=next(ticks))

    return OpenAlgoClient("http://127.0.0.1:5000", KEY, label="father", transport=replay, clock=clock)


def expected_error(exchange: dict[str, Any]) -> type[errors.BrokerError] | None:
    status = exchange["status_code"]
    if status == 429:
        return errors.RateLimitedError
    if status >= 500:
        return errors.ServerFailedError
    if status == 403:
        return errors.KeyRefusedError
    return errors.RefusedError if status >= 400 else None


def asked_for(exchange: dict[str, Any], name: str, default: Any) -> Any:
    request = exchange["request"]
    return request.get(name, default) if isinstance(request, dict) else default


# What each endpoint is asked, and what its answer must become.


def check_ping(pong: Any, wire: Any) -> None:
    assert pong.broker == wire["data"]["broker"]


def check_analyzer(status: Any, wire: Any) -> None:
    assert (status.analyze_mode, status.mode) == (wire["data"]["analyze_mode"], wire["data"]["mode"])


def check_funds(funds: Funds, wire: Any) -> None:
    for name in ("availablecash", "collateral", "utiliseddebits", "m2munrealized", "m2mrealized"):
        assert getattr(funds, name) == round(float(wire["data"][name]) * 100)
    assert funds.mode == wire.get("mode", "live")
    assert (funds.begun_at, funds.ended_at) == (NOW, NOW + timedelta(seconds=1))


def check_book(book: Book[Any], wire: Any) -> None:
    assert book.mode == wire.get("mode", "live")
    assert (book.begun_at, book.ended_at) == (NOW, NOW + timedelta(seconds=1))


def check_order(row: OrderRow, wire: dict[str, Any]) -> None:
    same = ("orderid", "symbol", "exchange", "product", "action", "quantity", "price", "trigger_price")
    assert [getattr(row, name) for name in same] == [wire[name] for name in same]
    assert row.price_type == wire.get("pricetype", wire.get("price_type"))
    assert row.status == row.raw_status == wire["order_status"]
    for name in ("filled_quantity", "pending_quantity", "average_price", "strategy"):
        assert getattr(row, name) == wire.get(name), "what is not on the wire is None, not zero"
    assert row.rejection_reason == wire.get("rejection_reason", "")
    assert row.timestamp is not None
    assert (row.timestamp + timedelta(hours=5, minutes=30)).strftime("%Y-%m-%d %H:%M:%S") == wire["timestamp"]


def check_orderbook(book: Book[OrderRow], wire: Any) -> None:
    check_book(book, wire)
    assert len(book.rows) == len(wire["data"]["orders"])
    for row, sent in zip(book.rows, wire["data"]["orders"], strict=True):
        check_order(row, sent)


def check_status(reading: Any, wire: Any) -> None:
    check_book(reading, wire)
    check_order(reading.row, wire["data"])


def check_tradebook(book: Any, wire: Any) -> None:
    check_book(book, wire)
    for row, sent in zip(book.rows, wire["data"], strict=True):
        same = ("orderid", "symbol", "exchange", "product", "action", "quantity", "average_price")
        assert [getattr(row, name) for name in same] == [sent[name] for name in same]
        assert (row.trade_id, row.strategy) == (sent.get("tradeid"), sent.get("strategy"))
        if " " in sent["timestamp"]:
            assert (row.timestamp + timedelta(hours=5, minutes=30)).strftime("%Y-%m-%d %H:%M:%S") == sent["timestamp"]
        else:
            assert row.timestamp.strftime("%H:%M:%S") == sent["timestamp"]
            assert row.timestamp.utcoffset() == timedelta(hours=5, minutes=30)


def check_positionbook(book: Any, wire: Any) -> None:
    check_book(book, wire)
    for row, sent in zip(book.rows, wire["data"], strict=True):
        same = ("symbol", "exchange", "product", "quantity", "ltp", "pnl")
        assert [getattr(row, name) for name in same] == [sent[name] for name in same]
        assert row.average_price == float(sent["average_price"])


def check_quote(quote: Quote, wire: Any) -> None:
    assert {name: getattr(quote, name) for name in wire["data"]} == wire["data"]


def check_multiquotes(found: Any, wire: Any) -> None:
    assert len(found) == len(wire["results"])
    for row in wire["results"]:
        answer = found[row["symbol"], Exchange(row["exchange"])]
        if "error" in row:
            assert answer == row["error"]
        else:
            check_quote(answer, row)


def check_symbol(row: Any, wire: Any) -> None:
    sent = wire["data"]
    assert (row.symbol, row.exchange, row.name) == (sent["symbol"], sent["exchange"], sent["name"])
    assert (row.strike, row.lot_size, row.tick_size) == (sent["strike"], sent["lotsize"], sent["tick_size"])
    assert row.freeze_quantity == (None if sent["freeze_qty"] == 1 else sent["freeze_qty"])
    is_index = sent["exchange"].endswith("_INDEX")
    assert row.instrument_type == (InstrumentType.INDEX if is_index else sent["instrumenttype"])
    assert (row.expiry.strftime("%d-%b-%y").upper() if row.expiry else "") == sent["expiry"]


def check_expiry(days: list[date], wire: Any) -> None:
    assert [day.strftime("%d-%b-%y").upper() for day in days] == wire["data"]


def check_chain(chain: Any, wire: Any) -> None:
    assert (chain.underlying, chain.underlying_exchange) == (wire["underlying"], wire["underlying_exchange"])
    assert (chain.underlying_ltp, chain.atm_strike) == (wire["underlying_ltp"], wire["atm_strike"])
    assert chain.expiry.strftime("%d%b%y").upper() == wire["expiry_date"]
    for row, sent in zip(chain.rows, wire["chain"], strict=True):
        assert row.strike == sent["strike"]
        for side, told in ((row.ce, sent["ce"]), (row.pe, sent["pe"])):
            same = ("symbol", "ltp", "bid", "ask", "tick_size", "oi", "volume")
            assert [getattr(side, name) for name in same] == [told[name] for name in same]
            assert side.lot_size == told["lotsize"]


def check_margin(figure: Any, wire: Any) -> None:
    sent = wire["data"]
    assert figure.total == round(sent["total_margin_required"] * 100)
    assert (figure.span, figure.exposure) == (round(sent["span_margin"] * 100), round(sent["exposure_margin"] * 100))


def check_sessions(sessions: Any, wire: list[dict[str, Any]]) -> None:
    for session, sent in zip(sessions, wire, strict=True):
        assert session.exchange == sent["exchange"]
        assert session.opens_at.timestamp() * 1000 == sent["start_time"]
        assert session.closes_at.timestamp() * 1000 == sent["end_time"]


def check_holidays(holidays: Any, wire: Any) -> None:
    assert holidays.known == bool(wire["data"])
    for day, sent in zip(holidays.days, wire["data"], strict=True):
        assert (day.day.isoformat(), day.description, day.kind) == (
            sent["date"],
            sent["description"],
            HolidayKind(sent["holiday_type"]),
        )
        assert list(day.closed) == sent["closed_exchanges"]
        check_sessions(day.sessions, sent["open_exchanges"])


def check_timings(timings: Any, wire: Any) -> None:
    check_sessions(timings.sessions, wire["data"])


LEG = MarginPosition("NIFTY01DEC2626000CE", Exchange.NFO, Action.SELL, 65, Product.NRML)
CHAIN_DAY = date(2026, 12, 1)


def ask_many(client: OpenAlgoClient, exchange: dict[str, Any]) -> Any:
    asked = [(row["symbol"], Exchange(row["exchange"])) for row in asked_for(exchange, "symbols", [])]
    return client.multiquotes(asked or [("NIFTY", Exchange.NSE_INDEX)])


Ask = Callable[[OpenAlgoClient, dict[str, Any]], Any]
READS: dict[str, tuple[str, set[str], Ask, Callable[[Any, Any], None]]] = {
    "ping": ("ping", set(), lambda c, _: c.ping(), check_ping),
    "analyzerstatus": ("analyzer", set(), lambda c, _: c.analyzer_status(), check_analyzer),
    "funds": ("funds", set(), lambda c, _: c.funds(), check_funds),
    "orderbook": ("orderbook", set(), lambda c, _: c.orderbook(), check_orderbook),
    "tradebook": ("tradebook", set(), lambda c, _: c.tradebook(), check_tradebook),
    "positionbook": ("positionbook", set(), lambda c, _: c.positionbook(), check_positionbook),
    "orderstatus": (
        "orderstatus",
        {"strategy", "orderid"},
        lambda c, x: c.order_status(asked_for(x, "orderid", "1")),
        check_status,
    ),
    "quotes": (
        "quotes",
        {"symbol", "exchange"},
        lambda c, x: c.quotes(asked_for(x, "symbol", "NIFTY"), Exchange.NSE_INDEX),
        check_quote,
    ),
    "multiquotes": ("multiquotes", {"symbols"}, ask_many, check_multiquotes),
    "symbol": (
        "symbol",
        {"symbol", "exchange"},
        lambda c, x: c.symbol(asked_for(x, "symbol", "NIFTY"), Exchange.NFO),
        check_symbol,
    ),
    "expiry": (
        "expiry",
        {"symbol", "exchange", "instrumenttype"},
        lambda c, x: c.expiry("NIFTY", Exchange.NFO, asked_for(x, "instrumenttype", "options")),
        check_expiry,
    ),
    "optionchain": (
        "optionchain",
        {"underlying", "exchange", "expiry_date", "strike_count"},
        lambda c, _: c.option_chain("NIFTY", Exchange.NSE_INDEX, CHAIN_DAY, 2),
        check_chain,
    ),
    "margin": ("margin", {"positions"}, lambda c, _: c.margin([LEG]), check_margin),
    "holidays": ("market/holidays", {"year"}, lambda c, _: c.holidays(2026), check_holidays),
    "timings": ("market/timings", {"date"}, lambda c, _: c.timings(date(2026, 11, 23)), check_timings),
}


@pytest.mark.parametrize(
    ("endpoint", "exchange"),
    [pytest.param(name, *case.values, id=case.id) for name in READS for case in recorded(name)],
)
def test_a_recorded_read_becomes_values_or_the_error_its_status_says(endpoint: str, exchange: dict[str, Any]) -> None:
    path, fields, ask, check = READS[endpoint]
    replay = Replay(exchange)
    client = client_for(replay)
    wanted = expected_error(exchange)
    if exchange["status_code"] == 200 and exchange["response"].get("data") == {}:
        wanted = errors.BadAnswerError
    if wanted is None:
        check(ask(client, exchange), exchange["response"])
    else:
        with pytest.raises(errors.BrokerError) as raised:
            ask(client, exchange)
        assert type(raised.value) is wanted
        assert (raised.value.label, raised.value.endpoint) == ("father", path)
        assert str(raised.value).startswith(f"father: {path}: ")
    assert replay.asked[0].method == "POST"
    assert replay.asked[0].url.path == f"/api/v1/{path}"
    assert set(replay.body) == {"apikey"} | fields
    assert replay.body["apikey"] == KEY


PLACE_FIELDS = {
    "apikey", "strategy", "symbol", "exchange", "action", "quantity", "pricetype", "product",
    "price", "trigger_price", "disclosed_quantity",
}  # fmt: skip
ORDER = OrderRequest("contract", "NIFTY01DEC2626000CE", Exchange.NFO, Action.BUY, 65, Product.NRML)


def expected_placement(exchange: dict[str, Any]) -> answers.PlacementOutcome:
    status, wire = exchange["status_code"], exchange["response"]
    if status is None:
        return answers.NoAnswer("ReadTimeout: gave up")
    if status == 200 and "pending_order_id" in wire:
        return answers.Queued(str(wire["pending_order_id"]))
    if status == 200:
        return answers.Placed(wire["orderid"])
    if status == 429:
        return answers.RateLimited(wire["message"])
    if status == 500:
        return answers.OutcomeOpen(f"500: {wire['message']}")
    return answers.Refused(wire["message"], status, wire.get("orderid"))


@pytest.mark.parametrize("exchange", recorded("placeorder"))
def test_a_recorded_placement_proves_what_the_rules_say(exchange: dict[str, Any]) -> None:
    replay = Replay(exchange)
    asked = []
    outcome = client_for(replay).place_order(ORDER, before_write=lambda: asked.append(len(replay.asked)))
    assert outcome == expected_placement(exchange)
    assert asked == [0], "asked once, before anything was sent"
    assert set(replay.body) == PLACE_FIELDS


def comparable(body: dict[str, Any]) -> dict[str, Any]:
    numbers = {"quantity", "price", "trigger_price", "disclosed_quantity"}
    return {name: float(value) if name in numbers else value for name, value in body.items() if name != "apikey"}


@pytest.mark.parametrize("endpoint", ["placeorder", "modifyorder", "cancelorder"])
def test_our_orders_are_the_recorded_requests_field_by_field(endpoint: str) -> None:
    compared = 0
    for case in recorded(endpoint):
        exchange = case.values[0]
        if exchange["status_code"] != 200 or "defaults" in case.id or "lowercase" in case.id or "index" in case.id:
            continue
        sent = exchange["request"]
        replay = Replay(exchange)
        client = client_for(replay)
        if endpoint == "cancelorder":
            client.cancel_order(sent["orderid"], strategy=sent["strategy"])
        else:
            order = OrderRequest(
                sent["strategy"],
                sent["symbol"],
                Exchange(sent["exchange"]),
                Action(sent["action"]),
                int(sent["quantity"]),
                Product(sent["product"]),
                PriceType(sent["pricetype"]),
                float(sent["price"]),
                float(sent["trigger_price"]),
            )
            if endpoint == "placeorder":
                client.place_order(order)
            else:
                client.modify_order(ModifyRequest(sent["orderid"], order))
        assert comparable(replay.body) == comparable(sent)
        compared += 1
    assert compared


def expected_change(exchange: dict[str, Any]) -> answers.ChangeOutcome:
    status, wire = exchange["status_code"], exchange["response"]
    if status == 200:
        return answers.Acknowledged(wire["orderid"])
    if status == 429:
        return answers.RateLimited(wire["message"])
    if status == 500:
        return answers.Unclear(f"500: {wire['message']}")
    return answers.Refused(wire["message"], status)


@pytest.mark.parametrize("exchange", recorded("modifyorder"))
def test_a_recorded_modification(exchange: dict[str, Any]) -> None:
    replay = Replay(exchange)
    assert client_for(replay).modify_order(ModifyRequest("26112269810349", ORDER)) == expected_change(exchange)
    assert set(replay.body) == PLACE_FIELDS | {"orderid"}


@pytest.mark.parametrize("exchange", recorded("cancelorder"))
def test_a_recorded_cancellation(exchange: dict[str, Any]) -> None:
    replay = Replay(exchange)
    assert client_for(replay).cancel_order("26112269810349") == expected_change(exchange)
    assert set(replay.body) == {"apikey", "strategy", "orderid"}


def load(name: str) -> dict[str, Any]:
    return json.loads((REST / f"{name}.json").read_text(encoding="utf-8"))


def test_a_margin_request_is_the_recorded_one_with_text_quantities() -> None:
    exchange = load("margin.success-basket")
    replay = Replay(exchange)
    legs = [
        LEG,
        MarginPosition("NIFTY01DEC2626500CE", Exchange.NFO, Action.BUY, 65, Product.NRML),
    ]
    figure = client_for(replay).margin(legs)
    assert replay.body["positions"] == exchange["request"]["positions"]
    assert figure.total == 13_068_063


def test_a_whole_chain_is_asked_for_without_a_strike_count() -> None:
    replay = Replay(load("optionchain.full-chain"))
    client_for(replay).option_chain("NIFTY", Exchange.NSE_INDEX, CHAIN_DAY)
    assert set(replay.body) == {"apikey", "underlying", "exchange", "expiry_date"}
    assert replay.body["expiry_date"] == "01DEC26"


def test_a_broker_state_without_a_word_is_kept_and_not_taken_for_open() -> None:
    exchange = load("orderbook.live-success")
    exchange["response"]["data"]["orders"][0]["order_status"] = "AMO REQ RECEIVED"
    book = client_for(Replay(exchange)).orderbook()
    assert (book.rows[0].status, book.rows[0].raw_status) == (OrderStatus.OTHER, "AMO REQ RECEIVED")
    assert book.mode is Mode.LIVE


@pytest.mark.parametrize(
    ("recording", "place", "value", "named"),
    [
        ("positionbook.live-success", ("data", 1, "quantity"), True, "data[1].quantity"),
        ("positionbook.live-success", ("data", 1, "quantity"), 65.5, "data[1].quantity"),
        ("positionbook.live-success", ("data", 0, "average_price"), float("nan"), "data[0].average_price"),
        ("positionbook.live-success", ("data", 0, "average_price"), "1_000", "data[0].average_price"),
        ("positionbook.live-success", ("data", 2, "product"), "CO", "data[2].product"),
        ("orderbook.live-success", ("data", "orders", 0, "orderid"), None, "data.orders[0].orderid"),
        ("tradebook.live-success", ("data", 0, "average_price"), "", "data[0].average_price"),
        ("funds.live-success", ("data", "availablecash"), "n/a", "availablecash"),
        ("positionbook.analyze-success", ("mode",), "sandbox", "mode"),
        ("positionbook.analyze-success", ("data",), None, "data"),
    ],
)
def test_a_spoiled_field_fails_the_read_and_is_named(
    recording: str, place: tuple[Any, ...], value: Any, named: str
) -> None:
    exchange = load(recording)
    spot = exchange["response"]
    for step in place[:-1]:
        spot = spot[step]
    spot[place[-1]] = value
    path, _, ask, _ = READS[recording.partition(".")[0]]
    with pytest.raises(errors.BadAnswerError, match=f"^father: {path}: ") as raised:
        ask(client_for(Replay(exchange)), exchange)
    assert raised.value.what.startswith(f"{named}:")


def test_another_orders_status_is_not_taken_for_the_one_asked_for() -> None:
    with pytest.raises(errors.BadAnswerError, match="orderid"):
        client_for(Replay(load("orderstatus.live-open"))).order_status("17")
