"""Modes, switches and approvals of paper accounts; state files of earlier versions."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from engine.domain.instruments import PriceType
from engine.paper.accounts import Liquidity, Token
from engine.paper.approvals import Verdict
from engine.paper.orders import Status
from engine.paper.storage import Storage
from engine.paper.wire import Refusal
from tests.paper_floor import DAY_SECONDS, TUESDAY, Floor, Seat

LOT = 65


@pytest.fixture
def floor() -> Floor:
    floor = Floor()
    floor.pin(floor.option, 200.0)
    return floor


def test_each_mode_has_books_of_its_own(floor: Floor) -> None:
    asha = floor.account("asha", face="analyze", funds=500_000_00)
    asha.place("BUY", LOT)
    live = Seat(floor, floor.exchange.switch_mode("asha", "live"))
    assert (live.account.name, live.account.funds, live.account.orders, live.net()) == ("Asha", 500_000_00, {}, 0)
    assert floor.exchange.accounts["asha"] is live.account
    live.place("SELL", LOT)
    assert (live.net(), asha.net()) == (-LOT, LOT)
    assert floor.exchange.switch_mode("asha", "analyze") is asha.account
    assert floor.exchange.switch_mode("asha", "analyze") is asha.account
    assert floor.exchange.switch_mode("asha", "live") is live.account


def test_ids_have_the_length_of_their_mode(floor: Floor) -> None:
    ravi, meera = floor.account("ravi"), floor.account("meera", face="analyze")
    assert {len(ravi.place("BUY", LOT).order_id) for _ in range(5)} == {15}
    assert {len(meera.place("BUY", LOT).order_id) for _ in range(5)} == {14}


def test_parked_orders_fill_and_expire_without_a_push(floor: Floor) -> None:
    asha = floor.account("asha", face="analyze")
    filled = asha.place("BUY", LOT, price=150.0)
    forgotten = asha.place("BUY", LOT, price=100.0)
    floor.exchange.switch_mode("asha", "live")
    floor.pushes.clear()
    floor.move(floor.option, 149.0)
    floor.pass_time(DAY_SECONDS)
    assert (asha.order(filled).status, asha.order(forgotten).status) == (Status.COMPLETE, Status.CANCELLED)
    floor.exchange.prices.clear()
    floor.pass_time(8 * DAY_SECONDS)
    assert asha.net() == 0
    assert asha.account.trades[-1].strategy == "EXPIRY"
    assert floor.pushes == []


def test_session_switches_belong_to_both_modes_and_liquidity_to_one(floor: Floor) -> None:
    floor.account("asha", face="analyze")
    live = floor.exchange.switch_mode("asha", "live")
    assert live.liquidity is Liquidity.DISPLAYED
    changed = floor.exchange.change_account("asha", semi_auto=True, token="dead", liquidity="touch")
    assert changed is live
    analyze = floor.exchange.switch_mode("asha", "analyze")
    assert (analyze.semi_auto, analyze.token, analyze.liquidity) == (True, Token.DEAD, Liquidity.TOUCH)
    floor.exchange.change_account("asha", token="good", liquidity="displayed")
    assert (live.token, live.liquidity, analyze.liquidity) == (Token.GOOD, Liquidity.TOUCH, Liquidity.DISPLAYED)


def test_mode_that_begins_takes_the_session_along(floor: Floor) -> None:
    floor.account("asha", face="analyze")
    floor.exchange.change_account("asha", semi_auto=True, token="revoked")
    live = floor.exchange.switch_mode("asha", "live")
    assert (live.semi_auto, live.token) == (True, Token.REVOKED)


def test_switches_and_modes_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "paper.db"
    floor = Floor(state)
    floor.account("asha", face="analyze").place("BUY", LOT)
    floor.now += 5.0
    Seat(floor, floor.exchange.switch_mode("asha", "live")).place("BUY", 2 * LOT)
    floor.exchange.change_account("asha", semi_auto=True, token="revoked")
    again = Floor(state, now=floor.now)
    assert again.exchange.accounts == floor.exchange.accounts
    assert again.exchange.parked == floor.exchange.parked
    assert [Seat(again, account).net() for account in again.exchange.everyone()] == [2 * LOT, LOT]
    assert again.exchange.accounts["asha"].created_at == TUESDAY + 5.0
    assert again.exchange.parked["asha"].token is Token.REVOKED


def test_unknown_keys_and_words_change_nothing(floor: Floor) -> None:
    asha = floor.account("asha")
    with pytest.raises(Refusal, match="no account with this key"):
        floor.exchange.change_account("nobody", semi_auto=True)
    for name, word in (("token", "asleep"), ("liquidity", "endless"), ("face", "dream")):
        with pytest.raises(ValueError, match=word):
            floor.exchange.change_account("asha", semi_auto=True, **{name: word})
    assert (asha.account.semi_auto, asha.account.token, asha.account.liquidity) == (False, "good", "displayed")
    assert floor.exchange.parked == {}


def test_approved_order_is_placed_as_the_call_would_have(floor: Floor) -> None:
    asha = floor.account("asha", face="analyze")
    request = asha.request("BUY", LOT)
    numbers = [floor.exchange.queue(asha.account, "place", request.document()) for _ in range(2)]
    assert numbers == [1, 2]
    assert asha.account.orders == {}
    call = floor.exchange.approve("asha", 1)
    (order,) = asha.account.orders.values()
    assert (call.verdict, call.outcome, asha.net()) == (Verdict.APPROVED, order.order_id, LOT)
    assert floor.exchange.reject_pending("asha", 2).verdict is Verdict.REJECTED
    for number in (1, 2, 3):
        with pytest.raises(Refusal, match=f"No order {number} waits for approval"):
            floor.exchange.approve("asha", number)
    assert asha.net() == LOT


def test_queued_order_is_approved_by_itself_in_the_mode_it_came_in(floor: Floor) -> None:
    asha = floor.account("asha", face="analyze")
    floor.exchange.queue(asha.account, "place", asha.request("BUY", LOT).document(), 5.0)
    live = Seat(floor, floor.exchange.switch_mode("asha", "live"))
    floor.pass_time(4.9)
    assert asha.net() == 0
    floor.pass_time(0.1)
    assert (asha.net(), live.net()) == (LOT, 0)
    floor.pass_time(10.0)
    assert asha.net() == LOT


def test_approved_order_that_is_refused_says_why(floor: Floor) -> None:
    poor = floor.account("poor", face="analyze", funds=1_000_00)
    number = floor.exchange.queue(poor.account, "place", poor.request("SELL", LOT).document(), 1.0)
    floor.pass_time(1.0)
    (call,) = floor.exchange.approvals.of("poor")
    assert (call.number, call.verdict) == (number, Verdict.FAILED)
    assert call.outcome.startswith("Insufficient funds")
    assert poor.account.orders == {}


def test_queued_gtt_becomes_one_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "paper.db"
    floor = Floor(state)
    asha = floor.account("asha")
    request = asha.gtt_request("BUY", LOT, (50.0, 51.0))
    floor.exchange.queue(asha.account, "gtt", request.document())
    again = Floor(state, now=floor.now)
    call = again.exchange.approve("asha", 1)
    account = again.exchange.accounts["asha"]
    assert list(account.gtts) == [call.outcome] == ["100001"]
    assert account.gtts[call.outcome].request == request
    assert Floor(state, now=floor.now).exchange.approvals.of("asha") == [call]


def test_kind_that_nobody_carries_out_is_not_queued(floor: Floor) -> None:
    asha = floor.account("asha")
    with pytest.raises(ValueError, match="dream calls cannot be queued"):
        floor.exchange.queue(asha.account, "dream", {})
    assert floor.exchange.approvals.of("asha") == []


def test_state_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    state = tmp_path / "paper.db"
    floor = Floor(state)
    asha = floor.account("asha", face="analyze")
    asha.place("BUY", LOT)
    order = asha.place("BUY", LOT, price=150.0)
    new_fields = ("protected", "visible_at", "shown_as_limit", "moving_timestamp", "stale_status", "validating_until")
    with sqlite3.connect(state) as database:
        database.execute("DROP TABLE document")
        for table in ("paper_order", "trade"):
            for number, text in database.execute(f"SELECT sequence, document FROM {table}").fetchall():
                row = {name: value for name, value in json.loads(text).items() if name not in new_fields}
                database.execute(f"UPDATE {table} SET document = ? WHERE sequence = ?", (json.dumps(row), number))
    database.close()
    again = Floor(state, now=floor.now)
    account = again.exchange.accounts["asha"]
    assert (account.face, account.liquidity, account.token, account.semi_auto) == ("analyze", "touch", "good", False)
    assert again.exchange.parked == {}
    assert Seat(again, account).net() == LOT
    again.move(again.option, 149.0)
    assert (account.orders[order.order_id].status, account.orders[order.order_id].price_type) == (
        Status.COMPLETE,
        PriceType.LIMIT,
    )


def test_documents_are_kept_updated_and_forgotten(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "paper.db")
    with storage.transaction():
        storage.save_document("note", "a", "1", {"n": 1})
        storage.save_document("note", "b", "1", {"n": 2})
        storage.save_document("note", "a", "1", {"n": 3})
        storage.save_document("other", "a", "1", {"n": 4})
    with contextlib.suppress(KeyError), storage.transaction():
        storage.delete_document("note", "b", "1")
        raise KeyError
    assert storage.documents("note") == [("a", "1", {"n": 3}), ("b", "1", {"n": 2})]
    with storage.transaction():
        storage.delete_document("note", "b", "1")
    storage.close()
    assert Storage(tmp_path / "paper.db").documents("note") == [("a", "1", {"n": 3})]
