"""Trading on the paper exchange over real HTTP and websocket: fills, money, limits of the exchange, restart."""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.services.connection import probe
from engine.services.paper_family import start_with_paper_accounts
from tests.desk_factory import NOW, DeskFactory
from tests.paper_server import PaperServer, wait_until

KEY = "paper-key"


@pytest.fixture(scope="module")
def paper() -> Iterator[PaperServer]:
    with PaperServer(seed=11) as server:
        yield server


@pytest.fixture
def key(paper: PaperServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """An account of its own for each test, and prices that go their own way again after it."""
    name = request.node.name[:90]
    paper.add_account(name)
    yield name
    paper.clear_prices()


def order(key: str, symbol: str, action: str = "BUY", quantity: int = 65, **fields: Any) -> dict[str, Any]:
    body = {"apikey": key, "strategy": "test", "symbol": symbol, "exchange": "NFO", "product": "NRML"}
    return body | {"action": action, "quantity": quantity} | fields


def status(paper: PaperServer, key: str, order_id: str) -> dict[str, Any]:
    return paper.call("orderstatus", apikey=key, strategy="x", orderid=order_id)["data"]


def expected_realised(books: dict[str, Any]) -> int:
    signs = {"BUY": -1, "SELL": 1}
    return sum(signs[trade["action"]] * trade["quantity"] * trade["price"] for trade in books["trades"])


def test_market_order_fills_at_the_other_side_of_the_quote(paper: PaperServer, key: str) -> None:
    option = paper.option(key)
    paper.set_price(option, "NFO", 200.0)
    quote = paper.call("quotes", apikey=key, symbol=option, exchange="NFO")["data"]
    bought, sold = paper.place(key, option), paper.place(key, option, "SELL", 130)
    assert quote["bid"] < quote["ltp"] < quote["ask"]
    assert status(paper, key, bought)["average_price"] == quote["ask"]
    assert status(paper, key, sold)["average_price"] == quote["bid"]
    assert paper.net(key, option) == -65


def test_realised_profit_is_sales_less_purchases_to_the_paisa(paper: PaperServer, key: str) -> None:
    call, put = paper.option(key), paper.option(key, "PE")
    steps = [(call, "BUY", 195), (call, "SELL", 65), (put, "SELL", 130), (call, "SELL", 260), (put, "BUY", 195)]
    for number, (option, action, quantity) in enumerate(steps):
        paper.set_price(option, "NFO", 100.05 + 7.35 * number)
        paper.place(key, option, action, quantity)
    paper.place(key, call, "BUY", 130)
    paper.place(key, put, "SELL", 65)
    books = paper.books(key)
    assert [row["quantity"] for row in books["positions"]] == [0, 0]
    assert [row["cost"] for row in books["positions"]] == [0, 0]
    assert books["realised_paise"] == expected_realised(books)
    assert books["available_paise"] == books["funds_paise"] + books["realised_paise"]
    funds = paper.call("funds", apikey=key)["data"]
    assert round(funds["total_realized_pnl"] * 100) == books["realised_paise"]


def test_margin_of_a_sold_option_is_blocked_and_a_hedge_lowers_it(paper: PaperServer, key: str) -> None:
    option, wing = paper.option(key), paper.option(key, offset=6)
    paper.place(key, option, "SELL")
    naked = paper.books(key)["used_paise"]
    paper.place(key, wing)
    books = paper.books(key)
    premium = books["trades"][-1]["price"] * 65
    assert 15_000_000 < naked < 25_000_000
    assert books["used_paise"] < naked + premium
    assert books["available_paise"] == books["funds_paise"] - books["used_paise"]
    answer = paper.call(
        "margin",
        apikey=key,
        positions=[
            {
                "symbol": symbol,
                "exchange": "NFO",
                "action": action,
                "quantity": "65",
                "product": "NRML",
                "pricetype": "MARKET",
            }
            for symbol, action in ((option, "SELL"), (wing, "BUY"))
        ],
    )["data"]
    assert answer["total_margin_required"] == pytest.approx(books["used_paise"] / 100, rel=0.01)


def test_order_beyond_the_funds_is_refused_in_the_sandbox_words(paper: PaperServer) -> None:
    paper.add_account("poor", funds=1_000)
    answer = paper.post("placeorder", **order("poor", paper.option("poor"), "SELL"))
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Insufficient funds. Required: ₹")
    assert "Available: ₹1000.00, Shortage: ₹" in answer.json()["message"]
    assert paper.books("poor")["orders"] == []


def test_quantity_above_the_freeze_is_refused_and_the_largest_slice_is_taken(paper: PaperServer, key: str) -> None:
    option, sensex = paper.option(key), paper.option(key, underlying="SENSEX")
    assert paper.post("placeorder", **order(key, option, quantity=1820)).json() == {
        "status": "error",
        "mode": "analyze",
        "message": "Quantity 1820 exceeds the freeze quantity 1800 of NIFTY",
    }
    assert paper.place(key, option, quantity=1755)
    assert paper.post("placeorder", **order(key, sensex, quantity=1020, exchange="BFO")).status_code == 400
    row = paper.call("symbol", apikey=key, symbol=sensex, exchange="BFO")["data"]
    assert (row["lotsize"], row["freeze_qty"]) == (20, 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"quantity": 66}, "Quantity must be in multiples of lot size 65"),
        ({"pricetype": "LIMIT", "price": 100.03}, "Price 100.03 is not a multiple of the tick size 0.05"),
        ({"pricetype": "SL-M"}, "SL-M orders require trigger_price"),
        ({"symbol": "NIFTY", "exchange": "NSE_INDEX"}, "NIFTY is an index on NSE_INDEX and cannot be traded"),
    ],
)
def test_malformed_order_is_refused_and_nothing_is_recorded(
    paper: PaperServer, key: str, fields: dict[str, Any], message: str
) -> None:
    answer = paper.post("placeorder", **(order(key, paper.option(key)) | fields))
    assert (answer.status_code, answer.json()["message"]) == (400, message)
    assert paper.books(key)["orders"] == []


