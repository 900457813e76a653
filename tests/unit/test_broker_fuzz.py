"""Whatever a server answers, there is a typed value, outcome or error, and never the key in it."""

from __future__ import annotations

import copy
import html
import json
import math
import traceback
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.broker import OpenAlgoClient
from engine.broker.account_wide import CancelAllOutcome, ClosePositionOutcome
from engine.broker.answers import ChangeOutcome, OutcomeOpen, Placed, PlacementOutcome, Refused, SmartOutcome, order_id
from engine.broker.children import BasketAnswer, BasketOutcome, Children, ChildrenOutcome
from engine.broker.errors import BrokerError
from engine.broker.feed import Tick
from engine.broker.frames import Frame, read_frame
from engine.broker.gtt_requests import GttModifyRequest, GttRequest
from engine.broker.models import TriggerType
from engine.broker.multi_requests import (
    BasketRequest,
    OptionLeg,
    OptionsMultiOrderRequest,
    OptionsOrderRequest,
    SplitRequest,
)
from engine.broker.requests import MarginPosition, ModifyRequest, OrderRequest, SmartOrderRequest
from engine.broker.scrub import MASK, Secret
from engine.broker.triggers import GttChangeOutcome, GttOutcome
from engine.domain.instruments import Action, Exchange, InstrumentType, Product
from tests.contract.client_stage import REST

KEY = 'made/up+key "5f2c" é'
ECHOES = (
    KEY,
    urllib.parse.quote(KEY, safe=""),
    urllib.parse.quote(KEY, safe="").lower(),
    urllib.parse.quote_plus(KEY),
    urllib.parse.quote(urllib.parse.quote(KEY, safe=""), safe=""),
    json.dumps(KEY)[1:-1],
    json.dumps(json.dumps(KEY))[3:-3],
    html.escape(KEY),
)
NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
CALL = ("NIFTY01DEC2626000CE", Exchange.NFO)
ORDER = OrderRequest("contract", *CALL, Action.BUY, 195, Product.NRML)
LEG = MarginPosition(*CALL, Action.SELL, 65, Product.NRML)
OPTION = OptionLeg("OTM2", InstrumentType.CE, Action.SELL, 195, Product.NRML, date(2026, 12, 8))
GTT = GttRequest(
    "g", TriggerType.SINGLE, "RELIANCE", Exchange.NSE, Action.BUY, 5, Product.CNC, 1400.0, triggerprice_sl=1405.0
)

Call = Callable[[OpenAlgoClient], Any]
READS: dict[str, Call] = {
    "ping": lambda c: c.ping(),
    "analyzerstatus": lambda c: c.analyzer_status(),
    "analyzertoggle": lambda c: c.analyzer_toggle(analyze=True, confirm_whole_server=True),
    "funds": lambda c: c.funds(),
    "orderbook": lambda c: c.orderbook(),
    "tradebook": lambda c: c.tradebook(),
    "positionbook": lambda c: c.positionbook(),
    "gttorderbook": lambda c: c.gtt_orderbook(),
    "holdings": lambda c: c.holdings(),
    "pnlsymbols": lambda c: c.symbol_pnl(),
    "orderstatus": lambda c: c.order_status("26112"),
    "openposition": lambda c: c.open_position(*CALL, Product.NRML),
    "margin": lambda c: c.margin([LEG]),
    "quotes": lambda c: c.quotes(*CALL),
    "multiquotes": lambda c: c.multiquotes([CALL, ("NIFTY", Exchange.NSE_INDEX)]),
    "depth": lambda c: c.depth(*CALL),
    "history": lambda c: c.history(*CALL, "D", date(2026, 11, 2), date(2026, 11, 20)),
    "intervals": lambda c: c.intervals(),
    "symbol": lambda c: c.symbol(*CALL),
    "search": lambda c: c.search("NIFTY"),
    "instruments": lambda c: (c.instruments(Exchange.NFO), c.instruments(Exchange.NFO, wire_format="csv")),
    "expiry": lambda c: c.expiry("NIFTY", Exchange.NFO),
    "optionchain": lambda c: c.option_chain("NIFTY", Exchange.NSE_INDEX, date(2026, 12, 1)),
    "optionsymbol": lambda c: c.option_symbol("NIFTY", Exchange.NSE_INDEX, date(2026, 12, 1), "ATM", InstrumentType.CE),
    "optiongreeks": lambda c: c.option_greeks(*CALL),
    "multioptiongreeks": lambda c: c.multi_option_greeks([CALL]),
    "syntheticfuture": lambda c: c.synthetic_future("NIFTY", Exchange.NSE_INDEX, date(2026, 12, 1)),
    "holidays": lambda c: c.holidays(2026),
    "timings": lambda c: c.timings(date(2026, 11, 23)),
    "transport": lambda c: c.ask("nosuchendpoint"),
}
ORDERS: dict[str, tuple[Call, Any]] = {
    "placeorder": (lambda c: c.place_order(ORDER), PlacementOutcome),
    "placesmartorder": (
        lambda c: c.place_smart_order(SmartOrderRequest("x", *CALL, Action.BUY, 0, 65, Product.NRML)),
        SmartOutcome,
    ),
    "basketorder": (lambda c: c.place_basket(BasketRequest((ORDER, ORDER))), BasketOutcome),
    "splitorder": (lambda c: c.place_split_order(SplitRequest(ORDER, 65)), ChildrenOutcome),
    "optionsorder": (
        lambda c: c.place_options_order(OptionsOrderRequest("x", "NIFTY", Exchange.NSE_INDEX, OPTION, 65)),
        ChildrenOutcome,
    ),
    "optionsmultiorder": (
        lambda c: c.place_options_multi_order(
            OptionsMultiOrderRequest("x", "NIFTY", Exchange.NSE_INDEX, (OPTION, OPTION))
        ),
        ChildrenOutcome,
    ),
    "modifyorder": (lambda c: c.modify_order(ModifyRequest("17", ORDER)), ChangeOutcome),
    "cancelorder": (lambda c: c.cancel_order("17"), ChangeOutcome),
    "cancelallorder": (lambda c: c.cancel_all_orders(), CancelAllOutcome),
    "closeposition": (lambda c: c.close_positions(), ClosePositionOutcome),
    "placegttorder": (lambda c: c.place_gtt(GTT), GttOutcome),
    "modifygttorder": (lambda c: c.modify_gtt(GttModifyRequest("77", GTT)), GttChangeOutcome),
    "cancelgttorder": (lambda c: c.cancel_gtt("77"), GttChangeOutcome),
}

