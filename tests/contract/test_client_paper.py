"""Every call of the client against a real paper exchange, judged by the exchange's own books."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from engine.broker import (
    Action,
    BasketRequest,
    Exchange,
    GttModifyRequest,
    GttRequest,
    InstrumentType,
    MarginPosition,
    ModifyRequest,
    NothingToDo,
    OpenAlgoClient,
    OpenAlgoStream,
    OptionLeg,
    OptionsMultiOrderRequest,
    OptionsOrderRequest,
    OrderRequest,
    Placed,
    PriceType,
    Product,
    Refused,
    SmartOrderRequest,
    SplitRequest,
    StreamMode,
    TriggerType,
)
from engine.broker.account_wide import CancelledAll, ClosingTaken
from engine.broker.answers import Acknowledged
from engine.broker.children import BasketAnswer, Children
from engine.broker.feed import DepthTick, OrderPush, QuoteTick, StreamState, Tick
from engine.broker.models import OptionChain
from engine.broker.triggers import TriggerChanged, TriggerPlaced
from engine.domain.instruments import Exchange as Segment
from tests.paper_server import PaperServer, wait_until

INDEX = ("NIFTY", Segment.NSE_INDEX)


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperServer]:
    with PaperServer(seed=7) as server:
        yield server


@pytest.fixture
def key(paper: PaperServer, request: pytest.FixtureRequest) -> str:
    name = f"key-{request.node.name[:40]}"
    paper.add_account(name)
    return name


@pytest.fixture
def client(paper: PaperServer, key: str) -> Iterator[OpenAlgoClient]:
    with OpenAlgoClient(paper.url, key, label="Asha") as one:
        yield one


@pytest.fixture
def chain(client: OpenAlgoClient) -> OptionChain:
    expiry = client.expiry("NIFTY", Exchange.NFO)[1]
    return client.option_chain(*INDEX, expiry, 1, with_greeks=True)


@pytest.fixture
def call(chain: OptionChain) -> tuple[str, Exchange]:
    side = chain.rows[1].ce
    assert side is not None
    return side.symbol, Exchange.NFO


def market(call: tuple[str, Exchange], quantity: int = 65, action: Action = Action.BUY) -> OrderRequest:
    return OrderRequest("client", *call, action, quantity, Product.NRML)


def ids(outcomes: list[Any]) -> set[str]:
    assert all(isinstance(outcome, Placed) for outcome in outcomes), outcomes
    return {outcome.orderid for outcome in outcomes}


def held(paper: PaperServer, key: str) -> dict[str, int]:
    return {row["symbol"]: row["quantity"] for row in paper.books(key)["positions"] if row["quantity"]}


def at_exchange(paper: PaperServer, key: str) -> set[str]:
    return {row["order_id"] for row in paper.books(key)["orders"]}


def test_prices_and_depth_are_of_one_market(client: OpenAlgoClient, call: tuple[str, Exchange]) -> None:
    depth, quote = client.depth(*call), client.quotes(*call)
    assert len(depth.bids) == len(depth.asks) == 5
    assert depth.bids[0].price < depth.asks[0].price
    assert abs(depth.ltp / quote.ltp - 1) < 0.1
    both = client.multiquotes([call, ("NOSUCH", Exchange.NSE)])
    assert [isinstance(one, str) for one in both.values()] == [False, True]


def test_bars_come_in_order_and_days_start_at_midnight(client: OpenAlgoClient) -> None:
    last = datetime.now(UTC).date()
    days = client.history(*INDEX, "D", last - timedelta(days=14), last)
    assert days
    assert all((bar.start.hour, bar.start.minute, bar.start.tzinfo) == (0, 0, UTC) for bar in days)
    assert all(last - timedelta(days=14) <= bar.start.date() <= last for bar in days)
    minutes = client.history(*INDEX, "5m", last - timedelta(days=5), last)
    assert minutes
    assert all(later.start - bar.start >= timedelta(minutes=5) for bar, later in pairwise(minutes))
    assert set(client.intervals().minutes) >= {"1m", "5m"}


def test_the_instrument_master_is_the_same_in_both_forms(client: OpenAlgoClient, call: tuple[str, Exchange]) -> None:
    rows = client.instruments(Exchange.NFO)
    assert rows == client.instruments(Exchange.NFO, wire_format="csv")
    (row,) = [row for row in rows if row.symbol == call[0]]
    one = client.symbol(*call)
    assert (row.lot_size, row.strike, row.expiry) == (one.lot_size, one.strike, one.expiry)
    assert call[0] in {row.symbol for row in client.search(call[0], Exchange.NFO)}


def test_options_are_resolved_and_valued(
    client: OpenAlgoClient, chain: OptionChain, call: tuple[str, Exchange]
) -> None:
    found = client.option_symbol(*INDEX, chain.expiry, "OTM1", InstrumentType.CE)
    assert (found.exchange, found.lot_size) == (Exchange.NFO, 65)
    greeks = client.option_greeks(*call)
    assert 0 < greeks.delta < 1
    assert chain.rows[1].ce is not None
    assert chain.rows[1].ce.greeks is not None
    both = client.multi_option_greeks([call, ("NIFTY01DEC2699999CE", Exchange.NFO)])
    assert [isinstance(one, str) for one in both.values()] == [False, True]
    future = client.synthetic_future(*INDEX, chain.expiry)
    assert abs(future.price / future.underlying_ltp - 1) < 0.05


def test_what_is_asked_of_the_account(client: OpenAlgoClient, call: tuple[str, Exchange]) -> None:
    assert client.ping().broker == "paper"
    assert client.analyzer_toggle(analyze=True, confirm_whole_server=True) == client.analyzer_status()
    assert client.holdings().rows == ()
    client.place_order(market(call, 130))
    assert client.open_position(*call, Product.NRML).quantity == 130
    (row,) = client.symbol_pnl().rows
    assert (row.symbol, row.quantity) == (call[0], 130)
    assert client.margin([MarginPosition(*call, Action.SELL, 65, Product.NRML)]).total > 0


def test_a_smart_order_goes_to_its_size_and_then_has_nothing_to_do(
    client: OpenAlgoClient, call: tuple[str, Exchange], paper: PaperServer, key: str
) -> None:
    smart = SmartOrderRequest("client", *call, Action.BUY, 0, 195, Product.NRML)
    assert isinstance(client.place_smart_order(smart), Placed)
    assert isinstance(client.place_smart_order(smart), NothingToDo)
    assert held(paper, key) == {call[0]: 195}


def test_a_basket_tells_its_legs_by_symbol(
    client: OpenAlgoClient, chain: OptionChain, call: tuple[str, Exchange], paper: PaperServer, key: str
) -> None:
    put = chain.rows[1].pe
    assert put is not None
    basket = client.place_basket(
        BasketRequest((market((put.symbol, Exchange.NFO)), market(call), market(("NOSUCH", Exchange.NFO))))
    )
    assert isinstance(basket, BasketAnswer)
    assert isinstance(basket.of_leg(3), Refused)
    assert ids([basket.of_leg(1), basket.of_leg(2)]) == at_exchange(paper, key) == set(basket.orderids)
    assert held(paper, key) == {call[0]: 65, put.symbol: 65}


def test_every_piece_and_leg_is_an_order_at_the_exchange(
    client: OpenAlgoClient, chain: OptionChain, call: tuple[str, Exchange], paper: PaperServer, key: str
) -> None:
    split = client.place_split_order(SplitRequest(market(call, 325), 130))
    assert isinstance(split, Children)
    assert [one.quantity for one in split.orders] == [130, 130, 65]
    leg = OptionLeg("OTM1", InstrumentType.CE, Action.BUY, 65, Product.NRML, chain.expiry)
    option = client.place_options_order(OptionsOrderRequest("client", *INDEX, leg))
    multi = client.place_options_multi_order(OptionsMultiOrderRequest("client", *INDEX, (leg, leg)))
    assert isinstance(option, Children)
    assert isinstance(multi, Children)
    children = [*split.orders, *option.orders, *multi.orders]
    assert ids([one.outcome for one in children]) == at_exchange(paper, key)
    assert len(children) == len(at_exchange(paper, key)) == 6
    assert {one.symbol for one in (*option.orders, *multi.orders)} <= set(held(paper, key))


def test_a_resting_order_is_changed_and_everything_is_cancelled_and_closed(
    client: OpenAlgoClient, call: tuple[str, Exchange], paper: PaperServer, key: str
) -> None:
    resting = OrderRequest("client", *call, Action.BUY, 65, Product.NRML, PriceType.LIMIT, 10.0)
    first, second = client.place_order(resting), client.place_order(resting)
    assert isinstance(first, Placed)
    assert isinstance(second, Placed)
    change = OrderRequest("client", *call, Action.BUY, 130, Product.NRML, PriceType.LIMIT, 11.0)
    assert client.modify_order(ModifyRequest(first.orderid, change)) == Acknowledged(first.orderid)
    row = client.order_status(first.orderid).row
    assert (row.quantity, row.price) == (130, 11.0)
    assert client.cancel_order(first.orderid) == Acknowledged(first.orderid)
    everything = client.cancel_all_orders()
    assert isinstance(everything, CancelledAll)
    assert (everything.cancelled, everything.failed) == ((second.orderid,), ())
    client.place_order(market(call))
    assert held(paper, key) == {call[0]: 65}
    closing = client.close_positions()
    assert isinstance(closing, ClosingTaken)
    assert (closing.closed, held(paper, key)) == (1, {})


def test_a_trigger_is_placed_changed_and_withdrawn(client: OpenAlgoClient, call: tuple[str, Exchange]) -> None:
    def trigger(price: float) -> GttRequest:
        return GttRequest(
            "client", TriggerType.SINGLE, *call, Action.BUY, 65, Product.NRML, price, triggerprice_sl=price + 1
        )

    placed = client.place_gtt(trigger(10.0))
    assert isinstance(placed, TriggerPlaced)
    changed = client.modify_gtt(GttModifyRequest(placed.trigger_id, trigger(12.0)))
    assert changed == TriggerChanged(placed.trigger_id)
    (row,) = client.gtt_orderbook().rows
    assert (row.trigger_id, row.legs[0].price, row.trigger_prices) == (placed.trigger_id, 12.0, (13.0,))
    assert client.cancel_gtt(placed.trigger_id) == TriggerChanged(placed.trigger_id)
    assert client.gtt_orderbook().rows == ()
    assert isinstance(client.cancel_gtt(placed.trigger_id), Refused)


def test_one_symbol_is_streamed_in_every_mode_beside_its_orders(
    client: OpenAlgoClient, call: tuple[str, Exchange], paper: PaperServer, key: str
) -> None:
    ticks: list[Tick] = []
    pushes: list[OrderPush] = []
    states: list[StreamState] = []
    stream = OpenAlgoStream(
        paper.ws_url, key, on_tick=ticks.append, on_order=pushes.append, on_state=states.append, label="Asha"
    )
    for mode in StreamMode:
        stream.set_symbols({call}, mode=mode)
    stream.start()
    try:
        wait_until(
            lambda: {type(tick) for tick in list(ticks)},
            lambda kinds: kinds == {Tick, QuoteTick, DepthTick},
            seconds=30,
        )
        depth = next(tick for tick in ticks if isinstance(tick, DepthTick))
        assert depth.bids
        assert depth.asks
        assert depth.bids[0].price < depth.asks[0].price
        placed = client.place_order(market(call))
        assert isinstance(placed, Placed)
        wanted = (placed.orderid, "complete")
        wait_until(
            lambda: {(push.orderid, push.raw_status) for push in list(pushes)}, lambda told: wanted in told, seconds=30
        )
    finally:
        stream.stop()
