"""Hands of an account whose server hangs at one kind of call: the others go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from engine.broker.answers import Placed
from engine.runtime.hands import CANCELS_AT_ONCE, MOST_WORKERS, AccountHands
from engine.runtime.inbox import Inbox
from engine.services.messages import Answered, CancelAnswered
from tests.integration.test_hands import hands_before, heard, licence
from tests.paper_server import wait_until
from tests.unit.test_orders import order


class HangingCancels:
    """A server that takes orders, and answers cancellations only when it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.cancels = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("cancelorder"):
            self.cancels += 1
            self.let.wait(30)
        return httpx.Response(200, json={"status": "success", "orderid": "B1"})


@pytest.fixture
def server() -> HangingCancels:
    return HangingCancels()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def hands(server: HangingCancels, inbox: Inbox) -> Iterator[AccountHands]:
    made = hands_before(server, inbox)
    yield made
    server.let.set()
    made.close()


def test_cancellations_that_hang_keep_no_exit_back(hands: AccountHands, server: HangingCancels, inbox: Inbox) -> None:
    for number in range(MOST_WORKERS + 1):
        hands.cancel(order(id=number, orderid=f"B{number}"))
    wait_until(lambda: server.cancels >= MOST_WORKERS)
    hands.send(order(id=99), licence(30.0))
    assert isinstance(heard(inbox, Answered)[0].outcome, Placed)


def test_cancellation_that_hangs_is_asked_for_a_few_times_and_again_when_it_was_answered(
    hands: AccountHands, server: HangingCancels, inbox: Inbox
) -> None:
    for _ in range(50):
        hands.cancel(order(orderid="B1"))
    wait_until(lambda: server.cancels == CANCELS_AT_ONCE)
    server.let.set()
    answered = 0
    while answered < CANCELS_AT_ONCE:
        answered += len(heard(inbox, CancelAnswered))
    hands.cancel(order(orderid="B1"))
    wait_until(lambda: server.cancels == CANCELS_AT_ONCE + 1)
