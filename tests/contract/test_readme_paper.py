"""What the README shows of Supertrend and of the paper exchange runs as it stands there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paper_server import PaperServer

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PORT, KEY = "127.0.0.1:5055", "my-paper-key"


@pytest.fixture
def paper() -> Iterator[PaperServer]:
    with PaperServer(seed=5) as server:
        server.add_account(KEY)
        yield server


def blocks(section: str, language: str) -> list[str]:
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(code: str, paper: PaperServer) -> None:
    assert PORT in code
    exec(compile(code.replace(PORT, f"127.0.0.1:{paper.port}"), "README.md", "exec"), {})


def test_supertrend_reads_bars_and_says_which_way_they_go(
    paper: PaperServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks("Supertrend", "python")
    run(code, paper)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 3
    for line in lines:
        shown = r"\d\d:\d[05] UTC  close [\d,.]+  line ([\d,.]+ (bullish|bearish)|nan warm-up)"
        assert re.fullmatch(shown, line), line


def test_the_official_client_gets_a_quote(paper: PaperServer, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("The paper exchange", "python")
    run(code, paper)
    assert "'status': 'success'" in capsys.readouterr().out


def test_the_shell_lines_steer_the_exchange(paper: PaperServer) -> None:
    (shell,) = blocks("The paper exchange", "bash")
    posts = re.findall(r"/control/(\w+) .*-d '(.*)'$", shell, re.MULTILINE)
    assert [path for path, _ in posts] == ["account", "faults"]
    for path, body in posts:
        paper.control(path, **json.loads(body))
    assert paper.books(KEY)["face"] == "live"
    assert "/control/books?api_key=" + KEY in shell


def test_every_path_of_the_control_surface_is_in_the_readme() -> None:
    table = README.split("\n## The paper exchange\n")[1].split("\n## ")[0]
    source = (Path(__file__).parents[2] / "engine" / "paper" / "control.py").read_text(encoding="utf-8")
    paths = set(re.findall(r'"(/control/\w+)"', source)) - {"/control/whoami"}
    assert len(paths) >= 9
    assert {path for path in paths if path not in table} == set()
