"""Orders that would certainly be refused never leave."""

from typing import Any

import pytest

from engine.broker.client import OpenAlgoClient
from engine.broker.requests import MarginPosition, ModifyRequest, OrderRequest
from engine.domain.errors import ContractError
from engine.domain.instruments import Action, Exchange, PriceType, Product

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
