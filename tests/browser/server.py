"""The one command of the README in a temporary folder, and a browser in front of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.paper_server import ROOT, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PASSWORD = "Correct-Horse-9"
START_SECONDS = 40.0


class Server:
    """``streamlit run Home.py`` with everything it starts, on free ports; ``environment`` adds to the usual one."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.port, self.paper_port = free_port(), free_port()
        self.environment = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{folder}/data/desk.db",
            "LOG_DIR": str(folder / "logs"),
            "PAPER_PORT": str(self.paper_port),
            **environment,
        }
        self.output = folder / "console.txt"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "Home.py", "--server.port", str(self.port)],
            cwd=ROOT,
            env=self.environment,
            stdout=self.output.open("w"),
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status and body of /healthz; 0 while nobody listens."""
        try:
            answer = httpx.get(f"{self.url}/healthz", timeout=5)
        except httpx.HTTPError:
            return 0, {}
        return answer.status_code, answer.json()

    def until_healthy(self) -> None:
        wait_until(self.health, lambda seen: seen[0] == 200, seconds=START_SECONDS)

    def children(self) -> list[psutil.Process]:
        """Every process the server started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def control(self, path: str, **body: Any) -> None:
        """Order the built-in paper exchange about, with the token only this machine's owner can read."""
        token = (self.folder / "data" / "paper" / "control.token").read_text().strip()
        answer = httpx.post(
            f"http://127.0.0.1:{self.paper_port}/control/{path}", json=body, headers={"X-Control-Token": token}
        )
        assert answer.status_code == 200, answer.text

    def books(self, api_key: str) -> dict[str, Any]:
        """The exchange's books of an account."""
        token = (self.folder / "data" / "paper" / "control.token").read_text().strip()
        answer = httpx.get(
            f"http://127.0.0.1:{self.paper_port}/control/books",
            params={"api_key": api_key},
            headers={"X-Control-Token": token},
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; skips, saying so, where it is not installed; the gate (REQUIRE_CHROMIUM) does not let it."""
    if not Path(CHROMIUM).exists():
        words = "Chromium is not installed (Debian: apt-get install chromium)"
        (pytest.fail if os.environ.get("REQUIRE_CHROMIUM") else pytest.skip)(words)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def register(page: Page, server: Server, username: str = "asha") -> None:
    """Register the first user by the form and arrive at the desk."""
    page.goto(f"{server.url}/register")
    page.get_by_label("Username").fill(username)
    for field in page.locator("input[type=password]").all():
        field.fill(PASSWORD)
    page.get_by_role("button").last.click()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
