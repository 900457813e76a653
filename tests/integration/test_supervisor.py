"""The server's children: kept alive, ended by their lifeline, also when the server is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.runtime import supervisor as module
from engine.runtime.supervisor import LIFELINE, Child, Supervisor, children_of
from engine.settings import Settings

STARTED = textwrap.dedent(
    """
    import os, sys
    with open(sys.argv[1], "a") as book:
        book.write(f"{os.getpid()}\\n")
    """
)
LIVES = STARTED + "os.read(int(sys.argv[2]), 1)\nprint('engine stopped with 2 open runs', flush=True)\n"
DEAF = (
    STARTED
    + "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(60)\n"
)


def child(book: Path, code: str = LIVES, **values: object) -> Child:
    return Child(name="engine", command=[sys.executable, "-c", code, str(book), LIFELINE], **values)


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def lives(book: Path) -> list[int]:
    return [int(line) for line in book.read_text().split()] if book.exists() else []


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, database_url=f"sqlite:///{tmp_path}/desk.db", log_dir=tmp_path / "logs")


@pytest.fixture
def keep(settings: Settings) -> Iterator[Callable[[Child], Supervisor]]:
    made: list[Supervisor] = []

    def start(kept: Child) -> Supervisor:
        made.append(Supervisor(settings, [kept]))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.stop()


def test_stop_closes_the_lifeline_and_the_last_line_reaches_the_console(keep, tmp_path, capfd) -> None:
    supervisor = keep(child(tmp_path / "book", speaks_last=True))
    until(lambda: lives(tmp_path / "book"))
    supervisor.stop()
    assert not running(lives(tmp_path / "book")[0])
    assert "engine stopped with 2 open runs" in capfd.readouterr().err


def test_a_killed_child_is_back_at_once_and_leaves_no_zombie(keep, tmp_path) -> None:
    supervisor = keep(child(tmp_path / "book"))
    until(lambda: lives(tmp_path / "book"))
    first = lives(tmp_path / "book")[0]
    killed = time.monotonic()
    os.kill(first, signal.SIGKILL)
    until(lambda: len(lives(tmp_path / "book")) == 2)
    assert time.monotonic() - killed < 1.0
    assert not Path(f"/proc/{first}").exists()
    assert supervisor.pids() == {"engine": lives(tmp_path / "book")[1]}


def test_a_child_that_keeps_dying_is_started_more_and_more_slowly(keep, tmp_path) -> None:
    keep(child(tmp_path / "book", STARTED))
    until(lambda: len(lives(tmp_path / "book")) >= 3)  # at once, then after 1 s
    third = time.monotonic()
    until(lambda: len(lives(tmp_path / "book")) >= 4)
    assert time.monotonic() - third > 1.5  # then after 2 s


def test_an_engine_that_finds_another_one_trading_is_not_restarted_in_a_tight_loop(keep, tmp_path, caplog) -> None:
    keep(child(tmp_path / "book", STARTED + f"sys.exit({module.LEASE_HELD})"))
    until(lambda: lives(tmp_path / "book"))
    first = time.monotonic()
    until(lambda: len(lives(tmp_path / "book")) == 2)
    assert time.monotonic() - first > 1.5
    assert sum("another engine holds the lease" in line for line in caplog.messages) == 1


def test_a_child_that_ignores_its_lifeline_is_ended_by_force(keep, tmp_path, settings, monkeypatch, capfd) -> None:
    monkeypatch.setattr(module, "FINISH_SECONDS", 0.2)
    monkeypatch.setattr(module, "TERMINATE_SECONDS", 0.2)
    supervisor = keep(child(tmp_path / "book", DEAF, speaks_last=True))
    until(
        lambda: (settings.log_dir / "engine.log").exists() and b"deaf" in (settings.log_dir / "engine.log").read_bytes()
    )
    supervisor.stop()
    assert not running(lives(tmp_path / "book")[0])
    assert "without saying what is open" in capfd.readouterr().err


def test_children_of_a_killed_server_end_by_their_lifeline(tmp_path, settings) -> None:
    server = f"""
import sys, time
from pathlib import Path
from engine.runtime.supervisor import LIFELINE, Child, Supervisor
from engine.settings import Settings
settings = Settings(_env_file=None, database_url={settings.database_url!r}, log_dir=Path({str(settings.log_dir)!r}))
code = {LIVES!r}
children = [Child(n, [sys.executable, "-c", code, {str(tmp_path)!r} + "/" + n, LIFELINE]) for n in ("paper", "engine")]
Supervisor(settings, children).start()
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", server])
    try:
        until(lambda: lives(tmp_path / "paper") and lives(tmp_path / "engine"))
    finally:
        process.kill()
        process.wait()
    for pid in lives(tmp_path / "paper") + lives(tmp_path / "engine"):
        until(lambda pid=pid: not running(pid))
    assert "stopped with 2 open runs" in (settings.log_dir / "engine.log").read_text()


def test_a_child_runs_in_a_session_of_its_own(keep, tmp_path) -> None:
    keep(child(tmp_path / "book"))
    until(lambda: lives(tmp_path / "book"))
    pid = lives(tmp_path / "book")[0]
    assert os.getsid(pid) == pid


def test_a_full_log_is_put_aside_at_start(keep, tmp_path, settings, monkeypatch) -> None:
    monkeypatch.setattr(module, "LOG_BYTES", 10)
    settings.log_dir.mkdir()
    (settings.log_dir / "engine.log").write_text("what was said before")
    keep(child(tmp_path / "book"))
    until(lambda: lives(tmp_path / "book"))
    assert (settings.log_dir / "engine.log.1").read_text() == "what was said before"


def test_a_taken_port_is_named_and_the_paper_exchange_waits(settings, tmp_path, caplog) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        paper = children_of(settings.model_copy(update={"paper_port": port, "engine": "external"}))
        supervisor = Supervisor(settings, paper)
        supervisor.start()
        until(lambda: any(f"port {port} is taken" in line and "PAPER_PORT" in line for line in caplog.messages))
        assert supervisor.pids() == {"paper": None}
        supervisor.stop()


def test_the_control_token_stays_out_of_the_command_line(settings) -> None:
    paper, engine = children_of(settings)
    path = settings.data_dir / "paper" / "control.token"
    token = path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert paper.environment["PAPER_CONTROL_TOKEN"] == token
    assert token not in " ".join([*paper.command, *engine.command])
    assert "PAPER_CONTROL_TOKEN" not in engine.environment


@pytest.mark.parametrize(("mode", "names"), [("child", ["paper", "engine"]), ("external", ["paper"]), ("off", [])])
def test_the_setting_says_which_children_run(settings, mode: str, names: list[str]) -> None:
    assert [kept.name for kept in children_of(settings.model_copy(update={"engine": mode}))] == names
