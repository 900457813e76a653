"""The example of the README runs as it stands there, against a paper exchange."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.paper_server import PaperServer

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
HOST, KEY = "http://127.0.0.1:5055", "my-paper-key"


def section() -> str:
    return README.split("\n## Python API\n")[1].split("\n## ")[0]


def test_the_example_buys_a_lot_and_tells_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", section(), re.DOTALL)
    assert (code.count(HOST), code.count(KEY)) == (1, 1)
    assert code.count("import") == 1, "one line of imports is all a user needs"
    with PaperServer(seed=5) as paper:
        paper.add_account(KEY, funds=1_000_000)
        exec(compile(code.replace(HOST, paper.url), "README.md", "exec"), {})
        books = paper.books(KEY)
    told = capsys.readouterr().out
    (position,) = [row for row in books["positions"] if row["quantity"]]
    (order,) = books["orders"]
    assert "paper in analyze mode, ₹ 1,000,000.00" in told
    assert f"placed {order['order_id']} complete" in told
    assert f"holds {position['quantity']} {position['symbol']} at " in told
    assert "1 order, 1 trade" in told
    assert f"lot {position['quantity']}" in told, "it bought one lot"


def test_the_shell_lines_open_the_account_that_the_example_uses() -> None:
    (shell,) = re.findall(r"```bash\n(.*?)```", section(), re.DOTALL)
    assert f"engine paper --port {HOST.rsplit(':', 1)[1]} --control" in shell
    assert f"{HOST}/control/accounts" in shell
    assert f'"api_key": "{KEY}"' in shell
