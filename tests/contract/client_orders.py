"""For every endpoint that trades: how a recorded request is sent by the typed client, and what its answer proves.

The expected outcomes are worked out from the JSON by RULES 5, in their own words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.broker import OpenAlgoClient
from engine.broker.account_wide import CancelledAll, ClosingTaken
from engine.broker.answers import (
    Acknowledged,
    NoAnswer,
    NothingToDo,
    OutcomeOpen,
    Placed,
    Queued,
    RateLimited,
    Refused,
    Unclear,
)
from engine.broker.children import BasketAnswer, BasketGroup, ChildOrder, Children
from engine.broker.gtt_requests import GttModifyRequest, GttRequest
from engine.broker.models import TriggerType
from engine.broker.multi_requests import (
    BasketRequest,
    OptionLeg,
    OptionsMultiOrderRequest,
    OptionsOrderRequest,
    SplitRequest,
)
from engine.broker.requests import ModifyRequest, OrderRequest, SmartOrderRequest
from engine.broker.triggers import TriggerChanged, TriggerPlaced
from engine.domain.instruments import Action, Exchange, InstrumentType, PriceType, Product
from tests.contract.client_reads import day

Wire = dict[str, Any]


@dataclass(frozen=True)
class Trade:
    """``taken`` gives the outcome of a 200 from the request and the answer; ``changes``: nothing new is placed."""

    send: Callable[[OpenAlgoClient, Wire, Callable[[], None]], Any]
    plain: Wire
    taken: Callable[[Wire, Wire], Any]
    changes: bool = False


def expected(trade: Trade, sent: Wire, exchange: Wire) -> Any:
    """What RULES 5 says of this recorded answer."""
    status, wire = exchange["status_code"], exchange["response"]
    if status is None:
        return NoAnswer("ReadTimeout: gave up")
    if status == 429:
        return RateLimited(wire["message"])
    if status == 500:
        return Unclear(f"500: {wire['message']}") if trade.changes else OutcomeOpen(f"500: {wire['message']}")
    if status != 200:
        named = "; ".join(f"{field}: {texts[0]}" for field, texts in wire.get("errors", {}).items())
        return Refused("; ".join(filter(None, (wire["message"], named))), status, wire.get("orderid"))
    if "pending_order_id" in wire:
        return Queued(str(wire["pending_order_id"]))
    return trade.taken(sent, wire)


def order(sent: Wire) -> OrderRequest:
    return OrderRequest(
        sent["strategy"],
        sent["symbol"],
        Exchange(sent["exchange"]),
        Action(sent["action"]),
        whole(sent["quantity"]),
        Product(sent.get("product", "MIS")),
        PriceType(sent.get("pricetype", "MARKET")),
        float(sent.get("price", 0)),
        float(sent.get("trigger_price", 0)),
        whole(sent.get("disclosed_quantity", 0)),
    )


def whole(value: Any) -> int:
    return value if isinstance(value, float) else int(value)


def send_smart(client: OpenAlgoClient, sent: Wire, check: Callable[[], None]) -> Any:
    smart = SmartOrderRequest(
        sent["strategy"],
        sent["symbol"],
        Exchange(sent["exchange"]),
        Action(sent["action"]),
        int(sent["quantity"]),
        int(sent["position_size"]),
        Product(sent["product"]),
        PriceType(sent["pricetype"]),
        float(sent["price"]),
    )
    return client.place_smart_order(smart, before_write=check)


def send_basket(client: OpenAlgoClient, sent: Wire, check: Callable[[], None]) -> Any:
    legs = tuple(order({"strategy": sent["strategy"], **leg}) for leg in sent["orders"])
    return client.place_basket(BasketRequest(legs), before_write=check)


def option_leg(sent: Wire) -> OptionLeg:
    return OptionLeg(
        sent["offset"],
        InstrumentType(sent["option_type"]),
        Action(sent["action"]),
        int(sent["quantity"]),
        Product(sent["product"]),
        day(sent["expiry_date"]) if "expiry_date" in sent else None,
    )


def send_option(client: OpenAlgoClient, sent: Wire, check: Callable[[], None]) -> Any:
    request = OptionsOrderRequest(
        sent["strategy"], sent["underlying"], Exchange(sent["exchange"]), option_leg(sent), sent.get("splitsize")
    )
    return client.place_options_order(request, before_write=check)


def send_options(client: OpenAlgoClient, sent: Wire, check: Callable[[], None]) -> Any:
    request = OptionsMultiOrderRequest(
        sent["strategy"],
        sent["underlying"],
        Exchange(sent["exchange"]),
        tuple(option_leg(leg) for leg in sent["legs"]),
        day(sent["expiry_date"]) if "expiry_date" in sent else None,
    )
    return client.place_options_multi_order(request, before_write=check)


def trigger(sent: Wire) -> GttRequest:
    prices = ("price", "triggerprice_sl", "triggerprice_tg", "stoploss", "target")
    return GttRequest(
        sent["strategy"],
        TriggerType(sent["trigger_type"]),
        sent["symbol"],
        Exchange(sent["exchange"]),
        Action(sent["action"]),
        sent["quantity"],
        Product(sent["product"]),
        **{name: sent.get(name, 0) for name in prices},
    )


def child(row: Wire, place: int, answer: Wire) -> ChildOrder:
    outcome = Placed(row["orderid"]) if row["status"] == "success" else Refused(row["message"], 200)
    symbol, exchange = (row.get(name, answer.get(name)) for name in ("symbol", "exchange"))
    return ChildOrder(outcome, place, symbol, exchange, row.get("quantity"))


def taken_smart(_: Wire, wire: Wire) -> Any:
    return Placed(wire["orderid"]) if "orderid" in wire else NothingToDo(wire["message"])


def taken_basket(sent: Wire, wire: Wire) -> Any:
    if not wire["results"]:
        return OutcomeOpen("200 without an order id")  # a leg was asked for and nothing is said of it
    groups = {leg["symbol"]: ([], []) for leg in sent["orders"]}
    for place, leg in enumerate(sent["orders"], 1):
        groups[leg["symbol"]][0].append(place)
    for row in wire["results"]:
        groups[row["symbol"]][1].append(child(row, 0, {}).outcome)
    return BasketAnswer(tuple(BasketGroup(name, tuple(legs), tuple(told)) for name, (legs, told) in groups.items()))


def taken_children(_: Wire, wire: Wire) -> Any:
    rows = wire.get("results", [{"status": "success", "orderid": wire.get("orderid")}])
    children = tuple(child(row, row.get("order_num", row.get("leg", 1)), wire) for row in rows)
    assert [one.place for one in children] == list(range(1, len(children) + 1))
    return Children(children, (), wire.get("underlying_ltp"))


ORDER = {
    "strategy": "contract", "symbol": "NIFTY01DEC2626000CE", "exchange": "NFO", "action": "BUY", "quantity": "65",
    "product": "NRML", "pricetype": "MARKET", "price": "0", "trigger_price": "0", "disclosed_quantity": "0",
}  # fmt: skip
LEG = {"offset": "ATM", "option_type": "CE", "action": "BUY", "quantity": 65, "product": "NRML"}
OPTION = {"strategy": "x", "underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": "08DEC26"}
TRIGGER = {
    "strategy": "gtt", "trigger_type": "SINGLE", "exchange": "NSE", "symbol": "RELIANCE", "action": "BUY",
    "product": "CNC", "quantity": 5, "pricetype": "LIMIT", "price": 1400, "triggerprice_sl": 1405,
}  # fmt: skip

TRADES = {
    "placeorder": Trade(
        lambda c, sent, check: c.place_order(order(sent), before_write=check),
        ORDER,
        lambda _, wire: Placed(wire["orderid"]),
    ),
    "placesmartorder": Trade(send_smart, {**ORDER, "position_size": 65}, taken_smart),
    "basketorder": Trade(send_basket, {"strategy": "b", "orders": [ORDER]}, taken_basket),
    "splitorder": Trade(
        lambda c, sent, check: c.place_split_order(SplitRequest(order(sent), sent["splitsize"]), before_write=check),
        {**ORDER, "splitsize": 65},
        taken_children,
    ),
    "optionsorder": Trade(send_option, {**OPTION, **LEG}, taken_children),
    "optionsmultiorder": Trade(send_options, {**OPTION, "legs": [LEG]}, taken_children),
    "modifyorder": Trade(
        lambda c, sent, check: c.modify_order(ModifyRequest(sent["orderid"], order(sent)), before_write=check),
        {**ORDER, "orderid": "26112"},
        lambda _, wire: Acknowledged(wire["orderid"]),
        changes=True,
    ),
    "cancelorder": Trade(
        lambda c, sent, check: c.cancel_order(sent["orderid"], strategy=sent["strategy"], before_write=check),
        {"orderid": "26112", "strategy": "x"},
        lambda _, wire: Acknowledged(wire["orderid"]),
        changes=True,
    ),
    "cancelallorder": Trade(
        lambda c, sent, check: c.cancel_all_orders(strategy=sent["strategy"], before_write=check),
        {"strategy": "x"},
        lambda _, wire: CancelledAll(tuple(wire["canceled_orders"]), (), wire["message"]),
        changes=True,
    ),
    "closeposition": Trade(
        lambda c, sent, check: c.close_positions(strategy=sent["strategy"], before_write=check),
        {"strategy": "x"},
        lambda _, wire: ClosingTaken(wire["message"], wire.get("closed_positions"), wire.get("failed_closures")),
    ),
    "placegttorder": Trade(
        lambda c, sent, check: c.place_gtt(trigger(sent), before_write=check),
        TRIGGER,
        lambda _, wire: TriggerPlaced(wire["trigger_id"]),
    ),
    "modifygttorder": Trade(
        lambda c, sent, check: c.modify_gtt(GttModifyRequest(sent["trigger_id"], trigger(sent)), before_write=check),
        {**TRIGGER, "trigger_id": "77"},
        lambda _, wire: TriggerChanged(wire["trigger_id"]),
        changes=True,
    ),
    "cancelgttorder": Trade(
        lambda c, sent, check: c.cancel_gtt(sent["trigger_id"], strategy=sent["strategy"], before_write=check),
        {"trigger_id": "77", "strategy": "x"},
        lambda _, wire: TriggerChanged(wire["trigger_id"]),
        changes=True,
    ),
}
