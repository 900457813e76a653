"""Baskets, splits, smart, option and GTT orders, cancelling and closing all: answers in analyzer mode as recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.paper_scene import Market, Scene, assert_same
from tests.contract.paper_stage import recordings
from tests.paper_server import PaperServer

ENDPOINTS = (
    "placesmartorder",
    "basketorder",
    "splitorder",
    "optionsorder",
    "optionsmultiorder",
    "cancelallorder",
    "closeposition",
    "placegttorder",
    "modifygttorder",
    "cancelgttorder",
    "gttorderbook",
    "holdings",
    "openposition",
    "pnlsymbols",
)
ELSEWHERE = ("live", "semi-auto", "rate-limited")
"""Told by test_paper_contract_live.py; the limits by test_paper_limits.py."""
GTT, OTHER_GTT, OPTION_GTT = "GTT-261122-1133625a", "GTT-261122-85c8938a", "GTT-261122-46cc1f92"


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    with PaperServer(seed=3) as paper:
        yield Market(paper)


def _bank(scene: Scene) -> str:
    return f"BANKNIFTY{scene.market.words['29DEC26']}59000CE"


def _hold(quantity: int) -> Callable[[Scene], None]:
    def prepare(scene: Scene) -> None:
        side = {"action": "BUY"} if quantity > 0 else {"action": "SELL"}
        scene.place(symbol=_bank(scene), quantity=abs(quantity), **side)

    return prepare


def _hold_tcs(scene: Scene) -> None:
    scene.place(symbol="TCS", exchange="NSE", product="MIS", quantity=10)


def _three_working(scene: Scene) -> None:
    scene.place("26112273456535", pricetype="LIMIT", price=190.0, strategy="A")
    scene.place("26112258722452", pricetype="LIMIT", price=191.0, strategy="B")
    scene.place(pricetype="SL-M", action="SELL", trigger_price=150.0, strategy="C")


def _seventeen_positions(scene: Scene) -> None:
    option = {"underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": scene.market.words["01DEC26"]}
    for row in scene.paper.call("optionchain", apikey=scene.key, **option, strike_count=8)["chain"]:
        scene.place(symbol=row["ce"]["symbol"])


def _gtts(*recorded: str) -> Callable[[Scene], None]:
    def prepare(scene: Scene) -> None:
        share = {"apikey": scene.key, "strategy": "gtt", "symbol": "RELIANCE", "exchange": "NSE", "product": "CNC"}
        share |= {"quantity": 5, "pricetype": "LIMIT"}
        option = share | {"symbol": scene.market.call_option, "exchange": "NFO", "product": "NRML", "quantity": 65}
        bodies: dict[str, dict[str, Any]] = {
            GTT: share | {"trigger_type": "SINGLE", "action": "BUY", "price": 1400, "triggerprice_sl": 1405},
            OTHER_GTT: share
            | {"trigger_type": "OCO", "action": "SELL", "price": 0, "triggerprice_sl": 1450, "stoploss": 1448}
            | {"triggerprice_tg": 1650, "target": 1652},
            OPTION_GTT: option | {"trigger_type": "SINGLE", "action": "BUY", "price": 100, "triggerprice_sl": 105},
        }
        for name in recorded:
            scene.replaced[name] = scene.paper.call("placegttorder", **bodies[name])["trigger_id"]

    return prepare


def _cancelled_gtt(scene: Scene) -> None:
    _gtts(GTT)(scene)
    scene.paper.call("cancelgttorder", apikey=scene.key, strategy="gtt", trigger_id=scene.replaced[GTT])


def _further_than_listed(scene: Scene) -> None:
    """Fifty strikes from the money are listed here, on the recorded day they were not."""
    scene.replaced["OTM50"] = "OTM51"


def _traded(scene: Scene) -> None:
    scene.place()
    scene.place(action="SELL")


PREPARED: dict[str, Callable[[Scene], None]] = {
    "placesmartorder.no-action-already-matched": _hold(60),
    "placesmartorder.no-action-with-quantity": _hold_tcs,
    "placesmartorder.success-increase": _hold(60),
    "placesmartorder.success-reverse": _hold(90),
    "placesmartorder.success-to-flat": _hold(-30),
    "cancelallorder.success": _three_working,
    "closeposition.success": _seventeen_positions,
    "optionsmultiorder.partial-failure": _further_than_listed,
    "modifygttorder.success": _gtts(GTT),
    "cancelgttorder.success": _gtts(GTT),
    "cancelgttorder.again": _cancelled_gtt,
    "gttorderbook.analyze-success": _gtts(GTT, OTHER_GTT, OPTION_GTT),
    "gttorderbook.analyze-after": _gtts(OTHER_GTT, OPTION_GTT),
    "openposition.after-reverse": _hold(-30),
    "openposition.long": lambda scene: [scene.place(quantity=975) for _ in range(3)] and None,
    "openposition.short": lambda scene: (
        scene.place(symbol=scene.market.put_option, action="SELL", quantity=130) and None
    ),
    "pnlsymbols.analyze": _traded,
}


def _recordings() -> list[str]:
    return [name for name in recordings(ENDPOINTS) if not any(word in name for word in ELSEWHERE)]


@pytest.mark.parametrize("name", _recordings())
def test_answer_has_the_recorded_form_and_words(market: Market, name: str) -> None:
    scene = market.scene(name)
    PREPARED.get(name, lambda _: None)(scene)
    assert_same(scene)


def test_every_prepared_recording_exists() -> None:
    assert PREPARED.keys() <= set(_recordings())


def test_gtt_book_shows_what_was_asked(market: Market) -> None:
    scene = market.scene("gttorderbook.analyze-success")
    PREPARED[scene.name](scene)
    recorded, answer = scene.play()
    same = ("trigger_id", "symbol", "trigger_prices", "legs", "margin_blocked", "trigger_type", "status", "strategy")
    expected = [{name: row[name] for name in same} for row in recorded["response"]["data"]]
    assert [{name: row[name] for name in same} for row in answer.json()["data"]] == expected


def test_expiry_of_a_leg_stands_before_that_of_the_order(market: Market) -> None:
    scene = market.scene("optionsmultiorder.success-per-leg-expiry")
    order = {"apikey": scene.key, "strategy": "calendar", "underlying": "NIFTY", "exchange": "NSE_INDEX"}
    near, far = market.words["01DEC26"], market.words["08DEC26"]
    leg = {"offset": "ATM", "option_type": "CE", "action": "BUY", "quantity": 65, "product": "NRML"}
    legs = [leg, leg | {"expiry_date": far}]
    results = scene.paper.call("optionsmultiorder", **order, expiry_date=near, legs=legs)["results"]
    assert [near in results[0]["symbol"], far in results[1]["symbol"]] == [True, True]


def test_books_of_the_analyzer_have_the_newest_first(market: Market) -> None:
    scene = market.scene("orderbook.analyze-success")
    ids = [scene.place() for _ in range(3)]
    book = scene.paper.call("orderbook", apikey=scene.key)["data"]["orders"]
    trades = scene.paper.call("tradebook", apikey=scene.key)["data"]
    assert [row["orderid"] for row in book] == [row["orderid"] for row in trades] == ids[::-1]
