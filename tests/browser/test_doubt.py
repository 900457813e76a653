"""An order in doubt in a real browser: shown with its evidence and age, declared, its exit done exactly once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.server import Server, chromium
from tests.browser.test_story import (
    WAIT,
    exchange_net,
    go,
    open_page,
    preview,
    rows,
    shoot,
    start_family,
    use_straddle,
)
from tests.paper_server import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
QUIET = {"QUIET_UNANSWERED_SECONDS": "3600", "QUIET_ANSWERED_SECONDS": "3600"}
"""Nothing ends the doubt by itself while the test runs."""

BLIND = 600
"""Seconds for which pushes are lost, and reads of the order book that come back empty: until the test ends it."""


def blind(server: Server, key: str) -> None:
    """Keep the engine from seeing what becomes of the account's orders: its own screen would still show it."""
    server.control("faults", kind="pushes_lost", api_key=key, seconds=BLIND)
    server.control("faults", kind="empty_book", endpoint="orderbook", api_key=key, count=100_000)


def see_again(server: Server, key: str) -> None:
    server.control("faults", clear=True)
    server.control("faults", kind="pushes_lost", api_key=key, seconds=0)


def test_an_order_in_doubt_is_shown_declared_and_never_doubled(tmp_path: Path) -> None:
    with Server(tmp_path, **QUIET) as server, chromium() as browser:
        server.until_healthy()
        page = open_page(browser)
        start_family(page, server)
        use_straddle(page, server)
        preview(page)
        page.get_by_role("button", name="Execute").click()
        wait_until(lambda: rows(server, "SELECT 1 FROM strategy_execution WHERE state = 'open'"), seconds=30)
        keys = list(exchange_net(server))
        key = keys[0]

        blind(server, key)
        server.control("faults", kind="drop_after", endpoint="placeorder", api_key=key, count=1)
        go(page, server, "positions")
        expect(page.get_by_role("button", name="Close run").first).to_be_visible(timeout=WAIT)  # the page knows the run
        go(page, server, "orders")
        expect(page.get_by_text("What became of every order is known.")).to_be_visible()
        page.get_by_role("button", name="Kill switch").click()
        page.get_by_role("button", name="Take everything out").click()

        wait_until(lambda: rows(server, "SELECT id FROM orders WHERE state = 'unknown'"), seconds=20)
        ((order_id, symbol),) = rows(server, "SELECT id, symbol FROM orders WHERE state = 'unknown'")
        card = page.locator(f".st-key-doubt-{order_id}")
        expect(card.get_by_text("fate unknown")).to_be_visible(timeout=WAIT)
        said = card.inner_text()
        assert re.search(r"Sent (now|\d+ s ago)", said), said
        for words in ("exit of run 1", "Quiet until", "proves nothing before", "Books read", "Waits for"):
            assert words in said, words
        shoot(page, "8-doubt")

        # its owner looks at the broker's own screen: there it stands, filled
        (trade,) = [one for one in server.books(key)["trades"] if one["symbol"] == symbol and one["action"] == "BUY"]
        before = len(server.books(key)["orders"])
        card.get_by_role("button", name="Declare…").click()
        page.get_by_text("It filled, all of it").click()
        expect(page.get_by_label("Average price ₹")).to_be_visible(timeout=WAIT)
        page.get_by_text("I have looked into the broker's own order book").click()
        expect(page.get_by_role("button", name="Declare", exact=True)).to_be_enabled(timeout=WAIT)
        page.get_by_role("button", name="Declare", exact=True).click()
        refused = page.get_by_text("say at which average price it filled")
        expect(refused).to_be_visible(timeout=WAIT)  # the dialog stays
        page.get_by_label("Average price ₹").fill(f"{trade['price'] / 100:.2f}")
        page.get_by_role("textbox", name="Order id at the broker").fill(trade["order_id"])
        shoot(page, "9-declare")
        page.get_by_role("button", name="Declare", exact=True).click()
        expect(page.get_by_text("declared filled by ").first).to_be_visible(timeout=WAIT)
        ((state, orderid, by),) = rows(server, f"SELECT state, orderid, declared_by FROM orders WHERE id = {order_id}")
        assert (state, orderid, by) == ("filled", trade["order_id"], 1)

        see_again(server, key)
        wait_until(lambda: rows(server, "SELECT 1 FROM strategy_execution WHERE state = 'closed'"), seconds=60)
        assert all(net == {} for net in exchange_net(server).values())
        for each in keys:
            trades = server.books(each)["trades"]
            sides = sorted((one["symbol"], one["action"]) for one in trades)
            assert len(sides) == len(set(sides)) == 4, sides  # each leg in and out, once
        assert len(server.books(key)["orders"]) in {before, 4}
        expect(page.get_by_text("What became of every order is known.")).to_be_visible(timeout=WAIT)
        page.get_by_role("button", name="Refresh").click()
        expect(page.get_by_text("Declared by").first).to_be_visible()
        shoot(page, "10-orders-after")
