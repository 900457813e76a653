"""Orders that would certainly be refused never leave."""

from dataclasses import replace
from typing import Any

import pytest

from engine.broker.client import OpenAlgoClient
from engine.broker.gtt_requests import GttRequest
from engine.broker.models import TriggerType
from engine.broker.multi_requests import BasketRequest, OptionLeg, SplitRequest
from engine.broker.requests import MarginPosition, ModifyRequest, OrderRequest, SmartOrderRequest
from engine.domain.errors import ContractError
from engine.domain.instruments import Action, Exchange, InstrumentType, PriceType, Product

GOOD: dict[str, Any] = {
    "strategy": "contract",
    "symbol": "NIFTY01DEC2626000CE",
    "exchange": Exchange.NFO,
    "action": Action.BUY,
    "quantity": 65,
    "product": Product.NRML,
}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": -65}, "quantity"),
        ({"quantity": 65.0}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"strategy": " "}, "strategy"),
        ({"symbol": ""}, "symbol"),
        ({"exchange": Exchange.NSE_INDEX}, "exchange"),
        ({"price_type": PriceType.LIMIT}, "price"),
        ({"price": 10.0}, "price"),
        ({"price_type": PriceType.LIMIT, "price": float("nan")}, "price"),
        ({"price_type": PriceType.LIMIT, "price": -1.0}, "price"),
        ({"price_type": PriceType.SL, "price": 10.0}, "trigger_price"),
        ({"price_type": PriceType.SL_M, "trigger_price": 10.0, "price": 9.0}, "price"),
        ({"price_type": PriceType.MARKET, "trigger_price": 9.0}, "trigger_price"),
        ({"disclosed_quantity": -1}, "disclosed_quantity"),
    ],
)
def test_a_hopeless_order_is_refused_by_field(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(ContractError) as raised:
        OrderRequest(**{**GOOD, **changed})
    assert raised.value.field == field


def test_a_change_needs_an_id_and_a_margin_leg_a_quantity() -> None:
    with pytest.raises(ContractError, match="orderid"):
        ModifyRequest("", OrderRequest(**GOOD))
    with pytest.raises(ContractError, match="quantity"):
        MarginPosition("NIFTY01DEC2626000CE", Exchange.NFO, Action.BUY, 0, Product.NRML)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "127.0.0.1:5000",
        "ftp://127.0.0.1",
        "http://",
        "http://me:pw@127.0.0.1",
        "http://127.0.0.1?x=1",
        "http://[",
        "http://a b",
        "http://127.0.0.1:99999999",
        None,
    ],
)
def test_a_host_that_is_none_is_refused_by_name(host: Any) -> None:
    with pytest.raises(ValueError, match=r"^host: "):
        OpenAlgoClient(host, "made-up-key")


def test_an_empty_key_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^api_key: "):
        OpenAlgoClient("http://127.0.0.1:5000", " ")


def test_a_client_does_not_show_its_key() -> None:
    client = OpenAlgoClient("http://127.0.0.1:5000/", "made-up-key", label="father made-up-key")
    assert repr(client) == "<OpenAlgoClient father [api key]>"
    assert client.host == "http://127.0.0.1:5000"


SMART: dict[str, Any] = {**GOOD, "quantity": 0, "position_size": -65}
LEG: dict[str, Any] = {
    "offset": "OTM2", "option_type": InstrumentType.CE, "action": Action.SELL, "quantity": 65, "product": Product.NRML,
}  # fmt: skip
SINGLE: dict[str, Any] = {
    "strategy": "g", "trigger_type": TriggerType.SINGLE, "symbol": "RELIANCE", "exchange": Exchange.NSE,
    "action": Action.BUY, "quantity": 5, "product": Product.CNC, "price": 1400.0, "triggerprice_sl": 1405.0,
}  # fmt: skip
OCO: dict[str, Any] = {
    **SINGLE, "trigger_type": TriggerType.OCO, "price": 0.0, "triggerprice_sl": 1450.0, "stoploss": 1448.0,
    "triggerprice_tg": 1650.0, "target": 1652.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "good", "changed", "field"),
    [
        (SmartOrderRequest, SMART, {"quantity": -1}, "quantity"),
        (SmartOrderRequest, SMART, {"position_size": 6.5}, "position_size"),
        (SmartOrderRequest, SMART, {"position_size": True}, "position_size"),
        (SmartOrderRequest, SMART, {"exchange": Exchange.BSE_INDEX}, "exchange"),
        (OptionLeg, LEG, {"offset": "OTM51"}, "offset"),
        (OptionLeg, LEG, {"offset": "ITM0"}, "offset"),
        (OptionLeg, LEG, {"offset": "otm2"}, "offset"),
        (OptionLeg, LEG, {"option_type": InstrumentType.FUT}, "option_type"),
        (OptionLeg, LEG, {"product": Product.CNC}, "product"),
        (OptionLeg, LEG, {"quantity": 0}, "quantity"),
        (GttRequest, SINGLE, {"product": Product.MIS}, "product"),
        (GttRequest, SINGLE, {"triggerprice_sl": 0.0}, "triggerprice_sl"),
        (GttRequest, SINGLE, {"triggerprice_tg": 1500.0}, "triggerprice_sl"),
        (GttRequest, SINGLE, {"price": 0.0}, "price"),
        (GttRequest, SINGLE, {"stoploss": 1.0}, "stoploss"),
        (GttRequest, SINGLE, {"price": float("nan")}, "price"),
        (GttRequest, OCO, {"target": 0.0}, "target"),
        (GttRequest, OCO, {"triggerprice_sl": 1700.0}, "triggerprice_sl"),
        (GttRequest, OCO, {"price": 5.0}, "price"),
    ],
)
def test_a_hopeless_call_is_refused_by_field(
    kind: Any, good: dict[str, Any], changed: dict[str, Any], field: str
) -> None:
    kind(**good)
    with pytest.raises(ContractError) as raised:
        kind(**{**good, **changed})
    assert raised.value.field == field


def test_a_basket_has_one_strategy_and_a_split_at_most_a_hundred_pieces() -> None:
    order = OrderRequest(**GOOD)
    with pytest.raises(ContractError, match="strategy"):
        BasketRequest((order, replace(order, strategy="other")))
    with pytest.raises(ContractError, match="orders"):
        BasketRequest(())
    many = replace(order, quantity=6500)
    assert SplitRequest(many, 65).pieces == 100
    with pytest.raises(ContractError, match="split_size"):
        SplitRequest(replace(many, quantity=6501), 65)
    with pytest.raises(ContractError, match="split_size"):
        SplitRequest(order, 0)


def test_the_whole_server_is_switched_only_with_a_confirmation() -> None:
    client = OpenAlgoClient("http://127.0.0.1:1", "made-up-key")
    with pytest.raises(ValueError, match="confirm_whole_server"):
        client.analyzer_toggle(analyze=False, confirm_whole_server=False)
    with pytest.raises(ValueError, match="analyze"):
        client.analyzer_toggle(analyze=1, confirm_whole_server=True)  # type: ignore[arg-type]
