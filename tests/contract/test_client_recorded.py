"""Every recorded exchange, all files, through the real client: values, typed errors, outcomes."""

from datetime import date
from typing import Any

import pytest

from engine.broker import errors
from engine.broker.models import Mode, OrderStatus
from engine.domain.instruments import Exchange
from engine.domain.intervals import Interval
from tests.contract.client_orders import TRADES, Trade, expected
from tests.contract.client_reads import CHAIN, READS, Read, ask_chain, ask_history, ask_margin
from tests.contract.client_stage import KEY, REST, Exchanged, Replay, client_for, load

FILES = sorted(file.stem for file in REST.glob("*.json"))

INEXPRESSIBLE = frozenset(
    """
    analyzertoggle.invalid-mode analyzertoggle.missing-mode
    basketorder.empty basketorder.invalid-leg-field basketorder.missing-orders basketorder.rate-limited
    cancelallorder.missing-strategy
    cancelorder.missing-orderid
    closeposition.missing-strategy closeposition.with-symbol-refused
    expiry.missing-instrumenttype
    funds.header-api-key-only funds.missing-api-key
    history.invalid-date history.invalid-interval
    holdings.missing-api-key
    holidays.bad-api-key holidays.success-default-year
    instruments.all instruments.bad-api-key instruments.invalid-exchange instruments.missing-api-key
    margin.empty margin.invalid-quantity margin.unknown-field
    modifyorder.missing-field modifyorder.price-on-slm
    multiquotes.empty-list
    openposition.missing-product
    optionchain.expiry-with-hyphens optionchain.missing-expiry
    optionsmultiorder.empty-legs
    optionsorder.invalid-offset optionsorder.missing-offset optionsorder.product-cnc
    optionsymbol.invalid-offset
    orderbook.missing-api-key
    orderstatus.missing-orderid
    ping.empty-api-key ping.invalid-json ping.method-not-allowed ping.missing-api-key ping.trailing-slash
    ping.unknown-field ping.wrong-content-type
    placegttorder.mis-refused placegttorder.missing-trigger
    placeorder.index-not-tradable placeorder.invalid-exchange placeorder.invalid-json
    placeorder.invalid-pricetype placeorder.invalid-product placeorder.invalid-quantity-fraction
    placeorder.invalid-quantity-negative placeorder.invalid-quantity-text placeorder.invalid-quantity-zero
    placeorder.limit-without-price placeorder.missing-strategy placeorder.missing-symbol
    placeorder.sl-without-trigger placeorder.success-lowercase-action placeorder.unknown-field
    placeorder.wrong-content-type
    placesmartorder.missing-position-size
    positionbook.missing-api-key
    quotes.missing-field
    search.empty-query
    splitorder.missing-splitsize splitorder.too-many
    symbol.invalid-exchange symbol.missing-field
    timings.invalid-date timings.missing-date
    tradebook.missing-api-key
    """.split()  # noqa: SIM905 - a list of seventy quoted names reads worse
)
"""Requests that the typed client does not send: it refuses them itself, or has no way to say them.

Their answers are judged all the same, as if they had come for a good request.
"""

OPTIONAL = {"pricetype", "price", "trigger_price", "disclosed_quantity", "product"}
"""Fields that our requests always carry and a recorded one may leave to the server's default."""


@pytest.mark.parametrize("name", FILES)
def test_a_recorded_exchange_becomes_what_its_file_says(name: str) -> None:
    endpoint = name.partition(".")[0]
    exchange = load(name)
    replay = Replay(exchange)
    client = client_for(replay)
    if endpoint in TRADES:
        trade = TRADES[endpoint]
        sent = expressed(trade, name, exchange)
        looked: list[int] = []
        outcome = trade.send(client, sent, lambda: looked.append(len(replay.asked)))
        assert outcome == expected(trade, sent, exchange)
        assert looked == [0], "asked once, before anything was sent"
        path = f"/api/v1/{endpoint}"
    else:
        read = READS[endpoint]
        sent = expressed(read, name, exchange)
        wanted = wanted_error(exchange)
        if wanted is None:
            read.check(read.ask(client, sent), exchange["response"])
        else:
            with pytest.raises(errors.BrokerError) as raised:
                read.ask(client, sent)
            check_error(raised.value, wanted, read.path, exchange)
        assert replay.asked[0].method == read.method
        path = f"/api/v1/{read.path}"
    assert replay.asked[0].url.path == path == exchange["path"].rstrip("/")
    ours = dict(replay.fields)
    assert ours.pop("apikey") == KEY
    if name not in INEXPRESSIBLE:
        check_request(ours, exchange)