def test_resting_limit_fills_at_its_price_when_the_market_comes(paper: PaperServer, key: str) -> None:
    option = paper.option(key)
    paper.set_price(option, "NFO", 200.0)
    resting = paper.place(key, option, pricetype="LIMIT", price=150.0)
    assert status(paper, key, resting)["order_status"] == "open"
    paper.set_price(option, "NFO", 140.0)
    filled = status(paper, key, resting)
    assert (filled["order_status"], filled["average_price"], filled["pending_quantity"]) == ("complete", 150.0, 0)


def test_marketable_limit_fills_no_worse_than_its_limit(paper: PaperServer, key: str) -> None:
    option = paper.option(key)
    paper.set_price(option, "NFO", 200.0)
    order_id = paper.place(key, option, pricetype="LIMIT", price=230.0)
    assert 200.0 < status(paper, key, order_id)["average_price"] < 201.0


@pytest.mark.parametrize(("action", "moved"), [("SELL", 170.0), ("BUY", 230.0)])
def test_stop_order_waits_for_its_trigger(paper: PaperServer, key: str, action: str, moved: float) -> None:
    option = paper.option(key)
    paper.set_price(option, "NFO", 200.0)
    trigger = 180.0 if action == "SELL" else 220.0
    stop = paper.place(key, option, action, pricetype="SL-M", trigger_price=trigger)
    limit = paper.place(key, option, action, pricetype="SL", trigger_price=trigger, price=trigger)
    assert status(paper, key, stop)["order_status"] == "trigger pending"
    paper.set_price(option, "NFO", moved)
    assert status(paper, key, stop)["order_status"] == "complete"
    assert status(paper, key, stop)["average_price"] == pytest.approx(moved, abs=0.2)
    assert status(paper, key, limit)["order_status"] == "open"


def test_modified_limit_becomes_marketable_on_the_same_id(paper: PaperServer, key: str) -> None:
    option = paper.option(key)
    paper.set_price(option, "NFO", 200.0)
    order_id = paper.place(key, option, pricetype="LIMIT", price=150.0)
    change = order(key, option, quantity=130, pricetype="LIMIT", price=205.0, trigger_price=0, disclosed_quantity=0)
    paper.call("modifyorder", orderid=order_id, **change)
    filled = status(paper, key, order_id)
    assert (filled["order_status"], filled["quantity"], filled["average_price"]) == ("complete", 130, 200.05)
    assert paper.post("cancelorder", apikey=key, strategy="x", orderid=order_id).status_code == 400


def test_clipped_order_keeps_its_rest_until_it_is_repriced(paper: PaperServer, key: str) -> None:
    option = paper.option(key)
    paper.set_price(option, "NFO", 200.0)
    paper.fault("clip", "placeorder", fraction=0.5, api_key=key)
    order_id = paper.place(key, option, quantity=260)
    row = status(paper, key, order_id)
    assert (row["order_status"], row["filled_quantity"], row["pending_quantity"]) == ("open", 130, 130)
    change = order(key, option, quantity=260, pricetype="LIMIT", price=210.0, trigger_price=0, disclosed_quantity=0)
    paper.call("modifyorder", orderid=order_id, **change)
    assert status(paper, key, order_id)["order_status"] == "complete"
    assert paper.net(key, option) == 260


