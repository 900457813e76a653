"""Exits that rest at a broker, against the real exchange process: live faces, the displayed quantities only.

Judged by the broker's books: flat, never beyond zero, and one order id for every slice however often it was re-priced.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from engine.services.drafts import LegDraft, LimitsDraft, StrategyDraft
from engine.services.views import AccountDraft
from tests.house import House
from tests.paper_server import wait_until

LOTS = 40  # 2,600 units: two slices a leg
LOT = 65
NAME = "Asha"


def live_house(folder: Path) -> House:
    """A house with one account behind a live face that trades only against what is displayed."""
    house = House(folder, accounts=(), engine=False, quiet_unanswered=4.0, quiet_answered=1.5)
    key = "made-up-key-asha"
    house.paper.add_account(key, funds=500_000_000, name=NAME, face="live", liquidity="displayed")
    house.desk.add_account(AccountDraft(name=NAME, host=house.paper.url, ws_url=house.paper.ws_url, api_key=key))
    house.keys[NAME] = key
    return house


def sell(house: House) -> int:
    """Sell a straddle of 40 lots; returns the run's id."""
    legs = [
        LegDraft(underlying="NIFTY", action="SELL", instrument_type=kind, expiry_choice="next_week")
        for kind in ("CE", "PE")
    ]
    draft = StrategyDraft(
        name="Straddle",
        account_ids=[account.id for account in house.desk.accounts()],
        fixed_lots=LOTS,
        legs=legs,
        limits=LimitsDraft(),
    )
    run = house.execute(house.desk.save_strategy(draft).id)
    house.until_open(run, 40)
    return run


def bought_back(house: House) -> list[dict[str, Any]]:
    return [row for row in house.books(NAME)["orders"] if row["action"] == "BUY"]


def modifications(house: House) -> list[dict[str, Any]]:
    return [call for call in house.paper.requests(house.keys[NAME]) if call["endpoint"] == "modifyorder"]


def assert_left_once(house: House, run: int, slices: int) -> None:
    house.assert_clean(run)
    orders = bought_back(house)
    assert len(orders) == slices, "one order for every slice"
    assert {row["status"] for row in orders} == {"complete"}
    exits = [order for order in house.orders(run) if order.purpose == "exit"]
    assert sorted(str(order.orderid) for order in exits) == sorted(row["order_id"] for row in orders)


def test_held_remainders_are_repriced_on_their_own_orders_until_flat(tmp_path: Path) -> None:
    with live_house(tmp_path) as house:
        house.start_engine()
        run = sell(house)
        held = {symbol: -quantity for symbol, quantity in house.net(NAME).items()}
        assert sorted(held.values()) == [LOTS * LOT] * 2
        house.paper.fault("clip", "placeorder", count=4, fraction=0.3)
        house.close(run)
        assert house.until_closed(run, 60).state == "closed"
        assert_left_once(house, run, slices=4)
        assert len({call["body"]["orderid"] for call in modifications(house)}) == 4


def test_kill_and_lost_answers_while_an_exit_is_repriced_leave_one_order(tmp_path: Path) -> None:
    with live_house(tmp_path) as house:
        house.start_engine()
        run = sell(house)
        house.paper.fault("clip", "placeorder", count=4, fraction=0.3)
        house.paper.fault("error_500", "modifyorder", count=6)
        house.close(run)
        wait_until(lambda: len(modifications(house)), lambda count: count >= 2, seconds=30)
        house.engine.kill()
        house.paper.fault("drop_after", "modifyorder", count=1)
        house.start_engine(wait=False)
        assert house.until_closed(run, 90).state == "closed"
        assert_left_once(house, run, slices=4)
        asked = Counter(call["body"]["orderid"] for call in modifications(house))
        assert len(asked) == 4
        prices: dict[str, list[float]] = {}
        for call in modifications(house):
            prices.setdefault(call["body"]["orderid"], []).append(float(call["body"]["price"]))
        for path in prices.values():
            assert path == sorted(path), "never back"
