"""Kernels in real processes: compiled once and found again, and working where no cache can be had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

RULES = """
from numba import types
from engine.domain.compiled import formula, kernel
from figures import ADDED


@formula
def doubled(value):
    return value * 2.0


@kernel(types.float64)
def answer(value):
    return doubled(value) + ADDED
"""

ASK = """
import json, sys, threading
sys.path[:0] = {paths!r}
{limit}
from rules import answer
seen = []
threads = [threading.Thread(target=lambda: seen.append(answer.ready()(20.0))) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
hits = sum(answer.ready().stats.cache_hits.values())
print(json.dumps({{"seen": seen, "uncached": answer.uncached, "hits": hits}}))
"""

SUPERTREND = """
import json
from engine.domain import supertrend_kernels as kernels
from engine.domain.supertrend import supertrend
line, direction = supertrend([12, 13, 17], [10, 11, 13], [11, 12, 16], period=2, multiplier=1.0)
print(json.dumps({"seen": [line.tolist()[1:], direction.tolist()], "uncached": kernels.one_series.uncached}))
"""

Asked = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def ask(tmp_path: Path) -> Asked:
    """Start a process that asks the kernel of ``rules.py``; ``largest_file`` in bytes stands for a full disk."""
    (tmp_path / "rules.py").write_text(RULES)
    (tmp_path / "figures.py").write_text("ADDED = 1.0")

    def started(cache: Path, *, largest_file: int | None = None) -> subprocess.Popen[str]:
        limit = ""
        if largest_file is not None:
            limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({largest_file}, {largest_file}))"
        return start(ASK.format(paths=[str(ROOT), str(tmp_path)], limit=limit), cache)

    return started


def start(script: str, cache: Path, **environment: str) -> subprocess.Popen[str]:
    """A new interpreter whose kernels may be cached in ``cache`` and nowhere else."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        env={
            **os.environ,
            "NUMBA_CACHE_DIR": str(cache),
            "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the process printed; its complaint where it failed."""
    out, complaint = process.communicate(timeout=100)
    assert process.returncode == 0, complaint
    answer: dict[str, Any] = json.loads(out)
    return answer


def files(cache: Path, kind: str) -> list[Path]:
    return sorted(cache.rglob(f"*.{kind}"))


def test_a_kernel_is_compiled_once_and_found_by_the_next_process(ask: Asked, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert told(ask(cache)) == {"seen": [41.0] * 3, "uncached": None, "hits": 0}
    assert len(files(cache, "nbc")) == 1
    assert told(ask(cache)) == {"seen": [41.0] * 3, "uncached": None, "hits": 1}


def test_processes_that_compile_at_once_do_not_fail(ask: Asked, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    together = [ask(cache) for _ in range(3)]
    assert [told(process)["seen"] for process in together] == [[41.0] * 3] * 3
    assert told(ask(cache))["hits"] == 1


def test_supertrend_computes_where_no_cache_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("no folder")
    answer = told(start(SUPERTREND, tmp_path / "a file" / "cache"))
    assert answer["seen"] == [[14.0, 11.5], [0, -1, 1]]
    assert "no locator available" in answer["uncached"]


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes are limited through the resource module")
@pytest.mark.parametrize("largest_file", [0, 1500], ids=["nothing fits", "the index fits, the code does not"])
def test_a_full_disk_costs_the_cache_and_nothing_else(ask: Asked, tmp_path: Path, largest_file: int) -> None:
    cache = tmp_path / "cache"
    answer = told(ask(cache, largest_file=largest_file))
    assert answer["seen"] == [41.0] * 3
    assert answer["uncached"].startswith("OSError")
    assert len(files(cache, "nbi")) == (1 if largest_file else 0)
    assert files(cache, "nbc") == []
    assert told(ask(cache))["uncached"] is None


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes are limited through the resource module")
def test_old_code_does_not_come_back_when_the_disk_filled_up_under_a_new_release(ask: Asked, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert told(ask(cache))["seen"] == [41.0] * 3
    (tmp_path / "rules.py").write_text(RULES.replace("* 2.0", "* 3.0"))
    assert told(ask(cache, largest_file=1500))["seen"] == [61.0] * 3
    assert told(ask(cache))["seen"] == [61.0] * 3


def test_a_number_changed_in_another_file_is_not_left_as_it_was(ask: Asked, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert told(ask(cache))["seen"] == [41.0] * 3
    (tmp_path / "figures.py").write_text("ADDED = 2.0")
    assert told(ask(cache)) == {"seen": [42.0] * 3, "uncached": None, "hits": 0}


def test_without_compiling_the_refusal_says_why(tmp_path: Path) -> None:
    process = start(SUPERTREND, tmp_path, NUMBA_DISABLE_JIT="1")
    _, complaint = process.communicate(timeout=100)
    assert process.returncode == 1
    assert complaint.rstrip().endswith("NUMBA_DISABLE_JIT is set, and one_series works as machine code only: unset it")


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_broken_cache_file_costs_the_cache_and_nothing_else(ask: Asked, tmp_path: Path, kind: str) -> None:
    cache = tmp_path / "cache"
    told(ask(cache))
    (broken,) = files(cache, kind)
    broken.write_bytes(broken.read_bytes()[:40])
    answer = told(ask(cache))
    assert answer["seen"] == [41.0] * 3
    assert answer["uncached"]