NAMES = (
    "status", "message", "data", "orders", "orderid", "mode", "pending_order_id", "errors", "results", "chain", "ce",
    "symbol", "exchange", "product", "action", "quantity", "price", "trigger_price", "pricetype", "order_status",
    "average_price", "timestamp", "ltp", "availablecash", "expiry_date", "broker", "lotsize", "freeze_qty", "expiry",
    "type", "code", "subscriptions", "closed_exchanges", "open_exchanges", "start_time", "end_time", "date", "legs",
    "bids", "asks", "open", "high", "low", "close", "volume", "oi", "greeks", "holdings", "statistics", "trigger_id",
    "order_num", "leg", "canceled_orders", "failed_cancellations", "closed_positions", "trigger_prices", "depth",
)  # fmt: skip
WORDS = (
    "success", "error", "partial", "analyze", "semi_auto", "NFO", "NRML", "BUY", "MARKET", "open", "26112", "12.5",
    "01-DEC-26", "2026-11-22 11:00:01", "99:99:99", "market_data", "order_update", "subscribe", "auth", "single",
    "Positions Already Matched. No Action needed.", "CE", "", *ECHOES, *(f"no {echo}!" for echo in ECHOES),
)  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.sampled_from([10**400, 1e308, -1e308, math.nan, math.inf, -0.0, 1795146300, 2**53 + 1]),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(WORDS),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.sampled_from(ECHOES)), inner, max_size=9),
    ),
    max_leaves=20,
)
ROWS = st.dictionaries(st.sampled_from(NAMES), LEAVES, max_size=20)
ANSWERS = st.one_of(
    VALUES,
    ROWS,
    st.fixed_dictionaries({"status": st.just("success"), "data": st.one_of(VALUES, ROWS, st.lists(ROWS, max_size=2))}),
    st.fixed_dictionaries({"status": st.just("success"), "results": st.lists(ROWS, max_size=4)}),
)
BODIES = st.one_of(ANSWERS.map(lambda value: json.dumps(value).encode()), st.binary(max_size=40))
STATUSES = st.one_of(st.sampled_from([200, 200, 400, 401, 403, 404, 429, 500, 502]), st.integers(200, 599))
RECORDED = [json.loads(file.read_text(encoding="utf-8")) | {"name": file.stem} for file in sorted(REST.glob("*.json"))]
RECORDED = [exchange for exchange in RECORDED if isinstance(exchange["response"], dict)]


@dataclass
class Server(httpx.BaseTransport):
    """Answers everything with what it holds at the moment."""

    status: int = 200
    body: bytes = b""
    requests: list[httpx.Request] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status, content=self.body)


SERVER = Server()
CLIENT = OpenAlgoClient("http://127.0.0.1:5000", KEY, label="father", transport=SERVER)


