"""Smart exits: only where one run owns everything under a key and nothing else is about; off unless switched on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from engine.broker.answers import NotSent, Placed, PlacementOutcome, Refused
from engine.broker.client import OpenAlgoClient
from engine.broker.funds import FundsModel
from engine.domain.instruments import Action
from engine.domain.orders import Order, OrderState
from engine.runtime.hands import AccountHands
from engine.runtime.inbox import Inbox
from engine.services.messages import Answered
from engine.services.price_board import market_of
from engine.services.world import Licence
from engine.store import tables
from tests.house import House
from tests.paper_server import wait_until
from tests.stage import CALL, LOT, FakeHands, Stage, instrument, lose
from tests.unit.test_orders import order

CALL_ONLY = (("SELL", "CE", "atm", 0.0),)


def smart(hands: FakeHands, asked: Order) -> PlacementOutcome:
    """What a server does: a smart order trades what its position needs to be 0, another one what it says."""
    held = hands.broker.net.get(asked.symbol, 0) if asked.smart else -asked.action.sign * asked.quantity
    if not held:
        return Refused("nothing to exit: No OpenPosition Found. Not placing Exit order.", 200)
    action = Action.SELL if held > 0 else Action.BUY
    return Placed(hands.broker.take(instrument(asked.symbol), action, abs(held)))


def begin(tmp_path: Path, *, on: bool = True, lots: int = 1, runs: int = 1) -> tuple[Stage, int]:
    stage = Stage(tmp_path, legs=CALL_ONLY, lots=lots)
    stage.arm()
    account = stage.world.accounts[1]
    account.facts = replace(account.facts, smart_exit=on)
    stage.hands[1].usual = smart
    run = 0
    for number in range(runs):
        run = stage.enter(again=number > 0)
    stage.play(3)
    return stage, run


def exits(stage: Stage) -> list[bool]:
    return [sent.smart for sent in stage.hands[1].sent if sent.purpose == "exit"]


def closed(stage: Stage, run: int) -> None:
    stage.until(lambda: stage.run(run).state == "closed", 30)


def test_only_owner_leaves_by_a_smart_order(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    stage.close(run)
    closed(stage, run)
    assert exits(stage) == [True]
    assert stage.broker().net == {}
    assert stage.orders(run)[-1].smart


def test_it_is_off_unless_switched_on(tmp_path: Path) -> None:
    stage, run = begin(tmp_path, on=False)
    stage.close(run)
    closed(stage, run)
    assert exits(stage) == [False]


def test_second_owner_of_the_key_makes_it_a_plain_order(tmp_path: Path) -> None:
    stage, run = begin(tmp_path, runs=2)
    stage.close(run)
    closed(stage, run)
    assert exits(stage) == [False]
    assert stage.broker().net == {CALL: -LOT}


def test_position_from_outside_makes_it_a_plain_order(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    stage.broker().take(instrument(CALL), Action.SELL, LOT)
    stage.play(3)
    stage.close(run)
    closed(stage, run)
    assert exits(stage) == [False]
    assert stage.broker().net == {CALL: -LOT}


def test_order_of_somebody_that_rests_in_the_key_makes_it_a_plain_order(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    stage.broker().take(instrument(CALL), Action.BUY, LOT, fills=0, limit=10.0)
    stage.play(3)
    stage.close(run)
    closed(stage, run)
    assert exits(stage) == [False]


def test_old_books_make_it_a_plain_order(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    stage.hands[1].books_now = lambda: None
    stage.play(10)
    stage.close(run)
    stage.until(lambda: exits(stage), 5)
    assert exits(stage) == [False]


def test_slices_above_the_freeze_quantity_are_plain_orders(tmp_path: Path) -> None:
    stage, run = begin(tmp_path, lots=40)
    stage.close(run)
    closed(stage, run)
    assert exits(stage) == [False, False]
    assert stage.broker().net == {}


def test_nothing_to_do_is_a_rejection_and_the_books_decide(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    stage.broker().take(instrument(CALL), Action.BUY, LOT)  # closed by hand between books and order
    stage.close(run)
    closed(stage, run)
    assert exits(stage) in ([True], [])
    assert stage.broker().net == {}
    last = stage.orders(run)[-1]
    assert last.purpose == "entry" or (last.state == "rejected" and "nothing to exit" in last.words)


def test_lost_smart_order_keeps_every_run_out_of_its_key(tmp_path: Path) -> None:
    stage, run = begin(tmp_path)
    stage.hands[1].placements = [lose]
    stage.close(run)
    stage.until(lambda: any(one.state == "unknown" for one in stage.orders(run)), 10)
    sent = len(stage.hands[1].sent)
    stage.execute(again=True)
    stage.play(20)
    assert len(stage.hands[1].sent) == sent, "carried out late, it would take the new run's position"


# ── on the wire ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"status": "success", "orderid": "B1"}, Placed("B1")),
        (
            {"status": "success", "message": "Positions Already Matched. No Action needed."},
            Refused("nothing to exit: Positions Already Matched. No Action needed.", 200),
        ),
    ],
)
def test_hands_ask_for_position_nought_and_never_name_a_quantity(
    answer: dict[str, str], expected: PlacementOutcome
) -> None:
    asked: list[tuple[str, str]] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path.rpartition("/")[2], request.content.decode()))
        return httpx.Response(200, json=answer)

    inbox = Inbox()
    hands = AccountHands(
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
    try:
        one = order(state=OrderState.SENDING, smart=True)
        hands.send(one, Licence(one.id, float("inf")))
        heard: list[Answered] = []

        def answers() -> list[Answered]:
            heard.extend(message for message in inbox.drain(0.05)[0] if isinstance(message, Answered))
            return heard

        wait_until(answers, bool)
        assert heard[0].outcome == expected
        ((endpoint, body),) = asked
        assert endpoint == "placesmartorder"
        assert '"quantity":"0"' in body.replace(" ", "")
        assert '"position_size":"0"' in body.replace(" ", "")
        hands.send(one, Licence(one.id, float("-inf")))
        wait_until(answers, lambda got: len(got) == 2)
        assert isinstance(heard[1].outcome, NotSent), "its licence ran out before the first byte"
    finally:
        hands.close()


def test_smart_exit_of_a_real_house_leaves_once(tmp_path: Path) -> None:
    with House(tmp_path, accounts=(("Asha", 1_500_000.0, "B"),), engine=False) as house:
        with house.database.write() as session:
            session.get_one(tables.TradingAccount, 1).capabilities = {"smart_exit": True}
        house.start_engine()
        run = house.execute(house.straddle())
        house.until_open(run)
        house.close(run)
        house.until_closed(run)
        house.assert_clean(run)
        called = [call["endpoint"] for call in house.paper.requests(house.keys["Asha"])]
        assert called.count("placesmartorder") == 2
        assert all(order.smart for order in house.orders(run) if order.purpose == "exit")
