"""Whatever a server answers, there is a typed value, outcome or error, and never the key in it."""

import json
from datetime import UTC, date, datetime
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.broker import OpenAlgoClient
from engine.broker.answers import ChangeOutcome, PlacementOutcome
from engine.broker.errors import BrokerError
from engine.broker.feed import OrderPush, Tick
from engine.broker.frames import Frame, read_frame
from engine.broker.requests import MarginPosition, ModifyRequest, OrderRequest
from engine.broker.scrub import Secret
from engine.domain.instruments import Action, Exchange, Product

KEY = "made-up-key-5f2c"
ORDER = OrderRequest("contract", "NIFTY01DEC2626000CE", Exchange.NFO, Action.BUY, 65, Product.NRML)
NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
LEG = MarginPosition("NIFTY01DEC2626000CE", Exchange.NFO, Action.SELL, 65, Product.NRML)

NAMES = (
    "status", "message", "data", "orders", "orderid", "mode", "pending_order_id", "errors", "results", "chain", "ce",
    "symbol", "exchange", "product", "action", "quantity", "price", "trigger_price", "pricetype", "order_status",
    "average_price", "timestamp", "ltp", "availablecash", "expiry_date", "broker", "lotsize", "freeze_qty", "expiry",
    "type", "code", "subscriptions", "closed_exchanges", "open_exchanges", "start_time", "end_time", "date",
)  # fmt: skip
WORDS = (
    "success", "error", "analyze", "semi_auto", "NFO", "NRML", "BUY", "MARKET", "open", "26112", "12.5", "01-DEC-26",
    "2026-11-22 11:00:01", "99:99:99", "market_data", "order_update", "subscribe", "auth", KEY, f"no {KEY}", "",
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=5), st.sampled_from(WORDS)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.just(KEY)), inner, max_size=9),
    ),
    max_leaves=25,
)
ROWS = st.fixed_dictionaries({name: LEAVES for name in NAMES if name != "data"})
ANSWERS = st.one_of(
    VALUES,
    ROWS,
    st.fixed_dictionaries(
        {
            "status": st.just("success"),
            "data": st.one_of(
                VALUES, ROWS, st.lists(ROWS, max_size=2), st.fixed_dictionaries({"orders": st.lists(ROWS, max_size=2)})
            ),
        }
    ),
)
BODIES = st.one_of(ANSWERS.map(lambda value: json.dumps(value).encode()), st.binary(max_size=40))
STATUSES = st.one_of(st.sampled_from([200, 400, 401, 403, 404, 429, 500, 502]), st.integers(200, 599))


def answering(status: int, body: bytes) -> OpenAlgoClient:
    def handle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body)

    return OpenAlgoClient("http://127.0.0.1:5000", KEY, label="father", transport=httpx.MockTransport(handle))


def reads(client: OpenAlgoClient) -> list[Any]:
    return [
        client.ping,
        client.analyzer_status,
        client.funds,
        client.orderbook,
        client.tradebook,
        client.positionbook,
        lambda: client.order_status("26112"),
        lambda: client.quotes("NIFTY", Exchange.NSE_INDEX),
        lambda: client.multiquotes([("NIFTY", Exchange.NSE_INDEX)]),
        lambda: client.symbol("NIFTY", Exchange.NSE_INDEX),
        lambda: client.expiry("NIFTY", Exchange.NFO),
        lambda: client.option_chain("NIFTY", Exchange.NSE_INDEX, date(2026, 12, 1)),
        lambda: client.margin([LEG]),
        lambda: client.holidays(2026),
        lambda: client.timings(date(2026, 11, 23)),
    ]


@settings(max_examples=150, deadline=None)
@given(STATUSES, BODIES)
def test_any_answer_becomes_a_value_or_a_typed_error_without_the_key(status: int, body: bytes) -> None:
    client = answering(status, body)
    for read in reads(client):
        try:
            told = repr(read())
        except BrokerError as error:
            told = f"{error} {error!r} {error.__cause__!r}"
        assert KEY not in told


@settings(max_examples=300, deadline=None)
@given(STATUSES, BODIES)
def test_any_answer_to_an_order_becomes_an_outcome_without_the_key(status: int, body: bytes) -> None:
    client = answering(status, body)
    placed = client.place_order(ORDER)
    changed = [client.modify_order(ModifyRequest("17", ORDER)), client.cancel_order("17")]
    assert isinstance(placed, PlacementOutcome)
    assert all(isinstance(outcome, ChangeOutcome) for outcome in changed)
    assert KEY not in repr([placed, changed])


@settings(max_examples=300, deadline=None)
@given(st.one_of(BODIES, ANSWERS.map(json.dumps), st.text(max_size=20)))
def test_any_frame_is_read_or_called_unusable(message: str | bytes) -> None:
    frame = read_frame(message, 1.0, NOW, secret=Secret(KEY))
    assert isinstance(frame, Frame)
    if isinstance(frame, Tick):
        assert 0 < frame.ltp < float("inf")
    elif not isinstance(frame, OrderPush):
        assert KEY not in repr(frame)
