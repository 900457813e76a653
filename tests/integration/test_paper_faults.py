"""Every kind of fault: what the client sees of it, and what the books of the exchange say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from engine.paper.fault_script import Fault, FaultBook
from engine.paper.faults import KINDS, STREAM_KINDS
from engine.paper.history import APART_SECONDS, KEPT, History
from tests.contract.paper_stage import RECORDED
from tests.paper_server import PaperServer, wait_until

LOT = 65
NEVER = 3600.0


class Account:
    """An account with an option that trades at ₹200, and what a client and the books say about it."""

    def __init__(self, paper: PaperServer, key: str, *, face: str = "analyze") -> None:
        self.paper, self.key = paper, key
        paper.control("accounts", api_key=key, name="Asha", funds=10_000_000, face=face)
        self.option = paper.option(key)
        paper.set_price(self.option, "NFO", 200.0)

    def order(self, **fields: Any) -> dict[str, Any]:
        body = {"apikey": self.key, "strategy": "test", "symbol": self.option, "exchange": "NFO", "action": "BUY"}
        return body | {"quantity": LOT, "product": "NRML"} | fields

    def place(self, **fields: Any) -> httpx.Response:
        return self.paper.post("placeorder", **self.order(**fields))

    def fault(self, kind: str, endpoint: str = "placeorder", **fields: Any) -> None:
        self.paper.fault(kind, endpoint, api_key=self.key, **fields)

    def book(self, endpoint: str = "orderbook") -> list[dict[str, Any]]:
        data = self.paper.call(endpoint, apikey=self.key)["data"]
        return data["orders"] if endpoint == "orderbook" else data

    @property
    def orders(self) -> list[dict[str, Any]]:
        """The orders that really exist."""
        return self.paper.books(self.key)["orders"]

    @property
    def net(self) -> int:
        """The position that really exists."""
        return self.paper.net(self.key, self.option)


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperServer]:
    with PaperServer(seed=7, tick_seconds=0.1) as server:
        yield server


@pytest.fixture
def account(paper: PaperServer, request: pytest.FixtureRequest) -> Account:
    return Account(paper, request.node.name[:90])


@pytest.fixture
def live(paper: PaperServer, request: pytest.FixtureRequest) -> Account:
    return Account(paper, f"{request.node.name[:80]}-live", face="live")


def _recorded(name: str) -> dict[str, Any]:
    return json.loads((RECORDED / "rest" / f"{name}.json").read_text())


def _cut(call: Callable[[], object]) -> None:
    with pytest.raises(httpx.TransportError):
        call()


def _drop_before(account: Account) -> None:
    _cut(account.place)
    assert account.orders == []


def _drop_after(account: Account) -> None:
    _cut(account.place)
    assert account.net == LOT


def _delay(account: Account) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{account.paper.url}/api/v1/placeorder", json=account.order(), timeout=0.1)
    assert account.orders == []
    wait_until(lambda: account.net, lambda net: net == LOT)


def _bad_gateway(account: Account) -> None:
    answer = account.place()
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert account.net == LOT


def _garbage(account: Account) -> None:
    answer = account.place()
    assert answer.status_code == 200
    with pytest.raises(ValueError):
        answer.json()
    assert account.net == LOT


def _wrong_content_type(account: Account) -> None:
    answer = account.place()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "log in" in answer.text
    assert account.net == LOT


def _slow_body(account: Account) -> None:
    with httpx.stream("POST", f"{account.paper.url}/api/v1/placeorder", json=account.order(), timeout=5.0) as answer:
        assert answer.status_code == 200
        assert account.net == LOT, "carried out before the body is there"
        pieces = list(answer.iter_raw())
    assert len(pieces) > 5
    assert json.loads(b"".join(pieces))["orderid"] == account.orders[0]["order_id"]


def _half_body(account: Account) -> None:
    got: list[bytes] = []
    with httpx.stream("POST", f"{account.paper.url}/api/v1/placeorder", json=account.order()) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            got += answer.iter_raw()
    assert 0 < sum(len(piece) for piece in got) < int(answer.headers["content-length"])
    assert account.net == LOT


def _rate_limit(account: Account) -> None:
    answer = account.place()
    assert (answer.status_code, answer.json()) == (429, _recorded("placeorder.rate-limited")["response"])
    assert account.orders == []


def _broker_429(account: Account) -> None:
    answer, recorded = account.place(), _recorded("placeorder.live-broker-rate-limited")
    assert (answer.status_code, answer.json()) == (recorded["status_code"], recorded["response"])
    assert account.orders == []


def _error_500(account: Account) -> None:
    answer = account.place()
    assert (answer.status_code, answer.json()["status"]) == (500, "error")
    assert account.orders == []


def _broker_error(account: Account) -> None:
    answer, recorded = account.place(), _recorded("placeorder.live-broker-bad-gateway")
    assert (answer.status_code, answer.json()) == (recorded["status_code"], recorded["response"])
    assert account.orders == []


def _broker_error_after(account: Account) -> None:
    answer, recorded = account.place(), _recorded("placeorder.live-broker-connection-lost")
    assert (answer.status_code, answer.json()) == (recorded["status_code"], recorded["response"])
    assert len(account.book()) == recorded["observed_after"]["orders_in_orderbook_after"]
    assert account.net == LOT


def _null_orderid(account: Account) -> None:
    answer = account.place()
    assert (answer.status_code, answer.json()["orderid"]) == (200, None)
    assert account.net == LOT


def _reject(account: Account) -> None:
    answer = account.place()
    assert (answer.status_code, answer.json()["message"]) == (400, "Order rejected by the exchange")
    assert [(row["orderid"], row["order_status"]) for row in account.book()] == [(answer.json()["orderid"], "rejected")]
    assert account.net == 0


def _clip(account: Account) -> None:
    assert account.place(quantity=4 * LOT).status_code == 200
    (row,) = account.book()
    assert (row["order_status"], row["filled_quantity"], row["pending_quantity"]) == ("open", 2 * LOT, 2 * LOT)
    assert account.net == 2 * LOT


def _duplicate(account: Account) -> None:
    answer = account.place()
    assert account.orders[0]["order_id"] == answer.json()["orderid"]
    assert [row["order_status"] for row in account.book()] == ["complete", "complete"]
    assert account.net == 2 * LOT


def _late_visibility(account: Account) -> None:
    order_id = account.place().json()["orderid"]
    reference = {"apikey": account.key, "strategy": "x", "orderid": order_id}
    assert (account.book(), account.book("tradebook")) == ([], [])
    assert account.paper.post("orderstatus", **reference).status_code == 404
    assert (account.net, len(account.orders)) == (LOT, 1)
    assert [row["quantity"] for row in account.book("positionbook")] == [LOT]
    wait_until(lambda: [row["orderid"] for row in account.book()], lambda ids: ids == [order_id])
    assert [row["orderid"] for row in account.book("tradebook")] == [order_id]
    assert account.paper.call("orderstatus", **reference)["data"]["order_status"] == "complete"


def _market_as_limit(account: Account) -> None:
    account.place()
    (row,) = account.book()
    assert (row["pricetype"], row["order_status"]) == ("LIMIT", "complete")
    assert row["price"] > row["average_price"] > 0
    assert account.orders[0]["price_type"] == "MARKET"


def _moving_timestamp(account: Account) -> None:
    account.place()
    first = account.book()[0]["timestamp"]
    wait_until(lambda: account.book()[0]["timestamp"], lambda shown: shown > first)
    account.place()
    second = next(row for row in account.orders if not row["moving_timestamp"])["order_id"]
    shown = {row["orderid"]: row["timestamp"] for row in account.book()}[second]
    wait_until(lambda: account.book()[-1]["timestamp"], lambda moved: moved > shown)
    assert {row["orderid"]: row["timestamp"] for row in account.book()}[second] == shown


def _validation(account: Account) -> None:
    account.place()
    (row,) = account.book()
    assert (row["order_status"], account.net) == ("open", 0)
    wait_until(lambda: account.net, lambda net: net == LOT)


def _mode_toggled(account: Account) -> None:
    answer = account.place()
    assert "mode" not in answer.json()
    assert len(answer.json()["orderid"]) > len("26112269810349")
    status = account.paper.call("analyzer", apikey=account.key)["data"]
    assert (status["analyze_mode"], status["mode"]) == (False, "live")
    assert account.net == LOT
    assert [set(row) & {"strategy", "filled_quantity"} for row in account.book()] == [set()]


def _queued(account: Account) -> None:
    answer, recorded = account.place(), _recorded("placeorder.semi-auto-analyze")
    assert (answer.status_code, answer.json()) == (200, recorded["response"])
    assert account.book() == []
    wait_until(lambda: account.net, lambda net: net == LOT)
    assert len(account.orders) == 1


def _late(account: Account) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{account.paper.url}/api/v1/placeorder", json=account.order(), timeout=0.1)
    assert account.orders == []
    wait_until(lambda: account.net, lambda net: net == LOT)


SCENARIOS: dict[str, tuple[Callable[[Account], None], dict[str, Any]]] = {
    "drop_before": (_drop_before, {}),
    "drop_after": (_drop_after, {}),
    "delay": (_delay, {"seconds": 1.5}),
    "late": (_late, {"seconds": 1.5}),
    "bad_gateway": (_bad_gateway, {}),
    "garbage": (_garbage, {}),
    "wrong_content_type": (_wrong_content_type, {}),
    "slow_body": (_slow_body, {"seconds": 0.5}),
    "half_body": (_half_body, {}),
    "rate_limit_429": (_rate_limit, {}),
    "broker_429": (_broker_429, {}),
    "error_500": (_error_500, {}),
    "broker_error": (_broker_error, {}),
    "broker_error_after": (_broker_error_after, {}),
    "null_orderid": (_null_orderid, {}),
    "reject": (_reject, {}),
    "clip": (_clip, {"fraction": 0.5}),
    "duplicate": (_duplicate, {}),
    "late_visibility": (_late_visibility, {"seconds": 2.0}),
    "market_as_limit": (_market_as_limit, {}),
    "moving_timestamp": (_moving_timestamp, {}),
    "validation": (_validation, {"seconds": 1.5}),
    "mode_toggled": (_mode_toggled, {}),
    "queued": (_queued, {"seconds": 1.0}),
}
OF_BOOKS = {"empty_book", "smaller_book", "old_book"}
OF_LIVE = {"stale_status"}


@pytest.mark.parametrize("kind", SCENARIOS)
def test_faulty_order_call(account: Account, kind: str) -> None:
    scenario, fields = SCENARIOS[kind]
    account.fault(kind, **fields)
    scenario(account)
    account.paper.clear_prices()


def test_every_kind_has_a_scenario() -> None:
    assert set(KINDS) == SCENARIOS.keys() | OF_BOOKS | OF_LIVE
    assert {"stream_silence", "stream_frozen", "pushes_lost", "pushes_twice", "stream_cut"} == STREAM_KINDS


def test_live_row_shows_the_status_of_the_row_before_it(live: Account) -> None:
    first = live.place().json()["orderid"]
    live.fault("stale_status", seconds=2.0)
    second = live.place(pricetype="LIMIT", price=150.0).json()["orderid"]
    assert [(row["orderid"], row["order_status"]) for row in live.book()] == [(first, "complete"), (second, "complete")]
    assert {row["order_id"]: row["status"] for row in live.orders}[second] == "open"
    assert live.net == LOT
    wait_until(lambda: [row["order_status"] for row in live.book()], lambda shown: shown == ["complete", "open"])


def test_rejected_live_order_is_accepted_first(live: Account) -> None:
    live.fault("reject", message="Margin exceeds")
    answer, recorded = live.place(), _recorded("placeorder.live-accepted-then-rejected")
    assert (answer.status_code, answer.json().keys()) == (recorded["status_code"], recorded["response"].keys())
    assert [row["order_status"] for row in live.book()] == ["rejected"]
    assert live.net == 0


@pytest.mark.parametrize("endpoint", ["orderbook", "tradebook", "positionbook"])
def test_book_without_rows_and_without_the_last_row(account: Account, endpoint: str) -> None:
    account.place()
    account.place(symbol=account.paper.option(account.key, "PE"))
    whole = account.book(endpoint)
    account.fault("smaller_book", endpoint)
    account.fault("empty_book", endpoint)
    assert [row["symbol"] for row in account.book(endpoint)] == [row["symbol"] for row in whole[:-1]]
    assert account.book(endpoint) == []
    assert len(account.book(endpoint)) == len(whole) == 2


def test_old_book_is_the_one_that_was_shown_before(account: Account) -> None:
    assert account.book() == []
    account.place()
    account.fault("old_book", "orderbook", seconds=NEVER)
    account.fault("old_book", "tradebook", seconds=NEVER)
    assert account.book() == []
    assert len(account.book("tradebook")) == 1, "none was shown before: it is as it is"
    assert (len(account.book()), len(account.orders)) == (1, 1)


def test_history_keeps_few_answers_and_finds_the_newest_of_a_time() -> None:
    history = History()
    for step in range(3 * KEPT):
        history.keep("a", "orderbook", str(step).encode(), step * APART_SECONDS)
        history.keep("a", "orderbook", b"too soon after the last", step * APART_SECONDS + 0.01)
    last = (3 * KEPT - 1) * APART_SECONDS
    assert history.before("a", "orderbook", last) == str(3 * KEPT - 1).encode()
    assert history.before("a", "orderbook", last - 5 * APART_SECONDS) == str(3 * KEPT - 6).encode()
    assert history.before("a", "orderbook", 0.0) == str(2 * KEPT).encode()
    assert history.before("b", "orderbook", last) is None


def test_queued_order_without_a_time_is_never_approved_by_itself(account: Account) -> None:
    account.fault("queued", seconds=0)
    assert account.place().json()["mode"] == "semi_auto"
    later = account.place().json()["orderid"]
    assert [row["order_id"] for row in account.orders] == [later]


def test_second_slice_is_rejected_and_the_third_is_not(account: Account) -> None:
    account.fault("reject", after=1)
    assert [account.place().status_code for _ in range(3)] == [200, 400, 200]
    assert [row["status"] for row in account.orders] == ["complete", "rejected", "complete"]


def test_only_the_hedge_is_rejected(account: Account) -> None:
    hedge = account.paper.option(account.key, offset=2)
    account.fault("reject", symbol=hedge, action="BUY", count=9)
    assert account.place(action="SELL").status_code == 200
    assert account.place(symbol=hedge, action="SELL").status_code == 200
    assert account.place(symbol=hedge, action="buy").status_code == 400
    assert account.place().status_code == 200
    assert [row["status"] for row in account.orders] == ["complete", "complete", "rejected", "complete"]


def test_fault_of_a_basket_befalls_each_of_its_orders(account: Account) -> None:
    put = account.paper.option(account.key, "PE")
    leg = {
        name: value for name, value in account.order(pricetype="MARKET").items() if name not in {"apikey", "strategy"}
    }
    basket = {"apikey": account.key, "strategy": "t", "orders": [leg, leg | {"symbol": put, "action": "SELL"}]}
    account.fault("reject", "basketorder", symbol=put, action="BUY")
    account.fault("null_orderid", "basketorder", symbol=put, action="SELL")
    results = account.paper.call("basketorder", **basket)["results"]
    assert [row["orderid"] for row in results] == [None, None]
    account.paper.clear_faults()
    account.fault("reject", "basketorder", symbol=put)
    results = account.paper.call("basketorder", **basket)["results"]
    assert [row["status"] for row in results] == ["error", "error"]
    assert sorted(row["status"] for row in account.orders) == ["complete", "complete", "rejected", "rejected"]


@pytest.mark.parametrize(("kind", "kept"), [("empty_book", slice(1)), ("smaller_book", slice(-1))])
def test_fault_of_a_book_cuts_lines_of_csv(account: Account, kind: str, kept: slice) -> None:
    def lines() -> list[str]:
        query = {"apikey": account.key, "exchange": "NSE", "format": "csv"}
        answer = httpx.get(f"{account.paper.url}/api/v1/instruments", params=query)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv")
        return answer.text.splitlines()

    whole = lines()
    account.fault(kind, "instruments")
    assert lines() == whole[kept]
    account.fault("null_orderid", "instruments")
    assert lines() == whole


def test_answer_without_an_order_id_gets_none_from_a_fault(account: Account) -> None:
    account.fault("null_orderid", "*", count=2)
    assert "orderid" not in account.paper.call("orderbook", apikey=account.key)
    body = {name: value for name, value in account.order(pricetype="MARKET").items() if name != "product"}
    idle = account.paper.call("placesmartorder", **body | {"quantity": 0, "position_size": 0})
    assert "orderid" not in idle


def test_null_order_id_reaches_the_pieces_of_a_leg(account: Account) -> None:
    account.fault("null_orderid", "optionsmultiorder")
    leg = {"offset": "ATM", "option_type": "CE", "action": "BUY", "quantity": 130, "splitsize": 65}
    (result,) = account.paper.call(
        "optionsmultiorder",
        apikey=account.key,
        strategy="t",
        underlying="NIFTY",
        exchange="NSE_INDEX",
        expiry_date=account.paper.expiry(api_key=account.key),
        legs=[leg],
    )["results"]
    assert [piece["orderid"] for piece in result["results"]] == [None, None]


def test_fault_that_still_skips_lets_the_next_one_act() -> None:
    book = FaultBook()
    book.add(Fault("reject", "placeorder", after=2))
    book.add(Fault("clip", "placeorder"))
    kinds = [book.take("placeorder", "k", {}) for _ in range(4)]
    assert [fault.kind if fault else None for fault in kinds] == ["clip", None, "reject", None]
    assert book.waiting == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"kind": "explode"}, "kind"),
        ({"kind": "reject", "endpoint": "placeorders"}, "endpoint"),
        ({"kind": "reject", "after": -1}, "after"),
        ({"kind": "reject", "action": "HOLD"}, "action"),
        ({"kind": "delay", "seconds": 1e9}, "seconds"),
        ({"kind": "stream_cut", "code": 99}, "code"),
    ],
)
def test_impossible_fault_is_refused_by_its_field(paper: PaperServer, fields: dict[str, Any], named: str) -> None:
    answer = httpx.post(f"{paper.url}/control/faults", json=fields)
    assert (answer.status_code, list(answer.json()["message"])) == (400, [named])


def test_stream_is_cut_without_a_word_or_with_a_code(account: Account) -> None:
    with account.paper.socket(account.key) as socket:
        account.fault("stream_cut", "stream")
        with pytest.raises(ConnectionClosed) as cut:
            socket.receive()
        assert (cut.value.rcvd, cut.value.sent) == (None, None)
    with account.paper.socket(account.key) as socket:
        account.fault("stream_cut", "stream", code=1012)
        with pytest.raises(ConnectionClosed) as closed:
            socket.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    assert account.place().status_code == 200
    assert account.net == LOT


def _is_tick(frame: dict[str, Any]) -> bool:
    return frame.get("type") == "market_data"


def _is_push(frame: dict[str, Any]) -> bool:
    return frame.get("type") == "order_update"


def test_frozen_ticks_repeat_an_old_price_with_its_old_time(account: Account) -> None:
    with account.paper.socket(account.key) as socket:
        socket.ask(action="subscribe", symbols=[{"symbol": account.option, "exchange": "NFO"}], mode=1)
        moving = [socket.expect(_is_tick)["data"]["timestamp"] for _ in range(3)]
        assert len(set(moving)) == 3
        account.fault("stream_frozen", "stream", seconds=NEVER)
        account.paper.set_price(account.option, "NFO", 90.0)
        still = wait_until(lambda: [socket.expect(_is_tick) for _ in range(4)], lambda seen: seen[0] == seen[-1])
        assert still[0]["data"]["ltp"] in {90.0, 200.0}
        assert (
            account.paper.call("quotes", apikey=account.key, symbol=account.option, exchange="NFO")["data"]["ltp"]
            == 90.0
        )
        account.fault("stream_frozen", "stream", seconds=0)
        assert socket.expect(lambda frame: _is_tick(frame) and frame != still[0])["data"]["ltp"] == 90.0


def test_pushes_are_lost_while_ticks_go_on(account: Account) -> None:
    with account.paper.socket(account.key) as socket:
        socket.ask(action="subscribe_orders")
        socket.ask(action="subscribe", symbols=[{"symbol": account.option, "exchange": "NFO"}], mode=1)
        account.fault("pushes_lost", "stream", seconds=NEVER)
        lost = account.place().json()["orderid"]
        assert _is_tick(socket.receive())
        account.fault("pushes_lost", "stream", seconds=0)
        kept = account.place().json()["orderid"]
        assert socket.expect(_is_push)["orderid"] == kept
    assert [row["order_id"] for row in account.orders] == [lost, kept]


def test_pushes_come_twice(account: Account) -> None:
    with account.paper.socket(account.key) as socket:
        socket.ask(action="subscribe_orders")
        account.fault("pushes_twice", "stream", seconds=NEVER)
        account.place()
        assert [socket.expect(_is_push)["order_status"] for _ in range(4)] == ["open", "open", "complete", "complete"]
    assert account.net == LOT


def test_what_an_account_suffered_is_told_and_what_waits_is_not(account: Account) -> None:
    account.fault("error_500", after=1)
    account.fault("drop_before", "positionbook")
    assert account.paper.suffered(account.key) == []
    assert account.place().status_code == 200
    assert account.place().status_code == 500
    account.paper.clear_faults()
    (one,) = account.paper.suffered(account.key)
    last = account.paper.requests(account.key)[-1]
    assert one == {"at": pytest.approx(last["at"], abs=0.5), "kind": "error_500", "endpoint": "placeorder"}
