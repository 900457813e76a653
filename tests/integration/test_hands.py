"""The hands of an account, the roster that gives them out, and the clock they share."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from engine.broker.answers import NotSent, Placed
from engine.broker.client import OpenAlgoClient
from engine.broker.funds import FundsModel
from engine.runtime.clock import SteadyTime, boot_seconds
from engine.runtime.hands import AccountHands
from engine.runtime.inbox import Inbox
from engine.runtime.roster import Roster
from engine.services.messages import NEEDS_SESSION, Answered, BooksRead, Message, Probed
from engine.services.world import Account, Licence
from engine.store import tables
from engine.store.vault import Vault
from tests.paper_server import wait_until
from tests.stage import FakeHands, Stage
from tests.unit.test_orders import order

RECORDED = Path(__file__).parents[1] / "contract" / "recorded" / "rest"


class Server:
    """A server of a few lines: answers placements, and holds reads back while ``open`` is not set."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.calls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request.url.path.rpartition("/")[2])
        self.open.wait(10)
        return httpx.Response(200, json={"status": "success", "orderid": "B1"})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def hands_before(answer: Callable[[httpx.Request], httpx.Response], inbox: Inbox) -> AccountHands:
    """Hands of an account whose server answers so."""
    return AccountHands(
        account_id=1,
        market="1|live",
        client=OpenAlgoClient("http://127.0.0.1:9", "made-up-key", transport=httpx.MockTransport(answer)),
        ws_url="ws://127.0.0.1:9",
        api_key="made-up-key",
        label="Asha",
        funds_model=FundsModel.GROSS,
        haircut=0.0,
        inbox=inbox,
    )


@pytest.fixture
def hands(server: Server, inbox: Inbox) -> Iterator[AccountHands]:
    made = hands_before(server, inbox)
    yield made
    server.open.set()
    made.close()


def heard(inbox: Inbox, kind: type[Any]) -> list[Any]:
    found: list[Message] = []

    def look() -> list[Message]:
        found.extend(message for message in inbox.drain(0.05)[0] if isinstance(message, kind))
        return found

    return wait_until(look)


def licence(seconds: float) -> Licence:
    return Licence(7, boot_seconds() + seconds)


def test_licensed_order_is_sent_once(hands: AccountHands, server: Server, inbox: Inbox) -> None:
    hands.send(order(), licence(1.0))
    assert [answer.outcome for answer in heard(inbox, Answered)] == [Placed("B1")]
    assert server.calls == ["placeorder"]


def test_expired_licence_is_never_sent(hands: AccountHands, server: Server, inbox: Inbox) -> None:
    hands.send(order(), licence(-0.01))
    assert isinstance(heard(inbox, Answered)[0].outcome, NotSent)
    assert server.calls == []


def test_order_that_cannot_be_written_down_is_answered_all_the_same(
    hands: AccountHands, server: Server, inbox: Inbox
) -> None:
    hands.send(order(quantity=-65), licence(1.0))
    assert isinstance(heard(inbox, Answered)[0].outcome, NotSent)
    assert server.calls == []


def test_order_after_the_hands_were_closed_is_answered_all_the_same(
    hands: AccountHands, server: Server, inbox: Inbox
) -> None:
    hands.close()
    hands.send(order(), licence(1.0))
    assert isinstance(heard(inbox, Answered)[0].outcome, NotSent)
    assert server.calls == []


def test_order_that_waited_for_a_worker_when_the_hands_were_closed_is_answered(
    hands: AccountHands, server: Server, inbox: Inbox
) -> None:
    server.open.clear()
    for number in range(33):
        hands.send(order(id=number), licence(5.0))
    wait_until(lambda: len(server.calls) == 32)
    hands.close()
    assert [(a.order_id, type(a.outcome)) for a in heard(inbox, Answered)] == [(32, NotSent)]


