"""The Supertrend example of the README runs as it stands there, on bars of a paper exchange."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.paper_server import PaperServer

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_example_reads_bars_and_says_which_way_they_go(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.split("\n## Supertrend\n")[1].split("\n## ")[0], re.DOTALL)
    with PaperServer(seed=5) as paper:
        paper.add_account("my-paper-key")
        assert code.count("http://127.0.0.1:5055") == 1
        exec(compile(code.replace("http://127.0.0.1:5055", paper.url), "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 3
    for line in lines:
        assert re.fullmatch(r"\d\d:\d[05] UTC  close [\d,.]+  line ([\d,.]+ (bullish|bearish)|nan warm-up)", line), line
