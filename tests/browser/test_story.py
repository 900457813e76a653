"""The story of a new user in a real browser: from registration to a straddle that the engine takes out by its max loss.

Set SCREENSHOTS to a folder to keep a picture of each station at 1440 and 390 pixels.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.server import Server, chromium, register
from tests.paper_server import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
WAIT = 20_000
WIDE, NARROW = {"width": 1440, "height": 1000}, {"width": 390, "height": 844}


def shoot(page: Page, name: str) -> None:
    """Keep a picture at both widths, if asked to."""
    folder = os.environ.get("SCREENSHOTS")
    if not folder:
        return
    for width, size in (("1440", WIDE), ("390", NARROW)):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.wait_for_timeout(600)
        page.screenshot(path=f"{folder}/{name}-{width}.png", full_page=True)
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


def go(page: Page, server: Server, place: str) -> None:
    page.goto(f"{server.url}/{place}")


def rows(server: Server, sql: str) -> list[tuple[Any, ...]]:
    """Read the desk's database beside the engine, as it is on disk."""
    connection = sqlite3.connect(f"file:{server.folder}/data/desk.db?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def exchange_net(server: Server) -> dict[str, dict[str, int]]:
    """Net quantities per account as the exchange has them, from its state file."""
    connection = sqlite3.connect(f"file:{server.folder}/data/paper/exchange.db?mode=ro", uri=True)
    try:
        keys = [row[0] for row in connection.execute("SELECT api_key FROM account")]
    finally:
        connection.close()
    found = {}
    for key in keys:
        found[key] = {row["symbol"]: row["quantity"] for row in server.books(key)["positions"] if row["quantity"]}
    return found


def start_family(page: Page, server: Server) -> None:
    register(page, server)
    page.get_by_role("button", name="Start with paper accounts").click(timeout=WAIT)
    for name in ("Asha", "Ravi", "Meera"):
        wait_until(lambda name=name: rows(server, f"SELECT 1 FROM trading_account WHERE name = '{name}'"), seconds=20)


def use_straddle(page: Page, server: Server) -> None:
    go(page, server, "strategies")
    page.get_by_role("tab", name="Templates").click(timeout=WAIT)
    card = page.get_by_text("Short straddle, NIFTY, current week")
    expect(card.first).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="Use this template").first.click()


def preview(page: Page) -> None:
    page.get_by_role("button", name="Preview").click(timeout=WAIT)
    expect(page.get_by_role("button", name="Execute")).to_be_visible(timeout=WAIT)


def open_page(browser: Browser, state: Any = None) -> Page:
    page = browser.new_context(viewport=WIDE, storage_state=state).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(WAIT)
    return page


def test_from_registration_to_a_straddle_taken_out_by_its_max_loss(tmp_path: Path) -> None:
    with Server(tmp_path) as server, chromium() as browser:
        server.until_healthy()
        page = open_page(browser)
        start_family(page, server)
        go(page, server, "")
        expect(page.get_by_text("Engine").first).to_be_visible()
        shoot(page, "1-desk-new")
        use_straddle(page, server)
        preview(page)
        expect(page.get_by_text("6 orders")).not_to_have_count(0)
        shoot(page, "2-preview")
        page.get_by_role("button", name="Execute").dblclick()  # pressed twice
        wait_until(lambda: rows(server, "SELECT id FROM strategy_execution WHERE state = 'open'"), seconds=20)
        # one that is refused, because its contracts are others by now, sent nothing and takes no other's place
        begun = rows(server, "SELECT id, state, reason FROM strategy_execution WHERE state != 'refused'")
        events = rows(server, "SELECT kind, message FROM risk_event")
        assert len(begun) == 1, (begun, events)
        assert all(len(net) == 2 for net in exchange_net(server).values())

        go(page, server, "positions")
        expect(page.get_by_text("Open", exact=True).first).to_be_visible()
        first = page.locator("[data-testid=stMainBlockContainer]").inner_text()
        wait_until(
            lambda: page.locator("[data-testid=stMainBlockContainer]").inner_text(), lambda t: t != first, seconds=10
        )
        shoot(page, "3-positions")

        state = page.context.storage_state()
        page.context.close()  # the browser is closed: that changes nothing
        server.control("price", symbol="NIFTY", exchange="NSE_INDEX", shift_percent=2.0)
        wait_until(lambda: rows(server, "SELECT id FROM strategy_execution WHERE state = 'closed'"), seconds=30)
        assert all(net == {} for net in exchange_net(server).values())

        page = open_page(browser, state)
        go(page, server, "positions")
        expect(page.get_by_text("No run is open").first).to_be_visible()
        expect(page.get_by_text("Ended in the last day")).to_be_visible()
        shoot(page, "4-flat")
        go(page, server, "")
        shoot(page, "5-desk-after")
        go(page, server, "risk_events")
        expect(page.get_by_text("Risk events").first).to_be_visible()
        shoot(page, "6-risk-events")
        ((knew,),) = rows(server, "SELECT knew FROM risk_event WHERE action = 'close_all'")
        assert rows(server, "SELECT kind FROM risk_event WHERE action = 'close_all'") == [("max_loss",)]
        assert "NIFTY" in knew
        go(page, server, "accounts")
        expect(page.get_by_text("Accounts").first).to_be_visible()
        shoot(page, "7-accounts")


def test_two_tabs_that_execute_the_same_preview_make_one_run(tmp_path: Path) -> None:
    with Server(tmp_path) as server, chromium() as browser:
        server.until_healthy()
        first = open_page(browser)
        start_family(first, server)
        use_straddle(first, server)
        second = first.context.new_page()
        second.set_default_timeout(WAIT)
        go(second, server, "strategies")
        preview(first)
        preview(second)
        first.get_by_role("button", name="Execute").click()
        second.get_by_role("button", name="Execute").click()
        wait_until(lambda: rows(server, "SELECT id FROM strategy_execution WHERE state = 'open'"), seconds=20)
        wait_until(
            lambda: rows(server, "SELECT state FROM command WHERE kind = 'execute'"),
            lambda states: bool(states) and all(state in {("done",), ("refused",)} for state in states),
            seconds=20,
        )
        # one that is refused, because its contracts are others by now, sent nothing and takes no other's place
        begun = rows(server, "SELECT id, state, reason FROM strategy_execution WHERE state != 'refused'")
        events = rows(server, "SELECT kind, message FROM risk_event")
        assert len(begun) == 1, (begun, events)
        assert all(len(net) == 2 for net in exchange_net(server).values())


def test_server_stops_without_leaving_a_process_and_says_what_stays_open(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.until_healthy()
        children = server.children()
        assert len(children) >= 2
        server.stop()
        wait_until(lambda: [child for child in children if child.is_running()], lambda left: not left, seconds=15)
        assert "stopped with 0 open runs" in server.output.read_text()


def test_killed_server_takes_its_children_along(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.until_healthy()
        children = server.children()
        server.process.kill()
        server.process.wait(10)
        wait_until(lambda: [child for child in children if child.is_running()], lambda left: not left, seconds=20)
