"""Risk in a real browser: every rule's distance, the Supertrend chart, the fire drill, a limit of the day, one kill.

Set SCREENSHOTS to a folder to keep pictures at 1440 and 390 pixels, light and dark.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.services.drafts import LegDraft, LimitsDraft, StrategyDraft, SupertrendDraft
from engine.services.identity import Caller
from engine.services.strategies import save_strategy
from engine.store.database import Database
from engine.store.tables import Role
from tests.browser.server import Server, chromium, register
from tests.paper_server import ROOT, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
WAIT = 30_000
WIDE, NARROW = {"width": 1440, "height": 1000}, {"width": 390, "height": 844}
LOTS_AT = 570
"""Pixels from the left of the legs' editor to the column of lots."""
STOP = {"stop_kind": "percent", "stop_value": 80.0, "reentry": "at_cost", "reentry_most": 1}


def shoot(page: Page, name: str) -> None:
    """Keep a picture at both widths in both themes, if asked to."""
    folder = os.environ.get("SCREENSHOTS")
    if not folder:
        return
    for width, size in (("1440", WIDE), ("390", NARROW)):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            page.wait_for_timeout(1_500)
            page.screenshot(path=f"{folder}/{name}-{width}-{theme}.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


def straddle(server: Server) -> None:
    """Save a strategy with every kind of rule for the family's accounts."""
    database = Database(server.environment["DATABASE_URL"])
    legs = [
        LegDraft(underlying="NIFTY", action="SELL", instrument_type=kind, expiry_choice="next_week", **STOP)
        for kind in ("CE", "PE")
    ]
    limits = LimitsDraft(
        max_loss=400_000.0, max_profit=400_000.0, account_max_loss=200_000.0, trailing_kind="percent_of_premium",
        trailing_value=90.0, move_to_cost=True, supertrend=SupertrendDraft(interval="1m"),
    )  # fmt: skip
    draft = StrategyDraft(name="Guarded straddle", account_ids=[1, 2, 3], fixed_lots=1, legs=legs, limits=limits)
    save_strategy(database, Caller(1, "asha", Role.ADMIN), draft, now=datetime.now(UTC))
    database.close()


def execute(server: Server) -> None:
    """Send it from the command line, and wait until it is open."""
    command = [sys.executable, "-m", "engine", "execute", "Guarded straddle", "--wait"]
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=server.environment, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rows(server: Server, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{server.folder}/data/desk.db?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def nets(server: Server) -> list[int]:
    """Units held per account, in the order in which the exchange opened them."""
    connection = sqlite3.connect(f"file:{server.folder}/data/paper/exchange.db?mode=ro", uri=True)
    try:
        keys = [row[0] for row in connection.execute("SELECT api_key FROM account ORDER BY rowid")]
    finally:
        connection.close()
    return [sum(abs(row["quantity"]) for row in server.books(key)["positions"]) for key in keys]


def type_lots_and_save_at_once(page: Page, server: Server) -> None:
    """Type in a cell of the legs and press Save without a pause: nothing typed is lost on the way."""
    page.set_viewport_size({"width": 1440, "height": 2600})  # the cell and Save in one picture: no scrolling between
    page.goto(f"{server.url}/strategies")
    page.get_by_text("Edit", exact=True).first.click(timeout=WAIT)
    save = page.get_by_role("button", name="Save strategy").first
    cells = page.locator("[data-testid=stDataFrame] canvas").first
    expect(save).to_be_visible(timeout=WAIT)
    expect(cells).to_be_visible(timeout=WAIT)
    grid, button = cells.bounding_box(), save.bounding_box()
    assert grid is not None
    assert button is not None
    cell = page.locator("#portal input").first
    page.mouse.dblclick(grid["x"] + LOTS_AT, grid["y"] + 52)
    expect(cell).to_have_value("1", timeout=WAIT)
    cell.fill("2")
    page.keyboard.press("Enter")
    page.mouse.click(button["x"] + button["width"] / 2, button["y"] + button["height"] / 2)
    ratios = (
        "SELECT v.number, l.ratio FROM strategy_leg l JOIN strategy_version v ON v.id = l.version_id "
        "WHERE l.leg_index = 1 ORDER BY v.number"
    )
    wait_until(lambda: rows(server, ratios), lambda found: found == [(1, 1), (2, 2)])
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def browser() -> Any:
    with chromium() as found:
        yield found


def test_risk_from_a_guarded_run_to_the_kill_of_one_account(tmp_path: Path, browser: Browser) -> None:
    with Server(tmp_path) as server:
        server.until_healthy()
        page = browser.new_page(viewport=WIDE)  # type: ignore[arg-type]
        register(page, server)
        page.get_by_role("button", name="Start with paper accounts").click(timeout=WAIT)
        expect(page.get_by_text("3 paper accounts ready.")).to_be_visible(timeout=WAIT)
        straddle(server)
        execute(server)
        held = nets(server)
        assert len(held) == 3
        assert all(held)

        page.goto(f"{server.url}/risk")
        card = page.locator(".st-key-risk-1")
        for words in ("Max loss", "Trailing stop", "Leg stop", "Supertrend"):
            expect(card.get_by_text(words).first).to_be_visible(timeout=WAIT)
        expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=WAIT)

        page.get_by_role("button", name="Start a fire drill").click()
        expect(page.get_by_text("No order was sent, nothing was cancelled and nothing is halted.")).to_be_visible(
            timeout=WAIT
        )
        shoot(page, "risk")
        assert nets(server) == held
        assert rows(server, "SELECT count(*) FROM orders WHERE purpose = 'exit'") == [(0,)]

        page.goto(f"{server.url}/settings")
        loss = page.get_by_label("Max loss of the day").first
        loss.fill("250000", timeout=WAIT)
        loss.press("Tab")
        page.get_by_role("button", name="Set", exact=True).first.click()
        wait_until(
            lambda: rows(server, "SELECT max_loss_paise FROM risk_limit WHERE account_id IS NULL"),
            lambda found: found == [(25_000_000,)],
        )
        shoot(page, "settings")

        page.get_by_role("button", name="Kill switch").first.click()
        page.get_by_label("For whom").click(timeout=WAIT)
        page.get_by_role("option", name="Ravi").click()
        page.get_by_role("button", name="Take Ravi out").click()
        wait_until(lambda: sorted(nets(server)), lambda found: found[0] == 0, seconds=30)
        assert sorted(nets(server)) == sorted([0, *held[1:]]), "the other accounts go on"
        page.goto(f"{server.url}/risk")
        expect(page.get_by_text(re.compile("Halted")).first).to_be_visible(timeout=WAIT)
        shoot(page, "risk-halted")

        type_lots_and_save_at_once(page, server)
        page.goto(f"{server.url}/risk_events")
        expect(page.get_by_text("Newest first.")).to_be_visible(timeout=WAIT)
        shoot(page, "events")