def spots(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a JSON value: its holder and the name or number in it."""
    names = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [spot for name in names for spot in [(value, name), *spots(value[name])]]


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, int, bytes]:
    """A recorded answer with one to three things wrong: dropped, retyped, huge, nested, repeated, renamed."""
    exchange = draw(st.sampled_from(RECORDED))
    answer = copy.deepcopy(exchange["response"])
    for _ in range(draw(st.integers(1, 3))):
        places = spots(answer)
        if not places:
            break
        holder, name = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(["drop", "replace", "replace", "nest", "repeat", "rename"])):
            case "drop":
                del holder[name]
            case "replace":
                holder[name] = draw(LEAVES)
            case "nest":
                holder[name] = draw(st.sampled_from([[holder[name]], {"data": holder[name]}, [], {}]))
            case "repeat" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[name]))
            case "rename" if isinstance(holder, dict):
                holder[draw(st.sampled_from(NAMES))] = holder.pop(name)
            case _:
                pass
    status = draw(st.one_of(st.just(exchange["status_code"] or 200), st.just(200), STATUSES))
    return exchange["name"].partition(".")[0], status, json.dumps(answer).encode()


def told_by(error: BrokerError) -> str:
    """Everything that a log of this error with its locals would show of our side."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in trace.stack if "/engine/" in frame.filename]
    assert ours, "the error comes from the client"
    assert error.__cause__ is None
    assert error.__context__ is None
    return f"{error} {error!r} {error.args!r} {[frame.locals for frame in ours]!r}"


def assert_without_key(told: str) -> None:
    plain = told.replace("\\\\", "\\")
    for echo in ECHOES:
        assert echo not in plain
        assert repr(echo)[1:-1] not in told


def ask(endpoint: str, status: int, body: bytes) -> None:
    SERVER.status, SERVER.body = status, body
    SERVER.requests.clear()
    try:
        value = READS[endpoint](CLIENT)
        assert endpoint == "transport" or all(map(math.isfinite, numbers_in(value)))
        told = repr(value)
    except BrokerError as error:
        told = told_by(error)
    assert_without_key(told)


def numbers_in(value: Any) -> list[float]:
    match value:
        case float():
            return [value]
        case dict():
            return [number for item in value.values() for number in numbers_in(item)]
        case list() | tuple():
            return [number for item in value for number in numbers_in(item)]
        case _ if is_dataclass(value):
            return [number for item in fields(value) for number in numbers_in(getattr(value, item.name))]
        case _:
            return []


def send(endpoint: str, status: int, body: bytes) -> None:
    call, kind = ORDERS[endpoint]
    SERVER.status, SERVER.body = status, body
    SERVER.requests.clear()
    outcome = call(CLIENT)
    assert isinstance(outcome, kind)
    assert len(SERVER.requests) == 1, "sent once, whatever came back"
    assert_without_key(repr(outcome))
    if isinstance(outcome, Children | BasketAnswer | Placed):
        assert ids_in_answer(body) == ids_in(outcome), "no id of the answer is lost, none is made up"


def ids_in_answer(body: bytes) -> set[str]:
    answer = json.loads(body)
    rows = answer.get("results")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    named = [order_id(row.get("orderid")) for row in [answer, *rows]]
    return {one for one in named if one and Secret(KEY).scrub(one) == one}  # an id that would show the key is none


def ids_in(outcome: Any) -> set[str]:
    if isinstance(outcome, Placed | Refused | OutcomeOpen):
        return {outcome.orderid} if outcome.orderid else set()
    if isinstance(outcome, tuple):
        return {one for item in outcome for one in ids_in(item)}
    if is_dataclass(outcome):
        return {one for item in fields(outcome) for one in ids_in(getattr(outcome, item.name))}
    return set()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(READS)), STATUSES, BODIES)
def test_any_answer_becomes_a_value_or_a_typed_error_without_the_key(endpoint: str, status: int, body: bytes) -> None:
    ask(endpoint, status, body)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(ORDERS)), STATUSES, BODIES)
def test_any_answer_to_an_order_becomes_an_outcome_without_the_key(endpoint: str, status: int, body: bytes) -> None:
    send(endpoint, status, body)


@settings(max_examples=1000, deadline=None)
@given(spoiled())
def test_a_spoiled_recorded_answer_is_a_value_an_error_or_an_outcome(case: tuple[str, int, bytes]) -> None:
    endpoint, status, body = case
    if endpoint in ORDERS:
        send(endpoint, status, body)
    else:
        ask(endpoint, status, body)


@settings(max_examples=300, deadline=None)
@given(st.one_of(BODIES, ANSWERS.map(json.dumps), st.text(max_size=20)))
def test_any_frame_is_read_or_called_unusable(message: str | bytes) -> None:
    frame = read_frame(message, 1.0, NOW, secret=Secret(KEY))
    assert isinstance(frame, Frame)
    if isinstance(frame, Tick):
        assert 0 < frame.ltp < float("inf")
    assert_without_key(repr(frame))


def test_every_recorded_endpoint_is_fuzzed() -> None:
    recorded = {file.stem.partition(".")[0] for file in REST.glob("*.json")}
    assert recorded == set(READS) | set(ORDERS)


def test_the_key_is_masked_in_every_form_a_server_gives_back() -> None:
    for echo in ECHOES:
        assert Secret(KEY).scrub(f"no {echo}!") == f"no {MASK}!"
        assert Secret(KEY).scrub(f"http://127.0.0.1/api?apikey={echo}&x=1") == f"http://127.0.0.1/api?apikey={MASK}&x=1"