def test_shares_are_delivered_only_if_they_are_there(paper: PaperServer, key: str) -> None:
    share = {"exchange": "NSE", "product": "CNC"}
    paper.place(key, "SBIN", quantity=10, **share)
    refused = paper.post("placeorder", **order(key, "SBIN", "SELL", 11, **share))
    assert refused.status_code == 400
    assert refused.json()["orderid"] in {row["order_id"] for row in paper.books(key)["orders"]}
    paper.place(key, "SBIN", "SELL", 10, **share)
    assert paper.net(key, "SBIN") == 0


def test_strikes_follow_a_large_move_and_old_ones_stay(paper: PaperServer, key: str) -> None:
    far = paper.option(key)
    paper.place(key, far)
    try:
        paper.shift("NIFTY", "NSE_INDEX", 40.0)
        spot = paper.call("quotes", apikey=key, symbol="NIFTY", exchange="NSE_INDEX")["data"]["ltp"]
        day = paper.expiry(api_key=key)
        body = {"apikey": key, "underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": day}
        chain = paper.call("optionchain", **body)["chain"]
        assert chain[0]["strike"] < spot * 0.9
        assert chain[-1]["strike"] > spot * 1.1
        assert all(row[kind]["bid"] >= 0.05 for row in chain for kind in ("ce", "pe"))
        paper.place(key, far, "SELL")
    finally:
        paper.clear_prices()


def test_books_and_prices_survive_a_crash(tmp_path: Path) -> None:
    with PaperServer(seed=5, state=tmp_path / "paper.db") as paper:
        paper.add_account(KEY, funds=2_000_000, name="Asha")
        option = paper.option(KEY)
        paper.shift("NIFTY", "NSE_INDEX", 5.0)
        paper.set_price(option, "NFO", 321.0)
        paper.place(KEY, option)
        resting = paper.place(KEY, option, pricetype="LIMIT", price=100.0)
        before = paper.books(KEY)
        paper.kill()
        paper.restart()
        assert paper.books(KEY) == before
        assert paper.call("quotes", apikey=KEY, symbol=option, exchange="NFO")["data"]["ltp"] == 321.0
        spot = paper.call("quotes", apikey=KEY, symbol="NIFTY", exchange="NSE_INDEX")["data"]
        assert spot["ltp"] > spot["prev_close"] * 1.01
        paper.call("cancelorder", apikey=KEY, strategy="x", orderid=resting)
        paper.set_price(option, "NFO", 90.0)
        assert status(paper, KEY, resting)["order_status"] == "cancelled"


def test_every_accepted_order_is_on_disk_before_its_answer(tmp_path: Path) -> None:
    state = tmp_path / "paper.db"
    with PaperServer(state=state) as paper:
        paper.add_account(KEY)
        option = paper.option(KEY)
        with sqlite3.connect(state) as reader:
            for count in range(1, 6):
                paper.place(KEY, option)
                assert reader.execute("SELECT count(*) FROM paper_order").fetchone() == (count,)
                assert reader.execute("SELECT count(*) FROM trade").fetchone() == (count,)
        reader.close()


def test_restarted_exchange_continues_the_same_path(tmp_path: Path) -> None:
    def open_of_day(seed: int) -> tuple[float, float]:
        with PaperServer(seed=seed) as paper:
            paper.add_account(KEY)
            quote = paper.call("quotes", apikey=KEY, symbol="NIFTY", exchange="NSE_INDEX")["data"]
            return quote["open"], quote["prev_close"]

    assert open_of_day(21) == open_of_day(21)
    assert open_of_day(21) != open_of_day(22)


def test_cut_connection_after_acceptance_leaves_the_order(paper: PaperServer, key: str) -> None:
    option = paper.option(key)
    for kind, placed in (("drop_before", 0), ("drop_after", 1)):
        paper.fault(kind, "placeorder", api_key=key)
        with pytest.raises(httpx.TransportError):
            paper.post("placeorder", **order(key, option))
        assert len(paper.books(key)["orders"]) == placed
    assert [call["endpoint"] for call in paper.requests(key)] == ["placeorder", "placeorder"]


@pytest.mark.parametrize(
    ("kind", "status_code", "placed"),
    [
        ("error_500", 500, 0),
        ("rate_limit_429", 429, 0),
        ("bad_gateway", 502, 1),
        ("null_orderid", 200, 1),
        ("garbage", 200, 1),
        ("reject", 400, 1),
    ],
)
def test_faulty_answer_to_an_order(paper: PaperServer, key: str, kind: str, status_code: int, placed: int) -> None:
    option = paper.option(key)
    paper.fault(kind, "placeorder", api_key=key)
    answer = paper.post("placeorder", **order(key, option))
    assert answer.status_code == status_code
    assert len(paper.books(key)["orders"]) == placed
    assert paper.net(key, option) == (65 if placed and kind != "reject" else 0)
    assert paper.requests(key)[0]["status_code"] == status_code
    assert paper.place(key, option)


