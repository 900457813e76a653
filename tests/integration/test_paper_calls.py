"""Calls that make, change or end several orders at once: what the books of the paper exchange hold afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.paper_server import PaperServer, wait_until

FACES = ("analyze", "live")


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


@pytest.fixture(params=FACES)
def either(paper: PaperServer, key: str, request: pytest.FixtureRequest) -> str:
    """The same account once in analyzer and once in live mode; orders fill whatever quantity depth displays."""
    paper.change(key, face=request.param, liquidity="touch")
    return key


def order(symbol: str, action: str = "BUY", quantity: int = 65, **fields: Any) -> dict[str, Any]:
    leg = {"symbol": symbol, "exchange": "NFO", "product": "NRML", "action": action, "quantity": quantity}
    return leg | fields


def nifty(paper: PaperServer, key: str, **fields: Any) -> dict[str, Any]:
    day = paper.expiry(api_key=key)
    return {"apikey": key, "strategy": "s", "underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": day} | fields


@pytest.mark.parametrize(
    ("held", "asked", "traded"),
    [
        (0, (130, 0), ("BUY", 130)),
        (0, (-130, 0), ("SELL", 130)),
        (130, (195, 0), ("BUY", 65)),
        (130, (65, 0), ("SELL", 65)),
        (-130, (-65, 0), ("BUY", 65)),
        (-65, (-195, 0), ("SELL", 130)),
        (130, (-65, 0), ("SELL", 195)),
        (-65, (130, 0), ("BUY", 195)),
        (130, (0, 0), ("SELL", 130)),
        (-65, (0, 65), ("BUY", 65)),
        (130, (130, 65), None),
        (130, (130, 0), None),
        (0, (0, 0), None),
        (0, (0, 65), ("SELL", 65)),
    ],
)
def test_smart_order_brings_the_position_to_its_target_with_one_order(
    paper: PaperServer, either: str, held: int, asked: tuple[int, int], traded: tuple[str, int] | None
) -> None:
    target, quantity = asked
    option = paper.option(either)
    if held:
        paper.place(either, option, "BUY" if held > 0 else "SELL", abs(held))
    before = len(paper.books(either)["orders"])
    smart = order(option, "SELL", quantity, position_size=target)
    answer = paper.call("placesmartorder", apikey=either, strategy="s", **smart)
    new = paper.books(either)["orders"][before:]
    assert [(row["action"], row["quantity"]) for row in new] == ([traded] if traded else [])
    assert ("orderid" in answer, "message" in answer) == (bool(traded), not traded)
    opened = -quantity if held == target == 0 else target  # flat and asked to be flat: a plain order
    assert paper.net(either, option) == opened


def test_limit_smart_order_goes_at_market_in_the_analyzer_and_rests_live(paper: PaperServer, either: str) -> None:
    option = paper.option(either)
    smart = order(option, quantity=0, position_size=65, pricetype="LIMIT", price=1.0)
    paper.call("placesmartorder", apikey=either, strategy="s", **smart)
    placed = paper.books(either)["orders"][0]
    analyze = placed["price_type"] == "MARKET"
    assert (placed["price_type"], placed["status"]) in {("MARKET", "complete"), ("LIMIT", "open")}
    assert paper.net(either, option) == (65 if analyze else 0)
    assert analyze == (paper.call("analyzer", apikey=either)["data"]["mode"] == "analyze")


def test_basket_places_the_others_when_one_leg_is_refused(paper: PaperServer, either: str) -> None:
    call, put = paper.option(either), paper.option(either, "PE")
    legs = [order(put, "SELL"), order("NOSUCH"), order(call, quantity=10), order(call, quantity=130)]
    results = paper.call("basketorder", apikey=either, strategy="b", orders=legs)["results"]
    assert sorted(row["status"] for row in results) == ["error", "error", "success", "success"]
    books = paper.books(either)
    placed = [(row["symbol"], row["action"], row["quantity"]) for row in books["orders"]]
    assert placed == [(call, "BUY", 130), (put, "SELL", 65)]
    named = {row["orderid"] for row in results if row["status"] == "success"}
    assert named == {row["order_id"] for row in books["orders"]}


def test_basket_with_a_malformed_leg_places_nothing(paper: PaperServer, key: str) -> None:
    option = paper.option(key)
    legs = [order(option), order(option, "HOLD")]
    assert paper.post("basketorder", apikey=key, strategy="b", orders=legs).status_code == 400
    assert paper.books(key)["orders"] == []


@pytest.mark.parametrize(
    ("quantity", "size", "pieces"), [(325, 130, [130, 130, 65]), (260, 130, [130] * 2), (65, 130, [65])]
)
def test_split_pieces_add_up_to_the_order(
    paper: PaperServer, either: str, quantity: int, size: int, pieces: list[int]
) -> None:
    option = paper.option(either)
    body = order(option, quantity=quantity, splitsize=size)
    answer = paper.call("splitorder", apikey=either, strategy="s", **body)
    assert [row["quantity"] for row in answer["results"]] == pieces
    assert [row["quantity"] for row in paper.books(either)["orders"]] == pieces
    assert paper.net(either, option) == quantity


def test_split_into_more_than_a_hundred_pieces_places_nothing(paper: PaperServer, key: str) -> None:
    body = order(paper.option(key), quantity=101 * 65, splitsize=65)
    assert paper.post("splitorder", apikey=key, strategy="s", **body).status_code == 400
    assert paper.books(key)["orders"] == []


def test_options_order_trades_the_strike_at_the_money_in_slices(paper: PaperServer, either: str) -> None:
    leg = {"offset": "ATM", "option_type": "PE", "action": "SELL", "quantity": 195, "product": "NRML", "splitsize": 130}
    answer = paper.call("optionsorder", **nifty(paper, either), **leg)
    chain = paper.call(
        "optionchain", **{name: value for name, value in nifty(paper, either).items() if name != "strategy"}
    )
    spot = answer["underlying_ltp"]
    nearest = min(chain["chain"], key=lambda row: (abs(row["strike"] - spot), row["strike"]))
    assert answer["symbol"] == nearest["pe"]["symbol"]
    assert [(row["symbol"], row["quantity"]) for row in paper.books(either)["orders"]] == [
        (answer["symbol"], 130),
        (answer["symbol"], 65),
    ]
    assert paper.net(either, answer["symbol"]) == -195


def test_options_order_that_resolves_to_nothing_places_nothing(paper: PaperServer, key: str) -> None:
    leg = {"offset": "OTM50", "option_type": "CE", "action": "BUY", "quantity": 65, "strike_int": 500}
    answer = paper.post("optionsorder", **nifty(paper, key), **leg)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Offset OTM50 is out of range")
    assert paper.books(key)["orders"] == []


def test_bought_legs_of_a_multi_leg_order_are_placed_before_sold_ones(paper: PaperServer, either: str) -> None:
    legs = [
        {"offset": "OTM2", "option_type": "CE", "action": "SELL", "quantity": 65, "product": "NRML"},
        {"offset": "OTM2", "option_type": "PE", "action": "SELL", "quantity": 65, "product": "NRML"},
        {"offset": "OTM6", "option_type": "CE", "action": "BUY", "quantity": 65, "product": "NRML"},
        {"offset": "OTM6", "option_type": "PE", "action": "BUY", "quantity": 130, "product": "NRML", "splitsize": 65},
    ]
    results = paper.call("optionsmultiorder", **nifty(paper, either), legs=legs)["results"]
    assert [row["leg"] for row in results] == [1, 2, 3, 4]
    symbols = [row["symbol"] for row in results]
    trades = [(row["symbol"], row["action"]) for row in paper.books(either)["trades"]]
    assert trades == [
        (symbols[2], "BUY"),
        (symbols[3], "BUY"),
        (symbols[3], "BUY"),
        (symbols[0], "SELL"),
        (symbols[1], "SELL"),
    ]
    assert [paper.net(either, symbol) for symbol in symbols] == [-65, -65, 65, 130]


@pytest.mark.parametrize(("face", "left"), [("analyze", ["trigger pending"]), ("live", [])])
def test_cancelling_all_leaves_orders_that_wait_for_their_trigger_only_in_the_analyzer(
    paper: PaperServer, key: str, face: str, left: list[str]
) -> None:
    paper.change(key, face=face, liquidity="touch")
    option = paper.option(key)
    paper.set_price(option, "NFO", 200.0)
    for strategy, price in (("a", 180.0), ("b", 181.0)):
        paper.place(key, option, pricetype="LIMIT", price=price, strategy=strategy)
    paper.place(key, option, "SELL", pricetype="SL-M", trigger_price=150.0)
    answer = paper.call("cancelallorder", apikey=key, strategy="c")
    orders = paper.books(key)["orders"]
    ended = [row["order_id"] for row in orders if row["status"] == "cancelled"]
    assert sorted(answer["canceled_orders"]) == sorted(ended)
    assert [row["status"] for row in orders if row["status"] != "cancelled"] == left


def test_closing_positions_flattens_the_whole_account(paper: PaperServer, either: str) -> None:
    call, put = paper.option(either), paper.option(either, "PE")
    paper.place(either, paper.option(either, offset=4), quantity=130)
    paper.place(either, call, "SELL", 130, strategy="mine")
    paper.place(either, put, "SELL", 65, product="MIS", strategy="another")
    paper.place(either, "RELIANCE", quantity=5, exchange="NSE", product="CNC")
    paper.call("closeposition", apikey=either, strategy="only-mine")
    books = paper.books(either)
    assert [row["quantity"] for row in books["positions"]] == [0, 0, 0, 0]
    closing = books["orders"][4:]
    assert {row["strategy"] for row in closing} == {"AUTO_SQUARE_OFF"}
    assert [row["action"] for row in closing[:2]] == ["BUY", "BUY"]  # hedges stay until what they cover is closed


def test_position_above_the_freeze_quantity_is_closed_in_the_analyzer_and_kept_live(
    paper: PaperServer, either: str
) -> None:
    option = paper.option(either)
    for _ in range(2):
        paper.place(either, option, quantity=1755)
    answer = paper.call("closeposition", apikey=either, strategy="s")
    assert paper.net(either, option) == (0 if "closed_positions" in answer else 3510)


@pytest.mark.parametrize("endpoint", ["placeorder", "splitorder", "basketorder", "optionsorder", "placegttorder"])
def test_queued_order_is_carried_out_once_when_it_is_approved(paper: PaperServer, either: str, endpoint: str) -> None:
    option = paper.option(either)
    bodies: dict[str, dict[str, Any]] = {
        "placeorder": order(option, quantity=130),
        "splitorder": order(option, quantity=130, splitsize=65),
        "basketorder": {"orders": [order(option), order(option)]},
        "optionsorder": {"offset": "ATM", "option_type": "CE", "action": "BUY", "quantity": 130, "product": "NRML"},
        "placegttorder": order(option, quantity=130, trigger_type="SINGLE", price=1, triggerprice_sl=1.5),
    }
    body = bodies[endpoint] | (
        nifty(paper, either) if endpoint == "optionsorder" else {"apikey": either, "strategy": "s"}
    )
    paper.change(either, semi_auto=True)
    answer = paper.call(endpoint, **body)
    assert answer.keys() == {"message", "mode", "pending_order_id", "status"}
    books = paper.books(either)
    assert books["orders"] == books["gtts"] == []
    waiting = paper.pending(either)
    assert [(row["number"], row["kind"]) for row in waiting] == [(answer["pending_order_id"], endpoint)]
    decided = paper.approve(either, answer["pending_order_id"])
    books = paper.books(either)
    made = [row["order_id"] for row in books["orders"]] + [row["trigger_id"] for row in books["gtts"]]
    assert (decided["verdict"], decided["outcome"].split()) == ("approved", made)
    asked = sum(row["quantity"] for row in books["orders"]) + sum(row["request"]["quantity"] for row in books["gtts"])
    assert asked == 130
    again = paper._http.post(
        f"{paper.url}/control/approvals", json={"api_key": either, "approve": answer["pending_order_id"]}
    )
    assert again.status_code == 404
    assert len(paper.books(either)["orders"]) == len(books["orders"])
    assert paper.pending(either) == []


def test_rejected_and_refused_orders_of_the_queue_trade_nothing(paper: PaperServer, key: str) -> None:
    paper.change(key, semi_auto=True)
    first = paper.call("placeorder", apikey=key, strategy="s", **order(paper.option(key)))["pending_order_id"]
    second = paper.call("placeorder", apikey=key, strategy="s", **order("NOSUCH"))["pending_order_id"]
    assert paper.reject(key, first)["verdict"] == "rejected"
    decided = paper.approve(key, second)
    assert (decided["verdict"], decided["outcome"]) == ("failed", "Symbol NOSUCH not found on NFO")
    assert paper.books(key)["orders"] == []


def test_semi_auto_live_account_refuses_what_ends_orders_and_positions(paper: PaperServer, key: str) -> None:
    option = paper.option(key)
    for face, expected in (("live", 403), ("analyze", 200)):
        paper.change(key, face=face, semi_auto=False, liquidity="touch")
        paper.set_price(option, "NFO", 200.0)
        resting = paper.place(key, option, pricetype="LIMIT", price=100.0)
        paper.place(key, option)
        paper.change(key, semi_auto=True)
        answers = [
            paper.post("cancelorder", apikey=key, strategy="s", orderid=resting),
            paper.post("closeposition", apikey=key, strategy="s"),
            paper.post("cancelallorder", apikey=key, strategy="s"),
        ]
        assert [answer.status_code for answer in answers] == [expected] * 3
        books = paper.books(key)
        assert (books["orders"][0]["status"] == "open") == (face == "live")
        assert paper.net(key, option) == (65 if face == "live" else 0)


def test_queue_survives_a_crash_and_is_carried_out_in_the_mode_it_came_in(tmp_path: Path) -> None:
    with PaperServer(state=tmp_path / "paper.db") as server:
        server.add_account("k", face="live", semi_auto=True)
        option = server.option("k")
        number = server.call("placeorder", apikey="k", strategy="s", **order(option))["pending_order_id"]
        server.kill()
        server.restart()
        assert server.call("analyzer/toggle", apikey="k", mode=True)["data"]["mode"] == "analyze"
        assert server.approve("k", number)["verdict"] == "approved"
        assert len(server.books("k", face="live")["orders"]) == 1
        assert server.books("k")["orders"] == []


def test_each_mode_has_books_of_its_own(paper: PaperServer, key: str) -> None:
    option, other = paper.option(key), paper.option(key, "PE")
    sandboxed = paper.place(key, option)
    assert paper.call("analyzer/toggle", apikey=key, mode=False)["data"]["analyze_mode"] is False
    paper.change(key, liquidity="touch")
    assert paper.call("positionbook", apikey=key) == {"data": [], "status": "success"}
    live = paper.place(key, other, quantity=130)
    assert [row["orderid"] for row in paper.call("orderbook", apikey=key)["data"]["orders"]] == [live]
    assert paper.post("orderstatus", apikey=key, strategy="s", orderid=sandboxed).status_code == 404
    paper.call("closeposition", apikey=key, strategy="s")
    assert paper.call("analyzer/toggle", apikey=key, mode=True)["data"]["mode"] == "analyze"
    assert [row["orderid"] for row in paper.call("orderbook", apikey=key)["data"]["orders"]] == [sandboxed]
    assert (paper.net(key, option), paper.net(key, other)) == (65, 0)
    assert [row["quantity"] for row in paper.books(key, face="live")["orders"]] == [130, 130]


def test_order_in_an_unknown_state_repeats_the_row_before_until_it_is_matched(paper: PaperServer, key: str) -> None:
    paper.change(key, face="live", liquidity="touch")
    option = paper.option(key)
    paper.set_price(option, "NFO", 200.0)
    paper.fault("reject", "placeorder", api_key=key, message="no")
    paper.place(key, option)
    waiting = {}
    for seconds in (60.0, 0.2):
        paper.fault("stale_status", "placeorder", api_key=key, seconds=seconds)
        waiting[seconds] = paper.place(key, option, quantity=130)

    def shown(order_id: str) -> str:
        return str(paper.call("orderstatus", apikey=key, strategy="s", orderid=order_id)["data"]["order_status"])

    assert shown(waiting[60.0]) == "rejected"
    wait_until(lambda: shown(waiting[0.2]), lambda status: status == "complete")
    assert shown(waiting[60.0]) == "rejected"
    assert paper.net(key, option) == 130


def test_hidden_order_and_its_trade_are_in_no_book_until_their_time(paper: PaperServer, either: str) -> None:
    option = paper.option(either)
    paper.fault("late_visibility", "placeorder", api_key=either, seconds=60)
    hidden = paper.place(either, option)
    assert paper.post("orderstatus", apikey=either, strategy="s", orderid=hidden).status_code == 404
    assert paper.call("orderbook", apikey=either)["data"]["orders"] == []
    assert paper.call("tradebook", apikey=either)["data"] == []
    assert paper.call("positionbook", apikey=either)["data"][0]["quantity"] == 65
    paper.fault("late_visibility", "placeorder", api_key=either, seconds=0.2)
    late = paper.place(either, option)
    rows = wait_until(lambda: paper.call("orderbook", apikey=either)["data"]["orders"])
    assert [row["orderid"] for row in rows] == [late]
    assert [row["orderid"] for row in paper.call("tradebook", apikey=either)["data"]] == [late]


def test_market_order_shown_as_a_limit_has_its_protected_price(paper: PaperServer, either: str) -> None:
    option = paper.option(either)
    paper.set_price(option, "NFO", 200.0)
    paper.fault("market_as_limit", "placeorder", api_key=either)
    paper.place(either, option)
    row = paper.call("orderbook", apikey=either)["data"]["orders"][0]
    assert (row["pricetype"], row["order_status"]) == ("LIMIT", "complete")
    assert row["price"] > 200.0


@pytest.mark.parametrize(("crossed", "limit", "back"), [(148.0, 14700, 252.0), (252.0, 25100, 148.0)])
def test_oco_places_one_order_whichever_trigger_is_reached(
    paper: PaperServer, either: str, crossed: float, limit: int, back: float
) -> None:
    option = paper.option(either)
    paper.set_price(option, "NFO", 200.0)
    paper.place(either, option)
    legs = {"triggerprice_sl": 150, "stoploss": 147, "triggerprice_tg": 250, "target": 251}
    oco = order(option, "SELL", trigger_type="OCO", price=0) | legs
    paper.call("placegttorder", apikey=either, strategy="g", **oco)
    paper.set_price(option, "NFO", crossed)
    fired = paper.books(either)["orders"][1:]
    assert [row["price"] for row in fired] == [limit]
    wait_until(lambda: paper.net(either, option), lambda net: net == 0)
    paper.set_price(option, "NFO", back)
    assert paper.call("gttorderbook", apikey=either)["data"] == []
    assert len(paper.books(either)["orders"]) == 2


def test_single_gtt_fires_once_and_a_cancelled_one_never(paper: PaperServer, either: str) -> None:
    option = paper.option(either)
    paper.set_price(option, "NFO", 200.0)
    single = order(option, trigger_type="SINGLE", price=190, triggerprice_sl=190)
    kept, ended = (paper.call("placegttorder", apikey=either, strategy="g", **single)["trigger_id"] for _ in range(2))
    paper.call("cancelgttorder", apikey=either, strategy="g", trigger_id=ended)
    for price in (189.0, 200.0, 189.0):
        paper.set_price(option, "NFO", price)
    gtts = {row["trigger_id"]: row for row in paper.books(either)["gtts"]}
    orders = [row["order_id"] for row in paper.books(either)["orders"]]
    assert (gtts[kept]["status"], gtts[ended]["status"]) == ("triggered", "cancelled")
    assert orders == [gtts[kept]["order_id"]]
    assert paper.net(either, option) == 65


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("account", {"api_key": "nobody"}, "api_key"),
        ("account", {"token": "old"}, "token"),
        ("account", {"face": "sandbox"}, "face"),
        ("account", {"liquidity": "endless"}, "liquidity"),
        ("account", {"semi_auto": "perhaps"}, "semi_auto"),
        ("account", {"funds": 5}, "funds"),
        ("approvals", {"approve": 1, "reject": 1}, "approve"),
        ("approvals", {"reject": 0}, "reject"),
    ],
)
def test_control_names_the_field_that_it_refuses_and_changes_nothing(
    paper: PaperServer, key: str, path: str, body: dict[str, Any], field: str
) -> None:
    before = paper.change(key)
    answer = paper._http.post(f"{paper.url}/control/{path}", json={"api_key": key} | body)
    assert (answer.status_code, list(answer.json()["message"])) == (400, [field])
    assert paper.change(key) == before


def test_account_opens_with_its_switches_and_opening_it_again_changes_nothing(paper: PaperServer, key: str) -> None:
    name = f"{key}-second"
    paper.add_account(name, face="live", semi_auto=True, token="dead", liquidity="touch")
    paper.add_account(name, face="analyze")
    given = paper.change(name)
    switches = {field: given[field] for field in ("face", "semi_auto", "token", "liquidity")}
    assert switches == {"face": "live", "semi_auto": True, "token": "dead", "liquidity": "touch"}
