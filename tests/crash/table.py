"""The crash matrix as a page: what was killed where, and what became of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from tests.crash.failpoints import FAILPOINTS
from tests.crash.stand import Result

WORDS = {"held": "held", "not reached": "not reached", "failed": "**failed**"}
PHASES = ("entry", "exit", "recovery")
"""Each has a column; the phases of tales share one."""
HEAD = """# The crash matrix

A real engine process, killed with SIGKILL at one exact place while it enters, exits or recovers a hedged straddle,
against a paper exchange that outlives it; or killed while runs are open, in one of the tales: a part leaves by hand
(`part`), a leg leaves and enters again (`again`, `fresh`), the day of an account and then of its user ends (`day`), a
trailing stop follows P (`trail`), Supertrend turns (`trend`), a rule acts, is re-armed and acts again (`rearm`).
Another engine then brings the runs to their end.

A case **held** when, by the exchange's own books, every account is flat, each leg was left once and never crossed zero,
every order of the exchange is one of the engine's and filled what the engine says, no leg grew beyond what was meant,
and the runs' P equals the exchange's to the paisa. In the tales, besides: what was to stay stayed, to the unit; each
rule acted once; a re-entry was sent once and never exceeded what left; limits of the day acted once and still halted
entries afterwards; a trailing stop never sank; nothing left on a price that was not confirmed. *Not reached*: all ended
well before the engine came to that place, so nobody was killed.

This page is written by `python -m tests.crash.matrix --all --write docs/crash-matrix.md`; how it works is in
`tests/crash/`. A single case is played again by `python -m tests.crash.matrix --case NAME`.

"""


def table(results: Iterable[Result], *, of: int) -> str:
    """Return the page as Markdown; ``of``: how many cases there were to choose from."""
    rows = sorted(results, key=lambda result: str(result.case))
    outcomes = Counter(result.outcome for result in rows)
    parts = [
        HEAD,
        f"{len(rows)} of {of} cases were played: " + ", ".join(f"{outcomes[word]} {word}" for word in WORDS) + ".\n",
    ]
    parts += _failed(rows)
    parts += _failpoints([row for row in rows if row.case.is_failpoint])
    parts += _lines([row for row in rows if not row.case.is_failpoint])
    return "\n".join(parts) + "\n"


def _failed(rows: list[Result]) -> list[str]:
    failed = [row for row in rows if row.problems]
    if not failed:
        return []
    return ["\n## Failed\n", *(f"- `{row.case}`: {'; '.join(row.problems)}" for row in failed)]


def _failpoints(rows: list[Result]) -> list[str]:
    parts = [
        "\n## Failpoints\n",
        "| failpoint | the moment | cases | held | not reached | failed |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for name, meaning in FAILPOINTS.items():
        parts.append(_counted(f"`{name}`", [row for row in rows if row.case.place == name], meaning))
    return parts


def _lines(rows: list[Result]) -> list[str]:
    functions: dict[str, list[Result]] = defaultdict(list)
    for row in rows:
        functions[row.case.place.rpartition("+")[0]].append(row)
    parts = [
        "\n## Functions\n",
        "| function | lines | cases | held | not reached | failed |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, those in sorted(functions.items()):
        parts.append(_counted(f"`{name}`", those, str(len({row.case.place for row in those}))))
    files: dict[str, dict[str, dict[str, Result]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        files[row.case.place.partition(":")[0]][row.case.place][row.case.phase] = row
    parts.append(
        "\n## Lines\n\nIn each phase: the workflow, the execution at which the engine was killed, and the outcome."
    )
    for file, places in sorted(files.items()):
        parts += [f"\n### {file}\n", "| line | source | entry | exit | recovery | tales |", "|---|---|---|---|---|---|"]
        for place in sorted(places, key=_order):
            those = places[place]
            text = next(iter(those.values())).case.text.replace("|", "\\|")
            cells = " | ".join(_cell(those[phase]) if phase in those else "" for phase in PHASES)
            tales = "; ".join(_cell(row) for phase, row in those.items() if phase not in PHASES)
            parts.append(f"| {place.partition(':')[2]} | `{text}` | {cells} | {tales} |")
    return parts


def _counted(name: str, rows: list[Result], middle: str) -> str:
    outcomes = Counter(row.outcome for row in rows)
    return f"| {name} | {middle} | {len(rows)} | " + " | ".join(str(outcomes[word]) for word in WORDS) + " |"


def _cell(row: Result) -> str:
    return f"{row.case.flow} #{row.case.hit} {WORDS[row.outcome]}"


def _order(place: str) -> tuple[str, int]:
    name, _, distance = place.rpartition("+")
    return name, int(distance)
