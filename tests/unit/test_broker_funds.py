"""How much of the funds may be used, by what the broker means with them (RULES 2)."""

import json
from datetime import UTC, datetime

import httpx
import pytest

from engine.broker.errors import BadAnswerError
from engine.broker.funds import FundsModel, available_paise, is_listed, model_for_broker
from engine.broker.models import Funds, Mode
from engine.broker.parsing.account import funds as parse_funds
from engine.domain.errors import SizingError
from engine.services.connection import probe
from tests.contract.client_stage import REST

WS = REST.parent / "ws"
NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
NET, INSIDE, GROSS = FundsModel.NET, FundsModel.NET_WITH_COLLATERAL, FundsModel.GROSS


def funds(cash: int, *, used: int = 0, collateral: int = 0) -> Funds:
    return Funds(cash, collateral, used, 0, 0, Mode.LIVE, NOW, NOW)


@pytest.mark.parametrize(
    ("broker", "model"),
    [(name, NET) for name in ("paper", "analyzer", "Shoonya", "flattrade", "Zebu", "firstock", "tradesmart")]
    + [(name, NET) for name in ("5paisa", "fivepaisa", "samco", "tradejini", "dhan", "pocketful")]
    + [(name, INSIDE) for name in ("fivepaisaxts", "5paisa XTS", "jainamxts", "compositedge", "iifl")]
    + [(name, INSIDE) for name in ("wisdom", "rmoney", "ibulls", "IndiaBulls")]
    + [(name, GROSS) for name in ("zerodha", "angel", "fyers", "groww", "definedge", "kotak", "upstox", "")],
)
def test_the_funds_model_of_a_broker(broker: str, model: FundsModel) -> None:
    assert model_for_broker(broker) is model


@pytest.mark.parametrize(
    ("model", "haircut", "available"),
    [(NET, 0.0, 1000), (NET, 0.5, 1150), (INSIDE, 0.5, 1000), (GROSS, 0.0, 600), (GROSS, 1.0, 900)],
)
def test_available_by_model(model: FundsModel, haircut: float, available: int) -> None:
    assert available_paise(funds(1000, used=400, collateral=300), model, haircut) == available


def test_more_used_than_there_is_leaves_nothing() -> None:
    assert available_paise(funds(1000, used=1500), GROSS) == 0


@pytest.mark.parametrize("model", list(FundsModel))
@pytest.mark.parametrize(
    ("one", "field"),
    [(funds(-1), "availablecash"), (funds(1000, collateral=-1), "collateral")],
    ids=["cash", "pledged"],
)
def test_negative_funds_are_an_error_and_no_zero(one: Funds, field: str, model: FundsModel) -> None:
    with pytest.raises(SizingError) as raised:
        available_paise(one, model)
    assert raised.value.field == field


def test_used_funds_count_whichever_sign_a_broker_gives_them() -> None:
    assert available_paise(funds(1000, used=-400), GROSS) == available_paise(funds(1000, used=400), GROSS) == 600


def test_every_broker_that_a_server_names_has_a_model_of_its_own() -> None:
    lines = (WS / "ping.jsonl").read_text(encoding="utf-8").splitlines()
    messages = [json.loads(line)["message"] for line in lines]
    named = next(message["brokers"] for message in messages if message.get("type") == "supported_brokers")
    assert len(named) == 36
    assert [name for name in named if not is_listed(name)] == []
    models = {model: sorted(name for name in named if model_for_broker(name) is model) for model in FundsModel}
    assert models[NET] == [
        "dhan", "dhan_sandbox", "firstock", "fivepaisa", "flattrade", "pocketful", "samco", "shoonya", "tradejini",
        "tradesmart", "zebu",
    ]  # fmt: skip
    assert models[INSIDE] == ["compositedge", "fivepaisaxts", "ibulls", "iifl", "jainamxts", "rmoney", "wisdom"]
    assert len(models[GROSS]) == 36 - 11 - 7


@pytest.mark.parametrize("broker", ["", "somebody new", "zerodha2", "dhanx"])
def test_a_broker_that_nobody_listed_is_gross(broker: str) -> None:
    assert not is_listed(broker)
    assert model_for_broker(broker) is GROSS


@pytest.mark.parametrize("spoiled", [None, "", "n/a", "NaN", float("nan"), float("inf"), True, [], "1,000.00", 10**40])
@pytest.mark.parametrize("field", ["availablecash", "collateral", "utiliseddebits", "m2munrealized", "m2mrealized"])
def test_funds_with_a_figure_that_is_none_are_a_failed_read(field: str, spoiled: object) -> None:
    names = ("availablecash", "collateral", "utiliseddebits", "m2munrealized", "m2mrealized")
    data: dict[str, object] = dict.fromkeys(names, "100.00") | {field: spoiled}
    with pytest.raises(BadAnswerError, match=f"^{field}: "):
        parse_funds({"status": "success", "data": data}, NOW, NOW)
    del data[field]
    with pytest.raises(BadAnswerError, match=f"^{field}: "):
        parse_funds({"status": "success", "data": data}, NOW, NOW)


@pytest.mark.parametrize("haircut", [-0.1, 1.1, float("nan")])
def test_a_haircut_that_is_no_share_is_refused(haircut: float) -> None:
    with pytest.raises(SizingError, match="haircut"):
        available_paise(funds(1000), NET, haircut)


def test_an_account_in_debit_can_be_connected_and_has_nothing_to_use() -> None:
    answers = {
        "ping": {"broker": "shoonya", "message": "pong"},
        "analyzer": {"analyze_mode": False, "mode": "live", "total_logs": 0},
        "funds": dict.fromkeys(("collateral", "utiliseddebits", "m2munrealized", "m2mrealized"), "0.00")
        | {"availablecash": "-12.50"},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"status": "success", "data": answers[request.url.path.rsplit("/", 1)[1]]})

    report = probe("http://127.0.0.1:5000", "made-up-key", transport=httpx.MockTransport(answer))
    assert (report.ok, report.funds_paise, report.funds_model) == (True, 0, "net")
