"""Where an engine may be killed: an executed line of the workflows, or a failpoint between two of its acts.

A line is named by file, function and its distance from the function's ``def``, so that edits elsewhere in the file do
not move it: ``engine/services/placing.py:_send+12``. A failpoint is named as in ``failpoints.FAILPOINTS``.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WATCHED = (
    "engine/services/entry*.py",
    "engine/services/exit*.py",
    "engine/services/owned.py",
    "engine/services/withdrawing.py",
    "engine/services/placing.py",
    "engine/services/outcomes.py",
    "engine/services/unknown*.py",
    "engine/services/drift.py",
    "engine/services/repricing.py",
    "engine/services/crossing.py",
    "engine/services/reading.py",
    "engine/services/journal.py",
    "engine/services/ledger.py",
    "engine/services/intake.py",
    "engine/services/recovery.py",
    "engine/services/monitor.py",
    "engine/services/taking_over.py",
    "engine/services/outside.py",
    "engine/services/outside_read.py",
    "engine/services/declaring.py",
    "engine/services/connecting.py",
    "engine/services/quarantine.py",
    "engine/services/settling.py",
    "engine/services/sightings.py",
    "engine/services/smart_exits.py",
    "engine/services/standing.py",
    "engine/services/validity.py",
    "engine/services/refusing.py",
    "engine/runtime/core.py",
    "engine/runtime/hands.py",
    "engine/domain/orders.py",
    "engine/domain/entries.py",
    "engine/domain/exits.py",
    "engine/domain/netting.py",
    "engine/domain/evidence.py",
    "engine/domain/repricing.py",
    "engine/domain/crossing.py",
)
"""The files that an order's way goes through; what is not there yet is left out."""
PART_FILES = (
    "engine/services/exit_parts.py",
    "engine/services/exit_scopes.py",
    "engine/services/exit_plans.py",
    "engine/services/exiting.py",
    "engine/domain/exit_scopes.py",
    "engine/domain/exits.py",
)
REENTRY_FILES = ("engine/services/reentry*.py", "engine/services/entry_slices.py", "engine/domain/reentry.py")
DAY_FILES = (
    "engine/services/day_*.py",
    "engine/services/limit_setting.py",
    "engine/services/exit_plans.py",
    "engine/services/crossing.py",
    "engine/domain/day_limits.py",
    "engine/domain/crossing.py",
)
RULE_FILES = (
    "engine/services/monitor.py",
    "engine/services/guarding.py",
    "engine/services/rule_figures.py",
    "engine/services/rearming.py",
    "engine/domain/rules.py",
    "engine/domain/breaches.py",
    "engine/domain/trailing.py",
)
TREND_FILES = (
    "engine/services/supertrend*.py",
    "engine/services/candle_watch.py",
    "engine/services/run_trend.py",
    "engine/services/monitor.py",
    "engine/domain/supertrend_exit.py",
)
"""The files that decide about runs that are open, by tale."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a file: its name with those around it, and its first and last line, decorators included."""

    name: str
    first: int
    last: int


def watched_files() -> list[str]:
    """Return the watched files that exist, relative to the repository."""
    return sorted(files_of((*WATCHED, *PART_FILES, *REENTRY_FILES, *DAY_FILES, *RULE_FILES, *TREND_FILES)))


@lru_cache(maxsize=16)
def files_of(patterns: tuple[str, ...]) -> frozenset[str]:
    """Return the files of some patterns that exist, relative to the repository."""
    return frozenset(path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern))


def line_name(file: str, line: int) -> str | None:
    """Return the name of a line by its number, None where it is in no function."""
    around = [function for function in _functions(file) if function.first <= line <= function.last]
    if not around:
        return None
    inner = max(around, key=lambda function: function.first)
    return f"{file}:{inner.name}+{line - inner.first}"


def line_number(name: str) -> tuple[str, int]:
    """Return file and line number of a named line. Raises LookupError if the function is not there any more."""
    file, _, rest = name.partition(":")
    wanted, _, distance = rest.rpartition("+")
    for function in _functions(file):
        if function.name == wanted:
            return file, function.first + int(distance)
    raise LookupError(f"{file} has no function {wanted}")


def line_text(name: str) -> str:
    """Return the source of a named line."""
    file, line = line_number(name)
    return (ROOT / file).read_text(encoding="utf-8").splitlines()[line - 1].strip()


def statement_of(name: str) -> tuple[str, int]:
    """Return file and first line of the statement that a named line is part of."""
    file, line = line_number(name)
    return file, _first_lines(file).get(line, line)


@lru_cache(maxsize=64)
def _first_lines(file: str) -> dict[int, int]:
    """Line → first line of the innermost statement around it; a ``case`` or ``except`` begins one of its own."""
    first: dict[int, int] = {}

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt | ast.ExceptHandler):
                first.update(dict.fromkeys(range(child.lineno, (child.end_lineno or child.lineno) + 1), child.lineno))
            elif isinstance(child, ast.match_case):
                line = child.pattern.lineno
                first.update(dict.fromkeys(range(line, (child.pattern.end_lineno or line) + 1), line))
            visit(child)

    visit(ast.parse((ROOT / file).read_text(encoding="utf-8")))
    return first


@lru_cache(maxsize=64)
def _functions(file: str) -> tuple[Function, ...]:
    found: list[Function] = []

    def visit(node: ast.AST, names: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = (*names, child.name)
                first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
                found.append(Function(".".join(inner), first, child.end_lineno or child.lineno))
                visit(child, inner)
            elif isinstance(child, ast.ClassDef):
                visit(child, (*names, child.name))
            else:
                visit(child, names)

    visit(ast.parse((ROOT / file).read_text(encoding="utf-8")), ())
    return tuple(found)