def test_read_that_hangs_is_not_asked_again_behind_itself(hands: AccountHands, server: Server) -> None:
    server.open.clear()
    for _ in range(50):
        hands.read_books()
    wait_until(lambda: server.calls)
    hands.read_books()
    server.open.set()
    wait_until(lambda: hands._reader._work_queue.qsize() == 0)
    assert len(server.calls) <= 6


def test_what_an_earlier_server_showed_is_not_told_after_the_hands_were_closed(
    hands: AccountHands, server: Server, inbox: Inbox
) -> None:
    server.open.clear()
    hands.read_books()
    wait_until(lambda: server.calls)
    hands.close()
    server.open.set()
    wait_until(lambda: not any(thread.name.startswith("books Asha") for thread in threading.enumerate()))
    assert [message for message in inbox.drain(0)[0] if isinstance(message, BooksRead)] == []


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Machine:
    """A machine whose clock somebody sets."""

    def __init__(self) -> None:
        self.wall, self.boot = datetime(2026, 11, 23, 5, 0, tzinfo=UTC), 100.0

    def go(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.boot += seconds


def test_time_never_goes_back_and_never_stands_when_the_clock_is_set_back() -> None:
    machine = Machine()
    steady = SteadyTime(lambda: machine.wall, lambda: machine.boot)
    machine.go(10)
    before = steady.now()
    machine.wall -= timedelta(hours=1)
    seen = [before]
    for _ in range(100):
        machine.go(1)
        seen.append(steady.now())
    assert all(later > sooner for sooner, later in pairwise(seen))
    machine.go(2 * 3600)
    assert steady.now() == machine.wall
    assert steady.ahead() == timedelta(0)


def test_clock_set_forward_is_followed_at_once() -> None:
    machine = Machine()
    steady = SteadyTime(lambda: machine.wall, lambda: machine.boot)
    machine.wall += timedelta(hours=1)
    assert steady.now() == machine.wall


# ── roster ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Rolls:
    """A stage's database with a roster that gives out fake hands."""

    def __init__(self, folder: Path) -> None:
        self.stage = Stage(folder)
        self.vault = Vault([Fernet.generate_key().decode()])
        self.made: list[dict[str, Any]] = []
        self.roster = Roster(self.stage.database, self.vault, self.stage.inbox, hands=self._make)
        self.stage.world.accounts.clear()
        self.change(api_key_encrypted=self.vault.encrypt("made-up-key"))

    def _make(self, **given: Any) -> FakeHands:
        self.made.append(given)
        return FakeHands(given["account_id"], self.stage.inbox, self.stage.clock)

    def change(self, **fields: Any) -> None:
        with self.stage.database.write() as session:
            row = session.get_one(tables.TradingAccount, 1)
            for name, value in fields.items():
                setattr(row, name, value)
            session.add(row)
        self.roster.refresh(self.stage.world)


def test_mode_that_the_server_told_outlives_a_reload(tmp_path: Path) -> None:
    """The row says what the server was when it was added; books are judged by what it is."""
    house = Rolls(tmp_path)
    account = house.stage.world.accounts[1]
    account.connected = True
    account.facts = replace(account.facts, broker="zerodha", mode="live")
    house.change(grade="C")
    assert house.stage.world.accounts[1] is account
    assert (account.facts.grade, account.facts.mode, account.facts.broker) == ("C", "live", "zerodha")


def test_new_key_gives_new_hands_and_keeps_what_is_on_its_way(tmp_path: Path) -> None:
    house = Rolls(tmp_path)
    old = house.stage.world.accounts[1]
    old.sending[5] = house.stage.clock.now()
    house.change(api_key_encrypted=house.vault.encrypt("another-made-up-key"))
    new = house.stage.world.accounts[1]
    assert new is not old
    assert new.sending == {5: house.stage.clock.now()}
    assert new.bucket is old.bucket
    assert not new.armed
    assert len(house.made) == 2
    wait_until(lambda: old.hands.closed)  # type: ignore[attr-defined]


def test_order_on_its_way_when_the_key_changed_is_called_unknown_after_three_seconds(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = stage.enter()
    stage.hands[1].usual = lambda _hands, _order: None
    stage.close(run)
    stage.until(lambda: any(o.state == "sending" for o in stage.orders(run)), by=0.05)
    old = stage.world.accounts[1]
    fresh = Account(old.facts, stage.hands[1])
    fresh.sending, fresh.bucket, fresh.last_change = old.sending, old.bucket, old.last_change
    stage.world.accounts[1] = fresh
    stage.play(4)
    assert {str(o.state) for o in stage.orders(run) if o.purpose == "exit"} == {"unknown"}


@pytest.mark.parametrize("worker_is_first", [True, False])
def test_pool_that_refuses_and_still_runs_the_order_gives_one_true_answer(
    hands: AccountHands, server: Server, inbox: Inbox, worker_is_first: bool
) -> None:
    kept: list[Any] = []

    class NoThreads:
        """A pool without a thread for its work, as when the system gives none: it raises, and keeps the work."""

        def submit(self, work: Any) -> None:
            kept.append(work)
            if worker_is_first:
                work()
            raise RuntimeError("can't start new thread")

        def shutdown(self, **_: object) -> None:
            """Nothing runs here."""

    hands._workers = NoThreads()  # type: ignore[assignment]
    hands.send(order(), licence(1.0))
    if not worker_is_first:
        kept[0]()  # another worker comes by, within the licence
    answers = [answer.outcome for answer in heard(inbox, Answered)]
    assert len(answers) == 1
    assert isinstance(answers[0], Placed if worker_is_first else NotSent)
    assert server.calls == (["placeorder"] if worker_is_first else [])


def test_order_for_which_every_worker_listens_for_another_answer_is_told_not_sent_at_once(
    hands: AccountHands, server: Server, inbox: Inbox
) -> None:
    server.open.clear()
    for number in range(34):
        hands.send(order(id=number), licence(5.0))
    refused = heard(inbox, Answered)
    assert [(answer.order_id, type(answer.outcome)) for answer in refused] == [(32, NotSent), (33, NotSent)]
    server.open.set()
    found: list[Any] = []
    while len(found) < 32:
        found += heard(inbox, Answered)
    assert {type(answer.outcome) for answer in found} == {Placed}
    hands.send(order(id=99), licence(5.0))
    assert isinstance(heard(inbox, Answered)[0].outcome, Placed)
    assert server.calls.count("placeorder") == 33


@pytest.mark.parametrize(
    ("recorded", "semi_auto"),
    [
        ("cancelorder.semi-auto-live", True),
        ("cancelorder.live-already-cancelled", False),
        ("cancelorder.unknown-order", False),
        ("cancelorder.bad-api-key", None),
        ("cancelorder.rate-limited", None),
    ],
)
def test_probe_tells_a_server_that_queues_orders_from_one_that_does_not(
    inbox: Inbox, recorded: str, semi_auto: bool | None
) -> None:
    exchange = json.loads((RECORDED / f"{recorded}.json").read_text())
    asked: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content)["orderid"])
        return httpx.Response(exchange["status_code"], json=exchange["response"])

    hands = hands_before(answer, inbox)
    hands.probe()
    assert [probed.semi_auto for probed in heard(inbox, Probed)] == [semi_auto]
    assert not asked[0].isdigit(), "brokers count from 1: no order may be cancelled by a probe"
    hands.close()


def test_read_refused_for_the_session_says_what_is_needed(inbox: Inbox) -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, json={"message": "Invalid openalgo apikey", "status": "error"})

    hands = hands_before(refuse, inbox)
    hands.read_books()
    problem = heard(inbox, BooksRead)[0].problem
    assert problem.startswith(NEEDS_SESSION)
    assert "made-up-key" not in problem
    hands.close()
