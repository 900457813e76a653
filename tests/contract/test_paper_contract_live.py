"""Accounts of a live broker, semi-auto accounts, revoked sessions and expired tokens answer as recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from engine.domain.instruments import Action, Exchange, PriceType, Product
from engine.paper.clock import IST
from engine.paper.exchange import PaperExchange
from engine.paper.live_face import LiveFace
from engine.paper.market import Market as PaperMarket
from engine.paper.orders import OrderRequest
from engine.paper.storage import Storage
from tests.contract.paper_scene import Market, Scene, assert_same
from tests.contract.paper_stage import RECORDED, difference, recordings
from tests.contract.test_paper_contract import DIFFERENT
from tests.contract.test_paper_contract import ENDPOINTS as OLD_ENDPOINTS
from tests.contract.test_paper_contract import _recordings as analyzer_recordings
from tests.contract.test_paper_contract_orders import ENDPOINTS as NEW_ENDPOINTS
from tests.contract.test_paper_contract_orders import _recordings as order_recordings
from tests.paper_server import PaperServer

SITUATIONS = ("live", "semi-auto", "revoked", "token-expired", "quotes-down", "no-quote")
CUT_OFF = ("token-expired", "quotes-down", "no-quote")
"""The broker refuses the session, so it has no prices either."""
FAULT_SCRIPTS = {
    "placeorder.live-broker-bad-gateway",
    "placeorder.live-broker-connection-lost",
    "placeorder.live-broker-rate-limited",
    "placeorder.live-client-timeout",
}
"""Need a fault of the broker, call by call."""
HOLDINGS = {"holdings.live-before", "holdings.live-success"}
"""Shares are delivered overnight; told below over an exchange whose clock can be put forward."""
COMPLETE, SHORT, SHARES, OPEN, SL, REJECTED = (f"26112210000000{number}" for number in (1, 3, 5, 7, 8, 9))
GTT = "100028"


def _recordings() -> list[str]:
    names = recordings((*OLD_ENDPOINTS, *NEW_ENDPOINTS, "depth"))
    elsewhere = FAULT_SCRIPTS | HOLDINGS
    return [name for name in names if any(word in name for word in SITUATIONS) and name not in elsewhere]


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    with PaperServer(seed=3) as paper:
        yield Market(paper)


def _books(scene: Scene) -> None:
    """The orders of the recorded day: three filled, one open, one waiting for its trigger, one rejected."""
    scene.place(COMPLETE, strategy="live-tag")
    scene.place(SHORT, symbol=scene.market.put_option, action="SELL", quantity=130)
    scene.place(SHARES, symbol="RELIANCE", exchange="NSE", product="CNC", quantity=3)
    scene.place(OPEN, pricetype="LIMIT", price=192.2)
    scene.place(SL, pricetype="SL", price=300.4, trigger_price=288.4)
    scene.place(REJECTED, quantity=1300000)


def _changed(scene: Scene) -> None:
    """The open order as it stood when it was cancelled."""
    _books(scene)
    order = scene.order(orderid=scene.replaced[OPEN], pricetype="LIMIT", price=180.2, quantity=130)
    scene.paper.call("modifyorder", **order, trigger_price=0, disclosed_quantity=0)
    scene.paper.call("cancelorder", apikey=scene.key, strategy="c", orderid=scene.replaced[OPEN])


def _more_than_the_funds(scene: Scene) -> None:
    """A quantity within the freeze quantity, for an account that cannot pay it."""
    scene.key = f"{scene.key}-poor"
    scene.paper.add_account(scene.key, funds=1_000, face="live")
    scene.replaced |= {"test-api-key": scene.key, "1300000": "1755"}


def _smart_position(scene: Scene) -> None:
    scene.place(symbol="SBIN", exchange="NSE", product="MIS", quantity=10)


def _validating(scene: Scene) -> None:
    scene.place(COMPLETE)
    _validating_first(scene)


def _validating_first(scene: Scene) -> None:
    scene.paper.fault("stale_status", "placeorder", api_key=scene.key, seconds=600)
    scene.place(SHORT, pricetype="LIMIT", price=100.0)


def _two_working(scene: Scene) -> None:
    scene.place(SL, pricetype="SL", price=300.4, trigger_price=288.4)
    scene.place("261122100000029", pricetype="LIMIT", price=192.2)


def _positions(scene: Scene) -> None:
    scene.place(quantity=260)
    scene.place(symbol=scene.market.put_option, action="SELL", quantity=130)


def _first_positions(scene: Scene) -> None:
    scene.place(COMPLETE)
    scene.place(SHORT, symbol=scene.market.put_option, action="SELL", quantity=130)
    scene.place(SHARES, symbol="RELIANCE", exchange="NSE", product="CNC", quantity=3)


def _seven_positions(scene: Scene) -> None:
    later = f"NIFTY{scene.market.words['08DEC26']}"
    scene.place(quantity=260)
    scene.place(symbol=scene.market.put_option, action="SELL", quantity=130)
    scene.place(symbol="RELIANCE", exchange="NSE", product="CNC", quantity=3)
    scene.place(symbol="SBIN", exchange="NSE", product="MIS", quantity=10)
    scene.place(symbol=f"{later}26000CE")
    scene.place(symbol=f"{later}26200CE")
    scene.place(symbol=f"{later}26100CE", action="SELL")


def _seven_closed(scene: Scene) -> None:
    _seven_positions(scene)
    scene.paper.call("closeposition", apikey=scene.key, strategy="c")


def _one_position(scene: Scene) -> None:
    scene.place()


def _gtt(scene: Scene) -> None:
    share = {"apikey": scene.key, "strategy": "gtt", "symbol": "RELIANCE", "exchange": "NSE", "product": "CNC"}
    share |= {"quantity": 5, "pricetype": "LIMIT", "trigger_type": "SINGLE", "action": "BUY", "price": 1400}
    scene.replaced[GTT] = scene.paper.call("placegttorder", **share, triggerprice_sl=1405)["trigger_id"]


def _as_live(scene: Scene) -> None:
    """Recorded by the mode that the server was started in."""
    scene.paper.change(scene.key, face="live")


def _switched_to_analyze(scene: Scene) -> None:
    scene.paper.change(scene.key, face="analyze")


PREPARED: dict[str, Callable[[Scene], object]] = {
    "analyzerstatus.live": _as_live,
    "analyzerstatus.semi-auto": _switched_to_analyze,
    "basketorder.live-partial-failure": _one_position,
    "cancelallorder.live-success": _two_working,
    "cancelgttorder.live-success": _gtt,
    "cancelorder.live-already-cancelled": _changed,
    "cancelorder.live-broker-token-expired": _books,
    "cancelorder.live-success": _books,
    "closeposition.live-broker-token-expired": _positions,
    "closeposition.live-success": _positions,
    "funds.live-with-positions": _positions,
    "gttorderbook.live-success": _gtt,
    "modifygttorder.live-success": _gtt,
    "modifyorder.live-already-complete": _books,
    "modifyorder.live-success": _books,
    "openposition.live-long": _one_position,
    "orderbook.live-broker-token-expired": _books,
    "orderbook.live-intermediate-broker-status": _validating,
    "orderbook.live-intermediate-broker-status-first": _validating_first,
    "orderbook.live-success": _books,
    "orderstatus.live-broker-token-expired": _books,
    "orderstatus.live-cancelled": _changed,
    "orderstatus.live-complete": _books,
    "orderstatus.live-intermediate-broker-status": _validating,
    "orderstatus.live-open": _books,
    "orderstatus.live-rejected": _books,
    "orderstatus.live-trigger-pending": _books,
    "placesmartorder.live-no-action": _smart_position,
    "positionbook.analyze-broker-quotes-down": _seven_closed,
    "positionbook.live-after-close": _seven_closed,
    "positionbook.live-before-close": _seven_positions,
    "positionbook.live-success": _first_positions,
    "tradebook.live-success": _first_positions,
}


@pytest.mark.parametrize("name", _recordings())
def test_answer_has_the_recorded_form_and_words(market: Market, name: str) -> None:
    scene = market.scene(name)
    PREPARED.get(name, lambda _: None)(scene)
    if any(word in name for word in CUT_OFF):
        scene.paper.change(scene.key, token="dead")
    assert_same(scene)


def test_every_prepared_recording_exists() -> None:
    assert PREPARED.keys() <= set(_recordings())
    elsewhere = {f"{name}.json" for name in FAULT_SCRIPTS | HOLDINGS}
    assert elsewhere <= {file.name for file in (RECORDED / "rest").iterdir()}


def test_live_gtt_ends_at_midnight_a_year_later(market: Market) -> None:
    scene = market.scene("gttorderbook.live-success")
    _gtt(scene)
    (row,) = scene.paper.call("gttorderbook", apikey=scene.key)["data"]
    placed = datetime.strptime(row["created_at"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=IST)
    ends = datetime.strptime(row["expires_at"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=IST)
    assert (ends.hour, ends.minute, ends.second) == (0, 0, 0)
    assert 364 <= (ends - placed).days <= 366
    assert abs((datetime.now(IST) - placed).total_seconds()) < 120


def test_accepted_then_rejected_order_is_in_the_book_with_no_fill(market: Market) -> None:
    scene = market.scene("placeorder.live-accepted-then-rejected")
    _more_than_the_funds(scene)
    with scene.paper.socket(scene.key) as socket:
        assert socket.ask(action="subscribe_orders")["status"] == "success"
        _, answer = scene.play()
        push = socket.expect(lambda frame: frame.get("type") == "order_update")
    said = {name: push[name] for name in ("orderid", "order_status", "price", "pending_quantity", "rejection_reason")}
    assert said == {
        "orderid": answer.json()["orderid"],
        "order_status": "rejected",
        "price": 0.0,
        "pending_quantity": 1755,
        "rejection_reason": "Insufficient funds. Required margin is higher than available.",
    }
    books = scene.paper.books(scene.key)
    assert [(row["order_id"], row["status"]) for row in books["orders"]] == [(answer.json()["orderid"], "rejected")]
    assert books["trades"] == books["positions"] == []


@pytest.mark.parametrize("path", ["ping", "analyzer", "holdings", "gttorderbook", "tradebook", "pnl/symbols"])
def test_revoked_session_is_refused_everywhere(market: Market, path: str) -> None:
    scene = market.scene("funds.broker-session-revoked-live")
    scene.paper.change(scene.key, token="revoked")
    answer = scene.paper.post(path, apikey=scene.key)
    assert (answer.status_code, answer.json()["message"]) == (403, "Invalid openalgo apikey")
    scene.paper.change(scene.key, token="good")
    assert scene.paper.post(path, apikey=scene.key).status_code == 200


@pytest.mark.parametrize("face", ["analyze", "live"])
def test_expired_token_is_not_noticed_by_ping(market: Market, face: str) -> None:
    scene = market.scene("ping.success")
    scene.paper.change(scene.key, face=face, token="dead")
    assert scene.paper.call("ping", apikey=scene.key)["data"]["message"] == "pong"


def test_expired_token_lets_nothing_through_and_takes_nothing(market: Market) -> None:
    scene = market.scene("ping.success")
    order = {name: value for name, value in scene.order().items() if name not in ("apikey", "strategy")}
    option = {"underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": scene.market.words["01DEC26"]}
    leg = {"offset": "ATM", "option_type": "CE", "action": "BUY", "quantity": 65}
    gtt = {"trigger_type": "SINGLE", "price": 100, "triggerprice_sl": 105}
    asked = {
        "placesmartorder": order | {"position_size": 65},
        "splitorder": order | {"splitsize": 65},
        "optionsorder": option | leg,
        "optionsmultiorder": option | {"legs": [leg]},
        "placegttorder": order | gtt,
        "cancelallorder": {},
        "closeposition": {},
    }
    scene.paper.change(scene.key, face="live", token="dead")
    refused = {
        name: scene.paper.post(name, apikey=scene.key, strategy="s", **body).status_code for name, body in asked.items()
    }
    assert refused.pop("splitorder") == 200  # every piece is refused by itself
    assert refused == {
        "placesmartorder": 500,
        "optionsorder": 500,
        "optionsmultiorder": 500,
        "placegttorder": 403,
        "cancelallorder": 500,
        "closeposition": 500,
    }
    books = scene.paper.books(scene.key)
    assert books["orders"] == books["gtts"] == []


@pytest.mark.parametrize("face", ["analyze", "live"])
def test_expired_token_has_no_prices_in_either_mode(market: Market, face: str) -> None:
    scene = market.scene("ping.success")
    share = {"symbol": "RELIANCE", "exchange": "NSE"}
    option = {"underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": scene.market.words["01DEC26"]}
    days = {"start_date": "2026-11-20", "end_date": "2026-11-20"}
    asked = {
        "history": share | days | {"interval": "1m"},
        "optionsymbol": option | {"offset": "ATM", "option_type": "CE"},
        "syntheticfuture": option,
        "optiongreeks": {"symbol": scene.market.call_option, "exchange": "NFO"},
    }
    scene.paper.change(scene.key, face=face)
    for name, body in asked.items():
        assert scene.paper.post(name, apikey=scene.key, **body).status_code == 200
    scene.paper.change(scene.key, token="dead")
    for name, body in asked.items():
        answer = scene.paper.post(name, apikey=scene.key, **body)
        assert (answer.status_code, "Incorrect `api_key`" in answer.json()["message"]) == (500, True)
    market_order, limit = scene.order(), scene.order(pricetype="LIMIT", price=150.0)
    expected = {"analyze": (400, 200), "live": (403, 403)}[face]
    assert (
        scene.paper.post("placeorder", **market_order).status_code,
        scene.paper.post("placeorder", **limit).status_code,
    ) == expected


@pytest.mark.parametrize("name", sorted(HOLDINGS))
def test_delivered_shares_have_the_recorded_form_and_figures(name: str) -> None:
    recorded = json.loads((RECORDED / "rest" / f"{name}.json").read_text())["response"]
    days = [datetime(2026, 11, 20, 11, tzinfo=IST).timestamp()]
    exchange = PaperExchange(market=PaperMarket(seed=3), storage=Storage(None), clock=lambda: days[-1])
    account, _ = exchange.open_account(api_key="k", name="k", funds=50_000_000_00, face="live")
    bought = {}
    for row in recorded["data"]["holdings"]:
        shares = OrderRequest(
            "s", row["symbol"], Exchange.NSE, Action.BUY, row["quantity"], PriceType.MARKET, Product.CNC
        )
        bought[row["symbol"]] = exchange.place(account, shares).average
    assert LiveFace().holdings(exchange, account)["holdings"] == []
    days.append(days[-1] + 86400)
    exchange.sweep()
    given = json.loads(json.dumps(LiveFace().holdings(exchange, account)))
    assert difference(recorded["data"], given) is None
    assert [(row["symbol"], row["quantity"], row["average_price"]) for row in given["holdings"]] == [
        (row["symbol"], row["quantity"], bought[row["symbol"]]) for row in recorded["data"]["holdings"]
    ]
    statistics = given["statistics"]
    assert statistics["totalprofitandloss"] == pytest.approx(sum(row["pnl"] for row in given["holdings"]))
    assert statistics["totalholdingvalue"] == pytest.approx(
        statistics["totalinvvalue"] + statistics["totalprofitandloss"]
    )


def test_every_recorded_account_and_order_call_is_told_somewhere() -> None:
    told = {*analyzer_recordings(), *order_recordings(), *_recordings(), *DIFFERENT, *FAULT_SCRIPTS, *HOLDINGS}
    names = recordings((*OLD_ENDPOINTS, *NEW_ENDPOINTS))
    left = {name for name in names if name not in told and "rate-limited" not in name}
    assert left == {"quotes.broker-bad-gateway"}  # a fault script of market data