def test_late_order_arrives_after_the_client_left(paper: PaperServer, key: str) -> None:
    option = paper.option(key)
    paper.fault("late", "placeorder", seconds=0.7, api_key=key)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{paper.url}/api/v1/placeorder", json=order(key, option), timeout=0.3)
    assert paper.books(key)["orders"] == []
    wait_until(lambda: paper.net(key, option), lambda net: net == 65)


def test_empty_book_comes_with_200_as_often_as_scripted(paper: PaperServer, key: str) -> None:
    paper.place(key, paper.option(key))
    paper.fault("empty_book", "positionbook", count=2, api_key=key)
    counts = [len(paper.call("positionbook", apikey=key)["data"]) for _ in range(3)]
    assert counts == [0, 0, 1]


def test_delay_holds_back_one_call_only(paper: PaperServer, key: str) -> None:
    paper.fault("delay", "funds", seconds=2.0, api_key=key)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{paper.url}/api/v1/funds", json={"apikey": key}, timeout=0.1)
    assert paper.post("funds", apikey=key).elapsed.total_seconds() < 1.5


def test_price_that_is_held_is_not_shifted_without_a_word(paper: PaperServer) -> None:
    paper.set_price("NIFTY", "NSE_INDEX", 26_000.0)
    body = {"symbol": "NIFTY", "exchange": "NSE_INDEX", "shift_percent": 1}
    answer = paper._http.post(f"{paper.url}/control/price", json=body)
    assert (answer.status_code, list(answer.json()["message"])) == (400, ["shift_percent"])
    assert "held at 26000.0" in answer.json()["message"]["shift_percent"][0]
    paper.clear_prices()
    paper.shift("NIFTY", "NSE_INDEX", 1)


def test_control_names_the_bad_field(paper: PaperServer) -> None:
    def refusal(path: str, **body: Any) -> tuple[int, list[str]]:
        answer = httpx.post(f"{paper.url}/control/{path}", json=body)
        return answer.status_code, list(answer.json()["message"])

    assert refusal("accounts", api_key="x", name="y", funds="many") == (400, ["funds"])
    assert refusal("accounts", api_key="x") == (400, ["name"])
    assert refusal("faults", kind="explode") == (400, ["kind"])
    assert refusal("price", symbol="NIFTY", shift_percent=1) == (400, ["exchange"])
    assert refusal("replay", action="start") == (400, ["action"])
    assert httpx.get(f"{paper.url}/control/books", params={"api_key": "nobody"}).status_code == 400


def test_the_exchange_proves_its_token_without_being_shown_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token, nonce = "token-of-the-test", "n" * 64
    monkeypatch.setenv("PAPER_CONTROL_TOKEN", token)
    factory = DeskFactory(tmp_path)
    (factory.settings.data_dir / "paper").mkdir()
    (factory.settings.data_dir / "paper" / "control.token").write_text(token)
    with PaperServer(rate_limits=True) as ours:
        answer = httpx.get(f"{ours.url}/control/whoami", params={"nonce": nonce})
        assert (answer.status_code, answer.text) == (200, hmac.digest(token.encode(), nonce.encode(), "sha256").hex())
        for wrong in ("", "short", "n" * 129, "ä" * 64):
            assert httpx.get(f"{ours.url}/control/whoami", params={"nonce": wrong}).status_code == 400, wrong
        assert httpx.post(f"{ours.url}/control/faults", json={"clear": True}).status_code == 403
        settings = factory.settings.model_copy(update={"paper_port": ours.port})
        rows = start_with_paper_accounts(
            factory.database, factory.vault, settings, factory.person(), now=NOW, connect=probe
        )
        assert [row.name for row in rows] == ["Asha", "Ravi", "Meera"]
    factory.close()


def test_an_exchange_without_a_token_proves_none(paper: PaperServer) -> None:
    assert httpx.get(f"{paper.url}/control/whoami", params={"nonce": "n" * 64}).status_code == 403


def test_same_account_twice_is_one_account(paper: PaperServer, key: str) -> None:
    paper.place(key, paper.option(key))
    paper.add_account(key, funds=5)
    assert paper.books(key)["funds_paise"] == 10_000_000_00
    assert len(paper.books(key)["orders"]) == 1