def test_no_recorded_file_is_left_out() -> None:
    assert len(FILES) == len(list(REST.iterdir())) == 403
    assert {name.partition(".")[0] for name in FILES} == set(READS) | set(TRADES)
    assert not set(READS) & set(TRADES)
    assert set(INEXPRESSIBLE) <= set(FILES)


def expressed(kind: Read | Trade, name: str, exchange: Exchanged) -> dict[str, Any]:
    """The recorded request, or the plain one where the typed client cannot or will not send it."""
    request = exchange.get("query") or exchange["request"] or {}
    if name in INEXPRESSIBLE:
        with pytest.raises((ValueError, KeyError, TypeError)):
            refuse_or_differ(kind, request, exchange)
        return kind.plain
    return request


def refuse_or_differ(kind: Read | Trade, request: Any, exchange: Exchanged) -> None:
    """Raise if the request cannot be expressed; also when what we would send is another one."""
    replay = Replay({"status_code": 500, "response": {}, "response_headers": {}})
    client = client_for(replay)
    try:
        if isinstance(kind, Trade):
            kind.send(client, request, lambda: None)
        else:
            kind.ask(client, request)
    except errors.BrokerError:
        pass
    if replay.asked[0].method != exchange["method"] or exchange["path"].endswith("/"):
        raise ValueError("another method or path")
    try:
        ours = dict(replay.fields)
        ours.pop("apikey")
        check_request(ours, exchange)
    except AssertionError:
        raise ValueError("another request") from None


def check_request(ours: dict[str, Any], exchange: Exchanged) -> None:
    recorded = dict(exchange.get("query") or exchange["request"])
    assert recorded.pop("apikey")
    assert set(ours) - set(recorded) <= OPTIONAL, "exactly the documented fields: every other one is refused"
    assert {name: comparable(ours[name]) for name in recorded if name in ours} == {
        name: comparable(value) for name, value in recorded.items()
    }


def comparable(value: Any) -> Any:
    """Numbers and their texts are the same to the server, in every place but a margin's quantity."""
    match value:
        case dict():
            return {name: comparable(item) for name, item in value.items()}
        case list():
            return [comparable(item) for item in value]
        case bool():
            return value
        case _:
            try:
                return float(value)
            except ValueError:
                return value


def wanted_error(exchange: Exchanged) -> type[errors.BrokerError] | None:
    status, wire = exchange["status_code"], exchange["response"]
    if status == 429:
        return errors.RateLimitedError
    if status >= 500:
        return errors.ServerFailedError
    if status in {401, 403} and "Invalid openalgo apikey" in wire["message"]:
        return errors.KeyRefusedError
    if status >= 400:
        return errors.RefusedError
    if isinstance(wire, dict) and wire.get("data") == {}:
        return errors.BadAnswerError  # 200 without funds is a failed read, never zero
    return None


def check_error(error: errors.BrokerError, wanted: type[errors.BrokerError], path: str, exchange: Exchanged) -> None:
    assert type(error) is wanted
    assert (error.label, error.endpoint) == ("father", path)
    assert str(error).startswith(f"father: {path}: ")
    if isinstance(error, errors.RefusedError | errors.ServerFailedError):
        assert error.status_code == exchange["status_code"]
    if wanted is not errors.BadAnswerError:
        for text in texts({name: exchange["response"].get(name) for name in ("message", "errors")}):
            assert text in str(error), "the server's own words"


def texts(value: Any) -> list[str]:
    match value:
        case dict():
            return [text for item in value.values() for text in texts(item)]
        case list():
            return [text for item in value for text in texts(item)]
        case None:
            return []
        case _:
            return [value]


