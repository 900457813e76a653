"""What the hands send to change or withdraw an order, and that there always is an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from engine.broker.answers import Acknowledged, NotSent, Refused, Unclear
from engine.broker.client import OpenAlgoClient
from engine.broker.funds import FundsModel
from engine.runtime.hands import AccountHands
from engine.runtime.inbox import Inbox
from engine.services.messages import CancelAnswered, ModifyAnswered
from engine.services.price_board import market_of
from tests.paper_server import wait_until
from tests.unit.test_orders import order


class Server:
    """Answers every call with ``answer`` and keeps what was asked."""

    def __init__(self) -> None:
        self.answer: httpx.Response | Exception = httpx.Response(200, json={"status": "success", "orderid": "A1"})
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.url.path.rpartition("/")[2], json.loads(request.content)))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def hands(server: Server, inbox: Inbox) -> Iterator[AccountHands]:
    made = AccountHands(
        account_id=1,
        market=market_of(1, "live"),
        client=OpenAlgoClient("http://127.0.0.1:9", "made-up-key", transport=httpx.MockTransport(server)),
        ws_url="ws://127.0.0.1:9",
        api_key="made-up-key",
        label="Asha",
        funds_model=FundsModel.GROSS,
        haircut=0.0,
        inbox=inbox,
    )
    yield made
    made.close()


def answer(inbox: Inbox) -> Any:
    """The outcome of the next change."""
    heard: list[Any] = []

    def outcomes() -> list[Any]:
        changes = (ModifyAnswered, CancelAnswered)
        heard.extend(message.outcome for message in inbox.drain(0.05)[0] if isinstance(message, changes))
        return heard

    return wait_until(outcomes, bool)[0]


def test_market_order_is_changed_to_a_limit_with_its_whole_quantity(
    hands: AccountHands, server: Server, inbox: Inbox
) -> None:
    hands.modify(order(price=150.75, filled_quantity=65), 150.75)
    assert answer(inbox) == Acknowledged("A1")
    ((endpoint, body),) = server.asked
    assert endpoint == "modifyorder"
    assert {name: body[name] for name in ("orderid", "pricetype", "price", "quantity", "trigger_price")} == {
        "orderid": "A1",
        "pricetype": "LIMIT",
        "price": "150.75",
        "quantity": "130",
        "trigger_price": "0",
    }


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            httpx.Response(400, json={"status": "error", "message": "Order is complete"}),
            Refused("Order is complete", 400),
        ),
        (httpx.Response(500, json={"status": "error", "message": "boom"}), Unclear("500: boom")),
    ],
)
def test_what_a_server_says_to_a_change_is_judged_once(
    hands: AccountHands, server: Server, inbox: Inbox, said: httpx.Response, expected: Any
) -> None:
    server.answer = said
    hands.modify(order(), 100.0)
    assert answer(inbox) == expected
    assert len(server.asked) == 1


@pytest.mark.parametrize("price", [0.0, float("nan")])
def test_change_that_makes_no_sense_never_leaves_and_is_answered(
    hands: AccountHands, server: Server, inbox: Inbox, price: float
) -> None:
    hands.modify(order(), price)
    assert isinstance(answer(inbox), NotSent)
    assert server.asked == []


def test_modification_that_grew_old_before_its_first_byte_is_not_sent(
    hands: AccountHands, server: Server, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([100.0, 102.1])
    monkeypatch.setattr("engine.runtime.hands.boot_seconds", lambda: next(times))
    hands.modify(order(), 100.0)
    assert isinstance(answer(inbox), NotSent)
    assert server.asked == []


def test_closed_hands_answer_that_nothing_was_sent(hands: AccountHands, server: Server, inbox: Inbox) -> None:
    hands.close()
    hands.modify(order(), 100.0)
    assert isinstance(answer(inbox), NotSent)
    hands.cancel(order())
    assert isinstance(answer(inbox), NotSent)
    assert server.asked == []