def test_a_margin_request_is_the_recorded_one_with_text_quantities() -> None:
    exchange = load("margin.success-basket")
    replay = Replay(exchange)
    figure = ask_margin(client_for(replay), exchange["request"])
    assert replay.fields["positions"] == exchange["request"]["positions"]
    assert figure.total == 13_068_063


def test_a_whole_chain_is_asked_for_without_a_strike_count() -> None:
    replay = Replay(load("optionchain.full-chain"))
    ask_chain(client_for(replay), CHAIN)
    assert set(replay.fields) == {"apikey", "underlying", "exchange", "expiry_date"}
    assert replay.fields["expiry_date"] == "01DEC26"


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
    read = READS[recording.partition(".")[0]]
    with pytest.raises(errors.BadAnswerError, match=f"^father: {read.path}: ") as raised:
        read.ask(client_for(Replay(exchange)), exchange["request"])
    assert raised.value.what.startswith(f"{named}:")


def test_another_orders_status_is_not_taken_for_the_one_asked_for() -> None:
    with pytest.raises(errors.BadAnswerError, match="orderid"):
        client_for(Replay(load("orderstatus.live-open"))).order_status("17")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"timestamp": 1795146300000}, "data[1].timestamp: 1795146300000 is no time in seconds"),
        ({"timestamp": 17}, "data[1].timestamp: 17 is no time in seconds"),
        ({"timestamp": None}, "data[1].timestamp: expected a number"),
        ({"close": float("inf")}, "data[1].close: inf is not a number"),
        ({"volume": 1.5}, "data[1].volume: 1.5 is not a whole number"),
        ({"oi": "many"}, "data[1].oi: expected a number"),
    ],
)
def test_bars_that_cannot_be_are_a_failed_read(change: dict[str, Any], why: str) -> None:
    exchange = load("history.success-1m")
    exchange["response"]["data"][1] |= change
    with pytest.raises(errors.BadAnswerError) as raised:
        ask_history(client_for(Replay(exchange)), exchange["request"])
    assert raised.value.what.startswith(why)


def test_candle_intervals_of_the_desk_are_words_of_the_wire() -> None:
    exchange = load("history.success-1m")
    for interval in Interval:
        replay = Replay(exchange)
        client_for(replay).history("NIFTY", Exchange.NSE_INDEX, interval, date(2026, 11, 20), date(2026, 11, 20))
        assert replay.fields["interval"] == interval.value


def test_a_daily_bar_starts_at_midnight_utc_of_its_trading_date_in_whatever_zone_a_plugin_counts() -> None:
    exchange = load("history.success-daily")
    as_recorded = ask_history(client_for(Replay(exchange)), exchange["request"])
    for row in exchange["response"]["data"]:
        row["timestamp"] -= 19_800  # midnight in India instead
    assert ask_history(client_for(Replay(exchange)), exchange["request"]) == as_recorded


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, "<html>", errors.BadAnswerError),
        (200, "", errors.BadAnswerError),
        (200, "symbol,name\r\nNIFTY,NIFTY\r\n", errors.BadAnswerError),
        (200, {"status": "success", "data": []}, errors.BadAnswerError),
        (200, {"status": "error", "message": "no"}, errors.RefusedError),
        (403, {"status": "error", "message": "Invalid openalgo apikey"}, errors.KeyRefusedError),
        (403, "banned", errors.BadAnswerError),
        (500, "oops", errors.ServerFailedError),
    ],
)
def test_what_is_no_instrument_master_in_csv_is_an_error(status: int, body: Any, error: type[Exception]) -> None:
    replay = Replay({"status_code": status, "response": body, "response_headers": {}})
    with pytest.raises(errors.BrokerError) as raised:
        client_for(replay).instruments(Exchange.NFO, wire_format="csv")
    assert type(raised.value) is error


@pytest.mark.parametrize("spoiled", ["NFOX", "nan", "1e3"])
def test_a_spoiled_line_of_the_csv_spoils_the_read_and_is_named(spoiled: str) -> None:
    exchange = load("instruments.success-csv")
    exchange["response"] = exchange["response"].replace(",0.0,0,EQ", f",{spoiled},0,EQ")
    with pytest.raises(errors.BadAnswerError, match=r"csv\[0\]\.strike"):
        client_for(Replay(exchange)).instruments(Exchange.BSE_INDEX, wire_format="csv")
